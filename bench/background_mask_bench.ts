import {
  backgroundMask,
  backgroundMaskBytes,
  backgroundMaskFlops,
  type BackgroundMaskInputs,
} from "../kernels/background_mask/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

function workload(
  { images, places, channels, classes }: Record<string, number>,
  slow = false,
): BenchShape<BackgroundMaskInputs> {
  const shape = { locations: images! * places!, classes: classes!, channels: channels! };
  return {
    label: `${images}x${places}x${channels}, ${classes} classes`,
    flops: backgroundMaskFlops(shape),
    bytes: backgroundMaskBytes(shape),
    prepare: (ctx) => ({
      features: fill(ctx, [images!, places!, channels!], { low: 0 }),
      weight: fill(ctx, [classes!, channels!], { seed: 2 }),
      bias: fill(ctx, [classes!], { seed: 3 }),
      labels: ctx.upload(Int32Array.from({ length: images! }, (_, i) => i % classes!), [images!]),
    }),
    slow,
  };
}

const delta = 0.1;

await benchKernel("backgroundMask (images x locations x channels)", {
  shapes: [
    workload({ images: 128, places: 64, channels: 64, classes: 10 }),
    workload({ images: 128, places: 16, channels: 512, classes: 100 }),
    workload({ images: 64, places: 49, channels: 2048, classes: 100 }, true),
  ],
  variants: {
    register: (ctx, inputs) => void backgroundMask(ctx, inputs, { delta, variant: "register" }),
    tiled: (ctx, inputs) => void backgroundMask(ctx, inputs, { delta, variant: "tiled" }),
  },
});

// The baseline cannot finish longer products on a software adapter.
await benchKernel("backgroundMask, short products", {
  shapes: [workload({ images: 128, places: 64, channels: 64, classes: 10 })],
  variants: {
    naive: (ctx, inputs) => void backgroundMask(ctx, inputs, { delta, variant: "naive" }),
    register: (ctx, inputs) => void backgroundMask(ctx, inputs, { delta, variant: "register" }),
  },
});
