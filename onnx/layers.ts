/**
 * The layers of transformers as nodes of an ONNX graph, by the names that `nn/encoder.ts` gives
 * their parameters.
 *
 * @module
 */

import type { GraphBuilder } from "./build.ts";

/** A parameter: row-major elements with their dimensions; matrices of layers are [outputs, inputs]. */
export interface LayerArray {
  /** The elements. */
  readonly data: Float32Array;
  /** The dimensions. */
  readonly shape: readonly number[];
}

/** Sizes of an attention. */
export interface GraphAttention {
  /** Number of heads. */
  readonly heads: number;
  /** Width of a row, a multiple of the heads. */
  readonly width: number;
  /** What is added to the scores, [N, 1, 1, T] or [T, T]: large negative numbers hide keys. */
  readonly bias?: string;
}

/** What encoders add to a variance. */
const ENCODER_EPSILON = 1e-6;

/**
 * Writes layers into a graph; values are rows [..., W].
 *
 * @example A linear layer
 * ```ts
 * import { GraphBuilder, GraphLayers } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const builder = new GraphBuilder();
 * const layers = new GraphLayers(builder, (name) =>
 *   name === "head.weight"
 *     ? { data: new Float32Array(6), shape: [2, 3] }
 *     : { data: new Float32Array(2), shape: [2] });
 * builder.output("y", layers.linear(builder.input("x", ["N", 3]), "head"));
 * assertEquals(builder.build().graph.outputs[0]?.shape, ["N", 2]);
 * ```
 */
export class GraphLayers {
  readonly #builder: GraphBuilder;
  readonly #array: (name: string) => LayerArray;

  /**
   * Begins.
   *
   * @param builder The graph.
   * @param array Finds a parameter by its name.
   */
  constructor(builder: GraphBuilder, array: (name: string) => LayerArray) {
    this.#builder = builder;
    this.#array = array;
  }

  /**
   * A parameter as a constant of the graph.
   *
   * @param name Its name.
   * @returns The value's name.
   */
  constant(name: string): string {
    const { data, shape } = this.#array(name);
    return this.#builder.constant(new Float32Array(data), { shape, name });
  }

  /**
   * A linear layer: x Wᵀ + b.
   *
   * @param x Rows [..., inputs].
   * @param name Prefix of `weight` [outputs, inputs] and `bias`.
   * @param options `bias`: whether there is one; true by default.
   * @returns Rows [..., outputs].
   */
  linear(x: string, name: string, options: { readonly bias?: boolean } = {}): string {
    const builder = this.#builder;
    const weight = this.#array(`${name}.weight`);
    const [outputs, inputs] = weight.shape as [number, number];
    const factor = builder.constant(transposed(weight.data, [outputs, inputs]), {
      shape: [inputs, outputs],
      name: `${name}.weight`,
    });
    const product = builder.node("MatMul", [x, factor]);
    if (options.bias === false) return product;
    return builder.node("Add", [product, this.constant(`${name}.bias`)]);
  }

  /**
   * Layer normalisation over the last axis, of basic operators that every operator set has.
   *
   * @param x Rows.
   * @param name Prefix of `weight` and `bias`.
   * @param options `epsilon`, 1e-6 by default.
   * @returns Rows of the same shape.
   */
  layerNorm(x: string, name: string, options: { readonly epsilon?: number } = {}): string {
    const builder = this.#builder;
    const mean = builder.reduce("ReduceMean", x, { axes: [-1], keepDims: true });
    const centred = builder.node("Sub", [x, mean]);
    const squares = builder.node("Mul", [centred, centred]);
    const variance = builder.reduce("ReduceMean", squares, { axes: [-1], keepDims: true });
    const epsilon = builder.constant(options.epsilon ?? ENCODER_EPSILON);
    const deviation = builder.node("Sqrt", [builder.node("Add", [variance, epsilon])]);
    const unit = builder.node("Div", [centred, deviation]);
    const scaled = builder.node("Mul", [unit, this.constant(`${name}.weight`)]);
    return builder.node("Add", [scaled, this.constant(`${name}.bias`)]);
  }

  /**
   * GELU with the error function.
   *
   * @param x Any shape.
   * @returns The same shape.
   */
  gelu(x: string): string {
    const builder = this.#builder;
    const scaled = builder.node("Mul", [x, builder.constant(Math.SQRT1_2)]);
    const bent = builder.node("Add", [builder.node("Erf", [scaled]), builder.constant(1)]);
    return builder.node("Mul", [builder.node("Mul", [x, builder.constant(0.5)]), bent]);
  }

  /**
   * Two linear layers with a GELU between them.
   *
   * @param x Rows [..., W].
   * @param name Prefix of `in` and `out`.
   * @returns Rows [..., W].
   */
  perceptron(x: string, name: string): string {
    return this.linear(this.gelu(this.linear(x, `${name}.in`)), `${name}.out`);
  }

  /**
   * Multi-head attention with its four linear layers.
   *
   * @param queries Rows [N, Tq, W].
   * @param name Prefix of `query`, `key`, `value` and `output`.
   * @param attention Heads, width, and what is added to the scores.
   * @param keys Rows [N, Tk, W]; the queries by default.
   * @returns Rows `y` [N, Tq, W], and the weights [N, heads, Tq, Tk].
   */
  attention(
    queries: string,
    name: string,
    attention: GraphAttention,
    keys: string = queries,
  ): { readonly y: string; readonly weights: string } {
    const builder = this.#builder;
    const { heads, width, bias } = attention;
    const depth = width / heads;
    const split = (x: string, part: string, permutation: readonly number[]) =>
      this.#transpose(
        builder.node("Reshape", [
          this.linear(x, `${name}.${part}`),
          builder.ints([0, 0, heads, depth]),
        ]),
        permutation,
      );
    const products = builder.node("MatMul", [
      split(queries, "query", [0, 2, 1, 3]),
      split(keys, "key", [0, 2, 3, 1]),
    ]);
    const scaled = builder.node("Mul", [products, builder.constant(1 / Math.sqrt(depth))]);
    const shifted = bias === undefined ? scaled : builder.node("Add", [scaled, bias]);
    const weights = builder.node("Softmax", [shifted], {
      attributes: { axis: builder.opset >= 13 ? -1n : 3n },
    });
    const mixed = this.#transpose(
      builder.node("MatMul", [weights, split(keys, "value", [0, 2, 1, 3])]),
      [0, 2, 1, 3],
    );
    const joined = builder.node("Reshape", [mixed, builder.ints([0, 0, width])]);
    return { y: this.linear(joined, `${name}.output`), weights };
  }

  /**
   * A pre-norm encoder block.
   *
   * @param x Rows [N, T, W].
   * @param name Prefix of `norm1`, `attention`, `norm2` and `mlp`.
   * @param attention Heads, width, and what is added to the scores.
   * @returns Rows [N, T, W].
   */
  encoderBlock(x: string, name: string, attention: GraphAttention): string {
    const builder = this.#builder;
    const seen = this.attention(this.layerNorm(x, `${name}.norm1`), `${name}.attention`, attention);
    const middle = builder.node("Add", [x, seen.y]);
    const inside = this.perceptron(this.layerNorm(middle, `${name}.norm2`), `${name}.mlp`);
    return builder.node("Add", [middle, inside]);
  }

  #transpose(x: string, permutation: readonly number[]): string {
    return this.#builder.node("Transpose", [x], { attributes: { perm: permutation.map(BigInt) } });
  }
}

/**
 * A matrix with its rows as columns.
 *
 * @param data Row-major elements.
 * @param shape Rows and columns.
 * @returns The elements of the transpose, row-major.
 *
 * @example Two rows
 * ```ts
 * import { transposed } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...transposed(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3])], [1, 4, 2, 5, 3, 6]);
 * ```
 */
export function transposed(
  data: Float32Array,
  [rows, columns]: readonly [number, number],
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  }
  return out;
}
