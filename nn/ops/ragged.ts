/**
 * Operations on ragged rows that can be differentiated: lists of different lengths, packed one behind
 * the other, and offsets of which the GPU alone knows the values.
 *
 * @module
 */

import {
  firstRows as firstRowsKernel,
  firstRowsGradient,
  insertClassToken as insertKernel,
  insertClassTokenGradient,
  repeatRows as repeatRowsKernel,
  repeatRowsGradient,
} from "../../kernels/mod.ts";
import type { Tensor } from "../../runtime/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/** Where lists begin. */
export interface RaggedOptions {
  /** Where each of N lists begins and where the last one ends, i32 [N + 1]. */
  readonly offsets: Tensor;
}

/** What {@linkcode insertClassToken} joins. */
export interface ClassTokenVariables {
  /** The lists, f32 [R, W]. */
  readonly x: Variable;
  /** What is put before each list, f32 [W]. */
  readonly token: Variable;
  /** What is added to the row at each place, the token's first; f32 [P, W]. */
  readonly positions: Variable;
}

/** What {@linkcode insertClassToken} gives. */
export interface ClassTokenSequence {
  /** The longer lists, f32 [R + N, W]. */
  readonly y: Variable;
  /** Where they begin, i32 [N + 1]; the tape's context owns it. */
  readonly offsets: Tensor;
}

/**
 * A token before each list, and positions added.
 *
 * @param tape The tape.
 * @param variables Rows, token and positions.
 * @param options Where the lists begin.
 * @returns The longer lists, and where those begin.
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example Two lists, one of them empty
 * ```ts
 * import { insertClassToken, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const of = (values: number[], shape: number[]) =>
 *   new Variable(host.upload(new Float32Array(values), shape));
 * const { y, offsets } = insertClassToken(new Tape(host), {
 *   x: of([1, 2], [2, 1]),
 *   token: of([9], [1]),
 *   positions: of([10, 20, 30], [3, 1]),
 * }, { offsets: host.upload(new Int32Array([0, 2, 2]), [3]) });
 * assertEquals([...y.value.data], [19, 21, 32, 19]);
 * assertEquals([...offsets.data], [0, 3, 4]);
 * ```
 */
export function insertClassToken(
  tape: Tape,
  variables: ClassTokenVariables,
  { offsets }: RaggedOptions,
): ClassTokenSequence {
  const { x, token, positions } = variables;
  const made = insertKernel(tape.ctx, {
    x: x.value,
    offsets,
    token: token.value,
    positions: positions.value,
  });
  const y = tape.operation({
    inputs: [x, token, positions],
    output: made.y,
    backward: (dY, gradients) => {
      const { dX, dToken, dPositions } = insertClassTokenGradient(
        gradients.ctx,
        { dY, offsets },
        {
          positions: positions.shape[0]!,
          outToken: gradients.out(token),
          outPositions: gradients.out(positions),
        },
      );
      gradients.send(x, dX);
      gradients.send(token, dToken);
      gradients.send(positions, dPositions);
    },
  });
  return { y, offsets: made.offsets };
}

/**
 * The first row of each list; zeros for an empty list.
 *
 * @param tape The tape.
 * @param x The lists, f32 [R, W].
 * @param options Where the lists begin.
 * @returns f32 [N, W].
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example Two lists
 * ```ts
 * import { firstRows, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2, 3]), [3, 1]));
 * const offsets = host.upload(new Int32Array([0, 2, 3]), [3]);
 * assertEquals([...firstRows(new Tape(host), x, { offsets }).value.data], [1, 3]);
 * ```
 */
export function firstRows(tape: Tape, x: Variable, { offsets }: RaggedOptions): Variable {
  return tape.operation({
    inputs: [x],
    output: firstRowsKernel(tape.ctx, { x: x.value, offsets }),
    backward: (dY, gradients) => {
      const rows = x.shape[0]!;
      gradients.send(x, firstRowsGradient(gradients.ctx, { dY, offsets }, { rows }));
    },
  });
}

/**
 * A matrix again and again, such as the same queries for every list.
 *
 * @param tape The tape.
 * @param x f32 [M, W].
 * @param options How often.
 * @returns f32 [times M, W].
 * @throws {ShapeError} When `x` has not two axes.
 * @throws {RangeError} When `times` is no whole number.
 *
 * @example Twice
 * ```ts
 * import { repeatRows, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2]), [2, 1]));
 * assertEquals([...repeatRows(new Tape(host), x, { times: 2 }).value.data], [1, 2, 1, 2]);
 * ```
 */
export function repeatRows(
  tape: Tape,
  x: Variable,
  { times }: { readonly times: number },
): Variable {
  return tape.operation({
    inputs: [x],
    output: repeatRowsKernel(tape.ctx, { x: x.value }, { times }),
    backward: (dY, gradients) => {
      const options = { times, out: gradients.out(x) };
      gradients.send(x, repeatRowsGradient(gradients.ctx, { dY }, options));
    },
  });
}
