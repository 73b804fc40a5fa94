/**
 * Checks the documentation of every entry point and the links of every page: `deno task docs`.
 *
 * @module
 */

import { checkLinks, checkSymbol, type PublicSymbol } from "./_docs_rules.ts";
import { listFiles, reportFindings } from "./_findings.ts";

const SKIPPED: ReadonlySet<string> = new Set([
  ...[".git", ".deno", ".bench", "node_modules", "out", ".gl", "coverage"],
]);

interface DocModel {
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly PublicSymbol[] }>>;
}

async function publicSymbols(entries: readonly string[]): Promise<PublicSymbol[]> {
  const { stdout, stderr, success } = await new Deno.Command("deno", {
    args: ["doc", "--json", ...entries],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const model: DocModel = JSON.parse(new TextDecoder().decode(stdout));
  return Object.values(model.nodes).flatMap(({ symbols }) => symbols);
}

const root = Deno.cwd();
const config: { exports: Record<string, string> } = JSON.parse(
  await Deno.readTextFile("deno.json"),
);
const symbols = await publicSymbols(Object.values(config.exports));
const files = await listFiles(root, SKIPPED);
const known = new Set(files);
const pages = await Promise.all(
  files.filter((file) => file.endsWith(".md"))
    .map(async (path) => checkLinks(path, { text: await Deno.readTextFile(path), files: known })),
);

const findings = symbols.flatMap(checkSymbol).map((text) => text.replaceAll(`file://${root}/`, ""));
reportFindings("docs", [...new Set(findings), ...pages.flat()]);
