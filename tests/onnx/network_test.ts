import { assert, assertEquals } from "@std/assert";
import {
  exposeOutputs,
  GraphBuilder,
  inspect,
  makeTensor,
  type OnnxModel,
  readModel,
  readTensor,
  toValueInfoProto,
  withGraph,
  writeModel,
} from "../../onnx/mod.ts";
import { ELEMENT_TYPES } from "../../onnx/proto/mod.ts";
import { f32ToF16 } from "../../data/half.ts";
import { Host } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { images, imported, runNetwork, shake } from "./_forward.ts";
import { waves } from "./_models.ts";
import { FAMILIES } from "./_networks.ts";
import { runNative, runWasm } from "./_run.ts";

const SHIPPED = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);

/** What inspection found, by the names under which a network returns it. */
function named(model: OnnxModel): Record<string, string> {
  const { logits, features, featureMap } = inspect(model);
  return {
    logits: logits!.value,
    ...(features?.via === "value" && { features: features.value }),
    ...(featureMap && { featureMap: featureMap.value }),
  };
}

for (const [family, build] of Object.entries(FAMILIES)) {
  gpuTest(
    `importNetwork() runs ${family} as onnxruntime does, and goes back`,
    async ({ gpu, host }) => {
      const model = build();
      const inputs = images(model, 3);
      const values = named(model);
      const exposed = await runWasm(exposeOutputs(model, Object.values(values)), inputs);
      for (const ctx of [gpu, host]) {
        using network = imported(ctx, model);
        const found = await runNetwork(ctx, network, inputs);
        for (const [name, value] of Object.entries(values)) {
          assertClose(
            found[name]!,
            exposed[value]!.data,
            TOLERANCE.network,
            `${name} on ${ctx.kind}`,
          );
        }
        assertEquals(writeModel(await network.export()), writeModel(model));

        await shake(ctx, network);
        const moved = await network.export();
        assertEquals(moved.graph.outputs, model.graph.outputs);
        assertEquals(moved.graph.proto.node, model.graph.proto.node);
        const again = await runNetwork(ctx, network, inputs);
        const output = exposeOutputs(moved, [values.logits!]);
        const [wasm, native] = [await runWasm(output, inputs), await runNative(output, inputs)];
        assertClose(again.logits!, wasm[values.logits!]!.data, TOLERANCE.network, "shaken, wasm");
        assertClose(
          again.logits!,
          native[values.logits!]!.data,
          TOLERANCE.network,
          "shaken, native",
        );
        const far = again.logits!.some((value, i) => Math.abs(value - found.logits![i]!) > 0.01);
        assert(far, "the weights moved, and the logits did not");
      }
    },
  );
}

gpuTest(
  "importNetwork() runs the shipped ResNet-20 as onnxruntime does, and goes back",
  async ({ gpu }) => {
    const model = await readModel(SHIPPED);
    using network = imported(gpu, model);
    assertEquals(network.inputs, [{ name: "input", shape: [32, 32, 3] }]);
    assertEquals(network.trunk, undefined);
    const inputs = images(model, 4);
    const expected = await runWasm(model, inputs);
    const found = await runNetwork(gpu, network, inputs);
    assertClose(found.logits!, expected.logits!.data, TOLERANCE.network, "logits");
    assertClose(found.featureMap!, expected.feature_map!.data, TOLERANCE.network, "feature map");
    assertEquals(writeModel(await network.export()), await Deno.readFile(SHIPPED));
    await shake(gpu, network);
    const moved = await network.export();
    const again = await runNetwork(gpu, network, inputs);
    for (const run of [runWasm, runNative]) {
      const { logits } = await run(moved, inputs);
      assertClose(again.logits!, logits!.data, TOLERANCE.network, run.name);
    }
  },
);

Deno.test("importNetwork() writes back what it was given: types, nodes, shared weights", async () => {
  using host = new Host();
  const b = new GraphBuilder({ opset: 13 });
  const x = b.input("image", ["N", 2, 4, 4]);
  const kernel = b.constant(waves(36), { shape: [2, 2, 3, 3], name: "kernel" });
  const attributes = { pads: [1n, 1n, 1n, 1n] };
  const once = b.node("Conv", [x, kernel], { attributes });
  const twice = b.node("Relu", [b.node("Conv", [once, kernel], { attributes })]);
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [twice])]);
  const stored = makeTensor("", waves(6, 3), { shape: [2, 3] });
  const matrix = b.node("Constant", [], { attributes: { value: stored }, output: "matrix" });
  const floats = { "value_floats": [0.1, 0.2, 0.3] };
  const bias = b.node("Constant", [], { attributes: floats, output: "bias" });
  b.output("logits", b.node("Gemm", [rows, matrix, bias], { attributes: { alpha: 0.3 } }));
  const model = b.build();
  using network = imported(host, model);
  assertEquals(network.parameters.names, ["kernel", "matrix", "bias"]);
  assertEquals(writeModel(await network.export()), writeModel(model));
  await shake(host, network);
  const moved = await network.export();
  const inputs = images(model, 2);
  const { logits } = await runNative(moved, inputs);
  const found = await runNetwork(host, network, inputs);
  assertClose(found.logits!, logits!.data, TOLERANCE.network, "logits");
});

/** A classifier that computes in another type; its initialisers are declared as inputs too. */
function stored(type: "f16" | "f64"): OnnxModel {
  const b = new GraphBuilder({ opset: 13 });
  const to = { to: BigInt(ELEMENT_TYPES[type]) };
  const x = b.node("Cast", [b.input("image", ["N", 3, 4, 4])], { attributes: to });
  const make = (count: number, shape: number[], name: string) => {
    const values = waves(count, count);
    return b.constant(type === "f64" ? Float64Array.from(values, (v) => v / 3) : f32ToF16(values), {
      shape,
      name,
      type,
    });
  };
  const map = b.node("Conv", [x, make(12, [4, 3, 1, 1], "kernel"), make(4, [4], "offset")]);
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [b.node("Relu", [map])])]);
  const matrix = make(12, [4, 3], "matrix");
  b.output("logits", b.node("Gemm", [rows, matrix, make(3, [3], "bias")]), { type });
  const model = b.build();
  const { proto } = model.graph;
  const declared = proto.initializer.map((tensor) =>
    toValueInfoProto({ name: tensor.name!, type, shape: tensor.dims })
  );
  return withGraph(model, { input: [...proto.input, ...declared] });
}

Deno.test("importNetwork() keeps element types, and initialisers that are inputs too", async () => {
  using host = new Host();
  for (const type of ["f16", "f64"] as const) {
    const model = stored(type);
    using network = imported(host, model);
    assertEquals(writeModel(await network.export()), writeModel(model));
    assertEquals(network.inputs.length, 1);
    const bias = network.parameters.get("bias").value;
    host.write(bias, new Float32Array([1, bias.data[1]!, 3]));
    const moved = await network.export();
    const tensor = readTensor(moved.graph.initializers.get("bias")!);
    const before = readTensor(model.graph.initializers.get("bias")!);
    assertEquals(tensor.type, type);
    assertEquals([...tensor.data], [1, before.data[1]!, 3]);
    assertEquals(moved.graph.initializers.get("kernel"), model.graph.initializers.get("kernel"));
    assertEquals(moved.graph.proto.input, model.graph.proto.input);
  }
});
