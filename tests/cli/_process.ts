/**
 * A command in a process of its own, for what only a process can show: signals, exit codes, pipes.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };

const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));
const PERMISSIONS = config.tasks.ood.command.match(/--allow-[a-z]+/g)!;

/** A command in a process of its own. */
export class Process implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  notes = "";
  readonly #reading: Promise<void>;
  #changed: PromiseWithResolvers<void> = Promise.withResolvers();

  /** @param argv The command line; what begins with `--allow-` before it are further permissions. */
  constructor(...argv: string[]) {
    const begin = argv.findIndex((arg) => !arg.startsWith("--allow-"));
    const permissions = [...PERMISSIONS, ...argv.slice(0, begin)];
    this.child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", ...permissions, CLI, ...argv.slice(begin)],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    for await (const text of this.child.stderr.pipeThrough(new TextDecoderStream())) {
      this.notes += text;
      this.#changed.resolve();
    }
    this.#changed.resolve();
  }

  /** Waits until a remark is made; the process may end instead. */
  async saw(text: string): Promise<void> {
    const over = this.#reading.then(() => true);
    while (!this.notes.includes(text)) {
      this.#changed = Promise.withResolvers();
      const ended = await Promise.race([over, this.#changed.promise]);
      if (ended === true && !this.notes.includes(text)) {
        throw new Error(`The process ended without "${text}": ${this.notes}`);
      }
    }
  }

  /** Its exit code and the signal that ended it. */
  async end(): Promise<Deno.CommandStatus> {
    const [status] = await Promise.all([this.child.status, this.#reading]);
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.end();
    if (!this.child.stdout.locked) await this.child.stdout.cancel();
  }
}
