/**
 * What a synthesis is to make: an image for each source image, with its prompt, its own seed and its
 * place; or images of labels alone.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { ImageSet } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { type Contexts, elementsOf } from "./contexts.ts";

/** One image to make. */
export interface WorkItem {
  /** Name of its source image; null where there is none. */
  readonly source: string | null;
  /** Place of its source in the set; -1 where there is none. */
  readonly index: number;
  /** Index of the source's class, -1 where it has none. */
  readonly label: number;
  /** Name of that class, or the label that the image is of. */
  readonly class: string;
  /** What the image is to show. */
  readonly elements: readonly string[];
  /** The text that the diffusion model is given. */
  readonly prompt: string;
  /** Path of the image within the images' folder. */
  readonly path: string;
}

/** All images to make. */
export interface WorkList {
  /** The images, in the order in which they are made. */
  readonly items: readonly WorkItem[];
  /** Source images that have no elements, and so no prompt. */
  readonly withoutElements: readonly string[];
}

/** The prompt of the authors' code. */
export const DEFAULT_PROMPT = "A photo only remain {elements}.";

/** The prompt of images of labels. */
export const LABEL_PROMPT = "{elements}";

/** What goes in the place of the elements. */
const ELEMENTS = "{elements}";

/** Characters of elements that a prompt has, as the authors' code cuts them. */
const MAX_CHARACTERS = 73;

/** Where images of no class go. */
const UNLABELLED = "unlabelled";

/** Classes and their names. */
export interface WorkOptions {
  /** A template with `{elements}`. */
  readonly prompt?: string;
  /** Places of the images to take, in this order; all by default. */
  readonly indices?: readonly number[];
}

/**
 * A prompt of elements: the template with the first 73 characters of their list.
 *
 * @param elements The elements.
 * @param template A text with `{elements}`.
 * @returns The prompt.
 * @throws {UserError} When the template has no `{elements}`.
 *
 * @example Two elements
 * ```ts
 * import { elementPrompt } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(elementPrompt(["grass", "birds"]), "A photo only remain grass, birds.");
 * ```
 */
export function elementPrompt(
  elements: readonly string[],
  template: string = DEFAULT_PROMPT,
): string {
  if (!template.includes(ELEMENTS)) {
    throw new UserError(`Cannot use the prompt "${template}": it lacks ${ELEMENTS}`);
  }
  const listed = [...elements.join(", ")].slice(0, MAX_CHARACTERS).join("");
  return template.replaceAll(ELEMENTS, () => listed);
}

/**
 * An image for each source image that has elements.
 *
 * @param images The source images.
 * @param contexts What they show beside their objects.
 * @param options Which images, and the prompt.
 * @returns The images to make, and the sources without elements.
 * @throws {UserError} When no source image has elements, or the prompt makes no sense.
 *
 * @example One of two images has elements
 * ```ts
 * import { sourceWork } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const images = {
 *   path: "x", names: ["cat/1.png", "cat/2.png"], labels: new Int32Array(2), classNames: ["cat"],
 * };
 * const { items, withoutElements } = sourceWork(images, { images: { "cat/1.png": ["sofa"] } });
 * assertEquals(items.map(({ path }) => path), ["cat/1.png"]);
 * assertEquals(withoutElements, ["cat/2.png"]);
 * ```
 */
export function sourceWork(
  images: Pick<ImageSet, "path" | "names" | "labels" | "classNames">,
  contexts: Pick<Contexts, "images">,
  options: WorkOptions = {},
): WorkList {
  const indices = options.indices ?? images.names.map((_, i) => i);
  const paths = new Paths();
  const items: WorkItem[] = [];
  const withoutElements: string[] = [];
  for (const index of indices) {
    const source = images.names[index]!;
    const elements = elementsOf(contexts, source) ?? [];
    if (elements.length === 0) {
      withoutElements.push(source);
      continue;
    }
    const label = images.labels[index]!;
    const name = images.classNames[label] ?? (label < 0 ? UNLABELLED : String(label));
    items.push({
      source,
      index,
      label,
      class: name,
      elements,
      prompt: elementPrompt(elements, options.prompt),
      path: paths.take(name, stemOf(source)),
    });
  }
  if (items.length > 0) return { items, withoutElements };
  throw new UserError(
    `Cannot make images from "${images.path}": none of ${indices.length} images has elements in the ` +
      `contexts`,
  );
}

/**
 * Images of labels alone: the alternative to near-boundary images in Table 4 of the paper.
 *
 * @param labels The labels.
 * @param options `perLabel`: images of each, 1 by default; `prompt`: a template with `{elements}`, by
 * default the label alone.
 * @returns The images to make.
 * @throws {UserError} When there is no label, or the prompt makes no sense.
 *
 * @example Two images of a label
 * ```ts
 * import { labelWork } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const { items } = labelWork(["teapot"], { perLabel: 2 });
 * assertEquals(items.map(({ path }) => path), ["teapot/0.png", "teapot/1.png"]);
 * ```
 */
export function labelWork(
  labels: readonly string[],
  options: { readonly perLabel?: number; readonly prompt?: string } = {},
): WorkList {
  const { perLabel = 1, prompt = LABEL_PROMPT } = options;
  if (labels.length === 0 || !(Number.isInteger(perLabel) && perLabel >= 1)) {
    throw new UserError(
      `Cannot make ${perLabel} images of each of ${labels.length} labels: one of each is the least`,
    );
  }
  const paths = new Paths();
  const items = labels.flatMap((label) =>
    Array.from({ length: perLabel }, (_, i): WorkItem => ({
      source: null,
      index: -1,
      label: -1,
      class: label,
      elements: [label],
      prompt: elementPrompt([label], prompt),
      path: paths.take(label, String(i)),
    }))
  );
  return { items, withoutElements: [] };
}

/** A name without folders and ending. */
function stemOf(path: string): string {
  return path.replace(/^.*[/\\]/, "").replace(/\.[^.]+$/, "") || path;
}

/** Paths of images, none twice. */
class Paths {
  readonly #taken: Set<string> = new Set();

  take(folder: string, stem: string): string {
    const base = `${fileName(folder)}/${fileName(stem)}`;
    let path = base;
    // Some file systems do not tell capitals from small letters.
    for (let i = 2; this.#taken.has(path.toLowerCase()); i++) path = `${base}-${i}`;
    this.#taken.add(path.toLowerCase());
    return `${path}.png`;
  }
}

/** A name that every file system takes. */
function fileName(name: string): string {
  // deno-lint-ignore no-control-regex
  const safe = name.replace(/[<>:"/\\|?*\x00-\x1f]/g, "_").replace(/^\.+|[. ]+$/g, "_").slice(
    0,
    120,
  );
  return safe === "" ? "_" : safe;
}

/**
 * The seed of an image's noise: it depends on the seed of all and on the image alone, neither on the
 * others nor on their order.
 *
 * @param item The image.
 * @param seed The seed of all.
 * @returns A whole number below 2^48.
 *
 * @example Two images
 * ```ts
 * import { imageSeed, labelWork } from "@oodgpu/oodgpu/methods";
 * import { assertNotEquals } from "@std/assert";
 *
 * const [a, b] = labelWork(["teapot", "kite"]).items;
 * assertNotEquals(imageSeed(a!, 1), imageSeed(b!, 1));
 * ```
 */
export function imageSeed(item: Pick<WorkItem, "source" | "path">, seed: number): number {
  const hash = createHash("sha256").update(`${seed}\0${item.source ?? item.path}`).digest();
  return hash.readUIntBE(0, 6);
}

/** What tells a work list from another. */
export function workHash(items: readonly WorkItem[]): string {
  const hash = createHash("sha256");
  for (const { source, label, class: name, prompt, path } of items) {
    hash.update(JSON.stringify([source, label, name, prompt, path]));
  }
  return hash.digest("hex");
}
