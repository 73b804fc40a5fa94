import { assert, assertEquals, assertThrows } from "@std/assert";
import * as native from "onnxruntime-node";
import {
  GraphBuilder,
  joinGraphs,
  makeAttribute,
  makeTensor,
  type OnnxModel,
  openSession,
  OPSET_RANGE,
  parseModel,
  readModel,
  writeModel,
} from "../../onnx/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { resnetLike, waves } from "./_models.ts";

const SHIPPED = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);

type Arrays = Record<string, { data: Float32Array<ArrayBuffer>; shape: readonly number[] }>;

/** Runs a model in WebAssembly. */
async function runWasm(model: OnnxModel, inputs: Arrays): Promise<Arrays> {
  await using session = await openSession(writeModel(model), { device: "wasm", threads: 1 });
  return await session.run(inputs) as Arrays;
}

/** Runs a model in onnxruntime's native build, which shares no code with the other. */
async function runNative(model: OnnxModel, inputs: Arrays): Promise<Arrays> {
  const session = await native.InferenceSession.create(writeModel(model));
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, { data, shape }]) => [
      name,
      new native.Tensor("float32", data, shape),
    ]),
  );
  const outputs = await session.run(feeds);
  await session.release();
  return Object.fromEntries(
    Object.entries(outputs).map(([name, tensor]) => [
      name,
      { data: tensor.data as Float32Array<ArrayBuffer>, shape: tensor.dims },
    ]),
  );
}

/** One of each helper, whose form changed between operator sets. */
function helpers(opset: number): OnnxModel {
  const b = new GraphBuilder({ opset });
  const x = b.input("x", ["N", 4]);
  b.output("clip", b.clip(x, { min: -1, max: 2 }));
  b.output("floor", b.clip(x, { min: 0 }));
  b.output("sum", b.reduce("ReduceSum", x, { axes: [1] }));
  b.output("max", b.reduce("ReduceMax", x, { axes: [-1 + 2], keepDims: true }));
  b.output("norm", b.reduce("ReduceL2", x, { axes: [1] }));
  b.output("lse", b.reduce("ReduceLogSumExp", x, { axes: [1] }));
  b.output("axes", b.squeeze(b.unsqueeze(x, [1]), [1]));
  b.output("top", b.topK(x, { k: 2 }).values);
  b.output("part", b.slice(x, { axis: 1, start: 1, end: -1 }));
  return b.build();
}

/** A score of rows: largest element and energy, with an initialiser named like the backbone's. */
function scorer(opset: number): OnnxModel {
  const b = new GraphBuilder({ opset, name: "scorer" });
  const x = b.input("x", ["N", 4]);
  const scale = b.constant(2, { name: "fc.bias" });
  const scaled = b.node("Mul", [x, scale], { output: "rows" });
  b.output("energy", b.reduce("ReduceLogSumExp", scaled, { axes: [1] }));
  b.output("largest", b.reduce("ReduceMax", scaled, { axes: [1] }));
  return b.build();
}

Deno.test("GraphBuilder's helpers compute the same in every operator set", async () => {
  const inputs = { x: { data: Float32Array.of(1, -2, 3, 0.5), shape: [1, 4] } };
  const expected: Record<string, number[]> = {
    clip: [1, -1, 2, 0.5],
    floor: [1, 0, 3, 0.5],
    sum: [2.5],
    max: [3],
    norm: [Math.hypot(1, 2, 3, 0.5)],
    lse: [Math.log(Math.E + Math.exp(-2) + Math.exp(3) + Math.exp(0.5))],
    axes: [1, -2, 3, 0.5],
    top: [3, 1],
    part: [-2, 3],
  };
  for (const opset of [OPSET_RANGE[0], 10, 11, 13, 17, 18, OPSET_RANGE[1]]) {
    const model = parseModel(writeModel(helpers(opset)), { name: `set ${opset}` });
    const outputs = await runWasm(model, inputs);
    for (const [name, values] of Object.entries(expected)) {
      assertClose(outputs[name]!.data, values, TOLERANCE.kernel, `${name} in set ${opset}`);
    }
  }
});

Deno.test("GraphBuilder infers the shapes of outputs", () => {
  const shapes = helpers(17).graph.outputs.map(({ name, shape }) => [name, ...shape!]);
  assertEquals(shapes, [
    ["clip", "N", 4],
    ["floor", "N", 4],
    ["sum", "N"],
    ["max", "N", 1],
    ["norm", "N"],
    ["lse", "N"],
    ["axes", "N", 4],
    ["top", "N", 2],
    ["part", "N", 2],
  ]);
});

Deno.test("GraphBuilder refuses names that are taken and sets that are unknown", () => {
  const b = new GraphBuilder();
  b.input("x", [1]);
  assertThrows(() => b.input("x", [1]), TypeError, "the name is taken");
  assertThrows(() => b.node("Relu", ["x"], { output: "x" }), TypeError, "the name is taken");
  assertEquals(b.fresh("x"), "x_1");
  assertThrows(() => new GraphBuilder({ opset: 99 }), RangeError, "operator set 99");
  const old = new GraphBuilder({ opset: 10 });
  assertThrows(() => old.topK("x", { k: 1, largest: false }), RangeError, "11 is needed");
});

Deno.test("makeAttribute() tells floats, integers, texts, tensors and lists apart", () => {
  const tensor = makeTensor("t", new Float32Array(1));
  const values = [1, 1n, "a", tensor, [1, 2], [1n, 2n], ["a"], []] as const;
  const types = values.map((value) => makeAttribute("a", value).type);
  assertEquals(types, [1, 2, 3, 4, 6, 7, 8, 7]);
});

Deno.test("joinGraphs() joins a score to its backbone, and both runtimes agree", async () => {
  for (const opset of [11, 13, 17, 18]) {
    const backbone = resnetLike({ opset });
    const joined = joinGraphs(backbone, scorer(opset), { inputs: { x: "logits" } });
    const names = joined.graph.outputs.map((output) => output.name);
    assertEquals(names, ["logits", "energy", "largest"]);
    // Both graphs have an initialiser "fc.bias" and a value "rows".
    assert(joined.graph.has("ood/fc.bias") && joined.graph.has("ood/rows"));
    const inputs = { image: { data: waves(2 * 3 * 64, 5), shape: [2, 3, 8, 8] } };
    const [wasm, plain] = [await runWasm(joined, inputs), await runNative(joined, inputs)];
    const { data: logits } = wasm.logits!;
    const energy = [0, 1].map((row) =>
      Math.log([0, 1, 2, 3].reduce((sum, k) => sum + Math.exp(2 * logits[row * 4 + k]!), 0))
    );
    assertClose(wasm.energy!.data, energy, TOLERANCE.kernel, `energy in set ${opset}`);
    for (const name of names) {
      assertClose(plain[name]!.data, wasm[name]!.data, TOLERANCE.kernel, `${name}, native`);
    }
  }
});

Deno.test("joinGraphs() keeps only what the chosen outputs need", () => {
  const joined = joinGraphs(resnetLike(), scorer(17), {
    inputs: { x: "logits" },
    outputs: ["largest"],
    prefix: "score.",
  });
  assertEquals(joined.graph.outputs.map((output) => output.name), ["largest"]);
  assertEquals(joined.graph.nodes.some((node) => node.opType === "ReduceLogSumExp"), false);
  assert(joined.graph.has("score.fc.bias"));
});

Deno.test("joinGraphs() feeds values from the middle of the backbone", async () => {
  const b = new GraphBuilder({ opset: 13 });
  const x = b.input("features", ["N", 64]);
  b.output("norm", b.reduce("ReduceL2", x, { axes: [1] }));
  const backbone = await readModel(SHIPPED);
  const features = backbone.graph.producer("logits")!.inputs[0]!;
  const joined = joinGraphs(backbone, b.build(), { inputs: { features } });
  const inputs = { input: { data: waves(2 * 3 * 1024), shape: [2, 3, 32, 32] } };
  const [wasm, plain] = [await runWasm(joined, inputs), await runNative(joined, inputs)];
  assertEquals(wasm.norm!.shape, [2]);
  assertClose(plain.norm!.data, wasm.norm!.data, TOLERANCE.provider, "norm");
  assertClose(plain.logits!.data, wasm.logits!.data, TOLERANCE.provider, "logits");
});

Deno.test("joinGraphs() refuses what does not fit", () => {
  const backbone = resnetLike({ opset: 13 });
  const inputs = { x: "logits" };
  assertThrows(
    () => joinGraphs(backbone, scorer(17), { inputs }),
    TypeError,
    "is built for operator set 17 and the model uses 13",
  );
  assertThrows(() => joinGraphs(backbone, scorer(13), { inputs: {} }), TypeError, "is not fed");
  assertThrows(
    () => joinGraphs(backbone, scorer(13), { inputs: { x: "nothing" } }),
    TypeError,
    'no value "nothing"',
  );
  assertThrows(
    () => joinGraphs(backbone, scorer(13), { inputs, outputs: ["score"] }),
    TypeError,
    'neither graph has the output "score"',
  );
});
