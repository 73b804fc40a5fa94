/**
 * Shape inference: what shape and element type each value of a graph has, as far as the graph says.
 *
 * Open dimensions keep their names, so that a batch of `N` images is seen to give `N` rows. The
 * rules cover the operators of image classifiers; a value behind any other operator is known only
 * when the file declares it.
 *
 * @module
 */

import { followedElements } from "./_followed_elements.ts";
import { KnownValues } from "./_known_values.ts";
import { mergeShapes } from "./_shape_math.ts";
import { guessOutputs } from "./_shape_rules.ts";
import type { OnnxModel } from "./model.ts";
import type { OnnxNode } from "./node.ts";
import type { Dimension, ValueInfo } from "./value_info.ts";

/** Options of {@linkcode inferShapes}. */
export interface InferOptions {
  /** False to believe only the inputs and constants, not what the file declares in between. */
  readonly declared?: boolean;
  /** Shapes of values that are known from elsewhere; they are believed whatever the graph says. */
  readonly shapes?: ReadonlyMap<string, readonly Dimension[]>;
}

/**
 * Infers types and shapes of a graph's values.
 *
 * @param model The model.
 * @param options Whether to believe what the file declares about values in between, and shapes that
 * are known from elsewhere.
 * @returns Every value that is known at least in part, by name.
 *
 * @example A value that the file says nothing about
 * ```ts
 * import { inferShapes, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const pooled = model.graph.consumers("feature_map")[0]!.outputs[0]!;
 * assertEquals(inferShapes(model).get(pooled)?.shape, ["N", 64, 1, 1]);
 * ```
 */
export function inferShapes(model: OnnxModel, options: InferOptions = {}): Map<string, ValueInfo> {
  const { declared = true, shapes } = options;
  const known = new KnownValues(model);
  const declaredOf = (name: string) => declared ? model.graph.declared(name) : undefined;
  for (const { name, type } of model.graph.inputs) {
    const shape = shapes?.get(name);
    if (shape !== undefined) known.learn(name, { type, shape });
  }
  for (const node of model.graph.sorted()) visit(node, { known, declaredOf, shapes });
  return known.values;
}

function visit(
  node: OnnxNode,
  { known, declaredOf, shapes }: {
    known: KnownValues;
    declaredOf: (name: string) => ValueInfo | undefined;
    shapes: InferOptions["shapes"];
  },
): void {
  const guesses = node.domain === "" ? guessOutputs(node, known) : [];
  node.outputs.forEach((name, index) => {
    if (name === "") return;
    const declared = declaredOf(name);
    const type = declared?.type ?? guesses[index]?.type;
    const shape = shapes?.get(name) ?? mergeShapes(declared?.shape, guesses[index]?.shape);
    if (type !== undefined || shape !== undefined) known.learn(name, { type, shape });
  });
  const [output] = node.outputs;
  const elements = node.domain === "" ? followedElements(node, known) : undefined;
  if (output !== undefined && elements !== undefined) known.learnElements(output, elements);
}
