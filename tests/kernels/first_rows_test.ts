import { assertEquals, assertThrows } from "@std/assert";
import {
  firstRows,
  firstRowsBytes,
  firstRowsFlops,
  firstRowsGradient,
} from "../../kernels/first_rows/mod.ts";
import {
  firstRowsGradientReference,
  firstRowsReference,
} from "../../kernels/first_rows/reference.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, noise64, random, SEED } from "./_pointwise.ts";
import { compareLists, nameOf, offsetsOf, RAGGED_CASES, rowsOf, uploadOffsets } from "./_ragged.ts";

const CASES = [...RAGGED_CASES, { lengths: [1, 140_000], padding: 150_000, columns: 1 }];

gpuTest("firstRows() gives the reference's bits", async (context) => {
  await compareAll(
    context,
    CASES.map((ragged) => ({
      label: nameOf(ragged),
      tolerance: TOLERANCE.exact,
      run: (ctx, how) => {
        const offsets = uploadOffsets(ctx, ragged.lengths);
        const x = random(ctx, [rowsOf(ragged), ragged.columns]);
        return [firstRows(ctx, { x, offsets }, how)];
      },
    })),
  );
});

gpuTest("firstRowsGradient() gives the reference's bits", async (context) => {
  await compareLists(
    context,
    CASES.map((ragged) => ({
      label: nameOf(ragged),
      run: (ctx, how) => {
        const { lengths, columns } = ragged;
        const offsets = uploadOffsets(ctx, lengths);
        const dY = random(ctx, [lengths.length, columns]);
        return [firstRowsGradient(ctx, { dY, offsets }, { rows: rowsOf(ragged), ...how })];
      },
    })),
    TOLERANCE.exact,
  );
});

gpuTest("firstRows() and its gradient write where they are told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const x = ctx.upload(new Float32Array([1, 2, 3, 4, NaN, NaN]), [3, 2]);
    const offsets = uploadOffsets(ctx, [0, 2]);
    const [y, dX] = [ctx.empty([2, 2]), ctx.empty([3, 2])];
    assertEquals(firstRows(ctx, { x, offsets }, { out: y }), y);
    assertEquals(firstRowsGradient(ctx, { dY: y, offsets }, { rows: 3, out: dX }), dX);
    const [rows, gradient] = await ctx.read(y, dX);
    assertEquals([...rows!], [0, 0, 1, 2]);
    assertEquals([...gradient!], [1, 2, 0, 0, 0, 0]);
  }
});

gpuTest("firstRows() reads offsets afresh at each replay", async ({ gpu }) => {
  const x = gpu.upload(new Float32Array([1, 2, 3, 4]), [4, 1]);
  const offsets = uploadOffsets(gpu, [1, 2, 1]);
  const [y, dX] = [gpu.empty([3, 1]), gpu.empty([4, 1])];
  using step = gpu.gpu.capture((scope) => {
    firstRows(scope, { x, offsets }, { out: y });
    firstRowsGradient(scope, { dY: y, offsets }, { rows: 4, out: dX });
  });
  for (
    const { lengths, first, spread } of [
      { lengths: [1, 2, 1], first: [1, 2, 4], spread: [1, 2, 0, 4] },
      { lengths: [3, 0, 0], first: [1, 0, 0], spread: [1, 0, 0, 0] },
    ]
  ) {
    gpu.write(offsets, offsetsOf(lengths));
    step.run();
    const [rows, gradient] = await gpu.read(y, dX);
    assertEquals([[...rows!], [...gradient!]], [first, spread]);
  }
});

Deno.test("the gradient of the reference of firstRows() is the derivative", () => {
  const columns = 3;
  const offsets = offsetsOf([2, 0, 3, 1]);
  checkGradient({
    forward: ([x]) => {
      const y = new Float64Array(4 * columns);
      firstRowsReference({ x: x!, offsets }, y);
      return y;
    },
    backward: (_, dY) => {
      const dX = new Float64Array(8 * columns);
      firstRowsGradientReference({ dY, offsets }, dX);
      return [dX];
    },
    inputs: [noise64(8 * columns)],
    seed: SEED,
  });
});

Deno.test("firstRows() and its gradient refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [3, 2]);
  const floats = host.upload(new Float32Array(3), [3]);
  const offsets = uploadOffsets(host, [2, 1]);
  assertThrows(() => firstRows(host, { x: floats, offsets }), ShapeError, '"x"');
  assertThrows(() => firstRows(host, { x, offsets: floats }), DTypeError, '"offsets"');
  assertThrows(() => firstRows(host, { x, offsets }, { out: x }), ShapeError, '"out"');
  const dY = host.empty([2, 2]);
  const gradient = (changed: object, options: object) => () =>
    firstRowsGradient(host, { dY, offsets, ...changed }, { rows: 3, ...options });
  assertThrows(gradient({ dY: x }, {}), ShapeError, '"dY"');
  assertThrows(gradient({ offsets: floats }, {}), DTypeError, '"offsets"');
  assertThrows(gradient({}, { rows: -1 }), RangeError, "rows");
  assertThrows(gradient({}, { out: dY }), ShapeError, '"out"');
});

gpuTest("firstRows() and its gradient refuse variants that do not exist", ({ gpu }) => {
  const x = gpu.empty([2, 2]);
  const offsets = uploadOffsets(gpu, [1, 1]);
  const variant = "fast" as "naive";
  assertThrows(() => firstRows(gpu, { x, offsets }, { variant }), RangeError, '"fast"');
  assertThrows(
    () => firstRowsGradient(gpu, { dY: x, offsets }, { rows: 2, variant }),
    RangeError,
    '"fast"',
  );
});

Deno.test("firstRowsFlops() and firstRowsBytes() count what a choice of rows does", () => {
  const shape = { rows: 5, lists: 3, columns: 7 };
  assertEquals(firstRowsFlops(shape), 0);
  assertEquals(firstRowsBytes(shape), 184);
  assertEquals(firstRowsBytes(shape, "backward"), 240);
});
