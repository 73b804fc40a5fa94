/**
 * Trains models/world-tagger.onnx: `deno task train:tagger`. The encoder begins as that of
 * models/world-classifier.onnx and learns on, the tagging head from scratch, on everything that a
 * scene shows. The same seed on the same adapter gives the same file.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { type PixelSet, writeFileAtomic } from "../data/mod.ts";
import { sceneTags, WORLD_CLASSES, type WorldSplitName } from "../data/world/mod.ts";
import { binaryCrossEntropy, rowMean } from "../kernels/mod.ts";
import { type OpenSource, pixelSource } from "../methods/lbf/source.ts";
import {
  Adam,
  Batches,
  cosineSchedule,
  History,
  ParameterSet,
  Tape,
  train,
  TrainingStep,
  warmUp,
} from "../nn/mod.ts";
import { importNetwork, inspect, type Network, readModel, writeModel } from "../onnx/mod.ts";
import { type Context, Gpu, type Tensor } from "../runtime/mod.ts";
import { drawWorld } from "./_world_images.ts";
import { WORLD_PREPROCESSING } from "./_world_network.ts";
import {
  type TaggerLists,
  taggerLists,
  taggerModel,
  taggerParameters,
  tagLogits,
  tagTargets,
  WORLD_TAGS,
} from "./_world_tagger.ts";

const args = parseArgs(Deno.args, {
  string: ["out", "epochs", "images", "batch", "rate", "seed", "encoder"],
  default: {
    encoder: "models/world-classifier.onnx",
    out: "models/world-tagger.onnx",
    epochs: "4",
    images: "20000",
    batch: "64",
    rate: "0.002",
    seed: "1",
  },
});
const [epochs, count, batch, rate, seed] = [
  args.epochs,
  args.images,
  args.batch,
  args.rate,
  args.seed,
].map(Number) as [number, number, number, number, number];

/** Probability from which a tag counts as predicted. */
const THRESHOLD = 0.5;
const WEIGHT_DECAY = 0.01;
const CHECK_BATCH = 100;
const M = WORLD_TAGS.length;

/** Images of a split with their tags. */
interface TaggedImages {
  readonly pixels: PixelSet;
  /** One row of 0 and 1 for each image. */
  readonly targets: Uint8Array;
}

async function draw(ctx: Context, split: WorldSplitName, images: number): Promise<TaggedImages> {
  const targets = new Uint8Array(images * M);
  const pixels = await drawWorld(ctx, { split, count: images }, (scene, i) => {
    targets.set(tagTargets(sceneTags(scene)), i * M);
  });
  return { pixels, targets };
}

/** The encoder and the head. */
interface Tagger {
  readonly encoder: Network;
  readonly head: ParameterSet;
}

/** Records the logits of a batch. */
function forward(
  scope: Context,
  { encoder, head }: Tagger,
  how: { readonly input: OpenSource; readonly lists: TaggerLists; readonly training: boolean },
) {
  const tape = new Tape(scope);
  const map = encoder.forward(tape, how.input.record(scope), { training: how.training })
    .featureMap!;
  return { tape, logits: tagLogits(tape, map, head, how.lists) };
}

/** How well tags are found. */
interface Quality {
  /** Harmonic mean of precision and recall over all tags. */
  readonly f1: number;
  /** Share of images whose likeliest kind is the right one. */
  readonly kind: number;
  /** Share of images for which no kind is predicted. */
  readonly untagged: number;
}

async function check(ctx: Context, tagger: Tagger, images: TaggedImages): Promise<Quality> {
  const size = CHECK_BATCH;
  using input = pixelSource(images.pixels, { name: "input", spec: WORLD_PREPROCESSING })
    .open(ctx, size);
  const lists = taggerLists(ctx, size);
  const found = ctx.empty([size, M]);
  using step = new TrainingStep(ctx, (scope) => {
    const { logits } = forward(scope, tagger, { input, lists, training: false });
    scope.copy(logits.value, found);
  });
  const limit = Math.log(THRESHOLD / (1 - THRESHOLD));
  let [hits, predicted, present, right, untagged] = [0, 0, 0, 0, 0];
  for (let begin = 0; begin < images.pixels.count; begin += size) {
    const indices = Uint32Array.from({ length: size }, (_, i) => begin + i);
    input.write({ indices, draws: new Int32Array(3 * size) });
    step.run();
    const [logits] = await ctx.read(found);
    for (let i = 0; i < size; i++) {
      const row = logits!.subarray(i * M, (i + 1) * M);
      const truth = images.targets.subarray((begin + i) * M, (begin + i + 1) * M);
      row.forEach((logit, tag) => {
        if (logit > limit) predicted++;
        if (truth[tag] === 1) present++;
        if (logit > limit && truth[tag] === 1) hits++;
      });
      const kinds = row.subarray(0, WORLD_CLASSES.length);
      const best = kinds.indexOf(Math.max(...kinds));
      if (truth[best] === 1) right++;
      if (kinds[best]! <= limit) untagged++;
    }
  }
  for (const tensor of [found, lists.queries, lists.tokens]) tensor.dispose();
  const { count: all } = images.pixels;
  return { f1: 2 * hits / (predicted + present), kind: right / all, untagged: untagged / all };
}

function describe({ f1, kind, untagged }: Quality): string {
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  return `F1 ${percent(f1)}, kind ${percent(kind)}, no kind predicted ${percent(untagged)}`;
}

async function fit(ctx: Context, tagger: Tagger, of: { train: TaggedImages; val: TaggedImages }) {
  const { pixels, targets } = of.train;
  using input = pixelSource(pixels, { name: "input", spec: WORLD_PREPROCESSING }).open(ctx, batch);
  const wanted: Tensor = ctx.upload(new Float32Array(batch * M), [batch, M]);
  const lists = taggerLists(ctx, batch);
  const adamW = (parameters: ParameterSet) =>
    new Adam(ctx, parameters, { learningRate: rate, weightDecay: WEIGHT_DECAY, decoupled: true });
  using forEncoder = adamW(tagger.encoder.parameters);
  using forHead = adamW(tagger.head);
  using history = new History(ctx, ["loss"], 20);
  const batches = new Batches({
    samples: pixels.count,
    batch,
    seed,
    augment: { shift: 4, flip: false },
  });
  using step = new TrainingStep(ctx, (scope) => {
    const { tape, logits } = forward(scope, tagger, { input, lists, training: true });
    const { loss, dLogits } = binaryCrossEntropy(scope, { logits: logits.value, targets: wanted });
    history.record(scope, "loss", rowMean(scope, { x: loss.reshape([1, batch]) }));
    tape.backward([{ variable: logits, gradient: dLogits }]);
    forEncoder.record(scope);
    forHead.record(scope);
  });
  const { stepsPerEpoch } = batches;
  const steps = epochs * stepsPerEpoch;
  const warm = Math.ceil(stepsPerEpoch / 4);
  const schedule = warmUp(warm, cosineSchedule(Math.max(1, steps - warm)));
  const began = performance.now();
  const losses: number[] = [];
  await train({
    step,
    history,
    optimizer: forEncoder,
    learningRate: rate,
    schedule,
    steps,
    prepare: (at) => {
      const drawn = batches.at(at);
      input.write(drawn);
      const rows = new Float32Array(batch * M);
      drawn.indices.forEach((index, i) => {
        rows.set(targets.subarray(index * M, (index + 1) * M), i * M);
      });
      ctx.write(wanted, rows);
      forHead.learningRate.value = rate * schedule(at);
      forHead.begin(at);
    },
    onRows: (rows) => losses.push(...rows.map(({ values }) => values["loss"]!)),
    saveEvery: stepsPerEpoch,
    save: async (done) => {
      const seconds = (performance.now() - began) / 1000;
      const recent = losses.slice(-stepsPerEpoch);
      const mean = recent.reduce((sum, loss) => sum + loss, 0) / recent.length;
      console.error(
        `epoch ${done / stepsPerEpoch}: loss ${mean.toFixed(4)}; validation ` +
          `${describe(await check(ctx, tagger, of.val))}; ${seconds.toFixed(0)} s, ` +
          `${(done * batch / seconds).toFixed(0)} images/s`,
      );
    },
  });
  for (const tensor of [wanted, lists.queries, lists.tokens]) tensor.dispose();
}

using gpu = await Gpu.open();
const images = {
  train: await draw(gpu, "train", count),
  val: await draw(gpu, "val", 2000),
};
console.error(`Drew ${count} training images on ${gpu.adapter.description}`);
const start = await readModel(args.encoder);
using encoder = importNetwork(gpu, start, inspect(start), { insertNorms: "never" });
using head = new ParameterSet(gpu, taggerParameters(seed));
await fit(gpu, { encoder, head }, images);
const test = await draw(gpu, "test", 2000);
console.error(`Test: ${describe(await check(gpu, { encoder, head }, test))}`);
const model = taggerModel(await encoder.export(), await head.read());
await writeFileAtomic(args.out, writeModel(model));
await writeFileAtomic(
  args.out.replace(/\.onnx$/, ".json"),
  JSON.stringify(
    {
      name: "World tagger",
      description: `What an image of data/world shows, in ${M} tags, and where it looks for each`,
      license: "MIT",
      input: "input",
      preprocessing: WORLD_PREPROCESSING,
      tags: WORLD_TAGS,
      "tag_thresholds": THRESHOLD,
      outputs: { tokens: "tokens", "tag_logits": "tag_logits", attention: "attention" },
    },
    undefined,
    2,
  ) + "\n",
);
console.error(`Wrote ${args.out}`);
