import { join, resolve, sep } from "node:path";
import { ensureDir } from "./ensure_dir.ts";
import { toPath } from "./_path.ts";

/** How to copy. */
export interface CopyOptions {
  /** Whether what is at the destination is replaced; default false. */
  overwrite?: boolean;
  /** Whether the copies keep the times of last access and change; default false. */
  preserveTimestamps?: boolean;
}

/** Copies a file, or a directory with all below it. */
export async function copy(
  src: string | URL,
  dest: string | URL,
  options: CopyOptions = {},
): Promise<void> {
  const from = resolve(toPath(src));
  const to = resolve(toPath(dest));
  if (from === to) throw new Error("Source and destination cannot be the same");
  if (to.startsWith(from + sep) && (await Deno.lstat(from)).isDirectory) {
    throw new Error(`Cannot copy '${from}' to a subdirectory of itself: '${to}'`);
  }
  await copyAny(from, to, options);
}

async function copyAny(from: string, to: string, options: CopyOptions): Promise<void> {
  const info = await Deno.lstat(from);
  const there = await statOf(to);
  if (there !== undefined) refuse(from, to, { info, there, overwrite: options.overwrite });
  if (info.isSymlink) {
    await Deno.symlink(await Deno.readLink(from), to);
  } else if (info.isDirectory) {
    await ensureDir(to);
    for await (const { name } of Deno.readDir(from)) {
      await copyAny(join(from, name), join(to, name), options);
    }
  } else {
    await Deno.copyFile(from, to);
  }
  if (options.preserveTimestamps && !info.isSymlink) await Deno.utime(to, info.atime!, info.mtime!);
}

async function statOf(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function refuse(
  from: string,
  to: string,
  found: { info: Deno.FileInfo; there: Deno.FileInfo; overwrite: boolean | undefined },
): void {
  if (found.info.isDirectory && !found.there.isDirectory) {
    throw new Error(`Cannot overwrite non-directory '${to}' with directory '${from}'`);
  }
  if (!found.overwrite) throw new Deno.errors.AlreadyExists(`'${to}' already exists.`);
}
