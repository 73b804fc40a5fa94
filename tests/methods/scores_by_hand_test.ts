import { assert, assertEquals, assertRejects } from "@std/assert";
import { type FeatureSet, memoryFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import {
  ash,
  dice,
  diceReact,
  energy,
  featureNorm,
  gen,
  knn,
  lhact,
  line,
  mahalanobis,
  maxLogit,
  msp,
  odin,
  react,
  rmds,
  scale,
  ssd,
  vim,
} from "../../methods/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { fitOnHost, floats, labelsOf, makeProblem, scoreOn } from "./_problem.ts";

const SEED = 3;

Deno.test("msp, max_logit, energy and gen give what is worked out by hand", async () => {
  const logits = [Math.log(1), Math.log(3), Math.log(4)];
  const set = memoryFeatures({ logits: floats(logits, [1, 3]) });
  const score = async (method: typeof msp, parameters = {}) =>
    (await scoreOn("reference", await fitOnHost(method, set, parameters), set))[0]!;
  const actual = [
    await score(msp),
    await score(maxLogit),
    await score(energy),
    await score(gen, { gamma: 1, top: 2 }),
    await score(gen, { gamma: 2 }),
  ];
  // p = 1/8, 3/8, 4/8.
  const expected = [
    1 / 2,
    Math.log(4),
    Math.log(8),
    -(1 / 4 + 15 / 64),
    -(1 / 16 + (15 / 64) ** 2 + (7 / 64) ** 2),
  ];
  assertClose(actual, expected, TOLERANCE.score);
});

Deno.test("msp ties at 1 for confident rows, where energy still tells them apart", async () => {
  const set = memoryFeatures({ logits: floats([40, 0, 50, 0], [2, 2]) });
  const ties = await scoreOn("reference", await fitOnHost(msp, set), set);
  assertEquals([...ties], [1, 1]);
  const ranked = await scoreOn("reference", await fitOnHost(energy, set), set);
  assert(ranked[1]! > ranked[0]!);
});

Deno.test("gen keeps its digits for a row that is nearly certain", async () => {
  const set = memoryFeatures({ logits: floats([30, 0, -90, 20, 0, 0], [2, 3]) });
  const fitted = await fitOnHost(gen, set);
  // (1 - p) of the first class is exp(-30), which float32 cannot subtract from 1.
  const rest = Math.exp(-30) / (1 + Math.exp(-30));
  const tail = Math.exp(-120);
  const expected = -(rest ** 0.1 * (1 - rest) ** 0.1 + rest ** 0.1 + tail ** 0.1);
  for (const device of ["reference", "wasm"] as const) {
    const scores = await scoreOn(device, fitted, set);
    assertClose([scores[0]!], [expected], TOLERANCE.score, device);
  }
});

Deno.test("odin ranks images as the largest softmax does, where float32 no longer can", async () => {
  const rows = 40;
  const rng = new Rng(SEED + 3);
  const data = Float32Array.from({ length: rows * 10 }, () => 1e-3 * rng.normal());
  const set = memoryFeatures({ odin_logits: floats(data, [rows, 10]) });
  const order = (scores: ArrayLike<number>) =>
    Array.from({ length: rows }, (_, i) => i).sort((a, b) => scores[a]! - scores[b]!);
  const excess = Array.from({ length: rows }, (_, r) => {
    const row = data.subarray(10 * r, 10 * r + 10);
    return -row.reduce((sum, value) => sum + Math.expm1((value - Math.max(...row)) / 1000), 0);
  });
  const fitted = await fitOnHost(odin, set);
  for (const device of ["reference", "wasm"] as const) {
    assertEquals(order(await scoreOn(device, fitted, set)), order(excess), device);
  }
});

Deno.test("odin says which command makes the logits of moved images", async () => {
  const set = memoryFeatures({ logits: floats([1, 2], [1, 2]) }, { path: "plain" });
  // Nothing is learned, so the training set needs none.
  const fitted = await fitOnHost(odin, set);
  await assertRejects(
    () => scoreOn("reference", fitted, set),
    UserError,
    'Cannot score with "odin": "plain" has no "odin_logits" (ood extract --odin stores them); it ' +
      "has logits",
  );
});

Deno.test("react clips at NumPy's percentile of the validation data", async () => {
  const head = { "head.weight": floats([1, 0, 0, 1], [2, 2]), "head.bias": floats([0, 0], [2]) };
  const train = memoryFeatures({ features: floats([9, 9], [1, 2]), ...head });
  const validation = memoryFeatures({ features: floats([0, 1, 2, 5], [2, 2]) });
  const input = { train, context: new Host(), parameters: { percentile: 50 } };
  const fitted = await react.fit({ ...input, validation });
  const test = memoryFeatures({ features: floats([1, 3], [1, 2]) });
  const [score] = await scoreOn("reference", fitted, test);
  assertClose([score!], [Math.log(Math.exp(1) + Math.exp(1.5))], TOLERANCE.score);
});

Deno.test("knn takes the k-th of the bank, whatever the lengths of the vectors", async () => {
  const train = memoryFeatures({ features: floats([2, 0, 0, 3, -5, 0], [3, 2]) });
  const test = memoryFeatures({ features: floats([7, 0], [1, 2]) });
  for (const [k, expected] of [[1, 0], [2, -2], [3, -4]]) {
    const [score] = await scoreOn("reference", await fitOnHost(knn, train, { k: k! }), test);
    assertClose([score!], [expected!], TOLERANCE.score, `k ${k}`);
  }
});

Deno.test("knn takes zero vectors as they are", async () => {
  const train = memoryFeatures({ features: floats([0, 0, 0, 3], [2, 2]) });
  const test = memoryFeatures({ features: floats([0, 0], [1, 2]) });
  const fitted = await fitOnHost(knn, train, { k: 2 });
  for (const device of ["reference", "wasm"] as const) {
    assertClose(await scoreOn(device, fitted, test), [-1], TOLERANCE.score, device);
  }
});

Deno.test("mahalanobis measures in units of the deviation within classes", async () => {
  const train = memoryFeatures({
    features: floats([8, 1, 12, 1, 10, 0, 10, 2, -10, -3, -10, 3], [6, 2]),
    labels: labelsOf([0, 0, 0, 0, 1, 1]),
  });
  // Within classes: x varies by 8 / 6, y by (2 + 18) / 6.
  const test = memoryFeatures({ features: floats([12, 1, -10, 5], [2, 2]) });
  const scores = await scoreOn("reference", await fitOnHost(mahalanobis, train), test);
  assertClose(scores, [-4 / (8 / 6), -25 / (20 / 6)], TOLERANCE.score);
});

Deno.test("mahalanobis does not change when features are mapped affinely", async () => {
  const problem = makeProblem(SEED, { rows: 120, channels: 6, classes: 3 });
  const { train, test } = problem.arrays;
  const rng = new Rng(SEED + 2);
  const map = Float64Array.from(
    { length: 36 },
    (_, i) => (i % 7 === 0 ? 2 : 0) + 0.3 * rng.normal(),
  );
  const mapped = (arrays: typeof train) => {
    const { data, shape } = arrays["features"]!;
    const features = data.map((_, at) => {
      const row = Math.floor(at / 6) * 6;
      let sum = 3;
      for (let c = 0; c < 6; c++) sum += data[row + c]! * map[c * 6 + at % 6]!;
      return sum;
    });
    return memoryFeatures({ features: { data: features, shape }, labels: arrays["labels"]! });
  };
  const plain = await fitOnHost(mahalanobis, problem.train);
  const expected = await scoreOn("reference", plain, memoryFeatures(test));
  const fitted = await fitOnHost(mahalanobis, mapped(train));
  const actual = await scoreOn("reference", fitted, mapped(test));
  assertClose(actual, expected, TOLERANCE.affine, `seed ${SEED}`);
});

Deno.test("mahalanobis leaves out rows without a label and warns of empty classes", async () => {
  const train = memoryFeatures({
    features: floats([1, -1, 500, 9, 11], [5, 1]),
    labels: labelsOf([0, 0, -1, 2, 2]),
    logits: floats(new Float32Array(20), [5, 4]),
  }, { path: "some" });
  const fitted = await fitOnHost(mahalanobis, train);
  assertEquals(fitted.warnings, [
    'Mahalanobis leaves out 2 of 4 classes that have no rows in "some": 1, 3',
  ]);
  const test = memoryFeatures({ features: floats([500], [1, 1]) });
  assertClose(await scoreOn("reference", fitted, test), [-(490 ** 2)], TOLERANCE.score);
});

Deno.test("mahalanobis takes a single class and a constant channel", async () => {
  const train = memoryFeatures({
    features: floats([1, 7, -1, 7], [2, 2]),
    labels: labelsOf([0, 0]),
  });
  const test = memoryFeatures({ features: floats([3, 99], [1, 2]) });
  const fitted = await fitOnHost(mahalanobis, train);
  assertClose(await scoreOn("reference", fitted, test), [-9], TOLERANCE.score);
});

Deno.test("rmds measures near the classes against all of them as one", async () => {
  // Within classes: variance 1; between them: 4; so 5 over all.
  const train = memoryFeatures({
    features: floats([-3, -1, 1, 3, 99], [5, 1]),
    labels: labelsOf([0, 0, 1, 1, -1]),
  });
  const test = memoryFeatures({ features: floats([2, 5, -7], [3, 1]) });
  const scores = await scoreOn("reference", await fitOnHost(rmds, train), test);
  assertClose(scores, [4 / 5, -9 + 25 / 5, -25 + 49 / 5], TOLERANCE.score);
});

Deno.test("rmds is mahalanobis less the distance to all rows, for few classes and for many", async () => {
  // More classes than channels and fewer: the axes between classes come from either Gram matrix.
  for (const size of [{ channels: 5, classes: 9 }, { channels: 9, classes: 3 }]) {
    const { train, test } = makeProblem(SEED, { rows: 200, ...size });
    const asOne = memoryFeatures({
      features: await train.read("features"),
      labels: labelsOf(new Int32Array(200)),
    });
    const of = async (method: typeof rmds, set: FeatureSet) =>
      await scoreOn("reference", await fitOnHost(method, set), test);
    const [near, all] = [await of(mahalanobis, train), await of(mahalanobis, asOne)];
    const expected = near.map((value, i) => value - all[i]!);
    assertClose(await of(rmds, train), expected, TOLERANCE.affine, JSON.stringify(size));
  }
});

Deno.test("ssd does not change when features are scaled, and leaves out still channels", async () => {
  const features = [3, 4, 0, 4, 3, 0, 5, 1, 0, 1, 6, 0];
  const train = (factor: number) =>
    memoryFeatures({ features: floats(features.map((value) => factor * value), [4, 3]) });
  const test = memoryFeatures({ features: floats([1, 2, 0, 2, 1, 0], [2, 3]) });
  const expected = await scoreOn("reference", await fitOnHost(ssd, train(1)), test);
  const scores = await scoreOn("reference", await fitOnHost(ssd, train(1000)), test);
  assertClose(scores, expected, TOLERANCE.score);
});

Deno.test("dice keeps weights whose signed contribution exceeds the percentile", async () => {
  const train = memoryFeatures({
    features: floats([1, 1, 3, 1], [2, 2]),
    "head.weight": floats([-9, 1, 2, 3], [2, 2]),
  });
  const test = memoryFeatures({ features: floats([1, 1], [1, 2]) });
  // Contributions -18, 1, 4, 3; their median is 2.
  const [score] = await scoreOn("reference", await fitOnHost(dice, train, { sparsity: 50 }), test);
  assertClose([score!], [Math.log(1 + Math.exp(5))], TOLERANCE.score);
  // A contribution that is the bound itself stays away: it must exceed it.
  const [most] = await scoreOn("reference", await fitOnHost(dice, train, { sparsity: 100 }), test);
  assertClose([most!], [Math.log(2)], TOLERANCE.score);
});

Deno.test("dice_react takes its mask from unclipped training features, its clip from others", async () => {
  const train = memoryFeatures({
    features: floats([1, 9, 1, 9], [2, 2]),
    "head.weight": floats([3, 1], [1, 2]),
  });
  const validation = memoryFeatures({ features: floats([2, 2], [1, 2]) });
  const input = { train, validation, context: new Host(), parameters: { sparsity: 50 } };
  const fitted = await diceReact.fit(input);
  // Clipped at 2 the first weight would contribute most: 3 x 1 against 1 x 2.
  const test = memoryFeatures({ features: floats([5, 7], [1, 2]) });
  assertClose(await scoreOn("reference", fitted, test), [2], TOLERANCE.score);
});

Deno.test("ash and scale take rows without a feature above zero, and warn of them", async () => {
  const train = memoryFeatures({
    features: floats([0, 0, 0, 0, 1, 2, 0, 3], [2, 4]),
    "head.weight": floats([1, 2, 3, 4], [1, 4]),
    "head.bias": floats([0.5], [1]),
  }, { path: "some" });
  for (const [method, parameters] of [[ash, { variant: 2 }], [ash, {}], [scale, {}]] as const) {
    const fitted = await fitOnHost(method, train, { ...parameters, percentile: 50 });
    assertEquals(fitted.warnings.length, 1);
    assert(fitted.warnings[0]!.startsWith('1 of 2 rows of "some" have no feature above zero'));
    for (const device of ["reference", "wasm"] as const) {
      const [score] = await scoreOn(device, fitted, train);
      assertClose([score!], [0.5], TOLERANCE.score, method.name);
    }
  }
});

Deno.test("ash warns of negative features where it divides by no sum of them", async () => {
  const train = memoryFeatures({
    features: floats([1, -2, 3, 4], [2, 2]),
    "head.weight": floats([1, 2], [1, 2]),
  }, { path: "some" });
  const fitted = await fitOnHost(ash, train, { percentile: 50 });
  assertEquals(fitted.warnings, [
    'ASH is made for features after a ReLU, and 1 of 2 rows of "some" have negative ones',
  ]);
});

Deno.test("line keeps nothing for a class without rows, and says so", async () => {
  const train = memoryFeatures({
    features: floats([3, 1], [1, 2]),
    labels: labelsOf([0]),
    "head.weight": floats([1, 0.5, 0.1, 1], [2, 2]),
    "head.bias": floats([0.25, 0], [2]),
  }, { path: "some" });
  const fitted = await fitOnHost(line, train, { clip: 9 });
  assertEquals(fitted.warnings, [
    'LINe leaves out 1 of 2 classes that have no rows in "some": 1',
  ]);
  const test = memoryFeatures({ features: floats([0, 7], [1, 2]) });
  for (const device of ["reference", "wasm"] as const) {
    const scores = await scoreOn(device, fitted, test);
    assertClose(scores, [Math.log(1 + Math.exp(0.25))], TOLERANCE.score, device);
  }
});

Deno.test("lhact takes its bounds from the validation data, and keeps what was wished for", async () => {
  const head = { "head.weight": floats([1, 1], [1, 2]) };
  const train = memoryFeatures({ features: floats([9, 9], [1, 2]), ...head });
  const validation = memoryFeatures({ features: floats([0, 1, 2, 3, 4, 5], [3, 2]) });
  const percentiles = { "low_percentile": 20, "high_percentile": 80 };
  const input = { train, validation, context: new Host() };
  const fitted = await lhact.fit({ ...input, parameters: percentiles });
  assertEquals(fitted.parameters, { ...percentiles, h: 4, l: 1 });
  const test = memoryFeatures({ features: floats([0, 4], [1, 2]) });
  const [score] = await scoreOn("reference", fitted, test);
  assertClose([score!], [1 + 4 / Math.SQRT2 + 1], TOLERANCE.score);
  const wished = await lhact.fit({ ...input, parameters: { h: 7, l: 0.5 } });
  assertEquals([wished.parameters["h"], wished.parameters["l"]], [7, 0.5]);
});

Deno.test("vim subtracts the norm outside the principal subspace, scaled to the logits", async () => {
  const train = memoryFeatures({
    features: floats([4, 1, 4, -1], [2, 2]),
    "head.weight": floats([1, 0], [1, 2]),
    "head.bias": floats([-2], [1]),
  });
  const fitted = await fitOnHost(vim, train, { dim: 1 });
  // The origin is (2, 0): logits 2 on average, residual norm 1.
  const test = memoryFeatures({ features: floats([5, 3], [1, 2]) });
  assertClose(await scoreOn("reference", fitted, test), [3 - 2 * 3], TOLERANCE.score);
});

Deno.test("vim chooses its dimension by the number of features", async () => {
  const { train } = makeProblem(SEED, { rows: 60, channels: 13, classes: 3 });
  assertEquals((await fitOnHost(vim, train)).parameters, { dim: 6 });
});

Deno.test("feature_norm reads stored norms as well as maps", async () => {
  const map = memoryFeatures({ feature_map: floats([3, 4, -9, 0, 0, 2, -1, 0], [1, 2, 2, 2]) });
  const norms = memoryFeatures({ feature_norms: floats([5, 2], [1, 2]) });
  for (const set of [map, norms]) {
    const scores = await scoreOn("reference", await fitOnHost(featureNorm, set), set);
    assertClose(scores, [3.5], TOLERANCE.score);
  }
});
