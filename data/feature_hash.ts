/**
 * A feature set's fingerprint.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { ROW_KEYS } from "./_feature_shapes.ts";
import type { FeatureSet, HostArray } from "./feature_set.ts";
import { countsKeyOf } from "./ragged.ts";

// Large enough to hide the cost of a read, small beside any machine's memory.
const HASH_BYTES = 4 * 1024 * 1024;

/**
 * The SHA-256 of what a set holds: the names, shapes and numbers of its arrays, in the order of
 * their names. Sharding, metadata and how numbers are stored do not enter.
 *
 * @param set The set; it is read once, in small batches.
 * @returns 64 hexadecimal digits.
 * @throws {UserError} If a file is damaged.
 *
 * @example One number more is another set
 * ```ts
 * import { featureHash, memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertNotEquals } from "@std/assert";
 *
 * const a = memoryFeatures({ labels: { data: new Int32Array([1]), shape: [1] } });
 * const b = memoryFeatures({ labels: { data: new Int32Array([1, 1]), shape: [2] } });
 * assertNotEquals(await featureHash(a), await featureHash(b));
 * ```
 */
export async function featureHash(set: FeatureSet): Promise<string> {
  const hash = createHash("sha256");
  const update = ({ data }: HostArray) => {
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  };
  for (const key of [...set.keys].sort()) {
    const shape = set.shape(key);
    hash.update(`${key} [${shape.join(",")}]\n`);
    if (!ROW_KEYS.includes(key) && countsKeyOf(key) === undefined) {
      update(await set.read(key));
      continue;
    }
    const elements = shape.reduce((product, size) => product * size, 1);
    const rows = Math.max(1, Math.floor(HASH_BYTES * set.count / (4 * Math.max(elements, 1))));
    for await (const batch of set.batches([key], { rows, allowNonFinite: true })) {
      update(batch.get(key));
    }
  }
  return hash.digest("hex");
}
