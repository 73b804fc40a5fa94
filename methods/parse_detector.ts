/**
 * Reading a detector from bytes in memory.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { decodeSafetensors } from "../data/safetensors_bytes.ts";
import { readDetector } from "./_detector_format.ts";
import type { Detector } from "./detector.ts";
import { SCORES } from "./registry.ts";
import type { ScoreMethod } from "./score.ts";
import { synood } from "./synood/score.ts";

/** What a detector may be of unless a caller says otherwise; TagOOD's kernels are half as much again. */
const METHODS: readonly ScoreMethod[] = [...SCORES, synood];

/**
 * Reads a detector from the bytes of its file, for places without a file system.
 *
 * @param bytes The bytes.
 * @param options `name`: what errors call them; `methods`: the scores that it may be of, all but
 * TagOOD's by default (`TRAINED_SCORES` has those).
 * @returns The detector.
 * @throws {UserError} When the bytes are damaged, no detector, or of an unknown score.
 *
 * @example Bytes of something else
 * ```ts
 * import { parseDetector } from "@oodgpu/oodgpu/methods";
 * import { encodeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertRejects } from "@std/assert";
 *
 * const bytes = encodeSafetensors({ x: { data: new Float32Array(1), shape: [1] } });
 * await assertRejects(() => parseDetector(bytes), Error, "no detector");
 * ```
 */
export async function parseDetector(
  bytes: Uint8Array,
  options: { readonly name?: string; readonly methods?: readonly ScoreMethod[] } = {},
): Promise<Detector> {
  const name = options.name ?? "detector";
  const { tensors, metadata } = decodeSafetensors(bytes, { name });
  return await readDetector({
    name,
    metadata,
    entries: new Map(Object.entries(tensors)),
    rows: (key, { start, rows }) => {
      const { data, shape } = tensors[key]!;
      const width = data.length / Math.max(1, shape[0]!);
      const part = data.subarray(start * width, (start + rows) * width);
      return Promise.resolve({ data: part, shape: [rows, ...shape.slice(1)] });
    },
    whole: (key) => Promise.resolve(tensors[key]!),
  }, options.methods ?? METHODS);
}
