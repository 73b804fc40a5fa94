import {
  augment,
  augmentBytes,
  augmentFlops,
  type AugmentInputs,
  type AugmentOptions,
  type AugmentShape,
} from "../kernels/augment/mod.ts";
import { Rng } from "../kernels/random/mod.ts";
import { benchKernel, type BenchShape } from "./_support/mod.ts";

interface Inputs extends AugmentInputs {
  readonly options: AugmentOptions;
}

function workload(shape: AugmentShape, slow = false): BenchShape<Inputs> {
  const { images, height, width } = shape;
  return {
    label: `${images}x${height}x${width}x3`,
    flops: augmentFlops(shape),
    bytes: augmentBytes(shape),
    prepare: (ctx) => {
      const rng = new Rng(1);
      const words = images * height * width * 3 / 4;
      const pixels = Uint32Array.from({ length: words }, () => rng.integer(2 ** 32));
      const draws = Int32Array.from(
        { length: 3 * images },
        (_, i) => i % 3 === 2 ? rng.integer(2) : rng.integer(9) - 4,
      );
      const spec = {
        channels: "RGB",
        range: 1,
        mean: [0.485, 0.456, 0.406],
        scale: [0.229, 0.224, 0.225],
      } as const;
      return {
        pixels: ctx.upload(pixels, [words]),
        draws: ctx.upload(draws, [images, 3]),
        options: { height, width, spec },
      };
    },
    slow,
  };
}

await benchKernel<Inputs>("augment", {
  shapes: [
    workload({ images: 128, height: 32, width: 32 }),
    workload({ images: 32, height: 224, width: 224 }, true),
  ],
  variants: {
    naive: (ctx, { options, ...inputs }) =>
      void augment(ctx, inputs, { ...options, variant: "naive" }),
    quads: (ctx, { options, ...inputs }) =>
      void augment(ctx, inputs, { ...options, variant: "quads" }),
  },
});
