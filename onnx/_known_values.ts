/**
 * What is known of a graph's values while its nodes are visited in order.
 *
 * @module
 */

import type { OnnxGraph } from "./graph.ts";
import type { OnnxModel } from "./model.ts";
import type { OnnxNode } from "./node.ts";
import type { ElementType } from "./proto/mod.ts";
import { elementTypeName, type OnnxTensor, toNumbers } from "./tensor.ts";
import type { Dimension, ValueInfo } from "./value_info.ts";

/** A shape whose dimensions may be open. */
export type OpenShape = readonly Dimension[];

/** A value in the making. */
export interface Guess {
  /** The element type. */
  readonly type?: ElementType | undefined;
  /** The shape. */
  readonly shape?: OpenShape | undefined;
}

/** Values longer than this are no shapes, so their elements are not followed. */
export const MAX_SHAPE_LENGTH = 16;

/** Types and shapes of values, and the elements of those that are shapes themselves. */
export class KnownValues {
  /** All that is known, by name. */
  readonly values: Map<string, ValueInfo> = new Map();
  /** The operator set. */
  readonly opset: number;
  readonly #graph: OnnxGraph;
  /** Elements of small integer values: shapes on their way to a Reshape. */
  readonly #elements: Map<string, OpenShape> = new Map();

  /** @param model The model, of which inputs and constants are known from the start. */
  constructor(model: OnnxModel) {
    this.#graph = model.graph;
    this.opset = model.opset();
    for (const input of model.graph.inputs) this.values.set(input.name, input);
    for (const [name, tensor] of model.graph.initializers) {
      this.learn(name, { type: elementTypeName(tensor.dataType), shape: tensor.dims });
    }
  }

  /** Notes a value's type and shape; what is undefined stays unknown. */
  learn(name: string, { type, shape }: Guess): void {
    this.values.set(name, {
      name,
      ...(type === undefined ? {} : { type }),
      ...(shape === undefined ? {} : { shape }),
    });
  }

  /** Notes the elements of a value, when it is short enough to be a shape. */
  learnElements(name: string, elements: OpenShape): void {
    if (elements.length <= MAX_SHAPE_LENGTH) this.#elements.set(name, elements);
  }

  /** A value's shape, when its rank is known. */
  shape(value: string | undefined): OpenShape | undefined {
    return value === undefined ? undefined : this.values.get(value)?.shape;
  }

  /** A value's element type. */
  type(value: string | undefined): ElementType | undefined {
    return value === undefined ? undefined : this.values.get(value)?.type;
  }

  /** A constant's elements, type and shape. */
  constant(value: string): OnnxTensor | undefined {
    return this.#graph.constant(value);
  }

  /** Elements of a small integer constant or of a shape computed in the graph. */
  ints(value: string | undefined): OpenShape | undefined {
    if (value === undefined || value === "") return undefined;
    const followed = this.#elements.get(value);
    if (followed !== undefined) return followed;
    const shape = this.shape(value);
    if (shape !== undefined && shape.length > 1) return undefined;
    const constant = this.#graph.constant(value);
    if (constant === undefined || constant.data.length > MAX_SHAPE_LENGTH) return undefined;
    return toNumbers(constant);
  }

  /** The same when no element is open. */
  numbers(value: string | undefined): number[] | undefined {
    const elements = this.ints(value);
    return elements?.every((item) => typeof item === "number") ? elements as number[] : undefined;
  }

  /** A list that old operator sets have in an attribute and newer ones in an input. */
  list(node: OnnxNode, { attribute, input }: { attribute: string; input: number }):
    | number[]
    | undefined {
    return node.ints(attribute) ?? this.numbers(node.inputs[input]);
  }

  /** The axes of operators that have them in the second input or in an attribute. */
  axes(node: OnnxNode): number[] | undefined {
    return this.list(node, { attribute: "axes", input: 1 });
  }
}
