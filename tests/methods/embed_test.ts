import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import * as native from "onnxruntime-node";
import { memoryFeatures, type RgbImage, syntheticImage } from "../../data/mod.ts";
import type { GraphSession, ImageModel } from "../../methods/embed.ts";
import {
  calibrate,
  Detector,
  type EmbeddedDetector,
  embedDetector,
  exportJoined,
  findScore,
  saveDetector,
  SCORES,
} from "../../methods/mod.ts";
import { loadSidecar, readModel } from "../../onnx/mod.ts";
import { DeviceLostError, Gpu, Host, UserError } from "../../runtime/mod.ts";
import { bundle, foreignNames, forOlderEngines } from "../../tools/_bundle.ts";
import { gpuTest, openTestGpu } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { fitOnHost, makeProblem, type Problem, scoreOn } from "./_problem.ts";

const SEED = 31;
const SIZE = { rows: 60, channels: 12, classes: 4 };
const ROOT = new URL("../../", import.meta.url);

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function bytesOf(detector: Detector): Promise<Uint8Array<ArrayBuffer>> {
  const path = await Deno.makeTempFile();
  try {
    await saveDetector(detector, path);
    return await Deno.readFile(path);
  } finally {
    await Deno.remove(path);
  }
}

/** A calibrated detector's file, and the scores that it was calibrated with. */
async function fileOf(name: string, problem: Problem): Promise<{
  bytes: Uint8Array<ArrayBuffer>;
  detector: Detector;
  expected: Float32Array;
}> {
  const fitted = await fitOnHost(findScore(name), problem.train);
  const expected = await scoreOn("reference", fitted, problem.test);
  const detector = new Detector(fitted, { calibration: calibrate(expected) });
  return { bytes: await bytesOf(detector), detector, expected };
}

/** The arrays of the test set that a detector reads. */
function featuresOf(
  detector: Pick<EmbeddedDetector, "needs">,
  { arrays }: Problem,
): Record<string, { data: Float32Array; shape: readonly number[] }> {
  return Object.fromEntries(detector.needs.map((key) => {
    const name = key === "feature_norms" ? "feature_map" : key;
    const { data, shape } = arrays.test[name]!;
    return [name, { data: data as Float32Array, shape }];
  }));
}

for (const { name } of SCORES) {
  gpuTest(`an embedded ${name} detector judges as where it was fitted`, async ({ gpu }) => {
    const problem = makeProblem(SEED, SIZE);
    const { bytes, detector, expected } = await fileOf(name, problem);
    using plain = await embedDetector(bytes);
    assertEquals(plain.kind, "reference");
    const features = featuresOf(plain, problem);
    assertEquals(
      await plain.judge(features),
      Array.from(expected, (score) => detector.verdict(score)),
    );
    using onGpu = await embedDetector(bytes, { gpu: gpu.gpu });
    assertEquals(onGpu.kind, "webgpu");
    assertClose(await onGpu.score(features), expected, TOLERANCE.score);
  });
}

Deno.test("EmbeddedDetector.judge() takes plain arrays, of the rows that it is told or finds", async () => {
  const problem = makeProblem(SEED, SIZE);
  const { bytes, expected } = await fileOf("energy", problem);
  using detector = await embedDetector(bytes);
  const logits = problem.arrays.test["logits"]!.data as Float32Array;
  assertEquals((await detector.score({ logits })).length, expected.length);
  assertEquals((await detector.judge({ logits }, { rows: expected.length })).length, 20);
  assertEquals(await detector.judge({ logits: new Float32Array(0) }), []);
});

Deno.test("EmbeddedDetector.score() answers questions that overlap", async () => {
  const problem = makeProblem(SEED, SIZE);
  const { bytes, expected } = await fileOf("knn", problem);
  using detector = await embedDetector(bytes);
  const features = problem.arrays.test["features"]!.data as Float32Array;
  const row = (i: number) => features.subarray(12 * i, 12 * (i + 1));
  const answers = await Promise.all(
    Array.from(expected, (_, i) => detector.score({ features: row(i) })),
  );
  assertEquals(answers.map(([score]) => score), [...expected]);
});

Deno.test("EmbeddedDetector.score() cuts what no buffer would hold", async () => {
  const K = 5_000_000;
  const logits = { data: new Float32Array(K), shape: [1, K] };
  const train = memoryFeatures({ logits });
  const fitted = await findScore("max_logit").fit({ train, context: new Host() });
  using detector = await embedDetector(await bytesOf(new Detector(fitted)));
  const data = new Float32Array(2 * K);
  data[K - 1] = 3;
  data[K] = 4;
  assertEquals([...await detector.score({ logits: data })], [3, 4]);
});

Deno.test("EmbeddedDetector.judge() refuses what it cannot use, in one sentence", async () => {
  const problem = makeProblem(SEED, SIZE);
  const { bytes } = await fileOf("vim", problem);
  using detector = await embedDetector(bytes);
  const cases: [features: Record<string, Float32Array>, rows: number | undefined, what: string][] =
    [
      [{ logits: new Float32Array(4) }, 1, 'there is no "features"; there is logits'],
      [{}, 1, 'there is no "features"; there is nothing'],
      [{ features: new Float32Array(13) }, undefined, "13 numbers, and 2 rows of 12 were expected"],
      [{ features: new Float32Array(12) }, 2, "12 numbers, and 2 rows of 12 were expected"],
      [{ features: new Float32Array(24).fill(NaN, 20) }, 2, 'row 1 of "features" has a NaN'],
      [{ features: new Float32Array(12).fill(3e38) }, 1, "row 0 comes out as"],
    ];
  for (const [features, rows, what] of cases) {
    const options = rows === undefined ? {} : { rows };
    const error = await assertRejects(() => detector.judge(features, options), UserError);
    assertStringIncludes(error.message, `Cannot judge with "vim": `);
    assertStringIncludes(error.message, what);
  }
  const wide = { features: { data: new Float32Array(13), shape: [1, 13] } };
  await assertRejects(() => detector.judge(wide), UserError, "are 13, and the fit had 12");
});

Deno.test("EmbeddedDetector.judge() asks for the shape of what may have any", async () => {
  const problem = makeProblem(SEED, SIZE);
  const { bytes } = await fileOf("feature_norm", problem);
  using detector = await embedDetector(bytes);
  const map = problem.arrays.test["feature_map"]!.data as Float32Array;
  await assertRejects(() => detector.judge({ "feature_map": map }), UserError, "needs its shape");
  await assertRejects(
    () => detector.judge({}),
    UserError,
    'there is no "feature_norms" and no "feature_map" to make it of',
  );
  const other = { "feature_map": { data: new Float32Array(16), shape: [1, 4, 2, 2] } };
  await assertRejects(() => detector.judge(other), UserError, "the fit had 3 x any x any");
});

Deno.test("an embedded detector without a threshold scores and does not judge", async () => {
  const { train } = makeProblem(SEED, SIZE);
  const fitted = await fitOnHost(findScore("msp"), train);
  using detector = await embedDetector(await bytesOf(new Detector(fitted)));
  const logits = new Float32Array(4);
  assertEquals([...await detector.score({ logits })], [0.25]);
  await assertRejects(() => detector.judge({ logits }), UserError, "it has no threshold");
});

gpuTest("embedDetector() shares a device and leaves it alone", async ({ gpu }) => {
  const problem = makeProblem(SEED, SIZE);
  const { bytes, expected } = await fileOf("react", problem);
  for (let round = 0; round < 2; round++) {
    using detector = await embedDetector(bytes, { gpu: gpu.gpu.device });
    assertEquals(detector.kind, "webgpu");
    const features = featuresOf(detector, problem);
    assertClose(await detector.score(features), expected, TOLERANCE.score);
  }
});

gpuTest("a detector whose device is lost says so and can be opened again", async () => {
  const problem = makeProblem(SEED, SIZE);
  const { bytes, expected } = await fileOf("energy", problem);
  const lost = await openTestGpu();
  const before = await embedDetector(bytes, { gpu: lost });
  const features = featuresOf(before, problem);
  lost.device.destroy();
  await lost.device.lost;
  await assertRejects(() => before.judge(features), DeviceLostError);
  before[Symbol.dispose]();
  using gpu = await Gpu.open();
  using after = await embedDetector(bytes, { gpu });
  assertClose(await after.score(features), expected, TOLERANCE.score);
});

Deno.test("embedDetector() takes what there is when told auto", async () => {
  const problem = makeProblem(SEED, SIZE);
  const { bytes, expected } = await fileOf("gen", problem);
  using detector = await embedDetector(bytes, { gpu: "auto" });
  assertClose(await detector.score(featuresOf(detector, problem)), expected, TOLERANCE.score);
});

const SHIPPED = fileURLToPath(new URL("models/cifar10-resnet20.onnx", ROOT));

const tensor: ImageModel["tensor"] = (data, dims) => new native.Tensor("float32", data, dims);

function photos(count: number): RgbImage[] {
  return Array.from(
    { length: count },
    (_, index) => syntheticImage({ kind: "stripes", width: 48, height: 40, seed: SEED, index }),
  );
}

/** An energy detector of the shipped model, calibrated on anything. */
async function shippedDetector(metadata: Record<string, string>): Promise<Detector> {
  const train = memoryFeatures({ logits: { data: new Float32Array(10), shape: [1, 10] } });
  const fitted = await findScore("energy").fit({ train, context: new Host() });
  const calibration = calibrate(Float32Array.from({ length: 20 }, (_, i) => i));
  return new Detector(fitted, { metadata, calibration });
}

async function preprocessing(): Promise<Record<string, string>> {
  const sidecar = await loadSidecar(SHIPPED);
  return { preprocessing: JSON.stringify(sidecar!.preprocessing) };
}

Deno.test("EmbeddedDetector.judgeImages() judges alike through a joined graph and the model alone", async () => {
  const detector = await shippedDetector(await preprocessing());
  const joined = exportJoined(detector, await readModel(SHIPPED));
  using embedded = await embedDetector(await bytesOf(detector));
  const whole: GraphSession = await native.InferenceSession.create(joined.bytes);
  const alone: GraphSession = await native.InferenceSession.create(SHIPPED);
  const images = photos(3);
  const fromGraph = await embedded.judgeImages(images, { session: whole, tensor });
  const fromModel = await embedded.judgeImages(images, { session: alone, tensor });
  const scores = (verdicts: typeof fromGraph) => verdicts.map(({ score }) => score);
  assertClose(scores(fromModel), scores(fromGraph), TOLERANCE.score);
  assertEquals(fromGraph.map((verdict) => verdict.threshold), [1, 1, 1]);
  assertEquals(new Set(scores(fromGraph)).size, 3);
  const one = await embedded.judgeImages(images.slice(1, 2), {
    session: whole,
    tensor,
    input: joined.input,
    outputs: joined.outputs,
  });
  assertClose(scores(one), scores(fromGraph).slice(1, 2), TOLERANCE.score);
  assertEquals(await embedded.judgeImages([], { session: whole, tensor }), []);
});

Deno.test("EmbeddedDetector.judgeImages() takes RGBA as a canvas gives it", async () => {
  using embedded = await embedDetector(await bytesOf(await shippedDetector(await preprocessing())));
  const session: GraphSession = await native.InferenceSession.create(SHIPPED);
  const [image] = photos(1);
  const data = new Uint8ClampedArray(4 * 48 * 40);
  data.forEach((_, i) => data[i] = i % 4 === 3 ? 255 : image!.data[3 * (i >> 2) + i % 4]!);
  const canvas = { width: 48, height: 40, data };
  assertEquals(
    await embedded.judgeImages([canvas], { session, tensor }),
    await embedded.judgeImages([image!], { session, tensor }),
  );
});

Deno.test("EmbeddedDetector.judgeImages() lets sessions finish one run before the next", async () => {
  using embedded = await embedDetector(await bytesOf(await shippedDetector(await preprocessing())));
  let running = 0;
  const session: GraphSession = {
    inputNames: ["input"],
    outputNames: ["logits"],
    async run() {
      assertEquals(running++, 0);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
      return { logits: { data: new Float32Array(10), dims: [1, 10] } };
    },
  };
  const asked = photos(4).map((image) => embedded.judgeImages([image], { session, tensor }));
  assertEquals((await Promise.all(asked)).length, 4);
});

Deno.test("EmbeddedDetector.judgeImages() refuses what it cannot use, in one sentence", async () => {
  const known = await preprocessing();
  const session: GraphSession = {
    inputNames: ["input"],
    outputNames: ["other"],
    run: () => Promise.resolve({ other: { data: new Float32Array(2), dims: [2] } }),
  };
  const refusal = async (
    metadata: Record<string, string>,
    { images = photos(1), ...model }: Partial<ImageModel> & { images?: RgbImage[] } = {},
  ): Promise<string> => {
    using embedded = await embedDetector(await bytesOf(await shippedDetector(metadata)));
    const judge = () => embedded.judgeImages(images, { session, tensor, ...model });
    return (await assertRejects(judge, UserError)).message;
  };
  assertStringIncludes(await refusal({}), "the detector's file names no preprocessing");
  assertStringIncludes(await refusal({ preprocessing: "{" }), "it is no JSON text");
  assertStringIncludes(await refusal({ preprocessing: "{}" }), '"interpolation" must be');
  assertStringIncludes(await refusal(known), 'there is no "logits"; there is nothing');
  const outputs = { score: "other" };
  assertStringIncludes(
    await refusal(known, { outputs }),
    "has the shape [2] and 1 float32 numbers",
  );
  const spec = { ...JSON.parse(known["preprocessing"]!), resize: { shorter: 8 } };
  const [wide] = photos(1);
  const square = syntheticImage({ kind: "stripes", width: 9, height: 9, seed: 1, index: 0 });
  assertStringIncludes(
    await refusal({}, { preprocessing: spec, images: [wide!, square] }),
    "one comes out as 9 x 8 pixels and another as 8 x 8",
  );
});

let bundled: Promise<string> | undefined;

/** The bundle of the entry point, made once. */
function embedBundle(): Promise<string> {
  bundled ??= bundle("methods/embed.ts", fileURLToPath(ROOT));
  return bundled;
}

Deno.test("the bundles of the embed entry points need neither Deno nor Node", async () => {
  const plain = await embedBundle();
  assertEquals(foreignNames(plain), []);
  const trained = await bundle("methods/embed_tagood.ts", fileURLToPath(ROOT));
  assertEquals(foreignNames(trained), []);
  // The plain one is spared what only trained detectors run.
  assertEquals([plain, trained].map((code) => code.includes("object_mask_serial")), [false, true]);
  assertEquals(foreignNames(`import "node:fs"; Deno.cwd();`), [`"node:fs"`, "Deno.cwd"]);
});

/** What Node runs: scores of the detectors beside it, as JSON. */
const NODE_SCRIPT = `
import { readFileSync } from "node:fs";
import { embedDetector } from "./embed.mjs";
const scores = {};
for (const [name, features] of Object.entries(JSON.parse(readFileSync("features.json")))) {
  const detector = await embedDetector(readFileSync(name + ".safetensors"));
  const arrays = {};
  for (const [key, { data, shape }] of Object.entries(features)) {
    arrays[key] = { data: Float32Array.from(data), shape };
  }
  scores[name] = (await detector.judge(arrays)).map((verdict) => verdict.score);
  detector[Symbol.dispose]();
}
console.log(JSON.stringify(scores));
`;

async function hasNode(): Promise<boolean> {
  try {
    return (await new Deno.Command("node", { args: ["--version"] }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const isNodeMissing = !await hasNode();

Deno.test({
  name: `the bundle of the embed entry point scores in Node as here${
    isNodeMissing ? " (skipped: there is no node)" : ""
  }`,
  ignore: isNodeMissing,
  // esbuild's process lives a moment longer than its last answer.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    await inFolder(async (folder) => {
      const problem = makeProblem(SEED, SIZE);
      const here: Record<string, Float32Array> = {};
      const features: Record<string, unknown> = {};
      for (const { name } of SCORES) {
        const { bytes, detector, expected } = await fileOf(name, problem);
        here[name] = expected;
        features[name] = Object.fromEntries(
          Object.entries(featuresOf({ needs: detector.fitted.needs }, problem))
            .map(([key, { data, shape }]) => [key, { data: [...data], shape }]),
        );
        await Deno.writeFile(`${folder}/${name}.safetensors`, bytes);
      }
      await Deno.writeTextFile(`${folder}/features.json`, JSON.stringify(features));
      await Deno.writeTextFile(`${folder}/embed.mjs`, await forOlderEngines(await embedBundle()));
      await Deno.writeTextFile(`${folder}/run.mjs`, NODE_SCRIPT);
      const command = new Deno.Command("node", { args: ["run.mjs"], cwd: folder });
      const { stdout, stderr, success } = await command.output();
      assert(success, new TextDecoder().decode(stderr).slice(-500));
      const there: Record<string, number[]> = JSON.parse(new TextDecoder().decode(stdout));
      assertEquals(Object.keys(there), SCORES.map(({ name }) => name));
      for (const [name, expected] of Object.entries(here)) {
        assertClose(there[name]!, expected, TOLERANCE.score);
      }
    });
  },
});
