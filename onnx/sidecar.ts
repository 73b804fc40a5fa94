/**
 * The sidecar: `MODEL.json` beside `MODEL.onnx` says what the graph cannot say (preprocessing,
 * labels) and overrides what {@linkcode inspect} finds.
 *
 * @module
 */

import { type PreprocessSpec, validatePreprocessSpec } from "../kernels/preprocess/spec.ts";
import {
  asRecord,
  asString,
  asStrings,
  at,
  checkKeys,
  kindOf,
  readJson,
  refuse,
  type Where,
} from "./_json.ts";
import { findPreprocessor } from "./_preprocessor_config.ts";

/** The values of a model that extraction can store, by the key of the feature file. */
export interface SidecarOutputs {
  /** Class scores before softmax, [N, K]. */
  readonly logits?: string;
  /** Penultimate features after pooling, [N, C]. */
  readonly features?: string;
  /** The last feature map, [N, C, H, W]. */
  readonly "feature_map"?: string;
  /** Token features, [N, T, E]. */
  readonly tokens?: string;
  /** Tag scores, [N, M]. */
  readonly "tag_logits"?: string;
  /** Attention from tags to tokens, [N, M, T] or, by heads, [N, H, M, T]. */
  readonly attention?: string;
  /** Embeddings of images beside those of texts, [N, D]. */
  readonly "image_embed"?: string;
}

/** The keys of {@linkcode SidecarOutputs}. */
export const OUTPUT_KEYS: readonly (keyof SidecarOutputs)[] = [
  "logits",
  "features",
  "feature_map",
  "tokens",
  "tag_logits",
  "attention",
  "image_embed",
];

/** Where the linear classifier's parameters are. */
export interface SidecarHead {
  /** Name of the weight initialiser, [K, C] or [C, K]. */
  readonly weight: string;
  /** Name of the bias initialiser, [K]. */
  readonly bias?: string;
}

/** What a sidecar can say; everything is optional. */
export interface Sidecar {
  /** The model's name, for people. */
  readonly name?: string;
  /** What the model is, for people. */
  readonly description?: string;
  /** The licence of the weights, for people. */
  readonly license?: string;
  /** Name of the image input. */
  readonly input?: string;
  /** What is done to an image before the model sees it. */
  readonly preprocessing?: PreprocessSpec;
  /** Names of the classes in the order of the logits. */
  readonly labels?: readonly string[];
  /** Names of values in the graph. */
  readonly outputs?: SidecarOutputs;
  /** Names of a tagger's tags in the order of `tag_logits`. */
  readonly tags?: readonly string[];
  /** From which probability on a tag is predicted: one for all, or one for each tag. */
  readonly "tag_thresholds"?: number | readonly number[];
  /** Where the linear head is; `none` says that there is none. */
  readonly head?: SidecarHead | "none";
}

/**
 * Reads the sidecar of a model. Where it says nothing of the preprocessing, a
 * `preprocessor_config.json` in the model's folder does (or above it, when that is `onnx`), as
 * exports from the Hugging Face hub have it.
 *
 * @param modelPath Path of the model: `a/b.onnx` has its sidecar at `a/b.json`.
 * @returns The sidecar, or undefined when there is neither.
 * @throws {UserError} When a file is no JSON, or says something that is not understood.
 *
 * @example The project's own model
 * ```ts
 * import { loadSidecar } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const sidecar = await loadSidecar("models/cifar10-resnet20.onnx");
 * assertEquals(sidecar?.labels?.[3], "cat");
 * ```
 */
export async function loadSidecar(modelPath: string): Promise<Sidecar | undefined> {
  const path = sidecarPath(modelPath);
  const value = await readJson(path);
  const sidecar = value === undefined ? undefined : parseSidecar(value, { name: path });
  if (sidecar?.preprocessing !== undefined) return sidecar;
  const preprocessing = await findPreprocessor(modelPath);
  return preprocessing === undefined ? sidecar : { ...sidecar, preprocessing };
}

/**
 * Where a model's sidecar lies.
 *
 * @param modelPath Path of the model.
 * @returns The same path, ending in `.json`.
 *
 * @example Beside the model
 * ```ts
 * import { sidecarPath } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(sidecarPath("models/a.onnx"), "models/a.json");
 * ```
 */
export function sidecarPath(modelPath: string): string {
  return modelPath.replace(/\.onnx$/i, "") + ".json";
}

/**
 * Checks a sidecar's content.
 *
 * @param value The parsed JSON.
 * @param options `name`: what errors call the sidecar.
 * @returns The sidecar.
 * @throws {UserError} When a key is unknown or a value is of the wrong kind.
 *
 * @example A misspelt key
 * ```ts
 * import { parseSidecar } from "@oodgpu/oodgpu/onnx";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => parseSidecar({ lables: ["cat"] }), Error, 'did you mean "labels"');
 * ```
 */
export function parseSidecar(value: unknown, options: { name?: string } = {}): Sidecar {
  const context = { name: options.name ?? "sidecar", at: "" };
  const record = asRecord(value, context);
  checkKeys(record, context, [
    "name",
    "description",
    "license",
    "input",
    "preprocessing",
    "labels",
    "outputs",
    "tags",
    "tag_thresholds",
    "head",
  ]);
  const sidecar: Record<string, unknown> = {};
  for (const key of ["name", "description", "license", "input"]) {
    if (record[key] !== undefined) sidecar[key] = asString(record[key], at(context, key));
  }
  if (record.preprocessing !== undefined) {
    sidecar.preprocessing = parsePreprocessing(record.preprocessing, at(context, "preprocessing"));
  }
  if (record.labels !== undefined) {
    sidecar.labels = asStrings(record.labels, at(context, "labels"), "class names");
  }
  if (record.tags !== undefined) {
    sidecar.tags = asStrings(record.tags, at(context, "tags"), "tag names");
  }
  if (record.tag_thresholds !== undefined) {
    const inner = at(context, "tag_thresholds");
    sidecar.tag_thresholds = parseThresholds(record.tag_thresholds, inner);
    checkThresholds(sidecar, inner);
  }
  if (record.outputs !== undefined) {
    const inner = at(context, "outputs");
    const outputs = asRecord(record.outputs, inner);
    checkKeys(outputs, inner, OUTPUT_KEYS);
    for (const [key, name] of Object.entries(outputs)) asString(name, at(inner, key));
    sidecar.outputs = outputs;
  }
  if (record.head !== undefined) sidecar.head = parseHead(record.head, at(context, "head"));
  return sidecar;
}

function parsePreprocessing(value: unknown, where: Where): PreprocessSpec {
  const record = asRecord(value, where);
  checkKeys(record, where, [
    "resize",
    "crop",
    "interpolation",
    "channels",
    "range",
    "mean",
    "scale",
    "layout",
  ]);
  // Planes are the one layout that models of this project take, so it needs no saying.
  return validatePreprocessSpec({ layout: "NCHW", ...record }, {
    source: `"${where.at}" of "${where.name}"`,
  });
}

function parseThresholds(value: unknown, where: Where): number | readonly number[] {
  if (!Array.isArray(value)) return asProbability(value, where);
  return value.map((item, index) => asProbability(item, at(where, String(index))));
}

/** As a logit, a threshold of 0 or 1 would be infinite. */
function asProbability(value: unknown, where: Where): number {
  if (typeof value === "number" && value > 0 && value < 1) return value;
  throw refuse(where, `is ${kindOf(value)} and a probability between 0 and 1 was expected`);
}

function checkThresholds({ tags, tag_thresholds: list }: Sidecar, where: Where): void {
  if (tags === undefined || !Array.isArray(list) || list.length === tags.length) return;
  throw refuse(where, `lists ${list.length} probabilities for ${tags.length} tags`);
}

function parseHead(value: unknown, where: Where): SidecarHead | "none" {
  if (value === "none") return value;
  if (typeof value === "string") {
    throw refuse(where, `is "${value}" and "none" or {"weight", "bias"} was expected`);
  }
  const record = asRecord(value, where);
  checkKeys(record, where, ["weight", "bias"]);
  const weight = asString(record.weight ?? null, at(where, "weight"));
  if (record.bias === undefined) return { weight };
  return { weight, bias: asString(record.bias, at(where, "bias")) };
}
