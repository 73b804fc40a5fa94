/**
 * Checks that the house stands: `deno task layout`.
 *
 * @module
 */

import { pathToFileURL } from "node:url";
import { listFiles, reportFindings } from "./_findings.ts";
import {
  checkImports,
  checkKernels,
  checkText,
  checkTopLevel,
  type Import,
} from "./_layout_rules.ts";

const TEXT_REGEXP = /\.(ts|wgsl|md|json|sh|txt|html|py)$|^(run|\.ci\/run|LICENSE)$/;
const PRODUCT_REGEXP = /^(?:(?:runtime|kernels|nn|onnx|data|methods|eval|cli)\/.*|mod|cli)\.ts$/;

interface Dependency {
  readonly specifier: string;
  readonly code?: { readonly specifier?: string };
  readonly type?: { readonly specifier?: string };
}

interface ModuleGraph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly Dependency[];
    readonly error?: string;
  }[];
}

/** Every import of the product's files, as Deno itself resolves them. */
async function readImports(root: string, files: readonly string[]): Promise<Import[]> {
  const base = `${pathToFileURL(root)}/`;
  const entry = files.map((file) => `import ${JSON.stringify(base + file)};`).join("");
  const { stdout, stderr, success } = await new Deno.Command("deno", {
    args: ["info", "--quiet", "--json", `data:application/typescript,${encodeURIComponent(entry)}`],
    cwd: root,
  }).output();
  if (!success) reportFindings("layout", [new TextDecoder().decode(stderr).trim()]);
  const graph: ModuleGraph = JSON.parse(new TextDecoder().decode(stdout));
  const unread = graph.modules.filter(({ specifier, error }) =>
    specifier.startsWith(base) && error
  );
  if (unread.length > 0) reportFindings("layout", unread.map(({ error }) => error!));
  return graph.modules
    .filter((module) => module.specifier.startsWith(base))
    .flatMap(({ specifier, dependencies = [] }) =>
      dependencies.map((dependency): Import => {
        const target = dependency.code?.specifier ?? dependency.type?.specifier ?? "";
        return {
          from: specifier.slice(base.length),
          to: target.startsWith(base) ? target.slice(base.length) : dependency.specifier,
          typeOnly: dependency.code === undefined,
        };
      })
    );
}

const root = Deno.cwd();
const files = await listFiles(root);
const topLevel = [...new Set(files.map((file) => file.split("/")[0]!))];
const texts = new Map(
  await Promise.all(
    files.filter((file) => TEXT_REGEXP.test(file))
      .map(async (file) => [file, await Deno.readTextFile(`${root}/${file}`)] as const),
  ),
);
const imports = await readImports(root, files.filter((file) => PRODUCT_REGEXP.test(file)));

reportFindings("layout", [
  ...checkTopLevel(topLevel),
  ...checkImports(imports),
  ...checkKernels(files, (path) => texts.get(path) ?? ""),
  ...[...texts].flatMap(([path, text]) => checkText(path, text)),
]);
