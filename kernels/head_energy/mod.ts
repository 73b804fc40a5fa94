/**
 * The energy score straight from features: a linear head's product, bias, temperature and
 * log-sum-exp in one kernel, with ReAct's clip on load. The logits are never written.
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { headEnergy } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([1, 2]), [1, 2]);
 * const weight = host.upload(new Float32Array([1, 0, 0, 1]), [2, 2]);
 * const [energy] = await host.read(headEnergy(host, { features, weight }));
 * assertAlmostEquals(energy![0]!, Math.log(Math.exp(1) + Math.exp(2)), 1e-6);
 * ```
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, requireMatrix, requireVector } from "../_arguments.ts";
import { packed } from "../_pack.ts";
import { type ProductOptions, type ProductVariant, productVariant } from "../_products.ts";
import {
  naiveSegment,
  requireRowProductLength,
  rowProduct,
  type RowStates,
} from "../_row_product.ts";
import { headEnergyReference, type HeadSize } from "./reference.ts";
import finishSource from "./head_energy_finish.wgsl" with { type: "text" };
import naiveSource from "./head_energy_naive.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "head_energy_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: {
    rows: "u32",
    columns: "u32",
    k: "u32",
    segments: "u32",
    segment: "u32",
    has_bias: "u32",
    has_clip: "u32",
    clip: "f32",
    scale: "f32",
  },
};

const FINISH: Kernel = {
  name: "head_energy_finish",
  wgsl: finishSource,
  bindings: ["read", "read", "read_write"],
  params: { rows: "u32", segments: "u32", scale: "f32" },
};

/** What {@linkcode headEnergy} takes. */
export interface HeadEnergyInputs {
  /** f32 [N, C]: penultimate features. */
  readonly features: Tensor;
  /** f32 [K, C]: the head's weight, K at least 1. */
  readonly weight: Tensor;
  /** f32 [K]: the head's bias. */
  readonly bias?: Tensor;
}

/** Options of {@linkcode headEnergy}. */
export interface HeadEnergyOptions extends ProductOptions {
  /** Features above this count as this (ReAct); none by default. */
  readonly clip?: number;
  /** Temperature T, 1 by default. */
  readonly temperature?: number;
}

/** Lengths of a head, for {@linkcode headEnergyFlops} and {@linkcode headEnergyBytes}. */
export interface HeadEnergyShape {
  /** Rows of features, N. */
  readonly rows: number;
  /** Classes, K. */
  readonly classes: number;
  /** Channels, C. */
  readonly channels: number;
}

/**
 * Floating-point operations of {@linkcode headEnergy}, an exponential counted as one.
 *
 * @param shape Its lengths.
 * @returns 2 N K C + 3 N K.
 *
 * @example A small head
 * ```ts
 * import { headEnergyFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(headEnergyFlops({ rows: 2, classes: 3, channels: 4 }), 66);
 * ```
 */
export function headEnergyFlops(shape: HeadEnergyShape): number {
  return shape.rows * shape.classes * (2 * shape.channels + 3);
}

/**
 * Bytes that {@linkcode headEnergy} must move at least: inputs read once, one value per row
 * written.
 *
 * @param shape Its lengths.
 * @returns 4 (N C + K C + K + N).
 *
 * @example A small head
 * ```ts
 * import { headEnergyBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(headEnergyBytes({ rows: 2, classes: 3, channels: 4 }), 100);
 * ```
 */
export function headEnergyBytes(shape: HeadEnergyShape): number {
  const { rows, classes, channels } = shape;
  return 4 * (rows * channels + classes * channels + classes + rows);
}

/**
 * The energy of a linear head, T log sum_j exp(z_j / T) with z = W min(a, clip) + b; higher means
 * more in-distribution.
 *
 * The log-sum-exp is shifted by its running maximum, so logits of any size are safe. f32 sums in
 * the order of C; bit-equal from run to run.
 *
 * Source: Liu et al., "Energy-based Out-of-distribution Detection", 2020; the clip is that of Sun
 * et al., "ReAct", 2021.
 *
 * @param ctx Where to run.
 * @param inputs Features and the head.
 * @param options Clip, temperature, and a forced variant.
 * @returns f32 [N].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When there is no class, the temperature is not positive, the clip is not a
 * number, or a forced variant does not exist.
 *
 * @example ReAct: large activations count less
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { headEnergy } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([9, 1]), [1, 2]);
 * const weight = host.upload(new Float32Array([1, 1]), [1, 2]);
 * const [energy] = await host.read(headEnergy(host, { features, weight }, { clip: 2 }));
 * assertEquals(energy![0], 3);
 * ```
 */
export function headEnergy(
  ctx: Context,
  inputs: HeadEnergyInputs,
  options: HeadEnergyOptions = {},
): Tensor {
  const kernel = "headEnergy";
  const { clip, temperature = 1 } = options;
  const [rows, channels] = requireMatrix(inputs.features, { kernel, name: "features" });
  const [classes] = requireMatrix(inputs.weight, { kernel, name: "weight", columns: channels });
  if (inputs.bias !== undefined) {
    requireVector(inputs.bias, { kernel, name: "bias", length: classes });
  }
  if (classes === 0) throw new RangeError(`Cannot run ${kernel}: there are no classes`);
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new RangeError(
      `Cannot run ${kernel}: temperature must be positive: it is ${temperature}`,
    );
  }
  if (clip !== undefined && !Number.isFinite(clip)) {
    throw new RangeError(`Cannot run ${kernel}: clip must be a finite number: it is ${clip}`);
  }
  const size = { rows, classes, channels };
  if (isGpu(ctx)) return onGpu(ctx, inputs, { ...options, ...size });
  const { bias } = inputs;
  const energy = headEnergyReference(
    {
      features: hostFloats(inputs.features),
      weight: hostFloats(inputs.weight),
      ...(bias === undefined ? {} : { bias: hostFloats(bias) }),
    },
    size,
    { clip: clip ?? Infinity, temperature },
  );
  return ctx.upload(energy, [rows], { label: kernel });
}

type Call = HeadEnergyOptions & HeadSize;

function onGpu(ctx: GpuContext, inputs: HeadEnergyInputs, call: Call): Tensor {
  const { rows, channels, temperature = 1 } = call;
  requireRowProductLength("headEnergy", channels);
  const variant = productVariant(ctx, "headEnergy", call);
  const value = ctx.empty([rows], "f32", { label: "headEnergy" });
  if (rows === 0) return value;
  using scope = ctx.scope();
  const states = variant === "naive"
    ? runNaive(scope, inputs, call)
    : runFused(scope, inputs, { ...call, variant });
  scope.dispatch(FINISH, {
    buffers: [states.first, states.second, value],
    params: { rows, segments: states.segments, scale: 1 / temperature },
    workgroups: gridFor(rows, 8),
  });
  return value;
}

function runNaive(ctx: GpuContext, inputs: HeadEnergyInputs, call: Call): RowStates {
  const { rows, classes, channels, clip, temperature = 1 } = call;
  const segment = naiveSegment(channels);
  const segments = Math.ceil(classes / segment);
  const first = ctx.empty([segments, rows], "f32", { label: "row states" });
  const second = ctx.empty([segments, rows], "u32", { label: "row states" });
  ctx.dispatch(NAIVE, {
    buffers: [inputs.features, inputs.weight, inputs.bias ?? inputs.features, first, second],
    params: {
      rows,
      columns: classes,
      k: channels,
      segments,
      segment,
      has_bias: inputs.bias === undefined ? 0 : 1,
      has_clip: clip === undefined ? 0 : 1,
      clip: clip ?? 0,
      scale: 1 / temperature,
    },
    workgroups: gridFor(segments * rows, 64),
  });
  return { first, second, segments };
}

function runFused(
  ctx: GpuContext,
  inputs: HeadEnergyInputs,
  call: Call & { readonly variant: Exclude<ProductVariant, "naive"> },
): RowStates {
  const { rows, classes, channels, clip, temperature = 1 } = call;
  const x = packed(ctx, inputs.features, { rows, k: channels });
  const y = packed(ctx, inputs.weight, { rows: classes, k: channels });
  const extra = inputs.bias === undefined
    ? {}
    : { extra: packed(ctx, inputs.bias, { rows: 1, k: classes }) };
  return rowProduct(ctx, { x, y, ...extra }, {
    variant: call.variant,
    term: "product",
    load: clip === undefined ? "plain" : "clipped",
    state: "logSumExp",
    rows,
    columns: classes,
    k: channels,
    clip: clip ?? 0,
    scale: 1 / temperature,
    side: call.side,
  });
}
