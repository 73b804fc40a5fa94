import { assertEquals, assertThrows } from "@std/assert";
import { add, conv2d, mul, reshape, Tape, Variable } from "../../nn/mod.ts";
import { type Context, Host, type Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";

const vector = (ctx: Context, ...values: number[]) =>
  ctx.upload(new Float32Array(values), [values.length]);
const leaf = (ctx: Context, ...values: number[]) =>
  new Variable(vector(ctx, ...values), { needsGradient: true });

async function gradients(
  ctx: Context,
  build: (tape: Tape, leaves: readonly Variable[]) => Variable,
  leaves: readonly Variable[],
): Promise<number[][]> {
  const tape = new Tape(ctx);
  const y = build(tape, leaves);
  const gradient = ctx.upload(new Float32Array(y.value.size).fill(1), y.shape);
  tape.backward([{ variable: y, gradient }]);
  const found = await ctx.read(...leaves.map((x) => tape.gradientOf(x)!));
  return found.map((values) => [...values]);
}

gpuTest("gradients of a value that is read twice add up", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    // (a + b) * a + b: by a 2 a + b, by b a + 1.
    const build = (tape: Tape, [a, b]: readonly Variable[]) =>
      add(tape, mul(tape, add(tape, a!, b!), a!), b!);
    assertEquals(
      await gradients(ctx, build, [leaf(ctx, 3, -1), leaf(ctx, 5, 2)]),
      [[11, 0], [4, 0]],
    );
  }
});

gpuTest("both inputs of a sum get gradients of their own", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    // a is read by the sum and by the product: adding to its gradient must leave b's alone.
    const build = (tape: Tape, [a, b]: readonly Variable[]) =>
      add(tape, mul(tape, a!, a!), add(tape, a!, b!));
    assertEquals(await gradients(ctx, build, [leaf(ctx, 3), leaf(ctx, 7)]), [[7], [1]]);
  }
});

gpuTest("a sum of a value with itself, and ReLU on a sum", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const twice = (tape: Tape, [a]: readonly Variable[]) => add(tape, a!, a!);
    assertEquals(await gradients(ctx, twice, [leaf(ctx, 3)]), [[2]]);
    const relu = (tape: Tape, [a, b]: readonly Variable[]) =>
      add(tape, add(tape, a!, b!, { activation: "relu" }), a!);
    assertEquals(
      await gradients(ctx, relu, [leaf(ctx, 1, -4), leaf(ctx, 2, 1)]),
      [[2, 1], [1, 0]],
    );
  }
});

gpuTest("views pass gradients through", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const build = (tape: Tape, [a]: readonly Variable[]) => {
      const square = reshape(tape, a!, [2, 2]);
      return add(tape, reshape(tape, square, [4]), a!);
    };
    assertEquals(await gradients(ctx, build, [leaf(ctx, 1, 2, 3, 4)]), [[2, 2, 2, 2]]);
  }
});

gpuTest("a seed may be named twice and is not changed", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const tape = new Tape(ctx);
    const x = leaf(ctx, 2);
    const y = mul(tape, x, x);
    const gradient = vector(ctx, 10);
    const seed = { variable: y, gradient };
    tape.backward([seed, seed]);
    const [dX, kept] = await ctx.read(tape.gradientOf(x)!, gradient);
    assertEquals([[...dX!], [...kept!]], [[80], [10]]);
  }
});

gpuTest("a parameter that is used twice gets the sum, in its place", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const place = ctx.upload(new Float32Array([99]), [1, 1, 1, 1]);
    const value = ctx.upload(new Float32Array([3]), [1, 1, 1, 1]);
    const weight = new Variable(value, { gradient: place });
    const x = new Variable(ctx.upload(new Float32Array([2]), [1, 1, 1, 1]));
    const tape = new Tape(ctx);
    const y = conv2d(tape, conv2d(tape, x, { weight }), { weight });
    const gradient = ctx.upload(new Float32Array([1]), [1, 1, 1, 1]);
    tape.backward([{ variable: y, gradient }]);
    // y = w w x, so the derivative by w is 2 w x.
    assertEquals([...(await ctx.read(place))[0]!], [12]);
  }
});

gpuTest("the backward pass gives memory back, and keeps what is retained", async ({ gpu }) => {
  const x = leaf(gpu, 1, 2, 3);
  const tape = new Tape(gpu);
  const middle = tape.retain(mul(tape, x, x));
  const lost = mul(tape, middle, x);
  const y = add(tape, lost, middle);
  tape.backward([{ variable: y, gradient: vector(gpu, 1, 1, 1) }]);
  assertEquals([...(await gpu.read(middle.value))[0]!], [1, 4, 9]);
  assertThrows(() => lost.value.buffer, ReferenceError);
});

Deno.test("constants get no gradient, and nothing is recorded for them", () => {
  using host = new Host();
  const tape = new Tape(host);
  const a = new Variable(vector(host, 2));
  const y = mul(tape, a, a);
  assertEquals(y.needsGradient, false);
  tape.backward([{ variable: y, gradient: vector(host, 1) }]);
  assertEquals(tape.gradientOf(a), undefined);
  assertThrows(() => tape.backward([]), TypeError, "twice");
});

Deno.test("saved tensors go when nobody goes back", () => {
  using host = new Host();
  const saved: Tensor = vector(host, 1);
  const x = new Variable(vector(host, 1));
  new Tape(host).operation({ inputs: [x], output: x.value, saved: [saved], backward: () => {} });
  assertEquals(saved.disposed, true);
});
