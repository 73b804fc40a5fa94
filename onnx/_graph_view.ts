/**
 * A graph as inspection sees it: shapes and makers of values, and constants also behind nodes that
 * only lay them out anew.
 *
 * @module
 */

import { constantOf } from "./_constants.ts";
import { Numbers } from "./_numbers.ts";
import type { OnnxGraph } from "./graph.ts";
import type { ValueSource } from "./inspection.ts";
import type { OnnxModel } from "./model.ts";
import type { OnnxNode } from "./node.ts";
import { type InferOptions, inferShapes } from "./shapes.ts";
import type { OnnxTensor } from "./tensor.ts";
import { type Dimension, dimensionProduct, type ValueInfo } from "./value_info.ts";

/** Operators that change no number, only how numbers are laid out. */
export const LAYOUT: ReadonlySet<string> = new Set(
  "Identity Dropout Cast Flatten Reshape Squeeze Unsqueeze".split(" "),
);

/** The graph of a model with all that is known of its values. */
export class GraphView {
  /** The model's name in errors. */
  readonly name: string;
  /** The graph. */
  readonly graph: OnnxGraph;
  /** Numbers that are known before anything runs. */
  readonly numbers: Numbers;
  readonly #values: ReadonlyMap<string, ValueInfo>;

  /** @param model The model, whose shapes are inferred. @param options Shapes that are given. */
  constructor(model: OnnxModel, options: Pick<InferOptions, "shapes"> = {}) {
    this.name = model.name;
    this.graph = model.graph;
    this.#values = inferShapes(model, options);
    this.numbers = new Numbers(this.graph, (value) => this.#values.get(value));
  }

  /** What is known of a value. */
  info(value: string): ValueInfo | undefined {
    return this.#values.get(value);
  }

  /** A value's shape, when its rank is known. */
  shape(value: string | undefined): readonly Dimension[] | undefined {
    return value === undefined ? undefined : this.#values.get(value)?.shape;
  }

  /** Whether a value is known to be a map: [N, C, H, W] of more than one place. */
  isMap(value: string | undefined): boolean {
    const shape = this.shape(value);
    return shape?.length === 4 && !(shape[2] === 1 && shape[3] === 1);
  }

  /** The node that makes a value. */
  producer(value: string | undefined): OnnxNode | undefined {
    return value === undefined ? undefined : this.graph.producer(value);
  }

  /** The node behind a value that does more than change the layout. */
  core(value: string): OnnxNode | undefined {
    let node = this.producer(value);
    while (node !== undefined && LAYOUT.has(node.opType)) node = this.producer(node.inputs[0]);
    return node;
  }

  /** A constant, however it is stored. */
  constant(value: string | undefined): OnnxTensor | undefined {
    return value === undefined ? undefined : constantOf(this.graph, value);
  }

  /** A value as it is. */
  asIs(value: string): ValueSource {
    const shape = this.shape(value);
    return { value, via: "value", ...(shape && { shape }) };
  }

  /** A value as rows: flattened unless it is known to be a matrix. */
  asRows(value: string): ValueSource {
    const shape = this.shape(value);
    if (shape === undefined || shape.length === 2) return this.asIs(value);
    return { value, via: "flatten", shape: [shape[0] ?? "?", dimensionProduct(shape.slice(1))] };
  }

  /** A map averaged over its places. */
  asPooled(value: string): ValueSource {
    const shape = this.shape(value);
    return { value, via: "pool", ...(shape && { shape: [shape[0] ?? "?", shape[1] ?? "?"] }) };
  }
}

/** The length of the last axis, when it is fixed. */
export function lastLength(shape: readonly Dimension[] | undefined): number | undefined {
  const last = shape?.at(-1);
  return typeof last === "number" ? last : undefined;
}
