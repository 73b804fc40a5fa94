/**
 * Reading a classifier's graph: its image input, its logits, its linear head, its penultimate
 * features, its last feature map and its blocks.
 *
 * @module
 */

import { findBlocks } from "./_blocks.ts";
import { type Classifier, findClassifier } from "./_classifier.ts";
import { findFeatureMap } from "./_feature_map.ts";
import { GraphView, lastLength } from "./_graph_view.ts";
import { HINT } from "./_hints.ts";
import { findImageEmbed, noClassifierBeside } from "./_image_embed.ts";
import { findImage } from "./_image_input.ts";
import { checkLabels, checkNames, namedHead } from "./_sidecar_fit.ts";
import { findTagger, noClassifier } from "./_tagger.ts";
import type {
  ClassifierHead,
  ImageInput,
  Inspection,
  InspectionPart,
  ModelPreprocessing,
} from "./inspection.ts";
import type { OnnxModel } from "./model.ts";
import { guessPreprocessing } from "./preprocessing.ts";
import type { Sidecar } from "./sidecar.ts";

/**
 * Finds the parts of a classifier that scores need, by reading its graph. Nothing is run.
 *
 * A linear head is a Gemm, a MatMul with or without an Add, or a 1x1 convolution either behind
 * global average pooling or directly before it; anything nonlinear in between means that the logits
 * are no linear function of the pooled features, and then there is no head and the reason says so.
 * A tagger, of which the sidecar lists the tags or names the scores, is no classifier unless the
 * sidecar says something of classes. Nor is a model of which an output is called `image_embeds`, or
 * of which the sidecar names the embeddings.
 *
 * @param model The model.
 * @param options `sidecar`: what it says goes before what is found.
 * @returns What was found, and a reason for everything that was not.
 * @throws {UserError} When the sidecar names something that the model does not have, or lists of
 * labels or tags and shapes do not fit.
 *
 * @example The project's own model
 * ```ts
 * import { inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const found = inspect(await readModel("models/cifar10-resnet20.onnx"));
 * assertEquals(found.head?.kind, "gemm");
 * assertEquals(found.features?.shape, ["N", 64]);
 * assertEquals(found.featureMap?.value, "feature_map");
 * ```
 */
export function inspect(model: OnnxModel, options: { sidecar?: Sidecar } = {}): Inspection {
  const { sidecar = {} } = options;
  const { outputs = {}, labels } = sidecar;
  const view = new GraphView(model);
  checkNames(sidecar, view);
  const { image, reason: imageReason } = findImage(model.graph.inputs, sidecar.input);
  const imageEmbed = findImageEmbed(view, sidecar);
  const found = noClassifier(view, sidecar) ?? noClassifierBeside(imageEmbed, view, sidecar) ??
    findClassifier(view, outputs);
  const { logits, features } = found;
  const { head, reason: headReason } = chooseHead(sidecar.head, { view, found });
  const { featureMap, reason: mapReason } = findFeatureMap(features, {
    view,
    named: outputs.feature_map,
  });
  const classes = head?.classes ?? lastLength(logits?.shape);
  checkLabels(labels, { view, classes });
  const tagger = findTagger(view, sidecar);
  const preprocessing = choosePreprocessing(sidecar, image);
  return {
    name: model.name,
    opset: model.opset(),
    inputs: model.graph.inputs,
    outputs: model.graph.outputs.map((output) => view.info(output.name) ?? output),
    ...(image && { image }),
    ...(preprocessing && { preprocessing }),
    ...(logits && { logits }),
    ...(classes !== undefined && { classes }),
    ...(head && { head }),
    ...(features && { features }),
    ...(featureMap && { featureMap }),
    blocks: findBlocks(view),
    ...tagger.found,
    ...(imageEmbed && { imageEmbed }),
    ...(labels && { labels }),
    reasons: givenReasons({
      image: imageReason,
      logits: found.logitsReason,
      head: headReason,
      features: features ? undefined : `no penultimate features were found; ${HINT.features}`,
      featureMap: mapReason,
      ...tagger.reasons,
    }),
  };
}

/** The head that the sidecar names, the one that was found, or why there is none. */
function chooseHead(
  wanted: Sidecar["head"],
  { view, found }: { view: GraphView; found: Classifier },
): { head?: ClassifierHead; reason?: string } {
  if (wanted === "none") return { reason: "the sidecar says that there is no linear head" };
  if (wanted !== undefined) return { head: namedHead(wanted, { view, found }) };
  if (found.head !== undefined) return { head: found.head };
  return { reason: found.headReason ?? `no classifier was found; ${HINT.head}` };
}

function choosePreprocessing(
  sidecar: Sidecar,
  image: ImageInput | undefined,
): ModelPreprocessing | undefined {
  if (sidecar.preprocessing !== undefined) return { spec: sidecar.preprocessing, guessed: false };
  const spec = image && guessPreprocessing(image);
  return spec && { spec, guessed: true };
}

function givenReasons(
  reasons: Readonly<Partial<Record<InspectionPart, string | undefined>>>,
): Inspection["reasons"] {
  return Object.fromEntries(
    Object.entries(reasons).filter(([, reason]) => reason !== undefined),
  );
}
