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
 * n-th line of the other was made from. Images that the filter did not keep are left out.
 *
 * @param folder The run's folder.
 * @param run Its images, and the folder that their sources lie in.
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
  run: { readonly images: readonly SyntheticImage[]; readonly root: string },
): Promise<PairLists> {
  const kept = run.images.filter(({ kept }) => kept);
  const whole = kept.every(({ source }) => source !== null);
  const listed = (path: string, { class: name }: SyntheticImage) => `${path}\t${name}\n`;
  const write = async (name: string, pathOf: (image: SyntheticImage) => string) => {
    const path = join(folder, name);
    await writeFileAtomic(path, kept.map((image) => listed(pathOf(image), image)).join(""));
    return path;
  };
  const root = resolve(run.root);
  const sourceOf = (source: string) =>
    isAbsolute(source) ? source : relative(resolve(folder), join(root, source));
  return {
    sources: whole ? await write(SOURCES, ({ source }) => sourceOf(source!)) : undefined,
    synthetic: await write(SYNTHETIC, ({ synthetic }) => synthetic),
    count: kept.length,
  };
}
