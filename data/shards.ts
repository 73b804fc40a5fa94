/**
 * A run of extraction on several machines: each takes a part of the images and writes a file of its
 * own, and the files are put together in the end.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { mergeParts } from "./_assemble.ts";
import { indexPath, writeIndex } from "./_feature_index.ts";
import type { SkippedImage } from "./_feature_rows.ts";
import { fileSource } from "./_feature_source.ts";
import { splitPath } from "./_io_error.ts";
import type { StoredRows } from "./_part_files.ts";
import type { SafetensorsArray, SafetensorsDType, SafetensorsSpec } from "./_safetensors_types.ts";
import { type ShardOf, shardPath, shardRange } from "./_shard.ts";
import { SafetensorsFile } from "./safetensors_file.ts";

export { type ShardOf, shardPath, shardRange };

const ROWLESS_REGEXP = /^(head\..*|text_embed|logit_scale)$/;

/** The file of one machine. */
interface ShardFile extends StoredRows {
  readonly metadata: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  readonly skipped: readonly SkippedImage[];
}

function describeShard({ path, header }: SafetensorsFile): ShardFile {
  const { metadata, entries } = header;
  const specs: Record<string, SafetensorsSpec> = Object.create(null);
  for (const { name, dtype, shape } of entries.values()) {
    if (!ROWLESS_REGEXP.test(name)) specs[name] = { dtype: dtype as SafetensorsDType, shape };
  }
  const names = JSON.parse(metadata["names"] ?? "[]") as string[];
  const skipped = JSON.parse(metadata["skipped"] ?? "[]") as SkippedImage[];
  return { path, rows: names.length, specs, metadata, names, skipped };
}

/** Opens every shard once and checks that they are of one run. */
async function readShards(path: string, of: number): Promise<ShardFile[]> {
  const shards: ShardFile[] = [];
  for (let index = 1; index <= of; index++) {
    await using file = await SafetensorsFile.open(shardPath(path, { index, of }));
    const { metadata } = file.header;
    const first = shards[0]?.metadata ?? metadata;
    if (metadata["shard"] !== `${index}/${of}` || metadata["run_hash"] !== first["run_hash"]) {
      throw new UserError(
        `Cannot merge "${file.path}": it is not shard ${index}/${of} of the run that ` +
          `"${shardPath(path, { index: 1, of })}" belongs to`,
      );
    }
    // Counts that do not add up to the rows of a ragged array are refused here.
    await fileSource(file);
    shards.push(describeShard(file));
  }
  return shards;
}

/** The arrays of the model, which every shard has. */
async function readShared(path: string): Promise<Record<string, SafetensorsArray>> {
  await using file = await SafetensorsFile.open(path);
  const shared: Record<string, SafetensorsArray> = Object.create(null);
  for (const name of file.header.entries.keys()) {
    if (ROWLESS_REGEXP.test(name)) shared[name] = await file.read(name);
  }
  return shared;
}

/** The metadata of all shards: the first's, with what is counted counted over all. */
function mergeMetadata(shards: readonly ShardFile[]): Record<string, string> {
  const { shard: _, images_of_all_shards: __, names: ___, skipped: ____, ...strings } =
    shards[0]!.metadata;
  const skipped = shards.flatMap((shard) => shard.skipped);
  return {
    ...strings,
    images: String(shards.reduce((sum, { metadata }) => sum + Number(metadata["images"]), 0)),
    ...(skipped.length === 0 ? {} : { skipped: JSON.stringify(skipped) }),
  };
}

/**
 * Puts the files of `--shard 1/n` to `--shard n/n` together: into one file, or behind an index that
 * leaves them where they are.
 *
 * @param path The whole run's file, as each part was told.
 * @param options `of`: how many parts there are; `layout`: one file (by default) or an index.
 * @returns The path to open: the file, or the index.
 * @throws {UserError} If a part is missing or damaged, or they are not of one run.
 * @throws {RangeError} If there are to be no parts.
 *
 * @example Two halves
 * ```ts
 * import { FeatureWriter, mergeShards, openFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const path = `${folder}/f.safetensors`;
 * for (const index of [1, 2]) {
 *   const options = { names: ["a", "b"], config: {}, shard: { index, of: 2 } };
 *   await using writer = await FeatureWriter.open(path, options);
 *   const features = { data: new Float32Array([index]), shape: [1, 1] };
 *   await writer.append({ images: 1, arrays: { features } });
 *   await writer.finish();
 * }
 * {
 *   await using set = await openFeatures(await mergeShards(path, { of: 2 }));
 *   assertEquals([...(await set.read("features")).data], [1, 2]);
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function mergeShards(
  path: string,
  options: { readonly of: number; readonly layout?: "single" | "shards" },
): Promise<string> {
  const { of, layout = "single" } = options;
  if (!Number.isInteger(of) || of < 1) {
    throw new RangeError(`Cannot merge ${of} shards: at least 1 was expected`);
  }
  const shards = await readShards(path, of);
  const metadata = mergeMetadata(shards);
  if (layout === "shards") {
    const files = shards.map(({ path: file, rows }) => ({ file: splitPath(file).base, rows }));
    await writeIndex(indexPath(path), { metadata, shards: files });
    return indexPath(path);
  }
  const names = JSON.stringify(shards.flatMap((shard) => shard.names));
  const shared = await readShared(shards[0]!.path);
  await mergeParts(path, shards, { metadata: { ...metadata, names }, shared });
  return path;
}
