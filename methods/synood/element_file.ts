/**
 * Elements from a file that somebody has already: a map, a contexts file, or lines of tags such as
 * `ood world` writes.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
import { type GivenElements, isElementList, parseContexts } from "./contexts.ts";

/** What of a line of tags is an element: lists and single names. */
const LINE_KEYS: readonly string[] = ["elements", "contexts", "background"];

/**
 * Reads elements of images from a file: a JSON object of lists by path, a contexts file, or a line of
 * JSON for each image with its `path` and `elements`, or `contexts` and `background` as in the
 * `tags.jsonl` of a world. Backslashes in paths become slashes, and `./` before them is dropped.
 *
 * @param path The file.
 * @returns The elements as they stand there; `fitContexts` cleans them.
 * @throws {UserError} When the file cannot be read or is none of these.
 *
 * @example Tags of a world
 * ```ts
 * import { readElements } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const line = { path: "tree/1.png", contexts: ["birds", "grass"], background: "fog" };
 * await Deno.writeTextFile(`${folder}/tags.jsonl`, JSON.stringify(line));
 * const given = await readElements(`${folder}/tags.jsonl`);
 * assertEquals(given.get("tree/1.png"), ["birds", "grass", "fog"]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function readElements(path: string): Promise<GivenElements> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : (error as Error).message;
    throw new UserError(`Cannot read elements from "${path}": ${why}`, { cause: error });
  }
  const whole = jsonOf(text);
  if (!isRecord(whole) || typeof whole["path"] === "string") return fromLines(text, path);
  if (isRecord(whole["images"])) {
    return joined(Object.entries(parseContexts(whole, { name: path }).images));
  }
  const wrong = Object.entries(whole).find(([, list]) => !isElementList(list));
  if (wrong !== undefined) throw refuse(path, `"${wrong[0]}" has no list of texts`);
  return joined(Object.entries(whole) as [string, readonly string[]][]);
}

/** Elements of lines; every line that says something must be one. */
function fromLines(text: string, path: string): GivenElements {
  const entries: [string, readonly string[]][] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const value = jsonOf(line);
    if (!isRecord(value)) {
      throw refuse(
        path,
        entries.length > 0
          ? `line ${i + 1} is no JSON object`
          : "it is neither a JSON object of lists by path nor lines of JSON with a path each",
      );
    }
    const { path: name } = value;
    if (typeof name !== "string") throw refuse(path, `line ${i + 1} has no "path"`);
    entries.push([name, elementsOfLine(value, (why) => refuse(path, `line ${i + 1} ${why}`))]);
  }
  if (entries.length === 0) throw refuse(path, "it is empty");
  return joined(entries);
}

function elementsOfLine(
  line: Readonly<Record<string, unknown>>,
  fail: (why: string) => UserError,
): string[] {
  const keys = LINE_KEYS.filter((key) => line[key] !== undefined && line[key] !== null);
  if (keys.length === 0) throw fail(`has none of "${LINE_KEYS.join('", "')}"`);
  return keys.flatMap((key) => {
    const value = line[key];
    if (typeof value === "string") return [value];
    if (isElementList(value)) return value;
    throw fail(`has a "${key}" that is neither a text nor a list of texts`);
  });
}

/** Lists by one form of their paths; those of one image are put together. */
function joined(entries: readonly (readonly [string, readonly string[]])[]): GivenElements {
  const lists = new Map<string, readonly string[]>();
  for (const [path, list] of entries) {
    const name = path.replaceAll("\\", "/").replace(/^(?:\.\/+)+/, "");
    lists.set(name, [...lists.get(name) ?? [], ...list]);
  }
  return lists;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuse(path: string, why: string): UserError {
  return new UserError(`Cannot read elements from "${path}": ${why}`);
}
