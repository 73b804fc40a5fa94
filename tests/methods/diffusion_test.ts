import { assert, assertEquals, assertRejects } from "@std/assert";
import { Ddim } from "../../methods/synood/ddim.ts";
import { type LatentDiffusion, openDiffusion } from "../../methods/synood/diffusion.ts";
import { diffusionHashes } from "../../methods/synood/diffusion_folder.ts";
import {
  type DiffusionOptions,
  textEncoder,
  unet,
  vaeDecoder,
  vaeEncoder,
  withDataBeside,
  writeDiffusion,
} from "../_support/diffusion.ts";
import { loadTokenizer, type OnnxModel, openSession, type SessionInput } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { makeImage, temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SIDE = 16;
const SCALING = 0.5;
const SIZE = 4 * 4 * 4;
const TOKENS = 6 * 8;

/** A folder of its own with a model, opened. */
async function opened(
  options: DiffusionOptions = {},
): Promise<{ model: LatentDiffusion; path: string } & AsyncDisposable> {
  const folder = await temporaryFolder();
  const path = `${folder.path}/diffusion`;
  await writeDiffusion(path, options);
  const model = await openDiffusion(path, { device: "wasm" });
  return {
    model,
    path,
    async [Symbol.asyncDispose]() {
      await model[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function run(model: OnnxModel, inputs: Record<string, SessionInput>): Promise<Float32Array> {
  await using session = await openSession(model, { device: "wasm" });
  const outputs = await session.run(inputs);
  return Object.values(outputs)[0]!.data as Float32Array;
}

function wave(count: number, phase: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(5.1 * i + phase));
}

Deno.test("openDiffusion() reads sizes, schedule and scaling from a folder", async () => {
  await using open = await opened();
  const { info, contextLength } = open.model;
  assertEquals(info.image, { width: SIDE, height: SIDE });
  assertEquals(info.latents, { channels: 4, height: 4, width: 4 });
  assertEquals(info.context, { length: 6, width: 8 });
  assertEquals(contextLength, 6);
  assertEquals(info.scalingFactor, SCALING);
  assertEquals(info.scheduler.betaSchedule, "scaled_linear");
  assertEquals(info.prompt, undefined);
});

Deno.test("openDiffusion() finds sizes that graphs leave open in configurations", async () => {
  await using open = await opened({ open: true });
  assertEquals(open.model.info.image, { width: SIDE, height: SIDE });
  assertEquals(open.model.info.latents, { channels: 4, height: 4, width: 4 });
  // The tokenizer says how long a prompt may be.
  assertEquals(open.model.info.context.length, undefined);
  assertEquals(open.model.contextLength, 6);
  const own = {
    "image_size": { width: 32, height: 16 },
    "context_length": 5,
    "scaling_factor": 0.25,
    prompt: "{elements}, painted",
  };
  await using other = await opened({ open: true, files: { "oodgpu.json": own } });
  const { info, contextLength } = other.model;
  assertEquals([info.image, info.scalingFactor], [{ width: 32, height: 16 }, 0.25]);
  assertEquals(info.latents, { channels: 4, height: 4, width: 8 });
  assertEquals([contextLength, info.prompt], [5, "{elements}, painted"]);
});

Deno.test("encodeTexts() is what the text encoder makes of the tokens", async () => {
  for (const mask of [false, true]) {
    await using open = await opened({ mask });
    const texts = ["", "a photo of grass", "birds ".repeat(40)];
    const actual = await open.model.encodeTexts(texts);
    const tokenizer = await loadTokenizer(`${open.path}/tokenizer/tokenizer.json`);
    const { ids, mask: seen, shape } = tokenizer.encode(texts, { length: 6 });
    const expected = await run(textEncoder({ mask }), {
      "input_ids": { data: ids, shape },
      ...(mask ? { "attention_mask": { data: seen, shape } } : {}),
    });
    assertEquals(actual.length, 3 * TOKENS);
    assertClose(actual, expected, TOLERANCE.exact);
    // What stands beside a text does not change it.
    assertEquals(await open.model.encodeTexts([texts[1]!]), actual.slice(TOKENS, 2 * TOKENS));
  }
});

Deno.test("encodeImages() scales the encoder's latents, or their mean", async () => {
  const images = [1, 2, 3].map((n) =>
    makeImage(SIDE, SIDE, (x, y, c) => 10 * n * x + 7 * y + 50 * c)
  );
  for (const moments of [false, true]) {
    await using open = await opened({ moments });
    const actual = await open.model.encodeImages(images);
    const planes = new Float32Array(3 * 3 * SIDE * SIDE);
    images.forEach(({ data }, n) =>
      data.forEach((byte, i) =>
        planes[(3 * n + i % 3) * SIDE * SIDE + Math.floor(i / 3)] = byte / 127.5 - 1
      )
    );
    const encoded = await run(vaeEncoder({ moments }), {
      sample: { data: planes, shape: [3, 3, SIDE, SIDE] },
    });
    const stride = moments ? 2 * SIZE : SIZE;
    const mean = [0, 1, 2].flatMap((n) => [...encoded.subarray(n * stride, n * stride + SIZE)]);
    assertClose(actual, mean.map((value) => SCALING * value), TOLERANCE.kernel);
  }
});

Deno.test("everything() is a mask of ones beside the latents of zeros", async () => {
  await using open = await opened();
  const { mask, masked } = await open.model.everything();
  assertEquals(mask, new Float32Array(16).fill(1));
  const zeros = { data: new Float32Array(3 * SIDE * SIDE), shape: [1, 3, SIDE, SIDE] };
  const encoded = await run(vaeEncoder(), { sample: zeros });
  assertClose(masked, encoded.map((value) => SCALING * value), TOLERANCE.kernel);
});

/** Denoises by hand, an image and a condition at a time. */
async function byHand(
  model: OnnxModel,
  how: {
    latents: Float32Array<ArrayBuffer>;
    context: Float32Array<ArrayBuffer>;
    empty: Float32Array<ArrayBuffer>;
    mask: Float32Array;
    masked: Float32Array;
    guidance: number;
    ddim: Ddim;
  },
): Promise<Float32Array> {
  await using session = await openSession(model, { device: "wasm" });
  const z = how.latents.slice();
  for (const [step, t] of how.ddim.timesteps.entries()) {
    for (let n = 0; n * SIZE < z.length; n++) {
      const predict = async (context: Float32Array<ArrayBuffer>) => {
        const sample = new Float32Array([
          ...z.subarray(n * SIZE, (n + 1) * SIZE),
          ...how.mask,
          ...how.masked,
        ]);
        const { out_sample: output } = await session.run({
          sample: { data: sample, shape: [1, 9, 4, 4] },
          timestep: { data: Int32Array.of(t), shape: [1] },
          "encoder_hidden_states": { data: context, shape: [1, 6, 8] },
        });
        return output!.data as Float32Array;
      };
      const conditioned = await predict(how.context.slice(n * TOKENS, (n + 1) * TOKENS));
      const free = await predict(how.empty);
      const guided = free.map((u, i) => u + how.guidance * (conditioned[i]! - u));
      how.ddim.step(step, z.subarray(n * SIZE, (n + 1) * SIZE), Float32Array.from(guided));
    }
  }
  return z;
}

const VARIANTS: Readonly<Record<string, DiffusionOptions>> = {
  "open batch": {},
  "open sizes": { open: true },
  "a batch of two": { batch: 2, timestep: [1] },
  "a batch of three, a time step each": { batch: 3, timestep: [3] },
  "one time step in floats": { timestep: [1], timeType: "f32" },
  "a scalar time step": { timestep: [] },
};

for (const [name, options] of Object.entries(VARIANTS)) {
  Deno.test(`denoise() does both conditions of all images in one run: ${name}`, async () => {
    await using open = await opened(options);
    const { model } = open;
    const ddim = new Ddim(model.info.scheduler, { steps: 5, strength: 0.6 });
    const [latents, context, empty] = [wave(3 * SIZE, 1), wave(3 * TOKENS, 2), wave(TOKENS, 3)];
    const inpainting = { mask: wave(16, 4), masked: wave(SIZE, 5) };
    for (const guidance of [8, 1]) {
      const expected = await byHand(unet(), {
        latents,
        context,
        empty,
        ...inpainting,
        guidance,
        ddim,
      });
      const z = latents.slice();
      const result = await model.denoise({
        latents: z,
        context,
        unconditional: empty,
        guidance,
        ddim,
        inpainting,
      });
      assertEquals(result, z);
      assertClose(z, expected, TOLERANCE.network, `guidance ${guidance}`);
    }
  });
}

Deno.test("denoise() takes a mask for each image", async () => {
  await using open = await opened();
  const { model } = open;
  const ddim = new Ddim(model.info.scheduler, { steps: 2 });
  const [latents, context, empty] = [wave(2 * SIZE, 1), wave(2 * TOKENS, 2), wave(TOKENS, 3)];
  const [mask, masked] = [wave(32, 4), wave(2 * SIZE, 5)];
  const common = { unconditional: empty, guidance: 2, ddim };
  const both = await model.denoise({
    latents: latents.slice(),
    context,
    inpainting: { mask, masked },
    ...common,
  });
  const second = await model.denoise({
    latents: latents.slice(SIZE),
    context: context.slice(TOKENS),
    inpainting: { mask: mask.slice(16), masked: masked.slice(SIZE) },
    ...common,
  });
  assertClose(second, both.slice(SIZE), TOLERANCE.kernel);
});

Deno.test("denoise() stops between steps", async () => {
  await using open = await opened();
  const controller = new AbortController();
  controller.abort(new Error("enough"));
  const denoising = open.model.denoise({
    latents: wave(SIZE, 1),
    context: wave(TOKENS, 2),
    unconditional: wave(TOKENS, 3),
    guidance: 8,
    ddim: new Ddim(open.model.info.scheduler, { steps: 2 }),
    signal: controller.signal,
  });
  await assertRejects(() => denoising, Error, "enough");
});

Deno.test("decode() gives the decoder's images of scaled latents", async () => {
  await using open = await opened();
  const z = wave(2 * SIZE, 1);
  const images = await open.model.decode(z);
  const sample = await run(vaeDecoder(), {
    "latent_sample": { data: z.map((value) => value / SCALING), shape: [2, 4, 4, 4] },
  });
  const area = SIDE * SIDE;
  images.forEach(({ data, width, height }, n) => {
    assertEquals([width, height], [SIDE, SIDE]);
    const expected = Array.from(data, (_, i) => {
      const value = sample[(3 * n + i % 3) * area + Math.floor(i / 3)]!;
      return 255 * Math.min(1, Math.max(0, 0.5 * value + 0.5));
    });
    assertClose([...data], expected, TOLERANCE.byte);
  });
});

gpuTest("a diffusion model gives the same on webgpu", async ({ gpu }) => {
  await using open = await opened();
  await using onGpu = await openDiffusion(open.path, { device: "webgpu", gpu: gpu.gpu });
  const images = [makeImage(SIDE, SIDE), makeImage(SIDE, SIDE, (x) => 16 * x)];
  const results = [];
  for (const model of [open.model, onGpu]) {
    const context = await model.encodeTexts(["grass", "birds"]);
    const latents = await model.encodeImages(images);
    const z = await model.denoise({
      latents,
      context,
      unconditional: await model.encodeTexts([""]),
      guidance: 3,
      ddim: new Ddim(model.info.scheduler, { steps: 3 }),
    });
    results.push({ context, z: z.slice(), decoded: await model.decode(z) });
    await model.close();
  }
  const [wasm, webgpu] = results;
  assertClose(webgpu!.context, wasm!.context, TOLERANCE.provider);
  assertClose(webgpu!.z, wasm!.z, TOLERANCE.provider);
  webgpu!.decoded.forEach(({ data }, i) => {
    assertClose([...data], [...wasm!.decoded[i]!.data], TOLERANCE.byte);
  });
});

Deno.test("a diffusion model keeps its weights in files beside it", async () => {
  const { graph, data } = withDataBeside(unet());
  await using open = await opened({
    files: { "unet/model.onnx": graph, "unet/weights.bin": data },
  });
  const { model } = open;
  const z = await model.denoise({
    latents: wave(SIZE, 1),
    context: wave(TOKENS, 2),
    unconditional: wave(TOKENS, 3),
    guidance: 8,
    ddim: new Ddim(model.info.scheduler, { steps: 1 }),
  });
  assert(z.every(Number.isFinite));
  // Another size of them is another model.
  const before = await diffusionHashes(model.info);
  await Deno.writeFile(`${open.path}/unet/weights.bin`, new Uint8Array(data.length + 4));
  const after = await diffusionHashes(model.info);
  assert(before.unet !== after.unet);
  assertEquals(before.vae_encoder, after.vae_encoder);
});

const REFUSED: Readonly<Record<string, readonly [DiffusionOptions, string]>> = {
  "a missing model": [{ files: { "unet/model.onnx": null } }, 'there is no "unet/model.onnx"'],
  "a missing tokenizer": [
    { files: { "tokenizer/tokenizer.json": null } },
    'there is no "tokenizer/tokenizer.json"',
  ],
  "a missing schedule": [
    { files: { "scheduler/scheduler_config.json": null } },
    'there is no "scheduler/scheduler_config.json"',
  ],
  "a schedule that clips": [
    { scheduler: { "clip_sample": true } },
    '"clip_sample" is not supported',
  ],
  "a schedule that is no JSON": [
    { files: { "scheduler/scheduler_config.json": "{" } },
    "it is no JSON text",
  ],
  "a model that is no ONNX": [
    { files: { "vae_encoder/model.onnx": "text" } },
    "vae_encoder/model.onnx",
  ],
  "a U-Net that is none for inpainting": [
    { unetChannels: 4 },
    "its U-Net takes 4 channels, and one for inpainting takes 9",
  ],
  "a U-Net of other texts": [
    { unetWidth: 16 },
    'the width of a token is 16 in "unet/model.onnx" and 8 in "text_encoder/model.onnx"',
  ],
  "a decoder of other latents": [
    { files: { "vae_decoder/model.onnx": vaeDecoder({ channels: 8 }) } },
    'the number of latent channels is 4 in "unet/model.onnx" and 8 in "vae_decoder/model.onnx"',
  ],
  "an encoder of other images": [
    { files: { "vae_encoder/model.onnx": vaeEncoder({ side: 32 }) } },
    "the size of latents is 4",
  ],
  "images of another size": [
    { files: { "oodgpu.json": { "image_size": 20 } } },
    'the size of images is 20 in "oodgpu.json" and 16 in "vae_encoder/model.onnx"',
  ],
  "prompts of another length": [
    { files: { "oodgpu.json": { "context_length": 7 } } },
    'the number of tokens is 7 in "oodgpu.json" and 6 in "unet/model.onnx"',
  ],
  "an unknown key": [
    { files: { "oodgpu.json": { "imagesize": 16 } } },
    'oodgpu.json has the unknown key "imagesize"',
  ],
  "a prompt without elements": [
    { files: { "oodgpu.json": { prompt: "a photo" } } },
    '"prompt" of oodgpu.json must be a text with {elements}',
  ],
  "models in each other's places": [
    { files: { "vae_decoder/model.onnx": vaeEncoder() } },
    '"vae_decoder/model.onnx" has no input "latent_sample": it has "sample"',
  ],
  "a U-Net of another family": [
    { files: { "unet/model.onnx": textEncoder() } },
    '"unet/model.onnx" has no input "sample": it has "input_ids"',
  ],
  "latents that are shifted": [
    { files: { "vae_decoder/config.json": { "shift_factor": 0.1 } } },
    '"shift_factor"',
  ],
  "sizes that nothing says": [
    { open: true, files: { "unet/config.json": null } },
    'nothing says how large its images are; name "image_size" in oodgpu.json',
  ],
};

for (const [name, [options, message]] of Object.entries(REFUSED)) {
  Deno.test(`openDiffusion() refuses ${name}`, async () => {
    await using folder = await temporaryFolder();
    await writeDiffusion(`${folder.path}/d`, options);
    await assertRejects(
      () => openDiffusion(`${folder.path}/d`, { device: "wasm" }),
      UserError,
      message,
    );
  });
}

Deno.test("a diffusion model refuses numbers that are not finite, and images of another size", async () => {
  await using open = await opened({ offset: NaN });
  const { model } = open;
  const denoising = {
    latents: wave(SIZE, 1),
    context: wave(TOKENS, 2),
    unconditional: wave(TOKENS, 3),
    guidance: 8,
    ddim: new Ddim(model.info.scheduler, { steps: 1 }),
  };
  await assertRejects(() => model.denoise(denoising), UserError, "it gives NaN among its latents");
  await assertRejects(
    () => model.encodeImages([makeImage(8, 16)]),
    RangeError,
    "Cannot encode an image of 8 x 16 pixels: 16 x 16 were expected",
  );
  await assertRejects(
    () => model.denoise({ ...denoising, context: wave(TOKENS + 1, 2) }),
    RangeError,
    "do not fit together",
  );
  await assertRejects(
    () => openDiffusion(open.path, { device: "webgpu" }),
    TypeError,
    "options.gpu",
  );
});
