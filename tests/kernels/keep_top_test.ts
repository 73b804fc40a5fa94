import { assertEquals, assertThrows } from "@std/assert";
import { keepTop, keepTopBytes, keepTopFlops } from "../../kernels/keep_top/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { LAYOUTS, MANY_ROWS, SHAPES, sweepRows, uniform } from "./_rows.ts";

/** The naive kernel reads a row 35 times, which ends on a software adapter at 1857 columns. */
const FITTING = SHAPES.filter(([, columns]) => columns <= 1800);
const LONG = SHAPES.filter(([, columns]) => columns > 1800);
const MODES = ["prune", "fill", "scale", "scaleAll"] as const;
const FEW_LAYOUTS = [
  { variant: "naive" },
  { variant: "serial" },
  { variant: "tree" },
  { variant: "tree", lanes: 64 },
] as const;
type Shape = readonly [number, number];
/** Positive: a sum of kept elements near zero makes any difference of two sums large. */
const positive = (shape: Shape) => uniform(shape, { low: 0.01, high: 2 });
/** What stands behind a ReLU: many zeros. */
const relu = (shape: Shape) => uniform(shape).map((value) => Math.max(0, value));

for (const mode of MODES) {
  gpuTest(`keepTop() agrees with the reference in every layout for ${mode}`, async (context) => {
    const op: Parameters<typeof sweepRows>[1]["op"] = (ctx, x, options) => {
      const count = Math.ceil(x.shape[1]! / 4);
      return keepTop(ctx, { x }, { ...options, count, mode });
    };
    await sweepRows(context, { op, fill: positive, shapes: FITTING });
    const layouts = LAYOUTS.filter(({ variant }) => variant !== "naive");
    await sweepRows(context, { op, fill: positive, shapes: LONG, layouts });
  });

  gpuTest(`keepTop() keeps the lowest of equal indices for ${mode}`, async (context) => {
    const fills = [
      relu,
      (shape: Shape) => positive(shape).map((value) => Math.round(2 * value) + 1),
      (shape: Shape) => positive(shape).fill(0.5),
      (shape: Shape) => positive(shape).map((_, i) => i % 2 === 0 ? 0 : -0),
    ];
    for (const fill of fills) {
      for (const count of [1, 2, 11, 30, 36, 37, 1000]) {
        await sweepRows(context, {
          op: (ctx, x, options) => keepTop(ctx, { x }, { ...options, count, mode }),
          fill,
          shapes: [[5, 16], [6, 37], [3, 260]],
          layouts: FEW_LAYOUTS,
        });
      }
    }
  });
}

gpuTest("keepTop() takes negative elements and rows of zeros without NaN", async (context) => {
  for (const mode of MODES) {
    for (
      const fill of [(shape: Shape) => uniform(shape), (shape: Shape) => uniform(shape).fill(0)]
    ) {
      await sweepRows(context, {
        op: (ctx, x, options) => keepTop(ctx, { x }, { ...options, count: 9, mode }),
        fill,
        shapes: [[9, 20], [5, 33]],
        layouts: FEW_LAYOUTS,
      });
    }
  }
});

gpuTest("keepTop() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => keepTop(ctx, { x }, { ...options, count: 2 }),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "naive" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("keepTop() reaches the end of few very long rows", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => keepTop(ctx, { x }, { ...options, count: 777 }),
    fill: relu,
    shapes: [[2, 100_001]],
    layouts: [{}],
  });
});

Deno.test("keepTop() refuses wrong shapes, types, counts and modes", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [2, 2]);
  assertThrows(() => keepTop(host, { x: x.reshape([4]) }, { count: 1 }), ShapeError, "keepTop");
  assertThrows(
    () => keepTop(host, { x: host.upload(new Float32Array(0), [2, 0]) }, { count: 1 }),
    ShapeError,
    "at least one column",
  );
  assertThrows(
    () => keepTop(host, { x: host.upload(new Int32Array(4), [2, 2]) }, { count: 1 }),
    DTypeError,
    "f32",
  );
  for (const count of [0, -1, 1.5, NaN]) {
    assertThrows(() => keepTop(host, { x }, { count }), RangeError, '"count"');
  }
  assertThrows(
    () => keepTop(host, { x }, { count: 1, mode: "drop" as "prune" }),
    RangeError,
    'no mode "drop"',
  );
});

Deno.test("the reference of keepTop() agrees with a row worked out by hand", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([1, 4, 2, 1]), [1, 4]);
  const of = (mode: typeof MODES[number]) => [...keepTop(host, { x }, { count: 2, mode }).data];
  // The sum is 8, that of the two largest 6.
  const factor = Math.exp(8 / 6);
  assertClose(of("prune"), [0, 4, 2, 0], TOLERANCE.exact);
  assertClose(of("fill"), [0, 4, 4, 0], TOLERANCE.exact);
  assertClose(of("scale"), [0, 4 * factor, 2 * factor, 0], TOLERANCE.kernel);
  assertClose(of("scaleAll"), [factor, 4 * factor, 2 * factor, factor], TOLERANCE.kernel);
});

Deno.test("keepTopFlops() and keepTopBytes() count what it does", () => {
  assertEquals(keepTopFlops({ rows: 3, columns: 5 }), 45);
  assertEquals(keepTopBytes({ rows: 3, columns: 5 }), 120);
});
