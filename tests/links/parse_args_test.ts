// Holds of the stand-in and of the real package alike.
import { assertEquals, assertStrictEquals } from "@std/assert";
import { parseArgs } from "@std/cli";
import { parseArgs as same } from "@std/cli/parse-args";

Deno.test("parseArgs() is the same from both entry points", () => {
  assertStrictEquals(parseArgs, same);
});

Deno.test("parseArgs() guesses what is not declared", () => {
  assertEquals(
    parseArgs(["--port=80", "in", "--name", "x", "-v", "-n5", "--flag", "--", "7"]) as unknown,
    { _: ["in", "7"], port: 80, name: "x", v: true, n: 5, flag: true },
  );
});

Deno.test("parseArgs() keeps declared strings as text and types them", () => {
  const parsed = parseArgs(["--out", "007", "1e3"], { string: ["out", "_"] });
  const out: string | undefined = parsed.out;
  assertEquals([out, parsed._], ["007", ["1e3"]]);
  assertEquals(parseArgs(["--out"], { string: "out" }).out, "");
  assertEquals("out" in parseArgs([], { string: "out" }), false);
});

Deno.test("parseArgs() gives declared flags a value and takes none for them", () => {
  const parsed = parseArgs(["--json", "file"], { boolean: ["json", "quiet"] });
  const flags: boolean[] = [parsed.json, parsed.quiet];
  assertEquals([flags, parsed._], [[true, false], ["file"]]);
  assertEquals(parseArgs(["--json", "false", "--quiet=false"], { boolean: ["json"] }).json, false);
  assertEquals(parseArgs(["--a", "x"], { boolean: true }) as unknown, { _: ["x"], a: true });
});

Deno.test("parseArgs() collects only what is declared so", () => {
  const parsed = parseArgs(["--ood", "a=1", "--ood=b=2", "--id", "x", "--id", "y"], {
    string: ["ood", "id", "none"],
    collect: ["ood", "none"],
  });
  const sets: string[] = parsed.ood;
  assertEquals([sets, parsed.id, parsed.none], [["a=1", "b=2"], "y", []]);
});

Deno.test("parseArgs() fills in defaults", () => {
  const parsed = parseArgs(["--b", "given"], { string: ["a", "b"], default: { a: "1", b: "2" } });
  const a: string = parsed.a;
  assertEquals([a, parsed.b], ["1", "given"]);
});

Deno.test("parseArgs() knows options by their other names", () => {
  const parsed = parseArgs(["-o", "x", "--verbose"], {
    string: ["out"],
    boolean: ["v"],
    alias: { out: "o", v: ["verbose"] },
  });
  assertEquals(parsed as unknown, { _: [], o: "x", out: "x", v: true, verbose: true });
});

Deno.test("parseArgs() negates only what is declared so", () => {
  const parsed = parseArgs(["--no-colour", "--no-cache"], {
    boolean: ["colour", "cache"],
    negatable: ["colour"],
    default: { colour: true },
  });
  assertEquals([parsed.colour, parsed.cache, parsed["no-cache"]], [false, false, true]);
});

Deno.test("parseArgs() stops early and keeps what follows -- apart", () => {
  assertEquals(
    parseArgs(["--a", "-b", "1", "run", "--c", "--", "--d"], {
      boolean: ["a"],
      stopEarly: true,
      "--": true,
    }) as unknown,
    { _: ["run", "--c"], a: true, b: 1, "--": ["--d"] },
  );
});

Deno.test("parseArgs() tells of what is not declared and drops it when asked to", () => {
  const told: unknown[][] = [];
  const parsed = parseArgs(["--known=1", "--odd=2", "-x", "taken", "file"], {
    string: ["known"],
    unknown: (arg, key, value) => {
      told.push([arg, key, value]);
      return key === undefined;
    },
  });
  assertEquals(parsed as unknown, { _: ["file"], known: "1" });
  assertEquals(told, [
    ["--odd=2", "odd", "2"],
    ["-x", "x", "taken"],
    ["file", undefined, undefined],
  ]);
});

Deno.test("parseArgs() splits dotted names and leaves prototypes alone", () => {
  const parsed = parseArgs(["--a.b=1", "--a.c", "x", "--__proto__.bad=1"]) as unknown;
  assertEquals(parsed, { _: [], a: { b: 1, c: "x" } });
  assertEquals("bad" in {}, false);
});
