/**
 * From images to a feature file: decoding on worker threads, preprocessing, the model, reducing
 * feature maps and writing run at the same time, each on another batch.
 *
 * On the GPU a batch goes from pixels to features without leaving it, and only what is stored comes
 * back; in WebAssembly the workers preprocess too.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { alignLabels, type ImageSet } from "../data/images.ts";
import { DecodePool, type DecodeSuccess } from "../data/decode_pool.ts";
import {
  type FeatureRows,
  FeatureWriter,
  type ShardOf,
  type SkippedImage,
} from "../data/shards.ts";
import type { SafetensorsArray } from "../data/safetensors.ts";
import { channelNorms } from "../kernels/channel_norms/mod.ts";
import {
  preprocessedSize,
  preprocessImages,
  type PreprocessSpec,
} from "../kernels/preprocess/mod.ts";
import {
  type Context,
  Gpu,
  GpuUnavailableError,
  Host,
  Tensor,
  type TypedArray,
  UserError,
} from "../runtime/mod.ts";
import {
  exposeForExtraction,
  type ExtractionModel,
  headWeights,
  inspect,
  type Inspection,
} from "./inspect.ts";
import { type OnnxModel, parseModel, readModel, writeModel } from "./model.ts";
import { type HostArray, type OnnxSession, openSession } from "./session.ts";
import { loadSidecar, OUTPUT_KEYS, type Sidecar } from "./sidecar.ts";
import config from "../deno.json" with { type: "json" };

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
  /** Images in one run of the model; chosen by the input's size when left out. */
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
  /** One file (by default) or shards behind an index. */
  readonly layout?: "single" | "shards";
  /** Further metadata for the file. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Most seconds of work that a kill may cost; 10 by default. */
  readonly flushSeconds?: number;
  /** Called after each batch. */
  readonly onProgress?: (progress: ExtractionProgress) => void;
  /** Called once, before the first image, with what was found. */
  readonly onStart?: (start: ExtractionStart) => void;
  /** Stops after the batches under way; what is done is kept for a resume. */
  readonly signal?: AbortSignal;
}

/** What an extraction is going to do. */
export interface ExtractionStart {
  /** Where the model runs. */
  readonly device: "webgpu" | "wasm";
  /** That in words, with the adapter or the threads. */
  readonly deviceName: string;
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
   * which includes the GPU's share of preprocessing.
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

/**
 * Images in one run: as many as make so many floats of input, within limits. In WebAssembly more
 * does not make it faster and less keeps the stages in step; a GPU wants more at a time.
 */
const BATCHES = {
  wasm: { floats: 1 << 21, least: 8, most: 64 },
  webgpu: { floats: 1 << 23, least: 8, most: 256 },
} as const;
const MIN_LOOK_AHEAD = 4;
const MAX_BATCH = 256;
/** Bytes of decoded images that may wait for their batch. */
const LOOK_AHEAD_BYTES = 1 << 28;
/** Bytes of decoded images in one batch: photos of a camera fill a batch sooner. */
const BATCH_BYTES = 1 << 27;
const DEFAULT_FLUSH_SECONDS = 10;
const STATS_AT_ONCE = 64;

/**
 * Extracts features of a set of images with an ONNX model.
 *
 * The file has what the model offers of `features`, `logits`, `feature_norms` (the norms of the
 * last feature map's channels), `labels` in the model's order, `head.weight`, `head.bias`, and if
 * asked for `feature_map`; its metadata say how it was made and name the images. Nothing in it
 * depends on time or chance: a run that was stopped and resumed leaves the same bytes.
 *
 * Images that cannot be read are skipped and reported, unless `strict`.
 *
 * @param options What, with what, and where to.
 * @returns What came of it.
 * @throws {UserError} When the model, the images or the options do not fit together, an unfinished
 * run is in the way, or nothing can be written.
 * @throws {ImageError} With `strict`, at the first image that cannot be read.
 *
 * @example Features of one picture
 * ```ts
 * import { openFeatures, openImages } from "@oodgpu/oodgpu/data";
 * import { extractFeatures } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const image = { width: 40, height: 30, data: new Uint8Array(3600) };
 * const folder = await Deno.makeTempDir();
 * const summary = await extractFeatures({
 *   model: "models/cifar10-resnet20.onnx",
 *   images: {
 *     path: "memory",
 *     count: 1,
 *     names: ["black"],
 *     labels: new Int32Array([-1]),
 *     classNames: [],
 *     skippedFiles: 0,
 *     item: () => Promise.resolve({ name: "black", image }),
 *     read: () => Promise.resolve(image),
 *   },
 *   out: `${folder}/black.safetensors`,
 *   device: "wasm",
 *   workers: 0,
 * });
 * {
 *   await using set = await openFeatures(summary.path!);
 *   assertEquals(set.shape("features"), [1, 64]);
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function extractFeatures(options: ExtractionOptions): Promise<ExtractionSummary> {
  const source = await loadModel(options);
  await using executor = await openExecutor(options);
  const plan = makePlan(options, source, executor);
  await using writer = await openWriter(options, { source, plan, executor });
  const total = writer.end - writer.start;
  const start: ExtractionStart = {
    device: executor.device,
    deviceName: executor.name,
    preprocessing: plan.spec,
    preprocessingGuessed: plan.guessed,
    keys: plan.keys,
    reasons: source.inspection.reasons,
    unknownClasses: plan.unknownClasses,
    batch: plan.batch,
    resumed: writer.position - writer.start,
    total,
  };
  options.onStart?.(start);
  const begin = performance.now();
  const run = new ExtractionRun({ options, source, plan, executor, writer });
  if (writer.position < writer.end) await run.work();
  const finished = writer.position === writer.end;
  const path = finished ? await run.timed("store", () => writer.finish()) : undefined;
  const seconds = { ...run.seconds, total: (performance.now() - begin) / 1000 };
  const skipped = writer.skipped;
  return {
    ...start,
    path,
    images: writer.position - writer.start - skipped.length,
    processed: run.processed,
    skipped,
    seconds,
    imagesPerSecond: run.processed / Math.max(seconds.total, 1e-9),
  };
}

/** A model and what is known of it. */
interface LoadedModel {
  readonly model: OnnxModel;
  readonly name: string;
  readonly sha256: string;
  readonly inspection: Inspection;
  readonly extraction: ExtractionModel;
}

async function loadModel(options: ExtractionOptions): Promise<LoadedModel> {
  const isPath = typeof options.model === "string";
  const path = isPath ? options.model as string : "model";
  const model = isPath ? await readModel(path) : parseModel(options.model as Uint8Array);
  const sidecar = options.sidecar ?? (isPath ? await loadSidecar(path) : undefined);
  const inspection = inspect(model, sidecar === undefined ? {} : { sidecar });
  return {
    model,
    name: path.split(/[\\/]/).pop()!,
    sha256: await hashModel(options.model, model),
    inspection,
    extraction: exposeForExtraction(model, inspection),
  };
}

/** The hash of the file; of the whole model where its data lie in other files. */
async function hashModel(source: string | Uint8Array, model: OnnxModel): Promise<string> {
  const bytes = typeof source === "string" ? await Deno.readFile(source) : source;
  let data = 0;
  for (const tensor of model.graph.initializers.values()) data += tensor.rawData?.length ?? 0;
  const whole = data > bytes.length ? writeModel(model) : bytes;
  return createHash("sha256").update(whole).digest("hex");
}

/** Where kernels and the model run. */
interface Executor extends AsyncDisposable {
  readonly device: "webgpu" | "wasm";
  /** In words: which adapter, or wasm. */
  readonly name: string;
  /** Where kernels run. */
  readonly ctx: Context;
  readonly gpu: Gpu | undefined;
}

async function openExecutor(options: ExtractionOptions): Promise<Executor> {
  const { device = "auto" } = options;
  const wasm = (): Executor => ({
    device: "wasm",
    name: "wasm",
    ctx: new Host(),
    gpu: undefined,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  if (device === "wasm") return wasm();
  const gpu = options.gpu ?? await openGpu(device);
  if (gpu === undefined) return wasm();
  if (device === "auto" && gpu.adapter.isSoftware) {
    if (options.gpu === undefined) gpu[Symbol.dispose]();
    return wasm();
  }
  const { description, device: number, vendor } = gpu.adapter;
  return {
    device: "webgpu",
    name: `webgpu, ${description || `${vendor} ${number}`}`,
    ctx: gpu,
    gpu,
    async [Symbol.asyncDispose]() {
      // Whatever is wrong with the device was thrown by what used it.
      await gpu.idle().catch(() => {});
      if (options.gpu === undefined) gpu[Symbol.dispose]();
    },
  };
}

async function openGpu(device: ExtractionDevice): Promise<Gpu | undefined> {
  try {
    return await Gpu.open();
  } catch (error) {
    if (device === "auto" && error instanceof GpuUnavailableError) return undefined;
    throw error;
  }
}

/** What is decided before the first image. */
interface Plan {
  readonly spec: PreprocessSpec;
  readonly guessed: boolean;
  /** Size of the model's input. */
  readonly size: { readonly width: number; readonly height: number };
  readonly batch: number;
  /** Keys of rows and of the head. */
  readonly keys: readonly string[];
  readonly storeMap: boolean;
  readonly labels: Int32Array<ArrayBuffer>;
  readonly labelNames: readonly string[] | undefined;
  readonly unknownClasses: readonly string[];
}

function makePlan(options: ExtractionOptions, source: LoadedModel, executor: Executor): Plan {
  const { inspection, extraction } = source;
  const { spec, size, guessed } = specFor(options, source);
  const { floats, least, most } = BATCHES[executor.device];
  const fitting = Math.floor(floats / (3 * size.width * size.height));
  const batch = options.batch ?? Math.max(least, Math.min(most, fitting));
  if (!Number.isInteger(batch) || batch < 1) {
    throw new UserError(
      `Cannot extract in batches of ${batch}: a whole number from 1 was expected`,
    );
  }
  const { featureMap = "none" } = options;
  const storeMap = featureMap !== "none" && extraction.names.feature_map !== undefined;
  if (featureMap !== "none" && !storeMap) {
    throw new UserError(
      `Cannot store feature maps of "${source.name}": ${inspection.reasons.featureMap}`,
    );
  }
  const rows = OUTPUT_KEYS.filter((key) => extraction.names[key] !== undefined)
    .flatMap((key): string[] =>
      key !== "feature_map" ? [key] : storeMap ? [key, "feature_norms"] : ["feature_norms"]
    );
  return {
    spec,
    guessed,
    size,
    batch,
    storeMap,
    keys: [...rows, "labels", ...(inspection.head ? ["head.weight", "head.bias"] : [])],
    ...labelsFor(options.images, inspection),
  };
}

/** The preprocessing, completed to the model's size and checked against it. */
function specFor(
  options: ExtractionOptions,
  source: LoadedModel,
): Pick<Plan, "spec" | "size" | "guessed"> {
  const { inspection, name } = source;
  const image = inspection.image!;
  const given = options.preprocessing ?? inspection.preprocessing?.spec;
  if (given === undefined) {
    throw new UserError(
      `Cannot extract with "${name}": nothing says how images are preprocessed; give it a sidecar ` +
        `with "preprocessing"`,
    );
  }
  const guessed = options.preprocessing === undefined && inspection.preprocessing!.guessed;
  const { width, height } = image;
  const known = typeof width === "number" && typeof height === "number"
    ? { width, height }
    : undefined;
  const spec = completed(given, known);
  const fixed = spec.crop ??
    (spec.resize !== undefined && "width" in spec.resize ? spec.resize : undefined);
  if (fixed === undefined) {
    throw new UserError(
      `Cannot extract with "${name}": its preprocessing leaves images of different sizes; add a ` +
        `"crop" with a width and a height`,
    );
  }
  const size = preprocessedSize(fixed, spec);
  if (known !== undefined && (known.width !== size.width || known.height !== size.height)) {
    throw new UserError(
      `Cannot extract with "${name}": its preprocessing gives ${size.width} x ${size.height} ` +
        `pixels and the model takes ${known.width} x ${known.height}`,
    );
  }
  return { spec, size, guessed };
}

/** Without a crop or a whole size, the model's own size completes the description. */
function completed(
  spec: PreprocessSpec,
  size: { readonly width: number; readonly height: number } | undefined,
): PreprocessSpec {
  if (size === undefined || spec.crop !== undefined) return spec;
  if (spec.resize === undefined) return { ...spec, resize: size };
  return "shorter" in spec.resize ? { ...spec, crop: size } : spec;
}

/** Labels in the model's order; -1 where the model has no such class. */
function labelsFor(
  images: ImageSet,
  inspection: Inspection,
): Pick<Plan, "labels" | "labelNames" | "unknownClasses"> {
  const { labels: names, classes } = inspection;
  if (names !== undefined) {
    const aligned = alignLabels(images, names, { unknown: "ignore" });
    return {
      labels: aligned.labels,
      labelNames: names,
      unknownClasses: aligned.unknownClasses,
    };
  }
  // Folders are numbered by name, which is the model's order only if they are the model's classes.
  const same = images.classNames.length === 0 || classes === undefined ||
    images.classNames.length === classes;
  if (!same) {
    const labels = new Int32Array(images.count).fill(-1);
    return { labels, labelNames: undefined, unknownClasses: images.classNames };
  }
  const highest = images.labels.reduce((a, b) => Math.max(a, b), -1);
  if (classes !== undefined && highest >= classes) {
    throw new UserError(
      `Cannot use the labels of "${images.path}": there is a label ${highest} and the model has ` +
        `${classes} classes`,
    );
  }
  const labelNames = images.classNames.length > 0 ? images.classNames : undefined;
  return { labels: images.labels, labelNames, unknownClasses: [] };
}

async function openWriter(
  options: ExtractionOptions,
  parts: { source: LoadedModel; plan: Plan; executor: Executor },
): Promise<FeatureWriter> {
  const { source, plan, executor } = parts;
  const { head, featureMap, features } = source.inspection;
  const { images } = options;
  const shared: Record<string, SafetensorsArray> = {};
  if (head !== undefined) {
    const { weight, bias } = headWeights(source.model, head);
    shared["head.weight"] = { data: weight, shape: [head.classes, head.channels] };
    shared["head.bias"] = { data: bias, shape: [head.classes] };
  }
  const values = [["features", features?.value], ["feature_map", featureMap?.value]] as const;
  return await FeatureWriter.open(options.out, {
    names: images.names,
    config: {
      model: source.name,
      model_sha256: source.sha256,
      preprocessing: JSON.stringify(plan.spec),
      data_sha256: await hashImages(images),
      device: executor.name,
      keys: plan.keys.join(","),
    },
    metadata: {
      ...options.metadata,
      batch: String(plan.batch),
      data: images.path.split(/[\\/]/).filter((part) => part !== "").pop() ?? "",
      deno: Deno.version.deno,
      oodgpu: config.version,
      onnxruntime_web: config.imports["onnxruntime-web"].split("@").pop()!,
      ...(plan.labelNames === undefined ? {} : { label_names: JSON.stringify(plan.labelNames) }),
      ...(plan.guessed ? { preprocessing_guessed: "true" } : {}),
      ...Object.fromEntries(
        values.flatMap(([key, value]) => value === undefined ? [] : [[`value_of_${key}`, value]]),
      ),
    },
    shared,
    ...(options.featureMap === "f16" ? { dtypes: { feature_map: "F16" as const } } : {}),
    ...(options.shard === undefined ? {} : { shard: options.shard }),
    ...(options.layout === undefined ? {} : { layout: options.layout }),
    resume: options.resume ?? false,
  });
}

/** A hash of the images' names and sizes in bytes: it sees other files, and reads none. */
async function hashImages(images: ImageSet): Promise<string> {
  const hash = createHash("sha256");
  for (let start = 0; start < images.count; start += STATS_AT_ONCE) {
    const names = images.names.slice(start, start + STATS_AT_ONCE);
    const sizes = await Promise.all(names.map((_, i) => sizeOfItem(images, start + i)));
    names.forEach((name, i) => hash.update(`${name}\0${sizes[i]}\0`));
  }
  return hash.digest("hex");
}

async function sizeOfItem(images: ImageSet, index: number): Promise<number> {
  const { path, bytes, image } = await images.item(index);
  if (path === undefined) return bytes?.length ?? image?.data.length ?? 0;
  // A file that is missing will be reported when its turn to be decoded comes.
  return await Deno.stat(path).then(({ size }) => size, () => -1);
}

/** Decoded images that go through the model together. */
interface Batch {
  /** Images, the skipped ones included. */
  readonly images: number;
  readonly loaded: readonly DecodeSuccess[];
  readonly skipped: readonly SkippedImage[];
}

/** A batch whose results are on their way. */
interface Issued {
  readonly batch: Batch;
  readonly outputs: Promise<Readonly<Record<string, HostArray>>>;
}

/** Stages that are timed on this thread or summed over workers. */
type Stage = "decode" | "preprocess" | "backbone" | "store" | "starved";

/** One call's way through the images. */
class ExtractionRun {
  readonly seconds: Record<Stage, number> = {
    decode: 0,
    preprocess: 0,
    backbone: 0,
    store: 0,
    starved: 0,
  };
  processed = 0;
  readonly #options: ExtractionOptions;
  readonly #source: LoadedModel;
  readonly #plan: Plan;
  readonly #executor: Executor;
  readonly #writer: FeatureWriter;
  readonly #begin: number = performance.now();
  #session: OnnxSession | undefined;
  #storing: Promise<void> = Promise.resolve();
  #lastFlush = performance.now();
  #broken = false;
  /** The image that index 0 of the pool's results is. */
  readonly #first: number;

  constructor(parts: {
    options: ExtractionOptions;
    source: LoadedModel;
    plan: Plan;
    executor: Executor;
    writer: FeatureWriter;
  }) {
    this.#options = parts.options;
    this.#source = parts.source;
    this.#plan = parts.plan;
    this.#executor = parts.executor;
    this.#writer = parts.writer;
    this.#first = parts.writer.position;
  }

  /** Does the images from the writer's position on, until the end or the signal. */
  async work(): Promise<void> {
    const { gpu, device } = this.#executor;
    const { threads, workers } = this.#options;
    await using session = await openSession(this.#source.extraction.model, {
      device,
      name: this.#source.name,
      ...(gpu === undefined ? {} : { gpu }),
      ...(threads === undefined ? {} : { threads }),
    });
    this.#session = session;
    using pool = new DecodePool({
      lookAhead: await this.#lookAhead(),
      ...(workers === undefined ? {} : { workers }),
    });
    let failure: unknown;
    try {
      await this.#pump(pool);
    } catch (error) {
      failure = error;
    }
    // Whatever happened, rows that are done go to disk.
    await this.#storing.catch((error) => failure ??= error);
    await this.timed("store", () => this.#writer.flush()).catch((error) => failure ??= error);
    if (failure !== undefined) throw failure;
  }

  /** Adds the time of a task to a stage. */
  async timed<T>(stage: Stage, task: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      return await task();
    } finally {
      this.seconds[stage] += (performance.now() - begin) / 1000;
    }
  }

  /**
   * Issues a batch before the one before it is awaited, and writes the one before that meanwhile:
   * no stage waits for another that has nothing to do with it. When something fails, the batches
   * before it are still written.
   */
  async #pump(pool: DecodePool): Promise<void> {
    const batches = this.#batches(pool);
    let issued: Issued | undefined;
    try {
      while (!this.#options.signal?.aborted) {
        const next = await this.timed("starved", () => batches.next());
        if (next.done) break;
        const current = await this.#issue(next.value);
        const before = issued;
        issued = current;
        if (before !== undefined) await this.#collect(before);
      }
    } finally {
      if (issued !== undefined && !this.#broken) await this.#collect(issued);
      await batches.return(undefined);
    }
  }

  /** Decoded images in fixed runs; where a run ends depends on nothing but the images. */
  async *#batches(pool: DecodePool): AsyncGenerator<Batch, void, undefined> {
    const { images, strict = false } = this.#options;
    const first = this.#first;
    const { end } = this.#writer;
    const items = async function* () {
      for (let i = first; i < end; i++) yield await images.item(i);
    };
    const preprocess = this.#executor.device === "wasm" ? { preprocess: this.#plan.spec } : {};
    let loaded: DecodeSuccess[] = [];
    let skipped: SkippedImage[] = [];
    let bytes = 0;
    const take = (): Batch => {
      const batch = { images: loaded.length + skipped.length, loaded, skipped };
      loaded = [];
      skipped = [];
      bytes = 0;
      return batch;
    };
    for await (const result of pool.map(items(), preprocess)) {
      if (result.error === undefined) {
        this.seconds.decode += result.seconds.decode;
        this.seconds.preprocess += result.seconds.preprocess;
        loaded.push(result);
        bytes += bytesOf(result);
      } else if (strict) {
        // What is left of its batch goes too: a resume must cut the same batches.
        throw result.error;
      } else {
        const { index, name, error } = result;
        skipped.push({ index: first + index, name, reason: error.reason });
      }
      const full = loaded.length + skipped.length >= this.#plan.batch || bytes >= BATCH_BYTES;
      if (full) yield take();
    }
    if (loaded.length + skipped.length > 0) yield take();
  }

  /** Sends a batch through preprocessing, the model and the reduction; results come later. */
  async #issue(batch: Batch): Promise<Issued> {
    if (batch.loaded.length === 0) return { batch, outputs: Promise.resolve({}) };
    if (this.#executor.device === "wasm") {
      const arrays = await this.timed("backbone", () => this.#runInWasm(batch));
      return { batch, outputs: Promise.resolve(arrays) };
    }
    const { outputs } = await this.#issueOnGpu(batch);
    // It is awaited a batch later; until then a failure must not count as unhandled.
    outputs.catch(() => {});
    return { batch, outputs };
  }

  /** The outputs come wrapped, because an async function would await them. */
  async #issueOnGpu(batch: Batch): Promise<Pick<Issued, "outputs">> {
    const gpu = this.#executor.gpu!;
    using scope = gpu.scope();
    const begin = performance.now();
    const images = batch.loaded.map(({ image }) => image!);
    const input = preprocessImages(scope, images, this.#plan.spec);
    gpu.flush();
    this.seconds.preprocess += (performance.now() - begin) / 1000;
    const outputs = await this.timed(
      "backbone",
      () => this.#session!.run({ [this.#source.extraction.input]: input }),
    );
    try {
      const rows = this.#rows(scope, outputs);
      const onGpu = rows.filter((row): row is [string, Tensor] => row[1] instanceof Tensor);
      // The copies are submitted before this returns, so the outputs may go.
      const read = gpu.read(...onGpu.map(([, tensor]) => tensor));
      const toHost = (arrays: readonly TypedArray[]) =>
        Object.fromEntries(rows.map(([key, value]): [string, HostArray] => {
          if (!(value instanceof Tensor)) return [key, value];
          const data = arrays[onGpu.findIndex(([name]) => name === key)]!;
          return [key, { data: floats(data), shape: value.shape }];
        }));
      return { outputs: read.then(toHost) };
    } finally {
      for (const output of Object.values(outputs)) {
        if (output instanceof Tensor) output.dispose();
      }
    }
  }

  async #runInWasm(batch: Batch): Promise<Record<string, HostArray>> {
    const { width, height } = this.#plan.size;
    const count = batch.loaded.length;
    const image = 3 * width * height;
    const data = new Float32Array(count * image);
    batch.loaded.forEach(({ pixels }, i) => data.set(pixels!, i * image));
    const input = { data, shape: [count, 3, height, width] };
    const outputs = await this.#session!.run({ [this.#source.extraction.input]: input });
    using scope = this.#executor.ctx.scope();
    return Object.fromEntries(
      this.#rows(scope, outputs).map(([key, value]): [string, HostArray] => [
        key,
        value instanceof Tensor ? { data: floats(value.data), shape: value.shape } : value,
      ]),
    );
  }

  /** What is stored of a run's outputs: all but the map, of which the norms. */
  #rows(
    ctx: Context,
    outputs: Readonly<Record<string, Tensor | HostArray>>,
  ): [string, Tensor | HostArray][] {
    const rows: [string, Tensor | HostArray][] = [];
    for (const key of OUTPUT_KEYS) {
      const name = this.#source.extraction.names[key];
      if (name === undefined) continue;
      const output = outputs[name]!;
      if (key !== "feature_map") {
        rows.push([key, output]);
        continue;
      }
      if (this.#plan.storeMap) rows.push([key, output]);
      const map = output instanceof Tensor ? output : ctx.upload(output.data, output.shape);
      rows.push(["feature_norms", channelNorms(ctx, { map })]);
    }
    return rows;
  }

  /** Awaits a batch's results, has the ones before it written, and hands these on to be written. */
  async #collect({ batch, outputs }: Issued): Promise<void> {
    // Set until all went well: rows after a gap would belong to other images.
    this.#broken = true;
    const arrays = await this.timed("backbone", () => outputs);
    this.#check(batch, arrays);
    await this.#storing;
    const rows = this.#toRows(batch, arrays);
    this.#storing = this.#store(rows);
    this.#storing.catch(() => {});
    this.processed += batch.images;
    this.#broken = false;
  }

  async #store(rows: FeatureRows): Promise<void> {
    const begin = performance.now();
    const hidden = this.#occupied();
    await this.#writer.append(rows);
    const { flushSeconds = DEFAULT_FLUSH_SECONDS, onProgress } = this.#options;
    if (performance.now() - this.#lastFlush >= flushSeconds * 1000) {
      await this.#writer.flush();
      this.#lastFlush = performance.now();
    }
    // Writing goes on beside the other stages; only what it adds to them counts.
    const elapsed = (performance.now() - begin) / 1000;
    this.seconds.store += Math.max(0, elapsed - (this.#occupied() - hidden));
    onProgress?.({
      done: this.#writer.position - this.#writer.start,
      total: this.#writer.end - this.#writer.start,
      skipped: this.#writer.skipped.length,
      processed: this.processed,
      seconds: (performance.now() - this.#begin) / 1000,
    });
  }

  /** Seconds that this thread has spent on the other stages. */
  #occupied(): number {
    return this.seconds.backbone + this.seconds.starved;
  }

  #toRows(batch: Batch, arrays: Readonly<Record<string, HostArray>>): FeatureRows {
    const { images, loaded, skipped } = batch;
    if (loaded.length === 0) return { images, arrays: {}, skipped };
    const labels = Int32Array.from(
      loaded,
      ({ index }) => this.#plan.labels[this.#first + index]!,
    );
    return {
      images,
      arrays: { ...arrays, labels: { data: labels, shape: [loaded.length] } },
      skipped,
    };
  }
  /** A model that gives NaN is stopped at once, not when its features are read. */
  #check(batch: Batch, arrays: Readonly<Record<string, HostArray>>): void {
    for (const [key, { data, shape }] of Object.entries(arrays)) {
      if (key === "feature_map" || !(data instanceof Float32Array)) continue;
      const wrong = data.findIndex((value) => !Number.isFinite(value));
      if (wrong < 0) continue;
      const { name } = batch.loaded[Math.floor(wrong / (data.length / shape[0]!))]!;
      throw new UserError(
        `Cannot extract with "${this.#source.name}": it gives ${data[wrong]} in "${key}" for the ` +
          `image "${name}"; check the model and its preprocessing`,
      );
    }
  }

  /** How many images may be decoded ahead: two batches, or what fits the memory set aside. */
  async #lookAhead(): Promise<number> {
    const { width, height } = this.#plan.size;
    let bytes = 3 * width * height * Float32Array.BYTES_PER_ELEMENT;
    if (this.#executor.device === "webgpu") {
      // One image stands for all; when it is damaged the pool will say so.
      const image = await this.#options.images.read(this.#first).catch(() => undefined);
      bytes = image?.data.length ?? bytes;
    }
    const fits = Math.floor(LOOK_AHEAD_BYTES / bytes);
    return Math.max(MIN_LOOK_AHEAD, Math.min(2 * this.#plan.batch, fits));
  }
}

function bytesOf({ image, pixels }: DecodeSuccess): number {
  return (image?.data ?? pixels)?.byteLength ?? 0;
}

function floats(data: TypedArray): HostArray["data"] {
  return data instanceof Uint32Array ? Float32Array.from(data) : data;
}
