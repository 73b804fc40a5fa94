/** Lists of images: a path a line, with a label if wanted; or JSON lines. */

import { ioError, kindOf, parseJson, refuseFile, splitPath } from "./_io_error.ts";

/** A line of a list. */
export interface ListEntry {
  /** The path as the list has it. */
  readonly name: string;
  /** The path to open: relative ones are relative to the list. */
  readonly path: string;
  /** A class name or index. */
  readonly label: string | number | undefined;
}

/** A line that says something, and its place in the list, from 1. */
interface Line {
  readonly text: string;
  readonly number: number;
}

/** A label as it was written: whole numbers are indices. */
export function parseLabel(text: string): string | number | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  return /^-?\d+$/.test(trimmed) ? Number(trimmed) : trimmed;
}

function splitLine(line: string): Omit<ListEntry, "path"> {
  for (const separator of ["\t", ","]) {
    const at = line.lastIndexOf(separator);
    if (at > 0) return { name: line.slice(0, at).trim(), label: parseLabel(line.slice(at + 1)) };
  }
  // "path 7", as several benchmarks' lists have it; a space may belong to the path otherwise.
  const match = /^(.*\.\w+)\s+(-?\d+)$/.exec(line);
  if (match !== null) return { name: match[1]!, label: Number(match[2]) };
  return { name: line, label: undefined };
}

function refuseLine(list: string, number: number, why: string): never {
  refuseFile(list, `line ${number}: ${why}`);
}

function parseJsonLine(list: string, line: Line): Omit<ListEntry, "path"> {
  const json = parseJson(list, line.text, `line ${line.number}: it is no JSON text`);
  const { path, label } = (json ?? {}) as { path?: unknown; label?: unknown };
  if (typeof path !== "string") refuseLine(list, line.number, 'it has no "path"');
  if (label === undefined || label === null) return { name: path, label: undefined };
  if (typeof label === "string" || Number.isSafeInteger(label)) {
    return { name: path, label: label as string | number };
  }
  refuseLine(list, line.number, 'its "label" is neither a name nor a whole number');
}

/** The text of a list; refuses what is none. */
async function readListText(list: string): Promise<string> {
  let text: string | undefined;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(list));
  } catch (error) {
    // The decoder's error for what is no UTF-8.
    if (!(error instanceof TypeError)) throw ioError("read", list, error);
  }
  if (text === undefined || text.includes("\0")) {
    refuseFile(list, "it is neither an image nor a text that lists images");
  }
  return text;
}

function parseLine(list: string, line: Line): ListEntry {
  const entry = line.text.startsWith("{") ? parseJsonLine(list, line) : splitLine(line.text);
  const isAbsolute = /^([/\\]|[A-Za-z]:[/\\])/.test(entry.name);
  return { ...entry, path: isAbsolute ? entry.name : `${splitPath(list).folder}/${entry.name}` };
}

/** Reads a list and checks that its files are there. */
export async function readImageList(list: string): Promise<ListEntry[]> {
  const lines = (await readListText(list)).split(/\r?\n/);
  const entries: ListEntry[] = [];
  const missing: string[] = [];
  for (const [index, raw] of lines.entries()) {
    const text = raw.trim();
    if (text === "" || text.startsWith("#")) continue;
    const entry = parseLine(list, { text, number: index + 1 });
    if (await kindOf(entry.path) !== "file") {
      missing.push(`line ${index + 1} names "${entry.name}"`);
    }
    entries.push(entry);
  }
  if (missing.length > 0) {
    const more = missing.length > 1 ? ` (and ${missing.length - 1} more lines like it)` : "";
    refuseFile(list, `${missing[0]}, and there is no such file${more}`);
  }
  if (entries.length === 0) refuseFile(list, "it lists no image");
  return entries;
}
