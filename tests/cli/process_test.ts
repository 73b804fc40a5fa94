import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { Process } from "./_process.ts";
import {
  featureArrays,
  listFiles,
  workshop,
  writeFeatureFile,
  writeImages,
  writeSmallModel,
} from "./_workshop.ts";

/** Images, and two that are held back; they go through the model in fours. */
const IMAGES = 24;
const FIRST_HELD = 13;
const SECOND_HELD = 21;

/** Puts a named pipe in the place of a file, so that its readers wait until it is fed. */
async function replaceByPipe(path: string): Promise<void> {
  await Deno.rename(path, `${path}.held`);
  const { success } = await new Deno.Command("mkfifo", { args: [path] }).output();
  assert(success);
}

/** Feeds a named pipe once, when it is told to. */
class Feeder implements AsyncDisposable {
  readonly #path: string;
  readonly #process: Deno.ChildProcess;

  constructor(path: string) {
    this.#path = path;
    // Opening a pipe to write waits for its reader.
    const script = 'exec 3>"$1"; echo open; read go && cat "$0" >&3';
    this.#process = new Deno.Command("sh", {
      args: ["-c", script, `${path}.held`, path],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
  }

  /** Waits until a process reads the pipe. */
  async awaited(run: Process): Promise<void> {
    const reader = this.#process.stdout.getReader();
    const ended = run.end().then(() => undefined);
    const first = await Promise.race([reader.read(), ended]);
    reader.releaseLock();
    assert(first?.value !== undefined, `It ended without reading ${this.#path}: ${run.notes}`);
  }

  async feed(): Promise<void> {
    const writer = this.#process.stdin.getWriter();
    await writer.write(new TextEncoder().encode("go\n"));
    writer.releaseLock();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill();
    } catch {
      // It has ended.
    }
    await this.#process.status;
    await this.#process.stdin.close().catch(() => {});
    await this.#process.stdout.cancel();
  }
}

Deno.test({
  name: "ood extract stopped by Ctrl-C and then killed goes on with --resume to the same bytes",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using shop = await workshop();
    const { file } = shop;
    await writeSmallModel(file("tiny.onnx"));
    await writeImages(file("images"), IMAGES);
    const pictures = Array.from(
      { length: IMAGES },
      (_, i) => `images/${String(i).padStart(3, "0")}.png`,
    );
    await Deno.writeTextFile(file("list.txt"), pictures.join("\n"));
    const argv = (out: string) => [
      ...["extract", "--model", file("tiny.onnx"), "--images", file("list.txt")],
      ...["--out", file(out), "--device", "wasm", "--threads", "1", "--workers", "0"],
      ...["--batch", "4"],
    ];
    const held = [FIRST_HELD, SECOND_HELD].map((i) => file(pictures[i]!));
    for (const path of held) await replaceByPipe(path);
    /** A run that gets the first `fed` of the pipes, with the feeder of the next. */
    const start = async (fed: number, ...command: string[]) => {
      const [first, second] = held.map((path) => new Feeder(path)) as [Feeder, Feeder];
      for (const feeder of [first, second].slice(0, fed)) await feeder.feed();
      const stack = new AsyncDisposableStack();
      stack.use(first);
      stack.use(second);
      const run = stack.use(new Process(...command));
      return { run, first, second, [Symbol.asyncDispose]: () => stack.disposeAsync() };
    };
    const partsOf = (out: string) =>
      listFiles(file(`${out}.parts`)).filter((name) => name.includes("/part-"));
    {
      await using whole = await start(2, ...argv("whole"));
      assertEquals((await whole.run.end()).code, 0, whole.run.notes);
    }
    {
      await using stopped = await start(0, ...argv("out"));
      const { run, first, second } = stopped;
      await first.awaited(run);
      run.child.kill("SIGINT");
      await run.saw("Stopping after the current batch");
      await first.feed();
      await second.feed();
      assertEquals((await run.end()).code, 130, run.notes);
      assertStringIncludes(run.notes, "--resume goes on from there");
      assertEquals(/mistake|^ {4}at /m.test(run.notes), false, run.notes);
    }
    const parts = partsOf("out");
    assertEquals(parts.length, 1);
    {
      await using killed = await start(1, ...argv("out"), "--resume");
      const { run, second } = killed;
      await second.awaited(run);
      assertStringIncludes(run.notes, "Going on after");
      run.child.kill("SIGKILL");
      assertEquals((await run.end()).signal, "SIGKILL");
    }
    assertEquals(partsOf("out"), parts);
    {
      await using resumed = await start(2, ...argv("out"), "--resume");
      const { run } = resumed;
      assertEquals((await run.end()).code, 0, run.notes);
      assertStringIncludes(run.notes, "Going on after");
    }
    assertEquals(await Deno.readFile(file("out")), await Deno.readFile(file("whole")));
    assertEquals(await Deno.stat(file("out.parts")).catch(() => "gone"), "gone");
  },
});

Deno.test({
  name: "ood eval stopped by Ctrl-C ends with 130 and writes nothing",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using shop = await workshop();
    const { file } = shop;
    await writeFeatureFile(file("train"), featureArrays(200_000));
    await writeFeatureFile(file("other"), featureArrays(200_000, { seed: 5, outlying: true }));
    const before = listFiles(shop.path);
    await using run = new Process(
      ...["eval", "--train", file("train"), "--id", file("train"), "--ood", `o=${file("other")}`],
      ...["--methods", "mahalanobis,knn", "--device", "reference", "--json", file("out.json")],
    );
    await run.saw("reference, as asked for");
    run.child.kill("SIGINT");
    assertEquals((await run.end()).code, 130, run.notes);
    assertEquals(run.notes.trimEnd().split("\n").at(-1), "Stopped");
    assertEquals(await new Response(run.child.stdout).text(), "");
    assertEquals(listFiles(shop.path), before);
  },
});

Deno.test("ood ends quietly when nobody reads its output", async () => {
  await using run = new Process("eval", "--help");
  await run.child.stdout.cancel();
  assertEquals([(await run.end()).code, run.notes], [0, ""]);
});

Deno.test("ood tells a process by its exit code and keeps stdout for results", async () => {
  await using shop = await workshop();
  for (
    const [argv, code, message] of [
      [["--version"], 0, ""],
      [["fitt"], 2, 'ood: Unknown command "fitt"; did you mean fit\n'],
      [["inspect", shop.file("none.onnx")], 1, `ood: Cannot read "${shop.file("none.onnx")}": `],
    ] as const
  ) {
    await using run = new Process(...argv);
    const out = await new Response(run.child.stdout).text();
    assertEquals((await run.end()).code, code, run.notes);
    assertEquals(run.notes.slice(0, message.length), message);
    assertEquals(out, code === 0 ? `oodgpu ${config.version}\n` : "");
  }
});
