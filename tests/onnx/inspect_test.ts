import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  exposeForExtraction,
  GraphBuilder,
  headWeights,
  inspect,
  makeTensor,
  type OnnxModel,
  openSession,
  readModel,
  type Sidecar,
} from "../../onnx/mod.ts";
import { UserError } from "../../runtime/errors.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  conv,
  headless,
  mobilenetLike,
  resnetLike,
  segmenter,
  squeezenetLike,
  transformerLike,
  vggLike,
  waves,
} from "./_models.ts";

/** What a run gives on wasm, by key of the feature file. */
async function extract(model: OnnxModel, sidecar: Sidecar = {}): Promise<
  Record<string, { data: ArrayLike<number>; shape: readonly number[] }>
> {
  const found = inspect(model, { sidecar });
  const { bytes, names, input } = exposeForExtraction(model, found);
  await using session = await openSession(bytes, { device: "wasm", threads: 1 });
  const shape = [2, ...found.image!.shape.slice(1) as number[]];
  const data = waves(shape.reduce((a, b) => a * b, 1), 9);
  const outputs = await session.run({ [input]: { data, shape } });
  return Object.fromEntries(
    Object.entries(names).map(([key, name]) => [key, outputs[name] as never]),
  );
}

/** Logits that the head computes of the features, which must be those of the model. */
async function assertLinear(model: OnnxModel): Promise<void> {
  const { head } = inspect(model);
  assert(head !== undefined);
  const { features, logits } = await extract(model);
  const { weight, bias } = headWeights(model, head);
  const { classes, channels } = head;
  assertEquals(features!.shape, [2, channels]);
  assertEquals(logits!.shape, [2, classes]);
  const expected = Array.from({ length: 2 * classes }, (_, i) => {
    const [row, k] = [Math.floor(i / classes), i % classes];
    let sum = bias[k]!;
    for (let c = 0; c < channels; c++) {
      sum += weight[k * channels + c]! * features!.data[row * channels + c]!;
    }
    return sum;
  });
  assertClose(logits!.data, expected, TOLERANCE.kernel, model.name);
}

/** Means of a map, which must be the features where the inspection says so. */
async function assertPooled(model: OnnxModel): Promise<void> {
  const { featureMap } = inspect(model);
  assertEquals(featureMap?.pooledToFeatures, true);
  const { features, feature_map: map } = await extract(model);
  const area = map!.shape[2]! * map!.shape[3]!;
  const expected = Array.from({ length: features!.data.length }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < area; j++) sum += map!.data[i * area + j]!;
    return sum / area;
  });
  assertClose(features!.data, expected, TOLERANCE.kernel, model.name);
}

Deno.test("inspect() finds the parts of a residual network with a Gemm head", async () => {
  const found = inspect(resnetLike());
  assertEquals(found.head?.kind, "gemm");
  assertEquals([found.head?.weight, found.head?.bias], ["fc.weight", "fc.bias"]);
  assertEquals(found.features, { value: "rows", via: "value", shape: ["N", 6] });
  assertEquals(found.featureMap?.value, "block");
  assertEquals(found.featureMap?.afterRelu, true);
  assertEquals(found.blocks.map(({ value, kind }) => [value, kind]), [["block", "residual"]]);
  assertEquals(found.reasons, {});
  await assertLinear(resnetLike());
  await assertPooled(resnetLike());
});

Deno.test("inspect() says why a ReLU before pooling leaves no linear head", async () => {
  const model = squeezenetLike();
  const found = inspect(model);
  assertEquals(found.head, undefined);
  assertMatch(found.reasons.head!, /followed by Relu before global pooling/);
  assertEquals([found.features?.value, found.features?.via], ["dropped", "pool"]);
  assertEquals(found.classes, 5);
  await assertPooled(model);
  const { logits, features } = await extract(model);
  assertEquals([logits!.shape, features!.shape], [[2, 5], [2, 8]]);
});

Deno.test("inspect() takes a 1x1 convolution directly before pooling as a linear head", async () => {
  const model = squeezenetLike({ linear: true });
  assertEquals(inspect(model).head?.kind, "conv");
  await assertLinear(model);
  await assertPooled(model);
});

Deno.test("inspect() finds a 1x1 convolution behind pooling", async () => {
  const found = inspect(mobilenetLike());
  assertEquals([found.head?.kind, found.features?.via], ["conv", "flatten"]);
  assertEquals(found.featureMap?.afterRelu, true);
  await assertLinear(mobilenetLike());
  await assertPooled(mobilenetLike());
});

Deno.test("inspect() finds MatMul and Add with a weight behind Transpose", async () => {
  const found = inspect(vggLike());
  assertEquals([found.head?.kind, found.head?.bias], ["matmul", "fc2.bias"]);
  assertEquals(found.features?.value, "hidden");
  assertEquals([found.featureMap?.value, found.featureMap?.pooledToFeatures], ["pool", false]);
  assertEquals(found.blocks.map(({ value }) => value), ["map", "pool"]);
  await assertLinear(vggLike());
});

Deno.test("inspect() finds features and no map in a transformer", async () => {
  const found = inspect(transformerLike());
  assertEquals([found.head?.kind, found.features?.value], ["gemm", "token"]);
  assertEquals(found.featureMap, undefined);
  assertMatch(found.reasons.featureMap!, /Gather.*no spatial map/);
  await assertLinear(transformerLike());
});

Deno.test("inspect() takes the output of a backbone without a classifier as features", async () => {
  const found = inspect(headless());
  assertEquals([found.logits, found.head], [undefined, undefined]);
  assertMatch(found.reasons.logits!, /feature vector without a classifier/);
  assertEquals(found.features?.value, "embedding");
  assertEquals(found.featureMap?.value, "map");
  assertEquals(Object.keys(await extract(headless())), ["features", "feature_map"]);
});

Deno.test("inspect() says what to put in the sidecar when there is no classifier", () => {
  const found = inspect(segmenter());
  assertEquals(found.features, undefined);
  for (const part of ["logits", "head", "features", "featureMap"] as const) {
    assertMatch(found.reasons[part]!, /sidecar/);
  }
  assertThrows(() => exposeForExtraction(segmenter(), found), UserError, "offers none of");
});

Deno.test("inspect() believes the sidecar before the graph", async () => {
  const model = vggLike();
  const sidecar: Sidecar = {
    labels: ["a", "b", "c"],
    outputs: { features: "hidden", "feature_map": "map" },
    head: { weight: "fc2.weight", bias: "fc2.bias" },
  };
  const found = inspect(model, { sidecar });
  assertEquals([found.head?.kind, found.head?.transposed], ["sidecar", false]);
  assertEquals(found.featureMap?.value, "map");
  assertEquals(
    headWeights(model, found.head!),
    headWeights(model, inspect(model).head!),
  );
  const stored = await extract(model, sidecar);
  assertEquals(Object.keys(stored), ["logits", "features", "feature_map"]);
  const none = inspect(model, { sidecar: { head: "none" } });
  assertEquals([none.head, none.reasons.head], [
    undefined,
    "the sidecar says that there is no linear head",
  ]);
});

Deno.test("inspect() refuses a sidecar that does not fit the model", () => {
  const model = vggLike();
  const cases: [Sidecar, string][] = [
    [{ outputs: { features: "hiden" } }, '"outputs.features" names "hiden"'],
    [{ outputs: { features: "hiden" } }, 'did you mean "hidden"'],
    [{ input: "x" }, '"input" names "x"'],
    [{ head: { weight: "fc" } }, '"head.weight" names "fc"'],
    [{ head: { weight: "fc2.bias" } }, "no constant matrix"],
    [{ labels: ["a"] }, "lists 1 labels and the model has 3 classes"],
    [{ outputs: { "feature_map": "hidden" } }, "and not [N, C, H, W]"],
  ];
  for (const [sidecar, message] of cases) {
    assertThrows(() => inspect(model, { sidecar }), UserError, message);
  }
});

Deno.test("inspect() reads quantised weights, and Gemm's factors", () => {
  const b = new GraphBuilder();
  const x = b.input("image", ["N", 2, 4, 4]);
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [x])]);
  const bytes = b.constant(Int8Array.of(2, 4, 6, 8, 10, 12), { shape: [3, 2], name: "q" });
  const scale = b.constant(Float32Array.of(0.5, 1, 2), { name: "scale" });
  const zero = b.constant(Int8Array.of(0, 4, 0), { name: "zero" });
  const weight = b.node("DequantizeLinear", [bytes, scale, zero], { attributes: { axis: 0n } });
  const bias = b.constant(Float32Array.of(1, 2, 3), { name: "bias" });
  b.output(
    "logits",
    b.node("Gemm", [rows, weight, bias], { attributes: { transB: 1n, alpha: 2, beta: 0.5 } }),
  );
  const model = b.build();
  const { weight: w, bias: c } = headWeights(model, inspect(model).head!);
  assertEquals([...w], [2, 4, 4, 8, 40, 48]);
  assertEquals([...c], [0.5, 1, 1.5]);
});

Deno.test("inspect() prefers the output with a head among several", () => {
  const b = new GraphBuilder();
  const x = b.input("image", ["N", 3, 8, 8]);
  const map = b.node("Relu", [conv(b, x, { from: 3, to: 4, k: 3 })]);
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [map])]);
  b.output("embedding", rows);
  const weight = b.constant(waves(8), { shape: [4, 2] });
  b.output("result", b.node("Softmax", [b.node("MatMul", [rows, weight], { output: "scores" })]));
  const found = inspect(b.build());
  assertEquals([found.logits?.value, found.head?.kind], ["scores", "matmul"]);
});

Deno.test("inspect() refuses inputs that are no batch of colour planes", () => {
  const last = new GraphBuilder();
  last.output("y", last.node("Relu", [last.input("x", ["N", 8, 8, 3])]));
  assertMatch(inspect(last.build()).reasons.image!, /colours last/);
  const bytes = new GraphBuilder();
  bytes.output("y", bytes.node("Identity", [bytes.input("x", [1, 3, 8, 8], { type: "u8" })]), {
    type: "u8",
  });
  assertMatch(inspect(bytes.build()).reasons.image!, /takes u8/);
  const rows = new GraphBuilder();
  rows.output("y", rows.node("Relu", [rows.input("x", ["N", 8])]));
  const found = inspect(rows.build());
  assertMatch(found.reasons.image!, /no input of four dimensions/);
});

Deno.test("inspect() guesses preprocessing from the input's size and says so", () => {
  const guess = inspect(resnetLike()).preprocessing;
  assertEquals(guess?.guessed, true);
  assertEquals(guess?.spec.crop, { width: 8, height: 8 });
});

Deno.test("exposeForExtraction() widens half floats", async () => {
  const b = new GraphBuilder();
  const x = b.input("image", ["N", 3, 2, 2]);
  const half = b.node("Cast", [x], { attributes: { to: 10n } });
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [half])]);
  const weight = makeTensor("w", Uint16Array.of(0x3c00, 0, 0x4000), { shape: [3, 1], type: "f16" });
  const w = b.node("Constant", [], { attributes: { value: weight } });
  b.output("logits", b.node("MatMul", [rows, w]), { type: "f16" });
  await assertLinear(b.build());
});

Deno.test("inspect() finds everything in the shipped model", async () => {
  const path = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);
  const model = await readModel(path);
  const found = inspect(model);
  assertEquals([found.classes, found.head?.channels, found.blocks.length], [10, 64, 9]);
  await assertLinear(model);
  await assertPooled(model);
});
