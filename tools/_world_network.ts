/**
 * The network of models/world-classifier.onnx before training: a small residual network for 64 x 64
 * images, as an ONNX graph.
 *
 * @module
 */

import type { PreprocessSpec } from "../kernels/mod.ts";
import { heNormal, uniformFanIn } from "../nn/mod.ts";
import { GraphBuilder, type OnnxModel } from "../onnx/mod.ts";

/** Channels of the three stages. */
const STAGES: readonly number[] = [16, 32, 64];
const SIZE = 64;

/** What is done to an image before the network sees it. */
export const WORLD_PREPROCESSING: PreprocessSpec = {
  resize: { width: SIZE, height: SIZE },
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.5, 0.5, 0.5],
  scale: [0.25, 0.25, 0.25],
  layout: "NCHW",
};

/**
 * Builds the network with first weights: a stem of stride 2, three residual blocks of which the
 * last two halve the map, one more block, global average pooling, a linear head.
 *
 * @param options Number of classes, the seed of the weights, and the stages' channels: 16, 32, 64 by
 * default.
 * @returns The model, with outputs `feature_map` [N, 64, 8, 8] and `logits` [N, classes].
 */
export function worldNetwork(
  options: { classes: number; seed: number; stages?: readonly number[] },
): OnnxModel {
  const net = new ResidualGraph(options.seed);
  const { stages = STAGES } = options;
  let inputs = stages[0]!;
  let x = net.relu(net.conv(net.input, { inputs: 3, outputs: inputs, stride: 2 }));
  for (const [stage, outputs] of stages.entries()) {
    x = net.block(x, { inputs, outputs, stride: stage === 0 ? 1 : 2 });
    inputs = outputs;
  }
  x = net.block(x, { inputs, outputs: inputs, stride: 1, output: "feature_map" });
  return net.finish(x, { inputs, classes: options.classes });
}

interface ConvSizes {
  readonly inputs: number;
  readonly outputs: number;
  readonly stride: number;
  readonly kernel?: number;
}

class ResidualGraph {
  readonly input: string;
  readonly #builder: GraphBuilder = new GraphBuilder({ opset: 13, name: "world-classifier" });
  readonly #seed: number;
  #layers = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.input = this.#builder.input("input", ["N", 3, SIZE, SIZE]);
  }

  /** A convolution and its batch normalisation. */
  conv(x: string, { inputs, outputs, stride, kernel = 3 }: ConvSizes): string {
    const shape = [outputs, inputs, kernel, kernel];
    const layer = this.#layers++;
    const weight = this.#builder.constant(heNormal(shape, { seed: this.#seed, stream: layer }), {
      shape,
      name: `conv${layer}.weight`,
    });
    const pad = BigInt((kernel - 1) / 2);
    const y = this.#builder.node("Conv", [x, weight], {
      attributes: {
        kernel_shape: [BigInt(kernel), BigInt(kernel)],
        strides: [BigInt(stride), BigInt(stride)],
        pads: [pad, pad, pad, pad],
      },
    });
    const fill = (value: number, part: string) =>
      this.#builder.constant(new Float32Array(outputs).fill(value), { name: `bn${layer}.${part}` });
    const parts = [fill(1, "weight"), fill(0, "bias"), fill(0, "mean"), fill(1, "variance")];
    return this.#builder.node("BatchNormalization", [y, ...parts], {
      attributes: { epsilon: 1e-5 },
    });
  }

  relu(x: string, output?: string): string {
    return this.#builder.node("Relu", [x], output === undefined ? {} : { output });
  }

  block(x: string, sizes: ConvSizes & { readonly output?: string }): string {
    const { inputs, outputs, stride, output } = sizes;
    const first = this.relu(this.conv(x, { inputs, outputs, stride }));
    const branch = this.conv(first, { inputs: outputs, outputs, stride: 1 });
    const plain = stride === 1 && inputs === outputs;
    const shortcut = plain ? x : this.conv(x, { inputs, outputs, stride, kernel: 1 });
    return this.relu(this.#builder.node("Add", [branch, shortcut]), output);
  }

  finish(map: string, { inputs, classes }: { inputs: number; classes: number }): OnnxModel {
    const builder = this.#builder;
    const shape = [classes, inputs];
    const draw = { seed: this.#seed, stream: this.#layers++ };
    const weight = builder.constant(uniformFanIn(shape, draw), { shape, name: "head.weight" });
    const bias = builder.constant(
      uniformFanIn([classes], { seed: this.#seed, stream: this.#layers++, inputs }),
      { name: "head.bias" },
    );
    const features = builder.node("Flatten", [builder.node("GlobalAveragePool", [map])]);
    builder.node("Gemm", [features, weight, bias], {
      attributes: { transB: 1n },
      output: "logits",
    });
    builder.output("feature_map");
    builder.output("logits");
    return builder.build({ name: "world-classifier" });
  }
}
