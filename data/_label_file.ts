/** Files of labels: CSV, TSV, or JSON. */

import { UserError } from "../runtime/errors.ts";
import { parseLabel } from "./_image_list.ts";
import { ioError } from "./_io_error.ts";

const HEADINGS: readonly string[] = ["path", "file", "filename", "image", "image_id", "name", "id"];

/** The fields of a CSV line; a field in quotes may hold the separator and doubled quotes. */
function fieldsOf(line: string, separator: string): string[] {
  const fields: string[] = [];
  let field = "";
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!;
    if (quoted) {
      if (c !== '"') field += c;
      else if (line[i + 1] === '"') field += line[++i];
      else quoted = false;
    } else if (c === '"' && field === "") {
      quoted = true;
    } else if (c === separator) {
      fields.push(field);
      field = "";
    } else {
      field += c;
    }
  }
  fields.push(field);
  return fields;
}

function fromTable(path: string, text: string, separator: string): Map<string, string | number> {
  const labels = new Map<string, string | number>();
  let nameColumn = 0;
  let labelColumn = 1;
  let first = true;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const fields = fieldsOf(line, separator).map((field) => field.trim());
    if (first) {
      first = false;
      const lower = fields.map((field) => field.toLowerCase());
      if (HEADINGS.includes(lower[0]!) || lower.includes("label") || lower.includes("class")) {
        nameColumn = Math.max(0, lower.findIndex((field) => HEADINGS.includes(field)));
        const named = lower.findIndex((field) => field === "label" || field === "class");
        labelColumn = named >= 0 ? named : nameColumn === 0 ? 1 : 0;
        continue;
      }
    }
    const name = fields[nameColumn];
    const label = parseLabel(fields[labelColumn] ?? "");
    if (name === undefined || name === "" || label === undefined) {
      throw new UserError(
        `Cannot read "${path}": line ${
          index + 1
        } is "${line}", and a name and a label were expected`,
      );
    }
    labels.set(name, label);
  }
  return labels;
}

function fromJson(path: string, text: string): Map<string, string | number> {
  const refuse = (why: string): never => {
    throw new UserError(`Cannot read "${path}": ${why}`);
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    refuse("it is no JSON text");
  }
  const labels = new Map<string, string | number>();
  const add = (name: unknown, label: unknown) => {
    if (typeof name !== "string" || !(typeof label === "string" || Number.isSafeInteger(label))) {
      refuse("each image must have a name and a label that is a name or a whole number");
    }
    labels.set(name as string, label as string | number);
  };
  if (Array.isArray(json)) {
    for (const entry of json as unknown[]) {
      if (Array.isArray(entry)) add(entry[0], entry[1]);
      else {
        const record = (entry ?? {}) as Record<string, unknown>;
        add(HEADINGS.map((key) => record[key]).find((name) => name !== undefined), record["label"]);
      }
    }
  } else if (typeof json === "object" && json !== null) {
    for (const [name, label] of Object.entries(json)) add(name, label);
  } else {
    refuse("an object of names and labels, or a list, was expected");
  }
  return labels;
}

/** Reads labels by image name. */
export async function readLabelFile(path: string): Promise<Map<string, string | number>> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw ioError("read", path, error);
  }
  // A byte order mark is what spreadsheets put before a CSV.
  text = text.replace(/^\uFEFF/, "");
  const labels = /\.json$/i.test(path)
    ? fromJson(path, text)
    : fromTable(path, text, /\.tsv$/i.test(path) || !text.includes(",") ? "\t" : ",");
  if (labels.size === 0) throw new UserError(`Cannot read "${path}": there is no label in it`);
  return labels;
}
