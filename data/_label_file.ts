/** Files of labels: CSV, TSV, or JSON. */

import { parseLabel } from "./_image_list.ts";
import { parseJson, readText, refuseFile } from "./_io_error.ts";

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

/** Which columns the first line names; undefined when it is no heading. */
function readHeading(fields: readonly string[]): { name: number; label: number } | undefined {
  const lower = fields.map((field) => field.toLowerCase());
  const label = lower.findIndex((field) => field === "label" || field === "class");
  if (label < 0 && !HEADINGS.includes(lower[0]!)) return undefined;
  const name = Math.max(0, lower.findIndex((field) => HEADINGS.includes(field)));
  return { name, label: label >= 0 ? label : name === 0 ? 1 : 0 };
}

function fromTable(path: string, text: string, separator: string): Map<string, string | number> {
  const labels = new Map<string, string | number>();
  let columns: { name: number; label: number } | undefined;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const fields = fieldsOf(line, separator).map((field) => field.trim());
    if (columns === undefined) {
      columns = readHeading(fields);
      if (columns !== undefined) continue;
      columns = { name: 0, label: 1 };
    }
    const name = fields[columns.name];
    const label = parseLabel(fields[columns.label] ?? "");
    if (name === undefined || name === "" || label === undefined) {
      refuseFile(path, `line ${index + 1} is "${line}", and a name and a label were expected`);
    }
    labels.set(name, label);
  }
  return labels;
}

function fromJson(path: string, text: string): Map<string, string | number> {
  const json = parseJson(path, text);
  const labels = new Map<string, string | number>();
  const add = (name: unknown, label: unknown) => {
    if (typeof name !== "string" || !(typeof label === "string" || Number.isSafeInteger(label))) {
      refuseFile(
        path,
        "each image must have a name and a label that is a name or a whole number",
      );
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
    refuseFile(path, "an object of names and labels, or a list, was expected");
  }
  return labels;
}

/** Reads labels by image name. */
export async function readLabelFile(path: string): Promise<Map<string, string | number>> {
  // A byte order mark is what spreadsheets put before a CSV.
  const text = (await readText(path)).replace(/^\uFEFF/, "");
  const labels = /\.json$/i.test(path)
    ? fromJson(path, text)
    : fromTable(path, text, /\.tsv$/i.test(path) || !text.includes(",") ? "\t" : ",");
  if (labels.size === 0) refuseFile(path, "there is no label in it");
  return labels;
}
