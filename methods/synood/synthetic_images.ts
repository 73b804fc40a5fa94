/**
 * Generated images on disk: the images, what is known of each, and of the run that makes them.
 *
 * ```text
 * OUT/manifest.json                   settings, models, counts, and whether it is complete
 * OUT/pairs.jsonl                     a line for each image, in the order of the work
 * OUT/images/<class>/<stem>.png       the images that are kept
 * OUT/rejected/<class>/<stem>.png     with a filter, those that are not
 * OUT/contact.png                     source images with what was made of them below
 * ```
 *
 * @module
 */

import { AtomicFile, encodePng, writeFileAtomic } from "../../data/mod.ts";
import type { RgbImage } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import type { Boundary } from "./synthesis_loss.ts";
import type { SynthesisSettings } from "./synthesis_settings.ts";

/** A score of the source image, and of the image after each denoising; the last is the saved one. */
export interface ScoreCourse {
  /** Of the source image; null where there is none. */
  readonly before: number | null;
  /** After each denoising. */
  readonly after: readonly number[];
}

/** What is known of a generated image. */
export interface SyntheticImage {
  /** The source image's path below its folder; null where there is none. */
  readonly source: string | null;
  /** Path of the image below the run's folder. */
  readonly synthetic: string;
  /** Index of the source's class, -1 where it has none. */
  readonly label: number;
  /** Name of that class, or the label that the image is of. */
  readonly class: string;
  /** What it was to show. */
  readonly elements: readonly string[];
  /** The text that the diffusion model was given. */
  readonly prompt: string;
  /** Seed of its noise. */
  readonly seed: number;
  /** The loss after each denoising. */
  readonly loss: readonly number[];
  /** Energy by the recognition model. */
  readonly energy: ScoreCourse;
  /** The largest softmax by the recognition model. */
  readonly msp: ScoreCourse;
  /** Whether the energy has fallen below the boundary; null where there is none. */
  readonly crossed: boolean | null;
  /** Whether the filter keeps it. */
  readonly kept: boolean;
}

/** What the images are made of: source images, or labels alone. */
export type SynthesisMode = "source" | "labels";

/** What tells a run from another. */
export interface SynthesisIdentity {
  /** What images are made of. */
  readonly mode: SynthesisMode;
  /** All settings. */
  readonly settings: SynthesisSettings;
  /** Hashes of the models' files. */
  readonly models: Readonly<Record<string, string>>;
  /** Hash of the work list. */
  readonly work: string;
}

/** How far a run is. */
export interface SynthesisCounts {
  /** Images to make. */
  readonly images: number;
  /** Images that are made. */
  readonly done: number;
  /** Of these, those that the filter keeps. */
  readonly kept: number;
  /** Of these, those whose energy has fallen below the boundary. */
  readonly crossed: number;
  /** Source images without elements. */
  readonly withoutElements: number;
  /** Source images that cannot be read. */
  readonly unreadable: number;
}

/** The run's own file. */
export interface SynthesisManifest extends SynthesisIdentity {
  /** What the file is. */
  readonly format: "oodgpu synthetic images";
  /** Its version. */
  readonly version: 1;
  /** The boundary; null where there is none. */
  readonly boundary: Boundary | null;
  /** How far the run is. */
  readonly counts: SynthesisCounts;
  /** Source images that cannot be read, and why. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** Whether all images are made. */
  readonly complete: boolean;
}

const FORMAT: SynthesisManifest["format"] = "oodgpu synthetic images";
const MANIFEST = "manifest.json";
const PAIRS = "pairs.jsonl";

/**
 * Reads what is known of generated images.
 *
 * @param folder The run's folder.
 * @param options `partial`: whether a run that is not complete will do; false by default.
 * @returns The images in order, and the run.
 * @throws {UserError} When there is no run, it is not complete, or its files are damaged.
 *
 * @example A folder without a run
 * ```ts
 * import { readSyntheticImages } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => readSyntheticImages("models"), Error, 'there is no "manifest.json"');
 * ```
 */
export async function readSyntheticImages(
  folder: string,
  options: { readonly partial?: boolean } = {},
): Promise<{ readonly images: readonly SyntheticImage[]; readonly manifest: SynthesisManifest }> {
  const store = new SyntheticStore(folder);
  const manifest = await store.manifest();
  const refuse = (why: string) => new UserError(`Cannot read images of "${folder}": ${why}`);
  if (manifest === undefined) throw refuse(`there is no "${MANIFEST}"`);
  if (!manifest.complete && options.partial !== true) {
    throw refuse(
      `${manifest.counts.done} of ${manifest.counts.images} are made; "ood synood generate --resume" ` +
        `goes on`,
    );
  }
  const images = await store.read();
  if (manifest.complete && images.length !== manifest.counts.images) {
    throw refuse(`"${PAIRS}" has ${images.length} lines of ${manifest.counts.images}`);
  }
  return { images, manifest };
}

/** The files of a run. */
export class SyntheticStore {
  readonly #folder: string;

  /** @param folder The run's folder. */
  constructor(folder: string) {
    this.#folder = folder.replace(/(?<=.)[/\\]+$/, "");
  }

  /** The run's own file; undefined where there is none. */
  async manifest(): Promise<SynthesisManifest | undefined> {
    const path = `${this.#folder}/${MANIFEST}`;
    let text: string;
    try {
      text = await Deno.readTextFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return undefined;
      }
      throw new UserError(`Cannot read "${path}": ${(error as Error).message}`, { cause: error });
    }
    try {
      const value = JSON.parse(text) as SynthesisManifest;
      if (value.format === FORMAT && value.version === 1) return value;
    } catch {
      // What is no JSON text is no manifest either.
    }
    throw new UserError(`Cannot read "${path}": it is not written by ood synood generate`);
  }

  /** Writes the run's own file. */
  async writeManifest(manifest: Omit<SynthesisManifest, "format" | "version">): Promise<void> {
    const value: SynthesisManifest = { format: FORMAT, version: 1, ...manifest };
    await writeFileAtomic(
      `${this.#folder}/${MANIFEST}`,
      `${JSON.stringify(value, undefined, 2)}\n`,
    );
  }

  /** Makes the folder, which goes again unless it is kept or something is in it. */
  async make(): Promise<{ keep(): void } & AsyncDisposable> {
    const existed = await Deno.stat(this.#folder).then(() => true, () => false);
    await makeFolder(this.#folder);
    let kept = existed;
    const place = {
      keep: () => {
        kept = true;
      },
      [Symbol.asyncDispose]: async () => {
        if (!kept) await Deno.remove(this.#folder).catch(() => {});
      },
    };
    try {
      await using _file = await AtomicFile.open(`${this.#folder}/${MANIFEST}`);
    } catch (error) {
      await place[Symbol.asyncDispose]();
      throw error;
    }
    return place;
  }

  /** Lines that are whole; a run that was killed may have left a part of one. */
  async read(): Promise<SyntheticImage[]> {
    const path = `${this.#folder}/${PAIRS}`;
    let text: string;
    try {
      text = await Deno.readTextFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw new UserError(`Cannot read "${path}": ${(error as Error).message}`, { cause: error });
    }
    const lines = text.split("\n");
    // What is behind the last line break is not whole.
    lines.pop();
    return lines.map((line, i) => {
      try {
        return JSON.parse(line) as SyntheticImage;
      } catch {
        throw new UserError(`Cannot read "${path}": line ${i + 1} is no JSON text`);
      }
    });
  }

  /**
   * Keeps the lines of the images that are there, up to the first that is not, and drops the others.
   *
   * @param sources What the lines should be of, in order.
   * @returns What is known of the images that are kept.
   */
  async keepWhole(sources: readonly (string | null)[]): Promise<SyntheticImage[]> {
    const images = await this.read();
    let kept = 0;
    while (kept < images.length && images[kept]!.source === sources[kept]) {
      if (!await isFile(`${this.#folder}/${images[kept]!.synthetic}`)) break;
      kept++;
    }
    const whole = images.slice(0, kept);
    await writeFileAtomic(`${this.#folder}/${PAIRS}`, whole.map(lineOf).join(""));
    return whole;
  }

  /** Begins anew. */
  async clear(): Promise<void> {
    await writeFileAtomic(`${this.#folder}/${PAIRS}`, "");
  }

  /** Writes an image; it is whole or not there. */
  async writeImage(path: string, image: RgbImage): Promise<void> {
    const target = `${this.#folder}/${path}`;
    await makeFolder(target.slice(0, target.lastIndexOf("/")));
    await writeFileAtomic(target, await encodePng(image));
  }

  /** Adds lines behind the others, and sees to it that they are on the disk. */
  async append(images: readonly SyntheticImage[]): Promise<void> {
    const path = `${this.#folder}/${PAIRS}`;
    try {
      using file = await Deno.open(path, { append: true, create: true });
      let bytes = new TextEncoder().encode(images.map(lineOf).join(""));
      while (bytes.length > 0) bytes = bytes.subarray(await file.write(bytes));
      await file.sync();
    } catch (error) {
      throw new UserError(`Cannot write "${path}": ${(error as Error).message}`, { cause: error });
    }
  }

  /** Bytes of an image. */
  async readImage(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return await Deno.readFile(`${this.#folder}/${path}`);
  }
}

function lineOf(image: SyntheticImage): string {
  return `${JSON.stringify(image)}\n`;
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    throw new UserError(`Cannot make the folder "${path}": ${(error as Error).message}`, {
      cause: error,
    });
  }
}
