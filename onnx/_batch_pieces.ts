/**
 * Pieces of a batch, for models that fix how many rows they take: cutting inputs, joining outputs.
 *
 * @module
 */

import type { HostArray } from "../data/feature_set.ts";
import type { Gpu } from "../runtime/device.ts";
import { Tensor } from "../runtime/tensor.ts";
import type { RunData, RunInput } from "./_ort_tensors.ts";

/** What a run gave for one piece, and how many of its rows count. */
export interface Piece {
  /** The output. */
  readonly output: Tensor | HostArray;
  /** Rows that are not padding. */
  readonly rows: number;
}

/** Rows of an input as a piece of the fixed size; rows beyond the input's end hold anything. */
export function cutPiece(
  input: RunInput,
  { start, count, size, gpu }: {
    start: number;
    count: number;
    size: number;
    gpu: Gpu | undefined;
  },
): RunInput {
  const shape = [size, ...input.shape.slice(1)];
  const width = rowWidth(shape);
  if (input instanceof Tensor && gpu !== undefined) {
    const piece = gpu.empty(shape, input.dtype, { label: "piece of a batch" });
    copyElements(gpu, { from: input, to: piece }, { start: start * width, count: count * width });
    return piece;
  }
  const { data } = input;
  if (count === size) {
    return { data: data.subarray(start * width, (start + size) * width), shape };
  }
  const whole = zeros(data, size * width);
  // Both are of one kind, which the type of a union does not say.
  whole.set(data.subarray(start * width, (start + count) * width) as never);
  return { data: whole, shape };
}

/** All rows of an output from its pieces, of which those on the GPU are given back. */
export function joinPieces(
  pieces: readonly Piece[],
  { rows, gpu }: { rows: number; gpu: Gpu | undefined },
): Tensor | HostArray {
  const first = pieces[0]!.output;
  const shape = [rows, ...first.shape.slice(1)];
  const width = rowWidth(shape);
  let at = 0;
  if (first instanceof Tensor) {
    const whole = gpu!.empty(shape, first.dtype, { label: first.label });
    for (const piece of pieces) {
      const output = piece.output as Tensor;
      copyElements(gpu!, { from: output, to: whole }, { at, count: piece.rows * width });
      output.dispose();
      at += piece.rows * width;
    }
    return whole;
  }
  const data = zeros(first.data, rows * width);
  for (const piece of pieces) {
    data.set((piece.output as HostArray).data.subarray(0, piece.rows * width), at);
    at += piece.rows * width;
  }
  return { data, shape };
}

function rowWidth(shape: readonly number[]): number {
  return shape.slice(1).reduce((a, b) => a * b, 1);
}

/** An array of the same kind, zeroed. */
function zeros<T extends RunData>(like: T, length: number): T {
  return new (like.constructor as new (length: number) => T)(length);
}

/** Copies `count` elements from `start` on to `at` on; every element takes four bytes. */
function copyElements(
  gpu: Gpu,
  { from, to }: { from: Tensor; to: Tensor },
  { start = 0, at = 0, count }: { start?: number; at?: number; count: number },
): void {
  // The copy has its own submit, so what is recorded before it must be submitted before it.
  gpu.flush();
  const encoder = gpu.device.createCommandEncoder({ label: "piece of a batch" });
  encoder.copyBufferToBuffer(
    from.buffer,
    from.offset + start * 4,
    to.buffer,
    to.offset + at * 4,
    count * 4,
  );
  gpu.device.queue.submit([encoder.finish()]);
}
