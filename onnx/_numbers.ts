/**
 * Numbers that a graph computes without looking at its data: from shapes and constants, as exporters
 * write the scale of an attention or the sizes of a Reshape.
 *
 * @module
 */

import { constantOf } from "./_constants.ts";
import { wrap } from "./_shape_math.ts";
import type { OnnxGraph } from "./graph.ts";
import type { OnnxNode } from "./node.ts";
import type { OnnxTensor } from "./tensor.ts";
import type { ValueInfo } from "./value_info.ts";

/** Longer lists are no settings. */
const MAX_LENGTH = 16;

type Operation = (x: number, y: number) => number;

const BINARY: ReadonlyMap<string, Operation> = new Map([
  ["Add", (x, y) => x + y],
  ["Sub", (x, y) => x - y],
  ["Mul", (x, y) => x * y],
  ["Div", (x, y) => x / y],
  ["Pow", (x, y) => x ** y],
]);

const UNARY: ReadonlyMap<string, (x: number) => number> = new Map([
  ["Identity", (x) => x],
  ["Cast", (x) => x],
  ["Sqrt", Math.sqrt],
  ["Reciprocal", (x) => 1 / x],
  ["Neg", (x) => -x],
  ["Floor", Math.floor],
  ["Ceil", Math.ceil],
]);

/** Numbers that are known before anything runs. */
export class Numbers {
  readonly #graph: OnnxGraph;
  readonly #info: (value: string) => ValueInfo | undefined;
  readonly #lists: Map<string, readonly number[] | undefined> = new Map();
  readonly #uniform: Map<string, number | undefined> = new Map();

  /** @param graph The graph. @param info What is known of its values. */
  constructor(graph: OnnxGraph, info: (value: string) => ValueInfo | undefined) {
    this.#graph = graph;
    this.#info = info;
  }

  /** The one number that all elements of a value are, however many there are. */
  uniform(value: string): number | undefined {
    if (!this.#uniform.has(value)) {
      this.#uniform.set(value, undefined);
      this.#uniform.set(value, this.#findUniform(value));
    }
    return this.#uniform.get(value);
  }

  /** The elements of a short value. */
  list(value: string): readonly number[] | undefined {
    if (!this.#lists.has(value)) {
      this.#lists.set(value, undefined);
      this.#lists.set(value, this.#findList(value));
    }
    return this.#lists.get(value);
  }

  #findUniform(value: string): number | undefined {
    const list = this.list(value);
    if (list !== undefined) return sameAll(list);
    const constant = constantOf(this.#graph, value);
    if (constant !== undefined) return sameAll(numbersOf(constant));
    const node = this.#graph.producer(value);
    if (node === undefined || node.domain !== "") return undefined;
    const [a = "", b = ""] = node.inputs;
    if (node.opType === "ConstantOfShape") return Number(node.tensor("value")?.data[0] ?? 0);
    // An array that is stored may learn, whatever it holds now.
    if (SPREADING.has(node.opType)) {
      return constantOf(this.#graph, a) === undefined || this.list(a)?.length === 1
        ? this.uniform(a)
        : undefined;
    }
    const unary = UNARY.get(node.opType);
    if (unary !== undefined) return applied(unary, this.uniform(a));
    if (!BINARY.has(node.opType)) return undefined;
    return this.#calculated(node, [this.uniform(a)], [this.uniform(b)])?.[0];
  }

  #findList(value: string): readonly number[] | undefined {
    const constant = this.#graph.constant(value);
    if (constant !== undefined) {
      return constant.data.length <= MAX_LENGTH ? Array.from(numbersOf(constant)) : undefined;
    }
    const node = this.#graph.producer(value);
    if (node === undefined || node.domain !== "") return undefined;
    const [a = "", b = ""] = node.inputs;
    switch (node.opType) {
      case "Shape": {
        const shape = this.#info(a)?.shape
          ?.slice(node.int("start", 0), node.has("end") ? node.int("end", 0) : undefined);
        return shape?.every((length) => typeof length === "number") ? shape : undefined;
      }
      case "Squeeze":
      case "Unsqueeze":
      case "Reshape":
        return this.list(a);
      case "Gather":
        return this.#gathered(a, b);
      case "Slice":
        return this.#sliced(node);
      case "Concat": {
        const parts = node.inputs.map((input) => this.list(input));
        return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
      }
    }
    const unary = UNARY.get(node.opType);
    if (unary !== undefined) return this.list(a)?.map(unary);
    return this.#calculated(node, this.list(a), this.list(b));
  }

  /** The elements that a list of places names; of a Shape, other lengths may be open. */
  #gathered(data: string, indices: string): number[] | undefined {
    const places = this.list(indices);
    const maker = this.#graph.producer(data);
    const shape = maker?.opType === "Shape" ? this.#info(maker.inputs[0]!)?.shape : undefined;
    const from = shape ?? this.list(data);
    const found = places?.map((place) => from?.[wrap(place, from.length)]);
    return found?.every((item) => typeof item === "number") ? found : undefined;
  }

  #sliced(node: OnnxNode): readonly number[] | undefined {
    const [data, starts, ends, , steps] = node.inputs;
    const start = node.ints("starts") ?? (starts && this.list(starts)) ?? [];
    const end = node.ints("ends") ?? (ends && this.list(ends)) ?? [];
    if (start.length !== 1 || end.length !== 1) return undefined;
    if (steps && this.list(steps)?.[0] !== 1) return undefined;
    const maker = this.#graph.producer(data!);
    const shape = maker?.opType === "Shape" ? this.#info(maker.inputs[0]!)?.shape : undefined;
    const part = (shape ?? this.list(data!))?.slice(start[0] as number, end[0] as number);
    return part?.every((item) => typeof item === "number") ? part as number[] : undefined;
  }

  #calculated(
    node: OnnxNode,
    a: readonly (number | undefined)[] | undefined,
    b: readonly (number | undefined)[] | undefined,
  ): number[] | undefined {
    const operation = BINARY.get(node.opType);
    if (operation === undefined || a === undefined || b === undefined) return undefined;
    const whole = this.#info(node.outputs[0]!)?.type?.match(/^[iu]\d/) != null;
    const at = (list: readonly (number | undefined)[], i: number) =>
      list[list.length === 1 ? 0 : i];
    const result = Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
      const [x, y] = [at(a, i), at(b, i)];
      if (x === undefined || y === undefined) return undefined;
      return whole ? Math.trunc(operation(x, y)) : operation(x, y);
    });
    return result.every((item) => item !== undefined) ? result : undefined;
  }
}

/** Operators that repeat and lay out, and change no number. */
const SPREADING: ReadonlySet<string> = new Set(
  "Expand Tile Reshape Transpose Squeeze Unsqueeze".split(" "),
);

function numbersOf({ data }: OnnxTensor): Float64Array | Float32Array {
  if (data instanceof Float32Array || data instanceof Float64Array) return data;
  return Float64Array.from(data as ArrayLike<number | bigint>, Number);
}

function sameAll(list: ArrayLike<number>): number | undefined {
  const first = list[0];
  if (first === undefined) return undefined;
  for (let i = 1; i < list.length; i++) if (!Object.is(list[i], first)) return undefined;
  return first;
}

function applied(operation: (x: number) => number, x: number | undefined): number | undefined {
  return x === undefined ? undefined : operation(x);
}
