/**
 * Convolutions that onnxruntime-web's WebGPU provider computes wrong, made into ones that it computes
 * right.
 *
 * In onnxruntime-web 1.30.0 a convolution of a kernel beyond 1x1 gives wrong numbers where its input
 * channels are a multiple of three and not of four, other than three, and its output channels a
 * multiple of four (microsoft/onnxruntime#29651). The U-Net of every inpainting model begins with one:
 * it takes nine channels. Zeros behind the channels, in the weights too, change nothing and make them a
 * multiple of four.
 *
 * @module
 */

import { f32ToF16 } from "../data/half.ts";
import { makeAttribute } from "./attribute.ts";
import { withGraph } from "./edit.ts";
import type { OnnxModel } from "./model.ts";
import type { OnnxNode } from "./node.ts";
import { create, NODE, type NodeProto, type TensorProto } from "./proto/mod.ts";
import { makeTensor, type OnnxData, type OnnxTensor } from "./tensor.ts";

/** From this operator set on, Pad reads how much from an input. */
const PAD_BY_INPUT = 11;

/**
 * The same model with channels of zeros where they are needed.
 *
 * @param model The model.
 * @returns The model; the same one when there is nothing to do.
 */
export function withWholeChannels(model: OnnxModel): OnnxModel {
  const added: TensorProto[] = [];
  const nodes = model.graph.nodes.flatMap((node) => {
    const weight = wrongWeight(node, model);
    if (weight === undefined) return [node.proto];
    const [outputs, channels] = weight.shape as [number, number, number, number];
    const missing = 4 * Math.ceil(channels / 4) - channels;
    const name = (what: string) => `${node.outputs[0]}:${what}`;
    added.push(makeTensor(name("weight"), padded(weight, outputs, missing), {
      shape: [outputs, channels + missing, ...weight.shape.slice(2)],
      type: weight.type,
    }));
    const pads = [0, 0, 0, 0, 0, missing, 0, 0].map(BigInt);
    const byInput = model.opset() >= PAD_BY_INPUT;
    if (byInput) added.push(makeTensor(name("pads"), BigInt64Array.from(pads)));
    const pad = create<NodeProto>(NODE, {
      input: [node.inputs[0]!, ...(byInput ? [name("pads")] : [])],
      output: [name("input")],
      name: name("pad"),
      opType: "Pad",
      attribute: byInput ? [] : [makeAttribute("pads", pads)],
    });
    const [, , ...rest] = node.proto.input;
    return [pad, { ...node.proto, input: [name("input"), name("weight"), ...rest] }];
  });
  if (added.length === 0) return model;
  const { initializer } = model.graph.proto;
  return withGraph(model, { node: nodes, initializer: [...initializer, ...added] });
}

/** The weight of a convolution that would go wrong. */
function wrongWeight(node: OnnxNode, model: OnnxModel): OnnxTensor | undefined {
  if (node.opType !== "Conv" || node.domain !== "" || node.int("group", 1) !== 1) return undefined;
  const weight = model.graph.constant(node.inputs[1] ?? "");
  if (weight?.shape.length !== 4) return undefined;
  const [outputs = 0, channels = 0, height = 0, width = 0] = weight.shape;
  // Another type of number does not run there.
  if (weight.type !== "f32" && weight.type !== "f16") return undefined;
  const wrong = channels > 3 && channels % 3 === 0 && channels % 4 !== 0 && outputs % 4 === 0 &&
    height * width > 1;
  return wrong ? weight : undefined;
}

/** A weight with zeros behind the channels of each output. */
function padded({ data, shape, type }: OnnxTensor, outputs: number, missing: number): OnnxData {
  const area = shape[2]! * shape[3]!;
  const channels = shape[1]!;
  const whole = new Float32Array(outputs * (channels + missing) * area);
  // Half floats come widened.
  const numbers = data as Float32Array<ArrayBuffer>;
  for (let o = 0; o < outputs; o++) {
    const row = numbers.subarray(o * channels * area, (o + 1) * channels * area);
    whole.set(row, o * (channels + missing) * area);
  }
  return type === "f16" ? f32ToF16(whole) : whole;
}
