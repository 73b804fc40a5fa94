import {
  encoderBlock,
  encoderParameters,
  linearLayer,
  namedLinear,
  ParameterSet,
  Tape,
  Variable,
} from "../../nn/mod.ts";
import { GraphBuilder, GraphLayers, openSession } from "../../onnx/mod.ts";
import { Rng } from "../../kernels/mod.ts";
import { Host } from "../../runtime/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SIZES = { width: 8, hidden: 12, seed: 3, stream: 0 };

function normals(length: number, stream: number): Float32Array<ArrayBuffer> {
  const rng = new Rng(5, stream);
  return Float32Array.from({ length }, () => rng.normal());
}

Deno.test("an encoder block as a graph computes what nn's does", async () => {
  const [images, tokens, width] = [3, 5, SIZES.width];
  const specs = encoderParameters(1, SIZES);
  const builder = new GraphBuilder();
  const layers = new GraphLayers(builder, (name) => specs.find((spec) => spec.name === name)!);
  const x = builder.input("x", ["N", tokens, width]);
  builder.output("y", layers.encoderBlock(x, "blocks.0", { heads: 2, width }));
  const data = normals(images * tokens * width, 1);
  await using session = await openSession(builder.build(), { device: "wasm" });
  const { y } = await session.run({ x: { data, shape: [images, tokens, width] } });

  using host = new Host();
  using parameters = new ParameterSet(host, specs);
  const offsets = host.upload(Int32Array.from({ length: images + 1 }, (_, n) => n * tokens), [
    images + 1,
  ]);
  const rows = new Variable(host.upload(data, [images * tokens, width]));
  const lists = { heads: 2, offsets, maxLength: tokens };
  const part = { name: "blocks.0", parameters };
  const expected = encoderBlock(new Tape(host), rows, part, lists);
  assertClose(y!.data, expected.value.data, TOLERANCE.network);
});

Deno.test("a bias on attention scores hides tokens", async () => {
  const [tokens, width] = [4, SIZES.width];
  const specs = encoderParameters(1, SIZES);
  const builder = new GraphBuilder();
  const layers = new GraphLayers(builder, (name) => specs.find((spec) => spec.name === name)!);
  const x = builder.input("x", ["N", tokens, width]);
  const bias = builder.constant(Float32Array.of(0, 0, -1e9, -1e9), { shape: [1, 1, 1, tokens] });
  const { weights } = layers.attention(x, "blocks.0.attention", { heads: 2, width, bias });
  builder.output("weights", weights);
  await using session = await openSession(builder.build(), { device: "wasm" });
  const data = normals(tokens * width, 2);
  const found = await session.run({ x: { data, shape: [1, tokens, width] } });
  const shown = found["weights"]!.data as Float32Array;
  shown.forEach((weight, i) => {
    if (i % tokens >= 2 && weight !== 0) throw new Error(`token ${i % tokens} has ${weight}`);
  });
});

Deno.test("a linear layer as a graph computes what nn's does", async () => {
  const { parameters: specs } = linearLayer("head", { inputs: 3, outputs: 5, seed: 1, stream: 0 });
  const builder = new GraphBuilder();
  const layers = new GraphLayers(builder, (name) => specs.find((spec) => spec.name === name)!);
  const x = builder.input("x", ["N", 3]);
  builder.output("y", layers.linear(x, "head"));
  const data = normals(6, 3);
  await using session = await openSession(builder.build(), { device: "wasm" });
  const { y } = await session.run({ x: { data, shape: [2, 3] } });
  using host = new Host();
  using parameters = new ParameterSet(host, specs);
  const rows = new Variable(host.upload(data, [2, 3]));
  const expected = namedLinear(new Tape(host), rows, { name: "head", parameters });
  assertClose(y!.data, expected.value.data, TOLERANCE.network);
});
