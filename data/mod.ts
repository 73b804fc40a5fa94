export * from "./atomic_write.ts";
export * from "./feature_set.ts";
export * from "./half.ts";
export * from "./safetensors.ts";
export * from "./image.ts";
export * from "./decode.ts";
export * from "./decode_pool.ts";
export * from "./images.ts";
