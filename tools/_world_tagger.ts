/**
 * The tagger of models/world-tagger.onnx: tags look at the places of an encoder's last map by
 * cross-attention, and each says whether it is there (as Query2Label and RAM do).
 *
 * @module
 */

import {
  add,
  attend,
  attentionParameters,
  heNormal,
  layerNormParameters,
  linearLayer,
  namedLayerNorm,
  namedLinear,
  type ParameterSet,
  type ParameterSpec,
  perceptron,
  perceptronParameters,
  repeatRows,
  reshape,
  type Tape,
  type Variable,
} from "../nn/mod.ts";
import {
  GraphBuilder,
  GraphLayers,
  joinGraphs,
  type OnnxModel,
  pruneUnused,
  removeOutputs,
} from "../onnx/mod.ts";
import type { Context, Tensor } from "../runtime/mod.ts";
import {
  WORLD_BACKGROUNDS,
  WORLD_CLASSES,
  WORLD_COLOURS,
  WORLD_CONTEXTS,
} from "../data/world/mod.ts";
import type { SceneTags } from "../data/world/mod.ts";

/** Places of the encoder's map, T. */
export const TAGGER_TOKENS = 64;
/** Channels of the encoder's map. */
const MAP_CHANNELS = 64;
/** Width of a token, D. */
export const TAGGER_WIDTH = 64;
const HEADS = 4;
const HIDDEN = 128;

/** The tags: kinds, contexts, backgrounds, colours of the object. */
export const WORLD_TAGS: readonly string[] = [
  ...WORLD_CLASSES,
  ...WORLD_CONTEXTS.map((name) => `${name} around`),
  ...WORLD_BACKGROUNDS.map((name) => `${name} background`),
  ...WORLD_COLOURS,
];

/** Which tags a scene has, 0 or 1 for each. */
export function tagTargets(scene: SceneTags): Uint8Array {
  const present = new Set([
    scene.object ?? "",
    ...scene.contexts.map((name) => `${name} around`),
    `${scene.background} background`,
    ...scene.colours,
  ]);
  return Uint8Array.from(WORLD_TAGS, (tag) => present.has(tag) ? 1 : 0);
}

/** First values of the head. */
export function taggerParameters(seed: number): ParameterSpec[] {
  const width = TAGGER_WIDTH;
  const queries = [WORLD_TAGS.length, width];
  return [
    ...linearLayer("tokens", { inputs: MAP_CHANNELS, outputs: width, seed, stream: 100 })
      .parameters,
    ...layerNormParameters("token_norm", width),
    { name: "queries", shape: queries, data: heNormal(queries, { seed, stream: 101 }) },
    ...attentionParameters("attention", { width, seed, stream: 102 }),
    ...layerNormParameters("norm1", width),
    ...perceptronParameters("mlp", { width, hidden: HIDDEN, seed, stream: 106 }),
    ...layerNormParameters("norm2", width),
    ...linearLayer("tag", { inputs: width, outputs: 1, seed, stream: 108 }).parameters,
  ];
}

/** Where the lists of queries and of tokens begin, for a fixed number of images. */
export interface TaggerLists {
  readonly queries: Tensor;
  readonly tokens: Tensor;
}

/** Lists of equal length for N images. */
export function taggerLists(ctx: Context, images: number): TaggerLists {
  const every = (length: number) =>
    ctx.upload(Int32Array.from({ length: images + 1 }, (_, n) => n * length), [images + 1]);
  return { queries: every(WORLD_TAGS.length), tokens: every(TAGGER_TOKENS) };
}

/**
 * The head's forward pass.
 *
 * @param tape The tape.
 * @param map f32 [N, 8, 8, 64], channels last.
 * @param parameters From {@linkcode taggerParameters}.
 * @param lists For N images.
 * @returns Logits of the tags, f32 [N, M].
 */
export function tagLogits(
  tape: Tape,
  map: Variable,
  parameters: ParameterSet,
  lists: TaggerLists,
): Variable {
  const [images = 0] = map.shape;
  const part = (name: string) => ({ name, parameters });
  const places = reshape(tape, map, [images * TAGGER_TOKENS, MAP_CHANNELS]);
  const keys = namedLayerNorm(tape, namedLinear(tape, places, part("tokens")), part("token_norm"));
  const queries = repeatRows(tape, parameters.get("queries"), { times: images });
  const seen = attend(tape, { queries, keys }, part("attention"), {
    heads: HEADS,
    offsets: lists.queries,
    maxLength: WORLD_TAGS.length,
    keyOffsets: lists.tokens,
    maxKeys: TAGGER_TOKENS,
  });
  const x = add(tape, queries, seen);
  const y = add(
    tape,
    x,
    perceptron(tape, namedLayerNorm(tape, x, part("norm1")), part("mlp")),
  );
  const logits = namedLinear(tape, namedLayerNorm(tape, y, part("norm2")), part("tag"));
  return reshape(tape, logits, [images, WORLD_TAGS.length]);
}

/**
 * The trained tagger as one graph from an image to `tokens` [N, T, D], `tag_logits` [N, M] and
 * `attention` [N, M, T], summed over heads.
 *
 * @param encoder The encoder, with its output `feature_map`.
 * @param values The head's parameters by name.
 * @returns The model.
 */
export function taggerModel(
  encoder: OnnxModel,
  values: ReadonlyMap<string, Float32Array<ArrayBuffer>>,
): OnnxModel {
  const others = encoder.graph.outputs.map(({ name }) => name).filter((name) =>
    name !== "feature_map"
  );
  const trunk = pruneUnused(removeOutputs(encoder, others));
  const head = new HeadGraph(encoder.opset(), values).build();
  return joinGraphs(trunk, head, {
    inputs: { map: "feature_map" },
    outputs: ["tokens", "tag_logits", "attention"],
  });
}

/** Writes the head's nodes. */
class HeadGraph {
  readonly #builder: GraphBuilder;
  readonly #layers: GraphLayers;
  readonly #queries: Float32Array<ArrayBuffer>;

  constructor(opset: number, values: ReadonlyMap<string, Float32Array<ArrayBuffer>>) {
    const shapes = new Map(taggerParameters(0).map(({ name, shape }) => [name, shape]));
    this.#builder = new GraphBuilder({ opset, name: "tagger" });
    this.#layers = new GraphLayers(
      this.#builder,
      (name) => ({ data: values.get(name)!, shape: shapes.get(name)! }),
    );
    this.#queries = values.get("queries")!;
  }

  build(): OnnxModel {
    const builder = this.#builder;
    const map = builder.input("map", ["N", MAP_CHANNELS, 8, 8]);
    const columns = builder.node("Reshape", [map, builder.ints([0, MAP_CHANNELS, -1])]);
    const places = this.#transpose(columns, [0, 2, 1]);
    const tokens = this.#layers.layerNorm(this.#layers.linear(places, "tokens"), "token_norm");
    const { attention, seen } = this.#attend(tokens);
    const x = builder.node("Add", [seen, this.#constant([WORLD_TAGS.length, TAGGER_WIDTH])]);
    const y = builder.node("Add", [
      x,
      this.#layers.perceptron(this.#layers.layerNorm(x, "norm1"), "mlp"),
    ]);
    const logits = this.#layers.linear(this.#layers.layerNorm(y, "norm2"), "tag");
    builder.output("tokens", tokens, { shape: ["N", TAGGER_TOKENS, TAGGER_WIDTH] });
    builder.output("tag_logits", builder.squeeze(logits, [2]), { shape: ["N", WORLD_TAGS.length] });
    builder.output("attention", attention, { shape: ["N", WORLD_TAGS.length, TAGGER_TOKENS] });
    return builder.build();
  }

  #attend(tokens: string): { attention: string; seen: string } {
    const builder = this.#builder;
    const depth = TAGGER_WIDTH / HEADS;
    const heads = (x: string, permutation: readonly number[]) =>
      this.#transpose(
        builder.node("Reshape", [x, builder.ints([0, 0, HEADS, depth])]),
        permutation,
      );
    const queries = this.#constant([1, WORLD_TAGS.length, TAGGER_WIDTH]);
    const q = heads(this.#layers.linear(queries, "attention.query"), [0, 2, 1, 3]);
    const k = heads(this.#layers.linear(tokens, "attention.key"), [0, 2, 3, 1]);
    const v = heads(this.#layers.linear(tokens, "attention.value"), [0, 2, 1, 3]);
    const products = builder.node("MatMul", [q, k]);
    const scaled = builder.node("Mul", [products, builder.constant(1 / Math.sqrt(depth))]);
    const weights = builder.node("Softmax", [scaled], { attributes: { axis: -1n } });
    const mixed = this.#transpose(builder.node("MatMul", [weights, v]), [0, 2, 1, 3]);
    const joined = builder.node("Reshape", [mixed, builder.ints([0, 0, TAGGER_WIDTH])]);
    return {
      attention: builder.reduce("ReduceSum", weights, { axes: [1] }),
      seen: this.#layers.linear(joined, "attention.output"),
    };
  }

  #constant(shape: readonly number[]): string {
    return this.#builder.constant(this.#queries, { name: "queries", shape });
  }

  #transpose(x: string, permutation: readonly number[]): string {
    return this.#builder.node("Transpose", [x], { attributes: { perm: permutation.map(BigInt) } });
  }
}
