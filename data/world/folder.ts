/**
 * The world as a folder of PNG files with their tags.
 *
 * ```text
 * DIR/world.json               what is in it: seed, size, version, counts, hashes
 * DIR/labels.json              the classes in the order of a classifier's logits
 * DIR/overview.png             the first images of every split
 * DIR/train/tags.jsonl         a line for each image; a list of images that `openImages` takes
 * DIR/train/<kind>/00000.png   named by the index in the split; val and test likewise
 * DIR/near-ood/<kind>/…        DIR/background/…        DIR/far-ood/{textures,noise,glyphs}/…
 * ```
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { RgbImage } from "../../kernels/preprocess/spec.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import { ioError, kindOf, readText } from "../_io_error.ts";
import { AtomicFile, writeFileAtomic } from "../atomic_write.ts";
import { encodePng } from "../encode.ts";
import { WORLD_CLASSES } from "./kinds.ts";
import { contactSheet, renderImages } from "./render.ts";
import { type Scene, worldScenes } from "./scene.ts";
import type { WorldSplit } from "./split.ts";
import { sceneTags } from "./tags.ts";

/**
 * The version of the world: two worlds of one version, seed and size show the same. It changes
 * whenever a scene of some seed does.
 *
 * @example The first one
 * ```ts
 * import { WORLD_VERSION } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(WORLD_VERSION, 1);
 * ```
 */
export const WORLD_VERSION = 1;

const FORMAT = "oodgpu-world";
const MANIFEST = "world.json";
const TAGS = "tags.jsonl";
/** Images that are rendered together and whose files are written at once. */
const BATCH = 128;
/** Columns of the overview. */
const OVERVIEW_COLUMNS = 12;

/** What is said of a split in a manifest. */
export interface WorldManifestSplit {
  /** How many images it has. */
  readonly count: number;
  /** SHA-256 of its tags; null until all of its images are written. */
  readonly tags: string | null;
}

/** What `world.json` says of its folder. */
export interface WorldManifest {
  /** Always `oodgpu-world`. */
  readonly format: "oodgpu-world";
  /** The version of the world. */
  readonly version: number;
  /** The seed. */
  readonly seed: number;
  /** Pixels of a side. */
  readonly size: number;
  /** What rendered it; colours of another adapter may differ by one step of 255. */
  readonly renderer: string;
  /** Whether all of its splits are written. */
  readonly complete: boolean;
  /** The splits by name. */
  readonly splits: Readonly<Record<string, WorldManifestSplit>>;
  /** SHA-256 of version, seed, size and the splits' tags; null until it is complete. */
  readonly hash: string | null;
}

/** How {@linkcode writeWorld} works. */
export interface WriteWorldOptions {
  /** The splits to write; those without images are passed over. */
  readonly splits: readonly WorldSplit[];
  /** Pixels of a side; 64 by default. */
  readonly size?: number;
  /** What the manifest says of the renderer; the context's kind by default. */
  readonly renderer?: string;
  /** Stops the work between batches; what is written stays. */
  readonly signal?: AbortSignal;
  /** Is told how many images there are, those of an earlier run included. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Writes splits of the world into a folder, which is made where it is missing. Files are whole or
 * not there, and the manifest says when all of them are: a run that was stopped goes on when it is
 * repeated, and splits may be added to a folder one by one.
 *
 * @param ctx Where images are rendered.
 * @param path The folder.
 * @param options The splits, and the size of the images.
 * @returns The manifest.
 * @throws {UserError} When the folder holds something else, or a world of other parameters, or
 * cannot be written.
 * @throws {RangeError} When there is no split or two are of different seeds.
 *
 * @example A small world
 * ```ts
 * import { worldSplit, writeWorld } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * using host = new Host();
 * const splits = worldSplit(7, { test: 3 }).filter(({ name }) => name === "test");
 * const manifest = await writeWorld(host, folder, { splits, size: 8 });
 * assertEquals(manifest.complete, true);
 * assertEquals((await Deno.stat(`${folder}/test/arrow/00000.png`)).isFile, true);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function writeWorld(
  ctx: Context,
  path: string,
  options: WriteWorldOptions,
): Promise<WorldManifest> {
  const { size = 64, renderer = ctx.kind } = options;
  const splits = options.splits.filter(({ count }) => count > 0);
  const [first] = splits;
  if (first === undefined || splits.some(({ seed }) => seed !== first.seed)) {
    throw new RangeError("Cannot write a world: splits of one seed were expected, at least one");
  }
  const { seed } = first;
  const found = await openFolder(path, { seed, size, splits });
  const entries = new Map(Object.entries(found?.splits ?? {}));
  for (const { name, count } of splits) {
    entries.set(name, entries.get(name) ?? { count, tags: null });
  }
  const manifest = (): WorldManifest => {
    const complete = [...entries.values()].every(({ tags }) => tags !== null);
    const parts = { version: WORLD_VERSION, seed, size, splits: Object.fromEntries(entries) };
    const hash = complete ? sha256(JSON.stringify(parts)) : null;
    return { format: FORMAT, ...parts, renderer, complete, hash };
  };
  if (found?.complete && manifest().complete) {
    report(splits, options.onProgress);
    return found;
  }
  await writeJson(`${path}/${MANIFEST}`, manifest());
  await writeJson(`${path}/labels.json`, WORLD_CLASSES);
  const total = splits.reduce((sum, { count }) => sum + count, 0);
  let done = 0;
  for (const split of splits) {
    const before = done;
    if (entries.get(split.name)!.tags === null) {
      const tags = await writeSplit(ctx, path, {
        split,
        size,
        signal: options.signal,
        onProgress: (count) => options.onProgress?.(before + count, total),
      });
      entries.set(split.name, { count: split.count, tags });
      await writeJson(`${path}/${MANIFEST}`, { ...manifest(), complete: false, hash: null });
    }
    done = before + split.count;
    options.onProgress?.(done, total);
  }
  await writeOverview(ctx, path, { splits, size });
  await writeJson(`${path}/${MANIFEST}`, manifest());
  return manifest();
}

function report(splits: readonly WorldSplit[], onProgress: WriteWorldOptions["onProgress"]): void {
  const total = splits.reduce((sum, { count }) => sum + count, 0);
  onProgress?.(total, total);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

/** What must agree between a folder's world and the one that is asked for. */
interface Wanted {
  readonly seed: number;
  readonly size: number;
  readonly splits: readonly WorldSplit[];
}

/** Makes the folder, or reads the manifest of the world that it holds already. */
async function openFolder(path: string, wanted: Wanted): Promise<WorldManifest | undefined> {
  const kind = await kindOf(path);
  if (kind === "file") {
    throw new UserError(
      `Cannot write a world to "${path}": it is a file, and a folder was expected`,
    );
  }
  if (kind === undefined) {
    await makeFolder(path);
    return undefined;
  }
  if (await kindOf(`${path}/${MANIFEST}`) === "file") return await readManifest(path, wanted);
  const names = await Array.fromAsync(Deno.readDir(path), ({ name }) => name);
  if (names.length === 0) return undefined;
  throw new UserError(
    `Cannot write a world to "${path}": the folder is not empty and holds no world; an empty or a ` +
      "new folder was expected",
  );
}

async function readManifest(path: string, wanted: Wanted): Promise<WorldManifest> {
  const manifest = parseManifest(await readText(`${path}/${MANIFEST}`));
  if (manifest === undefined) {
    throw new UserError(
      `Cannot write a world to "${path}": its ${MANIFEST} is none of this program's`,
    );
  }
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ["version", manifest.version, WORLD_VERSION],
    ["seed", manifest.seed, wanted.seed],
    ["size", manifest.size, wanted.size],
    ...wanted.splits.map(({ name, count }) =>
      [`count of ${name}`, manifest.splits[name]?.count ?? count, count] as const
    ),
  ];
  const other = pairs.find(([, is, asked]) => is !== asked);
  if (other === undefined) return manifest;
  throw new UserError(
    `Cannot write a world to "${path}": it holds one whose ${other[0]} is ${other[1]}, and ` +
      `${other[2]} was asked for`,
  );
}

function parseManifest(text: string): WorldManifest | undefined {
  try {
    const value = JSON.parse(text) as WorldManifest;
    const entries = Object.values(value.splits);
    const fits = value.format === FORMAT &&
      entries.every(({ count, tags }) =>
        Number.isInteger(count) && (tags === null || typeof tags === "string")
      );
    return fits ? value : undefined;
  } catch {
    return undefined;
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    throw ioError("write", path, error);
  }
}

/** Path of an image below its split's folder. */
function imagePath({ split, index, object, family }: Scene): string {
  const name = `${String(index).padStart(5, "0")}.png`;
  if (split === "background") return name;
  return `${family ?? object!.kind}/${name}`;
}

interface SplitWork {
  readonly split: WorldSplit;
  readonly size: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (done: number) => void;
}

/** A batch of scenes, and the images of those that have none yet. */
interface Rendered {
  readonly scenes: readonly Scene[];
  readonly missing: readonly Scene[];
  readonly images: readonly RgbImage[];
}

/** Writes what is missing of a split, then its tags; gives their hash. */
async function writeSplit(ctx: Context, root: string, work: SplitWork): Promise<string> {
  const { split: { name, seed, count, kinds }, size, signal } = work;
  const folder = `${root}/${name}`;
  for (const kind of kinds.length === 0 ? [""] : kinds) await makeFolder(`${folder}/${kind}`);
  const there = await imagesIn(folder, kinds);
  const hash = createHash("sha256");
  await using tags = await AtomicFile.open(`${folder}/${TAGS}`);
  const render = async (begin: number): Promise<Rendered> => {
    const scenes = worldScenes(name, { seed, begin, count: Math.min(BATCH, count - begin) });
    const missing = scenes.filter((scene) => !there.has(imagePath(scene)));
    return { scenes, missing, images: await renderImages(ctx, missing, { size }) };
  };
  // While one batch is encoded and written, the next one is rendered.
  let ahead = render(0);
  try {
    for (let begin = 0; begin < count; begin += BATCH) {
      signal?.throwIfAborted();
      const { scenes, missing, images } = await ahead;
      if (begin + BATCH < count) ahead = render(begin + BATCH);
      await Promise.all(
        images.map(async (image, i) =>
          await writeImage(`${folder}/${imagePath(missing[i]!)}`, await encodePng(image))
        ),
      );
      const lines = scenes.map((scene) =>
        `${JSON.stringify({ path: imagePath(scene), ...sceneTags(scene) })}\n`
      ).join("");
      hash.update(lines);
      await tags.write(new TextEncoder().encode(lines));
      work.onProgress(begin + scenes.length);
    }
  } finally {
    await ahead.catch(() => {});
  }
  await tags.commit();
  return hash.digest("hex");
}

/** The images that an earlier run has written. */
async function imagesIn(folder: string, kinds: readonly string[]): Promise<Set<string>> {
  const there = new Set<string>();
  for (const prefix of kinds.length === 0 ? [""] : kinds.map((kind) => `${kind}/`)) {
    for await (const { name } of Deno.readDir(`${folder}/${prefix}`)) there.add(prefix + name);
  }
  return there;
}

/** Writes a file that is whole or not there. It is not flushed: there are many, and the manifest last. */
async function writeImage(path: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const at = path.lastIndexOf("/") + 1;
  const temporary = `${path.slice(0, at)}.${path.slice(at)}.tmp`;
  try {
    await Deno.writeFile(temporary, bytes);
    await Deno.rename(temporary, path);
  } catch (error) {
    throw ioError("write", path, error);
  }
}

async function writeOverview(
  ctx: Context,
  path: string,
  { splits, size }: { splits: readonly WorldSplit[]; size: number },
): Promise<void> {
  const scenes = splits.flatMap(({ name, seed, count }) =>
    worldScenes(name, { seed, count: Math.min(count, OVERVIEW_COLUMNS) })
  );
  const sheet = contactSheet(await renderImages(ctx, scenes, { size }), OVERVIEW_COLUMNS);
  await writeFileAtomic(`${path}/overview.png`, await encodePng(sheet));
}
