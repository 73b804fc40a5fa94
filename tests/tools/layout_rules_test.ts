import { assertEquals } from "@std/assert";
import {
  checkImports,
  checkKernels,
  checkText,
  checkTopLevel,
  type Import,
} from "../../tools/_layout_rules.ts";

function imports(...pairs: [from: string, to: string, typeOnly?: boolean][]): Import[] {
  return pairs.map(([from, to, typeOnly = false]) => ({ from, to, typeOnly }));
}

Deno.test("checkImports() lets imports run down and packages be imported", () => {
  const fine = imports(
    ["methods/a.ts", "kernels/mod.ts"],
    ["cli/main.ts", "methods/a.ts"],
    ["data/a.ts", "@jsquash/png/decode"],
    ["kernels/x/mod.ts", "kernels/x/x.wgsl"],
    ["tests/kernels/x_test.ts", "kernels/x/mod.ts"],
  );
  assertEquals(checkImports(fine), []);
});

Deno.test("checkImports() finds imports that run upward or between neighbours", () => {
  const findings = checkImports(imports(
    ["runtime/a.ts", "kernels/mod.ts"],
    ["data/a.ts", "eval/mod.ts", true],
    ["kernels/x/mod.ts", "tests/_support/gpu.ts"],
  ));
  assertEquals(findings, [
    "runtime/a.ts imports kernels/mod.ts: runtime may import nothing besides itself",
    "data/a.ts imports eval/mod.ts: data may import runtime, kernels besides itself",
    "kernels/x/mod.ts imports tests/_support/gpu.ts: kernels may import runtime besides itself",
  ]);
});

Deno.test("checkImports() keeps tests and tools out of the doors", () => {
  const doors = imports(
    ["mod.ts", "eval/mod.ts"],
    ["cli.ts", "cli/main.ts"],
    ["cli.ts", "tools/check_docs.ts"],
    ["mod.ts", "cli/main.ts"],
  );
  assertEquals(checkImports(doors), [
    "cli.ts imports tools/check_docs.ts: cli.ts may import cli besides itself",
    "mod.ts imports cli/main.ts: mod.ts may import runtime, kernels, nn, data, eval, onnx, methods besides itself",
  ]);
});

Deno.test("checkImports() keeps assertions out of the product", () => {
  assertEquals(checkImports(imports(["eval/a.ts", "@std/assert"])).length, 1);
});

Deno.test("checkImports() finds a circle of values and lets types refer to each other", () => {
  const circle = imports(["data/a.ts", "data/b.ts"], ["data/b.ts", "data/a.ts"]);
  assertEquals(checkImports(circle), [
    "data/a.ts -> data/b.ts -> data/a.ts is a circle of imports",
  ]);
  const types = imports(["data/a.ts", "data/b.ts"], ["data/b.ts", "data/a.ts", true]);
  assertEquals(checkImports(types), []);
});

const WHOLE = [
  "kernels/mod.ts",
  "kernels/_shared.ts",
  "kernels/x/mod.ts",
  "kernels/x/reference.ts",
  "kernels/x/x.wgsl",
  "tests/kernels/x_test.ts",
  "bench/x_bench.ts",
];
const TEXTS: Record<string, string> = {
  "kernels/mod.ts": 'export * from "./x/mod.ts";',
  "kernels/x/mod.ts": "export function xFlops() {}\nexport function xBytes() {}",
};
const read = (path: string) => TEXTS[path] ?? "";

Deno.test("checkKernels() is content with a kernel that has all its parts", () => {
  assertEquals(checkKernels(WHOLE, read), []);
});

for (const missing of WHOLE.filter((file) => !file.startsWith("kernels/_"))) {
  if (missing === "kernels/mod.ts") continue;
  Deno.test(`checkKernels() misses ${missing}`, () => {
    const left = WHOLE.filter((file) => file !== missing);
    assertEquals(checkKernels(left, read).length > 0, true);
  });
}

Deno.test("checkKernels() misses costs and exports", () => {
  const findings = checkKernels(WHOLE, () => "");
  assertEquals(findings, [
    "kernels/mod.ts does not export kernels/x/mod.ts",
    "kernels/x exports no function that ends in Flops",
    "kernels/x exports no function that ends in Bytes",
  ]);
});

Deno.test("checkKernels() takes costs that are named after the kernel or not", () => {
  const costs = "export function flops(): void {}\nexport function bytes(): void {}";
  const texts: Record<string, string> = { ...TEXTS, "kernels/x/mod.ts": costs };
  assertEquals(checkKernels(WHOLE, (path) => texts[path] ?? ""), []);
});

Deno.test("checkTopLevel() finds what does not belong there", () => {
  assertEquals(checkTopLevel(["runtime", "src"]), ["src does not belong at the top level"]);
});

Deno.test("checkText() finds paths of a machine and files that are too long", () => {
  const path = ["", "root", "secret"].join("/");
  assertEquals(checkText("docs/a.md", `see ${path}`), [
    "docs/a.md:1 names a path of a machine or a registry's host",
  ]);
  const file = ["runtime", "work", "a.ts"].join("/");
  const page = ["https://example.org", "root", ""].join("/");
  assertEquals(checkText("docs/a.md", `see ${file} and ${page}`), []);
});

Deno.test("checkText() counts lines of code only", () => {
  assertEquals(checkText("data/a.ts", "let a = 1;\n".repeat(501)), [
    "data/a.ts has 501 lines of code, more than 500: split it by idea",
  ]);
  const documented = "\n/**\n * Says.\n */\n// why\nlet a = 1;\n".repeat(500);
  assertEquals(checkText("data/a.ts", documented), []);
});
