/**
 * Which images of the known classes synthesis starts from: the most informative ones of each class
 * (section 3.4), which are those whose files need most bytes a pixel.
 *
 * @module
 */

import { ImageError, type ImageSet, measureImage } from "../../data/mod.ts";

/** What the selection looks at. */
export interface InformativeImage {
  /** Its name, which decides between equals. */
  readonly path: string;
  /** Bytes of its file. */
  readonly bytes: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Index of its class; -1 where it is unknown. */
  readonly label: number;
}

/** A class that has fewer images than were asked for. */
export interface ShortClass {
  /** Its index. */
  readonly label: number;
  /** How many images it has. */
  readonly count: number;
}

/** Images with their sizes. */
export interface MeasuredImages {
  /** The images that could be measured. */
  readonly images: readonly InformativeImage[];
  /** The place of each in the set. */
  readonly origin: readonly number[];
  /** Images that cannot be read. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/** Headers that are read at a time. */
const READ_AT_ONCE = 32;

/**
 * The images of each class that need most bytes a pixel, as the paper selects them. Ratios are
 * compared as numbers (the authors' code compares them as texts, so that 9 goes before 10); of equal
 * ones the first path goes first. Images without a class are left out, and a class with fewer images
 * gives all of them.
 *
 * @param images The images.
 * @param perClass m, how many of each class.
 * @returns Places in `images`: class by class, the most informative first.
 * @throws {RangeError} If `perClass` is no whole number from 1, or an image has no pixels.
 *
 * @example Numbers, not texts
 * ```ts
 * import { selectInformative } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const image = (path: string, bytes: number) => ({ path, bytes, width: 1, height: 1, label: 0 });
 * assertEquals(selectInformative([image("a", 9), image("b", 10), image("c", 2)], 2), [1, 0]);
 * ```
 */
export function selectInformative(
  images: readonly InformativeImage[],
  perClass: number,
): number[] {
  requireCount(perClass);
  const ratios = images.map(({ path, bytes, width, height }) => {
    const ratio = bytes / (width * height);
    if (Number.isFinite(ratio)) return ratio;
    throw new RangeError(
      `Cannot select images: "${path}" has ${width} x ${height} pixels and ${bytes} bytes`,
    );
  });
  return [...byClass(images)].sort(([a], [b]) => a - b).flatMap(([, places]) =>
    places
      .sort((a, b) => ratios[b]! - ratios[a]! || (images[a]!.path < images[b]!.path ? -1 : 1))
      .slice(0, perClass)
  );
}

/**
 * The classes that have fewer images than are asked for, those without any included.
 *
 * @param labels Index of each image's class; -1 where it is unknown.
 * @param options `perClass`: m; `classes`: how many classes there are.
 * @returns The classes, in order.
 * @throws {RangeError} If `perClass` is no whole number from 1.
 *
 * @example One of three classes is complete
 * ```ts
 * import { shortClasses } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(shortClasses([0, 0, 2, -1], { perClass: 2, classes: 3 }), [
 *   { label: 1, count: 0 },
 *   { label: 2, count: 1 },
 * ]);
 * ```
 */
export function shortClasses(
  labels: ArrayLike<number>,
  { perClass, classes }: { readonly perClass: number; readonly classes: number },
): ShortClass[] {
  requireCount(perClass);
  const counts = new Array<number>(classes).fill(0);
  for (const label of Array.from(labels)) {
    if (label >= 0 && label < classes) counts[label]!++;
  }
  return counts.map((count, label) => ({ label, count })).filter(({ count }) => count < perClass);
}

/**
 * The sizes of a set's images. Headers are read, and images are decoded only where these say nothing.
 *
 * @param set The images.
 * @param options `strict`: whether to stop at the first image that cannot be read; a signal, and who
 * is told how many are done.
 * @returns The images that can be read, with their places in the set, and the others.
 * @throws {ImageError} With `strict`, at the first image that cannot be read.
 *
 * @example A folder
 * ```ts
 * import { measureImages } from "@oodgpu/oodgpu/methods";
 * import { encodePng, openImages } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const png = await encodePng({ width: 3, height: 2, data: new Uint8Array(18) });
 * await Deno.writeFile(`${folder}/a.png`, png);
 * await Deno.writeTextFile(`${folder}/b.png`, "no image");
 * const { images, skipped } = await measureImages(await openImages(folder));
 * assertEquals(images, [{ path: "a.png", bytes: png.length, width: 3, height: 2, label: -1 }]);
 * assertEquals(skipped, [{ name: "b.png", reason: "it is text, not an image" }]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function measureImages(
  set: ImageSet,
  options: {
    readonly strict?: boolean;
    readonly signal?: AbortSignal;
    readonly onProgress?: (done: number, total: number) => void;
  } = {},
): Promise<MeasuredImages> {
  const { strict = false, signal, onProgress } = options;
  const images: InformativeImage[] = [];
  const origin: number[] = [];
  const skipped: { name: string; reason: string }[] = [];
  for (let start = 0; start < set.count; start += READ_AT_ONCE) {
    signal?.throwIfAborted();
    const count = Math.min(READ_AT_ONCE, set.count - start);
    const measured = await Promise.all(
      Array.from({ length: count }, (_, i) => measureOrFail(set, start + i)),
    );
    for (const [i, found] of measured.entries()) {
      const path = set.names[start + i]!;
      if (!(found instanceof ImageError)) {
        images.push({ path, ...found, label: set.labels[start + i]! });
        origin.push(start + i);
      } else if (strict) {
        throw found;
      } else {
        skipped.push({ name: path, reason: found.reason });
      }
    }
    onProgress?.(start + count, set.count);
  }
  return { images, origin, skipped };
}

async function measureOrFail(
  set: ImageSet,
  index: number,
): Promise<Pick<InformativeImage, "bytes" | "width" | "height"> | ImageError> {
  try {
    return await measureImage(set, index);
  } catch (error) {
    if (error instanceof ImageError) return error;
    throw error;
  }
}

function requireCount(perClass: number): void {
  if (Number.isSafeInteger(perClass) && perClass >= 1) return;
  throw new RangeError(
    `Cannot select images: the number of each class must be a whole number from 1: it is ${perClass}`,
  );
}

/** Places of the images by class; images without one are left out. */
function byClass(images: readonly InformativeImage[]): Map<number, number[]> {
  const places = new Map<number, number[]>();
  for (const [i, { label }] of images.entries()) {
    if (label < 0) continue;
    const own = places.get(label);
    if (own === undefined) places.set(label, [i]);
    else own.push(i);
  }
  return places;
}
