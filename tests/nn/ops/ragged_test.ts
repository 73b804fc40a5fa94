import { assertEquals } from "@std/assert";
import { firstRows, insertClassToken, repeatRows } from "../../../nn/ops/ragged.ts";
import { mul } from "../../../nn/ops/pointwise.ts";
import { Tape } from "../../../nn/tape.ts";
import { Variable } from "../../../nn/variable.ts";
import { sizeOf } from "../../../runtime/mod.ts";
import { gpuTest } from "../../_support/gpu.ts";
import { noise } from "../../kernels/_pointwise.ts";
import { offsetsOf } from "../../kernels/_ragged.ts";
import { checkTape, compareTape, gradientsOf, type OnTape } from "./_on_tape.ts";

const LENGTHS = [2, 0, 3];
const WIDTH = 4;

/** Shapes of the leaves of {@linkcode build}: rows, a token, positions, a query. */
const SHAPES = [[7, WIDTH], [WIDTH], [4, WIDTH], [1, WIDTH]];

/** Squares of some rows of lists behind a token, times a query that is repeated. */
function build(tape: Tape, leaves: readonly Variable[]): Variable {
  const [x, token, positions, query] = leaves as [Variable, Variable, Variable, Variable];
  const offsets = tape.ctx.upload(offsetsOf(LENGTHS), [LENGTHS.length + 1]);
  const { y } = insertClassToken(tape, { x, token, positions }, { offsets });
  // Other lists of the eight rows, so that not the tokens alone are first.
  const others = { offsets: tape.ctx.upload(offsetsOf([2, 3, 3]), [4]) };
  const first = firstRows(tape, mul(tape, y, y), others);
  return mul(tape, first, repeatRows(tape, query, { times: 3 }));
}

const ON_TAPE: OnTape = { shapes: SHAPES, build };

Deno.test("operations on ragged rows pass gradients through a tape", () => checkTape(ON_TAPE));

gpuTest("operations on ragged rows agree with the reference on a tape", async (contexts) => {
  await compareTape(ON_TAPE, contexts);
});

gpuTest("rows behind the last list and rows that nobody reads get no gradient", async (context) => {
  for (const ctx of [context.gpu, context.host]) {
    const values = SHAPES.map((shape) =>
      ctx.upload(noise(sizeOf(shape), { low: 1, high: 2 }), shape)
    );
    const { gradients } = gradientsOf(ON_TAPE, ctx, {
      values,
      dY: (y) => ctx.upload(new Float32Array(y.value.size).fill(1), y.shape),
    });
    const [dX] = await ctx.read(gradients[0]!);
    // Rows 0, 2 and 5 behind the insertion are a token, row 1 and row 2.
    const rows = [0, 1, 2, 3, 4, 5, 6].filter((row) => dX![row * WIDTH] !== 0);
    assertEquals(rows, [1, 2]);
  }
});

gpuTest("gradients of token and positions go to their places", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const place = (...shape: number[]) => ctx.upload(new Float32Array(sizeOf(shape)), shape);
    const [token, positions] = [[WIDTH], [4, WIDTH]].map((shape) =>
      new Variable(place(...shape), { gradient: place(...shape) })
    );
    const x = new Variable(place(7, WIDTH));
    const offsets = ctx.upload(offsetsOf(LENGTHS), [LENGTHS.length + 1]);
    const tape = new Tape(ctx);
    const { y } = insertClassToken(
      tape,
      { x, token: token!, positions: positions! },
      { offsets },
    );
    const gradient = ctx.upload(new Float32Array(y.value.size).fill(1), y.shape);
    tape.backward([{ variable: y, gradient }]);
    const [dToken, dPositions] = await ctx.read(token!.gradient!, positions!.gradient!);
    assertEquals([...dToken!], Array(WIDTH).fill(3));
    assertEquals([...dPositions!], [3, 2, 2, 1].flatMap((count) => Array(WIDTH).fill(count)));
  }
});
