import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { crossEntropy, toChannelsLast } from "../../kernels/mod.ts";
import { Sgd, Tape, TrainingStep, Variable } from "../../nn/mod.ts";
import {
  GraphBuilder,
  importNetwork,
  inspect,
  type Network,
  type NetworkOptions,
  OnnxModel,
} from "../../onnx/mod.ts";
import { type Context, Host, Scalar } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { images, imported, runNetwork } from "./_forward.ts";
import { mobilenetLike, waves } from "./_models.ts";
import { bottleneck, cifarResnet, preactivation, vgg } from "./_networks.ts";
import { runWasm } from "./_run.ts";

const COUNT = 8;

/** Losses of a few steps of SGD on one batch; on a GPU the step is recorded once and replayed. */
async function train(
  ctx: Context,
  network: Network,
  { model, steps }: { model: OnnxModel; steps: number },
): Promise<number[]> {
  using scope = ctx.scope();
  const [{ data, shape }] = Object.values(images(model, COUNT)) as [
    { data: Float32Array<ArrayBuffer>; shape: readonly number[] },
  ];
  const image = new Variable(toChannelsLast(scope, { x: scope.upload(data, shape) }));
  const labels = scope.upload(Int32Array.from({ length: COUNT }, (_, i) => i % 3), [COUNT]);
  const losses = scope.upload(new Float32Array(COUNT), [COUNT]);
  const seed = new Scalar(0);
  const optimizer = new Sgd(scope, network.parameters, { learningRate: 0.004, momentum: 0.9 });
  using step = new TrainingStep(scope, (ctx) => {
    const tape = new Tape(ctx);
    const inputs = new Map([[network.inputs[0]!.name, image]]);
    const { logits } = network.forward(tape, inputs, { training: true, seed });
    const { loss, dLogits } = crossEntropy(ctx, { logits: logits.value, labels });
    ctx.copy(loss, losses);
    tape.backward([{ variable: logits, gradient: dLogits }]);
    optimizer.record(ctx);
  });
  const curve: number[] = [];
  for (let i = 0; i < steps; i++) {
    seed.value = i;
    step.run();
    const [row] = await scope.read(losses);
    curve.push(Array.from(row!).reduce((sum, loss) => sum + loss, 0) / COUNT);
  }
  optimizer[Symbol.dispose]();
  return curve;
}

gpuTest(
  "Network trains by replays as it does on the host, and what it learnt is exported",
  async ({ gpu, host }) => {
    for (const build of [() => cifarResnet(), vgg]) {
      const model = build();
      using onGpu = imported(gpu, model);
      using onHost = imported(host, model);
      const steps = 6;
      const curve = await train(gpu, onGpu, { model, steps });
      const expected = await train(host, onHost, { model, steps });
      assertClose(curve, expected, TOLERANCE.trainingCurve, "losses");
      assert(curve.at(-1)! < curve[0]!, `the loss went from ${curve[0]} to ${curve.at(-1)}`);
      const inputs = images(model, 3);
      const moved = await onGpu.export();
      const value = inspect(model).logits!.value;
      const found = await runNetwork(gpu, onGpu, inputs);
      const outputs = await runWasm(moved, inputs);
      if (outputs[value] !== undefined) {
        assertClose(
          found.logits!,
          outputs[value].data,
          TOLERANCE.network,
          "logits behind training",
        );
      }
    }
  },
);

Deno.test("Network moves running statistics in training alone, and only when it is to", async () => {
  const model = cifarResnet();
  const name = "stem.bn.running_mean";
  const moved = async (options: NetworkOptions, training: boolean) => {
    using host = new Host();
    using network = imported(host, model, options);
    const before = network.statistics.get(name)!.data.slice();
    const { data, shape } = images(model, 2)["image"]!;
    const x = toChannelsLast(host, { x: host.upload(data, shape) });
    network.forward(new Tape(host), new Map([["image", new Variable(x)]]), { training });
    const after = network.statistics.get(name)!.data;
    const exported = await network.export();
    const changed = exported.graph.proto.initializer.filter((tensor, i) =>
      tensor !== model.graph.proto.initializer[i]
    );
    const distance = Math.max(...after.map((value, i) => Math.abs(value - before[i]!)));
    return { distance, changed: changed.length };
  };
  const plain = await moved({}, true);
  const twice = await moved({ momentum: 0.2 }, true);
  assert(plain.distance > 0 && plain.changed > 0);
  assertClose([twice.distance], [2 * plain.distance], TOLERANCE.kernel, "twice the momentum");
  assertEquals(await moved({}, false), { distance: 0, changed: 0 });
  assertEquals(await moved({ batchNorm: "frozen" }, true), { distance: 0, changed: 0 });
  assertEquals(await moved({ trainable: "none" }, true), { distance: 0, changed: 0 });
});

Deno.test("Network drops in training alone, by the seed", async () => {
  using host = new Host();
  const model = vgg();
  const { data, shape } = images(model, 2)["image"]!;
  const image = new Variable(toChannelsLast(host, { x: host.upload(data, shape) }));
  const logits = (network: Network, seed: number, training = true) => [
    ...network.forward(new Tape(host), new Map([["image", image]]), {
      training,
      seed: new Scalar(seed),
    }).logits.value.data,
  ];
  using dropping = imported(host, model);
  using still = imported(host, model, { dropout: false });
  assertEquals(logits(dropping, 1), logits(dropping, 1));
  assertNotEquals(logits(dropping, 1), logits(dropping, 2));
  assertEquals(logits(dropping, 1, false), logits(still, 1));
  assertEquals(
    await runNetwork(host, dropping, images(model, 2)).then(({ logits }) => [...logits!]),
    [
      ...logits(still, 3),
    ],
  );
});

gpuTest(
  "Tape.retain() keeps logits that are a view of what a convolution made",
  async ({ gpu }) => {
    const model = mobilenetLike();
    using network = imported(gpu, model);
    using scope = gpu.scope();
    const inputs = images(model, 2);
    const { data, shape } = inputs["image"]!;
    const image = new Variable(toChannelsLast(scope, { x: scope.upload(data, shape) }));
    const tape = new Tape(scope);
    const { logits } = network.forward(tape, new Map([["image", image]]));
    tape.retain(logits);
    tape.backward([{ variable: logits, gradient: scope.upload(new Float32Array(8), [2, 4]) }]);
    const [found] = await scope.read(logits.value);
    assertClose(found!, (await runWasm(model, inputs)).logits!.data, TOLERANCE.network);
  },
);

Deno.test("importNetwork() takes the size of open images from the sidecar", async () => {
  using host = new Host();
  const b = new GraphBuilder();
  const x = b.input("image", ["N", 3, "H", "W"]);
  const kernel = b.constant(waves(27), { shape: [1, 3, 3, 3], name: "kernel" });
  const map = b.node("Relu", [b.node("Conv", [x, kernel])]);
  const rows = b.node("Flatten", [b.node("MaxPool", [map], {
    attributes: { kernel_shape: [2n, 2n], strides: [2n, 2n] },
  })]);
  const matrix = b.constant(waves(12), { shape: [4, 3], name: "matrix" });
  b.output("logits", b.node("MatMul", [rows, matrix]));
  const model = b.build();
  const size = { width: 6, height: 7 };
  const found = inspect(model, {
    sidecar: {
      preprocessing: {
        resize: size,
        crop: size,
        interpolation: "bilinear",
        layout: "NCHW",
        channels: "RGB",
        range: 1,
        mean: [0, 0, 0],
        scale: [1, 1, 1],
      },
    },
  });
  using network = importNetwork(host, model, found);
  assertEquals(network.inputs[0]!.shape, [7, 6, 3]);
  const data = waves(126, 2);
  const expected = await runWasm(model, { image: { data, shape: [1, 3, 7, 6] } });
  const planes = { image: { data, shape: [1, 3, 7, 6] } };
  const { logits } = await runNetwork(host, network, planes);
  assertClose(logits!, expected.logits!.data, TOLERANCE.network);
});

gpuTest(
  "importNetwork() takes ReLUs, and biases by an Add, into the kernels before them",
  ({ gpu }) => {
    const dispatches = (model: OnnxModel) => {
      using network = imported(gpu, model);
      using scope = gpu.scope();
      const [input] = network.inputs;
      const x = new Variable(scope.empty([2, ...input!.shape]));
      using step = new TrainingStep(scope, (ctx) => {
        network.forward(new Tape(ctx), new Map([[input!.name, x]]), { training: true });
      });
      return step.dispatches;
    };
    const without = (model: OnnxModel) => {
      for (const node of model.graph.proto.node) {
        if (node.opType === "Relu") {
          node.opType = "Identity";
        }
      }
      return new OnnxModel(model.proto);
    };
    for (const build of [() => cifarResnet(), bottleneck, preactivation]) {
      assertEquals(dispatches(build()), dispatches(without(build())));
    }
    const linear = (fused: boolean) => {
      const b = new GraphBuilder();
      const x = b.input("image", ["N", 3, 4, 4]);
      const rows = b.node("Flatten", [b.node("GlobalAveragePool", [x])]);
      const weight = b.constant(waves(12), { shape: [3, 4], name: "weight" });
      const product = b.node("MatMul", [rows, weight], { output: "product" });
      const bias = b.constant(waves(4), { name: "bias" });
      b.output("logits", fused ? b.node("Add", [product, bias]) : product);
      return b.build();
    };
    assertEquals(dispatches(linear(true)), dispatches(linear(false)));
  },
);
