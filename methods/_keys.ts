/**
 * Which arrays of a feature file a score reads, and what can be made of others when one is not
 * stored.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import { channelNorms } from "../kernels/mod.ts";
import type { GraphBuilder } from "../onnx/mod.ts";
import { type Context, type Tensor, UserError } from "../runtime/mod.ts";
import type { ScoreBatch } from "./score.ts";

/** How a key is made of another one. */
interface Derivation {
  readonly from: string;
  readonly rowShape: (from: readonly number[]) => readonly number[];
  readonly derive: (context: Context, from: Tensor) => Tensor;
  readonly graph: (builder: GraphBuilder, from: string) => string;
}

const DERIVATIONS: Readonly<Record<string, Derivation>> = {
  "feature_norms": {
    from: "feature_map",
    rowShape: ([channels]) => [channels!],
    derive: (context, map) => channelNorms(context, { map }),
    graph(builder, map) {
      const positive = builder.node("Relu", [map]);
      return builder.reduce("ReduceL2", positive, { axes: [2, 3] });
    },
  },
};

/** The key that is stored for a needed one: itself, or what it can be made of. */
function storedKey(set: FeatureSet, key: string): string | undefined {
  if (set.has(key)) return key;
  const from = DERIVATIONS[key]?.from;
  return from !== undefined && set.has(from) ? from : undefined;
}

/**
 * The keys to read from a set so that all needed ones can be had.
 *
 * @param set The set.
 * @param needs Needed keys.
 * @param purpose What for, to begin the message with: `score with "vim"`.
 * @returns Stored keys, each once.
 * @throws {UserError} When the set has neither a needed key nor what it can be made of.
 */
export function storedKeys(
  set: FeatureSet,
  needs: readonly string[],
  purpose: string,
): string[] {
  return [
    ...new Set(needs.map((key) => {
      const stored = storedKey(set, key);
      if (stored !== undefined) return stored;
      throw new UserError(
        `Cannot ${purpose}: "${set.path}" has no "${key}"${hintFor(set, key)}; it has ${
          set.keys.join(", ")
        }`,
      );
    })),
  ];
}

/** What to do about a missing key. */
function hintFor(set: FeatureSet, key: string): string {
  if (key.startsWith("head.")) {
    const reason = set.metadata["head.reason"];
    return reason === undefined ? ", so there is no linear head" : `, because ${reason}`;
  }
  if (key === "labels") return " (extract with --labels to store them)";
  if (key === "odin_logits") return " (ood extract --odin stores them)";
  if (key === "image_embed") return " (a vision-language model gives them: ood synood features)";
  if (key === "text_embed") return " (ood synood features stores those of labels)";
  const from = DERIVATIONS[key]?.from;
  return from === undefined ? "" : ` and no "${from}" to make it of`;
}

/**
 * Dimensions of one row of a needed key.
 *
 * @param set A set that has the key, or what it can be made of.
 * @param key The needed key.
 * @returns The dimensions without the row count, or nothing when the set lacks the key.
 */
export function rowShape(set: FeatureSet, key: string): readonly number[] | undefined {
  if (set.has(key)) return set.shape(key).slice(1);
  const derivation = DERIVATIONS[key];
  if (derivation === undefined || !set.has(derivation.from)) return undefined;
  return derivation.rowShape(set.shape(derivation.from).slice(1));
}

/**
 * Adds to a batch the needed keys that can be made of those in it.
 *
 * @param context Where the tensors are; it owns those that are made.
 * @param batch What is there.
 * @param needs Needed keys.
 * @returns The batch with all needed keys.
 */
export function completeBatch(
  context: Context,
  batch: ScoreBatch,
  needs: readonly string[],
): ScoreBatch {
  const complete: Record<string, Tensor> = { ...batch };
  for (const key of needs) {
    const derivation = DERIVATIONS[key];
    if (complete[key] !== undefined || derivation === undefined) continue;
    const from = complete[derivation.from];
    if (from !== undefined) complete[key] = derivation.derive(context, from);
  }
  return complete;
}

/** For a key that a model may not expose: the key it can be made of, and the nodes that make it. */
export function graphDerivation(
  key: string,
): { from: string; graph: (builder: GraphBuilder, from: string) => string } | undefined {
  return DERIVATIONS[key];
}

/** Where a set's metadata say which of the model's values a key was made of. */
export function sourceValueKey(key: string): string {
  return `value_of_${DERIVATIONS[key]?.from ?? key}`;
}
