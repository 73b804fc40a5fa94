import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type FeatureSet, type HostArray, memoryFeatures } from "../../data/mod.ts";
import {
  chooseExecutor,
  csp,
  embedDetector,
  findScore,
  fitDetector,
  formatTextLabels,
  mcm,
  type Mining,
  negLabel,
  saveDetector,
  scoreFeatures,
  scoreGraph,
} from "../../methods/mod.ts";
import { groupNegatives } from "../../methods/scores/_labels.ts";
import { openSession } from "../../onnx/mod.ts";
import { Host, type Tensor, UserError } from "../../runtime/mod.ts";
import golden from "../golden/labels.json" with { type: "json" };
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { fitOnHost, floats, scoreOn } from "./_problem.ts";

const { shape } = golden;
const IMAGES = floats(golden.images, [shape.images, shape.width]);

function names(classes: number, negatives: number, mining: Mining): Record<string, string> {
  return formatTextLabels({
    ids: Array.from({ length: classes }, (_, i) => `class ${i}`),
    negatives: Array.from({ length: negatives }, (_, i) => `other ${i}`),
    kinds: Array.from({ length: negatives }, () => "noun" as const),
    mining,
  });
}

/** The golden problem with some of its parts otherwise. */
function goldenSet(
  parts: {
    arrays?: Record<string, HostArray | undefined>;
    metadata?: Record<string, string>;
    path?: string;
  } = {},
): FeatureSet {
  const labels = shape.classes + shape.negatives;
  const arrays = Object.entries({
    "image_embed": IMAGES,
    "text_embed": floats(golden.text, [labels, shape.width]),
    "logit_scale": floats([golden["logit_scale"]], [1]),
    ...parts.arrays,
  }).filter((entry): entry is [string, HostArray] => entry[1] !== undefined);
  return memoryFeatures(Object.fromEntries(arrays), {
    path: parts.path ?? "train",
    metadata: parts.metadata ?? names(shape.classes, shape.negatives, "given"),
  });
}

for (const { method, parameters, seed, values } of golden.scores) {
  const named = `${method} ${JSON.stringify(parameters)} with seed ${seed}`;
  gpuTest(`${named} gives NumPy's scores everywhere`, async ({ gpu }) => {
    const set = goldenSet();
    const context = new Host();
    const wishes = parameters as Record<string, number>;
    const fitted = await findScore(method).fit({ train: set, parameters: wishes, seed, context });
    using executor = await chooseExecutor("webgpu", { gpu: gpu.gpu });
    const ways = {
      reference: await scoreOn("reference", fitted, set),
      wasm: await scoreOn("wasm", fitted, set),
      webgpu: await scoreFeatures(fitted, set, { executor }),
    };
    for (const [way, scores] of Object.entries(ways)) {
      assertClose(scores, values, TOLERANCE.score, `${named} on ${way}`);
    }
  });
}

gpuTest("the graphs of scores on labels run on onnxruntime's WebGPU provider", async ({ gpu }) => {
  const set = goldenSet();
  for (const method of [mcm, negLabel]) {
    const fitted = await fitOnHost(method, set, {});
    const expected = golden.scores.find((score) => score.method === method.name)!.values;
    await using session = await openSession(scoreGraph(fitted), { device: "webgpu", gpu: gpu.gpu });
    const embed = gpu.upload(IMAGES.data, IMAGES.shape);
    using score = (await session.run({ "image_embed": embed }))["score"] as Tensor;
    const [scores] = await gpu.read(score);
    assertClose(scores!, expected, TOLERANCE.score, method.name);
  }
});

Deno.test("image features of any length score alike, and texts are brought to unit length", async () => {
  const expected = await scoreOn("reference", await fitOnHost(negLabel, goldenSet()), goldenSet());
  const longer = (array: HostArray, factor: number) =>
    floats(Array.from(array.data, (value) => factor * value), array.shape);
  const images = longer(IMAGES, 7);
  const text = longer(await goldenSet().read("text_embed"), 0.25);
  const set = goldenSet({ arrays: { "image_embed": images, "text_embed": text } });
  const scores = await scoreOn("reference", await fitOnHost(negLabel, set), set);
  assertClose(scores, expected, TOLERANCE.score);
});

Deno.test("groupNegatives() drops the last labels and keeps every other one once", () => {
  const { groups, order } = groupNegatives(53, { groups: 10, seed: 0 });
  assertEquals(groups, 10);
  assertEquals(order.toSorted((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
  assert(order.some((label, i) => label !== i), "they are shuffled");
  assertEquals(groupNegatives(53, { groups: 10, seed: 0 }).order, order);
  assert(groupNegatives(53, { groups: 10, seed: 1 }).order.join() !== order.join());
  assertEquals(groupNegatives(3, { groups: 100, seed: 0 }).groups, 3);
  assertEquals(groupNegatives(3, { groups: 0, seed: 0 }).groups, 1);
});

Deno.test("negLabel takes its temperature from the model, and says what it took", async () => {
  const parameters = async (arrays: Record<string, HostArray | undefined>, wishes = {}) =>
    (await fitOnHost(negLabel, goldenSet({ arrays }), wishes)).parameters;
  assertEquals(await parameters({}), { groups: 53, tau: 1 / golden["logit_scale"] });
  assertEquals(await parameters({ "logit_scale": undefined }), { groups: 53, tau: 0.01 });
  assertEquals(await parameters({}, { groups: 1, tau: 2 }), { groups: 1, tau: 2 });
  const zero = { "logit_scale": floats([0], [1]) };
  await assertRejects(
    () => parameters(zero),
    UserError,
    'the "logit_scale" of "train" must be positive and is 0',
  );
});

Deno.test("csp refuses labels of NegLabel, and neg_label remarks on those of CSP", async () => {
  const mined = (mining: Mining) =>
    goldenSet({ metadata: names(shape.classes, shape.negatives, mining) });
  await assertRejects(
    () => fitOnHost(csp, mined("neg_label")),
    UserError,
    'Cannot fit "csp": the negative labels of "train" were found as NegLabel finds them; ood ' +
      "synood labels --mining csp finds CSP's",
  );
  for (const mining of ["csp", "given"] as const) {
    assertEquals((await fitOnHost(csp, mined(mining))).warnings, []);
  }
  assertEquals((await fitOnHost(negLabel, mined("neg_label"))).warnings, []);
  assertEquals((await fitOnHost(negLabel, mined("csp"))).warnings, [
    'The negative labels of "train" were found as CSP finds them, so this is CSP',
  ]);
});

Deno.test("scores on labels say what a training set lacks", async () => {
  const refuses = async (set: FeatureSet, says: string, method = negLabel) => {
    await assertRejects(() => fitOnHost(method, set), UserError, says);
  };
  for (const method of [mcm, negLabel, csp]) {
    const fit = `Cannot fit "${method.name}": "train"`;
    await refuses(
      goldenSet({ arrays: { "image_embed": undefined, features: IMAGES } }),
      `${fit} has no "image_embed" (a vision-language model gives them: ood synood features)`,
      method,
    );
    await refuses(
      goldenSet({ arrays: { "text_embed": undefined } }),
      `${fit} has no "text_embed" (ood synood features stores those of labels)`,
      method,
    );
    await refuses(
      goldenSet({ metadata: {} }),
      `${fit} does not say which texts are in-distribution labels`,
      method,
    );
    await refuses(
      goldenSet({ metadata: names(3, 4, "given") }),
      `${fit} names 3 in-distribution and 4 negative labels, and "text_embed" has 60 rows`,
      method,
    );
  }
  const alone = goldenSet({ metadata: names(60, 0, "given") });
  await refuses(alone, 'Cannot fit "neg_label": "train" has no negative labels; ood synood labels');
  await refuses(goldenSet({ metadata: { "text_labels": "{" } }), 'labels of "train"', mcm);
  assertEquals((await fitOnHost(mcm, alone)).parameters, { tau: 1 });
});

Deno.test("embeddings of another width are refused, within a set and against a detector", async () => {
  const narrow = floats(new Float32Array(8), [2, 4]);
  assertThrows(
    () => goldenSet({ arrays: { "image_embed": narrow } }),
    UserError,
    '"image_embed" has 4 embedding channels and "text_embed" has 24',
  );
  const fitted = await fitOnHost(mcm, goldenSet());
  const other = memoryFeatures({ "image_embed": narrow }, { path: "other" });
  await assertRejects(
    () => scoreOn("reference", fitted, other),
    UserError,
    '"image_embed" of "other" has 4 columns and the fit had 24',
  );
});

Deno.test("an embedded detector of labels judges image features alone", async () => {
  const detector = await fitDetector(negLabel, {
    train: goldenSet({
      metadata: { ...names(shape.classes, shape.negatives, "given"), "text_model": "5eaf00d" },
    }),
    context: new Host(),
  });
  assertEquals(detector.metadata["text_model"], "5eaf00d");
  const path = await Deno.makeTempFile();
  try {
    await saveDetector(detector, path);
    using embedded = await embedDetector(await Deno.readFile(path));
    const scores = await embedded.score({ "image_embed": IMAGES.data as Float32Array });
    const { values } = golden.scores.find(({ method }) => method === "neg_label")!;
    assertClose(scores, values, TOLERANCE.score);
  } finally {
    await Deno.remove(path);
  }
});
