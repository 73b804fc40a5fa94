/**
 * The skip gradient of SynOOD (Eq. 9): from a loss of a recognition model's logits back through its
 * preprocessing and the decoder to the latents, with the U-Net left out.
 *
 * @module
 */

import {
  energyLoss,
  matmul,
  type PreprocessMatrices,
  preprocessMatrices,
  type RgbImage,
} from "../../kernels/mod.ts";
import {
  activation,
  channelAffine,
  reshape,
  Tape,
  toChannelsLast,
  TrainingStep,
  Variable,
} from "../../nn/mod.ts";
import {
  completePreprocessing,
  importNetwork,
  type Inspection,
  type Network,
  type OnnxModel,
} from "../../onnx/mod.ts";
import {
  type Context,
  isGpu,
  Scalar,
  sizeOf,
  type Tensor,
  type TypedArray,
  UserError,
} from "../../runtime/mod.ts";
import { type Decoder, importDecoder } from "./_decoder.ts";
import type { LatentSize } from "./diffusion_folder.ts";
import {
  type Boundary,
  energyTarget,
  type ImageScores,
  type SynthesisLoss,
} from "./synthesis_loss.ts";

/** What {@linkcode SkipGradient} is made from. */
export interface SkipGradientSource {
  /** The decoder of the diffusion model. */
  readonly decoder: OnnxModel;
  /** Size of its latents. */
  readonly latents: LatentSize;
  /** Size of its images. */
  readonly image: { readonly width: number; readonly height: number };
  /** The recognition model. */
  readonly classifier: OnnxModel;
  /** What was found in it, with its preprocessing. */
  readonly inspection: Inspection;
  /** The loss; `paper` by default. */
  readonly loss?: SynthesisLoss;
  /** Divides the logits, τ; 1 by default. */
  readonly temperature?: number;
  /** Most images at a time. */
  readonly batch: number;
}

/** Scores of images, and the loss of each. */
export interface ScoredImages extends ImageScores {
  /** The loss of each. */
  readonly loss: readonly number[];
}

/** Images that were decoded, with what the recognition model says of them. */
export interface DecodedGradient extends ScoredImages {
  /** The images, 8 bits a channel. Scores and losses are those before rounding to these. */
  readonly images: readonly RgbImage[];
  /** The gradient of each image's own loss by its latents as the decoder takes them, f32 [N, C, h, w]. */
  readonly gradient: Float32Array<ArrayBuffer>;
}

const CHANNELS = 3;

/**
 * The gradient by latents of a loss of decoded images, and the scores of images alone.
 *
 * Latents are those that the decoder takes, already divided by the scaling factor. Each image has its
 * own loss and gradient; none depends on the others of its batch. On a GPU each way is recorded once
 * for the whole batch, and a run is one submit and one readback.
 *
 * A resize of the recognition model's preprocessing is differentiated as the linear map that it is;
 * scores of images are those of their bytes, through the same map.
 *
 * @example Energies of a grey image
 * ```ts
 * import { GraphBuilder, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { SkipGradient } from "@oodgpu/oodgpu/methods";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const builder = new GraphBuilder({ name: "decoder" });
 * const latents = builder.input("latent_sample", ["N", 4, 32, 32]);
 * const weight = builder.constant(new Float32Array(12).fill(0.1), { shape: [3, 4, 1, 1] });
 * builder.output("sample", builder.node("Conv", [latents, weight]));
 * const classifier = await readModel("models/cifar10-resnet20.onnx");
 *
 * using host = new Host();
 * using skip = new SkipGradient(host, {
 *   decoder: builder.build(),
 *   latents: { channels: 4, height: 32, width: 32 },
 *   image: { width: 32, height: 32 },
 *   classifier,
 *   inspection: inspect(classifier),
 *   batch: 1,
 * });
 * const { images, gradient } = await skip.gradient(new Float32Array(4 * 32 * 32));
 * assertEquals(images[0]!.data[0], 128);
 * assertEquals(gradient.length, 4 * 32 * 32);
 * ```
 */
export class SkipGradient implements Disposable {
  /** Where it runs. */
  readonly ctx: Context;
  /** Most images at a time. */
  readonly batch: number;
  /** Number of the recognition model's classes. */
  readonly classes: number;
  readonly #source: SkipGradientSource;
  readonly #scope: Context;
  readonly #decoder: Decoder;
  readonly #classifier: Network;
  readonly #preprocessing: Preprocessing;
  readonly #margin: Scalar;
  readonly #steps: Map<Way, Captured> = new Map();

  /**
   * Imports decoder and recognition model; nothing is recorded yet.
   *
   * @param ctx Where it runs; dispose this before it.
   * @param source The models, the loss, and how many images at a time.
   * @throws {UserError} When a model can not be imported, or there is no such loss.
   */
  constructor(ctx: Context, source: SkipGradientSource) {
    energyTarget(source.loss ?? "paper", 0);
    const { spec, size } = completePreprocessing(source.inspection);
    const preprocessing = { spec: { ...spec, crop: size }, guessed: false };
    this.ctx = ctx;
    this.batch = source.batch;
    this.#source = source;
    this.#margin = new Scalar(0);
    this.#scope = ctx.scope();
    try {
      this.#preprocessing = new Preprocessing(
        this.#scope,
        preprocessMatrices(source.image, spec),
      );
      this.#classifier = importNetwork(this.#scope, source.classifier, {
        ...source.inspection,
        preprocessing,
      }, { trainable: "none" });
      this.#decoder = importDecoder(this.#scope, source.decoder, source.latents);
      this.classes = this.#countClasses();
    } catch (error) {
      this.#scope[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Sets m_out, for what is computed from now on.
   *
   * @param boundary The boundary.
   */
  setBoundary(boundary: Pick<Boundary, "energy">): void {
    this.#margin.value = energyTarget(this.#source.loss ?? "paper", boundary.energy).margin;
  }

  /**
   * Decodes latents and differentiates their images' losses by them.
   *
   * @param latents f32 [N, C, h, w], N up to {@linkcode SkipGradient.batch}.
   * @returns The images, their losses and scores, and the gradients.
   * @throws {RangeError} When there are no latents, too many, or parts of one.
   */
  async gradient(latents: Float32Array<ArrayBuffer>): Promise<DecodedGradient> {
    const { arrays, count } = await this.#run("gradient", latents);
    const [loss, energy, msp, colours, gradient] = arrays;
    return {
      ...scoresOf({ loss: loss!, energy: energy!, msp: msp! }, count),
      images: this.#images(colours!, count),
      gradient: gradient!.slice(0, latents.length) as Float32Array<ArrayBuffer>,
    };
  }

  /**
   * Decodes latents.
   *
   * @param latents f32 [N, C, h, w], N up to {@linkcode SkipGradient.batch}.
   * @returns The images.
   * @throws {RangeError} When there are no latents, too many, or parts of one.
   */
  async decode(latents: Float32Array<ArrayBuffer>): Promise<RgbImage[]> {
    const { arrays, count } = await this.#run("decode", latents);
    return this.#images(arrays[0]!, count);
  }

  /**
   * Scores images.
   *
   * @param images Images of the diffusion model's size, up to {@linkcode SkipGradient.batch}.
   * @returns Their losses and scores.
   * @throws {RangeError} When there are no images, too many, or one has another size.
   */
  async score(images: readonly RgbImage[]): Promise<ScoredImages> {
    const { width, height } = this.#source.image;
    const size = width * height * CHANNELS;
    const colours = new Float32Array(images.length * size);
    images.forEach((image, i) => {
      if (image.width !== width || image.height !== height) {
        throw new RangeError(
          `Cannot score an image of ${image.width} x ${image.height} pixels: ${width} x ${height} ` +
            `were expected`,
        );
      }
      for (let at = 0; at < size; at++) colours[i * size + at] = image.data[at]! / 255;
    });
    const { arrays, count } = await this.#run("score", colours);
    const [loss, energy, msp] = arrays;
    return scoresOf({ loss: loss!, energy: energy!, msp: msp! }, count);
  }

  /** Releases the networks and what was recorded. */
  [Symbol.dispose](): void {
    for (const { step } of this.#steps.values()) step[Symbol.dispose]();
    this.#steps.clear();
    this.#decoder[Symbol.dispose]();
    this.#classifier[Symbol.dispose]();
    this.#scope[Symbol.dispose]();
  }

  #countClasses(): number {
    const { classes } = this.#source.inspection;
    if (typeof classes === "number" && classes > 1) return classes;
    throw new UserError(
      `Cannot use "${this.#source.classifier.name}" as recognition model: ` +
        `it gives no scores of two or more classes`,
    );
  }

  #shapeOf(way: Way, count: number): number[] {
    const { latents: { channels, height, width }, image } = this.#source;
    return way === "score"
      ? [count, image.height, image.width, CHANNELS]
      : [count, channels, height, width];
  }

  async #run(way: Way, input: Float32Array<ArrayBuffer>): Promise<RunArrays> {
    const one = sizeOf(this.#shapeOf(way, 1));
    const count = input.length / one;
    if (!(Number.isInteger(count) && count >= 1 && count <= this.batch)) {
      throw new RangeError(
        `Cannot ${
          way === "score" ? "score" : "decode"
        } ${count} images: 1 to ${this.batch} whole ` +
          `ones were expected`,
      );
    }
    if (!isGpu(this.ctx)) {
      using scope = this.ctx.scope();
      const made = this.#record(scope, way, scope.upload(input, this.#shapeOf(way, count)));
      return { count, arrays: await scope.read(...made) };
    }
    const captured = this.#captured(way);
    // What a smaller batch leaves of the one before is computed too, and not looked at.
    this.ctx.write(captured.input.slice(0, this.#shapeOf(way, count)), input);
    captured.step.run();
    return { count, arrays: await this.ctx.read(...captured.outputs) };
  }

  #captured(way: Way): Captured {
    const known = this.#steps.get(way);
    if (known !== undefined) return known;
    const shape = this.#shapeOf(way, this.batch);
    const input = this.#scope.upload(new Float32Array(sizeOf(shape)), shape, { label: way });
    let outputs: readonly Tensor[] = [];
    const step = new TrainingStep(this.ctx, (ctx) => {
      outputs = this.#record(ctx, way, input);
    });
    const captured = { input, step, outputs };
    this.#steps.set(way, captured);
    return captured;
  }

  /** Loss, energy, largest softmax, and where there are any the colours and the gradient. */
  #record(ctx: Context, way: Way, input: Tensor): Tensor[] {
    const tape = new Tape(ctx);
    const given = new Variable(input, { needsGradient: way === "gradient" });
    const colours = way === "score" ? given : this.#decode(tape, given);
    if (way === "decode") return [colours.value];
    if (way !== "score") tape.retain(colours);
    const prepared = this.#preprocessing.apply(tape, colours);
    const { logits } = this.#classifier.forward(
      tape,
      new Map([[this.#classifier.inputs[0]!.name, prepared]]),
      { gradients: false },
    );
    const { loss: name = "paper", temperature = 1 } = this.#source;
    const { kind } = energyTarget(name, 0);
    const { loss, energy, confidence, dLogits } = energyLoss(ctx, { logits: logits.value }, {
      kind,
      margin: this.#margin,
      temperature,
    });
    const scores = [loss, energy, confidence];
    if (way === "score") return scores;
    tape.backward([{ variable: logits, gradient: dLogits }]);
    const gradient = tape.gradientOf(given);
    if (gradient !== undefined) return [...scores, colours.value, gradient];
    throw new UserError(
      `Cannot differentiate "${this.#source.classifier.name}" by latents: its logits do not depend ` +
        `on its images`,
    );
  }

  /** Colours from 0 to 1. */
  #decode(tape: Tape, latents: Variable): Variable {
    const image = this.#decoder.forward(tape, toChannelsLast(tape, latents));
    const { width, height } = this.#source.image;
    if (image.shape[1] !== height || image.shape[2] !== width) {
      throw new UserError(
        `Cannot decode with "${this.#source.decoder.name}": it makes images of ${
          image.shape[2]
        } x ${image.shape[1]} pixels and ${width} x ${height} were expected`,
      );
    }
    const shifted = channelAffine(tape, image, this.#preprocessing.halfway);
    return activation(tape, shifted, { kind: "clip", min: 0, max: 1 });
  }

  #images(colours: ArrayLike<number>, count: number): RgbImage[] {
    const { width, height } = this.#source.image;
    const size = width * height * CHANNELS;
    return Array.from({ length: count }, (_, i) => {
      const data = new Uint8Array(size);
      for (let at = 0; at < size; at++) data[at] = Math.round(255 * colours[i * size + at]!);
      return { width, height, data };
    });
  }
}

/** What is computed: scores of images, images of latents, or their gradients too. */
type Way = "score" | "decode" | "gradient";

/** Work that is recorded, where it reads, and where it writes. */
interface Captured {
  readonly input: Tensor;
  readonly outputs: readonly Tensor[];
  readonly step: TrainingStep;
}

interface RunArrays {
  readonly count: number;
  readonly arrays: readonly TypedArray[];
}

function scoresOf(
  { loss, energy, msp }: Readonly<Record<"loss" | "energy" | "msp", ArrayLike<number>>>,
  count: number,
): ScoredImages {
  const first = (values: ArrayLike<number>) => Array.from({ length: count }, (_, i) => values[i]!);
  return { loss: first(loss), energy: first(energy), msp: first(msp) };
}

/** Preprocessing of colours from 0 to 1, differentiable; and what takes -1 to 1 there. */
class Preprocessing {
  /** From -1 to 1 to 0 to 1. */
  readonly halfway: Parameters<typeof channelAffine>[2];
  readonly #matrices: PreprocessMatrices;
  readonly #rows: Tensor | undefined;
  readonly #columns: Tensor;
  readonly #bias: Tensor;

  constructor(ctx: Context, matrices: PreprocessMatrices) {
    const { from, to, rows, columns, bias } = matrices;
    const three = (value: number) =>
      ctx.upload(new Float32Array(CHANNELS).fill(value), [CHANNELS], { label: "colour range" });
    const [zeros, halves] = [three(0), three(0.5)];
    this.halfway = { weight: new Variable(halves), bias: new Variable(three(0.5)), zeros, halves };
    this.#matrices = matrices;
    this.#rows = rows && ctx.upload(rows, [to.height, from.height], { label: "resize rows" });
    this.#columns = ctx.upload(columns, [from.width * CHANNELS, to.width * CHANNELS], {
      label: "resize columns",
    });
    this.#bias = ctx.upload(bias, [bias.length], { label: "normalise" });
  }

  /** The recognition model's input, f32 [N, H', W', 3], of colours f32 [N, H, W, 3]. */
  apply(tape: Tape, x: Variable): Variable {
    const { from, to } = this.#matrices;
    const [n] = x.shape;
    const narrow = from.width * CHANNELS;
    const stack = this.#mixRows(tape, reshape(tape, x, [n!, from.height, narrow]));
    const flat = this.#mixColumns(tape, reshape(tape, stack, [n! * to.height, narrow]));
    return reshape(tape, flat, [n!, to.height, to.width, CHANNELS]);
  }

  #mixRows(tape: Tape, x: Variable): Variable {
    const rows = this.#rows;
    if (rows === undefined) return x;
    return tape.operation({
      inputs: [x],
      output: matmul(tape.ctx, { a: rows, b: x.value }),
      backward: (dY, gradients) => {
        gradients.send(x, matmul(gradients.ctx, { a: rows, b: dY }, { transposeA: true }));
      },
    });
  }

  #mixColumns(tape: Tape, x: Variable): Variable {
    const [columns, bias] = [this.#columns, this.#bias];
    return tape.operation({
      inputs: [x],
      output: matmul(tape.ctx, { a: x.value, b: columns, bias }),
      backward: (dY, gradients) => {
        gradients.send(x, matmul(gradients.ctx, { a: dY, b: columns }, { transposeB: true }));
      },
    });
  }
}
