/**
 * DDIM sampling (Song et al. 2021): how noise grows over the steps that a diffusion model was
 * trained with, which of them a sampling visits, and a step back. Descriptions are diffusers'
 * `scheduler_config.json`; the schedule is kept in float64.
 *
 * SynOOD writes α for the product ᾱ in its Eq. 5; here `alphas` are the products.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";

/** How the variance β of the added noise grows from step to step. */
export type BetaSchedule = "linear" | "scaled_linear" | "squaredcos_cap_v2";

/** Which of the training's steps a sampling visits. */
export type TimestepSpacing = "leading" | "trailing" | "linspace";

/** What the U-Net predicts: the noise, a mixture of noise and image, or the image. */
export type PredictionType = "epsilon" | "v_prediction" | "sample";

/** A scheduler as diffusers describes it. */
export interface SchedulerConfig {
  /** Steps of the training, T. */
  readonly trainSteps: number;
  /** β of the first step. */
  readonly betaStart: number;
  /** β of the last step. */
  readonly betaEnd: number;
  /** How β grows; `squaredcos_cap_v2` takes no notice of start and end. */
  readonly betaSchedule: BetaSchedule;
  /** All β, in the place of a schedule. */
  readonly trainedBetas?: readonly number[];
  /** What the U-Net predicts. */
  readonly predictionType: PredictionType;
  /** Which steps are visited. */
  readonly timestepSpacing: TimestepSpacing;
  /** Added to the steps of the spacing `leading`. */
  readonly stepsOffset: number;
  /** Whether ᾱ behind the last step is one, or that of the first step of the training. */
  readonly setAlphaToOne: boolean;
  /** Whether ᾱ is shifted and scaled so that the last step of the training holds noise alone. */
  readonly zeroTerminalSnr: boolean;
}

/** The scheduler of Stable Diffusion 2 inpainting. */
export const SCHEDULER_DEFAULTS: SchedulerConfig = {
  trainSteps: 1000,
  betaStart: 0.00085,
  betaEnd: 0.012,
  betaSchedule: "scaled_linear",
  predictionType: "epsilon",
  timestepSpacing: "leading",
  stepsOffset: 1,
  setAlphaToOne: false,
  zeroTerminalSnr: false,
};

const BETA_SCHEDULES: readonly BetaSchedule[] = ["linear", "scaled_linear", "squaredcos_cap_v2"];
const SPACINGS: readonly TimestepSpacing[] = ["leading", "trailing", "linspace"];
const PREDICTIONS: readonly PredictionType[] = ["epsilon", "v_prediction", "sample"];

/** Largest β of the cosine schedule. */
const MAX_BETA = 0.999;

/**
 * Checks what a `scheduler_config.json` holds. Keys that are missing have the values with which
 * diffusers makes a DDIMScheduler (linear, 0.0001 to 0.02), those that say nothing of the schedule
 * are passed over.
 *
 * @param value The parsed file.
 * @param options `name`: what errors call it.
 * @returns The description.
 * @throws {UserError} When a value makes no sense, or asks for what is not done here: clipping or
 * thresholding of samples, which latent models do without.
 *
 * @example Stable Diffusion's
 * ```ts
 * import { parseScheduler } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const { trainSteps, betaSchedule } = parseScheduler({
 *   "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
 *   "clip_sample": false,
 * });
 * assertEquals([trainSteps, betaSchedule], [1000, "scaled_linear"]);
 * ```
 */
export function parseScheduler(
  value: unknown,
  options: { readonly name?: string } = {},
): SchedulerConfig {
  const name = options.name ?? "scheduler_config.json";
  const refuse = (why: string) => new UserError(`Cannot use "${name}": ${why}`);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refuse("it must be an object");
  }
  const given = value as Readonly<Record<string, unknown>>;
  const number = (key: string, fallback: number, fits: (x: number) => boolean): number => {
    const found = given[key] ?? fallback;
    if (typeof found === "number" && fits(found)) return found;
    throw refuse(`"${key}" makes no sense: it is ${JSON.stringify(found)}`);
  };
  const choice = <T extends string>(key: string, fallback: T, known: readonly T[]): T => {
    const found = given[key] ?? fallback;
    if (known.includes(found as T)) return found as T;
    throw refuse(`"${key}" must be one of ${known.join(", ")}: it is ${JSON.stringify(found)}`);
  };
  const flag = (key: string, fallback: boolean): boolean => {
    const found = given[key] ?? fallback;
    if (typeof found === "boolean") return found;
    throw refuse(`"${key}" must be true or false: it is ${JSON.stringify(found)}`);
  };
  for (const key of ["clip_sample", "thresholding"]) {
    if (flag(key, false)) throw refuse(`"${key}" is not supported: latents are never clipped`);
  }
  const whole = (least: number) => (x: number) => Number.isInteger(x) && x >= least && x <= 1e6;
  const trained = given["trained_betas"] ?? undefined;
  const trainSteps = number("num_train_timesteps", 1000, whole(1));
  const config: SchedulerConfig = {
    trainSteps,
    betaStart: number("beta_start", 0.0001, isVariance),
    betaEnd: number("beta_end", 0.02, isVariance),
    betaSchedule: choice("beta_schedule", "linear", BETA_SCHEDULES),
    predictionType: choice("prediction_type", "epsilon", PREDICTIONS),
    timestepSpacing: choice("timestep_spacing", "leading", SPACINGS),
    stepsOffset: number("steps_offset", 0, whole(0)),
    setAlphaToOne: flag("set_alpha_to_one", true),
    zeroTerminalSnr: flag("rescale_betas_zero_snr", false),
  };
  if (trained === undefined) return config;
  const fits = Array.isArray(trained) && trained.length === trainSteps && trained.every(isVariance);
  if (!fits) throw refuse(`"trained_betas" must be a list of ${trainSteps} numbers below 1`);
  return { ...config, trainedBetas: trained };
}

function isVariance(x: unknown): x is number {
  return typeof x === "number" && x > 0 && x < 1;
}

/**
 * The share of the image's variance that is left after each step of the training, ᾱ.
 *
 * @param config The scheduler.
 * @returns ᾱ of the steps 0 to T - 1, in float64.
 *
 * @example What is left at the end
 * ```ts
 * import { cumulativeAlphas, SCHEDULER_DEFAULTS } from "@oodgpu/oodgpu/methods";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const alphas = cumulativeAlphas(SCHEDULER_DEFAULTS);
 * assertAlmostEquals(alphas[0]!, 1 - 0.00085, 1e-12);
 * assertAlmostEquals(alphas[999]!, 0.00466, 1e-5);
 * ```
 */
export function cumulativeAlphas(config: SchedulerConfig): Float64Array<ArrayBuffer> {
  const alphas = new Float64Array(config.trainSteps);
  let product = 1;
  for (let t = 0; t < alphas.length; t++) {
    product *= 1 - betaAt(config, t);
    alphas[t] = product;
  }
  return config.zeroTerminalSnr ? withoutSignal(alphas) : alphas;
}

function betaAt(config: SchedulerConfig, t: number): number {
  const { betaStart, betaEnd, betaSchedule, trainedBetas, trainSteps } = config;
  if (trainedBetas !== undefined) return trainedBetas[t]!;
  const share = trainSteps === 1 ? 0 : t / (trainSteps - 1);
  switch (betaSchedule) {
    case "linear":
      return betaStart + share * (betaEnd - betaStart);
    case "scaled_linear": {
      const [from, to] = [Math.sqrt(betaStart), Math.sqrt(betaEnd)];
      return (from + share * (to - from)) ** 2;
    }
    case "squaredcos_cap_v2": {
      const left = (x: number) => Math.cos((x + 0.008) / 1.008 * Math.PI / 2) ** 2;
      return Math.min(1 - left((t + 1) / trainSteps) / left(t / trainSteps), MAX_BETA);
    }
    default:
      return betaSchedule satisfies never;
  }
}

/** Shifts and scales √ᾱ so that its last is 0 and its first stays (Lin et al. 2024). */
function withoutSignal(alphas: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const roots = alphas.map(Math.sqrt);
  const [first, last] = [roots[0]!, roots.at(-1)!];
  if (first === last) return alphas;
  return roots.map((root) => ((root - last) * first / (first - last)) ** 2);
}

/** How many steps a sampling takes. */
export interface SamplingSteps {
  /** Steps from pure noise. */
  readonly steps: number;
  /**
   * How far back towards noise an image is taken: 1 all the way, 0.6 of 20 steps are 12. 1 by
   * default.
   */
  readonly strength?: number;
}

/** One step back: z_{t-1} = `keep` z_t + `output` (what the U-Net gives). */
interface StepWeights {
  readonly keep: number;
  readonly output: number;
}

/**
 * A sampling: the steps that are visited, noise added before them (Eq. 4), and a step back (Eq. 5)
 * without new noise (η = 0).
 *
 * From each step it goes to the next that is visited. diffusers goes T / steps back, which is the same
 * for `leading`, and for the others where the steps divide T.
 *
 * @example The noise that was added, taken away again
 * ```ts
 * import { Ddim, SCHEDULER_DEFAULTS } from "@oodgpu/oodgpu/methods";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const ddim = new Ddim({ ...SCHEDULER_DEFAULTS, setAlphaToOne: true }, { steps: 20, strength: 0.6 });
 * const noise = new Float32Array([1, -0.5]);
 * const z = ddim.addNoise(new Float32Array([0.25, 2]), noise);
 * ddim.timesteps.forEach((_, i) => ddim.step(i, z, noise));
 * assertAlmostEquals(z[0]!, 0.25, 1e-5);
 * assertAlmostEquals(z[1]!, 2, 1e-5);
 * ```
 */
export class Ddim {
  /** The scheduler. */
  readonly config: SchedulerConfig;
  /** The training's steps that are visited, the noisiest first. */
  readonly timesteps: readonly number[];
  readonly #begin: number;
  readonly #weights: readonly StepWeights[];

  /**
   * Plans a sampling.
   *
   * @param config The scheduler.
   * @param sampling How many steps it takes.
   * @throws {UserError} When the steps are no whole number from 1 to T, the strength leaves none, or
   * a step begins where the U-Net's prediction does not tell the image.
   */
  constructor(config: SchedulerConfig, { steps, strength = 1 }: SamplingSteps) {
    const { trainSteps } = config;
    if (!(Number.isInteger(steps) && steps >= 1 && steps <= trainSteps)) {
      throw new UserError(
        `Cannot sample in ${steps} steps: it must be a whole number from 1 to ${trainSteps}`,
      );
    }
    // 0.29 of 100 are 29, although their product in floating point is less.
    const taken = Math.floor(steps * strength + 1e-9);
    if (!(strength > 0 && strength <= 1 && taken >= 1)) {
      throw new UserError(
        `Cannot sample with strength ${strength} of ${steps} steps: it must be at most 1 and leave ` +
          `one step or more`,
      );
    }
    const alphas = cumulativeAlphas(config);
    const last = config.setAlphaToOne ? 1 : alphas[0]!;
    this.config = config;
    this.timesteps = visited(config, steps).slice(steps - taken);
    this.#begin = alphas[this.timesteps[0]!]!;
    this.#weights = this.timesteps.map((t, i) => {
      const next = this.timesteps[i + 1];
      const weights = stepWeights(config.predictionType, {
        alpha: alphas[t]!,
        before: next === undefined ? last : alphas[next]!,
      });
      if (Number.isFinite(weights.keep) && Number.isFinite(weights.output)) return weights;
      throw new UserError(
        `Cannot sample from step ${t}: nothing is left of the image there, and a prediction of type ` +
          `"${config.predictionType}" says nothing of it`,
      );
    });
  }

  /** ᾱ at the first step that is visited. */
  get startAlpha(): number {
    return this.#begin;
  }

  /**
   * Takes latents to the first step: √ᾱ z + √(1 - ᾱ) ε.
   *
   * @param z The latents.
   * @param noise ε, as long as `z`.
   * @param out Where the result goes; a new array by default.
   * @returns The noisy latents.
   */
  addNoise(
    z: Float32Array<ArrayBuffer>,
    noise: Float32Array<ArrayBuffer>,
    out: Float32Array<ArrayBuffer> = new Float32Array(z.length),
  ): Float32Array<ArrayBuffer> {
    const [signal, rest] = [Math.sqrt(this.#begin), Math.sqrt(1 - this.#begin)];
    for (let i = 0; i < out.length; i++) out[i] = signal * z[i]! + rest * noise[i]!;
    return out;
  }

  /**
   * Takes latents one visited step back, in place.
   *
   * @param index Which of {@linkcode Ddim.timesteps} they are at.
   * @param z The latents there; replaced by those at the next step.
   * @param output What the U-Net gives for them.
   * @throws {RangeError} When there is no such step.
   */
  step(index: number, z: Float32Array<ArrayBuffer>, output: Float32Array<ArrayBuffer>): void {
    const weights = this.#weights[index];
    if (weights === undefined) {
      throw new RangeError(
        `Cannot take step ${index}: the sampling has ${this.#weights.length} steps`,
      );
    }
    for (let i = 0; i < z.length; i++) z[i] = weights.keep * z[i]! + weights.output * output[i]!;
  }
}

/** Steps of a whole sampling, the noisiest first. */
function visited(config: SchedulerConfig, steps: number): number[] {
  const { trainSteps, timestepSpacing, stepsOffset } = config;
  const spread = (at: (i: number) => number) => Array.from({ length: steps }, (_, i) => at(i));
  switch (timestepSpacing) {
    case "leading": {
      const stride = Math.floor(trainSteps / steps);
      const highest = trainSteps - 1;
      return spread((i) => Math.min((steps - 1 - i) * stride + stepsOffset, highest));
    }
    case "trailing":
      return spread((i) => roundHalfEven(trainSteps - i * trainSteps / steps) - 1);
    case "linspace":
      return spread((i) =>
        steps === 1 ? 0 : roundHalfEven((steps - 1 - i) * (trainSteps - 1) / (steps - 1))
      );
    default:
      return timestepSpacing satisfies never;
  }
}

/** Rounds as NumPy does. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * A step from ᾱ = `alpha` to `before`: √before z_0 + √(1 - before) ε, with z_0 and ε from the output,
 * written as weights of z and of the output.
 */
function stepWeights(
  type: PredictionType,
  { alpha, before }: { readonly alpha: number; readonly before: number },
): StepWeights {
  const [signal, noise] = [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
  const [signalBefore, noiseBefore] = [Math.sqrt(before), Math.sqrt(1 - before)];
  switch (type) {
    case "epsilon":
      return { keep: signalBefore / signal, output: noiseBefore - signalBefore * noise / signal };
    case "sample":
      return { keep: noiseBefore / noise, output: signalBefore - noiseBefore * signal / noise };
    case "v_prediction":
      return {
        keep: signalBefore * signal + noiseBefore * noise,
        output: noiseBefore * signal - signalBefore * noise,
      };
    default:
      return type satisfies never;
  }
}
