/**
 * Stands in for `jsr:@std/fs` where JSR cannot be reached: the part that this project uses.
 *
 * @module
 */

export * from "./ensure_dir.ts";
export * from "./exists.ts";
export * from "./walk.ts";
