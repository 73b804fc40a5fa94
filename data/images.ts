/**
 * Sets of images with their labels: folders, lists and the CIFAR binary format.
 *
 * @module
 */

import type { RgbImage } from "../kernels/preprocess/spec.ts";
import { UserError } from "../runtime/errors.ts";
import { labelsFromFile, numberLabels, unknownClasses } from "./_class_labels.ts";
import { listImages } from "./_image_listing.ts";
import { type ImageItem, loadItem } from "./_load_item.ts";
import { compareNames } from "./_name_order.ts";

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
  let listing = await listImages(path);
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
    const aligned = alignLabels(set, options.classNames);
    return { ...set, labels: aligned.labels, classNames: options.classNames };
  }
  return set;
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

/**
 * Some images of a set, in the order that is given, with their names, labels and classes.
 *
 * @param set The set.
 * @param indices Places in it.
 * @returns A set of these images; the classes keep their numbers.
 * @throws {RangeError} If there is no image at a place.
 *
 * @example The last one first
 * ```ts
 * import { openImages, subsetImages } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * for (const name of ["1.jpg", "2.jpg", "3.jpg"]) {
 *   await Deno.writeFile(`${folder}/${name}`, new Uint8Array(1));
 * }
 * const some = subsetImages(await openImages(folder), [2, 0]);
 * assertEquals(some.names, ["3.jpg", "1.jpg"]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function subsetImages(set: ImageSet, indices: readonly number[]): ImageSet {
  const wrong = indices.find((index) =>
    !(Number.isInteger(index) && set.names[index] !== undefined)
  );
  if (wrong !== undefined) {
    throw new RangeError(`Cannot take image ${wrong} of "${set.path}": it has ${set.count} images`);
  }
  return {
    ...set,
    count: indices.length,
    names: indices.map((index) => set.names[index]!),
    labels: Int32Array.from(indices, (index) => set.labels[index]!),
    item: (index) => set.item(indices[index]!),
    read: (index) => set.read(indices[index]!),
  };
}
