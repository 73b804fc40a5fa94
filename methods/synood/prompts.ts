/**
 * Prompts of names, and their text features: a name is put into one or several templates, the
 * features of all of them are averaged as the model gives them, and the average gets unit length.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
import type { LabelKind } from "./label_set.ts";
import type { PromptCache } from "./prompt_cache.ts";

/** What stands for the name in a template. */
const SLOT = "{}";

/** Templates by what is put into them, each with `{}` where it goes. */
export interface PromptTemplates {
  /** Of in-distribution classes. */
  readonly id: readonly string[];
  /** Of nouns, and of words of no known kind. */
  readonly noun: readonly string[];
  /** Of adjectives. */
  readonly adjective: readonly string[];
}

/** Names of the template sets of {@linkcode PROMPTS}. */
export type PromptSet = "neg_label" | "csp" | "mcm";

const CSP_NOUN: readonly string[] = [
  ...["{}", "the {}", "the good {}", "the nice {}", "a photo with the nice {}."],
  ...["a photo of the nice {}.", "a good photo with the nice {}."],
  "a close-up photo of the nice {}.",
];

/** The templates that papers use: NegLabel (SynOOD takes its labels), CSP and MCM. */
export const PROMPTS: Readonly<Record<PromptSet, PromptTemplates>> = {
  "neg_label": {
    id: ["the nice {}"],
    noun: ["the nice {}"],
    adjective: ["This is a {} photo"],
  },
  csp: {
    id: CSP_NOUN,
    noun: CSP_NOUN,
    adjective: ["{}", "a nice photo of {}", "a good photo of {}", "a close-up photo of {}"],
  },
  mcm: {
    id: ["a photo of a {}."],
    noun: ["a photo of a {}."],
    adjective: ["a photo of a {}."],
  },
};

/** CSP's superclasses: an adjective and one of them make a label of something to be seen. */
export const SUPERCLASSES: readonly string[] = [
  ...["environment", "space", "object", "scene", "place", "item", "area", "view", "thing"],
  ...["pattern", "structure", "landscape", "vista", "creature"],
];

/** A text encoder; a vision-language model of `onnx/` is one. */
export interface PromptEncoder {
  /** What cosines are multiplied with before a softmax. */
  readonly logitScale: number;
  /** Hashes of the model's parts. */
  readonly hash: { readonly text?: string };
  /**
   * Encodes texts.
   *
   * @param texts The texts.
   * @param options Texts at a time, progress, and what stops it.
   * @returns Features [L, D] as the model gives them.
   */
  encodeTexts(
    texts: readonly string[],
    options?: {
      readonly batch?: number;
      readonly onProgress?: (done: number, total: number) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<{ readonly embed: Float32Array; readonly width: number }>;
}

/** A name and the templates that it is put into. */
export interface Prompt {
  /** What is put into the templates. */
  readonly names: readonly string[];
  /** The templates. */
  readonly templates: readonly string[];
}

/** How prompts are encoded. */
export interface EncodePromptsOptions {
  /** Texts that the encoder takes at a time; its own choice by default. */
  readonly batch?: number;
  /** Features that are there already, and where new ones go. */
  readonly cache?: PromptCache;
  /** Called after each part, with prompts. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between parts; what was encoded is in the cache. */
  readonly signal?: AbortSignal;
}

/** Text features. */
export interface PromptFeatures {
  /** Rows of unit length, one for each prompt, [L, D]. */
  readonly text: Float32Array<ArrayBuffer>;
  /** D. */
  readonly width: number;
  /** How many prompts came from the cache. */
  readonly cached: number;
}

/** Texts that are encoded between two looks at the signal and the cache. */
const PART_TEXTS = 1024;

/**
 * Refuses templates into which nothing can be put.
 *
 * @param templates The templates.
 * @returns The same.
 * @throws {UserError} When there is none, or one has not exactly one `{}`.
 *
 * @example A template without a place for the name
 * ```ts
 * import { requireTemplates } from "@oodgpu/oodgpu/methods";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => requireTemplates(["a photo"]), Error, 'exactly one "{}"');
 * ```
 */
export function requireTemplates(templates: readonly string[]): readonly string[] {
  if (templates.length === 0) throw new UserError("Cannot make prompts: there is no template");
  const other = templates.find((template) => template.split(SLOT).length !== 2);
  if (other === undefined) return templates;
  throw new UserError(
    `Cannot make prompts: a template must have exactly one "{}" for the name: "${other}"`,
  );
}

/**
 * Puts a name into a template. Underscores of the name become spaces.
 *
 * @param template The template.
 * @param name The name.
 * @returns The text.
 *
 * @example A class
 * ```ts
 * import { fillTemplate } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(fillTemplate("the nice {}", "golden_retriever"), "the nice golden retriever");
 * ```
 */
export function fillTemplate(template: string, name: string): string {
  const at = template.indexOf(SLOT);
  return template.slice(0, at) + name.replaceAll("_", " ") + template.slice(at + SLOT.length);
}

/**
 * The templates of a negative label.
 *
 * @param prompts All templates.
 * @param kind The label's kind.
 * @returns Those of adjectives, or of nouns for everything else.
 *
 * @example A word of no known kind
 * ```ts
 * import { PROMPTS, templatesOf } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(templatesOf(PROMPTS["neg_label"], "word"), ["the nice {}"]);
 * ```
 */
export function templatesOf(prompts: PromptTemplates, kind: LabelKind): readonly string[] {
  return kind === "adjective" ? prompts.adjective : prompts.noun;
}

/**
 * Encodes prompts: for each the average of the features of its names in its templates, scaled to
 * unit length.
 *
 * @param model The text encoder.
 * @param prompts The prompts.
 * @param options Batch, cache and progress.
 * @returns Features of unit length.
 * @throws {UserError} When there is no prompt, a template has no place for the name, or the encoder
 * gives a NaN, a feature without direction, or another width than the cache has.
 *
 * @example Two templates are averaged
 * ```ts
 * import { encodePrompts } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const model = {
 *   logitScale: 100,
 *   hash: { text: "5eaf00d" },
 *   encodeTexts: (texts: readonly string[]) =>
 *     Promise.resolve({
 *       embed: Float32Array.from(texts.flatMap((text) => text === "cat" ? [6, 0] : [0, 8])),
 *       width: 2,
 *     }),
 * };
 * const { text } = await encodePrompts(model, [{ names: ["cat"], templates: ["{}", "a {}"] }]);
 * assertEquals([...text], [...new Float32Array([0.6, 0.8])]);
 * ```
 */
export async function encodePrompts(
  model: PromptEncoder,
  prompts: readonly Prompt[],
  options: EncodePromptsOptions = {},
): Promise<PromptFeatures> {
  const { cache, onProgress, signal } = options;
  if (prompts.length === 0) throw new UserError("Cannot encode prompts: there is none");
  for (const templates of new Set(prompts.map((prompt) => prompt.templates))) {
    requireTemplates(templates);
  }
  const rows = new Array<Float32Array | undefined>(prompts.length);
  const missing: number[] = [];
  for (const [i, prompt] of prompts.entries()) {
    rows[i] = cache?.get(prompt);
    if (rows[i] === undefined) missing.push(i);
  }
  const cached = prompts.length - missing.length;
  onProgress?.(cached, prompts.length);
  try {
    for (let begin = 0; begin < missing.length;) {
      signal?.throwIfAborted();
      const part = takePart(prompts, missing, begin);
      const features = await encodePart(model, part.map((i) => prompts[i]!), options);
      for (const [k, i] of part.entries()) {
        rows[i] = features[k];
        cache?.set(prompts[i]!, features[k]!);
      }
      begin += part.length;
      onProgress?.(cached + begin, prompts.length);
      await cache?.saveNowAndThen();
    }
  } finally {
    // What was encoded is kept whatever stopped the rest.
    await cache?.save();
  }
  return { ...normalised(rows as Float32Array[], prompts), cached };
}

/** Prompts from `begin` on whose texts make a part; one at least. */
function takePart(prompts: readonly Prompt[], missing: readonly number[], begin: number): number[] {
  const part: number[] = [];
  let texts = 0;
  for (let at = begin; at < missing.length; at++) {
    const { names, templates } = prompts[missing[at]!]!;
    texts += names.length * templates.length;
    if (part.length > 0 && texts > PART_TEXTS) break;
    part.push(missing[at]!);
  }
  return part;
}

/** Averages of the features of each prompt's texts. */
async function encodePart(
  model: PromptEncoder,
  prompts: readonly Prompt[],
  { batch, signal }: EncodePromptsOptions,
): Promise<Float32Array[]> {
  const texts = prompts.flatMap(textsOf);
  const { embed, width } = await model.encodeTexts(texts, {
    ...(batch === undefined ? {} : { batch }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (!(width > 0) || embed.length !== texts.length * width) {
    throw new UserError(
      `Cannot use the text encoder: ${embed.length} numbers came of ${texts.length} texts, and ` +
        `${width} for each were expected`,
    );
  }
  const bad = embed.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new UserError(
      `Cannot use the text encoder: its feature of "${texts[Math.floor(bad / width)]}" has a NaN ` +
        "or an infinity",
    );
  }
  let at = 0;
  return prompts.map((prompt) => {
    const count = prompt.names.length * prompt.templates.length;
    const sum = new Float64Array(width);
    for (let k = 0; k < count; k++, at++) {
      for (let i = 0; i < width; i++) sum[i]! += embed[at * width + i]!;
    }
    return Float32Array.from(sum, (value) => value / count);
  });
}

function textsOf({ names, templates }: Prompt): string[] {
  return names.flatMap((name) => templates.map((template) => fillTemplate(template, name)));
}

function normalised(
  rows: readonly Float32Array[],
  prompts: readonly Prompt[],
): { text: Float32Array<ArrayBuffer>; width: number } {
  const width = rows[0]!.length;
  const text = new Float32Array(rows.length * width);
  for (const [row, values] of rows.entries()) {
    if (values.length !== width) {
      throw new UserError(
        `Cannot use text features of different width: ${width} of "${prompts[0]!.names[0]}" and ` +
          `${values.length} of "${prompts[row]!.names[0]}"`,
      );
    }
    const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    if (!(length > 0)) {
      throw new UserError(
        `Cannot use the text encoder: its feature of "${prompts[row]!.names[0]}" is zero`,
      );
    }
    for (let i = 0; i < width; i++) text[row * width + i] = values[i]! / length;
  }
  return { text, width };
}
