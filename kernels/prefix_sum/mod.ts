/**
 * Exclusive prefix sums of integers: from the lengths of lists to where each begins.
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
import { requireDType, requireShape } from "../_arguments.ts";
import { columnVariant } from "../_columns.ts";
import { unrolled } from "../_unroll.ts";
import { prefixSumReference } from "./reference.ts";
import blocksSource from "./prefix_sum_blocks.wgsl" with { type: "text" };
import naiveSource from "./prefix_sum_naive.wgsl" with { type: "text" };
import scanSource from "./prefix_sum.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "prefix_sum_naive",
  wgsl: naiveSource,
  bindings: ["read", "read_write"],
  params: { length: "u32", stride: "u32" },
};

const PARAMS = { length: "u32", run: "u32", blocks: "u32" } as const;

const BLOCKS = /* @__PURE__ */ unrolled({
  name: "prefix_sum_blocks",
  wgsl: blocksSource,
  bindings: ["read", "read", "read_write"],
  params: PARAMS,
});

const SCAN = /* @__PURE__ */ unrolled({
  name: "prefix_sum",
  wgsl: scanSource,
  bindings: ["read", "read", "read", "read_write"],
  params: PARAMS,
});

/**
 * How integers are summed: `naive` doubles the stride over the whole array, step by step; `serial`
 * gives a block to one invocation, `tree` to a workgroup.
 */
export type PrefixSumVariant = "naive" | "serial" | "tree";

/** The variants, the baseline first. */
export const PREFIX_SUM_VARIANTS: readonly PrefixSumVariant[] = ["naive", "serial", "tree"];

const NAIVE_WORKGROUP = 64;
const SERIAL_WORKGROUP = 8;
const TREE_WORKGROUP = 256;
/** Elements of a lane of the tree variant. */
const TREE_RUN = 4;
/** Up to so many elements one invocation is done sooner than three dispatches. */
const SERIAL_SHORT = 16_384;
/** Invocations that keep two cores busy, and the elements of one at most. */
const SERIAL_INVOCATIONS = 512;
const SERIAL_LONGEST_RUN = 65_536;

/** Options of {@linkcode prefixSum}. */
export interface PrefixSumOptions {
  /** Forces a variant; `serial` on software adapters and `tree` elsewhere by default. */
  readonly variant?: PrefixSumVariant | undefined;
}

/** What {@linkcode prefixSum} takes. */
export interface PrefixSumInputs {
  /** i32 [L]. */
  readonly x: Tensor;
}

/**
 * Exclusive prefix sums: element i is the sum of the first i integers, the last one that of all. Of
 * the lengths of lists it makes their offsets.
 *
 * i32 [L] to i32 [L + 1]. Exact as long as the sums stay below 2^31. Blocks are summed first, then
 * their sums the same way, however many levels that takes.
 *
 * @param ctx Where it runs.
 * @param inputs The integers `x`.
 * @param options A forced variant.
 * @returns The sums, i32 [L + 1].
 * @throws {DTypeError} When `x` does not hold i32.
 * @throws {ShapeError} When `x` has not one axis.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Where lists of 2, 0 and 3 begin
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { prefixSum } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Int32Array([2, 0, 3]), [3]);
 * assertEquals([...prefixSum(host, { x }).data], [0, 2, 2, 5]);
 * ```
 */
export function prefixSum(
  ctx: Context,
  { x }: PrefixSumInputs,
  options: PrefixSumOptions = {},
): Tensor {
  requireDType(x, "i32", { kernel: "prefixSum", name: "x" });
  requireShape(x, ["L"], { kernel: "prefixSum", name: "x" });
  const y = ctx.empty([x.size + 1], "i32", { label: "prefix sums" });
  if (!isGpu(ctx)) {
    y.data.set(prefixSumReference(x.data as Int32Array));
    return y;
  }
  const variant = columnVariant(ctx, "prefixSum", options.variant);
  using scope = ctx.scope();
  if (variant === "naive") byDoubling(scope, { x, y });
  else byBlocks(scope, { x, y }, variant);
  return y;
}

interface Sums {
  readonly x: Tensor;
  readonly y: Tensor;
}

function byDoubling(ctx: GpuContext, { x, y }: Sums): void {
  const length = x.size + 1;
  const steps = Math.max(1, Math.ceil(Math.log2(length)));
  const spare = ctx.empty([length], "i32", { label: "prefix sums on the way" });
  let from = x;
  for (let step = 0; step < steps; step++) {
    // The last step writes the result.
    const to = (steps - step) % 2 === 1 ? y : spare;
    ctx.dispatch(NAIVE, {
      buffers: [from, to],
      params: { length, stride: 2 ** step },
      workgroups: gridFor(length, NAIVE_WORKGROUP),
      overrides: { FIRST: step === 0 ? 1 : 0 },
    });
    from = to;
  }
}

function byBlocks(ctx: GpuContext, { x, y }: Sums, variant: "serial" | "tree"): void {
  const length = x.size;
  const tree = variant === "tree";
  const run = tree ? TREE_RUN : serialRun(length);
  const lanes = tree ? TREE_WORKGROUP : 1;
  const workgroup = tree ? TREE_WORKGROUP : SERIAL_WORKGROUP;
  const blocks = Math.max(1, Math.ceil(length / (run * lanes)));
  const common = {
    params: { length, run, blocks },
    workgroups: gridFor(blocks, workgroup / lanes),
  };
  const overrides = { WORKGROUP: workgroup };
  let before = x;
  if (blocks > 1) {
    const sums = ctx.empty([blocks], "i32", { label: "sums of blocks" });
    before = ctx.empty([blocks + 1], "i32", { label: "sums before blocks" });
    ctx.dispatch(BLOCKS({ LANES: lanes }), { buffers: [x, x, sums], ...common, overrides });
    byBlocks(ctx, { x: sums, y: before }, variant);
  }
  ctx.dispatch(SCAN({ LANES: lanes }), {
    buffers: [x, x, before, y],
    ...common,
    overrides: { ...overrides, HAS_BEFORE: blocks > 1 ? 1 : 0 },
  });
}

function serialRun(length: number): number {
  const share = length <= SERIAL_SHORT ? length : Math.ceil(length / SERIAL_INVOCATIONS);
  return Math.min(SERIAL_LONGEST_RUN, Math.max(4, Math.ceil(share / 4) * 4));
}

/**
 * Operations of {@linkcode prefixSum}, additions of integers.
 *
 * @param length Number of integers.
 * @returns As many.
 *
 * @example A thousand integers
 * ```ts
 * import { prefixSumFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(prefixSumFlops(1000), 1000);
 * ```
 */
export function prefixSumFlops(length: number): number {
  return length;
}

/**
 * Bytes that {@linkcode prefixSum} must move at least: one read of the integers, one write of the
 * sums.
 *
 * @param length Number of integers.
 * @returns 8 L + 4.
 *
 * @example A thousand integers
 * ```ts
 * import { prefixSumBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(prefixSumBytes(1000), 8004);
 * ```
 */
export function prefixSumBytes(length: number): number {
  return 8 * length + 4;
}
