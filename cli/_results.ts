/**
 * Where the commands that compare put their results: `--json` and `--html`, else the terminal.
 *
 * @module
 */

import { writeFileAtomic } from "../data/mod.ts";
import type { Arguments } from "./_arguments.ts";
import type { CommandContext } from "./_command.ts";
import { requireWritable } from "./_outputs.ts";

/** What a comparison found, in its three forms; each is made only where it is wanted. */
export interface Results {
  /** For `--json`. */
  readonly figures: unknown;
  /** For the terminal. */
  readonly text: () => string;
  /** For `--html`. */
  readonly page: () => string;
}

/** Finds out before the work that the files of `--json` and `--html` cannot be written. */
export async function requireResults(args: Arguments): Promise<void> {
  const json = args.text("json");
  await requireWritable(json === "-" ? undefined : json, args.text("html"));
}

/**
 * Prints or writes results.
 *
 * @param context The command, with `--json` and `--html`.
 * @param results What was found.
 */
export async function writeResults(
  { args, terminal }: CommandContext,
  { figures, text, page }: Results,
): Promise<void> {
  const [json, html] = [args.text("json"), args.text("html")];
  if (json === "-") terminal.printJson(figures);
  else terminal.print(text());
  if (json !== undefined && json !== "-") {
    await writeFileAtomic(json, `${JSON.stringify(figures, undefined, 2)}\n`);
    terminal.note(`Wrote ${json}`);
  }
  if (html !== undefined) {
    await writeFileAtomic(html, page());
    terminal.note(`Wrote ${html}`);
  }
}
