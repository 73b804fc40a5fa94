/**
 * Metrics of OOD detection under named conventions, bootstrap intervals, the evaluation protocol,
 * tables and an HTML report. It takes plain arrays of scores, higher = more in-distribution, and
 * knows nothing of methods, models or files.
 *
 * ```ts
 * import { evaluate, textTable } from "@oodgpu/oodgpu/eval";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const evaluation = evaluate({
 *   id: { energy: Float32Array.of(5, 4, 3, 2) },
 *   ood: { noise: { energy: Float32Array.of(2.5, 1) } },
 * });
 * assertStringIncludes(textTable(evaluation), "FPR95(OOD|ID95)");
 * ```
 *
 * @module
 */

export * from "./ablation.ts";
export * from "./ablation_report.ts";
export * from "./bootstrap.ts";
export * from "./comparison.ts";
export * from "./comparison_report.ts";
export * from "./conventions.ts";
export * from "./embedding.ts";
export * from "./figures.ts";
export * from "./highlights.ts";
export * from "./metrics.ts";
export * from "./protocol.ts";
export * from "./report.ts";
export * from "./scores.ts";
export * from "./table.ts";
