/**
 * The decoder of a latent diffusion model in the engine, where it can be differentiated.
 *
 * @module
 */

import type { Tape, Variable } from "../../nn/mod.ts";
import { importGraph, type OnnxModel } from "../../onnx/mod.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import type { LatentSize } from "./diffusion_folder.ts";

/** A decoder: latents f32 [N, h, w, C] to images f32 [N, H, W, 3], -1 to 1. */
export interface Decoder extends Disposable {
  /** Applies it; its weights get no gradients. */
  forward(tape: Tape, latents: Variable): Variable;
}

const INPUT = "latent_sample";
const OUTPUT = "sample";

/**
 * Imports a decoder for latents of one size.
 *
 * @throws {UserError} When a node of it is not supported; the message names it.
 */
export function importDecoder(ctx: Context, model: OnnxModel, size: LatentSize): Decoder {
  const { channels, height, width } = size;
  const network = importGraph(ctx, model, {
    inputs: [INPUT],
    outputs: [OUTPUT],
    trainable: "none",
    shapes: { [INPUT]: [channels, height, width] },
  });
  return {
    forward(tape, latents) {
      const image = network.forward(tape, { [INPUT]: latents }, { gradients: false })[OUTPUT]!;
      if (image.shape.length === 4 && image.shape[3] === 3) return image;
      throw new UserError(
        `Cannot decode with "${model.name}": it gives [${image.shape.join(", ")}] and images of ` +
          `three channels were expected`,
      );
    },
    [Symbol.dispose]: () => network[Symbol.dispose](),
  };
}
