/**
 * Detectors as ONNX graphs: features in and score out, or joined to the model that makes the
 * features.
 *
 * @module
 */

import {
  exposeForExtraction,
  GraphBuilder,
  inspect,
  type Inspection,
  type InspectionPart,
  joinGraphs,
  OnnxModel,
  type Sidecar,
  type SidecarOutputs,
  withBlock,
  writeModel,
} from "../onnx/mod.ts";
import { create, STRING_STRING_ENTRY, type StringStringEntryProto } from "../onnx/proto/mod.ts";
import { UserError } from "../runtime/mod.ts";
import type { Detector } from "./detector.ts";
import { graphDerivation } from "./_keys.ts";
import type { Fitted } from "./score.ts";
import { blockOf } from "./source.ts";

/** Name of the score among a graph's outputs. */
export const SCORE_OUTPUT: string = "score";

/**
 * A fitted score as a graph: one input for each key that it needs, named like the key, with an open
 * number of rows; one output `score` [N], higher = more in-distribution.
 *
 * @param fitted The fitted score.
 * @param options `opset`: the operator set, 17 by default.
 * @returns The graph.
 *
 * @example MSP
 * ```ts
 * import { msp, scoreGraph } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(3), shape: [1, 3] } });
 * const fitted = await msp.fit({ train, context: new Host() });
 * assertEquals(scoreGraph(fitted).graph.inputs[0]?.shape, ["N", 3]);
 * ```
 */
export function scoreGraph(fitted: Fitted, options: { readonly opset?: number } = {}): OnnxModel {
  const builder = new GraphBuilder({ ...options, name: fitted.method.name });
  const inputs: Record<string, string> = {};
  for (const key of fitted.needs) {
    const shape = fitted.inputs[key]!.map((length, axis) => length < 0 ? `${key}_${axis}` : length);
    inputs[key] = builder.input(key, ["N", ...shape]);
  }
  builder.output(SCORE_OUTPUT, fitted.graph(builder, inputs), { shape: ["N"] });
  return builder.build();
}

/**
 * A detector as the bytes of an ONNX file: what it needs in, `score` [N] out. The file's metadata
 * name the method, its parameters and the threshold.
 *
 * @param detector The detector.
 * @returns The bytes.
 *
 * @example An energy detector
 * ```ts
 * import { Detector, energy, exportDetector } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { parseModel } from "@oodgpu/oodgpu/onnx";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(3), shape: [1, 3] } });
 * const detector = new Detector(await energy.fit({ train, context: new Host() }));
 * const model = parseModel(exportDetector(detector));
 * assertEquals(model.graph.outputs.map((output) => output.name), ["score"]);
 * ```
 */
export function exportDetector(detector: Detector): Uint8Array<ArrayBuffer> {
  return writeModel(describe(scoreGraph(detector.fitted), detector));
}

/** A detector joined to its model. */
export interface JoinedModel {
  /** The joined model. */
  readonly model: OnnxModel;
  /** Its bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Name of the image input. */
  readonly input: string;
  /** Names of the outputs by what they hold. */
  readonly outputs: {
    readonly score: string;
    readonly logits?: string;
    readonly features?: string;
  };
}

/** How {@linkcode exportJoined} joins. */
export interface JoinOptions {
  /** What is known of the model; found by reading its graph when absent. */
  readonly inspection?: Inspection;
  /** The model's sidecar. */
  readonly sidecar?: Sidecar;
  /** Whether the penultimate features are an output as well; default no. */
  readonly features?: boolean;
}

/** What a key of a feature file is called where a model is inspected. */
const PARTS: Readonly<Record<string, InspectionPart>> = {
  features: "features",
  logits: "logits",
  "feature_map": "featureMap",
  tokens: "tokens",
  "tag_logits": "tagLogits",
  attention: "attention",
  "image_embed": "imageEmbed",
};

/** Why a model's graph cannot give a key. */
const UNEXPOSED: Readonly<Record<string, string>> = {
  "odin_logits":
    "they take the gradient by the image, which a graph does not compute; export the " +
    "score alone and feed it what ood extract --odin stores",
};

/**
 * Joins a detector to the classifier whose features it was fitted to: one ONNX file from an image
 * tensor to logits and score. A score on maps reads the block that its metadata name.
 *
 * @param detector The detector.
 * @param model The classifier.
 * @param options What is known of the classifier, and which outputs to keep.
 * @returns The joined model.
 * @throws {UserError} When the classifier does not offer what the score needs, or its features have
 * another length.
 *
 * @example From an image to a score
 * ```ts
 * import { Detector, energy, exportJoined } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { readModel } from "@oodgpu/oodgpu/onnx";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(10), shape: [1, 10] } });
 * const detector = new Detector(await energy.fit({ train, context: new Host() }));
 * const joined = exportJoined(detector, await readModel("models/cifar10-resnet20.onnx"));
 * assertEquals(joined.outputs, { score: "score", logits: "logits" });
 * ```
 */
export function exportJoined(
  detector: Detector,
  model: OnnxModel,
  options: JoinOptions = {},
): JoinedModel {
  const { fitted } = detector;
  const { sidecar } = options;
  const found = options.inspection ?? inspect(model, sidecar === undefined ? {} : { sidecar });
  const block = blockOf(detector);
  const inspection = block === undefined ? found : withBlock(found, { model, block });
  const sources = fitted.needs.map((key) => sourceFor(key, { detector, inspection }));
  const extras = inspection.logits === undefined ? [] : ["logits"];
  if (options.features && inspection.features !== undefined) extras.push("features");
  const keys = [...new Set([...sources.map(({ stored }) => stored), ...extras])];
  const exposed = exposeForExtraction(model, inspection, {
    keys: keys as (keyof SidecarOutputs)[],
  });
  const names = exposed.names as Readonly<Record<string, string>>;
  const graph = buildScore(detector, sources, exposed.model);
  const feeds = Object.fromEntries(
    sources.map(({ stored }) => [INPUT_PREFIX + stored, names[stored]!]),
  );
  const all = joinGraphs(exposed.model, graph, { inputs: feeds });
  // The score is the one output that the model did not have.
  const had = new Set(exposed.model.graph.outputs.map(({ name }) => name));
  const score = all.graph.outputs.map(({ name }) => name).find((name) => !had.has(name))!;
  const kept = [...extras.map((key) => names[key]!), score];
  const joined = describe(
    joinGraphs(exposed.model, graph, { inputs: feeds, outputs: kept }),
    detector,
  );
  return {
    model: joined,
    bytes: writeModel(joined),
    input: exposed.input,
    outputs: {
      score,
      ...Object.fromEntries(extras.map((key) => [key, names[key]!])),
    },
  };
}

/** Keeps the inputs of the score's graph apart from the model's own values. */
const INPUT_PREFIX = "ood_input/";

/** Where a needed key comes from in a model. */
interface KeySource {
  readonly key: string;
  readonly stored: string;
  /** Whether it comes by attention head, where scores take the sum over heads. */
  readonly byHead: boolean;
}

function sourceFor(
  key: string,
  of: { detector: Detector; inspection: Inspection },
): KeySource {
  const { fitted } = of.detector;
  const derivation = graphDerivation(key);
  const stored = derivation?.from ?? key;
  const part = PARTS[stored];
  const found = part === undefined || part === "image" || part === "head"
    ? undefined
    : of.inspection[part];
  if (found === undefined) {
    const reason = part === undefined ? UNEXPOSED[stored] : of.inspection.reasons[part];
    throw new UserError(
      `Cannot join "${fitted.method.name}" to "${of.inspection.name}": the model offers no ` +
        `"${stored}"${reason === undefined ? "" : `; ${reason}`}`,
    );
  }
  const byHead = stored === "attention" && found.shape?.length === 4;
  const actual = found.shape?.[byHead ? 2 : 1];
  const expected = fitted.inputs[key]?.[0] ?? -1;
  if (expected >= 0 && typeof actual === "number" && actual !== expected) {
    throw new UserError(
      `Cannot join "${fitted.method.name}" to "${of.inspection.name}": the model's "${stored}" ` +
        `have ${actual} columns and the detector was fitted to ${expected}`,
    );
  }
  return { key, stored, byHead };
}

function buildScore(
  detector: Detector,
  sources: readonly KeySource[],
  model: OnnxModel,
): OnnxModel {
  const { fitted } = detector;
  const builder = new GraphBuilder({ opset: model.opset(), name: fitted.method.name });
  const inputs: Record<string, string> = {};
  for (const { key, stored, byHead } of sources) {
    const derivation = graphDerivation(key);
    const row = fitted.inputs[key]!.map((length, axis) => length < 0 ? `${key}_${axis}` : length);
    const shape = derivation === undefined ? row : [...row, "H", "W"];
    const input = builder.input(INPUT_PREFIX + stored, [
      "N",
      ...(byHead ? ["heads"] : []),
      ...shape,
    ]);
    const whole = byHead ? builder.reduce("ReduceSum", input, { axes: [1] }) : input;
    inputs[key] = derivation === undefined ? whole : derivation.graph(builder, input);
  }
  try {
    builder.output(SCORE_OUTPUT, fitted.graph(builder, inputs), { shape: ["N"] });
  } catch (error) {
    // The one thing a builder refuses here is an operator that an old operator set lacks.
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(
      `Cannot join "${fitted.method.name}" to "${model.name}": the model uses operator set ` +
        `${model.opset()} and 11 or newer was expected`,
      { cause: error },
    );
  }
  return builder.build();
}

/** Notes in a model which detector is in it. */
function describe(model: OnnxModel, detector: Detector): OnnxModel {
  const { fitted, calibration } = detector;
  const notes: Record<string, string> = {
    "ood.method": fitted.method.name,
    "ood.parameters": JSON.stringify(fitted.parameters),
  };
  if (calibration !== undefined) {
    notes["ood.threshold"] = String(calibration.threshold);
    notes["ood.acceptance"] = String(calibration.acceptance);
  }
  const entries = Object.entries(notes).map(([key, value]) =>
    create<StringStringEntryProto>(STRING_STRING_ENTRY, { key, value })
  );
  const { proto, name } = model;
  return new OnnxModel({ ...proto, metadataProps: [...proto.metadataProps, ...entries] }, { name });
}
