/**
 * The folder of a latent inpainting diffusion model, as diffusers and optimum export Stable Diffusion:
 *
 * ```text
 * vae_encoder/model.onnx    sample [N, 3, H, W] in -1..1 -> latent_sample [N, 4, h, w]
 *                           (or latent_parameters [N, 8, h, w], of which the mean is taken)
 * vae_decoder/model.onnx    latent_sample [N, 4, h, w] -> sample [N, 3, H, W]
 * unet/model.onnx           sample [N, 9, h, w], timestep, encoder_hidden_states [N, T, W]
 *                           -> out_sample [N, 4, h, w]
 * text_encoder/model.onnx   input_ids [N, T] -> last_hidden_state [N, T, W]
 * tokenizer/tokenizer.json
 * scheduler/scheduler_config.json
 * vae_decoder/config.json   scaling_factor; or vae/config.json, or oodgpu.json
 * oodgpu.json               optional: image_size, context_length, scaling_factor, prompt
 * ```
 *
 * @module
 */

import { createHash } from "node:crypto";
import { type Dimension, type OnnxModel, readModel, type ValueInfo } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { parseScheduler, type SchedulerConfig } from "./ddim.ts";

/** Size of latents. */
export interface LatentSize {
  /** Channels. */
  readonly channels: number;
  /** Rows. */
  readonly height: number;
  /** Places in a row. */
  readonly width: number;
}

/** The models of a folder. */
export type DiffusionPart = "vae_encoder" | "vae_decoder" | "unet" | "text_encoder";

/** What the folder of a diffusion model says. */
export interface DiffusionFolder {
  /** The folder. */
  readonly path: string;
  /** Path of each model's graph. */
  readonly models: Readonly<Record<DiffusionPart, string>>;
  /** Path of the tokenizer. */
  readonly tokenizer: string;
  /** The noise schedule. */
  readonly scheduler: SchedulerConfig;
  /** Size of images. */
  readonly image: { readonly width: number; readonly height: number };
  /** Size of their latents. */
  readonly latents: LatentSize;
  /** Latents are multiplied with it for the U-Net. */
  readonly scalingFactor: number;
  /** Tokens of a prompt, and width of a token, as the U-Net takes them; undefined where it is open. */
  readonly context: { readonly length: number | undefined; readonly width: number | undefined };
  /** A prompt that the model was trained for, with `{elements}` in the place of the elements. */
  readonly prompt: string | undefined;
  /** Names of each model's inputs and outputs. */
  readonly values: DiffusionValues;
}

/** Names of inputs and outputs. */
export interface DiffusionValues {
  /** Whether the encoder gives mean and variance. */
  readonly moments: boolean;
  /** The encoder's output. */
  readonly encoded: string;
  /** Shape of the U-Net's time step. */
  readonly timestep: readonly Dimension[];
  /** Images in one run of the U-Net. */
  readonly batch: Dimension;
  /** Whether the text encoder wants to know what is padding. */
  readonly mask: boolean;
}

const PARTS: readonly DiffusionPart[] = ["vae_encoder", "vae_decoder", "unet", "text_encoder"];

/** Channels of the U-Net's input of an inpainting model: latents, mask, latents of what is masked. */
const INPAINTING_CHANNELS = (latents: number) => 2 * latents + 1;

/** Stable Diffusion's, where no file says so. */
const DEFAULTS = { latents: 4, factor: 8, scaling: 0.18215 } as const;

/**
 * Reads what the folder of a diffusion model says, and checks that its models fit together. Weights in
 * other files are not read.
 *
 * @param path The folder.
 * @returns What it says.
 * @throws {UserError} When a file is missing or no such model, a U-Net is none for inpainting, or the
 * models do not fit together.
 *
 * @example A folder that is none
 * ```ts
 * import { readDiffusionFolder } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(
 *   () => readDiffusionFolder("models"),
 *   Error,
 *   'Cannot use "models" as a diffusion model: there is no "vae_encoder/model.onnx"',
 * );
 * ```
 */
export async function readDiffusionFolder(path: string): Promise<DiffusionFolder> {
  const folder = path.replace(/(?<=.)[/\\]+$/, "");
  const refuse = (why: string) =>
    new UserError(`Cannot use "${folder}" as a diffusion model: ${why}`);
  for (const file of [...PARTS.map((part) => `${part}/model.onnx`), "tokenizer/tokenizer.json"]) {
    if (!await isFile(`${folder}/${file}`)) throw refuse(`there is no "${file}"`);
  }
  const schedulerName = "scheduler/scheduler_config.json";
  const scheduler = await readJson(`${folder}/${schedulerName}`);
  if (scheduler === undefined) throw refuse(`there is no "${schedulerName}"`);
  const models = Object.fromEntries(
    PARTS.map((part) => [part, `${folder}/${part}/model.onnx`]),
  ) as Record<DiffusionPart, string>;
  const signatures = Object.fromEntries(
    await Promise.all(PARTS.map(async (part) => [
      part,
      new Signature(await readModel(models[part], { externalData: "leave" }), { part, refuse }),
    ])),
  ) as Record<DiffusionPart, Signature>;
  const own = await readOwn(folder, refuse);
  const sizes = await sizesOf(folder, { signatures, own, refuse });
  return {
    path: folder,
    models,
    tokenizer: `${folder}/tokenizer/tokenizer.json`,
    scheduler: parseScheduler(scheduler, { name: `${folder}/${schedulerName}` }),
    scalingFactor: own.scalingFactor ?? await scalingOf(folder) ?? DEFAULTS.scaling,
    prompt: own.prompt,
    ...sizes,
  };
}

/**
 * What tells the models of a folder from others: hashes of their graphs' files and of the names and
 * sizes of the files beside them, which may hold gigabytes of weights.
 *
 * @param folder What the folder says.
 * @returns A hash for each model.
 *
 * @example A folder that is none
 * ```ts
 * import { diffusionHashes, readDiffusionFolder } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(async () => diffusionHashes(await readDiffusionFolder("models")));
 * ```
 */
export async function diffusionHashes(
  folder: Pick<DiffusionFolder, "path" | "models">,
): Promise<Readonly<Record<DiffusionPart, string>>> {
  const entries = await Promise.all(PARTS.map(async (part) => {
    const hash = createHash("sha256").update(await Deno.readFile(folder.models[part]));
    const beside: string[] = [];
    for await (const { name, isFile } of Deno.readDir(`${folder.path}/${part}`)) {
      if (!isFile || /\.(onnx|json)$/.test(name)) continue;
      beside.push(`${name} ${(await Deno.stat(`${folder.path}/${part}/${name}`)).size}`);
    }
    for (const file of beside.sort()) hash.update(`\0${file}`);
    return [part, hash.digest("hex")] as const;
  }));
  return Object.fromEntries(entries) as Record<DiffusionPart, string>;
}

/** What `oodgpu.json` says. */
interface Own {
  readonly image: { readonly width: number; readonly height: number } | undefined;
  readonly contextLength: number | undefined;
  readonly scalingFactor: number | undefined;
  readonly prompt: string | undefined;
}

/** What is for people. */
const PLAIN_KEYS = ["name", "description", "license"];
const OWN_KEYS = [...PLAIN_KEYS, "image_size", "context_length", "scaling_factor", "prompt"];

async function readOwn(folder: string, refuse: (why: string) => UserError): Promise<Own> {
  const value = await readJson(`${folder}/oodgpu.json`) ?? {};
  const wrong = (key: string, what: string) =>
    refuse(`"${key}" of oodgpu.json must be ${what}: it is ${JSON.stringify(value[key])}`);
  const unknown = Object.keys(value).find((key) => !OWN_KEYS.includes(key));
  if (unknown !== undefined) {
    throw refuse(`oodgpu.json has the unknown key "${unknown}": known are ${OWN_KEYS.join(", ")}`);
  }
  const size = value["image_size"];
  const image = typeof size === "number" ? { width: size, height: size } : size;
  if (image !== undefined && !isSize(image)) {
    throw wrong("image_size", 'a number of pixels, or {"width": pixels, "height": pixels}');
  }
  const length = value["context_length"];
  if (length !== undefined && !isLength(length)) throw wrong("context_length", "a whole number");
  const scaling = value["scaling_factor"];
  if (scaling !== undefined && !isFactor(scaling)) {
    throw wrong("scaling_factor", "a number above 0");
  }
  const prompt = value["prompt"];
  if (prompt !== undefined && (typeof prompt !== "string" || !prompt.includes("{elements}"))) {
    throw wrong("prompt", "a text with {elements}");
  }
  return { image, contextLength: length, scalingFactor: scaling, prompt };
}

function isLength(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 16_384;
}

function isFactor(value: unknown): value is number {
  return typeof value === "number" && value > 0 && Number.isFinite(value);
}

function isSize(value: unknown): value is { width: number; height: number } {
  if (typeof value !== "object" || value === null) return false;
  const { width, height } = value as Record<string, unknown>;
  return isLength(width) && isLength(height);
}

/** The scaling factor that the autoencoder's own configuration has. */
async function scalingOf(folder: string): Promise<number | undefined> {
  for (const file of ["vae_decoder/config.json", "vae/config.json"]) {
    const config = await readJson(`${folder}/${file}`);
    const scaling = config?.["scaling_factor"];
    const shift = config?.["shift_factor"];
    if (typeof shift === "number" && shift !== 0) {
      throw new UserError(
        `Cannot use "${folder}/${file}": it shifts latents ("shift_factor"), which is not supported`,
      );
    }
    if (scaling === undefined || scaling === null) continue;
    if (isFactor(scaling)) return scaling;
    throw new UserError(
      `Cannot use "${folder}/${file}": "scaling_factor" must be a number above 0: it is ${
        JSON.stringify(scaling)
      }`,
    );
  }
  return undefined;
}

/** Inputs and outputs of a model, by name. */
class Signature {
  readonly #model: OnnxModel;
  readonly #part: DiffusionPart;
  readonly #refuse: (why: string) => UserError;

  constructor(
    model: OnnxModel,
    { part, refuse }: { part: DiffusionPart; refuse: (why: string) => UserError },
  ) {
    this.#model = model;
    this.#part = part;
    this.#refuse = refuse;
  }

  /** The shape of an input, of which `rank` dimensions are wanted; open ones where nothing is said. */
  input(name: string, rank: number): readonly Dimension[] {
    return this.#shape("input", this.#model.graph.inputs, { names: [name], rank }).shape;
  }

  /** Whether there is an input. */
  takes(name: string): boolean {
    return this.#model.graph.inputs.some((info) => info.name === name);
  }

  /** The shape of one of some outputs. */
  output(names: readonly string[], rank: number): { name: string; shape: readonly Dimension[] } {
    return this.#shape("output", this.#model.graph.outputs, { names, rank });
  }

  #shape(
    what: "input" | "output",
    infos: readonly ValueInfo[],
    { names, rank }: { readonly names: readonly string[]; readonly rank: number },
  ): { name: string; shape: readonly Dimension[] } {
    const info = infos.find(({ name }) => names.includes(name));
    const listed = (items: readonly string[]) => items.map((name) => `"${name}"`).join(", ");
    if (info === undefined) {
      throw this.#refuse(
        `"${this.#part}/model.onnx" has no ${what} ${
          names.map((name) => `"${name}"`).join(" or ")
        }: ` +
          `it has ${listed(infos.map(({ name }) => name))}`,
      );
    }
    const shape = info.shape ?? Array.from({ length: rank }, () => "?");
    if (shape.length === rank) return { name: info.name, shape };
    throw this.#refuse(
      `the ${what} "${info.name}" of "${this.#part}/model.onnx" should have ${rank} dimensions: its ` +
        `shape is [${shape.join(", ")}]`,
    );
  }

  /** Inputs beside those that are known. */
  requireNoOthers(known: readonly string[]): void {
    const other = this.#model.graph.inputs.find(({ name }) => !known.includes(name));
    if (other === undefined) return;
    throw this.#refuse(
      `"${this.#part}/model.onnx" wants the input "${other.name}", which Stable Diffusion's does not ` +
        `have`,
    );
  }
}

async function sizesOf(
  folder: string,
  { signatures, own, refuse }: {
    readonly signatures: Readonly<Record<DiffusionPart, Signature>>;
    readonly own: Own;
    readonly refuse: (why: string) => UserError;
  },
): Promise<Pick<DiffusionFolder, "image" | "latents" | "context" | "values">> {
  const { vae_encoder: encoder, vae_decoder: decoder, unet, text_encoder: text } = signatures;
  const sample = unet.input("sample", 4);
  const timestep = timestepOf(unet);
  const states = unet.input("encoder_hidden_states", 3);
  unet.requireNoOthers(["sample", "timestep", "encoder_hidden_states"]);
  const noise = unet.output(["out_sample"], 4).shape;
  const pixels = encoder.input("sample", 4);
  const encoded = encoder.output(["latent_sample", "latent_parameters"], 4);
  const moments = encoded.name === "latent_parameters";
  const given = decoder.input("latent_sample", 4);
  const painted = decoder.output(["sample"], 4).shape;
  text.input("input_ids", 2);
  text.requireNoOthers(["input_ids", "attention_mask"]);
  const hidden = text.output(["last_hidden_state"], 3).shape;

  const channels = known(noise[1], given[1], moments ? undefined : encoded.shape[1]) ??
    DEFAULTS.latents;
  const inputs = known(sample[1]);
  if (inputs !== undefined && inputs !== INPAINTING_CHANNELS(channels)) {
    throw refuse(
      `its U-Net takes ${inputs} channels, and one for inpainting takes ${
        INPAINTING_CHANNELS(channels)
      } (latents, mask, latents of the masked image)`,
    );
  }
  const width = requireSame(refuse, "width of a token", {
    "unet/model.onnx": known(states[2]),
    "text_encoder/model.onnx": known(hidden[2]),
  });
  requireSame(refuse, "number of latent channels", {
    "unet/model.onnx": known(noise[1]),
    "vae_decoder/model.onnx": known(given[1]),
    "vae_encoder/model.onnx": moments ? half(known(encoded.shape[1])) : known(encoded.shape[1]),
  });
  const latentSides = [2, 3].map((axis) =>
    requireSame(refuse, "size of latents", {
      "unet/model.onnx": known(sample[axis]),
      "vae_decoder/model.onnx": known(given[axis]),
      "vae_encoder/model.onnx": known(encoded.shape[axis]),
    })
  );
  const imageSides = [2, 3].map((axis) =>
    requireSame(refuse, "size of images", {
      "oodgpu.json": axis === 2 ? own.image?.height : own.image?.width,
      "vae_encoder/model.onnx": known(pixels[axis]),
      "vae_decoder/model.onnx": known(painted[axis]),
    })
  );
  const factor = imageSides[0] !== undefined && latentSides[0] !== undefined
    ? imageSides[0] / latentSides[0]
    : await factorOf(folder);
  const trained = await sideOf(folder);
  const [height, breadth] = latentSides.map((side, i) =>
    side ?? (imageSides[i] === undefined ? trained : imageSides[i]! / factor)
  );
  if (height === undefined || breadth === undefined) {
    throw refuse(
      'nothing says how large its images are; name "image_size" in oodgpu.json',
    );
  }
  if (!(Number.isInteger(height) && Number.isInteger(breadth))) {
    throw refuse(
      `images of ${imageSides[1]} x ${
        imageSides[0]
      } pixels do not divide by ${factor}, as latents ` +
        `need it`,
    );
  }
  const textLength = known(text.input("input_ids", 2)[1]);
  return {
    image: { width: imageSides[1] ?? breadth * factor, height: imageSides[0] ?? height * factor },
    latents: { channels, height, width: breadth },
    context: {
      length: requireSame(refuse, "number of tokens", {
        "oodgpu.json": own.contextLength,
        "unet/model.onnx": known(states[1]),
        "text_encoder/model.onnx": textLength,
      }),
      width,
    },
    values: {
      moments,
      encoded: encoded.name,
      timestep,
      batch: sample[0]!,
      mask: text.takes("attention_mask"),
    },
  };
}

/** A scalar, one for all, or one for each image. */
function timestepOf(unet: Signature): readonly Dimension[] {
  try {
    return unet.input("timestep", 1);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    try {
      return unet.input("timestep", 0);
    } catch {
      throw error;
    }
  }
}

/** The first dimension that is a number. */
function known(...dimensions: readonly (Dimension | undefined)[]): number | undefined {
  return dimensions.find((item): item is number => typeof item === "number");
}

function half(value: number | undefined): number | undefined {
  return value === undefined ? undefined : value / 2;
}

/** One number from all files that say one. */
function requireSame(
  refuse: (why: string) => UserError,
  what: string,
  by: Readonly<Record<string, number | undefined>>,
): number | undefined {
  const said = Object.entries(by).filter(([, value]) => value !== undefined);
  const [first] = said;
  const other = said.find(([, value]) => value !== first![1]);
  if (other === undefined) return first?.[1];
  throw refuse(
    `the ${what} is ${first![1]} in "${first![0]}" and ${other[1]} in "${other[0]}"`,
  );
}

/** Pixels along a place of the latents, from the autoencoder's blocks. */
async function factorOf(folder: string): Promise<number> {
  for (const file of ["vae_decoder/config.json", "vae/config.json"]) {
    const blocks = (await readJson(`${folder}/${file}`))?.["block_out_channels"];
    if (Array.isArray(blocks) && blocks.length > 0) return 2 ** (blocks.length - 1);
  }
  return DEFAULTS.factor;
}

/** Places along a side of the latents that the U-Net was trained on. */
async function sideOf(folder: string): Promise<number | undefined> {
  const side = (await readJson(`${folder}/unet/config.json`))?.["sample_size"];
  return isLength(side) ? side : undefined;
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

/** The object in a JSON file; undefined when there is no such file. */
async function readJson(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw new UserError(`Cannot read "${path}": ${(error as Error).message}`, { cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UserError(`Cannot read "${path}": it is no JSON text`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new UserError(`Cannot read "${path}": an object was expected`);
}
