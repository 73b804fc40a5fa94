/** The part files of a run: each is whole or not there, and those before the first gap count. */

import { UserError } from "../runtime/errors.ts";
import {
  type FeatureRows,
  joinSpecs,
  keptOf,
  type SkippedImage,
  type Specs,
  specsOfArrays,
} from "./_feature_rows.ts";
import { fileSource } from "./_feature_source.ts";
import { ioError, ioReason, kindOf, splitPath } from "./_io_error.ts";
import { recordRun, requireSameRun, type Run } from "./_run.ts";
import type { SafetensorsDType, SafetensorsSpec } from "./_safetensors_types.ts";
import { countsKeyOf } from "./ragged.ts";
import { SafetensorsFile } from "./safetensors_file.ts";
import { SafetensorsWriter } from "./safetensors_writer.ts";

const PART_FORMAT = "1";
const PART_REGEXP = /^part-(\d{10})-(\d{10})\.safetensors$/;

/** The rows of a part file, or of a machine's share of a run. */
export interface StoredRows {
  readonly path: string;
  readonly rows: number;
  readonly specs: Specs;
}

/** A part file that was found sound. */
export interface Part extends StoredRows {
  /** The first of its images. */
  readonly start: number;
  /** The image after its last. */
  readonly end: number;
  /** The names of the images that gave a row. */
  readonly names: readonly string[];
  readonly skipped: readonly SkippedImage[];
}

/** A part file by its name alone. */
interface PartName {
  readonly path: string;
  readonly start: number;
  readonly end: number;
}

function partPath(folder: string, range: { start: number; end: number }): string {
  const ten = (n: number) => String(n).padStart(10, "0");
  return `${folder}/part-${ten(range.start)}-${ten(range.end)}.safetensors`;
}

/** Makes the folder of parts and takes its lock, which the system releases however we end. */
export async function lockFolder({ target, folder }: Run): Promise<Deno.FsFile> {
  const parent = splitPath(target).folder;
  if (await kindOf(parent) !== "folder") {
    throw new UserError(`Cannot write "${target}": there is no folder "${parent}"`);
  }
  let lock: Deno.FsFile;
  try {
    await Deno.mkdir(folder, { recursive: true });
    lock = await Deno.open(`${folder}/lock`, { create: true, write: true });
  } catch (error) {
    throw new UserError(`Cannot write "${target}": ${ioReason(error)}`, { cause: error });
  }
  if (!await lock.tryLock(true)) {
    lock.close();
    throw new UserError(`Cannot write "${target}": another process is writing it`);
  }
  return lock;
}

/** Writes the rows of images `start` to `end - 1`, whose names are given, as one part. */
export async function writePart(
  run: Run,
  held: readonly FeatureRows[],
  images: {
    readonly start: number;
    readonly end: number;
    readonly names: readonly string[];
    readonly dtypes: Readonly<Record<string, SafetensorsDType>> | undefined;
  },
): Promise<Part> {
  const { start, end } = images;
  const skipped = held.flatMap((rows) => rows.skipped ?? []);
  const gone = new Set(skipped.map(({ index }) => index));
  const names = images.names.filter((_, i) => !gone.has(start + i));
  const blocks = held.filter((rows) => keptOf(rows) > 0);
  const specs = joinSpecs(blocks.map(({ arrays }) => specsOfArrays(arrays, images.dtypes)));
  const path = partPath(run.folder, images);
  await using writer = await SafetensorsWriter.open(path, specs, {
    part_format: PART_FORMAT,
    run_hash: run.hash,
    names: JSON.stringify(names),
    skipped: JSON.stringify(skipped),
  });
  for (const { arrays } of blocks) {
    for (const [name, { data }] of Object.entries(arrays)) await writer.append(name, data);
  }
  await writer.finish();
  return { path, start, end, rows: names.length, specs, names, skipped };
}

/** Reads a part's header; undefined when it is damaged or of another run. */
async function readPart(part: PartName, runHash: string): Promise<Part | undefined> {
  try {
    await using file = await SafetensorsFile.open(part.path);
    const { entries, metadata } = file.header;
    if (metadata["part_format"] !== PART_FORMAT || metadata["run_hash"] !== runHash) {
      return undefined;
    }
    const names = JSON.parse(metadata["names"] ?? "") as string[];
    const skipped = JSON.parse(metadata["skipped"] ?? "[]") as SkippedImage[];
    if (names.length + skipped.length !== part.end - part.start) return undefined;
    const specs: Record<string, SafetensorsSpec> = Object.create(null);
    for (const { name, dtype, shape } of entries.values()) {
      if (countsKeyOf(name) === undefined && shape[0] !== names.length) return undefined;
      specs[name] = { dtype: dtype as SafetensorsDType, shape };
    }
    // Counts that do not add up are a damage as any other.
    await fileSource(file);
    return { ...part, rows: names.length, specs, names, skipped };
  } catch (error) {
    if (error instanceof UserError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The names of the parts that are there, in order; what a stopped writer left is removed. */
async function listParts(folder: string): Promise<PartName[]> {
  const found: { path: string; start: number; end: number }[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const match = PART_REGEXP.exec(name);
      if (match !== null) {
        found.push({ path: `${folder}/${name}`, start: Number(match[1]), end: Number(match[2]) });
      } else if (name.endsWith(".tmp")) {
        await Deno.remove(`${folder}/${name}`);
      }
    }
  } catch (error) {
    throw ioError("read", folder, error);
  }
  return found.sort((a, b) => a.start - b.start || a.end - b.end);
}

/** The sound parts of an earlier run, from the first image on without a gap; others are removed. */
export async function findParts(run: Run, options: { readonly resume: boolean }): Promise<Part[]> {
  const { target, folder } = run;
  const found = await listParts(folder);
  if (found.length > 0) {
    if (!options.resume) {
      throw new UserError(
        `Cannot write "${target}": an unfinished extraction is in "${folder}"; continue it with ` +
          "--resume, or remove that folder to begin anew",
      );
    }
    await requireSameRun(run);
  }
  const parts: Part[] = [];
  let next = run.start;
  for (const name of found) {
    const { path, start, end } = name;
    const part = start === next && end <= run.end ? await readPart(name, run.hash) : undefined;
    if (part === undefined) {
      await Deno.remove(path).catch((error) => Promise.reject(ioError("write", path, error)));
      continue;
    }
    parts.push(part);
    next = end;
  }
  await recordRun(run);
  return parts;
}
