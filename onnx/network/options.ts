/**
 * What of a model is trained, and how.
 *
 * @module
 */

/**
 * The part of a model that learns; what lies before it stays in the ONNX file.
 *
 * - `all`: everything.
 * - `head`: the linear classifier alone; its input are the pooled features.
 * - `last-block`: what comes after the end of the second-last block.
 * - `none`: nothing, but gradients of the image can be had.
 * - `{ from }`: a node, or the node that makes a value, and everything behind it that depends on it.
 */
export type Trainable = "all" | "head" | "last-block" | "none" | {
  /** Name of a node or of a value. */
  readonly from: string;
};

/** Whether normalisations are put behind convolutions for the training. */
export type InsertNorms = "auto" | "always" | "never";

/** Options of {@linkcode importNetwork}. */
export interface NetworkOptions {
  /** What learns; `all` by default. */
  readonly trainable?: Trainable;
  /**
   * Whether batch normalisation takes the statistics of the batch and moves the running ones while
   * it trains, or keeps to the running ones; `train` by default. A network of which nothing learns
   * always keeps to them.
   */
  readonly batchNorm?: "train" | "frozen";
  /**
   * Whether batch normalisation is put behind convolutions for the training, and folded into their
   * weights again by the export: `always` behind every convolution on maps that has none;
   * `auto` only where the part that learns has no BatchNormalization at all and `batchNorm` is
   * `train`; `never` by default. Call {@linkcode Network.calibrate} before the first step.
   */
  readonly insertNorms?: InsertNorms;
  /** Fraction by which running statistics move, 0.1 by default. */
  readonly momentum?: number;
  /** Whether Dropout drops in training; true by default. */
  readonly dropout?: boolean;
  /** What weight decay reaches: matrices and kernels (the default), or all that learns. */
  readonly decay?: "weights" | "all";
  /** Further values of the graph to return. */
  readonly outputs?: readonly string[];
}

/** A normalisation that stands behind a convolution as long as the network is trained. */
export interface InsertedNorm {
  /** Label of the convolution's node. */
  readonly convolution: string;
  /** Name of γ among the parameters, f32 [C]. */
  readonly weight: string;
  /** Name of β among the parameters, f32 [C]. */
  readonly bias: string;
  /** Name of the running mean among the statistics, f32 [C]. */
  readonly runningMean: string;
  /** Name of the running variance among the statistics, f32 [C]. */
  readonly runningVariance: string;
}

/** What a network is given. */
export interface NetworkInput {
  /** The image input's name, or the name of an output of the trunk. */
  readonly name: string;
  /** Its shape without the batch, channels last: [H, W, C], or [C]. */
  readonly shape: readonly number[];
}
