/**
 * Taking another block's map for the feature map.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { nearestName } from "../runtime/nearest.ts";
import { mapAt } from "./_feature_map.ts";
import { GraphView } from "./_graph_view.ts";
import type { Inspection } from "./inspection.ts";
import type { OnnxModel } from "./model.ts";

/** How many blocks an error lists. */
const MAX_SHOWN = 8;

/**
 * An inspection whose feature map is another value: the end of a block that a score on maps is to
 * look at.
 *
 * @param inspection What was found in the model.
 * @param choice The model, and the name of the value: one of `inspection.blocks`, or another map
 * [N, C, H, W] that a node makes.
 * @returns The inspection with that map.
 * @throws {UserError} When the model has no such map; the message names the nearest one.
 *
 * @example The first of nine blocks
 * ```ts
 * import { inspect, readModel, withBlock } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const found = inspect(model);
 * const block = found.blocks[0]!.value;
 * assertEquals(withBlock(found, { model, block }).featureMap?.shape, ["N", 16, 32, 32]);
 * ```
 */
export function withBlock(
  inspection: Inspection,
  choice: { readonly model: OnnxModel; readonly block: string },
): Inspection {
  const { model, block } = choice;
  if (inspection.featureMap?.value === block) return inspection;
  const view = new GraphView(model);
  const made = view.producer(block) !== undefined && view.constant(block) === undefined;
  const shape = view.shape(block);
  const why = !made
    ? "the model has no such value"
    : shape !== undefined && !view.isMap(block)
    ? `it has the shape [${shape.join(", ")}] and not [N, C, H, W]`
    : undefined;
  if (why !== undefined) {
    throw new UserError(
      `Cannot take the block "${block}" of "${inspection.name}": ${why}${hint(inspection, block)}`,
    );
  }
  const { featureMap: _, ...reasons } = inspection.reasons;
  const { features } = inspection;
  return { ...inspection, featureMap: mapAt(block, { view, features }), reasons };
}

/** The nearest end of a block, or the first ones. */
function hint(inspection: Inspection, block: string): string {
  const values = inspection.blocks.map(({ value }) => value);
  if (values.length === 0) return "; no block of it ends in a map";
  const close = nearestName(block, values);
  if (close !== undefined) return `; did you mean "${close}"`;
  const shown = values.slice(0, MAX_SHOWN).map((value) => `"${value}"`).join(", ");
  return `; its blocks end at ${shown}${values.length > MAX_SHOWN ? ", …" : ""}`;
}
