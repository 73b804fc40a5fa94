/**
 * A latent inpainting diffusion model over onnxruntime: texts to conditions, images to latents, and
 * the denoising loop with classifier-free guidance.
 *
 * Each of its models is opened when it is first needed, and closed when the caller says so: a U-Net of
 * Stable Diffusion and a text encoder need not be in memory together. Latents and conditions are plain
 * arrays, so that batches are put together without a copy on the device.
 *
 * @module
 */

import type { RgbImage } from "../../kernels/mod.ts";
import {
  type Dimension,
  type ElementType,
  loadTokenizer,
  type OnnxModel,
  type OnnxSession,
  openSession,
  readModel,
  type SessionInput,
  type TextTokenizer,
  toValueInfoProto,
  withGraph,
} from "../../onnx/mod.ts";
import { type Gpu, Tensor, UserError } from "../../runtime/mod.ts";
import type { Ddim } from "./ddim.ts";
import {
  type DiffusionFolder,
  type DiffusionPart,
  readDiffusionFolder,
} from "./diffusion_folder.ts";

/** Where a diffusion model runs. */
export interface DiffusionOptions {
  /** Where its models run. */
  readonly device: "webgpu" | "wasm";
  /** The GPU to share; `webgpu` needs it. */
  readonly gpu?: Gpu;
  /** Threads in WebAssembly; the first session of a process decides. */
  readonly threads?: number;
}

/** Which part of an image is painted anew, and the latents of the rest. */
export interface Inpainting {
  /** 1 where it is painted anew, f32 [h, w], or [N, h, w]. */
  readonly mask: Float32Array<ArrayBuffer>;
  /** Scaled latents of the images without that part, f32 [C, h, w], or [N, C, h, w]. */
  readonly masked: Float32Array<ArrayBuffer>;
}

/** What {@linkcode LatentDiffusion.denoise} takes. */
export interface Denoising {
  /** Noisy latents at the first step of the sampling, f32 [N, C, h, w]. */
  readonly latents: Float32Array<ArrayBuffer>;
  /** Conditions of each image, f32 [N, T, W]. */
  readonly context: Float32Array<ArrayBuffer>;
  /** Conditions of the empty prompt, f32 [T, W]. */
  readonly unconditional: Float32Array<ArrayBuffer>;
  /** How far beyond the condition to go: u + guidance (c - u); 1 leaves the empty prompt out. */
  readonly guidance: number;
  /** The sampling. */
  readonly ddim: Ddim;
  /** What is painted anew; all of it by default. */
  readonly inpainting?: Inpainting;
  /** Stops between two steps. */
  readonly signal?: AbortSignal | undefined;
}

/** Tokens of a prompt where no file says how many. */
const DEFAULT_LENGTH = 77;
/** Texts and images that go through an encoder at a time. */
const ENCODED_AT_ONCE = 16;
const CHANNELS = 3;

/**
 * Opens a diffusion model; none of its networks is loaded yet.
 *
 * @param folder The folder, laid out as diffusers and optimum export Stable Diffusion.
 * @param options Where it runs.
 * @returns The model; dispose it to give its memory back.
 * @throws {UserError} When a file is missing, or the models are none of an inpainting model.
 * @throws {TypeError} When `webgpu` is asked for without a GPU.
 *
 * @example A folder that is missing
 * ```ts
 * import { openDiffusion } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => openDiffusion("no-such-folder", { device: "wasm" }), Error, "no-such");
 * ```
 */
export async function openDiffusion(
  folder: string,
  options: DiffusionOptions,
): Promise<LatentDiffusion> {
  if (options.device === "webgpu" && options.gpu === undefined) {
    throw new TypeError("Cannot open a diffusion model on webgpu: options.gpu must name the GPU");
  }
  const info = await readDiffusionFolder(folder);
  return new LatentDiffusion(info, await loadTokenizer(info.tokenizer), options);
}

/**
 * A diffusion model. Made by {@linkcode openDiffusion}.
 *
 * @example What must be in its folder
 * ```ts
 * import { type LatentDiffusion, openDiffusion } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * const open = (): Promise<LatentDiffusion> => openDiffusion("docs", { device: "wasm" });
 * await assertRejects(open, Error, 'there is no "vae_encoder/model.onnx"');
 * ```
 */
export class LatentDiffusion implements AsyncDisposable {
  /** What its folder says. */
  readonly info: DiffusionFolder;
  readonly #options: DiffusionOptions;
  readonly #tokenizer: TextTokenizer;
  readonly #sessions: Map<DiffusionPart, OnnxSession> = new Map();
  #hidden: Promise<Float32Array<ArrayBuffer>> | undefined;

  /**
   * Puts a model together; {@linkcode openDiffusion} does it for you.
   *
   * @param info What its folder says.
   * @param tokenizer Its tokenizer.
   * @param options Where it runs.
   */
  constructor(info: DiffusionFolder, tokenizer: TextTokenizer, options: DiffusionOptions) {
    this.info = info;
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  /** Tokens of a prompt. */
  get contextLength(): number {
    return this.info.context.length ?? this.#tokenizer.maxLength ?? DEFAULT_LENGTH;
  }

  /**
   * Conditions of prompts: what the text encoder makes of their tokens.
   *
   * @param prompts The prompts; the empty one is what guidance goes away from.
   * @param options A signal that stops between two runs.
   * @returns f32 [N, T, W].
   * @throws {UserError} When the text encoder fails, gives another width than the U-Net takes, or
   * numbers that are not finite.
   */
  async encodeTexts(
    prompts: readonly string[],
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Float32Array<ArrayBuffer>> {
    const session = await this.#session("text_encoder");
    const length = this.contextLength;
    const rows: Float32Array<ArrayBuffer>[] = [];
    for (let start = 0; start < prompts.length; start += ENCODED_AT_ONCE) {
      options.signal?.throwIfAborted();
      const { ids, mask, shape } = this.#tokenizer.encode(
        prompts.slice(start, start + ENCODED_AT_ONCE),
        { length },
      );
      const output = await this.#run(session, {
        "input_ids": { data: ids, shape },
        ...(this.info.values.mask ? { "attention_mask": { data: mask, shape } } : {}),
      }, "last_hidden_state");
      this.#requireContext(output.shape, shape[0]);
      rows.push(output.data);
    }
    const all = joined(rows);
    requireFinite(all, { model: session.name, what: "conditions" });
    return all;
  }

  /**
   * Latents of images, with the scaling factor that the U-Net wants.
   *
   * @param images Images of the model's size.
   * @param options A signal that stops between two runs.
   * @returns f32 [N, C, h, w].
   * @throws {RangeError} When an image has another size.
   * @throws {UserError} When the encoder fails, or gives latents of another size or numbers that are
   * not finite.
   */
  async encodeImages(
    images: readonly RgbImage[],
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Float32Array<ArrayBuffer>> {
    const rows: Float32Array<ArrayBuffer>[] = [];
    for (let start = 0; start < images.length; start += ENCODED_AT_ONCE) {
      options.signal?.throwIfAborted();
      const part = images.slice(start, start + ENCODED_AT_ONCE);
      rows.push(await this.#encodePlanes(planesOf(part, this.info.image), part.length));
    }
    return joined(rows);
  }

  /**
   * What the U-Net is told when images are to be painted anew as a whole: a mask of ones, and the
   * latents of an image of zeros, grey.
   *
   * @returns The inpainting of every image.
   */
  async everything(): Promise<Inpainting> {
    const { height, width } = this.info.latents;
    const { image } = this.info;
    this.#hidden ??= this.#encodePlanes(new Float32Array(CHANNELS * image.width * image.height), 1);
    return { mask: new Float32Array(height * width).fill(1), masked: await this.#hidden };
  }

  /**
   * Denoises latents, step by step, with the pair of both conditions in one run of the U-Net.
   *
   * @param denoising Latents, conditions, and the sampling.
   * @returns z_0, in the array that was given.
   * @throws {UserError} When the U-Net fails or gives numbers that are not finite.
   */
  async denoise(denoising: Denoising): Promise<Float32Array<ArrayBuffer>> {
    const { latents: z, ddim, guidance, signal } = denoising;
    const session = await this.#session("unet");
    const guided = guidance !== 1;
    const inputs = this.#unetInputs(denoising, {
      guided,
      inpainting: denoising.inpainting ?? await this.everything(),
    });
    const output = new Float32Array(z.length);
    for (const [i, timestep] of ddim.timesteps.entries()) {
      signal?.throwIfAborted();
      inputs.write(z);
      const predicted = await this.#predict(session, inputs, timestep);
      if (guided) guide(predicted, output, guidance);
      else output.set(predicted);
      ddim.step(i, z, output);
    }
    requireFinite(z, { model: session.name, what: "latents" });
    return z;
  }

  /**
   * Images of latents, by onnxruntime; {@linkcode SkipGradient} decodes where gradients are wanted.
   *
   * @param latents Scaled latents, f32 [N, C, h, w].
   * @returns The images.
   * @throws {UserError} When the decoder fails.
   */
  async decode(latents: Float32Array<ArrayBuffer>): Promise<RgbImage[]> {
    const session = await this.#session("vae_decoder");
    const { latents: { channels, height, width }, image, scalingFactor } = this.info;
    const count = latents.length / (channels * height * width);
    const { data, shape } = await this.#run(session, {
      "latent_sample": {
        data: latents.map((value) => value / scalingFactor),
        shape: [count, channels, height, width],
      },
    }, "sample");
    const expected = [count, CHANNELS, image.height, image.width];
    if (String(shape) !== String(expected)) {
      throw new UserError(
        `Cannot decode with "${session.name}": it gives [${shape.join(", ")}] and ` +
          `[${expected.join(", ")}] was expected`,
      );
    }
    return imagesOf(data, { ...image, count });
  }

  /**
   * The graph of the decoder, for {@linkcode SkipGradient}.
   *
   * @returns The model.
   */
  async decoderModel(): Promise<OnnxModel> {
    return await readModel(this.info.models.vae_decoder);
  }

  /**
   * Closes models that are not needed for a while; they are opened again when they are.
   *
   * @param parts Which ones; all by default.
   */
  async close(...parts: readonly DiffusionPart[]): Promise<void> {
    for (const part of parts.length === 0 ? [...this.#sessions.keys()] : parts) {
      const session = this.#sessions.get(part);
      this.#sessions.delete(part);
      await session?.dispose();
    }
  }

  /** Closes all models. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #session(part: DiffusionPart): Promise<OnnxSession> {
    const known = this.#sessions.get(part);
    if (known !== undefined) return known;
    const path = this.info.models[part];
    const model = await readModel(path);
    const { device, gpu, threads } = this.#options;
    const session = await openSession(part === "unet" ? withOpenTime(model) : model, {
      device,
      name: path,
      ...(gpu === undefined ? {} : { gpu }),
      ...(threads === undefined ? {} : { threads }),
    });
    this.#sessions.set(part, session);
    return session;
  }

  /** Runs a model and takes one output to the host. */
  async #run(
    session: OnnxSession,
    inputs: Readonly<Record<string, SessionInput>>,
    output: string,
  ): Promise<{ data: Float32Array<ArrayBuffer>; shape: readonly number[] }> {
    const outputs = await session.run(inputs);
    const wanted = outputs[output]!;
    try {
      if (!(wanted instanceof Tensor)) {
        return { data: Float32Array.from(wanted.data), shape: wanted.shape };
      }
      const [data] = await this.#options.gpu!.read(wanted);
      return { data: data as Float32Array<ArrayBuffer>, shape: wanted.shape };
    } finally {
      for (const tensor of Object.values(outputs)) if (tensor instanceof Tensor) tensor.dispose();
    }
  }

  async #encodePlanes(
    data: Float32Array<ArrayBuffer>,
    count: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const session = await this.#session("vae_encoder");
    const { image, latents, scalingFactor, values } = this.info;
    const shape = [count, CHANNELS, image.height, image.width];
    const encoded = await this.#run(session, { sample: { data, shape } }, values.encoded);
    const { channels, height, width } = latents;
    const given = values.moments ? 2 * channels : channels;
    if (String(encoded.shape) !== String([count, given, height, width])) {
      throw new UserError(
        `Cannot encode with "${session.name}": it gives [${encoded.shape.join(", ")}] and ` +
          `[${[count, given, height, width].join(", ")}] was expected`,
      );
    }
    const size = channels * height * width;
    const scaled = new Float32Array(count * size);
    // Of mean and variance, the mean comes first.
    const stride = given * height * width;
    for (let i = 0; i < scaled.length; i++) {
      scaled[i] = scalingFactor * encoded.data[Math.floor(i / size) * stride + i % size]!;
    }
    requireFinite(scaled, { model: session.name, what: "latents" });
    return scaled;
  }

  #requireContext(shape: readonly number[], count: number): void {
    const { width } = this.info.context;
    const fits = shape.length === 3 && shape[0] === count && shape[1] === this.contextLength &&
      (width === undefined || shape[2] === width);
    if (fits) return;
    throw new UserError(
      `Cannot use "${this.info.models.text_encoder}": it gives [${
        shape.join(", ")
      }] for ${count} ` +
        `prompts of ${this.contextLength} tokens, and the U-Net takes ${
          width ?? "any"
        } numbers a token`,
    );
  }

  #unetInputs(
    denoising: Denoising,
    { guided, inpainting }: { readonly guided: boolean; readonly inpainting: Inpainting },
  ): UnetInputs {
    const { channels, height, width } = this.info.latents;
    const places = height * width;
    const count = denoising.latents.length / (channels * places);
    const tokens = denoising.context.length / count;
    if (!(Number.isInteger(count) && denoising.unconditional.length === tokens)) {
      throw new RangeError(
        `Cannot denoise: ${denoising.latents.length} latents and ${denoising.context.length} numbers ` +
          `of conditions do not fit together`,
      );
    }
    return new UnetInputs({
      count,
      channels,
      places: [height, width],
      copies: guided ? 2 : 1,
      context: denoising.context,
      unconditional: guided ? denoising.unconditional : undefined,
      contextShape: [this.contextLength, tokens / this.contextLength],
      inpainting,
    });
  }

  /** What the U-Net predicts for all rows; one run, or several where it fixes their number. */
  async #predict(
    session: OnnxSession,
    inputs: UnetInputs,
    timestep: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { batch, timestep: shape } = this.info.values;
    const most = typeof batch === "number" && session.maxBatch !== Infinity ? batch : inputs.rows;
    const { channels, height, width } = this.info.latents;
    const { type } = session.inputs.find(({ name }) => name === "timestep")!;
    const parts: Float32Array<ArrayBuffer>[] = [];
    for (let start = 0; start < inputs.rows; start += most) {
      const count = Math.min(most, inputs.rows - start);
      const { data, shape: given } = await this.#run(session, {
        ...inputs.part(start, most),
        timestep: timestepInput(timestep, { shape, rows: most, type }),
      }, "out_sample");
      if (String(given) !== String([most, channels, height, width])) {
        throw new UserError(
          `Cannot denoise with "${session.name}": it gives [${given.join(", ")}] and ` +
            `[${[most, channels, height, width].join(", ")}] was expected`,
        );
      }
      parts.push(data.subarray(0, count * channels * height * width));
    }
    return joined(parts);
  }
}

/** Inputs of the U-Net that stay from step to step, with a place for the latents. */
class UnetInputs {
  /** Rows: images, twice with guidance. */
  readonly rows: number;
  readonly #sample: Float32Array<ArrayBuffer>;
  readonly #context: Float32Array<ArrayBuffer>;
  readonly #sampleShape: readonly number[];
  readonly #contextShape: readonly number[];
  readonly #latents: number;
  readonly #count: number;

  constructor(parts: {
    readonly count: number;
    readonly channels: number;
    readonly places: readonly [number, number];
    readonly copies: number;
    readonly context: Float32Array<ArrayBuffer>;
    readonly unconditional: Float32Array<ArrayBuffer> | undefined;
    readonly contextShape: readonly [number, number];
    readonly inpainting: Inpainting;
  }) {
    const { count, channels, places, copies, context, unconditional, inpainting } = parts;
    const area = places[0] * places[1];
    const inputs = 2 * channels + 1;
    const { mask, masked } = inpainting;
    this.rows = copies * count;
    this.#count = count;
    this.#latents = channels * area;
    this.#sample = new Float32Array(this.rows * inputs * area);
    for (let row = 0; row < this.rows; row++) {
      const image = row % count;
      const at = row * inputs * area + channels * area;
      this.#sample.set(rowOf(mask, image, area), at);
      this.#sample.set(rowOf(masked, image, channels * area), at + area);
    }
    this.#sampleShape = [inputs, ...places];
    this.#contextShape = parts.contextShape;
    const width = context.length / count;
    this.#context = new Float32Array(this.rows * width);
    if (unconditional !== undefined) {
      for (let i = 0; i < count; i++) this.#context.set(unconditional, i * width);
    }
    this.#context.set(context, (this.rows - count) * width);
  }

  /** Puts latents in the place of those before. */
  write(z: Float32Array<ArrayBuffer>): void {
    const stride = this.#sample.length / this.rows;
    for (let row = 0; row < this.rows; row++) {
      const at = (row % this.#count) * this.#latents;
      this.#sample.set(z.subarray(at, at + this.#latents), row * stride);
    }
  }

  /** Some rows; beyond the last one anything. */
  part(start: number, count: number): Record<string, SessionInput> {
    const cut = (data: Float32Array<ArrayBuffer>, shape: readonly number[]) => {
      const width = data.length / this.rows;
      const part = data.subarray(start * width, (start + count) * width);
      if (part.length === count * width) return { data: part, shape: [count, ...shape] };
      const whole = new Float32Array(count * width);
      whole.set(part);
      return { data: whole, shape: [count, ...shape] };
    };
    return {
      sample: cut(this.#sample, this.#sampleShape),
      "encoder_hidden_states": cut(this.#context, this.#contextShape),
    };
  }
}

/** One row, or the row of an image. */
function rowOf(data: Float32Array<ArrayBuffer>, image: number, length: number): Float32Array {
  return data.length === length ? data : data.subarray(image * length, (image + 1) * length);
}

/** The time step as the graph takes it: a scalar, one, or one for each row; in floats where it is. */
function timestepInput(
  value: number,
  { shape, rows, type }: {
    readonly shape: readonly Dimension[];
    readonly rows: number;
    readonly type: ElementType | undefined;
  },
): SessionInput {
  const [length] = shape;
  const count = typeof length === "number" && length !== 1 ? rows : 1;
  const data = type === "f32" || type === "f16"
    ? new Float32Array(count).fill(value)
    : new Int32Array(count).fill(value);
  return { data, shape: shape.length === 0 ? [] : [count] };
}

/**
 * The U-Net with its time step's length left open where it is one: it is no batch, and must not pass
 * for one.
 */
function withOpenTime(model: OnnxModel): OnnxModel {
  const time = model.graph.inputs.find(({ name }) => name === "timestep");
  if (time?.shape?.length !== 1 || time.shape[0] !== 1) return model;
  return withGraph(model, {
    input: model.graph.proto.input.map((info) =>
      info.name === "timestep" ? toValueInfoProto({ ...time, shape: ["steps"] }) : info
    ),
  });
}

/** u + guidance (c - u), of predictions that have the empty prompt's first. */
function guide(
  predicted: Float32Array<ArrayBuffer>,
  output: Float32Array<ArrayBuffer>,
  guidance: number,
): void {
  const count = output.length;
  for (let i = 0; i < count; i++) {
    const u = predicted[i]!;
    output[i] = u + guidance * (predicted[count + i]! - u);
  }
}

function joined(parts: readonly Float32Array<ArrayBuffer>[]): Float32Array<ArrayBuffer> {
  if (parts.length === 1) return parts[0]!;
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Pixels as planes from -1 to 1. */
function planesOf(
  images: readonly RgbImage[],
  { width, height }: { readonly width: number; readonly height: number },
): Float32Array<ArrayBuffer> {
  const area = width * height;
  const planes = new Float32Array(images.length * CHANNELS * area);
  images.forEach((image, n) => {
    if (image.width !== width || image.height !== height) {
      throw new RangeError(
        `Cannot encode an image of ${image.width} x ${image.height} pixels: ${width} x ${height} ` +
          `were expected`,
      );
    }
    for (let c = 0; c < CHANNELS; c++) {
      const at = (n * CHANNELS + c) * area;
      for (let i = 0; i < area; i++) planes[at + i] = image.data[i * CHANNELS + c]! / 127.5 - 1;
    }
  });
  return planes;
}

/** Planes from -1 to 1 as images. */
function imagesOf(
  planes: Float32Array,
  { width, height, count }: {
    readonly width: number;
    readonly height: number;
    readonly count: number;
  },
): RgbImage[] {
  const area = width * height;
  return Array.from({ length: count }, (_, n) => {
    const data = new Uint8ClampedArray(CHANNELS * area);
    for (let c = 0; c < CHANNELS; c++) {
      const at = (n * CHANNELS + c) * area;
      for (let i = 0; i < area; i++) data[i * CHANNELS + c] = 255 * (0.5 * planes[at + i]! + 0.5);
    }
    return { width, height, data };
  });
}

/** A model that gives NaN is stopped at once. */
function requireFinite(
  values: Float32Array,
  { model, what }: { readonly model: string; readonly what: string },
): void {
  const wrong = values.find((value) => !Number.isFinite(value));
  if (wrong === undefined) return;
  throw new UserError(
    `Cannot use "${model}": it gives ${wrong} among its ${what}; check its weights`,
  );
}
