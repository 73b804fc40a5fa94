/**
 * The parameters of a linear head.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { constantOf } from "./_constants.ts";
import type { ClassifierHead } from "./inspection.ts";
import type { OnnxModel } from "./model.ts";
import { toFloat32 } from "./tensor.ts";

/**
 * The parameters of a linear head as arrays.
 *
 * @param model The model.
 * @param head What {@linkcode inspect} found.
 * @returns `weight` [K, C] row-major and `bias` [K] (zeros when the head has none).
 * @throws {UserError} When the parameters are no readable constants.
 *
 * @example Ten classes of 64 features
 * ```ts
 * import { headWeights, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const { weight, bias } = headWeights(model, inspect(model).head!);
 * assertEquals([weight.length, bias.length], [640, 10]);
 * ```
 */
export function headWeights(
  model: OnnxModel,
  head: ClassifierHead,
): { weight: Float32Array<ArrayBuffer>; bias: Float32Array<ArrayBuffer> } {
  return { weight: readWeight(model, head), bias: readBias(model, head) };
}

function readWeight(model: OnnxModel, head: ClassifierHead): Float32Array<ArrayBuffer> {
  const { classes, channels, factors } = head;
  const stored = constantOf(model.graph, head.weight);
  if (stored === undefined || stored.data.length !== classes * channels) {
    throw new UserError(`Cannot read the head of "${model.name}": "${head.weight}" is no constant`);
  }
  const source = toFloat32(stored);
  const weight = new Float32Array(classes * channels);
  for (let k = 0; k < classes; k++) {
    for (let c = 0; c < channels; c++) {
      const from = head.transposed ? c * classes + k : k * channels + c;
      weight[k * channels + c] = source[from]! * factors[0];
    }
  }
  return weight;
}

function readBias(model: OnnxModel, head: ClassifierHead): Float32Array<ArrayBuffer> {
  const { classes, factors } = head;
  if (head.bias === undefined) return new Float32Array(classes);
  const stored = constantOf(model.graph, head.bias);
  if (stored === undefined || stored.data.length !== classes && stored.data.length !== 1) {
    throw new UserError(
      `Cannot read the head of "${model.name}": "${head.bias}" is no constant of ${classes} ` +
        `elements`,
    );
  }
  const source = toFloat32(stored);
  return Float32Array.from(
    { length: classes },
    (_, k) => source[source.length === 1 ? 0 : k]! * factors[1],
  );
}
