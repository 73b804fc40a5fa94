/**
 * TagOOD's last step in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

/** What the nearest centre gives: a cosine, a squared distance, or a relative entropy. */
export type Closeness = "cosine" | "euclidean" | "kl";

/** Images as plain arrays. */
export interface TagRuleArrays {
  readonly value: ArrayLike<number>;
  readonly counts: ArrayLike<number>;
  readonly probability?: ArrayLike<number> | undefined;
}

/**
 * Scores of images.
 *
 * @param arrays Values, counts and probabilities.
 * @param rule What the values are, and the score of images without a token.
 * @returns One score for each.
 */
export function tagRuleReference(
  { value, counts, probability }: TagRuleArrays,
  rule: { readonly measure: Closeness; readonly floor: number },
): Float32Array<ArrayBuffer> {
  return Float32Array.from(value, (v, n) => {
    if (counts[n] === 0) return rule.floor;
    return closeness(v, rule.measure) * (probability?.[n] ?? 1);
  });
}

function closeness(value: number, measure: Closeness): number {
  switch (measure) {
    case "cosine":
      return value;
    case "euclidean":
      return 1 / (1 + Math.sqrt(Math.max(0, value)));
    case "kl":
      return 1 / (1 + Math.max(0, value));
    default:
      return measure satisfies never;
  }
}
