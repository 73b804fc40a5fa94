/**
 * Preprocessing on the GPU, without the upload: photos down to an ImageNet model's input, small
 * images as they are, small images up.
 *
 * @module
 */

import {
  type ImageSize,
  preprocessBytes,
  preprocessFlops,
  type PreprocessSpec,
  type PreprocessVariant,
  Rng,
  type StagedImages,
  stageImages,
} from "../kernels/mod.ts";
import type { GpuContext } from "../runtime/mod.ts";
import { benchKernel, type BenchShape } from "./_support/mod.ts";

type Staged = Readonly<Record<PreprocessVariant, StagedImages>>;

const IMAGENET: PreprocessSpec = {
  resize: { shorter: 256 },
  crop: { width: 224, height: 224 },
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.485, 0.456, 0.406],
  scale: [0.229, 0.224, 0.225],
  layout: "NCHW",
};

const PHOTOS: readonly ImageSize[] = Array.from(
  { length: 16 },
  (_, i) => i % 3 === 0 ? { width: 375, height: 500 } : { width: 500, height: 375 - i },
);

const SMALL: readonly ImageSize[] = new Array(64).fill({ width: 32, height: 32 });

function workload(
  label: string,
  sizes: readonly ImageSize[],
  spec: PreprocessSpec,
): BenchShape<Staged> {
  return {
    label,
    flops: preprocessFlops(sizes, spec),
    bytes: preprocessBytes(sizes, spec),
    prepare(ctx: GpuContext): Staged {
      const rng = new Rng(1);
      const images = sizes.map(({ width, height }) => ({
        width,
        height,
        data: Uint8Array.from({ length: width * height * 3 }, () => rng.integer(256)),
      }));
      return {
        naive: stageImages(ctx, images, spec, { variant: "naive" }),
        passes: stageImages(ctx, images, spec, { variant: "passes" }),
      };
    },
  };
}

const { resize: _, crop: __, ...plain } = IMAGENET;

await benchKernel<Staged>("preprocess", {
  shapes: [
    workload("16 photos to 224, bilinear", PHOTOS, IMAGENET),
    workload("16 photos to 224, bicubic", PHOTOS, { ...IMAGENET, interpolation: "bicubic" }),
    workload("64 of 32x32 as they are", SMALL, plain),
    workload("64 of 32x32 to 96, bicubic", SMALL, {
      ...plain,
      resize: { width: 96, height: 96 },
      interpolation: "bicubic",
    }),
  ],
  variants: {
    naive: (ctx, { naive }) => naive.preprocess(ctx),
    passes: (ctx, { passes }) => passes.preprocess(ctx),
  },
});
