/**
 * What a sidecar says of a model, held against the model.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { nearestName } from "../runtime/nearest.ts";
import type { Classifier } from "./_classifier.ts";
import { type GraphView, lastLength } from "./_graph_view.ts";
import type { ClassifierHead } from "./inspection.ts";
import type { Sidecar, SidecarHead } from "./sidecar.ts";

/** The error of a sidecar that does not fit its model. */
export function doesNotFit(view: GraphView, why: string): UserError {
  return new UserError(`Cannot use the sidecar of "${view.name}": ${why}`);
}

/** Refuses names that the model does not have. */
export function checkNames(sidecar: Sidecar, view: GraphView): void {
  const { outputs = {}, head, input } = sidecar;
  const inputs = view.graph.inputs.map(({ name }) => name);
  const values = [...view.graph.valueNames(), ...inputs];
  const check = (key: string, value: string, names: readonly string[]) => {
    if (names.includes(value)) return;
    const close = nearestName(value, names);
    throw doesNotFit(
      view,
      `"${key}" names "${value}", which the model does not have${
        close === undefined ? "" : `; did you mean "${close}"`
      }`,
    );
  };
  for (const [key, value] of Object.entries(outputs)) check(`outputs.${key}`, value, values);
  if (input !== undefined) check("input", input, inputs);
  if (head === undefined || head === "none") return;
  const constants = [...view.graph.initializers.keys(), ...values];
  check("head.weight", head.weight, constants);
  if (head.bias !== undefined) check("head.bias", head.bias, constants);
}

/** Refuses labels that are not as many as the classes. */
export function checkLabels(
  labels: readonly string[] | undefined,
  { view, classes }: { view: GraphView; classes: number | undefined },
): void {
  if (labels === undefined || classes === undefined || labels.length === classes) return;
  throw doesNotFit(
    view,
    `it lists ${labels.length} labels and the model has ${classes} classes`,
  );
}

/** The head whose parameters the sidecar names. */
export function namedHead(
  wanted: SidecarHead,
  { view, found }: { view: GraphView; found: Classifier },
): ClassifierHead {
  const dims = matrixDims(wanted, view);
  const width = lastLength(found.features?.shape);
  const transposed = isTransposed(dims, {
    width,
    classes: biasLength(wanted, view) ?? lastLength(found.logits?.shape),
  });
  const [classes, channels] = transposed ? [dims[1], dims[0]] : dims;
  if (width !== undefined && width !== channels) {
    throw doesNotFit(
      view,
      `"${wanted.weight}" has the shape [${dims.join(", ")}] and the features have ${width} ` +
        `channels`,
    );
  }
  return { kind: "sidecar", node: "", ...wanted, transposed, factors: [1, 1], classes, channels };
}

/** The weight's shape, without the ones of a 1x1 convolution. */
function matrixDims({ weight }: SidecarHead, view: GraphView): readonly [number, number] {
  const dims = view.constant(weight)?.shape.filter((length, axis) => axis < 2 || length !== 1);
  if (dims?.length !== 2) {
    throw doesNotFit(view, `"head.weight" names "${weight}", which is no constant matrix`);
  }
  return dims as [number, number];
}

function biasLength({ bias }: SidecarHead, view: GraphView): number | undefined {
  return bias === undefined ? undefined : view.constant(bias)?.data.length;
}

/** A matrix says which side is which by the width of the features or the number of classes. */
function isTransposed(
  dims: readonly [number, number],
  { width, classes }: { width: number | undefined; classes: number | undefined },
): boolean {
  if (dims[0] === dims[1]) return false;
  return width !== undefined ? dims[0] === width : classes === dims[1];
}
