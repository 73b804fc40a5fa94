/**
 * Random arrays: words, uniform and normal numbers.
 *
 * @module
 */

import {
  randomBits,
  randomBytes,
  randomFlops,
  randomNormal,
  randomUniform,
} from "../kernels/mod.ts";
import { benchKernel } from "./_support/mod.ts";

interface Workload {
  readonly size: number;
}

await benchKernel<Workload>("random", {
  shapes: [1 << 16, 1 << 20, 1 << 24].map((size) => ({
    label: `${size}`,
    flops: randomFlops(size),
    bytes: randomBytes(size),
    prepare: () => ({ size }),
    slow: size > 1 << 20,
  })),
  variants: {
    words: (ctx, { size }) => randomBits(ctx, [size], { seed: 1 }),
    uniform: (ctx, { size }) => randomUniform(ctx, [size], { seed: 1 }),
    normal: (ctx, { size }) => randomNormal(ctx, [size], { seed: 1 }),
  },
});
