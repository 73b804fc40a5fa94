/** The index of a feature set that is kept in shards: `NAME.safetensors.index.json`. */

import { parseJson, readText, refuseFile } from "./_io_error.ts";
import { writeFileAtomic } from "./atomic_write.ts";

/** One shard as an index lists it. */
export interface FeatureIndexShard {
  /** Its file, relative to the index. */
  readonly file: string;
  /** How many rows it has. */
  readonly rows: number;
}

/** The content of a `NAME.safetensors.index.json`. */
export interface FeatureIndex {
  /** Strings for the whole set. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The shards in the order of their rows. */
  readonly shards: readonly FeatureIndexShard[];
  /** The file of the arrays that have no rows, relative to the index, if it is not a shard. */
  readonly shared?: string;
}

/** The index that stands for a feature file. */
export function indexPath(path: string): string {
  return `${path}.index.json`;
}

/** Reads an index and checks that it is one. */
export async function readIndex(path: string): Promise<FeatureIndex> {
  return parseIndex(path, await readText(path));
}

/** Writes an index; with it, the set is there. */
export async function writeIndex(path: string, index: FeatureIndex): Promise<void> {
  await writeFileAtomic(path, JSON.stringify(index, null, 2) + "\n");
}

function parseIndex(path: string, text: string): FeatureIndex {
  const json = parseJson(path, text);
  const { metadata = {}, shards, shared } = (json ?? {}) as Record<string, unknown>;
  if (!Array.isArray(shards) || shards.length === 0) refuseFile(path, 'it has no list of "shards"');
  for (const shard of shards as unknown[]) {
    const { file, rows } = (shard ?? {}) as Record<string, unknown>;
    if (typeof file !== "string" || !Number.isSafeInteger(rows)) {
      refuseFile(path, 'each of its "shards" must have a "file" and a number of "rows"');
    }
  }
  if (shared !== undefined && typeof shared !== "string") {
    refuseFile(path, 'its "shared" is no file name');
  }
  const strings: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(metadata as Record<string, unknown>)) {
    strings[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return {
    metadata: strings,
    shards: shards as FeatureIndexShard[],
    ...(shared === undefined ? {} : { shared: shared as string }),
  };
}
