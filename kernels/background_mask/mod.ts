/**
 * Which locations of a feature map show background: where a linear head, applied to each location's
 * features, gives the true class little probability.
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
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import {
  hostFloats,
  outputTensor,
  requireDType,
  requireMatrix,
  requireShape,
  requireVector,
} from "../_arguments.ts";
import type { OutOption } from "../_out.ts";
import { packed, quadsOf } from "../_pack.ts";
import { LOOP_TURNS, type ProductOptions, productVariant } from "../_products.ts";
import { requireRowProductLength, rowProduct } from "../_row_product.ts";
import { probabilityReference } from "./reference.ts";
import finishSource from "./background_mask_finish.wgsl" with { type: "text" };
import naiveSource from "./background_mask_naive.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "background_mask_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read", "read", "read_write", "read_write"],
  params: {
    rows: "u32",
    k: "u32",
    classes: "u32",
    locations: "u32",
    hasBias: "u32",
    delta: "f32",
  },
};

const FINISH: Kernel = {
  name: "background_mask_finish",
  wgsl: finishSource,
  bindings: ["read", "read", "read", "read", "read", "read", "read_write", "read_write"],
  params: {
    rows: "u32",
    quads: "u32",
    locations: "u32",
    segments: "u32",
    hasBias: "u32",
    delta: "f32",
  },
};

const SOFTWARE_WORKGROUP = 8;
const GPU_WORKGROUP = 64;

/** Tensors of {@linkcode backgroundMask}. */
export interface BackgroundMaskInputs {
  /** A map with its channels last, f32 [N, L, C] or [N, H, W, C]. */
  readonly features: Tensor;
  /** The head's weight, f32 [K, C], K at least 1. */
  readonly weight: Tensor;
  /** The head's bias, f32 [K]; zeros when left out. */
  readonly bias?: Tensor;
  /** The true class of each image, i32 [N], from 0 to K - 1. */
  readonly labels: Tensor;
}

/** Options of {@linkcode backgroundMask}. */
export interface BackgroundMaskOptions extends ProductOptions, OutOption {
  /** Locations whose true class has less probability than this are background. */
  readonly delta: number | Scalar;
  /** Whether the probabilities are wanted as well, for maps of them; no by default. */
  readonly probabilities?: boolean;
}

/** What {@linkcode backgroundMask} gives. */
export interface BackgroundMask {
  /** 1 at background locations, else 0: f32 [N, L] or [N, H, W]. */
  readonly mask: Tensor;
  /** Probability of the true class, f32 of the same shape, where wanted. */
  readonly probabilities?: Tensor;
}

/**
 * Background locations: those where the softmax of a linear head over one location's features gives
 * the true class a probability below delta.
 *
 * The [N L, K] logits are never written: product, bias and log-sum-exp are one kernel, and a second
 * one takes the true class's logit. f32; bit-equal from run to run.
 *
 * Source: Ye et al., "Local Background Features Matter in Out-of-Distribution Detection", equations 4
 * and 5.
 *
 * @param ctx Where it runs.
 * @param inputs Features, head and labels.
 * @param options The threshold, whether probabilities are wanted, where the mask goes, and a forced
 * variant.
 * @returns The mask, and where wanted the probabilities.
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When `labels` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When delta is not from 0 to 1, there is no class, or the forced variant does
 * not exist or does not take so long a product.
 *
 * @example One location is sure of its class, the other is not
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { backgroundMask } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([5, 0, 0, 5]), [1, 2, 2]);
 * const weight = host.upload(new Float32Array([1, 0, 0, 1]), [2, 2]);
 * const labels = host.upload(new Int32Array([0]), [1]);
 * const { mask } = backgroundMask(host, { features, weight, labels }, { delta: 0.1 });
 * assertEquals([...mask.data], [0, 1]);
 * ```
 */
export function backgroundMask(
  ctx: Context,
  inputs: BackgroundMaskInputs,
  options: BackgroundMaskOptions,
): BackgroundMask {
  const kernel = "backgroundMask";
  const { features, weight, bias, labels } = inputs;
  const { delta } = options;
  requireDType(features, "f32", { kernel, name: "features" });
  const { shape } = features;
  if (shape.length < 3) {
    throw new ShapeError(kernel, "features", {
      expected: "[N, L, C] or [N, H, W, C]",
      actual: shape,
    });
  }
  const images = shape[0]!;
  const channels = shape[shape.length - 1]!;
  const [classes] = requireMatrix(weight, { kernel, name: "weight", columns: channels });
  if (bias !== undefined) requireVector(bias, { kernel, name: "bias", length: classes });
  requireDType(labels, "i32", { kernel, name: "labels" });
  requireShape(labels, [images], { kernel, name: "labels" });
  if (classes === 0) throw new RangeError(`Cannot run ${kernel}: there are no classes`);
  if (!(scalarValue(delta) >= 0 && scalarValue(delta) <= 1)) {
    throw new RangeError(
      `Cannot run ${kernel}: "delta" must be from 0 to 1: it is ${scalarValue(delta)}`,
    );
  }
  const places = shape.slice(0, -1);
  const mask = outputTensor(ctx, places, { kernel, out: options.out });
  const probabilities = options.probabilities
    ? ctx.empty(places, "f32", { label: "probabilities of the true class" })
    : undefined;
  const made: BackgroundMask = { mask, ...(probabilities === undefined ? {} : { probabilities }) };
  if (isGpu(ctx)) {
    onGpu(ctx, { ...inputs, ...made }, { ...options, images, channels, classes });
    return made;
  }
  const found = probabilityReference({
    features: hostFloats(features),
    weight: hostFloats(weight),
    bias: bias && hostFloats(bias),
    labels: labels.data as Int32Array,
  }, classes);
  if (probabilities !== undefined) hostFloats(probabilities).set(found);
  hostFloats(mask).set(found.map((p) => p < scalarValue(delta) ? 1 : 0));
  return made;
}

type Call = BackgroundMaskOptions & {
  readonly images: number;
  readonly channels: number;
  readonly classes: number;
};

function onGpu(
  ctx: GpuContext,
  tensors: BackgroundMaskInputs & BackgroundMask,
  call: Call,
): void {
  const { features, weight, bias, labels, mask, probabilities } = tensors;
  const { images, channels, classes, delta } = call;
  const rows = mask.size;
  const variant = productVariant(ctx, "backgroundMask", call);
  requireRowProductLength("backgroundMask", channels);
  if (rows === 0) return;
  using scope = ctx.scope();
  const target = probabilities ?? scope.empty([4], "f32", { label: "unused binding" });
  const overrides = { HAS_PROBABILITY: probabilities === undefined ? 0 : 1 };
  const common = { rows, locations: rows / images, delta, hasBias: bias === undefined ? 0 : 1 };
  if (variant === "naive") {
    requireTurns(ctx, call);
    ctx.dispatch(NAIVE, {
      buffers: [features, weight, bias ?? weight, labels, mask, target],
      params: { ...common, k: channels, classes },
      workgroups: gridFor(rows, 64),
      overrides,
    });
    return;
  }
  const x = packed(scope, features, { rows, k: channels });
  const y = packed(scope, weight, { rows: classes, k: channels });
  const extra = bias && packed(scope, bias, { rows: 1, k: classes });
  const { first, second, segments } = rowProduct(scope, {
    x,
    y,
    ...(extra === undefined ? {} : { extra }),
  }, {
    variant,
    term: "product",
    load: "plain",
    state: "logSumExp",
    rows,
    columns: classes,
    k: channels,
    side: call.side,
  });
  const workgroup = ctx.gpu.adapter.isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP;
  scope.dispatch(FINISH, {
    buffers: [x, y, bias ?? x, labels, first, second, mask, target],
    params: { ...common, quads: quadsOf(channels), segments },
    workgroups: gridFor(rows, workgroup),
    overrides: { ...overrides, WORKGROUP: workgroup },
  });
}

function requireTurns(ctx: GpuContext, { channels, classes }: Call): void {
  const turns = classes * (channels + 2);
  if (!ctx.gpu.adapter.isSoftware || turns <= LOOP_TURNS) return;
  throw new RangeError(
    `Cannot run backgroundMask: the variant "naive" takes at most ${LOOP_TURNS} loop turns on a ` +
      `software adapter: ${classes} classes of ${channels} channels take ${turns}`,
  );
}

/** Lengths of a map and a head, for {@linkcode backgroundMaskFlops} and its bytes. */
export interface BackgroundMaskShape {
  /** Locations of all images together. */
  readonly locations: number;
  /** Classes, K. */
  readonly classes: number;
  /** Channels, C. */
  readonly channels: number;
}

/**
 * Floating-point operations of {@linkcode backgroundMask}, an exponential counted as one.
 *
 * @param shape Its lengths.
 * @returns L (K (2 C + 3) + 2 C).
 *
 * @example A small map
 * ```ts
 * import { backgroundMaskFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(backgroundMaskFlops({ locations: 2, classes: 3, channels: 4 }), 82);
 * ```
 */
export function backgroundMaskFlops(shape: BackgroundMaskShape): number {
  const { locations, classes, channels } = shape;
  return locations * (classes * (2 * channels + 3) + 2 * channels);
}

/**
 * Bytes that {@linkcode backgroundMask} must move at least: features and head read once, mask
 * written once.
 *
 * @param shape Its lengths.
 * @returns 4 (L C + K C + K + L).
 *
 * @example A small map
 * ```ts
 * import { backgroundMaskBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(backgroundMaskBytes({ locations: 2, classes: 3, channels: 4 }), 100);
 * ```
 */
export function backgroundMaskBytes(shape: BackgroundMaskShape): number {
  const { locations, classes, channels } = shape;
  return 4 * (locations * channels + classes * channels + classes + locations);
}
