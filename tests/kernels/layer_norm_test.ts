import { assertEquals, assertThrows } from "@std/assert";
import { layerNorm, layerNormBytes, layerNormFlops } from "../../kernels/layer_norm/mod.ts";
import type { RowOptions } from "../../kernels/row_reduce/mod.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { MANY_ROWS, sweepRows, uniform } from "./_rows.ts";

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
