/**
 * SynOOD's projection δ: a residual on frozen image features, then length one.
 *
 * @module
 */

import { layerNormParameters, namedLayerNorm, namedLinear } from "../../nn/encoder.ts";
import { linearLayer } from "../../nn/layers.ts";
import { l2Normalize } from "../../nn/ops/normalization.ts";
import { activation, add } from "../../nn/ops/pointwise.ts";
import type { ParameterSet, ParameterSpec } from "../../nn/parameters.ts";
import type { Tape } from "../../nn/tape.ts";
import type { Variable } from "../../nn/variable.ts";
import type { ImageLength } from "./settings.ts";

/** A trained projection. */
export interface Projection {
  /** Width of a feature, D. */
  readonly width: number;
  /** How features come in. */
  readonly images: ImageLength;
  /** What the layer normalisation adds to a variance. */
  readonly epsilon: number;
  /** `projection.weight` [D, D], `projection.bias`, `norm.weight` and `norm.bias` [D]. */
  readonly parameters: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
}

/** Names of its parts. */
const [LINEAR, NORM] = ["projection", "norm"];

/** Names of the parameters, with the number of their dimensions. */
export const PROJECTION_ARRAYS: Readonly<Record<string, number>> = {
  [`${LINEAR}.weight`]: 2,
  [`${LINEAR}.bias`]: 1,
  [`${NORM}.weight`]: 1,
  [`${NORM}.bias`]: 1,
};

/**
 * First values of a projection: PyTorch's of a linear layer and of a layer normalisation.
 *
 * @param width Width of a feature, D.
 * @param seed The seed.
 * @returns The parameters.
 *
 * @example Their names
 * ```ts
 * import { deltaParameters } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const names = deltaParameters(4, 1).map(({ name }) => name);
 * assertEquals(names, ["projection.weight", "projection.bias", "norm.weight", "norm.bias"]);
 * ```
 */
export function deltaParameters(width: number, seed: number): ParameterSpec[] {
  return [
    ...linearLayer(LINEAR!, { inputs: width, outputs: width, seed, stream: 0 }).parameters,
    ...layerNormParameters(NORM!, width),
  ];
}

/**
 * δ(f) = normalise(f + ReLU(LayerNorm(Linear(f)))).
 *
 * @param tape The tape.
 * @param features f32 [N, D], of the length that the projection takes.
 * @param parameters The parameters.
 * @param options What the layer normalisation adds to a variance.
 * @returns f32 [N, D], rows of length one.
 *
 * @example A row
 * ```ts
 * import { delta, deltaParameters } from "@oodgpu/oodgpu/methods";
 * import { ParameterSet, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * using parameters = new ParameterSet(host, deltaParameters(2, 1));
 * const f = new Variable(host.upload(new Float32Array([1, 0]), [1, 2]));
 * const [a, b] = delta(new Tape(host), f, parameters, { epsilon: 1e-5 }).value.data;
 * assertAlmostEquals(a! ** 2 + b! ** 2, 1, 1e-6);
 * ```
 */
export function delta(
  tape: Tape,
  features: Variable,
  parameters: ParameterSet,
  options: { readonly epsilon: number },
): Variable {
  const inside = namedLinear(tape, features, { name: LINEAR!, parameters });
  const normalised = namedLayerNorm(tape, inside, { name: NORM!, parameters }, options);
  const positive = activation(tape, normalised, { kind: "relu" });
  return l2Normalize(tape, add(tape, features, positive));
}
