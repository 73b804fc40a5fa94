/**
 * The operations: one folder each, in WGSL and as a reference in plain TypeScript, behind one
 * function that takes the context first.
 *
 * ```ts
 * import { Rng } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new Rng(1).uniform(), new Rng(1).uniform());
 * ```
 *
 * @module
 */

export * from "./combine_rows/mod.ts";
export * from "./matmul/mod.ts";
export * from "./preprocess/mod.ts";
export * from "./random/mod.ts";
