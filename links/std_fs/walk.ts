import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What to walk. */
export interface WalkOptions {
  /** How deep to go; default without bound. */
  maxDepth?: number;
  /** Whether files are given; default true. */
  includeFiles?: boolean;
  /** Whether directories are given; default true. */
  includeDirs?: boolean;
  /** Whether symbolic links are given; default true. */
  includeSymlinks?: boolean;
  /** Whether symbolic links are followed; default false. */
  followSymlinks?: boolean;
  /** Endings of the files to give. */
  exts?: string[];
  /** Paths to give. */
  match?: RegExp[];
  /** Paths to leave out, with all below them. */
  skip?: RegExp[];
}

/** Something found on the way. */
export interface WalkEntry {
  /** Its path, from the root given. */
  path: string;
  /** Its name. */
  name: string;
  /** Whether it is a file. */
  isFile: boolean;
  /** Whether it is a directory. */
  isDirectory: boolean;
  /** Whether it is a symbolic link. */
  isSymlink: boolean;
}

function included(path: string, options: WalkOptions): boolean {
  const { exts, match, skip } = options;
  if (exts !== undefined && !exts.some((ext) => path.endsWith(ext))) return false;
  if (match !== undefined && !match.some((pattern) => pattern.test(path))) return false;
  return !skip?.some((pattern) => pattern.test(path));
}

/** Gives a directory and all below it. */
export async function* walk(
  root: string | URL,
  options: WalkOptions = {},
): AsyncIterableIterator<WalkEntry> {
  const { maxDepth = Infinity, includeFiles = true, includeDirs = true } = options;
  const { includeSymlinks = true, followSymlinks = false } = options;
  if (maxDepth < 0) return;
  const path = typeof root === "string" ? root : fileURLToPath(root);
  if (includeDirs && included(path, options)) {
    yield { path, name: basename(path), isFile: false, isDirectory: true, isSymlink: false };
  }
  if (maxDepth < 1 || !included(path, { skip: options.skip ?? [] })) return;
  for (const item of await readdir(path, { withFileTypes: true })) {
    const child = join(path, item.name);
    const link = item.isSymbolicLink();
    if (link && !followSymlinks) {
      const entry = { name: item.name, isFile: false, isDirectory: false, isSymlink: true };
      if (includeSymlinks && included(child, options)) yield { path: child, ...entry };
      continue;
    }
    const kind = link ? await stat(child) : item;
    if (kind.isDirectory()) {
      yield* walk(child, { ...options, maxDepth: maxDepth - 1 });
    } else if (includeFiles && included(child, options)) {
      const entry = { isFile: kind.isFile(), isDirectory: false, isSymlink: link };
      yield { path: child, name: item.name, ...entry };
    }
  }
}
