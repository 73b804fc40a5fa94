/**
 * Dual encoders with the interface of CLIP ViT-B/16 (224 x 224 pixels, 77 of 49,408 tokens, 512
 * numbers) and random weights, and a small tokenizer of CLIP's kind. The interface is the real one;
 * width, heads and depth are the test's to choose.
 *
 * @module
 */

import { Rng } from "../../kernels/mod.ts";
import { type Dimension, GraphBuilder, OnnxModel, writeModel } from "../../onnx/mod.ts";

/** Sizes of a model; all of them have CLIP ViT-B/16's interface by default and little inside. */
export interface ClipOptions {
  /** Channels of both encoders. */
  readonly width?: number;
  /** Heads of attention; divides the width. */
  readonly heads?: number;
  /** Blocks of each encoder. */
  readonly depth?: number;
  /** Width of the embeddings. */
  readonly embed?: number;
  /** Pixels along a side of an image. */
  readonly side?: number;
  /** Pixels along a side of a patch. */
  readonly patch?: number;
  /** Tokens that the text encoder knows. */
  readonly vocabulary?: number;
  /** The longest text, in tokens. */
  readonly length?: number;
  /** Images or texts in one run; open by default. */
  readonly batch?: Dimension;
  /** Tokens in one run of the text encoder; open by default, or `length`. */
  readonly tokens?: Dimension;
  /** Whether the text encoder takes an attention mask. */
  readonly mask?: boolean;
  /** Whether `last_hidden_state` is an output too. */
  readonly hidden?: boolean;
  /** The logarithm of the scale, kept in the text encoder as CLIP keeps it. */
  readonly logitScale?: number;
  /** Names of inputs and outputs that differ from the usual ones. */
  readonly names?: Readonly<Record<string, string>>;
  /** What the weights are drawn by. */
  readonly seed?: number;
}

/** Sizes with nothing left open. */
type Sizes = Required<Omit<ClipOptions, "logitScale">> & Pick<ClipOptions, "logitScale">;

const DEFAULTS: Sizes = {
  width: 16,
  heads: 2,
  depth: 1,
  embed: 512,
  side: 224,
  patch: 16,
  vocabulary: 49_408,
  length: 77,
  batch: "batch",
  tokens: "sequence",
  mask: false,
  hidden: false,
  names: {},
  seed: 1,
};

/** Weights of one array that are drawn. */
const MOST_DRAWN = 100_003;

/** Below all scores of attention. */
const HIDDEN = -1e9;

/** A vision encoder: `pixel_values` [N, 3, 224, 224] to `image_embeds` [N, 512]. */
export function clipVision(options: ClipOptions = {}): OnnxModel {
  return new Encoder({ ...DEFAULTS, ...options }, "clip-vision").vision();
}

/** A text encoder: `input_ids` [N, 77] to `text_embeds` [N, 512]. */
export function clipText(options: ClipOptions = {}): OnnxModel {
  return new Encoder({ ...DEFAULTS, ...options }, "clip-text").text();
}

/** Writes one encoder after the other. */
class Encoder {
  readonly #sizes: Sizes;
  readonly #b: GraphBuilder;
  readonly #rng: Rng;

  constructor(sizes: Sizes, name: string) {
    this.#sizes = sizes;
    this.#b = new GraphBuilder({ opset: 17, name });
    this.#rng = new Rng(sizes.seed);
  }

  vision(): OnnxModel {
    const b = this.#b;
    const { batch, side, patch, width, hidden } = this.#sizes;
    const places = (side / patch) ** 2;
    const x = b.input(this.#name("pixel_values"), [batch, 3, side, side]);
    const kernel = this.#weight("embeddings.patch_embedding.weight", [width, 3, patch, patch]);
    const size = BigInt(patch);
    const patches = b.node("Conv", [x, kernel], {
      attributes: { kernel_shape: [size, size], strides: [size, size] },
    });
    const columns = b.node("Reshape", [patches, b.ints([0, width, places])]);
    const tokens = this.#transpose(columns, [0, 2, 1]);
    const first = this.#weight("embeddings.class_embedding", [1, 1, width]);
    const rows = b.node("Concat", [b.node("Expand", [first, this.#classShape(tokens)]), tokens], {
      attributes: { axis: 1n },
    });
    const positions = this.#weight("embeddings.position_embedding.weight", [places + 1, width]);
    const placed = b.node("Add", [rows, positions]);
    const last = this.#blocks(this.#norm(placed, "pre_layrnorm"));
    const pooled = b.squeeze(b.slice(last, { axis: 1, start: 0, end: 1 }), [1]);
    if (hidden) b.output("last_hidden_state", last, { shape: [batch, places + 1, width] });
    const summary = this.#norm(pooled, "post_layernorm");
    this.#project(summary, "visual_projection", this.#name("image_embeds"));
    return b.build();
  }

  text(): OnnxModel {
    const b = this.#b;
    const { batch, tokens, vocabulary, length, width, mask, hidden, logitScale } = this.#sizes;
    const ids = b.input(this.#name("input_ids"), [batch, tokens], { type: "i64" });
    const seen = mask
      ? b.input(this.#name("attention_mask"), [batch, tokens], { type: "i64" })
      : undefined;
    const table = this.#weight("embeddings.token_embedding.weight", [vocabulary, width], 1);
    const found = b.node("Gather", [table, ids]);
    const count = b.node("Gather", [b.node("Shape", [ids]), b.ints([1])]);
    const cut = (value: string, axes: readonly number[]) =>
      axes.reduce(
        (part, axis) => b.node("Slice", [part, b.ints([0]), count, b.ints([axis])]),
        value,
      );
    const positions = this.#weight("embeddings.position_embedding.weight", [length, width]);
    const x = b.node("Add", [found, cut(positions, [0])]);
    const later = Float32Array.from(
      { length: length * length },
      (_, i) => i % length > Math.floor(i / length) ? HIDDEN : 0,
    );
    let bias = cut(b.constant(later, { shape: [length, length], name: "causal" }), [0, 1]);
    if (seen !== undefined) {
      const floats = b.node("Cast", [seen], { attributes: { to: 1n } });
      const padding = b.node("Mul", [
        b.node("Sub", [b.constant(1), floats]),
        b.constant(HIDDEN),
      ]);
      bias = b.node("Add", [bias, b.unsqueeze(padding, [1, 2])]);
    }
    const last = this.#norm(this.#blocks(x, bias), "final_layer_norm");
    // The end of a text has the highest id.
    const end = b.node("ArgMax", [ids], { attributes: { axis: 1n, keepdims: 1n } });
    const pooled = b.node("GatherND", [last, end], { attributes: { batch_dims: 1n } });
    if (logitScale !== undefined) {
      const kept = b.constant(Float32Array.of(logitScale), { shape: [], name: "logit_scale" });
      b.output("scale", b.node("Exp", [kept]), { shape: [] });
    }
    if (hidden) b.output("last_hidden_state", last, { shape: [batch, tokens, width] });
    this.#project(pooled, "text_projection", this.#name("text_embeds"));
    return b.build();
  }

  #name(usual: string): string {
    return this.#sizes.names[usual] ?? usual;
  }

  /** [N, 1, W], computed from the tokens' shape where the batch is open. */
  #classShape(tokens: string): string {
    const b = this.#b;
    const { batch, width } = this.#sizes;
    if (typeof batch === "number") return b.ints([batch, 1, width]);
    const rows = b.node("Gather", [b.node("Shape", [tokens]), b.ints([0])]);
    return b.node("Concat", [rows, b.ints([1, width])], { attributes: { axis: 0n } });
  }

  /** Pre-norm blocks. */
  #blocks(x: string, bias?: string): string {
    const b = this.#b;
    let y = x;
    for (let i = 0; i < this.#sizes.depth; i++) {
      const name = `encoder.layers.${i}`;
      const attended = this.#attention(this.#norm(y, `${name}.layer_norm1`), name, bias);
      const middle = b.node("Add", [y, attended]);
      const inside = this.#perceptron(this.#norm(middle, `${name}.layer_norm2`), name);
      y = b.node("Add", [middle, inside]);
    }
    return y;
  }

  #attention(x: string, name: string, bias: string | undefined): string {
    const b = this.#b;
    const { width, heads } = this.#sizes;
    const depth = width / heads;
    const split = (part: string, permutation: readonly number[]) => {
      const rows = this.#linear(x, `${name}.self_attn.${part}`, [width, width]);
      return this.#transpose(
        b.node("Reshape", [rows, b.ints([0, 0, heads, depth])]),
        permutation,
      );
    };
    const queries = b.node("Mul", [split("q_proj", [0, 2, 1, 3]), b.constant(depth ** -0.5)]);
    const scores = b.node("MatMul", [queries, split("k_proj", [0, 2, 3, 1])]);
    const shown = bias === undefined ? scores : b.node("Add", [scores, bias]);
    const weights = b.node("Softmax", [shown], { attributes: { axis: -1n } });
    const mixed = b.node("MatMul", [weights, split("v_proj", [0, 2, 1, 3])]);
    const joined = b.node("Reshape", [
      this.#transpose(mixed, [0, 2, 1, 3]),
      b.ints([0, 0, width]),
    ]);
    return this.#linear(joined, `${name}.self_attn.out_proj`, [width, width]);
  }

  /** Two layers with QuickGELU, x times the sigmoid of 1.702 x, between them. */
  #perceptron(x: string, name: string): string {
    const b = this.#b;
    const { width } = this.#sizes;
    const inside = this.#linear(x, `${name}.mlp.fc1`, [width, 4 * width]);
    const gate = b.node("Sigmoid", [b.node("Mul", [inside, b.constant(1.702)])]);
    return this.#linear(b.node("Mul", [inside, gate]), `${name}.mlp.fc2`, [4 * width, width]);
  }

  #project(x: string, name: string, output: string): void {
    const { batch, width, embed } = this.#sizes;
    this.#b.node("MatMul", [x, this.#weight(`${name}.weight`, [width, embed])], { output });
    this.#b.output(output, output, { shape: [batch, embed] });
  }

  #linear(x: string, name: string, [from, to]: readonly [number, number]): string {
    const b = this.#b;
    const product = b.node("MatMul", [x, this.#weight(`${name}.weight`, [from, to])]);
    return b.node("Add", [product, this.#weight(`${name}.bias`, [to], 0.02)]);
  }

  #norm(x: string, name: string): string {
    const b = this.#b;
    const { width } = this.#sizes;
    const gain = b.constant(new Float32Array(width).fill(1), { name: `${name}.weight` });
    return b.node("LayerNormalization", [x, gain, this.#weight(`${name}.bias`, [width], 0.02)], {
      attributes: { axis: -1n, epsilon: 1e-5 },
    });
  }

  #transpose(x: string, permutation: readonly number[]): string {
    return this.#b.node("Transpose", [x], { attributes: { perm: permutation.map(BigInt) } });
  }

  /** Normal numbers; by default as large as keep a layer's outputs near one. */
  #weight(name: string, shape: readonly number[], scale?: number): string {
    const count = shape.reduce((a, b) => a * b, 1);
    const inputs = shape.length === 4 ? count / shape[0]! : shape[0]!;
    const factor = scale ?? (shape.length === 3 ? 1 : 1 / Math.sqrt(inputs));
    // A long table repeats itself, so that tests need not wait for it.
    const drawn = Float32Array.from(
      { length: Math.min(count, MOST_DRAWN) },
      () => factor * this.#rng.normal(),
    );
    const data = Float32Array.from({ length: count }, (_, i) => drawn[i % drawn.length]!);
    return this.#b.constant(data, { shape, name });
  }
}

/** Contents of `tokenizer.json` and `tokenizer_config.json`. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly tokenizer: Record<string, unknown>;
  /** `tokenizer_config.json`. */
  readonly config: Record<string, unknown>;
}

/** How a text begins. */
const START = "<|startoftext|>";
/** How a text ends. */
const END = "<|endoftext|>";

/**
 * A byte-level BPE tokenizer as CLIP's: the same normaliser, the same splits, 512 tokens of bytes
 * with and without the end of a word, merges enough to make whole words of `words`, and the start
 * and the end of a text as the last two ids.
 */
export function clipTokenizer(
  options: { readonly words?: readonly string[]; readonly vocabulary?: number } = {},
): TokenizerFiles {
  const { words = ["cat", "dog", "photo", "of"], vocabulary = DEFAULTS.vocabulary } = options;
  const bytes = byteLetters();
  const tokens = [...bytes, ...bytes.map((letter) => `${letter}</w>`)];
  const merges: string[] = [];
  for (const word of words) {
    const letters = [...word];
    letters.push(`${letters.pop()}</w>`);
    let begin = letters[0]!;
    for (const letter of letters.slice(1)) {
      const joined = begin + letter;
      if (!tokens.includes(joined)) {
        merges.push(`${begin} ${letter}`);
        tokens.push(joined);
      }
      begin = joined;
    }
  }
  if (tokens.length + 2 > vocabulary) {
    throw new RangeError(`Cannot make a tokenizer: ${tokens.length + 2} tokens are needed`);
  }
  const ids: Record<string, number> = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const [start, end] = [vocabulary - 2, vocabulary - 1];
  ids[START] = start;
  ids[END] = end;
  const added = (content: string, id: number) => ({
    id,
    content,
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: true, special: true },
  });
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [added(START, start), added(END, end)],
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "NFC" },
          { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
          { type: "Lowercase" },
        ],
      },
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          {
            type: "Split",
            pattern: {
              Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
            },
            behavior: "Removed",
            invert: true,
          },
          { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
        ],
      },
      post_processor: {
        type: "RobertaProcessing",
        sep: [END, end],
        cls: [START, start],
        trim_offsets: false,
        add_prefix_space: false,
      },
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: END,
        continuing_subword_prefix: "",
        end_of_word_suffix: "</w>",
        fuse_unk: false,
        vocab: ids,
        merges,
      },
    },
    config: {
      tokenizer_class: "CLIPTokenizer",
      model_max_length: DEFAULTS.length,
      bos_token: START,
      eos_token: END,
      unk_token: END,
      pad_token: END,
    },
  };
}

/** The letters that stand for bytes, in the order of byte-level BPE: printable ones first. */
function byteLetters(): string[] {
  const printable = [[33, 126], [161, 172], [174, 255]].flatMap(([first, last]) =>
    Array.from({ length: last! - first! + 1 }, (_, i) => first! + i)
  );
  const others = 256 - printable.length;
  return [
    ...printable,
    ...Array.from({ length: others }, (_, i) => 256 + i),
  ].map((code) => String.fromCharCode(code));
}

/** `preprocessor_config.json` of CLIP for images of `side` pixels. */
export function clipPreprocessor(side: number = DEFAULTS.side): Record<string, unknown> {
  return {
    crop_size: { height: side, width: side },
    do_center_crop: true,
    do_convert_rgb: true,
    do_normalize: true,
    do_rescale: true,
    do_resize: true,
    feature_extractor_type: "CLIPFeatureExtractor",
    image_mean: [0.48145466, 0.4578275, 0.40821073],
    image_processor_type: "CLIPImageProcessor",
    image_std: [0.26862954, 0.26130258, 0.27577711],
    resample: 3,
    rescale_factor: 1 / 255,
    size: { shortest_edge: side },
  };
}

/** What {@linkcode writeClip} writes besides the encoders, by file name; `null` leaves one out. */
export type ClipFiles = Readonly<Record<string, unknown>>;

/**
 * Writes a whole model as exports lay it out: both encoders, the tokenizer and the preprocessor.
 *
 * @param folder Where to.
 * @param options Sizes, and `files`: contents by name (JSON values, bytes or models) that go
 * instead of or beside the usual ones, and `words` that the tokenizer knows.
 */
export async function writeClip(
  folder: string,
  options: ClipOptions & { readonly files?: ClipFiles; readonly words?: readonly string[] } = {},
): Promise<void> {
  const { files = {}, words, ...sizes } = options;
  const { tokenizer, config } = clipTokenizer({
    ...(words === undefined ? {} : { words }),
    ...(sizes.vocabulary === undefined ? {} : { vocabulary: sizes.vocabulary }),
  });
  const usual: Record<string, () => unknown> = {
    "vision_model.onnx": () => writeModel(clipVision(sizes)),
    "text_model.onnx": () => writeModel(clipText(sizes)),
    "tokenizer.json": () => tokenizer,
    "tokenizer_config.json": () => ({
      ...config,
      model_max_length: sizes.length ?? DEFAULTS.length,
    }),
    "preprocessor_config.json": () => clipPreprocessor(sizes.side),
  };
  await Deno.mkdir(folder, { recursive: true });
  for (const name of new Set([...Object.keys(usual), ...Object.keys(files)])) {
    const content = Object.hasOwn(files, name) ? files[name] : usual[name]!();
    if (content === null) continue;
    const path = `${folder}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (content instanceof Uint8Array) await Deno.writeFile(path, content);
    else if (content instanceof OnnxModel) await Deno.writeFile(path, writeModel(content));
    else await Deno.writeTextFile(path, JSON.stringify(content));
  }
}
