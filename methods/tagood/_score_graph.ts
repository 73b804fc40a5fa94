/**
 * TagOOD's whole way from a tagger's outputs to a score as nodes of an ONNX graph: thresholding,
 * the projection model over all tokens with those that were not kept masked out, and the nearest
 * centre.
 *
 * @module
 */

import type { GraphBuilder } from "../../onnx/build.ts";
import { GraphLayers, transposed } from "../../onnx/layers.ts";
import { constantArray } from "../scores/_graph.ts";
import type { FittedState } from "../score.ts";
import { wholeArray } from "../_state.ts";
import { softmaxRows, unitParts } from "./_rows.ts";
import type { ScoreShape } from "./_score_state.ts";

/** Added to the scores of tokens that were not kept: their weight is 0 in float32. */
const MASKED = -1e9;
/** Stands for "no tag" below all attention, which is from 0 to 1. */
const NOTHING = -1;

/** Names of values that a tagger gives. */
export interface GraphTagger {
  /** [N, T, E]. */
  readonly tokens: string;
  /** [N, M]. */
  readonly tagLogits: string;
  /** [N, M, T]. */
  readonly attention: string;
}

/** What thresholding found. */
interface Kept {
  /** 1 where a token is kept, float [N, T]. */
  readonly keep: string;
  /** Tokens kept, float [N]. */
  readonly count: string;
  /** The largest logit of an in-distribution tag, [N]. */
  readonly largest: string;
}

/** Writes the nodes. */
export class ScoreGraph {
  readonly #builder: GraphBuilder;
  readonly #state: FittedState;
  readonly #shape: ScoreShape;
  readonly #layers: GraphLayers;

  constructor(builder: GraphBuilder, state: FittedState, shape: ScoreShape) {
    this.#builder = builder;
    this.#layers = new GraphLayers(builder, (name) => ({
      data: wholeArray(state, name),
      shape: state.arrays[name]!.shape,
    }));
    this.#state = state;
    this.#shape = shape;
  }

  /** The score [N] of a tagger's outputs. */
  score(tagger: GraphTagger): string {
    const builder = this.#builder;
    const kept = this.#threshold(tagger);
    const z = this.#project(tagger.tokens, kept.keep);
    const near = this.#closeness(z);
    const { times, floor } = this.#shape;
    const score = times
      ? builder.node("Mul", [near, builder.node("Sigmoid", [kept.largest])])
      : near;
    const tagged = builder.node("Greater", [kept.count, builder.constant(0)]);
    return builder.node("Where", [tagged, score, builder.constant(floor)]);
  }

  #threshold({ tagLogits, attention }: GraphTagger): Kept {
    const builder = this.#builder;
    const tags = builder.constant(
      BigInt64Array.from(wholeArray(this.#state, "tags"), (tag) => BigInt(Math.round(tag))),
      { name: "tags" },
    );
    const logits = builder.node("Gather", [tagLogits, tags], { attributes: { axis: 1n } });
    const predicted = builder.node("Greater", [
      logits,
      constantArray(builder, this.#state, "thresholds"),
    ]);
    const maps = builder.node("Gather", [attention, tags], { attributes: { axis: 1n } });
    const along = { axes: [2], keepDims: true };
    const least = builder.reduce("ReduceMin", maps, along);
    const range = builder.node("Sub", [builder.reduce("ReduceMax", maps, along), least]);
    const zero = builder.constant(0);
    const constant = builder.node("Equal", [range, zero]);
    const divisor = builder.node("Where", [constant, builder.constant(1), range]);
    const scaled = builder.node("Div", [builder.node("Sub", [maps, least]), divisor]);
    // A map without a maximum singles out nothing, so it keeps everything.
    const normalised = builder.node("Where", [constant, builder.constant(1), scaled]);
    const used = builder.node("Where", [
      builder.unsqueeze(predicted, [2]),
      normalised,
      builder.constant(NOTHING),
    ]);
    const most = builder.reduce("ReduceMax", used, { axes: [1] });
    // At τ = 0 the least attended token stays too.
    const { tau } = this.#shape;
    const limit = builder.constant(tau === 0 ? NOTHING / 2 : tau);
    const keep = builder.node("Cast", [builder.node("Greater", [most, limit])], {
      attributes: { to: 1n },
    });
    return {
      keep,
      count: builder.reduce("ReduceSum", keep, { axes: [1] }),
      largest: builder.reduce("ReduceMax", logits, { axes: [1] }),
    };
  }

  #project(tokens: string, keep: string): string {
    const builder = this.#builder;
    const { depth, positions } = this.#shape;
    const place = builder.node("Cast", [
      // Kept tokens count from 1: place 0 is the class token's.
      builder.node("CumSum", [keep, builder.constant(BigInt64Array.of(1n), { shape: [] })]),
    ], { attributes: { to: 7n } });
    const limited = builder.node("Cast", [
      builder.clip(builder.node("Cast", [place], { attributes: { to: 1n } }), {
        min: 0,
        max: positions - 1,
      }),
    ], { attributes: { to: 7n } });
    const table = constantArray(builder, this.#state, "positions");
    const added = builder.node("Gather", [table, limited], { attributes: { axis: 0n } });
    const x = builder.node("Add", [this.#layers.linear(tokens, "input"), added]);
    const first = this.#classToken(x);
    const rows = builder.node("Concat", [first, x], { attributes: { axis: 1n } });
    const bias = this.#bias(keep);
    const { heads, width } = this.#shape;
    let y = rows;
    for (let i = 0; i < depth; i++) {
      y = this.#layers.encoderBlock(y, `blocks.${i}`, { heads, width, bias });
    }
    const z = builder.squeeze(builder.slice(y, { axis: 1, start: 0, end: 1 }), [1]);
    return this.#layers.layerNorm(z, "norm");
  }

  /** The class token with its position, once for each image: [N, 1, W]. */
  #classToken(x: string): string {
    const builder = this.#builder;
    const token = wholeArray(this.#state, "class_token");
    const position = wholeArray(this.#state, "positions");
    const sum = token.map((value, i) => value + position[i]!);
    const constant = builder.constant(sum, { shape: [1, 1, sum.length], name: "class_token" });
    const zeros = builder.node("Mul", [
      builder.slice(x, { axis: 1, start: 0, end: 1 }),
      builder.constant(0),
    ]);
    return builder.node("Add", [zeros, constant]);
  }

  /** What is added to attention scores: [N, 1, 1, T + 1]. */
  #bias(keep: string): string {
    const builder = this.#builder;
    const dropped = builder.node("Sub", [builder.constant(1), keep]);
    const masked = builder.node("Mul", [dropped, builder.constant(MASKED)]);
    const first = builder.node("Mul", [
      builder.slice(masked, { axis: 1, start: 0, end: 1 }),
      builder.constant(0),
    ]);
    return builder.unsqueeze(
      builder.node("Concat", [first, masked], { attributes: { axis: 1n } }),
      [1, 2],
    );
  }

  #closeness(z: string): string {
    const { measure, patterns } = this.#shape;
    switch (measure) {
      case "cosine":
        return this.#cosine(z, patterns);
      case "euclidean":
        return this.#euclidean(z);
      case "kl":
        return this.#relativeEntropy(z);
      default:
        return measure satisfies never;
    }
  }

  /** The largest mean over parts of the parts' cosines. */
  #cosine(z: string, patterns: number): string {
    const builder = this.#builder;
    const { width } = this.#shape;
    const parts = builder.node("Reshape", [z, builder.ints([0, patterns, width / patterns])]);
    const norms = builder.reduce("ReduceL2", parts, { axes: [2], keepDims: true });
    const unit = builder.node("Div", [parts, builder.clip(norms, { min: 1e-12 })]);
    const joined = builder.node("Reshape", [unit, builder.ints([0, width])]);
    const sums = this.#times(joined, unitParts(this.#centres(), { width, patterns }));
    const most = builder.reduce("ReduceMax", sums, { axes: [1] });
    return builder.node("Div", [most, builder.constant(patterns)]);
  }

  #euclidean(z: string): string {
    const builder = this.#builder;
    const { width, classes } = this.#shape;
    const centres = builder.constant(this.#centres(), { shape: [1, classes, width] });
    const gaps = builder.node("Sub", [builder.unsqueeze(z, [1]), centres]);
    const norms = builder.reduce("ReduceL2", gaps, { axes: [2] });
    return this.#inverse(builder.reduce("ReduceMin", norms, { axes: [1] }));
  }

  #relativeEntropy(z: string): string {
    const builder = this.#builder;
    const { width } = this.#shape;
    const p = builder.node("Softmax", [z], { attributes: { axis: 1n } });
    const log = (x: string) => builder.node("Log", [builder.clip(x, { min: 1e-10 })]);
    const centres = softmaxRows(this.#centres(), width).map((q) => Math.log(Math.max(q, 1e-10)));
    const own = builder.reduce("ReduceSum", builder.node("Mul", [p, log(p)]), {
      axes: [1],
      keepDims: true,
    });
    const cross = this.#times(p, Float32Array.from(centres));
    const entropies = builder.node("Sub", [own, cross]);
    const least = builder.reduce("ReduceMin", entropies, { axes: [1] });
    return this.#inverse(builder.clip(least, { min: 0 }));
  }

  /** 1 / (1 + x). */
  #inverse(x: string): string {
    const builder = this.#builder;
    const one = builder.constant(1);
    return builder.node("Div", [one, builder.node("Add", [one, x])]);
  }

  /** Rows times the transposed table [K, W]. */
  #times(x: string, table: Float32Array<ArrayBuffer>): string {
    const { classes, width } = this.#shape;
    const columns = transposed(table, [classes, width]);
    return this.#builder.node("MatMul", [
      x,
      this.#builder.constant(columns, { shape: [width, classes], name: "centres" }),
    ]);
  }

  #centres(): Float32Array<ArrayBuffer> {
    return wholeArray(this.#state, "centres");
  }
}
