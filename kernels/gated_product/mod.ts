/**
 * A linear head whose weights are masked for each row by what one class needs.
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
import {
  hostFloats,
  requireDType,
  requireMatrix,
  requireShape,
  requireVector,
} from "../_arguments.ts";
import { packed, quadsOf } from "../_pack.ts";
import { requireRowProductLength } from "../_row_product.ts";
import { unrolled } from "../_unroll.ts";
import mainSource from "./gated_product.wgsl" with { type: "text" };
import naiveSource from "./gated_product_naive.wgsl" with { type: "text" };
import { gatedProductReference, type GatedProductSize } from "./reference.ts";

export type { GatedProductSize } from "./reference.ts";

/** How the product is spread: one number per invocation, or a tile of them. */
export type GatedProductVariant = "naive" | "register";

const BINDINGS: Kernel["bindings"] = [
  ...new Array<"read">(6).fill("read"),
  "read_write",
];

const NAIVE: Kernel = {
  name: "gated_product_naive",
  wgsl: naiveSource,
  bindings: BINDINGS,
  params: { rows: "u32", classes: "u32", channels: "u32", has_bias: "u32", clip: "f32" },
};

const registerKernel = /* @__PURE__ */ unrolled({
  name: "gated_product",
  wgsl: mainSource,
  bindings: BINDINGS,
  params: {
    rows: "u32",
    classes: "u32",
    quads: "u32",
    column_tiles: "u32",
    tiles: "u32",
    has_bias: "u32",
    clip: "f32",
  },
});

const SOFTWARE_LANES = 8;
const GPU_WORKGROUP = 64;
const LARGEST = 3.4028234663852886e38;

/** Which weights a row keeps. */
export interface GateMask {
  /** f32 [G, C]: a feature takes part where this is not negative. */
  readonly gates: Tensor;
  /** f32 [G]: a weight takes part where its product with the gate exceeds this. */
  readonly bounds: Tensor;
  /** u32 [N]: which gates and bound a row takes; each below G. */
  readonly index: Tensor;
}

/** What {@linkcode gatedProduct} takes. */
export interface GatedProductInputs {
  /** f32 [N, C]. */
  readonly features: Tensor;
  /** f32 [K, C]. */
  readonly weight: Tensor;
  /** f32 [K]. */
  readonly bias?: Tensor;
  /** Which weights a row keeps; all of them without it. */
  readonly mask?: GateMask;
}

/** Options of {@linkcode gatedProduct}. */
export interface GatedProductOptions {
  /** Features above this count as this; none by default. */
  readonly clip?: number;
  /** Forces a variant; `register` by default. */
  readonly variant?: GatedProductVariant;
}

/**
 * The product of a linear head whose weights are masked for each row: `z = (W * M_i) min(a, clip) + b`
 * with `M_i[k, c] = gates[i, c] >= 0 and W[k, c] * gates[i, c] > bounds[i]`, `i = index[row]`.
 *
 * f32 [N, C] and [K, C] to f32 [N, K]. A mask is made while the product runs and never written. The
 * product `W * gate` is rounded to f32 once on every device, so that a bound taken from such products
 * leaves out the same weights everywhere. f32 sums in the order of C. Source: Ahn, Park and Kim,
 * "LINe: out-of-distribution detection by leveraging important neurons", 2023.
 *
 * @param ctx Where it runs.
 * @param inputs Features, head and mask.
 * @param options The clip, and a forced variant.
 * @returns The products, f32 [N, K].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When a tensor holds something else.
 * @throws {RangeError} When the clip is not finite, C is above 32768, or the forced variant does not
 * exist.
 *
 * @example One weight of each class
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { gatedProduct } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([5, 7]), [1, 2]);
 * const weight = host.upload(new Float32Array([1, 3, 4, 2]), [2, 2]);
 * const mask = {
 *   gates: host.upload(new Float32Array([1, 1]), [1, 2]),
 *   bounds: host.upload(new Float32Array([2]), [1]),
 *   index: host.upload(new Uint32Array(1), [1]),
 * };
 * assertEquals([...gatedProduct(host, { features, weight, mask }).data], [21, 20]);
 * ```
 */
export function gatedProduct(
  ctx: Context,
  inputs: GatedProductInputs,
  options: GatedProductOptions = {},
): Tensor {
  const kernel = "gatedProduct";
  const { features, weight, bias, mask } = inputs;
  const [rows, channels] = requireMatrix(features, { kernel, name: "features" });
  const [classes] = requireMatrix(weight, { kernel, name: "weight", columns: channels });
  if (bias !== undefined) requireVector(bias, { kernel, name: "bias", length: classes });
  if (mask !== undefined) {
    const [gates] = requireMatrix(mask.gates, { kernel, name: "gates", columns: channels });
    requireVector(mask.bounds, { kernel, name: "bounds", length: gates });
    requireDType(mask.index, "u32", { kernel, name: "index" });
    requireShape(mask.index, [rows], { kernel, name: "index" });
  }
  const clip = options.clip ?? LARGEST;
  if (!Number.isFinite(clip)) {
    throw new RangeError(`Cannot run ${kernel}: clip must be a finite number: it is ${clip}`);
  }
  const size = { rows, classes, channels };
  if (isGpu(ctx)) return onGpu(ctx, inputs, { ...options, ...size, clip });
  const z = gatedProductReference(
    {
      features: hostFloats(features),
      weight: hostFloats(weight),
      bias: bias && hostFloats(bias),
      mask: mask && {
        gates: hostFloats(mask.gates),
        bounds: hostFloats(mask.bounds),
        index: mask.index.data as Uint32Array,
      },
    },
    size,
    Math.fround(clip),
  );
  return ctx.upload(z, [rows, classes], { label: kernel });
}

type Call = GatedProductSize & { readonly clip: number; readonly variant?: GatedProductVariant };

function onGpu(ctx: GpuContext, inputs: GatedProductInputs, call: Call): Tensor {
  const kernel = "gatedProduct";
  const { rows, classes, channels, clip } = call;
  requireRowProductLength(kernel, channels);
  const { features, weight, bias, mask } = inputs;
  const variant = call.variant ?? ctx.gpu.variants[kernel] ?? "register";
  if (variant !== "naive" && variant !== "register") {
    throw new RangeError(
      `Cannot run ${kernel}: there is no variant "${variant}", expected naive or register`,
    );
  }
  const z = ctx.empty([rows, classes], "f32", { label: kernel });
  if (z.size === 0) return z;
  using scope = ctx.scope();
  const common = { rows, classes, "has_bias": bias === undefined ? 0 : 1, clip };
  const rest = [mask?.bounds ?? weight, mask?.index ?? weight, bias ?? weight, z];
  if (variant === "naive") {
    scope.dispatch(NAIVE, {
      buffers: [features, weight, mask?.gates ?? weight, ...rest],
      params: { ...common, channels },
      workgroups: gridFor(rows * classes, 64),
      overrides: { GATED: mask === undefined ? 0 : 1 },
    });
    return z;
  }
  const x = packed(scope, features, { rows, k: channels });
  const w = packed(scope, weight, { rows: classes, k: channels });
  const gates = mask === undefined
    ? w
    : packed(scope, mask.gates, { rows: mask.gates.shape[0]!, k: channels });
  const { isSoftware } = ctx.gpu.adapter;
  const tile = tileOf(classes, isSoftware);
  const columnTiles = Math.ceil(classes / tile.columns);
  const tiles = columnTiles * Math.ceil(rows / tile.rows);
  const workgroup = isSoftware ? SOFTWARE_LANES : GPU_WORKGROUP;
  scope.dispatch(
    registerKernel({ TM: tile.rows, TN: tile.columns, GATED: mask === undefined ? 0 : 1 }),
    {
      buffers: [x, w, gates, ...rest],
      params: { ...common, quads: quadsOf(channels), column_tiles: columnTiles, tiles },
      workgroups: gridFor(tiles, workgroup),
      overrides: { WORKGROUP: workgroup },
    },
  );
  return z;
}

/** Rows and columns of a tile: large where a load costs more than registers do. */
function tileOf(classes: number, isSoftware: boolean): { rows: number; columns: number } {
  if (!isSoftware) return { rows: 4, columns: 8 };
  return { rows: 8, columns: Math.min(16, 4 * Math.ceil(classes / 4)) };
}

/**
 * Floating-point operations of {@linkcode gatedProduct} with a mask: two products, a comparison and a
 * sum for each weight and row.
 *
 * @param size The lengths.
 * @returns 4 N K C.
 *
 * @example A small head
 * ```ts
 * import { gatedProductFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(gatedProductFlops({ rows: 2, classes: 3, channels: 4 }), 96);
 * ```
 */
export function gatedProductFlops(size: GatedProductSize): number {
  return 4 * size.rows * size.classes * size.channels;
}

/**
 * Bytes that {@linkcode gatedProduct} must move with one set of gates per class: inputs read once,
 * the product written once.
 *
 * @param size The lengths.
 * @returns 4 (N C + 2 K C + 2 K + N + N K).
 *
 * @example A small head
 * ```ts
 * import { gatedProductBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(gatedProductBytes({ rows: 2, classes: 3, channels: 4 }), 184);
 * ```
 */
export function gatedProductBytes(size: GatedProductSize): number {
  const { rows, classes, channels } = size;
  return 4 * (rows * channels + 2 * classes * channels + 2 * classes + rows + rows * classes);
}
