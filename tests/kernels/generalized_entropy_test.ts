import { assertEquals, assertThrows } from "@std/assert";
import {
  generalizedEntropy,
  generalizedEntropyBytes,
  generalizedEntropyFlops,
} from "../../kernels/generalized_entropy/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { LAYOUTS, MANY_ROWS, SHAPES, sweepRows, uniform } from "./_rows.ts";

/** The naive kernel reads a row 36 times, which ends on a software adapter at 1805 columns. */
const FITTING = SHAPES.filter(([, columns]) => columns <= 1800);
const LONG = SHAPES.filter(([, columns]) => columns > 1800);
const logits = (shape: readonly [number, number]) => uniform(shape, { low: -8, high: 12 });

for (const top of [1, 16, 10_000]) {
  gpuTest(
    `generalizedEntropy() agrees with the reference in every layout for ${top}`,
    async (context) => {
      const op: Parameters<typeof sweepRows>[1]["op"] = (ctx, x, options) =>
        generalizedEntropy(ctx, { x }, { ...options, gamma: 0.1, top });
      const fill = logits;
      await sweepRows(context, { op, fill, shapes: FITTING });
      const layouts = LAYOUTS.filter(({ variant }) => variant !== "naive");
      await sweepRows(context, { op, fill, shapes: LONG, layouts });
    },
  );
}

gpuTest("generalizedEntropy() holds for other exponents", async (context) => {
  for (const gamma of [0.01, 0.5, 1, 10]) {
    await sweepRows(context, {
      op: (ctx, x, options) => generalizedEntropy(ctx, { x }, { ...options, gamma, top: 10 }),
      fill: logits,
      shapes: [[9, 17], [5, 64]],
      layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree" }],
    });
  }
});

gpuTest("generalizedEntropy() loses neither a tiny p nor a tiny 1 - p", async ({ gpu, host }) => {
  // One logit far above the others: 1 - p is 1e-7 to 1e-30, and p of the others as small.
  const gaps = [16, 30, 50, 70];
  const data = Float32Array.from(
    { length: 4 * 12 },
    (_, i) => i % 12 === 5 ? gaps[Math.floor(i / 12)]! : (i % 12) / 12,
  );
  const options = { gamma: 0.1, top: 7 };
  const expected = generalizedEntropy(host, { x: host.upload(data, [4, 12]) }, options).data;
  for (const layout of LAYOUTS) {
    const x = gpu.upload(data, [4, 12]);
    const [y] = await gpu.read(generalizedEntropy(gpu, { x }, { ...options, ...layout }));
    assertClose(y!, expected, TOLERANCE.kernel, JSON.stringify(layout));
  }
});

gpuTest("generalizedEntropy() holds at extreme, equal and tied logits", async (context) => {
  const fills = [
    (shape: readonly [number, number]) => uniform(shape).map((value) => Math.sign(value) * 1e4),
    (shape: readonly [number, number]) => uniform(shape).fill(1e4),
    (shape: readonly [number, number]) => uniform(shape).map((value) => Math.round(value * 3)),
    (shape: readonly [number, number]) => uniform(shape).map((_, i) => i % 2 === 0 ? 0 : -0),
  ];
  for (const fill of fills) {
    for (const top of [1, 7, 20]) {
      await sweepRows(context, {
        op: (ctx, x, options) => generalizedEntropy(ctx, { x }, { ...options, gamma: 0.1, top }),
        fill,
        shapes: [[5, 16], [6, 37]],
        layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree" }],
      });
    }
  }
});

gpuTest("generalizedEntropy() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => generalizedEntropy(ctx, { x }, { ...options, gamma: 0.1, top: 2 }),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("generalizedEntropy() reaches the end of few very long rows", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => generalizedEntropy(ctx, { x }, { ...options, gamma: 0.5, top: 100 }),
    shapes: [[2, 100_001]],
    layouts: [{}],
  });
});

gpuTest("generalizedEntropy() of one class is zero", async ({ gpu }) => {
  const x = gpu.upload(new Float32Array([3, -1e4]), [2, 1]);
  for (const layout of LAYOUTS) {
    const y = generalizedEntropy(gpu, { x }, { ...layout, gamma: 0.1, top: 100 });
    assertEquals([...(await gpu.read(y))[0]!], [0, 0], JSON.stringify(layout));
  }
});

gpuTest(
  "generalizedEntropy() does not move with a shift or a reversal of its row",
  async ({ gpu }) => {
    const shape = [9, 37] as const;
    const data = logits(shape);
    const reversed = data.map((_, i) => data[i - i % 37 + 36 - i % 37]!);
    const options = { gamma: 0.1, top: 10 };
    const [y, shifted, turned] = await gpu.read(
      ...[data, data.map((value) => value + 4), reversed].map((values) =>
        generalizedEntropy(gpu, { x: gpu.upload(values, shape) }, options)
      ),
    );
    assertClose(shifted!, y!, TOLERANCE.kernel);
    assertClose(turned!, y!, TOLERANCE.kernel);
  },
);

Deno.test("generalizedEntropy() refuses wrong shapes, types and parameters", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [2, 2]);
  const options = { gamma: 0.1, top: 2 };
  assertThrows(
    () => generalizedEntropy(host, { x: x.reshape([4]) }, options),
    ShapeError,
    "[rows, columns]",
  );
  assertThrows(
    () => generalizedEntropy(host, { x: host.upload(new Float32Array(0), [2, 0]) }, options),
    ShapeError,
    "at least one column",
  );
  assertThrows(
    () => generalizedEntropy(host, { x: host.upload(new Int32Array(4), [2, 2]) }, options),
    DTypeError,
    "f32",
  );
  for (const gamma of [0, -1, NaN]) {
    assertThrows(() => generalizedEntropy(host, { x }, { gamma, top: 2 }), RangeError, "gamma");
  }
  for (const top of [0, -1, 1.5, NaN]) {
    assertThrows(() => generalizedEntropy(host, { x }, { gamma: 1, top }), RangeError, '"top"');
  }
});

Deno.test("the reference of generalizedEntropy() agrees with rows worked out by hand", () => {
  using host = new Host();
  // softmax = [1/2, 1/4, 1/4]
  const x = host.upload(new Float32Array([Math.log(2), 0, 0]), [1, 3]);
  const of = (gamma: number, top: number) => generalizedEntropy(host, { x }, { gamma, top }).data;
  assertClose(of(1, 1), [-0.25], TOLERANCE.printed);
  assertClose(of(1, 2), [-0.4375], TOLERANCE.printed);
  assertClose(of(1, 100), [-0.625], TOLERANCE.printed);
  assertClose(of(0.5, 2), [-0.933013], TOLERANCE.printed);
});

Deno.test("generalizedEntropyFlops() and generalizedEntropyBytes() count what it does", () => {
  assertEquals(generalizedEntropyFlops({ rows: 3, columns: 5 }), 150);
  assertEquals(generalizedEntropyBytes({ rows: 3, columns: 5 }), 72);
});
