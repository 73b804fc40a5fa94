import { assertEquals, assertThrows } from "@std/assert";
import {
  binaryCrossEntropy,
  binaryCrossEntropyBytes,
  binaryCrossEntropyFlops,
  type BinaryCrossEntropyOptions,
} from "../../kernels/binary_cross_entropy/mod.ts";
import { binaryCrossEntropyReference } from "../../kernels/binary_cross_entropy/reference.ts";
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
import { noise, noise64, random } from "./_pointwise.ts";
import { MANY_ROWS, SEED, SHAPES, sweepRows } from "./_rows.ts";

/** Targets of both kinds and between. */
function targetsOf(size: number): Float32Array<ArrayBuffer> {
  return noise(size, { low: 0, seed: 4 }).map((value) => value < 0.4 ? 0 : value < 0.7 ? 1 : value);
}

/** One tensor of the two results, so that a sweep can compare it. */
function run(name: "loss" | "dLogits", weighted = false) {
  return (ctx: Context, logits: Tensor, options: BinaryCrossEntropyOptions): Tensor => {
    const [, labels] = logits.shape as [number, number];
    const targets = ctx.upload(targetsOf(logits.size), logits.shape);
    const weights = weighted ? random(ctx, [labels], { low: 0.5, high: 9 }) : undefined;
    // The factor lifts the gradients to the size of the tolerance's values.
    const how = { scale: labels, ...options };
    return binaryCrossEntropy(ctx, { logits, targets, weights }, how)[name];
  };
}

gpuTest("binaryCrossEntropy() agrees with the reference in every layout", async (context) => {
  const fill = (shape: readonly [number, number]) =>
    noise(shape[0] * shape[1], { low: -12, high: 12 });
  await sweepRows(context, { op: run("loss"), fill });
  await sweepRows(context, { op: run("dLogits"), fill });
});

gpuTest("binaryCrossEntropy() weighs positive terms", async (context) => {
  const shapes = SHAPES.filter(([rows]) => rows < 40);
  const layouts = [{ variant: "naive" }, { variant: "serial" }, { variant: "tree" }] as const;
  for (const name of ["loss", "dLogits"] as const) {
    await sweepRows(context, { op: run(name, true), shapes, layouts });
  }
});

gpuTest("binaryCrossEntropy() folds grids beyond 65535 workgroups", async (context) => {
  const layouts = [{ variant: "serial" }, { variant: "tree", lanes: 64 }] as const;
  await sweepRows(context, { op: run("dLogits"), shapes: [MANY_ROWS], layouts });
});

gpuTest(
  "binaryCrossEntropy() takes logits of any size and keeps small gradients",
  async ({ gpu }) => {
    const values = [1e4, -1e4, 30, -30, 12, -12];
    const logits = gpu.upload(new Float32Array([...values, ...values]), [2, 6]);
    const targets = gpu.upload(new Float32Array(12).fill(1, 6), [2, 6]);
    const { loss, dLogits } = binaryCrossEntropy(gpu, { logits, targets }, { scale: 6 });
    const [losses, gradient] = await gpu.read(loss, dLogits);
    assertClose(losses!, [10042 / 6, 10042 / 6], TOLERANCE.kernel);
    const [far, near] = [Math.exp(-30), 1 / (1 + Math.exp(12))];
    assertClose(
      gradient!,
      [1, 0, 1, far, 1 - near, near, 0, -1, -far, -1, -near, near - 1],
      TOLERANCE.digits,
    );
  },
);

gpuTest("binaryCrossEntropy() writes into out, and scales as told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const logits = ctx.upload(new Float32Array(4), [2, 2]);
    const targets = ctx.upload(new Float32Array([0, 1, 1, 0]), [2, 2]);
    const [outLoss, outGradient] = [ctx.empty([2]), ctx.empty([2, 2])];
    const made = binaryCrossEntropy(ctx, { logits, targets }, { outLoss, outGradient });
    assertEquals(made, { loss: outLoss, dLogits: outGradient });
    const scale = new Scalar(4);
    const { dLogits } = binaryCrossEntropy(ctx, { logits, targets }, { scale });
    const [gradient, scaled] = await ctx.read(outGradient, dLogits);
    assertEquals([...gradient!], [0.125, -0.125, -0.125, 0.125]);
    assertEquals([...scaled!], [1, -1, -1, 1]);
  }
});

Deno.test("the gradient of the reference of binaryCrossEntropy() is the derivative", () => {
  const targets = Float64Array.from(targetsOf(20));
  for (const weights of [undefined, noise64(5, { low: 0.5, high: 4 })]) {
    const compute = (logits: Float64Array) => {
      const [loss, dLogits] = [new Float64Array(4), new Float64Array(20)];
      binaryCrossEntropyReference({ logits, targets, weights }, { loss, dLogits }, 1);
      return { loss, dLogits };
    };
    checkGradient({
      forward: ([logits]) => compute(logits!).loss,
      backward: (
        [logits],
        dY,
      ) => [compute(logits!).dLogits.map((g, i) => g * dY[Math.floor(i / 5)]!)],
      inputs: [noise64(20, { low: -3, high: 3 })],
      seed: SEED,
    });
  }
});

Deno.test("binaryCrossEntropy() has the values of a table", () => {
  using host = new Host();
  const logits = host.upload(new Float32Array([0.5, -1, 2]), [1, 3]);
  const targets = host.upload(new Float32Array([1, 0, 1]), [1, 3]);
  const plain = binaryCrossEntropy(host, { logits, targets });
  // log(1 + e^-0.5), log(1 + e^-1) and log(1 + e^-2).
  assertClose(plain.loss.data, [(0.474077 + 0.313262 + 0.126928) / 3], TOLERANCE.printed);
  const weights = host.upload(new Float32Array([2, 3, 0]), [3]);
  const weighted = binaryCrossEntropy(host, { logits, targets, weights });
  assertClose(weighted.loss.data, [(2 * 0.474077 + 0.313262) / 3], TOLERANCE.printed);
});

Deno.test("binaryCrossEntropy() refuses what does not fit", () => {
  using host = new Host();
  const logits = host.upload(new Float32Array(6), [2, 3]);
  const targets = host.upload(new Float32Array(6), [2, 3]);
  const whole = host.upload(new Int32Array(6), [2, 3]);
  const vector = host.upload(new Float32Array(2), [2]);
  assertThrows(
    () => binaryCrossEntropy(host, { logits: vector, targets }),
    ShapeError,
    '"logits"',
  );
  assertThrows(
    () => binaryCrossEntropy(host, { logits: host.empty([2, 0]), targets }),
    ShapeError,
    "one column",
  );
  assertThrows(
    () => binaryCrossEntropy(host, { logits, targets: vector }),
    ShapeError,
    '"targets"',
  );
  assertThrows(
    () => binaryCrossEntropy(host, { logits, targets: whole }),
    DTypeError,
    '"targets"',
  );
  const inputs = { logits, targets };
  assertThrows(
    () => binaryCrossEntropy(host, { ...inputs, weights: vector }),
    ShapeError,
    '"weights"',
  );
  assertThrows(
    () => binaryCrossEntropy(host, inputs, { outLoss: logits }),
    ShapeError,
    '"outLoss"',
  );
  assertThrows(
    () => binaryCrossEntropy(host, inputs, { outGradient: vector }),
    ShapeError,
    '"outGradient"',
  );
});

gpuTest("binaryCrossEntropy() refuses a variant that does not exist", ({ gpu }) => {
  const x = gpu.empty([2, 3]);
  const variant = "fast" as "naive";
  assertThrows(
    () => binaryCrossEntropy(gpu, { logits: x, targets: x }, { variant }),
    RangeError,
    '"fast"',
  );
});

Deno.test("binaryCrossEntropyFlops() and binaryCrossEntropyBytes() count what a loss does", () => {
  assertEquals(binaryCrossEntropyFlops({ rows: 3, columns: 5 }), 300);
  assertEquals(binaryCrossEntropyBytes({ rows: 3, columns: 5 }), 192);
});
