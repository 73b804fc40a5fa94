/**
 * One call that turns a kernel into `Deno.bench` groups and a table of GPU times.
 *
 * `Deno.bench` is the runner and the regression record; its wall times include the 10 ms that Deno
 * takes to notice finished GPU work. The table at the end, on stderr, has the GPU's own times.
 *
 * @module
 */

import { Gpu, type GpuContext, type Tensor } from "../../runtime/mod.ts";
import { Rng } from "../../kernels/random/rng.ts";
import { measure, QUICK } from "./gpu_timer.ts";
import { header, type Row, table } from "./report.ts";
import { type Roofline, rooflineOf } from "./roofline.ts";

/** A workload. */
export interface BenchShape<Inputs> {
  /** How the shape is written, for example `4096x512x1000`. */
  readonly label: string;
  /** Floating-point operations of one run. */
  readonly flops: number;
  /** Bytes that one run must move at least. */
  readonly bytes: number;
  /** Uploads the inputs, once per shape. */
  readonly prepare: (ctx: GpuContext) => Inputs;
  /** Leave this shape out of quick runs. */
  readonly slow?: boolean;
}

/** A kernel's benchmark. */
export interface KernelBench<Inputs> {
  /** The workloads. */
  readonly shapes: readonly BenchShape<Inputs>[];
  /** What runs, by name; records only. The first one is the baseline. */
  readonly variants: Readonly<Record<string, (ctx: GpuContext, inputs: Inputs) => void>>;
}

/** Wall time of one iteration should dwarf the 10 ms that waiting costs. */
const ITERATION_NS = QUICK ? 20e6 : 100e6;

/** Enough for the shortest kernels, few enough for the slowest variants. */
const MAX_REPEATS = 64;

/**
 * Registers `Deno.bench` groups, one per shape, and prints the table of GPU times on stderr when
 * the file is done. Await it at the top level of a bench file.
 *
 * @param name The operation.
 * @param bench Its shapes and variants.
 *
 * @example A bench file
 * ```ts ignore
 * await benchKernel("matmul", {
 *   shapes: [{ label: "64x64x64", flops, bytes, prepare: (ctx) => ({ a: fill(ctx, [64, 64]) }) }],
 *   variants: { naive: (ctx, inputs) => matmul(ctx, inputs, { variant: "naive" }) },
 * });
 * ```
 */
export async function benchKernel<Inputs>(
  name: string,
  bench: KernelBench<Inputs>,
): Promise<void> {
  const gpu = await Gpu.open();
  const roofline = await rooflineOf(gpu);
  const rows: Row[] = [];
  const holder = new InputHolder<Inputs>(gpu);
  globalThis.addEventListener("unload", () => {
    if (rows.length === 0) return;
    console.error(["", ...header(name, gpu, roofline), "", ...table(rows, roofline)].join("\n"));
  });
  const variants = Object.entries(bench.variants);
  for (const shape of bench.shapes.filter(({ slow }) => !(QUICK && slow))) {
    const repeats = repeatsFor(shape, roofline);
    variants.forEach(([variant, run], position) => {
      let seen = false;
      const record = () => {
        using scope = gpu.scope();
        run(scope, holder.of(shape));
      };
      Deno.bench({
        name: repeats === 1 ? variant : `${variant} (${repeats} runs)`,
        group: `${name} ${shape.label}`,
        baseline: position === 0,
        n: QUICK ? 1 : 3,
        warmup: 1,
        fn: async (b) => {
          if (!seen) {
            seen = true;
            const timing = await measure(gpu, record);
            rows.push({ ...shape, shape: shape.label, variant, timing });
          }
          for (let i = 0; i < repeats; i++) record();
          b.start();
          await gpu.idle();
          b.end();
        },
      });
    });
  }
}

/**
 * A tensor of random numbers, the same in every run.
 *
 * @param ctx Where it lives.
 * @param shape Its shape.
 * @param options Range of the uniform numbers (-1 to 1 by default), and the seed.
 * @returns The tensor.
 */
export function fill(
  ctx: GpuContext,
  shape: readonly number[],
  options: { seed?: number; low?: number; high?: number } = {},
): Tensor {
  const { seed = 1, low = -1, high = 1 } = options;
  const rng = new Rng(seed);
  const size = shape.reduce((product, length) => product * length, 1);
  return ctx.upload(
    Float32Array.from({ length: size }, () => low + (high - low) * rng.uniform()),
    shape,
  );
}

function repeatsFor(shape: { flops: number; bytes: number }, roofline: Roofline): number {
  const roof = Math.max(shape.flops / roofline.gigaflops, shape.bytes / roofline.gigabytes);
  return Math.max(1, Math.min(MAX_REPEATS, Math.floor(ITERATION_NS / Math.max(roof, 1))));
}

/** Keeps the inputs of one shape at a time: shapes run one after the other. */
class InputHolder<Inputs> {
  readonly #gpu: Gpu;
  #shape: BenchShape<Inputs> | undefined;
  #scope: GpuContext | undefined;
  #inputs: Inputs | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  of(shape: BenchShape<Inputs>): Inputs {
    if (this.#shape !== shape) {
      this.#scope?.[Symbol.dispose]();
      this.#scope = this.#gpu.scope();
      this.#inputs = shape.prepare(this.#scope);
      this.#shape = shape;
    }
    return this.#inputs!;
  }
}
