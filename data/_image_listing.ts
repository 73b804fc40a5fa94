/** Which images there are in a folder, a list, a file or CIFAR, and what their labels are called. */

import { openCifar } from "./_cifar.ts";
import { readImageList } from "./_image_list.ts";
import { ioError, kindOf, refuseFile, splitPath } from "./_io_error.ts";
import type { ImageItem } from "./_load_item.ts";
import { compareNames } from "./_name_order.ts";

/** What each reader makes of its input, before labels become numbers. */
export interface Listing {
  readonly names: string[];
  /** A class name or index for each image; undefined where there is none. */
  readonly labels: (string | number | undefined)[];
  /** Class names in an order that is given from outside. */
  readonly classNames?: readonly string[];
  /** Class names that must count even if they have no image. */
  readonly emptyClasses?: readonly string[];
  readonly skippedFiles: number;
  item(index: number): Promise<ImageItem>;
}

const IMAGE_EXTENSION_REGEXP =
  /\.(jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?|avif|heic|heif|jxl|jp2|ppm|pgm)$/i;

/** What a walk through a folder finds. */
interface Found {
  /** Paths below the root, in order. */
  readonly names: string[];
  /** The folders directly below the root. */
  readonly classes: string[];
  skippedFiles: number;
}

/** A folder's entries by name; none for a link to a folder above, which would go round for ever. */
async function entriesOf(
  folder: string,
  ancestors: readonly string[],
): Promise<{ readonly real: string; readonly entries: readonly Deno.DirEntry[] }> {
  try {
    const real = await Deno.realPath(folder);
    if (ancestors.includes(real)) return { real, entries: [] };
    const entries = await Array.fromAsync(Deno.readDir(folder));
    return { real, entries: entries.sort((a, b) => compareNames(a.name, b.name)) };
  } catch (error) {
    throw ioError("read", folder, error);
  }
}

/** Adds what is in and below the folder `below` of `root`. */
async function walk(
  root: string,
  below: { readonly path: string; readonly ancestors: readonly string[] },
  found: Found,
): Promise<void> {
  const isRoot = below.path === "";
  const { real, entries } = await entriesOf(
    isRoot ? root : `${root}/${below.path}`,
    below.ancestors,
  );
  for (const entry of entries) {
    const path = isRoot ? entry.name : `${below.path}/${entry.name}`;
    if (entry.name.startsWith(".") || entry.name === "__MACOSX") {
      found.skippedFiles++;
      continue;
    }
    const isFolder = entry.isDirectory ||
      (entry.isSymlink && await kindOf(`${root}/${path}`) === "folder");
    if (isFolder) {
      if (isRoot) found.classes.push(entry.name);
      await walk(root, { path, ancestors: [...below.ancestors, real] }, found);
    } else if (IMAGE_EXTENSION_REGEXP.test(entry.name)) {
      found.names.push(path);
    } else {
      found.skippedFiles++;
    }
  }
}

async function listFolder(root: string): Promise<Listing> {
  const found: Found = { names: [], classes: [], skippedFiles: 0 };
  await walk(root, { path: "", ancestors: [] }, found);
  const { names, classes, skippedFiles } = found;
  if (names.length === 0) {
    const others = skippedFiles === 0 ? "" : `, only ${skippedFiles} other files or hidden ones`;
    refuseFile(
      root,
      `there is no image in the folder${others}; JPEG, PNG and WebP files were expected`,
    );
  }
  return {
    names,
    labels: names.map((name) => name.includes("/") ? name.slice(0, name.indexOf("/")) : undefined),
    emptyClasses: classes,
    skippedFiles,
    item: (index) => Promise.resolve({ name: names[index]!, path: `${root}/${names[index]!}` }),
  };
}

/** Lists whatever a path leads to. */
export async function listImages(path: string): Promise<Listing> {
  const cifar = await openCifar(path);
  if (cifar !== undefined) return { ...cifar, skippedFiles: 0 };
  const kind = await kindOf(path);
  if (kind === undefined) refuseFile(path, "there is no such file or folder");
  if (kind === "folder") return await listFolder(path.length > 1 ? path.replace(/\/+$/, "") : path);
  if (IMAGE_EXTENSION_REGEXP.test(path)) {
    const { base } = splitPath(path);
    return {
      names: [base],
      labels: [undefined],
      skippedFiles: 0,
      item: () => Promise.resolve({ name: base, path }),
    };
  }
  const entries = await readImageList(path);
  return {
    names: entries.map((entry) => entry.name),
    labels: entries.map((entry) => entry.label),
    skippedFiles: 0,
    item: (index) => Promise.resolve({ name: entries[index]!.name, path: entries[index]!.path }),
  };
}
