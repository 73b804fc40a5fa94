/**
 * Object masks in plain loops.
 *
 * Maps are added and compared in float32, as the kernels do it, so that both keep the same tokens to
 * the last one: a threshold turns the smallest difference into a token more or less.
 *
 * @module
 */

/** Arrays that an object mask is made of. */
export interface ObjectMaskArrays {
  /** [images, heads, outputs, tokens]. */
  readonly attention: Float32Array;
  /** [images, outputs]. */
  readonly tagLogits: Float32Array;
  /** [tags]. */
  readonly tags: Int32Array;
  /** [tags]. */
  readonly thresholds: Float32Array;
  /** [images]. */
  readonly only?: Int32Array | undefined;
}

/** Lengths of what an object mask is made of. */
export interface ObjectMaskSize {
  /** Images, N. */
  readonly images: number;
  /** Attention heads, H. */
  readonly heads: number;
  /** Tags of the tagger, M. */
  readonly outputs: number;
  /** Tokens of an image, T. */
  readonly tokens: number;
}

/** Arrays that an object mask gives. */
export interface ObjectMaskResult {
  /** [images, tokens]. */
  readonly keep: Int32Array<ArrayBuffer>;
  /** [images]. */
  readonly counts: Int32Array<ArrayBuffer>;
  /** [images]. */
  readonly tagged: Int32Array<ArrayBuffer>;
  /** [images]. */
  readonly score: Float32Array<ArrayBuffer>;
}

/** The most negative finite f32: it stands where there is no number. */
const LOWEST = -3.4028234663852886e38;

/**
 * Tokens that the maps of the used tags single out; see `objectMask`.
 *
 * @param arrays What it is made of.
 * @param size Its lengths.
 * @param how The threshold, and whether the nearest tag stands in where none is predicted.
 * @returns Mask, counts and tags of each image.
 */
export function objectMaskReference(
  arrays: ObjectMaskArrays,
  size: ObjectMaskSize,
  how: { readonly tau: number; readonly fallback: boolean },
): ObjectMaskResult {
  const { images, tokens } = size;
  const tau = Math.fround(how.tau);
  const keep = new Int32Array(images * tokens);
  const counts = new Int32Array(images);
  const tagged = new Int32Array(images);
  const score = new Float32Array(images);
  for (let n = 0; n < images; n++) {
    const found = tagsOf(arrays, size, n);
    const mine = keep.subarray(n * tokens, (n + 1) * tokens);
    for (const v of usedTags(arrays, { ...found, image: n, fallback: how.fallback })) {
      const tag = arrays.tags[v]!;
      if (tag >= 0 && tag < size.outputs) keepAbove(mapOf(arrays, size, [n, tag]), mine, tau);
    }
    counts[n] = mine.reduce((sum, value) => sum + value, 0);
    tagged[n] = found.predicted.length;
    score[n] = 1 / (1 + Math.exp(-found.top));
  }
  return { keep, counts, tagged, score };
}

/** What the logits of an image say. */
interface TagsOfImage {
  /** Indices of the predicted tags. */
  readonly predicted: readonly number[];
  /** The largest logit. */
  readonly top: number;
  /** Index of the tag that lies least below its threshold; -1 for none. */
  readonly best: number;
}

function tagsOf(arrays: ObjectMaskArrays, { outputs }: ObjectMaskSize, image: number): TagsOfImage {
  const predicted: number[] = [];
  let top = LOWEST;
  let margin = LOWEST;
  let best = -1;
  arrays.tags.forEach((tag, v) => {
    if (tag < 0 || tag >= outputs) return;
    const logit = arrays.tagLogits[image * outputs + tag]!;
    const threshold = arrays.thresholds[v]!;
    if (logit > threshold) predicted.push(v);
    if (logit > top) top = logit;
    const above = Math.fround(logit - threshold);
    if (above > margin) [margin, best] = [above, v];
  });
  return { predicted, top, best };
}

function usedTags(
  { only, tags }: ObjectMaskArrays,
  found: TagsOfImage & { readonly image: number; readonly fallback: boolean },
): readonly number[] {
  if (only !== undefined) {
    const v = only[found.image]!;
    return v >= 0 && v < tags.length ? [v] : [];
  }
  const stands = found.fallback && found.predicted.length === 0 && found.best >= 0;
  return stands ? [found.best] : found.predicted;
}

/** A map added over its heads; what is no finite number becomes NaN. */
function mapOf(
  { attention }: ObjectMaskArrays,
  { heads, outputs, tokens }: ObjectMaskSize,
  [image, tag]: readonly [number, number],
): Float32Array {
  return Float32Array.from({ length: tokens }, (_, t) => {
    let sum = 0;
    for (let h = 0; h < heads; h++) {
      const value = attention[((image * heads + h) * outputs + tag) * tokens + t]!;
      sum = h === 0 ? value : Math.fround(sum + value);
    }
    return Number.isFinite(sum) && sum > LOWEST ? sum : NaN;
  });
}

function keepAbove(map: Float32Array, keep: Int32Array, tau: number): void {
  const numbers = map.filter((value) => !Number.isNaN(value));
  const low = numbers.reduce((a, b) => Math.min(a, b), Infinity);
  const high = numbers.reduce((a, b) => Math.max(a, b), -Infinity);
  const range = Math.fround(high - low);
  const everywhere = tau === 0 || (range === 0 && tau < 1);
  const least = everywhere ? -1 : Math.fround(tau * range);
  map.forEach((value, t) => {
    if (Math.fround(value - low) > least) keep[t] = 1;
  });
}
