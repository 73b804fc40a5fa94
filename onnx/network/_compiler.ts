/**
 * Turning nodes into steps: what operators need to know of the graph around them.
 *
 * @module
 */

import type { Tape, Variable } from "../../nn/mod.ts";
import type { Scalar, Tensor, UserError } from "../../runtime/mod.ts";
import type { GraphView } from "../_graph_view.ts";
import type { OnnxModel } from "../model.ts";
import type { OnnxNode } from "../node.ts";
import { type OnnxTensor, toNumbers } from "../tensor.ts";
import type { Dimension } from "../value_info.ts";
import type { NetworkOptions } from "./options.ts";
import type { Part } from "./_part.ts";
import { cannotImport, type InputPlace, type PlannedNorm, type WeightPlan } from "./_weights.ts";

/** What a step sees while it runs. */
export interface Run {
  /** The tape. */
  readonly tape: Tape;
  /** Whether batch statistics and dropout apply. */
  readonly training: boolean;
  /** Told what an inserted normalisation is given. */
  readonly observe: ((norm: PlannedNorm, x: Tensor) => void) | undefined;
  /** Seed of dropout. */
  readonly seed: Scalar | undefined;
  /** A value that an earlier step made. */
  value(name: string): Variable;
  /** A parameter, by the name that the weight plan gave it. */
  parameter(name: string): Variable;
  /** A running statistic. */
  statistic(name: string): Tensor;
  /** A vector that does not learn. */
  constant(name: string): Tensor;
}

/** One operation of the network. */
export interface Step {
  /** Values that it reads. */
  readonly inputs: readonly string[];
  /** The value that it makes. */
  readonly output: string;
  /** Whether the output may be the first input's memory. */
  readonly view?: boolean;
  /** Runs it. */
  readonly run: (run: Run) => Variable;
}

/** Turns a node into a step, or into several in a row. */
export type Operator = (node: OnnxNode, compiler: Compiler) => Step | readonly Step[];

/** An activation that a kernel applies to its result. */
export interface Fused {
  /** The value that then comes out. */
  readonly output: string;
  /** The activation. */
  readonly activation: "none" | "relu";
}

/** A bias that a node has itself, or that the next one adds. */
export interface AddedBias {
  /** Name of the bias, if there is one. */
  readonly bias?: string;
  /** The value that then comes out. */
  readonly output: string;
  /** Where the bias is read. */
  readonly place?: InputPlace;
}

/** Where normalisations are inserted: behind every convolution but one. */
export interface NormPlaces {
  /** The node that makes the class scores. */
  readonly classifier: OnnxNode | undefined;
}

/** The graph around the nodes that become steps. */
export class Compiler {
  /** The graph. */
  readonly view: GraphView;
  /** What the network will hold. */
  readonly weights: WeightPlan;
  /** How it is trained. */
  readonly options: NetworkOptions;
  readonly #model: OnnxModel;
  readonly #kept: ReadonlySet<string>;
  readonly #readers: Map<string, OnnxNode[]> = new Map();
  readonly #taken: Set<OnnxNode> = new Set();
  readonly #raw: Set<string>;
  readonly #inserts: NormPlaces | undefined;

  /**
   * @param model The model.
   * @param how Its view, the part that becomes steps, the values that must come out, the image, and
   * where normalisations are inserted, if they are.
   */
  constructor(
    model: OnnxModel,
    how: {
      readonly view: GraphView;
      readonly weights: WeightPlan;
      readonly options: NetworkOptions;
      readonly part: Part;
      readonly kept: ReadonlySet<string>;
      readonly image: string;
      readonly inserts: NormPlaces | undefined;
    },
  ) {
    this.#model = model;
    this.view = how.view;
    this.weights = how.weights;
    this.options = how.options;
    this.#kept = how.kept;
    this.#raw = new Set([how.image]);
    this.#inserts = how.inserts;
    for (const node of how.part.nodes) {
      for (const input of new Set(node.inputs)) {
        this.#readers.set(input, [...this.#readers.get(input) ?? [], node]);
      }
    }
  }

  /** Whether an earlier step has taken a node in. */
  taken(node: OnnxNode): boolean {
    return this.#taken.has(node);
  }

  /** The error of a node that can not become a step. */
  refuse(node: OnnxNode, why: string): UserError {
    return cannotImport(this.#model, node, why);
  }

  /** A value's shape, whose rank must be known. */
  shape(value: string, node: OnnxNode): readonly Dimension[] {
    const shape = this.view.shape(value);
    if (shape !== undefined) return shape;
    throw this.refuse(node, `the shape of "${value}" can not be inferred`);
  }

  /** Requires maps. */
  requireMap(value: string, node: OnnxNode): void {
    const shape = this.shape(value, node);
    if (shape.length === 4) return;
    throw this.refuse(node, `"${value}" is [${shape.join(", ")}] and [N, C, H, W] was expected`);
  }

  /** The number of channels of maps or rows. */
  channels(value: string, node: OnnxNode): number {
    const shape = this.shape(value, node);
    if (shape.length !== 2 && shape.length !== 4) {
      throw this.refuse(
        node,
        `"${value}" is [${shape.join(", ")}] and [N, C, H, W] or [N, C] was expected`,
      );
    }
    const channels = shape[1]!;
    if (typeof channels === "number") return channels;
    throw this.refuse(node, `the number of channels of "${value}" is not known`);
  }

  /** A constant input of a node, undefined when it is left out. */
  constant(node: OnnxNode, input: number): OnnxTensor | undefined {
    const name = node.inputs[input];
    if (name === undefined || name === "") return undefined;
    const constant = this.view.constant(name);
    if (constant !== undefined) return constant;
    throw this.refuse(node, `"${name}" is computed, and only a constant is supported there`);
  }

  /** A list of whole numbers that stands in an attribute or in a constant input. */
  list(node: OnnxNode, { attribute, input }: { attribute: string; input: number }):
    | number[]
    | undefined {
    const constant = node.ints(attribute) ?? this.constant(node, input);
    return constant === undefined || Array.isArray(constant) ? constant : toNumbers(constant);
  }

  /** A number that stands in an attribute or in a constant input. */
  number(
    node: OnnxNode,
    { attribute, input, fallback }: { attribute: string; input: number; fallback: number },
  ): number {
    if (node.has(attribute)) return node.float(attribute, fallback);
    const constant = this.constant(node, input);
    return constant === undefined ? fallback : Number(constant.data[0]);
  }

  /** Refuses a node of which more than the first output is read. */
  requireOneOutput(node: OnnxNode): void {
    const read = node.outputs.slice(1).find((output) =>
      this.#kept.has(output) || this.#readers.has(output)
    );
    if (read !== undefined) throw this.refuse(node, `its output "${read}" is read`);
  }

  /** The one node that reads a value, when nothing else does and nobody wants the value itself. */
  onlyReader(value: string): OnnxNode | undefined {
    const readers = this.#readers.get(value) ?? [];
    return readers.length === 1 && !this.#kept.has(value) ? readers[0] : undefined;
  }

  /** Takes a ReLU into the step of the node before it. */
  withRelu(value: string): Fused {
    const reader = this.onlyReader(value);
    if (reader?.opType !== "Relu" || reader.domain !== "") {
      return { output: value, activation: "none" };
    }
    this.#taken.add(reader);
    return { output: reader.outputs[0]!, activation: "relu" };
  }

  /**
   * Takes an Add of one constant per channel into the step of the node before it.
   *
   * @returns The constant's name, where it is read, and the value that then comes out.
   */
  withBias(value: string, channels: number): AddedBias {
    const reader = this.onlyReader(value);
    if (reader?.opType !== "Add" || reader.domain !== "") return { output: value };
    const input = reader.inputs[0] === value ? 1 : 0;
    const bias = reader.inputs[input] ?? "";
    const { kind } = perChannel(this.view.constant(bias), {
      rank: this.view.shape(value)?.length ?? 0,
      channels,
    });
    if (kind !== "channels") return { output: value };
    this.#taken.add(reader);
    return { bias, output: reader.outputs[0]!, place: { node: reader, input } };
  }

  /**
   * Whether a normalisation is put behind a convolution.
   *
   * @param node The convolution.
   * @param output What comes out of it, a bias added.
   */
  takesNorm(node: OnnxNode, output: string): boolean {
    // On maps of one place a convolution is a linear layer.
    if (this.#inserts === undefined || !this.view.isMap(output)) return false;
    const reader = this.onlyReader(output);
    const has = reader?.opType === "BatchNormalization" && reader.domain === "";
    // What several nodes multiply by can not take up the factors of each.
    const shared = this.weights.isShared(node.inputs[1] ?? "");
    return !has && !shared && node !== this.#inserts.classifier;
  }

  /** Whether a value is the image, at most shifted and scaled: its constants are no parameters. */
  isRaw(value: string): boolean {
    return this.#raw.has(value);
  }

  /** Notes that a node only shifts, scales or pads the image. */
  noteRaw(node: OnnxNode, from: string): void {
    if (this.#raw.has(from)) this.#raw.add(node.outputs[0]!);
  }
}

/**
 * What a constant is to maps or rows: one number, one for each channel, or something else.
 *
 * @param constant The constant.
 * @param to Rank and channels of the value that it is put together with.
 * @returns Which of them.
 */
export function perChannel(
  constant: OnnxTensor | undefined,
  to: { readonly rank: number; readonly channels: number },
): { readonly kind: "scalar" | "channels" | "other" } {
  if (constant === undefined) return { kind: "other" };
  const { shape, data } = constant;
  // Counted from the end, channels are the first of the last three axes of maps, the last of rows.
  const axis = shape.length - (to.rank === 4 ? 3 : 1);
  if (data.length === to.channels && shape[axis] === to.channels) return { kind: "channels" };
  return { kind: data.length === 1 && shape.length <= to.rank ? "scalar" : "other" };
}
