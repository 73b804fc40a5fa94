/**
 * Batch normalisations that stand behind convolutions while a network is trained: where they go,
 * how they are estimated without a change of what the network computes, and how they become part of
 * the weights.
 *
 * @module
 */

import { batchNormTrain } from "../../kernels/mod.ts";
import { batchNorm, type ParameterSpec } from "../../nn/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import type { GraphView } from "../_graph_view.ts";
import type { OnnxNode } from "../node.ts";
import type { Compiler, Fused, Step } from "./_compiler.ts";
import type { NetworkOptions } from "./options.ts";
import { dataInputs, type Part } from "./_part.ts";
import { type PlannedNorm, toEngine } from "./_weights.ts";

/**
 * A power of two, so that it and a variance can make up the square of a weight without rounding:
 * what was not trained is then folded to exactly what it was.
 */
const EPSILON = 2 ** -17;

/** Bits of a weight whose square is still exact in float32. */
const WEIGHT_BITS = 12;

/** Arrays by name. */
export type Arrays = ReadonlyMap<string, ArrayLike<number>>;

/** Whether normalisations are inserted in a part of a graph. */
export function insertsNorms(part: Part, options: NetworkOptions): boolean {
  const { insertNorms = "never", trainable } = options;
  if (insertNorms !== "auto") return insertNorms === "always" && trainable !== "none";
  return movesOf(options).moves &&
    !part.nodes.some(({ opType }) => opType === "BatchNormalization");
}

/** How running statistics move: by which fraction, and whether they do. */
export function movesOf(
  options: NetworkOptions,
): { readonly momentum: number; readonly moves: boolean } {
  const { batchNorm = "train", momentum = 0.1, trainable } = options;
  return { momentum, moves: batchNorm === "train" && trainable !== "none" };
}

/** The convolution or linear layer out of which class scores come. */
export function classifierOf(view: GraphView, logits: string): OnnxNode | undefined {
  let node = view.producer(logits);
  while (node !== undefined && !["Conv", "Gemm", "MatMul"].includes(node.opType)) {
    const data = dataInputs(node, view);
    node = data.length === 1 ? view.producer(data[0]) : undefined;
  }
  return node;
}

/** The step of an inserted normalisation. */
export function normStep(
  norm: PlannedNorm,
  compiler: Compiler,
  { output, activation }: Fused,
): Step {
  const { momentum, moves } = movesOf(compiler.options);
  return {
    inputs: [norm.between],
    output,
    run: (run) => {
      const x = run.value(norm.between);
      run.observe?.(norm, x.value);
      return batchNorm(run.tape, x, {
        weight: run.parameter(norm.weight),
        bias: run.parameter(norm.bias),
        runningMean: run.statistic(norm.runningMean),
        runningVariance: run.statistic(norm.runningVariance),
      }, {
        epsilon: EPSILON,
        momentum,
        activation,
        mode: run.training && moves ? "train" : "frozen",
      });
    },
  };
}

/** γ and β of a normalisation that changes nothing yet. */
export function normSpecs(
  norm: PlannedNorm,
  { decay }: { readonly decay?: NetworkOptions["decay"] | undefined },
): ParameterSpec[] {
  const { channels } = norm;
  const how = { shape: [channels], decay: decay === "all" };
  return [
    { ...how, name: norm.weight, data: Float32Array.from(norm.scales, (scale) => 1 / scale) },
    { ...how, name: norm.bias, data: new Float32Array(channels) },
  ];
}

/** Running statistics of a normalisation that changes nothing yet. */
export function normStatistics(
  norm: PlannedNorm,
): readonly (readonly [name: string, data: Float32Array<ArrayBuffer>])[] {
  const { channels } = norm;
  return [
    [norm.runningMean, new Float32Array(channels)],
    [norm.runningVariance, new Float32Array(channels).fill(1 - EPSILON)],
  ];
}

/** Mean and variance of what a normalisation is given, of one batch. */
export interface Observation {
  /** The normalisation. */
  readonly norm: PlannedNorm;
  /** Number of rows. */
  readonly rows: number;
  /** f32 [C]. */
  readonly mean: Tensor;
  /** f32 [C], divided by the rows less one. */
  readonly variance: Tensor;
}

/** Records the statistics of what a normalisation is given. */
export function observe(ctx: Context, norm: PlannedNorm, x: Tensor): Observation {
  const { channels } = norm;
  const filled = (value: number) =>
    ctx.upload(new Float32Array(channels).fill(value), [channels], { label: "calibration" });
  const [weight, bias, mean, variance] = [filled(1), filled(0), filled(0), filled(0)];
  // Running statistics that move by all of the way are those of the batch.
  const found = batchNormTrain(ctx, {
    x,
    weight,
    bias,
    runningMean: mean,
    runningVariance: variance,
  }, { momentum: 1 });
  found.y.dispose();
  return { norm, rows: x.size / channels, mean, variance };
}

/** Mean and variance over batches, merged in float64. */
export class BatchMoments {
  #rows = 0;
  readonly #mean: Float64Array;
  readonly #squares: Float64Array;

  /** @param channels Number of channels. */
  constructor(channels: number) {
    this.#mean = new Float64Array(channels);
    this.#squares = new Float64Array(channels);
  }

  /** Takes a batch in, by its number of rows, its means and its unbiased variances. */
  add(rows: number, mean: ArrayLike<number>, variance: ArrayLike<number>): void {
    const total = this.#rows + rows;
    for (let c = 0; c < this.#mean.length; c++) {
      const off = mean[c]! - this.#mean[c]!;
      this.#squares[c]! += variance[c]! * (rows - 1) + off * off * this.#rows * rows / total;
      this.#mean[c]! += off * rows / total;
    }
    this.#rows = total;
  }

  /** Mean of each channel. */
  get mean(): Float64Array {
    return this.#mean;
  }

  /** Variance of each channel, divided by the rows. */
  get variance(): Float64Array {
    return this.#squares.map((squares) => squares / this.#rows);
  }
}

/**
 * A normalisation with other statistics that computes what it did with its running ones.
 *
 * @param norm The normalisation.
 * @param now Its values.
 * @param found The statistics.
 * @returns Its new values.
 */
export function calibrated(
  norm: PlannedNorm,
  now: Arrays,
  found: Pick<BatchMoments, "mean" | "variance">,
): Map<string, Float32Array<ArrayBuffer>> {
  const gain = gainOf(norm, now);
  const [bias, before] = [now.get(norm.bias)!, now.get(norm.runningMean)!];
  const mean = Float32Array.from(found.mean);
  const deviation = found.variance.map((value) => roundedUp(Math.sqrt(value + EPSILON)));
  return new Map([
    [norm.runningMean, mean],
    [norm.runningVariance, Float32Array.from(deviation, (value) => value * value - EPSILON)],
    [norm.weight, Float32Array.from(deviation, (value, c) => value * gain[c]!)],
    [norm.bias, Float32Array.from(mean, (value, c) => bias[c]! + gain[c]! * (value - before[c]!))],
  ]);
}

/** The next number of few bits. */
function roundedUp(value: number): number {
  const unit = 2 ** (Math.floor(Math.log2(value)) + 1 - WEIGHT_BITS);
  return Math.ceil(value / unit) * unit;
}

/** What a normalisation with its running statistics multiplies each channel by. */
function gainOf(norm: PlannedNorm, now: Arrays): Float64Array<ArrayBuffer> {
  const variance = now.get(norm.runningVariance)!;
  return Float64Array.from(
    now.get(norm.weight)!,
    (weight, c) => weight / Math.sqrt(variance[c]! + EPSILON),
  );
}

/**
 * Kernel and bias of a convolution that does what it and its normalisation did.
 *
 * @param norm The normalisation.
 * @param now Its values, and those of the kernel, as the engine lays them out.
 * @returns Both in float64, as the engine would lay them out.
 */
export function folded(
  norm: PlannedNorm,
  now: Arrays,
): { readonly kernel: Float64Array<ArrayBuffer>; readonly offset: Float64Array<ArrayBuffer> } {
  const gain = gainOf(norm, now).map((gain, c) => gain * norm.scales[c]!);
  const kernel = now.get(norm.kernel)!;
  const [bias, mean] = [now.get(norm.bias)!, now.get(norm.runningMean)!];
  const before = toEngine(norm.offset);
  const each = kernel.length / norm.channels;
  return {
    kernel: Float64Array.from(kernel, (value, i) => value * gain[Math.floor(i / each)]!),
    offset: gain.map((gain, c) => (before[c]! - mean[c]!) * gain + bias[c]! * norm.scales[c]!),
  };
}
