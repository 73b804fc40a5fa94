/**
 * ODIN's second look at images: their logits once each was moved a small step against the gradient
 * of its own loss.
 *
 * @module
 */

import { confidenceGradient, signStep, toChannelsLast } from "../kernels/mod.ts";
import type { PreprocessSpec } from "../kernels/preprocess/mod.ts";
import { Tape, TrainingStep, Variable } from "../nn/mod.ts";
import { type Context, isGpu, ShapeError, type Tensor, UserError } from "../runtime/mod.ts";
import { inputGradient } from "./input_gradient.ts";
import type { Inspection } from "./inspection.ts";
import type { OnnxModel } from "./model.ts";
import { importNetwork, type Network } from "./network/mod.ts";
import { completePreprocessing } from "./preprocessing.ts";

/** How ODIN moves images. */
export interface OdinSettings {
  /** Divides the logits before the softmax whose loss is differentiated; 1000 by default. */
  readonly temperature?: number;
  /** Length of the step in each channel, for colours from 0 to 1; 0.0014 by default. */
  readonly epsilon?: number;
}

/** The settings of Liang et al. */
export const ODIN_DEFAULTS: Required<OdinSettings> = { temperature: 1000, epsilon: 0.0014 };

/** What {@linkcode Odin} is made from. */
export interface OdinSource extends OdinSettings {
  /** The model. */
  readonly model: OnnxModel;
  /** What was found in it. */
  readonly inspection: Inspection;
  /** Preprocessing; goes before the inspection's. Its scale says how far a step goes in a channel. */
  readonly preprocessing?: PreprocessSpec;
  /** Most images at a time. */
  readonly batch: number;
}

/**
 * Gives images' logits after a step x - epsilon s / scale, with s = -1 where the gradient of the
 * cross-entropy between softmax(z / T) and the predicted class is below zero and 1 elsewhere (Liang
 * et al. 2018). The step is meant for colours from 0 to 1, whatever the preprocessing makes of them.
 *
 * On a GPU the way there and back is recorded once, and each batch is one submit of it.
 *
 * @example A grey picture, moved
 * ```ts
 * import { inspect, Odin, readModel } from "@oodgpu/oodgpu/onnx";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * using odin = new Odin(host, { model, inspection: inspect(model), batch: 1 });
 * const grey = host.upload(new Float32Array(3 * 32 * 32), [1, 3, 32, 32]);
 * assertEquals(odin.logits(grey).shape, [1, 10]);
 * ```
 */
export class Odin implements Disposable {
  /** Where it runs. */
  readonly ctx: Context;
  /** Most images at a time. */
  readonly batch: number;
  /** The settings, with the defaults filled in. */
  readonly settings: Required<OdinSettings>;
  readonly #network: Network;
  readonly #step: readonly number[];
  readonly #scope: Context;
  readonly #captured: Captured | undefined;

  /**
   * Imports the network, and on a GPU records the work.
   *
   * @param ctx Where it runs; dispose this before it.
   * @param source The model, its preprocessing, the settings, and how many images at a time.
   * @throws {UserError} When the model can not be imported, or its images have no fixed size; or a
   * setting makes no sense.
   */
  constructor(ctx: Context, source: OdinSource) {
    this.ctx = ctx;
    this.batch = source.batch;
    this.settings = requireSettings(source);
    const { spec, size } = completePreprocessing(source.inspection, source);
    const { range, scale } = spec;
    this.#step = scale.map((divisor) => this.settings.epsilon * range / divisor);
    // The network takes the size of its images from here where the graph leaves it open.
    const preprocessing = { spec: { ...spec, crop: size }, guessed: false };
    const inspection = { ...source.inspection, preprocessing };
    this.#scope = ctx.scope();
    this.#network = importNetwork(this.#scope, source.model, inspection, { trainable: "none" });
    try {
      this.#captured = isGpu(ctx) ? this.#capture() : undefined;
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  /**
   * The logits of images once they were moved. On a GPU the work is submitted and not waited for.
   *
   * @param images Preprocessed images, f32 [N, 3, H, W] with N up to {@linkcode Odin.batch}.
   * @returns Logits, f32 [N, K]. On a GPU it is a view that the next call writes over: read it or copy
   * it before.
   * @throws {ShapeError} When the images have another size or are too many.
   */
  logits(images: Tensor): Tensor {
    const [height, width, channels] = this.#network.inputs[0]!.shape;
    const [count = 0, ...rest] = images.shape;
    const fits = count >= 1 && count <= this.batch &&
      String(rest) === String([channels, height, width]);
    if (!fits) {
      throw new ShapeError("odin", "images", {
        expected: `[1 to ${this.batch}, ${channels}, ${height}, ${width}]`,
        actual: images.shape,
      });
    }
    if (this.#captured === undefined) {
      using scope = this.ctx.scope();
      const { data, shape } = this.#record(scope, toChannelsLast(scope, { x: images }));
      return this.ctx.upload(data, shape, { label: "odin logits" });
    }
    const { input, output, step } = this.#captured;
    toChannelsLast(this.ctx, { x: images }, {
      out: input.slice(0, [count, height!, width!, channels!]),
    });
    step.run();
    return output.slice(0, [count, output.shape[1]!]);
  }

  /** Releases the network and what was recorded. */
  [Symbol.dispose](): void {
    this.#captured?.step[Symbol.dispose]();
    this.#release();
  }

  #release(): void {
    this.#network[Symbol.dispose]();
    this.#scope[Symbol.dispose]();
  }

  /** There and back, a step, and there again; the result belongs to the context. */
  #record(ctx: Context, image: Tensor): Tensor {
    const { temperature } = this.settings;
    const gradient = inputGradient(ctx, this.#network, {
      image,
      byLogits: (inner, logits) => confidenceGradient(inner, { logits }, { temperature }),
    });
    const moved = signStep(ctx, { x: image, gradient }, { step: this.#step });
    gradient.dispose();
    const inputs = new Map([[this.#network.inputs[0]!.name, new Variable(moved)]]);
    return this.#network.forward(new Tape(ctx), inputs, { gradients: false }).logits.value;
  }

  #capture(): Captured {
    const shape = [this.batch, ...this.#network.inputs[0]!.shape];
    const size = shape.reduce((product, length) => product * length, 1);
    // Rows that a batch leaves empty are computed too, and must be numbers.
    const input = this.#scope.upload(new Float32Array(size), shape, { label: "odin images" });
    let output: Tensor | undefined;
    const step = new TrainingStep(this.ctx, (ctx) => {
      output = this.#record(ctx, input);
    });
    return { input, output: output!, step };
  }
}

/** Work that is recorded, where it reads, and where it writes. */
interface Captured {
  readonly input: Tensor;
  readonly output: Tensor;
  readonly step: TrainingStep;
}

function requireSettings(given: OdinSettings): Required<OdinSettings> {
  const { temperature = ODIN_DEFAULTS.temperature, epsilon = ODIN_DEFAULTS.epsilon } = given;
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw new UserError(
      `Cannot run ODIN: its temperature must be a number above 0: it is ${temperature}`,
    );
  }
  if (!(epsilon >= 0 && Number.isFinite(epsilon))) {
    throw new UserError(`Cannot run ODIN: its epsilon must be a number from 0: it is ${epsilon}`);
  }
  return { temperature, epsilon };
}
