/**
 * How often each tag is predicted for the images of each class, and where it was seen first.
 *
 * @module
 */

import type { FeatureBatch } from "../../data/mod.ts";

/** A tag of a class, and rows of images that have it. */
export interface CountedTag {
  /** The tag's index. */
  readonly tag: number;
  /** How many images of the class have it. */
  readonly count: number;
  /** Rows of the first images that have it. */
  readonly rows: readonly number[];
}

/** Counts predicted tags by class; rows are looked at once. */
export class TagCounts {
  readonly #classes: number;
  readonly #thresholds: Float32Array;
  readonly #samples: number;
  readonly #counts: Int32Array;
  readonly #rows: Int32Array;
  readonly #images: Int32Array;
  readonly #tagged: Int32Array;

  /**
   * @param classes Number of classes.
   * @param options One threshold on the logit for each tag, and how many rows to remember.
   */
  constructor(
    classes: number,
    { thresholds, samples }: { readonly thresholds: Float32Array; readonly samples: number },
  ) {
    this.#classes = classes;
    this.#thresholds = thresholds;
    this.#samples = samples;
    this.#counts = new Int32Array(classes * thresholds.length);
    this.#rows = new Int32Array(classes * thresholds.length * samples);
    this.#images = new Int32Array(classes);
    this.#tagged = new Int32Array(classes);
  }

  /** Adds the rows of a batch with `tag_logits` and `labels`; those without a label are left out. */
  add(batch: FeatureBatch): void {
    const { data: logits } = batch.get("tag_logits");
    const { data: labels } = batch.get("labels");
    const tags = this.#thresholds.length;
    for (let row = 0; row < batch.rows; row++) {
      const label = labels[row]!;
      if (label < 0 || label >= this.#classes) continue;
      this.#images[label]!++;
      const start = row * tags;
      let any = false;
      for (let tag = 0; tag < tags; tag++) {
        if (logits[start + tag]! <= this.#thresholds[tag]!) continue;
        any = true;
        const cell = label * tags + tag;
        const seen = this.#counts[cell]!++;
        if (seen < this.#samples) this.#rows[cell * this.#samples + seen] = batch.start + row;
      }
      if (any) this.#tagged[label]!++;
    }
  }

  /** Images of a class, and those of them that any tag was predicted for. */
  totals(label: number): { readonly images: number; readonly tagged: number } {
    return { images: this.#images[label]!, tagged: this.#tagged[label]! };
  }

  /** The most frequent tags of a class; of equals the one that the tagger has first. */
  mostFrequent(label: number, most: number): CountedTag[] {
    const tags = this.#thresholds.length;
    const count = (tag: number) => this.#counts[label * tags + tag]!;
    return Array.from({ length: tags }, (_, tag) => tag).filter((tag) => count(tag) > 0)
      .sort((a, b) => count(b) - count(a) || a - b)
      .slice(0, most)
      .map((tag) => {
        const start = (label * tags + tag) * this.#samples;
        const shown = Math.min(count(tag), this.#samples);
        return { tag, count: count(tag), rows: [...this.#rows.subarray(start, start + shown)] };
      });
  }
}
