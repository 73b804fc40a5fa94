import { assertEquals, assertThrows } from "@std/assert";
import {
  layerNorm,
  layerNormBytes,
  layerNormFlops,
  layerNormGradient,
  type LayerNormGradients,
} from "../../kernels/layer_norm/mod.ts";
import { layerNormRows, layerNormRowsGradient } from "../../kernels/layer_norm/reference.ts";
import type { RowOptions } from "../../kernels/row_reduce/mod.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { noise64 } from "./_pointwise.ts";
import { MANY_ROWS, SEED, sweepRows, uniform } from "./_rows.ts";

function withParameters(ctx: Context, x: Tensor, options: RowOptions): Tensor {
  const columns = x.shape[1]!;
  const weight = ctx.upload(uniform([1, columns], { seed: 1 }), [columns]);
  const bias = ctx.upload(uniform([1, columns], { seed: 2 }), [columns]);
  return layerNorm(ctx, { x, weight, bias }, options);
}

gpuTest("layerNorm() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, { op: withParameters });
});

gpuTest("layerNorm() works with weight or bias or neither", async (context) => {
  const shapes = [[5, 16], [17, 37]] as const;
  for (const names of [[], ["weight"], ["bias"]]) {
    await sweepRows(context, {
      op: (ctx, x, options) => {
        const columns = x.shape[1]!;
        const parameters = Object.fromEntries(
          names.map((name) => [name, ctx.upload(uniform([1, columns], { seed: 3 }), [columns])]),
        );
        return layerNorm(ctx, { x, ...parameters }, options);
      },
      shapes,
      layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree" }],
    });
  }
});

gpuTest("layerNorm() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => layerNorm(ctx, { x }, options),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("layerNorm() keeps its digits where the mean is large", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => layerNorm(ctx, { x }, options),
    // 1024 and steps of 1/256 are exact in f32, so only the kernel's own errors are left.
    fill: (shape) => uniform(shape).map((value) => 1024 + Math.round(value * 256) / 256),
    shapes: [[5, 16], [9, 100], [17, 511], [3, 4097]],
    layouts: [
      { variant: "serial" },
      { variant: "tree" },
      { variant: "tree", lanes: 2 },
      { variant: "tree", lanes: 256 },
    ],
  });
});

gpuTest("layerNorm() of a constant row is the bias", async ({ gpu }) => {
  const x = gpu.upload(new Float32Array(2 * 37).fill(7.3), [2, 37]);
  const bias = uniform([1, 37]);
  const [y] = await gpu.read(layerNorm(gpu, { x, bias: gpu.upload(bias, [37]) }));
  assertEquals([...y!], [...bias, ...bias]);
});

gpuTest("layerNorm() reaches the end of few very long rows", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => layerNorm(ctx, { x }, options),
    shapes: [[2, 300_001]],
    layouts: [{}],
  });
});

/** One of the gradients, so that a sweep can compare it. */
function gradient(name: keyof LayerNormGradients, affine = true) {
  return (ctx: Context, x: Tensor, options: RowOptions): Tensor => {
    const shape = x.shape as [number, number];
    const weight = ctx.upload(uniform([1, shape[1]], { seed: 1 }), [shape[1]]);
    const dY = ctx.upload(uniform(shape, { seed: 4 }), shape);
    const inputs = { x, dY, ...(affine && { weight }) };
    return layerNormGradient(ctx, inputs, { bias: true, epsilon: 1e-2, ...options })[name]!;
  };
}

gpuTest("layerNormGradient() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, { op: gradient("dX") });
  const layouts = [{ variant: "naive" }, { variant: "serial" }, { variant: "tree" }] as const;
  for (const name of ["dWeight", "dBias"] as const) {
    await sweepRows(context, { op: gradient(name), layouts });
  }
  for (const name of ["dX", "dBias"] as const) {
    await sweepRows(context, { op: gradient(name, false), shapes: [[5, 16], [17, 37]], layouts });
  }
});

gpuTest("layerNormGradient() sums the columns of many rows", async (context) => {
  const tolerance = TOLERANCE.longSum;
  const layouts = [{}];
  for (const name of ["dWeight", "dBias"] as const) {
    const shapes = [MANY_ROWS, [9001, 8]] as const;
    await sweepRows(context, { op: gradient(name), shapes, layouts, tolerance });
  }
});

gpuTest("layerNormGradient() keeps its digits where the mean is large", async (context) => {
  for (const name of ["dX", "dWeight"] as const) {
    await sweepRows(context, {
      op: gradient(name),
      fill: (shape) => uniform(shape).map((value) => 1024 + Math.round(value * 256) / 256),
      shapes: [[5, 16], [9, 100], [17, 511]],
      layouts: [{ variant: "serial" }, { variant: "tree" }, { variant: "tree", lanes: 256 }],
    });
  }
});

gpuTest("layerNormGradient() writes into out", ({ gpu }) => {
  const x = gpu.upload(uniform([2, 4]), [2, 4]);
  const weight = gpu.upload(uniform([1, 4]), [4]);
  const out = gpu.empty([2, 4]);
  const [outWeight, outBias] = [gpu.empty([4]), gpu.empty([4])];
  const made = layerNormGradient(gpu, { x, weight, dY: x }, { out, outWeight, outBias });
  assertEquals(made, { dX: out, dWeight: outWeight, dBias: outBias });
});

Deno.test("the reference of layerNormGradient() is the derivative", () => {
  const size = { rows: 3, columns: 6 };
  checkGradient({
    forward: ([x, weight, bias]) => {
      const y = new Float64Array(x!.length);
      layerNormRows(x!, y, { ...size, weight: weight!, bias: bias!, epsilon: 1e-3 });
      return y;
    },
    backward: ([x, weight], dY) => {
      const dX = new Float64Array(x!.length);
      const [dWeight, dBias] = [new Float64Array(6), new Float64Array(6)];
      const problem = { ...size, weight: weight!, epsilon: 1e-3 };
      layerNormRowsGradient({ x: x!, dY }, { dX, dWeight, dBias }, problem);
      return [dX, dWeight, dBias];
    },
    inputs: [noise64(18), noise64(6, { seed: 2 }), noise64(6, { seed: 3 })],
    seed: SEED,
  });
});

Deno.test("layerNormGradient() refuses what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [2, 3]);
  const three = host.upload(new Float32Array(3), [3]);
  const run = (...args: [object?, object?]) =>
    layerNormGradient(host, { x, dY: x, ...args[0] }, args[1] ?? {});
  assertEquals(Object.keys(run()), ["dX"]);
  assertEquals(Object.keys(run({ weight: three })), ["dX", "dWeight", "dBias"]);
  assertEquals(Object.keys(run({ weight: three }, { bias: false })), ["dX", "dWeight"]);
  assertThrows(() => run({ x: three }), ShapeError, '"x"');
  assertThrows(() => run({ dY: three }), ShapeError, '"dY"');
  assertThrows(() => run({ weight: x }), ShapeError, '"weight"');
  assertThrows(() => run({}, { out: three }), ShapeError, '"out"');
  assertThrows(() => run({ weight: three }, { outBias: x }), ShapeError, '"outBias"');
  assertThrows(() => run({}, { outWeight: three }), TypeError, '"outWeight"');
  assertThrows(() => run({}, { outBias: three, bias: false }), TypeError, '"outBias"');
  assertThrows(() => run({}, { epsilon: 0 }), RangeError, "epsilon");
});

Deno.test("layerNorm() refuses wrong shapes, types and epsilons", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [2, 3]);
  const two = host.upload(new Float32Array(2), [2]);
  const whole = host.upload(new Int32Array(3), [3]);
  assertThrows(() => layerNorm(host, { x: two }), ShapeError, '"x"');
  assertThrows(
    () => layerNorm(host, { x: host.upload(new Float32Array(0), [2, 0]) }),
    ShapeError,
    "at least one column",
  );
  assertThrows(() => layerNorm(host, { x, weight: two }), ShapeError, '"weight"');
  assertThrows(() => layerNorm(host, { x, bias: two }), ShapeError, '"bias"');
  assertThrows(() => layerNorm(host, { x, bias: whole }), DTypeError, '"bias"');
  assertThrows(() => layerNorm(host, { x }, { epsilon: -1 }), RangeError, "epsilon");
});

Deno.test("the reference of layerNorm() agrees with a row worked out by hand", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([1, 2, 3, 6]), [1, 4]);
  const weight = host.upload(new Float32Array([1, 1, 2, 1]), [4]);
  const bias = host.upload(new Float32Array([0, 0, 0, 1]), [4]);
  const { data } = layerNorm(host, { x, weight, bias }, { epsilon: 0.5 });
  assertClose(data, [-1, -0.5, 0, 2.5], TOLERANCE.printed);
});

Deno.test("layerNormFlops() and layerNormBytes() count what a normalisation does", () => {
  assertEquals(layerNormFlops({ rows: 3, columns: 5 }), 120);
  assertEquals(layerNormBytes({ rows: 3, columns: 5 }), 160);
});
