/**
 * Optimisers over the arenas of a {@linkcode ParameterSet}: the state that they keep, and one
 * dispatch a step.
 *
 * @module
 */

import { adamStep, adamWStep, sgdStep } from "../kernels/mod.ts";
import { type Context, Scalar, type Tensor } from "../runtime/mod.ts";
import type { ParameterSet } from "./parameters.ts";

/** What trains a {@linkcode ParameterSet}. */
export interface Optimizer extends Disposable {
  /** The learning rate, read afresh at each step. */
  readonly learningRate: Scalar;
  /** What must be saved to go on later, by name. */
  readonly state: Readonly<Record<string, Tensor>>;
  /**
   * Records one step.
   *
   * @param ctx Where to record.
   * @param options A factor on the gradients, computed on the GPU, such as that of a clipped norm.
   */
  record(ctx: Context, options?: { readonly scale?: Tensor }): void;
  /**
   * Prepares the scalars of a step, before it runs.
   *
   * @param step Counted from 0.
   */
  begin(step: number): void;
}

/** Options of {@linkcode Sgd}. */
export interface SgdOptions {
  /** The learning rate. */
  readonly learningRate: number;
  /** Momentum, 0 by default. */
  readonly momentum?: number;
  /** Weight decay, added to the gradient; 0 by default. */
  readonly weightDecay?: number;
  /** Nesterov's momentum; off by default. */
  readonly nesterov?: boolean;
}

/**
 * Stochastic gradient descent with momentum, as PyTorch's.
 *
 * @example One step
 * ```ts
 * import { ParameterSet, Sgd } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const data = new Float32Array([1]);
 * using parameters = new ParameterSet(host, [{ name: "w", shape: [1], data }]);
 * using sgd = new Sgd(host, parameters, { learningRate: 0.1 });
 * host.write(parameters.get("w").gradient!, new Float32Array([2]));
 * sgd.record(host);
 * assertAlmostEquals(parameters.get("w").value.data[0]!, 0.8, 1e-6);
 * ```
 */
export class Sgd implements Optimizer {
  /** The learning rate, read afresh at each step. */
  readonly learningRate: Scalar;
  /** The momentum buffer, when there is momentum. */
  readonly state: Readonly<Record<string, Tensor>>;
  readonly #parameters: ParameterSet;
  readonly #options: SgdOptions;

  /**
   * Makes an optimiser with zero momentum.
   *
   * @param ctx Where it lives.
   * @param parameters What it trains.
   * @param options Rate, momentum, decay.
   */
  constructor(ctx: Context, parameters: ParameterSet, options: SgdOptions) {
    this.learningRate = new Scalar(options.learningRate);
    this.#parameters = parameters;
    this.#options = options;
    this.state = options.momentum === undefined || options.momentum === 0
      ? {}
      : { momentum: zerosLike(ctx, parameters.values, "momentum") };
  }

  /** Records one step. */
  record(ctx: Context, options: { readonly scale?: Tensor } = {}): void {
    const { values, gradients, decayed } = this.#parameters;
    const { momentum = 0, weightDecay = 0, nesterov = false } = this.#options;
    const buffer = this.state["momentum"];
    sgdStep(ctx, {
      parameters: values,
      gradients,
      ...(buffer === undefined ? {} : { momentum: buffer }),
    }, {
      learningRate: this.learningRate,
      momentum,
      weightDecay,
      nesterov,
      decayed,
      ...(options.scale === undefined ? {} : { scale: options.scale }),
    });
  }

  /** Needs nothing before a step. */
  begin(_step: number): void {}

  /** Releases the momentum. */
  [Symbol.dispose](): void {
    disposeAll(this.state);
  }
}

/** Options of {@linkcode Adam}. */
export interface AdamOptions {
  /** The learning rate. */
  readonly learningRate: number;
  /** Decay of the first moment, 0.9 by default. */
  readonly beta1?: number;
  /** Decay of the second moment, 0.999 by default. */
  readonly beta2?: number;
  /** Added to the root of the second moment, 1e-8 by default. */
  readonly epsilon?: number;
  /** Weight decay, 0 by default. */
  readonly weightDecay?: number;
  /** Whether the decay acts on the parameters themselves (AdamW) or is added to the gradient. */
  readonly decoupled?: boolean;
}

/**
 * Adam, and AdamW when the decay is decoupled, as PyTorch's.
 *
 * @example The first step has the size of the rate
 * ```ts
 * import { Adam, ParameterSet } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const data = new Float32Array([1]);
 * using parameters = new ParameterSet(host, [{ name: "w", shape: [1], data }]);
 * using adam = new Adam(host, parameters, { learningRate: 0.1 });
 * host.write(parameters.get("w").gradient!, new Float32Array([-3]));
 * adam.begin(0);
 * adam.record(host);
 * assertAlmostEquals(parameters.get("w").value.data[0]!, 1.1, 1e-6);
 * ```
 */
export class Adam implements Optimizer {
  /** The learning rate, read afresh at each step. */
  readonly learningRate: Scalar;
  /** The moments. */
  readonly state: Readonly<Record<string, Tensor>>;
  readonly #parameters: ParameterSet;
  readonly #options: AdamOptions;
  readonly #step: Scalar = new Scalar(1);

  /**
   * Makes an optimiser with zero moments.
   *
   * @param ctx Where it lives.
   * @param parameters What it trains.
   * @param options Rate, decays, epsilon.
   */
  constructor(ctx: Context, parameters: ParameterSet, options: AdamOptions) {
    this.learningRate = new Scalar(options.learningRate);
    this.#parameters = parameters;
    this.#options = options;
    this.state = {
      first: zerosLike(ctx, parameters.values, "first moment"),
      second: zerosLike(ctx, parameters.values, "second moment"),
    };
  }

  /** Records one step. */
  record(ctx: Context, options: { readonly scale?: Tensor } = {}): void {
    const { values, gradients, decayed } = this.#parameters;
    const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = this.#options;
    const run = this.#options.decoupled ? adamWStep : adamStep;
    run(ctx, {
      parameters: values,
      gradients,
      first: this.state["first"]!,
      second: this.state["second"]!,
    }, {
      learningRate: this.learningRate,
      step: this.#step,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      decayed,
      ...(options.scale === undefined ? {} : { scale: options.scale }),
    });
  }

  /** Sets the number of the step, for the bias correction. */
  begin(step: number): void {
    this.#step.value = step + 1;
  }

  /** Releases the moments. */
  [Symbol.dispose](): void {
    disposeAll(this.state);
  }
}

function zerosLike(ctx: Context, { shape, size }: Tensor, label: string): Tensor {
  return ctx.upload(new Float32Array(size), shape, { label });
}

function disposeAll(tensors: Readonly<Record<string, Tensor>>): void {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}
