/** Turns what the operating system says into one sentence for a person. */

import { UserError } from "../runtime/errors.ts";

const REASON_BY_CODE: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of its path is not a folder",
  ENAMETOOLONG: "its name is too long",
  EMFILE: "too many files are open",
};

/** Why a file operation failed, in a few words without a period. */
export function ioReason(error: unknown): string {
  if (error instanceof Deno.errors.NotCapable) {
    return "Deno was started without the permission for it (--allow-read, --allow-write)";
  }
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === "string" && REASON_BY_CODE[code] !== undefined) return REASON_BY_CODE[code];
  return error instanceof Error ? error.message : String(error);
}

/** The `UserError` for a file operation that failed; a `UserError` passes through. */
export function ioError(verb: "read" | "write", path: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  return new UserError(`Cannot ${verb} "${path}": ${ioReason(error)}`, { cause: error });
}

/** Refuses the content of a file. */
export function refuseFile(path: string, why: string): never {
  throw new UserError(`Cannot read "${path}": ${why}`);
}

/** The content of a JSON text; `why` is what to say when it is none. */
export function parseJson(path: string, text: string, why: string = "it is no JSON text"): unknown {
  try {
    return JSON.parse(text);
  } catch {
    refuseFile(path, why);
  }
}

/** The folder part and the last part of a path, for either separator. */
export function splitPath(path: string): { folder: string; base: string } {
  const at = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  if (at < 0) return { folder: ".", base: path };
  return { folder: at === 0 ? "/" : path.slice(0, at), base: path.slice(at + 1) };
}

/** Whether a path leads to a file or a folder; undefined when there is nothing. */
export async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  try {
    return (await Deno.stat(path)).isDirectory ? "folder" : "file";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw ioError("read", path, error);
  }
}

/** Reads a whole text file. */
export async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw ioError("read", path, error);
  }
}

/** Reads exactly `into.length` bytes at `offset`; says how many there were. */
export async function readFully(
  file: Deno.FsFile,
  into: Uint8Array<ArrayBuffer>,
  offset: number,
): Promise<number> {
  await file.seek(offset, Deno.SeekMode.Start);
  let done = 0;
  while (done < into.length) {
    const count = await file.read(into.subarray(done));
    if (count === null) break;
    done += count;
  }
  return done;
}
