import { assertEquals } from "@std/assert";
import { f32ToF16 } from "../../data/half.ts";
import { withWholeChannels } from "../../onnx/_conv_channels.ts";
import { GraphBuilder, type OnnxModel, openSession } from "../../onnx/mod.ts";
import type { Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { waves } from "./_models.ts";
import { runWasm } from "./_run.ts";

interface Sizes {
  readonly channels: number;
  readonly outputs: number;
  readonly kernel?: number;
  readonly groups?: number;
  readonly opset?: number;
  readonly bias?: boolean;
  readonly half?: boolean;
}

function model(sizes: Sizes): OnnxModel {
  const { channels, outputs, kernel = 3, groups = 1, opset = 17, bias = true, half = false } =
    sizes;
  const b = new GraphBuilder({ name: "conv", opset });
  const x = b.input("x", ["N", channels, 5, 7], half ? { type: "f16" } : {});
  const shape = [outputs, channels / groups, kernel, kernel];
  const numbers = waves(shape.reduce((a, c) => a * c, 1), 1);
  const weight = half
    ? b.constant(f32ToF16(numbers), { shape, type: "f16" })
    : b.constant(numbers, { shape });
  const pad = BigInt((kernel - 1) / 2);
  const inputs = bias ? [x, weight, b.constant(waves(outputs, 2))] : [x, weight];
  b.output(
    "y",
    b.node("Conv", inputs, {
      attributes: {
        kernel_shape: [BigInt(kernel), BigInt(kernel)],
        pads: [pad, pad, pad, pad],
        group: BigInt(groups),
      },
    }),
  );
  return b.build();
}

const WRONG: readonly Sizes[] = [
  { channels: 9, outputs: 8 },
  { channels: 6, outputs: 4, bias: false },
  { channels: 9, outputs: 8, opset: 10 },
  { channels: 18, outputs: 12, kernel: 5 },
];

for (const sizes of WRONG) {
  gpuTest(`sessions on webgpu convolve ${JSON.stringify(sizes)} as in wasm`, async ({ gpu }) => {
    const given = model(sizes);
    const x = { data: waves(2 * sizes.channels * 35, 3), shape: [2, sizes.channels, 5, 7] };
    const { y: expected } = await runWasm(given, { x });
    const padded = withWholeChannels(given);
    assertEquals(padded.graph.nodes.slice(0, 2).map(({ opType }) => opType), ["Pad", "Conv"]);
    // What is padded is the same graph anywhere.
    const { y: same } = await runWasm(padded, { x });
    assertClose(same!.data, expected!.data, TOLERANCE.network);
    await using session = await openSession(given, { device: "webgpu", gpu: gpu.gpu });
    const { y } = await session.run({ x });
    const [actual] = await gpu.read(y as Tensor);
    assertClose(actual!, expected!.data, TOLERANCE.provider);
  });
}

Deno.test("withWholeChannels() leaves alone what is computed right", () => {
  const right: readonly Sizes[] = [
    { channels: 3, outputs: 8 },
    { channels: 12, outputs: 8 },
    { channels: 10, outputs: 8 },
    { channels: 9, outputs: 6 },
    { channels: 9, outputs: 8, kernel: 1 },
    { channels: 9, outputs: 12, groups: 3 },
  ];
  for (const sizes of right) {
    const given = model(sizes);
    assertEquals(withWholeChannels(given), given);
  }
});

Deno.test("withWholeChannels() keeps half floats what they are", () => {
  const padded = withWholeChannels(model({ channels: 9, outputs: 4, half: true, bias: false }));
  const weight = padded.graph.constant(padded.graph.nodes[1]!.inputs[1]!)!;
  assertEquals(weight.type, "f16");
  assertEquals(weight.shape, [4, 12, 3, 3]);
  assertEquals([...weight.data.slice(81, 108)].map(Number), Array(27).fill(0));
});
