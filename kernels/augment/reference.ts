/**
 * Augmentation in plain loops.
 *
 * @module
 */

/** A batch of images and what to do to each. */
export interface AugmentArrays {
  /** Bytes of RGB pixels, [images, height, width, 3], and up to three more. */
  readonly bytes: Uint8Array;
  /** Shift down, shift to the right and flip of each image. */
  readonly draws: Int32Array;
}

/** Sizes and normalisation. */
export interface AugmentProblem {
  /** Rows of an image. */
  readonly height: number;
  /** Columns of an image. */
  readonly width: number;
  /** Colour of each output channel: 0 red, 1 green, 2 blue. */
  readonly colours: readonly number[];
  /** Value of a byte in an output channel. */
  readonly valueOf: (byte: number, channel: number) => number;
}

/**
 * Shifts, flips and normalises images.
 *
 * @param arrays Images and draws.
 * @param output Where the result goes, [images, height, width, 3].
 * @param how Sizes and normalisation.
 */
export function augmentReference(
  { bytes, draws }: AugmentArrays,
  output: Float32Array,
  { height, width, colours, valueOf }: AugmentProblem,
): void {
  for (let at = 0; at < output.length; at++) {
    const channel = at % 3;
    const pixel = Math.floor(at / 3);
    const image = Math.floor(pixel / (height * width));
    const [dy, dx, flip] = draws.subarray(3 * image, 3 * image + 3);
    const column = pixel % width;
    const x = (flip ? width - 1 - column : column) + dx!;
    const y = Math.floor(pixel / width) % height + dy!;
    const inside = x >= 0 && x < width && y >= 0 && y < height;
    const byte = ((image * height + y) * width + x) * 3 + colours[channel]!;
    output[at] = valueOf(inside ? bytes[byte]! : 0, channel);
  }
}
