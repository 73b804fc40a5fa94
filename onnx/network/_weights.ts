/**
 * Weights on their way between a file and the engine: found behind nodes that only lay them out
 * anew, turned to the engine's layout, and turned back.
 *
 * @module
 */

import { type Shape, sizeOf, UserError } from "../../runtime/mod.ts";
import { constantOf } from "../_constants.ts";
import type { OnnxGraph } from "../graph.ts";
import type { OnnxModel } from "../model.ts";
import type { OnnxNode } from "../node.ts";
import type { ElementType } from "../proto/mod.ts";
import type { OnnxTensor } from "../tensor.ts";
import type { InsertedNorm } from "./options.ts";

/**
 * How the engine lays a weight out: as the file does; a kernel [O, I, H, W] as [O, H, W, I]; a
 * matrix [I, O] as [O, I].
 */
export type WeightLayout = "same" | "channels-last" | "transposed";

/** How a node reads a weight. */
export interface WeightUse {
  /** The node. */
  readonly node: OnnxNode;
  /** The engine's layout. */
  readonly layout: WeightLayout;
  /** The engine's shape. */
  readonly shape: Shape;
  /** What the node multiplies it by, which the engine's values contain; 1 by default. */
  readonly factor?: number;
}

/** A weight as the file has it and as the engine wants it. */
export interface PlannedWeight {
  /** Name of the initialiser or of the constant's value. */
  readonly name: string;
  /** The array in the file. */
  readonly stored: OnnxTensor;
  /** The engine's layout. */
  readonly layout: WeightLayout;
  /** The engine's shape. */
  readonly shape: Shape;
  /** What the engine's values contain on top of the file's. */
  readonly factor: number;
  /** What they contain besides, one power of two for each index of the engine's first axis. */
  readonly scales?: Float64Array<ArrayBuffer>;
  /** The nodes that read it. */
  readonly readers: readonly OnnxNode[];
  /** Whether there is an array to write back to: false behind a quantisation. */
  readonly writable: boolean;
}

/** An input of a node. */
export interface InputPlace {
  /** The node. */
  readonly node: OnnxNode;
  /** Counted from 0. */
  readonly input: number;
}

/** A normalisation behind a convolution, which the file does not have. */
export interface PlannedNorm extends InsertedNorm {
  /** Name of the convolution's kernel among the parameters. */
  readonly kernel: string;
  /** Name of the value between the two. */
  readonly between: string;
  /** Number of channels. */
  readonly channels: number;
  /** What the filters are multiplied by. */
  readonly scales: Float64Array<ArrayBuffer>;
  /** What is added to each channel in the file, and takes the folded bias. */
  readonly offset: PlannedWeight;
  /**
   * Where the offset has to be named when it changes: the convolution has none, or its array is
   * read by others too.
   */
  readonly place: InputPlace | undefined;
}

/** Where a constant is stored, and whether it is read as its transpose. */
interface Found {
  readonly name: string;
  readonly turned: boolean;
}

/** Everything that a network holds besides its steps. */
export class WeightPlan {
  /** Parameters by name. */
  readonly parameters: Map<string, PlannedWeight> = new Map();
  /** Running statistics by name. */
  readonly statistics: Map<string, PlannedWeight> = new Map();
  /** Vectors that the graph has no learnable array for, by a name of their own. */
  readonly constants: Map<string, Float32Array<ArrayBuffer>> = new Map();
  /** Normalisations that the file does not have. */
  readonly norms: PlannedNorm[] = [];
  readonly #model: OnnxModel;
  readonly #learns: boolean;

  /** @param model The model. @param learns Whether its weights are to be trained. */
  constructor(model: OnnxModel, learns: boolean) {
    this.#model = model;
    this.#learns = learns;
  }

  /**
   * Plans a parameter.
   *
   * @returns The name under which the network holds it.
   */
  parameter(value: string, use: WeightUse): string {
    return this.#plan(value, use, this.parameters);
  }

  /** Plans a running statistic, [C]. */
  statistic(value: string, use: WeightUse): string {
    return this.#plan(value, use, this.statistics);
  }

  /** Plans a vector that does not learn. */
  constant(data: Float32Array<ArrayBuffer>): string {
    const uniform = data.every((value) => value === data[0]);
    const name = uniform ? `${data.length} x ${data[0]}` : `constant ${this.constants.size}`;
    this.constants.set(name, data);
    return name;
  }

  /**
   * Plans a normalisation behind a convolution.
   *
   * @param node The convolution.
   * @param how Its kernel's name, its channels, its element type in the file, where its bias is or
   * would be, and whether its filters are brought to a length of about one.
   */
  norm(
    node: OnnxNode,
    how: {
      readonly kernel: string;
      readonly channels: number;
      readonly type: ElementType;
      readonly bias: InputPlace;
      readonly evened: boolean;
    },
  ): PlannedNorm {
    const { kernel, channels } = how;
    const weight = this.parameters.get(kernel)!;
    const scales = how.evened ? scalesOf(weight) : new Float64Array(channels).fill(1);
    this.parameters.set(kernel, { ...weight, scales });
    const { offset, place } = this.#offset(how);
    const named = (what: string) => this.#unused(`${kernel}.norm.${what}`);
    const norm: PlannedNorm = {
      convolution: node.label,
      kernel,
      channels,
      between: named("input"),
      weight: named("weight"),
      bias: named("bias"),
      runningMean: named("running_mean"),
      runningVariance: named("running_var"),
      scales,
      offset: { ...offset, scales },
      place,
    };
    this.norms.push(norm);
    return norm;
  }

  /** Whether a weight is read by more than one node. */
  isShared(value: string): boolean {
    const name = findStored(this.#model.graph, value)?.name;
    return name !== undefined && readersOf(this.#model.graph, name).length > 1;
  }

  #offset(
    { kernel, channels, type, bias: place }: Parameters<WeightPlan["norm"]>[1],
  ): Pick<PlannedNorm, "offset" | "place"> {
    const { node, input } = place;
    const value = node.inputs[input] ?? "";
    const use = { node, layout: "same", shape: [channels] } as const;
    if (value !== "" && !this.isShared(value)) {
      return { offset: this.#describe(value, use), place: undefined };
    }
    const name = this.#unused(`${kernel}.norm.offset`);
    const own = value === ""
      ? { shape: [channels], data: new Float32Array(channels) }
      : this.#describe(value, use).stored;
    const stored = { ...own, type };
    return { offset: { ...use, name, stored, factor: 1, readers: [node], writable: true }, place };
  }

  /** A name that no value of the graph has. */
  #unused(wanted: string): string {
    let name = wanted;
    for (let i = 1; this.#model.graph.has(name); i++) name = `${wanted}_${i}`;
    return name;
  }

  #plan(value: string, use: WeightUse, into: Map<string, PlannedWeight>): string {
    const { node } = use;
    const weight = this.#describe(value, use);
    const { name, layout, factor, shape } = weight;
    const other = this.parameters.get(name) ?? this.statistics.get(name);
    const same = other === undefined || into.get(name) === other && other.layout === layout &&
        other.factor === factor && String(other.shape) === String(shape);
    if (!same) {
      throw cannotImport(
        this.#model,
        node,
        `its weight "${name}" is also read by "${other.readers[0]!.label}" in another way`,
      );
    }
    into.set(name, { ...weight, readers: [...other?.readers ?? [], node] });
    return name;
  }

  #describe(value: string, use: WeightUse): PlannedWeight {
    const { node, shape, factor = 1 } = use;
    const refuse = (why: string) => cannotImport(this.#model, node, why);
    const found = findStored(this.#model.graph, value);
    const stored = found === undefined
      ? constantOf(this.#model.graph, value)
      : this.#model.graph.constant(found.name);
    if (stored === undefined) throw refuse(`its weight "${value}" is no constant`);
    if (found === undefined && this.#learns) {
      const maker = this.#model.graph.producer(value)?.opType;
      throw refuse(`its weight "${value}" comes out of ${maker} and can not be trained`);
    }
    const layout = found?.turned ? turned(use.layout) : use.layout;
    if (sizeOf(stored.shape) !== sizeOf(shape) || layout === undefined) {
      throw refuse(`its weight "${value}" has the shape [${stored.shape.join(", ")}]`);
    }
    const name = found?.name ?? value;
    return { name, stored, layout, shape, factor, readers: [node], writable: found !== undefined };
  }
}

/** Says why a model can not become a network. */
export function cannotImport(model: OnnxModel, node: OnnxNode, why: string): UserError {
  return new UserError(
    `Cannot import "${model.name}" for training: in ${node.opType} "${node.label}" ${why}`,
  );
}

/**
 * The constant behind a value.
 *
 * @returns Where it is stored, or undefined when it is computed, for example by a dequantisation.
 */
export function findStored(graph: OnnxGraph, value: string): Found | undefined {
  if (graph.constant(value) !== undefined) return { name: value, turned: false };
  const node = graph.producer(value);
  const found = node?.inputs[0] === undefined
    ? undefined
    : LAYOUT_NODES.has(node.opType)
    ? findStored(graph, node.inputs[0])
    : undefined;
  if (node?.opType !== "Transpose" || found === undefined) return found;
  if (graph.constant(found.name)?.shape.length !== 2) return undefined;
  const turns = String(node.ints("perm") ?? "1,0") === "1,0";
  return turns ? { ...found, turned: !found.turned } : found;
}

/** Nodes through which a weight is still the stored one. */
const LAYOUT_NODES: ReadonlySet<string> = new Set(["Identity", "Cast", "Transpose"]);

/** The nodes that read a weight, also through nodes that only lay it out anew. */
export function readersOf(graph: OnnxGraph, name: string): OnnxNode[] {
  return graph.consumers(name).flatMap((node) =>
    LAYOUT_NODES.has(node.opType) ? readersOf(graph, node.outputs[0]!) : [node]
  );
}

function turned(layout: WeightLayout): WeightLayout | undefined {
  if (layout === "channels-last") return undefined;
  return layout === "same" ? "transposed" : "same";
}

/** Powers of two that bring filters to a length of about one. */
function scalesOf(weight: PlannedWeight): Float64Array<ArrayBuffer> {
  const values = toEngine(weight);
  const each = sizeOf(weight.shape.slice(1));
  return Float64Array.from({ length: weight.shape[0]! }, (_, o) => {
    const squares = values.subarray(o * each, (o + 1) * each)
      .reduce((sum, value) => sum + value * value, 0);
    const power = -Math.round(Math.log2(squares) / 2);
    return Math.abs(power) <= LARGEST_POWER ? 2 ** power : 1;
  });
}

/** Filters that are further from a length of one than this are as good as zero. */
const LARGEST_POWER = 40;

/** For each index in the engine's layout what its value contains on top of the file's. */
function factorOf({ shape, factor, scales }: PlannedWeight): (index: number) => number {
  if (scales === undefined) return () => factor;
  const each = sizeOf(shape.slice(1));
  return (index) => factor * scales[Math.floor(index / each)]!;
}

/** The engine's values of a weight. */
export function toEngine(weight: PlannedWeight): Float32Array<ArrayBuffer> {
  const { stored: { data, shape }, layout } = weight;
  const result = new Float32Array(data.length);
  const [order, factor] = [orderOf(layout, shape), factorOf(weight)];
  for (let i = 0; i < result.length; i++) result[i] = Number(data[order(i)]) * factor(i);
  return result;
}

/**
 * The file's values of a weight; where the engine's value is still the one that came out of the
 * file, so is the result, whatever it was rounded to in between.
 *
 * @returns The values, or undefined when none has changed.
 */
export function toStored(
  weight: PlannedWeight,
  now: ArrayLike<number>,
): Float64Array<ArrayBuffer> | undefined {
  const { stored: { data, shape }, layout } = weight;
  const before = toEngine(weight);
  const [order, factor] = [orderOf(layout, shape), factorOf(weight)];
  const result = new Float64Array(data.length);
  let changed = false;
  for (let i = 0; i < result.length; i++) {
    const same = Object.is(now[i], before[i]);
    result[order(i)] = same ? Number(data[order(i)]) : now[i]! / factor(i);
    changed ||= !same;
  }
  return changed ? result : undefined;
}

/** For each index in the engine's layout the index in the file's. */
function orderOf(layout: WeightLayout, shape: readonly number[]): (index: number) => number {
  if (layout === "same") return (index) => index;
  if (layout === "transposed") {
    const [rows, columns] = shape as [number, number];
    return (index) => (index % rows) * columns + Math.floor(index / rows);
  }
  const [, channels, height, width] = shape as [number, number, number, number];
  const plane = height * width;
  return (index) => {
    const channel = index % channels;
    const rest = Math.floor(index / channels);
    return (Math.floor(rest / plane) * channels + channel) * plane + rest % plane;
  };
}
