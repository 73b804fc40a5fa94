import { assert, assertEquals, assertRejects } from "@std/assert";
import { crossEntropy } from "../../kernels/mod.ts";
import { Sgd, Tape, TrainingStep, type Variable } from "../../nn/mod.ts";
import {
  exposeOutputs,
  GraphBuilder,
  type Network,
  type NetworkOptions,
  type OnnxModel,
  pruneUnused,
  readModel,
  readTensor,
  removeOutputs,
  writeModel,
} from "../../onnx/mod.ts";
import { f32ToF16 } from "../../data/half.ts";
import { type Context, Host, sizeOf } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { images, imported, inputsOf, runNetwork, shake } from "./_forward.ts";
import { mobilenetLike, resnetLike, squeezenetLike, waves } from "./_models.ts";
import { cifarResnet, folded, gated, preactivation, squeezenet, vgg } from "./_networks.ts";
import { type Arrays, runNative, runWasm } from "./_run.ts";

const SHIPPED = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);

/** What `images` gives, in batches that differ. */
function batchesOf(model: OnnxModel, { count, batches }: { count: number; batches: number }) {
  const [[name, { shape }]] = Object.entries(images(model, count)) as [
    [string, Arrays[string]],
  ];
  return Array.from({ length: batches }, (_, i): Arrays => ({
    [name]: { data: waves(sizeOf(shape), 20 + i), shape },
  }));
}

/** Calibrates a network, cut or not, on batches. */
async function calibrate(ctx: Context, network: Network, batches: readonly Arrays[]) {
  using scope = ctx.scope();
  const given: ReadonlyMap<string, Variable>[] = [];
  for (const batch of batches) given.push(await inputsOf(scope, network, batch));
  await network.calibrate(batches.length, (_, batch) => given[batch]!);
}

/** A few steps of SGD on one batch; the losses. */
async function train(
  ctx: Context,
  network: Network,
  { inputs, steps, rate = 0.01 }: { inputs: Arrays; steps: number; rate?: number },
): Promise<number[]> {
  using scope = ctx.scope();
  const given = await inputsOf(scope, network, inputs);
  const count = Object.values(inputs)[0]!.shape[0]!;
  const labels = scope.upload(Int32Array.from({ length: count }, (_, i) => i % 3), [count]);
  const losses = scope.upload(new Float32Array(count), [count]);
  using optimizer = new Sgd(scope, network.parameters, { learningRate: rate, momentum: 0.9 });
  using step = new TrainingStep(scope, (ctx) => {
    const tape = new Tape(ctx);
    const { logits } = network.forward(tape, given, { training: true });
    const { loss, dLogits } = crossEntropy(ctx, { logits: logits.value, labels });
    ctx.copy(loss, losses);
    tape.backward([{ variable: logits, gradient: dLogits }]);
    optimizer.record(ctx);
  });
  const curve: number[] = [];
  for (let i = 0; i < steps; i++) {
    step.run();
    const [row] = await scope.read(losses);
    curve.push(Array.from(row!).reduce((sum, loss) => sum + loss, 0) / count);
  }
  return curve;
}

async function valuesOf(ctx: Context, network: Network): Promise<Map<string, number[]>> {
  const names = [...network.parameters.names, ...network.statistics.keys()];
  const arrays = await ctx.read(
    ...names.map((name) => network.statistics.get(name) ?? network.parameters.get(name).value),
  );
  return new Map(names.map((name, i) => [name, Array.from(arrays[i] as Float32Array)]));
}

gpuTest(
  "Network.calibrate() changes no logit, and no weight of what is exported",
  async ({ gpu, host }) => {
    const model = folded();
    const inputs = images(model, 3);
    const before = (await runWasm(model, inputs)).logits!.data;
    for (const ctx of [gpu, host]) {
      using network = imported(ctx, model, { insertNorms: "always" });
      assertEquals(
        network.inserted.map(({ weight }) => weight),
        ["stem", "deep", "point", "a", "b", "shortcut"].map((name) => `${name}.weight.norm.weight`),
      );
      assertClose((await runNetwork(ctx, network, inputs)).logits!, before, TOLERANCE.network);
      await calibrate(ctx, network, batchesOf(model, { count: 4, batches: 3 }));
      assertClose((await runNetwork(ctx, network, inputs)).logits!, before, TOLERANCE.network);
      assertEquals(writeModel(await network.export()), writeModel(model));
    }
  },
);

gpuTest("Network.calibrate() estimates what convolutions give", async ({ gpu }) => {
  const model = folded();
  const batches = batchesOf(model, { count: 4, batches: 3 });
  using network = imported(gpu, model, { insertNorms: "always" });
  await calibrate(gpu, network, batches);
  const values = await valuesOf(gpu, network);
  for (const { convolution, ...norm } of network.inserted) {
    const [output] = model.graph.nodes.find(({ label }) => label === convolution)!.outputs;
    // Behind this one, a node of its own adds the bias.
    const value = norm.weight.startsWith("point") ? "point" : output!;
    const exposed = pruneUnused(removeOutputs(exposeOutputs(model, [value]), ["logits"]));
    const columns = values.get(norm.weight)!.map((): number[] => []);
    for (const batch of batches) {
      const { data, shape } = (await runWasm(exposed, batch))[value]!;
      const plane = shape[2]! * shape[3]!;
      data.forEach((x, i) => columns[Math.floor(i / plane) % shape[1]!]!.push(x));
    }
    const means = columns.map((column) => column.reduce((a, b) => a + b) / column.length);
    const variances = columns.map((column, c) =>
      column.reduce((sum, x) => sum + (x - means[c]!) ** 2, 0) / column.length
    );
    // Filters are brought to a length of about one, and what they give with them.
    const [weights, spreads] = [values.get(norm.weight)!, values.get(norm.runningVariance)!];
    const lengths = weights.map((weight, c) => weight / Math.sqrt(spreads[c]! + 2 ** -17));
    const inFile = (name: string, power: number) =>
      values.get(name)!.map((value, c) => value * lengths[c]! ** power);
    assertClose(inFile(norm.runningMean, 1), means, TOLERANCE.network, norm.runningMean);
    assertEquals(values.get(norm.bias), inFile(norm.runningMean, 1));
    assertClose(inFile(norm.runningVariance, 2), variances, TOLERANCE.twelveBits, norm.weight);
    const deviations = variances.map((variance) => Math.sqrt(variance + 2 ** -17));
    assertClose(values.get(norm.weight)!, deviations, TOLERANCE.twelveBits, norm.weight);
  }
});

gpuTest("Network.export() folds what was learnt into the convolutions", async ({ gpu }) => {
  const model = folded();
  for (const batchNorm of ["train", "frozen"] as const) {
    using network = imported(gpu, model, { insertNorms: "always", batchNorm });
    await calibrate(gpu, network, batchesOf(model, { count: 4, batches: 2 }));
    const [inputs] = batchesOf(model, { count: 6, batches: 1 });
    const curve = await train(gpu, network, { inputs: inputs!, steps: 8 });
    assert(curve.at(-1)! < 0.9 * curve[0]!, `the loss went from ${curve[0]} to ${curve.at(-1)}`);
    await shake(gpu, network);
    const moved = await network.export();
    const found = await runNetwork(gpu, network, inputs!);
    for (const run of [runWasm, runNative]) {
      const { logits } = await run(moved, inputs!);
      assertClose(found.logits!, logits!.data, TOLERANCE.network, `${batchNorm}, ${run.name}`);
    }
    // Those without a bias of their own read a new one; everything else stands where it stood.
    const added = ["deep", "point", "a", "shortcut"].map((name) => `${name}.weight.norm.offset`);
    const names = [...model.graph.initializers.keys(), ...added].filter((name) =>
      name !== "both.bias" && name !== "point.weight.norm.offset"
    );
    assertEquals(new Set(moved.graph.initializers.keys()), new Set(names));
    assertEquals(moved.graph.inputs, model.graph.inputs);
    assertEquals(moved.graph.outputs, model.graph.outputs);
    model.graph.nodes.forEach((node, i) => {
      const { inputs } = moved.graph.nodes[i]!;
      assertEquals({ ...moved.graph.proto.node[i]!, input: [] }, { ...node.proto, input: [] });
      const kept = inputs.filter((name) => !added.includes(name));
      assertEquals(kept, node.inputs.filter((name) => inputs.includes(name)));
    });
  }
});

gpuTest("the shipped ResNet-20 trains with normalisations of its own", async ({ gpu }) => {
  const model = await readModel(SHIPPED);
  const inputs = images(model, 4);
  const expected = (await runWasm(model, inputs)).logits!.data;
  for (const trainable of ["all", "last-block"] as const) {
    using network = imported(gpu, model, { insertNorms: "auto", trainable });
    assertEquals(network.inserted.length, trainable === "all" ? 21 : 2);
    await calibrate(gpu, network, batchesOf(model, { count: 8, batches: 2 }));
    assertClose((await runNetwork(gpu, network, inputs)).logits!, expected, TOLERANCE.network);
    assertEquals(writeModel(await network.export()), await Deno.readFile(SHIPPED));
    await train(gpu, network, { inputs, steps: 3 });
    const moved = await network.export();
    const found = await runNetwork(gpu, network, inputs);
    const { logits, feature_map: map } = await runWasm(moved, inputs);
    assertClose(found.logits!, logits!.data, TOLERANCE.network, `logits, ${trainable}`);
    assertClose(found.featureMap!, map!.data, TOLERANCE.network, `feature map, ${trainable}`);
    assertEquals(moved.graph.proto.node, model.graph.proto.node);
    assertEquals(moved.graph.initializers.size, model.graph.initializers.size);
    const far = found.logits!.some((value, i) => Math.abs(value - expected[i]!) > 0.01);
    assert(far, "the weights moved, and the logits did not");
  }
});

gpuTest(
  "inserted normalisations train by replays as they do on the host",
  async ({ gpu, host }) => {
    const model = folded();
    const [inputs] = batchesOf(model, { count: 6, batches: 1 });
    const run = async (ctx: Context) => {
      using network = imported(ctx, model, { insertNorms: "auto" });
      await calibrate(ctx, network, batchesOf(model, { count: 4, batches: 2 }));
      const curve = await train(ctx, network, { inputs: inputs!, steps: 6 });
      return { curve, values: [...(await valuesOf(ctx, network)).values()].flat() };
    };
    const [there, here] = [await run(gpu), await run(host)];
    assertClose(there.curve, here.curve, TOLERANCE.trainingCurve, "losses");
    assertClose(there.values, here.values, TOLERANCE.trainingCurve, "parameters and statistics");
    assertEquals((await run(gpu)).values, there.values);
  },
);

Deno.test("importNetwork() brings filters behind statistics of the batch to one length", () => {
  using host = new Host();
  const model = folded();
  const stored = readTensor(model.graph.initializers.get("a.weight")!);
  for (const batchNorm of ["train", "frozen"] as const) {
    using network = imported(host, model, { insertNorms: "always", batchNorm });
    const { data, shape } = network.parameters.get("a.weight").value;
    const lengthOf = (values: ArrayLike<number | bigint>, o: number) =>
      Math.hypot(...Array.from(values, Number).slice(36 * o, 36 * (o + 1)));
    for (let o = 0; o < shape[0]!; o++) {
      const [length, before] = [lengthOf(data, o), lengthOf(stored.data, o)];
      if (batchNorm === "frozen") assertClose([length], [before], TOLERANCE.kernel);
      else assert(length > 0.7 && length < 1.42 && Number.isInteger(Math.log2(length / before)));
    }
  }
});

Deno.test("importNetwork() inserts normalisations where convolutions lack them", () => {
  using host = new Host();
  const places = (model: OnnxModel, options: NetworkOptions) => {
    using network = imported(host, model, options);
    return network.inserted.map(({ weight }) => weight.replace(".weight.norm.weight", ""));
  };
  assertEquals(places(folded(), {}), []);
  assertEquals(places(folded(), { insertNorms: "auto", batchNorm: "frozen" }), []);
  assertEquals(places(folded(), { insertNorms: "always", trainable: "none" }), []);
  assertEquals(places(folded(), { insertNorms: "always", trainable: "head" }), []);
  assertEquals(
    places(folded(), { insertNorms: "auto", trainable: "last-block" }),
    ["a", "b", "shortcut"],
  );
  // One that has its own everywhere; one that has it in front of convolutions.
  assertEquals(places(cifarResnet(), { insertNorms: "always" }), []);
  assertEquals(places(preactivation(), { insertNorms: "auto" }), []);
  assertEquals(
    places(preactivation(), { insertNorms: "always" }),
    ["block1.conv2", "block1.s", "block2.conv2"],
  );
  // Neither classifiers nor convolutions on pooled maps.
  assertEquals(places(squeezenet(), { insertNorms: "auto" }), ["conv", "squeeze", "left", "right"]);
  assertEquals(places(squeezenetLike({ linear: true }), { insertNorms: "auto" }).length, 2);
  assertEquals(places(mobilenetLike(), { insertNorms: "always" }).includes("classifier"), false);
  assertEquals(places(gated(), { insertNorms: "auto" }), ["conv"]);
  assertEquals(places(vgg(), { insertNorms: "auto" }).length, 2);
  assertEquals(places(resnetLike(), { insertNorms: "auto" }).length, 3);
});

/** One convolution of two filters, the second of which gives 0 everywhere. */
function halfDead(type: "f32" | "f16" = "f32"): OnnxModel {
  const b = new GraphBuilder({ name: "half-dead" });
  const x = b.input("image", ["N", 1, 4, 4]);
  const taps = Float32Array.from({ length: 18 }, (_, i) => i < 9 ? 0.1 * i - 0.3 : 0);
  const shape = [2, 1, 3, 3];
  const kernel = type === "f32"
    ? b.constant(taps, { shape, name: "kernel" })
    : b.node("Cast", [b.constant(f32ToF16(taps), { shape, name: "kernel", type })], {
      attributes: { to: 1n },
    });
  const map = b.node("Relu", [b.node("Conv", [x, kernel])]);
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [map])]);
  const matrix = b.constant(waves(6), { shape: [2, 3], name: "matrix" });
  b.output("logits", b.node("MatMul", [rows, matrix]));
  return b.build();
}

gpuTest("a channel that is always the same is left as it is", async ({ gpu }) => {
  for (const type of ["f32", "f16"] as const) {
    const model = halfDead(type);
    using network = imported(gpu, model, { insertNorms: "auto" });
    const [inputs] = batchesOf(model, { count: 6, batches: 1 });
    await calibrate(gpu, network, [inputs!]);
    assertEquals(writeModel(await network.export()), writeModel(model));
    await train(gpu, network, { inputs: inputs!, steps: 5 });
    const values = [...(await valuesOf(gpu, network)).values()].flat();
    assert(values.every((value) => Number.isFinite(value) && Math.abs(value) < 10));
    const moved = await network.export();
    const offset = readTensor(moved.graph.initializers.get("kernel.norm.offset")!);
    assertEquals([offset.type, offset.shape], ["f32", [2]]);
    assertEquals(readTensor(moved.graph.initializers.get("kernel")!).type, type);
    const { logits } = await runWasm(moved, inputs!);
    const found = await runNetwork(gpu, network, inputs!);
    const tolerance = type === "f32" ? TOLERANCE.network : TOLERANCE.provider;
    assertClose(found.logits!, logits!.data, tolerance);
  }
});

Deno.test("Network.calibrate() wants a batch, and moves nothing where nothing is inserted", async () => {
  using host = new Host();
  const model = folded();
  using plain = imported(host, model);
  await plain.calibrate(0, () => new Map());
  using network = imported(host, model, { insertNorms: "auto" });
  await assertRejects(
    () => network.calibrate(0, () => new Map()),
    RangeError,
    "Cannot calibrate on 0 batches",
  );
});

gpuTest("Network.calibrate() again keeps what was learnt", async ({ gpu }) => {
  const model = folded();
  using network = imported(gpu, model, { insertNorms: "auto" });
  const [first, second] = batchesOf(model, { count: 6, batches: 2 });
  await calibrate(gpu, network, [first!]);
  await train(gpu, network, { inputs: first!, steps: 4 });
  const before = await runNetwork(gpu, network, first!);
  const statistics = await valuesOf(gpu, network);
  await calibrate(gpu, network, [second!]);
  assertClose((await runNetwork(gpu, network, first!)).logits!, before.logits!, TOLERANCE.network);
  const { runningMean } = network.inserted[0]!;
  assert((await valuesOf(gpu, network)).get(runningMean)![0] !== statistics.get(runningMean)![0]);
});
