/**
 * Gradients of class scores by the image.
 *
 * @module
 */

import { Tape, Variable } from "../nn/mod.ts";
import type { Context, Tensor } from "../runtime/mod.ts";
import type { Network } from "./network/mod.ts";

/** What {@linkcode inputGradient} takes. */
export interface InputGradientInputs {
  /** The network's input as it takes it: preprocessed images f32 [N, H, W, C]. */
  readonly image: Tensor;
  /**
   * The gradient by the logits, f32 [N, K], of the scalar whose gradient by the image is wanted: made
   * of the logits, in the context that is given.
   */
  readonly byLogits: (ctx: Context, logits: Tensor) => Tensor;
}

/**
 * The gradient by the image of a scalar of the logits, such as a loss. Statistics of batches play no
 * part in it, so that each image has its own gradient.
 *
 * It only records, so it may be part of a `TrainingStep`.
 *
 * @param ctx Where it runs, the network's context or a scope of it; it owns the result.
 * @param network A network that begins at the image: imported with `trainable` "none" or "all". With
 * "all" the gradients of its parameters are not computed.
 * @param inputs The image, and the scalar's gradient by the logits.
 * @returns The gradient by the image, f32 [N, H, W, C].
 * @throws {TypeError} When the network begins elsewhere, the image has another shape, or the logits do
 * not depend on it.
 *
 * @example Which way the score of class 3 rises
 * ```ts
 * import { importNetwork, inputGradient, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * using network = importNetwork(host, model, inspect(model), { trainable: "none" });
 * const image = host.upload(new Float32Array(32 * 32 * 3), [1, 32, 32, 3]);
 * const one = Float32Array.from({ length: 10 }, (_, k) => k === 3 ? 1 : 0);
 * const gradient = inputGradient(host, network, {
 *   image,
 *   byLogits: (ctx) => ctx.upload(one, [1, 10]),
 * });
 * assertEquals(gradient.shape, [1, 32, 32, 3]);
 * ```
 */
export function inputGradient(
  ctx: Context,
  network: Network,
  { image, byLogits }: InputGradientInputs,
): Tensor {
  const [input] = network.inputs;
  if (network.trunk !== undefined || input === undefined) {
    throw new TypeError(
      `Cannot differentiate by the image: the network begins at "${input?.name}"; import it with ` +
        `trainable: "none"`,
    );
  }
  const variable = new Variable(image, { needsGradient: true });
  const tape = new Tape(ctx);
  const { logits } = network.forward(tape, new Map([[input.name, variable]]), { gradients: false });
  tape.backward([{ variable: logits, gradient: byLogits(ctx, logits.value) }]);
  const gradient = tape.gradientOf(variable);
  if (gradient !== undefined) return gradient;
  throw new TypeError("Cannot differentiate by the image: the logits do not depend on it");
}
