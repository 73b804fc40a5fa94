/** Checks of operations that are put together on a tape. */

import { Tape } from "../../../nn/tape.ts";
import { Variable } from "../../../nn/variable.ts";
import { type Context, sizeOf, type Tensor } from "../../../runtime/mod.ts";
import { checkGradient } from "../../_support/gradcheck.ts";
import type { GpuTestContext } from "../../_support/gpu.ts";
import { Host64 } from "../../_support/host64.ts";
import { assertClose, TOLERANCE } from "../../_support/tolerance.ts";
import { noise, noise64, SEED } from "../../kernels/_pointwise.ts";

/** Operations from leaves of given shapes to one output. */
export interface OnTape {
  /** Shapes of the leaves. */
  readonly shapes: readonly (readonly number[])[];
  /** Records the operations. */
  readonly build: (tape: Tape, leaves: readonly Variable[]) => Variable;
}

/** The output, and the gradients of all leaves. */
export function gradientsOf(
  { build }: Pick<OnTape, "build">,
  ctx: Context,
  how: { readonly values: readonly Tensor[]; readonly dY: (y: Variable) => Tensor },
): { y: Tensor; gradients: Tensor[] } {
  const leaves = how.values.map((value) => new Variable(value, { needsGradient: true }));
  const tape = new Tape(ctx);
  const y = tape.retain(build(tape, leaves));
  tape.backward([{ variable: y, gradient: how.dY(y) }]);
  return { y: y.value, gradients: leaves.map((leaf) => tape.gradientOf(leaf)!) };
}

/** Checks gradients against central differences, all in float64. */
export function checkTape(on: OnTape): void {
  const upload = (host: Host64, inputs: readonly Float64Array[]) =>
    inputs.map((data, i) => {
      const tensor = host.empty(on.shapes[i]!);
      (tensor.data as unknown as Float64Array).set(data);
      return tensor;
    });
  checkGradient({
    forward: (inputs) => {
      const host = new Host64();
      const leaves = upload(host, inputs).map((value) => new Variable(value));
      return Float64Array.from(on.build(new Tape(host), leaves).value.data);
    },
    backward: (inputs, given) => {
      const host = new Host64();
      const dY = (y: Variable) => {
        const tensor = host.empty(y.shape);
        (tensor.data as unknown as Float64Array).set(given);
        return tensor;
      };
      const { gradients } = gradientsOf(on, host, { values: upload(host, inputs), dY });
      return gradients.map(({ data }) => Float64Array.from(data));
    },
    inputs: on.shapes.map((shape, i) => noise64(sizeOf(shape), { seed: SEED + i })),
    seed: SEED,
  });
}

/** Compares output and gradients on a GPU with the reference's. */
export async function compareTape(
  on: OnTape,
  { gpu, host }: GpuTestContext,
): Promise<void> {
  const run = (ctx: Context) => {
    const values = on.shapes.map((shape, i) =>
      ctx.upload(noise(sizeOf(shape), { seed: SEED + i }), shape)
    );
    return gradientsOf(on, ctx, {
      values,
      dY: (y) => ctx.upload(noise(y.value.size), y.shape),
    });
  };
  const [found, expected] = [run(gpu), run(host)];
  const results = await gpu.read(found.y, ...found.gradients);
  [expected.y, ...expected.gradients].forEach(({ data }, i) => {
    assertClose(results[i]!, data, TOLERANCE.kernel, `result ${i} (seed ${SEED})`);
  });
}
