import { basename, join, normalize } from "node:path";
import { toPath } from "./_path.ts";

/** What to give on the way. */
export interface WalkOptions {
  /** How deep to go; default without bound. */
  maxDepth?: number;
  /** Whether files are given; default true. */
  includeFiles?: boolean;
  /** Whether directories are given; default true. */
  includeDirs?: boolean;
  /** Whether symbolic links are given, where they are not followed; default true. */
  includeSymlinks?: boolean;
  /** Whether symbolic links are followed; default false. */
  followSymlinks?: boolean;
  /** Whether a followed link is given under the path that it leads to; default true. */
  canonicalize?: boolean;
  /** Endings of the paths to give, with or without the dot. */
  exts?: string[];
  /** Patterns of which a path must match one. */
  match?: RegExp[];
  /** Patterns of paths to leave out, directories with all below them. */
  skip?: RegExp[];
}

/** Something found on the way. */
export interface WalkEntry extends Deno.DirEntry {
  /** Its path, which begins with the root that was given. */
  path: string;
}

/** Gives a directory and all below it. */
export async function* walk(
  root: string | URL,
  options: WalkOptions = {},
): AsyncIterableIterator<WalkEntry> {
  const { maxDepth = Infinity, followSymlinks = false, canonicalize = true } = options;
  const path = toPath(root);
  if (maxDepth < 0) return;
  if (givesDirectory(path, options)) yield rootEntry(path, await Deno.stat(path));
  if (maxDepth < 1 || isSkipped(path, options)) return;
  for await (const entry of Deno.readDir(path)) {
    const child = { ...entry, path: join(path, entry.name) };
    if (!entry.isSymlink || !followSymlinks) {
      if (entry.isDirectory) yield* walk(child.path, below(options));
      else if (gives(child, options)) yield child;
      continue;
    }
    const target = await Deno.realPath(child.path);
    if (canonicalize) child.path = target;
    if ((await Deno.lstat(target)).isDirectory) yield* walk(child.path, below(options));
    else if (givesFile(child.path, options)) yield child;
  }
}

/** Gives a directory and all below it. */
export function* walkSync(
  root: string | URL,
  options: WalkOptions = {},
): IterableIterator<WalkEntry> {
  const { maxDepth = Infinity, followSymlinks = false, canonicalize = true } = options;
  const path = toPath(root);
  if (maxDepth < 0) return;
  if (givesDirectory(path, options)) yield rootEntry(path, Deno.statSync(path));
  if (maxDepth < 1 || isSkipped(path, options)) return;
  for (const entry of Deno.readDirSync(path)) {
    const child = { ...entry, path: join(path, entry.name) };
    if (!entry.isSymlink || !followSymlinks) {
      if (entry.isDirectory) yield* walkSync(child.path, below(options));
      else if (gives(child, options)) yield child;
      continue;
    }
    const target = Deno.realPathSync(child.path);
    if (canonicalize) child.path = target;
    if (Deno.lstatSync(target).isDirectory) yield* walkSync(child.path, below(options));
    else if (givesFile(child.path, options)) yield child;
  }
}

function rootEntry(path: string, info: Deno.FileInfo): WalkEntry {
  const { isFile, isDirectory, isSymlink } = info;
  const clean = normalize(path);
  return { path: clean, name: basename(clean), isFile, isDirectory, isSymlink };
}

/** The options one level down: as in the real package, `canonicalize` holds for one level only. */
function below({ canonicalize: _, maxDepth = Infinity, ...options }: WalkOptions): WalkOptions {
  return { ...options, maxDepth: maxDepth - 1 };
}

function gives(entry: WalkEntry, options: WalkOptions): boolean {
  if (!entry.isSymlink) return givesFile(entry.path, options);
  return (options.includeSymlinks ?? true) && isIncluded(entry.path, options);
}

function givesFile(path: string, options: WalkOptions): boolean {
  return (options.includeFiles ?? true) && isIncluded(path, options);
}

function givesDirectory(path: string, options: WalkOptions): boolean {
  return (options.includeDirs ?? true) && isIncluded(path, options);
}

function isIncluded(path: string, options: WalkOptions): boolean {
  const { exts, match } = options;
  if (exts && !exts.some((ext) => path.endsWith(ext.startsWith(".") ? ext : `.${ext}`))) {
    return false;
  }
  if (match && !match.some((pattern) => path.search(pattern) >= 0)) return false;
  return !isSkipped(path, options);
}

function isSkipped(path: string, options: WalkOptions): boolean {
  return options.skip?.some((pattern) => path.search(pattern) >= 0) ?? false;
}
