import { assert, assertEquals, assertRejects } from "@std/assert";
import { type FeatureSet, memoryFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import {
  ash,
  chooseExecutor,
  dice,
  diceReact,
  energy,
  featureNorm,
  findScore,
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
  scoreFeatures,
  SCORES,
  ssd,
  vim,
} from "../../methods/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import golden from "../golden/scores.json" with { type: "json" };
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, difference, TOLERANCE } from "../_support/tolerance.ts";
import {
  fitOnHost,
  floats,
  labelsOf,
  makeProblem,
  type Problem,
  scoreOn,
  SMALL_PARAMETERS,
} from "./_problem.ts";

const SEED = 3;
const { shape } = golden;

function goldenSets(): { train: FeatureSet; test: FeatureSet } {
  const { head, train, test } = golden;
  const { channels, classes } = shape;
  const model = {
    "head.weight": floats(head.weight, [classes, channels]),
    "head.bias": floats(head.bias, [classes]),
  };
  return {
    train: memoryFeatures({
      features: floats(train.features, [shape.train, channels]),
      labels: labelsOf(train.labels),
      ...model,
    }, { path: "golden train" }),
    test: memoryFeatures({
      features: floats(test.features, [shape.test, channels]),
      logits: floats(test.logits, [shape.test, classes]),
      odin_logits: floats(test.odin_logits, [shape.test, classes]),
      feature_map: floats(test.feature_map, test.feature_map_shape),
      ...model,
    }, { path: "golden test" }),
  };
}

for (const { method, parameters, values } of golden.scores) {
  const named = `${method} ${JSON.stringify(parameters)}`;
  const wishes = parameters as Record<string, number>;

  for (const device of ["reference", "wasm"] as const) {
    Deno.test(`${named} gives NumPy's scores on ${device}`, async () => {
      const { train, test } = goldenSets();
      // K of the logits stands in the test set alone.
      const from = findScore(method).fitNeeds.length === 0 ? test : train;
      const fitted = await fitOnHost(findScore(method), from, wishes);
      assertClose(await scoreOn(device, fitted, test), values, TOLERANCE.score, named);
    });
  }

  gpuTest(`${named} gives NumPy's scores on webgpu, fitted there`, async ({ gpu }) => {
    const { train, test } = goldenSets();
    const from = findScore(method).fitNeeds.length === 0 ? test : train;
    const fitted = await findScore(method).fit({ train: from, parameters: wishes, context: gpu });
    using executor = await chooseExecutor("webgpu", { gpu: gpu.gpu });
    const scores = await scoreFeatures(fitted, test, { executor });
    assertClose(scores, values, TOLERANCE.score, named);
  });
}

for (const method of SCORES) {
  gpuTest(`${method.name} agrees on webgpu, in wasm and on the host`, async ({ gpu }) => {
    for (
      const size of [
        { rows: 150, channels: 33, classes: 7 },
        { rows: 301, channels: 64, classes: 10 },
      ]
    ) {
      const { train, test } = makeProblem(SEED, size);
      const fitted = await fitOnHost(method, train);
      const expected = await scoreOn("reference", fitted, test);
      using executor = await chooseExecutor("webgpu", { gpu: gpu.gpu });
      const onGpu = await scoreFeatures(fitted, test, { executor });
      assertClose(onGpu, expected, TOLERANCE.score, `webgpu, seed ${SEED}`);
      const inWasm = await scoreOn("wasm", fitted, test);
      assertClose(inWasm, expected, TOLERANCE.score, `wasm, seed ${SEED}`);
    }
  });

  Deno.test(`${method.name} does not depend on the order of training rows or of rows`, async () => {
    const problem = makeProblem(SEED, { rows: 90, channels: 16, classes: 4 });
    const fitted = await fitOnHost(method, problem.train);
    const expected = await scoreOn("reference", fitted, problem.test);
    const shuffled = shuffleRows(problem);
    const again = await fitOnHost(method, shuffled.train);
    const scores = await scoreOn("reference", again, shuffled.test);
    const inOrder = shuffled.order.map((from) => expected[from]!);
    assertClose(scores, inOrder, TOLERANCE.score, `seed ${SEED}`);
  });

  Deno.test(`${method.name} describes itself`, () => {
    assert(/^[a-z_]+$/.test(method.name));
    assert(method.title.length > 0 && method.source.length > 0);
    assert(method.summary.length > 0 && !method.summary.endsWith("."));
    assert(method.needs.length > 0);
    for (const spec of method.parameters) {
      assert(spec.default !== undefined || spec.rule !== undefined, spec.name);
      assert(spec.search.length > 0, spec.name);
    }
  });
}

/** The rows of both sets in another order; `order` says where the test rows came from. */
function shuffleRows(
  problem: Problem,
): { train: FeatureSet; test: FeatureSet; order: readonly number[] } {
  const rng = new Rng(SEED + 1);
  const permute = (arrays: Problem["arrays"]["train"], order: readonly number[]) =>
    Object.fromEntries(
      Object.entries(arrays).map(([key, array]) => {
        if (key.startsWith("head.")) return [key, array];
        const width = array.data.length / array.shape[0]!;
        const data = array.data.slice();
        order.forEach((from, to) =>
          data.set(array.data.subarray(from * width, (from + 1) * width), to * width)
        );
        return [key, { data, shape: array.shape }];
      }),
    );
  const orderOf = (count: number) => {
    const order = Array.from({ length: count }, (_, i) => i);
    rng.shuffle(order);
    return order;
  };
  const order = orderOf(problem.test.count);
  return {
    train: memoryFeatures(permute(problem.arrays.train, orderOf(problem.train.count))),
    test: memoryFeatures(permute(problem.arrays.test, order)),
    order,
  };
}

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

Deno.test("scores that need features move when parameters move", async () => {
  const { train, test } = makeProblem(SEED, { rows: 90, channels: 16, classes: 4 });
  const moves: [string, Record<string, number>, Record<string, number>][] = [
    ["react", { percentile: 90 }, { percentile: 70 }],
    ["dice", { sparsity: 90 }, { sparsity: 50 }],
    ["dice_react", { sparsity: 90 }, { sparsity: 50 }],
    ["ash", { percentile: 90 }, { percentile: 65 }],
    ["ash", { variant: 0 }, { variant: 1 }],
    ["scale", { percentile: 85 }, { percentile: 65 }],
    ["line", { percentile: 90 }, { percentile: 60 }],
    ["line", { activation_percentile: 90 }, { activation_percentile: 40 }],
    ["line", { weight_percentile: 90 }, { weight_percentile: 40 }],
    ["lhact", { high_percentile: 95 }, { high_percentile: 70 }],
    ["lhact", { low_percentile: 80 }, { low_percentile: 90 }],
    ["knn", { k: 1 }, { k: 9 }],
    ["vim", { dim: 4 }, { dim: 12 }],
    ["gen", { gamma: 0.1 }, { gamma: 1 }],
    ["energy", { temperature: 1 }, { temperature: 5 }],
    ["odin", { temperature: 1000 }, { temperature: 10 }],
  ];
  for (const [name, one, other] of moves) {
    const method = findScore(name);
    const a = await scoreOn("reference", await fitOnHost(method, train, one), test);
    const b = await scoreOn("reference", await fitOnHost(method, train, other), test);
    assert(difference(a, b, TOLERANCE.score).outside > 0, name);
  }
});

Deno.test("a fit with one seed gives the same bits again", async () => {
  const { train } = makeProblem(SEED, { rows: 90, channels: 16, classes: 4 });
  for (const method of SCORES) {
    const [a, b] = [await fitOnHost(method, train), await fitOnHost(method, train)];
    assertEquals(a.state(), b.state(), method.name);
  }
});

/** Fits that must be refused, and what the one sentence says. */
const REFUSED: readonly {
  readonly what: string;
  readonly method: string;
  readonly arrays: Parameters<typeof memoryFeatures>[0];
  readonly metadata?: Record<string, string>;
  readonly parameters?: Record<string, number>;
  readonly says: string;
}[] = [
  {
    what: "a set without features",
    method: "knn",
    arrays: { logits: floats([1, 2], [1, 2]) },
    says: 'Cannot fit "knn": "bad" has no "features"; it has logits',
  },
  {
    what: "a set without labels",
    method: "mahalanobis",
    arrays: { features: floats([1, 2], [2, 1]) },
    says:
      'Cannot fit "mahalanobis": "bad" has no "labels" (extract with --labels to store them); it ' +
      "has features",
  },
  {
    what: "labels that are all unknown",
    method: "mahalanobis",
    arrays: { features: floats([1, 2], [2, 1]), labels: labelsOf([-1, -1]) },
    says: 'no row of "bad" has a label',
  },
  {
    what: "negative features",
    method: "scale",
    arrays: { features: floats([1, -2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { percentile: 50 },
    says: '1 of 1 rows of "bad" have negative features, and it divides by sums of features',
  },
  {
    what: "negative features where it divides",
    method: "ash",
    arrays: { features: floats([1, -2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { percentile: 50, variant: 2 },
    says: 'Cannot fit "ash": 1 of 1 rows of "bad" have negative features',
  },
  {
    what: "to set all features to zero",
    method: "ash",
    arrays: { features: floats([1, 2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { percentile: 80 },
    says: 'Cannot set "ash.percentile" to 80: it leaves none of the 2 features of "bad"',
  },
  {
    what: "a label that the head has no class for",
    method: "line",
    arrays: {
      features: floats([1, 2], [1, 2]),
      labels: labelsOf([3]),
      "head.weight": floats([1, 2], [1, 2]),
    },
    says: 'Cannot fit "line": "bad" has the label 3, and its head has 1 classes',
  },
  {
    what: "bounds in the wrong order",
    method: "lhact",
    arrays: { features: floats([1, 2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { h: 1, l: 2 },
    says: "h is 1 and l is 2, and h above zero and above l was expected",
  },
  {
    what: "features that are zero up to the percentile",
    method: "lhact",
    arrays: { features: floats([0, 0], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    says: "h is 0 and l is 0, and h above zero and above l was expected; choose other percentiles",
  },
  {
    what: "rows of one class",
    method: "rmds",
    arrays: { features: floats([1, 2], [2, 1]), labels: labelsOf([0, 0]) },
    says: 'the rows of "bad" are of one class, and two or more were expected',
  },
  {
    what: "classes in one place",
    method: "rmds",
    arrays: { features: floats([1, 2, 1, 2], [4, 1]), labels: labelsOf([0, 0, 1, 1]) },
    says: 'the classes of "bad" have the same mean',
  },
  {
    what: "features that point the same way",
    method: "ssd",
    arrays: { features: floats([1, 2, 2, 4], [2, 2]) },
    says: 'the features of "bad" do not vary once they are normalised',
  },
  {
    what: "features that do not vary",
    method: "mahalanobis",
    arrays: { features: floats([1, 1], [2, 1]), labels: labelsOf([0, 0]) },
    says: 'the features of "bad" do not vary within any class',
  },
  {
    what: "a model without a linear head, with the reason",
    method: "vim",
    arrays: { features: floats([1, 2], [1, 2]) },
    metadata: { "head.reason": "a ReLU stands between the classifier and the pooling" },
    says: 'has no "head.weight", because a ReLU stands between the classifier and the pooling',
  },
  {
    what: "a model without a linear head",
    method: "react",
    arrays: { features: floats([1, 2], [1, 2]) },
    says: 'has no "head.weight", so there is no linear head',
  },
  {
    what: "a dimension as large as the features",
    method: "vim",
    arrays: { features: floats([1, 2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { dim: 2 },
    says: 'Cannot set "vim.dim" to 2: the features of "bad" have 2 channels',
  },
  {
    what: "features on a line, for the residual beyond it",
    method: "vim",
    arrays: {
      features: floats([1, 0, 0, 2, 0, 0, 3, 0, 0], [3, 3]),
      "head.weight": floats([1, 0, 0], [1, 3]),
    },
    parameters: { dim: 1 },
    says: 'the features of "bad" do not vary outside 1 dimensions',
  },
  {
    what: "a k above the size of the bank",
    method: "knn",
    arrays: { features: floats([1, 2], [2, 1]) },
    parameters: { k: 3 },
    says: 'Cannot fit "knn": knn.k is 3 and "bad" has 2 rows; choose a smaller k',
  },
  {
    what: "NaN among the features",
    method: "knn",
    arrays: { features: floats([1, NaN], [2, 1]) },
    parameters: { k: 1 },
    says: "NaN in row 1",
  },
  {
    what: "NaN in the head",
    method: "react",
    arrays: { features: floats([1, 2], [1, 2]), "head.weight": floats([1, NaN], [1, 2]) },
    says: '"head.weight" of "bad" has a NaN or infinity',
  },
  {
    what: "an empty set",
    method: "knn",
    arrays: { features: floats([], [0, 2]) },
    says: 'Cannot fit "knn": "bad" has no rows',
  },
];

for (const { what, method, arrays, metadata = {}, parameters = {}, says } of REFUSED) {
  Deno.test(`${method} refuses ${what}`, async () => {
    const train = memoryFeatures(arrays, { path: "bad", metadata });
    await assertRejects(
      () => findScore(method).fit({ train, parameters, context: new Host() }),
      UserError,
      says,
    );
  });
}

Deno.test("a head that does not give the logits is warned of", async () => {
  const { arrays } = makeProblem(SEED, { rows: 30, channels: 8, classes: 3 });
  const logits = arrays.train["logits"]!;
  const other = { ...arrays.train, logits: floats(logits.data, logits.shape) };
  other.logits.data.forEach((value, i) => other.logits.data[i] = value + 5);
  const good = await fitOnHost(react, memoryFeatures(arrays.train));
  const bad = await fitOnHost(react, memoryFeatures(other, { path: "other" }));
  assertEquals(good.warnings, []);
  assert(bad.warnings[0]!.startsWith('The head does not give the logits of "other"'));
});

Deno.test("progress reaches the number of rows in every stage", async () => {
  const { train } = makeProblem(SEED, { rows: 40, channels: 8, classes: 3 });
  for (const method of SCORES) {
    const last = new Map<string, number>();
    await method.fit({
      train,
      parameters: SMALL_PARAMETERS[method.name] ?? {},
      context: new Host(),
      onProgress: ({ stage, done, total }) => {
        assertEquals(total, 40);
        last.set(stage, done);
      },
    });
    assertEquals([...last.values()].every((done) => done === 40), true, method.name);
    assertEquals(last.size > 0, method.fitNeeds.length > 0, method.name);
  }
});
