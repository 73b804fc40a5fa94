/**
 * The networks of models/world-diffusion before training, as ONNX graphs with the signatures of
 * Stable Diffusion's inpainting model: an autoencoder of 64 x 64 images to 4 x 16 x 16 latents, and
 * a U-Net that predicts noise in latents.
 *
 * @module
 */

import { heNormal, uniformFanIn } from "../nn/mod.ts";
import { GraphBuilder, type OnnxModel } from "../onnx/mod.ts";
import { WORLD_CONTEXT_LENGTH } from "./_world_captions.ts";
import { TEXT_WIDTH } from "./_world_text.ts";

/** Pixels of a side. */
export const IMAGE_SIZE = 64;
/** Places of a side of latents. */
export const LATENT_SIZE = 16;
/** Channels of latents. */
export const LATENT_CHANNELS = 4;
/** Sines and cosines that tell a time step. */
export const TIME_FEATURES = 32;
/** Inputs of the U-Net inside its graph, behind what only prepares them. */
export const UNET_INPUTS = {
  sample: "sample",
  time: "time_features",
  text: "text_features",
} as const;

const EMBEDDING = 128;
/** Channels of the autoencoder on 16 x 16 places. */
const VAE_CHANNELS = 48;
/** Channels of the U-Net on 16 x 16 and on 8 x 8 places. */
const UNET_CHANNELS = [32, 64] as const;
/** Channels that are normalised together. */
const GROUP = 4;
/** The longest wave of a time step's features. */
const MAX_PERIOD = 10_000;

/** Images `sample` [N, 3, 64, 64] in -1..1 to `latent_sample` [N, 4, 16, 16]. */
export function encoderModel(seed: number): OnnxModel {
  const net = new DiffusionGraph("world-vae-encoder", { seed, stream: 1000 });
  const image = net.builder.input("sample", ["N", 3, IMAGE_SIZE, IMAGE_SIZE]);
  const half = net.silu(net.conv(image, { inputs: 3, outputs: 16, stride: 2 }));
  const quarter = net.conv(half, { inputs: 16, outputs: VAE_CHANNELS, stride: 2 });
  const same = { inputs: VAE_CHANNELS, outputs: VAE_CHANNELS };
  const x = net.normalised(net.resnet(quarter, same), VAE_CHANNELS);
  return net.finish(
    net.conv(x, { inputs: VAE_CHANNELS, outputs: LATENT_CHANNELS }),
    "latent_sample",
  );
}

/** `latent_sample` [N, 4, 16, 16] to images `sample` [N, 3, 64, 64], about -1..1. */
export function decoderModel(seed: number): OnnxModel {
  const net = new DiffusionGraph("world-vae-decoder", { seed, stream: 2000 });
  const shape = ["N", LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE];
  const z = net.builder.input("latent_sample", shape);
  let x = net.conv(z, { inputs: LATENT_CHANNELS, outputs: VAE_CHANNELS });
  x = net.resnet(x, { inputs: VAE_CHANNELS, outputs: VAE_CHANNELS });
  x = net.conv(net.doubled(x), { inputs: VAE_CHANNELS, outputs: 24 });
  x = net.conv(net.doubled(net.normalised(x, 24)), { inputs: 24, outputs: 16 });
  return net.finish(net.conv(net.normalised(x, 16), { inputs: 16, outputs: 3 }), "sample");
}

/**
 * The U-Net: `sample` [N, 9, 16, 16] (latents, mask, latents of the masked image), `timestep` [B]
 * and `encoder_hidden_states` [N, T, W] to `out_sample` [N, 4, 16, 16].
 */
export function unetModel(seed: number): OnnxModel {
  const net = new DiffusionGraph("world-unet", { seed, stream: 3000 });
  const { builder } = net;
  const [wide, deep] = UNET_CHANNELS;
  const inputs = 2 * LATENT_CHANNELS + 1;
  const sample = builder.input(UNET_INPUTS.sample, ["N", inputs, LATENT_SIZE, LATENT_SIZE]);
  const time = timeFeatures(builder, builder.input("timestep", ["B"], { type: "i64" }));
  const states = builder.input("encoder_hidden_states", ["N", WORLD_CONTEXT_LENGTH, TEXT_WIDTH]);
  const text = builder.node("Identity", [
    builder.reduce("ReduceMean", states, { axes: [1] }),
  ], { output: UNET_INPUTS.text });
  const first = net.silu(net.linear(time, { inputs: TIME_FEATURES, outputs: EMBEDDING }));
  const told = builder.node("Add", [
    net.linear(text, { inputs: TEXT_WIDTH, outputs: EMBEDDING }),
    net.linear(first, { inputs: EMBEDDING, outputs: EMBEDDING }),
  ]);
  const embedding = net.silu(told);

  const begin = net.conv(sample, { inputs, outputs: wide });
  const upper = net.resnet(begin, { inputs: wide, outputs: wide, embedding });
  const halved = net.conv(upper, { inputs: wide, outputs: deep, stride: 2 });
  const lower = net.resnet(halved, { inputs: deep, outputs: deep, embedding });
  const middle = net.resnet(lower, { inputs: deep, outputs: deep, embedding });
  const joined = net.joined([middle, lower]);
  let x = net.resnet(joined, { inputs: 2 * deep, outputs: deep, embedding });
  x = net.conv(net.doubled(x), { inputs: deep, outputs: wide });
  x = net.resnet(net.joined([x, upper]), { inputs: 2 * wide, outputs: wide, embedding });
  const last = net.conv(net.normalised(x, wide), { inputs: wide, outputs: LATENT_CHANNELS });
  return net.finish(last, "out_sample");
}

/** Sines and cosines of a time step, as the U-Net's graph computes them. */
export function timeFeaturesOf(step: number): Float32Array<ArrayBuffer> {
  const half = TIME_FEATURES / 2;
  return Float32Array.from({ length: TIME_FEATURES }, (_, i) => {
    const angle = step * frequency(i % half, half);
    return i < half ? Math.cos(angle) : Math.sin(angle);
  });
}

function frequency(i: number, count: number): number {
  return Math.fround(MAX_PERIOD ** (-i / count));
}

function timeFeatures(builder: GraphBuilder, timestep: string): string {
  const half = TIME_FEATURES / 2;
  const steps = builder.unsqueeze(
    builder.node("Cast", [timestep], { attributes: { to: 1n } }),
    [1],
  );
  const frequencies = Float32Array.from({ length: half }, (_, i) => frequency(i, half));
  const angles = builder.node("Mul", [
    steps,
    builder.constant(frequencies, { shape: [1, half], name: "frequencies" }),
  ]);
  return builder.node("Concat", [builder.node("Cos", [angles]), builder.node("Sin", [angles])], {
    attributes: { axis: 1n },
    output: UNET_INPUTS.time,
  });
}

interface ConvSizes {
  readonly inputs: number;
  readonly outputs: number;
  readonly stride?: number;
  readonly kernel?: number;
}

/** Writes the blocks of diffusion models as PyTorch exports them. */
class DiffusionGraph {
  readonly builder: GraphBuilder;
  readonly #name: string;
  readonly #seed: number;
  #stream: number;

  constructor(name: string, draw: { readonly seed: number; readonly stream: number }) {
    this.builder = new GraphBuilder({ opset: 17, name });
    this.#name = name;
    this.#seed = draw.seed;
    this.#stream = draw.stream;
  }

  conv(x: string, { inputs, outputs, stride = 1, kernel = 3 }: ConvSizes): string {
    const { builder } = this;
    const shape = [outputs, inputs, kernel, kernel];
    const weight = builder.constant(uniformFanIn(shape, this.#draw()), { shape, name: "conv" });
    const bias = builder.constant(new Float32Array(outputs), { name: "conv_bias" });
    const pad = BigInt((kernel - 1) / 2);
    return builder.node("Conv", [x, weight, bias], {
      attributes: {
        kernel_shape: [BigInt(kernel), BigInt(kernel)],
        strides: [BigInt(stride), BigInt(stride)],
        pads: [pad, pad, pad, pad],
      },
    });
  }

  linear(x: string, { inputs, outputs }: { inputs: number; outputs: number }): string {
    const shape = [outputs, inputs];
    const weight = this.builder.constant(heNormal(shape, this.#draw()), { shape, name: "linear" });
    const bias = this.builder.constant(new Float32Array(outputs), { name: "linear_bias" });
    return this.builder.node("Gemm", [x, weight, bias], { attributes: { transB: 1n } });
  }

  silu(x: string): string {
    return this.builder.node("Mul", [x, this.builder.node("Sigmoid", [x])]);
  }

  /** Group normalisation and SiLU. */
  normalised(x: string, channels: number): string {
    const { builder } = this;
    const groups = channels / GROUP;
    const fill = (length: number, value: number, name: string) =>
      builder.constant(new Float32Array(length).fill(value), { name });
    const rows = builder.node("Reshape", [x, builder.ints([0, groups, -1])]);
    const unit = builder.node("InstanceNormalization", [
      rows,
      fill(groups, 1, "ones"),
      fill(groups, 0, "zeros"),
    ], { attributes: { epsilon: 1e-5 } });
    const map = builder.node("Reshape", [unit, builder.node("Shape", [x])]);
    const perChannel = (value: number, name: string) =>
      builder.constant(new Float32Array(channels).fill(value), { shape: [channels, 1, 1], name });
    const scaled = builder.node("Mul", [map, perChannel(1, "norm")]);
    return this.silu(builder.node("Add", [scaled, perChannel(0, "norm_bias")]));
  }

  /** Two convolutions behind normalisations, added to what came in. */
  resnet(x: string, sizes: ConvSizes & { readonly embedding?: string }): string {
    const { builder } = this;
    const { inputs, outputs, embedding } = sizes;
    let y = this.conv(this.normalised(x, inputs), { inputs, outputs });
    if (embedding !== undefined) {
      const offset = this.linear(embedding, { inputs: EMBEDDING, outputs });
      y = builder.node("Add", [y, builder.unsqueeze(offset, [2, 3])]);
    }
    y = this.conv(this.normalised(y, outputs), { inputs: outputs, outputs });
    const shortcut = inputs === outputs ? x : this.conv(x, { inputs, outputs, kernel: 1 });
    return builder.node("Add", [y, shortcut]);
  }

  joined(parts: readonly string[]): string {
    return this.builder.node("Concat", parts, { attributes: { axis: 1n } });
  }

  /** Twice as many places each way, by the nearest. */
  doubled(x: string): string {
    const scales = this.builder.constant(Float32Array.of(1, 1, 2, 2), { name: "scales" });
    return this.builder.node("Resize", [x, "", scales], {
      attributes: {
        mode: "nearest",
        coordinate_transformation_mode: "asymmetric",
        nearest_mode: "floor",
      },
    });
  }

  finish(x: string, output: string): OnnxModel {
    this.builder.output(output, x);
    return this.builder.build({ name: this.#name });
  }

  #draw(): { readonly seed: number; readonly stream: number } {
    return { seed: this.#seed, stream: this.#stream++ };
  }
}
