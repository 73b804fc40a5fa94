/**
 * Writing trained weights back over the arrays of a model.
 *
 * @module
 */

import { f32ToBf16, f32ToF16 } from "../../data/half.ts";
import { withGraph } from "../edit.ts";
import type { OnnxModel } from "../model.ts";
import type { AttributeProto, NodeProto, TensorProto } from "../proto/mod.ts";
import { makeTensor, type OnnxData } from "../tensor.ts";
import { type PlannedWeight, toStored } from "./_weights.ts";

/** A weight and its values in the engine. */
export interface CurrentWeight {
  /** The weight. */
  readonly weight: PlannedWeight;
  /** Its values now. */
  readonly now: ArrayLike<number>;
}

/**
 * A model with other weights.
 *
 * @param model The model.
 * @param weights The weights; element types stay, and so do arrays of which no element has changed.
 * @returns The model.
 */
export function exportWeights(model: OnnxModel, weights: readonly CurrentWeight[]): OnnxModel {
  const changed = new Map<string, { weight: PlannedWeight; values: Float64Array<ArrayBuffer> }>();
  for (const { weight, now } of weights) {
    const values = toStored(weight, now);
    if (values !== undefined) changed.set(weight.name, { weight, values });
  }
  const { node, initializer } = model.graph.proto;
  const initializers = new Set(initializer.map(({ name }) => name ?? ""));
  return withGraph(model, {
    initializer: initializer.map((tensor) => {
      const found = changed.get(tensor.name ?? "");
      return found === undefined ? tensor : withValues(tensor, found.weight, found.values);
    }),
    node: node.map((proto) => {
      const [output = ""] = proto.output;
      const found = initializers.has(output) ? undefined : changed.get(output);
      return found === undefined ? proto : withConstant(proto, found.weight, found.values);
    }),
  });
}

function withValues(
  { name = "", docString }: TensorProto,
  { stored }: PlannedWeight,
  values: Float64Array<ArrayBuffer>,
): TensorProto {
  const made = makeTensor(name, storedData(stored.type, values), {
    shape: stored.shape,
    type: stored.type,
  });
  return docString === undefined ? made : { ...made, docString };
}

function storedData(
  type: PlannedWeight["stored"]["type"],
  values: Float64Array<ArrayBuffer>,
): OnnxData {
  switch (type) {
    case "f64":
      return values;
    case "f16":
      return f32ToF16(Float32Array.from(values));
    case "bf16":
      return f32ToBf16(Float32Array.from(values));
    default:
      return Float32Array.from(values);
  }
}

/** A Constant node with other values, in whichever attribute they stand. */
function withConstant(
  node: NodeProto,
  weight: PlannedWeight,
  values: Float64Array<ArrayBuffer>,
): NodeProto {
  const attribute = node.attribute.map((item): AttributeProto => {
    switch (item.name) {
      case "value":
        return item.t === undefined ? item : { ...item, t: withValues(item.t, weight, values) };
      case "value_floats":
        return { ...item, floats: Array.from(values, Math.fround) };
      case "value_float":
        return { ...item, f: Math.fround(values[0]!) };
      default:
        return item;
    }
  });
  return { ...node, attribute };
}
