import type { AttributeValue, OnnxModel } from "../../onnx/mod.ts";
import { Builder } from "./_networks.ts";

/** What parts of diffusion models and encoders look like, small, with names as exporters give them. */
export class PatternBuilder extends Builder {
  /** A group normalisation as PyTorch writes it below operator set 18, of [N, C, …] of some rank. */
  groupNorm(
    x: string,
    sizes: { channels: number; groups: number; rank?: number },
    options: { name?: string; shape?: readonly number[] } = {},
  ): string {
    const { channels, groups, rank = 4 } = sizes;
    const { name = "norm", shape } = options;
    const split = this.node("Reshape", [x, this.ints([0, groups, -1])]);
    const ones = this.constant(new Float32Array(groups).fill(1));
    const zeros = this.constant(new Float32Array(groups));
    const normal = this.node("InstanceNormalization", [split, ones, zeros], {
      attributes: { epsilon: 1e-6 },
    });
    const back = shape === undefined ? this.node("Shape", [x]) : this.ints(shape);
    const whole = this.node("Reshape", [normal, back]);
    const thin = { shape: [channels, ...Array.from({ length: rank - 2 }, () => 1)] };
    const scale = this.vector(channels, `${name}.weight`, 1, thin);
    const offset = this.vector(channels, `${name}.bias`, 0, thin);
    return this.node("Add", [this.node("Mul", [whole, scale]), offset]);
  }

  /** A linear layer as it is exported for tokens. */
  linear(x: string, sizes: { from: number; to: number }, name: string): string {
    const { from, to } = sizes;
    const product = this.node("MatMul", [x, this.weight([from, to], `${name}.weight`)]);
    return this.node("Add", [this.vector(to, `${name}.bias`), product]);
  }

  /** Layer normalisation, in parts below operator set 17. */
  layerNorm(x: string, channels: number, name: string): string {
    const scale = this.vector(channels, `${name}.weight`, 1);
    const offset = this.vector(channels, `${name}.bias`);
    if (this.opset >= 17) {
      return this.node("LayerNormalization", [x, scale, offset], { attributes: { axis: -1n } });
    }
    const mean = this.reduce("ReduceMean", x, { axes: [-1], keepDims: true });
    const centred = this.node("Sub", [x, mean]);
    const squares = this.node("Pow", [centred, this.constant(2)]);
    const variance = this.reduce("ReduceMean", squares, { axes: [-1], keepDims: true });
    const root = this.node("Sqrt", [this.node("Add", [variance, this.constant(1e-5)])]);
    const normal = this.node("Div", [centred, root]);
    return this.node("Add", [this.node("Mul", [normal, scale]), offset]);
  }

  /** GELU, a node from operator set 20 on. */
  gelu(x: string): string {
    if (this.opset >= 20) return this.node("Gelu", [x]);
    const erf = this.node("Erf", [this.node("Div", [x, this.constant(Math.SQRT2)])]);
    const sum = this.node("Add", [erf, this.constant(1)]);
    return this.node("Mul", [this.node("Mul", [x, sum]), this.constant(0.5)]);
  }

  /** Attention of tokens [N, T, C], written in one of several ways. */
  attend(
    { q, k, v }: Readonly<Record<"q" | "k" | "v", string>>,
    sizes: { heads: number; columns: number; length: number },
    form: AttentionForm,
  ): string {
    const { heads, columns, length } = sizes;
    const turn = (x: string, perm: number[]) =>
      this.node("Transpose", [x], { attributes: { perm: perm.map(BigInt) } });
    const softmax = (x: string) => this.node("Softmax", [x], { attributes: { axis: -1n } });
    const scale = 1 / Math.sqrt(columns);
    if (form === "plain") {
      const scores = this.node("MatMul", [q, turn(k, [0, 2, 1])]);
      return this.node("MatMul", [softmax(this.node("Mul", [scores, this.constant(scale)])), v]);
    }
    const split = (x: string) =>
      turn(this.node("Reshape", [x, this.ints([0, -1, heads, columns])]), [0, 2, 1, 3]);
    if (form === "roots") {
      // As the scale is computed from the shape of the queries.
      const shape = this.node("Shape", [split(q)]);
      const last = this.node("Cast", [this.slice(shape, { axis: 0, start: -1, end: 2 ** 31 })], {
        attributes: { to: 1n },
      });
      const whole = this.node("Div", [this.constant(1), this.node("Sqrt", [last])]);
      const root = this.node("Sqrt", [whole]);
      const keys = turn(this.node("Reshape", [k, this.ints([0, -1, heads, columns])]), [
        0,
        2,
        3,
        1,
      ]);
      const scores = this.node("MatMul", [
        this.node("Mul", [split(q), root]),
        this.node("Mul", [keys, root]),
      ]);
      const mixed = turn(this.node("MatMul", [softmax(scores), split(v)]), [0, 2, 1, 3]);
      return this.node("Reshape", [mixed, this.ints([0, -1, heads * columns])]);
    }
    const lists = (x: string) => this.node("Reshape", [split(x), this.ints([-1, length, columns])]);
    const [queries, keys, values] = [lists(q), lists(k), lists(v)];
    const mixed = form === "einsum"
      ? this.mixedByEinsum({ queries, keys, values }, scale)
      : this.mixedByBaddbmm({ queries, keys: turn(keys, [0, 2, 1]), values }, scale);
    const apart = this.node("Reshape", [mixed, this.ints([-1, heads, length, columns])]);
    return this.node("Reshape", [turn(apart, [0, 2, 1, 3]), this.ints([0, 0, heads * columns])]);
  }

  mixedByEinsum(lists: Record<"queries" | "keys" | "values", string>, scale: number): string {
    const scores = this.node("Einsum", [lists.queries, lists.keys], {
      attributes: { equation: "b i d, b j d -> b i j" },
    });
    const weights = this.node("Softmax", [this.node("Mul", [scores, this.constant(scale)])], {
      attributes: { axis: 2n },
    });
    return this.node("Einsum", [weights, lists.values], {
      attributes: { equation: "bij,bjd->bid" },
    });
  }

  /** With a summand of no weight whose shape is that of the scores. */
  mixedByBaddbmm(lists: Record<"queries" | "keys" | "values", string>, scale: number): string {
    const scores = this.node("MatMul", [lists.queries, lists.keys]);
    const nothing = this.node("ConstantOfShape", [this.node("Shape", [scores])]);
    const sum = this.node("Add", [
      this.node("Mul", [scores, this.constant(scale)]),
      this.node("Mul", [nothing, this.constant(0)]),
    ]);
    const exact = this.node("Cast", [sum], { attributes: { to: 1n } });
    const weights = this.node("Softmax", [exact], { attributes: { axis: -1n } });
    return this.node("MatMul", [
      this.node("Cast", [weights], { attributes: { to: 1n } }),
      lists.values,
    ]);
  }

  silu(x: string): string {
    return this.node("Mul", [x, this.node("Sigmoid", [x])]);
  }

  /** Twice as large, as operator sets from 11 on write it. */
  larger(x: string, options: Record<string, AttributeValue> = {}): string {
    const scales = this.constant(new Float32Array([1, 1, 2, 2]));
    return this.node("Resize", [x, "", scales], {
      attributes: {
        coordinate_transformation_mode: "asymmetric",
        mode: "nearest",
        nearest_mode: "floor",
        ...options,
      },
    });
  }

  /** The residual block of an autoencoder. */
  resnet(x: string, sizes: { from: number; to: number; groups: number }, name: string): string {
    const { from, to, groups } = sizes;
    const norm = (value: string, channels: number, part: string) =>
      this.silu(this.groupNorm(value, { channels, groups }, { name: `${name}.${part}` }));
    const first = this.conv(norm(x, from, "norm1"), { from, to, k: 3 }, { name: `${name}.conv1` });
    const inner = norm(first, to, "norm2");
    const second = this.conv(inner, { from: to, to, k: 3 }, { name: `${name}.conv2` });
    const shortcut = from === to
      ? x
      : this.conv(x, { from, to, k: 1 }, { name: `${name}.conv_shortcut` });
    return this.node("Div", [this.node("Add", [shortcut, second]), this.constant(1)]);
  }
}

/** A graph that is small and has one pattern or a few. */
export type Pattern = () => OnnxModel;

/** Residual blocks, twice as large in between, and the first map beside the last. */
function decoder(): OnnxModel {
  const b = new PatternBuilder({ opset: 14, name: "decoder" });
  const x = b.input("latent", ["N", 3, 4, 5]);
  const inner = b.conv(x, { from: 3, to: 6, k: 3 }, { name: "conv_in" });
  const block = b.resnet(inner, { from: 6, to: 4, groups: 2 }, "block");
  const both = b.node("Concat", [b.larger(block), b.larger(inner)], { attributes: { axis: 1n } });
  const last = b.silu(b.groupNorm(both, { channels: 10, groups: 5 }, { name: "norm_out" }));
  b.output("image", b.conv(last, { from: 10, to: 3, k: 3 }, { name: "conv_out" }));
  return b.build();
}

/** Group normalisation as nodes of its own, of operator set 18 or 21, and of each channel alone. */
function groups(opset: 18 | 21): OnnxModel {
  const b = new PatternBuilder({ opset, name: `groups ${opset}` });
  const x = b.conv(b.input("x", ["N", 2, 3, 4]), { from: 2, to: 6, k: 3 });
  const count = opset === 18 ? 3 : 6;
  const scale = b.vector(count, "scale", 1);
  const y = b.node("GroupNormalization", [x, scale, b.vector(count, "offset")], {
    attributes: { num_groups: 3n, epsilon: 1e-3 },
  });
  const inputs = [b.silu(y), b.vector(6, "single.scale", 1), b.vector(6, "single.offset")];
  const single = b.node("InstanceNormalization", inputs, { attributes: { epsilon: 0.01 } });
  b.output("y", b.conv(single, { from: 6, to: 2, k: 1 }, { name: "last" }));
  return b.build();
}

/** What a step in time adds to maps, and rows that multiply them; sizes of a Resize computed. */
function timed(): OnnxModel {
  const b = new PatternBuilder({ opset: 14, name: "timed" });
  const map = b.conv(b.input("sample", ["N", 2, 3, 3]), { from: 2, to: 4, k: 3 });
  const time = b.silu(b.linear(b.input("time", ["N", 5]), { from: 5, to: 4 }, "time"));
  const told = b.node("Add", [map, b.unsqueeze(b.unsqueeze(time, [2]), [3])]);
  const factor = b.unsqueeze(b.linear(time, { from: 4, to: 4 }, "factor"), [2, 3]);
  const less = b.node("Sub", [b.node("Mul", [factor, told]), b.node("Mul", [map, map])]);
  const sides = b.slice(b.node("Shape", [less]), { axis: 0, start: 2, end: 4 });
  const twice = b.node("Mul", [sides, b.ints([2, 2])]);
  const front = b.slice(b.node("Shape", [less]), { axis: 0, start: 0, end: 2 });
  const sizes = b.node("Concat", [front, twice], { attributes: { axis: 0n } });
  const large = b.node("Resize", [less, "", "", sizes], {
    attributes: { mode: "nearest", nearest_mode: "round_prefer_floor" },
  });
  b.output("y", b.node("Sub", [b.constant(0.5), large]));
  return b.build();
}

/** A map that is enlarged as operator set 9 wrote it, threefold one way. */
function upsampled(): OnnxModel {
  const b = new PatternBuilder({ opset: 9, name: "upsampled" });
  const map = b.conv(b.input("x", ["N", 2, 3, 3]), { from: 2, to: 3, k: 3 });
  const scales = b.constant(new Float32Array([1, 1, 2, 3]));
  const large = b.node("Upsample", [map, scales], { attributes: { mode: "nearest" } });
  b.output("y", b.conv(large, { from: 3, to: 2, k: 1 }, { name: "last" }));
  return b.build();
}

/** How the middle of an autoencoder attends to itself. */
type AttentionForm = "plain" | "baddbmm" | "roots" | "einsum";

/** A map that attends to itself, as tokens, and lists that it attends to besides. */
function attending(form: AttentionForm, heads: number, cross = false): OnnxModel {
  const b = new PatternBuilder({ opset: 14, name: `attending ${form} ${heads}` });
  const [channels, height, width] = [6, 2, 3];
  const length = height * width;
  const x = b.conv(b.input("x", ["N", 2, height, width]), { from: 2, to: channels, k: 3 });
  const normal = b.groupNorm(x, { channels, groups: 2 });
  const flat = b.node("Reshape", [normal, b.ints([0, channels, length])]);
  const tokens = b.node("Transpose", [flat], { attributes: { perm: [0n, 2n, 1n] } });
  const context = cross ? b.input("context", ["N", 4, 5]) : tokens;
  const from = cross ? 5 : channels;
  const q = b.linear(tokens, { from: channels, to: channels }, "to_q");
  const k = b.linear(context, { from, to: channels }, "to_k");
  const v = b.linear(context, { from, to: channels }, "to_v");
  const y = b.attend({ q, k, v }, { heads, columns: channels / heads, length }, form);
  const out = b.linear(y, { from: channels, to: channels }, "to_out");
  const planes = b.node("Transpose", [out], { attributes: { perm: [0n, 2n, 1n] } });
  const map = b.node("Reshape", [planes, b.ints([-1, channels, height, width])]);
  b.output("y", b.node("Div", [b.node("Add", [map, x]), b.constant(2)]));
  return b.build();
}

/** An encoder of images: patches, a class token, positions, a block with a gate, a mean and a token. */
function encoder(opset: 14 | 17 | 20): OnnxModel {
  const b = new PatternBuilder({ opset, name: `encoder ${opset}` });
  const [channels, length] = [8, 5];
  const x = b.input("pixels", ["N", 3, 4, 4]);
  const patches = b.node("Conv", [x, b.weight([channels, 3, 2, 2], "patch.weight")], {
    attributes: { strides: [2n, 2n] },
  });
  const flat = b.node("Reshape", [patches, b.ints([0, 0, -1])]);
  const rows = b.node("Transpose", [flat], { attributes: { perm: [0n, 2n, 1n] } });
  const batch = b.slice(b.node("Shape", [rows]), { axis: 0, start: 0, end: 1 });
  const shape = b.node("Concat", [batch, b.ints([1, channels])], { attributes: { axis: 0n } });
  const token = b.node("Expand", [
    b.vector(channels, "cls", 0, { shape: [1, 1, channels] }),
    shape,
  ]);
  const both = b.node("Concat", [token, rows], { attributes: { axis: 1n } });
  const places = b.vector(length * channels, "pos", 0, { shape: [1, length, channels] });
  let stream = b.node("Add", [both, places]);
  const qkv = b.linear(b.layerNorm(stream, channels, "ln1"), { from: channels, to: 24 }, "qkv");
  const parts = b.node("Reshape", [qkv, b.ints([0, length, 3, 2, 4])]);
  const turned = b.node("Transpose", [parts], { attributes: { perm: [2n, 0n, 3n, 1n, 4n] } });
  const [q, k, v] = [0, 1, 2].map((i) =>
    b.node("Gather", [turned, b.constant(BigInt64Array.of(BigInt(i)), { shape: [] })], {
      attributes: { axis: 0n },
    })
  ) as [string, string, string];
  const half = b.node("Mul", [q, b.constant(0.5)]);
  const keys = b.node("Transpose", [k], { attributes: { perm: [0n, 1n, 3n, 2n] } });
  const scores = b.node("Softmax", [b.node("MatMul", [half, keys])], { attributes: { axis: 3n } });
  const mixed = b.node("Transpose", [b.node("MatMul", [scores, v])], {
    attributes: { perm: [0n, 2n, 1n, 3n] },
  });
  const joined = b.node("Reshape", [mixed, b.ints([0, 0, channels])]);
  stream = b.node("Add", [stream, b.linear(joined, { from: channels, to: channels }, "out")]);
  const wide = b.linear(b.layerNorm(stream, channels, "ln2"), { from: channels, to: 12 }, "wide");
  const left = b.slice(wide, { axis: -1, start: 0, end: 6 });
  const gated = b.node("Mul", [left, b.gelu(b.slice(wide, { axis: 2, start: 6, end: 12 }))]);
  stream = b.node("Add", [b.linear(gated, { from: 6, to: channels }, "narrow"), stream]);
  const normal = b.layerNorm(stream, channels, "ln3");
  const first = b.node("Gather", [normal, b.constant(BigInt64Array.of(0n), { shape: [] })], {
    attributes: { axis: 1n },
  });
  b.output("embed", b.node("MatMul", [first, b.weight([channels, 4], "head.weight")]));
  b.output("mean", b.reduce("ReduceMean", normal, { axes: [1] }));
  return b.build();
}

/** Values under other orders of axes than networks have them: channels last, lists first. */
function turned(): OnnxModel {
  const b = new PatternBuilder({ opset: 17, name: "turned" });
  const map = b.conv(b.input("x", ["N", 2, 2, 3]), { from: 2, to: 4, k: 3 });
  const last = b.node("Transpose", [map], { attributes: { perm: [0n, 2n, 3n, 1n] } });
  const normal = b.layerNorm(last, 4, "ln");
  const lines = b.node("Reshape", [normal, b.ints([0, 2, -1])]);
  const moved = b.linear(lines, { from: 12, to: 12 }, "lines");
  const back = b.node("Transpose", [b.node("Reshape", [moved, b.ints([0, 2, 3, 4])])], {
    attributes: { perm: [0n, 3n, 1n, 2n] },
  });
  const sum = b.node("Add", [back, map]);
  const across = b.node("Transpose", [sum], { attributes: { perm: [0n, 1n, 3n, 2n] } });
  const column = b.constant(new Float32Array([1, -2, 3]), { shape: [3, 1], name: "column" });
  const scaled = b.node("Mul", [across, column]);
  const parts = b.nodes("Split", [scaled, b.ints([3, 1])], {
    attributes: { axis: 1n },
    outputs: 2,
  });
  const other = b.node("Reshape", [parts[0]!, b.ints([0, 9, 2])]);
  const first = b.node("Transpose", [other], { attributes: { perm: [1n, 0n, 2n] } });
  const lists = b.linear(first, { from: 2, to: 3 }, "lists");
  const cube = b.node("Mul", [b.node("Pow", [sum, b.constant(3)]), b.constant(0.044715)]);
  const inner = b.node("Mul", [b.node("Add", [sum, cube]), b.constant(Math.sqrt(2 / Math.PI))]);
  const slope = b.node("Add", [b.node("Tanh", [inner]), b.constant(1)]);
  const active = b.node("Mul", [b.node("Mul", [b.constant(0.5), sum]), slope]);
  b.output("channels", b.reduce("ReduceMean", b.node("Neg", [active]), { axes: [1] }));
  b.output("rows", b.node("Flatten", [b.node("Concat", [sum, map], { attributes: { axis: 2n } })]));
  b.output("lists", b.node("Transpose", [lists], { attributes: { perm: [1n, 2n, 0n] } }));
  b.output("part", parts[1]!);
  return b.build();
}

/** Tokens that attend to those before them: a mask on the scores, which does not learn. */
function masked(none: number): OnnxModel {
  const b = new PatternBuilder({ opset: 14, name: "masked" });
  const x = b.linear(b.input("tokens", ["N", 4, 6]), { from: 6, to: 6 }, "in");
  const turn = (value: string, ...perm: bigint[]) =>
    b.node("Transpose", [value], { attributes: { perm } });
  const heads = (name: string) => {
    const apart = b.linear(x, { from: 6, to: 6 }, name);
    return turn(b.node("Reshape", [apart, b.ints([0, 4, 2, 3])]), 0n, 2n, 1n, 3n);
  };
  const scores = b.node("MatMul", [heads("q"), turn(heads("k"), 0n, 1n, 3n, 2n)]);
  const mask = Float32Array.from({ length: 16 }, (_, i) => i % 4 > Math.floor(i / 4) ? none : 0);
  const some = b.node("Add", [scores, b.constant(mask, { shape: [1, 1, 4, 4], name: "mask" })]);
  const weights = b.node("Softmax", [some], { attributes: { axis: -1n } });
  const mixed = turn(b.node("MatMul", [weights, heads("v")]), 0n, 2n, 1n, 3n);
  const y = b.node("Reshape", [mixed, b.ints([0, 0, -1])]);
  b.output("y", b.linear(y, { from: 6, to: 6 }, "out"));
  return b.build();
}

/** Products of values that are no attention: how channels go together, and how that mixes them. */
function products(): OnnxModel {
  const b = new PatternBuilder({ opset: 17, name: "products" });
  const map = b.conv(b.input("x", ["N", 2, 2, 3]), { from: 2, to: 4, k: 3 });
  const rows = b.node("Reshape", [map, b.ints([0, 4, 6])]);
  const columns = b.node("Transpose", [rows], { attributes: { perm: [0n, 2n, 1n] } });
  const together = b.node("MatMul", [rows, columns], { output: "together" });
  const other = b.node("Einsum", [rows, b.linear(columns, { from: 4, to: 4 }, "other")], {
    attributes: { equation: "bct,btd->bcd" },
  });
  const sum = b.node("Sub", [together, other]);
  const weights = b.node("Softmax", [sum], { attributes: { axis: 2n } });
  b.output("mixed", b.node("MatMul", [weights, rows]));
  b.output("products", sum);
  return b.build();
}

/** The graphs by name. */
export const PATTERNS: Readonly<Record<string, Pattern>> = {
  decoder,
  "group normalisation of set 18": () => groups(18),
  "group normalisation of set 21": () => groups(21),
  timed,
  upsampled,
  "plain attention": () => attending("plain", 1),
  "attention in baddbmm": () => attending("baddbmm", 1),
  "attention of heads in baddbmm": () => attending("baddbmm", 2),
  "attention by roots": () => attending("roots", 1),
  "attention of heads by roots": () => attending("roots", 3),
  "attention of heads to others": () => attending("roots", 2, true),
  "attention in Einsum": () => attending("einsum", 2),
  "encoder of set 14": () => encoder(14),
  "encoder of set 17": () => encoder(17),
  "encoder of set 20": () => encoder(20),
  turned,
  masked: () => masked(-3.4028234663852886e38),
  "masked for good": () => masked(-Infinity),
  products,
};
