/**
 * TagOOD's last step: from the nearest class centre to a score, with the rule that an image without
 * an in-distribution tag is out-of-distribution.
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
import { hostFloats, requireDType, requireShape, requireVector } from "../_arguments.ts";
import { type Closeness, tagRuleReference } from "./reference.ts";
import source from "./tag_rule.wgsl" with { type: "text" };

export type { Closeness } from "./reference.ts";

const KERNEL: Kernel = {
  name: "tag_rule",
  wgsl: source,
  bindings: ["read", "read", "read", "read_write"],
  params: { begin: "u32", end: "u32", floor: "f32" },
};

const WORKGROUP = 64;
const MEASURES: Readonly<Record<Closeness, number>> = { cosine: 0, euclidean: 1, kl: 2 };

/** Tensors of {@linkcode tagRule}. */
export interface TagRuleInputs {
  /** What the nearest centre gave: the largest cosine, or the smallest distance; f32 [N]. */
  readonly value: Tensor;
  /** Object tokens of each image, i32 [N]. */
  readonly counts: Tensor;
  /** A factor for each image, f32 [N]; none when left out. */
  readonly probability?: Tensor | undefined;
}

/** Options of {@linkcode tagRule}. */
export interface TagRuleOptions {
  /** What `value` holds: a cosine, a squared distance or a relative entropy. */
  readonly measure: Closeness;
  /** The score of an image without object tokens. */
  readonly floor: number;
}

/**
 * Scores of images, higher = closer to a class centre: a cosine as it is, `1 / (1 + d)` of a distance
 * `d = sqrt(value)` and of a relative entropy, each times `probability` where it is given; `floor` for
 * images without object tokens.
 *
 * f32; a distance below zero, which rounding can make, counts as zero.
 *
 * @param ctx Where it runs.
 * @param inputs What the nearest centre gave, and how many tokens there were.
 * @param options The measure, and the floor.
 * @returns Scores, f32 [N].
 * @throws {ShapeError} When the inputs are no vectors of one length.
 * @throws {DTypeError} When counts do not hold i32, or another tensor not f32.
 *
 * @example An image with and one without a tag
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { tagRule } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const value = host.upload(new Float32Array([0.5, 0.9]), [2]);
 * const counts = host.upload(new Int32Array([3, 0]), [2]);
 * const scores = tagRule(host, { value, counts }, { measure: "cosine", floor: -1 });
 * assertEquals([...scores.data], [0.5, -1]);
 * ```
 */
export function tagRule(ctx: Context, inputs: TagRuleInputs, options: TagRuleOptions): Tensor {
  const kernel = "tagRule";
  const { value, counts, probability } = inputs;
  const length = value.size;
  requireVector(value, { kernel, name: "value", length });
  requireDType(counts, "i32", { kernel, name: "counts" });
  requireShape(counts, [length], { kernel, name: "counts" });
  if (probability !== undefined) {
    requireVector(probability, { kernel, name: "probability", length });
  }
  if (!isGpu(ctx)) {
    const arrays = {
      value: hostFloats(value),
      counts: counts.data,
      probability: probability && hostFloats(probability),
    };
    return ctx.upload(tagRuleReference(arrays, options), [length], { label: kernel });
  }
  return onGpu(ctx, inputs, options);
}

function onGpu(ctx: GpuContext, inputs: TagRuleInputs, options: TagRuleOptions): Tensor {
  const { value, counts, probability } = inputs;
  const y = ctx.empty([value.size], "f32", { label: "tagRule" });
  if (value.size === 0) return y;
  ctx.dispatch(KERNEL, {
    buffers: [value, counts, probability ?? value, y],
    params: { begin: 0, end: value.size, floor: options.floor },
    workgroups: gridFor(value.size, WORKGROUP),
    overrides: { MEASURE: MEASURES[options.measure], TIMES: probability === undefined ? 0 : 1 },
  });
  return y;
}

/**
 * Floating-point operations of the rule: at most a root, a sum, a quotient and a product per image.
 *
 * @param images Number of images.
 * @returns The number of operations.
 *
 * @example Two images
 * ```ts
 * import { tagRuleFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(tagRuleFlops(2), 8);
 * ```
 */
export function tagRuleFlops(images: number): number {
  return 4 * images;
}

/**
 * Bytes that the rule must move: three reads and one write per image.
 *
 * @param images Number of images.
 * @returns The number of bytes.
 *
 * @example Two images
 * ```ts
 * import { tagRuleBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(tagRuleBytes(2), 32);
 * ```
 */
export function tagRuleBytes(images: number): number {
  return 16 * images;
}
