/** A small run of extraction, whole or in pieces, whose features are the images' numbers. */

import { assertEquals } from "@std/assert";
import type { FeatureSet } from "../../data/feature_set.ts";
import { FeatureWriter, type FeatureWriterOptions } from "../../data/feature_writer.ts";

/** The names of a run's images. */
export const NAMES: readonly string[] = Array.from({ length: 20 }, (_, i) => `${i}.jpg`);
/** Images that cannot be read. */
export const BROKEN: ReadonlySet<number> = new Set([3, 4, 11]);

/** A run of them with everything that a run can have. */
export const OPTIONS: FeatureWriterOptions = {
  names: NAMES,
  config: { model_hash: "m", preprocessing: "p" },
  metadata: { version: "1" },
  shared: { "head.weight": { data: new Float32Array([1, 2, 3, 4]), shape: [2, 2] } },
  dtypes: { feature_map: "F16" },
  partImages: 6,
};

/** How many object tokens an image has: some have none, and so have the first six images. */
function tokensOf(image: number): number {
  return image < 6 ? 0 : image % 4;
}

/** The object tokens of some images, of three channels each. */
function tokensOfAll(images: readonly number[]): number[] {
  return images.flatMap((image) =>
    Array.from({ length: 3 * tokensOf(image) }, (_, i) => 100 * image + i)
  );
}

/** Extracts images `position` to `until - 1` in batches of `batch`, the features being the index. */
export async function extract(writer: FeatureWriter, until: number, batch = 2): Promise<void> {
  while (writer.position < until) {
    const start = writer.position;
    const images = Math.min(batch, until - start);
    const all = Array.from({ length: images }, (_, i) => start + i);
    const kept = all.filter((index) => !BROKEN.has(index));
    await writer.append({
      images,
      arrays: {
        features: { data: Float32Array.from(kept.flatMap((i) => [i, i])), shape: [kept.length, 2] },
        labels: { data: Int32Array.from(kept), shape: [kept.length] },
        feature_map: { data: Float32Array.from(kept), shape: [kept.length, 1, 1, 1] },
        object_counts: { data: Int32Array.from(kept, tokensOf), shape: [kept.length] },
        object_tokens: {
          data: Float32Array.from(tokensOfAll(kept)),
          shape: [tokensOfAll(kept).length / 3, 3],
        },
      },
      skipped: all.filter((index) => BROKEN.has(index)).map((index) => ({
        index,
        name: NAMES[index]!,
        reason: "the file is truncated",
      })),
    });
  }
}

/** Checks that a set holds what the whole run wrote. */
export async function checkWhole(set: FeatureSet): Promise<void> {
  const kept = NAMES.map((_, i) => i).filter((i) => !BROKEN.has(i));
  assertEquals([...(await set.read("labels")).data], kept);
  assertEquals([...(await set.read("features")).data], kept.flatMap((i) => [i, i]));
  assertEquals([...(await set.read("feature_map")).data], kept);
  assertEquals([...(await set.read("object_counts")).data], kept.map(tokensOf));
  const tokens = await set.read("object_tokens");
  assertEquals([...tokens.data], tokensOfAll(kept));
  assertEquals(tokens.shape, [tokens.data.length / 3, 3]);
  for await (const batch of set.batches(["object_tokens", "labels"], { rows: 4 })) {
    const expected = tokensOfAll([...batch.get("labels").data]);
    assertEquals([...batch.get("object_tokens").data], expected);
  }
  assertEquals([...(await set.read("head.weight")).data], [1, 2, 3, 4]);
  assertEquals(set.names, kept.map((i) => NAMES[i]!));
  assertEquals(set.metadata["model_hash"], "m");
  assertEquals(set.metadata["version"], "1");
  assertEquals(set.metadata["images"], "20");
  const skipped = JSON.parse(set.metadata["skipped"]!) as { index: number; reason: string }[];
  assertEquals(skipped.map(({ index }) => index), [3, 4, 11]);
  assertEquals(skipped[0]!.reason, "the file is truncated");
}

/** Writes a whole run. */
export async function run(path: string, options: FeatureWriterOptions, batch = 2): Promise<string> {
  await using writer = await FeatureWriter.open(path, options);
  await extract(writer, writer.end, batch);
  return await writer.finish();
}
