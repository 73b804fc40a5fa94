import { assert, assertEquals } from "@std/assert";
import { unroll } from "../../kernels/_unroll.ts";
import { specialize } from "../../runtime/mod.ts";
import { withoutShaderComments } from "../../tools/_bundle.ts";

const KERNELS = new URL("../../kernels/", import.meta.url);

/** A shader as it comes out of a bundle. */
function bundled(wgsl: string): string {
  const code = withoutShaderComments(`var some_default = ${JSON.stringify(wgsl)};\n`);
  return JSON.parse(code.slice("var some_default = ".length, -2));
}

async function shaders(folder: URL): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) {
      for (const [path, wgsl] of await shaders(new URL(`${name}/`, folder))) found.set(path, wgsl);
    } else if (name.endsWith(".wgsl")) {
      found.set(name, await Deno.readTextFile(new URL(name, folder)));
    }
  }
  return found;
}

Deno.test("withoutShaderComments() takes comments from every shader and leaves all else", async () => {
  const words = (wgsl: string) =>
    wgsl.split("\n").map((line) => line.replace(/\/\/(?! @).*/, "").trim()).filter(Boolean);
  const found = await shaders(KERNELS);
  assert(found.size > 50);
  for (const [name, wgsl] of found) {
    assertEquals(words(bundled(wgsl)), words(wgsl), name);
    assert(!/\/\/(?! @)/.test(bundled(wgsl)), name);
  }
});

Deno.test("withoutShaderComments() leaves the marks that shaders are expanded by", () => {
  const wgsl = [
    '// Says "something" in `words`.',
    "",
    "const N: u32 = 1u; // @spec rows",
    "@compute @workgroup_size(8) // one vector",
    "fn main() {",
    "  // Twice.",
    "  for (var i = 0u; i < N; i++) { // @unroll",
    "    f(i); // that is it",
    "  }",
    "}",
  ].join("\n");
  const lines = unroll(specialize(bundled(wgsl), { N: 2 })).split("\n");
  assertEquals(lines.map((line) => line.trim()).filter(Boolean), [
    ...["const N: u32 = 2u; // @spec rows", "@compute @workgroup_size(8)", "fn main() {"],
    ...["f(0u);", "f(1u);", "}"],
  ]);
});

Deno.test("withoutShaderComments() leaves text that is no shader, and templates", () => {
  const code = 'var a = "http://x // y";\nvar b = `// c`;\nconst d = "@compute // e";\n';
  assertEquals(withoutShaderComments(code), code);
  const shader = 'var s = `// A "x".\n@compute\nfn main() {} // b`;\n';
  assertEquals(withoutShaderComments(shader), "var s = `\n@compute\nfn main() {}`;\n");
});
