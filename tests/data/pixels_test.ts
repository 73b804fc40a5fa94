import { assertEquals, assertRejects } from "@std/assert";
import type { ImageSet } from "../../data/images.ts";
import { loadPixels } from "../../data/pixels.ts";
import { preprocessReference } from "../../kernels/preprocess/reference.ts";
import type { PreprocessSpec, RgbImage } from "../../kernels/preprocess/spec.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { UserError } from "../../runtime/mod.ts";

const SPEC: PreprocessSpec = {
  resize: { shorter: 9 },
  crop: { width: 8, height: 8 },
  interpolation: "bicubic",
  channels: "BGR",
  range: 1,
  mean: [0.1, 0.2, 0.3],
  scale: [0.5, 0.6, 0.7],
  layout: "NCHW",
};

function picture(seed: number): RgbImage {
  const rng = new Rng(seed);
  return {
    width: 17,
    height: 13,
    data: Uint8Array.from({ length: 663 }, () => rng.integer(256)),
  };
}

/** A set in memory; `undefined` stands for a file that is no image. */
function memory(images: readonly (RgbImage | undefined)[]): ImageSet {
  return {
    path: "memory",
    count: images.length,
    names: images.map((_, i) => `image ${i}`),
    labels: new Int32Array(images.length),
    classNames: [],
    skippedFiles: 0,
    item: (i) =>
      Promise.resolve(
        images[i] === undefined
          ? { name: `image ${i}`, bytes: new Uint8Array([1, 2, 3]) }
          : { name: `image ${i}`, image: images[i] },
      ),
    read: (i) => Promise.resolve(images[i]!),
  };
}

const SIZE = { width: 8, height: 8 };

Deno.test("loadPixels() holds the bytes that the preprocessing normalises later", async () => {
  const images = [picture(1), picture(2)];
  using pixels = await loadPixels(memory(images), { spec: SPEC, size: SIZE, workers: 0 });
  for (const [i, image] of images.entries()) {
    const bytes = pixels.rows.gather([i]);
    const expected = preprocessReference(image, SPEC);
    for (let p = 0; p < 64; p++) {
      for (let plane = 0; plane < 3; plane++) {
        const value = bytes[3 * p + 2 - plane]! / 255;
        const normal = (value - SPEC.mean[plane]!) / SPEC.scale[plane]!;
        assertEquals(Math.abs(normal - expected[plane * 64 + p]!) < 1e-5, true);
      }
    }
  }
});

Deno.test("loadPixels() leaves out and lists what is no image, and keeps where the rest was", async () => {
  const set = memory([undefined, picture(1), undefined, picture(2)]);
  using pixels = await loadPixels(set, { spec: SPEC, size: SIZE, workers: 0 });
  assertEquals(pixels.count, 2);
  assertEquals([...pixels.origin], [1, 3]);
  assertEquals(pixels.skipped.map(({ name }) => name), ["image 0", "image 2"]);
  await assertRejects(
    () => loadPixels(set, { spec: SPEC, size: SIZE, workers: 0, strict: true }),
    Error,
    "image 0",
  );
});

Deno.test("loadPixels() refuses sets without an image and sizes that the model does not take", async () => {
  await assertRejects(
    () => loadPixels(memory([undefined]), { spec: SPEC, size: SIZE, workers: 0 }),
    UserError,
    "none of its images",
  );
  const { resize: _, crop: __, ...plain } = SPEC;
  await assertRejects(
    () => loadPixels(memory([picture(1)]), { spec: plain, size: SIZE, workers: 0 }),
    UserError,
    "221 pixels and the model takes 8 x 8",
  );
});
