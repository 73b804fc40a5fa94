import { assertEquals, assertThrows } from "@std/assert";
import {
  crossEntropy,
  crossEntropyBytes,
  crossEntropyFlops,
  type CrossEntropyOptions,
} from "../../kernels/cross_entropy/mod.ts";
import { crossEntropyRows } from "../../kernels/cross_entropy/reference.ts";
import { Rng } from "../../kernels/random/mod.ts";
import {
  type Context,
  DTypeError,
  Host,
  Scalar,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { MANY_ROWS, SEED, SHAPES, sweepRows } from "./_rows.ts";
import { noise64 } from "./_pointwise.ts";

/** Labels of all classes, a few that do not count. */
function labelsOf(rows: number, classes: number): Int32Array<ArrayBuffer> {
  const rng = new Rng(SEED, 1);
  return Int32Array.from({ length: rows }, (_, i) => i % 7 === 3 ? -100 : rng.integer(classes));
}

/** One tensor of the three results, so that a sweep can compare it. */
function run(name: "loss" | "dLogits" | "correct", extra: CrossEntropyOptions = {}) {
  return (ctx: Context, logits: Tensor, options: CrossEntropyOptions): Tensor => {
    const [rows, classes] = logits.shape as [number, number];
    const labels = ctx.upload(labelsOf(rows, classes), [rows]);
    return crossEntropy(ctx, { logits, labels }, { scale: 1, ...extra, ...options })[name];
  };
}

gpuTest("crossEntropy() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, { op: run("loss") });
  await sweepRows(context, { op: run("dLogits") });
  await sweepRows(context, { op: run("correct"), tolerance: TOLERANCE.exact });
});

gpuTest("crossEntropy() smooths labels", async (context) => {
  const shapes = SHAPES.filter(([rows]) => rows < 40);
  const layouts = [{ variant: "naive" }, { variant: "serial" }, { variant: "tree" }] as const;
  for (const name of ["loss", "dLogits"] as const) {
    const op = run(name, { labelSmoothing: 0.1, ignoreIndex: 2 });
    await sweepRows(context, { op, shapes, layouts });
  }
});

gpuTest("crossEntropy() folds grids beyond 65535 workgroups", async (context) => {
  const layouts = [{ variant: "serial" }, { variant: "tree", lanes: 64 }] as const;
  await sweepRows(context, { op: run("dLogits"), shapes: [MANY_ROWS], layouts });
});

gpuTest("crossEntropy() takes logits of any size", async (context) => {
  await sweepRows(context, {
    op: run("loss"),
    shapes: [[4, 12], [3, 7]],
    layouts: [{ variant: "naive" }, { variant: "tree" }],
    fill: ([rows, columns]) =>
      Float32Array.from({ length: rows * columns }, (_, i) => i % 3 === 0 ? 1e4 : -1e4 * (i % 5)),
  });
});

gpuTest("crossEntropy() counts a hit for the first of equal logits only", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const logits = ctx.upload(new Float32Array([1, 5, 5, 0, 1, 5, 5, 0, 2, 2, 2, 2]), [3, 4]);
    const labels = ctx.upload(new Int32Array([1, 2, 0]), [3]);
    const [correct] = await ctx.read(crossEntropy(ctx, { logits, labels }).correct);
    assertEquals([...correct!], [1, 0, 1]);
  }
});

gpuTest("crossEntropy() writes into out, and scales as told", async ({ gpu }) => {
  const logits = gpu.upload(new Float32Array([0, 0, 0, 0]), [2, 2]);
  const labels = gpu.upload(new Int32Array([0, 1]), [2]);
  const [outLoss, outCorrect] = [gpu.empty([2]), gpu.empty([2])];
  const outGradient = gpu.empty([2, 2]);
  const made = crossEntropy(gpu, { logits, labels }, { outLoss, outGradient, outCorrect });
  assertEquals(made, { loss: outLoss, dLogits: outGradient, correct: outCorrect });
  const twice = crossEntropy(gpu, { logits, labels }, { scale: new Scalar(2) }).dLogits;
  const [gradient, scaled] = await gpu.read(outGradient, twice);
  assertEquals([...gradient!], [-0.25, 0.25, 0.25, -0.25]);
  assertEquals([...scaled!], [-1, 1, 1, -1]);
});

Deno.test("the gradient of the reference of crossEntropy() is the derivative", () => {
  const labels = Int32Array.from([0, 4, -100, 2]);
  for (const smoothing of [0, 0.2]) {
    const run = (logits: Float64Array) => {
      const [loss, correct] = [new Float64Array(4), new Float64Array(4)];
      const dLogits = new Float64Array(20);
      const problem = { classes: 5, smoothing, ignored: -1, scale: 1 };
      crossEntropyRows({ logits, labels }, { loss, correct, dLogits }, problem);
      return { loss, dLogits };
    };
    checkGradient({
      forward: ([logits]) => run(logits!).loss,
      backward: ([logits], dY) => [run(logits!).dLogits.map((g, i) => g * dY[Math.floor(i / 5)]!)],
      inputs: [noise64(20, { low: -3, high: 3 })],
      seed: SEED,
    });
  }
});

Deno.test("crossEntropy() has the values of a table", () => {
  using host = new Host();
  const logits = host.upload(new Float32Array([1, 2, 3]), [1, 3]);
  const labels = host.upload(new Int32Array([2]), [1]);
  const { loss, dLogits } = crossEntropy(host, { logits, labels });
  assertClose(loss.data, [0.407606], TOLERANCE.printed);
  assertClose(dLogits.data, [0.090031, 0.244728, -0.334759], TOLERANCE.printed);
});

Deno.test("crossEntropy() refuses what does not fit", () => {
  using host = new Host();
  const logits = host.upload(new Float32Array(6), [2, 3]);
  const labels = host.upload(new Int32Array(2), [2]);
  const floats = host.upload(new Float32Array(2), [2]);
  assertThrows(() => crossEntropy(host, { logits: floats, labels }), ShapeError, '"logits"');
  assertThrows(() => crossEntropy(host, { logits, labels: floats }), DTypeError, '"labels"');
  const three = host.upload(new Int32Array(3), [3]);
  assertThrows(() => crossEntropy(host, { logits, labels: three }), ShapeError, '"labels"');
  const inputs = { logits, labels };
  assertThrows(() => crossEntropy(host, inputs, { labelSmoothing: 2 }), RangeError, "Smoothing");
  assertThrows(() => crossEntropy(host, inputs, { outLoss: logits }), ShapeError, '"outLoss"');
  assertThrows(
    () => crossEntropy(host, inputs, { outCorrect: labels }),
    DTypeError,
    '"outCorrect"',
  );
  assertThrows(
    () => crossEntropy(host, inputs, { outGradient: floats }),
    ShapeError,
    '"outGradient"',
  );
});

Deno.test("crossEntropyFlops() and crossEntropyBytes() count what a loss does", () => {
  assertEquals(crossEntropyFlops({ rows: 3, columns: 5 }), 135);
  assertEquals(crossEntropyBytes({ rows: 3, columns: 5 }), 156);
});
