/**
 * Vision-language models: an image encoder and a text encoder whose embeddings can be compared, as
 * CLIP's, in the folder in which exports lay them out.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import type { Gpu } from "../runtime/device.ts";
import { Tensor } from "../runtime/tensor.ts";
import { type Executor, hashModel, openExecutor } from "./_extraction_plan.ts";
import { BatchLimit, ReopenedSession } from "./_memory.ts";
import {
  findEncoder,
  findTokenizer,
  FOLDER_SIDECAR,
  type FolderSidecar,
  readFolderSidecar,
  requireFolder,
} from "./_vision_language_files.ts";
import {
  checkImageEncoder,
  checkTextEncoder,
  checkVocabulary,
  findLogitScale,
  type TextSignature,
} from "./_vision_language_signature.ts";
import { exposeMaps } from "./expose.ts";
import type { ExtractionDevice } from "./extraction_options.ts";
import { type OnnxModel, readModel } from "./model.ts";
import { type OnnxSession, openSession } from "./session.ts";
import { loadSidecar, type Sidecar } from "./sidecar.ts";
import { type EncodeOptions, loadTokenizer, type TextTokenizer } from "./tokenizer.ts";

/** The two encoders. */
export type VisionLanguagePart = "image" | "text";

/** How a vision-language model is opened. */
export interface VisionLanguageOptions {
  /** Where the text encoder runs; `auto` by default. */
  readonly device?: ExtractionDevice;
  /** A GPU of yours; without it one is opened when it is needed. */
  readonly gpu?: Gpu;
  /** Threads in WebAssembly; all cores by default, and the first session of a process decides. */
  readonly threads?: number;
  /** Which encoders to open; both by default. */
  readonly parts?: readonly VisionLanguagePart[];
  /** Takes one sentence where something was assumed, or had to be done otherwise. */
  readonly onWarning?: (message: string) => void;
}

/** How texts are encoded. */
export interface EncodeTextsOptions {
  /** Texts in one run; 64 by default. Fewer are taken where memory does not suffice. */
  readonly batch?: number;
  /** Called after each batch. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends the work after the batch under way. */
  readonly signal?: AbortSignal;
}

/** Embeddings of texts. */
export interface TextEmbeddings {
  /** A row for each text, as the encoder gives it: f32 [L, D]. */
  readonly embed: Float32Array<ArrayBuffer>;
  /** D. */
  readonly width: number;
}

/** The image encoder, for `extractFeatures`. */
export interface ImageModel {
  /** Path of the file. */
  readonly path: string;
  /** What its sidecar would say: names of values, and the preprocessing. */
  readonly sidecar: Sidecar;
}

/** What an opened model is made of; {@linkcode openVisionLanguage} puts it together. */
export interface VisionLanguageParts {
  /** The folder. */
  readonly path: string;
  /** D. */
  readonly width: number;
  /** What cosines are multiplied with. */
  readonly logitScale: number;
  /** Hashes of the files of the encoders that were opened. */
  readonly hash: Readonly<Partial<Record<VisionLanguagePart, string>>>;
  /** Sentences with `{}` in the place of a label, where the folder has some. */
  readonly templates: readonly string[] | undefined;
  /** The image encoder. */
  readonly image: ImageModel | undefined;
  /** The text encoder. */
  readonly text: OpenTextEncoder | undefined;
  /** Takes warnings. */
  readonly onWarning: ((message: string) => void) | undefined;
}

/** The text encoder with all that it needs. */
export interface OpenTextEncoder extends AsyncDisposable {
  /** Its session, which can be opened anew. */
  readonly session: {
    /** As it is now. */
    readonly current: OnnxSession;
    /** Opens another in its place. */
    reopen(): Promise<void>;
  };
  /** Its tokenizer. */
  readonly tokenizer: TextTokenizer;
  /** Tokens of a text at most. */
  readonly length: number;
  /** Whether the graph takes rows of that length alone. */
  readonly fixed: boolean;
  /** Names of its inputs and its output. */
  readonly names: {
    readonly ids: string;
    readonly mask: string | undefined;
    readonly embed: string;
  };
  /** Where it runs. */
  readonly executor: { readonly name: string; readonly gpu: Gpu | undefined };
}

/** The scale that CLIP's training ended at. */
const USUAL_SCALE = 100;
/** Tokens of a text in CLIP. */
const USUAL_LENGTH = 77;
const TEXT_BATCH = 64;
/** Texts with which it is tried out whether rows may be short. */
const PROBED = 2;
/** By what share of the largest number embeddings may differ and be the same. */
const SAME = 1e-5;
/** Embeddings shorter than this have no direction. */
const LEAST_LENGTH = 1e-12;

/**
 * Opens a vision-language model: a folder with `vision_model.onnx` (`pixel_values` [N, 3, H, W] to
 * `image_embeds` [N, D]), `text_model.onnx` (`input_ids` and maybe `attention_mask` [N, T] to
 * `text_embeds` [N, D]), each there or in a folder `onnx` in it, or `model.onnx` with both,
 * `tokenizer.json`, and if there are such `tokenizer_config.json`, `preprocessor_config.json` and `oodgpu.json`, which can name other
 * files and values, the preprocessing, `logit_scale`, `context_length` and `templates`.
 *
 * A batch or a number of tokens that a graph fixes is fine.
 *
 * @param folder The folder.
 * @param options Which encoders, and where they run.
 * @returns The model; dispose it.
 * @throws {UserError} When a file is missing or is not what it should be, the encoders' embeddings
 * differ in width, or the tokenizer is not the text encoder's.
 * @throws {GpuUnavailableError} When webgpu is asked for and no adapter can be had.
 *
 * @example A folder without a model
 * ```ts
 * import { openVisionLanguage } from "@oodgpu/oodgpu/onnx";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => openVisionLanguage("models"), Error, "there is no vision_model.onnx");
 * ```
 */
export async function openVisionLanguage(
  folder: string,
  options: VisionLanguageOptions = {},
): Promise<VisionLanguageModel> {
  const { parts = ["image", "text"], onWarning } = options;
  await requireFolder(folder);
  const sidecar = await readFolderSidecar(folder);
  const image = parts.includes("image") ? await readImageEncoder(folder, sidecar) : undefined;
  const text = parts.includes("text") ? await readTextEncoder(folder, sidecar) : undefined;
  const width = commonWidth(folder, { sidecar, image, text });
  let logitScale = sidecar.logitScale ?? text?.logitScale ?? image?.logitScale;
  if (logitScale === undefined) {
    logitScale = USUAL_SCALE;
    if (text !== undefined) {
      onWarning?.(
        `Neither ${FOLDER_SIDECAR} nor a graph of "${folder}" says by what cosines are multiplied ` +
          `("logit_scale"): ${USUAL_SCALE} is taken, as CLIP's training ended at`,
      );
    }
  }
  return new VisionLanguageModel({
    path: folder,
    width,
    logitScale,
    hash: {
      ...(image !== undefined && { image: image.hash }),
      ...(text !== undefined && { text: text.hash }),
    },
    templates: sidecar.templates,
    image: image?.model,
    text: text && await openTextEncoder(text, { sidecar, options }),
    onWarning,
  });
}

/**
 * The hash of a folder's text encoder, by which label sets say whose text features they have.
 *
 * @param folder The folder.
 * @returns The hash, or undefined when there is no text encoder.
 * @throws {UserError} When the folder or its `oodgpu.json` cannot be read.
 *
 * @example A folder without one
 * ```ts
 * import { hashTextEncoder } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(await hashTextEncoder("models"), undefined);
 * ```
 */
export async function hashTextEncoder(folder: string): Promise<string | undefined> {
  await requireFolder(folder);
  const { textModel } = await readFolderSidecar(folder);
  const path = await findEncoder(folder, "text", textModel).catch(() => undefined);
  return path === undefined ? undefined : await hashModel(path, await readModel(path));
}

/**
 * An opened vision-language model. Made by {@linkcode openVisionLanguage}.
 *
 * @example Which folder it is
 * ```ts
 * import { VisionLanguageModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * await using model = new VisionLanguageModel({
 *   path: "clip",
 *   width: 512,
 *   logitScale: 100,
 *   hash: {},
 *   templates: undefined,
 *   image: undefined,
 *   text: undefined,
 *   onWarning: undefined,
 * });
 * assertEquals(model.path, "clip");
 * ```
 */
export class VisionLanguageModel implements AsyncDisposable {
  /** The folder. */
  readonly path: string;
  /** Width of the embeddings, D. */
  readonly width: number;
  /** What cosines are multiplied with before a softmax; 100 where no file says it. */
  readonly logitScale: number;
  /** Hashes of the files of the encoders that were opened. */
  readonly hash: Readonly<Partial<Record<VisionLanguagePart, string>>>;
  /** Sentences with `{}` in the place of a label, where the folder has some. */
  readonly templates: readonly string[] | undefined;
  readonly #image: ImageModel | undefined;
  readonly #onWarning: ((message: string) => void) | undefined;
  #text: OpenTextEncoder | undefined;
  #padding: EncodeOptions["padding"];

  /**
   * Puts a model together; {@linkcode openVisionLanguage} does it for you.
   *
   * @param parts What the model is made of.
   */
  constructor(parts: VisionLanguageParts) {
    this.path = parts.path;
    this.width = parts.width;
    this.logitScale = parts.logitScale;
    this.hash = parts.hash;
    this.templates = parts.templates;
    this.#image = parts.image;
    this.#text = parts.text;
    this.#onWarning = parts.onWarning;
  }

  /**
   * The image encoder, for `extractFeatures`.
   *
   * @throws {TypeError} When the model was opened without it.
   */
  get imageModel(): ImageModel {
    if (this.#image === undefined) throw this.#without("image");
    return this.#image;
  }

  /**
   * Tokens of a text at most, those for its start and its end included.
   *
   * @throws {TypeError} When the model was opened without the text encoder.
   */
  get contextLength(): number {
    return this.#needText().length;
  }

  /**
   * Hash of the text encoder with its tokenizer: the same texts have the same embeddings where it is
   * the same.
   *
   * @throws {TypeError} When the model was opened without the text encoder.
   */
  get textHash(): string {
    return `${this.hash.text ?? ""}+${this.#needText().tokenizer.hash}`;
  }

  /**
   * Where the text encoder runs, in words.
   *
   * @throws {TypeError} When the model was opened without it.
   */
  get deviceName(): string {
    return this.#needText().executor.name;
  }

  /**
   * Encodes texts. One that is too long loses its end, with a warning; a batch that does not fit
   * into memory is halved, with one warning.
   *
   * @param texts The texts.
   * @param options How many at a time.
   * @returns A row for each text, as the encoder gives it: of any length.
   * @throws {UserError} When a text cannot be encoded, or its embedding is no number or has no
   * length.
   * @throws {RangeError} When the batch is no whole number from 1.
   * @throws {TypeError} When the model was opened without the text encoder.
   */
  async encodeTexts(
    texts: readonly string[],
    options: EncodeTextsOptions = {},
  ): Promise<TextEmbeddings> {
    const encoder = this.#needText();
    const { batch = TEXT_BATCH, onProgress, signal } = options;
    if (!Number.isInteger(batch) || batch < 1) {
      throw new RangeError(`Cannot encode ${batch} texts at a time: it must be a whole number`);
    }
    const { width } = this;
    signal?.throwIfAborted();
    const embed = new Float32Array(texts.length * width);
    const limit = new BatchLimit(batch, "texts", this.#onWarning);
    const padding = await this.#choosePadding(encoder, texts);
    let cut = 0;
    for (let start = 0; start < texts.length;) {
      signal?.throwIfAborted();
      const some = texts.slice(start, start + limit.size);
      try {
        const { rows, truncated } = await runTexts(encoder, some, { width, padding });
        requireDirections(rows, { texts: some, width, name: encoder.session.current.name });
        embed.set(rows, start * width);
        cut += truncated;
      } catch (error) {
        limit.halve(some.length, error);
        await encoder.session.reopen();
        continue;
      }
      limit.worked();
      start += some.length;
      onProgress?.(start, texts.length);
    }
    if (cut > 0) {
      this.#onWarning?.(
        `${cut} of ${texts.length} texts are longer than ${encoder.length} tokens and lost their end`,
      );
    }
    return { embed, width };
  }

  /**
   * Whether rows may end with the longest text. Most texts are short, but only an encoder that looks
   * at nothing behind a text's end, as CLIP's, gives the same then: it is tried out.
   */
  async #choosePadding(
    encoder: OpenTextEncoder,
    texts: readonly string[],
  ): Promise<EncodeOptions["padding"]> {
    if (encoder.fixed || texts.length === 0) return "length";
    if (this.#padding !== undefined) return this.#padding;
    const { width } = this;
    const some = texts.slice(0, PROBED);
    const { rows } = await runTexts(encoder, some, { width, padding: "length" });
    const { rows: short } = await runTexts(encoder, some, { width, padding: "longest" });
    const largest = rows.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const same = rows.every((value, i) => Math.abs(value - short[i]!) <= SAME * largest);
    this.#padding = same ? "longest" : "length";
    return this.#padding;
  }

  /** Gives the text encoder's memory back. */
  async dispose(): Promise<void> {
    const text = this.#text;
    this.#text = undefined;
    await text?.[Symbol.asyncDispose]();
  }

  /** Gives it back at the end of an `await using` scope. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #needText(): OpenTextEncoder {
    if (this.#text === undefined) throw this.#without("text");
    return this.#text;
  }

  #without(part: VisionLanguagePart): TypeError {
    return new TypeError(
      `Cannot use the ${part} encoder of "${this.path}": it was not opened, or is disposed`,
    );
  }
}

/** A file of an encoder, read and checked. */
interface ReadEncoder {
  readonly hash: string;
  readonly width: number | undefined;
  readonly logitScale: number | undefined;
  readonly name: string;
}

interface ReadImageEncoder extends ReadEncoder {
  readonly model: ImageModel;
}

interface ReadTextEncoder extends ReadEncoder {
  readonly graph: OnnxModel;
  readonly signature: TextSignature;
  readonly tokenizer: TextTokenizer;
}

async function readImageEncoder(
  folder: string,
  sidecar: FolderSidecar,
): Promise<ReadImageEncoder> {
  const path = await findEncoder(folder, "image", sidecar.imageModel);
  const graph = await readModel(path);
  const { width } = checkImageEncoder(graph, sidecar);
  const own = await loadSidecar(path);
  const preprocessing = sidecar.preprocessing ?? own?.preprocessing;
  return {
    hash: await hashModel(path, graph),
    width,
    logitScale: findLogitScale(graph),
    name: graph.name,
    model: {
      path,
      sidecar: {
        ...own,
        input: sidecar.inputs.image,
        outputs: { ...own?.outputs, "image_embed": sidecar.outputs.imageEmbed },
        ...(preprocessing !== undefined && { preprocessing }),
      },
    },
  };
}

async function readTextEncoder(folder: string, sidecar: FolderSidecar): Promise<ReadTextEncoder> {
  const path = await findEncoder(folder, "text", sidecar.textModel);
  const tokenizer = await loadTokenizer(await findTokenizer(folder, sidecar.tokenizer));
  const graph = await readModel(path);
  const signature = checkTextEncoder(graph, sidecar);
  checkVocabulary(tokenizer, signature, graph);
  return {
    hash: await hashModel(path, graph),
    width: signature.width,
    logitScale: findLogitScale(graph),
    name: graph.name,
    graph,
    signature,
    tokenizer,
  };
}

/** The width of both encoders' embeddings. */
function commonWidth(
  folder: string,
  { sidecar, image, text }: {
    readonly sidecar: FolderSidecar;
    readonly image: ReadEncoder | undefined;
    readonly text: ReadEncoder | undefined;
  },
): number {
  const widths = [image, text].filter((encoder) => encoder?.width !== undefined);
  const [first, second] = widths;
  if (second !== undefined && first!.width !== second.width) {
    throw new UserError(
      `Cannot compare images and texts of "${folder}": "${first!.name}" gives ${first!.width} ` +
        `numbers and "${second.name}" gives ${second.width}`,
    );
  }
  const width = first?.width ?? sidecar.width;
  if (width === undefined) {
    throw new UserError(
      `Cannot open "${folder}": no graph says how wide the embeddings are; say it in ` +
        `${FOLDER_SIDECAR} ("width": 512)`,
    );
  }
  if (sidecar.width !== undefined && sidecar.width !== width) {
    throw new UserError(
      `Cannot open "${folder}": its ${FOLDER_SIDECAR} says that embeddings have ${sidecar.width} ` +
        `numbers and "${first!.name}" gives ${width}`,
    );
  }
  return width;
}

async function openTextEncoder(
  { graph, signature, tokenizer }: ReadTextEncoder,
  { sidecar, options }: { sidecar: FolderSidecar; options: VisionLanguageOptions },
): Promise<OpenTextEncoder> {
  const length = contextLength({ graph, signature, tokenizer }, sidecar);
  const { threads } = options;
  const executor: Executor = await openExecutor(options);
  const { device, gpu } = executor;
  try {
    const { model, names } = exposeMaps(graph, [sidecar.outputs.textEmbed]);
    const session = await ReopenedSession.open(() =>
      openSession(model, {
        device,
        name: graph.name,
        ...(gpu === undefined ? {} : { gpu }),
        ...(threads === undefined ? {} : { threads }),
      })
    );
    return {
      session,
      tokenizer,
      length,
      fixed: signature.length !== undefined,
      names: {
        ids: sidecar.inputs.ids,
        mask: signature.masked ? sidecar.inputs.mask : undefined,
        embed: names[0]!,
      },
      executor,
      async [Symbol.asyncDispose]() {
        await session[Symbol.asyncDispose]();
        await executor[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await executor[Symbol.asyncDispose]();
    throw error;
  }
}

/** Tokens of a text: as the sidecar says, else the graph, else the tokenizer, else CLIP's. */
function contextLength(
  { graph, signature, tokenizer }: Pick<ReadTextEncoder, "graph" | "signature" | "tokenizer">,
  sidecar: FolderSidecar,
): number {
  const { length: fixed } = signature;
  const wanted = sidecar.contextLength;
  if (fixed !== undefined && wanted !== undefined && fixed !== wanted) {
    throw new UserError(
      `Cannot encode texts with "${graph.name}": its ${FOLDER_SIDECAR} says that texts have ` +
        `${wanted} tokens and the graph takes ${fixed}`,
    );
  }
  return wanted ?? fixed ?? signature.positions ?? tokenizer.maxLength ?? USUAL_LENGTH;
}

/** One run of the text encoder. */
async function runTexts(
  { session, tokenizer, length, names, executor }: OpenTextEncoder,
  texts: readonly string[],
  { width, padding }: { readonly width: number; readonly padding: EncodeOptions["padding"] },
): Promise<{ rows: Float32Array<ArrayBuffer>; truncated: number }> {
  const { ids, mask, shape, truncated } = tokenizer.encode(texts, {
    length,
    ...(padding === undefined ? {} : { padding }),
  });
  const { name } = session.current;
  const outputs = await session.current.run({
    [names.ids]: { data: ids, shape },
    ...(names.mask === undefined ? {} : { [names.mask]: { data: mask, shape } }),
  });
  const embed = outputs[names.embed]!;
  try {
    if (embed.shape.length !== 2 || embed.shape[0] !== texts.length || embed.shape[1] !== width) {
      throw new UserError(
        `Cannot encode texts with "${name}": it gives [${embed.shape.join(", ")}] for ` +
          `${texts.length} texts and [${texts.length}, ${width}] was expected`,
      );
    }
    const data = embed instanceof Tensor ? (await executor.gpu!.read(embed))[0]! : embed.data;
    return { rows: data as Float32Array<ArrayBuffer>, truncated: truncated.length };
  } finally {
    if (embed instanceof Tensor) embed.dispose();
  }
}

/** Refuses embeddings without a direction. */
function requireDirections(
  rows: Float32Array,
  { texts, width, name }: {
    readonly texts: readonly string[];
    readonly width: number;
    readonly name: string;
  },
): void {
  for (const [row, text] of texts.entries()) {
    let squares = 0;
    for (let i = row * width; i < (row + 1) * width; i++) squares += rows[i]! * rows[i]!;
    if (Number.isFinite(squares) && Math.sqrt(squares) > LEAST_LENGTH) continue;
    throw new UserError(
      `Cannot encode "${text}": "${name}" gives ${
        Number.isFinite(squares) ? "an embedding of length 0" : "numbers that are none"
      }`,
    );
  }
}
