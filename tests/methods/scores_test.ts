import { assert, assertEquals } from "@std/assert";
import { ROW_KEYS } from "../../data/_feature_shapes.ts";
import { type FeatureSet, memoryFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { chooseExecutor, findScore, react, scoreFeatures, SCORES } from "../../methods/mod.ts";
import { Host } from "../../runtime/mod.ts";
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
        if (!ROW_KEYS.includes(key)) return [key, array];
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
    train: memoryFeatures(permute(problem.arrays.train, orderOf(problem.train.count)), {
      metadata: problem.train.metadata,
    }),
    test: memoryFeatures(permute(problem.arrays.test, order)),
    order,
  };
}

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
    ["mcm", { tau: 1 }, { tau: 0.1 }],
    ["neg_label", { groups: 5 }, { groups: 1 }],
    ["csp", { tau: 0.05 }, { tau: 0.02 }],
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
