/**
 * Finding out that a result cannot be written before the work for it is done.
 *
 * @module
 */

import { AtomicFile } from "../data/mod.ts";
import { UserError } from "../runtime/mod.ts";

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

/**
 * Checks that an earlier training is not lost by accident.
 *
 * @param path The checkpoint.
 * @param resume Whether the user wants to go on with it.
 * @throws {UserError} When there is one and it is not wanted, or none and it is.
 */
export async function requireNoCheckpoint(path: string, resume: boolean): Promise<void> {
  const exists = await Deno.stat(path).then(() => true, () => false);
  if (exists && !resume) {
    throw new UserError(
      `Cannot begin: an unfinished training is in "${path}"; go on with --resume, or remove it`,
    );
  }
  if (!exists && resume) {
    throw new UserError(`Cannot resume: there is no unfinished training in "${path}"`);
  }
}
