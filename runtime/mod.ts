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

export type { AdapterSummary } from "./adapter.ts";
export type { PoolCounters, PoolOptions } from "./buffer_pool.ts";
export { type Context, type GpuContext, isGpu, type TensorOptions } from "./context.ts";
export * from "./device.ts";
export * from "./errors.ts";
export { Host } from "./host.ts";
export * from "./kernel.ts";
export * from "./nearest.ts";
export { Profiler } from "./profiler.ts";
export type { RecorderCounters } from "./recorder.ts";
export type { KernelTime, Replay } from "./replay.ts";
export * from "./scalar.ts";
export * from "./specialize.ts";
export {
  BYTES_PER_ELEMENT,
  type DType,
  type Shape,
  sizeOf,
  SLICE_ELEMENTS,
  Tensor,
  type TensorStorage,
  type TypedArray,
} from "./tensor.ts";
