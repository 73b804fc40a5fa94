/**
 * What an inspection says of a model: where its logits, its linear head, its penultimate features
 * and its last feature map are.
 *
 * @module
 */

import type { PreprocessSpec } from "../kernels/preprocess/spec.ts";
import type { Dimension, ValueInfo } from "./value_info.ts";

/** The input that takes images. */
export interface ImageInput {
  /** Its name. */
  readonly name: string;
  /** Its shape. */
  readonly shape: readonly Dimension[];
  /** Images in one run: a number when the model fixes it. */
  readonly batch: Dimension;
  /** Colour planes. */
  readonly channels: Dimension;
  /** Rows. */
  readonly height: Dimension;
  /** Pixels in a row. */
  readonly width: Dimension;
}

/** The linear classifier: logits are `weight` times features plus `bias`. */
export interface ClassifierHead {
  /** `gemm`, `matmul` (with or without an Add), or `conv` for a 1x1 convolution. */
  readonly kind: "gemm" | "matmul" | "conv" | "sidecar";
  /** Label of the node that multiplies; empty when the sidecar names the parameters. */
  readonly node: string;
  /** Name of the weight's value. */
  readonly weight: string;
  /** Name of the bias's value, when there is one. */
  readonly bias?: string;
  /** True when the weight is stored as [C, K] rather than [K, C]. */
  readonly transposed: boolean;
  /** Factors of the product and of the bias (Gemm's alpha and beta). */
  readonly factors: readonly [number, number];
  /** Number of classes, K. */
  readonly classes: number;
  /** Number of features, C. */
  readonly channels: number;
}

/** How a value of the graph becomes [N, C]. */
export type SourceVia = "value" | "flatten" | "pool";

/** A value that extraction reads. */
export interface ValueSource {
  /** The value's name in the graph. */
  readonly value: string;
  /** What is done to it: nothing, flattening to rows, or global average pooling and flattening. */
  readonly via: SourceVia;
  /** Its shape after that, as far as it is known. */
  readonly shape?: readonly Dimension[];
}

/** The last feature map before global pooling. */
export interface FeatureMap extends ValueSource {
  /** True when it cannot be negative: it comes out of a ReLU or its like. */
  readonly afterRelu: boolean;
  /** True when the mean over H and W is exactly the penultimate features. */
  readonly pooledToFeatures: boolean;
}

/** Where a block of the network ends. */
export interface NetworkBlock {
  /** The value's name. */
  readonly value: string;
  /** Its shape, [N, C, H, W]. */
  readonly shape: readonly Dimension[];
  /** What ends there: a residual sum, a concatenation, or a stage before a pooling. */
  readonly kind: "residual" | "concat" | "stage";
}

/** What was looked for in the graph, and of a tagger in the sidecar. */
export type InspectionPart =
  | "image"
  | "logits"
  | "head"
  | "features"
  | "featureMap"
  | "tokens"
  | "tagLogits"
  | "attention"
  | "imageEmbed";

/** What preprocessing a model wants. */
export interface ModelPreprocessing {
  /** The description. */
  readonly spec: PreprocessSpec;
  /** True when nothing says so and it is the usual one for the input's size. */
  readonly guessed: boolean;
}

/** What {@linkcode inspect} finds in a model. */
export interface Inspection {
  /** The model's name in errors. */
  readonly name: string;
  /** The operator set. */
  readonly opset: number;
  /** The inputs. */
  readonly inputs: readonly ValueInfo[];
  /** The outputs. */
  readonly outputs: readonly ValueInfo[];
  /** The input that takes images. */
  readonly image?: ImageInput;
  /** What is done to an image before the model sees it. */
  readonly preprocessing?: ModelPreprocessing;
  /** Class scores before softmax, [N, K]. */
  readonly logits?: ValueSource;
  /** Number of classes, K. */
  readonly classes?: number;
  /** The linear classifier. */
  readonly head?: ClassifierHead;
  /** Penultimate features, [N, C]. */
  readonly features?: ValueSource;
  /** The last feature map, [N, C, H, W]. */
  readonly featureMap?: FeatureMap;
  /** Ends of blocks that make maps, in the order of the graph. */
  readonly blocks: readonly NetworkBlock[];
  /** Token features, [N, T, E], when the sidecar names them. */
  readonly tokens?: ValueSource;
  /** Tag scores, [N, M], when the sidecar names them. */
  readonly tagLogits?: ValueSource;
  /** Attention from tags to tokens, [N, M, T] or [N, H, M, T], when the sidecar names it. */
  readonly attention?: ValueSource;
  /**
   * Embeddings of images, [N, D], where the sidecar names them or an output is called
   * `image_embeds`.
   */
  readonly imageEmbed?: ValueSource;
  /** Names of a tagger's M tags, when the sidecar lists them. */
  readonly tags?: readonly string[];
  /** From which probability on a tag is predicted: one for all, or one each. */
  readonly tagThresholds?: number | readonly number[];
  /** Names of the classes, when the sidecar lists them. */
  readonly labels?: readonly string[];
  /** For everything that was not found: why, in one sentence, and what the sidecar could say. */
  readonly reasons: Readonly<Partial<Record<InspectionPart, string>>>;
}
