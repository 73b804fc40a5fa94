/**
 * Edits of ONNX models. Every edit makes a new model and leaves the old one as it was; the arrays
 * are shared, not copied.
 *
 * @module
 */

import { f32ToF16 } from "../data/half.ts";
import { UserError } from "../runtime/errors.ts";
import { nearestName } from "../runtime/nearest.ts";
import { OnnxModel } from "./model.ts";
import type { OnnxNode } from "./node.ts";
import {
  type AttributeProto,
  create,
  DIMENSION,
  type DimensionProto,
  ELEMENT_TYPES,
  type GraphProto,
  type NodeProto,
  TENSOR_SHAPE,
  TENSOR_TYPE,
  type TensorProto,
  type TensorShapeProto,
  type TensorTypeProto,
  TYPE,
  type TypeProto,
  VALUE_INFO,
  type ValueInfoProto,
} from "./proto/mod.ts";
import { inferShapes } from "./shapes.ts";
import { makeTensor, readTensor, toNumbers } from "./tensor.ts";
import type { Dimension, ValueInfo } from "./value_info.ts";

/**
 * Makes values in the middle of a graph outputs too, behind the outputs it has.
 *
 * @param model The model.
 * @param names Names of values; those that are outputs already stay where they are.
 * @returns The model with the outputs added, with type and shape as far as they can be inferred.
 * @throws {UserError} When the model has no such value.
 *
 * @example Read the pooled features
 * ```ts
 * import { exposeOutputs, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const pooled = model.graph.producer("logits")!.inputs[0]!;
 * const names = exposeOutputs(model, [pooled]).graph.outputs.map((output) => output.name);
 * assertEquals(names, ["feature_map", "logits", pooled]);
 * ```
 */
export function exposeOutputs(model: OnnxModel, names: readonly string[]): OnnxModel {
  const present = new Set(model.graph.outputs.map((output) => output.name));
  const shapes = inferShapes(model);
  const added: ValueInfoProto[] = [];
  for (const name of names) {
    if (present.has(name)) continue;
    requireValue(model, name);
    present.add(name);
    added.push(toValueInfoProto(shapes.get(name) ?? { name }));
  }
  return withGraph(model, { output: [...model.graph.proto.output, ...added] });
}

/**
 * Takes outputs away; the nodes behind them stay until {@linkcode pruneUnused}.
 *
 * @param model The model.
 * @param names Names of outputs.
 * @returns The model without them.
 * @throws {UserError} When one is no output, or when none would be left.
 *
 * @example Keep the logits alone
 * ```ts
 * import { readModel, removeOutputs } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = removeOutputs(await readModel("models/cifar10-resnet20.onnx"), ["feature_map"]);
 * assertEquals(model.graph.outputs.map((output) => output.name), ["logits"]);
 * ```
 */
export function removeOutputs(model: OnnxModel, names: readonly string[]): OnnxModel {
  const outputs = model.graph.outputs.map((output) => output.name);
  for (const name of names) {
    if (!outputs.includes(name)) {
      throw new UserError(
        `Cannot remove the output "${name}" of "${model.name}": its outputs are ${
          outputs.map((output) => `"${output}"`).join(", ")
        }`,
      );
    }
  }
  const output = model.graph.proto.output.filter((info) => !names.includes(info.name ?? ""));
  if (output.length === 0) {
    throw new UserError(`Cannot remove all outputs of "${model.name}": one must stay`);
  }
  return withGraph(model, { output });
}

/**
 * Drops nodes, constants and type notes that no output needs. Inputs stay, as they are the model's
 * interface.
 *
 * @param model The model.
 * @returns The smaller model.
 *
 * @example Nothing behind the feature map stays
 * ```ts
 * import { pruneUnused, readModel, removeOutputs } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const cut = pruneUnused(removeOutputs(model, ["logits"]));
 * assertEquals(cut.graph.initializers.has("m.fc.weight"), false);
 * ```
 */
export function pruneUnused(model: OnnxModel): OnnxModel {
  const { graph } = model;
  const needed = new Set(graph.outputs.map((output) => output.name));
  const kept = new Set<OnnxNode>();
  for (const node of graph.sorted().toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    kept.add(node);
    for (const input of [...node.inputs, ...node.captured]) needed.add(input);
  }
  const made = new Set([...kept].flatMap((node) => node.outputs));
  const { proto } = graph;
  return withGraph(model, {
    node: graph.nodes.filter((node) => kept.has(node)).map((node) => node.proto),
    initializer: proto.initializer.filter((tensor) => needed.has(tensor.name ?? "")),
    sparseInitializer: proto.sparseInitializer.filter((sparse) =>
      needed.has(sparse.values?.name ?? "")
    ),
    // Old files list initialisers among the inputs; those go with the initialisers.
    input: proto.input.filter((info) =>
      !graph.initializers.has(info.name ?? "") || needed.has(info.name ?? "")
    ),
    valueInfo: proto.valueInfo.filter((info) => made.has(info.name ?? "")),
  });
}

/**
 * Gives values other names, wherever they stand: inputs, outputs, initialisers, subgraphs.
 *
 * @param model The model.
 * @param names New names by old names.
 * @returns The model with the new names.
 * @throws {UserError} When an old name is unknown or a new one is taken.
 *
 * @example Another name for the input
 * ```ts
 * import { readModel, renameValues } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * assertEquals(renameValues(model, { input: "image" }).graph.inputs[0]?.name, "image");
 * ```
 */
export function renameValues(model: OnnxModel, names: Readonly<Record<string, string>>): OnnxModel {
  const map = new Map(Object.entries(names));
  for (const [from, to] of map) {
    requireValue(model, from);
    if (from !== to && model.graph.has(to) && !map.has(to)) {
      throw new UserError(
        `Cannot rename "${from}" of "${model.name}" to "${to}": the name is taken`,
      );
    }
  }
  if (new Set(map.values()).size < map.size) {
    throw new UserError(`Cannot rename values of "${model.name}": two would have one name`);
  }
  return withGraph(model, renamedGraph(model.graph.proto, (name) => map.get(name) ?? name));
}

/**
 * Replaces the elements of constants, for example with trained weights; shapes and element types
 * stay.
 *
 * @param model The model.
 * @param values New elements by initialiser name.
 * @returns The model with the new elements.
 * @throws {UserError} When an initialiser is missing, holds integers or has another size.
 *
 * @example Set a bias to zero
 * ```ts
 * import { readModel, readTensor, replaceInitializers } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const edited = replaceInitializers(model, { "m.fc.bias": new Float32Array(10) });
 * assertEquals(readTensor(edited.graph.initializers.get("m.fc.bias")!).data[0], 0);
 * ```
 */
export function replaceInitializers(
  model: OnnxModel,
  values: Readonly<Record<string, Float32Array<ArrayBuffer>>>,
): OnnxModel {
  const replaced = new Map<string, TensorProto>();
  for (const [name, data] of Object.entries(values)) {
    const old = model.graph.initializers.get(name);
    if (old === undefined) {
      throw new UserError(`Cannot replace "${name}" of "${model.name}": it is no initialiser`);
    }
    const count = old.dims.reduce((product, length) => product * length, 1);
    if (count !== data.length) {
      throw new UserError(
        `Cannot replace "${name}" of "${model.name}": it has ${count} elements and ` +
          `${data.length} were given`,
      );
    }
    replaced.set(name, withData(model, old, data));
  }
  return withGraph(model, {
    initializer: model.graph.proto.initializer.map((tensor) =>
      replaced.get(tensor.name ?? "") ?? tensor
    ),
  });
}

/**
 * Opens a fixed batch dimension, so that one run takes any number of images.
 *
 * It is done only when it is safe: inference must follow the batch dimension from the inputs to
 * the first dimension of every output, through every node.
 *
 * @param model A model whose inputs have a fixed first dimension, the same for all.
 * @param options `name`: the open dimension's name, `N` by default.
 * @returns The model with an open batch; the same model when it is open already.
 * @throws {UserError} When some node mixes images or fixes their number, with the reason.
 *
 * @example A batch that is open already
 * ```ts
 * import { readModel, setDynamicBatch } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * assertEquals(setDynamicBatch(model), model);
 * ```
 */
export function setDynamicBatch(model: OnnxModel, options: { name?: string } = {}): OnnxModel {
  const name = options.name ?? "N";
  const refuse = (why: string) =>
    new UserError(`Cannot open the batch dimension of "${model.name}": ${why}`);
  const sizes = new Set(model.graph.inputs.map((input) => input.shape?.[0]));
  const [batch] = sizes;
  if (sizes.size !== 1 || batch === undefined) {
    throw refuse("its inputs differ in their first dimension");
  }
  if (typeof batch === "string") return model;
  const before = inferShapes(model);
  const opened = withGraph(model, {
    ...openReshapes(model, { batch, before }),
    input: model.graph.proto.input.map((info) => {
      const input = model.graph.inputs.find((item) => item.name === info.name);
      if (input?.shape === undefined) return info;
      return toValueInfoProto({ ...input, shape: [name, ...input.shape.slice(1)] });
    }),
    valueInfo: [],
    output: model.graph.proto.output.map((info) =>
      create<ValueInfoProto>(VALUE_INFO, {
        name: info.name ?? "",
      })
    ),
  });
  const after = inferShapes(opened);
  for (const node of opened.graph.sorted()) {
    const mixed = mixesRows(node, after.get(node.inputs[0] ?? "")?.shape, name);
    if (mixed) throw refuse(`node "${node.label}" computes across the images of a batch`);
  }
  for (const output of model.graph.outputs) {
    if (after.get(output.name)?.shape?.[0] !== name) {
      throw refuse(
        `it can not be followed to the first dimension of the output "${output.name}"`,
      );
    }
  }
  return withGraph(opened, {
    output: model.graph.outputs.map((output) =>
      toValueInfoProto({ ...output, ...after.get(output.name) })
    ),
  });
}

/**
 * A model with parts of its graph replaced.
 *
 * @param model The model.
 * @param parts The parts to replace.
 * @returns The new model.
 *
 * @example Another graph name
 * ```ts
 * import { readModel, withGraph } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * assertEquals(withGraph(model, { name: "classifier" }).graph.proto.name, "classifier");
 * ```
 */
export function withGraph(model: OnnxModel, parts: Partial<GraphProto>): OnnxModel {
  const graph = { ...model.graph.proto, ...parts };
  return new OnnxModel({ ...model.proto, graph }, { name: model.name });
}

/**
 * A value's description as ONNX writes it.
 *
 * @param info The name, and the type and shape as far as they are known.
 * @returns The message.
 *
 * @example An image input
 * ```ts
 * import { toValueInfoProto } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const proto = toValueInfoProto({ name: "x", type: "f32", shape: ["N", 3] });
 * assertEquals(proto.type?.tensorType?.shape?.dim[0]?.dimParam, "N");
 * ```
 */
export function toValueInfoProto(info: ValueInfo): ValueInfoProto {
  if (info.type === undefined) return create<ValueInfoProto>(VALUE_INFO, { name: info.name });
  const tensorType = create<TensorTypeProto>(TENSOR_TYPE, { elemType: ELEMENT_TYPES[info.type] });
  if (info.shape !== undefined) {
    tensorType.shape = create<TensorShapeProto>(TENSOR_SHAPE, { dim: info.shape.map(toDimension) });
  }
  return create<ValueInfoProto>(VALUE_INFO, {
    name: info.name,
    type: create<TypeProto>(TYPE, { tensorType }),
  });
}

/**
 * A graph with all its values renamed.
 *
 * @param graph The graph.
 * @param rename The new name of a name.
 * @returns The new graph.
 *
 * @example A prefix for all
 * ```ts
 * import { readModel, renamedGraph } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const { graph } = await readModel("models/cifar10-resnet20.onnx");
 * assertEquals(renamedGraph(graph.proto, (name) => `a/${name}`).input[0]?.name, "a/input");
 * ```
 */
export function renamedGraph(graph: GraphProto, rename: (name: string) => string): GraphProto {
  const to = (name: string) => name === "" ? "" : rename(name);
  const info = (item: ValueInfoProto) => ({ ...item, name: to(item.name ?? "") });
  const tensor = (item: TensorProto) => ({ ...item, name: to(item.name ?? "") });
  return {
    ...graph,
    node: graph.node.map((node) => renamedNode(node, to)),
    initializer: graph.initializer.map(tensor),
    input: graph.input.map(info),
    output: graph.output.map(info),
    valueInfo: graph.valueInfo.map(info),
    sparseInitializer: graph.sparseInitializer.map((sparse) =>
      sparse.values === undefined ? sparse : { ...sparse, values: tensor(sparse.values) }
    ),
  };
}

function renamedNode(node: NodeProto, rename: (name: string) => string): NodeProto {
  return {
    ...node,
    input: node.input.map(rename),
    output: node.output.map(rename),
    attribute: node.attribute.map((attribute): AttributeProto =>
      attribute.g === undefined
        ? attribute
        // A subgraph's own names would only have to differ from names around it, which they do.
        : { ...attribute, g: renamedGraph(attribute.g, rename) }
    ),
  };
}

function requireValue(model: OnnxModel, name: string): void {
  if (model.graph.has(name)) return;
  const close = nearestName(name, [
    ...model.graph.valueNames(),
    ...model.graph.initializers.keys(),
  ]);
  throw new UserError(
    `"${model.name}" has no value "${name}"${
      close === undefined ? "" : `; did you mean "${close}"`
    }`,
  );
}

function withData(
  model: OnnxModel,
  old: TensorProto,
  data: Float32Array<ArrayBuffer>,
): TensorProto {
  const name = old.name ?? "";
  const type = readTensor({ ...old, dims: [0], rawData: new Uint8Array(0) }).type;
  const options = { shape: old.dims };
  if (type === "f32") return makeTensor(name, data, options);
  if (type === "f64") return makeTensor(name, Float64Array.from(data), options);
  if (type === "f16") {
    return makeTensor(name, f32ToF16(data), { ...options, type });
  }
  throw new UserError(
    `Cannot replace "${name}" of "${model.name}": it holds ${type} and floats were given`,
  );
}

function toDimension(length: Dimension): DimensionProto {
  if (typeof length === "number") return create<DimensionProto>(DIMENSION, { dimValue: length });
  return create<DimensionProto>(DIMENSION, length === "?" ? {} : { dimParam: length });
}

/**
 * Reshape targets that name the fixed batch get a zero there, which means "as in the input". Each
 * gets a constant of its own, since one constant may serve several nodes.
 */
function openReshapes(
  model: OnnxModel,
  { batch, before }: { batch: number; before: ReadonlyMap<string, ValueInfo> },
): Partial<GraphProto> {
  const added: TensorProto[] = [];
  const node = model.graph.nodes.map((item) => {
    if (item.opType !== "Reshape" || item.int("allowzero", 0) === 1) return item.proto;
    const target = model.graph.constant(item.inputs[1] ?? "");
    if (target === undefined || before.get(item.inputs[0]!)?.shape?.[0] !== batch) {
      return item.proto;
    }
    const lengths = toNumbers(target);
    if (lengths[0] !== batch) return item.proto;
    const name = `${item.outputs[0]}/open_shape`;
    lengths[0] = 0;
    added.push(makeTensor(name, BigInt64Array.from(lengths, BigInt)));
    return { ...item.proto, input: [item.inputs[0]!, name] };
  });
  return { node, initializer: [...model.graph.proto.initializer, ...added] };
}

/** Operators that keep shapes but compute along an axis, with the axis they take by default. */
const ALONG_AXIS: Readonly<Record<string, number>> = {
  Softmax: -1,
  LogSoftmax: -1,
  Hardmax: -1,
  LpNormalization: -1,
  LayerNormalization: -1,
  CumSum: 0,
};

function mixesRows(
  node: OnnxNode,
  shape: readonly Dimension[] | undefined,
  batch: string,
): boolean {
  if (node.opType === "MeanVarianceNormalization") {
    return (node.ints("axes") ?? [0, 2, 3]).includes(0);
  }
  const fallback = ALONG_AXIS[node.opType];
  if (fallback === undefined || shape === undefined) return false;
  // CumSum takes its axis as an input; any CumSum on a batch is too rare to look closer.
  if (node.opType === "CumSum") return shape.includes(batch);
  const axis = node.int("axis", fallback);
  const at = axis < 0 ? axis + shape.length : axis;
  return node.opType === "LayerNormalization"
    ? shape.slice(at).includes(batch)
    : shape[at] === batch;
}
