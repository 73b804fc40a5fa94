/**
 * Matrix products: all transposes, bias, and stacks of matrices.
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { matmul } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = host.upload(new Float32Array([1, 2, 3, 4]), [2, 2]);
 * const b = host.upload(new Float32Array([1, 0, 0, 2]), [2, 2]);
 * const [c] = await host.read(matmul(host, { a, b }));
 * assertEquals([...c!], [1, 4, 3, 8]);
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
import {
  BLOCK_TILES,
  blockColumns,
  blockRows,
  type BlockTile,
  blockTile,
  type ProductOptions,
  productVariant,
  REGISTER_LANES,
  type RegisterSide,
  registerSide,
  registerTile,
  SMALL_WORK,
} from "../_products.ts";
import { unrolled } from "../_unroll.ts";
import {
  panelProduct,
  panelsFit,
  type PanelSize,
  panelsOf,
  panelsPay,
  panelsShape,
} from "./_panels.ts";
import { matmulReference, type ProductSize } from "./reference.ts";
import naiveSource from "./matmul_naive.wgsl" with { type: "text" };
import registerSource from "./matmul_register.wgsl" with { type: "text" };
import tiledSource from "./matmul_tiled.wgsl" with { type: "text" };

export {
  type BlockName,
  PRODUCT_VARIANTS,
  type ProductOptions,
  type ProductVariant,
  productVariant,
  type RegisterSide,
} from "../_products.ts";

const NAIVE: Kernel = {
  name: "matmul_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read", "read_write"],
  params: {
    batches: "u32",
    m: "u32",
    n: "u32",
    k_begin: "u32",
    k_end: "u32",
    accumulate: "u32",
    a_batch: "u32",
    a_row: "u32",
    a_k: "u32",
    b_batch: "u32",
    b_column: "u32",
    b_k: "u32",
    has_bias: "u32",
  },
};

const TILE_PARAMS = {
  m: "u32",
  n: "u32",
  quads: "u32",
  quad_begin: "u32",
  quad_end: "u32",
  row_tiles: "u32",
  column_tiles: "u32",
  tiles: "u32",
  a_batch: "u32",
  b_batch: "u32",
  has_bias: "u32",
} as const;

const registerKernel = /* @__PURE__ */ unrolled({
  name: "matmul_register",
  wgsl: registerSource,
  bindings: ["read", "read", "read", "read_write"],
  params: TILE_PARAMS,
});

const tiledKernel = /* @__PURE__ */ unrolled({
  name: "matmul_tiled",
  wgsl: tiledSource,
  bindings: ["read", "read", "read", "read_write"],
  params: TILE_PARAMS,
});

/** What {@linkcode matmul} multiplies. */
export interface MatmulInputs {
  /** f32 [M, K] or [B, M, K]; [K, M] or [B, K, M] with `transposeA`. */
  readonly a: Tensor;
  /** f32 [K, N] or [B, K, N]; [N, K] or [B, N, K] with `transposeB`. */
  readonly b: Tensor;
  /** f32 [N], added to every row. */
  readonly bias?: Tensor;
}

/** Options of {@linkcode matmul}. */
export interface MatmulOptions extends ProductOptions, OutOption {
  /** `a` holds its transpose. */
  readonly transposeA?: boolean;
  /** `b` holds its transpose. */
  readonly transposeB?: boolean;
  /**
   * Whether the `register` variant copies its operands into panels for a larger tile, where lengths
   * are multiples of 4; by default for products so large that it pays, unless `side` is forced.
   */
  readonly panels?: boolean;
  /** Panels of `b` from {@linkcode matmulPanels}, so that it is not copied again. */
  readonly panelsOfB?: Tensor | undefined;
}

/** Lengths of a matrix product, for {@linkcode matmulFlops} and {@linkcode matmulBytes}. */
export interface MatmulShape {
  /** Number of products, 1 by default. */
  readonly batches?: number;
  /** Rows. */
  readonly m: number;
  /** Columns. */
  readonly n: number;
  /** Length of the axis that is summed over. */
  readonly k: number;
}

/**
 * Floating-point operations of a matrix product.
 *
 * @param shape Its lengths.
 * @returns 2 B M N K.
 *
 * @example A small product
 * ```ts
 * import { matmulFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(matmulFlops({ m: 2, n: 3, k: 4 }), 48);
 * ```
 */
export function matmulFlops(shape: MatmulShape): number {
  return 2 * (shape.batches ?? 1) * shape.m * shape.n * shape.k;
}

/**
 * Bytes that a matrix product must move at least: each operand read once, the result written once.
 *
 * @param shape Its lengths.
 * @returns 4 B (M K + K N + M N).
 *
 * @example A small product
 * ```ts
 * import { matmulBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(matmulBytes({ m: 2, n: 3, k: 4 }), 104);
 * ```
 */
export function matmulBytes(shape: MatmulShape): number {
  const { batches = 1, m, n, k } = shape;
  return 4 * batches * (m * k + k * n + m * n);
}

/**
 * The product of two matrices, or of two stacks of matrices, plus a bias.
 *
 * A matrix beside a stack is shared by all products. Sums are taken in f32, in the order of k, by
 * every variant; the result is the same for every tile size, and bit-equal from run to run. On the
 * GPU an operand that is not contiguous along k, or whose K is no multiple of 4, is copied once.
 *
 * @param ctx Where to run.
 * @param inputs The operands.
 * @param options Transposes, where the result goes, and a forced variant.
 * @returns f32 [M, N], or [B, M, N] when an operand is a stack.
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {DTypeError} When an operand does not hold f32.
 * @throws {RangeError} When a forced variant does not exist.
 *
 * @example A linear layer: features times transposed weights plus bias
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { matmul } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = host.upload(new Float32Array([1, 2]), [1, 2]);
 * const b = host.upload(new Float32Array([3, 4, 5, 6]), [2, 2]);
 * const bias = host.upload(new Float32Array([10, 20]), [2]);
 * const [logits] = await host.read(matmul(host, { a, b, bias }, { transposeB: true }));
 * assertEquals([...logits!], [21, 37]);
 * ```
 */
export function matmul(ctx: Context, inputs: MatmulInputs, options: MatmulOptions = {}): Tensor {
  const plan = planOf(inputs, options);
  const c = outputTensor(ctx, plan.shape, { kernel: "matmul", out: options.out });
  if (isGpu(ctx)) onGpu(ctx, { ...inputs, c }, { ...options, plan });
  else onHost({ ...inputs, c }, plan);
  return c;
}

/**
 * Copies the second operand of {@linkcode matmul} into panels, for products that will share it: a
 * matrix that does not learn, say. The copy is not made anew when the matrix changes.
 *
 * @param ctx Owner of the copy.
 * @param inputs The operand, f32 [K, N]; [N, K] with `transposeB`.
 * @param options Rows of the products, M, and whether `b` holds its transpose.
 * @returns The panels, for the option `panelsOfB`; undefined where products of that size do without.
 * @throws {ShapeError} When `b` is no matrix.
 * @throws {DTypeError} When it does not hold f32.
 * @throws {RangeError} When a forced variant does not exist.
 *
 * @example Small products do without
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { matmulPanels } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const b = host.upload(new Float32Array(6), [2, 3]);
 * assertEquals(matmulPanels(host, { b }, { rows: 4 }), undefined);
 * ```
 */
export function matmulPanels(
  ctx: Context,
  { b }: Pick<MatmulInputs, "b">,
  options: { readonly rows: number; readonly transposeB?: boolean } & ProductOptions,
): Tensor | undefined {
  const { rows: m, transposeB = false } = options;
  const [rows, columns] = requireMatrix(b, { kernel: "matmulPanels", name: "b" });
  const [n, k] = transposeB ? [rows, columns] : [columns, rows];
  if (!isGpu(ctx) || productVariant(ctx, "matmul", options) !== "register") return undefined;
  if (!inPanels({ batches: 1, m, n, k }, options)) return undefined;
  return panelsOf(ctx, { tensor: b, count: 1, transposed: !transposeB }, { rows: n, k });
}

/** Lengths and strides of one call. */
interface Plan extends ProductSize {
  readonly shape: readonly number[];
  readonly a: Strides;
  readonly b: Strides;
}

interface Strides {
  /** Matrices in the stack. */
  readonly count: number;
  /** Elements between matrices, 0 for a single one. */
  readonly batch: number;
  readonly outer: number;
  readonly inner: number;
}

function planOf(inputs: MatmulInputs, options: MatmulOptions): Plan {
  const { transposeA = false, transposeB = false } = options;
  const a = stackOf(inputs.a, "a");
  const b = stackOf(inputs.b, "b");
  const [m, k] = transposeA ? [a.columns, a.rows] : [a.rows, a.columns];
  const [n, kOfB] = transposeB ? [b.rows, b.columns] : [b.columns, b.rows];
  const bothStacks = a.stacked && b.stacked;
  if (k !== kOfB || (bothStacks && a.count !== b.count)) {
    const [first, second] = transposeB ? ["N", `${k}`] : [`${k}`, "N"];
    const stack = b.stacked ? [`${bothStacks ? a.count : "B"}`] : [];
    throw new ShapeError("matmul", "b", {
      expected: `[${[...stack, first, second].join(", ")}]`,
      actual: inputs.b.shape,
    });
  }
  if (inputs.bias !== undefined) {
    requireVector(inputs.bias, { kernel: "matmul", name: "bias", length: n });
  }
  const stacked = a.stacked || b.stacked;
  const batches = a.stacked ? a.count : b.count;
  const strides = { a: stridesOf(a, transposeA), b: stridesOf(b, !transposeB) };
  const plan = { batches, m, n, k, shape: stacked ? [batches, m, n] : [m, n], ...strides };
  // A stack times one shared matrix is one taller product, unless the stack's rows are its columns.
  if (!b.stacked && a.stacked && !transposeA) {
    return { ...plan, batches: 1, m: batches * m, a: { ...plan.a, count: 1, batch: 0 } };
  }
  return plan;
}

interface Stack {
  readonly stacked: boolean;
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
}

function stackOf(tensor: Tensor, name: string): Stack {
  requireDType(tensor, "f32", { kernel: "matmul", name });
  const { shape } = tensor;
  if (shape.length !== 2 && shape.length !== 3) {
    throw new ShapeError("matmul", name, {
      expected: "[rows, columns] or [batches, rows, columns]",
      actual: shape,
    });
  }
  const stacked = shape.length === 3;
  const [count, rows, columns] = stacked ? shape : [1, ...shape];
  return { stacked, count: count!, rows: rows!, columns: columns! };
}

/** `flipped` when the axis that is summed over comes first. */
function stridesOf(stack: Stack, flipped: boolean): Strides {
  return {
    count: stack.count,
    batch: stack.stacked ? stack.rows * stack.columns : 0,
    outer: flipped ? 1 : stack.columns,
    inner: flipped ? stack.columns : 1,
  };
}

function onHost(tensors: MatmulInputs & { readonly c: Tensor }, plan: Plan): void {
  const { a, b, bias, c } = tensors;
  matmulReference(
    {
      a: { data: hostFloats(a), ...plan.a },
      b: { data: hostFloats(b), ...plan.b },
      ...(bias === undefined ? {} : { bias: hostFloats(bias) }),
    },
    hostFloats(c),
    plan,
  );
}

function onGpu(
  ctx: GpuContext,
  inputs: MatmulInputs & { readonly c: Tensor },
  options: MatmulOptions & { readonly plan: Plan },
): void {
  const { plan } = options;
  const { c } = inputs;
  const { batches, m, n } = plan;
  const variant = productVariant(ctx, "matmul", options);
  if (c.size === 0) return;
  if (variant === "naive") {
    runNaive(ctx, inputs, { c, plan });
    return;
  }
  const { transposeA = false, transposeB = false } = options;
  const { k } = plan;
  if (variant === "register" && inPanels(plan, options)) {
    panelProduct(ctx, {
      ...plan,
      a: { tensor: inputs.a, count: plan.a.count, transposed: transposeA },
      b: {
        tensor: inputs.b,
        count: plan.b.count,
        transposed: !transposeB,
        panels: givenPanels(options.panelsOfB, { count: plan.b.count, rows: n, k }),
      },
      bias: inputs.bias,
      c,
      chunks: chunksOf(k, CHUNK),
    });
    return;
  }
  using scope = ctx.scope();
  const quads = quadsOf(k);
  const a = packed(scope, inputs.a, { batches: plan.a.count, rows: m, k, transposed: transposeA });
  const b = packed(scope, inputs.b, { batches: plan.b.count, rows: n, k, transposed: !transposeB });
  const size = { rows: m, columns: n, batches };
  const tile = variant === "register"
    ? registerPlan(size, registerSide(matmulFlops(plan), options))
    : tiledPlan(
      size,
      options.block === undefined
        ? blockTile(size, ctx.gpu.device.limits)
        : BLOCK_TILES[options.block],
    );
  const tiles = batches * tile.rowTiles * tile.columnTiles;
  for (const [begin, end] of chunksOf(quads, CHUNK / 4)) {
    ctx.dispatch(tile.kernel(begin === 0 ? 0 : 1), {
      buffers: [a, b, inputs.bias ?? a, c],
      params: {
        m,
        n,
        quads,
        quad_begin: begin,
        quad_end: end,
        row_tiles: tile.rowTiles,
        column_tiles: tile.columnTiles,
        tiles,
        a_batch: plan.a.batch === 0 ? 0 : m * quads,
        b_batch: plan.b.batch === 0 ? 0 : n * quads,
        has_bias: inputs.bias === undefined || begin > 0 ? 0 : 1,
      },
      workgroups: gridFor(tiles, tile.perWorkgroup),
    });
  }
}

function givenPanels(
  panels: Tensor | undefined,
  size: { readonly count: number; readonly rows: number; readonly k: number },
): Tensor | undefined {
  if (panels === undefined) return undefined;
  requireDType(panels, "f32", { kernel: "matmul", name: "panelsOfB" });
  requireShape(panels, panelsShape(size), { kernel: "matmul", name: "panelsOfB" });
  return panels;
}

function inPanels(plan: PanelSize, options: MatmulOptions): boolean {
  const { transposeA = false, transposeB = false, panels, side } = options;
  const fit = plan.k > 0 && panelsFit(plan, { a: transposeA, b: !transposeB });
  const pays = side === undefined && matmulFlops(plan) >= SMALL_WORK && panelsPay(plan);
  return fit && (panels ?? pays);
}

/** Length of k that one dispatch takes, so that no kernel's loops pass `LOOP_TURNS`. */
const CHUNK = 32_768;

/** Ranges that cover a length; one empty range for an empty length. */
function chunksOf(length: number, chunk: number): [begin: number, end: number][] {
  const count = Math.max(1, Math.ceil(length / chunk));
  return Array.from({ length: count }, (_, i) => [i * chunk, Math.min(length, (i + 1) * chunk)]);
}

interface TilePlan {
  /** The kernel that writes c (0) or adds to it (1). */
  readonly kernel: (accumulate: number) => Kernel;
  readonly rowTiles: number;
  readonly columnTiles: number;
  readonly perWorkgroup: number;
}

function registerPlan(
  size: { rows: number; columns: number; batches: number },
  side: RegisterSide,
): TilePlan {
  const tile = registerTile(size, side);
  return {
    kernel: (accumulate) =>
      registerKernel({ TM: tile.rows, TN: tile.columns, ACCUMULATE: accumulate }),
    rowTiles: Math.ceil(size.rows / tile.rows),
    columnTiles: Math.ceil(size.columns / tile.columns),
    perWorkgroup: REGISTER_LANES,
  };
}

function tiledPlan(size: { rows: number; columns: number }, tile: BlockTile): TilePlan {
  return {
    kernel: (accumulate) => tiledKernel({ ...tile, ACCUMULATE: accumulate }),
    rowTiles: Math.ceil(size.rows / blockRows(tile)),
    columnTiles: Math.ceil(size.columns / blockColumns(tile)),
    perWorkgroup: 1,
  };
}

function runNaive(
  ctx: GpuContext,
  inputs: MatmulInputs,
  target: { readonly c: Tensor; readonly plan: Plan },
): void {
  const { c, plan } = target;
  const { batches, m, n, k } = plan;
  for (const [begin, end] of chunksOf(k, CHUNK)) {
    ctx.dispatch(NAIVE, {
      buffers: [inputs.a, inputs.b, inputs.bias ?? inputs.a, c],
      params: {
        batches,
        m,
        n,
        k_begin: begin,
        k_end: end,
        accumulate: begin === 0 ? 0 : 1,
        a_batch: plan.a.batch,
        a_row: plan.a.outer,
        a_k: plan.a.inner,
        b_batch: plan.b.batch,
        b_column: plan.b.outer,
        b_k: plan.b.inner,
        has_bias: inputs.bias === undefined || begin > 0 ? 0 : 1,
      },
      workgroups: gridFor(batches * m * n, 64),
    });
  }
}
