import { assert, assertEquals } from "@std/assert";
import { renderImages, worldScenes } from "../../data/mod.ts";
import { type RgbImage, Rng } from "../../kernels/mod.ts";
import { Ddim, type LatentDiffusion, openDiffusion } from "../../methods/mod.ts";
import { gpuTest } from "../_support/gpu.ts";

const FOLDER = "models/world-diffusion";
const COUNT = 6;
const LATENTS = 4 * 16 * 16;

/** Peak signal to noise ratio of each image. */
function psnr(images: readonly RgbImage[], others: readonly RgbImage[]): number[] {
  return images.map(({ data }, n) => {
    const bytes = [...data];
    const squares = bytes.reduce((sum, value, i) => sum + (value - others[n]!.data[i]!) ** 2, 0);
    return 10 * Math.log10(255 ** 2 / (squares / data.length));
  });
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Images that are taken back towards noise and painted anew with their own captions. */
async function painted(
  diffusion: LatentDiffusion,
  of: { readonly z: Float32Array<ArrayBuffer>; readonly prompts: readonly string[] },
): Promise<RgbImage[]> {
  const rng = new Rng(7);
  const ddim = new Ddim(diffusion.info.scheduler, { steps: 20, strength: 0.3 });
  const noise = of.z.map(() => rng.normal());
  return await diffusion.decode(
    await diffusion.denoise({
      latents: ddim.addNoise(of.z, noise),
      context: await diffusion.encodeTexts(of.prompts),
      unconditional: await diffusion.encodeTexts([""]),
      guidance: 2,
      ddim,
    }),
  );
}

gpuTest("the shipped autoencoder gives images back", async ({ gpu }) => {
  await using diffusion = await openDiffusion(FOLDER, { device: "wasm" });
  const images = await renderImages(gpu, worldScenes("test", { seed: 9, count: COUNT }));
  const z = await diffusion.encodeImages(images);
  assertEquals(z.length, COUNT * LATENTS);
  const quality = mean(psnr(images, await diffusion.decode(z)));
  assert(quality > 20, `${quality.toFixed(2)} dB`);
  const deviation = Math.sqrt(z.reduce((sum, value) => sum + value * value, 0) / z.length);
  assert(deviation > 0.6 && deviation < 1.6, `latents deviate by ${deviation.toFixed(2)}`);
});

gpuTest("the shipped U-Net paints what an image shows", async ({ gpu }) => {
  await using diffusion = await openDiffusion(FOLDER, { device: "wasm" });
  const scenes = worldScenes("test", { seed: 9, count: COUNT });
  const images = await renderImages(gpu, scenes);
  const z = await diffusion.encodeImages(images);
  const prompts = scenes.map(({ object, background }) =>
    `a photo of a ${object!.kind} on ${background.kind}.`
  );
  const anew = await painted(diffusion, { z, prompts });
  // Two images of the world are about 10 dB apart.
  const own = mean(psnr(images, anew));
  const others = mean(psnr(images, [...anew.slice(1), anew[0]!]));
  assert(own > 17 && own > others + 5, `${own.toFixed(2)} dB, others ${others.toFixed(2)} dB`);
});
