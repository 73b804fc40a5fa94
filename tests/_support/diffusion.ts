/**
 * Small latent inpainting diffusion models with the layout and the signatures of Stable Diffusion 2's
 * exports and weights of sines, and a classifier of their images.
 *
 * @module
 */

import {
  type Dimension,
  type ElementType,
  GraphBuilder,
  OnnxModel,
  type StringStringEntryProto,
  withGraph,
  writeModel,
} from "../../onnx/mod.ts";
import { create, STRING_STRING_ENTRY } from "../../onnx/proto/mod.ts";
import { clipTokenizer } from "./clip.ts";
import { concat } from "./images.ts";

/** Sizes and oddities of a model. */
export interface DiffusionOptions {
  /** Pixels along a side of an image; a multiple of four. */
  readonly side?: number;
  /** Pixels along a place of the latents, a power of two; 4 by default. */
  readonly factor?: number;
  /** Channels of latents. */
  readonly channels?: number;
  /** Channels that the U-Net takes. */
  readonly unetChannels?: number;
  /** Width of a token, as the text encoder gives it. */
  readonly textWidth?: number;
  /** Width of a token, as the U-Net takes it. */
  readonly unetWidth?: number;
  /** Tokens of a prompt. */
  readonly length?: number;
  /** Images in one run of the U-Net. */
  readonly batch?: Dimension;
  /** Shape of the U-Net's time step. */
  readonly timestep?: readonly Dimension[];
  /** Element type of the time step. */
  readonly timeType?: ElementType;
  /** Whether sizes are left open in the graphs. */
  readonly open?: boolean;
  /** Whether the encoder gives mean and variance. */
  readonly moments?: boolean;
  /** Whether the text encoder takes a mask. */
  readonly mask?: boolean;
  /** Added to what the U-Net predicts; NaN breaks it. */
  readonly offset?: number;
  /** Keys of the scheduler that differ. */
  readonly scheduler?: Readonly<Record<string, unknown>>;
  /** Contents of files by name instead of or beside the usual ones; `null` leaves one out. */
  readonly files?: Readonly<Record<string, unknown>>;
}

const DEFAULTS = {
  side: 16,
  factor: 4,
  channels: 4,
  unetChannels: undefined as number | undefined,
  textWidth: 8,
  unetWidth: undefined as number | undefined,
  length: 6,
  batch: "N" as Dimension,
  timestep: ["B"] as readonly Dimension[],
  timeType: "i64" as ElementType,
  open: false,
  moments: false,
  mask: false,
  offset: 0,
};

type Sizes = typeof DEFAULTS;

/** Tokens that the text encoder knows. */
const VOCABULARY = 640;
const HIDDEN = 8;

/** Numbers around 0 that differ from place to place. */
function waves(count: number, phase: number, size = 1): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: count },
    (_, i) => size * Math.sin(12.9 * i + 7.3 * phase + 0.4),
  );
}

class Builder extends GraphBuilder {
  #phase = 0;

  conv(
    x: string,
    { from, to, k, stride = 1 }: { from: number; to: number; k: number; stride?: number },
  ): string {
    const size = 1.4 / Math.sqrt(from * k * k);
    const shape = [to, from, k, k];
    const weight = this.constant(waves(from * to * k * k, ++this.#phase, size), { shape });
    const bias = this.constant(waves(to, ++this.#phase, 0.1));
    const pad = BigInt(stride === 1 ? (k - 1) / 2 : 0);
    return this.node("Conv", [x, weight, bias], {
      attributes: {
        kernel_shape: [BigInt(k), BigInt(k)],
        strides: [BigInt(stride), BigInt(stride)],
        pads: [pad, pad, pad, pad],
      },
    });
  }

  silu(x: string): string {
    return this.node("Mul", [x, this.node("Sigmoid", [x])]);
  }

  doubled(x: string): string {
    return this.node("Resize", [x, "", this.constant(Float32Array.of(1, 1, 2, 2))], {
      attributes: {
        mode: "nearest",
        coordinate_transformation_mode: "asymmetric",
        nearest_mode: "floor",
      },
    });
  }

  named(x: string, name: string, shape: readonly Dimension[]): OnnxModel {
    this.output(name, this.node("Identity", [x], { output: name }), { shape });
    return this.build();
  }
}

/** Images to latents. */
export function vaeEncoder(options: DiffusionOptions = {}): OnnxModel {
  const { side, factor, channels, moments, open } = sizesOf(options);
  const b = new Builder({ name: "vae-encoder" });
  const given = moments ? 2 * channels : channels;
  const x = b.input("sample", open ? ["N", 3, "height", "width"] : ["N", 3, side, side]);
  const z = b.conv(x, { from: 3, to: given, k: factor, stride: factor });
  const place = side / factor;
  return b.named(
    z,
    moments ? "latent_parameters" : "latent_sample",
    open ? ["N", given, "h", "w"] : ["N", given, place, place],
  );
}

/** Latents to images; smooth, so that differences can be taken. */
export function vaeDecoder(options: DiffusionOptions = {}): OnnxModel {
  const { side, factor, channels, open } = sizesOf(options);
  const b = new Builder({ name: "vae-decoder" });
  const place = side / factor;
  const z = b.input(
    "latent_sample",
    open ? ["N", channels, "h", "w"] : ["N", channels, place, place],
  );
  let x = b.silu(b.conv(z, { from: channels, to: 6, k: 3 }));
  for (let scale = 1; scale < factor; scale *= 2) {
    x = b.silu(b.conv(b.doubled(x), { from: 6, to: 6, k: 3 }));
  }
  return b.named(
    b.conv(x, { from: 6, to: 3, k: 3 }),
    "sample",
    open ? ["N", 3, "height", "width"] : ["N", 3, side, side],
  );
}

/** Noise of latents, from a mean over tokens and a time step. */
export function unet(options: DiffusionOptions = {}): OnnxModel {
  const sizes = sizesOf(options);
  const { side, factor, channels, length, batch, timestep, timeType, open, offset } = sizes;
  const inputs = sizes.unetChannels ?? 2 * channels + 1;
  const width = sizes.unetWidth ?? sizes.textWidth;
  const place = side / factor;
  const b = new Builder({ name: "unet" });
  const sample = b.input(
    "sample",
    open ? [batch, inputs, "h", "w"] : [batch, inputs, place, place],
  );
  const time = b.input("timestep", timestep, { type: timeType });
  const states = b.input(
    "encoder_hidden_states",
    open ? [batch, "T", width] : [batch, length, width],
  );
  const steps = b.node("Reshape", [
    b.node("Cast", [time], { attributes: { to: 1n } }),
    b.ints([-1, 1]),
  ]);
  const scaled = b.node("Mul", [
    steps,
    b.constant(waves(HIDDEN, 3, 0.001), { shape: [1, HIDDEN] }),
  ]);
  const text = b.node("MatMul", [
    b.reduce("ReduceMean", states, { axes: [1] }),
    b.constant(waves(width * HIDDEN, 5), { shape: [width, HIDDEN] }),
  ]);
  const told = b.unsqueeze(b.node("Add", [text, scaled]), [2, 3]);
  const x = b.node("Add", [b.conv(sample, { from: inputs, to: HIDDEN, k: 3 }), told]);
  const noise = b.conv(b.silu(x), { from: HIDDEN, to: channels, k: 3 });
  return b.named(
    b.node("Add", [noise, b.constant(offset)]),
    "out_sample",
    open ? [batch, channels, "h", "w"] : [batch, channels, place, place],
  );
}

/** Tokens to numbers: a table and the places. */
export function textEncoder(options: DiffusionOptions = {}): OnnxModel {
  const { textWidth: width, length, open, mask } = sizesOf(options);
  const b = new Builder({ name: "text-encoder" });
  const shape = ["N", open ? "T" : length];
  const ids = b.input("input_ids", shape, { type: "i64" });
  const table = b.constant(waves(VOCABULARY * width, 1), { shape: [VOCABULARY, width] });
  const found = b.node("Gather", [table, ids]);
  const places = b.constant(waves(length * width, 2, 0.3), { shape: [length, width] });
  let hidden = b.node("Add", [found, places]);
  if (mask) {
    const seen = b.input("attention_mask", shape, { type: "i64" });
    const floats = b.node("Cast", [seen], { attributes: { to: 1n } });
    hidden = b.node("Mul", [hidden, b.unsqueeze(floats, [2])]);
  }
  return b.named(hidden, "last_hidden_state", [...shape, width]);
}

/** A classifier of images, smooth, whose first classes colours decide. */
export function classifier(options: { side?: number; classes?: number } = {}): OnnxModel {
  const { side = 16, classes = 3 } = options;
  const b = new Builder({ name: "classifier" });
  const x = b.input("image", ["N", 3, side, side]);
  const map = b.silu(b.conv(b.silu(b.conv(x, { from: 3, to: 6, k: 3 })), { from: 6, to: 8, k: 3 }));
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [map])], { output: "features" });
  const weight = b.constant(waves(8 * classes, 4, 6), { shape: [classes, 8], name: "fc.weight" });
  const bias = b.constant(waves(classes, 6), { name: "fc.bias" });
  b.output("logits", b.node("Gemm", [rows, weight, bias], { attributes: { transB: 1n } }));
  return b.build();
}

/** Writes a folder. */
export async function writeDiffusion(
  folder: string,
  options: DiffusionOptions = {},
): Promise<void> {
  const { files = {} } = options;
  const { length, side, factor } = sizesOf(options);
  const { tokenizer, config } = clipTokenizer({
    words: ["photo", "only", "remain", "grass", "birds"],
    vocabulary: VOCABULARY,
  });
  const usual: Record<string, unknown> = {
    "vae_encoder/model.onnx": vaeEncoder(options),
    "vae_decoder/model.onnx": vaeDecoder(options),
    "unet/model.onnx": unet(options),
    "text_encoder/model.onnx": textEncoder(options),
    "tokenizer/tokenizer.json": tokenizer,
    "tokenizer/tokenizer_config.json": { ...config, model_max_length: length },
    "vae_decoder/config.json": {
      scaling_factor: 0.5,
      block_out_channels: new Array(1 + Math.log2(factor)).fill(8),
    },
    "unet/config.json": { sample_size: side / factor },
    "scheduler/scheduler_config.json": {
      _class_name: "DDIMScheduler",
      beta_start: 0.00085,
      beta_end: 0.012,
      beta_schedule: "scaled_linear",
      clip_sample: false,
      set_alpha_to_one: false,
      steps_offset: 1,
      ...options.scheduler,
    },
    ...files,
  };
  for (const [name, content] of Object.entries(usual)) {
    if (content === null) continue;
    const path = `${folder}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (content instanceof Uint8Array) await Deno.writeFile(path, content);
    else if (content instanceof OnnxModel) await Deno.writeFile(path, writeModel(content));
    else if (typeof content === "string") await Deno.writeTextFile(path, content);
    else await Deno.writeTextFile(path, JSON.stringify(content));
  }
}

function sizesOf(options: DiffusionOptions): Sizes {
  const given = Object.entries(options).filter(([key]) => key in DEFAULTS);
  return { ...DEFAULTS, ...Object.fromEntries(given) };
}

/** A model with the data of its weights in `weights.bin` beside it. */
export function withDataBeside(
  model: OnnxModel,
): { readonly graph: Uint8Array<ArrayBuffer>; readonly data: Uint8Array<ArrayBuffer> } {
  const parts: Uint8Array[] = [];
  let end = 0;
  const initializer = model.graph.proto.initializer.map((tensor) => {
    const { rawData } = tensor;
    if (rawData === undefined || rawData.length < 64) return tensor;
    const { length } = rawData;
    const place = Object.entries({
      location: "weights.bin",
      offset: `${end}`,
      length: `${length}`,
    });
    parts.push(rawData);
    end += length;
    return {
      ...tensor,
      rawData: undefined as unknown as Uint8Array,
      dataLocation: 1,
      externalData: place.map(([key, value]) =>
        create<StringStringEntryProto>(STRING_STRING_ENTRY, { key, value })
      ),
    };
  });
  const data = concat(...parts);
  return { graph: writeModel(withGraph(model, { initializer })), data };
}
