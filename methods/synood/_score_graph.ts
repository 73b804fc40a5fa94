/**
 * SynOOD's score as nodes of an ONNX graph: the projection, and the share of the in-distribution
 * labels.
 *
 * @module
 */

import type { GraphBuilder } from "../../onnx/build.ts";
import { GraphLayers } from "../../onnx/layers.ts";
import { logSumExp } from "../scores/_graph.ts";
import type { FittedState } from "../score.ts";
import { wholeArray } from "../_state.ts";
import { groupedLabels, scoreShape } from "./_score_state.ts";

/** The least length that a row is divided by. */
const LEAST_LENGTH = 1e-12;

/** Writes the score [N] of image features [N, D]. */
export function synoodGraph(builder: GraphBuilder, features: string, state: FittedState): string {
  const { scale, classes, groups, groupSize, width } = scoreShape(state);
  const labels = groupedLabels(state);
  const count = labels.length / width;
  const scaled = new Float32Array(labels.length);
  for (let label = 0; label < count; label++) {
    for (let d = 0; d < width; d++) scaled[d * count + label] = scale * labels[label * width + d]!;
  }
  const table = builder.constant(scaled, { shape: [width, count], name: "labels" });
  const logits = builder.node("MatMul", [project(builder, features, state), table]);
  const part = (start: number, end: number) => builder.slice(logits, { axis: 1, start, end });
  const own = builder.unsqueeze(logSumExp(builder, part(0, classes)), [1]);
  const negative = builder.node("Reshape", [part(classes, count), builder.ints([-1, groupSize])]);
  const others = builder.node("Reshape", [
    logSumExp(builder, negative),
    builder.ints([-1, groups]),
  ]);
  // S / (S + G) is the sigmoid of log S - log G.
  const shares = builder.node("Sigmoid", [builder.node("Sub", [own, others])]);
  return builder.reduce("ReduceMean", shares, { axes: [1] });
}

function project(builder: GraphBuilder, features: string, state: FittedState): string {
  const { images, epsilon, projected } = scoreShape(state);
  if (!projected) return unit(builder, features);
  const layers = new GraphLayers(builder, (name) => ({
    data: wholeArray(state, name),
    shape: state.arrays[name]!.shape,
  }));
  const x = images === "unit" ? unit(builder, features) : features;
  const inside = layers.layerNorm(layers.linear(x, "projection"), "norm", { epsilon });
  return unit(builder, builder.node("Add", [x, builder.node("Relu", [inside])]));
}

/** Rows of length one. */
function unit(builder: GraphBuilder, x: string): string {
  const norms = builder.reduce("ReduceL2", x, { axes: [1], keepDims: true });
  return builder.node("Div", [x, builder.clip(norms, { min: LEAST_LENGTH })]);
}
