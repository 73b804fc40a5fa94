/**
 * Writing safetensors files row by row.
 *
 * @module
 */

import { ELEMENT_BYTES, elementCount, encodeElements } from "./_safetensors_elements.ts";
import { layOut } from "./_safetensors_layout.ts";
import type { SafetensorsData, SafetensorsSpec } from "./_safetensors_types.ts";
import { AtomicFile } from "./atomic_write.ts";

export type { SafetensorsSpec };

/**
 * Writes a safetensors file row by row: the shapes are given first, then rows of the arrays come in
 * any interleaving. The file appears when it is finished. Use it with `await using`.
 *
 * @example Two arrays that grow together
 * ```ts
 * import { readSafetensors, SafetensorsWriter } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * {
 *   await using writer = await SafetensorsWriter.open(`${folder}/a.safetensors`, {
 *     x: { dtype: "F32", shape: [2, 3] },
 *     labels: { dtype: "I32", shape: [2] },
 *   });
 *   for (let row = 0; row < 2; row++) {
 *     await writer.append("x", new Float32Array(3).fill(row));
 *     await writer.append("labels", new Int32Array([row]));
 *   }
 *   await writer.finish();
 * }
 * const { tensors } = await readSafetensors(`${folder}/a.safetensors`);
 * assertEquals([...tensors["x"]!.data], [0, 0, 0, 1, 1, 1]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class SafetensorsWriter implements AsyncDisposable {
  #file: AtomicFile;
  #specs: Readonly<Record<string, SafetensorsSpec>>;
  #offsets: ReadonlyMap<string, number>;
  #written = new Map<string, number>();

  private constructor(
    file: AtomicFile,
    specs: Readonly<Record<string, SafetensorsSpec>>,
    offsets: ReadonlyMap<string, number>,
  ) {
    this.#file = file;
    this.#specs = specs;
    this.#offsets = offsets;
    for (const name of offsets.keys()) this.#written.set(name, 0);
  }

  /**
   * Begins a file.
   *
   * @param path The file; an existing one is replaced when the new one is finished.
   * @param specs The arrays' types and shapes by name.
   * @param metadata Strings for `__metadata__`.
   * @returns The writer.
   * @throws {UserError} If the folder is missing or not writable, or the target is a folder.
   *
   * @example An unfinished file is not there
   * ```ts
   * import { SafetensorsWriter } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using _ = await SafetensorsWriter.open(`${folder}/a`, {
   *     x: { dtype: "F32", shape: [1] },
   *   });
   * }
   * assertEquals([...Deno.readDirSync(folder)], []);
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  static async open(
    path: string,
    specs: Readonly<Record<string, SafetensorsSpec>>,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<SafetensorsWriter> {
    const { head, offsets } = layOut(specs, metadata);
    const file = await AtomicFile.open(path);
    try {
      await file.write(head);
    } catch (error) {
      await file.abort();
      throw error;
    }
    return new SafetensorsWriter(file, specs, offsets);
  }

  /**
   * Adds elements to an array, after those that it has.
   *
   * @param name The array's name.
   * @param data Elements of its type; f32 for an F16 array.
   * @throws {RangeError} If the array has no room for so many.
   * @throws {TypeError} If there is no such array or the data has another type.
   * @throws {UserError} If the disk is full.
   *
   * @example Too much
   * ```ts
   * import { SafetensorsWriter } from "@oodgpu/oodgpu/data";
   * import { assertRejects } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using writer = await SafetensorsWriter.open(`${folder}/a`, {
   *     x: { dtype: "F32", shape: [1] },
   *   });
   *   await assertRejects(() => writer.append("x", new Float32Array(2)), RangeError);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async append(name: string, data: SafetensorsData): Promise<void> {
    const spec = this.#specs[name];
    const written = this.#written.get(name);
    if (spec === undefined || written === undefined) {
      throw new TypeError(`Cannot write "${name}" to "${this.#file.path}": it was not declared`);
    }
    const total = elementCount(spec.shape);
    if (written + data.length > total) {
      throw new RangeError(
        `Cannot write "${name}" to "${this.#file.path}": it holds ${total} elements and ` +
          `${written + data.length} were given`,
      );
    }
    const bytes = encodeElements(name, data, spec.dtype);
    const offset = this.#offsets.get(name)! + written * ELEMENT_BYTES[spec.dtype]!;
    this.#written.set(name, written + data.length);
    await this.#file.write(bytes, { offset });
  }

  /**
   * Gives the file its name.
   *
   * @throws {RangeError} If an array has not got all of its elements.
   * @throws {UserError} If the disk is full.
   *
   * @example Too little
   * ```ts
   * import { SafetensorsWriter } from "@oodgpu/oodgpu/data";
   * import { assertRejects } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using writer = await SafetensorsWriter.open(`${folder}/a`, {
   *     x: { dtype: "F32", shape: [1] },
   *   });
   *   await assertRejects(() => writer.finish(), RangeError);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async finish(): Promise<void> {
    for (const [name, written] of this.#written) {
      const total = elementCount(this.#specs[name]!.shape);
      if (written !== total) {
        throw new RangeError(
          `Cannot finish "${this.#file.path}": "${name}" has ${written} of ${total} elements`,
        );
      }
    }
    await this.#file.commit();
  }

  /** Removes what was not finished. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.abort();
  }
}
