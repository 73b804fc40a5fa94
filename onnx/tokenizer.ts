/**
 * Texts to tokens, with the tokenizer that a text encoder comes with (`tokenizer.json`).
 *
 * @module
 */

import type { Tokenizer } from "@huggingface/tokenizers";
import { UserError } from "../runtime/errors.ts";
import { asRecord, readJson } from "./_json.ts";

/** Texts as a text encoder takes them. */
export interface EncodedTexts {
  /** Ids of tokens, i64 [N, T]. */
  readonly ids: BigInt64Array<ArrayBuffer>;
  /** 1 for each token and 0 for padding, i64 [N, T]. */
  readonly mask: BigInt64Array<ArrayBuffer>;
  /** [N, T]. */
  readonly shape: readonly [number, number];
  /** The texts that were too long, by index; they lost their end, but not the end token. */
  readonly truncated: readonly number[];
}

/** How texts are encoded. */
export interface EncodeOptions {
  /** Most tokens of a text, those for its start and its end included. */
  readonly length: number;
  /** Whether all rows get `length` tokens (the default), or as many as the longest text here. */
  readonly padding?: "length" | "longest";
}

/** Contents of the files of a tokenizer. */
export interface TokenizerContent {
  /** `tokenizer.json`. */
  readonly tokenizer: unknown;
  /** `tokenizer_config.json`, which names the padding token. */
  readonly config?: unknown;
  /** `special_tokens_map.json`, which goes before it. */
  readonly special?: unknown;
  /** What errors call the tokenizer. */
  readonly name?: string;
}

/** Lengths beyond this stand for "no limit" in `model_max_length`. */
const MOST_TOKENS = 65_536;

/**
 * Loads a tokenizer.
 *
 * @param source Path of a `tokenizer.json`, beside which `tokenizer_config.json` and
 * `special_tokens_map.json` are read where they are; or the contents.
 * @returns The tokenizer.
 * @throws {UserError} When there is no such file, it is no JSON, or no tokenizer that can be run.
 *
 * @example The bytes of a text
 * ```ts
 * import { loadTokenizer } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const tokenizer = await loadTokenizer({
 *   tokenizer: {
 *     added_tokens: [],
 *     normalizer: { type: "Lowercase" },
 *     pre_tokenizer: { type: "WhitespaceSplit" },
 *     post_processor: null,
 *     decoder: null,
 *     model: {
 *       type: "WordPiece",
 *       unk_token: "?",
 *       continuing_subword_prefix: "##",
 *       vocab: { "[PAD]": 0, "?": 1, a: 2, cat: 3, "##s": 4 },
 *     },
 *   },
 *   config: { pad_token: "[PAD]" },
 * });
 * const { ids, mask } = tokenizer.encode(["a Cat", "cats!"], { length: 3 });
 * assertEquals(ids, BigInt64Array.of(2n, 3n, 0n, 1n, 0n, 0n));
 * assertEquals(mask, BigInt64Array.of(1n, 1n, 0n, 1n, 0n, 0n));
 * ```
 */
export async function loadTokenizer(source: string | TokenizerContent): Promise<TextTokenizer> {
  const content = typeof source === "string" ? await readContent(source) : source;
  const name = content.name ?? "tokenizer.json";
  const where = { name, at: "" };
  const tokenizer = asRecord(content.tokenizer, where);
  const config = { ...tokensAsText(content.config, `the configuration of ${name}`) };
  Object.assign(config, tokensAsText(content.special, `the special tokens of ${name}`));
  const refuse = (why: string) => new UserError(`Cannot use "${name}": ${why}`);
  if (typeof tokenizer["model"] !== "object" || tokenizer["model"] === null) {
    throw refuse('it has no "model", so it is no tokenizer.json');
  }
  const { Tokenizer } = await import("@huggingface/tokenizers");
  let made: Tokenizer;
  try {
    made = new Tokenizer({ added_tokens: [], ...tokenizer }, config);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw refuse(`it is no tokenizer that can be run ("${why}")`);
  }
  const hash = await hashOf([tokenizer, config]);
  return new TextTokenizer(made, { name, hash, padToken: padTokenOf(tokenizer, config), config });
}

/** SHA-256 of what files say. */
async function hashOf(value: unknown): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/**
 * A tokenizer. Made by {@linkcode loadTokenizer}.
 *
 * @example How many ids there are
 * ```ts
 * import { loadTokenizer, TextTokenizer } from "@oodgpu/oodgpu/onnx";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const tokenizer = await loadTokenizer({
 *   tokenizer: {
 *     normalizer: null,
 *     pre_tokenizer: { type: "WhitespaceSplit" },
 *     post_processor: null,
 *     decoder: null,
 *     model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"], unk_token: null },
 *   },
 * });
 * assert(tokenizer instanceof TextTokenizer);
 * assertEquals(tokenizer.vocabularySize, 3);
 * ```
 */
export class TextTokenizer {
  /** What errors call it. */
  readonly name: string;
  /** SHA-256 of its files' content: the same texts give the same ids where it is the same. */
  readonly hash: string;
  /** One more than its largest id. */
  readonly vocabularySize: number;
  /** The id that fills rows up. */
  readonly padId: number;
  /** The longest text that the model was made for, where the files say so. */
  readonly maxLength: number | undefined;
  readonly #tokenizer: Tokenizer;
  /** Tokens before and behind every text. */
  readonly #around: { readonly before: number; readonly behind: number };

  /**
   * Puts a tokenizer together; {@linkcode loadTokenizer} does it for you.
   *
   * @param tokenizer What turns texts into tokens.
   * @param parts Its name and hash, the padding token if any is named, and the configuration.
   * @throws {UserError} When the padding token is not in the vocabulary.
   */
  constructor(
    tokenizer: Tokenizer,
    parts: {
      readonly name: string;
      readonly hash: string;
      readonly padToken: string | undefined;
      readonly config: Readonly<Record<string, unknown>>;
    },
  ) {
    this.name = parts.name;
    this.hash = parts.hash;
    this.#tokenizer = tokenizer;
    this.vocabularySize = largestId(tokenizer) + 1;
    this.#around = specialTokens(tokenizer);
    const longest = parts.config["model_max_length"];
    const limited = typeof longest === "number" && longest >= 1 && longest <= MOST_TOKENS;
    this.maxLength = limited ? Math.floor(longest) : undefined;
    this.padId = this.#padding(parts.padToken);
  }

  /**
   * Encodes texts as rows of one length. A text that is too long loses tokens from its end, but
   * keeps those that mark its start and its end.
   *
   * @param texts The texts.
   * @param options The length, and whether shorter rows will do.
   * @returns Ids and mask.
   * @throws {UserError} When a text has something that the tokenizer has no token for.
   * @throws {RangeError} When the length leaves no room for a text.
   */
  encode(texts: readonly string[], options: EncodeOptions): EncodedTexts {
    const { length, padding = "length" } = options;
    const { before, behind } = this.#around;
    if (!Number.isInteger(length) || length <= before + behind) {
      throw new RangeError(
        `Cannot encode texts in ${length} tokens: "${this.name}" takes ${
          before + behind
        } of them ` +
          `for the start and the end of a text`,
      );
    }
    const truncated: number[] = [];
    const rows = texts.map((text, row) => {
      const ids = this.#idsOf(text);
      if (ids.length <= length) return ids;
      truncated.push(row);
      return [...ids.slice(0, length - behind), ...ids.slice(ids.length - behind)];
    });
    const width = padding === "length"
      ? length
      : rows.reduce((longest, { length }) => Math.max(longest, length), 1);
    const ids = new BigInt64Array(rows.length * width).fill(BigInt(this.padId));
    const mask = new BigInt64Array(rows.length * width);
    for (const [row, tokens] of rows.entries()) {
      for (const [place, id] of tokens.entries()) ids[row * width + place] = BigInt(id);
      mask.fill(1n, row * width, row * width + tokens.length);
    }
    return { ids, mask, shape: [rows.length, width], truncated };
  }

  #idsOf(text: string): number[] {
    const { ids, tokens } = this.#tokenizer.encode(text);
    const unknown = ids.findIndex((id) => id === undefined);
    if (unknown < 0) return ids;
    throw new UserError(
      `Cannot encode "${text}": "${this.name}" has no token for "${tokens[unknown]}"`,
    );
  }

  /** The id of the padding token; without one, of what ends a text, and else the first. */
  #padding(padToken: string | undefined): number {
    if (padToken === undefined) {
      return this.#around.behind > 0 ? this.#idsOf("").at(-1) ?? 0 : 0;
    }
    const id = this.#tokenizer.token_to_id(padToken);
    if (id !== undefined) return id;
    throw new UserError(
      `Cannot use "${this.name}": its padding token "${padToken}" is not in its vocabulary`,
    );
  }
}

async function readContent(path: string): Promise<TokenizerContent> {
  const tokenizer = await readJson(path);
  if (tokenizer === undefined) {
    throw new UserError(`Cannot read "${path}": there is no such file`);
  }
  const folder = path.replace(/[^/\\]*$/, "");
  const [config, special] = await Promise.all([
    readJson(`${folder}tokenizer_config.json`),
    readJson(`${folder}special_tokens_map.json`),
  ]);
  return { tokenizer, config, special, name: path };
}

/** A configuration in which special tokens, which may be objects, are texts. */
function tokensAsText(value: unknown, name: string): Record<string, unknown> {
  if (value === undefined) return {};
  return Object.fromEntries(
    Object.entries(asRecord(value, { name, at: "" })).map(([key, item]) => {
      const content = key.endsWith("_token") ? (item as { content?: unknown } | null)?.content : 0;
      return [key, typeof content === "string" ? content : item];
    }),
  );
}

/** What fills rows up: as the configuration says, else as the tokenizer's own padding does. */
function padTokenOf(
  tokenizer: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>>,
): string | undefined {
  const padding = tokenizer["padding"] as { pad_token?: unknown } | null | undefined;
  for (const token of [config["pad_token"], padding?.pad_token]) {
    if (typeof token === "string") return token;
  }
  return undefined;
}

function largestId(tokenizer: Tokenizer): number {
  let largest = (tokenizer.model?.vocab.length ?? 0) - 1;
  for (const id of tokenizer.get_added_tokens_decoder().keys()) largest = Math.max(largest, id);
  return largest;
}

/** How many tokens the tokenizer puts before and behind a text. */
function specialTokens(tokenizer: Tokenizer): { before: number; behind: number } {
  const probe = "a";
  const all = tokenizer.encode(probe).ids;
  const bare = tokenizer.encode(probe, { add_special_tokens: false }).ids;
  const before = Math.max(0, all.findIndex((_, i) => bare.every((id, k) => all[i + k] === id)));
  return { before, behind: all.length - before - bare.length };
}
