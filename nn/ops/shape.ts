/**
 * Operations that move elements and can be differentiated.
 *
 * @module
 */

import {
  concatChannels as concatKernel,
  pad2d as padKernel,
  pad2dGradient,
  type Pad2dOptions,
  resizeNearest as resizeKernel,
  resizeNearestGradient,
  sliceChannels as sliceKernel,
  toChannelsFirst as toChannelsFirstKernel,
  toChannelsLast as toChannelsLastKernel,
} from "../../kernels/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/**
 * The same elements under another shape, a view.
 *
 * @param tape The tape.
 * @param x Any variable.
 * @param shape A shape with as many elements.
 * @returns The view.
 * @throws {RangeError} When the number of elements differs.
 *
 * @example A row
 * ```ts
 * import { reshape, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array(6), [2, 3]));
 * assertEquals(reshape(new Tape(host), x, [1, 6]).shape, [1, 6]);
 * ```
 */
export function reshape(tape: Tape, x: Variable, shape: readonly number[]): Variable {
  return tape.operation({
    inputs: [x],
    output: x.value.reshape(shape),
    backward: (dY, gradients) => gradients.send(x, dY.reshape(x.shape)),
  });
}

/**
 * Maps one behind the other along the channels.
 *
 * @param tape The tape.
 * @param parts f32 [N, H, W, C_i].
 * @returns f32 [N, H, W, sum of C_i].
 * @throws {ShapeError} When the parts differ in another axis.
 *
 * @example Two maps
 * ```ts
 * import { concatChannels, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = new Variable(host.upload(new Float32Array([1]), [1, 1, 1, 1]));
 * const b = new Variable(host.upload(new Float32Array([2, 3]), [1, 1, 1, 2]));
 * assertEquals([...concatChannels(new Tape(host), [a, b]).value.data], [1, 2, 3]);
 * ```
 */
export function concatChannels(tape: Tape, parts: readonly Variable[]): Variable {
  return tape.operation({
    inputs: parts,
    output: concatKernel(tape.ctx, { parts: parts.map(({ value }) => value) }),
    backward: (dY, gradients) => {
      let begin = 0;
      for (const part of parts) {
        const end = begin + part.shape.at(-1)!;
        if (gradients.wants(part)) {
          gradients.send(part, sliceKernel(gradients.ctx, { x: dY }, { begin, end }));
        }
        begin = end;
      }
    },
  });
}

/**
 * Some channels of maps.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @param range The first channel, and the channel after the last one.
 * @returns f32 [N, H, W, end - begin].
 * @throws {RangeError} When there are no such channels.
 *
 * @example The second of two
 * ```ts
 * import { sliceChannels, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 3, 2, 4]), [1, 1, 2, 2]));
 * assertEquals([...sliceChannels(new Tape(host), x, { begin: 1, end: 2 }).value.data], [3, 4]);
 * ```
 */
export function sliceChannels(
  tape: Tape,
  x: Variable,
  range: { readonly begin: number; readonly end: number },
): Variable {
  const { begin, end } = range;
  const channels = x.shape.at(-1)!;
  return tape.operation({
    inputs: [x],
    output: sliceKernel(tape.ctx, { x: x.value }, range),
    backward: (dY, gradients) => {
      // Channels as places, so that a border of zeros is what the others get.
      const lanes = [begin, end, channels].every((place) => place % 4 === 0) ? 4 : 1;
      const rows = x.value.size / channels;
      const places = dY.reshape([rows, 1, (end - begin) / lanes, lanes]);
      const padding = [0, begin / lanes, 0, (channels - end) / lanes] as const;
      const dX = gradients.ctx.empty(x.shape, "f32", { label: "sliceChannels gradient" });
      const out = dX.reshape([rows, 1, channels / lanes, lanes]);
      padKernel(gradients.ctx, { x: places }, { padding, out });
      gradients.send(x, dX);
    },
  });
}

/**
 * A map with a border of one value.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @param options The border's widths and value.
 * @returns f32 [N, H', W', C].
 *
 * @example A zero before
 * ```ts
 * import { pad2d, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([5]), [1, 1, 1, 1]));
 * assertEquals([...pad2d(new Tape(host), x, { padding: [0, 1, 0, 0] }).value.data], [0, 5]);
 * ```
 */
export function pad2d(tape: Tape, x: Variable, options: Pad2dOptions): Variable {
  return tape.operation({
    inputs: [x],
    output: padKernel(tape.ctx, { x: x.value }, options),
    backward: (dY, gradients) => {
      gradients.send(x, pad2dGradient(gradients.ctx, { dY }, options));
    },
  });
}

/**
 * A map resized by repeating its nearest pixels.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @param to The new height and width, or a whole factor of both.
 * @returns f32 [N, height, width, C].
 *
 * @example Twice as wide
 * ```ts
 * import { resizeNearest, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2]), [1, 1, 2, 1]));
 * assertEquals([...resizeNearest(new Tape(host), x, [1, 4]).value.data], [1, 1, 2, 2]);
 * assertEquals(resizeNearest(new Tape(host), x, { scale: 2 }).shape, [1, 2, 4, 1]);
 * ```
 */
export function resizeNearest(
  tape: Tape,
  x: Variable,
  to: readonly [height: number, width: number] | { readonly scale: number },
): Variable {
  const [, height, width] = x.shape;
  const size = "scale" in to ? [to.scale * height!, to.scale * width!] as const : to;
  return tape.operation({
    inputs: [x],
    output: resizeKernel(tape.ctx, { x: x.value }, { size }),
    backward: (dY, gradients) => {
      const options = { size: [height!, width!] as const };
      gradients.send(x, resizeNearestGradient(gradients.ctx, { dY }, options));
    },
  });
}

/**
 * Planes to channels last: ONNX's layout to the engine's.
 *
 * @param tape The tape.
 * @param x f32 [N, C, H, W].
 * @returns f32 [N, H, W, C].
 *
 * @example One pixel row of two planes
 * ```ts
 * import { toChannelsLast, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2, 3, 4]), [1, 2, 1, 2]));
 * assertEquals([...toChannelsLast(new Tape(host), x).value.data], [1, 3, 2, 4]);
 * ```
 */
export function toChannelsLast(tape: Tape, x: Variable): Variable {
  return tape.operation({
    inputs: [x],
    output: toChannelsLastKernel(tape.ctx, { x: x.value }),
    backward: (dY, gradients) => {
      gradients.send(x, toChannelsFirstKernel(gradients.ctx, { x: dY }));
    },
  });
}

/**
 * Channels last to planes: the engine's layout to ONNX's, as a Flatten of a whole map needs it.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @returns f32 [N, C, H, W].
 *
 * @example Two pixels of two channels
 * ```ts
 * import { toChannelsFirst, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 3, 2, 4]), [1, 1, 2, 2]));
 * assertEquals([...toChannelsFirst(new Tape(host), x).value.data], [1, 2, 3, 4]);
 * ```
 */
export function toChannelsFirst(tape: Tape, x: Variable): Variable {
  return tape.operation({
    inputs: [x],
    output: toChannelsFirstKernel(tape.ctx, { x: x.value }),
    backward: (dY, gradients) => {
      gradients.send(x, toChannelsLastKernel(gradients.ctx, { x: dY }));
    },
  });
}
