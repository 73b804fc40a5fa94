/**
 * The plan of a network: its inputs, steps and weights, before anything is allocated.
 *
 * @module
 */

import { linear } from "../../nn/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { GraphView } from "../_graph_view.ts";
import { withGraph } from "../edit.ts";
import { exposeForExtraction, exposeMaps } from "../expose.ts";
import { toValueInfoProto } from "../edit.ts";
import type { ClassifierHead, ImageInput, Inspection, ValueSource } from "../inspection.ts";
import type { OnnxModel } from "../model.ts";
import type { OnnxNode } from "../node.ts";
import { Compiler, type Step } from "./_compiler.ts";
import { classifierOf, insertsNorms } from "./_norms.ts";
import { compileNodes } from "./_operators.ts";
import type { PlannedInput } from "./_engine.ts";
import type { NetworkOptions, Trainable } from "./options.ts";
import { type Part, partOf } from "./_part.ts";
import { cannotImport, findStored, readersOf, WeightPlan } from "./_weights.ts";

/** A network before anything is allocated. */
export interface NetworkPlan {
  /** Its inputs. */
  readonly inputs: readonly PlannedInput[];
  /** What computes them from the image, when they are not the image. */
  readonly trunk: OnnxModel | undefined;
  /** Its operations in order. */
  readonly steps: readonly Step[];
  /** The nodes of the graph that they stand for. */
  readonly nodes: ReadonlySet<OnnxNode>;
  /** What it holds. */
  readonly weights: WeightPlan;
  /** Class scores. */
  readonly logits: ValueSource;
  /** Penultimate features, where the network has them. */
  readonly features: ValueSource | undefined;
  /** The last map, where the network has it. */
  readonly featureMap: string | undefined;
  /** Further values. */
  readonly outputs: readonly string[];
  /** Under which name steps make each value that is asked for. */
  readonly kept: ReadonlyMap<string, string>;
  /** The linear head, by names of parameters, where it is one. */
  readonly head: { readonly weight: string; readonly bias: string | undefined } | undefined;
}

/**
 * Plans a network.
 *
 * @param model The model.
 * @param inspection What was found in it.
 * @param options What is trained, and how.
 * @returns The plan.
 * @throws {UserError} When a part of the model can not be trained.
 */
export function planNetwork(
  model: OnnxModel,
  inspection: Inspection,
  options: NetworkOptions,
): NetworkPlan {
  const { image, logits } = inspection;
  const { trainable = "all" } = options;
  if (image === undefined) throw noNetwork(model, inspection.reasons.image);
  if (logits === undefined) throw noNetwork(model, inspection.reasons.logits);
  const plan = trainable === "head"
    ? planHead(model, inspection, options)
    : planPart(model, { inspection, image, logits, options: { ...options, trainable } });
  if (trainable !== "none") requireAlone(model, plan);
  if (trainable !== "none" && plan.weights.parameters.size === 0) {
    throw noNetwork(model, "the part that is to be trained has no weights");
  }
  return plan;
}

function noNetwork(model: OnnxModel, why: string | undefined): UserError {
  return new UserError(`Cannot import "${model.name}" for training: ${why}`);
}

function planPart(
  model: OnnxModel,
  how: {
    readonly inspection: Inspection;
    readonly image: ImageInput;
    readonly logits: ValueSource;
    readonly options: NetworkOptions & { readonly trainable: Exclude<Trainable, "head"> };
  },
): NetworkPlan {
  const { inspection, image, logits, options } = how;
  const { features, featureMap } = inspection;
  const view = new GraphView(withFixedImage(model, inspection));
  const outputs = options.outputs ?? [];
  const part = partOf(view, {
    trainable: options.trainable,
    inspection,
    needed: [logits.value, ...outputs],
    optional: [features, featureMap].flatMap((source) => source === undefined ? [] : source.value),
  });
  const weights = new WeightPlan(model, options.trainable !== "none");
  const offered = (value: string | undefined) => value !== undefined && part.has(value);
  const kept = new Set(
    [logits.value, features?.value, featureMap?.value, ...outputs].filter(offered) as string[],
  );
  const inserts = insertsNorms(part, options)
    ? { classifier: classifierOf(view, logits.value) }
    : undefined;
  const compiler = new Compiler(model, {
    view,
    weights,
    options,
    part,
    kept,
    image: image.name,
    inserts,
  });
  const program = compileNodes(compiler, part.nodes, [...kept]);
  return {
    ...inputsOf(model, { part, view, image }),
    ...program,
    nodes: new Set(part.nodes),
    weights,
    logits,
    features: offered(features?.value) ? features : undefined,
    featureMap: offered(featureMap?.value) ? featureMap?.value : undefined,
    outputs,
    head: headOf(model, inspection.head, weights),
  };
}

/** The model with the image's size filled in from the preprocessing where the graph leaves it open. */
function withFixedImage(model: OnnxModel, { image, preprocessing }: Inspection): OnnxModel {
  const { name, batch, channels, height, width } = image!;
  if (typeof height === "number" && typeof width === "number") return model;
  const crop = preprocessing?.guessed === false ? preprocessing.spec.crop : undefined;
  if (crop === undefined) {
    throw noNetwork(
      model,
      `the size of its images is open ([${image!.shape.join(", ")}]); the sidecar may give it as ` +
        `"preprocessing.crop"`,
    );
  }
  const shape = [batch, channels, crop.height, crop.width];
  return withGraph(model, {
    input: model.graph.proto.input.map((info) =>
      info.name === name
        ? toValueInfoProto({ ...model.graph.inputs.find((item) => item.name === name)!, shape })
        : info
    ),
  });
}

function inputsOf(
  model: OnnxModel,
  { part, view, image }: {
    readonly part: Part;
    readonly view: GraphView;
    readonly image: ImageInput;
  },
): Pick<NetworkPlan, "inputs" | "trunk"> {
  const { crossing } = part;
  const given = crossing.filter((value) => view.producer(value) === undefined);
  const other = given.find((value) => value !== image.name);
  if (other !== undefined) {
    throw noNetwork(model, `it needs the input "${other}" besides the image "${image.name}"`);
  }
  if (given.length > 0 && crossing.length > 1) {
    throw noNetwork(
      model,
      `what is to be trained reads the image "${image.name}" besides "${
        crossing.find((value) => value !== image.name)
      }"; begin at the image (trainable: "all")`,
    );
  }
  const atImage = given.length > 0;
  const exposed = atImage ? undefined : exposeMaps(model, crossing);
  const inputs = crossing.map((value, i): PlannedInput => ({
    name: exposed?.names[i] ?? value,
    value,
    shape: engineShape(model, { value, view }),
  }));
  return { inputs, trunk: exposed?.model };
}

/** A value's shape without the batch, channels last. */
function engineShape(
  model: OnnxModel,
  { value, view }: { readonly value: string; readonly view: GraphView },
): number[] {
  const shape = view.shape(value);
  const [channels, ...places] = shape?.slice(1) ?? [];
  const lengths = [...places, channels];
  const fixed = lengths.every((length) => typeof length === "number");
  if (fixed && (lengths.length === 1 || lengths.length === 3)) return lengths as number[];
  throw noNetwork(
    model,
    `the shape of "${value}" is ${
      shape === undefined ? "unknown" : `[${shape.join(", ")}]`
    }, and ` +
      `[N, C, H, W] or [N, C] with a fixed size was expected`,
  );
}

/** The linear classifier alone, on pooled features. */
function planHead(
  model: OnnxModel,
  inspection: Inspection,
  options: NetworkOptions,
): NetworkPlan {
  const { head, features, logits } = inspection;
  if (head === undefined) throw noNetwork(model, inspection.reasons.head);
  if (features === undefined) throw noNetwork(model, inspection.reasons.features);
  const [unknown] = (options.outputs ?? []).filter((value) => value !== logits!.value);
  if (unknown !== undefined) {
    throw new UserError(
      `Cannot return "${unknown}" of "${model.name}": only the head is trained, which makes ` +
        `"${logits!.value}"`,
    );
  }
  const weights = new WeightPlan(model, true);
  const node = model.graph.nodes.find(({ label }) => label === head.node) ??
    model.graph.producer(logits!.value)!;
  const { classes, channels, factors } = head;
  const weight = weights.parameter(head.weight, {
    node,
    layout: head.transposed ? "transposed" : "same",
    shape: [classes, channels],
    factor: factors[0],
  });
  const bias = head.bias === undefined ? undefined : weights.parameter(head.bias, {
    node,
    layout: "same",
    shape: [classes],
    factor: factors[1],
  });
  const trunk = exposeForExtraction(model, inspection, { keys: ["features"] });
  const input = { name: trunk.names.features!, value: features.value, shape: [channels] };
  const step: Step = {
    inputs: [input.value],
    output: logits!.value,
    run: (run) =>
      linear(run.tape, run.value(input.value), {
        weight: run.parameter(weight),
        bias: bias === undefined ? undefined : run.parameter(bias),
      }),
  };
  return {
    inputs: [input],
    trunk: trunk.model,
    steps: [step],
    // The first readers are the head's own: what multiplies, and what adds the bias.
    nodes: new Set(
      [...weights.parameters.keys()].flatMap((name) => readersOf(model.graph, name).slice(0, 1)),
    ),
    weights,
    logits: { value: logits!.value, via: "value" },
    features: { value: features.value, via: "value" },
    featureMap: undefined,
    outputs: options.outputs ?? [],
    kept: new Map(),
    head: { weight, bias },
  };
}

/** The head's parameters, when the network holds them as the head multiplies. */
function headOf(
  model: OnnxModel,
  head: ClassifierHead | undefined,
  { parameters }: WeightPlan,
): NetworkPlan["head"] {
  if (head === undefined) return undefined;
  const nameOf = (value: string | undefined) =>
    value === undefined ? undefined : findStored(model.graph, value)?.name ?? value;
  const weight = parameters.get(nameOf(head.weight)!);
  const bias = nameOf(head.bias);
  const { classes, channels } = head;
  const fits = weight !== undefined && weight.shape[0] === classes &&
    weight.shape.slice(1).reduce((a, b) => a * b, 1) === channels;
  if (!fits || bias !== undefined && !parameters.has(bias)) return undefined;
  return { weight: weight.name, bias };
}

/** Refuses weights that learn here and are read elsewhere, or statistics with two owners. */
export function requireAlone(
  model: OnnxModel,
  { weights, nodes }: Pick<NetworkPlan, "weights" | "nodes">,
): void {
  // The plan may look at another copy of the graph, so nodes are compared by their place.
  const own = new Set([...nodes].map(({ index }) => index));
  for (const [name, { readers }] of weights.parameters) {
    const other = readersOf(model.graph, name).find(({ index }) => !own.has(index));
    if (other === undefined) continue;
    throw cannotImport(
      model,
      readers[0]!,
      `the weight "${name}" is also read by ${other.opType} "${other.label}", which is not part of ` +
        `what is trained`,
    );
  }
  for (const [name, { readers }] of weights.statistics) {
    if (readers.length === 1) continue;
    throw cannotImport(
      model,
      readers[1]!,
      `the running statistic "${name}" is also that of "${
        readers[0]!.label
      }"; import the network ` +
        `with batchNorm: "frozen"`,
    );
  }
}
