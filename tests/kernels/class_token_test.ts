import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  classTokenBytes,
  classTokenFlops,
  insertClassToken,
  insertClassTokenGradient,
} from "../../kernels/class_token/mod.ts";
import {
  insertClassTokenGradientReference,
  insertClassTokenReference,
} from "../../kernels/class_token/reference.ts";
import { type Context, DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { noise64, random, SEED } from "./_pointwise.ts";
import {
  compareLists,
  nameOf,
  offsetsOf,
  RAGGED_CASES,
  type RaggedCase,
  rowsOf,
  uploadOffsets,
} from "./_ragged.ts";

function inputsOf(ctx: Context, ragged: RaggedCase, places = 1 + Math.max(0, ...ragged.lengths)) {
  const { lengths, columns } = ragged;
  return {
    x: random(ctx, [rowsOf(ragged), columns]),
    offsets: uploadOffsets(ctx, lengths),
    token: random(ctx, [columns], { seed: 2 }),
    positions: random(ctx, [places, columns], { seed: 3 }),
  };
}

gpuTest("insertClassToken() agrees with the reference", async (context) => {
  await compareLists(
    context,
    RAGGED_CASES.flatMap((ragged) =>
      [0, 3].map((missing) => ({
        label: `${nameOf(ragged)}, ${missing} positions too few`,
        run: (ctx, how) => {
          const places = Math.max(0, 1 + Math.max(0, ...ragged.lengths) - missing);
          const { y, offsets } = insertClassToken(ctx, inputsOf(ctx, ragged, places), how);
          return [y, offsets];
        },
      }))
    ),
  );
});

gpuTest("insertClassTokenGradient() agrees with the reference", async (context) => {
  await compareLists(
    context,
    RAGGED_CASES.flatMap((ragged) =>
      [0, 1, 1 + Math.max(0, ...ragged.lengths), 140].map((positions) => ({
        label: `${nameOf(ragged)}, ${positions} positions`,
        run: (ctx, how) => {
          const { lengths, columns } = ragged;
          const dY = random(ctx, [rowsOf(ragged) + lengths.length, columns]);
          const offsets = uploadOffsets(ctx, lengths);
          const made = insertClassTokenGradient(ctx, { dY, offsets }, { positions, ...how });
          return [made.dX, made.dToken, made.dPositions];
        },
      }))
    ),
  );
});

gpuTest("insertClassTokenGradient() adds very many lists in slices", async (context) => {
  const lengths = Array.from({ length: 9001 }, (_, i) => i % 3);
  await compareLists(
    context,
    [4, 3].map((columns) => ({
      label: `${columns} columns`,
      run: (ctx, how) => {
        const dY = random(ctx, [18_001, columns], { low: 0 });
        const offsets = uploadOffsets(ctx, lengths);
        const made = insertClassTokenGradient(ctx, { dY, offsets }, { positions: 4, ...how });
        return [made.dX, made.dToken, made.dPositions];
      },
    })),
    TOLERANCE.longSum,
  );
});

gpuTest("insertClassToken() and its gradient reach the end of very long lists", async (context) => {
  for (
    const ragged of [
      { lengths: [140_000], padding: 0, columns: 4 },
      { lengths: [70_000, 1, 0], padding: 150_000, columns: 1 },
    ]
  ) {
    await compareLists(context, [{
      label: nameOf(ragged),
      run: (ctx, how) => {
        const { y, offsets } = insertClassToken(ctx, inputsOf(ctx, ragged, 3), how);
        const old = uploadOffsets(ctx, ragged.lengths);
        const gradient = insertClassTokenGradient(
          ctx,
          { dY: y, offsets: old },
          { positions: 3, ...how },
        );
        return [y, offsets, gradient.dX, gradient.dPositions];
      },
    }]);
  }
});

gpuTest("insertClassToken() lets padding influence nothing", async ({ gpu }) => {
  const ragged = { lengths: [2, 3], padding: 5, columns: 4 };
  const inputs = inputsOf(gpu, ragged);
  const x = (await gpu.read(inputs.x))[0]!.fill(NaN, 5 * 4);
  const { y } = insertClassToken(gpu, { ...inputs, x: gpu.upload(x, [10, 4]) });
  const dY = gpu.upload(new Float32Array(12 * 4).fill(1).fill(NaN, 7 * 4), [12, 4]);
  const made = insertClassTokenGradient(gpu, { dY, ...inputs }, { positions: 6 });
  const [rows, dX, dToken, dPositions] = await gpu.read(
    y,
    made.dX,
    made.dToken,
    made.dPositions,
  );
  assert(rows!.every((value) => Number.isFinite(value)));
  assertEquals([...rows!.subarray(7 * 4)], Array(20).fill(0));
  assertEquals([...dX!], [...Array(20).fill(1), ...Array(20).fill(0)]);
  assertEquals([...dToken!], [2, 2, 2, 2]);
  assertEquals([...dPositions!], [2, 2, 2, 1, 0, 0].flatMap((count) => Array(4).fill(count)));
});

gpuTest("insertClassToken() and its gradient write where they are told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const ragged = { lengths: [1, 0], padding: 0, columns: 2 };
    const out = ctx.empty([3, 2]);
    assertEquals(insertClassToken(ctx, inputsOf(ctx, ragged), { out }).y, out);
    const dY = ctx.upload(new Float32Array([1, 2, 3, 4, 5, 6]), [3, 2]);
    const offsets = uploadOffsets(ctx, ragged.lengths);
    const [outToken, outPositions] = [ctx.empty([2]), ctx.empty([2, 2])];
    const options = { positions: 2, outToken, outPositions };
    const made = insertClassTokenGradient(ctx, { dY, offsets }, options);
    assertEquals([made.dToken, made.dPositions], [outToken, outPositions]);
    const [token, positions] = await ctx.read(outToken, outPositions);
    assertEquals([...token!], [6, 8]);
    assertEquals([...positions!], [6, 8, 3, 4]);
  }
});

gpuTest("insertClassToken() reads offsets afresh at each replay", async ({ gpu, host }) => {
  const first = { lengths: [3, 0, 2], padding: 2, columns: 8 };
  const second = { lengths: [0, 6, 1], padding: 0, columns: 8 };
  const inputs = inputsOf(gpu, first, 7);
  const out = gpu.empty([10, 8]);
  using step = gpu.gpu.capture((scope) => insertClassToken(scope, inputs, { out }));
  for (const ragged of [first, second]) {
    gpu.write(inputs.offsets, offsetsOf(ragged.lengths));
    step.run();
    const [y] = await gpu.read(out);
    const expected = insertClassToken(host, inputsOf(host, ragged, 7)).y;
    assertClose(y!, expected.data, TOLERANCE.kernel, nameOf(ragged));
  }
});

Deno.test("the gradients of the reference of insertClassToken() are the derivatives", () => {
  const columns = 3;
  for (const lengths of [[2, 0, 3, 1], []]) {
    const offsets = offsetsOf(lengths);
    const rows = offsets.at(-1)! + 2;
    const longer = rows + lengths.length;
    for (const positions of [6, 2]) {
      checkGradient({
        forward: ([x, token, places]) => {
          const y = new Float64Array(longer * columns);
          insertClassTokenReference({ x: x!, offsets, token: token!, positions: places! }, y);
          return y;
        },
        backward: (_, dY) => {
          const dX = new Float64Array(rows * columns);
          const dToken = new Float64Array(columns);
          const dPositions = new Float64Array(positions * columns);
          insertClassTokenGradientReference({ dY, offsets }, { dX, dToken, dPositions });
          return [dX, dToken, dPositions];
        },
        inputs: [
          noise64(rows * columns),
          noise64(columns, { seed: 2 }),
          noise64(positions * columns, { seed: 3 }),
        ],
        seed: SEED,
      });
    }
  }
});

Deno.test("insertClassToken() and its gradient refuse what does not fit", () => {
  using host = new Host();
  const inputs = inputsOf(host, { lengths: [2, 1], padding: 0, columns: 2 });
  const floats = host.upload(new Float32Array(3), [3]);
  const insert = (changed: object) => () => insertClassToken(host, { ...inputs, ...changed });
  assertThrows(insert({ x: floats }), ShapeError, '"x"');
  assertThrows(insert({ offsets: floats }), DTypeError, '"offsets"');
  const flat = host.upload(new Int32Array(4), [2, 2]);
  assertThrows(insert({ offsets: flat }), ShapeError, '"offsets"');
  assertThrows(insert({ offsets: host.empty([0], "i32") }), ShapeError, "lists + 1");
  assertThrows(insert({ token: floats }), ShapeError, '"token"');
  assertThrows(insert({ positions: floats }), ShapeError, '"positions"');
  assertThrows(() => insertClassToken(host, inputs, { out: floats }), ShapeError, '"out"');
  const { offsets } = inputs;
  const dY = host.empty([5, 2]);
  const gradient = (changed: object, options: object) => () =>
    insertClassTokenGradient(host, { dY, offsets, ...changed }, { positions: 3, ...options });
  assertThrows(gradient({ dY: host.empty([1, 2]) }, {}), ShapeError, "at least 2 rows");
  assertThrows(gradient({ offsets: floats }, {}), DTypeError, '"offsets"');
  assertThrows(gradient({}, { positions: 1.5 }), RangeError, "positions");
  assertThrows(gradient({}, { outToken: floats }), ShapeError, '"outToken"');
  assertThrows(gradient({}, { outPositions: floats }), ShapeError, '"outPositions"');
});

gpuTest("insertClassToken() and its gradient refuse variants that do not exist", ({ gpu }) => {
  const inputs = inputsOf(gpu, { lengths: [2], padding: 0, columns: 2 });
  const variant = "fast" as "naive";
  assertThrows(() => insertClassToken(gpu, inputs, { variant }), RangeError, '"fast"');
  const dY = gpu.empty([3, 2]);
  assertThrows(
    () => insertClassTokenGradient(gpu, { ...inputs, dY }, { positions: 1, variant }),
    RangeError,
    '"fast"',
  );
});

Deno.test("classTokenFlops() and classTokenBytes() count what an insertion does", () => {
  const shape = { rows: 5, lists: 3, columns: 7 };
  assertEquals(classTokenFlops(shape), 56);
  assertEquals(classTokenBytes(shape), 396);
});
