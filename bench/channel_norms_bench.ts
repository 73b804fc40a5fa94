import {
  channelNorms,
  channelNormsBytes,
  channelNormsFlops,
} from "../kernels/channel_norms/mod.ts";
import { fill } from "./_support/mod.ts";
import { rowBench } from "./_support/rows.ts";

await rowBench("channelNorms", {
  prepare: (ctx, { rows, columns }) => ({ map: fill(ctx, [rows, 1, 1, columns]) }),
  run: channelNorms,
  flops: channelNormsFlops,
  bytes: channelNormsBytes,
  // Maps of a ResNet-50 (7 by 7), a ResNet-20 (8 by 8) and a block before the last (14 by 14).
  shapes: [
    { rows: 64 * 2048, columns: 49 },
    { rows: 1024 * 64, columns: 64 },
    { rows: 16 * 1024, columns: 196 },
  ],
});
