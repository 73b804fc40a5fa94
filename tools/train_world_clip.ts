/**
 * Trains models/world-clip, a dual encoder of images and texts of the world, from scratch:
 * `deno task train:clip`. The same seed on the same adapter gives the same files.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { type PixelSet, writeFileAtomic } from "../data/mod.ts";
import { type SceneTags, sceneTags, WORLD_CLASSES, WORLD_UNSEEN_KINDS } from "../data/world/mod.ts";
import { crossEntropy, Rng, rowMean } from "../kernels/mod.ts";
import { type OpenSource, pixelSource } from "../methods/lbf/source.ts";
import {
  Adam,
  Batches,
  channelAffine,
  cosineSchedule,
  History,
  l2Normalize,
  linear,
  ParameterSet,
  Tape,
  train,
  TrainingStep,
  Variable,
  warmUp,
} from "../nn/mod.ts";
import {
  importNetwork,
  inspect,
  type Network,
  type OnnxModel,
  pruneUnused,
  removeOutputs,
  renameValues,
  writeModel,
} from "../onnx/mod.ts";
import { type Context, Gpu, type Tensor } from "../runtime/mod.ts";
import {
  captionOf,
  WORLD_ADJECTIVES,
  WORLD_CONTEXT_LENGTH,
  WORLD_NOUNS,
  WORLD_TOKENIZER_CONFIG,
  worldTokenizer,
} from "./_world_captions.ts";
import { drawWorld, NAMED_WORLD, shareOf, type WorldRange } from "./_world_images.ts";
import { WORLD_PREPROCESSING, worldNetwork } from "./_world_network.ts";
import { EMBED_WIDTH, embedTexts, TextBatch, textModel, textParameters } from "./_world_text.ts";

const args = parseArgs(Deno.args, {
  string: ["out", "epochs", "batch", "rate", "seed", "scale", "share"],
  default: {
    out: "models/world-clip",
    epochs: "6",
    batch: "128",
    rate: "0.002",
    seed: "1",
    scale: "20",
    share: "1",
  },
});
const [epochs, batch, rate, seed, scale, share] = [
  args.epochs,
  args.batch,
  args.rate,
  args.seed,
  args.scale,
  args.share,
].map(Number) as [number, number, number, number, number, number];

const WEIGHT_DECAY = 0.01;
const STAGES = [16, 32, 96];
const SPEC = WORLD_PREPROCESSING;
/** What they are checked on; the second part are scenes that they did not learn from. */
const CHECKED: readonly WorldRange[] = [
  { split: "val", count: 1000 },
  { split: "near-ood", begin: 16_000, count: 1000 },
];
const KINDS = [...WORLD_CLASSES, ...WORLD_UNSEEN_KINDS];

/** Images with what they show. */
interface Captioned {
  readonly pixels: PixelSet;
  readonly tags: readonly SceneTags[];
}

/** Both encoders. */
interface DualEncoder {
  readonly image: Network;
  readonly text: ParameterSet;
}

async function draw(ctx: Context, ranges: readonly WorldRange[]): Promise<Captioned> {
  const tags: SceneTags[] = [];
  const pixels = await drawWorld(ctx, shareOf(ranges, share), (scene, i) => {
    tags[i] = sceneTags(scene);
  });
  return { pixels, tags };
}

/** Embeddings of images, of unit length. */
function embedImages(tape: Tape, input: OpenSource, net: Network, training: boolean): Variable {
  return l2Normalize(tape, net.forward(tape, input.record(tape.ctx), { training }).logits);
}

/** Share of images whose kind has the nearest name, for classes and for the other kinds. */
async function zeroShot(ctx: Context, encoders: DualEncoder, images: Captioned): Promise<number[]> {
  const size = 100;
  using input = pixelSource(images.pixels, { name: "input", spec: SPEC }).open(ctx, size);
  using names = new TextBatch(ctx, KINDS.length);
  names.write(KINDS.map((kind) => `the nice ${kind}`));
  const found = ctx.empty([size, KINDS.length]);
  using step = new TrainingStep(ctx, (scope) => {
    const tape = new Tape(scope);
    const weight = l2Normalize(tape, embedTexts(tape, names, encoders.text));
    const cosines = linear(tape, embedImages(tape, input, encoders.image, false), { weight });
    scope.copy(cosines.value, found);
  });
  const hits = [0, 0];
  const counts = [0, 0];
  for (let begin = 0; begin < images.pixels.count; begin += size) {
    const indices = Uint32Array.from({ length: size }, (_, i) => begin + i);
    input.write({ indices, draws: new Int32Array(3 * size) });
    step.run();
    const [cosines] = await ctx.read(found);
    for (let i = 0; i < size; i++) {
      const { object, label } = images.tags[begin + i]!;
      const among = label < 0 ? KINDS.length : WORLD_CLASSES.length;
      const row = cosines!.subarray(i * KINDS.length, i * KINDS.length + among);
      const group = label < 0 ? 1 : 0;
      counts[group]!++;
      if (KINDS[row.indexOf(Math.max(...row))] === object) hits[group]!++;
    }
  }
  found.dispose();
  return hits.map((right, group) => right / counts[group]!);
}

/** Both directions of the contrastive loss, and the share of images that find their caption. */
function contrast(tape: Tape, pair: { image: Variable; text: Variable }, vectors: ScaleVectors) {
  const { image, text } = pair;
  const { scales, zeros, halves, labels } = vectors;
  const towards = (x: Variable, weight: Variable) => {
    const cosines = linear(tape, x, { weight });
    const logits = channelAffine(tape, cosines, {
      weight: new Variable(scales),
      bias: new Variable(zeros),
      zeros,
      halves,
    });
    const found = crossEntropy(tape.ctx, { logits: logits.value, labels }, { scale: 0.5 / batch });
    return { ...found, seed: { variable: logits, gradient: found.dLogits } };
  };
  return [towards(image, text), towards(text, image)] as const;
}

/** Constants of the loss. */
interface ScaleVectors {
  readonly scales: Tensor;
  readonly zeros: Tensor;
  readonly halves: Tensor;
  readonly labels: Tensor;
}

async function fit(ctx: Context, encoders: DualEncoder, of: { train: Captioned; val: Captioned }) {
  const { pixels, tags } = of.train;
  using input = pixelSource(pixels, { name: "input", spec: SPEC }).open(ctx, batch);
  using texts = new TextBatch(ctx, batch);
  const filled = (value: number) => ctx.upload(new Float32Array(batch).fill(value), [batch]);
  const vectors: ScaleVectors = {
    scales: filled(scale),
    zeros: filled(0),
    halves: filled(0.5),
    labels: ctx.upload(Int32Array.from({ length: batch }, (_, i) => i), [batch]),
  };
  const adamW = (parameters: ParameterSet) =>
    new Adam(ctx, parameters, { learningRate: rate, weightDecay: WEIGHT_DECAY, decoupled: true });
  using forImages = adamW(encoders.image.parameters);
  using forTexts = adamW(encoders.text);
  using history = new History(ctx, ["loss", "found"], 20);
  const batches = new Batches({
    samples: pixels.count,
    batch,
    seed,
    augment: { shift: 4, flip: false },
  });
  using step = new TrainingStep(ctx, (scope) => {
    const tape = new Tape(scope);
    const image = embedImages(tape, input, encoders.image, true);
    const text = l2Normalize(tape, embedTexts(tape, texts, encoders.text));
    const [forward, backward] = contrast(tape, { image, text }, vectors);
    const mean = (values: Tensor) => rowMean(scope, { x: values.reshape([1, batch]) });
    history.record(scope, "loss", mean(forward.loss));
    history.record(scope, "found", mean(forward.correct));
    tape.backward([forward.seed, backward.seed]);
    forImages.record(scope);
    forTexts.record(scope);
  });
  const { stepsPerEpoch } = batches;
  const steps = epochs * stepsPerEpoch;
  const warm = Math.ceil(stepsPerEpoch / 4);
  const schedule = warmUp(warm, cosineSchedule(Math.max(1, steps - warm)));
  const began = performance.now();
  const rows: Readonly<Record<string, number>>[] = [];
  await train({
    step,
    history,
    optimizer: forImages,
    learningRate: rate,
    schedule,
    steps,
    prepare: (at) => {
      const drawn = batches.at(at);
      input.write(drawn);
      const rng = new Rng(seed, at * 8 + 3);
      texts.write(Array.from(drawn.indices, (index) => captionOf(tags[index]!, rng)));
      forTexts.learningRate.value = rate * schedule(at);
      forTexts.begin(at);
    },
    onRows: (read) => rows.push(...read.map(({ values }) => values)),
    saveEvery: stepsPerEpoch,
    save: async (done) => {
      const seconds = (performance.now() - began) / 1000;
      const recent = rows.slice(-stepsPerEpoch);
      const mean = (name: string) =>
        recent.reduce((sum, row) => sum + row[name]!, 0) / recent.length;
      const [classes, others] = await zeroShot(ctx, encoders, of.val);
      console.error(
        `epoch ${done / stepsPerEpoch}: loss ${mean("loss").toFixed(4)}, own caption nearest ` +
          `${percent(mean("found"))}; zero-shot ${percent(classes!)} of the classes, ` +
          `${percent(others!)} of 48 kinds where the kind is no class; ${seconds.toFixed(0)} s, ` +
          `${(done * batch / seconds).toFixed(0)} images/s`,
      );
    },
  });
  for (const tensor of Object.values(vectors) as Tensor[]) tensor.dispose();
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

/** The image side with CLIP's names. */
function imageModel(exported: OnnxModel): OnnxModel {
  const alone = pruneUnused(removeOutputs(exported, ["feature_map"]));
  return renameValues(alone, { input: "pixel_values", logits: "image_embeds" });
}

async function write(folder: string, model: { image: OnnxModel; text: OnnxModel }) {
  const json = (value: unknown) => JSON.stringify(value, undefined, 2) + "\n";
  await Deno.mkdir(folder, { recursive: true });
  const files: Record<string, Uint8Array | string> = {
    "vision_model.onnx": writeModel(model.image),
    "text_model.onnx": writeModel(model.text),
    "tokenizer.json": json(worldTokenizer()),
    "tokenizer_config.json": json(WORLD_TOKENIZER_CONFIG),
    "nouns.txt": WORLD_NOUNS.join("\n") + "\n",
    "adjectives.txt": WORLD_ADJECTIVES.join("\n") + "\n",
    "vision_model.json": json({
      name: "World CLIP, images",
      license: "MIT",
      input: "pixel_values",
      preprocessing: SPEC,
      outputs: { image_embed: "image_embeds" },
    }),
    "oodgpu.json": json({
      name: "World CLIP",
      description: "Images and texts of data/world in one space",
      license: "MIT",
      preprocessing: SPEC,
      logit_scale: scale,
      context_length: WORLD_CONTEXT_LENGTH,
    }),
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFileAtomic(`${folder}/${name}`, content);
  }
}

using gpu = await Gpu.open();
const images = { train: await draw(gpu, NAMED_WORLD), val: await draw(gpu, CHECKED) };
console.error(`Drew ${images.train.pixels.count} images on ${gpu.adapter.description}`);
const start = worldNetwork({ classes: EMBED_WIDTH, seed, stages: STAGES });
using image = importNetwork(gpu, start, inspect(start));
using text = new ParameterSet(gpu, textParameters(seed));
await fit(gpu, { image, text }, images);
await write(args.out, {
  image: imageModel(await image.export()),
  text: textModel(await text.read()),
});
console.error(`Wrote ${args.out}`);
