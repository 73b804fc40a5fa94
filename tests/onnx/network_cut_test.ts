import { assert, assertEquals, assertThrows } from "@std/assert";
import { toChannelsLast } from "../../kernels/mod.ts";
import { Tape, Variable } from "../../nn/mod.ts";
import { GraphBuilder, inspect, OnnxModel, readModel } from "../../onnx/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { images, imported, inputsOf, runNetwork, shake } from "./_forward.ts";
import { headless, mobilenetLike, segmenter, squeezenetLike } from "./_models.ts";
import { bottleneck, cifarResnet, densenet, preactivation, squeezenet, vgg } from "./_networks.ts";
import { runNative, runWasm } from "./_run.ts";

const SHIPPED = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);

gpuTest("importNetwork() trains the last block of the shipped ResNet-20", async ({ gpu }) => {
  const model = await readModel(SHIPPED);
  using network = imported(gpu, model, { trainable: "last-block" });
  assertEquals(network.inputs.length, 1);
  assertEquals(network.inputs[0]!.shape, [8, 8, 64]);
  assertEquals(network.inputs[0]!.name, inspect(model).blocks.at(-2)!.value);
  const inputs = images(model, 4);
  const { logits, feature_map: map } = await runWasm(model, inputs);
  const found = await runNetwork(gpu, network, inputs);
  assertClose(found.logits!, logits!.data, TOLERANCE.network, "logits");
  assertClose(found.featureMap!, map!.data, TOLERANCE.network, "feature map");
  await shake(gpu, network);
  const moved = await network.export();
  assertEquals(moved.graph.inputs, model.graph.inputs);
  const again = await runNetwork(gpu, network, inputs);
  assertClose(
    again.logits!,
    (await runWasm(moved, inputs)).logits!.data,
    TOLERANCE.network,
    "moved",
  );
  const kept = model.graph.proto.initializer.filter((tensor, i) =>
    tensor === moved.graph.proto.initializer[i]
  );
  assertEquals(kept.length, model.graph.proto.initializer.length - network.parameters.names.length);
});

gpuTest("importNetwork() trains a head alone, whatever node it is", async ({ gpu }) => {
  const models = {
    gemm: bottleneck(),
    matmul: vgg(),
    "conv behind pooling": mobilenetLike(),
    "conv before pooling": squeezenetLike({ linear: true }),
  };
  for (const [kind, model] of Object.entries(models)) {
    using network = imported(gpu, model, { trainable: "head" });
    const { classes, channels } = inspect(model).head!;
    assertEquals(network.inputs.map(({ shape }) => shape), [[channels]], kind);
    assertEquals(network.parameters.names.length, 2);
    await shake(gpu, network);
    const inputs = images(model, 3);
    const found = await runNetwork(gpu, network, inputs);
    const moved = await network.export();
    const { value, via } = inspect(model).logits!;
    const end = moved.graph.outputs[0]!.name;
    const output = (await runNative(moved, inputs))[end]!.data;
    if (end === value || via === "flatten") {
      assertClose(found.logits!, output, TOLERANCE.network, kind);
    }
    assertEquals(found.logits!.length, 3 * classes);
  }
});

gpuTest("importNetwork() trains from a node or a value on", async ({ gpu }) => {
  const model = cifarResnet();
  const node = model.graph.producer("layer3.1.out")!.proto.name!;
  const sum = model.graph.producer(model.graph.producer("layer3.1.out")!.inputs[0]!)!;
  const inputs = images(model, 2);
  const expected = (await runWasm(model, inputs)).logits!.data;
  const cases = [
    { from: node, crossing: 1 },
    // Both the branch and the shortcut cross in front of a sum.
    { from: sum.outputs[0]!, crossing: 2 },
    { from: "layer2.0.out", crossing: 1 },
    { from: "image", crossing: 1 },
  ];
  for (const { from, crossing } of cases) {
    using network = imported(gpu, model, { trainable: { from } });
    assertEquals(network.inputs.length, crossing, from);
    const outputs = network.trunk?.graph.outputs.map(({ name }) => name);
    if (from !== "image") assertEquals(outputs, network.inputs.map(({ name }) => name));
    const found = await runNetwork(gpu, network, inputs);
    assertClose(found.logits!, expected, TOLERANCE.network, from);
  }
});

gpuTest(
  "importNetwork() cuts where blocks are sums without a ReLU, or concatenations",
  async ({ gpu }) => {
    for (const model of [preactivation(), densenet()]) {
      using network = imported(gpu, model, { trainable: "last-block" });
      const inputs = images(model, 2);
      const found = await runNetwork(gpu, network, inputs);
      assertClose(found.logits!, (await runWasm(model, inputs)).logits!.data, TOLERANCE.network);
      assertEquals(network.inputs.length, 1);
    }
  },
);

gpuTest("importNetwork() gives gradients of the image when nothing is trained", async ({ gpu }) => {
  const model = cifarResnet();
  using network = imported(gpu, model, { trainable: "none" });
  assertEquals(network.parameters.count, 0);
  using scope = gpu.scope();
  const { data, shape } = images(model, 2)["image"]!;
  const x = new Variable(toChannelsLast(scope, { x: scope.upload(data, shape) }), {
    needsGradient: true,
  });
  const tape = new Tape(scope);
  const { logits } = network.forward(tape, new Map([["image", x]]), { training: true });
  const gradient = scope.upload(new Float32Array(8).fill(1), [2, 4]);
  tape.backward([{ variable: logits, gradient }]);
  const [dX] = await scope.read(tape.gradientOf(x)!);
  assert(dX!.some((value) => value !== 0) && dX!.every(Number.isFinite));
});

gpuTest(
  "Network.forward() returns further values, and releases what nobody reads",
  async ({ gpu }) => {
    const model = cifarResnet();
    using network = imported(gpu, model, { outputs: ["layer1.0.out", "layer3.0.out"] });
    const inputs = images(model, 2);
    const found = await runNetwork(gpu, network, inputs);
    const pool = gpu.gpu.counters().pool;
    {
      using scope = gpu.scope();
      const given = await inputsOf(scope, network, inputs);
      const before = gpu.gpu.counters().pool.live;
      network.forward(new Tape(scope), given, { gradients: false });
      // Two values, the map, the pooled features, the logits.
      const live = gpu.gpu.counters().pool.live - before;
      assert(live <= 6, `${live} tensors are live behind a pass without gradients`);
    }
    assertEquals(gpu.gpu.counters().pool.live, pool.live);
    assertEquals(found["layer1.0.out"]!.length, 2 * 4 * 16 * 16);
    assertEquals(found["layer3.0.out"]!.length, 2 * 16 * 4 * 4);
  },
);

Deno.test("importNetwork() says which node stands in the way", () => {
  using host = new Host();
  const refused = (
    ...[model, options, message]: [
      Parameters<typeof imported>[1],
      Parameters<typeof imported>[2],
      string,
    ]
  ) => assertThrows(() => imported(host, model, options), UserError, message);
  const softplus = bottleneck();
  softplus.graph.proto.node.find(({ opType }) => opType === "Relu")!.opType = "Softplus";
  refused(
    new OnnxModel(softplus.proto),
    {},
    'Softplus "Relu:relu" there is no training: supported',
  );
  refused(headless(), {}, "feature vector without a classifier");
  refused(segmenter(), {}, "no output has the shape [N, K]");
  refused(squeezenet(), { trainable: "head" }, "followed by Relu before global pooling");
  refused(bottleneck(), { trainable: "last-block" }, "name the node at which training begins");
  refused(bottleneck(), { trainable: { from: "relu_33" } }, 'did you mean "relu_3"');
  refused(cifarResnet(), { outputs: ["layer1.0.uot"] }, 'did you mean "layer1.0.out"');
  refused(
    cifarResnet(),
    { outputs: ["layer1.0.out"], trainable: "last-block" },
    "lies before the part that is trained",
  );
  refused(
    cifarResnet(),
    { outputs: ["layer1.0.out"], trainable: "head" },
    "only the head is trained",
  );
});

Deno.test("importNetwork() refuses weights that are read twice in ways that do not agree", () => {
  using host = new Host();
  const b = new GraphBuilder();
  const x = b.input("image", ["N", 2, 4, 4]);
  const kernel = b.constant(new Float32Array(36).fill(0.1), {
    shape: [2, 2, 3, 3],
    name: "kernel",
  });
  const attributes = { pads: [1n, 1n, 1n, 1n] };
  const first = b.node("Conv", [x, kernel], { attributes, output: "first" });
  const second = b.node("Conv", [first, kernel], { attributes, output: "second" });
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [second])]);
  const matrix = b.constant(new Float32Array([1, 2, 3, 4]), { shape: [2, 2], name: "matrix" });
  const hidden = b.node("Gemm", [rows, matrix]);
  b.output("logits", b.node("Gemm", [hidden, matrix], { attributes: { transB: 1n } }));
  const model = b.build();
  const refuse = (options: Parameters<typeof imported>[2], message: string) =>
    assertThrows(() => imported(host, model, options), UserError, message);
  refuse({}, 'its weight "matrix" is also read by "Gemm:gemm" in another way');
  refuse(
    { trainable: { from: "Gemm:gemm_1" } },
    'the weight "matrix" is also read by Gemm "Gemm:gemm"',
  );
});

Deno.test("Network.forward() refuses inputs that do not fit, and dropout without a seed", () => {
  using host = new Host();
  const model = vgg();
  using network = imported(host, model);
  const run = (shape: number[], training: boolean) => {
    const x = new Variable(host.upload(new Float32Array(shape.reduce((a, b) => a * b)), shape));
    network.forward(new Tape(host), new Map([["image", x]]), { training });
  };
  assertThrows(() => run([1, 3, 14, 14], false), TypeError, "must have shape [N, 14, 14, 3]");
  assertThrows(() => run([1, 14, 14, 3], true), TypeError, "without a seed");
  assertThrows(
    () => network.forward(new Tape(host), new Map()),
    TypeError,
    'the input "image" is missing',
  );
});
