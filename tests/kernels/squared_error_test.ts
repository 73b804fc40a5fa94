import { assertEquals, assertThrows } from "@std/assert";
import {
  squaredError,
  squaredErrorBytes,
  squaredErrorFlops,
  type SquaredErrorOptions,
} from "../../kernels/squared_error/mod.ts";
import { squaredErrorReference } from "../../kernels/squared_error/reference.ts";
import {
  type Context,
  DTypeError,
  Host,
  Scalar,
  type Shape,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { noise64, random, SEED } from "./_pointwise.ts";
import { LAYOUTS, MANY_ROWS, SHAPES, sweepRows } from "./_rows.ts";

/** One tensor of the two results, so that a sweep can compare it. */
function run(name: "loss" | "dX", weighted: "not" | "samples" | "elements" = "not") {
  return (ctx: Context, x: Tensor, options: SquaredErrorOptions): Tensor => {
    const target = random(ctx, x.shape, { seed: 5 });
    const range = { low: 0.5, high: 3, seed: 6 };
    const shape = weighted === "samples" ? [x.shape[0]!] : x.shape;
    const weights = weighted === "not" ? undefined : random(ctx, shape, range);
    // The factor lifts the gradients to the size of the tolerance's values.
    const how = { scale: x.shape[1]!, ...options };
    return squaredError(ctx, { x, target, weights }, how)[name];
  };
}

gpuTest("squaredError() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, { op: run("loss") });
  await sweepRows(context, { op: run("dX") });
});

gpuTest("squaredError() weighs samples or elements", async (context) => {
  const shapes = SHAPES.filter(([rows]) => rows < 40);
  const layouts = LAYOUTS.slice(0, 3);
  for (const weighted of ["samples", "elements"] as const) {
    for (const name of ["loss", "dX"] as const) {
      await sweepRows(context, { op: run(name, weighted), shapes, layouts });
    }
  }
});

gpuTest("squaredError() cuts long samples and folds many", async (context) => {
  const layouts = [{}, { variant: "serial" }, { variant: "tree", lanes: 64 }] as const;
  // The last one would not end in one row: a software adapter stops after some 65,000 turns.
  const shapes = [MANY_ROWS, [2, 8192], [3, 12_288], [1, 300_000]] as const;
  for (const name of ["loss", "dX"] as const) {
    await sweepRows(context, { op: run(name, "samples"), shapes, layouts });
  }
});

gpuTest("squaredError() takes maps, writes into out, and scales as told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const shape: Shape = [2, 1, 2, 1];
    const x = ctx.upload(new Float32Array([1, 2, 3, 4]), shape);
    const target = ctx.upload(new Float32Array([1, 4, 0, 0]), shape);
    const [outLoss, outGradient] = [ctx.empty([2]), ctx.empty(shape)];
    const made = squaredError(ctx, { x, target }, { outLoss, outGradient });
    assertEquals(made, { loss: outLoss, dX: outGradient });
    const { dX } = squaredError(ctx, { x, target }, { scale: new Scalar(2) });
    const [loss, gradient, scaled] = await ctx.read(outLoss, outGradient, dX);
    assertEquals([...loss!], [2, 12.5]);
    assertEquals([...gradient!], [0, -1, 1.5, 2]);
    assertEquals([...scaled!], [0, -4, 6, 8]);
  }
});

gpuTest("squaredError() of numbers without more axes", async ({ gpu }) => {
  const x = gpu.upload(new Float32Array([1, 2, 3]), [3]);
  const target = gpu.upload(new Float32Array([2, 2, 5]), [3]);
  const weights = gpu.upload(new Float32Array([1, 1, 0.5]), [3]);
  const { loss, dX } = squaredError(gpu, { x, target, weights }, { scale: 1 });
  const [losses, gradient] = await gpu.read(loss, dX);
  assertClose(losses!, [1, 0, 2], TOLERANCE.kernel);
  assertClose(gradient!, [-2, 0, -2], TOLERANCE.kernel);
});

Deno.test("the gradient of the reference of squaredError() is the derivative", () => {
  const target = noise64(20, { seed: 2 });
  const some = noise64(4, { low: 0.5, high: 4 });
  for (const weights of [undefined, some, noise64(20, { low: 0.5, high: 4 })]) {
    const compute = (x: Float64Array) => {
      const [loss, dX] = [new Float64Array(4), new Float64Array(20)];
      squaredErrorReference({ x, target, weights }, { loss, dX }, 1);
      return { loss, dX };
    };
    checkGradient({
      forward: ([x]) => compute(x!).loss,
      backward: ([x], dY) => [compute(x!).dX.map((g, i) => g * dY[Math.floor(i / 5)]!)],
      inputs: [noise64(20)],
      seed: SEED,
    });
  }
});

Deno.test("squaredError() refuses what does not fit", () => {
  using host = new Host();
  const x = host.empty([2, 3]);
  const target = host.empty([2, 3]);
  const whole = host.empty([2, 3], "i32");
  const three = host.empty([3]);
  assertThrows(() => squaredError(host, { x: whole, target }), DTypeError, '"x"');
  assertThrows(
    () => squaredError(host, { x: host.empty([2, 0]), target }),
    ShapeError,
    "one element",
  );
  assertThrows(() => squaredError(host, { x, target: three }), ShapeError, '"target"');
  assertThrows(() => squaredError(host, { x, target: whole }), DTypeError, '"target"');
  const inputs = { x, target };
  assertThrows(() => squaredError(host, { ...inputs, weights: three }), ShapeError, '"weights"');
  assertThrows(() => squaredError(host, { ...inputs, weights: whole }), DTypeError, '"weights"');
  assertThrows(() => squaredError(host, inputs, { outLoss: three }), ShapeError, '"outLoss"');
  assertThrows(
    () => squaredError(host, inputs, { outGradient: three }),
    ShapeError,
    '"outGradient"',
  );
});

gpuTest("squaredError() refuses a variant that does not exist", ({ gpu }) => {
  const x = gpu.empty([2, 3]);
  const variant = "fast" as "naive";
  assertThrows(() => squaredError(gpu, { x, target: x }, { variant }), RangeError, '"fast"');
});

Deno.test("squaredErrorFlops() and squaredErrorBytes() count what a loss does", () => {
  assertEquals(squaredErrorFlops([3, 5]), 75);
  assertEquals(squaredErrorBytes([3, 5]), 192);
});
