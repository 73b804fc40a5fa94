/**
 * A network of two blocks that answer differently to a jigsaw, and images for it.
 *
 * @module
 */

import { GraphBuilder, type OnnxModel } from "../../onnx/mod.ts";
import type { PreprocessSpec } from "../../kernels/preprocess/mod.ts";
import type { RgbImage } from "../../data/image.ts";
import { makeImage } from "./images.ts";

/** Pixels along a side of its input: three tiles of three, and one that remains. */
export const SIDE = 10;

/** What its images go through. */
export const TWO_BLOCKS_SPEC: PreprocessSpec = {
  crop: { width: SIDE, height: SIDE },
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0, 0, 0],
  scale: [1, 1, 1],
  layout: "NCHW",
};

/**
 * Block "pointwise" (4 channels) takes each pixel by itself, so that its norm is that of any
 * jigsaw; block "edges" (4 channels, the last map) sees only edges, of which a jigsaw of a smooth
 * image has more. Three classes.
 */
export function twoBlocks(): OnnxModel {
  const b = new GraphBuilder({ name: "two-blocks" });
  const waves = (count: number, phase: number) =>
    Float32Array.from({ length: count }, (_, i) => 0.6 + 0.4 * Math.sin(3 * i + phase));
  const x = b.input("image", ["N", 3, SIDE, SIDE]);
  const pointwise = (phase: number) => {
    const weight = b.constant(waves(12, phase), { shape: [4, 3, 1, 1], name: `point${phase}` });
    return b.node("Conv", [x, weight], { attributes: { kernel_shape: [1n, 1n] } });
  };
  const mixed = b.node("Relu", [b.node("Add", [pointwise(1), pointwise(2)])], {
    output: "pointwise",
  });
  const edges = (gain: number) => {
    const kernel = [0, -1, 0, -1, 4, -1, 0, -1, 0].map((value) => gain * value);
    const data = Float32Array.from(Array(4).fill(kernel).flat());
    const weight = b.constant(data, { shape: [4, 1, 3, 3], name: `edges${gain}` });
    return b.node("Conv", [mixed, weight], {
      attributes: { kernel_shape: [3n, 3n], pads: [1n, 1n, 1n, 1n], group: 4n },
    });
  };
  const map = b.node("Relu", [b.node("Add", [edges(1), edges(2)])], { output: "edges" });
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [map])], { output: "rows" });
  const head = b.constant(waves(12, 5), { shape: [3, 4], name: "head" });
  b.output("logits", b.node("Gemm", [rows, head], { attributes: { transB: 1n } }));
  return b.build();
}

/** A smooth image: brightness rises from one corner to the other, steeper for later ones. */
export function smoothImage(i: number): RgbImage & { readonly data: Uint8Array<ArrayBuffer> } {
  return makeImage(SIDE, SIDE, (x, y, c) => 20 + (5 + i) * x + (9 - i) * y + 7 * c);
}
