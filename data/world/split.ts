/**
 * The splits of the procedural world: which images there are, and what kinds they show.
 *
 * @module
 */

import { WORLD_CLASSES, WORLD_UNSEEN_KINDS } from "./kinds.ts";

/**
 * The splits by name. Their order is part of the world: it numbers their random streams.
 *
 * @example Three of them show the classes
 * ```ts
 * import { WORLD_SPLITS } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(WORLD_SPLITS.slice(0, 3), ["train", "val", "test"]);
 * ```
 */
export const WORLD_SPLITS = [
  "train",
  "val",
  "test",
  "near-ood",
  "background",
  "far-ood",
] as const;

/** The name of a split. */
export type WorldSplitName = typeof WORLD_SPLITS[number];

/**
 * The families of the far-OOD split, which take turns by index.
 *
 * @example Their names
 * ```ts
 * import { FAR_FAMILIES } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(FAR_FAMILIES, ["textures", "noise", "glyphs"]);
 * ```
 */
export const FAR_FAMILIES = ["textures", "noise", "glyphs"] as const;

/** The name of a family of the far-OOD split. */
export type FarFamily = typeof FAR_FAMILIES[number];

/** How many images each split has. */
export type WorldCounts = Readonly<Record<WorldSplitName, number>>;

/**
 * The standard sizes of the splits.
 *
 * @example A thousand images a class to learn from
 * ```ts
 * import { WORLD_CLASSES, WORLD_COUNTS } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(WORLD_COUNTS.train / WORLD_CLASSES.length, 1000);
 * ```
 */
export const WORLD_COUNTS: WorldCounts = {
  train: 20_000,
  val: 2000,
  test: 2000,
  "near-ood": 2000,
  background: 2000,
  "far-ood": 2100,
};

/** Largest number of images in a split: each has a random stream of its own. */
export const MAX_IMAGES: number = 2 ** 28;

/** One split. */
export interface WorldSplit {
  /** The seed of the world. */
  readonly seed: number;
  /** Its name. */
  readonly name: WorldSplitName;
  /** How many images it has. */
  readonly count: number;
  /** What takes turns in it by index: kinds of objects, or families; none in `background`. */
  readonly kinds: readonly string[];
  /** Whether its images show the classes. */
  readonly inDistribution: boolean;
}

/** What takes turns in a split. */
export function kindsOf(name: WorldSplitName): readonly string[] {
  switch (name) {
    case "train":
    case "val":
    case "test":
      return WORLD_CLASSES;
    case "near-ood":
      return WORLD_UNSEEN_KINDS;
    case "background":
      return [];
    case "far-ood":
      return FAR_FAMILIES;
    default:
      return name satisfies never;
  }
}

/**
 * The standard protocol: 20 classes to learn, check and test on; unseen kinds in the same
 * surroundings (near-OOD); the surroundings alone; unseen textures, noise and glyphs (far-OOD).
 *
 * @param seed The seed of the world, a whole number from 0 to 2^53 - 1.
 * @param counts Sizes other than the standard ones.
 * @returns The splits, in the order of `WORLD_SPLITS`.
 * @throws {RangeError} When the seed is out of its range, or a size is no whole number from 0 to 2^28.
 *
 * @example Smaller splits
 * ```ts
 * import { worldSplit } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const [train, val] = worldSplit(1, { train: 400 });
 * assertEquals([train!.count, train!.kinds.length, val!.count], [400, 20, 2000]);
 * ```
 */
export function worldSplit(seed: number, counts: Partial<WorldCounts> = {}): WorldSplit[] {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(
      `Cannot make a world of seed ${seed}: a whole number from 0 to 2^53 - 1 was expected`,
    );
  }
  return WORLD_SPLITS.map((name) => {
    const count = counts[name] ?? WORLD_COUNTS[name];
    if (!Number.isInteger(count) || count < 0 || count > MAX_IMAGES) {
      throw new RangeError(
        `Cannot make the split "${name}" of ${count} images: a whole number from 0 to 2^28 was ` +
          "expected",
      );
    }
    const kinds = kindsOf(name);
    return { seed, name, count, kinds, inDistribution: kinds === WORLD_CLASSES };
  });
}
