import { assertEquals, assertThrows } from "@std/assert";
import { groupNorm } from "../../../nn/ops/normalization.ts";
import { activation, addChannels } from "../../../nn/ops/pointwise.ts";
import { resizeNearest } from "../../../nn/ops/shape.ts";
import { Tape } from "../../../nn/tape.ts";
import { Variable } from "../../../nn/variable.ts";
import { type Context, Host, ShapeError, sizeOf, type Tensor } from "../../../runtime/mod.ts";
import { checkGradient } from "../../_support/gradcheck.ts";
import { gpuTest } from "../../_support/gpu.ts";
import { Host64 } from "../../_support/host64.ts";
import { assertClose, TOLERANCE } from "../../_support/tolerance.ts";
import { noise, noise64, SEED } from "../../kernels/_pointwise.ts";

/** Shapes of the leaves of {@linkcode build}: maps, one number a channel, weight and bias twice. */
const SHAPES = [[2, 3, 3, 6], [2, 6], [6], [6], [6], [6]];

/** The heart of a residual block of a diffusion model, enlarged. */
function build(tape: Tape, leaves: readonly Variable[]): Variable {
  const [x, time, weight, bias, second, summand] = leaves as [
    Variable,
    Variable,
    Variable,
    Variable,
    Variable,
    Variable,
  ];
  const options = { groups: 3, epsilon: 0.01 };
  const first = groupNorm(tape, x, { weight, bias }, { ...options, activation: "silu" });
  const told = addChannels(tape, first, activation(tape, time, { kind: "silu" }));
  const large = resizeNearest(tape, told, { scale: 2 });
  return groupNorm(tape, large, { weight: second, bias: summand }, options);
}

function gradientsOf(
  ctx: Context,
  values: readonly Tensor[],
  dY: (y: Variable) => Tensor,
): { y: Tensor; gradients: Tensor[] } {
  const leaves = values.map((value) => new Variable(value, { needsGradient: true }));
  const tape = new Tape(ctx);
  const y = tape.retain(build(tape, leaves));
  tape.backward([{ variable: y, gradient: dY(y) }]);
  return { y: y.value, gradients: leaves.map((leaf) => tape.gradientOf(leaf)!) };
}

Deno.test("operations on maps pass gradients through a tape", () => {
  const upload = (host: Host64, inputs: readonly Float64Array[]) =>
    inputs.map((data, i) => {
      const tensor = host.empty(SHAPES[i]!);
      (tensor.data as unknown as Float64Array).set(data);
      return tensor;
    });
  checkGradient({
    forward: (inputs) => {
      const host = new Host64();
      const leaves = upload(host, inputs).map((value) => new Variable(value));
      return Float64Array.from(build(new Tape(host), leaves).value.data);
    },
    backward: (inputs, dY) => {
      const host = new Host64();
      const { gradients } = gradientsOf(host, upload(host, inputs), (y) => {
        const tensor = host.empty(y.shape);
        (tensor.data as unknown as Float64Array).set(dY);
        return tensor;
      });
      return gradients.map(({ data }) => Float64Array.from(data));
    },
    inputs: SHAPES.map((shape, i) => noise64(sizeOf(shape), { seed: SEED + i })),
    seed: SEED,
  });
});

gpuTest("operations on maps agree with the reference on a tape", async ({ gpu, host }) => {
  const run = (ctx: Context) => {
    const values = SHAPES.map((shape, i) =>
      ctx.upload(noise(sizeOf(shape), { seed: SEED + i }), shape)
    );
    return gradientsOf(ctx, values, (y) => ctx.upload(noise(y.value.size), y.shape));
  };
  const [found, expected] = [run(gpu), run(host)];
  const results = await gpu.read(found.y, ...found.gradients);
  [expected.y, ...expected.gradients].forEach(({ data }, i) => {
    assertClose(results[i]!, data, TOLERANCE.kernel, `result ${i} (seed ${SEED})`);
  });
});

gpuTest("groupNorm() writes the gradients of parameters in their places", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const parameter = (value: number) =>
      new Variable(ctx.upload(new Float32Array(2).fill(value), [2]), {
        gradient: ctx.upload(new Float32Array([99, 99]), [2]),
      });
    const [weight, bias] = [parameter(1), parameter(0)];
    const x = new Variable(ctx.upload(new Float32Array([1, -1, 1, -1]), [1, 1, 2, 2]));
    const tape = new Tape(ctx);
    const y = groupNorm(tape, x, { weight, bias }, { groups: 1, epsilon: 3 });
    const gradient = ctx.upload(new Float32Array([1, 2, 3, 4]), y.shape);
    tape.backward([{ variable: y, gradient }]);
    const [dWeight, dBias] = await ctx.read(tape.gradientOf(weight)!, tape.gradientOf(bias)!);
    assertClose(dWeight!, [2, -3], TOLERANCE.kernel);
    assertClose(dBias!, [4, 6], TOLERANCE.kernel);
  }
});

Deno.test("resizeNearest() takes a size or a factor", () => {
  using host = new Host();
  const x = new Variable(host.empty([1, 2, 3, 1]));
  assertEquals(resizeNearest(new Tape(host), x, { scale: 3 }).shape, [1, 6, 9, 1]);
  assertEquals(resizeNearest(new Tape(host), x, [4, 3]).shape, [1, 4, 3, 1]);
  assertThrows(() => resizeNearest(new Tape(host), x, { scale: 0.3 }), RangeError, "heights");
});

Deno.test("operations on maps refuse what does not fit", () => {
  using host = new Host();
  const variable = (...shape: number[]) => new Variable(host.empty(shape));
  const [x, v] = [variable(1, 2, 2, 4), variable(4)];
  const tape = new Tape(host);
  assertThrows(() => addChannels(tape, x, v), ShapeError, '"v"');
  const parameters = { weight: v, bias: variable(3) };
  assertThrows(() => groupNorm(tape, x, parameters, { groups: 2 }), ShapeError, '"bias"');
});
