/**
 * The times of a step's kernels, for `--profile`.
 *
 * @module
 */

import type { KernelTime } from "../runtime/mod.ts";
import type { Terminal } from "./_terminal.ts";

/** Shows the time of every kernel, the longest first. */
export function describeKernels(
  kernels: readonly KernelTime[] | undefined,
  terminal: Terminal,
): void {
  if (kernels === undefined || kernels.length === 0) return;
  const total = kernels.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0);
  terminal.note(`One step takes ${(total / 1e6).toFixed(1)} ms on the GPU:`);
  for (const { kernel, dispatches, nanoseconds } of kernels) {
    terminal.note(
      `  ${kernel.padEnd(36)}${(nanoseconds / 1e6).toFixed(2).padStart(9)} ms` +
        `${(100 * nanoseconds / total).toFixed(1).padStart(7)} %  ${dispatches} x`,
    );
  }
}
