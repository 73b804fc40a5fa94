import { assertEquals } from "@std/assert";
import {
  augment,
  backgroundMask,
  batchNormTrain,
  bestLabel,
  binaryCrossEntropy,
  centreLoss,
  channelNorms,
  columnMean,
  columnSum,
  confidenceGradient,
  conv2d,
  conv2dDataGradient,
  conv2dWeightGradient,
  cosineMax,
  describeVariants,
  euclideanMin,
  firstRows,
  firstRowsGradient,
  gatedProduct,
  generalizedEntropy,
  gradientNorm,
  headEnergy,
  insertClassToken,
  insertClassTokenGradient,
  keepTop,
  KERNEL_VARIANTS,
  klMin,
  kNearest,
  l2Normalize,
  labelMass,
  layerNorm,
  lookupRows,
  lookupRowsGradient,
  matmul,
  maxShare,
  moments,
  normHinge,
  objectMask,
  prefixSum,
  quadraticForm,
  raggedAttention,
  raggedAttentionGradient,
  raggedGather,
  raggedMean,
  renderWorld,
  repeatRows,
  rowArgmax,
  rowLogSumExp,
  rowMax,
  rowMaxSoftmax,
  rowMean,
  rowSum,
  signStep,
  softmax,
  softmaxExcess,
  updateCentres,
} from "../../kernels/mod.ts";
import type { Gpu, GpuContext, Tensor } from "../../runtime/mod.ts";
import { openTestGpu } from "../_support/gpu.ts";

const labels = (ctx: GpuContext) => ctx.upload(new Int32Array([0, 1, 1, 3]), [4]);
const offsets = (ctx: GpuContext) => ctx.upload(new Int32Array([0, 2, 3]), [3]);

/** Offsets of one list of four rows. */
function fourRows(ctx: GpuContext): Tensor {
  return ctx.upload(new Int32Array([0, 4]), [2]);
}

/** Every operation with forceable variants, on a matrix x [4, 8]. */
const RUNS: Readonly<Record<string, (ctx: GpuContext, x: Tensor) => unknown>> = {
  matmul: (ctx, x) => matmul(ctx, { a: x, b: x }, { transposeB: true }),
  conv2d: (ctx, x) => conv2d(ctx, { x: x.reshape([1, 2, 4, 4]), weight: x.reshape([4, 1, 2, 4]) }),
  conv2dDataGradient: (ctx, x) =>
    conv2dDataGradient(ctx, { dY: x.reshape([1, 2, 4, 4]), weight: x.reshape([4, 1, 2, 4]) }, {
      size: [2, 5],
    }),
  conv2dWeightGradient: (ctx, x) =>
    conv2dWeightGradient(ctx, { x: x.reshape([1, 2, 4, 4]), dY: x.reshape([1, 2, 4, 4]) }, {
      kernel: [1, 1],
    }),
  cosineMax: (ctx, x) => cosineMax(ctx, { features: x, centres: x }),
  euclideanMin: (ctx, x) => euclideanMin(ctx, { features: x, centres: x }),
  labelMass: (ctx, x) => labelMass(ctx, { x, labels: x }, { scale: 1, classes: 2, groups: 2 }),
  maxShare: (ctx, x) => maxShare(ctx, { x, labels: x }, { scale: 1 }),
  bestLabel: (ctx, x) => bestLabel(ctx, { x, labels: x }),
  klMin: (ctx, x) => klMin(ctx, { features: x, centres: x }),
  headEnergy: (ctx, x) => headEnergy(ctx, { features: x, weight: x }),
  quadraticForm: (ctx, x) =>
    quadraticForm(ctx, {
      x,
      mean: ctx.upload(new Float32Array(8), [8]),
      whitening: ctx.upload(new Float32Array(16), [8, 2]),
    }),
  kNearest: (ctx, x) => kNearest(ctx, { queries: x, bank: x }, { k: 2 }),
  moments: (ctx, x) => moments(ctx, { x, shift: ctx.upload(new Float32Array(8), [8]) }),
  backgroundMask: (ctx, x) =>
    backgroundMask(ctx, {
      features: x.reshape([1, 4, 8]),
      weight: ctx.upload(new Float32Array(16), [2, 8]),
      labels: ctx.upload(new Int32Array(1), [1]),
    }, { delta: 0.5 }),
  augment: (ctx) =>
    augment(ctx, {
      pixels: ctx.upload(new Uint32Array(3), [3]),
      draws: ctx.upload(new Int32Array(3), [1, 3]),
    }, {
      height: 1,
      width: 4,
      spec: { channels: "RGB", range: 1, mean: [0, 0, 0], scale: [1, 1, 1] },
    }),
  batchNorm: (ctx, x) => {
    const vector = () => ctx.upload(new Float32Array(8).fill(1), [8]);
    const running = { runningMean: vector(), runningVariance: vector() };
    return batchNormTrain(ctx, { x, weight: vector(), bias: vector(), ...running });
  },
  binaryCrossEntropy: (ctx, x) => binaryCrossEntropy(ctx, { logits: x, targets: x }),
  centreLoss: (ctx, x) => centreLoss(ctx, { centres: x, features: x, labels: labels(ctx) }),
  updateCentres: (ctx, x) => {
    const features = ctx.upload(new Float32Array(32), [4, 8]);
    return updateCentres(ctx, { centres: x, features, labels: labels(ctx) }, { rate: 0.1 });
  },
  insertClassToken: (ctx, x) =>
    insertClassToken(ctx, {
      x,
      offsets: offsets(ctx),
      token: ctx.upload(new Float32Array(8), [8]),
      positions: x,
    }),
  insertClassTokenGradient: (ctx, x) =>
    insertClassTokenGradient(ctx, { dY: x, offsets: offsets(ctx) }, { positions: 3 }),
  firstRows: (ctx, x) => firstRows(ctx, { x, offsets: offsets(ctx) }),
  firstRowsGradient: (ctx, x) =>
    firstRowsGradient(ctx, { dY: x, offsets: ctx.upload(new Int32Array(5), [5]) }, { rows: 6 }),
  repeatRows: (ctx, x) => repeatRows(ctx, { x }, { times: 2 }),
  lookupRows: (ctx, x) => lookupRows(ctx, { table: x, index: labels(ctx) }),
  lookupRowsGradient: (ctx, x) =>
    lookupRowsGradient(ctx, { dY: x, index: labels(ctx) }, { rows: 6 }),
  columnMean: (ctx, x) => columnMean(ctx, { x }),
  columnSum: (ctx, x) => columnSum(ctx, { x }),
  normHinge: (ctx, x) =>
    normHinge(ctx, { features: x, mask: ctx.upload(new Float32Array(4), [4]) }, { margin: 1 }),
  objectMask: (ctx, x) =>
    objectMask(ctx, {
      attention: x.reshape([1, 4, 8]),
      tagLogits: ctx.upload(new Float32Array(4), [1, 4]),
      tags: ctx.upload(new Int32Array([0, 1]), [2]),
      thresholds: ctx.upload(new Float32Array([-1, 1]), [2]),
    }, { tau: 0.5 }),
  prefixSum: (ctx) => prefixSum(ctx, { x: ctx.upload(new Int32Array(9), [9]) }),
  raggedGather: (ctx, x) =>
    raggedGather(ctx, {
      x: x.reshape([1, 4, 8]),
      keep: ctx.upload(new Int32Array(4), [1, 4]),
      offsets: ctx.upload(new Int32Array(2), [2]),
    }, { capacity: 4 }),
  raggedMean: (ctx, x) => raggedMean(ctx, { x, offsets: ctx.upload(new Int32Array([0, 4]), [2]) }),
  rowSum: (ctx, x) => rowSum(ctx, { x }),
  rowMean: (ctx, x) => rowMean(ctx, { x }),
  rowMax: (ctx, x) => rowMax(ctx, { x }),
  rowArgmax: (ctx, x) => rowArgmax(ctx, { x }),
  rowLogSumExp: (ctx, x) => rowLogSumExp(ctx, { x }),
  rowMaxSoftmax: (ctx, x) => rowMaxSoftmax(ctx, { x }),
  softmax: (ctx, x) => softmax(ctx, { x }),
  layerNorm: (ctx, x) => layerNorm(ctx, { x }),
  l2Normalize: (ctx, x) => l2Normalize(ctx, { x }),
  channelNorms: (ctx, x) => channelNorms(ctx, { map: x.reshape([1, 4, 2, 4]) }),
  raggedAttention: (ctx, x) =>
    raggedAttention(ctx, { q: x, k: x, v: x, offsets: fourRows(ctx) }, { heads: 2, maxLength: 4 }),
  raggedAttentionGradient: (ctx, x) =>
    raggedAttentionGradient(ctx, {
      ...{ q: x, k: x, v: x, y: x, dY: x, offsets: fourRows(ctx) },
      logSumExp: ctx.upload(new Float32Array(8), [4, 2]),
    }, { heads: 2, maxLength: 4 }),
  gatedProduct: (ctx, x) => gatedProduct(ctx, { features: x, weight: x }),
  generalizedEntropy: (ctx, x) => generalizedEntropy(ctx, { x }, { gamma: 0.1, top: 4 }),
  renderWorld: (ctx) => renderWorld(ctx, []),
  gradientNorm: (ctx, x) => gradientNorm(ctx, { features: x, logits: x }),
  keepTop: (ctx, x) => keepTop(ctx, { x }, { count: 3 }),
  softmaxExcess: (ctx, x) => softmaxExcess(ctx, { x }),
  confidenceGradient: (ctx, x) => confidenceGradient(ctx, { logits: x }),
  signStep: (ctx, x) => signStep(ctx, { x, gradient: x }, { step: Array(8).fill(1) }),
};

async function runs(gpu: Gpu, operation: string): Promise<boolean> {
  using scope = gpu.scope();
  const x = scope.upload(Float32Array.from({ length: 32 }, (_, i) => (i % 7) / 7), [4, 8]);
  try {
    RUNS[operation]!(scope, x);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
  await gpu.idle();
  return true;
}

for (const operation of Object.keys(RUNS)) {
  Deno.test(`${operation} takes every variant that KERNEL_VARIANTS lists and no other`, async () => {
    for (const variant of [...KERNEL_VARIANTS[operation]!, "no-such-variant"]) {
      using gpu = await openTestGpu({ variants: { [operation]: variant } });
      assertEquals(await runs(gpu, operation), variant !== "no-such-variant", variant);
    }
  });
}

Deno.test("describeVariants() names one variant for each operation that has several", async () => {
  using gpu = await openTestGpu({ variants: { softmax: "tree" } });
  const described = describeVariants(gpu);
  assertEquals(Object.keys(described).sort(), Object.keys(KERNEL_VARIANTS).sort());
  assertEquals(described["softmax"], "tree (forced)");
});
