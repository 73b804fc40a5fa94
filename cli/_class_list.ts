/**
 * Names of classes from whatever a user has: a list, a model's sidecar, a feature file, or a folder
 * of classes.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { extname } from "node:path";
import { cleanWord, foldWord, openFeatures, readWordEntries } from "../data/mod.ts";
import { loadSidecar, parseSidecar } from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { labelNames } from "./_tagood.ts";

/** The `--classes` option. */
export const CLASSES_HELP: string =
  "names of the known classes: a list (one a line, or a JSON array), a model with labels in its " +
  "sidecar, a feature file, or a folder with a folder for each class";

/** Classes in the order of their labels. */
export interface ClassList {
  /** The names. */
  readonly names: readonly string[];
  /** What was odd in a list, each in a few words. */
  readonly notes: readonly string[];
}

/** How classes are read. */
export interface ClassListOptions {
  /** Whether several classes may have one name. */
  readonly sameNames?: boolean;
}

/** WordNet's numbers, by which ImageNet calls the folders of its classes. */
const NUMBER_REGEXP = /^n\d{8}$/;

/**
 * Reads names of classes.
 *
 * @param path What the user named.
 * @param options Whether classes may share a name.
 * @returns The classes.
 * @throws {UserError} When there is nothing, it names no class, or two classes have one name.
 */
export async function readClasses(
  path: string,
  options: ClassListOptions = {},
): Promise<ClassList> {
  const list = await readNames(path);
  if (list.names.length === 0) {
    throw new UserError(`Cannot read classes of "${path}": it names none`);
  }
  if (list.names.every((name) => NUMBER_REGEXP.test(name))) {
    throw new UserError(
      `Cannot read classes of "${path}": "${
        list.names[0]
      }" and the others are WordNet's numbers, ` +
        "and names were expected; list them, one a line, in the order of the folders",
    );
  }
  if (options.sameNames !== true) requireDifferent(path, list.names);
  return list;
}

function requireDifferent(path: string, names: readonly string[]): void {
  const seen = new Map<string, number>();
  for (const [i, name] of names.entries()) {
    const other = seen.get(foldWord(name));
    if (other !== undefined) {
      throw new UserError(
        `Cannot read classes of "${path}": the classes ${other} and ${i} have one name, "${name}"; ` +
          'tell them apart, as in "crane, bird", or allow it with --same-names',
      );
    }
    seen.set(foldWord(name), i);
  }
}

async function readNames(path: string): Promise<ClassList> {
  const found = await Deno.stat(path).catch(() => undefined);
  if (found?.isDirectory) return { names: await foldersIn(path), notes: [] };
  switch (extname(path).toLowerCase()) {
    case ".onnx":
      return { names: await labelsOf(path), notes: [] };
    case ".safetensors":
      return { names: await labelNamesOf(path), notes: [] };
    case ".json":
      return await readJsonNames(path);
  }
  return await readLines(path);
}

/** Names of the folders in one, in the order in which `openImages` numbers classes. */
async function foldersIn(path: string): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory, isSymlink } of Deno.readDir(path)) {
    if (name.startsWith(".")) continue;
    const isFolder = isDirectory ||
      isSymlink && await Deno.stat(`${path}/${name}`).then((it) => it.isDirectory, () => false);
    if (isFolder) names.push(name);
  }
  if (names.length === 0) {
    throw new UserError(
      `Cannot read classes of "${path}": there is no folder in it, and one for each class was expected`,
    );
  }
  // The order of UTF-8 is that of code points.
  return names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

async function labelsOf(path: string): Promise<readonly string[]> {
  const labels = (await loadSidecar(path))?.labels;
  if (labels !== undefined) return labels;
  throw new UserError(
    `Cannot read classes of "${path}": its sidecar, a JSON file beside it, has no "labels"`,
  );
}

async function labelNamesOf(path: string): Promise<readonly string[]> {
  await using set = await openFeatures(path);
  const names = labelNames(set.metadata);
  if (names !== undefined) return names;
  throw new UserError(`Cannot read classes of "${path}": its metadata have no "label_names"`);
}

/** A JSON array, or a sidecar. */
async function readJsonNames(path: string): Promise<ClassList> {
  let value: unknown;
  try {
    value = JSON.parse((await Deno.readTextFile(path)).replace(/^\uFEFF/, ""));
  } catch {
    // A missing file and what is no JSON have their sentences there.
    return await readLines(path);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return await readLines(path);
  }
  const { labels } = parseSidecar(value, { name: path });
  if (labels === undefined) {
    throw new UserError(`Cannot read classes of "${path}": it has no "labels"`);
  }
  return { names: labels, notes: [] };
}

/** Lines of a list: their order numbers the classes, so that only empty ones are passed over. */
async function readLines(path: string): Promise<ClassList> {
  const entries = (await readWordEntries(path)).map(cleanWord);
  const names = entries.filter((name) => name !== "");
  const empty = entries.length - names.length;
  return {
    names,
    notes: empty === 0 ? [] : [`${empty} empty ${empty === 1 ? "entry" : "entries"}`],
  };
}
