import { assertEquals, assertThrows } from "@std/assert";
import {
  activation,
  activationBytes,
  activationFlops,
  activationGradient,
  type ActivationOptions,
} from "../../kernels/activation/mod.ts";
import { activate, activateGradient } from "../../kernels/activation/reference.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, FLAT_SHAPES, noise64, random, SEED } from "./_pointwise.ts";

const KINDS: readonly ActivationOptions[] = [
  { kind: "relu" },
  { kind: "gelu" },
  { kind: "gelu", approximate: "tanh" },
  { kind: "sigmoid" },
  { kind: "silu" },
  { kind: "clip", min: 0, max: 6 },
  { kind: "clip", max: 1 },
];

const WIDE = { low: -9, high: 9 };

gpuTest("activation() agrees with the reference", async (context) => {
  await compareAll(
    context,
    KINDS.flatMap((options) =>
      FLAT_SHAPES.map((shape) => ({
        label: `${JSON.stringify(options)} on [${shape}]`,
        run: (
          ctx,
          how,
        ) => [activation(ctx, { x: random(ctx, shape, WIDE) }, { ...options, ...how })],
      }))
    ),
  );
});

gpuTest("activationGradient() agrees with the reference from x and from y", async (context) => {
  await compareAll(
    context,
    KINDS.flatMap((options) =>
      FLAT_SHAPES.map((shape) => ({
        label: `${JSON.stringify(options)} on [${shape}]`,
        run: (ctx, how) => {
          const x = random(ctx, shape, WIDE);
          const dY = random(ctx, shape, { seed: 2 });
          const y = activation(ctx, { x }, options);
          const forms = options.kind === "gelu" || options.kind === "silu"
            ? [{ x }]
            : [{ x }, { y }, { x, y }];
          return forms.map((form) =>
            activationGradient(ctx, { ...form, dY }, { ...options, ...how })
          );
        },
      }))
    ),
  );
});

gpuTest("activations of large numbers stay finite", async ({ gpu, host }) => {
  const x = new Float32Array([-1e30, -1e4, -90, -30, 0, 30, 90, 1e4]);
  const ones = new Float32Array(8).fill(1);
  for (const options of KINDS.filter(({ kind }) => kind !== "gelu")) {
    const [y, dX] = await gpu.read(
      activation(gpu, { x: gpu.upload(x, [8]) }, options),
      activationGradient(gpu, { x: gpu.upload(x, [8]), dY: gpu.upload(ones, [8]) }, options),
    );
    const on = host.upload(x, [8]);
    assertClose(y!, activation(host, { x: on }, options).data, TOLERANCE.kernel, options.kind);
    const dY = host.upload(ones, [8]);
    const expected = activationGradient(host, { x: on, dY }, options).data;
    assertClose(dX!, expected, TOLERANCE.kernel, options.kind);
  }
});

gpuTest(
  "activation() folds grids beyond 65535 workgroups, and writes into out",
  async ({ gpu }) => {
    const size = 65_537 * 64 + 3;
    const x = gpu.upload(new Float32Array(size).fill(-1).fill(2, size - 5), [size]);
    const out = gpu.empty([size]);
    assertEquals(activation(gpu, { x }, { kind: "relu", variant: "naive", out }), out);
    const [y] = await gpu.read(out);
    assertEquals(y!.findIndex((value) => value !== 0), size - 5);
    assertEquals([...y!.subarray(size - 5)], [2, 2, 2, 2, 2]);
  },
);

Deno.test("the reference of activationGradient() is the derivative", () => {
  const away = Float64Array.from(noise64(40, { low: -4, high: 4 }), (v) => v + 0.05 * Math.sign(v));
  for (const options of KINDS) {
    checkGradient({
      forward: ([x]) => {
        const y = new Float64Array(x!.length);
        activate(x!, y, options);
        return y;
      },
      backward: ([x], dY) => {
        const dX = new Float64Array(x!.length);
        activateGradient({ v: x!, dY }, dX, { ...options, fromOutput: false });
        return [dX];
      },
      inputs: [away],
      seed: SEED,
    });
  }
});

Deno.test("activation() has the values of a table", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([-1, 1, 2]), [3]);
  const values = (options: ActivationOptions) => activation(host, { x }, options).data;
  assertClose(values({ kind: "gelu" }), [-0.158655, 0.841345, 1.9545], TOLERANCE.printed);
  const tanh = values({ kind: "gelu", approximate: "tanh" });
  assertClose(tanh, [-0.158808, 0.841192, 1.954598], TOLERANCE.printed);
  assertClose(values({ kind: "sigmoid" }), [0.268941, 0.731059, 0.880797], TOLERANCE.printed);
  assertClose(values({ kind: "silu" }), [-0.268941, 0.731059, 1.761594], TOLERANCE.printed);
});

Deno.test("ReLU and clip have the gradient 0 at their kinks", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([0, 6, 3]), [3]);
  const dY = host.upload(new Float32Array([1, 1, 1]), [3]);
  const slopes = (options: ActivationOptions) => [
    ...activationGradient(host, { x, dY }, options).data,
  ];
  assertEquals(slopes({ kind: "relu" }), [0, 1, 1]);
  assertEquals(slopes({ kind: "clip", min: 0, max: 6 }), [0, 0, 1]);
});

Deno.test("activation() and activationGradient() refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [2, 3]);
  const other = host.upload(new Float32Array(6), [6]);
  const whole = host.upload(new Int32Array(6), [2, 3]);
  assertThrows(() => activation(host, { x: whole }, { kind: "relu" }), DTypeError, '"x"');
  assertThrows(() => activation(host, { x }, { kind: "relu", out: other }), ShapeError, '"out"');
  assertThrows(() => activation(host, { x }, { kind: "tan" as "relu" }), RangeError, "kind");
  assertThrows(
    () => activation(host, { x }, { kind: "gelu", approximate: "x" as "none" }),
    RangeError,
    "approximate",
  );
  assertThrows(() => activation(host, { x }, { kind: "clip", min: 1, max: 1 }), RangeError, "min");
  const gradient = (inputs: Parameters<typeof activationGradient>[1], kind: "relu" | "gelu") =>
    activationGradient(host, inputs, { kind });
  assertThrows(() => gradient({ dY: x }, "relu"), TypeError, '"x" or "y"');
  assertThrows(() => gradient({ y: x, dY: x }, "gelu"), TypeError, 'needs "x"');
  assertThrows(() => gradient({ x, dY: other }, "gelu"), ShapeError, '"dY"');
  assertThrows(() => gradient({ x, dY: whole }, "gelu"), DTypeError, '"dY"');
});

Deno.test("activationFlops() and activationBytes() count what an activation does", () => {
  assertEquals(activationFlops([2, 3], "clip"), 12);
  assertEquals(activationBytes([2, 3]), 48);
});
