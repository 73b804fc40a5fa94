/**
 * What an image is once it is decoded, and what is said when it cannot be. This module is browser
 * compatible.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";

export type { RgbImage } from "../kernels/preprocess/spec.ts";

/**
 * An image that cannot be read: missing, empty, cut off, damaged, or of an unknown format.
 *
 * @example What it says
 * ```ts
 * import { ImageError } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new ImageError("cat.jpg", "the file is empty");
 * assertEquals(error.message, 'Cannot read "cat.jpg": the file is empty');
 * ```
 */
export class ImageError extends UserError {
  /** The class's name, as shown by consoles. */
  override name: string = "ImageError";
  /** The image's name. */
  readonly image: string;
  /** Why it cannot be read, without its name. */
  readonly reason: string;

  /**
   * Says which image and why.
   *
   * @param image The image's name.
   * @param reason Why it cannot be read, in a few words.
   */
  constructor(image: string, reason: string) {
    super(`Cannot read "${image}": ${reason}`);
    this.image = image;
    this.reason = reason;
  }
}
