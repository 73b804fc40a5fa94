/**
 * Reading a classifier's graph: where its logits, its linear head, its penultimate features and its
 * last feature map are, and how to expose them for extraction.
 *
 * @module
 */

import type { PreprocessSpec } from "../kernels/preprocess/spec.ts";
import { UserError } from "../runtime/errors.ts";
import { nearestName } from "../runtime/nearest.ts";
import { makeAttribute } from "./attribute.ts";
import { exposeOutputs, pruneUnused, withGraph } from "./edit.ts";
import type { OnnxGraph } from "./graph.ts";
import { type OnnxModel, writeModel } from "./model.ts";
import type { OnnxNode } from "./node.ts";
import { create, ELEMENT_TYPES, NODE, type NodeProto } from "./proto/mod.ts";
import { inferShapes } from "./shapes.ts";
import { OUTPUT_KEYS, type Sidecar, type SidecarOutputs } from "./sidecar.ts";
import { type OnnxTensor, toFloat32, toNumbers } from "./tensor.ts";
import type { Dimension, ValueInfo } from "./value_info.ts";

/** The input that takes images. */
export interface ImageInput {
  /** Its name. */
  readonly name: string;
  /** Its shape. */
  readonly shape: readonly Dimension[];
  /** Images in one run: a number when the model fixes it. */
  readonly batch: Dimension;
  /** Colour planes. */
  readonly channels: Dimension;
  /** Rows. */
  readonly height: Dimension;
  /** Pixels in a row. */
  readonly width: Dimension;
}

/** The linear classifier: logits are `weight` times features plus `bias`. */
export interface ClassifierHead {
  /** `gemm`, `matmul` (with or without an Add), or `conv` for a 1x1 convolution. */
  readonly kind: "gemm" | "matmul" | "conv" | "sidecar";
  /** Label of the node that multiplies; empty when the sidecar names the parameters. */
  readonly node: string;
  /** Name of the weight's value. */
  readonly weight: string;
  /** Name of the bias's value, when there is one. */
  readonly bias?: string;
  /** True when the weight is stored as [C, K] rather than [K, C]. */
  readonly transposed: boolean;
  /** Factors of the product and of the bias (Gemm's alpha and beta). */
  readonly factors: readonly [number, number];
  /** Number of classes, K. */
  readonly classes: number;
  /** Number of features, C. */
  readonly channels: number;
}

/** How a value of the graph becomes [N, C]. */
export type SourceVia = "value" | "flatten" | "pool";

/** A value that extraction reads. */
export interface ValueSource {
  /** The value's name in the graph. */
  readonly value: string;
  /** What is done to it: nothing, flattening to rows, or global average pooling and flattening. */
  readonly via: SourceVia;
  /** Its shape after that, as far as it is known. */
  readonly shape?: readonly Dimension[];
}

/** The last feature map before global pooling. */
export interface FeatureMap extends ValueSource {
  /** True when it cannot be negative: it comes out of a ReLU or its like. */
  readonly afterRelu: boolean;
  /** True when the mean over H and W is exactly the penultimate features. */
  readonly pooledToFeatures: boolean;
}

/** Where a block of the network ends. */
export interface NetworkBlock {
  /** The value's name. */
  readonly value: string;
  /** Its shape, [N, C, H, W]. */
  readonly shape: readonly Dimension[];
  /** What ends there: a residual sum, a concatenation, or a stage before a pooling. */
  readonly kind: "residual" | "concat" | "stage";
}

/** What was looked for in the graph. */
export type InspectionPart = "image" | "logits" | "head" | "features" | "featureMap";

/** What preprocessing a model wants. */
export interface ModelPreprocessing {
  /** The description. */
  readonly spec: PreprocessSpec;
  /** True when nothing says so and it is the usual one for the input's size. */
  readonly guessed: boolean;
}

/** What {@linkcode inspect} finds in a model. */
export interface Inspection {
  /** The model's name in errors. */
  readonly name: string;
  /** The operator set. */
  readonly opset: number;
  /** The inputs. */
  readonly inputs: readonly ValueInfo[];
  /** The outputs. */
  readonly outputs: readonly ValueInfo[];
  /** The input that takes images. */
  readonly image?: ImageInput;
  /** What is done to an image before the model sees it. */
  readonly preprocessing?: ModelPreprocessing;
  /** Class scores before softmax, [N, K]. */
  readonly logits?: ValueSource;
  /** Number of classes, K. */
  readonly classes?: number;
  /** The linear classifier. */
  readonly head?: ClassifierHead;
  /** Penultimate features, [N, C]. */
  readonly features?: ValueSource;
  /** The last feature map, [N, C, H, W]. */
  readonly featureMap?: FeatureMap;
  /** Ends of blocks that make maps, in the order of the graph. */
  readonly blocks: readonly NetworkBlock[];
  /** Token features, [N, T, D], when the sidecar names them. */
  readonly tokens?: ValueSource;
  /** Tag scores, [N, M], when the sidecar names them. */
  readonly tagLogits?: ValueSource;
  /** Attention, [N, M, T], when the sidecar names it. */
  readonly attention?: ValueSource;
  /** Names of the classes, when the sidecar lists them. */
  readonly labels?: readonly string[];
  /** For everything that was not found: why, in one sentence, and what the sidecar could say. */
  readonly reasons: Readonly<Partial<Record<InspectionPart, string>>>;
}

/**
 * Finds the parts of a classifier that scores need, by reading its graph. Nothing is run.
 *
 * A linear head is a Gemm, a MatMul with or without an Add, or a 1x1 convolution either behind
 * global average pooling or directly before it; anything nonlinear in between means that the logits
 * are no linear function of the pooled features, and then there is no head and the reason says so.
 *
 * @param model The model.
 * @param options `sidecar`: what it says goes before what is found.
 * @returns What was found, and a reason for everything that was not.
 * @throws {UserError} When the sidecar names something that the model does not have.
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
  return new Inspector(model, options.sidecar ?? {}).inspect();
}

/**
 * The parameters of a linear head as arrays.
 *
 * @param model The model.
 * @param head What {@linkcode inspect} found.
 * @returns `weight` [K, C] row-major and `bias` [K] (zeros when the head has none).
 * @throws {UserError} When the parameters are no readable constants.
 *
 * @example Ten classes of 64 features
 * ```ts
 * import { headWeights, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const { weight, bias } = headWeights(model, inspect(model).head!);
 * assertEquals([weight.length, bias.length], [640, 10]);
 * ```
 */
export function headWeights(
  model: OnnxModel,
  head: ClassifierHead,
): { weight: Float32Array<ArrayBuffer>; bias: Float32Array<ArrayBuffer> } {
  const { classes, channels, factors } = head;
  const stored = constantOf(model.graph, head.weight);
  if (stored === undefined || stored.data.length !== classes * channels) {
    throw new UserError(`Cannot read the head of "${model.name}": "${head.weight}" is no constant`);
  }
  const source = toFloat32(stored);
  const weight = new Float32Array(classes * channels);
  for (let k = 0; k < classes; k++) {
    for (let c = 0; c < channels; c++) {
      const from = head.transposed ? c * classes + k : k * channels + c;
      weight[k * channels + c] = source[from]! * factors[0];
    }
  }
  const bias = new Float32Array(classes);
  if (head.bias !== undefined) {
    const values = constantOf(model.graph, head.bias);
    if (values === undefined || values.data.length !== classes && values.data.length !== 1) {
      throw new UserError(
        `Cannot read the head of "${model.name}": "${head.bias}" is no constant of ${classes} ` +
          `elements`,
      );
    }
    const floats = toFloat32(values);
    for (let k = 0; k < classes; k++) {
      bias[k] = floats[floats.length === 1 ? 0 : k]! * factors[1];
    }
  }
  return { weight, bias };
}

/** A model whose outputs are what extraction stores. */
export interface ExtractionModel {
  /** The edited model. */
  readonly model: OnnxModel;
  /** Its bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Name of the image input. */
  readonly input: string;
  /** Output names by key of the feature file; only what the model offers. */
  readonly names: SidecarOutputs;
}

/**
 * Edits a model so that it gives what was found: logits and features as rows, the feature map, and
 * what the sidecar names. Pooling and flattening nodes are added where the graph has no such value,
 * half floats are widened, and what no output needs is dropped.
 *
 * @param model The model.
 * @param inspection What {@linkcode inspect} found in it.
 * @param options `keys`: which of them to expose; all by default.
 * @returns The edited model, its bytes, and the outputs' names.
 * @throws {UserError} When the model has no image input, or offers none of them.
 *
 * @example Features and logits
 * ```ts
 * import { exposeForExtraction, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const { names } = exposeForExtraction(model, inspect(model), { keys: ["logits", "features"] });
 * assertEquals(Object.keys(names), ["logits", "features"]);
 * ```
 */
export function exposeForExtraction(
  model: OnnxModel,
  inspection: Inspection,
  options: { keys?: readonly (keyof SidecarOutputs)[] } = {},
): ExtractionModel {
  const { image } = inspection;
  if (image === undefined) {
    throw new UserError(`Cannot extract with "${model.name}": ${inspection.reasons.image}`);
  }
  const shapes = inferShapes(model);
  const added: NodeProto[] = [];
  const taken = new Set([...model.graph.valueNames(), ...model.graph.initializers.keys()]);
  const append = (opType: string, input: string, output: string, node: Partial<NodeProto> = {}) => {
    let name = output;
    for (let i = 1; taken.has(name); i++) name = `${output}_${i}`;
    taken.add(name);
    added.push(create<NodeProto>(NODE, {
      name,
      opType,
      input: [input],
      output: [name],
      ...node,
    }));
    return name;
  };
  const names: Record<string, string> = {};
  for (const key of OUTPUT_KEYS) {
    const source = sourceOf(inspection, key);
    if (source === undefined || options.keys !== undefined && !options.keys.includes(key)) continue;
    let value = source.value;
    if (source.via === "pool") value = append("GlobalAveragePool", value, `ood/${key}_pooled`);
    if (source.via !== "value") {
      const attribute = [makeAttribute("axis", 1n)];
      value = append("Flatten", value, `ood/${key}`, { attribute });
    }
    const type = shapes.get(source.value)?.type;
    if (type !== undefined && type !== "f32") {
      const attribute = [makeAttribute("to", BigInt(ELEMENT_TYPES.f32))];
      value = append("Cast", value, `ood/${key}_f32`, { attribute });
    }
    names[key] = value;
  }
  const wanted = Object.values(names);
  if (wanted.length === 0) {
    throw new UserError(
      `Cannot extract with "${model.name}": it offers none of ${
        (options.keys ?? OUTPUT_KEYS).join(", ")
      }`,
    );
  }
  const grown = withGraph(model, { node: [...model.graph.proto.node, ...added] });
  const exposed = exposeOutputs(grown, wanted);
  const { output } = exposed.graph.proto;
  const kept = wanted.map((name) => output.find((info) => info.name === name)!);
  const result = pruneUnused(withGraph(exposed, { output: kept.filter(unique) }));
  return { model: result, bytes: writeModel(result), input: image.name, names };
}

/**
 * The usual preprocessing for an input of this size, for models that come without a sidecar:
 * shorter side to the input's size, centre crop, RGB in 0..1, ImageNet's mean and deviation.
 *
 * @param image The image input.
 * @returns The description, or undefined when the input's size is open or it takes no colour.
 *
 * @example A 224-pixel input
 * ```ts
 * import { guessPreprocessing } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = ["N", 3, 224, 224];
 * const spec = guessPreprocessing({
 *   name: "x",
 *   shape,
 *   batch: "N",
 *   channels: 3,
 *   height: 224,
 *   width: 224,
 * });
 * assertEquals(spec?.crop, { width: 224, height: 224 });
 * ```
 */
export function guessPreprocessing(image: ImageInput): PreprocessSpec | undefined {
  const { height, width } = image;
  if (typeof height !== "number" || typeof width !== "number" || image.channels !== 3) {
    return undefined;
  }
  return {
    resize: { shorter: Math.max(height, width) },
    crop: { width, height },
    interpolation: "bilinear",
    channels: "RGB",
    range: 1,
    mean: [0.485, 0.456, 0.406],
    scale: [0.229, 0.224, 0.225],
    layout: "NCHW",
  };
}

function sourceOf(inspection: Inspection, key: keyof SidecarOutputs): ValueSource | undefined {
  switch (key) {
    case "feature_map":
      return inspection.featureMap;
    case "tag_logits":
      return inspection.tagLogits;
    default:
      return inspection[key];
  }
}

function unique<T>(item: T, index: number, list: readonly T[]): boolean {
  return list.indexOf(item) === index;
}

/** Operators that change no number, only how numbers are laid out. */
const LAYOUT: ReadonlySet<string> = new Set(
  "Identity Dropout Cast Flatten Reshape Squeeze Unsqueeze".split(" "),
);

/** Operators that turn class scores into probabilities. */
const PROBABILITY: ReadonlySet<string> = new Set(["Softmax", "LogSoftmax", "Sigmoid"]);

/** Operators on vectors that may stand between pooling and the penultimate features. */
const ON_VECTORS: ReadonlySet<string> = new Set(
  ("Relu LeakyRelu PRelu Clip Sigmoid HardSigmoid HardSwish Swish Mish Gelu Elu Celu Selu Tanh Erf " +
    "Softplus BatchNormalization LayerNormalization LpNormalization Gemm MatMul Add Sub Mul Div " +
    "Pow Sqrt ReduceL2 Conv Max Min").split(" "),
);

/** Operators whose result is never negative. */
const NON_NEGATIVE: ReadonlySet<string> = new Set("Relu Sigmoid HardSigmoid Softmax".split(" "));

/** Operators whose result is not negative when no input is. */
const KEEPS_SIGN: ReadonlySet<string> = new Set(
  "MaxPool AveragePool Concat Add Mul Identity Dropout Cast Pad Transpose".split(" "),
);

const HINT = {
  logits: 'name the value in the sidecar ("outputs": {"logits": …})',
  head: 'name its parameters in the sidecar ("head": {"weight": …, "bias": …}) if there is one',
  features: 'name the value in the sidecar ("outputs": {"features": …})',
  featureMap: 'name the value in the sidecar ("outputs": {"feature_map": …}) if there is one',
} as const;

/** What lies at an output of the graph. */
interface Classifier {
  logits: ValueSource;
  head?: ClassifierHead;
  headReason?: string;
  features?: ValueSource;
}

class Inspector {
  #model: OnnxModel;
  #graph: OnnxGraph;
  #sidecar: Sidecar;
  #shapes: Map<string, ValueInfo>;
  #reasons: Partial<Record<InspectionPart, string>> = {};

  constructor(model: OnnxModel, sidecar: Sidecar) {
    this.#model = model;
    this.#graph = model.graph;
    this.#sidecar = sidecar;
    this.#shapes = inferShapes(model);
  }

  inspect(): Inspection {
    this.#checkSidecar();
    const image = this.#findImage();
    const found = this.#findClassifier();
    const logits = found?.logits;
    const features = found?.features;
    if (features === undefined && this.#reasons.features === undefined) {
      this.#reasons.features = `no penultimate features were found; ${HINT.features}`;
    }
    const head = this.#sidecarHead(found, features);
    const featureMap = this.#findMap(features);
    const classes = head?.classes ?? lastLength(logits?.shape);
    const { outputs = {}, labels } = this.#sidecar;
    if (labels !== undefined && classes !== undefined && labels.length !== classes) {
      throw new UserError(
        `Cannot use the sidecar of "${this.#model.name}": it lists ${labels.length} labels and ` +
          `the model has ${classes} classes`,
      );
    }
    const spec = this.#sidecar.preprocessing ?? (image && guessPreprocessing(image));
    return {
      name: this.#model.name,
      opset: this.#model.opset(),
      inputs: this.#graph.inputs,
      outputs: this.#graph.outputs.map((output) => this.#shapes.get(output.name) ?? output),
      ...(image && { image }),
      ...(spec && {
        preprocessing: { spec, guessed: this.#sidecar.preprocessing === undefined },
      }),
      ...(logits && { logits }),
      ...(classes !== undefined && { classes }),
      ...(head && { head }),
      ...(features && { features }),
      ...(featureMap && { featureMap }),
      blocks: this.#findBlocks(),
      ...(outputs.tokens && { tokens: this.#asIs(outputs.tokens) }),
      ...(outputs.tag_logits && { tagLogits: this.#asIs(outputs.tag_logits) }),
      ...(outputs.attention && { attention: this.#asIs(outputs.attention) }),
      ...(labels && { labels }),
      reasons: this.#reasons,
    };
  }

  #shape(value: string | undefined): readonly Dimension[] | undefined {
    return value === undefined ? undefined : this.#shapes.get(value)?.shape;
  }

  #producer(value: string | undefined): OnnxNode | undefined {
    return value === undefined ? undefined : this.#graph.producer(value);
  }

  #constant(value: string | undefined): OnnxTensor | undefined {
    return value === undefined ? undefined : constantOf(this.#graph, value);
  }

  #asIs(value: string): ValueSource {
    const shape = this.#shape(value);
    return { value, via: "value", ...(shape && { shape }) };
  }

  /** A value as rows: flattened unless it is known to be a matrix. */
  #asRows(value: string): ValueSource {
    const shape = this.#shape(value);
    if (shape === undefined || shape.length === 2) return this.#asIs(value);
    return { value, via: "flatten", shape: [shape[0] ?? "?", product(shape.slice(1))] };
  }

  #checkSidecar(): void {
    const { outputs = {}, head, input } = this.#sidecar;
    const known = [...this.#graph.valueNames(), ...this.#graph.inputs.map(({ name }) => name)];
    const check = (key: string, value: string, names: readonly string[]) => {
      if (names.includes(value)) return;
      const close = nearestName(value, names);
      throw new UserError(
        `Cannot use the sidecar of "${this.#model.name}": "${key}" names "${value}", which the ` +
          `model does not have${close === undefined ? "" : `; did you mean "${close}"`}`,
      );
    };
    for (const [key, value] of Object.entries(outputs)) check(`outputs.${key}`, value, known);
    if (input !== undefined) check("input", input, this.#graph.inputs.map(({ name }) => name));
    if (head === undefined || head === "none") return;
    const constants = [...this.#graph.initializers.keys(), ...known];
    check("head.weight", head.weight, constants);
    if (head.bias !== undefined) check("head.bias", head.bias, constants);
  }

  #findImage(): ImageInput | undefined {
    const wanted = this.#sidecar.input;
    const inputs = this.#graph.inputs.filter((input) =>
      wanted === undefined ? input.shape?.length === 4 : input.name === wanted
    );
    const refuse = (why: string) => {
      this.#reasons.image = why;
      return undefined;
    };
    const [input] = inputs;
    if (input === undefined || input.shape?.length !== 4) {
      return refuse("the model has no input of four dimensions, as a batch of images has");
    }
    if (inputs.length > 1) {
      return refuse(
        'the model has several inputs of four dimensions; name one in the sidecar ("input")',
      );
    }
    const [batch, channels, height, width] = input.shape as [
      Dimension,
      Dimension,
      Dimension,
      Dimension,
    ];
    if (channels !== 3 && width === 3) {
      return refuse(
        `the input "${input.name}" takes colours last ([N, H, W, 3]) and planes ([N, 3, H, W]) ` +
          `are supported; convert the model`,
      );
    }
    if (input.type !== undefined && input.type !== "f32") {
      return refuse(
        `the input "${input.name}" takes ${input.type} and f32 is supported; convert the model`,
      );
    }
    return { name: input.name, shape: input.shape, batch, channels, height, width };
  }

  #findClassifier(): Partial<Classifier> | undefined {
    const { logits, features } = this.#sidecar.outputs ?? {};
    const named = logits === undefined ? undefined : this.#classifierAt(logits);
    const found = named ?? this.#bestOutput();
    if (features !== undefined) delete this.#reasons.features;
    const result: Partial<Classifier> = {
      ...found,
      ...(features !== undefined && { features: this.#asRows(features) }),
      ...(logits !== undefined && { logits: this.#asRows(logits) }),
    };
    if (result.head === undefined) {
      this.#reasons.head = result.headReason ?? `no classifier was found; ${HINT.head}`;
    }
    return result;
  }

  /** The output that looks most like class scores. */
  #bestOutput(): Partial<Classifier> | undefined {
    const candidates = this.#graph.outputs.flatMap((output) => {
      const shape = this.#shape(output.name);
      const rows = shape === undefined || shape.length === 2 ||
        shape.length === 4 && shape[2] === 1 && shape[3] === 1;
      if (!rows) return [];
      const found = this.#classifierAt(output.name);
      const rank = (found.head ? 4 : 0) + (/logit/i.test(output.name) ? 2 : 0) +
        (/prob|class|score|softmax/i.test(output.name) ? 1 : 0);
      return [{ found, rank, name: output.name }];
    });
    const best = candidates.reduce<typeof candidates[number] | undefined>(
      (a, b) => a !== undefined && a.rank >= b.rank ? a : b,
      undefined,
    );
    if (best === undefined) {
      this.#reasons.logits = `no output has the shape [N, K] of class scores; ${HINT.logits}`;
      return undefined;
    }
    if (best.found.head !== undefined || best.rank > 0) return best.found;
    const maker = this.#core(best.name);
    if (maker !== undefined && this.#looksLikeFeatures(maker)) {
      this.#reasons.logits = `the output "${best.name}" comes straight from ${maker.opType} ` +
        `"${maker.label}", so it is a feature vector without a classifier; ${HINT.logits}`;
      return { features: this.#asRows(best.name), headReason: "the model has no classifier" };
    }
    return best.found;
  }

  /** Pooling, normalising and picking a token end feature extractors, not classifiers. */
  #looksLikeFeatures(node: OnnxNode): boolean {
    return this.#poolingInput(node) !== undefined ||
      /^(LayerNormalization|LpNormalization|Gather|Slice|Div|Reduce|Global|AveragePool|MaxPool|Relu)/
        .test(node.opType);
  }

  /** The node behind a value that does more than change the layout. */
  #core(value: string): OnnxNode | undefined {
    let node = this.#producer(value);
    while (node !== undefined && LAYOUT.has(node.opType)) node = this.#producer(node.inputs[0]);
    return node;
  }

  #classifierAt(output: string): Classifier {
    let value = output;
    for (let node = this.#producer(output); node !== undefined;) {
      if (PROBABILITY.has(node.opType)) value = node.inputs[0]!;
      else if (!LAYOUT.has(node.opType)) break;
      node = this.#producer(node.inputs[0]);
    }
    const logits = this.#asRows(value);
    const node = this.#core(value);
    if (node === undefined) {
      return { logits, headReason: `no node makes "${value}"; ${HINT.head}` };
    }
    return { logits, ...this.#matchHead(node) };
  }

  #matchHead(node: OnnxNode): Omit<Classifier, "logits"> {
    if (node.opType === "Gemm") return this.#matchGemm(node);
    if (node.opType === "MatMul") return this.#matchMatMul(node, undefined);
    if (node.opType === "Add") {
      for (const [at, other] of [[0, 1], [1, 0]] as const) {
        const product = this.#producer(node.inputs[at]);
        const bias = node.inputs[other]!;
        if (this.#constant(bias) === undefined) continue;
        if (product?.opType === "MatMul") return this.#matchMatMul(product, bias);
      }
    }
    if (node.opType === "Conv") return this.#matchConv(node, undefined);
    const map = this.#poolingInput(node);
    if (map !== undefined) return this.#matchPooled(node, map);
    return {
      headReason: `the logits come out of ${node.opType} "${node.label}", which is no Gemm, ` +
        `MatMul or 1x1 convolution; ${HINT.head}`,
    };
  }

  #matchGemm(node: OnnxNode): Omit<Classifier, "logits"> {
    const [x, weight, bias] = node.inputs;
    const dims = this.#constant(weight)?.shape;
    if (dims?.length !== 2 || node.int("transA", 0) === 1) {
      return { headReason: `the weight of Gemm "${node.label}" is no constant; ${HINT.head}` };
    }
    const transposed = node.int("transB", 0) === 0;
    const head: ClassifierHead = {
      kind: "gemm",
      node: node.label,
      weight: weight!,
      ...(bias ? { bias } : {}),
      transposed,
      factors: [node.float("alpha", 1), node.float("beta", 1)],
      classes: dims[transposed ? 1 : 0]!,
      channels: dims[transposed ? 0 : 1]!,
    };
    return { head, features: this.#asRows(x!) };
  }

  #matchMatMul(node: OnnxNode, bias: string | undefined): Omit<Classifier, "logits"> {
    const [x, weight] = node.inputs;
    const dims = this.#constant(weight)?.shape;
    const rank = this.#shape(x)?.length ?? 2;
    if (dims?.length !== 2) {
      return { headReason: `the weight of MatMul "${node.label}" is no constant; ${HINT.head}` };
    }
    const rows = this.#asRows(x!);
    if (rank !== 2 && lastLength(rows.shape) !== dims[0]) {
      return {
        headReason: `MatMul "${node.label}" classifies every token rather than the image; ` +
          HINT.head,
      };
    }
    const head: ClassifierHead = {
      kind: "matmul",
      node: node.label,
      weight: weight!,
      ...(bias === undefined ? {} : { bias }),
      transposed: true,
      factors: [1, 1],
      classes: dims[1]!,
      channels: dims[0]!,
    };
    return { head, features: rows };
  }

  /** A 1x1 convolution on pooled features, or (with `pool`) directly before the pooling. */
  #matchConv(node: OnnxNode, pool: OnnxNode | undefined): Omit<Classifier, "logits"> {
    const [x, weight, bias] = node.inputs;
    const dims = this.#constant(weight)?.shape;
    const shape = this.#shape(x);
    const pointwise = dims?.length === 4 && dims[2] === 1 && dims[3] === 1 &&
      node.int("group", 1) === 1 && (node.ints("strides") ?? []).every((step) => step === 1) &&
      (node.ints("pads") ?? []).every((pad) => pad === 0);
    const pooled: ValueSource = {
      value: x!,
      via: "pool",
      ...(shape && { shape: [shape[0] ?? "?", shape[1] ?? "?"] }),
    };
    const onVector = shape?.[2] === 1 && shape[3] === 1;
    const features = pool === undefined && onVector ? this.#asRows(x!) : pooled;
    if (!pointwise || dims === undefined) {
      return {
        headReason: `convolution "${node.label}" makes the class scores and is not 1x1, so the ` +
          `logits are no linear function of pooled features`,
        features,
      };
    }
    if (pool === undefined && !onVector) {
      return {
        headReason: `convolution "${node.label}" makes class scores per location and nothing ` +
          `pools them; ${HINT.head}`,
      };
    }
    const head: ClassifierHead = {
      kind: "conv",
      node: node.label,
      weight: weight!,
      ...(bias ? { bias } : {}),
      transposed: false,
      factors: [1, 1],
      classes: dims[0]!,
      channels: dims[1]!,
    };
    return { head, features };
  }

  /** Class scores that come out of pooling a map of scores. */
  #matchPooled(pool: OnnxNode, map: string): Omit<Classifier, "logits"> {
    let node = this.#producer(map);
    while (node !== undefined && ["Identity", "Dropout", "Cast"].includes(node.opType)) {
      node = this.#producer(node.inputs[0]);
    }
    const averages = !pool.opType.includes("Max");
    if (node?.opType === "Conv" && averages) return this.#matchConv(node, pool);
    const inner = this.#producer(node?.inputs[0]);
    if (node !== undefined && inner?.opType === "Conv") {
      const { features } = this.#matchConv(inner, pool);
      return {
        headReason: `the last convolution "${inner.label}" is followed by ${node.opType} before ` +
          `global pooling, so the logits are no linear function of the pooled features`,
        ...(features && { features }),
      };
    }
    if (node?.opType === "Conv") {
      return {
        headReason: `"${pool.label}" pools class scores by their maximum, so the logits are no ` +
          `linear function of pooled features`,
        features: { value: node.inputs[0]!, via: "pool" },
      };
    }
    return {
      headReason: `the output comes straight out of pooling ("${pool.label}"), so no classifier ` +
        `was found; ${HINT.head}`,
    };
  }

  #sidecarHead(
    found: Partial<Classifier> | undefined,
    features: ValueSource | undefined,
  ): ClassifierHead | undefined {
    const wanted = this.#sidecar.head;
    if (wanted === undefined) return found?.head;
    if (wanted === "none") {
      this.#reasons.head = "the sidecar says that there is no linear head";
      return undefined;
    }
    delete this.#reasons.head;
    const dims = this.#constant(wanted.weight)?.shape.filter((length, axis) =>
      axis < 2 || length !== 1
    );
    if (dims?.length !== 2) {
      throw new UserError(
        `Cannot use the sidecar of "${this.#model.name}": "head.weight" names "${wanted.weight}", ` +
          `which is no constant matrix`,
      );
    }
    const bias = wanted.bias === undefined ? undefined : this.#constant(wanted.bias)?.data.length;
    const width = lastLength(features?.shape);
    const classes = bias ?? lastLength(found?.logits?.shape);
    // A matrix says which side is which by the width of the features or the number of classes.
    const transposed = dims[0] !== dims[1] &&
      (width !== undefined ? dims[0] === width : classes === dims[1]);
    const head: ClassifierHead = {
      kind: "sidecar",
      node: "",
      ...wanted,
      transposed,
      factors: [1, 1],
      classes: dims[transposed ? 1 : 0]!,
      channels: dims[transposed ? 0 : 1]!,
    };
    if (width !== undefined && width !== head.channels) {
      throw new UserError(
        `Cannot use the sidecar of "${this.#model.name}": "${wanted.weight}" has the shape ` +
          `[${dims.join(", ")}] and the features have ${width} channels`,
      );
    }
    return head;
  }

  /** The input of a node that averages (or maximises) over all of H and W, as [N, C, H, W]. */
  #poolingInput(node: OnnxNode): string | undefined {
    const x = node.inputs[0];
    const shape = this.#shape(x);
    if (x === undefined) return undefined;
    switch (node.opType) {
      case "GlobalAveragePool":
      case "GlobalMaxPool":
        return x;
      case "AveragePool":
      case "MaxPool": {
        const result = this.#shape(node.outputs[0]);
        const kernel = node.ints("kernel_shape");
        const whole = result?.[2] === 1 && result[3] === 1 && shape?.[2] === kernel?.[0] &&
          shape?.[3] === kernel?.[1];
        return whole ? x : undefined;
      }
      case "ReduceMean":
      case "ReduceMax": {
        const axes = node.ints("axes") ?? this.#axesInput(node);
        const rank = shape?.length;
        if (axes === undefined || rank === undefined) return undefined;
        const sorted = axes.map((axis) => axis < 0 ? axis + rank : axis).sort((a, b) => a - b);
        const maker = this.#producer(x);
        if (rank === 4 && String(sorted) === "2,3") return x;
        if (rank === 4 && String(sorted) === "1,2" && maker?.opType === "Transpose") {
          return String(maker.ints("perm")) === "0,2,3,1" ? maker.inputs[0] : undefined;
        }
        if (
          rank === 3 && String(sorted) === "2" && maker !== undefined && LAYOUT.has(maker.opType)
        ) {
          const before = this.#shape(maker.inputs[0]);
          const same = before?.length === 4 && before[1] === shape?.[1];
          return same ? maker.inputs[0] : undefined;
        }
        return undefined;
      }
      default:
        return undefined;
    }
  }

  #axesInput(node: OnnxNode): number[] | undefined {
    const axes = this.#constant(node.inputs[1]);
    return axes === undefined ? undefined : toNumbers(axes);
  }

  #findMap(features: ValueSource | undefined): FeatureMap | undefined {
    const named = this.#sidecar.outputs?.feature_map;
    if (named !== undefined) {
      const shape = this.#shape(named);
      if (shape !== undefined && shape.length !== 4) {
        throw new UserError(
          `Cannot use the sidecar of "${this.#model.name}": "outputs.feature_map" names ` +
            `"${named}", which has the shape [${shape.join(", ")}] and not [N, C, H, W]`,
        );
      }
      const pooledToFeatures = features !== undefined &&
        this.#walkToMap(features).value === named && this.#walkToMap(features).exact;
      return this.#describeMap(named, pooledToFeatures);
    }
    if (features === undefined) {
      this.#reasons.featureMap = `the map is looked for behind the penultimate features, and ` +
        `those were not found; ${HINT.featureMap}`;
      return undefined;
    }
    const { value, exact, reason } = this.#walkToMap(features);
    if (value === undefined) {
      this.#reasons.featureMap = `${reason}; ${HINT.featureMap}`;
      return undefined;
    }
    return this.#describeMap(value, exact);
  }

  #describeMap(value: string, pooledToFeatures: boolean): FeatureMap {
    return { ...this.#asIs(value), afterRelu: this.#nonNegative(value, 0), pooledToFeatures };
  }

  /** Walks back from the features to the value that was pooled. */
  #walkToMap(features: ValueSource): { value?: string; exact: boolean; reason?: string } {
    if (features.via === "pool") return { value: features.value, exact: true };
    let value = features.value;
    let exact = true;
    for (;;) {
      const shape = this.#shape(value);
      const node = this.#producer(value);
      const isMap = shape?.length === 4 && !(shape[2] === 1 && shape[3] === 1);
      if (isMap && node !== undefined) {
        // Flattened without pooling, or a graph whose pooling was not recognised.
        return { value, exact: false };
      }
      if (node === undefined) {
        return { exact, reason: `nothing between "${value}" and the features pools over H and W` };
      }
      const pooled = this.#poolingInput(node);
      if (pooled !== undefined) {
        return { value: pooled, exact: exact && !node.opType.includes("Max") };
      }
      if (node.opType.startsWith("Reduce") && node.opType !== "ReduceL2") {
        return {
          exact,
          reason:
            `"${node.label}" reduces tokens or a layout other than [N, C, H, W], so there is ` +
            `no spatial map`,
        };
      }
      const inputs = node.inputs.filter((input) =>
        input !== "" && this.#constant(input) === undefined
      );
      if (LAYOUT.has(node.opType)) {
        value = inputs[0] ?? "";
      } else if (ON_VECTORS.has(node.opType) && (node.opType !== "MatMul" || inputs.length === 1)) {
        value = inputs[0] ?? "";
        exact = false;
      } else {
        return {
          exact,
          reason: `the features come through ${node.opType} "${node.label}", as in models that ` +
            `work on tokens, so there is no spatial map`,
        };
      }
    }
  }

  #nonNegative(value: string, depth: number): boolean {
    const node = this.#producer(value);
    if (node === undefined || depth > 8) return false;
    if (NON_NEGATIVE.has(node.opType)) return true;
    if (node.opType === "Clip") {
      const low = this.#constant(node.inputs[1]);
      return (low === undefined ? node.float("min", -Infinity) : Number(low.data[0])) >= 0;
    }
    if (!KEEPS_SIGN.has(node.opType)) return false;
    const inputs = node.opType === "Pad" ? node.inputs.slice(0, 1) : node.inputs;
    const data = inputs.filter((input) => input !== "" && this.#shape(input)?.length === 4);
    return data.length > 0 && data.every((input) => this.#nonNegative(input, depth + 1));
  }

  #findBlocks(): NetworkBlock[] {
    const blocks: NetworkBlock[] = [];
    const add = (value: string, kind: NetworkBlock["kind"]) => {
      const shape = this.#shape(value);
      const isMap = shape?.length === 4 && !(shape[2] === 1 && shape[3] === 1);
      if (isMap) blocks.push({ value, shape, kind });
    };
    for (const node of this.#graph.sorted()) {
      const value = node.outputs[0] ?? "";
      if (this.#joinsMaps(node)) {
        // The activation behind a residual sum belongs to the block.
        const readers = this.#graph.consumers(value);
        const relu =
          readers.length === 1 && /^(Relu|Clip|LeakyRelu|PRelu)$/.test(readers[0]!.opType)
            ? readers[0]
            : undefined;
        add(relu?.outputs[0] ?? value, node.opType === "Concat" ? "concat" : "residual");
      }
    }
    if (blocks.length > 0) return blocks;
    for (const node of this.#graph.sorted()) {
      const pools = this.#graph.consumers(node.outputs[0] ?? "").some((reader) =>
        /Pool$|^Flatten$/.test(reader.opType)
      );
      if (pools) add(node.outputs[0] ?? "", "stage");
    }
    return blocks;
  }

  #joinsMaps(node: OnnxNode): boolean {
    if (node.opType !== "Add" && node.opType !== "Concat") return false;
    const maps = node.inputs.filter((input) =>
      this.#shape(input)?.length === 4 && this.#constant(input) === undefined
    );
    if (node.opType === "Concat") return node.int("axis", 1) === 1 && maps.length > 1;
    return maps.length === 2 && maps.every((input) => {
      const shape = this.#shape(input)!;
      return !(shape[2] === 1 && shape[3] === 1);
    });
  }
}

/** A constant, also behind nodes that only lay it out anew, widen it or undo its quantisation. */
function constantOf(graph: OnnxGraph, value: string): OnnxTensor | undefined {
  const constant = graph.constant(value);
  if (constant !== undefined) return constant;
  const node = graph.producer(value);
  const input = node?.inputs[0];
  if (node === undefined || input === undefined) return undefined;
  switch (node.opType) {
    case "Identity":
    case "Cast":
      return constantOf(graph, input);
    case "Transpose": {
      const matrix = constantOf(graph, input);
      if (matrix?.shape.length !== 2) return undefined;
      return String(node.ints("perm") ?? "1,0") === "1,0" ? transposedMatrix(matrix) : matrix;
    }
    case "DequantizeLinear":
      return dequantized(graph, node);
    default:
      return undefined;
  }
}

function transposedMatrix(matrix: OnnxTensor): OnnxTensor {
  const [rows, columns] = matrix.shape as [number, number];
  const source = toFloat32(matrix);
  const data = new Float32Array(source.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) data[c * rows + r] = source[r * columns + c]!;
  }
  return { type: "f32", shape: [columns, rows], data };
}

function dequantized(graph: OnnxGraph, node: OnnxNode): OnnxTensor | undefined {
  const [x, scale, zero] = node.inputs.map((input) =>
    input === "" ? undefined : constantOf(graph, input)
  );
  if (x === undefined || scale === undefined || node.inputs[2] && zero === undefined) {
    return undefined;
  }
  const axis = node.int("axis", 1);
  const at = axis < 0 ? axis + x.shape.length : axis;
  const inner = x.shape.slice(at + 1).reduce((a, b) => a * b, 1);
  const count = scale.data.length;
  if (count !== 1 && count !== x.shape[at]) return undefined;
  const data = new Float32Array(x.data.length);
  for (let i = 0; i < data.length; i++) {
    const channel = count === 1 ? 0 : Math.floor(i / inner) % count;
    const offset = zero === undefined ? 0 : Number(zero.data[channel]!);
    data[i] = (Number(x.data[i]!) - offset) * Number(scale.data[channel]!);
  }
  return { type: "f32", shape: x.shape, data };
}

function lastLength(shape: readonly Dimension[] | undefined): number | undefined {
  const last = shape?.at(-1);
  return typeof last === "number" ? last : undefined;
}

function product(shape: readonly Dimension[]): Dimension {
  return shape.reduce<Dimension>(
    (a, b) => typeof a === "number" && typeof b === "number" ? a * b : "?",
    1,
  );
}
