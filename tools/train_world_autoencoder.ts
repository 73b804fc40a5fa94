/**
 * Trains the autoencoder of models/world-diffusion from scratch: `deno task train:autoencoder`.
 * The same seed on the same adapter gives the same files.
 *
 * Latents are learnt with noise of a fixed deviation on them and a weak pull to zero, as those of a
 * variational autoencoder whose variance is fixed, so that nearby latents are nearby images.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { type PixelSet, writeFileAtomic } from "../data/mod.ts";
import { Rng, rowMean, squaredError } from "../kernels/mod.ts";
import type { PreprocessSpec } from "../kernels/preprocess/spec.ts";
import { pixelSource } from "../methods/lbf/source.ts";
import {
  Adam,
  add,
  Batches,
  cosineSchedule,
  History,
  type ParameterSet,
  Tape,
  train,
  TrainingStep,
  Variable,
  warmUp,
} from "../nn/mod.ts";
import { type GraphNetwork, importGraph, writeModel } from "../onnx/mod.ts";
import { type Context, Gpu } from "../runtime/mod.ts";
import {
  decoderModel,
  encoderModel,
  IMAGE_SIZE,
  LATENT_CHANNELS,
  LATENT_SIZE,
} from "./_world_diffusion.ts";
import { drawWorld, NAMED_WORLD, shareOf, type WorldRange } from "./_world_images.ts";

const args = parseArgs(Deno.args, {
  string: ["out", "epochs", "batch", "rate", "seed", "share"],
  default: {
    out: "models/world-diffusion",
    epochs: "0.8",
    batch: "32",
    rate: "0.003",
    seed: "1",
    share: "1",
  },
});
const [epochs, batch, rate, seed, share] = [
  args.epochs,
  args.batch,
  args.rate,
  args.seed,
  args.share,
].map(Number) as [number, number, number, number, number];

/** Deviation of the noise on latents while they are learnt. */
const NOISE = 0.1;
/** Weight of the mean square of latents. */
const PULL = 1e-3;
const CHECKED: readonly WorldRange[] = [{ split: "val", count: 320 }];
const SPEC: PreprocessSpec = {
  resize: { width: IMAGE_SIZE, height: IMAGE_SIZE },
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.5, 0.5, 0.5],
  scale: [0.5, 0.5, 0.5],
  layout: "NCHW",
};

/** Both halves. */
interface Autoencoder {
  readonly encoder: GraphNetwork;
  readonly decoder: GraphNetwork;
}

const LATENT_SHAPE = [batch, LATENT_SIZE, LATENT_SIZE, LATENT_CHANNELS];

function draw(ctx: Context, ranges: readonly WorldRange[]): Promise<PixelSet> {
  return drawWorld(ctx, shareOf(ranges, share), () => {});
}

/** Records images, latents and reconstructions. */
function pass(tape: Tape, net: Autoencoder, x: Variable, noise?: Variable) {
  const z = net.encoder.forward(tape, { sample: x })["latent_sample"]!;
  const noisy = noise === undefined ? z : add(tape, z, noise);
  return { z, y: net.decoder.forward(tape, { "latent_sample": noisy })["sample"]! };
}

/** Quality on images that nothing was learnt from. */
async function check(ctx: Context, net: Autoencoder, images: PixelSet) {
  using input = pixelSource(images, { name: "sample", spec: SPEC }).open(ctx, batch);
  const [errors, latents] = [ctx.empty([batch]), ctx.empty(LATENT_SHAPE)];
  using step = new TrainingStep(ctx, (scope) => {
    const tape = new Tape(scope);
    const x = input.record(scope).get("sample")!;
    const { z, y } = pass(tape, net, x);
    scope.copy(squaredError(scope, { x: y.value, target: x.value }).loss, errors);
    scope.copy(z.value, latents);
  });
  let [error, squares, sum, count, seen] = [0, 0, 0, 0, 0];
  for (let begin = 0; begin + batch <= images.count; begin += batch) {
    const indices = Uint32Array.from({ length: batch }, (_, i) => begin + i);
    input.write({ indices, draws: new Int32Array(3 * batch) });
    step.run();
    const [losses, values] = await ctx.read(errors, latents);
    for (const loss of losses!) error += loss;
    for (const value of values!) {
      [squares, sum, count] = [squares + value ** 2, sum + value, count + 1];
    }
    seen += batch;
  }
  errors.dispose();
  latents.dispose();
  // Images are 2 wide, from -1 to 1.
  const psnr = 10 * Math.log10(4 / (error / seen));
  return { psnr, deviation: Math.sqrt(squares / count - (sum / count) ** 2) };
}

async function fit(ctx: Context, net: Autoencoder, of: { train: PixelSet; val: PixelSet }) {
  using input = pixelSource(of.train, { name: "sample", spec: SPEC }).open(ctx, batch);
  const noise = ctx.upload(
    new Float32Array(batch * LATENT_SIZE ** 2 * LATENT_CHANNELS),
    LATENT_SHAPE,
  );
  const zeros = ctx.upload(new Float32Array(noise.size), LATENT_SHAPE);
  const adam = (parameters: ParameterSet) => new Adam(ctx, parameters, { learningRate: rate });
  using forEncoder = adam(net.encoder.parameters);
  using forDecoder = adam(net.decoder.parameters);
  using history = new History(ctx, ["error"], 20);
  const batches = new Batches({ samples: of.train.count, batch, seed });
  using step = new TrainingStep(ctx, (scope) => {
    const tape = new Tape(scope);
    const x = input.record(scope).get("sample")!;
    const { z, y } = pass(tape, net, x, new Variable(noise));
    const error = squaredError(scope, { x: y.value, target: x.value });
    const pull = squaredError(scope, { x: z.value, target: zeros }, { scale: PULL / batch });
    history.record(scope, "error", rowMean(scope, { x: error.loss.reshape([1, batch]) }));
    tape.backward([{ variable: y, gradient: error.dX }, { variable: z, gradient: pull.dX }]);
    forEncoder.record(scope);
    forDecoder.record(scope);
  });
  const { stepsPerEpoch } = batches;
  const steps = Math.round(epochs * stepsPerEpoch);
  const warm = Math.min(100, Math.ceil(steps / 10));
  const schedule = warmUp(warm, cosineSchedule(Math.max(1, steps - warm)));
  const began = performance.now();
  const errors: number[] = [];
  const every = Math.max(1, Math.round(steps / 8));
  await train({
    step,
    history,
    optimizer: forEncoder,
    learningRate: rate,
    schedule,
    steps,
    prepare: (at) => {
      input.write(batches.at(at));
      const rng = new Rng(seed, at * 8 + 5);
      ctx.write(noise, Float32Array.from({ length: noise.size }, () => NOISE * rng.normal()));
      forDecoder.learningRate.value = rate * schedule(at);
      forDecoder.begin(at);
    },
    onRows: (rows) => errors.push(...rows.map(({ values }) => values["error"]!)),
    saveEvery: every,
    save: async (done) => {
      const seconds = (performance.now() - began) / 1000;
      const recent = errors.slice(-every);
      const mean = recent.reduce((sum, error) => sum + error, 0) / recent.length;
      const { psnr, deviation } = await check(ctx, net, of.val);
      console.error(
        `step ${done} of ${steps}: squared error ${mean.toFixed(5)}; validation ` +
          `${psnr.toFixed(2)} dB, latents deviate by ${deviation.toFixed(3)}; ` +
          `${seconds.toFixed(0)} s, ${(done * batch / seconds).toFixed(0)} images/s`,
      );
    },
  });
  noise.dispose();
  zeros.dispose();
}

using gpu = await Gpu.open();
const images = { train: await draw(gpu, NAMED_WORLD), val: await draw(gpu, CHECKED) };
console.error(`Drew ${images.train.count} images on ${gpu.adapter.description}`);
using encoder = importGraph(gpu, encoderModel(seed), { outputs: ["latent_sample"] });
using decoder = importGraph(gpu, decoderModel(seed), { outputs: ["sample"] });
await fit(gpu, { encoder, decoder }, images);
const { deviation } = await check(gpu, { encoder, decoder }, images.val);
for (const [part, net] of Object.entries({ vae_encoder: encoder, vae_decoder: decoder })) {
  await Deno.mkdir(`${args.out}/${part}`, { recursive: true });
  await writeFileAtomic(`${args.out}/${part}/model.onnx`, writeModel(await net.export()));
}
const config = { "scaling_factor": Number((1 / deviation).toFixed(5)), "sample_size": IMAGE_SIZE };
await writeFileAtomic(
  `${args.out}/vae_decoder/config.json`,
  JSON.stringify(config, undefined, 2) + "\n",
);
console.error(`Wrote ${args.out}`);
