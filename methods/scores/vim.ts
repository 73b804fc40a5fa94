/**
 * ViM: the energy less a virtual logit, the norm of what the principal subspace does not explain.
 *
 * @module
 */

import { combineRows, headEnergy, matmul, quadraticForm, rowMax } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { type CheckedHead, floats, readHead, streamRows, sumOfProducts } from "../_fit.ts";
import { defineScore, type Learned, type LearnInput } from "../define.ts";
import { eigh, solveShortest } from "../numerics/mod.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray, stateArray, wholeArray } from "../_state.ts";
import { constantArray, headProduct, logSumExp } from "./_graph.ts";

/**
 * ViM, log sum exp(W a + b) - alpha |(a - o) R|.
 *
 * o = -pinv(W) b is where all logits vanish; R holds the eigenvectors of (A - o)'(A - o) / N beyond
 * the `dim` largest; alpha is the mean largest logit over the mean |(a - o) R| of the training data.
 * Origin and eigenvectors are float64. The weights' singular values at or below
 * max(K, C) * 2^-23 of the largest one count as zero when o is found: below that, float32 weights
 * hold rounding.
 *
 * @example A feature off the plane that training data lie in
 * ```ts
 * import { vim } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([4, 1, 4, -1]), shape: [2, 2] },
 *   "head.weight": { data: new Float32Array([1, 0]), shape: [1, 2] },
 *   "head.bias": { data: new Float32Array([0]), shape: [1] },
 * });
 * const fitted = await vim.fit({ train, context: host, parameters: { dim: 1 } });
 * const features = host.upload(new Float32Array([4, 3]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, 4 - 4 * 3, 1e-5);
 * ```
 */
export const vim: ScoreMethod = defineScore({
  name: "vim",
  title: "ViM",
  source: "Wang et al. 2022, arXiv 2203.10807",
  summary: "The energy less the scaled norm of the features outside their principal subspace",
  needs: ["features"],
  fitNeeds: ["features", "head.weight"],
  usesValidation: false,
  parameters: [{
    name: "dim",
    description: "Dimensions of the principal subspace",
    rule: "1000 for 2048 features or more, 512 for 768 or more, else half of them",
    minimum: 1,
    integer: true,
    search: [16, 32, 64, 128, 256, 512, 1000],
  }],
  evidence: { quantity: "energy less virtual logit", negated: false },
  arrays: { weight: 2, bias: 1, origin: 1, residual: 2, alpha: 1 },
  learn,
  place(context, state) {
    const weight = placeArray(context, state, "weight");
    const bias = placeArray(context, state, "bias");
    const mean = placeArray(context, state, "origin");
    const residual = placeArray(context, state, "residual");
    const alpha = wholeArray(state, "alpha")[0]!;
    return (scope, batch) => {
      const features = batch["features"]!;
      const energy = headEnergy(scope, { features, weight, bias });
      const squared = quadraticForm(scope, { x: features, mean, whitening: residual });
      return combineRows(scope, { a: energy, b: squared }, { otherScale: -alpha, root: true });
    };
  },
  graph(builder, inputs, state) {
    const features = inputs["features"]!;
    const energy = logSumExp(builder, headProduct(builder, features, state));
    const shifted = builder.node("Sub", [features, constantArray(builder, state, "origin")]);
    const rest = builder.node("MatMul", [shifted, constantArray(builder, state, "residual")]);
    const norm = builder.reduce("ReduceL2", rest, { axes: [1] });
    const alpha = builder.constant(wholeArray(state, "alpha")[0]!, { name: "alpha" });
    return builder.node("Sub", [energy, builder.node("Mul", [norm, alpha])]);
  },
});

/** Dimensions of the principal subspace when nobody wishes otherwise. */
function defaultDimension(columns: number): number {
  if (columns >= 2048) return 1000;
  return columns >= 768 ? 512 : Math.max(1, Math.floor(columns / 2));
}

async function learn(input: LearnInput): Promise<Learned> {
  const head = await readHead(input, "vim");
  const { C } = head;
  const dim = input.parameters["dim"] ?? defaultDimension(C);
  if (dim >= C) {
    throw new UserError(
      `Cannot set "vim.dim" to ${dim}: the features of "${input.train.path}" have ${C} channels, ` +
        `and fewer dimensions than that were expected`,
    );
  }
  const origin = solveShortest(head.weight, head.bias).map((value) => -value);
  const rows = input.train.count;
  const scatter = await sumOfProducts(input.context, shiftedRows(input, origin), {
    rows,
    columns: C,
  });
  const { values, vectors } = eigh(scatter.map((value) => value / rows), C);
  const rest = C - dim;
  const residual = new Float64Array(C * rest);
  for (let j = 0; j < rest; j++) {
    for (let c = 0; c < C; c++) residual[c * rest + j] = vectors[j * C + c]!;
  }
  const arrays = {
    weight: stateArray(head.weight, [head.K, C]),
    bias: stateArray(head.bias, [head.K]),
    origin: stateArray(origin, [C]),
    residual: stateArray(residual, [C, rest]),
  };
  const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
  const alpha = await scaleOf(input, { head, arrays, typical: Math.sqrt(total), dim });
  return {
    arrays: { ...arrays, alpha: stateArray(new Float32Array([alpha]), [1]) },
    parameters: { dim },
    warnings: head.warnings,
  };
}

/** Training rows less the origin, in float64. */
async function* shiftedRows(
  input: LearnInput,
  origin: Float64Array,
): AsyncGenerator<Float64Array<ArrayBuffer>> {
  const C = origin.length;
  const stream = streamRows(input.train, ["features"], { input, stage: "principal subspace" });
  for await (const batch of stream) {
    yield Float64Array.from(floats(batch, "features"), (value, i) => value - origin[i % C]!);
  }
}

/** Below this fraction of the features' own norm, a residual is rounding. */
const ROUNDING = 1e-5;

/** alpha: the mean largest logit over the mean norm of the residual. */
async function scaleOf(
  input: LearnInput,
  from: {
    readonly head: CheckedHead;
    readonly arrays: Learned["arrays"];
    readonly typical: number;
    readonly dim: number;
  },
): Promise<number> {
  const { head, arrays, typical, dim } = from;
  const { context, train } = input;
  const state = { parameters: {}, inputs: {}, arrays };
  using scope = context.scope();
  const b = placeArray(scope, state, "weight");
  const bias = placeArray(scope, state, "bias");
  const mean = placeArray(scope, state, "origin");
  const residual = placeArray(scope, state, "residual");
  let logits = 0;
  let norms = 0;
  for await (const batch of streamRows(train, ["features"], { input, stage: "scale" })) {
    using step = scope.scope();
    const x = step.upload(floats(batch, "features"), [batch.rows, head.C]);
    const z = matmul(step, { a: x, b, bias }, { transposeB: true });
    const [largest, squared] = await step.read(
      rowMax(step, { x: z }),
      quadraticForm(step, { x, mean, whitening: residual }),
    );
    largest!.forEach((value) => logits += value);
    squared!.forEach((value) => norms += Math.sqrt(Math.max(0, value)));
  }
  if (norms / train.count <= ROUNDING * typical) {
    throw new UserError(
      `Cannot fit "vim": the features of "${train.path}" do not vary outside ${dim} dimensions; ` +
        `choose a smaller vim.dim`,
    );
  }
  return logits / norms;
}
