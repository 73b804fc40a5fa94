/**
 * Checks the documentation of every entry point and the links of every page: `deno task docs`.
 *
 * @module
 */

import { pathToFileURL } from "node:url";
import {
  checkCommands,
  checkLinks,
  checkMessages,
  checkSymbol,
  type PublicSymbol,
} from "./_docs_rules.ts";
import { listFiles, reportFindings } from "./_findings.ts";

interface DocModel {
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly PublicSymbol[] }>>;
}

async function publicSymbols(root: URL, entries: readonly string[]): Promise<PublicSymbol[]> {
  const { stdout, stderr, success } = await new Deno.Command("deno", {
    args: ["doc", "--quiet", "--json", ...entries],
  }).output();
  if (!success) reportFindings("docs", [new TextDecoder().decode(stderr).trim()]);
  const model: DocModel = JSON.parse(new TextDecoder().decode(stdout));
  // Deno passes over what it cannot read, and nothing can be found where nothing is looked at.
  const silent = entries.filter((entry) => !model.nodes[new URL(entry, root).href]?.symbols.length);
  if (silent.length > 0) reportFindings("docs", silent.map((entry) => `${entry} exports nothing`));
  return Object.values(model.nodes).flatMap(({ symbols }) => symbols);
}

const PRODUCT_REGEXP = /^(?:(?:runtime|kernels|nn|onnx|data|methods|eval|cli)\/.*|mod|cli)\.ts$/;

const root = pathToFileURL(`${Deno.cwd()}/`);
const config: { exports: Record<string, string>; tasks?: Record<string, unknown> } = JSON.parse(
  await Deno.readTextFile("deno.json"),
);
const symbols = await publicSymbols(root, Object.values(config.exports));
const names = await listFiles(Deno.cwd());
const files = new Set(names);
const tasks = new Set(Object.keys(config.tasks ?? {}));

async function checkPage(path: string): Promise<string[]> {
  const text = await Deno.readTextFile(path);
  return [...checkLinks(path, { text, files }), ...checkCommands(path, { text, files, tasks })];
}

async function checkSource(path: string): Promise<string[]> {
  return checkMessages(path, await Deno.readTextFile(path));
}

const documented = symbols.flatMap(checkSymbol)
  .map((text) => text.replaceAll(root.href, ""));
const others = await Promise.all([
  ...names.filter((name) => name.endsWith(".md")).map(checkPage),
  ...names.filter((name) => PRODUCT_REGEXP.test(name)).map(checkSource),
]);
reportFindings("docs", [...new Set(documented), ...others.flat()]);
