import { assertEquals, assertThrows } from "@std/assert";
import {
  lookupRows,
  lookupRowsBytes,
  lookupRowsFlops,
  lookupRowsGradient,
} from "../../kernels/lookup_rows/mod.ts";
import {
  lookupRowsGradientReference,
  lookupRowsReference,
} from "../../kernels/lookup_rows/reference.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, noise64, random, SEED } from "./_pointwise.ts";
import { compareLists } from "./_ragged.ts";

/** No sample, no row, one of each, many samples of few rows, few of many, more than a chunk. */
const CASES = [
  { rows: 3, samples: 0, columns: 4 },
  { rows: 0, samples: 5, columns: 4 },
  { rows: 1, samples: 1, columns: 1 },
  { rows: 2, samples: 40, columns: 3 },
  { rows: 7, samples: 64, columns: 12 },
  { rows: 500, samples: 33, columns: 5 },
  { rows: 300, samples: 130, columns: 512 },
  { rows: 9, samples: 5000, columns: 8 },
] as const;

/** Numbers of all rows, and some that are none on either side. */
function numbersOf(samples: number, rows: number): Int32Array<ArrayBuffer> {
  const rng = new Rng(SEED, 2);
  return Int32Array.from({ length: samples }, () => rng.integer(rows + 2) - 1);
}

function uploadNumbers(ctx: Context, { samples, rows }: { samples: number; rows: number }): Tensor {
  return ctx.upload(numbersOf(samples, rows), [samples]);
}

gpuTest("lookupRows() gives the reference's bits", async (context) => {
  await compareAll(
    context,
    CASES.map((shape) => ({
      label: JSON.stringify(shape),
      tolerance: TOLERANCE.exact,
      run: (ctx, how) => {
        const table = random(ctx, [shape.rows, shape.columns]);
        return [lookupRows(ctx, { table, index: uploadNumbers(ctx, shape) }, how)];
      },
    })),
  );
});

gpuTest("lookupRowsGradient() adds what comes in for a row", async (context) => {
  await compareLists(
    context,
    CASES.map((shape) => ({
      label: JSON.stringify(shape),
      run: (ctx, how) => {
        const { rows, samples, columns } = shape;
        const dY = random(ctx, [samples, columns]);
        const index = uploadNumbers(ctx, shape);
        return [lookupRowsGradient(ctx, { dY, index }, { rows, ...how })];
      },
    })),
  );
});

gpuTest(
  "lookupRows() and its gradient write where they are told, afresh at each replay",
  async (on) => {
    const { gpu } = on;
    const table = gpu.upload(new Float32Array([1, 2, 3, 4]), [4, 1]);
    const index = gpu.upload(new Int32Array([3, 3, 0]), [3]);
    const [y, dTable] = [gpu.empty([3, 1]), gpu.empty([4, 1])];
    using step = gpu.gpu.capture((scope) => {
      assertEquals(lookupRows(scope, { table, index }, { out: y }), y);
      const out = lookupRowsGradient(scope, { dY: y, index }, { rows: 4, out: dTable });
      assertEquals(out, dTable);
    });
    for (
      const { numbers, found, sums } of [
        { numbers: [3, 3, 0], found: [4, 4, 1], sums: [1, 0, 0, 8] },
        { numbers: [-1, 2, 4], found: [0, 3, 0], sums: [0, 0, 3, 0] },
      ]
    ) {
      gpu.write(index, Int32Array.from(numbers));
      step.run();
      const [rows, gradient] = await gpu.read(y, dTable);
      assertEquals([[...rows!], [...gradient!]], [found, sums]);
    }
  },
);

Deno.test("the gradient of the reference of lookupRows() is the derivative", () => {
  const columns = 3;
  const index = Int32Array.of(1, 4, 1, -1, 0, 5, 1);
  checkGradient({
    forward: ([table]) => {
      const y = new Float64Array(index.length * columns);
      lookupRowsReference({ table: table!, index }, y, columns);
      return y;
    },
    backward: (_, dY) => {
      const dTable = new Float64Array(5 * columns);
      lookupRowsGradientReference({ dY, index }, dTable, columns);
      return [dTable];
    },
    inputs: [noise64(5 * columns)],
    seed: SEED,
  });
});

Deno.test("lookupRows() and its gradient refuse what does not fit", () => {
  using host = new Host();
  const table = host.upload(new Float32Array(6), [3, 2]);
  const floats = host.upload(new Float32Array(2), [2]);
  const index = host.upload(new Int32Array(2), [2]);
  assertThrows(() => lookupRows(host, { table: floats, index }), ShapeError, '"table"');
  assertThrows(() => lookupRows(host, { table, index: floats }), DTypeError, '"index"');
  assertThrows(
    () => lookupRows(host, { table, index: index.reshape([2, 1]) }),
    ShapeError,
    '"index"',
  );
  assertThrows(() => lookupRows(host, { table, index }, { out: table }), ShapeError, '"out"');
  const dY = host.empty([2, 2]);
  const gradient = (changed: object, options: object) => () =>
    lookupRowsGradient(host, { dY, index, ...changed }, { rows: 3, ...options });
  assertThrows(gradient({ dY: table }, {}), ShapeError, '"dY"');
  assertThrows(gradient({ index: floats }, {}), DTypeError, '"index"');
  assertThrows(gradient({}, { rows: -1 }), RangeError, "rows");
  assertThrows(gradient({}, { out: dY }), ShapeError, '"out"');
});

gpuTest("lookupRows() and its gradient refuse variants that do not exist", ({ gpu }) => {
  const table = gpu.empty([2, 2]);
  const index = gpu.upload(new Int32Array(2), [2]);
  const variant = "fast" as "naive";
  assertThrows(() => lookupRows(gpu, { table, index }, { variant }), RangeError, '"fast"');
  assertThrows(
    () => lookupRowsGradient(gpu, { dY: table, index }, { rows: 2, variant }),
    RangeError,
    '"fast"',
  );
});

Deno.test("lookupRowsFlops() and lookupRowsBytes() count what a look-up does", () => {
  const shape = { rows: 50, samples: 3, columns: 7 };
  assertEquals([lookupRowsFlops(shape), lookupRowsFlops(shape, "backward")], [0, 21]);
  assertEquals([lookupRowsBytes(shape), lookupRowsBytes(shape, "backward")], [180, 1496]);
});
