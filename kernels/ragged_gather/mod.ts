/**
 * Packing the kept rows of images one behind the other.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { columnVariant } from "../_columns.ts";
import type { OutOption } from "../_out.ts";
import { LOOP_TURNS } from "../_products.ts";
import { requireOffsets } from "../_ragged.ts";
import { unrolled } from "../_unroll.ts";
import { type Gathered, gatherNaively } from "./_naive.ts";
import { raggedGatherReference } from "./reference.ts";
import mainSource from "./ragged_gather.wgsl" with { type: "text" };
import placesSource from "./ragged_gather_places.wgsl" with { type: "text" };

const PLACES = /* @__PURE__ */ unrolled({
  name: "ragged_gather_places",
  wgsl: placesSource,
  bindings: ["read", "read", "read_write"],
  params: { images: "u32", tokens: "u32", capacity: "u32" },
});

const MAIN = /* @__PURE__ */ unrolled({
  name: "ragged_gather",
  wgsl: mainSource,
  bindings: ["read", "read", "read", "read_write"],
  params: { rows: "u32", columns: "u32", span: "u32", spans: "u32", lists: "u32" },
});

/**
 * How rows are packed: `naive` has each row count what is kept before it; `serial` and `tree` first
 * note where each packed row comes from, `serial` with an image and then a row per invocation, `tree`
 * with an image per workgroup and then an element per invocation.
 */
export type RaggedGatherVariant = "naive" | "serial" | "tree";

/** The variants, the baseline first. */
export const RAGGED_GATHER_VARIANTS: readonly RaggedGatherVariant[] = ["naive", "serial", "tree"];

/** Images, or lanes of one image, in a workgroup that notes places. */
const SERIAL_WORKGROUP = 8;
const TREE_WORKGROUP = 64;
/** Rows, or elements, in a workgroup that copies; a software adapter loses a seventh with 8. */
const COPY_WORKGROUP = 64;
/** Elements that an invocation of the serial variant copies at most. */
const SERIAL_SPAN = 256;

/** Tensors of {@linkcode raggedGather}. */
export interface RaggedGatherInputs {
  /** Tokens of all images, f32 [N, T, E]. */
  readonly x: Tensor;
  /** 1 for tokens that are kept, else 0: i32 [N, T]. */
  readonly keep: Tensor;
  /** The prefix sums of how many tokens of each image are kept, i32 [N + 1]. */
  readonly offsets: Tensor;
}

/** Options of {@linkcode raggedGather}. */
export interface RaggedGatherOptions extends OutOption {
  /** Rows of the result; N T is always enough. */
  readonly capacity: number;
  /** Forces a variant; `serial` on software adapters and `tree` elsewhere by default. */
  readonly variant?: RaggedGatherVariant | undefined;
}

/**
 * The kept tokens of all images, packed one behind the other in their order.
 *
 * Rows behind the last one are zeros; tokens for which the capacity does not suffice are left out.
 *
 * @param ctx Where it runs.
 * @param inputs The tokens, which are kept, and where each image begins.
 * @param options Rows of the result, where it goes, and a forced variant.
 * @returns f32 [capacity, E].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When `keep` or `offsets` does not hold i32, or another tensor not f32.
 * @throws {RangeError} When the capacity is no whole number, or the forced variant does not exist or
 * does not take such lengths.
 *
 * @example The second token of one image, both of another
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { raggedGather } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4]), [2, 2, 1]);
 * const keep = host.upload(new Int32Array([0, 1, 1, 1]), [2, 2]);
 * const offsets = host.upload(new Int32Array([0, 1, 3]), [3]);
 * const packed = raggedGather(host, { x, keep, offsets }, { capacity: 4 });
 * assertEquals([...packed.data], [2, 3, 4, 0]);
 * ```
 */
export function raggedGather(
  ctx: Context,
  inputs: RaggedGatherInputs,
  options: RaggedGatherOptions,
): Tensor {
  const kernel = "raggedGather";
  const { x, keep, offsets } = inputs;
  const { capacity } = options;
  requireDType(x, "f32", { kernel, name: "x" });
  const [images, tokens, columns] = requireShape(x, ["N", "T", "E"], { kernel, name: "x" });
  requireDType(keep, "i32", { kernel, name: "keep" });
  requireShape(keep, [images!, tokens!], { kernel, name: "keep" });
  if (requireOffsets(offsets, { kernel, name: "offsets" }) !== images) {
    throw new ShapeError(kernel, "offsets", {
      expected: `[${images! + 1}]`,
      actual: offsets.shape,
    });
  }
  if (!(Number.isInteger(capacity) && capacity >= 0)) {
    throw new RangeError(
      `Cannot run ${kernel}: "capacity" must be a whole number of at least 0: it is ${capacity}`,
    );
  }
  const y = outputTensor(ctx, [capacity, columns!], { kernel, out: options.out });
  if (isGpu(ctx)) {
    const variant = columnVariant(ctx, "raggedGather", options.variant);
    const call = { images: images!, tokens: tokens!, columns: columns!, capacity };
    if (y.size === 0) return y;
    if (variant === "naive") {
      requireTurns(ctx, variant, tokens! + 2 * columns!);
      gatherNaively(ctx, { ...inputs, y });
    } else {
      gather(ctx, { ...inputs, y }, { ...call, variant });
    }
    return y;
  }
  const into = hostFloats(y).fill(0);
  raggedGatherReference(
    {
      x: hostFloats(x),
      keep: keep.data as Int32Array,
      offsets: offsets.data as Int32Array,
    },
    into,
    columns!,
  );
  return y;
}

/** Lengths of a run. */
interface Call {
  readonly images: number;
  readonly tokens: number;
  readonly columns: number;
  readonly capacity: number;
}

function gather(
  ctx: GpuContext,
  { x, keep, offsets, y }: Gathered,
  call: Call & { readonly variant: "serial" | "tree" },
): void {
  const { images, tokens, capacity, variant } = call;
  const tree = variant === "tree";
  const lanes = tree ? TREE_WORKGROUP : 1;
  const workgroup = tree ? TREE_WORKGROUP : SERIAL_WORKGROUP;
  requireTurns(ctx, variant, 2 * Math.ceil(tokens / lanes) + lanes);
  using scope = ctx.scope();
  const places = scope.empty([capacity], "u32", { label: "where packed rows come from" });
  scope.dispatch(PLACES({ LANES: lanes }), {
    buffers: [keep, offsets, places],
    params: { images, tokens, capacity },
    workgroups: gridFor(images, workgroup / lanes),
    overrides: { WORKGROUP: workgroup },
  });
  const vector = call.columns % 4 === 0;
  const columns = vector ? call.columns / 4 : call.columns;
  const spans = tree ? columns : Math.ceil(columns / SERIAL_SPAN);
  scope.dispatch(MAIN({ Elem: vector ? "vec4<f32>" : "f32" }), {
    buffers: [x, places, offsets, y],
    params: {
      rows: capacity,
      columns,
      span: Math.ceil(columns / spans),
      spans,
      lists: images,
    },
    workgroups: gridFor(capacity * spans, COPY_WORKGROUP),
    overrides: { WORKGROUP: COPY_WORKGROUP },
  });
}

function requireTurns(ctx: GpuContext, variant: RaggedGatherVariant, turns: number): void {
  if (!ctx.gpu.adapter.isSoftware || turns <= LOOP_TURNS) return;
  throw new RangeError(
    `Cannot run raggedGather: the variant "${variant}" takes at most ${LOOP_TURNS} loop turns on a ` +
      `software adapter: these lengths take ${turns}`,
  );
}

/** Lengths of {@linkcode raggedGather}, for its operations and bytes. */
export interface RaggedGatherShape {
  /** Tokens of all images together, N T. */
  readonly tokens: number;
  /** Rows that are kept. */
  readonly rows: number;
  /** Rows of the result. */
  readonly capacity: number;
  /** Width of a row, E. */
  readonly columns: number;
}

/**
 * Floating-point operations of {@linkcode raggedGather}: none, it moves rows.
 *
 * @returns Zero.
 *
 * @example Nothing to count
 * ```ts
 * import { raggedGatherFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(raggedGatherFlops(), 0);
 * ```
 */
export function raggedGatherFlops(): number {
  return 0;
}

/**
 * Bytes that {@linkcode raggedGather} must move at least: the mask read once, the kept rows read, all
 * rows of the result written.
 *
 * @param shape Its lengths.
 * @returns 4 (tokens + (rows + capacity) E).
 *
 * @example Two of five tokens
 * ```ts
 * import { raggedGatherBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(raggedGatherBytes({ tokens: 5, rows: 2, capacity: 5, columns: 4 }), 132);
 * ```
 */
export function raggedGatherBytes(shape: RaggedGatherShape): number {
  const { tokens, rows, capacity, columns } = shape;
  return 4 * (tokens + (rows + capacity) * columns);
}
