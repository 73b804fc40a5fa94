/**
 * The command line `ood`.
 *
 * ```ts
 * import { main } from "@oodgpu/oodgpu/cli";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(await main(["--version"]), 0);
 * ```
 *
 * @module
 */

import { main } from "./cli/main.ts";

export { main, VERSION } from "./cli/main.ts";

if (import.meta.main) {
  // `deno task` runs in the project's folder; paths are meant from where the user stands.
  const home = Deno.env.get("INIT_CWD");
  if (home !== undefined) Deno.chdir(home);
  Deno.exit(await main(Deno.args));
}
