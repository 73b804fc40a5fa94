/**
 * Files that are either whole or not there: bytes go to a temporary file in the same folder, are
 * flushed to the disk, and take the target's name in one step.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { ioError, ioReason, splitPath } from "./_io_error.ts";

/**
 * A file that is being written: nothing is seen under its name until `commit()`. Use it with
 * `await using`, so that what was not committed is removed.
 *
 * @example A file in two steps
 * ```ts
 * import { AtomicFile } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * {
 *   await using file = await AtomicFile.open(`${folder}/a.txt`);
 *   await file.write(new TextEncoder().encode("one "));
 *   await file.write(new TextEncoder().encode("two"));
 *   await file.commit();
 * }
 * assertEquals(await Deno.readTextFile(`${folder}/a.txt`), "one two");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class AtomicFile implements AsyncDisposable {
  /** The name that the file will have. */
  readonly path: string;
  #temporary: string;
  #file: Deno.FsFile | undefined;
  #end = 0;
  #last: Promise<void> = Promise.resolve();

  private constructor(path: string, temporary: string, file: Deno.FsFile) {
    this.path = path;
    this.#temporary = temporary;
    this.#file = file;
  }

  /**
   * Opens the temporary file beside the target.
   *
   * @param path The target; an existing file is replaced when the new one is whole.
   * @returns The file, empty.
   * @throws {UserError} If the folder is missing or not writable, or the target is a folder.
   *
   * @example A missing folder is named
   * ```ts
   * import { AtomicFile } from "@oodgpu/oodgpu/data";
   * import { assertRejects } from "@std/assert";
   *
   * await assertRejects(() => AtomicFile.open("no-such-folder/a.txt"), Error, "no-such-folder");
   * ```
   */
  static async open(path: string): Promise<AtomicFile> {
    const { folder, base } = splitPath(path);
    if (base === "" || await isFolder(path)) {
      throw new UserError(`Cannot write "${path}": it is a folder, and a file was expected`);
    }
    const temporary = `${folder === "/" ? "" : folder}/.${
      base.slice(0, 100)
    }.${crypto.randomUUID()}.tmp`;
    try {
      const file = await Deno.open(temporary, { write: true, createNew: true });
      return new AtomicFile(path, temporary, file);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) {
        throw new UserError(`Cannot write "${path}": there is no folder "${folder}"`);
      }
      if (ioReason(error) === "permission is denied") {
        throw new UserError(`Cannot write "${path}": the folder "${folder}" is not writable`);
      }
      throw ioError("write", path, error);
    }
  }

  /**
   * Adds bytes at the end, or puts them at an offset. Calls may overlap in time: they are carried
   * out in the order of the calls.
   *
   * @param bytes What to write; do not change it before the promise is fulfilled.
   * @param options `offset`: the byte to begin at; the end of what was written when left out.
   * @throws {UserError} If the disk is full or the file cannot be written.
   *
   * @example A header after its body
   * ```ts
   * import { AtomicFile } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using file = await AtomicFile.open(`${folder}/a.bin`);
   *   await file.write(new Uint8Array([7, 8]), { offset: 1 });
   *   await file.write(new Uint8Array([6]), { offset: 0 });
   *   await file.commit();
   * }
   * assertEquals([...await Deno.readFile(`${folder}/a.bin`)], [6, 7, 8]);
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  write(bytes: Uint8Array, options: { readonly offset?: number } = {}): Promise<void> {
    const offset = options.offset ?? this.#end;
    this.#end = Math.max(this.#end, offset + bytes.length);
    const result = this.#last.then(() => this.#writeAt(bytes, offset));
    // A failure is reported to its own caller; later calls fail for their own reasons.
    this.#last = result.catch(() => {});
    return result;
  }

  async #writeAt(bytes: Uint8Array, offset: number): Promise<void> {
    const file = this.#open();
    try {
      await file.seek(offset, Deno.SeekMode.Start);
      let done = 0;
      while (done < bytes.length) done += await file.write(bytes.subarray(done));
    } catch (error) {
      throw ioError("write", this.path, error);
    }
  }

  #open(): Deno.FsFile {
    if (this.#file === undefined) {
      throw new TypeError(`Cannot write "${this.path}": it is committed or given up`);
    }
    return this.#file;
  }

  /**
   * Flushes the bytes to the disk and gives the file its name.
   *
   * @throws {UserError} If the disk is full or the name cannot be given.
   *
   * @example Seen only when committed
   * ```ts
   * import { AtomicFile } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * await using file = await AtomicFile.open(`${folder}/a.bin`);
   * await file.commit();
   * assertEquals((await Deno.stat(`${folder}/a.bin`)).size, 0);
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async commit(): Promise<void> {
    await this.#last;
    const file = this.#open();
    try {
      await file.sync();
      file.close();
      this.#file = undefined;
      await Deno.rename(this.#temporary, this.path);
    } catch (error) {
      await this.abort();
      await Deno.remove(this.#temporary).catch(() => {});
      throw ioError("write", this.path, error);
    }
  }

  /**
   * Gives the file up and removes what was written; does nothing after `commit()`.
   *
   * @example Nothing stays
   * ```ts
   * import { AtomicFile } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * const file = await AtomicFile.open(`${folder}/a.bin`);
   * await file.abort();
   * assertEquals([...Deno.readDirSync(folder)], []);
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async abort(): Promise<void> {
    await this.#last;
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    file.close();
    await Deno.remove(this.#temporary).catch(() => {});
  }

  /** Gives up what was not committed. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }
}

/** Whether there is a folder of this name; without the permission to look, writing will tell. */
async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false;
  }
}

/**
 * Writes a whole file atomically.
 *
 * @param path The file; an existing one is replaced.
 * @param data Text (as UTF-8), bytes, or a stream of bytes.
 * @throws {UserError} If the folder is missing or not writable, the disk is full, or the target is
 * a folder. A failing stream's own error passes through; no trace of the file stays either way.
 *
 * @example Text
 * ```ts
 * import { writeFileAtomic } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * await writeFileAtomic(`${folder}/report.txt`, "done");
 * assertEquals(await Deno.readTextFile(`${folder}/report.txt`), "done");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  await using file = await AtomicFile.open(path);
  if (typeof data === "string") await file.write(new TextEncoder().encode(data));
  else if (data instanceof Uint8Array) await file.write(data);
  else for await (const chunk of data) await file.write(chunk);
  await file.commit();
}
