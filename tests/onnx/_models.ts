import { GraphBuilder, type OnnxModel } from "../../onnx/mod.ts";

/** Numbers that look random and are the same every time. */
export function waves(count: number, seed = 1): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233) / 2);
}

/** A convolution with its own weights; `k` x `k`, same size of the map. */
export function conv(
  builder: GraphBuilder,
  x: string,
  { from, to, k, name = "conv" }: { from: number; to: number; k: number; name?: string },
): string {
  const pad = BigInt((k - 1) / 2);
  const weight = builder.constant(waves(to * from * k * k, to), {
    shape: [to, from, k, k],
    name: `${name}.weight`,
  });
  const bias = builder.constant(waves(to, k), { name: `${name}.bias` });
  return builder.node("Conv", [x, weight, bias], {
    attributes: { kernel_shape: [BigInt(k), BigInt(k)], pads: [pad, pad, pad, pad] },
  });
}

export interface ModelOptions {
  opset?: number;
  batch?: number | string;
}

/** Add and Relu with one constant. */
export function small(): OnnxModel {
  const b = new GraphBuilder();
  const x = b.input("x", ["N", 4]);
  b.output("y", b.node("Relu", [b.node("Add", [x, b.constant(waves(4), { name: "w" })])]));
  return b.build();
}

/** Stem, one residual block, global pooling, Flatten, Gemm: 6 channels, 4 classes, 8x8 input. */
export function resnetLike({ opset = 17, batch = "N" }: ModelOptions = {}): OnnxModel {
  const b = new GraphBuilder({ opset, name: "resnet-like" });
  const x = b.input("image", [batch, 3, 8, 8]);
  const stem = b.node("Relu", [conv(b, x, { from: 3, to: 6, k: 3 })]);
  const inner = b.node("Relu", [conv(b, stem, { from: 6, to: 6, k: 3 })]);
  const sum = b.node("Add", [conv(b, inner, { from: 6, to: 6, k: 3 }), stem]);
  const map = b.node("Relu", [sum], { output: "block" });
  const pooled = b.node("GlobalAveragePool", [map], { output: "pooled" });
  const rows = b.node("Flatten", [pooled], { attributes: { axis: 1n }, output: "rows" });
  const weight = b.constant(waves(24, 3), { shape: [4, 6], name: "fc.weight" });
  const bias = b.constant(waves(4, 4), { name: "fc.bias" });
  b.output("logits", b.node("Gemm", [rows, weight, bias], { attributes: { transB: 1n } }));
  return b.build();
}

/** Concatenated branches, 1x1 classifier, ReLU unless `linear`, pooling, Softmax. */
export function squeezenetLike({ linear = false }: { linear?: boolean } = {}): OnnxModel {
  const b = new GraphBuilder({ opset: 13, name: "squeezenet-like" });
  const x = b.input("image", ["N", 3, 8, 8]);
  const left = b.node("Relu", [conv(b, x, { from: 3, to: 4, k: 1 })]);
  const right = b.node("Relu", [conv(b, x, { from: 3, to: 4, k: 3 })]);
  const fire = b.node("Concat", [left, right], { attributes: { axis: 1n }, output: "fire" });
  const dropped = b.nodes("Dropout", [fire], { outputs: ["dropped"] })[0]!;
  const scores = conv(b, dropped, { from: 8, to: 5, k: 1, name: "classifier" });
  const active = linear ? scores : b.node("Relu", [scores]);
  const pooled = b.node("GlobalAveragePool", [active]);
  const rows = b.node("Reshape", [pooled, b.ints([0, -1])]);
  b.output("probs", b.node("Softmax", [rows], { attributes: { axis: 1n } }));
  return b.build();
}

/** ReduceMean pooling, 1x1 convolution as the classifier, Flatten. */
export function mobilenetLike(): OnnxModel {
  const b = new GraphBuilder({ name: "mobilenet-like" });
  const x = b.input("image", ["N", 3, 8, 8]);
  const map = b.clip(conv(b, x, { from: 3, to: 6, k: 3 }), { min: 0, max: 6 });
  const pooled = b.reduce("ReduceMean", map, { axes: [2, 3], keepDims: true });
  const scores = conv(b, pooled, { from: 6, to: 4, k: 1, name: "classifier" });
  b.output("logits", b.node("Flatten", [scores]));
  return b.build();
}

/** A flattened map, a hidden layer, MatMul and Add; the weight is behind a Transpose. */
export function vggLike(): OnnxModel {
  const b = new GraphBuilder({ name: "vgg-like" });
  const x = b.input("image", ["N", 3, 4, 4]);
  const map = b.node("Relu", [conv(b, x, { from: 3, to: 2, k: 3 })], { output: "map" });
  const pooled = b.node("MaxPool", [map], {
    attributes: { kernel_shape: [2n, 2n], strides: [2n, 2n] },
    output: "pool",
  });
  const rows = b.node("Flatten", [pooled]);
  const w1 = b.constant(waves(40), { shape: [8, 5], name: "fc1.weight" });
  const hidden = b.node("Relu", [b.node("MatMul", [rows, w1])], { output: "hidden" });
  const stored = b.constant(waves(15, 2), { shape: [3, 5], name: "fc2.weight" });
  const w2 = b.node("Transpose", [stored], { attributes: { perm: [1n, 0n] }, output: "fc2.t" });
  const bias = b.constant(waves(3, 5), { name: "fc2.bias" });
  b.output("logits", b.node("Add", [bias, b.node("MatMul", [hidden, w2])]));
  return b.build();
}

/** Patches, a class token, one self-attention, LayerNormalization, Gather, Gemm; no spatial map. */
export function transformerLike(): OnnxModel {
  const b = new GraphBuilder({ name: "transformer-like" });
  const x = b.input("image", ["N", 3, 8, 8]);
  const weight = b.constant(waves(6 * 3 * 16), { shape: [6, 3, 4, 4], name: "patch.weight" });
  const patches = b.node("Conv", [x, weight], {
    attributes: { kernel_shape: [4n, 4n], strides: [4n, 4n] },
  });
  const flat = b.node("Reshape", [patches, b.ints([0, 6, -1])]);
  const tokens = b.node("Transpose", [flat], { attributes: { perm: [0n, 2n, 1n] } });
  const keys = b.node("Transpose", [tokens], { attributes: { perm: [0n, 2n, 1n] } });
  const weights = b.node("Softmax", [b.node("MatMul", [tokens, keys])], {
    attributes: { axis: -1n },
  });
  const mixed = b.node("Add", [tokens, b.node("MatMul", [weights, tokens])]);
  const gain = b.constant(waves(6, 7), { name: "ln.weight" });
  const normal = b.node("LayerNormalization", [mixed, gain], { attributes: { axis: -1n } });
  const first = b.constant(BigInt64Array.of(0n), { shape: [], name: "first" });
  const token = b.node("Gather", [normal, first], { attributes: { axis: 1n }, output: "token" });
  const head = b.constant(waves(18, 8), { shape: [6, 3], name: "head.weight" });
  b.output("logits", b.node("Gemm", [token, head]));
  return b.build();
}

/** A backbone without a classifier. */
export function headless(): OnnxModel {
  const b = new GraphBuilder({ name: "headless" });
  const x = b.input("image", ["N", 3, 8, 8]);
  const map = b.node("Relu", [conv(b, x, { from: 3, to: 6, k: 3 })], { output: "map" });
  b.output("embedding", b.node("Flatten", [b.node("GlobalAveragePool", [map])]));
  return b.build();
}

/** A map of scores per pixel: no classifier of images. */
export function segmenter(): OnnxModel {
  const b = new GraphBuilder({ name: "segmenter" });
  b.output("mask", conv(b, b.input("image", ["N", 3, 8, 8]), { from: 3, to: 2, k: 1 }));
  return b.build();
}
