import { assertEquals, assertThrows } from "@std/assert";
import {
  GraphBuilder,
  importNetwork,
  inputGradient,
  inspect,
  type Network,
  type OnnxModel,
} from "../../onnx/mod.ts";
import { Tape, Variable } from "../../nn/mod.ts";
import { type Context, sizeOf, type TypedArray } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { Host64 } from "../_support/host64.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { imported } from "./_forward.ts";
import { conv, resnetLike, waves } from "./_models.ts";
import { FAMILIES } from "./_networks.ts";

const SHAPE = [2, 5, 5, 3] as const;

/** Convolutions, sigmoids, pooling, a head: nothing that differences could stumble over. */
function smooth(): OnnxModel {
  const b = new GraphBuilder({ name: "smooth" });
  const image = b.input("image", ["N", 3, 5, 5]);
  const first = b.node("Sigmoid", [conv(b, image, { from: 3, to: 4, k: 3, name: "first" })]);
  const map = b.node("Sigmoid", [conv(b, first, { from: 4, to: 5, k: 3, name: "second" })]);
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [map])], {
    attributes: { axis: 1n },
  });
  const weight = b.constant(waves(20, 3), { shape: [4, 5], name: "fc.weight" });
  const bias = b.constant(waves(4, 4), { name: "fc.bias" });
  b.output("logits", b.node("Gemm", [rows, weight, bias], { attributes: { transB: 1n } }));
  return b.build();
}

/** Logits in float64: the network's own head would round them. */
function logitsOf(host: Host64, network: Network, image: Float64Array): Float64Array {
  using scope = host.scope();
  const x = new Variable(scope.upload(image as unknown as TypedArray, SHAPE));
  const inputs = new Map([[network.inputs[0]!.name, x]]);
  const { features, head } = network.forward(new Tape(scope), inputs, { gradients: false });
  const [classes, channels] = head!.weight.shape as [number, number];
  const [a, weight, bias] = [features!, head!.weight, head!.bias!].map(({ value }) => value.data);
  return Float64Array.from({ length: SHAPE[0] * classes }, (_, i) => {
    const [row, k] = [Math.floor(i / classes), i % classes];
    let sum = bias![k]!;
    for (let c = 0; c < channels; c++) sum += a![row * channels + c]! * weight![k * channels + c]!;
    return sum;
  });
}

Deno.test("inputGradient() is the derivative of a scalar of the logits", () => {
  using host = new Host64();
  using network = imported(host, smooth(), { trainable: "none" });
  checkGradient({
    forward: ([image]) => logitsOf(host, network, image!),
    backward: ([image], dY) => {
      using scope = host.scope();
      const gradient = inputGradient(scope, network, {
        image: scope.upload(image as unknown as TypedArray, SHAPE),
        byLogits: (ctx) => ctx.upload(dY as unknown as TypedArray, [SHAPE[0], 4]),
      });
      return [Float64Array.from(gradient.data)];
    },
    inputs: [Float64Array.from(waves(sizeOf(SHAPE), 8))],
    seed: 20_250_301,
    tolerance: TOLERANCE.networkSlope,
  });
});

async function gradientOn(ctx: Context, network: Network): Promise<TypedArray> {
  using scope = ctx.scope();
  const shape = [3, ...network.inputs[0]!.shape];
  const gradient = inputGradient(scope, network, {
    image: scope.upload(waves(sizeOf(shape), 6), shape),
    byLogits: (inner, { size, shape }) => inner.upload(waves(size, 9), shape),
  });
  assertEquals(gradient.shape, shape);
  return (await scope.read(gradient))[0]!;
}

for (const [family, build] of Object.entries(FAMILIES)) {
  gpuTest(`inputGradient() of ${family} on the GPU agrees with the reference`, async (context) => {
    const [gpu, host] = await Promise.all([context.gpu, context.host].map(async (ctx) => {
      using network = imported(ctx, build(), { trainable: "none" });
      return await gradientOn(ctx, network);
    }));
    const largest = Math.max(...host!.map(Math.abs), 1e-3);
    assertClose(
      gpu!.map((value) => value / largest),
      host!.map((value) => value / largest),
      TOLERANCE.network,
    );
  });
}

gpuTest("inputGradient() leaves the gradients of parameters alone", async ({ gpu }) => {
  using network = imported(gpu, resnetLike(), { trainable: "all" });
  const untouched = imported(gpu, resnetLike(), { trainable: "none" });
  const [all, none] = [await gradientOn(gpu, network), await gradientOn(gpu, untouched)];
  untouched[Symbol.dispose]();
  assertEquals(all, none);
  const bias = network.parameters.get("fc.bias").gradient!;
  gpu.write(bias, new Float32Array([1, 2, 3, 4]));
  await gradientOn(gpu, network);
  assertEquals([...(await gpu.read(bias))[0]!], [1, 2, 3, 4]);
});

Deno.test("inputGradient() refuses a network that begins behind the image", () => {
  using host = new Host64();
  const model = resnetLike();
  using network = importNetwork(host, model, inspect(model), { trainable: "head" });
  const image = host.upload(new Float32Array(6), [1, 6]);
  assertThrows(
    () => inputGradient(host, network, { image, byLogits: (_, logits) => logits }),
    TypeError,
    "Cannot differentiate by the image: the network begins at",
  );
});
