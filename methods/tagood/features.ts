/**
 * From a tagger's outputs to files of object tokens (section 3.3): what training reads.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { type FeatureSet, FeatureWriter, type HostArray, openFeatures } from "../../data/mod.ts";
import { compactTokens } from "../../kernels/mod.ts";
import type { BatchReducer } from "../../onnx/mod.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";
import { camTensors, TAGGER_KEYS, type TaggerKind, type TaggerTensors } from "./tagger.ts";
import type { IdTags } from "./vocabulary.ts";

/** Which tokens of an image are its objects'. */
export interface ObjectRule extends IdTags {
  /** Who names the tags. */
  readonly kind: TaggerKind;
  /** Attention above which a token is kept; 0 keeps all. */
  readonly tau: number;
  /**
   * What becomes of an image without a predicted tag: `none` gives it no tokens, which is the paper's
   * rule; `likeliest` takes the tag nearest to its threshold, as the authors' code does for images
   * of the known classes.
   */
  readonly untagged: "none" | "likeliest";
  /** Whether only the tag of the image's own class is used (Table 5), not the predicted ones. */
  readonly oneTag: boolean;
}

/** What a file of object tokens says of how they were chosen, and the head that it keeps. */
export interface ObjectRecord extends Pick<ObjectRule, "kind" | "tau" | "untagged" | "oneTag"> {
  /** Indices of the in-distribution tags. */
  readonly tags: readonly number[];
  /** Their thresholds. */
  readonly thresholds: readonly number[];
  /** Dimensions of one image of what the tagger gave. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** The classifier's head where `kind` is `cam`, [K, C]; the file has it as an array. */
  readonly head?: HostArray | undefined;
}

const RECORD_KEY = "objects";
const HEAD_KEY = "head.weight";

/** The arrays of a file of object tokens. */
const STORED = ["object_tokens", "object_counts", "tag_count", "tag_score"] as const;

/** Makes files of object tokens out of outputs of a tagger. */
export interface ObjectSource {
  /** The rule. */
  readonly rule: ObjectRule;
  /** The head's weight, f32 [K, C], where the rule's kind is `cam`. */
  readonly head?: HostArray | undefined;
}

/**
 * The object tokens of some images, packed on the device: only what is kept comes back.
 *
 * @param ctx Where the tagger's outputs are.
 * @param values The tagger's outputs by key, f32.
 * @param source The rule, and the images' labels where it wants them.
 * @returns Arrays of a file of object tokens.
 */
export async function findObjects(
  ctx: Context,
  values: Readonly<Record<string, Tensor>>,
  source: ObjectSource & { readonly labels?: ArrayLike<number> | undefined },
): Promise<Record<string, HostArray>> {
  const { rule, labels } = source;
  using scope = ctx.scope();
  const { tokens, tagLogits, attention, probability } = tensorsOf(scope, values, source);
  const [images = 0, , width = 0] = tokens.shape;
  const found = compactTokens(scope, {
    tokens,
    tagLogits,
    attention,
    tags: scope.upload(rule.tags, [rule.tags.length]),
    thresholds: scope.upload(rule.thresholds, [rule.thresholds.length]),
    ...(rule.oneTag ? { only: scope.upload(ownTags(rule, labels, images), [images]) } : {}),
  }, { tau: rule.tau, fallback: rule.untagged === "likeliest" });
  // The largest of a tagger's outputs makes room for those of the next batch.
  attention.dispose();
  const [counts, tagged, score] = await scope.read(
    found.counts,
    found.tagged,
    probability ?? found.score,
  );
  const total = (counts as Int32Array).reduce((sum, count) => sum + count, 0);
  const [packed] = total === 0
    ? [new Float32Array(0)]
    : await scope.read(found.packed.slice(0, [total, width]));
  const whole = (data: unknown) => ({ data: data as Int32Array<ArrayBuffer>, shape: [images] });
  return {
    "object_tokens": { data: packed as Float32Array<ArrayBuffer>, shape: [total, width] },
    "object_counts": whole(counts),
    "tag_count": whole(tagged),
    "tag_score": { data: score as Float32Array<ArrayBuffer>, shape: [images] },
  };
}

function tensorsOf(
  scope: Context,
  values: Readonly<Record<string, Tensor>>,
  { rule, head }: ObjectSource,
): TaggerTensors {
  if (rule.kind === "tagger") {
    return {
      tokens: values["tokens"]!,
      tagLogits: values["tag_logits"]!,
      attention: values["attention"]!,
    };
  }
  if (head === undefined) throw new TypeError("Cannot make activation maps without the head");
  const weight = scope.upload(head.data as Float32Array<ArrayBuffer>, head.shape);
  return camTensors(scope, { map: values["feature_map"]!, logits: values["logits"]!, weight });
}

/** For each image the place of its class's first tag, -1 where the class has none. */
function ownTags(
  { ofClass }: ObjectRule,
  labels: ArrayLike<number> | undefined,
  images: number,
): Int32Array<ArrayBuffer> {
  if (labels === undefined) {
    throw new UserError("Cannot use each image's own tag: the images have no labels");
  }
  return Int32Array.from({ length: images }, (_, n) => ofClass[labels[n]!]?.[0] ?? -1);
}

/** A reducer, and what a file of its results says of how they were chosen. */
export interface ObjectReducer extends BatchReducer {
  /** The rule without the dimensions of the tagger's outputs. */
  readonly record: ObjectRecord;
}

/**
 * A reducer for `extractFeatures`: the tagger's attention is thresholded where the tagger runs and
 * never stored.
 *
 * @param source The rule.
 * @returns The reducer.
 */
export function objectReducer(source: ObjectSource): ObjectReducer {
  const { rule, head } = source;
  const record = recordOf(rule, {});
  return {
    keys: TAGGER_KEYS[rule.kind] as BatchReducer["keys"],
    stored: STORED,
    identity: JSON.stringify({ ...record, ...(head === undefined ? {} : { head: hashOf(head) }) }),
    record,
    run: (ctx, values, { labels }) => findObjects(ctx, values, { ...source, labels }),
  };
}

/** Where object tokens are written, and how. */
export interface WriteObjectsOptions extends ObjectSource {
  /** The file. */
  readonly out: string;
  /** Where thresholds run. */
  readonly ctx: Context;
  /** Images at a time; as many as take 64 MiB by default. */
  readonly batch?: number;
  /** Whether to go on with a run that was stopped. */
  readonly resume?: boolean;
  /** Further metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Told how many images are done. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between two batches, with what is done kept. */
  readonly signal?: AbortSignal | undefined;
}

/** What was written. */
export interface WrittenObjects {
  /** The file. */
  readonly path: string;
  /** Images in it. */
  readonly images: number;
  /** Tokens in it. */
  readonly tokens: number;
  /** Images without a predicted in-distribution tag. */
  readonly untagged: number;
}

/** Metadata that go on from a tagger's file to one of object tokens, and on to a detector. */
const KEPT_METADATA = [
  "model",
  "model_hash",
  "preprocessing",
  "value_of_feature_map",
  "label_names",
  "tag_names",
];
const BATCH_BYTES = 64 << 20;
/** Most time of work that a kill may cost. */
const FLUSH_MS = 10_000;

/**
 * Writes the object tokens of a file of a tagger's outputs, in bounded memory.
 *
 * @param set The tagger's outputs.
 * @param options The rule, and where to.
 * @returns What was written.
 * @throws {UserError} When the set lacks an output, an output has a NaN, images have no labels and the
 * rule wants them, or the file cannot be written.
 *
 * @example One of two tokens
 * ```ts
 * import { writeObjects } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   tokens: { data: new Float32Array([1, 2]), shape: [1, 2, 1] },
 *   "tag_logits": { data: new Float32Array([3]), shape: [1, 1] },
 *   attention: { data: new Float32Array([0.1, 0.9]), shape: [1, 1, 2] },
 * });
 * using host = new Host();
 * const folder = await Deno.makeTempDir();
 * const written = await writeObjects(set, {
 *   rule: {
 *     kind: "tagger", tau: 0.5, untagged: "none", oneTag: false,
 *     tags: new Int32Array([0]), thresholds: new Float32Array([0]), ofClass: [],
 *   },
 *   ctx: host,
 *   out: `${folder}/objects.safetensors`,
 * });
 * await Deno.remove(folder, { recursive: true });
 * assertEquals([written.images, written.tokens, written.untagged], [1, 1, 0]);
 * ```
 */
export async function writeObjects(
  set: FeatureSet,
  options: WriteObjectsOptions,
): Promise<WrittenObjects> {
  const { rule, head, resume } = options;
  if (rule.oneTag) await requireLabels(set);
  const record = recordOf(rule, rowShapes(set, rule.kind));
  await using writer = await FeatureWriter.open(options.out, {
    names: set.names ?? Array.from({ length: set.count }, (_, i) => String(i)),
    config: {
      ...keptMetadata(set.metadata),
      ...options.metadata,
      source: set.path,
      ...(set.metadata["run_hash"] === undefined ? {} : { source_run: set.metadata["run_hash"] }),
      [RECORD_KEY]: JSON.stringify(record),
      ...(head === undefined ? {} : { head_sha256: hashOf(head) }),
    },
    shared: head === undefined ? {} : { [HEAD_KEY]: head },
    ...(resume === undefined ? {} : { resume }),
  });
  try {
    await appendObjects(set, writer, options);
  } catch (error) {
    // Rows that are done go to disk, for a resume.
    if (options.signal?.aborted) await writer.flush();
    throw error;
  }
  return await countObjects(await writer.finish());
}

async function appendObjects(
  set: FeatureSet,
  writer: FeatureWriter,
  options: WriteObjectsOptions,
): Promise<void> {
  const { rule, ctx, signal, onProgress } = options;
  const labelled = set.has("labels");
  const keys = [...TAGGER_KEYS[rule.kind], ...(labelled ? ["labels"] : [])];
  let flushed = performance.now();
  for await (const batch of set.batches(keys, { rows: options.batch ?? batchOf(set, keys) })) {
    signal?.throwIfAborted();
    const done = writer.position - batch.start;
    if (done >= batch.rows) continue;
    const labels = labelled ? rowsFrom(batch.get("labels"), done) : undefined;
    const arrays = await objectsOf(ctx, (key) => rowsFrom(batch.get(key), done), {
      rule,
      head: options.head,
      labels: labels?.data,
    });
    const rows = labels === undefined ? {} : { labels };
    await writer.append({ images: batch.rows - done, arrays: { ...arrays, ...rows } });
    onProgress?.(batch.start + batch.rows, set.count);
    if (performance.now() - flushed < FLUSH_MS) continue;
    await writer.flush();
    flushed = performance.now();
  }
}

/** Refuses to take each image's own tag where no image has a label. */
async function requireLabels(set: FeatureSet): Promise<void> {
  const labels = set.has("labels") ? (await set.read("labels")).data : [];
  if (labels.some((label) => label >= 0)) return;
  throw new UserError(
    `Cannot use each image's own tag of "${set.path}": its images have no labels`,
  );
}

/**
 * What a file of object tokens has.
 *
 * @param path The file.
 * @returns Numbers of its images, tokens, and images without a predicted tag.
 * @throws {UserError} When it cannot be read.
 */
export async function countObjects(path: string): Promise<WrittenObjects> {
  await using set = await openFeatures(path);
  let untagged = 0;
  for await (const batch of set.batches(["tag_count"], { rows: 4096 })) {
    for (const count of batch.get("tag_count").data) untagged += count === 0 ? 1 : 0;
  }
  return { path, images: set.count, tokens: set.shape("object_tokens")[0]!, untagged };
}

async function objectsOf(
  ctx: Context,
  valuesOf: (key: string) => HostArray,
  source: ObjectSource & { readonly labels?: ArrayLike<number> | undefined },
): Promise<Record<string, HostArray>> {
  using scope = ctx.scope();
  const values = Object.fromEntries(
    TAGGER_KEYS[source.rule.kind].map((key) => {
      const { data, shape } = valuesOf(key);
      return [key, scope.upload(data as Float32Array<ArrayBuffer>, shape, { label: key })];
    }),
  );
  return await findObjects(scope, values, source);
}

/** Rows that an earlier run has not done; its batches may have been others. */
function rowsFrom({ data, shape: [rows = 0, ...rest] }: HostArray, first: number): HostArray {
  const width = rest.reduce((product, length) => product * length, 1);
  return { data: data.subarray(first * width), shape: [rows - first, ...rest] };
}

function batchOf(set: FeatureSet, keys: readonly string[]): number {
  const bytes = keys.reduce(
    (sum, key) => sum + 4 * set.shape(key).slice(1).reduce((a, b) => a * b, 1),
    0,
  );
  return Math.max(1, Math.min(512, Math.floor(BATCH_BYTES / bytes)));
}

/**
 * What a file of object tokens, and the detector that is trained on it, keep of a tagger's file.
 *
 * @param metadata The metadata of either file.
 * @returns Those that are kept.
 */
export function keptMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    KEPT_METADATA.flatMap((key) => {
      const value = metadata[key];
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

/** Dimensions of one image of what a tagger gave. */
function rowShapes(set: FeatureSet, kind: TaggerKind): Record<string, readonly number[]> {
  return Object.fromEntries(TAGGER_KEYS[kind].map((key) => [key, set.shape(key).slice(1)]));
}

function recordOf(
  { kind, tau, untagged, oneTag, tags, thresholds }: ObjectRule,
  inputs: Readonly<Record<string, readonly number[]>>,
): ObjectRecord {
  return {
    kind,
    tau,
    untagged,
    oneTag,
    tags: [...tags],
    thresholds: [...thresholds],
    inputs,
  };
}

function hashOf({ data }: HostArray): string {
  return createHash("sha256").update(data).digest("hex");
}

/**
 * What a file of object tokens says of how they were chosen.
 *
 * @param of Its path, its metadata, and the head that it has.
 * @returns The record.
 * @throws {UserError} When it says nothing, or what it says is damaged.
 */
export function objectRecord(
  of: {
    readonly path: string;
    readonly metadata: Readonly<Record<string, string>>;
    readonly head?: HostArray | undefined;
  },
): ObjectRecord {
  const text = of.metadata[RECORD_KEY];
  const refuse = (why: string) => new UserError(`Cannot use "${of.path}": ${why}`);
  if (text === undefined) {
    throw refuse(
      "it does not say how its tokens were chosen; a file from ood tagood features was expected",
    );
  }
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    throw refuse(`"${RECORD_KEY}" of its metadata is no JSON text`);
  }
  if (!isRecord(record)) throw refuse(`"${RECORD_KEY}" of its metadata is damaged`);
  return of.head === undefined ? record : { ...record, head: of.head };
}

function isRecord(value: unknown): value is ObjectRecord {
  const { kind, tau, tags, thresholds, inputs } = (value ?? {}) as Partial<ObjectRecord>;
  const numbers = (list: unknown): list is number[] =>
    Array.isArray(list) && list.every((item) => Number.isFinite(item));
  return (kind === "tagger" || kind === "cam") && typeof tau === "number" && numbers(tags) &&
    numbers(thresholds) && tags.length === thresholds.length && typeof inputs === "object" &&
    inputs !== null &&
    TAGGER_KEYS[kind].every((key) => numbers((inputs as Record<string, unknown>)[key]));
}
