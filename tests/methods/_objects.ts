/** Object tokens and outputs of taggers that tests draw. */

import { type FeatureSet, type HostArray, memoryFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/mod.ts";
import { loadObjects, type ObjectSet } from "../../methods/mod.ts";

/** Width of a token. */
export const WIDTH = 6;

function whole(values: readonly number[]): HostArray {
  return { data: Int32Array.from(values), shape: [values.length] };
}

/** What is drawn. */
export interface Drawn {
  /** Tokens of each image. */
  readonly counts: readonly number[];
  /** Labels of the images; their places modulo 3 by default. */
  readonly labels?: readonly number[];
  readonly seed?: number;
  readonly path?: string;
}

/** A set of object tokens: noise around one direction for each class. */
export function objectFeatures({ counts, seed = 7, path = "objects", ...rest }: Drawn): FeatureSet {
  const labels = rest.labels ?? counts.map((_, i) => i % 3);
  const rng = new Rng(seed);
  const tokens = counts.flatMap((count, i) =>
    Array.from(
      { length: count * WIDTH },
      (_, at) => (at % WIDTH === labels[i] ? 2 : 0) + rng.normal() / 2,
    )
  );
  return memoryFeatures({
    "object_tokens": {
      data: Float32Array.from(tokens),
      shape: [tokens.length / WIDTH, WIDTH],
    },
    "object_counts": whole(counts),
    "tag_count": whole(counts.map((count) => Math.min(1, count))),
    "tag_score": {
      data: Float32Array.from(counts, (count, i) => count === 0 ? 0.1 : 0.5 + i / 1000),
      shape: [counts.length],
    },
    labels: whole(labels),
  }, { path, names: counts.map((_, i) => `${i}.png`) });
}

/** The same, loaded. */
export function drawObjects(drawn: Drawn): Promise<ObjectSet> {
  return loadObjects(objectFeatures(drawn));
}
