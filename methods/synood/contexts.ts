/**
 * Contexts: what each image shows beside its object (section 3.3), as one file that a person can read
 * and edit. They come from a file, from a tagger or from a vision-language model; synthesis makes
 * prompts of them.
 *
 * @module
 */

import { writeFileAtomic } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { type DroppedElements, fitElements } from "./_elements.ts";
import { IdNames } from "./_id_names.ts";

export type { DroppedElements };

/** Where contexts come from. */
export type ContextsKind = "file" | "tagger" | "endpoint";

/** Where contexts come from, and with what settings. */
export interface ContextsSource {
  /** A file, a tagger, or an endpoint with a vision-language model. */
  readonly kind: ContextsKind;
  /** Whatever else is to be remembered. */
  readonly [key: string]: unknown;
}

/** What images show beside their objects. */
export interface Contexts {
  /** The file's version. */
  readonly version: 1;
  /** Where the elements come from. */
  readonly source: ContextsSource;
  /**
   * Elements of each image, the most prominent first, by its path below the image folder with forward
   * slashes; an empty list where nothing but the object was found.
   */
  readonly images: Readonly<Record<string, readonly string[]>>;
}

/** Elements of images as somebody gave them, by the images' names. */
export type GivenElements = ReadonlyMap<string, readonly string[]>;

/** The images that contexts are for. */
export interface ContextImages {
  /** Names of the images. */
  readonly names: readonly string[];
  /** Index of each one's class; -1 where it is unknown. */
  readonly labels: ArrayLike<number>;
  /** Names of the classes; lists of synonyms are separated by commas. */
  readonly classNames: readonly string[];
}

/** How elements are fitted to images. */
export interface FitContextsOptions {
  /** What the contexts say of their source. */
  readonly source: ContextsSource;
  /**
   * Most elements of an image.
   *
   * @default {8}
   */
  readonly most?: number;
  /** Further names of classes, by the class's name. */
  readonly synonyms?: ReadonlyMap<string, readonly string[]>;
}

/** What became of elements. */
export interface ContextCounts {
  /** Images that contexts were made for. */
  readonly images: number;
  /** Those that have elements now. */
  readonly withElements: number;
  /** Those for which nothing was given, or just an empty list. */
  readonly empty: number;
  /** Those that were given elements of which none could be kept. */
  readonly emptied: number;
  /** Elements that are kept, over all images. */
  readonly elements: number;
  /** Elements that were left out. */
  readonly dropped: DroppedElements;
  /** Names that were given and belong to none of the images. */
  readonly unknown: readonly string[];
}

/** Contexts, and what was left out on the way. */
export interface FittedContexts {
  /** The contexts. */
  readonly contexts: Contexts;
  /** How much was kept and left out. */
  readonly counts: ContextCounts;
}

/** An element, and how many images have it. */
export interface FrequentElement {
  /** The element, as it was first written. */
  readonly element: string;
  /** How many images have it. */
  readonly images: number;
}

/** The kinds of sources. */
const KINDS: readonly string[] = ["file", "tagger", "endpoint"] satisfies ContextsKind[];
const VERSION = 1;
/** Elements of an image, unless more are asked for: what a short prompt has room for. */
const DEFAULT_MOST = 8;

/**
 * Contexts of images: elements are cleaned (NFC, single spaces), each is kept once whatever its
 * capitals, and those that are the image's own class, or have its name among their words, are left
 * out. What is left out is counted.
 *
 * @param given Elements by the images' names.
 * @param images The images. Every one of them gets a list, which may be empty.
 * @param options The source, most elements of an image, and synonyms of classes.
 * @returns The contexts and the counts.
 * @throws {RangeError} If `most` is no whole number from 1.
 *
 * @example The class itself is no context
 * ```ts
 * import { fitContexts } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const { contexts, counts } = fitContexts(
 *   new Map([["1.png", ["giant panda", " Bamboo", "bamboo"]]]),
 *   { names: ["1.png"], labels: [0], classNames: ["panda"] },
 *   { source: { kind: "file" } },
 * );
 * assertEquals(contexts.images, { "1.png": ["Bamboo"] });
 * assertEquals(counts.dropped, { unusable: 0, duplicates: 1, own: 1, more: 0 });
 * ```
 */
export function fitContexts(
  given: GivenElements,
  images: ContextImages,
  options: FitContextsOptions,
): FittedContexts {
  const { source, most = DEFAULT_MOST, synonyms } = options;
  if (!Number.isSafeInteger(most) || most < 1) {
    throw new RangeError(
      `Cannot fit contexts: most elements of an image must be a whole number from 1: it is ${most}`,
    );
  }
  const own = images.classNames.map((name) => new IdNames([name, ...synonyms?.get(name) ?? []]));
  const lists: [string, readonly string[]][] = [];
  const dropped = { unusable: 0, duplicates: 0, own: 0, more: 0 };
  const counts = { withElements: 0, empty: 0, emptied: 0, elements: 0 };
  for (const [i, name] of images.names.entries()) {
    const list = given.get(name) ?? [];
    const fitted = fitElements(list, { own: own[images.labels[i]!], most });
    for (const why of Object.keys(dropped) as (keyof DroppedElements)[]) {
      dropped[why] += fitted.dropped[why];
    }
    counts.elements += fitted.elements.length;
    if (fitted.elements.length > 0) counts.withElements++;
    else if (list.length > 0) counts.emptied++;
    else counts.empty++;
    lists.push([name, fitted.elements]);
  }
  const known = new Set(images.names);
  const unknown = [...given.keys()].filter((name) => !known.has(name));
  return {
    contexts: { version: VERSION, source, images: Object.fromEntries(lists) },
    counts: { images: images.names.length, ...counts, dropped, unknown },
  };
}

/**
 * The elements of an image.
 *
 * @param contexts The contexts.
 * @param name The image's path below its folder.
 * @returns Its elements; undefined where the contexts know nothing of it.
 *
 * @example Known and unknown
 * ```ts
 * import { elementsOf } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const images = { "cat/1.png": ["sofa"] };
 * assertEquals(elementsOf({ images }, "cat/1.png"), ["sofa"]);
 * assertEquals(elementsOf({ images }, "toString"), undefined);
 * ```
 */
export function elementsOf(
  contexts: Pick<Contexts, "images">,
  name: string,
): readonly string[] | undefined {
  return Object.hasOwn(contexts.images, name) ? contexts.images[name] : undefined;
}

/**
 * The elements that most images have.
 *
 * @param contexts The contexts.
 * @param count How many are named.
 * @returns The elements, the most frequent first; equally frequent ones by name.
 *
 * @example Two images
 * ```ts
 * import { frequentElements } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const images = { "1.png": ["sky", "grass"], "2.png": ["grass"] };
 * assertEquals(frequentElements({ images }, 1), [{ element: "grass", images: 2 }]);
 * ```
 */
export function frequentElements(
  contexts: Pick<Contexts, "images">,
  count: number,
): FrequentElement[] {
  const counts = new Map<string, FrequentElement>();
  for (const element of Object.values(contexts.images).flat()) {
    const key = element.toLowerCase();
    const { element: first, images } = counts.get(key) ?? { element, images: 0 };
    counts.set(key, { element: first, images: images + 1 });
  }
  return [...counts.values()]
    .sort((a, b) => b.images - a.images || (a.element < b.element ? -1 : 1))
    .slice(0, count);
}

/**
 * Reads contexts.
 *
 * @param source The file's text, or its parsed JSON.
 * @param options `name`: what messages call it.
 * @returns The contexts.
 * @throws {UserError} When it is no contexts file, or something in it is wrong.
 *
 * @example A file that was written by hand
 * ```ts
 * import { parseContexts } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const contexts = parseContexts({
 *   version: 1,
 *   source: { kind: "file" },
 *   images: { "cat/1.png": ["sofa", "window"] },
 * });
 * assertEquals(contexts.images["cat/1.png"], ["sofa", "window"]);
 * ```
 */
export function parseContexts(
  source: unknown,
  options: { readonly name?: string } = {},
): Contexts {
  const name = options.name ?? "contexts";
  const refuse = (why: string, cause?: unknown) =>
    new UserError(`Cannot use the contexts "${name}": ${why}`, { cause });
  let value = source;
  if (typeof source === "string") {
    try {
      value = JSON.parse(source);
    } catch (error) {
      throw refuse("it is no JSON text", error);
    }
  }
  if (!isRecord(value) || !isRecord(value["images"])) {
    throw refuse('it is no contexts file; a file from "ood synood contexts" was expected');
  }
  const { version, source: from = { kind: "file" }, images } = value;
  if (version !== VERSION) {
    throw refuse(
      `its version is ${JSON.stringify(version)}, and this program reads version ${VERSION}`,
    );
  }
  if (!isRecord(from) || !KINDS.includes(from["kind"] as string)) {
    throw refuse(`the kind of its source is none of ${KINDS.join(", ")}`);
  }
  const wrong = Object.entries(images).find(([, list]) => !isElementList(list));
  if (wrong !== undefined) throw refuse(`"${wrong[0]}" has no list of texts`);
  return {
    version: VERSION,
    source: from as unknown as ContextsSource,
    images: images as Contexts["images"],
  };
}

/**
 * Reads a contexts file.
 *
 * @param path The file.
 * @returns The contexts.
 * @throws {UserError} When the file cannot be read or is no contexts file.
 *
 * @example What was saved
 * ```ts
 * import { loadContexts, parseContexts, saveContexts } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const images = { "cat/1.png": ["sofa"], "cat/2.png": [] };
 * const contexts = parseContexts({ version: 1, source: { kind: "file" }, images });
 * await saveContexts(contexts, `${folder}/contexts.json`);
 * assertEquals(await loadContexts(`${folder}/contexts.json`), contexts);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function loadContexts(path: string): Promise<Contexts> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? 'there is no such file; "ood synood contexts" makes one'
      : (error as Error).message;
    throw new UserError(`Cannot read the contexts "${path}": ${why}`, { cause: error });
  }
  return parseContexts(text, { name: path });
}

/**
 * Writes a contexts file atomically, with an image on each line.
 *
 * @param contexts The contexts.
 * @param path The file; an existing one is replaced.
 * @throws {UserError} When the file cannot be written.
 *
 * @example A file for a person to look through
 * ```ts
 * import { parseContexts, saveContexts } from "@oodgpu/oodgpu/methods";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const images = { "cat/1.png": ["sofa", "window"] };
 * const contexts = parseContexts({ version: 1, source: { kind: "file" }, images });
 * await saveContexts(contexts, `${folder}/contexts.json`);
 * const text = await Deno.readTextFile(`${folder}/contexts.json`);
 * assertStringIncludes(text, '\n    "cat/1.png": ["sofa", "window"]\n');
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveContexts(contexts: Contexts, path: string): Promise<void> {
  await writeFileAtomic(path, textOf(contexts));
}

/** The file's text, in pieces: there may be a million images. */
function* textOf({ version, source, images }: Contexts): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  const head = `{\n  "version": ${version},\n  "source": ${JSON.stringify(source)},\n`;
  yield encoder.encode(`${head}  "images": {`);
  let lines = "";
  let separator = "\n";
  for (const [name, elements] of Object.entries(images)) {
    const list = elements.map((element) => JSON.stringify(element)).join(", ");
    lines += `${separator}    ${JSON.stringify(name)}: [${list}]`;
    separator = ",\n";
    if (lines.length < PIECE) continue;
    yield encoder.encode(lines);
    lines = "";
  }
  yield encoder.encode(`${lines}${separator === "\n" ? "" : "\n  "}}\n}\n`);
}

/** Letters that are written at a time. */
const PIECE = 1 << 16;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value is a list of texts. */
export function isElementList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
