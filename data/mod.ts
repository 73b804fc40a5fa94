/**
 * Images, and what models make of them: decoding, folders and lists, drawn images, the feature
 * store, and the files that it is kept in.
 *
 * ```ts
 * import { memoryFeatures, syntheticImage } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const image = syntheticImage({ kind: "stripes", width: 32, height: 32, seed: 1, index: 0 });
 * assertEquals(image.data.length, 3 * 32 * 32);
 *
 * const set = memoryFeatures({ logits: { data: new Float32Array(20), shape: [2, 10] } });
 * assertEquals(set.shape("logits"), [2, 10]);
 * ```
 *
 * @module
 */

export * from "./atomic_write.ts";
export * from "./decode.ts";
export * from "./decode_pool.ts";
export * from "./encode.ts";
export * from "./feature_checks.ts";
export * from "./feature_hash.ts";
export * from "./feature_set.ts";
export * from "./feature_writer.ts";
export * from "./half.ts";
export * from "./image.ts";
export * from "./image_size.ts";
export * from "./images.ts";
export * from "./pixels.ts";
export * from "./ragged.ts";
export * from "./row_store.ts";
export * from "./safetensors.ts";
export * from "./safetensors_bytes.ts";
export * from "./safetensors_file.ts";
export * from "./safetensors_header.ts";
export * from "./safetensors_writer.ts";
export * from "./shards.ts";
export * from "./synthetic.ts";
export * from "./word_list.ts";
export * from "./wordnet.ts";
export * from "./world/mod.ts";
