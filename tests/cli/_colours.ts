/**
 * A tagger that sees colours, and pictures of coloured things: what the tests of `ood tagood` show
 * to it.
 *
 * @module
 */

import { openFeatures } from "../../data/mod.ts";
import {
  GraphBuilder,
  type HostArray,
  type OnnxModel,
  type Sidecar,
  writeModel,
} from "../../onnx/mod.ts";
import { encodeRgbPng, makeImage } from "../_support/images.ts";
import { waves } from "../onnx/_models.ts";
import { type Run, succeed, type Workshop, workshop } from "./_workshop.ts";

/** Tags of the tagger, in its order. */
export const TAGS: readonly string[] = ["red", "green", "blue", "bright", "dark"];
/** What each tag looks for in red, green and blue from -1 to 1. */
const LOOKS = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1], [-1, -1, -1]];
/** Width of the images, of a patch of them, and of a token. */
const [SIDE, PATCH, WIDTH] = [16, 4, 6];
/** Number of tokens of an image. */
export const TOKENS: number = (SIDE / PATCH) ** 2;

/** What is said of the tagger. */
export const COLOUR_SIDECAR: Sidecar = {
  preprocessing: {
    resize: { width: SIDE, height: SIDE },
    interpolation: "bilinear",
    channels: "RGB",
    range: 1,
    mean: [0.5, 0.5, 0.5],
    scale: [0.5, 0.5, 0.5],
    layout: "NCHW",
  },
  outputs: { tokens: "tokens", "tag_logits": "scores", attention: "attention" },
  tags: TAGS,
  "tag_thresholds": 0.5,
};

/**
 * The tagger: tokens [N, 16, 6] are means of patches, mixed; attention [N, 5, 16] is where a tag's
 * colour is; a tag's logit [N, 5] tells of the patch that has most of it. Its output `shaky` is
 * attention that is NaN where a logit is above 0.
 */
export function colourTagger(): OnnxModel {
  const b = new GraphBuilder({ name: "colours" });
  const image = b.input("image", ["N", 3, SIDE, SIDE]);
  const area = PATCH * PATCH;
  const means = Float32Array.from(
    { length: 9 * area },
    (_, i) => Math.floor(i / area) % 4 === 0 ? 1 / area : 0,
  );
  const colours = b.node("Conv", [
    image,
    b.constant(means, { shape: [3, 3, PATCH, PATCH], name: "patch.weight" }),
  ], { attributes: { kernel_shape: [4n, 4n], strides: [4n, 4n] } });
  const flat = b.node("Reshape", [colours, b.ints([0, 3, -1])]);
  const places = b.node("Transpose", [flat], { attributes: { perm: [0n, 2n, 1n] } });
  const mix = b.constant(waves(3 * WIDTH), { shape: [3, WIDTH], name: "mix" });
  b.output("tokens", b.node("MatMul", [places, mix]));
  const looks = b.constant(Float32Array.from(LOOKS.flat(), (look) => 4 * look), {
    shape: [TAGS.length, 3],
    name: "looks",
  });
  const seen = b.node("MatMul", [looks, flat]);
  const attention = b.node("Softmax", [seen], {
    attributes: { axis: -1n },
    output: "attention",
  });
  const most = b.reduce("ReduceMax", seen, { axes: [2] });
  const scores = b.node("Sub", [most, b.constant(Float32Array.of(6))], { output: "scores" });
  b.output("attention", attention);
  b.output("scores", scores);
  const roots = b.node("Sqrt", [b.node("Neg", [scores])]);
  b.output("shaky", b.node("Mul", [attention, b.unsqueeze(roots, [2])]));
  return b.build();
}

/** Writes the tagger with what is said of it. */
export async function writeTagger(
  path: string,
  { model = colourTagger(), sidecar = COLOUR_SIDECAR }: {
    readonly model?: OnnxModel;
    readonly sidecar?: unknown;
  } = {},
): Promise<void> {
  await Deno.writeFile(path, writeModel(model));
  await Deno.writeTextFile(path.replace(/\.onnx$/, ".json"), JSON.stringify(sidecar));
}

/** Colours of the things of each class. */
const THINGS: Readonly<Record<string, readonly number[]>> = {
  cherry: [235, 15, 20],
  leaf: [20, 230, 25],
  sea: [15, 20, 240],
};

/** The colour of nothing. */
export const GREY: readonly number[] = [120, 120, 120];
/** A colour that is taken for red. */
export const ROSE: readonly number[] = [235, 20, 110];

/** Writes pictures of a thing on grey ground, or of the ground alone. */
export async function writeThings(
  folder: string,
  count: number,
  { colour, seed = 0 }: { readonly colour: readonly number[]; readonly seed?: number },
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (let i = 0; i < count; i++) {
    const noise = waves(3 * SIDE * SIDE, seed + i + 1);
    const [left, top] = [(3 * i + seed) % 8, (5 * i + 2 * seed) % 8];
    const image = makeImage(SIDE, SIDE, (x, y, c) => {
      const inside = x >= left && x < left + 8 && y >= top && y < top + 8;
      const shade = 24 * noise[3 * (y * SIDE + x) + c]!;
      return Math.round(Math.min(255, Math.max(0, (inside ? colour[c]! : 120) + shade)));
    });
    await Deno.writeFile(`${folder}/${String(i).padStart(2, "0")}.png`, await encodeRgbPng(image));
  }
}

/** Writes a folder of pictures for each class. */
export async function writeClasses(folder: string, each: number, seed = 0): Promise<void> {
  for (const [name, colour] of Object.entries(THINGS)) {
    await writeThings(`${folder}/${name}`, each, { colour, seed });
  }
}

/** Where models run here. */
export const WASM: readonly string[] = ["--device", "wasm"];
/** A training that is over in a moment. */
export const SMALL: readonly string[] = [
  ...["--width", "8", "--heads", "2", "--hidden", "8", "--depth", "1"],
  ...["--batch", "8", "--rate", "0.01"],
];
/** The arrays of a file of object tokens. */
export const OBJECT_KEYS: readonly string[] = [
  "object_counts",
  "object_tokens",
  "tag_count",
  "tag_score",
];

/** Pictures, and a tagger's outputs of some of them. */
export async function prepared(
  ...sets: readonly ("train" | "test" | "grey" | "rose")[]
): Promise<Workshop> {
  const shop = await workshop();
  const { file } = shop;
  await writeTagger(file("t.onnx"));
  await writeClasses(file("train"), 8);
  await writeClasses(file("test"), 4, 50);
  // An image of a known class in which nothing is seen.
  await writeThings(file("test/leaf"), 1, { colour: GREY });
  await writeThings(file("grey"), 5, { colour: GREY, seed: 3 });
  await writeThings(file("rose"), 6, { colour: ROSE, seed: 9 });
  for (const name of sets) {
    const labels = name === "train" || name === "test" ? "folder" : "none";
    await succeed(
      ...["extract", "--model", file("t.onnx"), "--images", file(name), "--labels", labels],
      ...["--out", file(`${name}.st`), "--threads", "1", "--workers", "0", ...WASM],
    );
  }
  return shop;
}

/** Makes the vocabulary of the training images, and object tokens of some sets. */
export async function withObjects({ file }: Workshop, ...sets: readonly string[]): Promise<void> {
  await succeed(
    ...["tagood", "vocab", "--features", file("train.st"), "--out", file("v.json")],
  );
  for (const name of sets) {
    await succeed(
      ...["tagood", "features", "--features", file(`${name}.st`), "--vocabulary", file("v.json")],
      ...["--out", file(`${name}.objects`)],
    );
  }
}

/** Trains on the training images' object tokens. */
export function train({ file }: Workshop, ...more: string[]): Promise<Run> {
  return succeed(
    ...["tagood", "train", "--objects", file("train.objects"), "--out", file("d.st")],
    ...[...SMALL, ...more],
  );
}

/** Arrays of a feature file. */
export async function arraysOf(
  path: string,
  keys: readonly string[],
): Promise<Record<string, HostArray>> {
  await using set = await openFeatures(path);
  const arrays: Record<string, HostArray> = {};
  for (const key of keys) arrays[key] = await set.read(key);
  return arrays;
}
