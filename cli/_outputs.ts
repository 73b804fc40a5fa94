/**
 * Finding out that a result cannot be written before the work for it is done.
 *
 * @module
 */

import { AtomicFile } from "../data/mod.ts";

/**
 * Checks that files can be written; nothing is left behind.
 *
 * @param paths The files; absent ones are skipped.
 * @throws {UserError} When a folder is missing or not writable, or a path is a folder.
 */
export async function requireWritable(...paths: readonly (string | undefined)[]): Promise<void> {
  for (const path of paths) {
    if (path === undefined) continue;
    await using _file = await AtomicFile.open(path);
  }
}
