import { assertEquals, assertThrows } from "@std/assert";
import {
  l2Normalize,
  l2NormalizeBytes,
  l2NormalizeFlops,
  l2NormalizeGradient,
  type L2NormalizeGradientOptions,
} from "../../kernels/l2_normalize/mod.ts";
import { l2NormalizeRows, l2NormalizeRowsGradient } from "../../kernels/l2_normalize/reference.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { noise64 } from "./_pointwise.ts";
import { LAYOUTS, MANY_ROWS, SEED, sweepRows, uniform } from "./_rows.ts";

gpuTest("l2Normalize() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, { op: (ctx, x, options) => l2Normalize(ctx, { x }, options) });
});

gpuTest("l2Normalize() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => l2Normalize(ctx, { x }, options),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("l2Normalize() reaches the end of few very long rows", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => l2Normalize(ctx, { x }, options),
    shapes: [[2, 300_001]],
    layouts: [{}],
  });
});

gpuTest("l2Normalize() keeps rows of zeros, and small and large rows exact", async (context) => {
  const factors = [0, 1e-15, 1e-6, 1, 1e6, 1e15];
  await sweepRows(context, {
    op: (ctx, x, options) => l2Normalize(ctx, { x }, options),
    shapes: [[6, 16], [6, 37]],
    fill: (shape) => uniform(shape).map((value, i) => value * factors[Math.floor(i / shape[1])]!),
  });
});

gpuTest("l2Normalize() divides by no less than epsilon", async ({ gpu }) => {
  const x = gpu.upload(new Float32Array([3, 4, 0.3, 0.4]), [2, 2]);
  for (const layout of LAYOUTS) {
    const [y] = await gpu.read(l2Normalize(gpu, { x }, { ...layout, epsilon: 1 }));
    assertClose(y!, [0.6, 0.8, 0.3, 0.4], TOLERANCE.kernel, JSON.stringify(layout));
  }
});

gpuTest("l2Normalize() gives rows of length one", async ({ gpu }) => {
  const shape = [65, 129] as const;
  const [y] = await gpu.read(l2Normalize(gpu, { x: gpu.upload(uniform(shape), shape) }));
  const lengths = Array.from(
    { length: shape[0] },
    (_, r) => Math.hypot(...y!.subarray(r * shape[1], (r + 1) * shape[1])),
  );
  assertClose(lengths, lengths.map(() => 1), TOLERANCE.kernel);
});

function gradient(ctx: Context, x: Tensor, options: L2NormalizeGradientOptions): Tensor {
  const dY = ctx.upload(uniform(x.shape as [number, number], { seed: 4 }), x.shape);
  return l2NormalizeGradient(ctx, { x, dY }, options);
}

gpuTest("l2NormalizeGradient() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, {
    op: gradient,
    // Away from zero, where the gradient has no bound.
    fill: (shape) => uniform(shape, { low: 0.5, high: 1.5 }),
  });
});

gpuTest("l2NormalizeGradient() of rows shorter than epsilon, and into out", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => gradient(ctx, x, { epsilon: 2, ...options }),
    shapes: [[5, 3], [4, 8]],
    fill: (shape) => uniform(shape).map((value, i) => value * (i < shape[1] ? 0 : 1)),
    layouts: [{ variant: "naive" }, { variant: "tree" }],
  });
  const { gpu } = context;
  const x = gpu.upload(uniform([2, 4]), [2, 4]);
  const out = gpu.empty([2, 4]);
  assertEquals(l2NormalizeGradient(gpu, { x, dY: x }, { out }), out);
});

Deno.test("the reference of l2NormalizeGradient() is the derivative", () => {
  for (const epsilon of [1e-12, 10]) {
    const problem = { rows: 3, columns: 7, epsilon };
    checkGradient({
      forward: ([x]) => {
        const y = new Float64Array(x!.length);
        l2NormalizeRows(x!, y, problem);
        return y;
      },
      backward: ([x], dY) => {
        const dX = new Float64Array(x!.length);
        l2NormalizeRowsGradient({ x: x!, dY }, dX, problem);
        return [dX];
      },
      inputs: [noise64(21)],
      seed: SEED,
    });
  }
});

Deno.test("l2NormalizeGradient() refuses what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [2, 2]);
  const flat = x.reshape([4]);
  assertThrows(() => l2NormalizeGradient(host, { x: flat, dY: x }), ShapeError, '"x"');
  assertThrows(() => l2NormalizeGradient(host, { x, dY: flat }), ShapeError, '"dY"');
  assertThrows(() => l2NormalizeGradient(host, { x, dY: x }, { out: flat }), ShapeError, '"out"');
  assertThrows(
    () => l2NormalizeGradient(host, { x, dY: x }, { epsilon: 0 }),
    RangeError,
    "epsilon",
  );
});

Deno.test("l2Normalize() refuses wrong shapes, types and epsilons", () => {
  using host = new Host();
  const matrix = host.upload(new Float32Array(4), [2, 2]);
  const empty = host.upload(new Float32Array(0), [2, 0]);
  assertThrows(() => l2Normalize(host, { x: empty }), ShapeError, "at least one column");
  assertThrows(() => l2Normalize(host, { x: matrix.reshape([4]) }), ShapeError, "l2Normalize");
  assertThrows(
    () => l2Normalize(host, { x: host.upload(new Uint32Array(4), [2, 2]) }),
    DTypeError,
    "f32",
  );
  assertThrows(() => l2Normalize(host, { x: matrix }, { epsilon: 0 }), RangeError, "epsilon");
});

Deno.test("the reference of l2Normalize() agrees with a row worked out by hand", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([1, 2, -2]), [1, 3]);
  assertClose(l2Normalize(host, { x }).data, [0.333333, 0.666667, -0.666667], TOLERANCE.printed);
});

Deno.test("l2NormalizeFlops() and l2NormalizeBytes() count what a normalisation does", () => {
  assertEquals(l2NormalizeFlops({ rows: 3, columns: 5 }), 45);
  assertEquals(l2NormalizeBytes({ rows: 3, columns: 5 }), 120);
});
