/**
 * Running several commands one after the other, each as the command that it is.
 *
 * @module
 */

import { parseCommandLine } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";

/** One stage of a run. */
export interface Stage {
  /** What it does. */
  readonly command: Command;
  /** Its file or folder, by which it is passed over when it is there. */
  readonly out?: string;
  /** The option that names it; `out` by default. */
  readonly outOption?: string;
  /** Options and positional arguments other than that. */
  readonly options: readonly string[];
  /** Whether `out` is whole; that it is there says so by default. */
  readonly isDone?: (out: string) => Promise<boolean>;
  /** What a stopped run of it leaves, from which it can go on; `out` with these endings by default. */
  readonly traces?: readonly string[];
}

/** What most commands leave when they are stopped. */
const TRACES = [".parts", ".checkpoint"];

/**
 * Prints a stage as the command that it is, and runs it; passes it over when its file is there, and
 * goes on from what a stopped run left.
 *
 * @param context Where to print, and what stops it.
 * @param stage The stage.
 */
export async function runStage(context: CommandContext, stage: Stage): Promise<void> {
  const { terminal, signal } = context;
  const { command, out, outOption = "out", options, isDone = exists } = stage;
  signal.throwIfAborted();
  const done = out !== undefined && await isDone(out);
  const argv = [
    ...options,
    ...out === undefined ? [] : [`--${outOption}`, out],
    ...!done && await wasStopped(stage) ? ["--resume"] : [],
  ];
  terminal.print(`\n$ ood ${[...command.name.split(" "), ...argv].map(quoted).join(" ")}`);
  if (done) {
    terminal.print(`${out} is there already; remove it to make it again`);
    return;
  }
  const args = parseCommandLine(argv, command.options, command.positionals ?? []);
  await command.run({ args, terminal, signal });
}

/** Whether an earlier run of a stage left something to go on from. */
async function wasStopped({ command, out, traces }: Stage): Promise<boolean> {
  if (out === undefined || !command.options.some(({ name }) => name === "resume")) return false;
  const paths = traces ?? TRACES.map((ending) => out + ending);
  return (await Promise.all(paths.map(exists))).includes(true);
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Whether there is a file or folder. */
export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
