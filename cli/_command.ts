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
    `Usage: ${usage}`,
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
  const gap = head.length + 2 > HELP_COLUMN ? `\n${" ".repeat(HELP_COLUMN)}` : "";
  return `${head.padEnd(HELP_COLUMN)}${gap}${help}`;
}
