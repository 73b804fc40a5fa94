/**
 * What all operations on the rows of a matrix share on the host: argument checks, the choice of a
 * variant, and the dispatch.
 *
 * Every such operation has a naive kernel (one row per invocation, scalar loads, the plain formula)
 * and a main kernel in which LANES invocations share a row: one lane is the serial variant, several
 * are the tree variant.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, ShapeError, type Tensor } from "../runtime/mod.ts";
import { type Argument, requireMatrix } from "./_arguments.ts";

/**
 * How rows are spread over invocations: `naive` is the baseline, `serial` gives a row to one
 * invocation, `tree` to several that meet in workgroup memory.
 */
export type RowVariant = "naive" | "serial" | "tree";

/** Options of every operation on rows; the adapter and the shape decide what is left out. */
export interface RowOptions {
  /** Forces a variant. */
  readonly variant?: RowVariant;
  /** Invocations per row of the tree variant, a power of two from 2 to 256. */
  readonly lanes?: number;
}

/** Options of operations with a temperature. */
export interface TemperatureOptions extends RowOptions {
  /** Divides the numbers before they are exponentiated; positive, 1 by default. */
  readonly temperature?: number;
}

/** Sizes of a matrix. */
export interface RowShape {
  /** Number of rows. */
  readonly rows: number;
  /** Number of columns. */
  readonly columns: number;
}

/** How a run is laid out. */
export interface RowPlan {
  /** The variant. */
  readonly variant: RowVariant;
  /** Invocations per workgroup. */
  readonly workgroup: number;
  /** Invocations per row. */
  readonly lanes: number;
}

/** Lavapipe runs eight invocations as one vector; a larger workgroup costs it more. */
const SOFTWARE_LANES = 8;

/** Fewer rows than this leave most of a vector, or a core, without a row in the serial variant. */
const SOFTWARE_SERIAL_ROWS = 16;

/**
 * Lavapipe leaves its loops, without a word, once an invocation has done 65535 turns, those of all
 * its loops together; this stays below with room for the turns that do not depend on the row.
 */
const SOFTWARE_TURNS = 65_000;

const GPU_WORKGROUP = 64;
const LONG_ROW = 4096;
const MAX_LANES = 256;
const NAIVE_WORKGROUP = 64;

/** Most loop turns that a kernel spends. */
export interface RowTurns {
  /** Turns of the naive kernel per column. */
  readonly naive: number;
  /** Turns of the main kernel per group of four columns. */
  readonly main: number;
}

/** What a plan depends on besides the shape. */
export interface RowTarget {
  /** Whether the adapter computes on the CPU. */
  readonly software: boolean;
  /** Loop turns of the kernels. */
  readonly turns: RowTurns;
  /** Forces a variant. */
  readonly variant?: string | undefined;
  /** Forces the lanes of the tree variant. */
  readonly lanes?: number | undefined;
}

/**
 * Chooses the layout of an operation on rows.
 *
 * @param shape The matrix.
 * @param target The adapter, the kernels, and what is forced.
 * @returns The plan.
 * @throws {RangeError} When the forced variant or number of lanes does not exist, or a software
 * adapter cannot run it to its end.
 */
export function planRows(shape: RowShape, target: RowTarget): RowPlan {
  const { software } = target;
  const variant = target.variant ?? automaticVariant(shape, target);
  const plan = layOut(variant, { shape, target });
  const turns = turnsOf(plan, { shape, target });
  if (!software || turns <= SOFTWARE_TURNS) return plan;
  throw new RangeError(
    `Cannot plan rows: ${shape.columns} columns in the ${plan.variant} variant with ` +
      `${plan.lanes} lanes take ${turns} loop turns, and a software adapter stops before 65535`,
  );
}

function automaticVariant(shape: RowShape, target: RowTarget): RowVariant {
  if (!target.software || shape.rows < SOFTWARE_SERIAL_ROWS) return "tree";
  const serial: RowPlan = { variant: "serial", workgroup: SOFTWARE_LANES, lanes: 1 };
  return turnsOf(serial, { shape, target }) <= SOFTWARE_TURNS ? "serial" : "tree";
}

interface RowProblem {
  readonly shape: RowShape;
  readonly target: RowTarget;
}

function layOut(variant: string, problem: RowProblem): RowPlan {
  const { software, lanes } = problem.target;
  const least = software ? SOFTWARE_LANES : GPU_WORKGROUP;
  switch (variant) {
    case "naive":
      return { variant, workgroup: NAIVE_WORKGROUP, lanes: 1 };
    case "serial":
      return { variant, workgroup: least, lanes: 1 };
    case "tree": {
      const share = lanes === undefined
        ? (software ? softwareLanes(problem) : gpuLanes(problem.shape.columns))
        : requireLanes(lanes);
      return { variant, workgroup: Math.max(least, share), lanes: share };
    }
    default:
      throw new RangeError(
        `Cannot plan rows: the variant is "${variant}" and must be naive, serial or tree`,
      );
  }
}

/** Loop turns of the busiest invocation. */
function turnsOf({ variant, lanes }: RowPlan, { shape, target }: RowProblem): number {
  if (variant === "naive") return shape.columns * target.turns.naive;
  return Math.ceil(Math.ceil(shape.columns / 4) / lanes) * target.turns.main;
}

function requireLanes(lanes: number): number {
  if (lanes >= 2 && lanes <= MAX_LANES && Number.isInteger(Math.log2(lanes))) return lanes;
  throw new RangeError(
    `Cannot plan rows: lanes is ${lanes} and must be a power of two, 2 to ${MAX_LANES}`,
  );
}

function softwareLanes(problem: RowProblem): number {
  let lanes = SOFTWARE_LANES;
  const turns = () => turnsOf({ variant: "tree", workgroup: lanes, lanes }, problem);
  while (lanes < MAX_LANES && turns() > SOFTWARE_TURNS) lanes *= 2;
  return lanes;
}

/** Two groups of four columns per lane keep loads wide; short rows then share a workgroup. */
function gpuLanes(columns: number): number {
  if (columns >= LONG_ROW) return MAX_LANES;
  return Math.min(GPU_WORKGROUP, 2 ** Math.ceil(Math.log2(Math.max(2, columns / 8))));
}

/** The two kernels of an operation on rows. */
export interface RowKernels {
  /** Binds each input once, then the output. */
  readonly naive: Kernel;
  /** Binds each input as scalars and as vec4, then the output, as both where it has rows. */
  readonly main: Kernel;
  /** Most loop turns that they spend. */
  readonly turns: RowTurns;
}

/** What the two kernels of an operation have in common. */
export interface RowKernelLayout {
  /** Number of input tensors. */
  readonly inputs: number;
  /** Whether the output is as wide as the rows. */
  readonly wide: boolean;
  /** Scalars after `rows` and `columns`. */
  readonly params: Kernel["params"];
  /** Most loop turns that the kernels spend. */
  readonly turns: RowTurns;
}

/**
 * Describes the two kernels of an operation on rows.
 *
 * @param name The operation, as in labels.
 * @param sources Their WGSL.
 * @param layout What they bind.
 * @returns The kernels.
 */
export function rowKernels(
  name: string,
  sources: { readonly naive: string; readonly main: string },
  layout: RowKernelLayout,
): RowKernels {
  const params = { rows: "u32", columns: "u32", ...layout.params } as const;
  const read = (count: number) => new Array<"read">(count).fill("read");
  return {
    naive: {
      name: `${name}_naive`,
      wgsl: sources.naive,
      bindings: [...read(layout.inputs), "read_write"],
      params,
    },
    main: {
      name,
      wgsl: sources.main,
      bindings: [
        ...read(2 * layout.inputs),
        ...new Array<"read_write">(layout.wide ? 2 : 1).fill("read_write"),
      ],
      params,
    },
    turns: layout.turns,
  };
}

/** One run of an operation on rows. */
export interface RowRun extends RowShape {
  /** The operation's name, under which a GPU may force a variant. */
  readonly operation: string;
  /** Its kernels. */
  readonly kernels: RowKernels;
  /** Its inputs, each contiguous with rows of `columns` elements (or one such row). */
  readonly inputs: readonly Tensor[];
  /** Its output. */
  readonly output: Tensor;
  /** What the caller forces. */
  readonly options: RowOptions;
  /** Scalars after `rows` and `columns`. */
  readonly params?: Readonly<Record<string, number>>;
  /** Override constants that both kernels have. */
  readonly overrides?: Readonly<Record<string, number>>;
}

/**
 * Records one operation on rows.
 *
 * @param ctx The GPU.
 * @param run What to run.
 * @throws {RangeError} When the forced variant does not exist, or the adapter cannot run it.
 */
export function dispatchRows(ctx: GpuContext, run: RowRun): void {
  const { rows, columns, inputs, output, kernels } = run;
  const plan = planRows(run, {
    software: ctx.gpu.adapter.isSoftware,
    turns: kernels.turns,
    variant: run.options.variant ?? ctx.gpu.variants[run.operation],
    lanes: run.options.lanes,
  });
  const params = { rows, columns, ...run.params };
  if (plan.variant === "naive") {
    ctx.dispatch(kernels.naive, {
      buffers: [...inputs, output],
      params,
      workgroups: gridFor(rows, plan.workgroup),
      ...(run.overrides === undefined ? {} : { overrides: run.overrides }),
    });
    return;
  }
  const vector = columns % 4 === 0;
  const wide = kernels.main.bindings.length === 2 * inputs.length + 2;
  using spare = ctx.empty([4], "f32", { label: "unused binding" });
  ctx.dispatch(kernels.main, {
    buffers: [
      ...inputs.flatMap((tensor) => [tensor, tensor]),
      ...(wide ? (vector ? [spare, output] : [output, spare]) : [output]),
    ],
    params,
    workgroups: gridFor(rows, plan.workgroup / plan.lanes),
    overrides: {
      ...run.overrides,
      WORKGROUP: plan.workgroup,
      LANES: plan.lanes,
      VECTOR: vector ? 1 : 0,
    },
  });
}

/**
 * Checks an f32 matrix with at least one column.
 *
 * @returns Rows and columns.
 * @throws {DTypeError} When it does not hold f32.
 * @throws {ShapeError} When it has not two axes, or no column.
 */
export function requireRows(tensor: Tensor, argument: Argument): RowShape {
  const [rows, columns] = requireMatrix(tensor, argument);
  if (columns >= 1) return { rows, columns };
  throw new ShapeError(argument.kernel, argument.name, {
    expected: "[rows, columns] with at least one column",
    actual: tensor.shape,
  });
}

/**
 * Checks a positive finite number.
 *
 * @returns The number.
 * @throws {RangeError} When it is not positive, or not finite.
 */
export function requirePositive(value: number, argument: Argument): number {
  if (value > 0 && Number.isFinite(value)) return value;
  throw new RangeError(
    `Cannot run ${argument.kernel}: "${argument.name}" must be a positive number: it is ${value}`,
  );
}
