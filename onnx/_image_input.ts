/**
 * Finding the input that takes images.
 *
 * @module
 */

import type { ImageInput } from "./inspection.ts";
import type { Dimension, ValueInfo } from "./value_info.ts";

/** The image input of a model, or why it has none. */
export function findImage(
  inputs: readonly ValueInfo[],
  wanted: string | undefined,
): { image?: ImageInput; reason?: string } {
  const candidates = inputs.filter((input) =>
    wanted === undefined ? input.shape?.length === 4 : input.name === wanted
  );
  const [input] = candidates;
  if (input === undefined || input.shape?.length !== 4) {
    return { reason: "the model has no input of four dimensions, as a batch of images has" };
  }
  if (candidates.length > 1) {
    return {
      reason: 'the model has several inputs of four dimensions; name one in the sidecar ("input")',
    };
  }
  const [batch, channels, height, width] = input.shape as [
    Dimension,
    Dimension,
    Dimension,
    Dimension,
  ];
  if (channels !== 3 && width === 3) {
    return {
      reason: `the input "${input.name}" takes colours last ([N, H, W, 3]) and planes ` +
        `([N, 3, H, W]) are supported; convert the model`,
    };
  }
  if (input.type !== undefined && input.type !== "f32") {
    return {
      reason: `the input "${input.name}" takes ${input.type} and f32 is supported; convert the ` +
        `model`,
    };
  }
  return { image: { name: input.name, shape: input.shape, batch, channels, height, width } };
}
