/**
 * What a command of `ood` is, and the help text that its declaration gives.
 *
 * @module
 */

import type { Arguments, OptionSpec } from "./_arguments.ts";
import type { Terminal } from "./_terminal.ts";

/** What a running command gets. */
export interface CommandContext {
  /** Its parsed arguments. */
  readonly args: Arguments;
  /** Where it writes. */
  readonly terminal: Terminal;
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
}

/** One command of `ood`. */
export interface Command {
  /** Its name on the command line. */
  readonly name: string;
  /** What it does, in one line. */
  readonly summary: string;
  /** More to know, as paragraphs of the help text. */
  readonly details?: string;
  /** Names of the positional arguments, all required. */
  readonly positionals?: readonly string[];
  /** Its options; `--help` comes by itself. */
  readonly options: readonly OptionSpec[];
  /** Command lines that a reader can try. */
  readonly examples: readonly string[];
  /** Runs it; returning means success. */
  run(context: CommandContext): Promise<void>;
}

const HELP_COLUMN = 30;
const HELP_WIDTH = 100;

/**
 * The help text of a command.
 *
 * @param command The command.
 * @returns Text for a terminal.
 */
export function helpOf(command: Command): string {
  const positionals = (command.positionals ?? []).join(" ");
  const required = command.options
    .filter((option) => option.required || option.requiredUnless !== undefined)
    .map((option) => `--${option.name} ${option.value}`).join(" ");
  const usage = ["ood", command.name, positionals, required, "[options]"]
    .filter((part) => part !== "").join(" ");
  const options = [...command.options, { name: "help", help: "show this text" }];
  return [
    command.summary,
    "",
    ...wrap(`Usage: ${usage}`, HELP_WIDTH - 4).map((line, i) => i === 0 ? line : `    ${line}`),
    "",
    ...(command.details === undefined ? [] : [command.details, ""]),
    "Options:",
    ...options.map(optionLine),
    "",
    command.examples.length === 1 ? "Example:" : "Examples:",
    ...command.examples.map((example) => `  ${example}`),
  ].join("\n");
}

function optionLine(option: OptionSpec): string {
  const value = option.value === undefined ? "" : ` ${option.value}`;
  const head = `  --${option.name}${value}`;
  const notes = [
    option.required ? "required" : "",
    option.requiredUnless === undefined ? "" : `required unless --${option.requiredUnless}`,
    option.multiple ? "may be repeated" : "",
    option.choices === undefined ? "" : option.choices.join(" | "),
    option.default === undefined ? "" : `default ${option.default}`,
  ].filter((note) => note !== "");
  const help = notes.length === 0 ? option.help : `${option.help} (${notes.join("; ")})`;
  const [first = "", ...rest] = wrap(help, HELP_WIDTH - HELP_COLUMN);
  const indent = " ".repeat(HELP_COLUMN);
  const start = head.length + 2 > HELP_COLUMN ? `${head}\n${indent}` : head.padEnd(HELP_COLUMN);
  return [start + first, ...rest.map((line) => indent + line)].join("\n");
}

/** Lines of whole words, none longer than the width unless a word is. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
