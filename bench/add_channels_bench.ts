import {
  addChannels,
  addChannelsBytes,
  addChannelsFlops,
  addChannelsGradient,
} from "../kernels/add_channels/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench } from "./_support/pointwise.ts";

await mapBench("addChannels", {
  prepare: (ctx, shape) => ({
    x: fill(ctx, shape),
    v: fill(ctx, [shape[0], shape[3]], { seed: 2 }),
  }),
  run: addChannels,
  flops: addChannelsFlops,
  bytes: addChannelsBytes,
});

await mapBench("addChannelsGradient", {
  prepare: (ctx, shape) => ({ dY: fill(ctx, shape) }),
  run: addChannelsGradient,
  flops: addChannelsFlops,
  bytes: (shape) => addChannelsBytes(shape) / 2,
});
