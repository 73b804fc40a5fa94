/**
 * Elements from a vision-language model behind an OpenAI-compatible endpoint: each image is shown to
 * it with a question, and what it answers is kept, so that no image is asked about twice.
 *
 * @module
 */

import { createHash } from "node:crypto";
import {
  decodeImage,
  encodePng,
  ImageError,
  type ImageSet,
  type RgbImage,
} from "../../data/mod.ts";
import { resizeReference } from "../../kernels/preprocess/reference.ts";
import { parseAnswer } from "./_answer.ts";
import { AnswerCache, answerKey } from "./_answer_cache.ts";
import { Chat, chatAddress, EndpointError, requireNet, shownAddress } from "./_chat.ts";
import { readableName } from "./_elements.ts";
import type { GivenElements } from "./contexts.ts";

export { EndpointError, requireNet };

/**
 * The question that is asked unless there is another one. `{class}` stands for the name of the
 * image's class, or for "the main object" where that is unknown, and `{most}` for a number.
 *
 * @example It asks for a list
 * ```ts
 * import { CONTEXT_QUESTION } from "@oodgpu/oodgpu/methods";
 * import { assertStringIncludes } from "@std/assert";
 *
 * assertStringIncludes(CONTEXT_QUESTION, "JSON list");
 * ```
 */
export const CONTEXT_QUESTION: string =
  "Which things does this picture show other than {class}? Look at what stands or grows around it, " +
  "at the ground, the background, the weather and the materials. Name each thing by a noun of one to " +
  "three words, the most visible first, at most {most} of them. Leave out {class}, its parts, and " +
  "whatever has its name in it. Answer with a JSON list of strings and nothing else; when there is " +
  "nothing else in the picture, answer [].";

/** Fields of a request that are not set by hand. */
const FIXED_FIELDS: readonly string[] = ["messages", "model", "stream"];
/** What goes with every request unless something else is asked for: short answers, always the same. */
const DEFAULT_REQUEST: Readonly<Record<string, unknown>> = { temperature: 0, "max_tokens": 300 };
/** What stands for the name of an unknown class. */
const UNKNOWN_CLASS = "the main object";

/** Whom to ask about images, and how. */
export interface AskElementsOptions {
  /**
   * Address of the API: `http://127.0.0.1:8080`, the same with `/v1`, or the whole one that ends in
   * `/chat/completions`.
   */
  readonly endpoint: string;
  /** Name of the model. */
  readonly model: string;
  /** Folder in which answers are kept; it is made where it is missing. */
  readonly cache: string;
  /** A key for the API; it is sent, and neither told nor kept. */
  readonly key?: string;
  /** Name of the environment variable that it came from, for messages. */
  readonly keyName?: string;
  /** The question; {@linkcode CONTEXT_QUESTION} by default. */
  readonly question?: string;
  /** Further fields of the request; `null` leaves out one that is there by default. */
  readonly request?: Readonly<Record<string, unknown>>;
  /**
   * Most elements that are asked for.
   *
   * @default {8}
   */
  readonly most?: number;
  /**
   * Longest side of the images that are sent, in pixels; larger ones are made smaller.
   *
   * @default {512}
   */
  readonly imageSize?: number;
  /**
   * Questions that are under way at a time.
   *
   * @default {2}
   */
  readonly parallel?: number;
  /**
   * Seconds for one try.
   *
   * @default {60}
   */
  readonly timeout?: number;
  /**
   * Tries after the first, where another one may help.
   *
   * @default {4}
   */
  readonly retries?: number;
  /**
   * Seconds before the second try; each further one waits twice as long, up to a minute.
   *
   * @default {1}
   */
  readonly backoff?: number;
  /**
   * Seed of what waits vary by.
   *
   * @default {0}
   */
  readonly seed?: number;
  /** Whether to stop at the first image that cannot be read. */
  readonly strict?: boolean;
  /** Whether to go on when there is no answer about an image. */
  readonly skipFailed?: boolean;
  /** Called after each image. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops everything; answers that were given are kept. */
  readonly signal?: AbortSignal;
}

/** What came of asking. */
export interface AskedElements {
  /** Elements by the images' names. */
  readonly given: GivenElements;
  /** Images that the endpoint was asked about. */
  readonly asked: number;
  /** Images whose answers were there already. */
  readonly known: number;
  /** Images about which the model named nothing. */
  readonly empty: number;
  /** Images that cannot be read. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** Images about which there is no answer. */
  readonly failed: readonly { readonly name: string; readonly reason: string }[];
}

/** What came of one image. */
interface Reply {
  readonly answer: string;
  readonly isNew: boolean;
}

/**
 * Asks a vision-language model what images show beside their objects.
 *
 * Answers are kept by the image's bytes, its class, the question and the model, as soon as they are
 * there: who asks the same again, after a stop or a kill, asks only about the rest. Tries that fail
 * on a busy or broken server (429, 5xx), a cut connection or a time-out are repeated after growing
 * waits, or as long as the server asks (`Retry-After`); what the server refuses is not.
 *
 * @param images The images.
 * @param options Whom to ask, what, and how patiently.
 * @returns The elements, and counts.
 * @throws {RangeError} When a number is out of its range.
 * @throws {UserError} When the address is none, Deno may not reach it, or answers cannot be kept.
 * @throws {EndpointError} When there is no answer; with `skipFailed` only when there would be none
 * about any image.
 * @throws {ImageError} With `strict`, at the first image that cannot be read.
 *
 * @example An address is needed
 * ```ts
 * import { askElements } from "@oodgpu/oodgpu/methods";
 * import { openImages } from "@oodgpu/oodgpu/data";
 * import { assertRejects } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * await Deno.writeFile(`${folder}/a.png`, new Uint8Array(1));
 * const images = await openImages(folder);
 * const options = { endpoint: "localhost", model: "llava", cache: `${folder}/answers` };
 * await assertRejects(() => askElements(images, options), Error, 'the endpoint "localhost"');
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function askElements(
  images: ImageSet,
  options: AskElementsOptions,
): Promise<AskedElements> {
  await requireNet(options.endpoint);
  requireNumbers(options);
  const { parallel = 2, strict = false, skipFailed = false, signal, onProgress } = options;
  // The first failure stops the others, which may have long waits before them.
  const stop = new AbortController();
  const all = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const asker = new Asker(images, { ...options, signal: all });
  const replies = new Array<Reply | undefined>(images.count);
  const skipped: { index: number; reason: string }[] = [];
  const failed: { index: number; reason: string }[] = [];
  let [next, done] = [0, 0];
  let failure: { readonly error: unknown } | undefined;
  const work = async () => {
    while (next < images.count && failure === undefined) {
      all.throwIfAborted();
      const index = next++;
      try {
        replies[index] = await asker.reply(index);
      } catch (error) {
        if (error instanceof ImageError && !strict) skipped.push({ index, reason: error.reason });
        else if (error instanceof EndpointError && skipFailed && error.isOwn) {
          failed.push({ index, reason: error.reason });
        } else throw error;
      }
      onProgress?.(++done, images.count);
    }
  };
  const workers = Array.from({ length: Math.min(parallel, images.count) }, async () => {
    try {
      await work();
    } catch (error) {
      failure ??= { error };
      stop.abort();
    }
  });
  await Promise.all(workers);
  if (failure !== undefined) throw failure.error;
  const named = (list: readonly { index: number; reason: string }[]) =>
    [...list].sort((a, b) => a.index - b.index)
      .map(({ index, reason }) => ({ name: images.names[index]!, reason }));
  const given = new Map<string, readonly string[]>();
  const counts = { asked: 0, known: 0, empty: 0 };
  for (const [index, reply] of replies.entries()) {
    if (reply === undefined) continue;
    const elements = parseAnswer(reply.answer);
    given.set(images.names[index]!, elements);
    if (reply.isNew) counts.asked++;
    else counts.known++;
    if (elements.length === 0) counts.empty++;
  }
  return { given, ...counts, skipped: named(skipped), failed: named(failed) };
}

/**
 * The address that questions are posted to, as it may be shown and kept: without what stands behind a
 * question mark.
 *
 * @param endpoint The address of an OpenAI-compatible API.
 * @returns The whole address.
 * @throws {UserError} When it is no address, or has a password in it.
 *
 * @example A server of one's own
 * ```ts
 * import { endpointAddress } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const address = endpointAddress("http://127.0.0.1:8080");
 * assertEquals(address, "http://127.0.0.1:8080/v1/chat/completions");
 * ```
 */
export function endpointAddress(endpoint: string): string {
  return shownAddress(chatAddress(endpoint));
}

/** Smallest values of the numbers that are set. */
const LEAST = {
  most: 1,
  imageSize: 1,
  parallel: 1,
  timeout: 1e-3,
  retries: 0,
  backoff: 0,
  seed: 0,
};

function requireNumbers(options: AskElementsOptions): void {
  for (const [name, least] of Object.entries(LEAST)) {
    const value = options[name as keyof typeof LEAST];
    if (value === undefined || value >= least && Number.isFinite(value)) continue;
    throw new RangeError(
      `Cannot ask about images: "${name}" must be at least ${least}: it is ${value}`,
    );
  }
}

/** Finds answers: among those that are kept, or by asking. */
class Asker {
  readonly #images: ImageSet;
  readonly #options: AskElementsOptions;
  readonly #chat: Chat;
  readonly #cache: AnswerCache;
  readonly #request: Readonly<Record<string, unknown>>;
  /** Answers under way, by key: equal images are asked about once. */
  readonly #underWay: Map<string, Promise<Reply>> = new Map();

  constructor(images: ImageSet, options: AskElementsOptions) {
    const { endpoint, key, keyName, timeout = 60, retries = 4, backoff = 1, seed = 0 } = options;
    this.#images = images;
    this.#options = options;
    this.#chat = new Chat({
      ...{ endpoint, key, keyName, timeout, retries, backoff, seed, signal: options.signal },
    });
    this.#cache = new AnswerCache(options.cache);
    const fields = Object.entries({ ...DEFAULT_REQUEST, ...options.request })
      .filter(([name, value]) => value !== null && !FIXED_FIELDS.includes(name));
    this.#request = Object.fromEntries(fields);
  }

  /** The answer about an image. */
  async reply(index: number): Promise<Reply> {
    const { model, imageSize = 512, most = 8 } = this.#options;
    const label = this.#images.labels[index]!;
    const className = readableName(this.#images.classNames[label] ?? "");
    const question = (this.#options.question ?? CONTEXT_QUESTION)
      .replaceAll("{class}", () => className === "" ? UNKNOWN_CLASS : className)
      .replaceAll("{most}", String(most));
    const source = await sourceOf(this.#images, index);
    const key = answerKey({
      ...{ image: source.hash, class: className, question, model, imageSize },
      request: this.#request,
    });
    const before = this.#underWay.get(key);
    if (before !== undefined) return { answer: (await before).answer, isNew: false };
    const reply = this.#find(index, { key, question, source, imageSize });
    this.#underWay.set(key, reply);
    try {
      return await reply;
    } finally {
      this.#underWay.delete(key);
    }
  }

  async #find(
    index: number,
    { key, question, source, imageSize }: {
      readonly key: string;
      readonly question: string;
      readonly source: ImageSource;
      readonly imageSize: number;
    },
  ): Promise<Reply> {
    const known = await this.#cache.get(key);
    if (known !== undefined) return { answer: known, isNew: false };
    const image = this.#images.names[index]!;
    const { model } = this.#options;
    const png = await encodePng(atMost(await source.decode(), imageSize));
    const url = `data:image/png;base64,${png.toBase64()}`;
    const content = [{ type: "text", text: question }, { type: "image_url", "image_url": { url } }];
    const answer = await this.#chat.ask(
      { ...this.#request, model, messages: [{ role: "user", content }] },
      { image, index },
    );
    await this.#cache.put(key, answer, { image, model, question });
    return { answer, isNew: true };
  }
}

/** An image before it is decoded. */
interface ImageSource {
  /** SHA-256 of the file, or of the pixels. */
  readonly hash: string;
  decode(): Promise<RgbImage>;
}

async function sourceOf(images: ImageSet, index: number): Promise<ImageSource> {
  const { name, path, bytes, image } = await images.item(index);
  const sha256 = createHash("sha256");
  if (image !== undefined) {
    sha256.update(`${image.width} x ${image.height}\n`).update(image.data);
    return { hash: sha256.digest("hex"), decode: () => Promise.resolve(image) };
  }
  const file = bytes ?? await readFile(name, path!);
  return { hash: sha256.update(file).digest("hex"), decode: () => decodeImage(file, { name }) };
}

async function readFile(name: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    throw new ImageError(
      name,
      error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message,
    );
  }
}

/** An image whose longer side is at most so many pixels; smaller ones stay as they are. */
function atMost(image: RgbImage, side: number): RgbImage {
  const share = side / Math.max(image.width, image.height);
  if (share >= 1) return image;
  const scaled = (length: number) => Math.max(1, Math.round(length * share));
  return resizeReference(image, {
    resize: { width: scaled(image.width), height: scaled(image.height) },
    interpolation: "bilinear",
    channels: "RGB",
    range: 1,
    mean: [0, 0, 0],
    scale: [1, 1, 1],
    layout: "NCHW",
  });
}
