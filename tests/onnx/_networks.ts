import { type AttributeValue, GraphBuilder, type OnnxModel } from "../../onnx/mod.ts";
import { transformerLike, waves } from "./_models.ts";

/** A family of networks, small; names of nodes and initialisers are what exporters give. */
export type Family = (options?: { opset?: number }) => OnnxModel;

/** Graphs in the manner of well-known classifiers, with a counter so that no weight is another's. */
export class Builder extends GraphBuilder {
  #seed = 0;

  /** A weight whose products keep the size of what they are applied to. */
  weight(shape: readonly number[], name: string): string {
    const count = shape.reduce((a, b) => a * b, 1);
    const fan = count / shape[0]!;
    const data = waves(count, ++this.#seed).map((value) => value * 3.5 / Math.sqrt(fan));
    return this.constant(data, { shape, name });
  }

  vector(
    count: number,
    name: string,
    around = 0,
    options: { shape?: readonly number[] } = {},
  ): string {
    const data = waves(count, ++this.#seed).map((value) => around + 0.6 * value);
    return this.constant(data, { ...options, name });
  }

  conv(
    x: string,
    sizes: { from: number; to: number; k: number; stride?: number; groups?: number },
    options: { bias?: boolean; name?: string; attributes?: Record<string, AttributeValue> } = {},
  ): string {
    const { from, to, k, stride = 1, groups = 1 } = sizes;
    const { bias = true, name = "conv", attributes } = options;
    const pad = BigInt((k - 1) / 2);
    const weight = this.weight([to, from / groups, k, k], `${name}.weight`);
    return this.node("Conv", [x, weight, ...(bias ? [this.vector(to, `${name}.bias`)] : [])], {
      attributes: {
        kernel_shape: [BigInt(k), BigInt(k)],
        strides: [BigInt(stride), BigInt(stride)],
        group: BigInt(groups),
        ...(attributes ?? { pads: [pad, pad, pad, pad] }),
      },
    });
  }

  norm(x: string, channels: number, name = "bn"): string {
    return this.node("BatchNormalization", [
      x,
      this.vector(channels, `${name}.weight`, 1),
      this.vector(channels, `${name}.bias`),
      this.vector(channels, `${name}.running_mean`),
      this.vector(channels, `${name}.running_var`, 1),
    ], { attributes: { epsilon: 1e-3 } });
  }

  relu(x: string): string {
    return this.node("Relu", [x]);
  }

  /** Convolution, normalisation, ReLU. */
  unit(
    x: string,
    sizes: { from: number; to: number; k: number; stride?: number; groups?: number },
    name: string,
  ): string {
    const map = this.conv(x, sizes, { bias: false, name: `${name}.conv` });
    return this.relu(this.norm(map, sizes.to, `${name}.bn`));
  }

  pool(opType: string, x: string, k: number, more: Record<string, AttributeValue> = {}): string {
    return this.node(opType, [x], {
      attributes: { kernel_shape: [BigInt(k), BigInt(k)], strides: [2n, 2n], ...more },
    });
  }

  /** Global pooling, Flatten, Gemm. */
  classify(map: string, channels: number, classes = 4): void {
    const rows = this.node("Flatten", [this.node("GlobalAveragePool", [map])]);
    const weight = this.weight([classes, channels], "fc.weight");
    const bias = this.vector(classes, "fc.bias");
    this.output("logits", this.node("Gemm", [rows, weight, bias], { attributes: { transB: 1n } }));
  }

  image(side = 16): string {
    return this.input("image", ["N", 3, side, side]);
  }
}

/** Residual blocks with batch normalisation as CIFAR's ResNets have them, the map an output too. */
export function cifarResnet(
  options: { opset?: number; widths?: readonly number[]; blocks?: number } = {},
): OnnxModel {
  const { opset = 13, widths = [4, 8, 16], blocks = 2 } = options;
  const b = new Builder({ opset, name: "cifar-resnet" });
  let x = b.unit(b.image(), { from: 3, to: widths[0]!, k: 3 }, "stem");
  let from = widths[0]!;
  widths.forEach((to, stage) => {
    for (let i = 0; i < blocks; i++) {
      const stride = stage > 0 && i === 0 ? 2 : 1;
      const name = `layer${stage + 1}.${i}`;
      const inner = b.unit(x, { from, to, k: 3, stride }, `${name}.a`);
      const branch = b.norm(
        b.conv(inner, { from: to, to, k: 3 }, { bias: false, name: `${name}.b.conv` }),
        to,
        `${name}.b.bn`,
      );
      const shortcut = stride === 1 ? x : b.norm(
        b.conv(x, { from, to, k: 1, stride }, { bias: false, name: `${name}.s.conv` }),
        to,
        `${name}.s.bn`,
      );
      x = b.node("Relu", [b.node("Add", [branch, shortcut])], { output: `${name}.out` });
      from = to;
    }
  });
  b.classify(x, from);
  return b.build();
}

/** ResNet: a strided stem, max-pooling, a bottleneck with a strided shortcut. */
export const bottleneck: Family = ({ opset = 17 } = {}) => {
  const b = new Builder({ opset, name: "bottleneck" });
  const stem = b.unit(b.image(), { from: 3, to: 6, k: 5, stride: 2 }, "stem");
  const x = b.pool("MaxPool", stem, 3, { pads: [1n, 1n, 1n, 1n] });
  const narrow = b.unit(x, { from: 6, to: 4, k: 1 }, "a");
  const middle = b.unit(narrow, { from: 4, to: 4, k: 3, stride: 2 }, "b");
  const wide = b.norm(b.conv(middle, { from: 4, to: 8, k: 1 }, { name: "c" }), 8, "c.bn");
  const shortcut = b.norm(b.conv(x, { from: 6, to: 8, k: 1, stride: 2 }, { name: "s" }), 8, "s.bn");
  b.classify(b.relu(b.node("Add", [shortcut, wide])), 8);
  return b.build();
};

/** VGG: maps that are flattened, by a Reshape whose target the graph computes; hidden layers. */
export const vgg: Family = ({ opset = 13 } = {}) => {
  const b = new Builder({ opset, name: "vgg" });
  const same = { "auto_pad": "SAME_UPPER" };
  const options = { bias: false, attributes: same };
  const offset = b.constant(waves(4, 9), { shape: [4, 1, 1], name: "offset" });
  const shifted = b.node("Add", [offset, b.conv(b.image(14), { from: 3, to: 4, k: 3 }, options)]);
  const first = b.relu(shifted);
  const pooled = b.pool("MaxPool", first, 2);
  const lower = { "auto_pad": "SAME_LOWER" };
  const sizes = { from: 4, to: 5, k: 3, stride: 2 };
  const map = b.relu(b.conv(pooled, sizes, { attributes: lower }));
  const batch = b.node("Gather", [b.node("Shape", [map]), b.ints([0])]);
  const rows = b.node("Reshape", [
    map,
    b.node("Concat", [batch, b.ints([-1])], {
      attributes: { axis: 0n },
    }),
  ]);
  const hidden = b.node("Gemm", [rows, b.weight([80, 6], "fc1.weight"), b.vector(6, "fc1.bias")], {
    attributes: { alpha: 0.5, beta: 2 },
  });
  const dropped = b.nodes("Dropout", [b.relu(hidden)], { outputs: ["dropped"] })[0]!;
  const product = b.node("MatMul", [dropped, b.weight([6, 3], "fc2.weight")]);
  const logits = b.node("Add", [product, b.vector(3, "fc2.bias")], { output: "scores" });
  b.output("probs", b.node("Softmax", [logits], { attributes: { axis: 1n } }));
  return b.build();
};

/** MobileNetV2: a clipped expansion, depthwise, a linear projection, a residual sum. */
export const mobilenet: Family = ({ opset = 10 } = {}) => {
  const b = new Builder({ opset, name: "mobilenet" });
  const six = (x: string) => b.clip(x, { min: 0, max: 6 });
  const unit = (x: string, sizes: Parameters<Builder["conv"]>[1], name: string) =>
    b.norm(b.conv(x, sizes, { bias: false, name }), sizes.to, `${name}.bn`);
  const stem = six(unit(b.image(), { from: 3, to: 4, k: 3, stride: 2 }, "stem"));
  const wide = six(unit(stem, { from: 4, to: 8, k: 1 }, "expand"));
  const deep = six(unit(wide, { from: 8, to: 8, k: 3, groups: 8 }, "depthwise"));
  const block = b.node("Add", [stem, unit(deep, { from: 8, to: 4, k: 1 }, "project")]);
  const last = six(unit(block, { from: 4, to: 6, k: 3, groups: 2, stride: 2 }, "last"));
  const pooled = b.reduce("ReduceMean", last, { axes: [-1, -2] });
  const weight = b.weight([4, 6], "fc.weight");
  b.output(
    "logits",
    b.node("Gemm", [pooled, weight, b.vector(4, "fc.bias")], {
      attributes: { transB: 1n },
    }),
  );
  return b.build();
};

/** MobileNetV3: gates, and hard-swish out of its parts; a scaled image, padding by a node. */
export const gated: Family = ({ opset = 17 } = {}) => {
  const b = new Builder({ opset, name: "gated" });
  const mean = b.constant(new Float32Array([0.1, 0.2, 0.3]), { shape: [1, 3, 1, 1], name: "mean" });
  const deviation = b.constant(new Float32Array([2, 3, 4]), { shape: [3, 1, 1], name: "std" });
  const scaled = b.node("Div", [b.node("Sub", [b.image(9), mean]), deviation]);
  const pads = b.ints([0, 0, 1, 0, 0, 0, 1, 2]);
  const padded = b.node("Pad", [scaled, pads], { attributes: { mode: "constant" } });
  const swish = (x: string) => {
    const gate = b.clip(b.node("Add", [x, b.constant(3)]), { min: 0, max: 6 });
    return b.node("Div", [b.node("Mul", [x, gate]), b.constant(6)]);
  };
  const none = { pads: [0n, 0n, 0n, 0n], dilations: [2n, 2n] };
  const map = swish(b.conv(padded, { from: 3, to: 6, k: 3 }, { attributes: none }));
  const squeezed = b.node("GlobalAveragePool", [map]);
  const reduced = b.relu(b.conv(squeezed, { from: 6, to: 3, k: 1 }, { name: "se.reduce" }));
  const gate = b.node("Sigmoid", [
    b.conv(reduced, { from: 3, to: 6, k: 1 }, { name: "se.expand" }),
  ]);
  const scale = b.constant(waves(6, 77), { shape: [6, 1, 1], name: "layer_scale" });
  const block = b.node("Mul", [scale, b.node("Mul", [gate, map])]);
  const half = b.node("Mul", [b.node("Add", [block, map]), b.constant(0.5)]);
  const hard = b.node("HardSigmoid", [half], { attributes: { alpha: 0.3, beta: 0.4 } });
  b.classify(b.node("HardSwish", [b.node("Mul", [half, hard])]), 6);
  return b.build();
};

/** DenseNet: normalisation before convolutions, concatenation, average pooling in between. */
export const densenet: Family = ({ opset = 17 } = {}) => {
  const b = new Builder({ opset, name: "densenet" });
  let map = b.conv(b.image(), { from: 3, to: 4, k: 3, stride: 2 }, { bias: false, name: "stem" });
  const grow = (x: string, from: number, name: string) => {
    const inner = b.relu(b.norm(x, from, `${name}.bn`));
    const more = b.conv(inner, { from, to: 3, k: 3 }, { bias: false, name });
    return b.node("Concat", [x, more], { attributes: { axis: 1n } });
  };
  map = grow(grow(map, 4, "dense1"), 7, "dense2");
  const narrow = b.conv(b.relu(b.norm(map, 10, "t.bn")), { from: 10, to: 5, k: 1 }, { name: "t" });
  const padded = { pads: [1n, 0n, 0n, 1n], "count_include_pad": 1n };
  map = grow(b.pool("AveragePool", narrow, 2, padded), 5, "dense3");
  map = b.pool("AveragePool", map, 3, { pads: [1n, 1n, 1n, 1n] });
  b.classify(b.relu(b.norm(map, 8, "last.bn")), 8);
  return b.build();
};

/** WideResNet: normalisation and ReLU in front of each convolution, sums without a ReLU. */
export const preactivation: Family = ({ opset = 17 } = {}) => {
  const b = new Builder({ opset, name: "preactivation" });
  const stem = b.conv(b.image(8), { from: 3, to: 4, k: 3 }, { bias: false, name: "stem" });
  const block = (x: string, from: number, to: number, name: string) => {
    const active = b.relu(b.norm(x, from, `${name}.bn1`));
    const first = b.conv(active, { from, to, k: 3 }, { bias: false, name: `${name}.conv1` });
    const inner = b.relu(b.norm(first, to, `${name}.bn2`));
    const branch = b.conv(inner, { from: to, to, k: 3 }, { bias: false, name: `${name}.conv2` });
    const sizes = { from, to, k: 1 };
    const shortcut = from === to ? x : b.conv(active, sizes, { bias: false, name: `${name}.s` });
    return b.node("Add", [branch, shortcut]);
  };
  const map = block(block(stem, 4, 6, "block1"), 6, 6, "block2");
  b.classify(b.relu(b.norm(map, 6, "bn")), 6);
  return b.build();
};

/** Max-pooling whose last windows reach beyond the map, as SqueezeNet has it; fire modules. */
export const squeezenet: Family = ({ opset = 13 } = {}) => {
  const b = new Builder({ opset, name: "squeezenet" });
  const stem = b.relu(b.conv(b.image(), { from: 3, to: 4, k: 3 }));
  const x = b.pool("MaxPool", stem, 3, { ceil_mode: 1n });
  const squeeze = b.relu(b.conv(x, { from: 4, to: 2, k: 1 }, { name: "squeeze" }));
  const left = b.relu(b.conv(squeeze, { from: 2, to: 3, k: 1 }, { name: "left" }));
  const right = b.relu(b.conv(squeeze, { from: 2, to: 3, k: 3 }, { name: "right" }));
  const fire = b.node("Concat", [left, right], { attributes: { axis: 1n }, output: "fire" });
  const dropped = b.nodes("Dropout", [fire], { outputs: ["dropped"] })[0]!;
  const weight = b.weight([5, 6, 1, 1], "classifier.weight");
  const bias = b.vector(5, "classifier.bias", 0.7);
  const scores = b.relu(b.node("Conv", [dropped, weight, bias]));
  const squeezed = b.squeeze(b.node("GlobalAveragePool", [scores]), [2, 3]);
  const rows = b.node("Reshape", [b.unsqueeze(squeezed, [2, 3]), b.ints([0, -1])], {
    output: "scores",
  });
  b.output("probs", b.node("Softmax", [rows], { attributes: { axis: 1n } }));
  return b.build();
};

/**
 * A residual network whose batch normalisation is gone: biases of convolutions, one of them added by
 * a node, one read by two; a depthwise convolution without.
 */
export const folded: Family = ({ opset = 17 } = {}) => {
  const b = new Builder({ opset, name: "folded" });
  const conv = (x: string, sizes: Parameters<Builder["conv"]>[1], name: string) =>
    b.conv(x, sizes, { name });
  const stem = b.relu(conv(b.image(8), { from: 3, to: 4, k: 3 }, "stem"));
  const depthwise = { from: 4, to: 4, k: 3, groups: 4 };
  const deep = b.relu(b.conv(stem, depthwise, { bias: false, name: "deep" }));
  const narrow = b.conv(deep, { from: 4, to: 4, k: 1 }, { bias: false, name: "point" });
  const added = b.constant(waves(4, 91), { shape: [4, 1, 1], name: "point.added" });
  const point = b.node("Add", [added, narrow], { output: "point" });
  const first = b.node("Relu", [b.node("Add", [stem, point])], { output: "block1" });
  const both = b.vector(6, "both.bias");
  const strided = (k: number, name: string) => {
    const pad = BigInt((k - 1) / 2);
    return b.node("Conv", [first, b.weight([6, 4, k, k], `${name}.weight`), both], {
      attributes: { strides: [2n, 2n], pads: [pad, pad, pad, pad] },
    });
  };
  const branch = conv(b.relu(strided(3, "a")), { from: 6, to: 6, k: 3 }, "b");
  const sum = b.node("Add", [branch, strided(1, "shortcut")]);
  b.classify(b.node("Relu", [sum], { output: "block2" }), 6);
  return b.build();
};

/** The families by name. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  "ResNet for CIFAR": (options) => cifarResnet(options),
  bottleneck,
  vgg,
  squeezenet,
  mobilenet,
  gated,
  densenet,
  preactivation,
  folded,
  transformer: transformerLike,
};
