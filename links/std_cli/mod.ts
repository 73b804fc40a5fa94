/**
 * Stands in for `jsr:@std/cli` where JSR cannot be reached: the part that this project uses, with
 * the same names and meanings.
 *
 * ```ts
 * import { parseArgs } from "@std/cli";
 *
 * console.log(parseArgs(["--out", "scores.json"], { string: ["out"] }).out);
 * ```
 *
 * @module
 */

export * from "./parse_args.ts";
