/**
 * Safetensors files, whole: named arrays behind a JSON header. `SafetensorsFile` reads one by
 * ranges, `SafetensorsWriter` writes one row by row, and `decodeSafetensors` needs no file.
 *
 * @module
 */

import { encodeElements } from "./_safetensors_elements.ts";
import { layOut, specsOf } from "./_safetensors_layout.ts";
import type {
  SafetensorsArray,
  SafetensorsContent,
  SafetensorsData,
  SafetensorsDType,
} from "./_safetensors_types.ts";
import { writeFileAtomic } from "./atomic_write.ts";
import { SafetensorsFile } from "./safetensors_file.ts";

export type { SafetensorsArray, SafetensorsContent, SafetensorsData, SafetensorsDType };

/**
 * Reads a whole safetensors file.
 *
 * @param path The file.
 * @returns Its arrays and its metadata.
 * @throws {UserError} If the file is missing, truncated or no sound safetensors file.
 *
 * @example There and back
 * ```ts
 * import { readSafetensors, writeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const x = { data: new Float32Array([1, 2]), shape: [2] };
 * await writeSafetensors(`${folder}/a.safetensors`, { x }, { made: "here" });
 * const { tensors, metadata } = await readSafetensors(`${folder}/a.safetensors`);
 * assertEquals([...tensors["x"]!.data], [1, 2]);
 * assertEquals(metadata["made"], "here");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function readSafetensors(path: string): Promise<SafetensorsContent> {
  await using file = await SafetensorsFile.open(path);
  const tensors: Record<string, SafetensorsArray> = Object.create(null);
  for (const name of file.header.entries.keys()) tensors[name] = await file.read(name);
  return { tensors, metadata: file.header.metadata };
}

/**
 * Writes a safetensors file atomically. The same content always makes the same bytes.
 *
 * @param path The file; an existing one is replaced.
 * @param tensors The arrays by name; `dtype: "F16"` stores f32 data in half the space.
 * @param metadata Strings for `__metadata__`.
 * @throws {UserError} If the file cannot be written.
 * @throws {RangeError} If a shape does not hold its data.
 *
 * @example A file of one array
 * ```ts
 * import { readSafetensors, writeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const half = { data: new Float32Array([0.5]), shape: [1], dtype: "F16" } as const;
 * await writeSafetensors(`${folder}/a.safetensors`, { half });
 * const { tensors } = await readSafetensors(`${folder}/a.safetensors`);
 * assertEquals([...tensors["half"]!.data], [0.5]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, SafetensorsArray>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const specs = specsOf(tensors);
  const { head, offsets } = layOut(specs, metadata);
  function* parts(): Iterable<Uint8Array> {
    yield head;
    for (const name of offsets.keys()) {
      yield encodeElements(name, tensors[name]!.data, specs[name]!.dtype);
    }
  }
  await writeFileAtomic(path, parts());
}
