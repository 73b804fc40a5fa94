/**
 * Sums and second moments of the rows of a chunk, and sums by class: what means and covariances are
 * made of. Callers add the chunks in float64.
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
import { addRows } from "../_columns.ts";
import type { ProductVariant } from "../_products.ts";
import { requireRows, type RowShape } from "../_rows.ts";
import { unrolled } from "../_unroll.ts";
import { matmul } from "../matmul/mod.ts";
import {
  type ClassSumsPlan,
  type ClassSumsVariant,
  type MomentsPlan,
  planClassSums,
  planMoments,
  planSum,
} from "./_plan.ts";
import { classSumsOfRows, momentsOfRows } from "./reference.ts";
import classesSource from "./class_sums_classes.wgsl" with { type: "text" };
import columnsSource from "./class_sums_columns.wgsl" with { type: "text" };
import classSumsNaiveSource from "./class_sums_naive.wgsl" with { type: "text" };
import centreSource from "./moments_centre.wgsl" with { type: "text" };
import naiveSource from "./moments_naive.wgsl" with { type: "text" };
import registerSource from "./moments_register.wgsl" with { type: "text" };
import sumSource from "./moments_sum.wgsl" with { type: "text" };

export type { ClassSumsVariant } from "./_plan.ts";

const SLICED = { rows: "u32", columns: "u32", sliceRows: "u32", slices: "u32" } as const;
const CLASSES = {
  rows: "u32",
  columns: "u32",
  classes: "u32",
  sliceRows: "u32",
  slices: "u32",
} as const;

const NAIVE: Kernel = {
  name: "moments_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write"],
  params: SLICED,
};

const REGISTER = /* @__PURE__ */ unrolled({
  name: "moments_register",
  wgsl: registerSource,
  bindings: ["read", "read", "read", "read_write"],
  params: { ...SLICED, side: "u32" },
});

const CENTRE: Kernel = {
  name: "moments_centre",
  wgsl: centreSource,
  bindings: ["read", "read", "read_write"],
  params: { count: "u32", columns: "u32" },
};

const SUM: Kernel = {
  name: "moments_sum",
  wgsl: sumSource,
  bindings: ["read", "read", "read_write"],
  params: SLICED,
};

const CLASS_SUMS: Readonly<Record<ClassSumsVariant, Kernel>> = {
  naive: {
    name: "class_sums_naive",
    wgsl: classSumsNaiveSource,
    bindings: ["read", "read", "read", "read_write", "read_write"],
    params: CLASSES,
  },
  columns: {
    name: "class_sums_columns",
    wgsl: columnsSource,
    bindings: ["read", "read", "read", "read", "read_write", "read_write", "read_write"],
    params: CLASSES,
  },
  classes: {
    name: "class_sums_classes",
    wgsl: classesSource,
    bindings: ["read", "read", "read", "read", "read_write", "read_write"],
    params: CLASSES,
  },
};

/** Invocations of the workgroups whose size only speed depends on. */
const SOFTWARE_WORKGROUP = 8;
const GPU_WORKGROUP = 64;

/** Tensors of {@linkcode moments}. */
export interface MomentsInputs {
  /** A chunk of rows, f32 [N, C] with C >= 1. */
  readonly x: Tensor;
  /** Subtracted from every row, f32 [C]; something near the mean keeps the digits. */
  readonly shift: Tensor;
}

/** Options of {@linkcode moments}. */
export interface MomentsOptions {
  /** Forces a variant; `register` on software adapters and `tiled` elsewhere by default. */
  readonly variant?: ProductVariant;
}

/** What {@linkcode moments} gives. */
export interface Moments {
  /** Sum of the shifted rows, f32 [C]. */
  readonly sum: Tensor;
  /** Sum of the outer products of the shifted rows with themselves, f32 [C, C], symmetric. */
  readonly gram: Tensor;
}

/** Tensors of {@linkcode classSums}. */
export interface ClassSumsInputs extends MomentsInputs {
  /** The class of each row, i32 [N]; rows with a label outside 0 to K - 1 are skipped. */
  readonly labels: Tensor;
}

/** Options of {@linkcode classSums}. */
export interface ClassSumsOptions {
  /** Number of classes K, at least 1. */
  readonly classes: number;
  /** Forces a variant; `columns` on software adapters and `classes` elsewhere by default. */
  readonly variant?: ClassSumsVariant;
}

/** What {@linkcode classSums} gives. */
export interface ClassSums {
  /** Sum of the shifted rows of each class, f32 [K, C]. */
  readonly sums: Tensor;
  /** Number of rows of each class, f32 [K], exact below 2^24. */
  readonly counts: Tensor;
}

/** Sizes of class sums. */
export interface ClassSumsShape extends RowShape {
  /** Number of classes. */
  readonly classes: number;
}

/**
 * Sum and second moments of the shifted rows of a chunk: `sum(x - shift)` and
 * `(x - shift)^T (x - shift)`.
 *
 * f32 [N, C] to f32 [C] and f32 [C, C]. Sums in f32 over slices of at most some thousand rows, which
 * are then added in order; the matrix is symmetric to the last bit, and two runs give the same bits.
 * Nothing is atomic. The `tiled` variant hands the product to `matmul`.
 *
 * @param ctx Where it runs.
 * @param inputs The rows, and what is subtracted from them.
 * @param options A forced variant.
 * @returns Sum and second moments.
 * @throws {ShapeError} When `x` has not two axes or no column, or `shift` is not [C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example The covariance of two rows
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { moments } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 10, 3, 20]), [2, 2]);
 * const shift = host.upload(new Float32Array([1, 10]), [2]);
 * const { sum, gram } = moments(host, { x, shift });
 * assertEquals([...sum.data], [2, 10]);
 * assertEquals([...gram.data], [4, 20, 20, 100]);
 * ```
 */
export function moments(
  ctx: Context,
  inputs: MomentsInputs,
  options: MomentsOptions = {},
): Moments {
  const { x, shift } = inputs;
  const shape = requireRows(x, { kernel: "moments", name: "x" });
  const { columns } = shape;
  requireVector(shift, { kernel: "moments", name: "shift", length: columns });
  if (isGpu(ctx)) {
    const plan = planMoments(shape, {
      software: ctx.gpu.adapter.isSoftware,
      variant: options.variant ?? ctx.gpu.variants["moments"],
    });
    return { sum: sumOnGpu(ctx, inputs, shape), gram: gramOnGpu(ctx, inputs, { shape, plan }) };
  }
  const sum = ctx.empty([columns], "f32", { label: "moments sum" });
  const gram = ctx.empty([columns, columns], "f32", { label: "moments gram" });
  momentsOfRows(
    { x: hostFloats(x), shift: hostFloats(shift) },
    { sum: hostFloats(sum), gram: hostFloats(gram) },
  );
  return { sum, gram };
}

/**
 * Sum and number of the shifted rows of each class.
 *
 * f32 [N, C] and i32 [N] to f32 [K, C] and f32 [K]. Sums in f32 in the order of the rows, over slices
 * of some ten thousand; two runs give the same bits. Nothing is atomic.
 *
 * @param ctx Where it runs.
 * @param inputs The rows, their classes, and what is subtracted from the rows.
 * @param options Number of classes, and a forced variant.
 * @returns Sums and counts.
 * @throws {ShapeError} When `x` has not two axes or no column, or another tensor does not fit it.
 * @throws {DTypeError} When `labels` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When the number of classes is no positive whole number, or the forced variant
 * does not exist.
 *
 * @example Two classes, and a row that belongs to none
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { classSums } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 4]), [3, 1]);
 * const labels = host.upload(new Int32Array([1, -1, 1]), [3]);
 * const shift = host.upload(new Float32Array([0]), [1]);
 * const { sums, counts } = classSums(host, { x, labels, shift }, { classes: 2 });
 * assertEquals([...sums.data], [0, 5]);
 * assertEquals([...counts.data], [0, 2]);
 * ```
 */
export function classSums(
  ctx: Context,
  inputs: ClassSumsInputs,
  options: ClassSumsOptions,
): ClassSums {
  const { x, labels, shift } = inputs;
  const { classes } = options;
  const kernel = "classSums";
  const { rows, columns } = requireRows(x, { kernel, name: "x" });
  requireVector(shift, { kernel, name: "shift", length: columns });
  requireDType(labels, "i32", { kernel, name: "labels" });
  requireShape(labels, [rows], { kernel, name: "labels" });
  if (!(Number.isInteger(classes) && classes >= 1)) {
    throw new RangeError(
      `Cannot run ${kernel}: "classes" must be a whole number of at least 1: it is ${classes}`,
    );
  }
  if (isGpu(ctx)) {
    const shape = { rows, columns, classes };
    const plan = planClassSums(shape, {
      software: ctx.gpu.adapter.isSoftware,
      variant: options.variant ?? ctx.gpu.variants[kernel],
    });
    return classSumsOnGpu(ctx, inputs, { shape, plan });
  }
  const sums = ctx.empty([classes, columns], "f32", { label: "class sums" });
  const counts = ctx.empty([classes], "f32", { label: "class counts" });
  classSumsOfRows(
    { x: hostFloats(x), shift: hostFloats(shift), labels: labels.data as Int32Array },
    { sums: hostFloats(sums), counts: hostFloats(counts) },
  );
  return { sums, counts };
}

/**
 * Floating-point operations of one chunk's moments: a product and a sum per row and pair of columns,
 * where each pair counts once, and two per element for the shift and the sum.
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Two columns make three pairs
 * ```ts
 * import { momentsFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(momentsFlops({ rows: 10, columns: 2 }), 100);
 * ```
 */
export function momentsFlops(shape: RowShape): number {
  return shape.rows * (shape.columns * (shape.columns + 1) + 2 * shape.columns);
}

/**
 * Bytes that one chunk's moments must move: one read of the rows and the shift, one write of sum and
 * second moments.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Ten rows of two
 * ```ts
 * import { momentsBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(momentsBytes({ rows: 10, columns: 2 }), 112);
 * ```
 */
export function momentsBytes(shape: RowShape): number {
  return 4 * shape.columns * (shape.rows + 2 + shape.columns);
}

/**
 * Floating-point operations of class sums: a difference and a sum per element.
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Ten rows of two
 * ```ts
 * import { classSumsFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(classSumsFlops({ rows: 10, columns: 2, classes: 3 }), 40);
 * ```
 */
export function classSumsFlops(shape: ClassSumsShape): number {
  return 2 * shape.rows * shape.columns;
}

/**
 * Bytes that class sums must move: one read of rows, labels and shift, one write of sums and counts.
 *
 * @param shape The matrix, and the number of classes.
 * @returns The number of bytes.
 *
 * @example Ten rows of two, three classes
 * ```ts
 * import { classSumsBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(classSumsBytes({ rows: 10, columns: 2, classes: 3 }), 164);
 * ```
 */
export function classSumsBytes(shape: ClassSumsShape): number {
  const { rows, columns, classes } = shape;
  return 4 * (rows * (columns + 1) + columns + classes * (columns + 1));
}

function workgroupOf(ctx: GpuContext): number {
  return ctx.gpu.adapter.isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP;
}

/**
 * Lets a kernel write all slices, then adds them; with one slice it writes the result itself.
 */
function inSlices(
  ctx: GpuContext,
  result: { readonly shape: readonly number[]; readonly label: string; readonly slices: number },
  record: (target: Tensor) => void,
): Tensor {
  const output = ctx.empty(result.shape, "f32", { label: result.label });
  if (result.slices === 1) {
    record(output);
    return output;
  }
  using parts = ctx.empty([result.slices, ...result.shape], "f32", { label: "slices" });
  record(parts);
  addRows(ctx, { parts, out: output }, { rows: result.slices, columns: output.size });
  return output;
}

function sumOnGpu(ctx: GpuContext, { x, shift }: MomentsInputs, shape: RowShape): Tensor {
  const { rows, columns } = shape;
  const { slices, sliceRows } = planSum(rows);
  const workgroup = workgroupOf(ctx);
  return inSlices(ctx, { shape: [columns], label: "moments sum", slices }, (target) => {
    ctx.dispatch(SUM, {
      buffers: [x, shift, target],
      params: { rows, columns, sliceRows, slices },
      workgroups: gridFor(slices * columns, workgroup),
      overrides: { WORKGROUP: workgroup },
    });
  });
}

function gramOnGpu(
  ctx: GpuContext,
  { x, shift }: MomentsInputs,
  { shape, plan }: { shape: RowShape; plan: MomentsPlan },
): Tensor {
  const { rows, columns } = shape;
  if (plan.variant === "tiled") {
    using centred = ctx.empty([rows, columns], "f32", { label: "centred rows" });
    ctx.dispatch(CENTRE, {
      buffers: [x, shift, centred],
      params: { count: rows * columns, columns },
      workgroups: gridFor(rows * columns, 64),
    });
    return matmul(ctx, { a: centred, b: centred }, { transposeA: true, variant: "tiled" });
  }
  const { slices, sliceRows, tile } = plan;
  const params = { rows, columns, sliceRows, slices };
  return inSlices(ctx, { shape: [columns, columns], label: "moments gram", slices }, (target) => {
    if (plan.variant === "naive") {
      ctx.dispatch(NAIVE, {
        buffers: [x, shift, target],
        params,
        workgroups: gridFor(slices * columns * columns, 64),
      });
      return;
    }
    const side = Math.ceil(columns / tile);
    ctx.dispatch(REGISTER({ TILE: tile, QUADS: tile / 4 }), {
      buffers: [x, x, shift, target],
      params: { ...params, side },
      workgroups: gridFor(slices * side * (side + 1) / 2, 8),
      overrides: { VECTOR: columns % 4 === 0 ? 1 : 0 },
    });
  });
}

function classSumsOnGpu(
  ctx: GpuContext,
  inputs: ClassSumsInputs,
  { shape, plan }: { shape: ClassSumsShape; plan: ClassSumsPlan },
): ClassSums {
  const { columns, classes } = shape;
  const { slices } = plan;
  const sums = ctx.empty([classes, columns], "f32", { label: "class sums" });
  const counts = ctx.empty([classes], "f32", { label: "class counts" });
  if (slices === 1) {
    recordClassSums(ctx, { ...inputs, sums, counts }, { shape, plan });
    return { sums, counts };
  }
  using sumParts = ctx.empty([slices, classes, columns], "f32", { label: "slices" });
  using countParts = ctx.empty([slices, classes], "f32", { label: "slices" });
  recordClassSums(ctx, { ...inputs, sums: sumParts, counts: countParts }, { shape, plan });
  addRows(ctx, { parts: sumParts, out: sums }, { rows: slices, columns: sums.size });
  addRows(ctx, { parts: countParts, out: counts }, { rows: slices, columns: classes });
  return { sums, counts };
}

function recordClassSums(
  ctx: GpuContext,
  tensors: ClassSumsInputs & ClassSums,
  { shape, plan }: { shape: ClassSumsShape; plan: ClassSumsPlan },
): void {
  const { x, labels, shift, sums, counts } = tensors;
  const { rows, columns, classes } = shape;
  const { variant, slices, sliceRows } = plan;
  const kernel = CLASS_SUMS[variant];
  const params = { rows, columns, classes, sliceRows, slices };
  const workgroup = workgroupOf(ctx);
  switch (variant) {
    case "naive":
      ctx.dispatch(kernel, {
        buffers: [x, labels, shift, sums, counts],
        params,
        workgroups: gridFor(slices * classes * columns, 64),
      });
      return;
    case "classes":
      ctx.dispatch(kernel, {
        buffers: [x, labels, labels, shift, sums, counts],
        params,
        workgroups: gridFor(slices * classes * Math.ceil(columns / workgroup), 1),
        overrides: { WORKGROUP: workgroup },
      });
      return;
    default: {
      const vector = columns % 4 === 0;
      using spare = ctx.empty([4], "f32", { label: "unused binding" });
      const target = vector ? [spare, sums] : [sums, spare];
      ctx.dispatch(kernel, {
        buffers: [x, x, labels, shift, ...target, counts],
        params,
        workgroups: gridFor(slices * Math.ceil(columns / 4), workgroup),
        overrides: { WORKGROUP: workgroup, VECTOR: vector ? 1 : 0 },
      });
    }
  }
}
