import { assert, assertEquals, assertThrows } from "@std/assert";
import { type FeatureSet, memoryFeatures, openFeatures, openImages } from "../../data/mod.ts";
import { preprocessReference } from "../../kernels/preprocess/mod.ts";
import {
  blockOf,
  Detector,
  exportJoined,
  findScore,
  fitDetector,
  loadDetector,
  odinOf,
  requireSameSource,
  requireSameValues,
  saveDetector,
} from "../../methods/mod.ts";
import { extractFeatures, type HostArray, openSession, writeModel } from "../../onnx/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { encodeRgbPng, temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { SIDE, smoothImage, TWO_BLOCKS_SPEC, twoBlocks } from "../_support/two_blocks.ts";
import { floats, scoreOn } from "./_problem.ts";

/** A set of one row that says where it comes from. */
function setOf(metadata: Record<string, string>): FeatureSet {
  const arrays = {
    "feature_norms": floats([1, 2], [1, 2]),
    features: floats([1, 2], [1, 2]),
    logits: floats([1, 2], [1, 2]),
  };
  return memoryFeatures(arrays, { path: metadata["path"] ?? "set", metadata });
}

function fitTo(train: FeatureSet, name: string): Promise<Detector> {
  const parameters: Record<string, number> = name === "knn" ? { k: 1 } : {};
  return fitDetector(findScore(name), { train, parameters, context: new Host() });
}

const FIRST = { "model_hash": "m1", "value_of_feature_map": "a", "value_of_features": "x" };

Deno.test("requireSameSource() refuses another model and other values that the score reads", async () => {
  const norm = await fitTo(setOf(FIRST), "feature_norm");
  const knn = await fitTo(setOf(FIRST), "knn");
  const refuses = (detector: Detector, metadata: Record<string, string>, message: string) => {
    const set = setOf({ ...FIRST, ...metadata, path: "b.safetensors" });
    assertThrows(() => requireSameSource(detector, set), UserError, message);
  };
  refuses(norm, { "model_hash": "m2" }, "come from the model m2");
  refuses(
    norm,
    { "value_of_feature_map": "b" },
    'Cannot use "b.safetensors" with this detector: its "feature_norms" come from the value "b" ' +
      'of the model, and the detector was fitted to those from the value "a" of the model',
  );
  refuses(knn, { "value_of_features": "y" }, '"features" come from the value "y"');
  // What a score does not read does not matter, nor what nobody says.
  requireSameSource(knn, setOf({ ...FIRST, "value_of_feature_map": "b" }));
  requireSameSource(norm, setOf({ ...FIRST, "value_of_features": "y" }));
  requireSameSource(norm, setOf({}));
  requireSameSource(await fitTo(setOf({}), "feature_norm"), setOf(FIRST));
});

Deno.test("requireSameValues() compares the keys that scores read", () => {
  const train = setOf({ ...FIRST, path: "train" });
  const other = setOf({ ...FIRST, "value_of_feature_map": "b", path: "id" });
  requireSameValues(train, { sets: [train, other], keys: ["features", "logits"] });
  assertThrows(
    () => requireSameValues(train, { sets: [train, other], keys: ["logits", "feature_norms"] }),
    UserError,
    'Cannot use "id" with "train": its "feature_norms" come from the value "b" of the model, and ' +
      'those of "train" from the value "a" of the model',
  );
});

const MOVED = { ...FIRST, "odin_temperature": "1000", "odin_epsilon": "0.002" };

Deno.test("requireSameSource() and requireSameValues() refuse images that were moved otherwise", async () => {
  const train = setOf({ ...MOVED, path: "train" });
  const [same, other] = ["0.002", "0.004"].map((epsilon) =>
    setOf({ ...MOVED, "odin_epsilon": epsilon, path: `by ${epsilon}` })
  );
  const odin = await fitTo(train, "odin");
  requireSameSource(odin, same!);
  requireSameSource(await fitTo(train, "msp"), other!);
  const wrong = '"odin_logits" come from steps with epsilon 0.004, and ';
  assertThrows(
    () => requireSameSource(odin, other!),
    UserError,
    `${wrong}the detector was fitted to those from steps with epsilon 0.002`,
  );
  const keys = ["odin_logits"];
  requireSameValues(train, { sets: [same!], keys });
  // A training set without such logits says nothing of steps; the others are compared all the same.
  assertThrows(
    () => requireSameValues(setOf(FIRST), { sets: [same!, other!], keys }),
    UserError,
    `Cannot use "by 0.004" with "by 0.002": its ${wrong}those of "by 0.002" from steps`,
  );
});

Deno.test("odinOf() gives the steps that a detector's images must take", async () => {
  assertEquals(odinOf(await fitTo(setOf(MOVED), "msp")), undefined);
  assertEquals(odinOf(await fitTo(setOf(MOVED), "odin")), { temperature: 1000, epsilon: 0.002 });
  const silent = await fitTo(setOf(FIRST), "odin");
  assertThrows(() => odinOf(silent), UserError, "ood extract --odin");
});

Deno.test("fitDetector() keeps labels and values, and blockOf() those of scores on maps", async () => {
  const train = setOf({ ...FIRST, "label_names": '["cat"]', "run_hash": "0" });
  const { metadata } = await fitTo(train, "msp");
  assertEquals(metadata["label_names"], '["cat"]');
  assertEquals(metadata["value_of_features"], "x");
  assertEquals(metadata["run_hash"], undefined);
  assertEquals(blockOf(await fitTo(train, "msp")), undefined);
  assertEquals(blockOf(await fitTo(train, "feature_norm")), "a");
  assertEquals(blockOf(await fitTo(setOf({}), "feature_norm")), undefined);
});

Deno.test("a detector on another block than the last scores the same file, joined and images", async () => {
  const count = 4;
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.mkdir(`${path}/images`);
  for (let i = 0; i < count; i++) {
    await Deno.writeFile(`${path}/images/${i}.png`, await encodeRgbPng(smoothImage(i)));
  }
  const model = twoBlocks();
  const common = {
    model: writeModel(model),
    images: await openImages(`${path}/images`, { labels: "none" }),
    preprocessing: TWO_BLOCKS_SPEC,
    device: "wasm",
    workers: 0,
  } as const;
  await extractFeatures({ ...common, out: `${path}/first`, block: "pointwise" });
  await extractFeatures({ ...common, out: `${path}/last` });
  await using first = await openFeatures(`${path}/first`);
  await using last = await openFeatures(`${path}/last`);
  await saveDetector(await fitTo(first, "feature_norm"), `${path}/detector`);
  const detector = await loadDetector(`${path}/detector`);
  assertThrows(() => requireSameSource(detector, last), UserError, '"pointwise"');

  const expected = await scoreOn("reference", detector.fitted, first);
  const pixels = Array.from(
    { length: count },
    (_, i) => [...preprocessReference(smoothImage(i), TWO_BLOCKS_SPEC)],
  );
  const image = { data: Float32Array.from(pixels.flat()), shape: [count, 3, SIDE, SIDE] };
  const scoresOf = async (joined: ReturnType<typeof exportJoined>) => {
    await using session = await openSession(joined.bytes, { device: "wasm" });
    return (await session.run({ image }))[joined.outputs.score] as HostArray;
  };
  assertClose((await scoresOf(exportJoined(detector, model))).data, expected, TOLERANCE.provider);

  // Without metadata the last map is taken, whose norms are others.
  const plain = new Detector(detector.fitted);
  const lastScores = await scoreOn("reference", detector.fitted, last);
  assertClose((await scoresOf(exportJoined(plain, model))).data, lastScores, TOLERANCE.provider);
  assert(Math.abs(lastScores[0]! - expected[0]!) > 0.1, `${lastScores[0]} ${expected[0]}`);

  const lost = new Detector(detector.fitted, {
    metadata: { "value_of_feature_map": "pointwize" },
  });
  assertThrows(() => exportJoined(lost, model), UserError, 'did you mean "pointwise"');
});
