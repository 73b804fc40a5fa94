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
import { arrange } from "./_arrange.ts";
import { type Factor, Layout } from "./_layout.ts";
import type { NetworkOptions } from "./options.ts";
import type { Part } from "./_part.ts";
import { type Spread, spreadOf } from "./_spread.ts";
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
  /** Length of the batch. */
  readonly batch: number;
  /** Where lists of one length begin and end, i32 [count + 1]. */
  offsets(count: number, length: number): Tensor;
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
  /** The node that it stands for, for errors. */
  readonly node?: OnnxNode;
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
  readonly #layouts: Map<string, Layout> = new Map();
  readonly #pending: Step[] = [];
  readonly #deferred: Map<OnnxNode, () => Step | readonly Step[]> = new Map();

  /**
   * @param model The model.
   * @param how Its view, the part that becomes steps, the values that must come out, the image if there is one, and
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
      readonly image: string | undefined;
      readonly inserts: NormPlaces | undefined;
    },
  ) {
    this.#model = model;
    this.view = how.view;
    this.weights = how.weights;
    this.options = how.options;
    this.#kept = how.kept;
    this.#raw = new Set(how.image === undefined ? [] : [how.image]);
    this.#inserts = how.inserts;
    for (const node of how.part.nodes) {
      for (const input of new Set(node.inputs)) {
        this.#readers.set(input, [...this.#readers.get(input) ?? [], node]);
      }
    }
  }

  /** The model's operator set. */
  get opset(): number {
    return this.#model.opset();
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

  /** How a value lies in memory. */
  layout(value: string, node: OnnxNode): Layout {
    const known = this.#layouts.get(value);
    if (known !== undefined) return known;
    const layout = Layout.standard(this.shape(value, node));
    this.#layouts.set(value, layout);
    return layout;
  }

  /** Notes how a value lies in memory where that is not as operators take it. */
  setLayout(value: string, layout: Layout): void {
    this.#layouts.set(value, layout);
  }

  /** Notes that a value lies in memory as another does. */
  sameLayout(value: string, other: string, node: OnnxNode): void {
    this.#layouts.set(value, this.layout(other, node));
  }

  /** A value as operators take it: maps channels last, others in their order. */
  standard(value: string, node: OnnxNode): string {
    const layout = this.layout(value, node);
    return layout.isStandard ? value : this.arranged(value, layout.standardised().memory, node);
  }

  /** A value with its factors in some order in memory. */
  arranged(value: string, memory: readonly Factor[], node: OnnxNode): string {
    const from = this.layout(value, node);
    const to = new Layout(memory, from.axes);
    if (from.order === to.order) return value;
    if (Number.isNaN(from.each)) throw this.refuse(node, `the shape of "${value}" is not known`);
    const name = `${value} as ${to.order}`;
    if (this.#layouts.has(name)) return name;
    this.#layouts.set(name, to);
    this.#pending.push({
      inputs: [value],
      output: name,
      run: ({ tape, value: get }) => arrange(tape, get(value), { from, to }),
      node,
    });
    return name;
  }

  /** Notes how a later node becomes steps, which an earlier one has found out. */
  defer(node: OnnxNode, make: () => Step | readonly Step[]): void {
    this.#deferred.set(node, make);
  }

  /** How a node becomes steps, when an earlier one has found that out. */
  deferred(node: OnnxNode): (() => Step | readonly Step[]) | undefined {
    return this.#deferred.get(node);
  }

  /** What has to run before the step of a node that was asked for; it is given once. */
  takePending(): Step[] {
    return this.#pending.splice(0);
  }

  /** Maps, channels last. */
  map(value: string, node: OnnxNode): string {
    const shape = this.shape(value, node);
    if (shape.length === 4) return this.standard(value, node);
    throw this.refuse(node, `"${value}" is [${shape.join(", ")}] and [N, C, H, W] was expected`);
  }

  /** The number of channels, which stand in the second axis of maps and rows. */
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

  /** The one number that all elements of a value are, where that is known before anything runs. */
  scalar(value: string): number | undefined {
    return this.view.numbers.uniform(value);
  }

  /** The number that a node of two inputs puts together with a value. */
  otherNumber(node: OnnxNode, value: string): number | undefined {
    const [a, b] = node.inputs as [string, string];
    return this.scalar(a === value ? b : a);
  }

  /** What a constant is to a value: one number, one for each channel, or something else. */
  spread(constant: OnnxTensor | undefined, value: string, node: OnnxNode): Spread {
    return constant === undefined
      ? { kind: "other" }
      : spreadOf(constant, this.layout(value, node));
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

  /** The same where a graph may compute it from shapes. */
  known(
    node: OnnxNode,
    { attribute, input }: { attribute: string; input: number },
  ): readonly number[] | undefined {
    const name = node.inputs[input];
    const inAttribute = node.ints(attribute);
    if (inAttribute !== undefined || name === undefined || name === "") return inAttribute;
    const list = this.view.numbers.list(name);
    if (list !== undefined) return list;
    throw this.refuse(node, `what "${name}" holds depends on more than shapes`);
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
    return { output: this.take(reader, value), activation: "relu" };
  }

  /** Takes a SiLU, a Sigmoid and the product with it, into the step of the node before it. */
  withSilu(value: string): { readonly output: string; readonly activation: "none" | "silu" } {
    const gate = this.readers(value).find(({ opType }) => opType === "Sigmoid");
    const product = gate && this.onlyReader(gate.outputs[0]!);
    const fits = product?.opType === "Mul" && product.inputs.includes(value) &&
      this.readers(value).length === 2 && !this.#kept.has(value);
    if (!fits) return { output: value, activation: "none" };
    this.#taken.add(gate!);
    return { output: this.take(product, value), activation: "silu" };
  }

  /**
   * Takes nodes into the step that is being made.
   *
   * @param node The last of them, whose result lies in memory as `like` does.
   * @returns Its output.
   */
  take(node: OnnxNode, like: string): string {
    this.#taken.add(node);
    const [output] = node.outputs as [string];
    const layout = this.#layouts.get(like);
    if (layout !== undefined) this.#layouts.set(output, layout);
    return output;
  }

  /** The nodes that read a value. */
  readers(value: string): readonly OnnxNode[] {
    return this.#readers.get(value) ?? [];
  }

  /** Whether a value must come out. */
  isKept(value: string): boolean {
    return this.#kept.has(value);
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
    const spread = this.spread(this.view.constant(bias), value, reader);
    if (spread.kind !== "channels" || spread.count !== channels) return { output: value };
    return { bias, output: this.take(reader, value), place: { node: reader, input } };
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
