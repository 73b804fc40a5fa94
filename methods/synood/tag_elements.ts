/**
 * Elements from a tagger: the tags that are predicted for an image and are not its class.
 *
 * @module
 */

import type { FeatureSet } from "../../data/mod.ts";
import { taggerOf } from "../tagood/vocabulary.ts";
import { cleanElement } from "./_elements.ts";
import { IdNames } from "./_id_names.ts";
import type { GivenElements } from "./contexts.ts";

/**
 * Which tags become elements, and how they are written. Patterns are whole tags, in which `*` stands
 * for anything; capitals do not matter.
 */
export interface TagRule {
  /** Only tags of these patterns; all when there are none. */
  readonly keep: readonly string[];
  /** No tags of these patterns. */
  readonly drop: readonly string[];
  /** Words that are taken away from the end of tags; a tag that is just one of them is left out. */
  readonly strip: readonly string[];
}

/** How elements are made of tags. */
export interface TagElementsOptions {
  /** Which tags; {@linkcode DEFAULT_TAG_RULE} where something is left out. */
  readonly rule?: Partial<TagRule>;
  /** Names of classes, which are no elements of any image. */
  readonly classNames?: readonly string[];
  /** A probability above which any tag is predicted, in place of the tagger's own thresholds. */
  readonly threshold?: number;
  /** Called after each batch. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between batches. */
  readonly signal?: AbortSignal;
}

/**
 * What holds unless something else is asked for: no colours, and tags such as `grass around` and
 * `water background` without their last word.
 *
 * @example What the shipped tagger's tags end in
 * ```ts
 * import { DEFAULT_TAG_RULE } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(DEFAULT_TAG_RULE.strip, ["around", "background"]);
 * ```
 */
export const DEFAULT_TAG_RULE: TagRule = {
  keep: [],
  drop: [
    ...["red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown"],
    ...["white", "grey", "gray", "black"],
  ],
  strip: ["around", "background"],
};

/** Elements of tag logits that are held at a time, beside the next batch. */
const BATCH_ELEMENTS = 4 * 1024 * 1024;
/** A probability above which tags are predicted where nobody says. */
const DEFAULT_THRESHOLD = 0.5;

/**
 * The tags that are predicted for each image, the most probable first, without those that are names
 * of classes. An image's own class in other words is left out by `fitContexts`.
 *
 * @param set A tagger's outputs: `tag_logits`, the images' names, and the tags' names in the metadata.
 * @param options The rule, names of the classes, and a threshold.
 * @returns The elements by the images' names.
 * @throws {UserError} When the set has no tag logits or no names of tags.
 *
 * @example A tree on grass
 * ```ts
 * import { tagElements } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures(
 *   { "tag_logits": { data: new Float32Array([3, 1, 2, 4, -1]), shape: [1, 5] } },
 *   {
 *     names: ["1.png"],
 *     metadata: {
 *       "tag_names": '["tree", "fog background", "grass around", "green", "boat"]',
 *     },
 *   },
 * );
 * const given = await tagElements(set, { classNames: ["boat", "tree"] });
 * assertEquals(given.get("1.png"), ["grass", "fog"]);
 * ```
 */
export async function tagElements(
  set: FeatureSet,
  options: TagElementsOptions = {},
): Promise<GivenElements> {
  const { classNames = [], signal, onProgress } = options;
  const { tags, thresholds = DEFAULT_THRESHOLD } = taggerOf(set);
  const elements = elementNames(tags, { ...DEFAULT_TAG_RULE, ...options.rule }, classNames);
  const usable = elements.flatMap((element, tag) => element === "" ? [] : [tag]);
  const threshold = (tag: number) =>
    options.threshold ?? (typeof thresholds === "number" ? thresholds : thresholds[tag]!);
  const given = new Map<string, readonly string[]>();
  const rows = Math.max(1, Math.floor(BATCH_ELEMENTS / tags.length));
  for await (const batch of set.batches(["tag_logits"], { rows })) {
    signal?.throwIfAborted();
    const { data } = batch.get("tag_logits");
    for (let row = 0; row < batch.rows; row++) {
      const logits = data.subarray(row * tags.length, (row + 1) * tags.length);
      const predicted = usable
        .filter((tag) => 1 / (1 + Math.exp(-logits[tag]!)) > threshold(tag))
        .sort((a, b) => logits[b]! - logits[a]! || a - b);
      const name = set.names?.[batch.start + row] ?? `row ${batch.start + row}`;
      given.set(name, [...new Set(predicted.map((tag) => elements[tag]!))]);
    }
    onProgress?.(batch.start + batch.rows, set.count);
  }
  return given;
}

/** The first of some patterns that no tag is of; undefined when each has one. */
export function patternOfNoTag(
  patterns: readonly string[],
  tags: readonly string[],
): string | undefined {
  const names = tags.map((tag) => cleanElement(tag).toLowerCase());
  return patterns.find((pattern) => !names.some(matcher([pattern])));
}

/** What each tag is called as an element; empty for those that are none. */
function elementNames(
  tags: readonly string[],
  rule: TagRule,
  classNames: readonly string[],
): string[] {
  const classes = new IdNames(classNames);
  const [kept, dropped] = [matcher(rule.keep), matcher(rule.drop)];
  const ends = rule.strip.map((word) => cleanElement(word).toLowerCase());
  return tags.map((tag) => {
    const whole = cleanElement(tag);
    const key = whole.toLowerCase();
    const isOut = classes.find(whole)?.equal === true || dropped(key) ||
      (rule.keep.length > 0 && !kept(key));
    return isOut ? "" : withoutEnd(whole, ends);
  });
}

function withoutEnd(tag: string, ends: readonly string[]): string {
  const key = tag.toLowerCase();
  if (ends.includes(key)) return "";
  const end = ends.find((word) => word !== "" && key.endsWith(` ${word}`));
  return end === undefined ? tag : tag.slice(0, -end.length - 1);
}

/** Whether a tag in small letters is of one of the patterns. */
function matcher(patterns: readonly string[]): (tag: string) => boolean {
  const regexps = patterns.map((pattern) => {
    const parts = pattern.trim().toLowerCase().split("*").map(RegExp.escape);
    return new RegExp(`^${parts.join(".*")}$`, "u");
  });
  return (tag) => regexps.some((regexp) => regexp.test(tag));
}
