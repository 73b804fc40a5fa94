/**
 * Writing the features of many images so that nothing is lost: rows gather into part files, each
 * written atomically, and an extraction that was stopped at any moment goes on after the last of
 * them. At the end the parts become one file, or shards behind an index.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { UserError } from "../runtime/errors.ts";
import { ioError, ioReason, kindOf, splitPath } from "./_io_error.ts";
import { writeFileAtomic } from "./atomic_write.ts";
import type { FeatureIndex } from "./feature_set.ts";
import {
  type SafetensorsArray,
  type SafetensorsData,
  type SafetensorsDType,
  writeSafetensors,
} from "./safetensors.ts";
import { SafetensorsFile } from "./safetensors_file.ts";
import { type SafetensorsSpec, SafetensorsWriter } from "./safetensors_writer.ts";

/** An image that gave no row. */
export interface SkippedImage {
  /** Its place among all images of the run. */
  readonly index: number;
  /** Its name. */
  readonly name: string;
  /** Why it was skipped. */
  readonly reason: string;
}

/** Which part of the images a machine takes: part `index` of `of`, from 1. */
export interface ShardOf {
  /** From 1 to `of`. */
  readonly index: number;
  /** How many parts there are. */
  readonly of: number;
}

/** What a run of extraction will write. */
export interface FeatureWriterOptions {
  /** The names of all images, in order; with `shard`, of all parts' images. */
  readonly names: readonly string[];
  /**
   * Everything that the features depend on beside the images (model hash, preprocessing, outputs):
   * a run is continued only if all of it is equal. It goes into the metadata as it is.
   */
  readonly config: Readonly<Record<string, string>>;
  /** Further metadata that does not change the features: tool version, class names. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Arrays of the model that have no rows: `head.weight`, `head.bias`. */
  readonly shared?: Readonly<Record<string, SafetensorsArray>>;
  /** Element types that differ from the data's own: `{ feature_map: "F16" }`. */
  readonly dtypes?: Readonly<Record<string, SafetensorsDType>>;
  /** Take only this part of the images, and write the file that `shardPath` names. */
  readonly shard?: ShardOf;
  /** Go on with a run that was stopped. */
  readonly resume?: boolean;
  /** What to leave at the end: one file (by default) or shards behind an index. */
  readonly layout?: "single" | "shards";
  /** Most bytes of rows that are held before they become a part file: 64 MiB by default. */
  readonly partBytes?: number;
  /** Most images in a part file: 4096 by default. */
  readonly partImages?: number;
}

/** Some images' rows. */
export interface FeatureRows {
  /** How many images these are, the skipped ones included. */
  readonly images: number;
  /** Arrays with a row for each image that was not skipped, in order. */
  readonly arrays: Readonly<Record<string, SafetensorsArray>>;
  /** The images among them that gave no row; `index` counts from the run's first image. */
  readonly skipped?: readonly SkippedImage[];
}

const PART_FORMAT = "1";
const PART_REGEXP = /^part-(\d{10})-(\d{10})\.safetensors$/;
/** Bytes that go from a part to the merged file at a time. */
const COPY_BYTES = 8 * 1024 * 1024;

/** A part file that was found sound. */
interface Part {
  readonly path: string;
  readonly start: number;
  readonly end: number;
  readonly rows: number;
  readonly specs: Readonly<Record<string, SafetensorsSpec>>;
  readonly names: readonly string[];
  readonly skipped: readonly SkippedImage[];
}

/** What identifies a run. */
interface RunIdentity {
  readonly config: Readonly<Record<string, string>>;
  readonly images: string;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function sortedRecord(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function hashNames(names: readonly string[]): string {
  const hash = createHash("sha256");
  // NUL cannot be in a name, so that lists differ if and only if their texts do.
  for (const name of names) hash.update(`${name}\0`);
  return hash.digest("hex");
}

/**
 * The file that a part of a run writes: `f-00002-of-00004.safetensors` for part 2 of 4 of
 * `f.safetensors`.
 *
 * @param path The whole run's file.
 * @param shard Which part.
 * @returns The part's file.
 *
 * @example Part 2 of 4
 * ```ts
 * import { shardPath } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const path = shardPath("f.safetensors", { index: 2, of: 4 });
 * assertEquals(path, "f-00002-of-00004.safetensors");
 * ```
 */
export function shardPath(path: string, shard: ShardOf): string {
  const stem = path.replace(/\.safetensors$/, "");
  const five = (n: number) => String(n).padStart(5, "0");
  return `${stem}-${five(shard.index)}-of-${five(shard.of)}.safetensors`;
}

/**
 * The images that a part of a run takes.
 *
 * @param count How many images there are.
 * @param shard Which part; all images when left out.
 * @returns The first image and the one after the last.
 * @throws {UserError} If there is no such part.
 *
 * @example The second half
 * ```ts
 * import { shardRange } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(shardRange(9, { index: 2, of: 2 }), { start: 4, end: 9 });
 * ```
 */
export function shardRange(count: number, shard?: ShardOf): { start: number; end: number } {
  if (shard === undefined) return { start: 0, end: count };
  const { index, of } = shard;
  if (!Number.isInteger(of) || !Number.isInteger(index) || index < 1 || index > of) {
    throw new UserError(
      `Cannot take shard ${index}/${of}: a number from 1 to the number of shards was expected`,
    );
  }
  return { start: Math.floor((index - 1) * count / of), end: Math.floor(index * count / of) };
}

function rowElements(shape: readonly number[]): number {
  return shape.slice(1).reduce((product, size) => product * size, 1);
}

/** Reads a part's header; undefined when it is damaged or of another run. */
async function readPart(
  path: string,
  range: { start: number; end: number },
  runHash: string,
): Promise<Part | undefined> {
  try {
    await using file = await SafetensorsFile.open(path);
    const { entries, metadata } = file.header;
    if (metadata["part_format"] !== PART_FORMAT || metadata["run_hash"] !== runHash) {
      return undefined;
    }
    const names = JSON.parse(metadata["names"] ?? "") as string[];
    const skipped = JSON.parse(metadata["skipped"] ?? "[]") as SkippedImage[];
    if (names.length + skipped.length !== range.end - range.start) return undefined;
    const specs: Record<string, SafetensorsSpec> = Object.create(null);
    for (const { name, dtype, shape } of entries.values()) {
      if (shape[0] !== names.length) return undefined;
      specs[name] = { dtype: dtype as SafetensorsDType, shape };
    }
    return { path, ...range, rows: names.length, specs, names, skipped };
  } catch (error) {
    if (error instanceof UserError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Writes a run of extraction: rows in, a feature file out. After a stop, `open` with `resume` says
 * in `position` which image is next.
 *
 * @example Two batches and a damaged image
 * ```ts
 * import { FeatureWriter, openFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const path = `${folder}/f.safetensors`;
 * const row = (value: number) => ({
 *   features: { data: new Float32Array([value, value]), shape: [1, 2] },
 * });
 * {
 *   await using writer = await FeatureWriter.open(path, {
 *     names: ["a.jpg", "b.jpg", "c.jpg"],
 *     config: { model_hash: "0123" },
 *   });
 *   await writer.append({ images: 1, arrays: row(1) });
 *   const skipped = [{ index: 1, name: "b.jpg", reason: "the file is truncated" }];
 *   await writer.append({ images: 2, arrays: row(2), skipped });
 *   await writer.finish();
 * }
 * {
 *   await using set = await openFeatures(path);
 *   assertEquals(set.names, ["a.jpg", "c.jpg"]);
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class FeatureWriter implements AsyncDisposable {
  /** The file that `finish` leaves. */
  readonly path: string;
  /** The first image of this part of the run. */
  readonly start: number;
  /** The image after the last of this part of the run. */
  readonly end: number;
  #folder: string;
  #options: FeatureWriterOptions;
  #identity: RunIdentity;
  #runHash: string;
  #lock: Deno.FsFile | undefined;
  #parts: Part[];
  #position: number;
  #finished = false;
  /** Rows that are not in a part file yet. */
  #held: FeatureRows[] = [];
  #heldBytes = 0;
  #heldStart: number;

  private constructor(
    path: string,
    options: FeatureWriterOptions,
    state: {
      folder: string;
      range: { start: number; end: number };
      identity: RunIdentity;
      runHash: string;
      lock: Deno.FsFile | undefined;
      parts: Part[];
      finished: boolean;
    },
  ) {
    this.path = path;
    this.start = state.range.start;
    this.end = state.range.end;
    this.#options = options;
    this.#folder = state.folder;
    this.#identity = state.identity;
    this.#runHash = state.runHash;
    this.#lock = state.lock;
    this.#parts = state.parts;
    this.#finished = state.finished;
    this.#position = state.finished
      ? state.range.end
      : state.parts.at(-1)?.end ?? state.range.start;
    this.#heldStart = this.#position;
  }

  /**
   * Begins a run, or goes on with one.
   *
   * @param path The feature file to make.
   * @param options What the run is.
   * @returns The writer; `position` is the next image.
   * @throws {UserError} If there is an unfinished run and `resume` is not set, or it is set and that
   * run had another configuration or other images, or another process is writing, or the folder is
   * not writable.
   *
   * @example Where to go on
   * ```ts
   * import { FeatureWriter } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * const options = { names: ["a", "b"], config: {}, partImages: 1 };
   * const features = { data: new Float32Array(1), shape: [1, 1] };
   * {
   *   await using writer = await FeatureWriter.open(`${folder}/f.safetensors`, options);
   *   await writer.append({ images: 1, arrays: { features } });
   * }
   * {
   *   const again = { ...options, resume: true };
   *   await using writer = await FeatureWriter.open(`${folder}/f.safetensors`, again);
   *   assertEquals(writer.position, 1);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  static async open(path: string, options: FeatureWriterOptions): Promise<FeatureWriter> {
    const { names, shard, resume = false } = options;
    if (names.length === 0) throw new UserError(`Cannot write "${path}": there are no images`);
    const range = shardRange(names.length, shard);
    if (range.start === range.end) {
      throw new UserError(
        `Cannot take shard ${shard!.index}/${shard!.of}: there are ${names.length} images only`,
      );
    }
    const target = shard === undefined ? path : shardPath(path, shard);
    if (await kindOf(target) === "folder") {
      throw new UserError(`Cannot write "${target}": it is a folder, and a file was expected`);
    }
    const config = sortedRecord({
      ...options.config,
      ...(options.dtypes === undefined
        ? {}
        : { dtypes: JSON.stringify(sortedRecord(options.dtypes)) }),
    });
    const identity: RunIdentity = { config, images: hashNames(names) };
    const runHash = sha256(JSON.stringify(identity));
    const folder = `${target}.parts`;
    if (resume && await kindOf(folder) === undefined) {
      const finished = await finishedBy(target);
      if (finished !== undefined && finished !== runHash) {
        throw new UserError(
          `Cannot resume "${target}": it is there and finished, of other images or with another ` +
            "configuration; leave --resume out to replace it",
        );
      }
      if (finished === runHash) {
        const state = { folder, range, identity, runHash, lock: undefined, parts: [] };
        return new FeatureWriter(target, options, { ...state, finished: true });
      }
    }
    const lock = await openFolder(target, folder);
    try {
      const parts = await findParts(target, { folder, range, identity, runHash, resume });
      const state = { folder, range, identity, runHash, lock, parts, finished: false };
      return new FeatureWriter(target, options, state);
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** The next image that `append` takes rows of. */
  get position(): number {
    return this.#position;
  }

  /** The images that were skipped so far, those before a resume included. */
  get skipped(): readonly SkippedImage[] {
    return [
      ...this.#parts.flatMap((part) => part.skipped),
      ...this.#held.flatMap((rows) => rows.skipped ?? []),
    ];
  }

  /**
   * Adds the rows of the images from `position` on. They are safe once they are in a part file,
   * which is when enough have gathered, or at `flush`.
   *
   * @param rows The rows; their arrays are held, so do not change them.
   * @throws {TypeError} If the numbers of images and rows do not fit, or arrays change their shape.
   * @throws {UserError} If a part cannot be written.
   *
   * @example A batch that does not fit its images
   * ```ts
   * import { FeatureWriter } from "@oodgpu/oodgpu/data";
   * import { assertRejects } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using writer = await FeatureWriter.open(`${folder}/f`, { names: ["a"], config: {} });
   *   const features = { data: new Float32Array(4), shape: [2, 2] };
   *   await assertRejects(() => writer.append({ images: 1, arrays: { features } }), TypeError);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async append(rows: FeatureRows): Promise<void> {
    this.#check(rows);
    this.#held.push(rows);
    this.#position += rows.images;
    for (const { data } of Object.values(rows.arrays)) this.#heldBytes += data.byteLength;
    const { partBytes = 64 * 1024 * 1024, partImages = 4096 } = this.#options;
    if (this.#heldBytes >= partBytes || this.#position - this.#heldStart >= partImages) {
      await this.flush();
    }
  }

  #check(rows: FeatureRows): void {
    const fail = (why: string): never => {
      throw new TypeError(`Cannot append to "${this.path}": ${why}`);
    };
    if (this.#finished) fail("it is finished");
    if (
      !Number.isInteger(rows.images) || rows.images < 1 || this.#position + rows.images > this.end
    ) {
      fail(`${rows.images} images from ${this.#position} on go beyond the last, ${this.end - 1}`);
    }
    const skipped = rows.skipped ?? [];
    let last = this.#position - 1;
    for (const { index } of skipped) {
      if (index <= last || index >= this.#position + rows.images) {
        fail(`skipped image ${index} is not among the images that are appended, in order`);
      }
      last = index;
    }
    const kept = rows.images - skipped.length;
    const entries = Object.entries(rows.arrays);
    if (kept > 0 && entries.length === 0) fail("it has no arrays");
    for (const [name, { data, shape }] of entries) {
      if (shape[0] !== kept || data.length !== kept * rowElements(shape)) {
        fail(`"${name}" has shape [${shape.join(", ")}] and ${kept} rows were expected`);
      }
    }
    const specs = this.#specs();
    if (specs === undefined || kept === 0) return;
    const names = Object.keys(specs).sort().join(", ");
    if (Object.keys(rows.arrays).sort().join(", ") !== names) {
      fail(`the arrays ${names} were expected`);
    }
    for (const [name, { shape }] of entries) {
      const expected = specs[name]!.shape.slice(1).join(", ");
      if (shape.slice(1).join(", ") !== expected) {
        fail(
          `"${name}" has rows of [${shape.slice(1).join(", ")}], and [${expected}] was expected`,
        );
      }
    }
  }

  /** The arrays' types and row shapes, once a row is known. */
  #specs(): Readonly<Record<string, SafetensorsSpec>> | undefined {
    const part = this.#parts.find((candidate) => candidate.rows > 0);
    if (part !== undefined) return part.specs;
    const rows = this.#held.find(({ images, skipped }) => images > (skipped?.length ?? 0));
    return rows === undefined ? undefined : this.#specsOf(rows.arrays);
  }

  #specsOf(arrays: Readonly<Record<string, SafetensorsArray>>): Record<string, SafetensorsSpec> {
    const specs: Record<string, SafetensorsSpec> = Object.create(null);
    for (const [name, { data, shape, dtype }] of Object.entries(arrays)) {
      const own = data instanceof Int32Array ? "I32" : data instanceof Float64Array ? "F64" : "F32";
      specs[name] = { dtype: this.#options.dtypes?.[name] ?? dtype ?? own, shape };
    }
    return specs;
  }

  /**
   * Writes the rows that are held into a part file.
   *
   * @throws {UserError} If it cannot be written.
   *
   * @example Before a pause
   * ```ts
   * import { FeatureWriter } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using writer = await FeatureWriter.open(`${folder}/f`, { names: ["a"], config: {} });
   *   await writer.flush();
   *   assertEquals(writer.position, 0);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async flush(): Promise<void> {
    if (this.#position === this.#heldStart) return;
    const start = this.#heldStart;
    const end = this.#position;
    const skipped = this.#held.flatMap((rows) => rows.skipped ?? []);
    const gone = new Set(skipped.map(({ index }) => index));
    const names: string[] = [];
    for (let i = start; i < end; i++) if (!gone.has(i)) names.push(this.#options.names[i]!);
    const blocks = this.#held.filter(({ images, skipped }) => images > (skipped?.length ?? 0));
    const specs: Record<string, SafetensorsSpec> = Object.create(null);
    for (const [name, { dtype, shape }] of Object.entries(this.#specsOf(blocks[0]?.arrays ?? {}))) {
      specs[name] = { dtype, shape: [names.length, ...shape.slice(1)] };
    }
    const ten = (n: number) => String(n).padStart(10, "0");
    const path = `${this.#folder}/part-${ten(start)}-${ten(end)}.safetensors`;
    await using writer = await SafetensorsWriter.open(path, specs, {
      part_format: PART_FORMAT,
      run_hash: this.#runHash,
      names: JSON.stringify(names),
      skipped: JSON.stringify(skipped),
    });
    for (const { arrays } of blocks) {
      for (const [name, { data }] of Object.entries(arrays)) await writer.append(name, data);
    }
    await writer.finish();
    this.#parts.push({ path, start, end, rows: names.length, specs, names, skipped });
    this.#held = [];
    this.#heldBytes = 0;
    this.#heldStart = end;
  }

  /**
   * Makes the parts into the feature file, or into shards behind an index, and removes them.
   *
   * @returns The path to open: the file, or the index.
   * @throws {UserError} If no image gave a row, or the file cannot be written.
   * @throws {TypeError} If images are missing.
   *
   * @example An incomplete run
   * ```ts
   * import { FeatureWriter } from "@oodgpu/oodgpu/data";
   * import { assertRejects } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using writer = await FeatureWriter.open(`${folder}/f`, { names: ["a"], config: {} });
   *   await assertRejects(() => writer.finish(), TypeError);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async finish(): Promise<string> {
    const index = `${this.path}.index.json`;
    const asShards = this.#options.layout === "shards";
    if (this.#finished) return await kindOf(this.path) === "file" ? this.path : index;
    if (this.#position !== this.end) {
      throw new TypeError(
        `Cannot finish "${this.path}": the images from ${this.#position} to ${
          this.end - 1
        } are missing`,
      );
    }
    await this.flush();
    if (this.#parts.every(({ rows }) => rows === 0)) {
      const first = this.#parts[0]!.skipped[0]!;
      throw new UserError(
        `Cannot write "${this.path}": none of the ${
          this.end - this.start
        } images can be read; the ` +
          `first is "${first.name}": ${first.reason}`,
      );
    }
    const metadata = this.#metadata();
    const { shared = {} } = this.#options;
    if (asShards) await this.#leaveShards(index, metadata);
    else await mergeParts(this.path, this.#parts, { metadata, shared });
    this.#finished = true;
    this.#lock?.close();
    this.#lock = undefined;
    // From here on the parts are copies; one that cannot be removed does no harm.
    await Deno.remove(this.#folder, { recursive: true }).catch(() => {});
    return asShards ? index : this.path;
  }

  #metadata(): Record<string, string> {
    const { shard, names } = this.#options;
    const skipped = this.#parts.flatMap((part) => part.skipped);
    return {
      ...this.#options.metadata,
      ...this.#identity.config,
      run_hash: this.#runHash,
      images: String(this.end - this.start),
      ...(skipped.length === 0 ? {} : { skipped: JSON.stringify(skipped) }),
      ...(shard === undefined
        ? {}
        : { shard: `${shard.index}/${shard.of}`, images_of_all_shards: String(names.length) }),
      names: JSON.stringify(this.#parts.flatMap((part) => part.names)),
    };
  }

  /** Gives the parts their final names beside the index, which comes last. */
  async #leaveShards(index: string, metadata: Record<string, string>): Promise<void> {
    const { folder } = splitPath(this.path);
    const parts = this.#parts.filter(({ rows }) => rows > 0);
    const shards: { file: string; rows: number }[] = [];
    for (const [i, part] of parts.entries()) {
      const path = shardPath(this.path, { index: i + 1, of: parts.length });
      await linkOrCopy(part.path, path);
      shards.push({ file: splitPath(path).base, rows: part.rows });
    }
    const { names: _, ...strings } = metadata;
    const { shared = {} } = this.#options;
    const sharedFile = `${
      splitPath(this.path).base.replace(/\.safetensors$/, "")
    }-shared.safetensors`;
    const hasShared = Object.keys(shared).length > 0;
    if (hasShared) await writeSafetensors(`${folder}/${sharedFile}`, shared);
    const content: FeatureIndex = {
      metadata: strings,
      shards,
      ...(hasShared ? { shared: sharedFile } : {}),
    };
    await writeFileAtomic(index, JSON.stringify(content, null, 2) + "\n");
  }

  /** Lets go of the run; what is in part files stays for a resume. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#lock?.close();
    this.#lock = undefined;
    this.#held = [];
    return Promise.resolve();
  }
}

/** The hash of the run that made a file or an index; undefined when neither is there. */
async function finishedBy(target: string): Promise<string | undefined> {
  try {
    if (await kindOf(target) === "file") {
      await using file = await SafetensorsFile.open(target);
      return file.header.metadata["run_hash"] ?? "";
    }
    const index = `${target}.index.json`;
    if (await kindOf(index) !== "file") return undefined;
    const { metadata } = JSON.parse(await Deno.readTextFile(index)) as FeatureIndex;
    return metadata["run_hash"] ?? "";
  } catch (error) {
    // What cannot be read was made by no run.
    if (error instanceof UserError || error instanceof SyntaxError) return "";
    throw ioError("read", target, error);
  }
}

/** Makes the folder of parts and takes its lock, which the system releases however we end. */
async function openFolder(target: string, folder: string): Promise<Deno.FsFile> {
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

/** The sound parts of an earlier run, from the first image on without a gap; others are removed. */
async function findParts(
  target: string,
  run: {
    folder: string;
    range: { start: number; end: number };
    identity: RunIdentity;
    runHash: string;
    resume: boolean;
  },
): Promise<Part[]> {
  const { folder, range, identity, runHash, resume } = run;
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
  found.sort((a, b) => a.start - b.start || a.end - b.end);
  const runFile = `${folder}/run.json`;
  if (found.length > 0 && !resume) {
    throw new UserError(
      `Cannot write "${target}": an unfinished extraction is in "${folder}"; continue it with ` +
        "--resume, or remove that folder to begin anew",
    );
  }
  if (found.length > 0) await requireSameRun(target, runFile, identity);
  const parts: Part[] = [];
  let next = range.start;
  for (const { path, start, end } of found) {
    const part = start === next && end <= range.end
      ? await readPart(path, { start, end }, runHash)
      : undefined;
    if (part === undefined) {
      await Deno.remove(path).catch((error) => Promise.reject(ioError("write", path, error)));
      continue;
    }
    parts.push(part);
    next = end;
  }
  await writeFileAtomic(runFile, JSON.stringify(identity));
  return parts;
}

/** Refuses to mix rows of two runs, naming what is different. */
async function requireSameRun(
  target: string,
  runFile: string,
  identity: RunIdentity,
): Promise<void> {
  let before: RunIdentity;
  try {
    before = JSON.parse(await Deno.readTextFile(runFile)) as RunIdentity;
  } catch {
    // Without it the parts' own hashes decide.
    return;
  }
  const folder = splitPath(runFile).folder;
  const refuse = (what: string): never => {
    throw new UserError(
      `Cannot resume "${target}": ${what} than when it was begun; repeat the first call's options, ` +
        `or remove "${folder}" to begin anew`,
    );
  };
  const keys = new Set([...Object.keys(before.config), ...Object.keys(identity.config)]);
  for (const key of [...keys].sort()) {
    if (before.config[key] !== identity.config[key]) refuse(`"${key}" is another`);
  }
  if (before.images !== identity.images) refuse("the images are others");
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

/** Puts parts together into one file, streaming. */
async function mergeParts(
  path: string,
  parts: readonly {
    path: string;
    rows: number;
    specs: Readonly<Record<string, SafetensorsSpec>>;
  }[],
  extra: {
    metadata: Readonly<Record<string, string>>;
    shared: Readonly<Record<string, SafetensorsArray>>;
  },
): Promise<void> {
  const withRows = parts.filter(({ rows }) => rows > 0);
  const total = withRows.reduce((sum, { rows }) => sum + rows, 0);
  const specs: Record<string, SafetensorsSpec> = Object.create(null);
  for (const [name, { dtype, shape }] of Object.entries(withRows[0]!.specs)) {
    specs[name] = { dtype, shape: [total, ...shape.slice(1)] };
  }
  const keys = Object.keys(specs);
  for (const [name, { data, shape, dtype }] of Object.entries(extra.shared)) {
    if (specs[name] !== undefined) throw new TypeError(`Cannot write "${name}" twice`);
    specs[name] = { dtype: dtype ?? (data instanceof Int32Array ? "I32" : "F32"), shape };
  }
  await using writer = await SafetensorsWriter.open(path, specs, extra.metadata);
  for (const [name, { data }] of Object.entries(extra.shared)) await writer.append(name, data);
  for (const part of withRows) {
    await using file = await SafetensorsFile.open(part.path);
    for (const key of keys) {
      const width = Math.max(1, rowElements(specs[key]!.shape));
      const step = Math.max(1, Math.floor(COPY_BYTES / (4 * width)));
      for (let start = 0; start < part.rows; start += step) {
        const rows = Math.min(step, part.rows - start);
        await writer.append(
          key,
          (await file.readRows(key, { start, rows })).data as SafetensorsData,
        );
      }
    }
  }
  await writer.finish();
}

const ROWLESS_REGEXP = /^(head\..*|text_embed|logit_scale)$/;

/**
 * Puts the files of `--shard 1/n` to `--shard n/n` together: into one file, or behind an index that
 * leaves them where they are.
 *
 * @param path The whole run's file, as each part was told.
 * @param options `of`: how many parts there are; `layout`: one file (by default) or an index.
 * @returns The path to open: the file, or the index.
 * @throws {UserError} If a part is missing or they are not of one run.
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
  const parts: { path: string; rows: number; specs: Record<string, SafetensorsSpec> }[] = [];
  const names: string[] = [];
  const skipped: SkippedImage[] = [];
  const shared: Record<string, SafetensorsArray> = Object.create(null);
  let first: Readonly<Record<string, string>> | undefined;
  let images = 0;
  for (let index = 1; index <= of; index++) {
    const part = shardPath(path, { index, of });
    await using file = await SafetensorsFile.open(part);
    const { metadata, entries } = file.header;
    first ??= metadata;
    if (metadata["shard"] !== `${index}/${of}` || metadata["run_hash"] !== first["run_hash"]) {
      throw new UserError(
        `Cannot merge "${part}": it is not shard ${index}/${of} of the run that ` +
          `"${shardPath(path, { index: 1, of })}" belongs to`,
      );
    }
    const specs: Record<string, SafetensorsSpec> = Object.create(null);
    for (const { name, dtype, shape } of entries.values()) {
      if (!ROWLESS_REGEXP.test(name)) specs[name] = { dtype: dtype as SafetensorsDType, shape };
      else if (index === 1) shared[name] = await file.read(name);
    }
    const own = JSON.parse(metadata["names"] ?? "[]") as string[];
    for (const name of own) names.push(name);
    skipped.push(...JSON.parse(metadata["skipped"] ?? "[]") as SkippedImage[]);
    images += Number(metadata["images"]);
    parts.push({ path: part, rows: own.length, specs });
  }
  const { shard: _, images_of_all_shards: __, names: ___, skipped: ____, ...strings } = first ?? {};
  const metadata = {
    ...strings,
    images: String(images),
    ...(skipped.length === 0 ? {} : { skipped: JSON.stringify(skipped) }),
  };
  if (layout === "shards") {
    const index = `${path}.index.json`;
    const shards = parts.map(({ path: part, rows }) => ({ file: splitPath(part).base, rows }));
    await writeFileAtomic(index, JSON.stringify({ metadata, shards }, null, 2) + "\n");
    return index;
  }
  await mergeParts(path, parts, {
    metadata: { ...metadata, names: JSON.stringify(names) },
    shared,
  });
  return path;
}
