/**
 * Trains models/world-classifier.onnx from scratch: `deno task train:world`. The same seed on the
 * same adapter gives the same file.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { type PixelSet, writeFileAtomic } from "../data/mod.ts";
import { WORLD_CLASSES, type WorldSplitName } from "../data/world/mod.ts";
import { crossEntropy, rowMean } from "../kernels/mod.ts";
import { pixelSource } from "../methods/lbf/source.ts";
import {
  Batches,
  cosineSchedule,
  History,
  Sgd,
  Tape,
  train,
  TrainingStep,
  warmUp,
} from "../nn/mod.ts";
import { importNetwork, inspect, type Network, type OnnxModel, writeModel } from "../onnx/mod.ts";
import { type Context, Gpu } from "../runtime/mod.ts";
import { drawWorld } from "./_world_images.ts";
import { WORLD_PREPROCESSING, worldNetwork } from "./_world_network.ts";

const args = parseArgs(Deno.args, {
  string: ["out", "epochs", "images", "batch", "rate", "seed"],
  default: {
    out: "models/world-classifier.onnx",
    epochs: "8",
    images: "20000",
    batch: "64",
    rate: "0.1",
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

/** Images of a split with their labels. */
interface WorldImages {
  readonly pixels: PixelSet;
  readonly labels: Int32Array<ArrayBuffer>;
}

async function draw(ctx: Context, split: WorldSplitName, count: number): Promise<WorldImages> {
  const labels = new Int32Array(count);
  const pixels = await drawWorld(ctx, { split, count }, ({ label }, i) => labels[i] = label);
  return { pixels, labels };
}

/** Share of images whose largest logit is their class's. */
async function accuracy(ctx: Context, net: Network, images: WorldImages): Promise<number> {
  const { pixels, labels } = images;
  const size = 100;
  using input = pixelSource(pixels, { name: "input", spec: WORLD_PREPROCESSING }).open(ctx, size);
  const targets = ctx.upload(new Int32Array(size), [size]);
  const correct = ctx.empty([size]);
  using step = new TrainingStep(ctx, (scope) => {
    const outputs = net.forward(new Tape(scope), input.record(scope), { gradients: false });
    const found = crossEntropy(scope, { logits: outputs.logits.value, labels: targets });
    scope.copy(found.correct, correct);
  });
  let right = 0;
  for (let begin = 0; begin < pixels.count; begin += size) {
    const indices = Uint32Array.from({ length: size }, (_, i) => begin + i);
    input.write({ indices, draws: new Int32Array(3 * size) });
    ctx.write(targets, labels.slice(begin, begin + size));
    step.run();
    const [hits] = await ctx.read(correct);
    for (const hit of hits!) right += hit;
  }
  targets.dispose();
  correct.dispose();
  return right / pixels.count;
}

async function fit(ctx: Context, images: WorldImages, validation: WorldImages): Promise<OnnxModel> {
  const model = worldNetwork({ classes: WORLD_CLASSES.length, seed });
  using net = importNetwork(ctx, model, inspect(model));
  using input = pixelSource(images.pixels, { name: "input", spec: WORLD_PREPROCESSING })
    .open(ctx, batch);
  const labels = ctx.upload(new Int32Array(batch), [batch]);
  using sgd = new Sgd(ctx, net.parameters, {
    learningRate: rate,
    momentum: 0.9,
    weightDecay: 5e-4,
    nesterov: true,
  });
  using history = new History(ctx, ["loss", "accuracy"], 20);
  const batches = new Batches({
    samples: images.pixels.count,
    batch,
    seed,
    augment: { shift: 4, flip: false },
  });
  using step = new TrainingStep(ctx, (scope) => {
    const tape = new Tape(scope);
    const { logits } = net.forward(tape, input.record(scope), { training: true });
    const { loss, dLogits, correct } = crossEntropy(scope, { logits: logits.value, labels });
    const mean = (values: typeof loss) => rowMean(scope, { x: values.reshape([1, batch]) });
    history.record(scope, "loss", mean(loss));
    history.record(scope, "accuracy", mean(correct));
    tape.backward([{ variable: logits, gradient: dLogits }]);
    sgd.record(scope);
  });
  const { stepsPerEpoch } = batches;
  const steps = epochs * stepsPerEpoch;
  const began = performance.now();
  let sums = { loss: 0, accuracy: 0, steps: 0 };
  await train({
    step,
    history,
    optimizer: sgd,
    learningRate: rate,
    schedule: warmUp(stepsPerEpoch, cosineSchedule(Math.max(1, steps - stepsPerEpoch))),
    steps,
    prepare: (at) => {
      const drawn = batches.at(at);
      input.write(drawn);
      ctx.write(labels, Int32Array.from(drawn.indices, (index) => images.labels[index]!));
    },
    onRows: (rows) => {
      for (const { values } of rows) {
        sums = {
          loss: sums.loss + values["loss"]!,
          accuracy: sums.accuracy + values["accuracy"]!,
          steps: sums.steps + 1,
        };
      }
    },
    saveEvery: stepsPerEpoch,
    save: async (done) => {
      const seconds = (performance.now() - began) / 1000;
      const validated = await accuracy(ctx, net, validation);
      console.error(
        `epoch ${done / stepsPerEpoch}: loss ${(sums.loss / sums.steps).toFixed(4)}, accuracy ` +
          `${(100 * sums.accuracy / sums.steps).toFixed(2)} % training, ` +
          `${(100 * validated).toFixed(2)} % validation; ${seconds.toFixed(0)} s, ` +
          `${(done * batch / seconds).toFixed(0)} images/s`,
      );
      sums = { loss: 0, accuracy: 0, steps: 0 };
    },
  });
  labels.dispose();
  return await net.export();
}

using gpu = await Gpu.open();
const images = await draw(gpu, "train", count);
const validation = await draw(gpu, "val", 2000);
const test = await draw(gpu, "test", 2000);
console.error(`Drew ${count} training images on ${gpu.adapter.description}`);
const model = await fit(gpu, images, validation);
{
  using net = importNetwork(gpu, model, inspect(model), { trainable: "none" });
  const share = await accuracy(gpu, net, test);
  console.error(`Test accuracy ${(100 * share).toFixed(2)} % of ${test.pixels.count} images`);
}
await writeFileAtomic(args.out, writeModel(model));
await writeFileAtomic(
  args.out.replace(/\.onnx$/, ".json"),
  JSON.stringify(
    {
      name: "World classifier",
      description: `A small residual network for the ${WORLD_CLASSES.length} kinds of data/world`,
      license: "MIT",
      input: "input",
      preprocessing: WORLD_PREPROCESSING,
      labels: WORLD_CLASSES,
      outputs: { logits: "logits", feature_map: "feature_map" },
    },
    undefined,
    2,
  ) + "\n",
);
console.error(`Wrote ${args.out}`);
