/**
 * The vocabulary of the in-distribution classes: which of a tagger's tags stand for each class
 * (section 3.3 of the paper). The most frequent tag of every class is proposed, a person reviews
 * the file, and what is in it then decides which tags single out objects.
 *
 * @module
 */

import { type FeatureSet, writeFileAtomic } from "../../data/mod.ts";
import { nearestName, UserError } from "../../runtime/mod.ts";
import { TagCounts } from "./_tag_counts.ts";
import {
  DEFAULT_THRESHOLD,
  FORMAT,
  FORMAT_VERSION,
  readVocabulary,
  writeVocabularyText,
} from "./_vocabulary_format.ts";

/** A tag that is often predicted for images of a class. */
export interface VocabularyCandidate {
  /** The tag's name. */
  readonly tag: string;
  /** How many images of the class it was predicted for. */
  readonly count: number;
  /** That as a share of the class's images. */
  readonly share: number;
  /** Names of the first images that have it. */
  readonly samples: readonly string[];
}

/** A class and the tags that stand for it. */
export interface VocabularyClass {
  /** The class's name. */
  readonly class: string;
  /** Names of the tags that stand for it; what a person edits. */
  readonly tags: readonly string[];
  /** How many images of the class were looked at. */
  readonly images: number;
  /** For how many of them any tag at all was predicted. */
  readonly tagged: number;
  /** Why no tag could be proposed. */
  readonly note?: string;
  /** The most frequent tags, the first of which was proposed. */
  readonly candidates: readonly VocabularyCandidate[];
}

/** Which tags of a tagger stand for which class. */
export interface Vocabulary {
  /** What the file calls itself. */
  readonly format: "oodgpu.tagood.vocabulary";
  /** The file's version. */
  readonly version: 1;
  /** The tagger that it was made with. */
  readonly model: { readonly name: string; readonly sha256?: string };
  /** M, how many tags the tagger has. */
  readonly tags: number;
  /** The probability above which a tag is predicted, where the tagger names none of its own. */
  readonly threshold: number;
  /** Whether that holds for every tag, whatever the tagger says. */
  readonly forced?: boolean;
  /** The classes, in the order of their labels. */
  readonly classes: readonly VocabularyClass[];
}

/** Probabilities above which tags are predicted: one for all, or one for each of the M tags. */
export type TagThresholds = number | ArrayLike<number>;

/** Names of the M tags, and thresholds where the tagger has its own. */
export interface Tagger {
  /** Names of the tags, in the order of the logits. */
  readonly tags: readonly string[];
  /** Its own thresholds. */
  readonly thresholds?: TagThresholds;
}

/**
 * Reads a vocabulary.
 *
 * @param source The file's text, or its parsed JSON.
 * @param options `name`: what messages call it.
 * @returns The vocabulary; counts that a hand-written file leaves out are 0.
 * @throws {UserError} When it is no vocabulary, or a key or value in it is wrong.
 *
 * @example A file that was written by hand
 * ```ts
 * import { parseVocabulary } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const { threshold, classes } = parseVocabulary({
 *   format: "oodgpu.tagood.vocabulary",
 *   version: 1,
 *   model: { name: "ram.onnx" },
 *   tags: 4585,
 *   classes: [{ class: "boat", tags: ["boat", "ship"] }],
 * });
 * assertEquals(threshold, 0.5);
 * assertEquals(classes[0]!.tags, ["boat", "ship"]);
 * ```
 */
export function parseVocabulary(
  source: unknown,
  options: { readonly name?: string } = {},
): Vocabulary {
  return readVocabulary(source, options.name ?? "vocabulary");
}

/**
 * A vocabulary as the text of its file: one line for each list of tags and each candidate, so that
 * it is easy to edit and two of them are easy to compare.
 *
 * @param vocabulary The vocabulary.
 * @returns JSON text.
 *
 * @example There and back
 * ```ts
 * import { formatVocabulary, parseVocabulary } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const vocabulary = parseVocabulary({
 *   format: "oodgpu.tagood.vocabulary",
 *   version: 1,
 *   model: { name: "ram.onnx" },
 *   tags: 4585,
 *   classes: [{ class: "boat", tags: ["boat"] }],
 * });
 * assertEquals(parseVocabulary(formatVocabulary(vocabulary)), vocabulary);
 * ```
 */
export function formatVocabulary(vocabulary: Vocabulary): string {
  return writeVocabularyText(vocabulary);
}

/**
 * Reads a vocabulary file.
 *
 * @param path The file.
 * @returns The vocabulary.
 * @throws {UserError} When the file cannot be read or is no vocabulary.
 *
 * @example What was saved
 * ```ts
 * import { loadVocabulary, parseVocabulary, saveVocabulary } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const vocabulary = parseVocabulary({
 *   format: "oodgpu.tagood.vocabulary",
 *   version: 1,
 *   model: { name: "ram.onnx" },
 *   tags: 4585,
 *   classes: [{ class: "boat", tags: ["boat"] }],
 * });
 * await saveVocabulary(vocabulary, `${folder}/vocabulary.json`);
 * assertEquals(await loadVocabulary(`${folder}/vocabulary.json`), vocabulary);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function loadVocabulary(path: string): Promise<Vocabulary> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? 'there is no such file; "ood tagood vocab" makes one'
      : (error as Error).message;
    throw new UserError(`Cannot read the vocabulary "${path}": ${why}`, { cause: error });
  }
  return readVocabulary(text, path);
}

/**
 * Writes a vocabulary file atomically.
 *
 * @param vocabulary The vocabulary.
 * @param path The file; an existing one is replaced.
 * @throws {UserError} When the file cannot be written.
 *
 * @example A file for a person to review
 * ```ts
 * import { parseVocabulary, saveVocabulary } from "@oodgpu/oodgpu/methods";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const vocabulary = parseVocabulary({
 *   format: "oodgpu.tagood.vocabulary",
 *   version: 1,
 *   model: { name: "ram.onnx" },
 *   tags: 4585,
 *   classes: [{ class: "boat", tags: ["boat", "ship"] }],
 * });
 * await saveVocabulary(vocabulary, `${folder}/vocabulary.json`);
 * const text = await Deno.readTextFile(`${folder}/vocabulary.json`);
 * assertStringIncludes(text, '"tags": ["boat", "ship"],');
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveVocabulary(vocabulary: Vocabulary, path: string): Promise<void> {
  await writeFileAtomic(path, writeVocabularyText(vocabulary));
}

/**
 * What a feature file says of the tagger that made it: `tag_names` and `tag_thresholds` of its
 * metadata.
 *
 * @param set A set with `tag_logits`.
 * @returns Names of the tags, and thresholds where the tagger has its own.
 * @throws {UserError} When there are no tag logits, or the file does not name its tags.
 *
 * @example Two tags
 * ```ts
 * import { taggerOf } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures(
 *   { "tag_logits": { data: new Float32Array(2), shape: [1, 2] } },
 *   { metadata: { "tag_names": '["boat", "sea"]', "tag_thresholds": "0.6" } },
 * );
 * assertEquals(taggerOf(set), { tags: ["boat", "sea"], thresholds: 0.6 });
 * ```
 */
export function taggerOf(set: FeatureSet): Tagger {
  const [, count] = set.has("tag_logits") ? set.shape("tag_logits") : [];
  if (count === undefined) {
    throw new UserError(
      `Cannot read tags of "${set.path}": it has no "tag_logits", only ${set.keys.join(", ")}`,
    );
  }
  const tags = fromMetadata(set, "tag_names");
  if (tags === undefined) {
    throw new UserError(
      `Cannot read tags of "${set.path}": it does not name them; give "tags" in the sidecar of the ` +
        "tagger and extract again",
    );
  }
  const named = Array.isArray(tags) && tags.every((tag) => typeof tag === "string");
  if (!named || tags.length !== count) {
    const found = named ? `${tags.length} names` : "something else";
    throw new UserError(
      `Cannot read tags of "${set.path}": it has ${count} tag logits an image, and "tag_names" of ` +
        `its metadata is ${found}`,
    );
  }
  const thresholds = fromMetadata(set, "tag_thresholds");
  if (thresholds === undefined) return { tags };
  return { tags, thresholds: requireThresholds(thresholds, { name: set.path, count }) };
}

function fromMetadata(set: FeatureSet, key: string): unknown {
  const text = set.metadata[key];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new UserError(`Cannot read tags of "${set.path}": "${key}" of its metadata is no JSON`);
  }
}

function requireThresholds(
  value: unknown,
  { name, count }: { readonly name: string; readonly count: number },
): TagThresholds {
  const fits = (p: unknown) => typeof p === "number" && p >= 0 && p <= 1;
  if (Array.isArray(value) ? value.length === count && value.every(fits) : fits(value)) {
    return value as TagThresholds;
  }
  throw new UserError(
    `Cannot use the tag thresholds of "${name}": a probability, or one for each of its ${count} ` +
      "tags, was expected",
  );
}

/** How a vocabulary is proposed. */
export interface ProposalOptions {
  /** Names of the tags, and the tagger's own thresholds; from the set's metadata by default. */
  readonly tagger?: Tagger;
  /** Names of the classes, in the order of the labels; from the set's metadata by default. */
  readonly classNames?: readonly string[];
  /** A probability for every tag, in place of the tagger's own thresholds. */
  readonly threshold?: number;
  /**
   * How many of the most frequent tags of each class are listed.
   *
   * @default {5}
   */
  readonly candidates?: number;
  /**
   * How many images are named for each of them.
   *
   * @default {3}
   */
  readonly samples?: number;
  /** Called after each batch. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between batches. */
  readonly signal?: AbortSignal;
}

/** Elements of tag logits that are held at a time, beside the next batch. */
const BATCH_ELEMENTS = 4 * 1024 * 1024;

/**
 * Proposes a vocabulary: for every class the tag that is predicted for most of its images. Of equally
 * frequent tags the tagger's first is taken. A class that has no image, or none with a predicted
 * tag, gets no tag and a note. Images without a label count for nothing.
 *
 * @param set Labelled images with `tag_logits`; it is streamed once.
 * @param options Thresholds, how many candidates are listed, and names that the set lacks.
 * @returns The vocabulary, for a person to review.
 * @throws {UserError} When the set has no tag logits, no labels or no names of tags, or a threshold
 * is no probability.
 *
 * @example Boats are at sea
 * ```ts
 * import { proposeVocabulary } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   "tag_logits": { data: new Float32Array([3, 2, -1, 4]), shape: [2, 2] },
 *   labels: { data: new Int32Array([0, 0]), shape: [2] },
 * }, { names: ["1.png", "2.png"] });
 * const { classes } = await proposeVocabulary(set, {
 *   tagger: { tags: ["boat", "sea"] },
 *   classNames: ["boat"],
 * });
 * assertEquals(classes[0]!.tags, ["sea"]);
 * assertEquals(classes[0]!.candidates[1], {
 *   tag: "boat", count: 1, share: 0.5, samples: ["1.png"],
 * });
 * ```
 */
export async function proposeVocabulary(
  set: FeatureSet,
  options: ProposalOptions = {},
): Promise<Vocabulary> {
  const { candidates = 5, samples = 3, onProgress, signal } = options;
  const tagger = options.tagger ?? taggerOf(set);
  const forced = options.threshold !== undefined;
  const own = tagger.thresholds;
  const threshold = options.threshold ?? (typeof own === "number" ? own : DEFAULT_THRESHOLD);
  if (!(threshold > 0 && threshold < 1)) {
    throw new UserError(
      `Cannot propose a vocabulary: the threshold must be above 0 and below 1: it is ${threshold}`,
    );
  }
  const classNames = options.classNames ?? await classNamesOf(set);
  const counts = new TagCounts(classNames.length, {
    thresholds: logitsOf(forced ? threshold : own ?? threshold, tagger.tags.length),
    samples,
  });
  const rows = Math.max(1, Math.floor(BATCH_ELEMENTS / tagger.tags.length));
  for await (const batch of set.batches(["tag_logits", "labels"], { rows })) {
    signal?.throwIfAborted();
    counts.add(batch);
    onProgress?.(batch.start + batch.rows, set.count);
  }
  const sha256 = set.metadata["model_hash"];
  return {
    format: FORMAT,
    version: FORMAT_VERSION,
    model: {
      name: set.metadata["model"] ?? set.path,
      ...(sha256 === undefined ? {} : { sha256 }),
    },
    tags: tagger.tags.length,
    threshold,
    ...(forced ? { forced } : {}),
    classes: classNames.map((name, label) => {
      const { images, tagged } = counts.totals(label);
      const found = counts.mostFrequent(label, candidates).map(({ tag, count, rows }) => ({
        tag: tagger.tags[tag]!,
        count,
        share: Number((count / images).toFixed(4)),
        samples: rows.map((row) => set.names?.[row] ?? `row ${row}`),
      }));
      const note = images === 0
        ? "there is no image of this class"
        : tagged === 0
        ? "no tag was predicted for any image of this class"
        : undefined;
      return {
        class: name,
        tags: found.slice(0, 1).map(({ tag }) => tag),
        images,
        tagged,
        ...(note === undefined ? {} : { note }),
        candidates: found,
      };
    }),
  };
}

/** Names of the classes as the set has them, or numbers up to the highest label. */
async function classNamesOf(set: FeatureSet): Promise<readonly string[]> {
  if (!set.has("labels")) {
    throw new UserError(
      `Cannot propose a vocabulary: "${set.path}" has no "labels" (extract with --labels to store ` +
        "them)",
    );
  }
  const { data: labels } = await set.read("labels");
  let highest = -1;
  for (const label of labels) highest = Math.max(highest, label);
  if (highest < 0) {
    throw new UserError(`Cannot propose a vocabulary: no image of "${set.path}" has a label`);
  }
  const text = set.metadata["label_names"];
  const names = text === undefined ? [] : JSON.parse(text) as string[];
  if (names.length > highest) return names;
  return Array.from({ length: highest + 1 }, (_, label) => names[label] ?? `class ${label}`);
}

/** What a vocabulary must fit. */
export interface VocabularyFit {
  /** Names of the tagger's tags. */
  readonly tags: readonly string[];
  /** Names of the classes, in the order of the labels. */
  readonly classNames: readonly string[];
  /** Whether classes may have no tag: their images are then seen only by tags of other classes. */
  readonly allowUncovered?: boolean;
  /** What messages call the vocabulary. */
  readonly name?: string;
}

const MAX_NAMED = 5;

/**
 * Checks that a vocabulary fits a tagger and the classes of a set of images. Tags go by their names:
 * a tagger that was cut down to the tags of the vocabulary fits too.
 *
 * @param vocabulary The vocabulary, as a person left it.
 * @param fit The tags, the classes, and whether classes may be without a tag.
 * @returns The vocabulary with its classes in the order of `classNames`.
 * @throws {UserError} When it names a tag or a class that there is not, or has no tag for a class.
 *
 * @example A misspelt tag
 * ```ts
 * import { parseVocabulary, requireVocabulary } from "@oodgpu/oodgpu/methods";
 * import { assertThrows } from "@std/assert";
 *
 * const vocabulary = parseVocabulary({
 *   format: "oodgpu.tagood.vocabulary",
 *   version: 1,
 *   model: { name: "ram.onnx" },
 *   tags: 2,
 *   classes: [{ class: "boat", tags: ["baot"] }],
 * });
 * assertThrows(
 *   () => requireVocabulary(vocabulary, { tags: ["boat", "sea"], classNames: ["boat"] }),
 *   Error,
 *   'did you mean "boat"',
 * );
 * ```
 */
export function requireVocabulary(vocabulary: Vocabulary, fit: VocabularyFit): Vocabulary {
  const { tags, classNames, allowUncovered = false, name = "vocabulary" } = fit;
  const refuse = (why: string) => new UserError(`Cannot use "${name}": ${why}`);
  const knownTags = new Set(tags);
  const byClass = new Map(vocabulary.classes.map((entry) => [entry.class, entry]));
  for (const { class: className, tags: chosen } of vocabulary.classes) {
    if (!classNames.includes(className)) {
      throw refuse(
        `there is no class "${className}" among those of the images${
          didYouMean(className, classNames)
        }`,
      );
    }
    const unknown = chosen.find((tag) => !knownTags.has(tag));
    if (unknown === undefined) continue;
    throw refuse(
      `the tagger has no tag "${unknown}", which stands for the class "${className}"${
        didYouMean(unknown, tags) ?? otherTagger(vocabulary, tags.length)
      }`,
    );
  }
  const classes = classNames.map((className) =>
    byClass.get(className) ??
      { class: className, tags: [], images: 0, tagged: 0, candidates: [] }
  );
  const uncovered = classes.filter((entry) => entry.tags.length === 0);
  if (uncovered.length > 0 && !allowUncovered) {
    const some = uncovered.slice(0, MAX_NAMED).map((entry) => `"${entry.class}"`).join(", ");
    const more = uncovered.length > MAX_NAMED ? ", …" : "";
    const whom = uncovered.length === 1
      ? `the class ${some}`
      : `${uncovered.length} classes (${some}${more})`;
    throw refuse(
      `no tag stands for ${whom}; name tags of the tagger in "tags", or allow classes without any ` +
        "(--allow-uncovered)",
    );
  }
  return { ...vocabulary, classes };
}

function didYouMean(word: string, known: readonly string[]): string | undefined {
  const near = nearestName(word, known);
  return near === undefined ? undefined : `; did you mean "${near}"`;
}

/** What to say when the tags are those of another tagger; names decide, not their number. */
function otherTagger({ model, tags }: Vocabulary, count: number): string {
  if (tags === count) return "";
  return `; the vocabulary was made for the ${tags} tags of ${model.name}, and this tagger has ${count}`;
}

/** The ID tags as the kernels take them. */
export interface IdTags {
  /** V indices of tags, distinct and ascending. */
  readonly tags: Int32Array<ArrayBuffer>;
  /** For each of them the logit above which it is predicted. */
  readonly thresholds: Float32Array<ArrayBuffer>;
  /** For each class the places in `tags` of the tags that stand for it, ascending. */
  readonly ofClass: readonly Int32Array<ArrayBuffer>[];
}

/**
 * The ID tags: all tags that any class names.
 *
 * @param vocabulary The vocabulary, checked by {@linkcode requireVocabulary}.
 * @param tagNames Names of the tagger's tags; a name that it has twice stands for both.
 * @param tagThresholds The tagger's own thresholds; without any, or when the vocabulary forces its
 * own, that one holds for every tag.
 * @returns Indices, thresholds on the logits, and which of them stand for which class.
 * @throws {UserError} When a tag is unknown, or none is named.
 *
 * @example Two of three tags
 * ```ts
 * import { idTags, parseVocabulary } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const vocabulary = parseVocabulary({
 *   format: "oodgpu.tagood.vocabulary",
 *   version: 1,
 *   model: { name: "ram.onnx" },
 *   tags: 3,
 *   classes: [{ class: "ship", tags: ["ship", "boat"] }, { class: "boat", tags: ["boat"] }],
 * });
 * const { tags, thresholds, ofClass } = idTags(vocabulary, ["boat", "sea", "ship"]);
 * assertEquals([...tags], [0, 2]);
 * assertEquals([...thresholds], [0, 0]);
 * assertEquals(ofClass.map((places) => [...places]), [[0, 1], [0]]);
 * ```
 */
export function idTags(
  vocabulary: Vocabulary,
  tagNames: readonly string[],
  tagThresholds?: TagThresholds,
): IdTags {
  const indices = new Map<string, number[]>();
  tagNames.forEach((tag, index) => {
    const known = indices.get(tag);
    if (known === undefined) indices.set(tag, [index]);
    else known.push(index);
  });
  const chosen = vocabulary.classes.map(({ class: className, tags }) =>
    tags.flatMap((tag) => {
      const found = indices.get(tag);
      if (found !== undefined) return found;
      throw new UserError(
        `Cannot use the tag "${tag}" of the class "${className}": the tagger does not have it${
          didYouMean(tag, tagNames) ?? ""
        }`,
      );
    })
  );
  const tags = Int32Array.from(new Set(chosen.flat())).sort();
  if (tags.length === 0) {
    throw new UserError("Cannot use a vocabulary that names no tag for any class");
  }
  const own = vocabulary.forced ? undefined : tagThresholds;
  const all = logitsOf(own ?? vocabulary.threshold, tagNames.length);
  const places = new Map([...tags].map((tag, place) => [tag, place]));
  return {
    tags,
    thresholds: Float32Array.from(tags, (tag) => all[tag]!),
    ofClass: chosen.map((list) => Int32Array.from(new Set(list), (tag) => places.get(tag)!).sort()),
  };
}

const LARGEST = 3.4028234663852886e38;

/** Probabilities as logits; 0 and 1 as the ends of f32, which nothing is below or above. */
function logitsOf(thresholds: TagThresholds, count: number): Float32Array<ArrayBuffer> {
  const logit = (p: number) => Math.min(LARGEST, Math.max(-LARGEST, Math.log(p) - Math.log1p(-p)));
  if (typeof thresholds === "number") return new Float32Array(count).fill(logit(thresholds));
  return Float32Array.from({ length: count }, (_, tag) => logit(thresholds[tag]!));
}
