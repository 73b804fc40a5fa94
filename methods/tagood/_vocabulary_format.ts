/**
 * The vocabulary file: reading one that a person may have edited, and writing one that is easy to
 * edit and to compare line by line.
 *
 * @module
 */

import { nearestName, UserError } from "../../runtime/mod.ts";
import type { Vocabulary, VocabularyCandidate, VocabularyClass } from "./vocabulary.ts";

/** What a vocabulary file calls itself. */
export const FORMAT = "oodgpu.tagood.vocabulary";
/** The version that is written and read. */
export const FORMAT_VERSION = 1;
/** The probability above which a tag counts as predicted when nobody says another. */
export const DEFAULT_THRESHOLD = 0.5;

const KEYS = ["format", "version", "model", "tags", "threshold", "forced", "classes"];
const CLASS_KEYS = ["class", "tags", "images", "tagged", "note", "candidates"];
const CANDIDATE_KEYS = ["tag", "count", "share", "samples"];

type Json = Readonly<Record<string, unknown>>;

/** Reads values of one file; messages name the place. */
class Reader {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  refuse(place: string, why: string): UserError {
    return new UserError(
      `Cannot use "${this.#name}": ${place === "" ? "it" : `"${place}"`} ${why}`,
    );
  }

  record(value: unknown, place: string, keys: readonly string[]): Json {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.#wrong(value, place, "an object");
    }
    const unknown = Object.keys(value).find((key) => !keys.includes(key));
    if (unknown === undefined) return value as Json;
    const near = nearestName(unknown, keys);
    const hint = near === undefined
      ? `known keys are ${keys.map((key) => `"${key}"`).join(", ")}`
      : `did you mean "${near}"`;
    throw this.refuse(place, `has the unknown key "${unknown}"; ${hint}`);
  }

  list(value: unknown, place: string, of: string): readonly unknown[] {
    if (Array.isArray(value)) return value;
    throw this.#wrong(value, place, `a list of ${of}`);
  }

  text(value: unknown, place: string): string {
    if (typeof value === "string" && value !== "") return value;
    throw this.#wrong(value, place, "a text");
  }

  count(value: unknown, place: string, least = 0): number {
    if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
    throw this.#wrong(value, place, `a whole number from ${least}`);
  }

  probability(value: unknown, place: string): number {
    if (typeof value === "number" && value > 0 && value < 1) return value;
    throw this.#wrong(value, place, "a probability above 0 and below 1");
  }

  #wrong(value: unknown, place: string, expected: string): UserError {
    if (value === undefined) {
      const parts = /^(.*?)\.?([^.]+)$/.exec(place);
      return this.refuse(parts?.[1] ?? "", `has no "${parts?.[2] ?? place}"`);
    }
    return this.refuse(place, `is ${describe(value)} and ${expected} was expected`);
  }
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value === "") return "an empty text";
  if (typeof value === "string") return `"${value}"`;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** What {@linkcode parseVocabulary} does. */
export function readVocabulary(source: unknown, name: string): Vocabulary {
  const reader = new Reader(name);
  const value = typeof source === "string" ? parseJson(source, reader) : source;
  const format = typeof value === "object" && value !== null
    ? (value as Json)["format"]
    : undefined;
  if (format !== FORMAT) {
    throw reader.refuse("", 'is no vocabulary; a file from "ood tagood vocab" was expected');
  }
  const file = reader.record(value, "", KEYS);
  const version = reader.count(file["version"], "version", 1);
  if (version !== FORMAT_VERSION) {
    throw reader.refuse(
      "version",
      `is ${version}, and this program reads version ${FORMAT_VERSION}`,
    );
  }
  const { forced } = file;
  if (forced !== undefined && typeof forced !== "boolean") {
    throw reader.refuse("forced", `is ${describe(forced)} and true or false was expected`);
  }
  const threshold = file["threshold"] ?? DEFAULT_THRESHOLD;
  return {
    format: FORMAT,
    version: FORMAT_VERSION,
    model: readModel(file["model"], reader),
    tags: reader.count(file["tags"], "tags", 1),
    threshold: reader.probability(threshold, "threshold"),
    ...(forced === true ? { forced } : {}),
    classes: readClasses(file["classes"], reader),
  };
}

function parseJson(text: string, reader: Reader): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw reader.refuse("", `is not JSON (${(error as Error).message})`);
  }
}

function readModel(value: unknown, reader: Reader): Vocabulary["model"] {
  const model = reader.record(value, "model", ["name", "sha256"]);
  const name = reader.text(model["name"], "model.name");
  if (model["sha256"] === undefined) return { name };
  return { name, sha256: reader.text(model["sha256"], "model.sha256") };
}

function readClasses(value: unknown, reader: Reader): VocabularyClass[] {
  const classes = reader.list(value, "classes", "classes")
    .map((item, i) => readClass(item, { reader, place: `classes[${i}]` }));
  if (classes.length === 0) throw reader.refuse("classes", "is empty");
  const seen = new Set<string>();
  for (const { class: name } of classes) {
    if (seen.has(name)) throw reader.refuse("", `has the class "${name}" twice`);
    seen.add(name);
  }
  return classes;
}

interface Where {
  readonly reader: Reader;
  readonly place: string;
}

function readClass(value: unknown, { reader, place }: Where): VocabularyClass {
  const item = reader.record(value, place, CLASS_KEYS);
  const tags = reader.list(item["tags"], `${place}.tags`, "tags");
  const candidates = reader.list(item["candidates"] ?? [], `${place}.candidates`, "candidates");
  return {
    class: reader.text(item["class"], `${place}.class`),
    tags: tags.map((tag, i) => reader.text(tag, `${place}.tags[${i}]`)),
    images: reader.count(item["images"] ?? 0, `${place}.images`),
    tagged: reader.count(item["tagged"] ?? 0, `${place}.tagged`),
    ...(item["note"] === undefined ? {} : { note: reader.text(item["note"], `${place}.note`) }),
    candidates: candidates.map((candidate, i) =>
      readCandidate(candidate, { reader, place: `${place}.candidates[${i}]` })
    ),
  };
}

function readCandidate(value: unknown, { reader, place }: Where): VocabularyCandidate {
  const item = reader.record(value, place, CANDIDATE_KEYS);
  const share = item["share"];
  if (typeof share !== "number" || !(share >= 0 && share <= 1)) {
    throw reader.refuse(`${place}.share`, `is ${describe(share)} and a share was expected`);
  }
  return {
    tag: reader.text(item["tag"], `${place}.tag`),
    count: reader.count(item["count"], `${place}.count`),
    share,
    samples: reader.list(item["samples"] ?? [], `${place}.samples`, "names")
      .map((name, i) => reader.text(name, `${place}.samples[${i}]`)),
  };
}

/** What {@linkcode formatVocabulary} does: what a person edits, and every candidate, on one line. */
export function writeVocabularyText(vocabulary: Vocabulary): string {
  const { format, version, model, tags, threshold, forced, classes } = vocabulary;
  const head = { format, version, model, tags, threshold, ...(forced ? { forced } : {}) };
  const lines = Object.entries(head).map(([key, value]) => `  "${key}": ${inline(value)},`);
  return ["{", ...lines, '  "classes": [', classes.map(classText).join(",\n"), "  ]", "}", ""]
    .join("\n");
}

function classText({ candidates, ...rest }: VocabularyClass): string {
  const { class: name, tags, images, tagged, note } = rest;
  const fields = { class: name, tags, images, tagged, ...(note === undefined ? {} : { note }) };
  const lines = Object.entries(fields).map(([key, value]) => `      "${key}": ${inline(value)},`);
  const rows = candidates.map((candidate) => `        ${inline(candidate)}`).join(",\n");
  const list = candidates.length === 0 ? "[]" : `[\n${rows}\n      ]`;
  return ["    {", ...lines, `      "candidates": ${list}`, "    }"].join("\n");
}

/** JSON on one line, with a blank after commas and colons and inside of braces. */
function inline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
    .map(([key, field]) => `${JSON.stringify(key)}: ${inline(field)}`);
  return `{ ${fields.join(", ")} }`;
}
