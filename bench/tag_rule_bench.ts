/**
 * TagOOD's last step: a few numbers per image.
 *
 * @module
 */

import { tagRule, tagRuleBytes, tagRuleFlops } from "../kernels/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs {
  readonly value: Tensor;
  readonly counts: Tensor;
  readonly probability: Tensor;
}

function workload(images: number): BenchShape<Inputs> {
  return {
    label: `${images}`,
    flops: tagRuleFlops(images),
    bytes: tagRuleBytes(images),
    prepare: (ctx: GpuContext) => ({
      value: fill(ctx, [images]),
      counts: ctx.upload(Int32Array.from({ length: images }, (_, i) => i % 3), [images]),
      probability: fill(ctx, [images], { seed: 2 }),
    }),
  };
}

await benchKernel<Inputs>("tag_rule", {
  shapes: [workload(10_000), workload(4_000_000)],
  variants: {
    cosine: (ctx, { value, counts }) =>
      tagRule(ctx, { value, counts }, { measure: "cosine", floor: -1 }),
    euclidean: (ctx, inputs) => tagRule(ctx, inputs, { measure: "euclidean", floor: 0 }),
  },
});
