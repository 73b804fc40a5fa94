/**
 * The text encoder of models/world-clip: words and places, two encoder blocks, the first token's
 * row projected.
 *
 * @module
 */

import {
  encoderBlock,
  encoderParameters,
  firstRows,
  heNormal,
  layerNormParameters,
  linear,
  linearLayer,
  namedLayerNorm,
  type ParameterSet,
  type ParameterSpec,
  type Tape,
  Variable,
} from "../nn/mod.ts";
import { GraphBuilder, GraphLayers, type OnnxModel } from "../onnx/mod.ts";
import type { Context, Tensor } from "../runtime/mod.ts";
import { WORLD_CONTEXT_LENGTH, WORLD_VOCABULARY, worldIds } from "./_world_captions.ts";

/** Width of a token, as `last_hidden_state` has it. */
export const TEXT_WIDTH = 64;
/** Width of an embedding. */
export const EMBED_WIDTH = 64;
const HEADS = 4;
const HIDDEN = 128;
const BLOCKS = 2;
/** Added to the scores of padding. */
const MASKED = -1e9;
/** Words and places are looked up by one matrix. */
const LOOKUP = WORLD_VOCABULARY + WORLD_CONTEXT_LENGTH;
const SIZES = { width: TEXT_WIDTH, hidden: HIDDEN };

/** First values. */
export function textParameters(seed: number): ParameterSpec[] {
  const shape = [TEXT_WIDTH, LOOKUP];
  const data = heNormal(shape, { seed, stream: 200 }).map((value) => 5 * value);
  const projection = [EMBED_WIDTH, TEXT_WIDTH];
  return [
    { name: "lookup", shape, data },
    ...encoderParameters(BLOCKS, { ...SIZES, seed, stream: 201 }),
    ...layerNormParameters("norm", TEXT_WIDTH),
    {
      name: "projection.weight",
      shape: projection,
      data: linearLayer("projection", {
        inputs: TEXT_WIDTH,
        outputs: EMBED_WIDTH,
        seed,
        stream: 260,
      }).parameters[0]!.data,
    },
  ];
}

/** A batch of texts on the device. */
export class TextBatch implements Disposable {
  /** 1 where a row has a word, and where it has a place; f32 [texts x length, words + places]. */
  readonly rows: Tensor;
  /** Where texts begin, i32 [texts + 1]. */
  readonly offsets: Tensor;
  readonly #ctx: Context;
  readonly #texts: number;

  constructor(ctx: Context, texts: number) {
    this.#ctx = ctx;
    this.#texts = texts;
    const capacity = texts * WORLD_CONTEXT_LENGTH;
    this.rows = ctx.upload(new Float32Array(capacity * LOOKUP), [capacity, LOOKUP]);
    this.offsets = ctx.upload(new Int32Array(texts + 1), [texts + 1]);
  }

  /** Writes texts over it. */
  write(texts: readonly string[]): void {
    const rows = new Float32Array(this.rows.size);
    const offsets = new Int32Array(this.#texts + 1);
    let row = 0;
    texts.forEach((text, n) => {
      worldIds(text).forEach((id, place) => {
        rows[row * LOOKUP + id] = 1;
        rows[row * LOOKUP + WORLD_VOCABULARY + place] = 1;
        row++;
      });
      offsets[n + 1] = row;
    });
    this.#ctx.write(this.rows, rows);
    this.#ctx.write(this.offsets, offsets);
  }

  [Symbol.dispose](): void {
    this.rows.dispose();
    this.offsets.dispose();
  }
}

/** Embeddings of a batch, f32 [texts, D], not of unit length. */
export function embedTexts(tape: Tape, batch: TextBatch, parameters: ParameterSet): Variable {
  const { rows, offsets } = batch;
  let x = linear(tape, new Variable(rows), { weight: parameters.get("lookup") });
  const lists = { heads: HEADS, offsets, maxLength: WORLD_CONTEXT_LENGTH };
  for (let i = 0; i < BLOCKS; i++) {
    x = encoderBlock(tape, x, { name: `blocks.${i}`, parameters }, lists);
  }
  const last = namedLayerNorm(tape, x, { name: "norm", parameters });
  const first = firstRows(tape, last, { offsets });
  return linear(tape, first, { weight: parameters.get("projection.weight") });
}

/**
 * The encoder as an ONNX graph with CLIP's signature: `input_ids` and `attention_mask` [N, T] to
 * `text_embeds` [N, D], and `last_hidden_state` [N, T, W] with zeros behind a text's end.
 */
export function textModel(values: ReadonlyMap<string, Float32Array<ArrayBuffer>>): OnnxModel {
  const shapes = new Map(textParameters(0).map(({ name, shape }) => [name, shape]));
  const builder = new GraphBuilder({ opset: 17, name: "world-text" });
  const layers = new GraphLayers(
    builder,
    (name) => ({ data: values.get(name)!, shape: shapes.get(name)! }),
  );
  const length = WORLD_CONTEXT_LENGTH;
  const ids = builder.input("input_ids", ["N", length], { type: "i64" });
  const mask = builder.node("Cast", [
    builder.input("attention_mask", ["N", length], { type: "i64" }),
  ], { attributes: { to: 1n } });
  const { words, places } = tables(values.get("lookup")!);
  const table = builder.constant(words, { shape: [WORLD_VOCABULARY, TEXT_WIDTH], name: "words" });
  let x = builder.node("Add", [
    builder.node("Gather", [table, ids]),
    builder.constant(places, { shape: [length, TEXT_WIDTH], name: "places" }),
  ]);
  const hidden = builder.node("Sub", [builder.constant(1), mask]);
  const bias = builder.unsqueeze(builder.node("Mul", [hidden, builder.constant(MASKED)]), [1, 2]);
  for (let i = 0; i < BLOCKS; i++) {
    x = layers.encoderBlock(x, `blocks.${i}`, { heads: HEADS, width: TEXT_WIDTH, bias });
  }
  const last = layers.layerNorm(x, "norm");
  const first = builder.squeeze(builder.slice(last, { axis: 1, start: 0, end: 1 }), [1]);
  const embeds = layers.linear(first, "projection", { bias: false });
  builder.output("text_embeds", embeds, { shape: ["N", EMBED_WIDTH] });
  const shown = builder.node("Mul", [last, builder.unsqueeze(mask, [2])]);
  builder.output("last_hidden_state", shown, { shape: ["N", length, TEXT_WIDTH] });
  return builder.build();
}

/** The columns of the lookup matrix as rows of two tables. */
function tables(lookup: Float32Array) {
  const row = (column: number) =>
    Float32Array.from({ length: TEXT_WIDTH }, (_, i) => lookup[i * LOOKUP + column]!);
  const join = (begin: number, count: number) => {
    const table = new Float32Array(count * TEXT_WIDTH);
    for (let i = 0; i < count; i++) table.set(row(begin + i), i * TEXT_WIDTH);
    return table;
  };
  return {
    words: join(0, WORLD_VOCABULARY),
    places: join(WORLD_VOCABULARY, WORLD_CONTEXT_LENGTH),
  };
}
