/**
 * Steps of optimisers over flat arenas of parameters, in place and one dispatch each, and the
 * clipping of gradients by their norm.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Scalar,
  scalarValue,
  Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, requireDType, requireShape, requireVector } from "../_arguments.ts";
import { planColumns } from "../_columns.ts";
import { adamReference, clipReference, sgdReference } from "./reference.ts";
import adamSource from "./adam.wgsl" with { type: "text" };
import clipScaleSource from "./clip_scale.wgsl" with { type: "text" };
import clipSquaresSource from "./clip_squares.wgsl" with { type: "text" };
import sgdSource from "./sgd.wgsl" with { type: "text" };

const SGD: Kernel = {
  name: "sgd",
  wgsl: sgdSource,
  bindings: ["read", "read", "read_write", "read_write"],
  params: {
    count: "u32",
    decayed: "u32",
    learning_rate: "f32",
    momentum: "f32",
    keep: "f32",
    weight_decay: "f32",
    scale: "f32",
  },
};

const ADAM: Kernel = {
  name: "adam",
  wgsl: adamSource,
  bindings: ["read", "read", "read_write", "read_write", "read_write"],
  params: {
    count: "u32",
    decayed: "u32",
    learning_rate: "f32",
    step: "f32",
    log_beta1: "f32",
    log_beta2: "f32",
    beta1: "f32",
    beta2: "f32",
    rest1: "f32",
    rest2: "f32",
    epsilon: "f32",
    weight_decay: "f32",
    scale: "f32",
  },
};

const SQUARES: Kernel = {
  name: "clip_squares",
  wgsl: clipSquaresSource,
  bindings: ["read", "read", "read_write"],
  params: { elements: "u32", block: "u32", chunk: "u32", invocations: "u32" },
};

const CLIP: Kernel = {
  name: "clip_scale",
  wgsl: clipScaleSource,
  bindings: ["read", "read_write", "read_write"],
  params: { count: "u32", max_norm: "f32" },
};

const SOFTWARE_WORKGROUP = 8;
const GPU_WORKGROUP = 256;

/** exp of this is 0 in f32: the logarithm of a beta of 0 that every device can hold. */
const LEAST_LOG = -200;

/** Options of every step. */
export interface StepOptions {
  /** Step width. */
  readonly learningRate: number | Scalar;
  /** Weight decay, 0 by default. */
  readonly weightDecay?: number;
  /** How many leading elements decay; all by default. */
  readonly decayed?: number;
  /**
   * Factor of the gradients, 1 by default: a number, or f32 [1] on the GPU such as that of
   * {@linkcode clipScale}.
   */
  readonly scale?: number | Scalar | Tensor;
}

/** Tensors of {@linkcode sgdStep}. */
export interface SgdInputs {
  /** f32 [P], changed in place. */
  readonly parameters: Tensor;
  /** f32 [P]. */
  readonly gradients: Tensor;
  /** f32 [P], zeros before the first step, changed in place; for a momentum other than 0. */
  readonly momentum?: Tensor;
}

/** Options of {@linkcode sgdStep}. */
export interface SgdOptions extends StepOptions {
  /** Share of the last step's direction that is kept, 0 by default. */
  readonly momentum?: number;
  /** Share of the gradient that does not enter the momentum, 0 by default. */
  readonly dampening?: number;
  /** Nesterov's momentum; needs a momentum and no dampening. */
  readonly nesterov?: boolean;
}

/** Tensors of {@linkcode adamStep} and {@linkcode adamWStep}. */
export interface AdamInputs {
  /** f32 [P], changed in place. */
  readonly parameters: Tensor;
  /** f32 [P]. */
  readonly gradients: Tensor;
  /** Mean of the gradients, f32 [P], zeros before the first step, changed in place. */
  readonly first: Tensor;
  /** Mean of their squares, f32 [P], zeros before the first step, changed in place. */
  readonly second: Tensor;
}

/** Options of {@linkcode adamStep} and {@linkcode adamWStep}. */
export interface AdamOptions extends StepOptions {
  /** Number of the step, 1 at the first. */
  readonly step: number | Scalar;
  /** Decay of the mean of the gradients, 0.9 by default. */
  readonly beta1?: number;
  /** Decay of the mean of their squares, 0.999 by default. */
  readonly beta2?: number;
  /** Added to the root of the latter, 1e-8 by default. */
  readonly epsilon?: number;
}

/** What {@linkcode clipScale} gives. */
export interface ClipScale {
  /** Factor of the gradients, f32 [1], for the `scale` of a step. */
  readonly scale: Tensor;
  /** Norm of all gradients together, f32 [1]. */
  readonly norm: Tensor;
}

/**
 * One step of stochastic gradient descent, in place, as PyTorch's `SGD` does it:
 * `g = scale * gradients + weightDecay * parameters`,
 * `momentum = momentum * factor + (1 - dampening) * g`, `parameters -= learningRate * momentum`.
 *
 * With zeros in the momentum at first and no dampening, the first step has the gradient for its
 * momentum, as there. (With dampening PyTorch leaves it out of the first step; this does not.)
 *
 * @param ctx Where it runs.
 * @param inputs Parameters and gradients, and the momentum where there is one.
 * @param options Learning rate and the rest.
 * @throws {ShapeError} When the tensors are no vectors of one length, or `scale` is not [1].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When a number makes no sense.
 *
 * @example Downhill
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { sgdStep } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const parameters = host.upload(new Float32Array([1, 2]), [2]);
 * const gradients = host.upload(new Float32Array([2, -2]), [2]);
 * sgdStep(host, { parameters, gradients }, { learningRate: 0.5 });
 * assertEquals([...parameters.data], [0, 3]);
 * ```
 */
export function sgdStep(ctx: Context, inputs: SgdInputs, options: SgdOptions): void {
  const kernel = "sgdStep";
  const { momentum = 0, dampening = 0, nesterov = false } = options;
  const arena = arenaOf(kernel, { ...inputs }, options);
  requireFraction(kernel, { dampening });
  requireNotNegative(kernel, { momentum });
  if (momentum !== 0 && inputs.momentum === undefined) {
    throw new RangeError(`Cannot run ${kernel}: a momentum of ${momentum} needs its tensor`);
  }
  if (nesterov && (momentum === 0 || dampening !== 0)) {
    throw new RangeError(`Cannot run ${kernel}: nesterov needs a momentum and no dampening`);
  }
  const { parameters, gradients } = inputs;
  const state = momentum === 0 ? undefined : inputs.momentum;
  if (!isGpu(ctx)) {
    sgdReference({
      parameters: hostFloats(parameters),
      gradients: hostFloats(gradients),
      momentum: state && hostFloats(state),
    }, { ...arena.onHost(), momentum, dampening, nesterov });
    return;
  }
  using spare = ctx.empty([4], "f32", { label: "unused binding" });
  const { width, workgroup, params, factor } = arena.onGpu(ctx);
  ctx.dispatch(SGD, {
    buffers: [gradients, factor ?? gradients, parameters, state ?? spare],
    params: { ...params, momentum, keep: 1 - dampening },
    workgroups: gridFor(params.count, workgroup),
    overrides: {
      WORKGROUP: workgroup,
      HAS_MOMENTUM: state === undefined ? 0 : 1,
      NESTEROV: nesterov ? 1 : 0,
      HAS_FACTOR: factor === undefined ? 0 : 1,
    },
    spec: { Group: width === 4 ? "vec4<f32>" : "f32" },
  });
}

/**
 * One step of Adam, in place, as PyTorch's `Adam` does it; weight decay is added to the gradient.
 *
 * The step may be a `Scalar` that counts on between replays: `1 - beta^t` is taken in the kernel,
 * without cancellation where `beta^t` is near one.
 *
 * Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
 *
 * @param ctx Where it runs.
 * @param inputs Parameters, gradients and both means.
 * @param options Learning rate, number of the step, and the rest.
 * @throws {ShapeError} When the tensors are no vectors of one length, or `scale` is not [1].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When a number makes no sense.
 *
 * @example The first step is as wide as the learning rate
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { adamStep } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const parameters = host.upload(new Float32Array([1]), [1]);
 * const gradients = host.upload(new Float32Array([20]), [1]);
 * const [first, second] = [host.empty([1]), host.empty([1])];
 * adamStep(host, { parameters, gradients, first, second }, { learningRate: 0.25, step: 1 });
 * assertAlmostEquals(parameters.data[0]!, 0.75, 1e-6);
 * ```
 */
export function adamStep(ctx: Context, inputs: AdamInputs, options: AdamOptions): void {
  adam(ctx, inputs, { ...options, kernel: "adamStep", decoupled: false });
}

/**
 * One step of AdamW, in place, as PyTorch's `AdamW` does it: {@linkcode adamStep} with a decay that
 * goes past both means, `parameters *= 1 - learningRate * weightDecay`.
 *
 * Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
 *
 * @param ctx Where it runs.
 * @param inputs Parameters, gradients and both means.
 * @param options Learning rate, number of the step, and the rest.
 * @throws {ShapeError} When the tensors are no vectors of one length, or `scale` is not [1].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When a number makes no sense.
 *
 * @example Without a gradient only the decay is left
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { adamWStep } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const parameters = host.upload(new Float32Array([4]), [1]);
 * const [gradients, first, second] = [host.empty([1]), host.empty([1]), host.empty([1])];
 * const options = { learningRate: 0.5, weightDecay: 0.5, step: 1 };
 * adamWStep(host, { parameters, gradients, first, second }, options);
 * assertEquals([...parameters.data], [3]);
 * ```
 */
export function adamWStep(ctx: Context, inputs: AdamInputs, options: AdamOptions): void {
  adam(ctx, inputs, { ...options, kernel: "adamWStep", decoupled: true });
}

/**
 * What scales gradients down to a norm, `min(1, maxNorm / (norm + 1e-6))`, and that norm, as
 * PyTorch's `clip_grad_norm_` does it. Both stay where they are computed; give `scale` to a step.
 *
 * The norm is that of all elements together, in two passes in a fixed order.
 *
 * @param ctx Where it runs.
 * @param inputs All gradients, f32 [P].
 * @param options The largest norm.
 * @returns Scale and norm, f32 [1] each.
 * @throws {ShapeError} When the gradients are no vector.
 * @throws {DTypeError} When they do not hold f32.
 * @throws {RangeError} When the largest norm is not positive.
 *
 * @example A norm of five
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { clipScale } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const gradients = host.upload(new Float32Array([3, -4]), [2]);
 * const { scale, norm } = clipScale(host, { gradients }, { maxNorm: 1 });
 * assertAlmostEquals(norm.data[0]!, 5);
 * assertAlmostEquals(scale.data[0]!, 0.2, 1e-6);
 * ```
 */
export function clipScale(
  ctx: Context,
  inputs: { readonly gradients: Tensor },
  options: { readonly maxNorm: number | Scalar },
): ClipScale {
  const kernel = "clipScale";
  const { gradients } = inputs;
  const { maxNorm } = options;
  requireDType(gradients, "f32", { kernel, name: "gradients" });
  requireShape(gradients, ["P"], { kernel, name: "gradients" });
  if (!(scalarValue(maxNorm) > 0)) {
    throw new RangeError(
      `Cannot run ${kernel}: "maxNorm" must be positive: it is ${scalarValue(maxNorm)}`,
    );
  }
  const scale = ctx.empty([1], "f32", { label: "clip scale" });
  const norm = ctx.empty([1], "f32", { label: "gradient norm" });
  if (!isGpu(ctx)) {
    const found = clipReference(hostFloats(gradients), scalarValue(maxNorm));
    hostFloats(scale)[0] = found.scale;
    hostFloats(norm)[0] = found.norm;
    return { scale, norm };
  }
  const { isSoftware } = ctx.gpu.adapter;
  const elements = gradients.size;
  const plan = planColumns({ rows: elements, columns: 1 }, isSoftware ? "serial" : "tree");
  const { block, chunk, invocations, workgroup } = plan;
  using parts = ctx.empty([invocations], "f32", { label: "parts" });
  ctx.dispatch(SQUARES, {
    buffers: [gradients, gradients, parts],
    params: { elements, block, chunk, invocations },
    workgroups: gridFor(invocations, workgroup),
    overrides: { WORKGROUP: workgroup },
  });
  ctx.dispatch(CLIP, {
    buffers: [parts, scale, norm],
    params: { count: invocations, max_norm: maxNorm },
    workgroups: [1],
    overrides: { WORKGROUP: isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP },
  });
  return { scale, norm };
}

/** An optimiser, for {@linkcode optimizerFlops} and {@linkcode optimizerBytes}. */
export interface OptimizerShape {
  /** Number of parameters. */
  readonly parameters: number;
  /** Which step. */
  readonly step: "sgd" | "momentum" | "adam" | "clip";
}

const FLOPS_EACH = { sgd: 5, momentum: 8, adam: 16, clip: 2 } as const;
const WORDS_EACH = { sgd: 3, momentum: 5, adam: 7, clip: 1 } as const;

/**
 * Floating-point operations of one step, a root and a division counted as one.
 *
 * @param shape Number of parameters, and which step.
 * @returns The number of operations.
 *
 * @example A thousand parameters
 * ```ts
 * import { optimizerFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(optimizerFlops({ parameters: 1000, step: "momentum" }), 8000);
 * ```
 */
export function optimizerFlops(shape: OptimizerShape): number {
  return FLOPS_EACH[shape.step] * shape.parameters;
}

/**
 * Bytes that one step must move: one read of the gradients, one read and one write of parameters and
 * state.
 *
 * @param shape Number of parameters, and which step.
 * @returns The number of bytes.
 *
 * @example A thousand parameters
 * ```ts
 * import { optimizerBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(optimizerBytes({ parameters: 1000, step: "adam" }), 28000);
 * ```
 */
export function optimizerBytes(shape: OptimizerShape): number {
  return 4 * WORDS_EACH[shape.step] * shape.parameters;
}

type AdamCall = AdamOptions & { readonly kernel: string; readonly decoupled: boolean };

function adam(ctx: Context, inputs: AdamInputs, call: AdamCall): void {
  const { kernel, decoupled, step, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = call;
  const { parameters, gradients, first, second } = inputs;
  const arena = arenaOf(kernel, { parameters, gradients, first, second }, call);
  requireFraction(kernel, { beta1, beta2 });
  requireNotNegative(kernel, { epsilon });
  if (!(scalarValue(step) >= 1)) {
    throw new RangeError(
      `Cannot run ${kernel}: "step" counts from 1: it is ${scalarValue(step)}`,
    );
  }
  if (!isGpu(ctx)) {
    adamReference({
      parameters: hostFloats(parameters),
      gradients: hostFloats(gradients),
      first: hostFloats(first),
      second: hostFloats(second),
    }, { ...arena.onHost(), beta1, beta2, epsilon, decoupled, step: scalarValue(step) });
    return;
  }
  const { width, workgroup, params, factor } = arena.onGpu(ctx);
  ctx.dispatch(ADAM, {
    buffers: [gradients, factor ?? gradients, parameters, first, second],
    params: {
      ...params,
      step,
      log_beta1: Math.max(LEAST_LOG, Math.log(beta1)),
      log_beta2: Math.max(LEAST_LOG, Math.log(beta2)),
      beta1,
      beta2,
      rest1: 1 - beta1,
      rest2: 1 - beta2,
      epsilon,
    },
    workgroups: gridFor(params.count, workgroup),
    overrides: {
      WORKGROUP: workgroup,
      DECOUPLED: decoupled ? 1 : 0,
      HAS_FACTOR: factor === undefined ? 0 : 1,
    },
    spec: { Group: width === 4 ? "vec4<f32>" : "f32" },
  });
}

/** Checks what all steps have in common, and lays it out for either executor. */
function arenaOf(
  kernel: string,
  tensors: Readonly<Record<string, Tensor | undefined>>,
  options: StepOptions,
) {
  const { parameters } = tensors;
  requireDType(parameters!, "f32", { kernel, name: "parameters" });
  const [length] = requireShape(parameters!, ["P"], { kernel, name: "parameters" }) as [number];
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor !== undefined) requireVector(tensor, { kernel, name, length });
  }
  const { learningRate, weightDecay = 0, decayed = length, scale = 1 } = options;
  requireNotNegative(kernel, { learningRate: scalarValue(learningRate), weightDecay });
  if (!(Number.isInteger(decayed) && decayed >= 0 && decayed <= length)) {
    throw new RangeError(
      `Cannot run ${kernel}: "decayed" must be a whole number from 0 to ${length}: it is ${decayed}`,
    );
  }
  const factor = scale instanceof Tensor ? scale : undefined;
  if (factor !== undefined) requireVector(factor, { kernel, name: "scale", length: 1 });
  const number = scale instanceof Tensor ? 1 : scale;
  return {
    onHost: () => ({
      learningRate: scalarValue(learningRate),
      weightDecay,
      decayed,
      scale: factor === undefined ? scalarValue(number) : hostFloats(factor)[0]!,
    }),
    onGpu: (ctx: GpuContext) => {
      const width = length % 4 === 0 && decayed % 4 === 0 ? 4 : 1;
      return {
        width,
        workgroup: ctx.gpu.adapter.isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP,
        factor,
        params: {
          count: length / width,
          decayed: decayed / width,
          learning_rate: learningRate,
          weight_decay: weightDecay,
          scale: number,
        },
      };
    },
  };
}

function requireNotNegative(kernel: string, numbers: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (!(value >= 0 && value < Infinity)) {
      throw new RangeError(`Cannot run ${kernel}: "${name}" must not be negative: it is ${value}`);
    }
  }
}

function requireFraction(kernel: string, numbers: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (!(value >= 0 && value < 1)) {
      throw new RangeError(
        `Cannot run ${kernel}: "${name}" must be at least 0 and less than 1: it is ${value}`,
      );
    }
  }
}
