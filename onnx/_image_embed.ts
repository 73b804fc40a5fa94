/**
 * Embeddings of images: where a model gives them, and what it is not when it does.
 *
 * @module
 */

import type { Classifier } from "./_classifier.ts";
import type { GraphView } from "./_graph_view.ts";
import { HINT } from "./_hints.ts";
import { doesNotFit } from "./_sidecar_fit.ts";
import type { ValueSource } from "./inspection.ts";
import type { Sidecar } from "./sidecar.ts";

/** What exports of CLIP and its like call the output. */
const OUTPUT_NAMES: readonly string[] = ["image_embeds", "image_embed"];

/** The embeddings that the sidecar names, or an output that is called as they are. */
export function findImageEmbed(
  view: GraphView,
  { outputs = {} }: Sidecar,
): ValueSource | undefined {
  const named = outputs.image_embed;
  const rank = (value: string) => view.shape(value)?.length ?? 2;
  if (named !== undefined && rank(named) !== 2) {
    throw doesNotFit(
      view,
      `"image_embed" names "${named}", which is [${view.shape(named)!.join(", ")}] and no [N, D]`,
    );
  }
  const found = named ??
    view.graph.outputs.find(({ name }) => OUTPUT_NAMES.includes(name) && rank(name) === 2)?.name;
  return found === undefined ? undefined : view.asIs(found);
}

/**
 * The classifier of a model of embeddings about which the sidecar says nothing of class scores:
 * none. What looks like one is the last projection. Undefined where one is to be looked for.
 */
export function noClassifierBeside(
  imageEmbed: ValueSource | undefined,
  view: GraphView,
  { outputs = {}, head }: Sidecar,
): Classifier | undefined {
  const hasClasses = outputs.logits !== undefined || head !== undefined && head !== "none";
  if (imageEmbed === undefined || hasClasses) return undefined;
  const reason = "the model gives embeddings of images and no class scores";
  return {
    logitsReason: `${reason}; ${HINT.logits} if it has classes too`,
    headReason: reason,
    ...(outputs.features !== undefined && { features: view.asRows(outputs.features) }),
  };
}
