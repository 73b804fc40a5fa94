/**
 * What an extraction is asked for, and what it answers.
 *
 * @module
 */

import type { ImageSet } from "../data/images.ts";
import type { HostArray } from "../data/feature_set.ts";
import type { ShardOf, SkippedImage } from "../data/feature_writer.ts";
import type { SafetensorsArray } from "../data/safetensors.ts";
import type { PreprocessSpec } from "../kernels/preprocess/mod.ts";
import type { Context, Gpu, Tensor } from "../runtime/mod.ts";
import type { Inspection } from "./inspection.ts";
import type { OdinSettings } from "./odin.ts";
import type { Sidecar, SidecarOutputs } from "./sidecar.ts";

/** Where a model may run: `auto` is webgpu on a real GPU and wasm otherwise. */
export type ExtractionDevice = "auto" | "webgpu" | "wasm";

/** How far an extraction has come. */
export interface ExtractionProgress {
  /** Images done, those of an earlier run and skipped ones included. */
  readonly done: number;
  /** Images of this run or shard. */
  readonly total: number;
  /** Images skipped so far. */
  readonly skipped: number;
  /** Images done by this call. */
  readonly processed: number;
  /** Seconds since the first image of this call was asked for. */
  readonly seconds: number;
}

/** The images of one batch. */
export interface BatchImages {
  /** Their names. */
  readonly names: readonly string[];
  /** Their labels, as they are stored: -1 where an image has none. */
  readonly labels: Int32Array<ArrayBuffer>;
}

/**
 * Makes less of what the model gives before it is stored, where the model gives it: of a tagger's
 * tokens and attention, for example, just the tokens of objects.
 */
export interface BatchReducer {
  /** The values that it reads; what it makes of them is stored instead. */
  readonly keys: readonly (keyof SidecarOutputs)[];
  /** The arrays that it gives. */
  readonly stored: readonly string[];
  /** What its results depend on beside the model's values; a run goes on only with the same. */
  readonly identity: string;
  /**
   * Reduces one batch. It is called as soon as the model was issued and should record its work and
   * begin to read before it awaits anything, so that the next batch can be issued meanwhile; what
   * is long may be read in a second step, when it is known how long.
   *
   * @param ctx Where the values are; a scope of its own, which ends when the result is there.
   * @param values The values by key, f32, each with a row for each image. None has a NaN, or the
   * run ends. One that nothing recorded from here on reads may be disposed at once, which makes
   * room for the next batch.
   * @param images Which images these are.
   * @returns The arrays by name: a row for each image, or a ragged array beside its counts.
   */
  run(
    ctx: Context,
    values: Readonly<Record<string, Tensor>>,
    images: BatchImages,
  ): Promise<Readonly<Record<string, HostArray>>>;
}

/** What to extract, with what, and where to. */
export interface ExtractionOptions {
  /** The model: a path, whose sidecar is read too, or the bytes of a file. */
  readonly model: string | Uint8Array<ArrayBuffer>;
  /** What the sidecar would say; goes before the one beside the model. */
  readonly sidecar?: Sidecar;
  /** Preprocessing; goes before the sidecar's. */
  readonly preprocessing?: PreprocessSpec;
  /** The images. */
  readonly images: ImageSet;
  /** The feature file to write. */
  readonly out: string;
  /** Where the model runs; `auto` by default. */
  readonly device?: ExtractionDevice;
  /** A GPU of yours; without it one is opened when it is needed. */
  readonly gpu?: Gpu;
  /**
   * Images in one run of the model; chosen by the input's size when left out. Fewer are taken where
   * memory does not suffice.
   */
  readonly batch?: number;
  /** Threads in WebAssembly; all cores by default, and the first session of a process decides. */
  readonly threads?: number;
  /** Decode workers; one less than the cores by default. */
  readonly workers?: number;
  /** Take only this part of the images. */
  readonly shard?: ShardOf;
  /** Go on with a run that was stopped. */
  readonly resume?: boolean;
  /** Stop at the first image that cannot be read instead of skipping it. */
  readonly strict?: boolean;
  /** Whether to store whole feature maps, and how; `none` by default. Their norms are always there. */
  readonly featureMap?: "none" | "f16" | "f32";
  /**
   * What to store of what the model offers: `logits`, `features`, `feature_norms`, `tokens` and so
   * on; all by default. The rest is not computed. Labels and the head's parameters are always there.
   */
  readonly keys?: readonly string[];
  /** Makes less of some of the model's values, which are stored only if `keys` names them. */
  readonly reduce?: BatchReducer;
  /**
   * The value whose map is stored, and of which the norms are: one of the inspection's `blocks`, or
   * another map. By default the last one before global pooling.
   */
  readonly block?: string;
  /**
   * Store `odin_logits` too: the logits of every image once it was moved against the gradient of its
   * loss. That runs on kernels of our own, on a GPU where there is any; what the batch is by default
   * is smaller then.
   */
  readonly odin?: OdinSettings;
  /** One file (by default) or shards behind an index. */
  readonly layout?: "single" | "shards";
  /** Arrays without rows that the file is to have too, as `text_embed` beside `image_embed`. */
  readonly shared?: Readonly<Record<string, SafetensorsArray>>;
  /** Further metadata for the file. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Most seconds of work that a kill may cost; 10 by default. */
  readonly flushSeconds?: number;
  /** Called after each batch. */
  readonly onProgress?: (progress: ExtractionProgress) => void;
  /** Takes one sentence where something had to be done otherwise than it was asked for. */
  readonly onWarning?: (message: string) => void;
  /** Called once, before the first image, with what was found. */
  readonly onStart?: (start: ExtractionStart) => void;
  /** Stops after the batches under way; what is done is kept for a resume. */
  readonly signal?: AbortSignal;
}

/** How and where an extraction computes `odin_logits`. */
export interface OdinStart extends Required<OdinSettings> {
  /** Where gradients are computed; `reference` where no adapter can be had. */
  readonly device: "webgpu" | "reference";
  /** That in words, with the adapter. */
  readonly deviceName: string;
}

/** What an extraction is going to do. */
export interface ExtractionStart {
  /** Where the model runs. */
  readonly device: "webgpu" | "wasm";
  /** That in words, with the adapter or the threads. */
  readonly deviceName: string;
  /** How images are moved for `odin_logits`, and where that runs, when it was asked for. */
  readonly odin?: OdinStart;
  /** What is done to each image. */
  readonly preprocessing: PreprocessSpec;
  /** Whether nobody said so, and it is the usual one for the input's size. */
  readonly preprocessingGuessed: boolean;
  /** Keys that the file will have. */
  readonly keys: readonly string[];
  /** Why others will be missing. */
  readonly reasons: Inspection["reasons"];
  /** Class names of the images that the model lacks; their labels are -1. */
  readonly unknownClasses: readonly string[];
  /** Images in one run of the model. */
  readonly batch: number;
  /** Images that an earlier run has done. */
  readonly resumed: number;
  /** Images of this run or shard. */
  readonly total: number;
}

/**
 * Seconds that each stage took. Stages run at the same time, so they add up to more than `total`:
 * decoding is summed over workers, and writing counts only where nothing else hid it.
 */
export interface StageSeconds {
  /** Reading and decoding, on all workers together. */
  readonly decode: number;
  /** Resizing and normalising: on all workers together, or packing and recording for the GPU. */
  readonly preprocess: number;
  /**
   * Running the model and reducing its maps; on webgpu issuing them and waiting for the results,
   * which includes the GPU's share of preprocessing. ODIN's second look counts here too.
   */
  readonly backbone: number;
  /** Writing, beyond what the other stages hid. */
  readonly store: number;
  /** The calling thread waiting for decoded images. */
  readonly starved: number;
  /** From the first image to the end. */
  readonly total: number;
}

/** What came of an extraction. */
export interface ExtractionSummary extends ExtractionStart {
  /** The file to open; undefined when the run was stopped by its signal. */
  readonly path: string | undefined;
  /** Images in the file; without those of the run's rest when it was stopped. */
  readonly images: number;
  /** Images that this call did. */
  readonly processed: number;
  /** Images that gave no row. */
  readonly skipped: readonly SkippedImage[];
  /** Busy seconds by stage. */
  readonly seconds: StageSeconds;
  /** Images done by this call per second. */
  readonly imagesPerSecond: number;
}
