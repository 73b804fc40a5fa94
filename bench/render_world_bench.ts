/**
 * Rendering scenes of the procedural world, their upload included.
 *
 * @module
 */

import { worldScenes } from "../data/mod.ts";
import {
  renderWorld,
  renderWorldBytes,
  renderWorldFlops,
  type WorldDrawing,
} from "../kernels/mod.ts";
import { benchKernel } from "./_support/mod.ts";

interface Workload {
  readonly drawings: readonly WorldDrawing[];
  readonly size: number;
}

await benchKernel<Workload>("renderWorld", {
  shapes: [[64, 32], [256, 64], [64, 128]].map(([count, size]) => {
    const drawings = worldScenes("train", { seed: 1, count: count! }).map((scene) => scene.drawing);
    return {
      label: `${count} of ${size}x${size}`,
      flops: renderWorldFlops(drawings, size!),
      bytes: renderWorldBytes(drawings, size!),
      prepare: () => ({ drawings, size: size! }),
      slow: size === 128,
    };
  }),
  variants: {
    naive: (ctx, { drawings, size }) => renderWorld(ctx, drawings, { size, variant: "naive" }),
    boxes: (ctx, { drawings, size }) => renderWorld(ctx, drawings, { size, variant: "boxes" }),
  },
});
