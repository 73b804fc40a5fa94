/**
 * Moving values in memory from one layout to another.
 *
 * @module
 */

import { reshape, type Tape, toChannelsLast, type Variable } from "../../nn/mod.ts";
import { type Factor, type Layout, lengthOf } from "./_layout.ts";

/**
 * A value in another order of its factors.
 *
 * @param tape The tape.
 * @param x The value.
 * @param how How it lies and how it is to lie; both name the same factors.
 * @returns The value, in the shape of the new layout.
 */
export function arrange(
  tape: Tape,
  x: Variable,
  { from, to }: { readonly from: Layout; readonly to: Layout },
): Variable {
  const n = x.value.size / from.each;
  const size = (factors: readonly Factor[]) =>
    factors.reduce((a, factor) => a * lengthOf(factor, n), 1);
  const list = [...from.memory];
  let moved = x;
  to.memory.forEach((factor, i) => {
    const j = list.indexOf(factor);
    if (j === i) return;
    // What lies from here to there changes places with all that follows: matrices are transposed.
    const [before, first, second] = [list.slice(0, i), list.slice(i, j), list.slice(j)];
    list.splice(i, list.length - i, ...second, ...first);
    const matrices = reshape(tape, moved, [size(before), size(first), size(second), 1]);
    moved = toChannelsLast(tape, matrices);
  });
  return shaped(tape, moved, to.shape(n));
}

/** A value under another shape, itself where it has that shape. */
export function shaped(tape: Tape, x: Variable, shape: readonly number[]): Variable {
  return String(x.shape) === String(shape) ? x : reshape(tape, x, shape);
}

/** Runs an operation on a value as a matrix of so many columns; the value keeps its shape. */
export function byColumns(
  tape: Tape,
  x: Variable,
  { columns, run }: { readonly columns: number; readonly run: (x: Variable) => Variable },
): Variable {
  const { shape } = x;
  if (shape.at(-1) === columns && (shape.length === 2 || shape.length === 4)) return run(x);
  return reshape(tape, run(reshape(tape, x, [x.value.size / columns, columns])), shape);
}
