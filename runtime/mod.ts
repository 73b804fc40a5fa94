/**
 * The only code that touches a GPU device: opening it, recording kernels, compiled pipelines,
 * pooled buffers, readback, GPU time, and the errors of the project.
 *
 * ```ts
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await Gpu.open();
 * const x = gpu.upload(new Float32Array([1, 2, 3]), [3]);
 * const [back] = await gpu.read(x);
 * assertEquals([...back!], [1, 2, 3]);
 * ```
 *
 * @module
 */

export * from "./adapter.ts";
export * from "./buffer_pool.ts";
export * from "./context.ts";
export * from "./device.ts";
export * from "./errors.ts";
export * from "./host.ts";
export * from "./kernel.ts";
export * from "./pipeline_cache.ts";
export * from "./profiler.ts";
export * from "./readback.ts";
export * from "./recorder.ts";
export * from "./specialize.ts";
export * from "./tensor.ts";
