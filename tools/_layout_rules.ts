/**
 * The rules of the house as pure functions: floors, circles, the five parts of every kernel,
 * top-level names, and what must not stand in any file.
 *
 * @module
 */

/** One import between files of the project. */
export interface Import {
  /** The importing file, from the root. */
  readonly from: string;
  /** The imported file, or a bare name for a package. */
  readonly to: string;
  /** Whether only types are imported. */
  readonly typeOnly: boolean;
}

/** Rooms and what each may import besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  runtime: [],
  kernels: ["runtime"],
  nn: ["runtime", "kernels", "data"],
  data: ["runtime", "kernels"],
  eval: ["runtime", "kernels"],
  onnx: ["runtime", "kernels", "nn", "data"],
  methods: ["runtime", "kernels", "nn", "data", "eval", "onnx"],
  cli: ["runtime", "kernels", "nn", "data", "eval", "onnx", "methods"],
};

/** The files at the top are the doors of every room. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  "mod.ts": Object.keys(MAY_IMPORT).filter((room) => room !== "cli"),
  "cli.ts": ["cli"],
};

/** What may stand at the top level. */
const TOP_LEVEL: ReadonlySet<string> = new Set([
  ...Object.keys(MAY_IMPORT),
  ...["models", "links", "bench", "tests", "tools", "docs"],
  ...["deno.json", "deno.lock", "mod.ts", "cli.ts", "wgsl.d.ts", "README.md", "LICENSE", "run"],
  ...[".ci", ".git", ".gitignore", ".deno", ".bench", "node_modules", "out", ".gl", "coverage"],
]);

/** Lines of code, without comments and empty lines. */
const MAX_LINES = 500;

/** Longer files, each with the reason why it is one thing all the same. */
const LONG_FILES: Readonly<Record<string, string>> = {};

function roomOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : "";
}

/**
 * Finds imports that run upward or sideways, product code that imports tests, benches or tools,
 * and circles of imports.
 *
 * @param imports Every import between files.
 * @returns One sentence for each.
 */
export function checkImports(imports: readonly Import[]): string[] {
  return [...imports.flatMap(checkFloor), ...checkCircles(imports)];
}

function checkFloor({ from, to }: Import): string[] {
  const room = roomOf(from);
  const allowed = MAY_IMPORT[room] ?? DOORS[from];
  if (allowed === undefined) return [];
  if (to === "@std/assert") return [assertion(from)];
  if (!to.includes("/") || to.startsWith("@") || !/\.(ts|wgsl|json)$/.test(to)) return [];
  const target = roomOf(to);
  if (target === "links") return to.startsWith("links/std_assert") ? [assertion(from)] : [];
  if (target === room || allowed.includes(target) || target === "models") return [];
  const may = allowed.length === 0 ? "nothing" : allowed.join(", ");
  return [`${from} imports ${to}: ${room || from} may import ${may} besides itself`];
}

function assertion(from: string): string {
  return `${from} imports @std/assert, which only tests may`;
}

/** Circles of value imports between files; types alone may refer to each other. */
function checkCircles(imports: readonly Import[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to, typeOnly } of imports) {
    if (!typeOnly) next.set(from, [...next.get(from) ?? [], to]);
  }
  const done = new Set<string>();
  const path: string[] = [];
  const circles: string[] = [];
  function visit(file: string): void {
    const at = path.indexOf(file);
    if (at >= 0) {
      circles.push(`${[...path.slice(at), file].join(" -> ")} is a circle of imports`);
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    next.get(file)?.forEach(visit);
    path.pop();
    done.add(file);
  }
  [...next.keys()].sort().forEach(visit);
  return circles;
}

/**
 * Finds kernel folders that lack one of their parts.
 *
 * @param files Every file.
 * @param read Gives a file's text.
 * @returns One sentence for each missing part.
 */
export function checkKernels(files: readonly string[], read: (path: string) => string): string[] {
  const all = new Set(files);
  const names = new Set(
    files.flatMap((file) => /^kernels\/([^_/][^/]*)\//.exec(file)?.[1] ?? []),
  );
  return [...names].sort().flatMap((name) => {
    const folder = `kernels/${name}`;
    const parts = [
      `${folder}/mod.ts`,
      `${folder}/reference.ts`,
      `tests/kernels/${name}_test.ts`,
      `bench/${name}_bench.ts`,
    ];
    const missing = parts.filter((part) => !all.has(part)).map((part) => `${part} is missing`);
    const hasWgsl = files.some((file) => file.startsWith(`${folder}/`) && file.endsWith(".wgsl"));
    if (!hasWgsl) missing.push(`${folder} has no .wgsl file`);
    if (all.has("kernels/mod.ts") && !read("kernels/mod.ts").includes(`"./${name}/mod.ts"`)) {
      missing.push(`kernels/mod.ts does not export ${folder}/mod.ts`);
    }
    return [...missing, ...checkCosts(folder, { files, read })];
  });
}

/** Every kernel says how much arithmetic and memory traffic it costs. */
function checkCosts(
  folder: string,
  tree: { files: readonly string[]; read: (path: string) => string },
): string[] {
  const text = tree.files
    .filter((file) => file.startsWith(`${folder}/`) && file.endsWith(".ts"))
    .map(tree.read).join("\n");
  return ["Flops", "Bytes"]
    .filter((cost) => !text.includes(`export function ${cost.toLowerCase()}(`))
    .filter((cost) => !new RegExp(`export function \\w+${cost}\\b`).test(text))
    .map((cost) => `${folder} exports no function that ends in ${cost}`);
}

/**
 * Finds top-level names that the house does not have.
 *
 * @param names Names at the top level.
 * @returns One sentence for each.
 */
export function checkTopLevel(names: readonly string[]): string[] {
  return names.filter((name) => !TOP_LEVEL.has(name))
    .map((name) => `${name} does not belong at the top level`);
}

const FOREIGN_REGEXP =
  /(?<![\w.~$}-])\/(?:work|root|home\/\w+|opt\/deno)\/|(?<![\w.$}-])\/tmp\/[a-z]|\/\/registry\.[a-z]+|\/\/deb\.[a-z]+/;
const MAY_NAME_PATHS: ReadonlySet<string> = new Set(["run", "deno.lock", "tools/_layout_rules.ts"]);

/**
 * Finds paths of a machine, hosts of package registries, and TypeScript files that are too long to
 * be about one thing.
 *
 * @param path The file.
 * @param text Its text.
 * @returns One sentence for each.
 */
export function checkText(path: string, text: string): string[] {
  const findings: string[] = [];
  if (!MAY_NAME_PATHS.has(path)) {
    text.split("\n").forEach((line, i) => {
      if (FOREIGN_REGEXP.test(line)) {
        findings.push(`${path}:${i + 1} names a path of a machine or a registry's host`);
      }
    });
  }
  const lines = path.endsWith(".ts") ? codeLines(text) : 0;
  if (lines > MAX_LINES && LONG_FILES[path] === undefined) {
    findings.push(`${path} has ${lines} lines of code, more than ${MAX_LINES}: split it by idea`);
  }
  return findings;
}

/** Counts lines that are neither empty nor comments, so that documentation is never a burden. */
function codeLines(text: string): number {
  return text.split("\n").filter((line) => !/^\s*(?:$|\/\/|\/?\*)/.test(line)).length;
}
