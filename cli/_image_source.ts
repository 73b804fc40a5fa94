/**
 * Where a command's images come from: a folder, a list, or a program that draws them.
 *
 * @module
 */

import {
  type ImageSet,
  openImages,
  SYNTHETIC_KINDS,
  type SyntheticKind,
  syntheticSet,
} from "../data/mod.ts";
import { UsageError } from "./_arguments.ts";

/** How a source is opened. */
export interface SourceOptions {
  /** The option that named it, for messages. */
  readonly option: string;
  /** Where labels come from. */
  readonly labels: string;
  /** Seed of drawn images. */
  readonly seed: number;
}

/** Names of all images are held in memory. */
const MAX_DRAWN = 1_000_000;
const MAX_SIDE = 16_384;
const SYNTHETIC_PREFIX = "synthetic:";

/**
 * Opens a folder, a list, CIFAR files, or `synthetic:KINDS:COUNT:WIDTHxHEIGHT`.
 *
 * @param source What the user named.
 * @param options Labels, the seed of drawn images, and the option's name.
 * @returns The images.
 * @throws {UsageError} When a description of drawn images makes no sense.
 * @throws {UserError} When there are no images.
 */
export async function openSource(source: string, options: SourceOptions): Promise<ImageSet> {
  if (source.startsWith(SYNTHETIC_PREFIX)) return drawnImages(source, options);
  return await openImages(source, { labels: options.labels });
}

function drawnImages(source: string, { option, seed }: SourceOptions): ImageSet {
  const [kindList = "", count = "", size = ""] = source.slice(SYNTHETIC_PREFIX.length).split(":");
  const [, width, height] = /^(\d+)x(\d+)$/.exec(size)?.map(Number) ?? [];
  const known: readonly string[] = SYNTHETIC_KINDS;
  const kinds = kindList === "all" ? known : kindList.split(",");
  const inRange = (value: number, largest: number) =>
    Number.isInteger(value) && value >= 1 && value <= largest;
  const valid = kinds.every((kind) => known.includes(kind)) &&
    inRange(Number(count), MAX_DRAWN) && [width!, height!].every((n) => inRange(n, MAX_SIDE));
  if (!valid) {
    throw new UsageError(
      `The option --${option} must be synthetic:KINDS:COUNT:WIDTHxHEIGHT with kinds among ${
        known.join(", ")
      }, at most ${MAX_DRAWN} images and sides up to ${MAX_SIDE}: it is "${source}"`,
    );
  }
  const drawn = syntheticSet(Number(count), {
    width: width!,
    height: height!,
    seed,
    kinds: kinds as SyntheticKind[],
  });
  return {
    path: `${source}:seed=${seed}`,
    count: drawn.count,
    names: drawn.names,
    labels: new Int32Array(drawn.count).fill(-1),
    classNames: [],
    skippedFiles: 0,
    item: (index) => Promise.resolve(drawn.item(index)),
    read: (index) => Promise.resolve(drawn.item(index).image),
  };
}
