/**
 * Stands in for `jsr:@std/cli` where JSR cannot be reached: the part that this project uses.
 *
 * @module
 */

export * from "./parse_args.ts";
