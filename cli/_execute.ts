/**
 * The command line `ood`: finds the command, parses its options, runs it, and turns what goes
 * wrong into one sentence and an exit code (0 done, 1 failed, 2 bad usage, 130 interrupted).
 *
 * @module
 */

import { nearestName, UserError } from "../runtime/mod.ts";
import { parseCommandLine, UsageError } from "./_arguments.ts";
import { type Command, helpOf } from "./_command.ts";
import { COMMANDS } from "./_commands.ts";
import type { Terminal } from "./_terminal.ts";
import { VERSION } from "./_version.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_INTERRUPTED = 130;

/**
 * Runs one command line on given streams.
 *
 * @param argv Arguments after the program's name.
 * @param terminal Where it writes.
 * @returns The exit code.
 */
export async function execute(argv: readonly string[], terminal: Terminal): Promise<number> {
  const interrupt = new AbortController();
  const onInterrupt = () => {
    if (interrupt.signal.aborted) Deno.exit(EXIT_INTERRUPTED);
    terminal.note("\nStopping after the current batch; press Ctrl-C again to stop at once");
    interrupt.abort();
  };
  Deno.addSignalListener("SIGINT", onInterrupt);
  try {
    return await runCommand(argv, { terminal, signal: interrupt.signal });
  } catch (error) {
    if (interrupt.signal.aborted) {
      const resumes = commandOf(argv)?.options.some(({ name }) => name === "resume");
      const kept = "what was written is kept, and --resume goes on from there";
      terminal.note(resumes ? `Stopped; ${kept}` : "Stopped");
      return EXIT_INTERRUPTED;
    }
    // Whoever read our output has seen enough, as `head` does.
    if (error instanceof Deno.errors.BrokenPipe) return 0;
    return reportError(error, terminal);
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
  }
}

async function runCommand(
  argv: readonly string[],
  surroundings: { terminal: Terminal; signal: AbortSignal },
): Promise<number> {
  const { terminal } = surroundings;
  const [name, ...others] = argv;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const text = name === "help" && others.length > 0 ? helpFor(others) : overview();
    if (name === undefined) terminal.note(text);
    else terminal.print(text);
    return name === undefined ? EXIT_USAGE : 0;
  }
  if (name === "--version") {
    terminal.print(`oodgpu ${VERSION}`);
    return 0;
  }
  if (others.includes("--help") || others.includes("-h")) {
    terminal.print(helpFor(argv));
    return 0;
  }
  const command = findCommand(argv);
  const rest = argv.slice(command.name.split(" ").length);
  const args = parseCommandLine(rest, command.options, command.positionals ?? []);
  await command.run({ args, ...surroundings });
  return 0;
}

/** The command that arguments begin with; its name has one word or two. */
function commandOf(argv: readonly string[]): Command | undefined {
  const [first = "", second = ""] = argv;
  return COMMANDS.find(({ name }) => name === `${first} ${second}`) ??
    COMMANDS.find(({ name }) => name === first);
}

/** The commands whose names begin with a word. */
function groupOf(word: string): Command[] {
  return COMMANDS.filter(({ name }) => name.startsWith(`${word} `));
}

function findCommand(argv: readonly string[]): Command {
  const found = commandOf(argv);
  if (found !== undefined) return found;
  const [first = "", second] = argv;
  const group = groupOf(first);
  if (group.length > 0) {
    const names = group.map(({ name }) => name.slice(first.length + 1));
    const guess = second === undefined ? undefined : nearestName(second, names);
    const asked = second === undefined || second.startsWith("-")
      ? `The command "${first}" needs one of ${names.join(", ")} after it`
      : `Unknown command "${first} ${second}"; ` +
        (guess === undefined
          ? `${first} has ${names.join(", ")}`
          : `did you mean ${first} ${guess}`);
    throw new UsageError(asked);
  }
  const guess = nearestName(first, COMMANDS.map((command) => command.name.split(" ")[0]!));
  const hint = guess === undefined ? "`ood --help` lists them" : `did you mean ${guess}`;
  throw new UsageError(`Unknown command "${first}"; ${hint}`);
}

/** The help text of a command, or of the commands that begin with a word. */
function helpFor(argv: readonly string[]): string {
  const [first = ""] = argv;
  const group = groupOf(first);
  if (commandOf(argv) !== undefined || group.length === 0) return helpOf(findCommand(argv));
  return [
    `ood ${first}: its commands`,
    "",
    ...listOf(group),
    "",
    `\`ood ${first} COMMAND --help\` shows a command's options and an example.`,
  ].join("\n");
}

function listOf(commands: readonly Command[]): string[] {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  return commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`);
}

function overview(): string {
  return [
    "ood: find inputs that a vision model was never taught",
    "",
    "Usage: ood COMMAND [options]",
    "",
    "Commands:",
    ...listOf(COMMANDS),
    "",
    "`ood COMMAND --help` shows a command's options and an example.",
  ].join("\n");
}

/** One sentence for what a user can mend; the stack only for what is our mistake. */
function reportError(error: unknown, terminal: Terminal): number {
  if (error instanceof UserError) {
    terminal.note(`ood: ${error.message}`);
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
  }
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  terminal.note(`ood: this is a mistake in the program, please report it\n${stack}`);
  return EXIT_FAILED;
}
