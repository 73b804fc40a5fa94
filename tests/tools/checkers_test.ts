// The checkers as they are run, on small projects made for the purpose.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { delimiter, dirname, join } from "node:path";

const DENO_JSON = JSON.stringify({
  name: "@x/x",
  version: "0.1.0",
  exports: { ".": "./mod.ts" },
  tasks: { demo: "true" },
});

const SOUND: Readonly<Record<string, string>> = {
  "deno.json": DENO_JSON,
  "mod.ts": 'export * from "./kernels/mod.ts";\n',
  "README.md": "See [the notes](docs/a.md).\n\n```sh\n./run demo\n```\n",
  "docs/a.md": "Notes.\n",
  "runtime/mod.ts": "export type Shape = readonly number[];\n",
  "kernels/mod.ts": 'export * from "./add/mod.ts";\n',
  "kernels/add/add.wgsl": "// adds\n",
  "kernels/add/reference.ts": "export const one: number = 1;\n",
  "kernels/add/mod.ts": `import { one } from "./reference.ts";
import type { Shape } from "../../runtime/mod.ts";

/**
 * Adds one.
 *
 * @param shape What to add to.
 * @returns The sum.
 * @example Add
 * \`\`\`ts
 * assertEquals(add([1]), 2);
 * \`\`\`
 */
export function add(shape: Shape): number {
  if (shape.length === 0) throw new RangeError("Cannot add to nothing");
  return shape[0]! + one;
}

/**
 * Says what it costs.
 *
 * @returns Operations.
 * @example Cost
 * \`\`\`ts
 * assertEquals(addFlops(), 1);
 * \`\`\`
 */
export function addFlops(): number {
  return 1;
}

/**
 * Says what it moves.
 *
 * @returns Bytes.
 * @example Cost
 * \`\`\`ts
 * assertEquals(addBytes(), 8);
 * \`\`\`
 */
export function addBytes(): number {
  return 8;
}
`,
  "tests/kernels/add_test.ts": "",
  "bench/add_bench.ts": "",
};

async function run(
  checker: "layout" | "docs",
  changes: Readonly<Record<string, string | undefined>>,
): Promise<{ code: number; text: string }> {
  const root = await Deno.realPath(await Deno.makeTempDir());
  try {
    for (const [path, text] of Object.entries({ ...SOUND, ...changes })) {
      if (text === undefined) continue;
      await Deno.mkdir(dirname(join(root, path)), { recursive: true });
      await Deno.writeTextFile(join(root, path), text);
    }
    const tool = join(import.meta.dirname!, "..", "..", "tools", `check_${checker}.ts`);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-read", "--allow-run=deno", tool],
      cwd: root,
      env: {
        NO_COLOR: "1",
        PATH: [dirname(Deno.execPath()), Deno.env.get("PATH") ?? ""].join(delimiter),
      },
    }).output();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("check_layout and check_docs are content with a sound project", async () => {
  assertEquals(await run("layout", {}), { code: 0, text: "layout: nothing found\n" });
  assertEquals(await run("docs", {}), { code: 0, text: "docs: nothing found\n" });
});

Deno.test("check_layout names every breach by file and rule", async () => {
  const { code, text } = await run("layout", {
    "runtime/mod.ts": 'import "../kernels/mod.ts";\nexport type Shape = readonly number[];\n',
    "kernels/add/reference.ts": 'export { add as one } from "./mod.ts";\n',
    "bench/add_bench.ts": undefined,
    "src/a.ts": "",
  });
  assertEquals(code, 1, text);
  for (
    const finding of [
      "src does not belong at the top level",
      "runtime/mod.ts imports kernels/mod.ts: runtime may import nothing besides itself",
      "is a circle of imports",
      "bench/add_bench.ts is missing",
    ]
  ) assertStringIncludes(text, finding);
});

Deno.test("check_docs names every breach by file and rule", async () => {
  const { code, text } = await run("docs", {
    "mod.ts": `/** Bare. */
export function bare(a: number): number {
  throw new Error("no " + a);
}
`,
    "README.md": "[gone](docs/b.md)\n\n```sh\n./run dome docs/c.md\n```\n",
  });
  assertEquals(code, 1, text);
  for (
    const finding of [
      'bare (mod.ts:2) does not describe "a"',
      "bare (mod.ts:2) does not describe what it returns",
      "bare (mod.ts:2) has no example",
      "mod.ts:3 has an error message that begins in lower case",
      "README.md links to docs/b.md, which is not there",
      "README.md names docs/c.md, which is not there",
      "README.md runs the task dome, which deno.json does not have",
    ]
  ) assertStringIncludes(text, finding);
});

Deno.test("the checkers do not take a project that they cannot read for a sound one", async () => {
  const layout = await run("layout", { "mod.ts": 'export * from "./none.ts";\n' });
  assertEquals(layout.code, 1, layout.text);
  assertStringIncludes(layout.text, "none.ts");
  const { code, text } = await run("docs", { "mod.ts": 'export * from "./none.ts";\n' });
  assertEquals(code, 1, text);
  assertStringIncludes(text, "./mod.ts exports nothing");
  const broken = await run("docs", { "mod.ts": "export function (\n" });
  assertEquals(broken.code, 1, broken.text);
  assertEquals(broken.text.includes("check_docs.ts"), false, broken.text);
});
