/**
 * `@oodgpu/oodgpu/embed` with TagOOD's detectors, which bring their kernels along: half as much code
 * again, so it stands apart.
 *
 * This module is browser compatible.
 *
 * ```ts
 * import { embedDetector, TRAINED_SCORES } from "@oodgpu/oodgpu/embed-tagood";
 * import { assertRejects } from "@std/assert";
 *
 * const bytes = new Uint8Array(4); // the content of a file from ood tagood train
 * const opened = embedDetector(bytes, { methods: TRAINED_SCORES });
 * await assertRejects(() => opened, Error, "Cannot read");
 * ```
 *
 * @module
 */

export * from "./embed.ts";
export { TRAINED_SCORES } from "./tagood/score.ts";
