import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as native from "onnxruntime-node";
import { memoryFeatures } from "../../data/mod.ts";
import {
  calibrate,
  chooseExecutor,
  Detector,
  embedDetector,
  exportDetector,
  exportJoined,
  findScore,
  formatTextLabels,
  type LabelSet,
  loadDetector,
  negLabel,
  saveDetector,
  scoreFeatures,
} from "../../methods/mod.ts";
import { fittedSynood } from "../../methods/synood/detector.ts";
import { deltaParameters, type Projection } from "../../methods/synood/model.ts";
import { projectImages } from "../../methods/synood/projection.ts";
import { loadProjection, saveProjection } from "../../methods/synood/projection_file.ts";
import type { ImageLength } from "../../methods/synood/settings.ts";
import { writeModel } from "../../onnx/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { clipVision } from "../_support/clip.ts";
import { gpuTest } from "../_support/gpu.ts";
import { temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { fitOnHost, floats, scoreOn } from "./_problem.ts";
import { CLASSES, drawImages, drawLabels, NEGATIVES, normals, WIDTH } from "./_synood.ts";

const COUNT = 9;
const IMAGES = floats(normals(COUNT * WIDTH, 5), [COUNT, WIDTH]);
const SET = memoryFeatures({ "image_embed": IMAGES }, { path: "test" });

/** A projection with nothing at 0 or 1. */
function drawProjection(images: ImageLength = "unit", width = WIDTH): Projection {
  const parameters = new Map(
    deltaParameters(width, 4).map(({ name, data }, i) => {
      const moves = normals(data.length, 10 + i);
      return [name, data.map((value, at) => value + 0.2 * moves[at]!)];
    }),
  );
  return { width, images, epsilon: 1e-5, parameters };
}

/** Labels as a training set of NegLabel. */
function negLabelSet(labels: LabelSet) {
  const { text, width, logitScale } = labels;
  return memoryFeatures({
    "image_embed": IMAGES,
    "text_embed": floats(text, [text.length / width, width]),
    "logit_scale": floats([logitScale], [1]),
  }, { metadata: formatTextLabels(labels) });
}

gpuTest("without a projection SynOOD is NegLabel, to the bit", async ({ gpu }) => {
  const labels = drawLabels();
  for (const groups of [1, 3, 100]) {
    const plain = await fitOnHost(negLabel, negLabelSet(labels), { groups });
    const fitted = fittedSynood(labels, undefined, { groups });
    assertEquals(fitted.parameters["groups"], plain.parameters["groups"]);
    assertEquals(fitted.parameters["tau"], plain.parameters["tau"]);
    using executor = await chooseExecutor("webgpu", { gpu: gpu.gpu });
    const how = { executor };
    assertEquals(await scoreFeatures(fitted, SET, how), await scoreFeatures(plain, SET, how));
    for (const device of ["reference", "wasm"] as const) {
      const expected = await scoreOn(device, plain, SET);
      assertEquals(await scoreOn(device, fitted, SET), expected, `${device}, ${groups} groups`);
    }
  }
});

gpuTest("with a projection it is NegLabel of what that gives, on every executor", async (on) => {
  const labels = drawLabels();
  for (const images of ["unit", "raw"] as const) {
    const projection = drawProjection(images);
    const features = await drawImages({ count: COUNT, seed: 5 });
    assertEquals(features.rows.gather([0]), new Uint8Array(IMAGES.data.buffer, 0, 4 * WIDTH));
    const projected = await projectImages(on.host, features, projection, { batch: 4 });
    const onGpu = await projectImages(on.gpu, features, projection);
    assertClose(onGpu, projected, TOLERANCE.kernel, `projected ${images} features`);
    const plain = await fitOnHost(negLabel, negLabelSet(labels), { groups: 4 });
    const set = memoryFeatures({ "image_embed": floats(projected, [COUNT, WIDTH]) });
    const expected = await scoreOn("reference", plain, set);
    const fitted = fittedSynood(labels, projection, { groups: 4 });
    using executor = await chooseExecutor("webgpu", { gpu: on.gpu.gpu });
    const found = {
      webgpu: await scoreFeatures(fitted, SET, { executor }),
      reference: await scoreOn("reference", fitted, SET),
      wasm: await scoreOn("wasm", fitted, SET),
    };
    for (const [device, scores] of Object.entries(found)) {
      assertClose(scores, expected, TOLERANCE.score, `${images} features on ${device}`);
    }
  }
});

Deno.test("a detector of SynOOD is saved, calibrated and embedded like every other", async () => {
  await using folder = await temporaryFolder();
  const fitted = fittedSynood(drawLabels(), drawProjection(), { groups: 5, seed: 3, tau: 0.05 });
  const scores = await scoreOn("reference", fitted, SET);
  const detector = new Detector(fitted, { metadata: { "text_model": "texts" } })
    .calibrated(calibrate(scores, { acceptance: 0.8 }));
  const path = `${folder.path}/detector.safetensors`;
  await saveDetector(detector, path);
  const loaded = await loadDetector(path);
  assertEquals(loaded.fitted.parameters, {
    classes: CLASSES,
    groups: 5,
    tau: 0.05,
    images: 0,
    epsilon: 1e-5,
    seed: 3,
  });
  assertEquals(loaded.metadata, { "text_model": "texts" });
  assertEquals(await scoreOn("reference", loaded.fitted, SET), scores);
  using embedded = await embedDetector(await Deno.readFile(path));
  const verdicts = await embedded.judge({ "image_embed": IMAGES.data as Float32Array });
  assertEquals(verdicts.map(({ score }) => score), [...scores]);
  assertEquals(verdicts.filter(({ isInDistribution }) => isInDistribution).length, 8);
  assert(verdicts[0]!.reason.startsWith("share of the known labels "));
  // As a graph of its own it needs nothing else.
  const session = await native.InferenceSession.create(exportDetector(loaded));
  const feeds = { "image_embed": new native.Tensor("float32", IMAGES.data, [COUNT, WIDTH]) };
  const { score } = await session.run(feeds);
  assertClose(score!.data as Float32Array, scores, TOLERANCE.score, "exported");
});

Deno.test("SynOOD joined to an image encoder scores pixels", async () => {
  const side = 32;
  const encoder = clipVision({ embed: WIDTH, side, patch: 16 });
  const fitted = fittedSynood(drawLabels(), drawProjection("raw"), { groups: 5 });
  const joined = exportJoined(new Detector(fitted), encoder);
  assertEquals(joined.outputs, { score: "score" });
  const pixels = new native.Tensor("float32", normals(2 * 3 * side * side, 7), [2, 3, side, side]);
  const alone = await native.InferenceSession.create(writeModel(encoder));
  const embeds = (await alone.run({ "pixel_values": pixels }))["image_embeds"]!;
  const set = memoryFeatures({
    "image_embed": floats(embeds.data as Float32Array, [2, WIDTH]),
  });
  const whole = await native.InferenceSession.create(joined.bytes);
  const { score } = await whole.run({ [joined.input]: pixels });
  const expected = await scoreOn("reference", fitted, set);
  assertClose(score!.data as Float32Array, expected, TOLERANCE.provider, "joined");
  const narrow = clipVision({ embed: 6, side, patch: 16 });
  assertThrows(
    () => exportJoined(new Detector(fitted), narrow),
    UserError,
    'the model\'s "image_embed" have 6 columns and the detector was fitted to 8',
  );
});

Deno.test("fittedSynood() refuses what does not fit, and says what it leaves out", () => {
  const labels = drawLabels();
  const refused = (make: () => unknown, why: string) => {
    assertEquals(assertThrows(make, UserError).message, why);
  };
  refused(
    () => fittedSynood(drawLabels({ negatives: [], kinds: [] })),
    "Cannot make a detector of these labels: there is no negative label",
  );
  refused(
    () => fittedSynood(labels, drawProjection("unit", 6)),
    "Cannot use the projection with these labels: it is 6 wide and the labels' features 8",
  );
  const make = "Cannot make a detector of these labels: ";
  refused(
    () => fittedSynood(labels, undefined, { groups: 1.5 }),
    `${make}the number of groups must be a whole number from 0: it is 1.5`,
  );
  refused(
    () => fittedSynood(labels, undefined, { tau: 0 }),
    `${make}τ (tau) must be above 0: it is 0`,
  );
  assertEquals(fittedSynood(labels).parameters["groups"], NEGATIVES);
  assertEquals(fittedSynood(labels).warnings, []);
  assertEquals(fittedSynood(labels, undefined, { groups: 4 }).warnings, [
    "3 of 11 negative labels are left out, because 4 groups of one size cannot hold them; another " +
    "number of groups may",
  ]);
});

Deno.test("SynOOD is trained and not fitted, and its name says so", async () => {
  assertThrows(() => findScore("synood"), UserError, "ood synood fit makes a detector");
  const [method] = [fittedSynood(drawLabels()).method];
  await assertRejects(
    () => method.fit({ train: SET, context: new Host() }),
    UserError,
    "Cannot fit SynOOD as a post-hoc score",
  );
});

Deno.test("loadProjection() refuses files that are none", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/projection.safetensors`;
  const projection = drawProjection("raw");
  await saveProjection(path, projection, { "text_model": "texts" });
  const { metadata, ...loaded } = await loadProjection(path);
  assertEquals(loaded, projection);
  assertEquals(metadata["text_model"], "texts");
  const refused = async (change: Partial<Projection>, why: string) => {
    await saveProjection(path, { ...projection, ...change });
    const error = await assertRejects(() => loadProjection(path), UserError);
    assertEquals(error.message, `Cannot read a projection of "${path}": ${why}`);
  };
  await refused({ epsilon: 0 }, '"epsilon" is "0"');
  await refused({ images: "long" as "raw" }, '"images" is "long"');
  const broken = new Map(projection.parameters);
  broken.set("norm.bias", new Float32Array(WIDTH).fill(NaN));
  await refused({ parameters: broken }, '"norm.bias" has a NaN or an infinity');
  await saveDetector(new Detector(fittedSynood(drawLabels())), path);
  await assertRejects(
    () => loadProjection(path),
    UserError,
    "it is none; a file from ood synood project was expected",
  );
});
