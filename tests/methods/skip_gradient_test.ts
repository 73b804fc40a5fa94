import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  preprocessImages,
  type PreprocessSpec,
  type RgbImage,
} from "../../kernels/preprocess/mod.ts";
import { GraphBuilder, inspect, openSession } from "../../onnx/mod.ts";
import { type Context, Host, UserError } from "../../runtime/mod.ts";
import { SkipGradient, type SkipGradientSource } from "../../methods/synood/skip_gradient.ts";
import { SYNTHESIS_LOSSES } from "../../methods/synood/synthesis_loss.ts";
import { classifier, vaeDecoder } from "../_support/diffusion.ts";
import { gpuTest } from "../_support/gpu.ts";
import { Host64 } from "../_support/host64.ts";
import { makeImage } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SIDE = 16;
const LATENTS = { channels: 4, height: 4, width: 4 };
const SIZE = 64;

/** Resizes to another size and crops, with planes in the other order. */
const SPEC: PreprocessSpec = {
  resize: { shorter: 14 },
  crop: { width: 12, height: 12 },
  interpolation: "bilinear",
  channels: "BGR",
  range: 1,
  mean: [0.5, 0.4, 0.3],
  scale: [0.2, 0.3, 0.4],
  layout: "NCHW",
};

function source(
  options: Partial<SkipGradientSource> & { spec?: PreprocessSpec } = {},
): SkipGradientSource {
  const { spec = SPEC, ...rest } = options;
  const model = rest.classifier ?? classifier({ side: spec.crop?.width ?? SIDE });
  return {
    decoder: vaeDecoder(),
    latents: LATENTS,
    image: { width: SIDE, height: SIDE },
    classifier: model,
    inspection: { ...inspect(model), preprocessing: { spec, guessed: false } },
    batch: 3,
    ...rest,
  };
}

function latents(count: number, seed = 1): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count * SIZE }, (_, i) => 0.8 * Math.sin(3.7 * i + seed));
}

for (const loss of SYNTHESIS_LOSSES) {
  Deno.test(`SkipGradient gives the derivative of the loss ${loss} by latents, in float64`, async () => {
    using host = new Host64();
    using skip = new SkipGradient(host, source({ loss, batch: 2, temperature: 1.5 }));
    skip.setBoundary({ energy: -1 });
    const at = Float64Array.from(latents(2));
    const run = async (z: Float64Array) =>
      await skip.gradient(z as unknown as Float32Array<ArrayBuffer>);
    const { gradient, loss: losses } = await run(at);
    assert(losses.every((value) => value > 0 || loss === "paper-literal"), String(losses));
    // Differences of both losses' sum: no image's loss depends on another's latents.
    for (let i = 0; i < at.length; i += 11) {
      const step = 1e-4;
      const [high, low] = [step, -step].map((delta) =>
        at.map((value, j) => value + (j === i ? delta : 0))
      );
      const sum = async (z: Float64Array) => (await run(z)).loss.reduce((a, b) => a + b);
      const slope = (await sum(high!) - await sum(low!)) / (2 * step);
      assertClose([gradient[i]!], [slope], TOLERANCE.networkSlope, `${loss} at ${i}`);
    }
  });
}

Deno.test("SkipGradient is nothing where the paper's loss is, and where colours are cut off", async () => {
  using host = new Host();
  using skip = new SkipGradient(host, source());
  skip.setBoundary({ energy: 1000 });
  const below = await skip.gradient(latents(2));
  assertEquals(below.loss, [0, 0]);
  assert(below.gradient.every((value) => value === 0));
  const white = new GraphBuilder({ name: "white" });
  const z = white.input("latent_sample", ["N", 4, SIDE, SIDE]);
  const weight = white.constant(new Float32Array(12).fill(0.1), { shape: [3, 4, 1, 1] });
  const bias = white.constant(new Float32Array(3).fill(50));
  white.output("sample", white.node("Conv", [z, weight, bias]));
  using cut = new SkipGradient(
    host,
    source({
      loss: "paper-literal",
      decoder: white.build(),
      latents: { ...LATENTS, height: SIDE, width: SIDE },
    }),
  );
  const { images, gradient } = await cut.gradient(new Float32Array(4 * SIDE * SIDE));
  assert(images[0]!.data.every((byte) => byte === 255));
  assert(gradient.every((value) => value === 0));
});

Deno.test("SkipGradient decodes and scores as onnxruntime does", async () => {
  using host = new Host();
  const parts = source();
  using skip = new SkipGradient(host, parts);
  const z = latents(3);
  const images = await skip.decode(z);
  await using decoder = await openSession(parts.decoder, { device: "wasm" });
  const shape = [3, LATENTS.channels, LATENTS.height, LATENTS.width];
  const { sample } = await decoder.run({ "latent_sample": { data: z, shape } });
  const area = SIDE * SIDE;
  const bytes = images.flatMap(({ data }) => [...data]);
  const expected = bytes.map((_, i) => {
    const [n, place, c] = [Math.floor(i / (3 * area)), Math.floor(i / 3) % area, i % 3];
    const value = sample!.data as Float32Array;
    return 255 * Math.min(1, Math.max(0, 0.5 * value[(3 * n + c) * area + place]! + 0.5));
  });
  assertClose(bytes, expected, TOLERANCE.byte);

  const { energy, msp, loss } = await skip.score(images);
  await using model = await openSession(parts.classifier, { device: "wasm" });
  const pixels = preprocessImages(host, images, SPEC);
  const { logits } = await model.run({
    image: { data: pixels.data as Float32Array<ArrayBuffer>, shape: pixels.shape },
  });
  const z3 = [0, 1, 2].map((n) => [...(logits!.data as Float32Array).subarray(3 * n, 3 * n + 3)]);
  // The resize of bytes rounds to bytes, and the one here does not.
  const close = { absolute: 0.05, relative: 0.02 };
  assertClose(
    energy,
    z3.map((row) => Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0))),
    close,
  );
  const tops = z3.map((row) => 1 / row.reduce((sum, v) => sum + Math.exp(v - Math.max(...row)), 0));
  assertClose(msp, tops, close);
  assertClose(loss, energy.map((value) => Math.max(0, value)), TOLERANCE.exact);
});

gpuTest(
  "SkipGradient on the GPU agrees with the reference, in parts too",
  async ({ gpu, host }) => {
    for (
      const spec of [SPEC, {
        ...SPEC,
        resize: { width: SIDE, height: SIDE },
        crop: { width: SIDE, height: SIDE },
      }]
    ) {
      const parts = source({ spec, loss: "code" });
      const run = async (ctx: Context, z: Float32Array<ArrayBuffer>) => {
        using skip = new SkipGradient(ctx, parts);
        return await skip.gradient(z);
      };
      const z = latents(3);
      const [onGpu, onHost] = [await run(gpu, z), await run(host, z)];
      assertClose(onGpu.loss, onHost.loss, TOLERANCE.network);
      assertClose(onGpu.energy, onHost.energy, TOLERANCE.network);
      const largest = Math.max(...onHost.gradient.map(Math.abs));
      assertClose(
        onGpu.gradient.map((value) => value / largest),
        onHost.gradient.map((value) => value / largest),
        TOLERANCE.network,
      );
      assertClose(
        onGpu.images.flatMap(({ data }) => [...data]),
        onHost.images.flatMap(({ data }) => [...data]),
        TOLERANCE.byte,
      );
    }
  },
);

gpuTest(
  "SkipGradient gives an image the same whatever is beside it, without new buffers",
  async ({ gpu }) => {
    using skip = new SkipGradient(gpu, source({ loss: "squared" }));
    skip.setBoundary({ energy: -5 });
    const z = latents(3);
    const whole = await skip.gradient(z);
    const images = await skip.decode(z);
    const scores = await skip.score(images);
    const { created } = gpu.gpu.counters().pool;
    // Other latents are left in the rest of the batch.
    await skip.gradient(latents(3, 9));
    const one = await skip.gradient(z.slice(SIZE, 2 * SIZE));
    assertEquals(one.gradient, whole.gradient.slice(SIZE, 2 * SIZE));
    assertEquals(
      [one.loss, one.energy, one.msp],
      [whole.loss, whole.energy, whole.msp].map((v) => [v[1]!]),
    );
    assertEquals(one.images[0], whole.images[1]);
    assertEquals(await skip.decode(z.slice(SIZE, 2 * SIZE)), [images[1]!]);
    assertEquals((await skip.score([images[2]!])).energy, [scores.energy[2]!]);
    assertEquals(gpu.gpu.counters().pool.created, created);
  },
);

Deno.test("SkipGradient refuses what does not fit", async () => {
  using host = new Host();
  const build = (options: Partial<SkipGradientSource>) => () =>
    new SkipGradient(host, source(options));
  assertThrows(build({ loss: "papre" as "paper" }), UserError, 'did you mean "paper"');
  const noClassifier = new GraphBuilder({ name: "one score" });
  const image = noClassifier.input("image", ["N", 3, 12, 12]);
  noClassifier.output("y", noClassifier.node("GlobalAveragePool", [image]));
  assertThrows(build({ classifier: noClassifier.build() }), UserError, "one score");
  const strange = new GraphBuilder({ name: "strange" });
  const z = strange.input("latent_sample", ["N", 4, 4, 4]);
  strange.output("sample", strange.node("Sinh", [z]));
  assertThrows(build({ decoder: strange.build() }), UserError, "Sinh");

  using skip = new SkipGradient(host, source());
  for (const wrong of [0, 65, 4 * SIZE]) {
    await assertRejects(
      () => skip.gradient(new Float32Array(wrong)),
      RangeError,
      "1 to 3 whole ones",
    );
  }
  const small: RgbImage = makeImage(8, 8);
  await assertRejects(() => skip.score([small]), RangeError, "8 x 8 pixels: 16 x 16 were expected");
  using other = new SkipGradient(
    host,
    source({ image: { width: 32, height: 32 }, spec: { ...SPEC } }),
  );
  await assertRejects(
    () => other.decode(latents(1)),
    UserError,
    "it makes images of 16 x 16 pixels and 32 x 32 were expected",
  );
});
