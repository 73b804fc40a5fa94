import { assertEquals } from "@std/assert";
import {
  checkCommands,
  checkLinks,
  checkMessages,
  checkSymbol,
  type Declaration,
  type DocTag,
  type PublicSymbol,
} from "../../tools/_docs_rules.ts";

const EXAMPLE: DocTag = { kind: "example", doc: "Add\n```ts\nassertEquals(add(1, 2), 3);\n```" };
const TAGS: readonly DocTag[] = [{ kind: "param", name: "a" }, { kind: "return" }, EXAMPLE];

function symbol(tags: readonly DocTag[], rest: Partial<Declaration> = {}): PublicSymbol {
  const location = { filename: "math.ts", line: 2 };
  const def = { params: [{ kind: "identifier", name: "a" }], returnType: { repr: "number" } };
  const jsDoc = { doc: "Adds.", tags };
  return { name: "add", declarations: [{ kind: "function", location, def, jsDoc, ...rest }] };
}

Deno.test("checkSymbol() is content with a function that is documented whole", () => {
  assertEquals(checkSymbol(symbol(TAGS)), []);
});

Deno.test("checkSymbol() asks for parameters, result and an example", () => {
  assertEquals(checkSymbol(symbol([])), [
    'add (math.ts:3) does not describe "a"',
    "add (math.ts:3) does not describe what it returns",
    "add (math.ts:3) has no example",
  ]);
});

Deno.test("checkSymbol() sees parameters with defaults and takes a promise of nothing for nothing", () => {
  const left = { kind: "identifier", name: "b" };
  const returnType = { repr: "Promise", value: { typeParams: [{ repr: "void" }] } };
  const def = { params: [{ kind: "assign", left }], returnType };
  assertEquals(checkSymbol(symbol([EXAMPLE], { def })), ['add (math.ts:3) does not describe "b"']);
  const some = { repr: "Promise", value: { typeParams: [{ repr: "number" }] } };
  assertEquals(checkSymbol(symbol([EXAMPLE], { def: { returnType: some } })), [
    "add (math.ts:3) does not describe what it returns",
  ]);
});

Deno.test("checkSymbol() asks examples for a title and an assertion", () => {
  const bare = { kind: "example", doc: "```ts\nadd(1, 2);\n```" };
  assertEquals(checkSymbol(symbol([TAGS[0]!, TAGS[1]!, bare])), [
    "add (math.ts:3) has an example without a title",
    "add (math.ts:3) has an example that asserts nothing",
  ]);
});

Deno.test("checkSymbol() asks no example of errors and interfaces", () => {
  assertEquals(checkSymbol(symbol([], { kind: "class", def: { extends: "TypeError" } })), []);
  assertEquals(checkSymbol(symbol([], { kind: "interface" })), []);
});

Deno.test("checkLinks() finds links that lead nowhere and leaves the web alone", () => {
  const files = new Set(["README.md", "docs/methods.md", "docs/kernels/rows.md"]);
  const text =
    "[a](methods.md#react) [b](../README.md) [c](kernels/) [d](https://x.org) [e](no.md)";
  assertEquals(checkLinks("docs/a.md", { text, files }), [
    "docs/a.md links to no.md, which is not there",
  ]);
});

Deno.test("checkMessages() finds messages that do not begin or end as they should", () => {
  const text = [
    'throw new Error("too big");',
    "throw new RangeError(`Cannot read ${name({ a: `x.` })}.`, { cause });",
    "throw new UserError(",
    '  "Cannot write.",',
    ");",
    "throw new TypeError(`${name} is no number: it is ${value}`);",
    'throw new Error("Cannot go on: e.g." + reason);',
    'throw new ShapeError("matmul", "a");',
  ].join("\n");
  assertEquals(checkMessages("a.ts", text), [
    "a.ts:1 has an error message that begins in lower case",
    "a.ts:2 has an error message that ends with a period",
    "a.ts:4 has an error message that ends with a period",
  ]);
});

Deno.test("checkCommands() finds files and tasks of code blocks that are not there", () => {
  const text = [
    "Outside of blocks models/none.onnx may be named.",
    "```sh",
    "./run demo",
    "./run dome",
    "deno task ood extract --model models/a.onnx --images photos/x.png --out out/f.safetensors",
    "deno task ood inspect ./models/b.onnx",
    'import x from "@oodgpu/oodgpu/models/c.onnx"',
    "```",
  ].join("\n");
  const files = new Set(["README.md", "models/a.onnx"]);
  assertEquals(
    checkCommands("README.md", { text, files, tasks: new Set(["demo", "ood"]) }),
    [
      "README.md names models/b.onnx, which is not there",
      "README.md runs the task dome, which deno.json does not have",
    ],
  );
});
