/**
 * The decoder of a latent diffusion model in the engine, where it can be differentiated.
 *
 * @module
 */

import type { Tape, Variable } from "../../nn/mod.ts";
import { importNetwork, type OnnxModel, withGraph } from "../../onnx/mod.ts";
import { toValueInfoProto } from "../../onnx/mod.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import type { LatentSize } from "./diffusion_folder.ts";

/** A decoder: latents f32 [N, h, w, C] to images f32 [N, H, W, 3], -1 to 1. */
export interface Decoder extends Disposable {
  /** Applies it; its weights get no gradients. */
  forward(tape: Tape, latents: Variable): Variable;
}

/**
 * Imports a decoder for latents of one size.
 *
 * @throws {UserError} When a node of it is not supported; the message names it.
 */
export function importDecoder(ctx: Context, model: OnnxModel, size: LatentSize): Decoder {
  const fixed = withLatentSize(model, size);
  const [input] = fixed.graph.inputs;
  const [output] = fixed.graph.outputs;
  const { channels, height, width } = size;
  const inspection = {
    name: fixed.name,
    opset: fixed.opset(),
    inputs: fixed.graph.inputs,
    outputs: fixed.graph.outputs,
    image: { name: input!.name, shape: input!.shape!, batch: "N", channels, height, width },
    logits: { value: output!.name, via: "value" as const },
    blocks: [],
    reasons: {},
  };
  const network = importNetwork(ctx, fixed, inspection, {
    trainable: "none",
    outputs: [output!.name],
  });
  return {
    forward(tape, latents) {
      const inputs = new Map([[input!.name, latents]]);
      const { values } = network.forward(tape, inputs, { gradients: false });
      const image = values.get(output!.name)!;
      if (image.shape.length === 4 && image.shape[3] === 3) return image;
      throw new UserError(
        `Cannot decode with "${model.name}": it gives [${image.shape.join(", ")}] and images of ` +
          `three channels were expected`,
      );
    },
    [Symbol.dispose]: () => network[Symbol.dispose](),
  };
}

/** The model with the size of its latents filled in, and nothing said of the size of its images. */
function withLatentSize(model: OnnxModel, { channels, height, width }: LatentSize): OnnxModel {
  const [input] = model.graph.inputs;
  const [output] = model.graph.outputs;
  const batch = input!.shape?.[0] ?? "N";
  return withGraph(model, {
    input: [toValueInfoProto({ ...input!, shape: [batch, channels, height, width] })],
    output: [
      toValueInfoProto({ name: output!.name, ...(output!.type ? { type: output!.type } : {}) }),
    ],
    valueInfo: [],
  });
}
