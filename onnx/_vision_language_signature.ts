/**
 * What an encoder's graph must look like, and what it tells beside that.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { GraphView, lastLength, LAYOUT } from "./_graph_view.ts";
import { FOLDER_SIDECAR, type InputNames, type OutputNames } from "./_vision_language_files.ts";
import { exposeMaps } from "./expose.ts";
import type { OnnxModel } from "./model.ts";
import type { TextTokenizer } from "./tokenizer.ts";
import type { Dimension, ValueInfo } from "./value_info.ts";

/** An encoder as its graph describes it. */
export interface EncoderSignature {
  /** Width of the embeddings, where the graph tells. */
  readonly width: number | undefined;
}

/** The text encoder's. */
export interface TextSignature extends EncoderSignature {
  /** Tokens in a row, where the graph fixes them. */
  readonly length: number | undefined;
  /** Tokens that there are positions for, where a table is called so. */
  readonly positions: number | undefined;
  /** Whether it takes a mask. */
  readonly masked: boolean;
  /** Tokens that its table has rows for, where that was found. */
  readonly vocabulary: number | undefined;
}

/** Logarithms of scales are below this; CLIP clamps its scale at 100, whose logarithm is 4.6. */
const MOST_LOGARITHM = 7;
const POSITIONS_REGEXP = /(^|[./])position_embedding(\.weight)?$/;
const SCALE_REGEXP = /(^|[./])logit_scale$/;

/** Rows that a table may have more than the tokenizer has ids: tables are rounded up. */
const SPARE_ROWS = 1024;

/** Checks an image encoder. */
export function checkImageEncoder(
  model: OnnxModel,
  { inputs, outputs }: { readonly inputs: InputNames; readonly outputs: OutputNames },
): EncoderSignature {
  const expect = new Expectation(model, {
    what: "an image encoder",
    expected: `the input "${inputs.image}" [N, 3, H, W] and the output "${outputs.imageEmbed}" ` +
      "[N, D]",
    sidecar: '"inputs": {"image": …}, "outputs": {"image_embed": …}',
  });
  const width = expect.output(outputs.imageEmbed);
  const image = expect.input(inputs.image, { rank: 4, types: ["f32"] });
  if (typeof image.shape?.[1] === "number" && image.shape[1] !== 3) throw expect.refusal();
  expect.onlyInputs([inputs.image], outputs.imageEmbed);
  return { width };
}

/** Checks a text encoder. */
export function checkTextEncoder(
  model: OnnxModel,
  { inputs, outputs }: { readonly inputs: InputNames; readonly outputs: OutputNames },
): TextSignature {
  const expect = new Expectation(model, {
    what: "a text encoder",
    expected:
      `the input "${inputs.ids}" i64 [N, T], with or without "${inputs.mask}" i64 [N, T], ` +
      `and the output "${outputs.textEmbed}" [N, D]`,
    sidecar: '"inputs": {"ids": …, "mask": …}, "outputs": {"text_embed": …}',
  });
  const types = ["i64", "i32"];
  const width = expect.output(outputs.textEmbed);
  const ids = expect.input(inputs.ids, { rank: 2, types });
  const needed = expect.onlyInputs([inputs.ids, inputs.mask], outputs.textEmbed);
  const masked = needed.includes(inputs.mask);
  if (masked) expect.input(inputs.mask, { rank: 2, types });
  const length = ids.shape?.[1];
  return {
    width,
    length: typeof length === "number" ? length : undefined,
    positions: positionRows(model),
    masked,
    vocabulary: tableRows(model, inputs.ids),
  };
}

/** Refuses a tokenizer whose ids are not those of the text encoder. */
export function checkVocabulary(
  tokenizer: TextTokenizer,
  { vocabulary }: TextSignature,
  model: OnnxModel,
): void {
  const { vocabularySize: size, name } = tokenizer;
  if (vocabulary === undefined || size <= vocabulary && vocabulary < size + SPARE_ROWS) return;
  throw new UserError(
    `Cannot encode texts: the tokenizer "${name}" does not match the text encoder ` +
      `"${model.name}": it has ${size} tokens and the encoder has ${vocabulary}`,
  );
}

/** What cosines are multiplied with, where a graph keeps it under the name that CLIP gives it. */
export function findLogitScale(model: OnnxModel): number | undefined {
  const { graph } = model;
  const view = new GraphView(model);
  for (const name of [...graph.initializers.keys(), ...graph.valueNames()]) {
    if (!SCALE_REGEXP.test(name)) continue;
    const constant = view.constant(name);
    if (constant?.data.length !== 1) continue;
    const value = Number(constant.data[0]);
    const raised = graph.consumers(name).some(({ opType }) => opType === "Exp");
    const scale = raised || value < MOST_LOGARITHM ? Math.exp(value) : value;
    if (Number.isFinite(scale)) return Math.round(scale * 1e4) / 1e4;
  }
  return undefined;
}

/** Holds a graph against what is expected of it. */
class Expectation {
  readonly #model: OnnxModel;
  readonly #words: { readonly what: string; readonly expected: string; readonly sidecar: string };
  readonly #view: GraphView;

  constructor(
    model: OnnxModel,
    words: { readonly what: string; readonly expected: string; readonly sidecar: string },
  ) {
    this.#model = model;
    this.#words = words;
    this.#view = new GraphView(model);
  }

  /** The error that says what there is and what was expected. */
  refusal(): UserError {
    const { what, expected, sidecar } = this.#words;
    const { graph, name } = this.#model;
    const list = (values: readonly ValueInfo[]) =>
      values.map((value) => {
        const { type, shape } = { ...value, ...this.#view.info(value.name) };
        return `"${value.name}" ${type === undefined || type === "f32" ? "" : `${type} `}[${
          (shape ?? ["?"]).join(", ")
        }]`;
      }).join(", ");
    return new UserError(
      `Cannot use "${name}" as ${what}: it takes ${list(graph.inputs)} and gives ${
        list(graph.outputs)
      }; ${expected} were expected (other names go into ${FOLDER_SIDECAR}: ${sidecar})`,
    );
  }

  /** An input; refuses a missing one, and another rank or element type. */
  input(
    name: string,
    { rank, types }: { readonly rank: number; readonly types: readonly string[] },
  ): ValueInfo {
    const found = this.#model.graph.inputs.find((input) => input.name === name);
    const fits = found !== undefined &&
      (found.shape === undefined || found.shape.length === rank) &&
      (found.type === undefined || types.includes(found.type));
    if (!fits) throw this.refusal();
    return found;
  }

  /** The inputs that an output needs; refuses those that nobody would feed. */
  onlyInputs(names: readonly string[], output: string): readonly string[] {
    const needed = exposeMaps(this.#model, [output]).model.graph.inputs.map(({ name }) => name);
    if (needed.some((name) => !names.includes(name))) throw this.refusal();
    return needed;
  }

  /** The width of an output [N, D], if it is known; refuses a missing one, and another rank. */
  output(name: string): number | undefined {
    if (!this.#model.graph.outputs.some((output) => output.name === name)) throw this.refusal();
    const shape: readonly Dimension[] | undefined = this.#view.shape(name);
    if (shape !== undefined && shape.length !== 2) throw this.refusal();
    return lastLength(shape);
  }
}

/** Rows of the table of positions, by the name that exports give it. */
function positionRows({ graph }: OnnxModel): number | undefined {
  for (const [name, { dims }] of graph.initializers) {
    if (POSITIONS_REGEXP.test(name) && dims.length === 2) return dims[0];
  }
  return undefined;
}

/** Rows of the table that ids look up, behind nodes that lay them out anew. */
function tableRows(model: OnnxModel, ids: string): number | undefined {
  const { graph } = model;
  const view = new GraphView(model);
  const values = [ids];
  for (const value of values) {
    for (const node of graph.consumers(value)) {
      if (node.opType === "Gather" && node.inputs[1] === value) {
        const table = node.inputs[0]!;
        const rows = graph.initializers.get(table)?.dims ?? view.shape(table);
        if (rows?.length === 2 && typeof rows[0] === "number") return rows[0];
      }
      if (LAYOUT.has(node.opType) && node.inputs[0] === value) values.push(...node.outputs);
    }
  }
  return undefined;
}
