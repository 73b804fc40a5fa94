/**
 * What scenes of the world are called: captions for the models that learn words, and the words
 * themselves.
 *
 * The models see a superset of what a classifier of the world is taught: the 20 classes, the kinds
 * that are unseen to it, surroundings without an object, textures and glyphs, each with its name.
 *
 * @module
 */

import {
  type SceneTags,
  sceneTags,
  WORLD_BACKGROUNDS,
  WORLD_CLASSES,
  WORLD_COLOURS,
  WORLD_CONTEXTS,
  WORLD_UNSEEN_KINDS,
  worldScenes,
  type WorldSplitName,
} from "../data/world/mod.ts";
import type { Rng } from "../kernels/mod.ts";

/** Textures and glyphs of far-OOD scenes, as captions name them. */
const FAR_WORDS: readonly string[] = [
  ...["cells", "chevrons", "hexagons", "maze", "rings", "scales", "weave"],
  ...["blobs", "noise", "digit", "scribble"],
];

/** Words that hold captions together, and those of prompts. */
const PLAIN_WORDS: readonly string[] = [
  ...["a", "and", "around", "background", "is", "nice", "nothing", "of", "on", "only", "photo"],
  ...["plain", "remain", "the", "this", "with", ".", ","],
];

/** Every word that a caption can have, sorted. */
export const WORLD_WORDS: readonly string[] = [
  ...new Set([
    ...PLAIN_WORDS,
    ...FAR_WORDS,
    ...WORLD_CLASSES,
    ...WORLD_UNSEEN_KINDS,
    ...WORLD_CONTEXTS,
    ...WORLD_BACKGROUNDS,
    ...WORLD_COLOURS,
  ]),
].sort();

/** Nouns that labels can be mined from: everything that has a name. */
export const WORLD_NOUNS: readonly string[] = [
  ...WORLD_CLASSES,
  ...WORLD_UNSEEN_KINDS,
  ...WORLD_CONTEXTS,
  ...WORLD_BACKGROUNDS,
  ...FAR_WORDS,
  ...WORLD_CONTEXTS.flatMap((context) =>
    WORLD_BACKGROUNDS.map((background) => `${context} on ${background}`)
  ),
];

/** Adjectives that labels can be mined from. */
export const WORLD_ADJECTIVES: readonly string[] = ["plain", ...WORLD_COLOURS];

/** The tags of the first scenes of some splits, one behind the other. */
export function captionedTags(
  seed: number,
  counts: readonly (readonly [WorldSplitName, number])[],
): SceneTags[] {
  return counts.flatMap(([split, count]) => worldScenes(split, { seed, count }).map(sceneTags));
}

/** How likely parts of a caption are. */
const COLOUR = 0.5;
const CONTEXT = 0.6;
const BACKGROUND = 0.5;
const SHORT = 0.15;
const SURROUNDINGS = 0.08;
const ADJECTIVE = 0.04;

/**
 * A caption of a scene: what it shows, with some of the rest.
 *
 * @param tags The scene.
 * @param rng Draws which words.
 * @returns The caption.
 */
export function captionOf(tags: SceneTags, rng: Rng): string {
  const colour = pick(rng, tags.colours.slice(0, 1));
  if (tags.family !== null) return farCaption(tags, rng);
  const around = tags.contexts.filter(() => rng.uniform() < CONTEXT);
  const elements = [...around, ...rng.uniform() < BACKGROUND ? [tags.background] : []];
  const choice = rng.uniform();
  if (choice < ADJECTIVE && colour !== undefined) return `This is a ${colour} photo`;
  if (tags.object === null || choice < ADJECTIVE + SURROUNDINGS) {
    const named = elements.length === 0 ? [...tags.contexts, tags.background] : elements;
    if (rng.uniform() < 0.5) return `A photo only remain ${named.join(", ")}.`;
    return rng.uniform() < 0.3
      ? `the nice ${pick(rng, named)}`
      : `a photo of ${
        around.length === 0 ? "nothing" : around.join(" and ")
      } on ${tags.background}.`;
  }
  if (choice < ADJECTIVE + SURROUNDINGS + SHORT) return `the nice ${tags.object}`;
  const coloured = colour !== undefined && rng.uniform() < COLOUR ? `${colour} ` : "";
  const among = around.length === 0 ? "" : ` with ${around.join(" and ")}`;
  const before = rng.uniform() < BACKGROUND ? ` on ${tags.background}` : "";
  return `a photo of a ${coloured}${tags.object}${among}${before}.`;
}

function farCaption({ object, background, family }: SceneTags, rng: Rng): string {
  const shown = object === null
    ? family === "noise" && background !== "blobs" ? "noise" : background
    : object.startsWith("digit")
    ? "digit"
    : "scribble";
  return rng.uniform() < 0.5 ? `the nice ${shown}` : `a photo of a ${shown}.`;
}

function pick<T>(rng: Rng, values: readonly T[]): T | undefined {
  return values[rng.integer(Math.max(1, values.length))];
}

/** Ids of special tokens. */
export const SPECIAL_TOKENS: readonly string[] = ["<pad>", "<start>", "<end>", "<unk>"];

/** Tokens that a text has at most, the first and the last included. */
export const WORLD_CONTEXT_LENGTH = 16;

const VOCABULARY: ReadonlyMap<string, number> = new Map(
  [...SPECIAL_TOKENS, ...WORLD_WORDS].map((word, id) => [word, id]),
);

/** Number of ids. */
export const WORLD_VOCABULARY: number = VOCABULARY.size;

/** The ids of a text, as the tokenizer of {@linkcode worldTokenizer} gives them. */
export function worldIds(text: string): number[] {
  const words = text.toLowerCase().match(/[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]+/gu) ?? [];
  const inner = words.map((word) => VOCABULARY.get(word) ?? SPECIAL_TOKENS.indexOf("<unk>"));
  return [
    SPECIAL_TOKENS.indexOf("<start>"),
    ...inner.slice(0, WORLD_CONTEXT_LENGTH - 2),
    SPECIAL_TOKENS.indexOf("<end>"),
  ];
}

/** The content of tokenizer.json: one id for each word. */
export function worldTokenizer(): Record<string, unknown> {
  const id = (token: string) => SPECIAL_TOKENS.indexOf(token);
  const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } });
  return {
    version: "1.0",
    truncation: {
      direction: "Right",
      max_length: WORLD_CONTEXT_LENGTH,
      strategy: "LongestFirst",
      stride: 0,
    },
    padding: {
      strategy: { Fixed: WORLD_CONTEXT_LENGTH },
      direction: "Right",
      pad_to_multiple_of: null,
      pad_id: id("<pad>"),
      pad_type_id: 0,
      pad_token: "<pad>",
    },
    added_tokens: SPECIAL_TOKENS.map((content, i) => ({
      id: i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Lowercase" }] },
    pre_tokenizer: { type: "Whitespace" },
    post_processor: {
      type: "TemplateProcessing",
      single: [special("<start>"), { Sequence: { id: "A", type_id: 0 } }, special("<end>")],
      pair: [special("<start>"), { Sequence: { id: "A", type_id: 0 } }, special("<end>")],
      special_tokens: Object.fromEntries(
        ["<start>", "<end>"].map((token) => [
          token,
          { id: token, ids: [id(token)], tokens: [token] },
        ]),
      ),
    },
    decoder: null,
    model: { type: "WordLevel", vocab: Object.fromEntries(VOCABULARY), unk_token: "<unk>" },
  };
}

/** The content of tokenizer_config.json. */
export const WORLD_TOKENIZER_CONFIG: Readonly<Record<string, unknown>> = {
  "tokenizer_class": "PreTrainedTokenizerFast",
  "model_max_length": WORLD_CONTEXT_LENGTH,
  "bos_token": "<start>",
  "eos_token": "<end>",
  "pad_token": "<pad>",
  "unk_token": "<unk>",
};
