/**
 * A tagger's values, which the sidecar names: what there is of them, and whether they fit.
 *
 * @module
 */

import type { HostArray } from "../data/feature_set.ts";
import type { Classifier } from "./_classifier.ts";
import type { GraphView } from "./_graph_view.ts";
import { HINT } from "./_hints.ts";
import { doesNotFit } from "./_sidecar_fit.ts";
import type { Inspection, InspectionPart } from "./inspection.ts";
import type { Sidecar } from "./sidecar.ts";
import type { Dimension } from "./value_info.ts";

/** What an inspection says of a tagger. */
export interface Tagger {
  /** What there is. */
  readonly found: Pick<
    Inspection,
    "tokens" | "tagLogits" | "attention" | "tags" | "tagThresholds"
  >;
  /** Why the rest is missing; nothing where the model is no tagger. */
  readonly reasons: Partial<Record<InspectionPart, string>>;
}

/** Whether a sidecar makes its model a tagger. */
function isTagger({ tags, outputs }: Sidecar): boolean {
  return tags !== undefined || outputs?.tag_logits !== undefined;
}

/** A tagger's values; refuses those that do not fit each other as far as shapes are known. */
export function findTagger(view: GraphView, sidecar: Sidecar): Tagger {
  const { outputs = {}, tags, tag_thresholds: tagThresholds } = sidecar;
  const found = {
    ...(outputs.tokens && { tokens: view.asIs(outputs.tokens) }),
    ...(outputs.tag_logits && { tagLogits: view.asIs(outputs.tag_logits) }),
    ...(outputs.attention && { attention: view.asIs(outputs.attention) }),
    ...(tags && { tags }),
    ...(tagThresholds !== undefined && { tagThresholds }),
  };
  const problem = taggerProblem({
    tokens: found.tokens?.shape,
    "tag_logits": found.tagLogits?.shape,
    attention: found.attention?.shape,
  }, found);
  if (problem !== undefined) throw doesNotFit(view, problem);
  if (!isTagger(sidecar)) return { found, reasons: {} };
  const missing = (name: string, why: string) => `the sidecar names no "${name}"${why}; `;
  return {
    found,
    reasons: {
      ...(found.tokens === undefined && {
        tokens: missing("tokens", ", of which objects are made") + HINT.tokens,
      }),
      ...(found.tagLogits === undefined && {
        tagLogits: missing("tag_logits", ", the scores of its tags") + HINT.tagLogits,
      }),
      ...(found.attention === undefined && {
        attention: missing("attention", ", by which objects are told from the rest of an image") +
          HINT.attention,
      }),
    },
  };
}

/**
 * The classifier of a tagger about which the sidecar says nothing of classes: none. What looks like
 * one are its tags. Undefined where a classifier is to be looked for.
 */
export function noClassifier(view: GraphView, sidecar: Sidecar): Classifier | undefined {
  const { outputs = {}, labels, head } = sidecar;
  const hasClasses = outputs.logits !== undefined || labels !== undefined || head !== undefined;
  if (hasClasses || !isTagger(sidecar)) return undefined;
  const reason = "the model is a tagger, and its scores are of tags";
  return {
    logitsReason: `${reason}; ${HINT.logits} if it has classes too`,
    headReason: reason,
    ...(outputs.features !== undefined && { features: view.asRows(outputs.features) }),
  };
}

/** The keys of a tagger's values. */
export const TAGGER_KEYS = ["tokens", "tag_logits", "attention"] as const;

/** A key of a tagger's values. */
export type TaggerKey = typeof TAGGER_KEYS[number];

/** The shapes of a tagger's values, as far as they are known. */
export type TaggerShapes = Readonly<Partial<Record<TaggerKey, readonly Dimension[] | undefined>>>;

const RANKS: readonly (readonly [key: TaggerKey, ranks: readonly number[], what: string])[] = [
  ["tokens", [3], "[N, T, E]"],
  ["tag_logits", [2], "[N, M]"],
  ["attention", [3, 4], "[N, M, T] or [N, H, M, T]"],
];

/**
 * What about a tagger's shapes does not fit, for so many images where that is known; undefined when
 * all does.
 */
export function taggerProblem(
  shapes: TaggerShapes,
  { tags, tagThresholds }: Pick<Inspection, "tags" | "tagThresholds">,
  images?: number,
): string | undefined {
  const named = (key: TaggerKey) => `"${key}" [${shapes[key]!.join(", ")}]`;
  for (const [key, ranks, what] of RANKS) {
    const rank = shapes[key]?.length;
    if (rank !== undefined && !ranks.includes(rank)) return `${named(key)} is no ${what}`;
    if (differ(shapes[key]?.[0], images)) {
      return `${named(key)} has no row for each of ${images} images`;
    }
  }
  const { tokens, tag_logits: tagLogits, attention } = shapes;
  if (differ(attention?.at(-1), tokens?.[1])) {
    return `${named("attention")} looks at ${attention!.at(-1)} tokens and ${
      named("tokens")
    } has ` +
      `${tokens![1]}`;
  }
  if (differ(attention?.at(-2), tagLogits?.[1])) {
    return `${named("attention")} is that of ${attention!.at(-2)} tags and ${
      named("tag_logits")
    } has ${tagLogits![1]}`;
  }
  const scores = typeof tagLogits?.[1] === "number" ? "tag_logits" : "attention";
  const count = scores === "attention" ? attention?.at(-2) : tagLogits?.[1];
  const thresholds = typeof tagThresholds === "number" ? undefined : tagThresholds;
  for (const [list, what] of [[tags, "tags"], [thresholds, "tag thresholds"]] as const) {
    if (!differ(list?.length, count)) continue;
    return `${list!.length} ${what} are listed and ${named(scores)} has ${count}`;
  }
  return undefined;
}

/** Attention [N, H, M, T] summed over its heads, [N, M, T]. */
export function sumHeads({ data, shape }: HostArray): HostArray {
  const [images, heads, tags, tokens] = shape as [number, number, number, number];
  const each = tags * tokens;
  const out = new Float32Array(images * each);
  for (let at = 0; at < data.length; at++) {
    const image = Math.floor(at / (heads * each));
    out[image * each + at % each]! += data[at]!;
  }
  return { data: out, shape: [images, tags, tokens] };
}

/** Whether two lengths are known and not the same. */
function differ(a: Dimension | undefined, b: Dimension | undefined): boolean {
  return typeof a === "number" && typeof b === "number" && a !== b;
}
