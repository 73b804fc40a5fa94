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

/** The graphs by name. */
export const PATTERNS: Readonly<Record<string, Pattern>> = { decoder };
