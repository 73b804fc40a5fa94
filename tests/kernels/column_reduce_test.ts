import { assert, assertEquals, assertThrows } from "@std/assert";
import { planColumns } from "../../kernels/_columns.ts";
import {
  COLUMN_VARIANTS,
  columnMean,
  columnReduceBytes,
  columnReduceFlops,
  columnSum,
} from "../../kernels/column_reduce/mod.ts";
import { sumOfColumns } from "../../kernels/column_reduce/reference.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { SEED, uniform } from "./_rows.ts";

const SHAPES = [
  [0, 3],
  [0, 4],
  [1, 1],
  [2, 1],
  [3, 1],
  [5, 3],
  [7, 2],
  [16, 4],
  [13, 6],
  [61, 7],
  [101, 12],
  [257, 16],
  [1031, 3],
  [300, 100],
  [37, 255],
  [9, 4096],
  [2053, 64],
] as const;

gpuTest("columnSum() and columnMean() agree with the reference", async ({ gpu, host }) => {
  for (const shape of SHAPES) {
    const data = uniform(shape);
    using scope = gpu.scope();
    const x = scope.upload(data, shape);
    for (const [name, op] of Object.entries({ columnSum, columnMean })) {
      if (op === columnMean && shape[0] === 0) continue;
      const expected = op(host, { x: host.upload(data, shape) });
      for (const variant of COLUMN_VARIANTS) {
        const label = `${name}, ${variant} on [${shape}] (seed ${SEED})`;
        const [sum, again] = await scope.read(
          op(scope, { x }, { variant }),
          op(scope, { x }, { variant }),
        );
        assertClose(sum!, expected.data, TOLERANCE.kernel, label);
        assertEquals(again, sum, `second run of ${label}`);
      }
    }
  }
});

gpuTest("columnSum() of very many rows reaches the last one", async ({ gpu, host }) => {
  for (const shape of [[1_000_003, 1], [300_001, 3], [140_000, 4]] as const) {
    const data = uniform(shape, { low: 0 });
    using scope = gpu.scope();
    const expected = columnSum(host, { x: host.upload(data, shape) });
    const x = scope.upload(data, shape);
    for (const variant of COLUMN_VARIANTS) {
      const [sum] = await scope.read(columnSum(scope, { x }, { variant }));
      assertClose(sum!, expected.data, TOLERANCE.longSum, `${variant} on [${shape}]`);
    }
  }
});

gpuTest("columnSum() writes where it is told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const x = ctx.upload(new Float32Array([1, 2, 3, 4, 5, 6]), [2, 3]);
    const out = ctx.upload(new Float32Array([9, 9, 9]), [3]);
    assert(columnSum(ctx, { x }, { out }) === out);
    assertEquals([...(await ctx.read(out))[0]!], [5, 7, 9]);
  }
});

Deno.test("planColumns() covers the rows in whole vec4 within the loops of an adapter", () => {
  for (const variant of ["serial", "tree"] as const) {
    for (const rows of [0, 1, 1000, 131_072, 20_000_000]) {
      for (const columns of [1, 2, 3, 4, 5, 64, 1000, 4095, 4096]) {
        const plan = planColumns({ rows, columns }, variant);
        assertEquals(plan.block % 4, 0);
        assertEquals(plan.chunk % plan.block, 0);
        assert(plan.chunk * plan.chunks >= rows * columns);
        assert(plan.chunk / plan.block < 60_000);
        assert(plan.parts < (variant === "tree" ? 32 : 1) * 60_000, `${plan.parts} parts`);
      }
    }
  }
});

Deno.test("columnSum() and columnMean() refuse wrong shapes and types", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [2, 3]);
  const whole = host.upload(new Int32Array(6), [2, 3]);
  for (const op of [columnSum, columnMean]) {
    assertThrows(() => op(host, { x: x.reshape([6]) }), ShapeError, '"x"');
    assertThrows(() => op(host, { x: host.empty([2, 0]) }), ShapeError, "one column");
    assertThrows(() => op(host, { x: whole }), DTypeError, '"x"');
    assertThrows(() => op(host, { x }, { out: host.empty([2]) }), ShapeError, '"out"');
    assertThrows(() => op(host, { x }, { out: host.empty([3], "i32") }), DTypeError, '"out"');
  }
  assertThrows(() => columnMean(host, { x: host.empty([0, 3]) }), ShapeError, "one row");
});

gpuTest("columnSum() refuses a variant that does not exist", ({ gpu }) => {
  const x = gpu.upload(new Float32Array(6), [2, 3]);
  const variant = "fast" as "naive";
  assertThrows(() => columnSum(gpu, { x }, { variant }), RangeError, 'no variant "fast"');
});

Deno.test("the gradient of a bias is the sum of the columns", () => {
  checkGradient({
    // y[n, c] = bias[c]
    forward: ([bias]) => Float64Array.from({ length: 15 }, (_, i) => bias![i % 3]!),
    backward: (_, dY) => {
      const dBias = new Float64Array(3);
      sumOfColumns(dY, dBias);
      return [dBias];
    },
    inputs: [new Float64Array([1, 2, 3])],
    seed: SEED,
  });
});

Deno.test("columnReduceFlops() and columnReduceBytes() count what a reduction does", () => {
  assertEquals(columnReduceFlops({ rows: 3, columns: 5 }), 15);
  assertEquals(columnReduceBytes({ rows: 3, columns: 5 }), 80);
});
