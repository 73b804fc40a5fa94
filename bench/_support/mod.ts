/**
 * What bench files need: {@linkcode benchKernel} and {@linkcode fill}; the rest is for measuring
 * by hand.
 *
 * @module
 */

export * from "./gpu_timer.ts";
export * from "./peaks.ts";
export * from "./report.ts";
export * from "./roofline.ts";
export * from "./suite.ts";
