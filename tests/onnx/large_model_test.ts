import { assert, assertEquals } from "@std/assert";
import { modelFiles } from "../../onnx/_large_model.ts";
import { createSession, loadRuntime, serialised } from "../../onnx/_ort_runtime.ts";
import { parseModel, readModel, writeModel } from "../../onnx/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { waves } from "./_models.ts";
import { runWasm } from "./_run.ts";

const PATH = "models/cifar10-resnet20.onnx";

Deno.test("modelFiles() keeps a model in one file where it fits", async () => {
  const model = await readModel(PATH);
  assertEquals(modelFiles(model), { bytes: writeModel(model), externalData: [] });
});

Deno.test("modelFiles() puts weights beside a graph that is too large, and onnxruntime-web finds them", async () => {
  const model = await readModel(PATH);
  const { bytes, externalData } = modelFiles(model, 100_000);
  // All weights are views of the file that was read.
  assertEquals(externalData.map(({ path }) => path), ["weights-0"]);
  assert(bytes.length < 100_000, `${bytes.length}`);
  const ort = await loadRuntime({ device: "wasm" });
  const input = { data: waves(2 * 3072, 1), shape: [2, 3, 32, 32] };
  const actual = await serialised(async () => {
    const session = await createSession(ort, bytes, { executionProviders: ["wasm"], externalData });
    const { logits } = await session.run({
      input: new ort.Tensor("float32", input.data, input.shape),
    });
    await session.release();
    return logits!.data as Float32Array;
  });
  const { logits } = await runWasm(model, { input });
  assertClose(actual, logits!.data, TOLERANCE.exact);
});

Deno.test("modelFiles() names a place for each array that weights are views of", async () => {
  const one = await readModel(PATH);
  const initializer = one.graph.proto.initializer.map((tensor) => ({
    ...tensor,
    ...(tensor.rawData === undefined ? {} : { rawData: tensor.rawData.slice() }),
  }));
  const { OnnxModel } = await import("../../onnx/mod.ts");
  const model = new OnnxModel({ ...one.proto, graph: { ...one.graph.proto, initializer } });
  const { externalData } = modelFiles(model, 100_000);
  const large = initializer.filter(({ rawData }) => (rawData?.length ?? 0) >= 1024);
  assertEquals(externalData.length, large.length);
  assertEquals(parseModel(writeModel(model)).graph.initializers.size, one.graph.initializers.size);
});
