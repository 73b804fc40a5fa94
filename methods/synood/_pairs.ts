/**
 * Pairs of in-distribution and synthetic images, and the labels that they are told apart by.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
import { type Assignment, requireWidth } from "./assign.ts";
import type { ImageFeatures } from "./images.ts";
import type { LabelSet } from "./label_set.ts";
import type { LabelChoice } from "./settings.ts";

/** Images one to one. */
export interface ImagePairs {
  /** In-distribution images, each with its class from 0 to C - 1. */
  readonly id: ImageFeatures;
  /** Synthetic images, the n-th made from the n-th of the others. */
  readonly synthetic: ImageFeatures;
}

/** What messages say cannot be done. */
export interface Purpose {
  /** In the infinitive. */
  readonly purpose: string;
  /** Images in a step. */
  readonly batch: number;
}

/**
 * Refuses synthetic images that nothing can be learned of.
 *
 * @throws {UserError} When there are too few, or they are of another width or model than the labels.
 */
export function requireSynthetic(
  synthetic: ImageFeatures,
  labels: LabelSet,
  { purpose, batch }: Purpose,
): void {
  if (labels.negatives.length === 0) {
    throw new UserError(`Cannot ${purpose}: there is no negative label`);
  }
  requireWidth(synthetic, labels);
  requireSameText(synthetic, labels);
  requireEnough(synthetic.count, { purpose, batch, path: synthetic.path });
}

/**
 * Refuses pairs that nothing can be learned of.
 *
 * @throws {UserError} When numbers, widths or models differ, a label is missing or out of range, or
 * there are fewer images than a batch takes.
 */
export function requirePairs(
  { id, synthetic }: ImagePairs,
  labels: LabelSet,
  { purpose, batch }: Purpose,
): void {
  requireSynthetic(synthetic, labels, { purpose, batch: 1 });
  requireWidth(id, labels);
  requireSameText(id, labels);
  const [a, b] = [id, synthetic].map(({ metadata }) => metadata["model_hash"]);
  if (a !== undefined && b !== undefined && a !== b) {
    throw new UserError(
      `Cannot ${purpose}: "${id.path}" and "${synthetic.path}" come from two image encoders`,
    );
  }
  if (id.count !== synthetic.count) {
    throw new UserError(
      `Cannot ${purpose}: images are paired one to one, and there are ${id.count} in ` +
        `"${id.path}" and ${synthetic.count} in "${synthetic.path}"`,
    );
  }
  requireEnough(2 * id.count, { purpose, batch, path: id.path });
  const classes = labels.ids.length;
  const unknown = id.labels.reduce((count, label) => count + (label < 0 ? 1 : 0), 0);
  if (unknown > 0) {
    throw new UserError(
      `Cannot ${purpose}: ${unknown} of ${id.count} images of "${id.path}" have no label`,
    );
  }
  const highest = id.labels.reduce((most, label) => Math.max(most, label), 0);
  if (highest < classes) return;
  throw new UserError(
    `Cannot ${purpose}: "${id.path}" has a label ${highest}, and the classes are 0 to ` +
      `${classes - 1}`,
  );
}

/**
 * Refuses image features that say they go with another text encoder than the labels'.
 *
 * @throws {UserError} When they do.
 */
export function requireSameText(
  { path, metadata }: Pick<ImageFeatures, "path" | "metadata">,
  labels: Pick<LabelSet, "model">,
): void {
  const model = metadata["text_model"];
  if (model === undefined || model === "" || labels.model === "" || model === labels.model) return;
  throw new UserError(
    `Cannot use "${path}" with these labels: it goes with the text encoder ${short(model)}, and ` +
      `the labels were made by ${short(labels.model)}`,
  );
}

function short(hash: string): string {
  return hash.length > 12 ? `${hash.slice(0, 12)}…` : hash;
}

function requireEnough(
  count: number,
  { purpose, batch, path }: Purpose & { readonly path: string },
): void {
  if (count >= batch) return;
  throw new UserError(
    `Cannot ${purpose}: a batch takes ${batch} images and there are ${count} with "${path}"; name ` +
      "a smaller batch",
  );
}

/** The rows that images are compared with, and where each label stands among them. */
export interface ChosenLabels {
  /** f32 [L, D], of length one. */
  readonly rows: Float32Array<ArrayBuffer>;
  /** L. */
  readonly count: number;
  /** Rows of in-distribution labels, which come first. */
  readonly ids: number;
  /** The row of each synthetic image's label. */
  readonly synthetic: Int32Array<ArrayBuffer>;
}

/** Chooses the labels of a loss. */
export function chooseLabels(
  labels: LabelSet,
  { labels: assigned, used }: Assignment,
  choice: LabelChoice,
): ChosenLabels {
  const { width, text } = labels;
  const classes = labels.ids.length;
  if (choice === "all") {
    return {
      rows: text,
      count: text.length / width,
      ids: classes,
      synthetic: assigned.map((negative) => classes + negative),
    };
  }
  const ids = choice === "code" ? classes : 0;
  const place = placesOf(used);
  const rows = new Float32Array((ids + used.length) * width);
  rows.set(text.subarray(0, ids * width));
  rows.set(usedRows(labels, used), ids * width);
  return {
    rows,
    count: ids + used.length,
    ids,
    synthetic: assigned.map((negative) => ids + place.get(negative)!),
  };
}

/** Where each used negative label stands among them. */
export function placesOf(used: Int32Array): ReadonlyMap<number, number> {
  return new Map(Array.from(used, (negative, place) => [negative, place]));
}

/** The text features of the used negative labels, f32 [M', D]. */
export function usedRows(
  { text, ids, width }: LabelSet,
  used: Int32Array,
): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(used.length * width);
  used.forEach((negative, place) => {
    const begin = (ids.length + negative) * width;
    rows.set(text.subarray(begin, begin + width), place * width);
  });
  return rows;
}
