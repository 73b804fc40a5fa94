/** Streaming the rows of a feature set: the next batch is read while one is used. */

import type { FeatureBatch, HostArray } from "./feature_set.ts";

/** Rows of several arrays as a batch. */
export function makeBatch(
  rows: { readonly start: number; readonly rows: number },
  arrays: ReadonlyMap<string, HostArray>,
): FeatureBatch {
  return {
    ...rows,
    get(key) {
      const array = arrays.get(key);
      if (array === undefined) {
        throw new TypeError(
          `Cannot get "${key}": the batches were asked for ${[...arrays.keys()].join(", ")}`,
        );
      }
      return array;
    },
  };
}

/** Batches of `rows` of `count` rows, the last one shorter; no more than two are in memory. */
export async function* streamBatches(
  extent: { readonly count: number; readonly rows: number },
  load: (start: number, rows: number) => Promise<FeatureBatch>,
): AsyncGenerator<FeatureBatch> {
  const { count, rows } = extent;
  const begin = (start: number) => load(start, Math.min(rows, count - start));
  let next: Promise<FeatureBatch> | undefined;
  try {
    for (let start = 0; start < count; start += rows) {
      const batch = await (next ?? begin(start));
      next = start + rows < count ? begin(start + rows) : undefined;
      // Its failure is thrown when its turn comes; until then it must not count as unhandled.
      next?.catch(() => {});
      yield batch;
    }
  } finally {
    await next?.catch(() => {});
  }
}
