/** Lists of images: a path a line, with a label if wanted; or JSON lines. */

import { UserError } from "../runtime/errors.ts";
import { ioError, kindOf, splitPath } from "./_io_error.ts";

/** A line of a list. */
export interface ListEntry {
  /** The path as the list has it. */
  readonly name: string;
  /** The path to open: relative ones are relative to the list. */
  readonly path: string;
  /** A class name or index. */
  readonly label: string | number | undefined;
}

/** A label as it was written: whole numbers are indices. */
export function parseLabel(text: string): string | number | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  return /^-?\d+$/.test(trimmed) ? Number(trimmed) : trimmed;
}

function splitLine(line: string): { name: string; label: string | number | undefined } {
  for (const separator of ["\t", ","]) {
    const at = line.lastIndexOf(separator);
    if (at > 0) return { name: line.slice(0, at).trim(), label: parseLabel(line.slice(at + 1)) };
  }
  // "path 7", as several benchmarks' lists have it; a space may belong to the path otherwise.
  const match = /^(.*\.\w+)\s+(-?\d+)$/.exec(line);
  if (match !== null) return { name: match[1]!, label: Number(match[2]) };
  return { name: line, label: undefined };
}

function parseJsonLine(line: string): { name: string; label: string | number | undefined } {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw new Error("it is no JSON text");
  }
  const { path, label } = (json ?? {}) as { path?: unknown; label?: unknown };
  if (typeof path !== "string") throw new Error('it has no "path"');
  if (label === undefined || label === null) return { name: path, label: undefined };
  if (typeof label === "string" || Number.isSafeInteger(label)) {
    return { name: path, label: label as string | number };
  }
  throw new Error('its "label" is neither a name nor a whole number');
}

/** Reads a list and checks that its files are there. */
export async function readImageList(list: string): Promise<ListEntry[]> {
  let text: string;
  try {
    const bytes = await Deno.readFile(list);
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw ioError("read", list, error);
    throw new UserError(
      `Cannot read "${list}": it is neither an image nor a text that lists images`,
    );
  }
  if (text.includes("\0")) {
    throw new UserError(
      `Cannot read "${list}": it is neither an image nor a text that lists images`,
    );
  }
  const { folder } = splitPath(list);
  const entries: ListEntry[] = [];
  const missing: string[] = [];
  const lines = text.split(/\r?\n/);
  for (const [index, raw] of lines.entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    let entry: { name: string; label: string | number | undefined };
    try {
      entry = line.startsWith("{") ? parseJsonLine(line) : splitLine(line);
    } catch (error) {
      throw new UserError(`Cannot read "${list}": line ${index + 1}: ${(error as Error).message}`);
    }
    const path = /^([/\\]|[A-Za-z]:[/\\])/.test(entry.name)
      ? entry.name
      : `${folder}/${entry.name}`;
    if (await kindOf(path) !== "file") missing.push(`line ${index + 1} names "${entry.name}"`);
    entries.push({ ...entry, path });
  }
  if (missing.length > 0) {
    const more = missing.length > 1 ? ` (and ${missing.length - 1} more lines like it)` : "";
    throw new UserError(`Cannot read "${list}": ${missing[0]}, and there is no such file${more}`);
  }
  if (entries.length === 0) throw new UserError(`Cannot read "${list}": it lists no image`);
  return entries;
}
