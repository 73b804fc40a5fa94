/**
 * What is said of images that could not be read.
 *
 * @module
 */

import type { Terminal } from "./_terminal.ts";

const MAX_SHOWN = 5;

/**
 * Names the first images that were skipped and counts the others.
 *
 * @param skipped The images and why.
 * @param terminal Where it is said.
 * @param listed Where all of them stand, to end the count with.
 */
export function noteSkipped(
  skipped: readonly { readonly name: string; readonly reason: string }[],
  terminal: Terminal,
  listed = "; the file's metadata lists all",
): void {
  for (const { name, reason } of skipped.slice(0, MAX_SHOWN)) {
    terminal.note(`Skipped ${name}: ${reason}`);
  }
  const more = skipped.length - MAX_SHOWN;
  if (more > 0) terminal.note(`Skipped ${more} more${listed}`);
}
