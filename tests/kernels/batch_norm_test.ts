import { assert, assertEquals, assertThrows } from "@std/assert";
import { planBatchNorm } from "../../kernels/batch_norm/_plan.ts";
import {
  batchNormBytes,
  batchNormFlops,
  batchNormInfer,
  batchNormInferGradient,
  batchNormTrain,
  batchNormTrainGradient,
  type BatchNormTrainOptions,
} from "../../kernels/batch_norm/mod.ts";
import {
  normalisationGradient,
  normalise,
  statisticsOf,
} from "../../kernels/batch_norm/reference.ts";
import { COLUMN_VARIANTS } from "../../kernels/column_reduce/mod.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { SEED, uniform } from "./_rows.ts";

/**
 * Rows enough for a gradient that does not cancel (that of two is 0), C of every remainder, totals that are no multiple of four, maps, more
 * rows than one chunk.
 */
const SHAPES: readonly (readonly number[])[] = [
  [5, 1],
  [8, 1],
  [6, 3],
  [5, 4],
  [7, 5],
  [9, 6],
  [13, 8],
  [4, 3, 5, 12],
  [101, 7],
  [2, 5, 7, 64],
  [257, 16],
  [1031, 3],
  [19, 255],
  [4099, 4],
];

const columnsOf = (shape: readonly number[]) => shape[shape.length - 1]!;
const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

interface Tensors {
  readonly x: Tensor;
  readonly dY: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly mean: Tensor;
  readonly variance: Tensor;
}

function tensors(ctx: Context, shape: readonly number[], offset = 0): Tensors {
  const columns = columnsOf(shape);
  const matrix = (seed: number) => uniform([1, sizeOf(shape)], { seed });
  const vector = (seed: number, low = -1) =>
    ctx.upload(uniform([1, columns], { seed, low, high: 2 }), [columns]);
  return {
    x: ctx.upload(matrix(1).map((value) => offset + Math.round(256 * value) / 256), shape),
    dY: ctx.upload(matrix(2), shape),
    weight: vector(3),
    bias: vector(4),
    mean: vector(5),
    variance: vector(6, 0.1),
  };
}

/** Output, statistics and moved running statistics, then all gradients. */
function train(
  ctx: Context,
  { x, dY, weight, bias, mean, variance }: Tensors,
  options: BatchNormTrainOptions,
): Tensor[] {
  const columns = weight.size;
  const [runningMean, runningVariance] = [mean, variance].map((tensor) => {
    const copy = ctx.empty([columns]);
    ctx.copy(tensor, copy);
    return copy;
  }) as [Tensor, Tensor];
  const inputs = { x, weight, bias, runningMean, runningVariance };
  const made = batchNormTrain(ctx, inputs, options);
  const relu = options.activation === "relu";
  const gradients = batchNormTrainGradient(ctx, {
    x,
    weight,
    mean: made.mean,
    inverseDeviation: made.inverseDeviation,
    dY,
    ...(relu ? { y: made.y } : {}),
  }, relu && options.variant === "naive" ? {} : options);
  const { dX, dWeight, dBias } = gradients;
  return [
    made.y,
    made.mean,
    made.inverseDeviation,
    runningMean,
    runningVariance,
    dX,
    dWeight,
    dBias,
  ];
}

const NAMES = ["y", "mean", "inverse", "runningMean", "runningVariance", "dX", "dWeight", "dBias"];

gpuTest("batchNormTrain() and its gradient agree with the reference", async ({ gpu, host }) => {
  for (const shape of SHAPES) {
    for (const activation of ["none", "relu"] as const) {
      using scope = gpu.scope();
      const expected = train(host, tensors(host, shape), { activation, momentum: 0.3 });
      const inputs = tensors(scope, shape);
      for (const variant of COLUMN_VARIANTS) {
        const label = `${variant}, ${activation} on [${shape}] (seed ${SEED})`;
        const run = () => train(scope, inputs, { activation, momentum: 0.3, variant });
        const actual = await scope.read(...run());
        actual.forEach((values, i) => {
          assertClose(values, expected[i]!.data, TOLERANCE.kernel, `${NAMES[i]}, ${label}`);
        });
        assertEquals(await scope.read(...run()), actual, `second run of ${label}`);
      }
    }
  }
});

gpuTest("batchNormTrain() keeps its digits where the mean is large", async ({ gpu, host }) => {
  for (const shape of [[37, 8], [1031, 3], [4099, 4]]) {
    // 1024 and steps of 1/256 are exact in f32, so only the kernel's own errors are left.
    const expected = train(host, tensors(host, shape, 1024), {});
    for (const variant of COLUMN_VARIANTS) {
      using scope = gpu.scope();
      const actual = await scope.read(...train(scope, tensors(scope, shape, 1024), { variant }));
      for (const i of [0, 1, 2, 3, 4]) {
        const label = `${NAMES[i]}, ${variant} on [${shape}]`;
        assertClose(actual[i]!, expected[i]!.data, TOLERANCE.kernel, label);
      }
    }
  }
});

gpuTest("batchNormInfer() and its gradient agree with the reference", async ({ gpu, host }) => {
  for (const shape of [[0, 3], [0, 4], [1, 1], [1, 4], ...SHAPES]) {
    for (const activation of ["none", "relu"] as const) {
      using scope = gpu.scope();
      const run = (ctx: Context, variant: "serial" | "tree") => {
        const { dY, ...inputs } = tensors(ctx, shape);
        const y = batchNormInfer(ctx, inputs, { activation, variant });
        const masked = activation === "relu" ? { y } : {};
        const { x, weight, mean, variance } = inputs;
        const alone = batchNormInferGradient(
          ctx,
          { weight, mean, variance, dY, ...masked },
          { variant },
        );
        const whole = batchNormInferGradient(
          ctx,
          { x, weight, mean, variance, dY, ...masked },
          { variant, needs: { weight: true, bias: true } },
        );
        assertEquals(Object.keys(alone), ["dX"]);
        return [y, alone.dX, whole.dX, whole.dWeight!, whole.dBias!];
      };
      const expected = run(host, "serial");
      for (const variant of ["serial", "tree"] as const) {
        const actual = await scope.read(...run(scope, variant));
        actual.forEach((values, i) => {
          const label = `${i}, ${variant}, ${activation} on [${shape}] (seed ${SEED})`;
          assertClose(values, expected[i]!.data, TOLERANCE.kernel, label);
        });
      }
    }
  }
});

gpuTest("batchNormTrain() of two rows is the sign of their difference", async ({ gpu }) => {
  const shape = [2, 3];
  const x = gpu.upload(new Float32Array([1, 5, -7, 3, 1, -7]), shape);
  const vector = (value: number) => gpu.upload(new Float32Array(3).fill(value), [3]);
  for (const variant of COLUMN_VARIANTS) {
    const [weight, bias] = [vector(2), vector(1)];
    const inputs = { x, weight, bias, runningMean: vector(0), runningVariance: vector(0) };
    const { y } = batchNormTrain(gpu, inputs, { variant });
    const [actual, variance] = await gpu.read(y, inputs.runningVariance);
    assertClose(actual!, [-1, 3, 1, 3, -1, 1], TOLERANCE.kernel, variant);
    assertClose(variance!, [0.2, 0.8, 0], TOLERANCE.kernel, variant);
  }
});

gpuTest("batchNormTrain() of many rows counts every one", async ({ gpu, host }) => {
  const shape = [200_003, 4];
  const expected = train(host, tensors(host, shape), {});
  for (const variant of ["serial", "tree"] as const) {
    using scope = gpu.scope();
    const actual = await scope.read(...train(scope, tensors(scope, shape), { variant }));
    actual.forEach((values, i) => {
      assertClose(values, expected[i]!.data, TOLERANCE.longSum, `${NAMES[i]}, ${variant}`);
    });
  }
});

gpuTest("batch normalisation writes where it is told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const { x, dY, weight, bias, mean, variance } = tensors(ctx, [5, 4]);
    const [out, outWeight, outBias] = [ctx.empty([5, 4]), ctx.empty([4]), ctx.empty([4])];
    const inputs = { x, weight, bias };
    const running = { runningMean: mean, runningVariance: variance };
    const made = batchNormTrain(ctx, { ...inputs, ...running }, { out });
    assert(made.y === out);
    assert(batchNormInfer(ctx, { ...inputs, mean, variance }, { out }) === out);
    const gradients = batchNormTrainGradient(ctx, { ...made, x, weight, dY }, {
      outWeight,
      outBias,
    });
    assert(gradients.dWeight === outWeight && gradients.dBias === outBias);
    const frozen = batchNormInferGradient(ctx, { x, weight, mean, variance, dY }, {
      outWeight,
      needs: { weight: true },
    });
    assert(frozen.dWeight === outWeight && frozen.dBias === undefined);
    await ctx.read(out, outWeight);
  }
});

Deno.test("the references' gradients are the derivatives", () => {
  const [rows, columns] = [7, 3];
  const point = (size: number, seed: number) =>
    Float64Array.from(uniform([1, size], { seed, low: 0.2, high: 1.7 }));
  const [x, weight, bias] = [point(rows * columns, 1), point(columns, 2), point(columns, 3)];
  const fixed = { mean: point(columns, 4), variance: point(columns, 5) };
  const epsilon = 0.01;
  for (const frozen of [false, true]) {
    for (const relu of [false, true]) {
      const forward = ([x, weight, bias]: Float64Array[]) => {
        const y = new Float64Array(x!.length);
        const statistics = frozen ? fixed : statisticsOf(x!, columns);
        normalise({ x: x!, weight: weight!, bias: bias! }, statistics, { epsilon, relu, y });
        return y;
      };
      checkGradient({
        forward,
        backward: ([x, weight, bias], dY) => {
          const { mean, variance } = frozen ? fixed : statisticsOf(x!, columns);
          const inverse = variance.map((value) => 1 / Math.sqrt(value + epsilon));
          const y = relu ? forward([x!, weight!, bias!]) : undefined;
          const dX = new Float64Array(x!.length);
          const [dWeight, dBias] = [new Float64Array(columns), new Float64Array(columns)];
          normalisationGradient(
            { x: x!, weight: weight!, mean, inverse, dY, y },
            { dX, dWeight, dBias },
            frozen,
          );
          return [dX, dWeight, dBias];
        },
        inputs: [x, weight, bias],
        seed: SEED,
      });
    }
  }
});

Deno.test("planBatchNorm() covers every group with whole blocks", () => {
  for (const variant of ["serial", "tree"] as const) {
    for (const rows of [0, 2, 1000, 131_072, 5_000_001]) {
      for (const columns of [1, 2, 3, 5, 64, 1000, 4096]) {
        const plan = planBatchNorm({ rows, columns }, variant);
        for (const pass of [plan.reduce, plan.map]) {
          assertEquals(pass.count * plan.width, rows * columns);
          assertEquals(pass.block % plan.groups, 0);
          assertEquals(pass.chunk % pass.block, 0);
          const lanes = pass.block / plan.groups;
          assertEquals(pass.invocations % lanes, 0);
          assert(pass.invocations / lanes * pass.chunk >= pass.count);
          assert(pass.chunk / pass.block < 60_000);
        }
        assertEquals(
          plan.parts * columns,
          plan.reduce.invocations * plan.groups * plan.width,
        );
      }
    }
  }
});

Deno.test("batch normalisation refuses wrong shapes, types and numbers", () => {
  using host = new Host();
  const { x, dY, weight, bias, mean, variance } = tensors(host, [3, 2]);
  const inputs = { x, weight, bias, runningMean: mean, runningVariance: variance };
  const three = host.empty([3]);
  const one = host.empty([1, 2]);
  assertThrows(() => batchNormTrain(host, { ...inputs, x: one }), ShapeError, "2 rows");
  assertThrows(() => batchNormTrain(host, { ...inputs, x: three }), ShapeError, '"x"');
  assertThrows(() => batchNormTrain(host, { ...inputs, weight: three }), ShapeError, '"weight"');
  assertThrows(
    () => batchNormTrain(host, { ...inputs, runningMean: three }),
    ShapeError,
    '"runningMean"',
  );
  assertThrows(() => batchNormTrain(host, inputs, { epsilon: 0 }), RangeError, "epsilon");
  assertThrows(() => batchNormTrain(host, inputs, { momentum: 2 }), RangeError, '"momentum"');
  const whole = host.empty([2], "i32");
  assertThrows(
    () => batchNormInfer(host, { x, weight, bias: whole, mean, variance }),
    DTypeError,
    '"bias"',
  );
  assertThrows(
    () => batchNormInfer(host, { x, weight, bias, mean, variance }, { out: one }),
    ShapeError,
    '"out"',
  );
  const frozen = { weight, mean, variance, dY };
  assertThrows(
    () => batchNormInferGradient(host, frozen, { needs: { weight: true } }),
    TypeError,
    'need "x"',
  );
  assertThrows(() => batchNormInferGradient(host, { ...frozen, y: one }), ShapeError, '"y"');
  const trained = { x, weight, mean, inverseDeviation: variance, dY };
  assertThrows(() => batchNormTrainGradient(host, { ...trained, dY: one }), ShapeError, '"dY"');
  assertThrows(
    () => batchNormTrainGradient(host, trained, { outBias: three }),
    ShapeError,
    '"outBias"',
  );
});

gpuTest("the naive variant says what it does not take", ({ gpu }) => {
  const { x, dY, weight, mean, variance } = tensors(gpu, [3, 2]);
  const trained = { x, weight, mean, inverseDeviation: variance, dY, y: x };
  const naive = { variant: "naive" } as const;
  assertThrows(
    () => batchNormTrainGradient(gpu, trained, naive),
    RangeError,
    "no fused activation",
  );
  if (gpu.gpu.adapter.isSoftware) {
    const many = gpu.empty([30_000, 2]);
    const inputs = { x: many, weight, bias: mean, runningMean: mean, runningVariance: variance };
    assertThrows(() => batchNormTrain(gpu, inputs, naive), RangeError, "at most 20000 rows");
  }
});

Deno.test("batchNormFlops() and batchNormBytes() count what each pass does", () => {
  assertEquals(batchNormFlops({ rows: 2, columns: 3 }), 66);
  assertEquals(batchNormFlops({ rows: 2, columns: 3, pass: "trainGradient" }), 60);
  assertEquals(batchNormBytes({ rows: 2, columns: 3 }), 72);
  assertEquals(batchNormBytes({ rows: 2, columns: 3, pass: "trainGradient" }), 120);
});
