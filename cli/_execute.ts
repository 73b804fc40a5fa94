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
      const resumes = COMMANDS.find(({ name }) => name === argv[0])?.options
        .some(({ name }) => name === "resume");
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
  const [name, ...rest] = argv;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const asked = name === "help" ? rest[0] : undefined;
    const text = asked === undefined ? overview() : helpOf(findCommand(asked));
    if (name === undefined) terminal.note(text);
    else terminal.print(text);
    return name === undefined ? EXIT_USAGE : 0;
  }
  if (name === "--version") {
    terminal.print(`oodgpu ${VERSION}`);
    return 0;
  }
  const command = findCommand(name);
  if (rest.includes("--help") || rest.includes("-h")) {
    terminal.print(helpOf(command));
    return 0;
  }
  const args = parseCommandLine(rest, command.options, command.positionals ?? []);
  await command.run({ args, ...surroundings });
  return 0;
}

function findCommand(name: string): Command {
  const found = COMMANDS.find((command) => command.name === name);
  if (found !== undefined) return found;
  const guess = nearestName(name, COMMANDS.map((command) => command.name));
  const hint = guess === undefined ? "`ood --help` lists them" : `did you mean ${guess}`;
  throw new UsageError(`Unknown command "${name}"; ${hint}`);
}

function overview(): string {
  const width = Math.max(...COMMANDS.map((command) => command.name.length)) + 2;
  return [
    "ood: find inputs that a vision model was never taught",
    "",
    "Usage: ood COMMAND [options]",
    "",
    "Commands:",
    ...COMMANDS.map((command) => `  ${command.name.padEnd(width)}${command.summary}`),
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
