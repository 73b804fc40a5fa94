/**
 * What the TagOOD commands share: which tokens are objects, and object tokens from whatever a user
 * has: files of object tokens, files of a tagger's outputs, or images and the tagger itself.
 *
 * @module
 */

import { join } from "node:path";
import { type FeatureSet, type HostArray, openFeatures } from "../data/mod.ts";
import {
  type IdTags,
  idTags,
  loadObjects,
  loadVocabulary,
  type ObjectRecord,
  type ObjectRule,
  type ObjectSet,
  type ObjectSource,
  requireVocabulary,
  type Tagger,
  type TaggerKind,
  taggerKindOf,
  taggerOf,
  type Vocabulary,
  writeObjects,
  type WrittenObjects,
} from "../methods/mod.ts";
import { countObjects, objectRecord, objectReducer } from "../methods/tagood/features.ts";
import {
  extractFeatures,
  type ExtractionDevice,
  headWeights,
  type Inspection,
  type OnnxModel,
} from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Arguments, type OptionSpec, UsageError } from "./_arguments.ts";
import type { CommandContext } from "./_command.ts";
import { openSource } from "./_image_source.ts";
import { openModel, openTraining } from "./_lbf.ts";
import { noteSkipped } from "./_skipped.ts";
import type { Terminal } from "./_terminal.ts";

/** The options that say which tokens are objects. */
export const RULE_OPTIONS: readonly OptionSpec[] = [
  {
    name: "vocabulary",
    value: "FILE",
    help: "from ood tagood vocab; without it a classifier's classes are the tags",
  },
  {
    name: "tau",
    value: "T",
    help: "attention above which a token is kept, of each tag's map from 0 to 1; 0 keeps all",
    default: "0.5",
  },
  {
    name: "untagged",
    value: "HOW",
    help: "images without a predicted tag: none gives them no tokens, likeliest takes the tag " +
      "nearest to its threshold",
    choices: ["none", "likeliest"],
    default: "none",
  },
  {
    name: "one-tag",
    help: "use the tag of each image's own class, not the predicted ones",
  },
  {
    name: "tag-threshold",
    value: "P",
    help: "probability from which a class of a classifier without tags is predicted (default one " +
      "by the number of classes)",
  },
  { name: "allow-uncovered", help: "accept a vocabulary in which classes have no tag" },
];

/** Names that a remark lists. */
const MAX_NAMED = 10;

/** What is known of whoever names the tags. */
interface TagSource {
  readonly kind: TaggerKind;
  /** Names of the tags; of the classes where `kind` is `cam`. */
  readonly tags: readonly string[];
  readonly thresholds?: Tagger["thresholds"] | undefined;
  /** Names of the images' classes, where they have labels. */
  readonly classNames: readonly string[] | undefined;
  readonly head?: HostArray | undefined;
}

/** The rule that a command's options ask for. */
export async function openRule(
  args: Arguments,
  source: TagSource,
  terminal: Terminal,
): Promise<ObjectSource> {
  const common = {
    kind: source.kind,
    tau: args.number("tau", { minimum: 0, maximum: 1 })!,
    untagged: args.need("untagged") as ObjectRule["untagged"],
    oneTag: args.flag("one-tag"),
  };
  const { tags } = await openTags(args, source, terminal);
  return { rule: { ...common, ...tags }, head: source.head };
}

/** Tags of the known classes. */
export interface OpenTags {
  readonly tags: IdTags;
  /** Names of the classes, in the order of labels. */
  readonly classNames: readonly string[];
}

/** The tags that a command's options name: those of a vocabulary, or a classifier's classes. */
export async function openTags(
  args: Arguments,
  source: TagSource,
  terminal: Terminal,
): Promise<OpenTags> {
  const path = args.text("vocabulary");
  if (source.kind === "cam") {
    if (path !== undefined) {
      throw new UsageError(
        "The option --vocabulary needs a tagger: the tags of a classifier are its classes",
      );
    }
    return { tags: classTags(args, source.tags.length), classNames: source.tags };
  }
  if (path === undefined) {
    throw new UsageError(
      "The option --vocabulary FILE is required for a tagger: ood tagood vocab proposes one",
    );
  }
  requireNoTagThreshold(args);
  const vocabulary = await openVocabulary(path, source, args, terminal);
  return {
    tags: idTags(vocabulary, source.tags, source.thresholds),
    classNames: vocabulary.classes.map((entry) => entry.class),
  };
}

/** Refuses a threshold that would be passed over. */
function requireNoTagThreshold(args: Arguments): void {
  if (args.text("tag-threshold") === undefined) return;
  throw new UsageError(
    "The option --tag-threshold is for classifiers: the thresholds of a tagger are those of its " +
      'sidecar ("tag_thresholds") or of the vocabulary',
  );
}

/** A classifier's classes as tags, predicted from a probability on. */
function classTags(args: Arguments, classes: number): IdTags {
  const threshold = args.number("tag-threshold", { minimum: 0, maximum: 1 }) ?? 1 / classes;
  return {
    tags: Int32Array.from({ length: classes }, (_, k) => k),
    thresholds: new Float32Array(classes).fill(threshold),
    ofClass: Array.from({ length: classes }, (_, k) => Int32Array.of(k)),
  };
}

/**
 * The vocabulary with its classes in the order of the images' labels, where these are its own. Images
 * of a few of its classes do; a class of theirs that it does not know has no tag.
 */
async function openVocabulary(
  path: string,
  { tags, classNames = [] }: TagSource,
  args: Arguments,
  terminal: Terminal,
): Promise<Vocabulary> {
  const vocabulary = await loadVocabulary(path);
  const own = vocabulary.classes.map((entry) => entry.class);
  const known = classNames.filter((name) => own.includes(name));
  if (known.length === 0 && classNames.length > 0) {
    terminal.note("Note: none of the images' classes is in the vocabulary: they count as unknown");
  }
  const others = own.filter((name) => !known.includes(name));
  if (known.length > 0 && others.length > 0) {
    terminal.note(`Note: no image is of these classes of the vocabulary: ${some(others)}`);
  }
  return requireVocabulary(vocabulary, {
    tags,
    classNames: known.length === 0 ? own : [...classNames, ...others],
    allowUncovered: args.flag("allow-uncovered"),
    name: path,
  });
}

/** The first of many names. */
function some(names: readonly string[]): string {
  return `${names.slice(0, MAX_NAMED).join(", ")}${names.length > MAX_NAMED ? ", …" : ""}`;
}

/** What a file of a model's outputs says of whoever named the tags. */
export async function tagSourceOf(set: FeatureSet): Promise<TagSource> {
  const kind = taggerKindOf(set);
  const classNames = labelNames(set.metadata);
  if (kind === "tagger") {
    const tagger = taggerOf(set);
    return { kind, tags: tagger.tags, thresholds: tagger.thresholds, classNames };
  }
  const classes = set.shape("logits")[1]!;
  return {
    kind,
    tags: classNames ?? Array.from({ length: classes }, (_, k) => `class ${k}`),
    classNames,
    head: await set.read("head.weight"),
  };
}

/** Class names that a file's metadata hold. */
export function labelNames(
  metadata: Readonly<Record<string, string>>,
): readonly string[] | undefined {
  const text = metadata["label_names"];
  if (text === undefined) return undefined;
  try {
    const names: unknown = JSON.parse(text);
    if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
  } catch {
    // What is no JSON text is no list either.
  }
  throw new UserError('Cannot use the classes of a file: "label_names" of its metadata is no list');
}

/** The same of a model: a tagger where it names its tokens, else a classifier. */
function tagSourceOfModel(
  { model, inspection }: { readonly model: OnnxModel; readonly inspection: Inspection },
  classNames: readonly string[],
): TagSource {
  const { tokens, tagLogits, attention, tags, tagThresholds: thresholds } = inspection;
  if (tokens !== undefined && tagLogits !== undefined && attention !== undefined) {
    if (tags === undefined) {
      throw new UserError(
        `Cannot find objects with "${inspection.name}": it does not name its tags; list them as ` +
          '"tags" in its sidecar',
      );
    }
    return { kind: "tagger", tags, thresholds, classNames };
  }
  const named = Object.entries({ tokens, "tag_logits": tagLogits, attention });
  const missing = named.filter(([, value]) => value === undefined).map(([name]) => `"${name}"`);
  if (missing.length < named.length) {
    throw new UserError(
      `Cannot find objects with "${inspection.name}": its sidecar names no output ${
        missing.join(", no output ")
      }; a tagger's tokens, tag_logits and attention are needed`,
    );
  }
  const { head, featureMap, labels } = inspection;
  if (head === undefined || featureMap === undefined) {
    throw new UserError(
      `Cannot find objects with "${inspection.name}": it is no tagger (its sidecar names no tokens, ` +
        "tag_logits and attention) and no classifier with a linear head on a feature map",
    );
  }
  const { weight } = headWeights(model, head);
  return {
    kind: "cam",
    tags: labels ?? Array.from({ length: head.classes }, (_, k) => `class ${k}`),
    classNames,
    head: { data: weight, shape: [head.classes, head.channels] },
  };
}

/** Where a command's images, the tagger and the results are. */
export interface MakeObjects {
  /** A file of a tagger's outputs. */
  readonly features?: string | undefined;
  /** Images, for the tagger. */
  readonly images?: string | undefined;
  /** The tagger. */
  readonly model?: string | undefined;
  /** Labels of the images. */
  readonly labels: string;
  /** The file to write. */
  readonly out: string;
  /** Whether to go on with a run that was stopped. */
  readonly resume: boolean;
  /** What the progress bar is called. */
  readonly label: string;
}

/** Makes a file of object tokens. */
export async function makeObjects(
  context: CommandContext,
  how: MakeObjects,
): Promise<WrittenObjects> {
  if (how.images === undefined) return await objectsOfFeatures(context, how);
  if (how.model === undefined) {
    throw new UsageError("The option --images needs --model, the tagger");
  }
  return await objectsOfImages(context, how as MakeObjects & { images: string; model: string });
}

async function objectsOfFeatures(
  { args, terminal, signal }: CommandContext,
  { features, out, resume, label }: MakeObjects,
): Promise<WrittenObjects> {
  await using set = await openFeatures(features!);
  const source = await openRule(args, await tagSourceOf(set), terminal);
  using ctx = await openTraining(args, terminal, "kernel-variant");
  using progress = terminal.progress(label, set.count, { unit: "images" });
  const written = await writeObjects(set, {
    ...source,
    out,
    ctx,
    resume,
    signal,
    onProgress: (done) => progress.update(done),
  });
  progress.finish();
  return written;
}

async function objectsOfImages(
  { args, terminal, signal }: CommandContext,
  how: MakeObjects & { readonly images: string; readonly model: string },
): Promise<WrittenObjects> {
  const open = await openModel(how.model);
  const images = await openSource(how.images, { option: "images", labels: how.labels, seed: 0 });
  const source = tagSourceOfModel(open, images.classNames);
  const { rule, head } = await openRule(args, source, terminal);
  if (rule.oneTag && images.labels.every((label) => label < 0)) {
    throw new UserError(
      `Cannot use each image's own tag of "${how.images}": its images have no labels`,
    );
  }
  const record: ObjectRecord = {
    ...objectReducer({ rule, head }).record,
    inputs: rowShapesOf(open.inspection, source.kind),
  };
  using progress = terminal.progress(how.label, images.count, { unit: "images" });
  const { path, skipped } = await extractFeatures({
    model: how.model,
    images,
    out: how.out,
    // Models run everywhere but on the kernels' reference.
    device: args.need("device") === "reference" ? "wasm" : args.need("device") as ExtractionDevice,
    resume: how.resume,
    strict: args.flag("strict"),
    keys: [],
    reduce: objectReducer({ rule, head }),
    metadata: { objects: JSON.stringify(record) },
    signal,
    onStart: ({ deviceName, batch }) =>
      terminal.note(`Running the tagger on ${deviceName}, ${batch} images at a time`),
    onProgress: ({ done }) => progress.update(done),
  });
  progress.finish();
  signal.throwIfAborted();
  noteSkipped(skipped, terminal);
  return await countObjects(path!);
}

/** Dimensions of one image of what a model gives. */
function rowShapesOf(inspection: Inspection, kind: TaggerKind): Record<string, readonly number[]> {
  const { tokens, tagLogits, attention, featureMap, logits } = inspection;
  const values = kind === "tagger"
    ? { tokens, "tag_logits": tagLogits, attention }
    : { "feature_map": featureMap, logits };
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => {
      const row = value?.shape?.slice(1) ?? [];
      if (row.length > 0 && row.every((length) => typeof length === "number")) {
        return [key, row as number[]];
      }
      throw new UserError(
        `Cannot find objects with "${inspection.name}": the shape of its "${key}" is not known; ` +
          "export it with all dimensions but the batch fixed",
      );
    }),
  );
}

/** Object tokens with what their file says of them. */
export interface OpenObjects extends Disposable {
  readonly objects: ObjectSet;
  readonly record: ObjectRecord;
  readonly classNames: readonly string[] | undefined;
}

/** Loads a file of object tokens. */
export async function openObjects(
  path: string,
  { terminal, signal, label, onlyTagged = false }: {
    readonly terminal: Terminal;
    readonly signal: AbortSignal;
    readonly label: string;
    readonly onlyTagged?: boolean;
  },
): Promise<OpenObjects> {
  await using set = await openFeatures(path);
  using progress = terminal.progress(label, set.count, { unit: "images" });
  const objects = await loadObjects(set, {
    onlyTagged,
    signal,
    onProgress: (done) => progress.update(done),
  });
  progress.finish();
  return {
    objects,
    record: objectRecord(objects),
    classNames: labelNames(set.metadata),
    [Symbol.dispose]: () => objects[Symbol.dispose](),
  };
}

/** Most tokens that an image can have, T. */
export function maxTokensOf({ record, objects }: Pick<OpenObjects, "record" | "objects">): number {
  const { tokens, "feature_map": map } = record.inputs;
  if (tokens !== undefined) return tokens[0]!;
  if (map !== undefined) return map[1]! * map[2]!;
  return objects.counts.reduce((a, b) => Math.max(a, b), 1);
}

/** A folder for files that go when a command ends, unless the user named one. */
export async function workFolder(
  wanted: string | undefined,
): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = wanted ?? await Deno.makeTempDir({ prefix: "oodgpu-tagood-" });
  if (wanted !== undefined) await makeFolder(wanted);
  return {
    path,
    async [Symbol.asyncDispose]() {
      if (wanted === undefined) await Deno.remove(path, { recursive: true });
    },
  };
}

/**
 * Makes a folder and those that it lies in.
 *
 * @throws {UserError} When it cannot be made.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    throw new UserError(`Cannot make the folder "${path}": ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** A file of a stage in a folder; a name may have any characters. */
export function stageFile(folder: string, name: string): string {
  return join(folder, `${encodeURIComponent(name)}.safetensors`);
}
