import {
  permuteBytes,
  permuteFlops,
  toChannelsFirst,
  toChannelsLast,
} from "../kernels/permute/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";

/** Images as they come in, an early and a late stage of a ResNet; as N, C, H, W. */
const SHAPES = [[64, 3, 64, 64], [64, 64, 32, 32], [64, 256, 8, 8]] as const;

for (const [name, op] of Object.entries({ toChannelsLast, toChannelsFirst })) {
  await benchKernel(name, {
    shapes: SHAPES.map(([n, c, h, w], position) => ({
      label: `${n}x${c}x${h}x${w}`,
      flops: permuteFlops(),
      bytes: permuteBytes([n, c, h, w]),
      prepare: (ctx) => ({ x: fill(ctx, op === toChannelsLast ? [n, c, h, w] : [n, h, w, c]) }),
      slow: position > 1,
    })),
    variants: {
      naive: (ctx, inputs) => op(ctx, inputs, { variant: "naive" }),
      register: (ctx, inputs) => op(ctx, inputs, { variant: "register" }),
      tiled: (ctx, inputs) => op(ctx, inputs, { variant: "tiled" }),
    },
  });
}
