import { assertEquals, assertThrows } from "@std/assert";
import { type OptionSpec, parseCommandLine, UsageError } from "../../cli/_arguments.ts";

const OPTIONS: readonly OptionSpec[] = [
  { name: "model", value: "FILE", help: "the model", required: true },
  { name: "batch", value: "N", help: "images at once", default: "64" },
  { name: "device", value: "NAME", help: "where", choices: ["auto", "wasm"], default: "auto" },
  { name: "ood", value: "NAME=FILE", help: "a set", multiple: true },
  { name: "json", help: "machine-readable" },
];

function parse(...argv: string[]) {
  return parseCommandLine(argv, OPTIONS, []);
}

Deno.test("parseCommandLine() gives values, defaults, flags and repeated options", () => {
  const args = parse("--model", "m.onnx", "--ood", "a=x", "--ood=b=y", "--json");
  assertEquals(args.need("model"), "m.onnx");
  assertEquals(args.number("batch", { integer: true }), 64);
  assertEquals(args.all("ood"), ["a=x", "b=y"]);
  assertEquals(args.flag("json"), true);
});

Deno.test("parseCommandLine() keeps positional arguments as they were typed", () => {
  assertEquals(parseCommandLine(["007"], [], ["FILE"]).positionals, ["007"]);
});

for (
  const [argv, message] of [
    [[], "--model FILE is required"],
    [["--model"], "--model needs a value"],
    [["--model", "m", "--devise", "wasm"], "Unknown option --devise; did you mean --device"],
    [["--model", "m", "--device", "gpu"], "must be one of auto, wasm"],
    [["--model", "m", "stray"], 'Unexpected argument "stray"'],
  ] as const
) {
  Deno.test(`parseCommandLine() refuses ${JSON.stringify(argv)} in one sentence`, () => {
    assertThrows(() => parse(...argv), UsageError, message);
  });
}

Deno.test("number() refuses text, fractions and values out of bounds", () => {
  const bounds = { minimum: 1, maximum: 512, integer: true };
  for (const value of ["many", "2.5", "0", "513", "Infinity"]) {
    const args = parse("--model", "m", "--batch", value);
    assertThrows(() => args.number("batch", bounds), UsageError, "a whole number from 1 to 512");
  }
});
