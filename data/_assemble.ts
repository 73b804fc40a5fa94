/** From part files to what is opened: one file, or shards behind an index. */

import { type FeatureIndexShard, indexPath, writeIndex } from "./_feature_index.ts";
import { joinSpecs, specsOfArrays } from "./_feature_rows.ts";
import { ioError, splitPath } from "./_io_error.ts";
import type { StoredRows } from "./_part_files.ts";
import { elementCount } from "./_safetensors_elements.ts";
import type { SafetensorsArray } from "./_safetensors_types.ts";
import { shardPath } from "./_shard.ts";
import { writeSafetensors } from "./safetensors.ts";
import { SafetensorsFile } from "./safetensors_file.ts";
import { SafetensorsWriter } from "./safetensors_writer.ts";

/** Bytes that go from a part to the merged file at a time. */
const COPY_BYTES = 8 * 1024 * 1024;

/** What a feature file has beside its rows. */
export interface Extras {
  readonly metadata: Readonly<Record<string, string>>;
  readonly shared: Readonly<Record<string, SafetensorsArray>>;
}

/** Puts parts together into one file, streaming. */
export async function mergeParts(
  path: string,
  parts: readonly StoredRows[],
  extras: Extras,
): Promise<void> {
  const withRows = parts.filter(({ rows }) => rows > 0);
  const specs = joinSpecs(withRows.map((part) => part.specs));
  const keys = Object.keys(specs);
  for (const [name, spec] of Object.entries(specsOfArrays(extras.shared))) {
    if (specs[name] !== undefined) throw new TypeError(`Cannot write "${name}" twice`);
    specs[name] = spec;
  }
  await using writer = await SafetensorsWriter.open(path, specs, extras.metadata);
  for (const [name, { data }] of Object.entries(extras.shared)) await writer.append(name, data);
  for (const part of withRows) await copyRows(writer, part, keys);
  await writer.finish();
}

async function copyRows(
  writer: SafetensorsWriter,
  part: StoredRows,
  keys: readonly string[],
): Promise<void> {
  await using file = await SafetensorsFile.open(part.path);
  for (const key of keys) {
    const [total = 0, ...row] = part.specs[key]!.shape;
    const step = Math.max(1, Math.floor(COPY_BYTES / (4 * Math.max(1, elementCount(row)))));
    for (let start = 0; start < total; start += step) {
      const rows = Math.min(step, total - start);
      await writer.append(key, (await file.readRows(key, { start, rows })).data);
    }
  }
}

/** Gives parts their final names beside an index, which comes last; says where it is. */
export async function leaveShards(
  path: string,
  parts: readonly StoredRows[],
  extras: Extras,
): Promise<string> {
  const { folder, base } = splitPath(path);
  const withRows = parts.filter(({ rows }) => rows > 0);
  const shards: FeatureIndexShard[] = [];
  for (const [i, part] of withRows.entries()) {
    const shard = shardPath(path, { index: i + 1, of: withRows.length });
    await linkOrCopy(part.path, shard);
    shards.push({ file: splitPath(shard).base, rows: part.rows });
  }
  // Each shard has its images' names; in the index they would only make it long.
  const { names: _, ...metadata } = extras.metadata;
  const shared = `${base.replace(/\.safetensors$/, "")}-shared.safetensors`;
  const hasShared = Object.keys(extras.shared).length > 0;
  if (hasShared) await writeSafetensors(`${folder}/${shared}`, extras.shared);
  const index = indexPath(path);
  await writeIndex(index, { metadata, shards, ...(hasShared ? { shared } : {}) });
  return index;
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await Deno.remove(to).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    try {
      await Deno.link(from, to);
    } catch {
      // Not every file system has links.
      await Deno.copyFile(from, to);
    }
  } catch (error) {
    throw ioError("write", to, error);
  }
}
