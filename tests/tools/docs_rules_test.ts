import { assertEquals } from "@std/assert";
import {
  checkLinks,
  checkSymbol,
  type Declaration,
  type DocTag,
  type PublicSymbol,
} from "../../tools/_docs_rules.ts";

const EXAMPLE: DocTag = { kind: "example", doc: "Add\n```ts\nassertEquals(add(1, 2), 3);\n```" };
const TAGS: readonly DocTag[] = [{ kind: "param", name: "a" }, { kind: "return" }, EXAMPLE];

function symbol(tags: readonly DocTag[], rest: Partial<Declaration> = {}): PublicSymbol {
  const location = { filename: "math.ts", line: 3 };
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
