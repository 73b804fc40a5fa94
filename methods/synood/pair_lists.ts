/**
 * Lists of the images of a run, so that their features can be extracted in one order.
 *
 * @module
 */

import { isAbsolute, join, relative, resolve } from "node:path";
import { writeFileAtomic } from "../../data/mod.ts";
import type { SyntheticImage } from "./synthetic_images.ts";

/** Where the lists of a run are. */
export interface PairLists {
  /** Lists the source images, each with its class; none where there were no sources. */
  readonly sources: string | undefined;
  /** Lists the synthetic images in the same order. */
  readonly synthetic: string;
  /** How many images each has. */
  readonly count: number;
}

const SOURCES = "sources.tsv";
const SYNTHETIC = "synthetic.tsv";

/**
 * Writes `sources.tsv` and `synthetic.tsv` into a run's folder: the n-th line of the one is what the
 * n-th line of the other was made from. Images that the filter did not keep are left out. A line is a
 * path, a tab and a class, or, where these would not come back from such a line, JSON.
 *
 * @param folder The run's folder.
 * @param run Its images, and the folder that their sources lie in; none where sources are no files.
 * @returns The lists.
 * @throws {UserError} When a list cannot be written.
 *
 * @example One pair
 * ```ts
 * import { writePairLists } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const course = { before: 1, after: [0] };
 * const lists = await writePairLists(folder, {
 *   images: [{
 *     source: "boat/1.png", synthetic: "images/boat/1.png", label: 3, class: "boat", elements: [],
 *     prompt: "", seed: 0, loss: [], energy: course, msp: course, crossed: true, kept: true,
 *   }],
 *   root: `${folder}/train`,
 * });
 * assertEquals(lists.count, 1);
 * assertEquals(await Deno.readTextFile(lists.sources!), "train/boat/1.png\tboat\n");
 * assertEquals(await Deno.readTextFile(lists.synthetic), "images/boat/1.png\tboat\n");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function writePairLists(
  folder: string,
  run: { readonly images: readonly SyntheticImage[]; readonly root: string | undefined },
): Promise<PairLists> {
  const kept = run.images.filter(({ kept }) => kept);
  const write = async (name: string, pathOf: (image: SyntheticImage) => string) => {
    const path = join(folder, name);
    await writeFileAtomic(path, kept.map((image) => lineOf(pathOf(image), image)).join(""));
    return path;
  };
  const sources = await sourcePaths(folder, { images: kept, root: run.root });
  return {
    sources: sources === undefined ? undefined : await write(SOURCES, (image) => sources(image)),
    // The last one: a folder that has it is whole.
    synthetic: await write(SYNTHETIC, ({ synthetic }) => synthetic),
    count: kept.length,
  };
}

/** Where sources are as seen from the run's folder; undefined where some have no file. */
async function sourcePaths(
  folder: string,
  { images, root }: {
    readonly images: readonly SyntheticImage[];
    readonly root?: string | undefined;
  },
): Promise<((image: SyntheticImage) => string) | undefined> {
  if (root === undefined || images.some(({ source }) => source === null)) return undefined;
  // What lies above a link to a folder is not what lies above the folder.
  const [from, to] = [folder, root].map((path) => resolve(path));
  const [realFrom, realTo] = await Promise.all([folder, root].map(realPath));
  const below = relative(from!, to!);
  const base = below === relative(realFrom!, realTo!) ? below : realTo!;
  return ({ source }) => isAbsolute(source!) ? source! : join(base, source!);
}

async function realPath(path: string): Promise<string> {
  return await Deno.realPath(path).catch(() => resolve(path));
}

/** What a line can hold without a doubt. */
const PLAIN_PATH = /^[^\s#{][^\t\r\n\0]*(?<!\s)$/;
const PLAIN_CLASS = /^(?!-?\d+$)\S([^\t\r\n\0]*\S)?$/;

/** A line of a list. */
function lineOf(path: string, { class: name, label }: SyntheticImage): string {
  const plain = PLAIN_PATH.test(path) && (PLAIN_CLASS.test(name) || name === String(label));
  return plain ? `${path}\t${name}\n` : `${JSON.stringify({ path, label: name })}\n`;
}
