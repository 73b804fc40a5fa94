import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as native from "onnxruntime-node";
import { memoryFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import {
  calibrate,
  Detector,
  exportDetector,
  exportJoined,
  findScore,
  type Fitted,
  scoreGraph,
  SCORES,
} from "../../methods/mod.ts";
import {
  exposeForExtraction,
  GraphBuilder,
  headWeights,
  inspect,
  type OnnxModel,
  openSession,
  parseModel,
  readModel,
} from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { fitOnHost, floats, labelsOf, makeProblem, scoreOn } from "./_problem.ts";

const SEED = 8;
const SHIPPED = fileURLToPath(new URL("../../models/cifar10-resnet20.onnx", import.meta.url));

async function runNative(
  bytes: Uint8Array,
  inputs: Record<string, { data: Float32Array; shape: readonly number[] }>,
): Promise<Record<string, Float32Array>> {
  const session = await native.InferenceSession.create(bytes);
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, { data, shape }]) => [
      name,
      new native.Tensor("float32", data, shape),
    ]),
  );
  const outputs = await session.run(feeds);
  await session.release();
  return Object.fromEntries(
    Object.entries(outputs).map(([name, tensor]) => [name, tensor.data as Float32Array]),
  );
}

for (const method of SCORES) {
  Deno.test(`an exported ${method.name} detector runs in onnxruntime's native build`, async () => {
    const { train, test, arrays } = makeProblem(SEED, { rows: 75, channels: 18, classes: 4 });
    const fitted = await fitOnHost(method, train);
    const expected = await scoreOn("reference", fitted, test);
    const map = arrays.test["feature_map"]!;
    const norms = Float32Array.from({ length: map.shape[0]! * 3 }, (_, i) => {
      const plane = map.data.subarray(4 * i, 4 * i + 4);
      return Math.hypot(...plane.map((value) => Math.max(0, value)));
    });
    const inputs = Object.fromEntries(fitted.needs.map((key) => {
      const { data, shape } = key === "feature_norms"
        ? floats(norms, [map.shape[0]!, 3])
        : arrays.test[key]!;
      return [key, { data: data as Float32Array, shape }];
    }));
    const { score } = await runNative(exportDetector(new Detector(fitted)), inputs);
    assertClose(score!, expected, TOLERANCE.score, `seed ${SEED}`);
  });

  Deno.test(`${method.name} exports with default operators and an open number of rows`, async () => {
    const { train } = makeProblem(SEED, { rows: 75, channels: 18, classes: 4 });
    const fitted = await fitOnHost(method, train);
    const model = scoreGraph(fitted);
    assertEquals(model.proto.opsetImport.map(({ domain, version }) => [domain ?? "", version]), [
      ["", 17],
    ]);
    assertEquals(model.graph.outputs.map(({ name, shape }) => [name, shape]), [["score", ["N"]]]);
    for (const { name, shape } of model.graph.inputs) {
      assertEquals(shape, ["N", ...fitted.inputs[name]!]);
    }
  });
}

Deno.test("an exported detector names its method, parameters and threshold", async () => {
  const { train } = makeProblem(SEED, { rows: 75, channels: 18, classes: 4 });
  const fitted = await fitOnHost(findScore("knn"), train);
  const detector = new Detector(fitted, { calibration: calibrate([1, 2, 3]) });
  const { proto } = parseModel(exportDetector(detector));
  const notes = Object.fromEntries(proto.metadataProps.map(({ key, value }) => [key, value]));
  assertEquals(notes, {
    "ood.method": "knn",
    "ood.parameters": '{"k":3}',
    "ood.threshold": "1",
    "ood.acceptance": "0.95",
  });
});

/** Fits to what the shipped model makes of noise; the images and their features. */
async function fitToModel(model: OnnxModel, name: string): Promise<{
  fitted: Fitted;
  images: { data: Float32Array<ArrayBuffer>; shape: number[] };
  test: ReturnType<typeof memoryFeatures>;
}> {
  const rng = new Rng(SEED);
  const make = (count: number) => ({
    data: Float32Array.from({ length: count * 3 * 32 * 32 }, () => rng.normal()),
    shape: [count, 3, 32, 32],
  });
  const inspection = inspect(model);
  const exposed = exposeForExtraction(model, inspection);
  const { weight, bias } = headWeights(model, inspection.head!);
  const head = {
    "head.weight": floats(weight, [10, 64]),
    "head.bias": floats(bias, [10]),
  };
  await using session = await openSession(exposed.model, { device: "wasm" });
  const extract = async (images: ReturnType<typeof make>) => {
    const outputs = await session.run({ [exposed.input]: images });
    const arrays = Object.fromEntries(
      Object.entries(exposed.names).map(([key, value]) => {
        const { data, shape } = outputs[value!] as ReturnType<typeof floats>;
        return [key, { data, shape }];
      }),
    );
    const count = images.shape[0]!;
    const labels = labelsOf(Array.from({ length: count }, (_, i) => i % 10));
    return memoryFeatures({ ...arrays, ...head, labels });
  };
  const train = await extract(make(48));
  const images = make(5);
  const test = await extract(images);
  return { fitted: await fitOnHost(findScore(name), train), images, test };
}

/** What the shipped classifier does not give. */
const ELSEWHERE = ["odin_logits", "image_embed"];

for (const method of SCORES.filter(({ needs }) => !needs.some((key) => ELSEWHERE.includes(key)))) {
  Deno.test(`${method.name} joined to the shipped model gives logits and score of images`, async () => {
    const model = await readModel(SHIPPED);
    const { fitted, images, test } = await fitToModel(model, method.name);
    const joined = exportJoined(new Detector(fitted), model);
    assertEquals(joined.outputs, { score: "score", logits: "logits" });
    const outputs = await runNative(joined.bytes, { [joined.input]: images });
    assertEquals(Object.keys(outputs).sort(), ["logits", "score"]);
    const expected = await scoreOn("reference", fitted, test);
    assertClose(outputs["score"]!, expected, TOLERANCE.provider, `seed ${SEED}`);
    const logits = await test.read("logits");
    assertClose(outputs["logits"]!, logits.data, TOLERANCE.provider);
  });
}

Deno.test("exportJoined() gives the features too when asked", async () => {
  const model = await readModel(SHIPPED);
  const { fitted, images } = await fitToModel(model, "msp");
  const joined = exportJoined(new Detector(fitted), model, { features: true });
  const outputs = await runNative(joined.bytes, { [joined.input]: images });
  assertEquals(outputs[joined.outputs.features!]!.length, 5 * 64);
});

Deno.test("exportJoined() refuses a model of another width, and says why a part is missing", async () => {
  const model = await readModel(SHIPPED);
  const { train } = makeProblem(SEED, { rows: 75, channels: 18, classes: 4 });
  const knn = new Detector(await fitOnHost(findScore("knn"), train));
  assertThrows(
    () => exportJoined(knn, model),
    UserError,
    'the model\'s "features" have 64 columns and the detector was fitted to 18',
  );
  const { features: _, ...inspection } = inspect(model);
  const blind = { ...inspection, reasons: { features: "nothing pools its maps" } };
  assertThrows(
    () => exportJoined(knn, model, { inspection: blind }),
    UserError,
    'the model offers no "features"; nothing pools its maps',
  );
});

Deno.test("exportJoined() says why ODIN cannot be joined to a model", async () => {
  const { train } = makeProblem(SEED, { rows: 75, channels: 18, classes: 10 });
  const odin = new Detector(await fitOnHost(findScore("odin"), train));
  const model = await readModel(SHIPPED);
  assertThrows(
    () => exportJoined(odin, model),
    UserError,
    'offers no "odin_logits"; they take the gradient by the image, which a graph does not compute',
  );
});

Deno.test("scores on labels are joined to an image encoder", async () => {
  const { train, test, arrays } = makeProblem(SEED, { rows: 75, channels: 18, classes: 4 });
  const builder = new GraphBuilder();
  const pixels = builder.input("pixel_values", ["N", 3, 1, 3]);
  // Its embeddings are the pixels themselves.
  builder.output("image_embeds", builder.node("Reshape", [pixels, builder.ints([-1, 9])]), {
    shape: ["N", 9],
  });
  const encoder = builder.build();
  for (const name of ["mcm", "neg_label", "csp"]) {
    const fitted = await fitOnHost(findScore(name), train);
    const joined = exportJoined(new Detector(fitted), encoder);
    assertEquals([joined.input, joined.outputs], ["pixel_values", { score: "score" }]);
    const { data } = arrays.test["image_embed"]!;
    const images = { data: data as Float32Array, shape: [25, 3, 1, 3] };
    const { score } = await runNative(joined.bytes, { [joined.input]: images });
    assertClose(score!, await scoreOn("reference", fitted, test), TOLERANCE.score, name);
  }
});

Deno.test("gen without a known number of classes does not export", async () => {
  const set = memoryFeatures({ features: floats([1, 2], [1, 2]) });
  const fitted = await fitOnHost(findScore("gen"), set);
  assertThrows(() => scoreGraph(fitted), UserError, "fit it on a set with logits");
  assert(scoreGraph(await fitOnHost(findScore("msp"), set)).graph.inputs.length === 1);
});
