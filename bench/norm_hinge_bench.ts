import {
  normHinge,
  normHingeBytes,
  normHingeFlops,
  normHingeGradient,
  type NormHingeInputs,
} from "../kernels/norm_hinge/mod.ts";
import type { Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs extends NormHingeInputs {
  readonly norms: Tensor;
  readonly count: Tensor;
  readonly target: Tensor;
}

function workload(images: number, places: number, channels: number): BenchShape<Inputs> {
  const shape = { rows: images * places, columns: channels };
  return {
    label: `${images}x${places}x${channels}`,
    flops: normHingeFlops(shape),
    bytes: normHingeBytes(shape),
    prepare: (ctx) => {
      const features = fill(ctx, [images, places, channels], { low: 0 });
      const target = fill(ctx, [images, places, channels], { seed: 2 });
      // Every third location.
      const mask = ctx.upload(
        Float32Array.from({ length: shape.rows }, (_, i) => i % 3 === 0 ? 1 : 0),
        [images, places],
      );
      return { features, mask, target, ...normHinge(ctx, { features, mask }, { margin: 1 }) };
    },
    slow: channels > 512,
  };
}

const SHAPES = [workload(128, 64, 64), workload(128, 16, 512), workload(64, 49, 2048)];
const margin = 1;

await benchKernel("normHinge (images x locations x channels)", {
  shapes: SHAPES,
  variants: {
    naive: (ctx, inputs) => void normHinge(ctx, inputs, { margin, variant: "naive" }),
    chosen: (ctx, inputs) => void normHinge(ctx, inputs, { margin }),
    "tree 64": (ctx, inputs) => void normHinge(ctx, inputs, { margin, variant: "tree", lanes: 64 }),
  },
});

await benchKernel("normHingeGradient, a third selected", {
  shapes: SHAPES,
  variants: {
    written: (ctx, { target, ...inputs }) =>
      void normHingeGradient(ctx, inputs, { margin, out: target }),
    added: (ctx, { target, ...inputs }) =>
      void normHingeGradient(ctx, inputs, { margin, weight: 1e-6, addTo: target }),
  },
});
