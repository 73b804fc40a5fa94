/**
 * Random numbers, the same words on the host and on the GPU.
 *
 * @module
 */

export * from "./rng.ts";
