/**
 * Text features that were computed before, as a file: encoding tens of thousands of prompts takes
 * long, and mining with another share needs the same ones again.
 *
 * @module
 */

import { SafetensorsFile, writeSafetensors } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import type { Prompt } from "./prompts.ts";

const FORMAT = "oodgpu.synood.prompts";
/** Saving takes no more than this share of the time that encoding takes. */
const SAVING_SHARE = 0.05;
const LEAST_MS = 15_000;

/** Names that were put into one list of templates, and the rows of their features. */
type Names = Map<string, Float32Array>;

/**
 * Features of prompts, averaged over their templates and not yet scaled, kept in a file. A file of
 * another text encoder is begun anew.
 *
 * @example Features are found again
 * ```ts
 * import { PromptCache } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const prompt = { names: ["cat"], templates: ["the nice {}"] };
 * const cache = await PromptCache.open(`${folder}/cache.safetensors`, "5eaf00d");
 * cache.set(prompt, new Float32Array([3, 4]));
 * await cache.save();
 * const again = await PromptCache.open(`${folder}/cache.safetensors`, "5eaf00d");
 * assertEquals(again.get(prompt), new Float32Array([3, 4]));
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class PromptCache {
  /** The file. */
  readonly path: string;
  /** Hash of the text encoder. */
  readonly model: string;
  /** Why what the file held before is not used. */
  readonly renewed: string | undefined;
  readonly #sets: Map<string, Names>;
  #width: number | undefined;
  #changed = false;
  #savedAt: number = performance.now();
  #savingMs = 0;

  private constructor(
    path: string,
    model: string,
    content: { sets?: Map<string, Names>; width?: number; renewed?: string },
  ) {
    this.path = path;
    this.model = model;
    this.renewed = content.renewed;
    this.#sets = content.sets ?? new Map();
    this.#width = content.width;
  }

  /**
   * Opens a file of features, or begins one.
   *
   * @param path The file.
   * @param model Hash of the text encoder with its tokenizer.
   * @returns The cache.
   * @throws {UserError} When the file holds something else, which would be lost.
   *
   * @example A new one
   * ```ts
   * import { PromptCache } from "@oodgpu/oodgpu/methods";
   * import { assertEquals } from "@std/assert";
   *
   * const cache = await PromptCache.open("no-such-file.safetensors", "5eaf00d");
   * assertEquals(cache.size, 0);
   * ```
   */
  static async open(path: string, model: string): Promise<PromptCache> {
    const exists = await Deno.stat(path).then(() => true, () => false);
    if (!exists) return new PromptCache(path, model, {});
    await using file = await SafetensorsFile.open(path);
    const { metadata, entries } = file.header;
    if (metadata["format"] !== FORMAT) {
      throw new UserError(
        `Cannot keep text features in "${path}": it is another file, which would be lost`,
      );
    }
    if (metadata["text_model"] !== model) {
      return new PromptCache(path, model, {
        renewed: "it is of another text encoder or tokenizer",
      });
    }
    const prompts = parsePrompts(metadata["prompts"] ?? "");
    const [rows, width] = entries.get("text_embed")?.shape ?? [];
    const count = prompts?.reduce((sum, { names }) => sum + names.length, 0);
    if (prompts === undefined || rows !== count || !(width! > 0)) {
      return new PromptCache(path, model, { renewed: "it is damaged" });
    }
    const { data } = await file.read("text_embed");
    const sets = new Map<string, Names>();
    let row = 0;
    for (const { templates, names } of prompts) {
      const rowOf = () => data.subarray(row * width!, ++row * width!) as Float32Array;
      sets.set(JSON.stringify(templates), new Map(names.map((name) => [name, rowOf()])));
    }
    return new PromptCache(path, model, { sets, width: width! });
  }

  /** How many prompts there are. */
  get size(): number {
    return [...this.#sets.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * The feature of a prompt.
   *
   * @param prompt The prompt.
   * @returns The feature, or undefined when there is none.
   */
  get(prompt: Prompt): Float32Array | undefined {
    return this.#sets.get(JSON.stringify(prompt.templates))?.get(nameKey(prompt));
  }

  /**
   * Keeps the feature of a prompt.
   *
   * @param prompt The prompt.
   * @param feature The average of its texts' features.
   * @throws {UserError} When the features so far have another width.
   */
  set(prompt: Prompt, feature: Float32Array): void {
    this.#width ??= feature.length;
    if (feature.length !== this.#width) {
      throw new UserError(
        `Cannot keep text features in "${this.path}": they are ${feature.length} wide and those in ` +
          `it ${this.#width}`,
      );
    }
    const key = JSON.stringify(prompt.templates);
    const names: Names = this.#sets.get(key) ?? new Map();
    this.#sets.set(key, names);
    names.set(nameKey(prompt), feature);
    this.#changed = true;
  }

  /**
   * Saves what is new when the last time is a while ago.
   *
   * @throws {UserError} When the file cannot be written.
   */
  async saveNowAndThen(): Promise<void> {
    const pause = Math.max(LEAST_MS, this.#savingMs / SAVING_SHARE);
    if (performance.now() - this.#savedAt >= pause) await this.save();
  }

  /**
   * Saves what is new.
   *
   * @throws {UserError} When the file cannot be written.
   */
  async save(): Promise<void> {
    if (!this.#changed) return;
    const began = performance.now();
    const width = this.#width!;
    const data = new Float32Array(this.size * width);
    const prompts: { templates: string[]; names: string[] }[] = [];
    let row = 0;
    for (const [key, names] of this.#sets) {
      prompts.push({ templates: JSON.parse(key), names: [...names.keys()] });
      for (const feature of names.values()) data.set(feature, width * row++);
    }
    await writeSafetensors(this.path, { "text_embed": { data, shape: [row, width] } }, {
      format: FORMAT,
      "text_model": this.model,
      prompts: JSON.stringify(prompts),
    });
    this.#changed = false;
    this.#savedAt = performance.now();
    this.#savingMs = this.#savedAt - began;
  }
}

/** Names of a prompt as one text; a single one stands for itself. */
function nameKey({ names }: Prompt): string {
  return names.join("\n");
}

interface StoredPrompts {
  readonly templates: readonly string[];
  readonly names: readonly string[];
}

function parsePrompts(text: string): readonly StoredPrompts[] | undefined {
  const isList = (value: unknown) =>
    Array.isArray(value) && value.every((item) => typeof item === "string");
  try {
    const value: unknown = JSON.parse(text);
    const fits = Array.isArray(value) &&
      value.every((set) =>
        isList(set?.templates) && isList(set?.names) && new Set(set.names).size === set.names.length
      );
    return fits ? value : undefined;
  } catch {
    return undefined;
  }
}
