import {
  objectMask,
  objectMaskBytes,
  objectMaskFlops,
  type ObjectMaskInputs,
} from "../kernels/object_mask/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Size {
  readonly images: number;
  /** Tags, of the tagger and in-distribution ones alike. */
  readonly tags: number;
  /** Predicted tags of an image. */
  readonly used: number;
  readonly tokens: number;
  readonly heads?: number;
}

function workload(size: Size, options: { slow?: boolean } = {}): BenchShape<ObjectMaskInputs> {
  const { images, tags, used, tokens, heads } = size;
  const cost = { ...size, used: images * used };
  return {
    label: `${images}x${heads === undefined ? "" : `${heads}x`}${tags}x${tokens}, ${used} used`,
    flops: objectMaskFlops(cost),
    bytes: objectMaskBytes(cost),
    slow: options.slow ?? false,
    prepare: (ctx) => ({
      attention: fill(ctx, [images, ...(heads === undefined ? [] : [heads]), tags, tokens]),
      tagLogits: ctx.upload(
        // Others in every image, spread over all tags.
        Float32Array.from(
          { length: images * tags },
          (_, i) => (i + 37 * Math.floor(i / tags)) % Math.floor(tags / used) === 0 ? 1 : -1,
        ),
        [images, tags],
      ),
      tags: ctx.upload(Int32Array.from({ length: tags }, (_, v) => v), [tags]),
      thresholds: fill(ctx, [tags], { low: -0.5, high: 0.5 }),
    }),
  };
}

await benchKernel<ObjectMaskInputs>("object mask (images x tags x tokens)", {
  shapes: [
    workload({ images: 64, tags: 719, used: 3, tokens: 145 }),
    workload({ images: 64, tags: 100, used: 1, tokens: 145 }),
    workload({ images: 16, tags: 100, used: 4, tokens: 577, heads: 4 }, { slow: true }),
    workload({ images: 64, tags: 719, used: 719, tokens: 145 }, { slow: true }),
  ],
  variants: {
    naive: (ctx, inputs) => void objectMask(ctx, inputs, { tau: 0.5, variant: "naive" }),
    serial: (ctx, inputs) => void objectMask(ctx, inputs, { tau: 0.5, variant: "serial" }),
    tree: (ctx, inputs) => void objectMask(ctx, inputs, { tau: 0.5, variant: "tree" }),
  },
});
