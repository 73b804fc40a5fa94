import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { type FeatureSet, memoryFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/mod.ts";
import {
  calibrate,
  chooseExecutor,
  Detector,
  firstCentres,
  type Fitted,
  fittedTagood,
  loadDetector,
  loadObjects,
  type ObjectRule,
  projectionParameters,
  saveDetector,
  scoreFeatures,
  scoreObjects,
  tagood,
  withScore,
  writeObjects,
} from "../../methods/mod.ts";
import { openFeatures } from "../../data/mod.ts";
import { type Context, Host, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 3;
const IMAGES = 13;
const [T, E, M, CLASSES] = [7, 5, 6, 4];
const SIZES = {
  inputs: E,
  maxTokens: T,
  width: 16,
  depth: 2,
  heads: 4,
  hidden: 24,
  classes: CLASSES,
};
const TAGS = [0, 2, 5];

function normals(length: number, stream: number): Float32Array<ArrayBuffer> {
  const rng = new Rng(SEED, stream);
  return Float32Array.from({ length }, () => rng.normal());
}

/** Outputs of a tagger; the first image has no in-distribution tag, the second a constant map. */
function taggerSet(): FeatureSet {
  const tagLogits = normals(IMAGES * M, 1);
  for (let m = 0; m < M; m++) tagLogits[m] = -3;
  const attention = normals(IMAGES * M * T, 2).map(Math.abs);
  attention.fill(0.25, M * T, 2 * M * T);
  return memoryFeatures({
    tokens: { data: normals(IMAGES * T * E, 3), shape: [IMAGES, T, E] },
    "tag_logits": { data: tagLogits, shape: [IMAGES, M] },
    attention: { data: attention, shape: [IMAGES, M, T] },
  });
}

function fittedModel(inputs: Readonly<Record<string, readonly number[]>>, tau = 0.4): Fitted {
  const parameters = new Map(
    projectionParameters(SIZES, SEED).map(({ name, data }) => [name, data]),
  );
  const centres = firstCentres(SIZES, SEED);
  return fittedTagood({ sizes: SIZES, parameters, centres, warnings: [] }, {
    kind: "tagger",
    tau,
    untagged: "none",
    oneTag: false,
    tags: TAGS,
    thresholds: [0, 0.1, -0.1],
    inputs,
  });
}

function inputsOf(set: FeatureSet): Record<string, readonly number[]> {
  const keys = ["tokens", "tag_logits", "attention"];
  return Object.fromEntries(keys.map((key) => [key, set.shape(key).slice(1)]));
}

async function scores(
  fitted: Fitted,
  set: FeatureSet,
  device: "reference" | "wasm" | "webgpu",
): Promise<Float32Array> {
  using executor = await chooseExecutor(device);
  return await scoreFeatures(fitted, set, { executor });
}

const CHOICES = [
  { distance: "cosine" },
  { distance: "euclidean" },
  { distance: "kl" },
  { variant: "code" },
  { tau: 0 },
  { tau: 1 },
] as const;

for (const choice of CHOICES) {
  Deno.test(`tagood scores alike on kernels, reference and graph: ${JSON.stringify(choice)}`, async () => {
    const set = taggerSet();
    const detector = withScore(new Detector(fittedModel(inputsOf(set))), choice);
    const expected = await scores(detector.fitted, set, "reference");
    const floor = "distance" in choice && choice.distance !== "cosine" || "variant" in choice
      ? 0
      : -1;
    assertEquals(expected[0], floor, "an image without a tag has the lowest score");
    const others = expected.subarray(1).filter((score) => score > floor);
    assertEquals(others.length > 0 || choice === CHOICES[5], true);
    const label = `seed ${SEED}`;
    assertClose(await scores(detector.fitted, set, "webgpu"), expected, TOLERANCE.score, label);
    assertClose(await scores(detector.fitted, set, "wasm"), expected, TOLERANCE.score, label);
  });
}

async function scoredByFile(ctx: Context, tau: number): Promise<[Float32Array, Float32Array]> {
  const folder = await Deno.makeTempDir();
  try {
    const set = taggerSet();
    const fitted = fittedModel(inputsOf(set), tau);
    const rule: ObjectRule = {
      kind: "tagger",
      tau,
      untagged: "none",
      oneTag: false,
      tags: Int32Array.from(TAGS),
      thresholds: Float32Array.of(0, 0.1, -0.1),
      ofClass: [],
    };
    await writeObjects(set, { rule, ctx, out: `${folder}/o.safetensors`, batch: 4 });
    await using file = await openFeatures(`${folder}/o.safetensors`);
    using objects = await loadObjects(file);
    const found = await scoreObjects(ctx, fitted, objects, { batch: 5 });
    return [found, await scores(fitted, set, "reference")];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

gpuTest("object files score as the tagger's outputs do", async ({ gpu }) => {
  for (const tau of [0, 0.4]) {
    const [found, expected] = await scoredByFile(gpu, tau);
    assertClose(found, expected, TOLERANCE.score, `seed ${SEED}, tau ${tau}`);
  }
});

Deno.test("object files score the same on the host", async () => {
  using host = new Host();
  const [found, expected] = await scoredByFile(host, 0.4);
  assertClose(found, expected, TOLERANCE.score, `seed ${SEED}`);
});

Deno.test("a verdict of an image without a tag says so", () => {
  const fitted = fittedModel(inputsOf(taggerSet()));
  const scores = Float32Array.from({ length: 100 }, (_, i) => i / 100);
  const detector = new Detector(fitted, { calibration: calibrate(scores) });
  assertEquals(detector.verdict(-1).reason, "no tag of a known class was predicted");
  assertStringIncludes(detector.verdict(0.5).reason, "closeness to the nearest class centre 0.500");
});

Deno.test("a saved TagOOD detector scores the same to the last bit", async () => {
  const set = taggerSet();
  const fitted = fittedModel(inputsOf(set));
  const folder = await Deno.makeTempDir();
  await saveDetector(new Detector(fitted), `${folder}/d.safetensors`);
  const loaded = await loadDetector(`${folder}/d.safetensors`);
  await Deno.remove(folder, { recursive: true });
  assertEquals(
    await scores(loaded.fitted, set, "reference"),
    await scores(fitted, set, "reference"),
  );
});

Deno.test("tagood refuses NaN attention, a missing output, and to be fitted", async () => {
  const set = taggerSet();
  const fitted = fittedModel(inputsOf(set));
  const attention = (await set.read("attention")).data as Float32Array<ArrayBuffer>;
  attention[30] = NaN;
  const rest = { tokens: await set.read("tokens"), "tag_logits": await set.read("tag_logits") };
  const broken = memoryFeatures({ ...rest, attention: { data: attention, shape: [IMAGES, M, T] } });
  await assertRejects(() => scores(fitted, broken, "reference"), UserError, "attention");
  const without = memoryFeatures(rest);
  await assertRejects(() => scores(fitted, without, "reference"), UserError, '"attention"');
  using host = new Host();
  await assertRejects(
    () => tagood.fit({ train: set, context: host }),
    UserError,
    "ood tagood train",
  );
  assertThrows(() => tagood.restore({ ...fitted.state(), arrays: {} }), UserError, "tags");
});
