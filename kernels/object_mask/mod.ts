/**
 * Object masks: which tokens of an image its predicted in-distribution tags look at.
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
  requireDType,
  requireMatrix,
  requireShape,
  requireVector,
} from "../_arguments.ts";
import { merged, unrolled } from "../_unroll.ts";
import { type ObjectMaskPlan, type ObjectMaskVariant, planObjectMask } from "./_plan.ts";
import { objectMaskReference, type ObjectMaskSize } from "./reference.ts";
import naiveCountsSource from "./object_mask_naive_counts.wgsl" with { type: "text" };
import naiveKeepSource from "./object_mask_naive_keep.wgsl" with { type: "text" };
import naiveMapsSource from "./object_mask_naive_maps.wgsl" with { type: "text" };
import naiveTagsSource from "./object_mask_naive_tags.wgsl" with { type: "text" };
import serialSource from "./object_mask_serial.wgsl" with { type: "text" };
import tagsSource from "./object_mask_tags.wgsl" with { type: "text" };
import treeSource from "./object_mask_tree.wgsl" with { type: "text" };

export type { ObjectMaskVariant } from "./_plan.ts";

const TAGS = /* @__PURE__ */ unrolled({
  name: "object_mask_tags",
  wgsl: tagsSource,
  bindings: ["read", "read", "read", "read", "read", "read_write"],
  params: { images: "u32", outputs: "u32", count: "u32", words: "u32" },
});

const FUSED = {
  bindings: [
    "read",
    "read",
    "read",
    "read",
    "read_write",
    "read_write",
    "read_write",
    "read_write",
  ],
  params: {
    images: "u32",
    heads: "u32",
    outputs: "u32",
    tokens: "u32",
    count: "u32",
    words: "u32",
    tau: "f32",
  },
} as const;

const SERIAL = /* @__PURE__ */ unrolled(
  /* @__PURE__ */ merged(FUSED, { name: "object_mask_serial", wgsl: serialSource }),
);

const TREE = /* @__PURE__ */ unrolled(
  /* @__PURE__ */ merged(FUSED, { name: "object_mask_tree", wgsl: treeSource }),
);

const NAIVE_TAGS: Kernel = {
  name: "object_mask_naive_tags",
  wgsl: naiveTagsSource,
  bindings: ["read", "read", "read", "read", "read_write", "read_write", "read_write"],
  params: { images: "u32", outputs: "u32", count: "u32" },
};

const NAIVE_MAPS: Kernel = {
  name: "object_mask_naive_maps",
  wgsl: naiveMapsSource,
  bindings: ["read", "read", "read_write"],
  params: { images: "u32", heads: "u32", outputs: "u32", tokens: "u32", count: "u32" },
};

const NAIVE_KEEP: Kernel = {
  name: "object_mask_naive_keep",
  wgsl: naiveKeepSource,
  bindings: ["read", "read", "read_write"],
  params: { images: "u32", tokens: "u32", count: "u32", tau: "f32" },
};

const NAIVE_COUNTS: Kernel = {
  name: "object_mask_naive_counts",
  wgsl: naiveCountsSource,
  bindings: ["read", "read_write"],
  params: { images: "u32", tokens: "u32" },
};

const NAIVE_WORKGROUP = 64;
const SOFTWARE_WORKGROUP = 8;
const GPU_WORKGROUP = 64;
/** Tags that the bits of one word tell of. */
const WORD = 32;
/** Images that share the loads of tags and thresholds. */
const SOFTWARE_IMAGES = 4;
const GPU_IMAGES = 1;

/** Tensors of {@linkcode objectMask}. */
export interface ObjectMaskInputs {
  /** What each of a tagger's M tags looks at, f32 [N, M, T], or by head, f32 [N, H, M, T]. */
  readonly attention: Tensor;
  /** The tagger's logits, f32 [N, M]. */
  readonly tagLogits: Tensor;
  /** The in-distribution tags, i32 [V], from 0 to M - 1; others count as absent. */
  readonly tags: Tensor;
  /** The logit above which each in-distribution tag is predicted, f32 [V]. */
  readonly thresholds: Tensor;
  /**
   * Index into `tags` of the one tag that is used for each image, whatever is predicted, i32 [N]; none
   * where it is -1.
   */
  readonly only?: Tensor | undefined;
}

/** Options of {@linkcode objectMask}. */
export interface ObjectMaskOptions {
  /** Tokens whose normalised attention is above this are kept, 0 to 1. */
  readonly tau: number | Scalar;
  /**
   * Whether the tag whose logit lies least below its threshold is used where none is predicted; no by
   * default.
   */
  readonly fallback?: boolean | undefined;
  /** Forces a variant; `serial` on software adapters and `tree` elsewhere by default. */
  readonly variant?: ObjectMaskVariant | undefined;
  /** Forces how many invocations of the tree variant share an image, a power of two from 8 to 256. */
  readonly lanes?: number | undefined;
}

/** What {@linkcode objectMask} gives. */
export interface ObjectMask {
  /** 1 for tokens that are kept, else 0: i32 [N, T]. */
  readonly keep: Tensor;
  /** Tokens of each image that are kept, i32 [N]. */
  readonly counts: Tensor;
  /** Predicted in-distribution tags of each image, i32 [N]. */
  readonly tagged: Tensor;
  /** The sigmoid of the largest logit of an in-distribution tag, predicted or not, f32 [N]. */
  readonly score: Tensor;
}

/**
 * The tokens of an image that its predicted in-distribution tags look at.
 *
 * The map of each used tag, added over the heads, is brought to 0 to 1 by its own smallest and largest
 * element, 1 everywhere where these are equal; a token is kept where the largest of the used tags'
 * maps is above tau. With tau 0 every token of an image with a used tag is kept. An image without one
 * keeps none whatever tau is. Elements of a map that are no finite numbers take no part in it, and
 * their tag does not keep them; a logit that is NaN predicts nothing.
 *
 * The maps are never normalised in memory, and those of other tags are not even read. Comparisons are
 * such that every adapter and the reference keep the same tokens, except in variant `naive`, which
 * rounds a quotient. Bit-equal from run to run.
 *
 * Source: Li et al., "TagOOD: A Novel Approach to Out-of-Distribution Detection via Vision-Language
 * Representations and Class Center Learning", 2024, section 3.3.
 *
 * @param ctx Where it runs.
 * @param inputs Attention, logits, the in-distribution tags and their thresholds.
 * @param options The threshold on the attention, what happens without a predicted tag, and a forced
 * variant.
 * @returns The mask, its counts, and what is known of the tags.
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When `tags` or `only` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When tau is not from 0 to 1, or the forced variant does not exist or does not
 * take such lengths.
 *
 * @example A tag that looks at the second of three tokens
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { objectMask } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const attention = host.upload(new Float32Array([0.1, 0.7, 0.2, 0.4, 0.3, 0.3]), [1, 2, 3]);
 * const tagLogits = host.upload(new Float32Array([2, -1]), [1, 2]);
 * const tags = host.upload(new Int32Array([0, 1]), [2]);
 * const thresholds = host.upload(new Float32Array([0, 0]), [2]);
 * const inputs = { attention, tagLogits, tags, thresholds };
 * const { keep, counts, tagged } = objectMask(host, inputs, { tau: 0.5 });
 * assertEquals([...keep.data], [0, 1, 0]);
 * assertEquals([counts.data[0], tagged.data[0]], [1, 1]);
 * ```
 */
export function objectMask(
  ctx: Context,
  inputs: ObjectMaskInputs,
  options: ObjectMaskOptions,
): ObjectMask {
  const size = requireInputs(inputs);
  const { images, tokens } = size;
  const tau = scalarValue(options.tau);
  if (!(tau >= 0 && tau <= 1)) {
    throw new RangeError(`Cannot run objectMask: "tau" must be from 0 to 1: it is ${tau}`);
  }
  const made: ObjectMask = {
    keep: ctx.empty([images, tokens], "i32", { label: "kept tokens" }),
    counts: ctx.empty([images], "i32", { label: "numbers of kept tokens" }),
    tagged: ctx.empty([images], "i32", { label: "numbers of predicted tags" }),
    score: ctx.empty([images], "f32", { label: "probabilities of the likeliest tags" }),
  };
  if (isGpu(ctx)) {
    onGpu(ctx, { ...inputs, ...made }, { ...options, ...size });
    return made;
  }
  const found = objectMaskReference(
    {
      attention: hostFloats(inputs.attention),
      tagLogits: hostFloats(inputs.tagLogits),
      tags: inputs.tags.data as Int32Array,
      thresholds: hostFloats(inputs.thresholds),
      only: inputs.only?.data as Int32Array | undefined,
    },
    size,
    { tau, fallback: options.fallback ?? false },
  );
  made.keep.data.set(found.keep);
  made.counts.data.set(found.counts);
  made.tagged.data.set(found.tagged);
  made.score.data.set(found.score);
  return made;
}

function requireInputs(inputs: ObjectMaskInputs): ObjectMaskSize {
  const kernel = "objectMask";
  const { attention, tagLogits, tags, thresholds, only } = inputs;
  const [images, outputs] = requireMatrix(tagLogits, { kernel, name: "tagLogits" });
  requireDType(attention, "f32", { kernel, name: "attention" });
  const { shape } = attention;
  const byHead = shape.length === 4;
  if (
    !(byHead || shape.length === 3) || shape[0] !== images || shape.at(-2) !== outputs ||
    (byHead && shape[1] === 0)
  ) {
    throw new ShapeError(kernel, "attention", {
      expected:
        `[${images}, ${outputs}, T] or [${images}, H, ${outputs}, T] with at least one head`,
      actual: shape,
    });
  }
  requireDType(tags, "i32", { kernel, name: "tags" });
  const [count] = requireShape(tags, ["V"], { kernel, name: "tags" });
  requireVector(thresholds, { kernel, name: "thresholds", length: count! });
  if (only !== undefined) {
    requireDType(only, "i32", { kernel, name: "only" });
    requireShape(only, [images], { kernel, name: "only" });
  }
  return { images, heads: byHead ? shape[1]! : 1, outputs, tokens: shape.at(-1)! };
}

type Tensors = ObjectMaskInputs & ObjectMask;
type Call = ObjectMaskOptions & ObjectMaskSize;

function onGpu(ctx: GpuContext, tensors: Tensors, call: Call): void {
  const plan = planObjectMask({ ...call, tags: tensors.tags.size }, {
    software: ctx.gpu.adapter.isSoftware,
    variant: call.variant ?? ctx.gpu.variants["objectMask"],
    lanes: call.lanes,
  });
  if (call.images === 0) return;
  using scope = ctx.scope();
  if (plan.variant === "naive") naive(scope, tensors, call);
  else fused(scope, tensors, { ...call, plan });
}

function switches(
  { only }: Tensors,
  { fallback }: Call,
): { readonly HAS_ONLY: number; readonly FALLBACK: number } {
  return { HAS_ONLY: only === undefined ? 0 : 1, FALLBACK: fallback === true ? 1 : 0 };
}

function fused(
  ctx: GpuContext,
  tensors: Tensors,
  call: Call & { readonly plan: Exclude<ObjectMaskPlan, { variant: "naive" }> },
): void {
  const { attention, tagLogits, tags, thresholds, only, keep, counts, tagged, score } = tensors;
  const { images, heads, outputs, tokens, tau, plan } = call;
  const count = tags.size;
  const words = Math.ceil(count / WORD);
  const { isSoftware } = ctx.gpu.adapter;
  const several = isSoftware ? SOFTWARE_IMAGES : GPU_IMAGES;
  const workgroup = isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP;
  const parts = ctx.empty([images, words, 4], "u32", { label: "predicted tags" });
  const { HAS_ONLY, FALLBACK } = switches(tensors, call);
  ctx.dispatch(TAGS({ IMAGES: several }), {
    buffers: [tagLogits, tags, tags, thresholds, thresholds, parts],
    params: { images, outputs, count, words },
    workgroups: gridFor(Math.ceil(images / several) * words, workgroup),
    overrides: { WORKGROUP: workgroup, FALLBACK },
  });
  const serial = plan.variant === "serial";
  const spec = serial ? { CHUNK: plan.chunk, CHUNKS: plan.chunks } : { ROUNDS: plan.rounds };
  ctx.dispatch((serial ? SERIAL : TREE)({ ...spec, ADD_HEADS: heads === 1 ? 0 : 1 }), {
    buffers: [attention, tags, parts, only ?? tags, keep, counts, tagged, score],
    params: { images, heads, outputs, tokens, count, words, tau },
    workgroups: gridFor(images, serial ? workgroup : 1),
    overrides: {
      HAS_ONLY,
      FALLBACK,
      ...(serial ? { WORKGROUP: workgroup } : { LANES: plan.lanes }),
    },
  });
}

function naive(ctx: GpuContext, tensors: Tensors, call: Call): void {
  const { attention, tagLogits, tags, thresholds, only, keep, counts, tagged, score } = tensors;
  const { images, heads, outputs, tokens, tau } = call;
  const count = tags.size;
  const used = ctx.empty([images, count], "i32", { label: "used tags" });
  const maps = ctx.empty([images, count, tokens], "f32", { label: "normalised attention" });
  ctx.dispatch(NAIVE_TAGS, {
    buffers: [tagLogits, tags, thresholds, only ?? tags, used, tagged, score],
    params: { images, outputs, count },
    workgroups: gridFor(images, NAIVE_WORKGROUP),
    overrides: switches(tensors, call),
  });
  ctx.dispatch(NAIVE_MAPS, {
    buffers: [attention, tags, maps],
    params: { images, heads, outputs, tokens, count },
    workgroups: gridFor(images * count, NAIVE_WORKGROUP),
  });
  ctx.dispatch(NAIVE_KEEP, {
    buffers: [maps, used, keep],
    params: { images, tokens, count, tau },
    workgroups: gridFor(images * tokens, NAIVE_WORKGROUP),
  });
  ctx.dispatch(NAIVE_COUNTS, {
    buffers: [keep, counts],
    params: { images, tokens },
    workgroups: gridFor(images, NAIVE_WORKGROUP),
  });
}

/** Lengths of a mask, for {@linkcode objectMaskFlops} and {@linkcode objectMaskBytes}. */
export interface ObjectMaskShape {
  /** Images, N. */
  readonly images: number;
  /** In-distribution tags, V. */
  readonly tags: number;
  /** Used tags of all images together. */
  readonly used: number;
  /** Tokens of an image, T. */
  readonly tokens: number;
  /** Attention heads, 1 by default. */
  readonly heads?: number;
}

/**
 * Floating-point operations of {@linkcode objectMask}: a comparison per logit; a sum over heads, two
 * bounds, a difference and a comparison per element of a used map.
 *
 * @param shape Its lengths.
 * @returns N V + U T (H + 3) of U used tags.
 *
 * @example Two images with one tag each
 * ```ts
 * import { objectMaskFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(objectMaskFlops({ images: 2, tags: 3, used: 2, tokens: 5 }), 46);
 * ```
 */
export function objectMaskFlops(shape: ObjectMaskShape): number {
  const { images, tags, used, tokens, heads = 1 } = shape;
  return images * tags + used * tokens * (heads + 3);
}

/**
 * Bytes that {@linkcode objectMask} must move at least: the logits of the in-distribution tags and the
 * maps of the used ones read once, the mask and three numbers per image written.
 *
 * @param shape Its lengths.
 * @returns 4 (N V + 2 V + U H T + N T + 3 N) of U used tags.
 *
 * @example Two images with one tag each
 * ```ts
 * import { objectMaskBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(objectMaskBytes({ images: 2, tags: 3, used: 2, tokens: 5 }), 152);
 * ```
 */
export function objectMaskBytes(shape: ObjectMaskShape): number {
  const { images, tags, used, tokens, heads = 1 } = shape;
  return 4 * (images * tags + 2 * tags + used * heads * tokens + images * tokens + 3 * images);
}
