/**
 * Writing the features of many images so that nothing is lost: rows gather into part files, each
 * written atomically, and an extraction that was stopped at any moment goes on after the last of
 * them. At the end the parts become one file, or shards behind an index.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { type Extras, leaveShards, mergeParts } from "./_assemble.ts";
import { indexPath } from "./_feature_index.ts";
import {
  checkRows,
  type FeatureRows,
  keptOf,
  type SkippedImage,
  type Specs,
  specsOfArrays,
} from "./_feature_rows.ts";
import { kindOf } from "./_io_error.ts";
import { findParts, lockFolder, type Part, writePart } from "./_part_files.ts";
import { isFinished, planRun, type Run } from "./_run.ts";
import type { SafetensorsArray, SafetensorsDType } from "./_safetensors_types.ts";
import type { ShardOf } from "./_shard.ts";

export type { FeatureRows, ShardOf, SkippedImage };

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
  #options: FeatureWriterOptions;
  #run: Run;
  /** Held while it writes; undefined once nothing is written any more. */
  #lock: Deno.FsFile | undefined;
  #parts: Part[];
  #position: number;
  #finished: boolean;
  /** Rows that are not in a part file yet. */
  #held: FeatureRows[] = [];
  #heldBytes = 0;
  #heldStart: number;

  private constructor(
    options: FeatureWriterOptions,
    run: Run,
    state: { readonly lock?: Deno.FsFile; readonly parts: Part[]; readonly position: number },
  ) {
    this.path = run.target;
    this.start = run.start;
    this.end = run.end;
    this.#options = options;
    this.#run = run;
    this.#lock = state.lock;
    this.#parts = state.parts;
    this.#finished = state.lock === undefined;
    this.#position = state.position;
    this.#heldStart = state.position;
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
    const { resume = false } = options;
    const run = planRun(path, options);
    if (await kindOf(run.target) === "folder") {
      throw new UserError(`Cannot write "${run.target}": it is a folder, and a file was expected`);
    }
    if (resume && await isFinished(run)) {
      return new FeatureWriter(options, run, { parts: [], position: run.end });
    }
    const lock = await lockFolder(run);
    try {
      const parts = await findParts(run, { resume });
      const position = parts.at(-1)?.end ?? run.start;
      return new FeatureWriter(options, run, { lock, parts, position });
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
    const { path, end } = this;
    if (this.#finished) throw new TypeError(`Cannot append to "${path}": it is finished`);
    checkRows(rows, { path, end, position: this.#position, specs: this.#specs() });
    this.#held.push(rows);
    this.#position += rows.images;
    for (const { data } of Object.values(rows.arrays)) this.#heldBytes += data.byteLength;
    const { partBytes = 64 * 1024 * 1024, partImages = 4096 } = this.#options;
    if (this.#heldBytes >= partBytes || this.#position - this.#heldStart >= partImages) {
      await this.flush();
    }
  }

  /** The arrays' types and row shapes, once a row is known. */
  #specs(): Specs | undefined {
    const part = this.#parts.find((candidate) => candidate.rows > 0);
    if (part !== undefined) return part.specs;
    const rows = this.#held.find((candidate) => keptOf(candidate) > 0);
    return rows === undefined ? undefined : specsOfArrays(rows.arrays, this.#options.dtypes);
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
    const names = this.#options.names.slice(start, end);
    const { dtypes } = this.#options;
    this.#parts.push(await writePart(this.#run, this.#held, { start, end, names, dtypes }));
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
    const index = indexPath(this.path);
    if (this.#finished) return await kindOf(this.path) === "file" ? this.path : index;
    if (this.#position !== this.end) {
      throw new TypeError(
        `Cannot finish "${this.path}": the images from ${this.#position} to ` +
          `${this.end - 1} are missing`,
      );
    }
    await this.flush();
    this.#requireRow();
    const extras: Extras = { metadata: this.#metadata(), shared: this.#options.shared ?? {} };
    const asShards = this.#options.layout === "shards";
    if (asShards) await leaveShards(this.path, this.#parts, extras);
    else await mergeParts(this.path, this.#parts, extras);
    this.#finished = true;
    this.#lock?.close();
    this.#lock = undefined;
    // From here on the parts are copies; one that cannot be removed does no harm.
    await Deno.remove(this.#run.folder, { recursive: true }).catch(() => {});
    return asShards ? index : this.path;
  }

  #requireRow(): void {
    if (this.#parts.some(({ rows }) => rows > 0)) return;
    const { name, reason } = this.#parts[0]!.skipped[0]!;
    throw new UserError(
      `Cannot write "${this.path}": none of the ${this.end - this.start} images can be read; ` +
        `the first is "${name}": ${reason}`,
    );
  }

  #metadata(): Record<string, string> {
    const { shard, names } = this.#options;
    const skipped = this.#parts.flatMap((part) => part.skipped);
    return {
      ...this.#options.metadata,
      ...this.#run.identity.config,
      run_hash: this.#run.hash,
      images: String(this.end - this.start),
      ...(skipped.length === 0 ? {} : { skipped: JSON.stringify(skipped) }),
      ...(shard === undefined
        ? {}
        : { shard: `${shard.index}/${shard.of}`, images_of_all_shards: String(names.length) }),
      names: JSON.stringify(this.#parts.flatMap((part) => part.names)),
    };
  }

  /**
   * Lets go of the run; what is in part files stays for a resume. A run that has nothing to go on
   * from, or whose images are all seen to be unreadable, leaves no trace.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lock === undefined) return;
    this.#lock.close();
    this.#lock = undefined;
    this.#held = [];
    const over = this.#position === this.end && this.#parts.every(({ rows }) => rows === 0);
    if (over || this.#parts.length === 0) {
      await Deno.remove(this.#run.folder, { recursive: true }).catch(() => {});
    }
  }
}
