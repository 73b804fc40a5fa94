/**
 * Projections as files.
 *
 * @module
 */

import { SafetensorsFile, writeSafetensors } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { type Projection, PROJECTION_ARRAYS } from "./model.ts";
import type { ImageLength } from "./settings.ts";

/** A projection with what is stored beside it. */
export interface SavedProjection extends Projection {
  /** The strings that are stored with it: hashes of the encoders, settings, what it learned from. */
  readonly metadata: Readonly<Record<string, string>>;
}

const FORMAT = "oodgpu synood projection 1";

/**
 * Saves a projection as a safetensors file, atomically.
 *
 * @param path The file; an existing one is replaced.
 * @param projection The projection.
 * @param metadata Further strings to keep.
 * @throws {UserError} When the file cannot be written.
 *
 * @example There and back
 * ```ts
 * import { deltaParameters, loadProjection, saveProjection } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const parameters = new Map(deltaParameters(2, 1).map(({ name, data }) => [name, data]));
 * const folder = await Deno.makeTempDir();
 * const path = `${folder}/projection.safetensors`;
 * await saveProjection(path, { width: 2, images: "raw", epsilon: 1e-5, parameters });
 * const { images, parameters: read } = await loadProjection(path);
 * assertEquals([images, read], ["raw", parameters]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveProjection(
  path: string,
  projection: Projection,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { width, images, epsilon, parameters } = projection;
  const tensors = Object.entries(PROJECTION_ARRAYS).map(([name, rank]) => [
    name,
    { data: parameters.get(name)!, shape: new Array<number>(rank).fill(width) },
  ]);
  await writeSafetensors(path, Object.fromEntries(tensors), {
    ...metadata,
    format: FORMAT,
    images,
    epsilon: String(epsilon),
  });
}

/**
 * Loads a projection.
 *
 * @param path The file.
 * @returns The projection.
 * @throws {UserError} When the file is missing, damaged, or no projection.
 *
 * @example A missing file
 * ```ts
 * import { loadProjection } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => loadProjection("no-such-file"), Error, "no-such-file");
 * ```
 */
export async function loadProjection(path: string): Promise<SavedProjection> {
  await using file = await SafetensorsFile.open(path);
  const { metadata, entries } = file.header;
  const refuse = (why: string) => new UserError(`Cannot read a projection of "${path}": ${why}`);
  if (metadata["format"] !== FORMAT) {
    throw refuse("it is none; a file from ood synood project was expected");
  }
  const { images, epsilon } = metadata;
  if (images !== "unit" && images !== "raw") throw refuse(`"images" is "${images}"`);
  const width = entries.get("projection.weight")?.shape[0] ?? 0;
  const parameters = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, rank] of Object.entries(PROJECTION_ARRAYS)) {
    const entry = entries.get(name);
    if (entry === undefined) throw refuse(`it holds no "${name}"`);
    const { data } = await file.read(name);
    const fits = entry.shape.length === rank && entry.shape.every((length) => length === width);
    if (!(data instanceof Float32Array) || !fits) {
      throw refuse(`"${name}" must be f32 of ${width} each way and is [${entry.shape.join(", ")}]`);
    }
    if (!data.every(Number.isFinite)) throw refuse(`"${name}" has a NaN or an infinity`);
    parameters.set(name, data as Float32Array<ArrayBuffer>);
  }
  const added = Number(epsilon);
  if (!(added > 0 && Number.isFinite(added))) throw refuse(`"epsilon" is "${epsilon}"`);
  return {
    width,
    images: images as ImageLength,
    epsilon: added,
    parameters,
    metadata,
  };
}
