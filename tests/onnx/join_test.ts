import { assert, assertEquals, assertThrows } from "@std/assert";
import { GraphBuilder, joinGraphs, type OnnxModel, readModel } from "../../onnx/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { resnetLike, waves } from "./_models.ts";
import { runNative, runWasm } from "./_run.ts";

const SHIPPED = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);

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

Deno.test("joinGraphs() gives every node and value a name of its own, however often", async () => {
  const once = joinGraphs(resnetLike(), scorer(17), { inputs: { x: "logits" } });
  const twice = joinGraphs(once, scorer(17), { inputs: { x: "logits" } });
  const thrice = joinGraphs(once, twice, { inputs: { image: "image" } });
  for (const model of [once, twice, thrice]) {
    const nodes = model.graph.proto.node.map(({ name }) => name);
    assertEquals(nodes.length, new Set(nodes).size);
    const values = model.graph.valueNames();
    assertEquals(values.length, new Set(values).size);
    const inputs = { image: { data: waves(3 * 64, 5), shape: [1, 3, 8, 8] } };
    const { energy } = await runWasm(once, inputs);
    const outputs = Object.entries(await runWasm(model, inputs));
    const energies = outputs.filter(([name]) => name.endsWith("energy"));
    assertEquals(energies.length, [once, twice, thrice].indexOf(model) + 1);
    for (const [name, { data }] of energies) assertClose(data, energy!.data, TOLERANCE.exact, name);
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
