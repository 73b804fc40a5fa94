/**
 * What operations on single elements share on the host: a source for vec4 and for scalars in one,
 * the choice between both, and the dispatch over a flat array.
 *
 * The WGSL of such an operation names its element type `alias Elem = vec4<f32>; // @spec`, and is
 * written so that it holds for `f32` as well. Over a flat array the vec4 kernel takes what groups of
 * four there are, and the scalar one the last one to three elements; over maps with channels last
 * the vec4 kernel runs where the channels are a multiple of four.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Scalar, type Tensor } from "../runtime/mod.ts";
import { type Spec, unrolled } from "./_unroll.ts";

/** `naive` is the baseline, one scalar per invocation; `vector` takes four where it can. */
export type PointwiseVariant = "naive" | "vector";

/** All variants, the baseline first. */
export const POINTWISE_VARIANTS: readonly PointwiseVariant[] = ["naive", "vector"];

/** Options of every operation on single elements. */
export interface PointwiseOptions {
  /** Forces a variant; `vector` by default. */
  readonly variant?: PointwiseVariant;
  /** Where the result goes, instead of a new tensor; must not be an input. */
  readonly out?: Tensor;
}

/** Elements that an invocation takes. */
export type Lanes = 1 | 4;

/** Invocations per workgroup. */
export const POINTWISE_WORKGROUP = 64;

/** A kernel for vec4 or scalars, with the values of its other marked constants. */
export type PointwiseKernel = (lanes: Lanes, spec?: Spec) => Kernel;

/** What a source may name besides `Elem` that follows from it, for scalars and for vec4. */
const MARKS: Readonly<Record<string, readonly [scalar: string | number, vector: string | number]>> =
  {
    Elem: ["f32", "vec4<f32>"],
    Index: ["u32", "vec4<u32>"],
    WIDTH: [1, 4],
    OFFSETS: ["0u", "vec4<u32>(0u, 1u, 2u, 3u)"],
  };

/**
 * A kernel whose source has the element type `Elem`, and where it needs them `Index` (as many u32),
 * `WIDTH` (how many) and `OFFSETS` (their numbers from 0), all marked `// @spec`.
 *
 * @param kernel The kernel with its source as written.
 * @returns What makes it for vec4 or scalars.
 */
export function pointwiseKernel(kernel: Kernel): PointwiseKernel {
  const specialised = unrolled(kernel);
  const marks = Object.entries(MARKS).filter(([name]) =>
    new RegExp(`^(alias|const) ${name}\\b.*// @spec`, "m").test(kernel.wgsl)
  );
  const [scalar, vector] = [0, 1].map((form) =>
    Object.fromEntries(marks.map(([name, forms]) => [name, forms[form]!]))
  );
  return (lanes, spec = {}) => specialised({ ...(lanes === 4 ? vector : scalar), ...spec });
}

/** Who asks for how many lanes. */
export interface LanesQuery {
  /** The operation's name, under which a GPU may force a variant. */
  readonly operation: string;
  /** What the caller forces. */
  readonly variant?: PointwiseVariant | undefined;
  /** Lengths that vec4 must divide. */
  readonly channels: readonly number[];
}

/**
 * How many channels an invocation takes.
 *
 * @param ctx The GPU.
 * @param query The operation, what is forced, and the lengths that decide.
 * @returns 4 or 1.
 * @throws {RangeError} When the forced variant does not exist.
 */
export function lanesOf(ctx: GpuContext, query: LanesQuery): Lanes {
  const { operation, channels } = query;
  const variant = query.variant ?? ctx.gpu.variants[operation] ?? "vector";
  if (variant !== "naive" && variant !== "vector") {
    throw new RangeError(
      `Cannot run ${operation}: there is no variant "${variant}", expected naive or vector`,
    );
  }
  return variant === "vector" && channels.every((length) => length % 4 === 0) ? 4 : 1;
}

/** One run over a flat array. */
export interface FlatRun {
  /** The operation's name, under which a GPU may force a variant. */
  readonly operation: string;
  /** Its kernel, with `begin` and `end` as first parameters, in units of its element type. */
  readonly kernel: PointwiseKernel;
  /** Values of its other marked constants. */
  readonly spec?: Spec;
  /** What it binds. */
  readonly buffers: readonly Tensor[];
  /** Elements of the array. */
  readonly count: number;
  /** Parameters after `begin` and `end`. */
  readonly params?: Readonly<Record<string, number | Scalar>>;
  /** What the caller forces. */
  readonly variant?: PointwiseVariant | undefined;
}

/**
 * Records an operation over all elements of an array.
 *
 * @param ctx The GPU.
 * @param run What to run.
 * @throws {RangeError} When the forced variant does not exist.
 */
export function dispatchFlat(ctx: GpuContext, run: FlatRun): void {
  const lanes = lanesOf(ctx, { ...run, channels: [] });
  const groups = lanes === 4 ? Math.floor(run.count / 4) : 0;
  const parts = [
    { lanes: 4, begin: 0, end: groups },
    { lanes: 1, begin: 4 * groups, end: run.count },
  ] as const;
  for (const part of parts) {
    const { begin, end } = part;
    ctx.dispatch(run.kernel(part.lanes, run.spec), {
      buffers: run.buffers,
      params: { begin, end, ...run.params },
      workgroups: gridFor(end - begin, POINTWISE_WORKGROUP),
    });
  }
}

/** Arrays of references: f32 as tensors have it, or float64 to check derivatives. */
export type Numbers = Float32Array | Float64Array;
