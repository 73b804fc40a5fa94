/**
 * A detector: a fitted score with its threshold and its papers, as it is saved, loaded and asked.
 *
 * @module
 */

import {
  decodeSafetensors,
  featureHash,
  type FeatureSet,
  type SafetensorsArray,
  type SafetensorsDType,
  type SafetensorsEntry,
  SafetensorsFile,
  type SafetensorsSpec,
  SafetensorsWriter,
} from "../data/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Calibration, pValue } from "./calibration.ts";
import { SCORES } from "./registry.ts";
import type { FitInput, Fitted, ScoreMethod, StateArray } from "./score.ts";

/** What a detector says of one image. */
export interface Verdict {
  /** Whether the image counts as in-distribution. */
  readonly isInDistribution: boolean;
  /** Its score, higher = more in-distribution. */
  readonly score: number;
  /** Scores at or above it count as in-distribution. */
  readonly threshold: number;
  /** Share of in-distribution images that score no higher. */
  readonly pValue: number;
  /** One sentence that says why. */
  readonly reason: string;
}

/**
 * A fitted score with what belongs to it.
 *
 * @example A verdict
 * ```ts
 * import { calibrate, Detector, msp } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await msp.fit({ train, context: new Host() });
 * const calibration = calibrate(Float32Array.from({ length: 100 }, (_, i) => i / 100));
 * const detector = new Detector(fitted, { calibration });
 * assertEquals(
 *   detector.verdict(0.01).reason,
 *   "max softmax 0.0100 is below the threshold 0.0500, which 95 % of in-distribution images reach",
 * );
 * ```
 */
export class Detector {
  /** The fitted score. */
  readonly fitted: Fitted;
  /** Strings that belong to it: model hash, preprocessing, what it was fitted to. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The threshold, once there is one. */
  readonly calibration: Calibration | undefined;

  /**
   * Puts together what belongs together.
   *
   * @param fitted The fitted score.
   * @param options `metadata` and `calibration`.
   */
  constructor(
    fitted: Fitted,
    options: {
      readonly metadata?: Readonly<Record<string, string>> | undefined;
      readonly calibration?: Calibration | undefined;
    } = {},
  ) {
    this.fitted = fitted;
    this.metadata = options.metadata ?? {};
    this.calibration = options.calibration;
  }

  /**
   * The same detector with a threshold.
   *
   * @param calibration From `calibrate`.
   * @returns A new detector.
   */
  calibrated(calibration: Calibration): Detector {
    return new Detector(this.fitted, { metadata: this.metadata, calibration });
  }

  /**
   * Decides about one image.
   *
   * @param score Its score.
   * @returns The decision, the p-value and the reason.
   * @throws {UserError} When there is no threshold yet, or the score is not finite.
   */
  verdict(score: number): Verdict {
    const { calibration } = this;
    const { name, evidence } = this.fitted.method;
    if (calibration === undefined) {
      throw new UserError(`Cannot decide with "${name}": it has no threshold; calibrate it first`);
    }
    if (!Number.isFinite(score)) {
      throw new UserError(`Cannot decide with "${name}": the score is ${score}`);
    }
    const { threshold, acceptance } = calibration;
    const isInDistribution = score >= threshold;
    const sign = evidence.negated ? -1 : 1;
    const side = isInDistribution
      ? evidence.negated ? "is within" : "reaches"
      : evidence.negated
      ? "exceeds"
      : "is below";
    const share = `${Number((100 * acceptance).toFixed(2))} %`;
    const limit = evidence.negated
      ? `the limit ${figure(sign * threshold)}, which ${share} of in-distribution images keep`
      : `the threshold ${figure(threshold)}, which ${share} of in-distribution images reach`;
    return {
      isInDistribution,
      score,
      threshold,
      pValue: pValue(calibration, score),
      reason: `${evidence.quantity} ${figure(sign * score)} ${side} ${limit}`,
    };
  }
}

function figure(value: number): string {
  return value.toPrecision(3);
}

/** Metadata of a feature set that a detector keeps, so that its inputs can be made again. */
const KEPT_METADATA = [
  "model",
  "model_hash",
  "preprocessing",
  "labels",
  "layer",
  "block",
] as const;

/**
 * Fits a score and notes what it was fitted to: names, counts and hashes of the feature sets, and
 * the model's hash and preprocessing where the training set says them.
 *
 * @param method The score.
 * @param input What to fit it to.
 * @returns The detector, without a threshold.
 * @throws {UserError} When the data lack something, or a parameter is out of range.
 *
 * @example A detector that remembers its training data
 * ```ts
 * import { fitDetector, msp } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const logits = { data: new Float32Array(2), shape: [1, 2] };
 * const train = memoryFeatures({ logits }, { metadata: { "model_hash": "abc" } });
 * const detector = await fitDetector(msp, { train, context: new Host() });
 * assertEquals(detector.metadata["model_hash"], "abc");
 * ```
 */
export async function fitDetector(method: ScoreMethod, input: FitInput): Promise<Detector> {
  const fitted = await method.fit(input);
  const { train, validation } = input;
  const metadata: Record<string, string> = {};
  for (const key of KEPT_METADATA) {
    const value = train.metadata[key];
    if (value !== undefined) metadata[key] = value;
  }
  const fit = [await describeSet("train", train)];
  if (validation !== undefined) fit.push(await describeSet("validation", validation));
  metadata["fit"] = JSON.stringify(fit);
  metadata["seed"] = String(input.seed ?? 0);
  return new Detector(fitted, { metadata });
}

async function describeSet(role: string, set: FeatureSet): Promise<Record<string, unknown>> {
  return { role, path: set.path, count: set.count, sha256: await featureHash(set) };
}

const FORMAT = "oodgpu.detector";
const FORMAT_VERSION = 1;
const STATE_PREFIX = "state.";
const SCORES_KEY = "calibration.scores";
/** Metadata that this file writes itself; the rest is the detector's own. */
const RESERVED: ReadonlySet<string> = new Set([
  ...["format", "format_version", "method", "parameters", "inputs", "warnings", "calibration"],
]);

const DTYPES: ReadonlyMap<string, SafetensorsDType> = new Map([
  ["Float32Array", "F32"],
  ["Float64Array", "F64"],
  ["Int32Array", "I32"],
  ["Uint32Array", "U32"],
]);

function dtypeOf(array: StateArray): SafetensorsDType {
  return DTYPES.get(array.parts[0]?.constructor.name ?? "Float32Array") ?? "F32";
}

/**
 * Saves a detector as a safetensors file, atomically. Arrays in parts are written part by part.
 *
 * @param detector The detector.
 * @param path The file; an existing one is replaced.
 * @throws {UserError} When the file cannot be written.
 *
 * @example There and back
 * ```ts
 * import { Detector, loadDetector, msp, saveDetector } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await msp.fit({ train, context: new Host() });
 * const folder = await Deno.makeTempDir();
 * await saveDetector(new Detector(fitted), `${folder}/d.safetensors`);
 * const detector = await loadDetector(`${folder}/d.safetensors`);
 * assertEquals(detector.fitted.method.name, "msp");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveDetector(detector: Detector, path: string): Promise<void> {
  const { fitted, calibration } = detector;
  const { arrays } = fitted.state();
  const specs: Record<string, SafetensorsSpec> = {};
  for (const [name, array] of Object.entries(arrays)) {
    specs[STATE_PREFIX + name] = { dtype: dtypeOf(array), shape: array.shape };
  }
  if (calibration !== undefined) {
    specs[SCORES_KEY] = { dtype: "F32", shape: [calibration.scores.length] };
  }
  await using writer = await SafetensorsWriter.open(path, specs, metadataOf(detector));
  for (const [name, array] of Object.entries(arrays)) {
    for (const part of array.parts) await writer.append(STATE_PREFIX + name, part);
  }
  if (calibration !== undefined) await writer.append(SCORES_KEY, calibration.scores);
  await writer.finish();
}

function metadataOf(detector: Detector): Record<string, string> {
  const { fitted, calibration, metadata } = detector;
  const written: Record<string, string> = {
    ...metadata,
    format: FORMAT,
    "format_version": String(FORMAT_VERSION),
    method: fitted.method.name,
    parameters: JSON.stringify(fitted.parameters),
    inputs: JSON.stringify(fitted.inputs),
    warnings: JSON.stringify(fitted.warnings),
  };
  if (calibration !== undefined) {
    const { scores: _, ...numbers } = calibration;
    written["calibration"] = JSON.stringify(numbers);
  }
  return written;
}

/** Rows are read in pieces of at most this many bytes. */
const PART_BYTES = 32 << 20;

/** What a detector is read from: an open file, or bytes in memory. */
interface Source {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly entries: ReadonlyMap<string, Pick<SafetensorsEntry, "shape">>;
  rows(name: string, range: { start: number; rows: number }): Promise<SafetensorsArray>;
  whole(name: string): Promise<SafetensorsArray>;
}

/**
 * Loads a detector.
 *
 * @param path A file from {@linkcode saveDetector}.
 * @param options `methods`: the scores that it may be of; all known ones by default.
 * @returns The detector; its scores are the same to the last bit.
 * @throws {UserError} When the file is missing, damaged, no detector, or of an unknown score.
 *
 * @example A file that is no detector
 * ```ts
 * import { loadDetector } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => loadDetector("no-such-file.safetensors"), Error, "no-such-file");
 * ```
 */
export async function loadDetector(
  path: string,
  options: { readonly methods?: readonly ScoreMethod[] } = {},
): Promise<Detector> {
  await using file = await SafetensorsFile.open(path);
  return await readDetector({
    name: path,
    metadata: file.header.metadata,
    entries: file.header.entries,
    rows: (name, range) => file.readRows(name, range),
    whole: (name) => file.read(name),
  }, options.methods ?? SCORES);
}

/**
 * Reads a detector from the bytes of its file, for places without a file system.
 *
 * @param bytes The bytes.
 * @param options `name`: what errors call them; `methods`: the scores that it may be of.
 * @returns The detector.
 * @throws {UserError} When the bytes are damaged, no detector, or of an unknown score.
 *
 * @example Bytes of something else
 * ```ts
 * import { parseDetector } from "@oodgpu/oodgpu/methods";
 * import { encodeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertRejects } from "@std/assert";
 *
 * const bytes = encodeSafetensors({ x: { data: new Float32Array(1), shape: [1] } });
 * await assertRejects(() => parseDetector(bytes), Error, "no detector");
 * ```
 */
export async function parseDetector(
  bytes: Uint8Array,
  options: { readonly name?: string; readonly methods?: readonly ScoreMethod[] } = {},
): Promise<Detector> {
  const name = options.name ?? "detector";
  const { tensors, metadata } = decodeSafetensors(bytes, { name });
  return await readDetector({
    name,
    metadata,
    entries: new Map(Object.entries(tensors)),
    rows: (key, { start, rows }) => {
      const { data, shape } = tensors[key]!;
      const width = data.length / Math.max(1, shape[0]!);
      const part = data.subarray(start * width, (start + rows) * width);
      return Promise.resolve({ data: part, shape: [rows, ...shape.slice(1)] });
    },
    whole: (key) => Promise.resolve(tensors[key]!),
  }, options.methods ?? SCORES);
}

async function readDetector(source: Source, methods: readonly ScoreMethod[]): Promise<Detector> {
  const { metadata } = source;
  if (metadata["format"] !== FORMAT) {
    throw new UserError(
      `Cannot read "${source.name}": it is no detector; a file from the fit command was expected`,
    );
  }
  if (metadata["format_version"] !== String(FORMAT_VERSION)) {
    throw new UserError(
      `Cannot read "${source.name}": its format version is ${metadata["format_version"]}, and ` +
        `${FORMAT_VERSION} was expected`,
    );
  }
  const method = methods.find(({ name }) => name === metadata["method"]);
  if (method === undefined) {
    throw new UserError(
      `Cannot read "${source.name}": it is a detector of the method "${metadata["method"]}", ` +
        `which is not known here`,
    );
  }
  const arrays: Record<string, StateArray> = {};
  for (const key of source.entries.keys()) {
    if (!key.startsWith(STATE_PREFIX)) continue;
    arrays[key.slice(STATE_PREFIX.length)] = await readArray(source, key);
  }
  const state = {
    parameters: parseNumbers(source, "parameters"),
    inputs: parseShapes(source),
    arrays,
    warnings: parseWarnings(source),
  };
  const fitted = restore(source, () => method.restore(state));
  const own = Object.entries(metadata).filter(([key]) => !RESERVED.has(key));
  return new Detector(fitted, {
    metadata: Object.fromEntries(own),
    calibration: await readCalibration(source),
  });
}

function restore<T>(source: Source, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`Cannot read "${source.name}": ${lowerFirst(error.message)}`, {
      cause: error,
    });
  }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

/** An array in parts that each fit any binding. */
async function readArray(source: Source, key: string): Promise<StateArray> {
  const { shape } = source.entries.get(key)!;
  const [rows = 1, ...rest] = shape;
  const rowBytes = 8 * rest.reduce((product, length) => product * length, 1);
  const step = Math.max(1, Math.floor(PART_BYTES / Math.max(1, rowBytes)));
  const parts: StateArray["parts"][number][] = [];
  for (let start = 0; start < rows; start += step) {
    const { data } = await source.rows(key, { start, rows: Math.min(step, rows - start) });
    requireFloats(source, key, data);
    parts.push(data as StateArray["parts"][number]);
  }
  return { shape, parts };
}

function requireFloats(source: Source, key: string, data: SafetensorsArray["data"]): void {
  if (!DTYPES.has(data.constructor.name)) {
    throw new UserError(`Cannot read "${source.name}": "${key}" has an unexpected element type`);
  }
  if (!(data as Float32Array).every(Number.isFinite)) {
    throw new UserError(`Cannot read "${source.name}": "${key}" has a NaN or an infinity`);
  }
}

function parseJson(source: Source, key: string): unknown {
  try {
    return JSON.parse(source.metadata[key] ?? "");
  } catch {
    throw new UserError(`Cannot read "${source.name}": its "${key}" is no JSON text`);
  }
}

function parseRecord(source: Source, key: string): Record<string, unknown> {
  const value = parseJson(source, key);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new UserError(`Cannot read "${source.name}": its "${key}" is no JSON object`);
}

function parseNumbers(source: Source, key: string): Record<string, number> {
  const record = parseRecord(source, key);
  for (const [name, value] of Object.entries(record)) {
    if (typeof value === "number") continue;
    throw new UserError(`Cannot read "${source.name}": its "${key}.${name}" is no number`);
  }
  return record as Record<string, number>;
}

function parseShapes(source: Source): Record<string, readonly number[]> {
  const record = parseRecord(source, "inputs");
  for (const [name, value] of Object.entries(record)) {
    if (Array.isArray(value) && value.every(Number.isInteger)) continue;
    throw new UserError(`Cannot read "${source.name}": its "inputs.${name}" is no shape`);
  }
  return record as Record<string, readonly number[]>;
}

function parseWarnings(source: Source): string[] {
  const value = source.metadata["warnings"] === undefined ? [] : parseJson(source, "warnings");
  return Array.isArray(value) ? value.map(String) : [];
}

async function readCalibration(source: Source): Promise<Calibration | undefined> {
  if (source.metadata["calibration"] === undefined) return undefined;
  const record = parseRecord(source, "calibration");
  const { threshold, acceptance, accepted, interval, count } = record;
  const numbers = [threshold, acceptance, accepted, count];
  const pair = Array.isArray(interval) && interval.length === 2 ? interval : [undefined];
  if (![...numbers, ...pair].every((value) => typeof value === "number")) {
    throw new UserError(`Cannot read "${source.name}": its "calibration" lacks a number`);
  }
  if (!source.entries.has(SCORES_KEY)) {
    throw new UserError(`Cannot read "${source.name}": it has no "${SCORES_KEY}"`);
  }
  const { data } = await source.whole(SCORES_KEY);
  requireFloats(source, SCORES_KEY, data);
  return {
    threshold: threshold as number,
    acceptance: acceptance as number,
    accepted: accepted as number,
    interval: [pair[0] as number, pair[1] as number],
    count: count as number,
    scores: data as Float32Array<ArrayBuffer>,
  };
}
