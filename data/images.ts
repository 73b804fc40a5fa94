/**
 * Sets of images with their labels: folders, lists and the CIFAR binary format.
 *
 * @module
 */

import type { RgbImage } from "../kernels/preprocess/spec.ts";
import { UserError } from "../runtime/errors.ts";
import { openCifar } from "./_cifar.ts";
import { ioError, kindOf, splitPath } from "./_io_error.ts";
import { readLabelFile } from "./_label_file.ts";
import { readImageList } from "./_image_list.ts";
import { type ImageItem, loadItem } from "./_load_item.ts";

/** Images with their names and labels. Nothing is decoded until it is asked for. */
export interface ImageSet {
  /** Where it came from. */
  readonly path: string;
  /** How many images there are. */
  readonly count: number;
  /** A name for each image: its path within the folder, or as the list has it. */
  readonly names: readonly string[];
  /** A class index for each image, -1 where it is unknown. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** The classes' names by index; none where labels came as numbers or not at all. */
  readonly classNames: readonly string[];
  /** How many files of a folder were passed over: hidden, or not named like an image. */
  readonly skippedFiles: number;
  /**
   * An image as a decode pool takes it: a file to read, or pixels.
   *
   * @param index Its place.
   * @returns The item.
   * @throws {UserError} If its file cannot be read (CIFAR only; other files are read when decoded).
   */
  item(index: number): Promise<ImageItem>;
  /**
   * Reads and decodes an image on the calling thread.
   *
   * @param index Its place.
   * @returns The pixels.
   * @throws {ImageError} If the file is missing, cut off, damaged or no image.
   */
  read(index: number): Promise<RgbImage>;
}

/** How labels are found and classes are numbered. */
export interface OpenImagesOptions {
  /**
   * `"folder"`: the first folder below the root names the class, and lists and CIFAR files have their
   * own labels; `"none"`: no labels; else a file of labels (CSV, TSV or JSON). By default `"folder"`.
   */
  readonly labels?: string;
  /** The classes in the order of their indices; without it, the names that occur, sorted. */
  readonly classNames?: readonly string[];
}

/** What each reader makes of its input, before labels become numbers. */
interface Listing {
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

/** Orders by Unicode code points, which is the order of UTF-8 bytes and of Python's `sorted`. */
function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for code points above all others.
    const xHigh = x >= 0xd800 && x <= 0xdfff;
    const yHigh = y >= 0xd800 && y <= 0xdfff;
    return xHigh === yHigh ? x - y : xHigh ? 1 : -1;
  }
  return a.length - b.length;
}

async function listFolder(root: string): Promise<Listing> {
  const names: string[] = [];
  const labels: (string | undefined)[] = [];
  const classes: string[] = [];
  let skippedFiles = 0;
  const walk = async (below: string, ancestors: readonly string[]): Promise<void> => {
    const folder = below === "" ? root : `${root}/${below}`;
    let entries: Deno.DirEntry[];
    try {
      const real = await Deno.realPath(folder);
      // A link to a folder above would go round for ever.
      if (ancestors.includes(real)) return;
      ancestors = [...ancestors, real];
      entries = await Array.fromAsync(Deno.readDir(folder));
    } catch (error) {
      throw ioError("read", folder, error);
    }
    entries.sort((a, b) => compareNames(a.name, b.name));
    for (const entry of entries) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.name.startsWith(".") || entry.name === "__MACOSX") {
        skippedFiles++;
        continue;
      }
      const isFolder = entry.isDirectory ||
        (entry.isSymlink && await kindOf(`${root}/${path}`) === "folder");
      if (isFolder) {
        if (below === "") classes.push(entry.name);
        await walk(path, ancestors);
      } else if (IMAGE_EXTENSION_REGEXP.test(entry.name)) {
        names.push(path);
        labels.push(path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined);
      } else {
        skippedFiles++;
      }
    }
  };
  await walk("", []);
  if (names.length === 0) {
    const others = skippedFiles === 0 ? "" : `, only ${skippedFiles} other files or hidden ones`;
    throw new UserError(
      `Cannot read "${root}": there is no image in the folder${others}; JPEG, PNG and WebP files ` +
        "were expected",
    );
  }
  return {
    names,
    labels,
    emptyClasses: classes,
    skippedFiles,
    item: (index) => Promise.resolve({ name: names[index]!, path: `${root}/${names[index]!}` }),
  };
}

async function list(path: string): Promise<Listing> {
  const cifar = await openCifar(path);
  if (cifar !== undefined) return { ...cifar, skippedFiles: 0 };
  const kind = await kindOf(path);
  if (kind === undefined) {
    throw new UserError(`Cannot read "${path}": there is no such file or folder`);
  }
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

/** Labels of a label file by image: by path within the set, else by file name where that is unique. */
async function labelsFromFile(
  path: string,
  names: readonly string[],
): Promise<(string | number | undefined)[]> {
  const byName = await readLabelFile(path);
  const labels: (string | number | undefined)[] = [];
  let found = 0;
  for (const name of names) {
    const label = byName.get(name) ?? byName.get(name.slice(name.lastIndexOf("/") + 1));
    if (label !== undefined) found++;
    labels.push(label);
  }
  if (found === 0) {
    throw new UserError(
      `Cannot use the labels of "${path}": none of its ${byName.size} names is an image of the set, ` +
        `whose first is "${names[0]}"`,
    );
  }
  return labels;
}

/** Class names to indices. */
function numberLabels(
  path: string,
  listing: Listing,
  order: readonly string[] | undefined,
): { labels: Int32Array<ArrayBuffer>; classNames: readonly string[] } {
  const labels = new Int32Array(listing.labels.length).fill(-1);
  const given = listing.labels.filter((label) => label !== undefined);
  if (given.every((label) => typeof label === "number")) {
    const classNames = listing.classNames ?? order ?? [];
    for (const [i, label] of listing.labels.entries()) {
      if (typeof label === "number") labels[i] = label;
    }
    const count = given.length === 0 ? 0 : 1 + labels.reduce((a, b) => Math.max(a, b), -1);
    if (classNames.length > 0 && count > classNames.length) {
      throw new UserError(
        `Cannot use the labels of "${path}": there is a label ${count - 1} and ` +
          `${classNames.length} classes`,
      );
    }
    return { labels, classNames };
  }
  const occurring = new Set(given.map(String));
  const all = new Set([...listing.emptyClasses ?? [], ...occurring]);
  const classNames = listing.classNames ?? order ?? [...all].sort(compareNames);
  const index = new Map(classNames.map((name, i) => [name, i]));
  const unknown = [...occurring].filter((name) => !index.has(name)).sort(compareNames);
  if (unknown.length > 0) throw unknownClasses(path, unknown, classNames);
  for (const [i, label] of listing.labels.entries()) {
    if (label !== undefined) labels[i] = index.get(String(label))!;
  }
  return { labels, classNames };
}

function unknownClasses(
  path: string,
  unknown: readonly string[],
  known: readonly string[],
): UserError {
  const some = (names: readonly string[]) =>
    names.slice(0, 5).map((name) => `"${name}"`).join(", ") + (names.length > 5 ? ", …" : "");
  return new UserError(
    `Cannot use the labels of "${path}": ${some(unknown)} ${unknown.length === 1 ? "is" : "are"} ` +
      `not among the ${known.length} classes of the model (${some(known)})`,
  );
}

/**
 * Opens a set of images: a folder (searched through, sorted by name; its sub-folders are the
 * classes), a list (one path a line, with a label after a tab, a comma or a space if wanted; or JSON
 * lines with `path` and `label`), one image, or CIFAR-10 or CIFAR-100 in the binary format (a file,
 * a folder, or a pattern such as `data_batch_*.bin`).
 *
 * Files of a folder that are hidden or not named like an image are passed over and counted; those
 * that are named like one and are none give an `ImageError` when they are read.
 *
 * @param path The folder, the list or the file.
 * @param options Where the labels come from, and the order of the classes.
 * @returns The set.
 * @throws {UserError} If there is nothing, no image in it, a list or label file that makes no sense,
 * or a class that `classNames` lacks.
 *
 * @example A folder of classes
 * ```ts
 * import { openImages } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * await Deno.mkdir(`${folder}/cat`);
 * await Deno.mkdir(`${folder}/dog`);
 * await Deno.writeFile(`${folder}/cat/1.jpg`, new Uint8Array(1));
 * await Deno.writeFile(`${folder}/dog/1.jpg`, new Uint8Array(1));
 * const set = await openImages(folder);
 * assertEquals(set.classNames, ["cat", "dog"]);
 * assertEquals([...set.labels], [0, 1]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function openImages(
  path: string,
  options: OpenImagesOptions = {},
): Promise<ImageSet> {
  const how = options.labels ?? "folder";
  let listing = await list(path);
  if (how === "none") {
    const labels = listing.labels.map(() => undefined);
    listing = { ...listing, labels, classNames: [], emptyClasses: [] };
  } else if (how !== "folder") {
    const labels = await labelsFromFile(how, listing.names);
    const { names, skippedFiles, item } = listing;
    listing = { names, labels, skippedFiles, item };
  }
  const { labels, classNames } = numberLabels(path, listing, options.classNames);
  const set: ImageSet = {
    path,
    count: listing.names.length,
    names: listing.names,
    labels,
    classNames,
    skippedFiles: listing.skippedFiles,
    item: listing.item,
    read: async (index) => (await loadItem(await listing.item(index))).image!,
  };
  // CIFAR knows its own order; a model's order is another matter.
  if (options.classNames !== undefined && classNames !== options.classNames) {
    return {
      ...set,
      ...pick(alignLabels(set, options.classNames)),
      classNames: options.classNames,
    };
  }
  return set;
}

function pick({ labels }: AlignedLabels): { labels: Int32Array<ArrayBuffer> } {
  return { labels };
}

/** Labels in a model's order. */
export interface AlignedLabels {
  /** The index of each image's class among the model's; -1 where unknown. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** Class names that the model lacks. */
  readonly unknownClasses: readonly string[];
  /** How many images belong to those. */
  readonly unknownCount: number;
}

/**
 * Numbers a set's classes as a model does, by name, so that labels and logits speak of the same
 * class whatever the folders' order.
 *
 * @param set The set; where it has no class names, its labels are taken to be the model's already.
 * @param modelLabels The model's class names in the order of its logits.
 * @param options `unknown`: `"error"` (the default) refuses a class that the model lacks, `"ignore"`
 * gives its images the label -1 and counts them.
 * @returns The labels, and what was unknown.
 * @throws {UserError} If a class is unknown and that is an error, or a label has no class.
 *
 * @example Another order
 * ```ts
 * import { alignLabels } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = { path: "x", classNames: ["cat", "dog"], labels: new Int32Array([0, 1, 1]) };
 * assertEquals([...alignLabels(set, ["dog", "cat"]).labels], [1, 0, 0]);
 * ```
 */
export function alignLabels(
  set: Pick<ImageSet, "path" | "classNames" | "labels">,
  modelLabels: readonly string[],
  options: { readonly unknown?: "error" | "ignore" } = {},
): AlignedLabels {
  const { path, classNames } = set;
  if (classNames.length === 0) {
    const highest = set.labels.reduce((a, b) => Math.max(a, b), -1);
    if (highest >= modelLabels.length) {
      throw new UserError(
        `Cannot use the labels of "${path}": there is a label ${highest} and the model has ` +
          `${modelLabels.length} classes`,
      );
    }
    return { labels: set.labels, unknownClasses: [], unknownCount: 0 };
  }
  const index = new Map<string, number>();
  for (const [i, name] of modelLabels.entries()) if (!index.has(name)) index.set(name, i);
  const map = classNames.map((name) => index.get(name) ?? -1);
  const labels = new Int32Array(set.labels.length);
  const unknown = new Set<string>();
  let unknownCount = 0;
  for (let i = 0; i < labels.length; i++) {
    const label = set.labels[i]!;
    labels[i] = label < 0 ? -1 : map[label] ?? -1;
    if (label >= 0 && labels[i] === -1) {
      unknown.add(classNames[label] ?? String(label));
      unknownCount++;
    }
  }
  const names = [...unknown].sort(compareNames);
  if (names.length > 0 && options.unknown !== "ignore") {
    throw unknownClasses(path, names, modelLabels);
  }
  return { labels, unknownClasses: names, unknownCount };
}
