/**
 * Distances to the k nearest rows of a bank, exact, for banks of any size: chunk by chunk, each
 * chunk merged into the best so far.
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { kNearest } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const queries = host.upload(new Float32Array([0]), [1, 1]);
 * const first = host.upload(new Float32Array([5, 3]), [2, 1]);
 * const second = host.upload(new Float32Array([1, 9]), [2, 1]);
 * let best = kNearest(host, { queries, bank: first }, { k: 2 });
 * best = kNearest(host, { queries, bank: second, best }, { k: 2 });
 * assertEquals(await host.read(best), [new Float32Array([1, 9])]);
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
import { hostFloats, requireMatrix } from "../_arguments.ts";
import { packed, quadsOf } from "../_pack.ts";
import {
  type ProductOptions,
  type ProductVariant,
  productVariant,
  REGISTER_LANES,
  registerSide,
} from "../_products.ts";
import { requireRowProductLength } from "../_row_product.ts";
import { unrolled } from "../_unroll.ts";
import { type BlockPlan, GROUP, MAX_NEIGHBOURS, planBlocks } from "./_plan.ts";
import { kNearestReference, type NeighbourSize } from "./reference.ts";
import insertSource from "./k_nearest_insert.wgsl" with { type: "text" };
import naiveSource from "./k_nearest_naive.wgsl" with { type: "text" };
import registerSource from "./k_nearest_register.wgsl" with { type: "text" };
import selectSource from "./k_nearest_select.wgsl" with { type: "text" };
import tiledSource from "./k_nearest_tiled.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "k_nearest_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write"],
  params: { rows: "u32", row_begin: "u32", columns: "u32", bank_begin: "u32", k: "u32" },
};

const INSERT: Kernel = {
  name: "k_nearest_insert",
  wgsl: insertSource,
  bindings: ["read", "read", "read_write"],
  params: { rows: "u32", row_begin: "u32", columns: "u32", k: "u32", source: "u32" },
};

const TILE_KERNEL: Omit<Kernel, "name" | "wgsl"> = {
  bindings: ["read", "read", "read_write", "read_write"],
  params: {
    rows: "u32",
    row_begin: "u32",
    columns: "u32",
    bank_begin: "u32",
    quads: "u32",
    groups: "u32",
    row_tiles: "u32",
  },
};

const registerKernel = /* @__PURE__ */ unrolled({
  ...TILE_KERNEL,
  name: "k_nearest_register",
  wgsl: registerSource,
});

const tiledKernel = /* @__PURE__ */ unrolled({
  ...TILE_KERNEL,
  name: "k_nearest_tiled",
  wgsl: tiledSource,
});

const SELECT: Kernel = {
  name: "k_nearest_select",
  wgsl: selectSource,
  bindings: ["read", "read", "read", "read_write"],
  params: {
    rows: "u32",
    row_begin: "u32",
    groups: "u32",
    k: "u32",
    source: "u32",
    sort: "u32",
  },
};

/** What {@linkcode kNearest} compares. */
export interface KNearestInputs {
  /** f32 [N, C]. */
  readonly queries: Tensor;
  /** f32 [M, C]: the bank, or a chunk of it. */
  readonly bank: Tensor;
  /** f32 [N, k]: the result for earlier chunks, ascending. */
  readonly best?: Tensor;
}

/** Options of {@linkcode kNearest}. */
export interface KNearestOptions extends ProductOptions {
  /** How many neighbours, 1 to 1024. */
  readonly k: number;
}

/** Lengths of a search, for {@linkcode kNearestFlops} and {@linkcode kNearestBytes}. */
export interface KNearestShape {
  /** Queries, N. */
  readonly rows: number;
  /** Rows of the bank, M. */
  readonly bankRows: number;
  /** Channels, C. */
  readonly channels: number;
  /** Neighbours. */
  readonly k: number;
}

/**
 * Floating-point operations of the distances that {@linkcode kNearest} computes.
 *
 * @param shape Its lengths.
 * @returns 3 N M C: a difference, a product and a sum each.
 *
 * @example A small search
 * ```ts
 * import { kNearestFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(kNearestFlops({ rows: 2, bankRows: 3, channels: 4, k: 1 }), 72);
 * ```
 */
export function kNearestFlops(shape: KNearestShape): number {
  return 3 * shape.rows * shape.bankRows * shape.channels;
}

/**
 * Bytes that {@linkcode kNearest} must move at least: operands read once, the result written.
 *
 * @param shape Its lengths.
 * @returns 4 (N C + M C + N k).
 *
 * @example A small search
 * ```ts
 * import { kNearestBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(kNearestBytes({ rows: 2, bankRows: 3, channels: 4, k: 1 }), 88);
 * ```
 */
export function kNearestBytes(shape: KNearestShape): number {
  const { rows, bankRows, channels, k } = shape;
  return 4 * (rows * channels + bankRows * channels + rows * k);
}

/**
 * The k smallest squared Euclidean distances of each query to the rows of a bank, ascending.
 *
 * Exact: distances are sums of squared differences in f32, nothing cancels and none is skipped.
 * Where bank and `best` together have fewer than k rows, the rest is 3.4028235e38, which is also
 * the distance of rows that f32 cannot tell. Bit-equal from run to run, and however the bank is
 * cut into chunks. Besides the result, up to 64 MiB (software adapter) or 256 MiB of scratch are
 * held while it runs.
 *
 * @param ctx Where to run.
 * @param inputs Queries, a chunk of the bank, and the result for the chunks before.
 * @param options k, and a forced variant.
 * @returns f32 [N, k].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When k is no whole number from 1 to 1024, or a forced variant does not
 * exist.
 *
 * @example The nearest two of three
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { kNearest } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const queries = host.upload(new Float32Array([0, 0]), [1, 2]);
 * const bank = host.upload(new Float32Array([3, 4, 1, 0, 0, 2]), [3, 2]);
 * const [squared] = await host.read(kNearest(host, { queries, bank }, { k: 2 }));
 * assertEquals([...squared!], [1, 4]);
 * ```
 */
export function kNearest(ctx: Context, inputs: KNearestInputs, options: KNearestOptions): Tensor {
  const kernel = "kNearest";
  const { k } = options;
  if (!Number.isInteger(k) || k < 1 || k > MAX_NEIGHBOURS) {
    throw new RangeError(
      `Cannot run ${kernel}: k must be a whole number from 1 to ${MAX_NEIGHBOURS}: it is ${k}`,
    );
  }
  const [rows, channels] = requireMatrix(inputs.queries, { kernel, name: "queries" });
  const [bankRows] = requireMatrix(inputs.bank, { kernel, name: "bank", columns: channels });
  if (inputs.best !== undefined) {
    requireMatrix(inputs.best, { kernel, name: "best", rows, columns: k });
  }
  const size = { rows, bankRows, channels, k };
  if (isGpu(ctx)) return onGpu(ctx, inputs, { ...options, ...size });
  const nearest = kNearestReference({
    queries: hostFloats(inputs.queries),
    bank: hostFloats(inputs.bank),
    ...(inputs.best === undefined ? {} : { best: hostFloats(inputs.best) }),
  }, size);
  return ctx.upload(nearest, [rows, k], { label: kernel });
}

type Call = KNearestOptions & NeighbourSize;

const MIB = 1 << 20;

function onGpu(ctx: GpuContext, inputs: KNearestInputs, call: Call): Tensor {
  const { rows, bankRows, channels, k } = call;
  requireRowProductLength("kNearest", channels);
  const variant = productVariant(ctx, "kNearest", call);
  const nearest = ctx.empty([rows, k], "f32", { label: "kNearest" });
  if (rows === 0) return nearest;
  const { isSoftware } = ctx.gpu.adapter;
  const { maxStorageBufferBindingSize } = ctx.gpu.device.limits;
  const bytes = Math.min(isSoftware ? 64 * MIB : 256 * MIB, maxStorageBufferBindingSize);
  const blocks = planBlocks({ rows, k, bytes }, { isSoftware, naive: variant === "naive" });
  const first = inputs.best === undefined ? 0 : 1;
  using scope = ctx.scope();
  const merge = variant === "naive"
    ? naiveMerge(scope, inputs, { ...call, blocks, nearest })
    : fusedMerge(scope, inputs, { ...call, blocks, nearest, variant, channels });
  for (let bank = 0; bank === 0 || bank < bankRows; bank += blocks.columns) {
    const columns = Math.min(blocks.columns, bankRows - bank);
    for (let row = 0; row < rows; row += blocks.rows) {
      const source = bank === 0 ? first : 2;
      const last = bank + columns === bankRows;
      merge({ row, rows: Math.min(blocks.rows, rows - row), bank, columns, source, last });
    }
  }
  return nearest;
}

/** A block of queries and of bank rows, and where the smallest distances so far are. */
interface Block {
  readonly row: number;
  readonly rows: number;
  readonly bank: number;
  readonly columns: number;
  readonly source: number;
  /** Whether no block of bank rows follows. */
  readonly last: boolean;
}

type Target = Call & { readonly blocks: BlockPlan; readonly nearest: Tensor };

function naiveMerge(
  ctx: GpuContext,
  inputs: KNearestInputs,
  call: Target,
): (block: Block) => void {
  const { blocks, nearest, channels, k } = call;
  const { queries, bank, best = queries } = inputs;
  const distances = ctx.empty([blocks.rows, blocks.columns], "f32", { label: "distances" });
  return (block) => {
    const { rows, columns, source } = block;
    const row = { rows, "row_begin": block.row, columns };
    ctx.dispatch(NAIVE, {
      buffers: [queries, bank, distances],
      params: { ...row, bank_begin: block.bank, k: channels },
      workgroups: gridFor(rows * columns, 64),
    });
    ctx.dispatch(INSERT, {
      buffers: [distances, best, nearest],
      params: { ...row, k, source },
      workgroups: gridFor(rows, 64),
    });
  };
}

function fusedMerge(
  ctx: GpuContext,
  inputs: KNearestInputs,
  call: Target & { readonly variant: Exclude<ProductVariant, "naive"> },
): (block: Block) => void {
  const { blocks, nearest, channels, k, variant } = call;
  const x = packed(ctx, inputs.queries, { rows: call.rows, k: channels });
  const y = packed(ctx, inputs.bank, { rows: call.bankRows, k: channels });
  const best = inputs.best ?? x;
  const groupsOf = (columns: number) => Math.ceil(columns / GROUP);
  const most = groupsOf(blocks.columns);
  const distances = ctx.empty([most, blocks.rows, GROUP], "f32", { label: "distances" });
  const minima = ctx.empty([most, blocks.rows], "f32", { label: "minima" });
  // Half the side in both directions is a quarter of the tile; columns come in groups of 16.
  const side = registerSide(kNearestFlops(call), call);
  const tileRows = variant === "tiled" ? 64 : side === 8 || call.rows <= 4 ? 4 : 16;
  const kernel = variant === "tiled" ? tiledKernel({}) : registerKernel({ TM: tileRows });
  return (block) => {
    const { rows, columns, source, last } = block;
    const groups = groupsOf(columns);
    const rowTiles = Math.ceil(rows / tileRows);
    const row = { rows, "row_begin": block.row, groups };
    ctx.dispatch(kernel, {
      buffers: [x, y, distances, minima],
      params: {
        ...row,
        columns,
        bank_begin: block.bank,
        quads: quadsOf(channels),
        row_tiles: rowTiles,
      },
      workgroups: variant === "tiled"
        ? gridFor(rowTiles * Math.ceil(groups / 4), 1)
        : gridFor(rowTiles * groups, REGISTER_LANES),
    });
    ctx.dispatch(SELECT, {
      buffers: [distances, minima, best, nearest],
      params: { ...row, k, source, sort: last ? 1 : 0 },
      workgroups: gridFor(rows, REGISTER_LANES),
    });
  };
}
