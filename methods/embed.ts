/**
 * A fitted detector inside a service or a page: bytes of its file in, verdicts out. Neither files
 * nor native code nor anything of one runtime is needed, so it bundles for browsers and edge
 * workers.
 *
 * ```ts
 * import { embedDetector } from "@oodgpu/oodgpu/embed";
 * import { calibrate, energy, fitDetector, saveDetector } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * // Once, where there are files.
 * const train = memoryFeatures({ logits: { data: new Float32Array([9, 0]), shape: [1, 2] } });
 * const fitted = await fitDetector(energy, { train, context: new Host() });
 * const path = await Deno.makeTempFile();
 * await saveDetector(fitted.calibrated(calibrate([5, 6, 7, 8, 9])), path);
 *
 * // Anywhere.
 * using detector = await embedDetector(await Deno.readFile(path));
 * const verdicts = await detector.judge({ logits: new Float32Array([8, 0, 1, 1]) });
 * assertEquals(verdicts.map(({ isInDistribution }) => isInDistribution), [true, false]);
 * await Deno.remove(path);
 * ```
 *
 * This module is browser compatible.
 *
 * @module
 */

import { preprocessedSize, preprocessReference } from "../kernels/preprocess/reference.ts";
import {
  type PreprocessSpec,
  type RgbImage,
  validatePreprocessSpec,
} from "../kernels/preprocess/spec.ts";
import {
  type Context,
  Gpu,
  GpuUnavailableError,
  Host,
  type Tensor,
  type TypedArray,
  UserError,
} from "../runtime/mod.ts";
import { completeBatch, graphDerivation } from "./_keys.ts";
import type { Detector, Verdict } from "./detector.ts";
import { parseDetector } from "./parse_detector.ts";
import type { ScoreMethod, Scorer } from "./score.ts";

export type { Verdict } from "./detector.ts";
export type { PreprocessSpec, RgbImage } from "../kernels/preprocess/spec.ts";
export { DeviceLostError, Gpu, GpuUnavailableError, UserError } from "../runtime/mod.ts";

/** How {@linkcode embedDetector} opens a detector. */
export interface EmbedOptions {
  /**
   * Where scores are computed: a GPU, a WebGPU device of yours, or `auto` for a real GPU where there
   * is one. Without it, and where `auto` finds none, the plain reference computes them.
   */
  readonly gpu?: Gpu | GPUDevice | "auto";
  /** The scores that the detector may be of; all known ones by default. */
  readonly methods?: readonly ScoreMethod[];
  /** What errors call the detector. */
  readonly name?: string;
}

/** Rows of one feature key with their shape. */
export interface FeatureArray {
  /** The elements, row-major. */
  readonly data: Float32Array;
  /** The dimensions, rows first. */
  readonly shape: readonly number[];
}

/** Arrays by feature key: `logits`, `features`, `feature_norms` or `feature_map`. */
export type EmbedFeatures = Readonly<Record<string, Float32Array | FeatureArray>>;

/** Where {@linkcode EmbeddedDetector.score} and `judge` learn the number of rows. */
export interface RowOptions {
  /** Number of rows; by default it follows from the lengths of the arrays. */
  readonly rows?: number;
}

/** An image: RGB with 3 bytes a pixel, or RGBA with 4 as a canvas gives it. Alpha is dropped. */
export type EmbedImage = RgbImage;

/** A tensor as onnxruntime has them. */
export interface GraphTensor {
  /** The elements. */
  readonly data: unknown;
  /** The dimensions. */
  readonly dims: readonly number[];
}

/** What runs an ONNX graph; a session of onnxruntime-web or onnxruntime-node is one. */
export interface GraphSession {
  /** Names of the inputs. */
  readonly inputNames: readonly string[];
  /** Names of the outputs. */
  readonly outputNames: readonly string[];
  /** Runs the graph. */
  run(
    feeds: Readonly<Record<string, GraphTensor>>,
  ): Promise<Readonly<Record<string, GraphTensor>>>;
}

/** The model that images go through. */
export interface ImageModel {
  /** A session on the joined graph, or on the classifier alone. */
  readonly session: GraphSession;
  /** Makes the session's tensors: `(data, dims) => new ort.Tensor("float32", data, dims)`. */
  readonly tensor: (data: Float32Array<ArrayBuffer>, dims: readonly number[]) => GraphTensor;
  /** Name of the image input; the session's first one by default. */
  readonly input?: string;
  /**
   * Names of outputs by what they hold: `score` of a joined graph, or feature keys. What is not
   * named is looked for under its own key.
   */
  readonly outputs?: Readonly<Record<string, string>>;
  /** What is done to images; by default what the detector's file says. */
  readonly preprocessing?: PreprocessSpec;
}

/** Bytes of one batch of one key. */
const BATCH_BYTES = 16 << 20;
/** Name of a joined graph's score. */
const SCORE_OUTPUT = "score";

// onnxruntime must not be entered twice.
let turn: Promise<unknown> = Promise.resolve();

/**
 * Opens a detector on the bytes of its file.
 *
 * @param bytes The content of a file from the `fit` or `calibrate` command, or `saveDetector`.
 * @param options Where scores are computed.
 * @returns The detector; dispose it to give back what it holds on a GPU.
 * @throws {UserError} When the bytes are damaged, no detector, or of an unknown score.
 *
 * @example Bytes of something else
 * ```ts
 * import { embedDetector } from "@oodgpu/oodgpu/embed";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => embedDetector(new Uint8Array(4)), Error, 'Cannot read "detector"');
 * ```
 */
export async function embedDetector(
  bytes: Uint8Array,
  options: EmbedOptions = {},
): Promise<EmbeddedDetector> {
  const { gpu, ...reading } = options;
  const detector = await parseDetector(bytes, reading);
  return new EmbeddedDetector(detector, await openContext(gpu));
}

/** A context to compute in, and what closes it. */
interface Opened {
  readonly context: Context;
  readonly close: () => void;
}

async function openContext(gpu: EmbedOptions["gpu"]): Promise<Opened> {
  const owned = (context: Context): Opened => ({
    context,
    close: () => context[Symbol.dispose](),
  });
  if (gpu === undefined) return owned(new Host());
  if (gpu === "auto") return owned(await realGpu() ?? new Host());
  if (gpu instanceof Gpu) return { context: gpu, close: () => {} };
  return owned(await Gpu.open({ device: gpu }));
}

/** A GPU that is no program on the CPU: there the reference answers sooner. */
async function realGpu(): Promise<Gpu | undefined> {
  try {
    const gpu = await Gpu.open();
    if (!gpu.adapter.isSoftware) return gpu;
    gpu[Symbol.dispose]();
  } catch (error) {
    if (!(error instanceof GpuUnavailableError)) throw error;
  }
  return undefined;
}

/**
 * A detector that is ready to be asked. Made by {@linkcode embedDetector}.
 *
 * It may be asked again before an answer has come. On a GPU, the loss of the device is thrown as a
 * `DeviceLostError` by every later question; open the detector again.
 *
 * @example What it wants to see
 * ```ts
 * import { EmbeddedDetector } from "@oodgpu/oodgpu/embed";
 * import { Detector, msp } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const context = new Host();
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await msp.fit({ train, context });
 * using detector = new EmbeddedDetector(new Detector(fitted), { context });
 * assertEquals(detector.needs, ["logits"]);
 * assertEquals([...await detector.score({ logits: new Float32Array([3, 3]) })], [0.5]);
 * ```
 */
export class EmbeddedDetector implements Disposable {
  /** The detector: its fitted score, metadata and threshold. */
  readonly detector: Detector;
  readonly #context: Context;
  readonly #scorer: Scorer;
  readonly #close: (() => void) | undefined;

  /**
   * Brings a detector to where scores are computed.
   *
   * @param detector The detector.
   * @param where `context`: where scores are computed; `close`: called at dispose.
   */
  constructor(
    detector: Detector,
    where: { readonly context: Context; readonly close?: () => void },
  ) {
    this.detector = detector;
    this.#context = where.context.scope();
    this.#close = where.close;
    this.#scorer = detector.fitted.place(this.#context);
  }

  /** Where scores are computed. */
  get kind(): "webgpu" | "reference" {
    return this.#context.kind;
  }

  /** Keys of the features that it reads. */
  get needs(): readonly string[] {
    return this.detector.fitted.needs;
  }

  /**
   * What is done to images before the model sees them, as the detector's file says.
   *
   * @throws {UserError} When the file says something that makes no sense.
   */
  get preprocessing(): PreprocessSpec | undefined {
    const text = this.detector.metadata["preprocessing"];
    if (text === undefined) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new UserError("Cannot use the detector's preprocessing: it is no JSON text");
    }
    return validatePreprocessSpec(value, { source: "the detector's preprocessing" });
  }

  /**
   * Scores rows of features.
   *
   * @param features An array for every needed key; `feature_map` will do for `feature_norms`.
   * @param options The number of rows, where the arrays do not tell.
   * @returns One score for each row, higher = more in-distribution.
   * @throws {UserError} When an array is missing, of another length, or not finite.
   * @throws {DeviceLostError} When the GPU is gone.
   */
  async score(
    features: EmbedFeatures,
    options: RowOptions = {},
  ): Promise<Float32Array<ArrayBuffer>> {
    const { arrays, rows } = this.#check(features, options.rows);
    const scores = new Float32Array(rows);
    const width = Math.max(1, ...arrays.map(({ row }) => elements(row)));
    const step = Math.max(1, Math.floor(BATCH_BYTES / (4 * width)));
    for (let start = 0; start < rows; start += step) {
      scores.set(
        await this.#scoreRows(arrays, { start, end: Math.min(rows, start + step) }),
        start,
      );
    }
    const wrong = scores.findIndex((score) => !Number.isFinite(score));
    if (wrong < 0) return scores;
    throw this.#refusal(`row ${wrong} comes out as ${scores[wrong]}`);
  }

  /**
   * Decides about rows of features.
   *
   * @param features An array for every needed key; `feature_map` will do for `feature_norms`.
   * @param options The number of rows, where the arrays do not tell.
   * @returns One verdict for each row.
   * @throws {UserError} When the detector has no threshold, or an array is missing, of another
   * length, or not finite.
   * @throws {DeviceLostError} When the GPU is gone.
   */
  async judge(features: EmbedFeatures, options: RowOptions = {}): Promise<Verdict[]> {
    return this.#verdicts(await this.score(features, options));
  }

  /**
   * Decides about images: preprocesses them, runs the model once for all of them, and takes the
   * score of a joined graph or computes it from the features that the model gives.
   *
   * @param images The images.
   * @param model The model's session, and how to talk to it.
   * @returns One verdict for each image.
   * @throws {UserError} When the detector has no threshold, no preprocessing is known, images come
   * out in different sizes, or the model does not give what is needed.
   * @throws {DeviceLostError} When the GPU is gone.
   */
  async judgeImages(images: readonly EmbedImage[], model: ImageModel): Promise<Verdict[]> {
    if (images.length === 0) return [];
    const spec = model.preprocessing ?? this.preprocessing;
    if (spec === undefined) {
      throw new UserError(
        "Cannot judge images: the detector's file names no preprocessing; pass " +
          `"preprocessing" with the model`,
      );
    }
    const input = model.tensor(...imageBatch(images, spec));
    const { session } = model;
    const outputs = await serialised(() =>
      session.run({ [model.input ?? session.inputNames[0]!]: input })
    );
    const output = (key: string): GraphTensor | undefined => outputs[model.outputs?.[key] ?? key];
    const score = output(SCORE_OUTPUT);
    if (score !== undefined) return this.#verdicts(scoresOf(score, images.length));
    const features: Record<string, FeatureArray> = {};
    for (const key of this.needs) {
      const from = graphDerivation(key)?.from;
      const name = output(key) === undefined && from !== undefined ? from : key;
      const { data, dims } = output(name) ?? {};
      if (data instanceof Float32Array) features[name] = { data, shape: dims! };
    }
    return await this.judge(features, { rows: images.length });
  }

  /** Gives back what it holds on a GPU; closes the GPU that it opened. */
  [Symbol.dispose](): void {
    this.#context[Symbol.dispose]();
    this.#close?.();
  }

  #refusal(why: string): UserError {
    return new UserError(`Cannot judge with "${this.detector.fitted.method.name}": ${why}`);
  }

  #verdicts(scores: Float32Array): Verdict[] {
    return Array.from(scores, (score) => this.detector.verdict(score));
  }

  async #scoreRows(
    arrays: readonly CheckedArray[],
    { start, end }: { readonly start: number; readonly end: number },
  ): Promise<TypedArray> {
    using scope = this.#context.scope();
    const tensors: Record<string, Tensor> = {};
    for (const { key, data, row } of arrays) {
      const width = elements(row);
      const part = data.subarray(start * width, end * width);
      tensors[key] = scope.upload(part, [end - start, ...row], { label: key });
    }
    const batch = completeBatch(scope, tensors, this.needs);
    const [scores] = await scope.read(this.#scorer(scope, batch));
    return scores!;
  }

  /** The needed arrays, each with the shape of a row. */
  #check(
    features: EmbedFeatures,
    wanted: number | undefined,
  ): { arrays: readonly CheckedArray[]; rows: number } {
    const arrays = this.needs.map((key) => this.#checkKey(key, features));
    const rows = wanted ??
      Math.max(0, ...arrays.map(({ data, row }) => Math.ceil(data.length / elements(row))));
    for (const { key, data, row } of arrays) {
      if (data.length !== rows * elements(row)) {
        throw this.#refusal(
          `"${key}" has ${data.length} numbers, and ${rows} rows of ${
            row.join(" x ")
          } were expected`,
        );
      }
      const wrong = data.findIndex((value) => !Number.isFinite(value));
      if (wrong < 0) continue;
      throw this.#refusal(
        `row ${Math.floor(wrong / elements(row))} of "${key}" has a NaN or an infinity`,
      );
    }
    return { arrays, rows };
  }

  #checkKey(key: string, features: EmbedFeatures): CheckedArray {
    const from = graphDerivation(key)?.from;
    const name = features[key] === undefined && from !== undefined ? from : key;
    const given = features[name];
    if (given === undefined) {
      const instead = from === undefined ? "" : ` and no "${from}" to make it of`;
      const has = Object.keys(features).join(", ") || "nothing";
      throw this.#refusal(`there is no "${key}"${instead}; there is ${has}`);
    }
    const fitted = this.detector.fitted.inputs[key]!;
    const expected = name === key ? fitted : [fitted[0]!, -1, -1];
    const { data, shape } = given instanceof Float32Array
      ? { data: given, shape: undefined }
      : given;
    if (shape === undefined && expected.includes(-1)) {
      throw this.#refusal(`"${name}" needs its shape: give { data, shape }`);
    }
    const row = shape?.slice(1) ?? expected;
    const fits = row.length === expected.length &&
      row.every((length, axis) => expected[axis] === -1 || length === expected[axis]);
    if (fits) return { key: name, data: data as Float32Array<ArrayBuffer>, row };
    throw this.#refusal(
      `rows of "${name}" are ${row.join(" x ")}, and the fit had ` +
        expected.map((length) => length === -1 ? "any" : length).join(" x "),
    );
  }
}

/** An array with the shape of one of its rows. */
interface CheckedArray {
  readonly key: string;
  readonly data: Float32Array<ArrayBuffer>;
  readonly row: readonly number[];
}

function elements(row: readonly number[]): number {
  return Math.max(1, row.reduce((product, length) => product * length, 1));
}

async function serialised<T>(task: () => Promise<T>): Promise<T> {
  const result = turn.then(task);
  turn = result.catch(() => {});
  return await result;
}

/** Preprocessed images as one array, with its dimensions. */
function imageBatch(
  images: readonly EmbedImage[],
  spec: PreprocessSpec,
): [data: Float32Array<ArrayBuffer>, dims: number[]] {
  const { width, height } = preprocessedSize(images[0]!, spec);
  const pixels = 3 * width * height;
  const data = new Float32Array(images.length * pixels);
  images.forEach((image, i) => {
    const size = preprocessedSize(image, spec);
    if (size.width !== width || size.height !== height) {
      throw new UserError(
        `Cannot judge images of different shapes at once: one comes out as ${width} x ${height} ` +
          `pixels and another as ${size.width} x ${size.height}`,
      );
    }
    data.set(preprocessReference(withoutAlpha(image), spec), i * pixels);
  });
  return [data, [images.length, 3, height, width]];
}

function withoutAlpha(image: EmbedImage): RgbImage {
  const { width, height, data } = image;
  const pixels = width * height;
  if (data.length !== 4 * pixels) return image;
  const rgb = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) {
    rgb[3 * i] = data[4 * i]!;
    rgb[3 * i + 1] = data[4 * i + 1]!;
    rgb[3 * i + 2] = data[4 * i + 2]!;
  }
  return { width, height, data: rgb };
}

function scoresOf(output: GraphTensor, count: number): Float32Array {
  const { data } = output;
  if (data instanceof Float32Array && data.length === count) return data;
  throw new UserError(
    `Cannot judge images: the graph's score has the shape [${output.dims.join(", ")}] and ` +
      `${count} float32 numbers were expected`,
  );
}
