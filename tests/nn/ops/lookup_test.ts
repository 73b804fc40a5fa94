import { assertEquals } from "@std/assert";
import { lookupRows } from "../../../nn/ops/lookup.ts";
import { l2Normalize } from "../../../nn/ops/normalization.ts";
import { mul, scale } from "../../../nn/ops/pointwise.ts";
import { ParameterSet } from "../../../nn/parameters.ts";
import { Tape } from "../../../nn/tape.ts";
import { Variable } from "../../../nn/variable.ts";
import type { Context } from "../../../runtime/mod.ts";
import { checkGradient } from "../../_support/gradcheck.ts";
import { gpuTest } from "../../_support/gpu.ts";
import { Host64 } from "../../_support/host64.ts";
import { assertClose, TOLERANCE } from "../../_support/tolerance.ts";
import { noise, noise64, SEED } from "../../kernels/_pointwise.ts";

const [ROWS, WIDTH] = [5, 4];
const INDEX = Int32Array.of(3, 0, 3, 4);

/** Twice the looked-up rows of length one, times the rows themselves. */
function build(tape: Tape, table: Variable): Variable {
  const index = tape.ctx.upload(INDEX, [INDEX.length]);
  const rows = lookupRows(tape, table, { index });
  return mul(tape, scale(tape, l2Normalize(tape, rows), { factor: 2 }), rows);
}

Deno.test("lookupRows() and scale() pass gradients through a tape", () => {
  const leaf = (host: Host64, data: Float64Array) => {
    const tensor = host.empty([ROWS, WIDTH]);
    (tensor.data as unknown as Float64Array).set(data);
    return new Variable(tensor, { needsGradient: true });
  };
  checkGradient({
    forward: ([table]) => {
      const host = new Host64();
      return Float64Array.from(build(new Tape(host), leaf(host, table!)).value.data);
    },
    backward: ([data], dY) => {
      const host = new Host64();
      const table = leaf(host, data!);
      const tape = new Tape(host);
      const y = build(tape, table);
      const gradient = host.empty(y.shape);
      (gradient.data as unknown as Float64Array).set(dY);
      tape.backward([{ variable: y, gradient }]);
      return [Float64Array.from(tape.gradientOf(table)!.data)];
    },
    inputs: [noise64(ROWS * WIDTH)],
    seed: SEED,
  });
});

gpuTest(
  "the gradient of a table that learns is written where it belongs",
  async ({ gpu, host }) => {
    const dY = noise(INDEX.length * WIDTH, { seed: 3 });
    const gradients = async (ctx: Context) => {
      const data = noise(ROWS * WIDTH);
      using parameters = new ParameterSet(ctx, [{ name: "table", shape: [ROWS, WIDTH], data }]);
      ctx.write(parameters.gradients, new Float32Array(parameters.gradients.size).fill(NaN));
      const tape = new Tape(ctx);
      const y = build(tape, parameters.get("table"));
      tape.backward([{ variable: y, gradient: ctx.upload(dY, y.shape) }]);
      return (await ctx.read(parameters.get("table").gradient!))[0]!;
    };
    const expected = await gradients(host);
    assertClose(await gradients(gpu), expected, TOLERANCE.kernel);
    const unseen = [1, 2].flatMap((row) => [...expected.slice(row * WIDTH, (row + 1) * WIDTH)]);
    assertEquals(unseen, unseen.map(() => 0));
  },
);
