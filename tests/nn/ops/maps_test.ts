import { assertEquals, assertThrows } from "@std/assert";
import { groupNorm } from "../../../nn/ops/normalization.ts";
import { activation, addChannels } from "../../../nn/ops/pointwise.ts";
import { resizeNearest } from "../../../nn/ops/shape.ts";
import { Tape } from "../../../nn/tape.ts";
import { Variable } from "../../../nn/variable.ts";
import { Host, ShapeError } from "../../../runtime/mod.ts";
import { gpuTest } from "../../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../../_support/tolerance.ts";
import { checkTape, compareTape, type OnTape } from "./_on_tape.ts";

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

const ON_TAPE: OnTape = { shapes: SHAPES, build };

Deno.test("operations on maps pass gradients through a tape", () => checkTape(ON_TAPE));

gpuTest("operations on maps agree with the reference on a tape", async (contexts) => {
  await compareTape(ON_TAPE, contexts);
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
