/**
 * How large what a sliding window makes is: convolutions and poolings.
 *
 * @module
 */

import type { KnownValues, OpenShape } from "./_known_values.ts";
import type { OnnxNode } from "./node.ts";
import type { Dimension } from "./value_info.ts";

/** The shape of a convolution's output, known from the weights even when its input is not. */
export function convolutionShape(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const shape = known.shape(node.inputs[0]);
  const weight = known.shape(node.inputs[1]);
  if (weight === undefined) return undefined;
  const kernel = weight.slice(2);
  const batch = shape?.[0] ?? "?";
  const spatial = kernel.map((size, i) => windowed(shape?.[i + 2] ?? "?", size, node, i));
  return [batch, weight[0]!, ...spatial];
}

/** The shape of a pooling's output. */
export function pooledShape(shape: OpenShape, node: OnnxNode): OpenShape {
  const kernel = node.ints("kernel_shape") ?? [];
  const spatial = shape.slice(2).map((length, i) => windowed(length, kernel[i] ?? 1, node, i));
  return [...shape.slice(0, 2), ...spatial];
}

/** How many places a window has along one axis. */
function windowed(length: Dimension, size: Dimension, node: OnnxNode, axis: number): Dimension {
  if (typeof length !== "number" || typeof size !== "number") return "?";
  const stride = node.ints("strides")?.[axis] ?? 1;
  const dilation = node.ints("dilations")?.[axis] ?? 1;
  const auto = node.string("auto_pad", "NOTSET");
  if (auto === "SAME_UPPER" || auto === "SAME_LOWER") return Math.ceil(length / stride);
  const pads = auto === "VALID" ? undefined : node.ints("pads");
  const rank = (pads?.length ?? 0) / 2;
  const padding = (pads?.[axis] ?? 0) + (pads?.[axis + rank] ?? 0);
  const span = dilation * (size - 1) + 1;
  const steps = (length + padding - span) / stride;
  return (node.int("ceil_mode", 0) === 1 ? Math.ceil(steps) : Math.floor(steps)) + 1;
}
