/**
 * Host-side numerics in float64: eigenvectors, whitening, sums of outer products, exact intervals.
 *
 * ```ts
 * import { eigh } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...eigh(new Float64Array([3, 0, 0, 1]), 2).values], [1, 3]);
 * ```
 *
 * @module
 */

export * from "./binomial.ts";
export * from "./eigh.ts";
export * from "./gram.ts";
export * from "./symmetric.ts";
