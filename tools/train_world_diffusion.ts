/**
 * Trains the U-Net of models/world-diffusion from scratch, on latents of its autoencoder and texts
 * of models/world-clip: `deno task train:diffusion`. The same seed on the same adapter gives the
 * same files.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { writeFileAtomic } from "../data/mod.ts";
import { type SceneTags, sceneTags } from "../data/world/mod.ts";
import { Rng, rowMean, squaredError } from "../kernels/mod.ts";
import { cumulativeAlphas, parseScheduler } from "../methods/synood/ddim.ts";
import {
  Adam,
  Batches,
  cosineSchedule,
  History,
  Tape,
  train,
  TrainingStep,
  Variable,
  warmUp,
} from "../nn/mod.ts";
import {
  type GraphNetwork,
  importGraph,
  type OnnxSession,
  openSession,
  readModel,
  writeModel,
} from "../onnx/mod.ts";
import { type Context, Gpu } from "../runtime/mod.ts";
import { captionOf, WORLD_CONTEXT_LENGTH, worldIds } from "./_world_captions.ts";
import {
  IMAGE_SIZE,
  LATENT_CHANNELS,
  LATENT_SIZE,
  TIME_FEATURES,
  timeFeaturesOf,
  UNET_INPUTS,
  unetModel,
} from "./_world_diffusion.ts";
import { drawWorld, shareOf, type WorldRange } from "./_world_images.ts";
import { TEXT_WIDTH } from "./_world_text.ts";

const args = parseArgs(Deno.args, {
  string: ["out", "clip", "from", "steps", "batch", "rate", "seed", "share"],
  default: {
    out: "models/world-diffusion",
    clip: "models/world-clip",
    steps: "2200",
    batch: "32",
    rate: "0.002",
    seed: "1",
    share: "1",
  },
});
const [steps, batch, rate, seed, share] = [
  args.steps,
  args.batch,
  args.rate,
  args.seed,
  args.share,
].map(Number) as [number, number, number, number, number];

const TRAINING: readonly WorldRange[] = [
  { split: "train", count: 16_000 },
  { split: "near-ood", count: 8000 },
  { split: "background", count: 6000 },
];
/** Share of captions that are dropped, so that the U-Net learns what is likely without one. */
const DROPPED = 0.1;
/** Share of images that are to be painted anew as a whole; the others within a rectangle. */
const WHOLE = 0.7;
/** Images that the encoder takes at a time. */
const ENCODED = 50;

/** The schedule of Stable Diffusion. */
const SCHEDULER = {
  _class_name: "DDIMScheduler",
  num_train_timesteps: 1000,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  prediction_type: "epsilon",
  set_alpha_to_one: false,
  steps_offset: 1,
  timestep_spacing: "leading",
  clip_sample: false,
} as const;

const PLACES = LATENT_SIZE ** 2;
const LATENTS = PLACES * LATENT_CHANNELS;
const INPUTS = 2 * LATENT_CHANNELS + 1;
/** Pixels of an image that share one place of the latents, each way. */
const STRIDE = IMAGE_SIZE / LATENT_SIZE;

/** What the U-Net learns from. */
interface Latents {
  /** Scaled latents of every image, channels first. */
  readonly images: Float32Array;
  /** Those of the images with what is painted anew left out. */
  readonly masked: Float32Array;
  /** 1 where an image is painted anew, [N, places]. */
  readonly masks: Uint8Array;
  readonly tags: readonly SceneTags[];
}

/** The rectangle of places that is painted anew. */
function drawMask(rng: Rng): Uint8Array {
  const mask = new Uint8Array(PLACES);
  if (rng.uniform() < WHOLE) return mask.fill(1);
  const side = () => 4 + rng.integer(LATENT_SIZE - 4);
  const [width, height] = [side(), side()];
  const [left, top] = [rng.integer(LATENT_SIZE - width + 1), rng.integer(LATENT_SIZE - height + 1)];
  for (let y = top; y < top + height; y++) {
    mask.fill(1, y * LATENT_SIZE + left, y * LATENT_SIZE + left + width);
  }
  return mask;
}

/** An image's bytes as the encoder wants them, zeros where it is painted anew. */
function toPlanes(bytes: Uint8Array, mask: Uint8Array | undefined, planes: Float32Array): void {
  for (let i = 0; i < IMAGE_SIZE ** 2; i++) {
    const [x, y] = [i % IMAGE_SIZE, Math.floor(i / IMAGE_SIZE)];
    const place = Math.floor(y / STRIDE) * LATENT_SIZE + Math.floor(x / STRIDE);
    for (let c = 0; c < 3; c++) {
      planes[c * IMAGE_SIZE ** 2 + i] = mask?.[place] === 1 ? 0 : bytes[3 * i + c]! / 127.5 - 1;
    }
  }
}

async function encodeWorld(ctx: Context, scaling: number): Promise<Latents> {
  const tags: SceneTags[] = [];
  const pixels = await drawWorld(ctx, shareOf(TRAINING, share), (scene, i) => {
    tags[i] = sceneTags(scene);
  });
  await using encoder = await openSession(`${args.out}/vae_encoder/model.onnx`, { device: "wasm" });
  const images = new Float32Array(pixels.count * LATENTS);
  const masked = new Float32Array(images.length);
  const masks = new Uint8Array(pixels.count * PLACES);
  const elements = 3 * IMAGE_SIZE ** 2;
  const rng = new Rng(seed, 7);
  for (let begin = 0; begin < pixels.count; begin += ENCODED) {
    const count = Math.min(ENCODED, pixels.count - begin);
    const [plain, holed] = [new Float32Array(count * elements), new Float32Array(count * elements)];
    for (let i = 0; i < count; i++) {
      const bytes = pixels.rows.gather([begin + i]);
      const mask = drawMask(rng);
      masks.set(mask, (begin + i) * PLACES);
      toPlanes(bytes, undefined, plain.subarray(i * elements, (i + 1) * elements));
      toPlanes(bytes, mask, holed.subarray(i * elements, (i + 1) * elements));
    }
    for (const [from, to] of [[plain, images], [holed, masked]] as const) {
      const shape = [count, 3, IMAGE_SIZE, IMAGE_SIZE];
      const outputs = await encoder.run({ sample: { data: from, shape } });
      const latents = outputs["latent_sample"]!.data as Float32Array;
      to.set(latents.map((value) => value * scaling), begin * LATENTS);
    }
  }
  pixels[Symbol.dispose]();
  return { images, masked, masks, tags };
}

/** Means over the tokens of texts, each text once. */
class TextMeans {
  readonly #session: OnnxSession;
  readonly #known: Map<string, Float32Array> = new Map();

  constructor(session: OnnxSession) {
    this.#session = session;
  }

  async of(texts: readonly string[]): Promise<Float32Array[]> {
    const missing = [...new Set(texts)].filter((text) => !this.#known.has(text));
    if (missing.length > 0) await this.#encode(missing);
    return texts.map((text) => this.#known.get(text)!);
  }

  async #encode(texts: readonly string[]): Promise<void> {
    const length = WORLD_CONTEXT_LENGTH;
    const ids = new BigInt64Array(texts.length * length);
    const mask = new BigInt64Array(ids.length);
    texts.forEach((text, n) =>
      worldIds(text).forEach((id, i) => {
        ids[n * length + i] = BigInt(id);
        mask[n * length + i] = 1n;
      })
    );
    const shape = [texts.length, length];
    const outputs = await this.#session.run({
      input_ids: { data: ids, shape },
      attention_mask: { data: mask, shape },
    });
    const states = outputs["last_hidden_state"]!.data as Float32Array;
    texts.forEach((text, n) => {
      const mean = new Float32Array(TEXT_WIDTH);
      for (let i = 0; i < length * TEXT_WIDTH; i++) {
        mean[i % TEXT_WIDTH]! += states[n * length * TEXT_WIDTH + i]! / length;
      }
      this.#known.set(text, mean);
    });
  }
}

const ALPHAS = cumulativeAlphas(parseScheduler(SCHEDULER));

/** What one step reads, channels last. */
interface StepArrays {
  readonly sample: Float32Array<ArrayBuffer>;
  readonly noise: Float32Array<ArrayBuffer>;
  readonly time: Float32Array<ArrayBuffer>;
}

/** Noisy latents beside masks and masked images. */
function noisyBatch(latents: Latents, indices: Uint32Array, rng: Rng): StepArrays {
  const sample = new Float32Array(batch * PLACES * INPUTS);
  const noise = new Float32Array(batch * LATENTS);
  const time = new Float32Array(batch * TIME_FEATURES);
  indices.forEach((index, n) => {
    const t = rng.integer(ALPHAS.length);
    const [keep, add] = [Math.sqrt(ALPHAS[t]!), Math.sqrt(1 - ALPHAS[t]!)];
    time.set(timeFeaturesOf(t), n * TIME_FEATURES);
    for (let place = 0; place < PLACES; place++) {
      const row = (n * PLACES + place) * INPUTS;
      for (let c = 0; c < LATENT_CHANNELS; c++) {
        const from = index * LATENTS + c * PLACES + place;
        const epsilon = rng.normal();
        noise[(n * PLACES + place) * LATENT_CHANNELS + c] = epsilon;
        sample[row + c] = keep * latents.images[from]! + add * epsilon;
        sample[row + LATENT_CHANNELS + 1 + c] = latents.masked[from]!;
      }
      sample[row + LATENT_CHANNELS] = latents.masks[index * PLACES + place]!;
    }
  });
  return { sample, noise, time };
}

async function fit(ctx: Context, unet: GraphNetwork, latents: Latents): Promise<void> {
  await using session = await openSession(`${args.clip}/text_model.onnx`, { device: "wasm" });
  const means = new TextMeans(session);
  const side = LATENT_SIZE;
  const sample = ctx.upload(new Float32Array(batch * PLACES * INPUTS), [batch, side, side, INPUTS]);
  const noise = ctx.upload(new Float32Array(batch * LATENTS), [batch, side, side, LATENT_CHANNELS]);
  const time = ctx.upload(new Float32Array(batch * TIME_FEATURES), [batch, TIME_FEATURES]);
  const text = ctx.upload(new Float32Array(batch * TEXT_WIDTH), [batch, TEXT_WIDTH]);
  using adam = new Adam(ctx, unet.parameters, { learningRate: rate });
  using history = new History(ctx, ["error"], 20);
  const batches = new Batches({ samples: latents.tags.length, batch, seed });
  using step = new TrainingStep(ctx, (scope) => {
    const tape = new Tape(scope);
    const { "out_sample": found } = unet.forward(tape, {
      [UNET_INPUTS.sample]: new Variable(sample),
      [UNET_INPUTS.time]: new Variable(time),
      [UNET_INPUTS.text]: new Variable(text),
    });
    const error = squaredError(scope, { x: found!.value, target: noise });
    history.record(scope, "error", rowMean(scope, { x: error.loss.reshape([1, batch]) }));
    tape.backward([{ variable: found!, gradient: error.dX }]);
    adam.record(scope);
  });
  const warm = Math.min(100, Math.ceil(steps / 10));
  const began = performance.now();
  const errors: number[] = [];
  const every = Math.max(1, Math.round(steps / 10));
  await train({
    step,
    history,
    optimizer: adam,
    learningRate: rate,
    schedule: warmUp(warm, cosineSchedule(Math.max(1, steps - warm))),
    steps,
    prepare: async (at) => {
      const { indices } = batches.at(at);
      const rng = new Rng(seed, at * 8 + 6);
      const texts = Array.from(
        indices,
        (index) => rng.uniform() < DROPPED ? "" : captionOf(latents.tags[index]!, rng),
      );
      const arrays = noisyBatch(latents, indices, rng);
      const rows = new Float32Array(batch * TEXT_WIDTH);
      (await means.of(texts)).forEach((mean, n) => rows.set(mean, n * TEXT_WIDTH));
      ctx.write(sample, arrays.sample);
      ctx.write(noise, arrays.noise);
      ctx.write(time, arrays.time);
      ctx.write(text, rows);
    },
    onRows: (rows) => errors.push(...rows.map(({ values }) => values["error"]!)),
    saveEvery: every,
    save: (done) => {
      const seconds = (performance.now() - began) / 1000;
      const recent = errors.slice(-every);
      const mean = recent.reduce((sum, error) => sum + error, 0) / recent.length;
      console.error(
        `step ${done} of ${steps}: squared error of the noise ${mean.toFixed(4)}; ` +
          `${seconds.toFixed(0)} s, ${(done * batch / seconds).toFixed(0)} images/s`,
      );
      return Promise.resolve();
    },
  });
  for (const tensor of [sample, noise, time, text]) tensor.dispose();
}

const json = (value: unknown) => JSON.stringify(value, undefined, 2) + "\n";
const config = JSON.parse(await Deno.readTextFile(`${args.out}/vae_decoder/config.json`));
using gpu = await Gpu.open();
const latents = await encodeWorld(gpu, config.scaling_factor);
console.error(`Encoded ${latents.tags.length} images on ${gpu.adapter.description}`);
// A second run goes on from a first one, with other draws.
const start = args.from === undefined ? unetModel(seed) : await readModel(args.from);
using unet = importGraph(gpu, start, {
  inputs: Object.values(UNET_INPUTS),
  outputs: ["out_sample"],
});
console.error(`The U-Net has ${unet.parameters.count} parameters`);
await fit(gpu, unet, latents);
const files: Record<string, Uint8Array | string> = {
  "unet/model.onnx": writeModel(await unet.export()),
  "scheduler/scheduler_config.json": json(SCHEDULER),
  "text_encoder/model.onnx": await Deno.readFile(`${args.clip}/text_model.onnx`),
  "tokenizer/tokenizer.json": await Deno.readTextFile(`${args.clip}/tokenizer.json`),
  "tokenizer/tokenizer_config.json": await Deno.readTextFile(`${args.clip}/tokenizer_config.json`),
  "oodgpu.json": json({
    name: "World inpainting",
    description: "Latent inpainting diffusion of the images of data/world",
    license: "MIT",
    image_size: IMAGE_SIZE,
    context_length: WORLD_CONTEXT_LENGTH,
  }),
};
for (const [name, content] of Object.entries(files)) {
  const path = `${args.out}/${name}`;
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  await writeFileAtomic(path, content);
}
console.error(`Wrote ${args.out}`);
