/**
 * Preprocessing as matrices: the same resize, crop and normalisation, linear in the colours, so that
 * it can be differentiated. What it leaves out is that a resize of bytes rounds to bytes.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { axesOf, type Axis, WEIGHT_BITS } from "./_geometry.ts";
import type { ImageSize, PreprocessSpec } from "./spec.ts";

const CHANNELS = 3;

/** What makes a model's input of colours from 0 to 1; see {@linkcode preprocessMatrices}. */
export interface PreprocessMatrices {
  /** Size of the image. */
  readonly from: ImageSize;
  /** Size of the model's input. */
  readonly to: ImageSize;
  /** f32 [to.height, from.height]; undefined where rows stay what they are. */
  readonly rows: Float32Array<ArrayBuffer> | undefined;
  /** f32 [from.width * 3, to.width * 3]. */
  readonly columns: Float32Array<ArrayBuffer>;
  /** f32 [to.width * 3]. */
  readonly bias: Float32Array<ArrayBuffer>;
}

/**
 * Preprocessing of images of one size as two products: with colours x from 0 to 1, f32 [H, W * 3], the
 * model's input is `rows x columns + bias`, f32 [H', W' * 3], its channels last and in the model's
 * order. Padding by a crop is black.
 *
 * @param image Size of the images.
 * @param spec What is done to them.
 * @returns The matrices.
 * @throws {UserError} When an image of that size cannot be resized so.
 *
 * @example Half as wide
 * ```ts
 * import { preprocessMatrices } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { rows, columns, bias } = preprocessMatrices({ width: 2, height: 1 }, {
 *   resize: { width: 1, height: 1 },
 *   interpolation: "bilinear",
 *   channels: "RGB",
 *   range: 1,
 *   mean: [0.5, 0.5, 0.5],
 *   scale: [0.5, 0.5, 0.5],
 *   layout: "NCHW",
 * });
 * assertEquals(rows, undefined);
 * assertEquals([...columns], [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
 * assertEquals([...bias], [-1, -1, -1]);
 * ```
 */
export function preprocessMatrices(image: ImageSize, spec: PreprocessSpec): PreprocessMatrices {
  const { columns, rows } = axesOf(image, spec);
  const wide = columns.size * CHANNELS;
  const mixed = new Float32Array(image.width * CHANNELS * wide);
  const bias = new Float32Array(wide);
  for (let to = 0; to < CHANNELS; to++) {
    const from = spec.channels === "RGB" ? to : CHANNELS - 1 - to;
    const factor = spec.range / spec.scale[to]!;
    for (let x = 0; x < columns.size; x++) {
      bias[x * CHANNELS + to] = -spec.mean[to]! / spec.scale[to]!;
      eachWeight(columns, x, (input, weight) => {
        mixed[(input * CHANNELS + from) * wide + x * CHANNELS + to] = factor * weight;
      });
    }
  }
  return {
    from: { width: image.width, height: image.height },
    to: { width: columns.size, height: rows.size },
    rows: rows.identity ? undefined : matrixOf(rows, image.height),
    columns: mixed,
    bias,
  };
}

/** What each output row is of the input rows, [outputs, inputs]. */
function matrixOf(axis: Axis, inputs: number): Float32Array<ArrayBuffer> {
  const matrix = new Float32Array(axis.size * inputs);
  for (let y = 0; y < axis.size; y++) {
    eachWeight(axis, y, (input, weight) => matrix[y * inputs + input] = weight);
  }
  return matrix;
}

function eachWeight(axis: Axis, i: number, take: (input: number, weight: number) => void): void {
  for (let t = 0; t < axis.counts[i]!; t++) {
    take(axis.starts[i]! + t, axis.weights[i * axis.taps + t]! / 2 ** WEIGHT_BITS);
  }
}
