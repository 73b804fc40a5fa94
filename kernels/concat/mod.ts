/**
 * Maps joined along their channels, and taken apart again: each is the other's gradient.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Shape,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireShape } from "../_arguments.ts";
import { requireMaps } from "../_maps.ts";
import {
  lanesOf,
  POINTWISE_WORKGROUP,
  pointwiseKernel,
  type PointwiseOptions,
} from "../_pointwise.ts";
import source from "./copy_channels.wgsl" with { type: "text" };
import { copyChannels } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "copy_channels",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: {
    items: "u32",
    channels: "u32",
    x_channels: "u32",
    x_begin: "u32",
    y_channels: "u32",
    y_begin: "u32",
  },
});

/** Options of {@linkcode sliceChannels}. */
export interface SliceChannelsOptions extends PointwiseOptions {
  /** The first channel. */
  readonly begin: number;
  /** The channel after the last one. */
  readonly end: number;
}

/**
 * Maps joined along their channels.
 *
 * f32 [N, H, W, C1], [N, H, W, C2] and so on to f32 [N, H, W, C1 + C2 + …]; one dispatch for each part.
 * The gradient of a part is {@linkcode sliceChannels} of the gradient of the whole.
 *
 * @param ctx Where it runs.
 * @param inputs One part or more.
 * @param options Where the result goes, and a forced variant.
 * @returns The joined maps.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When the parts differ in more than their channels, or `out` has another shape.
 * @throws {RangeError} When there is no part, or the forced variant does not exist.
 *
 * @example A block of a DenseNet
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { concatChannels } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2]), [1, 1, 2, 1]);
 * const grown = host.upload(new Float32Array([3, 4]), [1, 1, 2, 1]);
 * assertEquals([...concatChannels(host, { parts: [x, grown] }).data], [1, 3, 2, 4]);
 * ```
 */
export function concatChannels(
  ctx: Context,
  { parts }: { readonly parts: readonly Tensor[] },
  options: PointwiseOptions = {},
): Tensor {
  const operation = "concatChannels";
  const [first] = parts;
  if (first === undefined) throw new RangeError(`Cannot run ${operation}: there are no parts`);
  const { n, height, width } = requireMaps(first, { kernel: operation, name: "parts[0]" });
  const counts = parts.map((part, i) => {
    const argument = { kernel: operation, name: `parts[${i}]` };
    const { channels } = requireMaps(part, argument);
    requireShape(part, [n, height, width, "C"], argument);
    return channels;
  });
  const total = counts.reduce((sum, count) => sum + count, 0);
  const shape = [n, height, width, total];
  const y = outputTensor(ctx, shape, { kernel: operation, out: options.out });
  let begin = 0;
  parts.forEach((x, i) => {
    copy(ctx, { x, y }, { operation, count: counts[i]!, from: 0, to: begin, options });
    begin += counts[i]!;
  });
  return y;
}

/**
 * Some channels of maps, `begin` to `end`.
 *
 * f32 [N, H, W, C] to f32 [N, H, W, end - begin]; a copy, not a view.
 *
 * @param ctx Where it runs.
 * @param inputs The maps `x`.
 * @param options Which channels, where the result goes, and a forced variant.
 * @returns The channels.
 * @throws {DTypeError} When `x` or `out` does not hold f32.
 * @throws {ShapeError} When `x` has not four axes, or `out` has another shape.
 * @throws {RangeError} When there are no such channels, or the forced variant does not exist.
 *
 * @example The second of two
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { sliceChannels } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 3, 2, 4]), [1, 1, 2, 2]);
 * assertEquals([...sliceChannels(host, { x }, { begin: 1, end: 2 }).data], [3, 4]);
 * ```
 */
export function sliceChannels(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: SliceChannelsOptions,
): Tensor {
  const operation = "sliceChannels";
  const { n, height, width, channels } = requireMaps(x, { kernel: operation, name: "x" });
  const { begin, end } = options;
  const whole = Number.isInteger(begin) && Number.isInteger(end);
  if (!(whole && begin >= 0 && begin <= end && end <= channels)) {
    throw new RangeError(
      `Cannot run ${operation}: there are no channels ${begin} to ${end} among ${channels}`,
    );
  }
  const count = end - begin;
  const shape = [n, height, width, count];
  const y = outputTensor(ctx, shape, { kernel: operation, out: options.out });
  copy(ctx, { x, y }, { operation, count, from: begin, to: 0, options });
  return y;
}

/**
 * Floating-point operations of a join: none, it only copies.
 *
 * @returns 0.
 *
 * @example None
 * ```ts
 * import { concatFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(concatFlops(), 0);
 * ```
 */
export function concatFlops(): number {
  return 0;
}

/**
 * Bytes that a join must move: one read and one write of the whole.
 *
 * @param shape Shape of the whole.
 * @returns The number of bytes.
 *
 * @example Six numbers
 * ```ts
 * import { concatBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(concatBytes([1, 1, 2, 3]), 48);
 * ```
 */
export function concatBytes(shape: Shape): number {
  return 8 * sizeOf(shape);
}

interface Block {
  readonly operation: string;
  readonly count: number;
  readonly from: number;
  readonly to: number;
  readonly options: PointwiseOptions;
}

function copy(ctx: Context, { x, y }: { x: Tensor; y: Tensor }, block: Block): void {
  const { count, from, to } = block;
  if (isGpu(ctx)) {
    copyOnGpu(ctx, { x, y }, block);
    return;
  }
  copyChannels(
    { data: hostFloats(x), channels: x.shape[3]!, begin: from },
    { data: hostFloats(y), channels: y.shape[3]!, begin: to },
    count,
  );
}

function copyOnGpu(ctx: GpuContext, { x, y }: { x: Tensor; y: Tensor }, block: Block): void {
  const { operation, count, from, to, options } = block;
  const [xChannels, yChannels] = [x.shape[3]!, y.shape[3]!];
  const lengths = [count, from, to, xChannels, yChannels];
  const lanes = lanesOf(ctx, { operation, variant: options.variant, channels: lengths });
  const items = x.size === 0 ? 0 : x.size / xChannels * count / lanes;
  ctx.dispatch(KERNEL(lanes), {
    buffers: [x, y],
    params: {
      items,
      channels: count / lanes,
      x_channels: xChannels / lanes,
      x_begin: from / lanes,
      y_channels: yChannels / lanes,
      y_begin: to / lanes,
    },
    workgroups: gridFor(items, POINTWISE_WORKGROUP),
  });
}
