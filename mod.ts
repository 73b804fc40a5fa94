/**
 * oodgpu: out-of-distribution detection for vision models, on hand-written WebGPU kernels.
 *
 * The rooms, each with its own entry point: `@oodgpu/oodgpu/runtime` (the GPU),
 * `@oodgpu/oodgpu/kernels` (operations), `@oodgpu/oodgpu/nn` (training),
 * `@oodgpu/oodgpu/onnx` (models),
 * `@oodgpu/oodgpu/data` (images and feature files), `@oodgpu/oodgpu/methods` (scores and
 * detectors), `@oodgpu/oodgpu/eval` (metrics and reports), `@oodgpu/oodgpu/cli` (the command line).
 *
 * ```ts
 * import { evaluation } from "@oodgpu/oodgpu";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(evaluation.auroc(Float32Array.of(0.9, 0.8), Float32Array.of(0.1, 0.85)), 0.75);
 * ```
 *
 * @module
 */

export * as runtime from "./runtime/mod.ts";
export * as kernels from "./kernels/mod.ts";
export * as nn from "./nn/mod.ts";
export * as onnx from "./onnx/mod.ts";
export * as data from "./data/mod.ts";
export * as methods from "./methods/mod.ts";
export * as evaluation from "./eval/mod.ts";
