/**
 * Editing a model so that it gives what extraction stores.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { sourceOf } from "./_value_sources.ts";
import { makeAttribute } from "./attribute.ts";
import { exposeOutputs, pruneUnused, withGraph } from "./edit.ts";
import type { Inspection, ValueSource } from "./inspection.ts";
import { type OnnxModel, writeModel } from "./model.ts";
import { create, ELEMENT_TYPES, type ElementType, NODE, type NodeProto } from "./proto/mod.ts";
import { inferShapes } from "./shapes.ts";
import { OUTPUT_KEYS, type SidecarOutputs } from "./sidecar.ts";

/** A model whose outputs are what extraction stores. */
export interface ExtractionModel {
  /** The edited model. */
  readonly model: OnnxModel;
  /** Its bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Name of the image input. */
  readonly input: string;
  /** Output names by key of the feature file; only what the model offers. */
  readonly names: SidecarOutputs;
}

/**
 * Edits a model so that it gives what was found: logits and features as rows, the feature map, and
 * what the sidecar names. Pooling and flattening nodes are added where the graph has no such value,
 * half floats are widened, and what no output needs is dropped, inputs too.
 *
 * @param model The model.
 * @param inspection What {@linkcode inspect} found in it.
 * @param options `keys`: which of them to expose; all by default.
 * @returns The edited model, its bytes, and the outputs' names.
 * @throws {UserError} When the model has no image input, or offers none of them.
 *
 * @example Features and logits
 * ```ts
 * import { exposeForExtraction, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const { names } = exposeForExtraction(model, inspect(model), { keys: ["logits", "features"] });
 * assertEquals(Object.keys(names), ["logits", "features"]);
 * ```
 */
export function exposeForExtraction(
  model: OnnxModel,
  inspection: Inspection,
  options: { keys?: readonly (keyof SidecarOutputs)[] } = {},
): ExtractionModel {
  const { image } = inspection;
  if (image === undefined) {
    throw new UserError(`Cannot extract with "${model.name}": ${inspection.reasons.image}`);
  }
  const { keys = OUTPUT_KEYS } = options;
  const shapes = inferShapes(model);
  const adapters = new Adapters(model);
  const names: Record<string, string> = {};
  for (const key of OUTPUT_KEYS) {
    const source = sourceOf(inspection, key);
    if (source === undefined || !keys.includes(key)) continue;
    names[key] = adapters.toRows(source, { key, type: shapes.get(source.value)?.type });
  }
  const wanted = Object.values(names);
  if (wanted.length === 0) {
    throw new UserError(
      `Cannot extract with "${model.name}": it offers none of ${keys.join(", ")}`,
    );
  }
  const grown = withGraph(model, { node: [...model.graph.proto.node, ...adapters.nodes] });
  const result = withOnlyOutputs(grown, wanted);
  return { model: result, bytes: writeModel(result), input: image.name, names };
}

/** A model whose outputs are maps. */
export interface MapsModel {
  /** The edited model. */
  readonly model: OnnxModel;
  /** Output names, one for each value that was asked for, in order. */
  readonly names: readonly string[];
}

/**
 * Edits a model so that it gives just some of its values, as float32.
 *
 * @param model The model.
 * @param values Names of values that nodes make.
 * @returns The edited model, and the outputs' names.
 * @throws {UserError} When the model lacks one of them.
 *
 * @example Two blocks
 * ```ts
 * import { exposeMaps, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const values = inspect(model).blocks.slice(0, 2).map(({ value }) => value);
 * assertEquals(exposeMaps(model, values).names, values);
 * ```
 */
export function exposeMaps(model: OnnxModel, values: readonly string[]): MapsModel {
  const shapes = inferShapes(model);
  const adapters = new Adapters(model);
  const names = values.map((value) =>
    adapters.toRows({ value, via: "value" }, { key: value, type: shapes.get(value)?.type })
  );
  const grown = withGraph(model, { node: [...model.graph.proto.node, ...adapters.nodes] });
  return { model: withOnlyOutputs(grown, names), names };
}

/**
 * Makes just these values outputs, in their order, and drops what none of them needs: inputs too,
 * such as the texts of a model whose images alone are wanted.
 */
function withOnlyOutputs(model: OnnxModel, names: readonly string[]): OnnxModel {
  const exposed = exposeOutputs(model, names);
  const { output } = exposed.graph.proto;
  const kept = [...new Set(names)].map((name) => output.find((info) => info.name === name)!);
  const pruned = pruneUnused(withGraph(exposed, { output: kept }));
  const { graph } = pruned;
  return withGraph(pruned, {
    input: graph.proto.input.filter(({ name = "" }) =>
      graph.initializers.has(name) || graph.consumers(name).length > 0 || names.includes(name)
    ),
  });
}

/** Nodes behind a model's values that give them the form in which they are stored. */
class Adapters {
  /** The nodes that were added. */
  readonly nodes: NodeProto[] = [];
  readonly #taken: Set<string>;

  /** @param model The model, whose names are taken. */
  constructor(model: OnnxModel) {
    this.#taken = new Set([...model.graph.valueNames(), ...model.graph.initializers.keys()]);
  }

  /** Pools, flattens and widens a value as far as it needs that; gives the result's name. */
  toRows(
    { value, via }: ValueSource,
    { key, type }: { key: string; type: ElementType | undefined },
  ): string {
    let result = value;
    if (via === "pool") result = this.#append("GlobalAveragePool", result, `ood/${key}_pooled`);
    if (via !== "value") {
      const attribute = [makeAttribute("axis", 1n)];
      result = this.#append("Flatten", result, `ood/${key}`, { attribute });
    }
    if (type !== undefined && type !== "f32") {
      const attribute = [makeAttribute("to", BigInt(ELEMENT_TYPES.f32))];
      result = this.#append("Cast", result, `ood/${key}_f32`, { attribute });
    }
    return result;
  }

  #append(opType: string, input: string, output: string, node: Partial<NodeProto> = {}): string {
    let name = output;
    for (let i = 1; this.#taken.has(name); i++) name = `${output}_${i}`;
    this.#taken.add(name);
    this.nodes.push(
      create<NodeProto>(NODE, { name, opType, input: [input], output: [name], ...node }),
    );
    return name;
  }
}
