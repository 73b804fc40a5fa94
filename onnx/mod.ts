/**
 * ONNX files and sessions: read, write, edit, build and join graphs; find a classifier's parts;
 * run models on the GPU or in WebAssembly.
 *
 * ```ts
 * import { exposeForExtraction, inspect, openSession, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const extraction = exposeForExtraction(model, inspect(model));
 * await using session = await openSession(extraction.model, { device: "wasm" });
 * const images = { data: new Float32Array(3 * 32 * 32), shape: [1, 3, 32, 32] };
 * const outputs = await session.run({ [extraction.input]: images });
 * assertEquals(outputs[extraction.names.features!]?.shape, [1, 64]);
 * ```
 *
 * @module
 */

export * from "./attribute.ts";
export * from "./block.ts";
export * from "./build.ts";
export * from "./edit.ts";
export * from "./expose.ts";
export * from "./extraction.ts";
export * from "./extraction_options.ts";
export * from "./graph.ts";
export * from "./head_weights.ts";
export * from "./input_gradient.ts";
export * from "./inspect.ts";
export * from "./inspection.ts";
export * from "./join.ts";
export * from "./layers.ts";
export * from "./metadata.ts";
export * from "./model.ts";
export * from "./network/mod.ts";
export * from "./node.ts";
export type {
  AttributeProto,
  DimensionProto,
  ElementType,
  GraphProto,
  Message,
  ModelProto,
  NodeProto,
  OperatorSetIdProto,
  SparseTensorProto,
  StringStringEntryProto,
  TensorProto,
  TensorShapeProto,
  TensorTypeProto,
  TypeProto,
  UnknownField,
  ValueInfoProto,
} from "./proto/mod.ts";
export * from "./odin.ts";
export * from "./preprocessing.ts";
export * from "./session.ts";
export * from "./shapes.ts";
export * from "./sidecar.ts";
export * from "./tensor.ts";
export * from "./tokenizer.ts";
export * from "./value_info.ts";
export * from "./vision_language.ts";
export { DEFAULT_OPSET, MAX_IR_VERSION, OPSET_RANGE } from "./versions.ts";
