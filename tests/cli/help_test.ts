import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { COMMANDS } from "../../cli/_commands.ts";
import { ood, succeed } from "./_workshop.ts";

Deno.test("ood --help lists every command with one line about it", async () => {
  const { out } = await succeed("--help");
  for (const { name, summary } of COMMANDS) {
    assert(out.split("\n").some((line) => line.startsWith(`  ${name} `) && line.endsWith(summary)));
  }
  assertEquals((await succeed("help")).out, out);
  assertEquals((await succeed("-h")).out, out);
});

for (const { name, options, positionals = [] } of COMMANDS) {
  Deno.test(`ood ${name} --help documents every option and has an example`, async () => {
    const words = name.split(" ");
    const { out, notes } = await succeed(...words, "--help");
    assertEquals(notes, "");
    const flat = out.replaceAll(/\s+/g, " ");
    for (const option of options) {
      const head = `  --${option.name}${option.value === undefined ? "" : ` ${option.value}`}`;
      const at = out.split("\n").findIndex((line) => `${line} `.startsWith(`${head} `));
      assert(at >= 0, `${head} is not in\n${out}`);
      assertStringIncludes(flat, option.help);
    }
    assertMatch(out, new RegExp(`\nExamples?:\n  ood ${name}`));
    for (const line of out.split("\n")) assert(line.length <= 100, `too long: ${line}`);
    assertEquals((await succeed("help", ...words)).out, out);
    const usage = out.split("\n").find((line) => line.startsWith("Usage: "))!;
    for (const positional of positionals) assertStringIncludes(usage, positional);
  });

  Deno.test(`ood ${name}'s examples are taken by its parser`, async () => {
    const example = COMMANDS.find((command) => command.name === name)!.examples.at(-1)!;
    const argv = example.replaceAll("\\\n", " ").trim().split(/\s+/).slice(1);
    // An option that does not exist is refused before anything is read or written.
    const { code, notes } = await ood(...argv, "--no-such-option");
    assertEquals([code, notes], [2, "ood: Unknown option --no-such-option\n"]);
  });
}

Deno.test("ood lbf lists its commands, and refuses others with a hint", async () => {
  const { out } = await succeed("lbf", "--help");
  for (const { name, summary } of COMMANDS.filter(({ name }) => name.startsWith("lbf "))) {
    assert(out.split("\n").some((line) => line.startsWith(`  ${name} `) && line.endsWith(summary)));
  }
  assertEquals((await succeed("help", "lbf")).out, out);
  assertMatch((await ood("lbf")).notes, /^ood: The command "lbf" needs one of [^\n]*tune/);
  assertMatch((await ood("lbf", "tun")).notes, /did you mean lbf tune/);
  assertMatch((await ood("lbt")).notes, /did you mean lbf/);
});

Deno.test("ood --version gives the version of deno.json", async () => {
  assertEquals((await succeed("--version")).out, `oodgpu ${config.version}\n`);
});

Deno.test("ood doctor --json says what works", async () => {
  const { code, out } = await ood("doctor", "--json");
  const { versions, executors, auto } = JSON.parse(out);
  assertEquals(versions.oodgpu, config.version);
  const names = executors.map(({ name }: { name: string }) => name);
  assertEquals(names, ["webgpu", "wasm"]);
  assert(names.includes(auto));
  assertEquals(code, executors.some(({ works }: { works: boolean }) => works) ? 0 : 1);
});
