import { assertEquals, assertThrows } from "@std/assert";
import { add, addBytes, addFlops, addInto, scale } from "../../kernels/add/mod.ts";
import { DTypeError, Host, Scalar, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { compareAll, FLAT_SHAPES, random } from "./_pointwise.ts";

gpuTest("add(), addInto() and scale() agree with the reference", async (context) => {
  await compareAll(
    context,
    FLAT_SHAPES.map((shape) => ({
      label: `[${shape}]`,
      run: (ctx, how) => {
        const a = random(ctx, shape);
        const b = random(ctx, shape, { seed: 2 });
        const target = random(ctx, shape, { seed: 3 });
        return [
          add(ctx, { a, b }, how),
          add(ctx, { a, b }, { activation: "relu", ...how }),
          add(ctx, { a, b: a }, how),
          addInto(ctx, { target, x: a }, { scale: new Scalar(-0.3), ...how }),
          scale(ctx, { x: b }, { factor: 1.7, ...how }),
        ];
      },
    })),
  );
});

gpuTest("add() and scale() write into out", async ({ gpu }) => {
  const x = random(gpu, [7]);
  const out = gpu.empty([7]);
  assertEquals(add(gpu, { a: x, b: x }, { out }), out);
  const [sum, twice] = await gpu.read(out, scale(gpu, { x }, { factor: 2 }));
  assertEquals(sum, twice);
});

gpuTest("addInto() touches nothing beyond a slice", async ({ gpu }) => {
  const arena = gpu.upload(new Float32Array(192), [192]);
  const x = gpu.upload(new Float32Array(61).fill(1), [61]);
  addInto(gpu, { target: arena.slice(64, [61]), x });
  const [all] = await gpu.read(arena);
  assertEquals([...all!], Array.from({ length: 192 }, (_, i) => i >= 64 && i < 125 ? 1 : 0));
});

gpuTest("addInto() reads its factor again at each replay", async ({ gpu, host }) => {
  const step = new Scalar(1);
  const target = host.upload(new Float32Array([1]), [1]);
  const x = host.upload(new Float32Array([1]), [1]);
  addInto(host, { target, x }, { scale: step });
  step.value = 10;
  addInto(host, { target, x }, { scale: step });
  assertEquals([...target.data], [12]);
  const [same] = await gpu.read(
    addInto(gpu, { target: gpu.upload(new Float32Array([2]), [1]), x: random(gpu, [1]) }, {
      scale: new Scalar(0),
    }),
  );
  assertEquals([...same!], [2]);
});

Deno.test("add(), addInto() and scale() refuse what does not fit", () => {
  using host = new Host();
  const a = host.upload(new Float32Array(6), [2, 3]);
  const other = host.upload(new Float32Array(6), [3, 2]);
  const whole = host.upload(new Int32Array(6), [2, 3]);
  assertThrows(() => add(host, { a, b: other }), ShapeError, '"b"');
  assertThrows(() => add(host, { a, b: whole }), DTypeError, '"b"');
  assertThrows(() => add(host, { a, b: a }, { out: other }), ShapeError, '"out"');
  assertThrows(
    () => add(host, { a, b: a }, { activation: "tanh" as "relu" }),
    RangeError,
    "activation",
  );
  assertThrows(() => addInto(host, { target: a, x: other }), ShapeError, '"x"');
  assertThrows(() => addInto(host, { target: whole, x: a }), DTypeError, '"target"');
  assertThrows(() => scale(host, { x: whole }, { factor: 1 }), DTypeError, '"x"');
});

gpuTest("add() refuses a variant that does not exist, and out that is an input", ({ gpu }) => {
  const a = random(gpu, [8]);
  assertThrows(() => add(gpu, { a, b: a }, { variant: "wide" as "naive" }), RangeError, "wide");
  assertThrows(() => add(gpu, { a, b: a }, { out: a }), TypeError, "one buffer");
});

Deno.test("addFlops() and addBytes() count what a sum does", () => {
  assertEquals(addFlops([2, 3]), 6);
  assertEquals(addBytes([2, 3]), 72);
});
