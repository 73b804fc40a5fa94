import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Arguments } from "../../cli/_arguments.ts";
import type { Command, CommandContext } from "../../cli/_command.ts";
import { runStage, type Stage } from "../../cli/_stages.ts";
import { Terminal } from "../../cli/_terminal.ts";
import { textSink, type Workshop, workshop } from "./_workshop.ts";

/** A command that writes its file, and what it was called with. */
class Recorder {
  /** What each call got. */
  readonly calls: { text: string | undefined; resume: boolean }[] = [];
  readonly command: Command;

  /** @param options Whether it can go on with what was stopped. */
  constructor({ resumes = true }: { readonly resumes?: boolean } = {}) {
    this.command = {
      name: "synood record",
      summary: "Write a file",
      options: [
        { name: "out", value: "FILE", help: "the file", required: true },
        { name: "html", value: "FILE", help: "another" },
        { name: "text", value: "TEXT", help: "what it holds" },
        ...resumes ? [{ name: "resume", help: "go on" }] : [],
      ],
      examples: [],
      run: async ({ args }) => {
        this.calls.push({ text: args.text("text"), resume: args.flag("resume") });
        const [out, html] = [args.need("out"), args.text("html")];
        for (const path of html === undefined ? [out] : [out, html]) {
          await Deno.writeTextFile(path, args.text("text") ?? "");
        }
      },
    };
  }
}

/** Runs a stage, and gives what it printed. */
async function printed(stage: Stage, signal = new AbortController().signal): Promise<string> {
  const out = textSink();
  const terminal = new Terminal(out, textSink());
  const context: CommandContext = { args: new Arguments({ _: [] }), terminal, signal };
  await runStage(context, stage);
  return out.text;
}

/** A stage that writes `out` in a folder. */
function stageOf(
  { file }: Workshop,
  { command }: Recorder,
  change: Partial<Stage> = {},
): Stage & { readonly out: string } {
  return { command, options: ["--text", "one"], ...change, out: change.out ?? file("out") };
}

Deno.test("runStage() runs a stage whose file is not there, and passes over one whose file is", async () => {
  await using shop = await workshop();
  const recorder = new Recorder();
  const stage = stageOf(shop, recorder);
  assertEquals(await printed(stage), `\n$ ood synood record --text one --out ${stage.out}\n`);
  assertEquals(
    await printed({ ...stage, options: ["--text", "two"] }),
    `\n$ ood synood record --text two --out ${stage.out}\n` +
      `${stage.out} is there already; remove it to make it again\n`,
  );
  assertEquals(await Deno.readTextFile(stage.out), "one");
  await Deno.remove(stage.out);
  await printed({ ...stage, options: ["--text", "two"] });
  assertEquals(recorder.calls.map(({ text }) => text), ["one", "two"]);
});

Deno.test("runStage() runs what has no file of its own every time", async () => {
  await using shop = await workshop();
  const recorder = new Recorder();
  const stage: Stage = { command: recorder.command, options: ["--out", shop.file("out")] };
  for (const _ of [1, 2]) {
    assertEquals(await printed(stage), `\n$ ood synood record --out ${shop.file("out")}\n`);
  }
  assertEquals(recorder.calls.length, 2);
});

Deno.test("runStage() names a file by another option, and asks whether a folder is whole", async () => {
  await using shop = await workshop();
  const { file } = shop;
  const recorder = new Recorder();
  const page: Stage = {
    command: recorder.command,
    options: ["--out", file("other")],
    out: file("page.html"),
    outOption: "html",
  };
  assertStringIncludes(await printed(page), `--out ${file("other")} --html ${file("page.html")}\n`);
  assertStringIncludes(await printed(page), `${file("page.html")} is there already`);
  assertEquals(recorder.calls.length, 1);
  const asked: string[] = [];
  const isDone = (out: string) => {
    asked.push(out);
    return Promise.resolve(asked.length > 1);
  };
  const stage = stageOf(shop, recorder, { isDone, out: file("other") });
  await printed(stage);
  assertStringIncludes(await printed(stage), "is there already");
  assertEquals([recorder.calls.length, asked], [2, [file("other"), file("other")]]);
});

Deno.test("runStage() goes on from what a stopped run left, and prints that it does", async () => {
  await using shop = await workshop();
  const { file } = shop;
  const cases: readonly (readonly [trace: string, Partial<Stage>, resumes: boolean])[] = [
    ["out.parts", {}, true],
    ["out.checkpoint", {}, true],
    ["out.parts", { traces: [file("manifest.json")] }, false],
    ["manifest.json", { traces: [file("manifest.json")] }, true],
  ];
  for (const [trace, change, resumes] of cases) {
    const recorder = new Recorder();
    await Deno.writeTextFile(file(trace), "");
    const text = await printed(stageOf(shop, recorder, change));
    const command = `\n$ ood synood record --text one --out ${file("out")}`;
    assertEquals(text, `${command}${resumes ? " --resume" : ""}\n`, trace);
    assertEquals(recorder.calls, [{ text: "one", resume: resumes }], trace);
    // A file that is whole needs nothing more, whatever lies beside it.
    assertEquals((await printed(stageOf(shop, recorder, change))).includes("--resume"), false);
    await Deno.remove(file("out"));
    await Deno.remove(file(trace));
  }
  const recorder = new Recorder({ resumes: false });
  await Deno.writeTextFile(file("out.parts"), "");
  await printed(stageOf(shop, recorder));
  assertEquals(recorder.calls, [{ text: "one", resume: false }]);
});

Deno.test({
  name: "runStage() prints a command that a shell takes as it is",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using shop = await workshop();
    const words = [
      ...["plain-1.2_3", "a b", "it's", `"quoted"`, "$HOME", "`date`", "a\\b", "*", "~", "#", "!"],
      ...["a;b&c|d", "(x)", "{a,b}", "[a]", "<>", "a\nb", "a\tb", "é", "=x", "name=a=b", "-1", "%"],
    ];
    for (const [i, text] of words.entries()) {
      const recorder = new Recorder();
      const stage = stageOf(shop, recorder, {
        options: ["--text", text],
        out: shop.file(`it's ${i}`),
      });
      const line = (await printed(stage)).replace(/^\n\$ ood /, "");
      assertEquals(recorder.calls, [{ text, resume: false }]);
      const shell = new Deno.Command("sh", {
        args: ["-c", `for word in ${line.trimEnd()}; do printf '%s\\0' "$word"; done`],
        cwd: shop.path,
      });
      const { stdout, success } = await shell.output();
      const seen = new TextDecoder().decode(stdout).split("\0").slice(0, -1);
      assertEquals([success, seen], [
        true,
        ["synood", "record", "--text", text, "--out", stage.out],
      ]);
    }
  },
});

Deno.test("runStage() does nothing once it is stopped, and refuses options that its command does not have", async () => {
  await using shop = await workshop();
  const recorder = new Recorder();
  const stop = new AbortController();
  stop.abort();
  await assertRejects(() => printed(stageOf(shop, recorder), stop.signal), DOMException);
  const wrong = stageOf(shop, recorder, { options: ["--txt", "one"] });
  await assertRejects(() => printed(wrong), Error, "Unknown option --txt; did you mean --text");
  assertEquals(recorder.calls, []);
});
