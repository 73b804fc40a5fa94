/**
 * Elements out of what a vision-language model says: a list in JSON, fenced or among other words, or
 * one that it just writes down.
 *
 * @module
 */

/** Words that a name may have; what is longer is a sentence. */
const MAX_WORDS = 6;

/** Keys under which models put a list or its items. */
const LIST_KEYS: readonly string[] = ["elements", "objects", "items", "things", "list"];
const ITEM_KEYS: readonly string[] = ["name", "element", "object", "item", "label"];

/** What says that there is nothing. */
const NOTHING_REGEXP = /^(?:none|nothing|n\/?a|no (?:other )?(?:elements?|objects?|things?))\b/i;

/** A line of a list, after its bullet or number. */
const BULLET_REGEXP = /^(?:[-*•–—+]|\d+\s*[.):])\s+(.+)$/;

/** What separates items in a line. */
const LIST_REGEXP = /[,;]|\sand\s+(?=(?:an?|the|some)\s)/;

/** How sentences begin that stand where a list was asked for. */
const SENTENCE_REGEXP =
  /^(?:there (?:is|are)|(?:the|this|that) (?:image|picture|photo)|i (?:see|can)|it (?:is|shows)|i'?m|but|sorry|sure|here (?:is|are))\b/i;

/** The elements in an answer; none when it names nothing. */
export function parseAnswer(answer: string): string[] {
  const text = answer.replaceAll(/<think>[\s\S]*?(?:<\/think>|$)/g, " ").trim();
  return (jsonElements(text) ?? writtenElements(text)).map(withoutMarks)
    .filter((element) => element !== "" && !NOTHING_REGEXP.test(element));
}

/** The first list or object in a text that reads as JSON, or nearly so. */
function jsonElements(text: string): string[] | undefined {
  for (const [open, close] of [["{", "}"], ["[", "]"]] as const) {
    const [from, to] = [text.indexOf(open), text.lastIndexOf(close)];
    if (from < 0 || to < from) continue;
    const found = elementsIn(parsed(text.slice(from, to + 1)));
    if (found !== undefined) return found;
  }
  // Several lists, single quotes, comments, or an answer that was cut off.
  const from = text.indexOf("[");
  if (from < 0) return undefined;
  const to = text.indexOf("]", from);
  const inside = text.slice(from + 1, to < 0 ? undefined : to);
  const exact = elementsIn(parsed(`[${inside}]`));
  if (exact !== undefined) return exact;
  const quoted = [...inside.matchAll(/"([^"\n]*)"|(?<![\p{L}\p{N}])'([^'\n]*)'/gu)]
    .map(([, double, single]) => double ?? single!);
  if (quoted.length > 0) return quoted;
  return to < 0 ? undefined : inside.split(/[,;\n]/);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The texts of a list, of objects with a name each, or of a list in an object. */
function elementsIn(value: unknown): string[] | undefined {
  if (Array.isArray(value)) return value.flatMap(elementIn);
  if (typeof value !== "object" || value === null) return undefined;
  const record = value as Record<string, unknown>;
  const named = LIST_KEYS.map((key) => record[key]);
  const list = [...named, ...Object.values(record)].find(Array.isArray);
  if (list !== undefined) return elementsIn(list);
  const text = named.find((item) => typeof item === "string");
  return text === undefined ? undefined : (text as string).split(/[,;\n]/);
}

function elementIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  const record = value as Record<string, unknown>;
  const name = ITEM_KEYS.map((key) => record[key]).find((item) => typeof item === "string");
  return name === undefined ? [] : [name as string];
}

/** Items of lines, or of a list with commas; sentences are none. */
function writtenElements(text: string): string[] {
  const lines = text.replaceAll(/```[a-z]*/gi, "\n").split("\n").map((line) => line.trim());
  return lines.flatMap((line) => {
    const [, item] = BULLET_REGEXP.exec(line) ?? [];
    if (item !== undefined) return [item.split(/:|\s[-–—]\s/)[0]!];
    // What stands before a colon announces the list.
    return line.slice(line.lastIndexOf(":") + 1).split(LIST_REGEXP);
  }).filter((item) =>
    item.trim().split(/\s+/).length <= MAX_WORDS && !SENTENCE_REGEXP.test(item.trim())
  );
}

/** An item without quotes, marks of emphasis, remarks in brackets, articles and the final stop. */
function withoutMarks(item: string): string {
  return item.replaceAll(/\([^)]*\)/g, " ").trim()
    .replace(BULLET_REGEXP, "$1")
    .replaceAll(/^["'“”‘’`*_]+|["'“”‘’`*_.,;]+$/g, "")
    .replace(/^and\s+/i, "").replace(/^(?:an?|the|some)\s+/i, "")
    .trim();
}
