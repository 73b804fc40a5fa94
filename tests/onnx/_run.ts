import * as native from "onnxruntime-node";
import { type OnnxModel, openSession, writeModel } from "../../onnx/mod.ts";

/** Arrays by name. */
export type Arrays = Record<string, { data: Float32Array<ArrayBuffer>; shape: readonly number[] }>;

/** Runs a model in WebAssembly. */
export async function runWasm(model: OnnxModel, inputs: Arrays): Promise<Arrays> {
  await using session = await openSession(writeModel(model), { device: "wasm", threads: 1 });
  return await session.run(inputs) as Arrays;
}

/** Runs a model in onnxruntime's native build, which shares no code with the other. */
export async function runNative(model: OnnxModel, inputs: Arrays): Promise<Arrays> {
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
