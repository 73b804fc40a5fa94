/**
 * Bundling modules of this project to JavaScript for other places than Deno.
 *
 * @module
 */

import { stop, transform } from "esbuild";

/**
 * One JavaScript module of a TypeScript module and all that it imports.
 *
 * @param entry The module, from the root of the project.
 * @param root The root of the project.
 * @returns The code, as new as Deno's own.
 */
export async function bundle(entry: string, root: string): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("deno", {
    args: ["bundle", "--quiet", "--platform", "browser", entry],
    cwd: root,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`Cannot bundle ${entry}: ${text(stderr).trim()}`);
  return withoutShaderComments(text(stdout));
}

const TEXT_REGEXP =
  /^(var [\w$]+ = )("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[^])*`);$/gm;
/** A comment to the end of its line, and the line where it has nothing else. */
const COMMENT_REGEXP = /(?:\\n|\n)?(?:(?!\\n)\s)*\/\/(?! @)(?:(?!\\n).)*/g;

/**
 * The same bundle with shaders that say less: their comments are for those who read the sources,
 * and a sixth of what a page would load. Marks such as `// @unroll` stay.
 *
 * @param code A bundle, with each shader as the text of a variable.
 * @returns The bundle.
 */
export function withoutShaderComments(code: string): string {
  return code.replaceAll(TEXT_REGEXP, (whole, start: string, literal: string) => {
    if (!literal.includes("@compute")) return whole;
    const [quote, text] = [literal[0]!, literal.slice(1, -1)];
    return `${start}${quote}${text.replaceAll(COMMENT_REGEXP, "")}${quote};`;
  });
}

/** Older engines lack the symbol by which `using` finds what to call; esbuild looks here for it. */
const BANNER = `Symbol.dispose ??= Symbol.for("Symbol.dispose");`;

/**
 * The same code for engines of 2022 and later, which know no `using`, and minified.
 *
 * @param code A module.
 * @returns The module.
 */
export async function forOlderEngines(code: string): Promise<string> {
  try {
    const options = { format: "esm", target: "es2022", minify: true, banner: BANNER } as const;
    return (await transform(code, options)).code;
  } finally {
    await stop();
  }
}

/**
 * What in a module runs in one runtime only: imports of Node's modules, and Deno's API.
 *
 * @param code A module.
 * @returns The names found, each once.
 */
export function foreignNames(code: string): string[] {
  const names = code.match(/["']node:[\w/]+["']|\bDeno\.\w+/g) ?? [];
  return [...new Set(names)].sort();
}
