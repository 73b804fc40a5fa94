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
import { type InputPlace, type PlannedWeight, toStored } from "./_weights.ts";

/** A weight and its values in the engine. */
export interface CurrentWeight {
  /** The weight. */
  readonly weight: PlannedWeight;
  /** Its values now. */
  readonly now: ArrayLike<number>;
  /** Where the graph has to name it, when it does not hold it yet. */
  readonly place?: InputPlace | undefined;
}

/**
 * A model with other weights.
 *
 * @param model The model.
 * @param weights The weights; element types stay, and so do arrays of which no element has changed.
 * Those that the graph does not hold are added only when they have.
 * @returns The model.
 */
export function exportWeights(model: OnnxModel, weights: readonly CurrentWeight[]): OnnxModel {
  const changed = new Map<string, { weight: PlannedWeight; values: Float64Array<ArrayBuffer> }>();
  const added: AddedWeight[] = [];
  for (const { weight, now, place } of weights) {
    const values = toStored(weight, now);
    if (values === undefined) continue;
    if (place === undefined) changed.set(weight.name, { weight, values });
    else added.push({ tensor: withValues({ name: weight.name }, weight, values), place });
  }
  const { node, initializer } = model.graph.proto;
  const initializers = new Set(initializer.map(({ name }) => name ?? ""));
  const written = withGraph(model, {
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
  return added.length === 0 ? written : withAdded(written, added);
}

/** An array that a graph gets, and the input that reads it from then on. */
interface AddedWeight {
  readonly tensor: TensorProto;
  readonly place: InputPlace;
}

/** A model with arrays added; one that all of its readers gave up is dropped. */
function withAdded(model: OnnxModel, added: readonly AddedWeight[]): OnnxModel {
  const { node, initializer, input } = model.graph.proto;
  const names = new Map<number, Map<number, string>>();
  for (const { tensor, place } of added) {
    const { index } = place.node;
    names.set(index, (names.get(index) ?? new Map()).set(place.input, tensor.name!));
  }
  const wider = withGraph(model, {
    initializer: [...initializer, ...added.map(({ tensor }) => tensor)],
    node: node.map((proto, index) => {
      const other = names.get(index);
      return other === undefined ? proto : withInputs(proto, other);
    }),
  });
  const declared = new Set([...input, ...model.graph.proto.output].map(({ name }) => name));
  const givenUp = new Set(added.map(({ place }) => place.node.inputs[place.input]));
  return withGraph(wider, {
    initializer: wider.graph.proto.initializer.filter(({ name = "" }) =>
      !givenUp.has(name) || declared.has(name) || wider.graph.consumers(name).length > 0
    ),
  });
}

/** A node that reads other values in some places. */
function withInputs(node: NodeProto, names: ReadonlyMap<number, string>): NodeProto {
  const length = Math.max(node.input.length, ...[...names.keys()].map((place) => place + 1));
  const input = Array.from({ length }, (_, i) => names.get(i) ?? node.input[i] ?? "");
  return { ...node, input };
}

function withValues(
  { name = "", docString }: Pick<TensorProto, "name" | "docString">,
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
