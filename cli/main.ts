/**
 * The command line `ood` on the process's own streams.
 *
 * @module
 */

import { execute } from "./_execute.ts";
import { processSink, Terminal } from "./_terminal.ts";

export { VERSION } from "./_version.ts";

/**
 * Runs one command line: results go to stdout, everything else to stderr.
 *
 * @param argv Arguments after the program's name.
 * @returns The exit code.
 *
 * @example Ask for help
 * ```ts
 * import { main } from "@oodgpu/oodgpu/cli";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(await main(["--help"]), 0);
 * ```
 */
export function main(argv: readonly string[]): Promise<number> {
  const terminal = new Terminal(processSink(Deno.stdout), processSink(Deno.stderr));
  return execute(argv, terminal);
}
