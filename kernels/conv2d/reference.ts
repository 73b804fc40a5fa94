/**
 * The convolution and its gradients in plain loops, in float64.
 *
 * @module
 */

import type { ConvSize } from "./_size.ts";

/** Calls a function for every product of a convolution: place in x, in the weight, and in y. */
function eachRun(
  size: ConvSize,
  visit: (at: { x: number; weight: number; y: number }) => void,
): void {
  const { groupChannels, groupOutputs } = size;
  const at = { x: 0, weight: 0, y: 0 };
  for (let n = 0; n < size.batch; n++) {
    for (let oy = 0; oy < size.outHeight; oy++) {
      for (let ox = 0; ox < size.outWidth; ox++) {
        const pixel = ((n * size.outHeight + oy) * size.outWidth + ox) * size.outputs;
        for (let ky = 0; ky < size.kernelHeight; ky++) {
          const iy = oy * size.strideY - size.top + ky * size.dilationY;
          if (iy < 0 || iy >= size.height) continue;
          for (let kx = 0; kx < size.kernelWidth; kx++) {
            const ix = ox * size.strideX - size.left + kx * size.dilationX;
            if (ix < 0 || ix >= size.width) continue;
            const source = ((n * size.height + iy) * size.width + ix) * size.channels;
            for (let o = 0; o < size.outputs; o++) {
              at.x = source + Math.floor(o / groupOutputs) * groupChannels;
              at.weight = ((o * size.kernelHeight + ky) * size.kernelWidth + kx) * groupChannels;
              at.y = pixel + o;
              visit(at);
            }
          }
        }
      }
    }
  }
}

/**
 * The convolution.
 *
 * @param inputs Images [N, H, W, C], weight [O, KH, KW, C / groups] and bias [O].
 * @param size Its lengths.
 * @returns [N, OH, OW, O].
 */
export function conv2dReference(
  inputs: {
    readonly x: ArrayLike<number>;
    readonly weight: ArrayLike<number>;
    readonly bias?: ArrayLike<number> | undefined;
  },
  size: ConvSize,
): Float64Array<ArrayBuffer> {
  const { x, weight, bias } = inputs;
  const { outputs, groupChannels } = size;
  const y = new Float64Array(size.batch * size.outHeight * size.outWidth * outputs);
  if (bias !== undefined) y.forEach((_, i) => y[i] = bias[i % outputs]!);
  eachRun(size, (at) => {
    let sum = 0;
    for (let c = 0; c < groupChannels; c++) sum += x[at.x + c]! * weight[at.weight + c]!;
    y[at.y]! += sum;
  });
  return y;
}

/**
 * The gradient of the images.
 *
 * @param inputs Gradient of the output [N, OH, OW, O] and weight [O, KH, KW, C / groups].
 * @param size Lengths of the convolution.
 * @returns [N, H, W, C].
 */
export function conv2dDataGradientReference(
  inputs: { readonly dY: ArrayLike<number>; readonly weight: ArrayLike<number> },
  size: ConvSize,
): Float64Array<ArrayBuffer> {
  const { dY, weight } = inputs;
  const { groupChannels } = size;
  const dX = new Float64Array(size.batch * size.height * size.width * size.channels);
  eachRun(size, (at) => {
    for (let c = 0; c < groupChannels; c++) dX[at.x + c]! += dY[at.y]! * weight[at.weight + c]!;
  });
  return dX;
}

/**
 * The gradient of the weight.
 *
 * @param inputs Images [N, H, W, C] and gradient of the output [N, OH, OW, O].
 * @param size Lengths of the convolution.
 * @returns [O, KH, KW, C / groups].
 */
export function conv2dWeightGradientReference(
  inputs: { readonly x: ArrayLike<number>; readonly dY: ArrayLike<number> },
  size: ConvSize,
): Float64Array<ArrayBuffer> {
  const { x, dY } = inputs;
  const { groupChannels } = size;
  const taps = size.kernelHeight * size.kernelWidth;
  const dWeight = new Float64Array(size.outputs * taps * groupChannels);
  eachRun(size, (at) => {
    for (let c = 0; c < groupChannels; c++) dWeight[at.weight + c]! += dY[at.y]! * x[at.x + c]!;
  });
  return dWeight;
}
