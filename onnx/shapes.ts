/**
 * Shape inference: what shape and element type each value of a graph has, as far as the graph says.
 *
 * Open dimensions keep their names, so that a batch of `N` images is seen to give `N` rows. The
 * rules cover the operators of image classifiers; a value behind any other operator is known only
 * when the file declares it.
 *
 * @module
 */

import type { OnnxGraph } from "./graph.ts";
import type { OnnxModel } from "./model.ts";
import type { OnnxNode } from "./node.ts";
import { ELEMENT_TYPES, type ElementType } from "./proto/mod.ts";
import { elementTypeName, toNumbers } from "./tensor.ts";
import { type Dimension, dimensionProduct, type ValueInfo } from "./value_info.ts";

/** Options of {@linkcode inferShapes}. */
export interface InferOptions {
  /** False to believe only the inputs and constants, not what the file declares in between. */
  readonly declared?: boolean;
}

/**
 * Infers types and shapes of a graph's values.
 *
 * @param model The model.
 * @param options Whether to believe what the file declares about values in between.
 * @returns Every value that is known at least in part, by name.
 *
 * @example A value that the file says nothing about
 * ```ts
 * import { inferShapes, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const pooled = model.graph.consumers("feature_map")[0]!.outputs[0]!;
 * assertEquals(inferShapes(model).get(pooled)?.shape, ["N", 64, 1, 1]);
 * ```
 */
export function inferShapes(model: OnnxModel, options: InferOptions = {}): Map<string, ValueInfo> {
  const inference = new Inference(model, options.declared ?? true);
  for (const node of model.graph.sorted()) inference.visit(node);
  return inference.values;
}

/** Constants longer than this are no shapes, so their elements are not followed. */
const MAX_SHAPE_LENGTH = 16;

/** Operators whose first output has the type and shape of their first input. */
const UNARY: ReadonlySet<string> = new Set(
  ("Abs Acos Asin Atan BatchNormalization Ceil Celu Clip Cos Dropout Elu Erf Exp Floor Gelu " +
    "GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization " +
    "LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LRN MeanVarianceNormalization " +
    "Mish Neg Not PRelu Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus Softsign " +
    "Sqrt Swish Tan Tanh ThresholdedRelu CumSum").split(" "),
);

const BROADCAST: ReadonlySet<string> = new Set(
  "Add Sub Mul Div Pow Max Min Sum Mean Mod And Or Xor".split(" "),
);

const COMPARE: ReadonlySet<string> = new Set(
  "Equal Greater Less GreaterOrEqual LessOrEqual".split(" "),
);

/** A value in the making. */
interface Guess {
  type?: ElementType | undefined;
  shape?: readonly Dimension[] | undefined;
}

class Inference {
  readonly values: Map<string, ValueInfo> = new Map();
  #graph: OnnxGraph;
  #opset: number;
  #useDeclared: boolean;
  /** Elements of small integer values: shapes on their way to a Reshape. */
  #elements: Map<string, readonly Dimension[]> = new Map();

  constructor(model: OnnxModel, useDeclared: boolean) {
    this.#graph = model.graph;
    this.#opset = model.opset();
    this.#useDeclared = useDeclared;
    for (const input of model.graph.inputs) this.values.set(input.name, input);
    for (const [name, tensor] of model.graph.initializers) {
      const type = elementTypeName(tensor.dataType);
      this.values.set(name, {
        name,
        shape: tensor.dims,
        ...(type === undefined ? {} : { type }),
      });
    }
  }

  visit(node: OnnxNode): void {
    const guesses = node.domain === "" ? this.#infer(node) : [];
    node.outputs.forEach((name, index) => {
      if (name === "") return;
      const declared = this.#useDeclared ? this.#graph.declared(name) : undefined;
      const guess = guesses[index] ?? {};
      const type = declared?.type ?? guess.type;
      const shape = mergeShapes(declared?.shape, guess.shape);
      if (type === undefined && shape === undefined) return;
      this.values.set(name, {
        name,
        ...(type === undefined ? {} : { type }),
        ...(shape === undefined ? {} : { shape }),
      });
    });
    this.#follow(node);
  }

  #shape(value: string | undefined): readonly Dimension[] | undefined {
    return value === undefined ? undefined : this.values.get(value)?.shape;
  }

  #type(value: string | undefined): ElementType | undefined {
    return value === undefined ? undefined : this.values.get(value)?.type;
  }

  /** Elements of a small integer constant or of a shape computed in the graph. */
  #ints(value: string | undefined): readonly Dimension[] | undefined {
    if (value === undefined || value === "") return undefined;
    const followed = this.#elements.get(value);
    if (followed !== undefined) return followed;
    const shape = this.#shape(value);
    if (shape !== undefined && shape.length > 1) return undefined;
    const constant = this.#graph.constant(value);
    if (constant === undefined || constant.data.length > MAX_SHAPE_LENGTH) return undefined;
    return toNumbers(constant);
  }

  #numbers(value: string | undefined): number[] | undefined {
    const elements = this.#ints(value);
    return elements?.every((item) => typeof item === "number") ? elements as number[] : undefined;
  }

  /** Axes from the attribute of old operator sets or the input of newer ones. */
  #axes(node: OnnxNode, input = 1): number[] | undefined {
    return node.ints("axes") ?? this.#numbers(node.inputs[input]);
  }

  #infer(node: OnnxNode): Guess[] {
    const [first, second] = node.inputs;
    const shape = this.#shape(first);
    const type = this.#type(first);
    const same = { type, shape };
    if (UNARY.has(node.opType)) return [same];
    if (BROADCAST.has(node.opType)) {
      return [{ type, shape: this.#broadcast(node.inputs) }];
    }
    if (COMPARE.has(node.opType)) return [{ type: "bool", shape: this.#broadcast(node.inputs) }];
    if (node.opType.startsWith("Reduce")) {
      const axes = this.#axes(node);
      const keep = node.int("keepdims", 1) === 1;
      return [{ type, shape: reduced(shape, axes, keep) }];
    }
    switch (node.opType) {
      case "Conv":
        return [{ type, shape: this.#convolution(node) }];
      case "MaxPool":
      case "AveragePool":
      case "LpPool":
        return [{ type, shape: pooled(shape, node) }];
      case "GlobalAveragePool":
      case "GlobalMaxPool":
      case "GlobalLpPool":
        return [{ type, shape: shape?.map((length, axis) => axis < 2 ? length : 1) }];
      case "Gemm":
        return [{ type, shape: this.#gemm(node) }];
      case "MatMul":
        return [{ type, shape: matmulShape(shape, this.#shape(second)) }];
      case "Concat":
        return [{ type, shape: this.#concat(node) }];
      case "Flatten":
        return [{ type, shape: flattened(shape, node.int("axis", 1)) }];
      case "Reshape":
        return [{
          type,
          shape: reshaped(shape, this.#ints(second), node.int("allowzero", 0) === 1),
        }];
      case "Transpose":
        return [{ type, shape: transposed(shape, node.ints("perm")) }];
      case "Squeeze":
        return [{ type, shape: squeezed(shape, this.#axes(node)) }];
      case "Unsqueeze":
        return [{ type, shape: unsqueezed(shape, this.#axes(node)) }];
      case "Cast":
        return [{ type: elementTypeName(node.int("to", 0)), shape }];
      case "QuantizeLinear":
        return [{ type: this.#type(node.inputs[2]) ?? "u8", shape }];
      case "DequantizeLinear":
        return [{ type: this.#type(second) ?? "f32", shape }];
      case "Constant": {
        const tensor = node.has("sparse_value")
          ? undefined
          : this.#graph.constant(node.outputs[0] ?? "");
        return tensor === undefined ? [] : [{ type: tensor.type, shape: tensor.shape }];
      }
      case "ConstantOfShape":
        return [{ type: node.tensor("value")?.type ?? "f32", shape: this.#ints(first) }];
      case "Shape":
        return [{ type: "i64", shape: shape === undefined ? undefined : [shape.length] }];
      case "ArgMax":
      case "ArgMin": {
        const keep = node.int("keepdims", 1) === 1;
        return [{ type: "i64", shape: reduced(shape, [node.int("axis", 0)], keep) }];
      }
      case "TopK": {
        const k = this.#ints(second)?.[0] ?? (node.has("k") ? node.int("k", 1) : "?");
        const axis = node.int("axis", -1);
        const result = shape?.map((length, i) => i === wrap(axis, shape.length) ? k : length);
        return [{ type, shape: result }, { type: "i64", shape: result }];
      }
      case "Gather": {
        const indices = this.#shape(second);
        if (shape === undefined || indices === undefined) return [{ type }];
        const axis = wrap(node.int("axis", 0), shape.length);
        return [{ type, shape: [...shape.slice(0, axis), ...indices, ...shape.slice(axis + 1)] }];
      }
      case "Slice":
        return [{ type, shape: this.#slice(node) }];
      case "Split":
        return this.#split(node);
      case "Pad": {
        const pads = node.ints("pads") ?? this.#numbers(second);
        if (pads === undefined || shape === undefined || node.inputs.length > 3) {
          return [{ type, shape: shape?.map(() => "?") }];
        }
        return [{
          type,
          shape: shape.map((length, i) => plus(length, pads[i]! + pads[i + shape.length]!)),
        }];
      }
      case "Expand": {
        const target = this.#ints(second);
        return [{
          type,
          shape: target === undefined || shape === undefined
            ? undefined
            : broadcastShapes(shape, target),
        }];
      }
      case "Where":
        return [{ type: this.#type(second), shape: this.#broadcast(node.inputs) }];
      case "Resize":
      case "Upsample":
        return [{ type, shape: this.#resized(node) }];
      default:
        return [];
    }
  }

  #broadcast(inputs: readonly string[]): readonly Dimension[] | undefined {
    let result: readonly Dimension[] | undefined = [];
    for (const input of inputs) {
      const shape = this.#shape(input);
      if (shape === undefined || result === undefined) return undefined;
      result = broadcastShapes(result, shape);
    }
    return result;
  }

  #convolution(node: OnnxNode): readonly Dimension[] | undefined {
    const shape = this.#shape(node.inputs[0]);
    const weight = this.#shape(node.inputs[1]);
    if (weight === undefined) return undefined;
    const kernel = weight.slice(2);
    const batch = shape?.[0] ?? "?";
    const spatial = kernel.map((size, i) => windowed(shape?.[i + 2] ?? "?", size, node, i));
    return [batch, weight[0]!, ...spatial];
  }

  #gemm(node: OnnxNode): readonly Dimension[] | undefined {
    const a = this.#shape(node.inputs[0]);
    const b = this.#shape(node.inputs[1]);
    const rows = a?.[node.int("transA", 0) === 1 ? 1 : 0] ?? "?";
    const columns = b?.[node.int("transB", 0) === 1 ? 0 : 1] ?? "?";
    return [rows, columns];
  }

  #concat(node: OnnxNode): readonly Dimension[] | undefined {
    const shapes = node.inputs.map((input) => this.#shape(input));
    const first = shapes.find((shape) => shape !== undefined);
    if (first === undefined) return undefined;
    const axis = wrap(node.int("axis", 1), first.length);
    return first.map((length, i) => {
      if (i !== axis) {
        // One fixed length settles the axis for all.
        return shapes.map((shape) => shape?.[i] ?? "?").find((item) => typeof item === "number") ??
          length;
      }
      return shapes.reduce<Dimension>((sum, shape) => {
        const item = shape?.[i];
        return typeof sum === "number" && typeof item === "number" ? sum + item : "?";
      }, 0);
    });
  }

  #slice(node: OnnxNode): readonly Dimension[] | undefined {
    const shape = this.#shape(node.inputs[0]);
    const starts = node.ints("starts") ?? this.#numbers(node.inputs[1]);
    const ends = node.ints("ends") ?? this.#numbers(node.inputs[2]);
    if (shape === undefined) return undefined;
    if (starts === undefined || ends === undefined) return shape.map(() => "?");
    const axes = node.ints("axes") ?? this.#numbers(node.inputs[3]) ?? starts.map((_, i) => i);
    const steps = this.#numbers(node.inputs[4]) ?? starts.map(() => 1);
    const result = [...shape];
    axes.forEach((axis, i) => {
      const at = wrap(axis, shape.length);
      result[at] = sliced(shape[at]!, { start: starts[i]!, end: ends[i]!, step: steps[i]! });
    });
    return result;
  }

  #split(node: OnnxNode): Guess[] {
    const shape = this.#shape(node.inputs[0]);
    const type = this.#type(node.inputs[0]);
    if (shape === undefined) return node.outputs.map(() => ({ type }));
    const axis = wrap(node.int("axis", 0), shape.length);
    const sizes = node.ints("split") ?? this.#numbers(node.inputs[1]);
    const length = shape[axis]!;
    const count = node.outputs.length;
    const even = typeof length === "number" ? Math.ceil(length / count) : "?";
    return node.outputs.map((_, index) => {
      const part = sizes?.[index] ??
        (typeof even === "number" && typeof length === "number" && index === count - 1
          ? length - even * (count - 1)
          : even);
      return { type, shape: shape.map((item, i) => i === axis ? part : item) };
    });
  }

  #resized(node: OnnxNode): readonly Dimension[] | undefined {
    const shape = this.#shape(node.inputs[0]);
    if (shape === undefined) return undefined;
    const sizes = this.#ints(node.inputs[3]);
    if (sizes !== undefined && sizes.length === shape.length) return sizes;
    const at = node.opType === "Upsample" || this.#opset < 11 ? 1 : 2;
    const scales = node.floats("scales") ?? this.#numbers(node.inputs[at]);
    if (scales === undefined || scales.length !== shape.length) return shape.map(() => "?");
    return shape.map((length, i) =>
      scales[i] === 1 ? length : typeof length === "number" ? Math.floor(length * scales[i]!) : "?"
    );
  }

  /** Follows the elements of small integer values, so that computed shapes become known. */
  #follow(node: OnnxNode): void {
    const output = node.outputs[0];
    if (output === undefined || node.domain !== "") return;
    const elements = this.#followed(node);
    if (elements !== undefined && elements.length <= MAX_SHAPE_LENGTH) {
      this.#elements.set(output, elements);
    }
  }

  #followed(node: OnnxNode): readonly Dimension[] | undefined {
    const [first, second] = node.inputs;
    switch (node.opType) {
      case "Shape": {
        const shape = this.#shape(first);
        const end = node.has("end") ? node.int("end", 0) : undefined;
        return shape?.slice(node.int("start", 0), end);
      }
      case "Cast":
      case "Identity":
      case "Squeeze":
      case "Unsqueeze": {
        if (node.opType === "Cast" && node.int("to", 0) === ELEMENT_TYPES.f32) return undefined;
        return this.#ints(first);
      }
      case "Gather": {
        const data = this.#ints(first);
        const indices = this.#numbers(second);
        if (data === undefined || node.int("axis", 0) !== 0) return undefined;
        return indices?.map((index) => data[wrap(index, data.length)] ?? "?");
      }
      case "Slice": {
        const data = this.#ints(first);
        const start = (node.ints("starts") ?? this.#numbers(second))?.[0];
        const end = (node.ints("ends") ?? this.#numbers(node.inputs[2]))?.[0];
        const step = this.#numbers(node.inputs[4])?.[0] ?? 1;
        if (start === undefined || end === undefined || step !== 1) return undefined;
        return data?.slice(start, end);
      }
      case "Concat": {
        const parts = node.inputs.map((input) => this.#ints(input));
        return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
      }
      case "Add":
      case "Sub":
      case "Mul":
      case "Div": {
        const a = this.#numbers(first);
        const b = this.#numbers(second);
        if (a === undefined || b === undefined) return undefined;
        return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
          const x = a[a.length === 1 ? 0 : i] ?? NaN;
          const y = b[b.length === 1 ? 0 : i] ?? NaN;
          if (node.opType === "Add") return x + y;
          if (node.opType === "Sub") return x - y;
          return node.opType === "Mul" ? x * y : Math.trunc(x / y);
        });
      }
      default:
        return undefined;
    }
  }
}

function wrap(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

function plus(length: Dimension, more: number): Dimension {
  if (typeof length === "number") return length + more;
  return more === 0 ? length : "?";
}

function mergeShapes(
  declared: readonly Dimension[] | undefined,
  inferred: readonly Dimension[] | undefined,
): readonly Dimension[] | undefined {
  if (declared === undefined || inferred === undefined) return declared ?? inferred;
  if (declared.length !== inferred.length) return declared;
  return declared.map((length, i) => {
    const other = inferred[i]!;
    if (typeof length === "number") return length;
    return typeof other === "number" || length === "?" ? other : length;
  });
}

function broadcastShapes(a: readonly Dimension[], b: readonly Dimension[]): readonly Dimension[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    if (typeof x === "number") return x;
    return typeof y === "number" ? y : "?";
  });
}

function reduced(
  shape: readonly Dimension[] | undefined,
  axes: readonly number[] | undefined,
  keep: boolean,
): readonly Dimension[] | undefined {
  if (shape === undefined) return undefined;
  const all = axes === undefined || axes.length === 0;
  const gone = new Set((axes ?? []).map((axis) => wrap(axis, shape.length)));
  if (keep) return shape.map((length, i) => all || gone.has(i) ? 1 : length);
  return all ? [] : shape.filter((_, i) => !gone.has(i));
}

/** Output length of a convolution or pooling window along one axis. */
function windowed(length: Dimension, size: Dimension, node: OnnxNode, axis: number): Dimension {
  if (typeof length !== "number" || typeof size !== "number") return "?";
  const stride = node.ints("strides")?.[axis] ?? 1;
  const dilation = node.ints("dilations")?.[axis] ?? 1;
  const auto = node.string("auto_pad", "NOTSET");
  if (auto === "SAME_UPPER" || auto === "SAME_LOWER") return Math.ceil(length / stride);
  const pads = auto === "VALID" ? undefined : node.ints("pads");
  const rank = (pads?.length ?? 0) / 2;
  const padding = (pads?.[axis] ?? 0) + (pads?.[axis + rank] ?? 0);
  const span = dilation * (size - 1) + 1;
  const steps = (length + padding - span) / stride;
  return (node.int("ceil_mode", 0) === 1 ? Math.ceil(steps) : Math.floor(steps)) + 1;
}

function pooled(
  shape: readonly Dimension[] | undefined,
  node: OnnxNode,
): readonly Dimension[] | undefined {
  const kernel = node.ints("kernel_shape") ?? [];
  if (shape === undefined) return undefined;
  return [
    ...shape.slice(0, 2),
    ...shape.slice(2).map((length, i) => windowed(length, kernel[i] ?? 1, node, i)),
  ];
}

function matmulShape(
  a: readonly Dimension[] | undefined,
  b: readonly Dimension[] | undefined,
): readonly Dimension[] | undefined {
  if (a === undefined || b === undefined || a.length === 0 || b.length === 0) return undefined;
  if (a.length === 1 || b.length === 1) {
    return [...a.slice(0, -1), ...(b.length === 1 ? [] : [...b.slice(0, -2), b.at(-1)!])];
  }
  const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2));
  return [...batch, a.at(-2)!, b.at(-1)!];
}

function flattened(
  shape: readonly Dimension[] | undefined,
  axis: number,
): readonly Dimension[] | undefined {
  if (shape === undefined) return undefined;
  const at = wrap(axis, shape.length);
  return [dimensionProduct(shape.slice(0, at)), dimensionProduct(shape.slice(at))];
}

function reshaped(
  shape: readonly Dimension[] | undefined,
  target: readonly Dimension[] | undefined,
  zeroIsZero: boolean,
): readonly Dimension[] | undefined {
  if (target === undefined) return undefined;
  const result = target.map((length, i): Dimension =>
    length === 0 && !zeroIsZero ? shape?.[i] ?? "?" : length
  );
  const open = result.indexOf(-1);
  if (open < 0) return result;
  const rest = result.filter((_, i) => i !== open);
  result[open] = shape === undefined ? "?" : quotient(shape, rest);
  return result;
}

/** The dimension that makes `rest` hold as many elements as `shape`. */
function quotient(shape: readonly Dimension[], rest: readonly Dimension[]): Dimension {
  const left = [...shape];
  for (const length of rest) {
    if (typeof length === "number") continue;
    const at = left.indexOf(length);
    if (at < 0 || length === "?") return "?";
    left.splice(at, 1);
  }
  const divisor = dimensionProduct(rest.filter((length) => typeof length === "number"));
  const names = left.filter((length) => typeof length === "string");
  const numbers = dimensionProduct(left.filter((length) => typeof length === "number"));
  if (typeof divisor !== "number" || typeof numbers !== "number" || divisor === 0) return "?";
  const ratio = numbers / divisor;
  if (!Number.isInteger(ratio)) return "?";
  if (names.length === 0) return ratio;
  return names.length === 1 && ratio === 1 ? names[0]! : "?";
}

function transposed(
  shape: readonly Dimension[] | undefined,
  order: readonly number[] | undefined,
): readonly Dimension[] | undefined {
  if (shape === undefined) return undefined;
  return order === undefined ? shape.toReversed() : order.map((axis) => shape[axis] ?? "?");
}

function squeezed(
  shape: readonly Dimension[] | undefined,
  axes: readonly number[] | undefined,
): readonly Dimension[] | undefined {
  if (shape === undefined) return undefined;
  if (axes === undefined) return shape.filter((length) => length !== 1);
  const gone = new Set(axes.map((axis) => wrap(axis, shape.length)));
  return shape.filter((_, i) => !gone.has(i));
}

function unsqueezed(
  shape: readonly Dimension[] | undefined,
  axes: readonly number[] | undefined,
): readonly Dimension[] | undefined {
  if (shape === undefined || axes === undefined) return undefined;
  const rank = shape.length + axes.length;
  const added = new Set(axes.map((axis) => wrap(axis, rank)));
  const rest = [...shape];
  return Array.from({ length: rank }, (_, i) => added.has(i) ? 1 : rest.shift() ?? "?");
}

function sliced(
  length: Dimension,
  range: { start: number; end: number; step: number },
): Dimension {
  const { start, end, step } = range;
  if (typeof length !== "number") return start === 0 && end >= 2 ** 31 - 1 ? length : "?";
  const clamp = (index: number, low: number, high: number) =>
    Math.min(Math.max(index < 0 ? index + length : index, low), high);
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const from = clamp(start, low, high);
  const to = clamp(end, low, high);
  return Math.max(0, Math.ceil((to - from) / step));
}
