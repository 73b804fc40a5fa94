/**
 * What each operator makes: types and shapes of its outputs, from those of its inputs.
 *
 * @module
 */

import type { Guess, KnownValues, OpenShape } from "./_known_values.ts";
import {
  broadcastShapes,
  flattened,
  matmulShape,
  plus,
  reduced,
  reshaped,
  sliced,
  squeezed,
  unsqueezed,
  wrap,
} from "./_shape_math.ts";
import { convolutionShape, pooledShape } from "./_windows.ts";
import type { OnnxNode } from "./node.ts";
import { elementTypeName } from "./tensor.ts";
import type { Dimension } from "./value_info.ts";

/** Gives the outputs of a node. */
type Rule = (node: OnnxNode, known: KnownValues) => readonly Guess[];

/** Gives the shape of the one output of a node, whose type is that of the first input. */
type ShapeRule = (node: OnnxNode, known: KnownValues) => OpenShape | undefined;

/** Gives that shape once the first input's is known. */
type FirstShapeRule = (
  shape: OpenShape,
  node: OnnxNode,
  known: KnownValues,
) => OpenShape | undefined;

/** Operators whose first output has the type and shape of their first input. */
const SAME = "Abs Acos Asin Atan BatchNormalization Ceil Celu Clip Cos Dropout Elu Erf Exp Floor " +
  "Gelu GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization " +
  "LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LRN MeanVarianceNormalization " +
  "Mish Neg Not PRelu Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus Softsign " +
  "Sqrt Swish Tan Tanh ThresholdedRelu CumSum";

const BROADCAST = "Add Sub Mul Div Pow Max Min Sum Mean Mod And Or Xor";

const COMPARE = "Equal Greater Less GreaterOrEqual LessOrEqual";

const RULES: ReadonlyMap<string, Rule> = new Map([
  ...each(SAME, sameType(fromFirst((shape) => shape))),
  ...each(BROADCAST, sameType(broadcastInputs)),
  ...each(COMPARE, comparison),
  ...each("Conv", sameType(convolutionShape)),
  ...each("MaxPool AveragePool LpPool", sameType(fromFirst(pooledShape))),
  ...each("GlobalAveragePool GlobalMaxPool GlobalLpPool", sameType(fromFirst(globallyPooled))),
  ...each("Gemm", sameType(gemmShape)),
  ...each("MatMul", sameType(fromFirst(multiplied))),
  ...each("Einsum", sameType(summed)),
  ...each("Concat", sameType(concatenated)),
  ...each("Flatten", sameType(fromFirst((shape, node) => flattened(shape, node.int("axis", 1))))),
  ...each("Reshape", sameType(reshapedTo)),
  ...each("Transpose", sameType(fromFirst(transposed))),
  ...each(
    "Squeeze",
    sameType(fromFirst((shape, node, known) => squeezed(shape, known.axes(node)))),
  ),
  ...each("Unsqueeze", sameType(fromFirst(withNewAxes))),
  ...each("Gather", sameType(fromFirst(gathered))),
  ...each("Slice", sameType(fromFirst(slicedRanges))),
  ...each("Pad", sameType(fromFirst(padded))),
  ...each("Expand", sameType(fromFirst(expanded))),
  ...each("Resize Upsample", sameType(fromFirst(resized))),
  ...each("Cast", cast),
  ...each("QuantizeLinear", quantized),
  ...each("DequantizeLinear", dequantized),
  ...each("Constant", constant),
  ...each("ConstantOfShape", filled),
  ...each("Shape", shapeOf),
  ...each("ArgMax ArgMin", indexOfBest),
  ...each("TopK", topK),
  ...each("Split", split),
  ...each("Where", selected),
]);

const REDUCTION: Rule = sameType(fromFirst(reducedAxes));

/** What is known of a node's outputs; nothing for operators without a rule. */
export function guessOutputs(node: OnnxNode, known: KnownValues): readonly Guess[] {
  const rule = RULES.get(node.opType) ?? (node.opType.startsWith("Reduce") ? REDUCTION : undefined);
  return rule?.(node, known) ?? [];
}

function each(operators: string, rule: Rule): [string, Rule][] {
  return operators.split(" ").map((operator) => [operator, rule]);
}

function sameType(rule: ShapeRule): Rule {
  return (node, known) => [{ type: known.type(node.inputs[0]), shape: rule(node, known) }];
}

function fromFirst(rule: FirstShapeRule): ShapeRule {
  return (node, known) => {
    const shape = known.shape(node.inputs[0]);
    return shape === undefined ? undefined : rule(shape, node, known);
  };
}

function broadcastInputs(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  let result: OpenShape = [];
  for (const input of node.inputs) {
    const shape = known.shape(input);
    if (shape === undefined) return undefined;
    result = broadcastShapes(result, shape);
  }
  return result;
}

function comparison(node: OnnxNode, known: KnownValues): Guess[] {
  return [{ type: "bool", shape: broadcastInputs(node, known) }];
}

function globallyPooled(shape: OpenShape): OpenShape {
  return shape.map((length, axis) => axis < 2 ? length : 1);
}

function gemmShape(node: OnnxNode, known: KnownValues): OpenShape {
  const a = known.shape(node.inputs[0]);
  const b = known.shape(node.inputs[1]);
  const rows = a?.[node.int("transA", 0) === 1 ? 1 : 0] ?? "?";
  const columns = b?.[node.int("transB", 0) === 1 ? 0 : 1] ?? "?";
  return [rows, columns];
}

function multiplied(shape: OpenShape, node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const other = known.shape(node.inputs[1]);
  return other === undefined ? undefined : matmulShape(shape, other);
}

/** The lengths that the letters of an equation stand for. */
function summed(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const [terms, result] = node.string("equation", "").replaceAll(" ", "").split("->");
  if (result === undefined || result.includes(".")) return undefined;
  const lengths = new Map<string, Dimension>();
  terms!.split(",").forEach((term, i) => {
    known.shape(node.inputs[i])?.forEach((length, axis) => {
      const letter = term[axis] ?? "";
      if (typeof lengths.get(letter) !== "number") lengths.set(letter, length);
    });
  });
  return [...result].map((letter) => lengths.get(letter) ?? "?");
}

function concatenated(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const shapes = node.inputs.map((input) => known.shape(input));
  const first = shapes.find((shape) => shape !== undefined);
  if (first === undefined) return undefined;
  const axis = wrap(node.int("axis", 1), first.length);
  return first.map((length, i) => {
    const lengths = shapes.map((shape): Dimension => shape?.[i] ?? "?");
    if (i === axis) return total(lengths);
    // One fixed length settles the axis for all.
    return lengths.find((item) => typeof item === "number") ?? length;
  });
}

function total(lengths: OpenShape): Dimension {
  return lengths.reduce<Dimension>(
    (sum, length) => typeof sum === "number" && typeof length === "number" ? sum + length : "?",
    0,
  );
}

function reshapedTo(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const target = known.ints(node.inputs[1]);
  if (target === undefined) return undefined;
  const zeroIsZero = node.int("allowzero", 0) === 1;
  return reshaped(known.shape(node.inputs[0]), { target, zeroIsZero });
}

function transposed(shape: OpenShape, node: OnnxNode): OpenShape {
  const order = node.ints("perm");
  return order === undefined ? shape.toReversed() : order.map((axis) => shape[axis] ?? "?");
}

function withNewAxes(shape: OpenShape, node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const axes = known.axes(node);
  return axes === undefined ? undefined : unsqueezed(shape, axes);
}

function reducedAxes(shape: OpenShape, node: OnnxNode, known: KnownValues): OpenShape {
  return reduced(shape, { axes: known.axes(node), keep: node.int("keepdims", 1) === 1 });
}

function gathered(shape: OpenShape, node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const indices = known.shape(node.inputs[1]);
  if (indices === undefined) return undefined;
  const axis = wrap(node.int("axis", 0), shape.length);
  return [...shape.slice(0, axis), ...indices, ...shape.slice(axis + 1)];
}

function slicedRanges(shape: OpenShape, node: OnnxNode, known: KnownValues): OpenShape {
  const starts = known.list(node, { attribute: "starts", input: 1 });
  const ends = known.list(node, { attribute: "ends", input: 2 });
  if (starts === undefined || ends === undefined) return shape.map(() => "?");
  const axes = known.list(node, { attribute: "axes", input: 3 }) ?? starts.map((_, i) => i);
  const steps = known.numbers(node.inputs[4]) ?? starts.map(() => 1);
  const result = [...shape];
  axes.forEach((axis, i) => {
    const at = wrap(axis, shape.length);
    result[at] = sliced(shape[at]!, { start: starts[i]!, end: ends[i]!, step: steps[i]! });
  });
  return result;
}

function padded(shape: OpenShape, node: OnnxNode, known: KnownValues): OpenShape {
  const pads = known.list(node, { attribute: "pads", input: 1 });
  // A fourth input says which axes the pads are for.
  if (pads === undefined || node.inputs.length > 3) return shape.map(() => "?");
  return shape.map((length, i) => plus(length, pads[i]! + pads[i + shape.length]!));
}

function expanded(shape: OpenShape, node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const target = known.ints(node.inputs[1]);
  return target === undefined ? undefined : broadcastShapes(shape, target);
}

function resized(shape: OpenShape, node: OnnxNode, known: KnownValues): OpenShape {
  const sizes = known.ints(node.inputs[3]);
  if (sizes !== undefined && sizes.length === shape.length) return sizes;
  const at = node.opType === "Upsample" || known.opset < 11 ? 1 : 2;
  const scales = node.floats("scales") ?? known.numbers(node.inputs[at]);
  if (scales === undefined || scales.length !== shape.length) return shape.map(() => "?");
  return shape.map((length, i) =>
    scales[i] === 1 ? length : typeof length === "number" ? Math.floor(length * scales[i]!) : "?"
  );
}

function cast(node: OnnxNode, known: KnownValues): Guess[] {
  return [{ type: elementTypeName(node.int("to", 0)), shape: known.shape(node.inputs[0]) }];
}

function quantized(node: OnnxNode, known: KnownValues): Guess[] {
  const [x, , zero] = node.inputs;
  return [{ type: known.type(zero) ?? "u8", shape: known.shape(x) }];
}

function dequantized(node: OnnxNode, known: KnownValues): Guess[] {
  const [x, scale] = node.inputs;
  return [{ type: known.type(scale) ?? "f32", shape: known.shape(x) }];
}

function constant(node: OnnxNode, known: KnownValues): Guess[] {
  const tensor = node.has("sparse_value") ? undefined : known.constant(node.outputs[0] ?? "");
  return tensor === undefined ? [] : [{ type: tensor.type, shape: tensor.shape }];
}

function filled(node: OnnxNode, known: KnownValues): Guess[] {
  return [{ type: node.tensor("value")?.type ?? "f32", shape: known.ints(node.inputs[0]) }];
}

function shapeOf(node: OnnxNode, known: KnownValues): Guess[] {
  const shape = known.shape(node.inputs[0]);
  return [{ type: "i64", shape: shape === undefined ? undefined : [shape.length] }];
}

function indexOfBest(node: OnnxNode, known: KnownValues): Guess[] {
  const shape = known.shape(node.inputs[0]);
  const options = { axes: [node.int("axis", 0)], keep: node.int("keepdims", 1) === 1 };
  return [{ type: "i64", shape: shape === undefined ? undefined : reduced(shape, options) }];
}

function topK(node: OnnxNode, known: KnownValues): Guess[] {
  const [x, count] = node.inputs;
  const k = known.ints(count)?.[0] ?? (node.has("k") ? node.int("k", 1) : "?");
  const axis = node.int("axis", -1);
  const shape = known.shape(x)?.map((length, i, { length: rank }) =>
    i === wrap(axis, rank) ? k : length
  );
  return [{ type: known.type(x), shape }, { type: "i64", shape }];
}

function split(node: OnnxNode, known: KnownValues): Guess[] {
  const shape = known.shape(node.inputs[0]);
  const type = known.type(node.inputs[0]);
  if (shape === undefined) return node.outputs.map(() => ({ type }));
  const axis = wrap(node.int("axis", 0), shape.length);
  const sizes = known.list(node, { attribute: "split", input: 1 });
  const even = evenParts(shape[axis]!, node.outputs.length);
  return node.outputs.map((_, index) => {
    const part = sizes?.[index] ?? even[index]!;
    return { type, shape: shape.map((length, i) => i === axis ? part : length) };
  });
}

/** Parts as even as they can be, of which the last is the shortest. */
function evenParts(length: Dimension | undefined, count: number): Dimension[] {
  if (typeof length !== "number") return Array.from({ length: count }, () => "?");
  const part = Math.ceil(length / count);
  return Array.from(
    { length: count },
    (_, index) => index === count - 1 ? length - part * (count - 1) : part,
  );
}

function selected(node: OnnxNode, known: KnownValues): Guess[] {
  return [{ type: known.type(node.inputs[1]), shape: broadcastInputs(node, known) }];
}
