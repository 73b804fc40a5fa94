import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { concat, encodeRgbPng, makeImage, temporaryFolder, writeTree } from "../_support/images.ts";
import { ImageError } from "../../data/image.ts";
import { imageSize, measureImage } from "../../data/image_size.ts";
import { openImages, subsetImages } from "../../data/images.ts";

const GOLDEN = new URL("../golden/", import.meta.url);

Deno.test("imageSize() reads from each header what decoding gives", async () => {
  const text = await Deno.readTextFile(new URL("images.json", GOLDEN));
  const expected = JSON.parse(text) as Record<string, { width: number; height: number }>;
  for (const [name, { width, height }] of Object.entries(expected)) {
    const bytes = await Deno.readFile(new URL(`images/${name}`, GOLDEN));
    assertEquals([name, imageSize(bytes)], [name, { width, height }]);
    // No beginning of it gives anything else, or fails.
    for (let length = 0; length < Math.min(bytes.length, 700); length++) {
      const size = imageSize(bytes.subarray(0, length));
      if (size !== undefined) assertEquals([name, size], [name, { width, height }]);
    }
  }
});

Deno.test("imageSize() reads lossless WebP of any size, and not the pictures within EXIF", () => {
  const text = new TextEncoder();
  const bits = (16000 - 1) | (3 - 1) << 14;
  const webp = new Uint8Array(30);
  webp.set(text.encode("RIFF    WEBPVP8L"));
  webp.set([0x2f, bits & 255, bits >> 8 & 255, bits >> 16 & 255, bits >>> 24], 20);
  assertEquals(imageSize(webp), { width: 16000, height: 3 });
  const frame = (width: number, height: number) =>
    Uint8Array.of(0xff, 0xc0, 0, 17, 8, height >> 8, height & 255, width >> 8, width & 255, 3);
  const preview = frame(9, 9);
  const exif = concat(Uint8Array.of(0xff, 0xe1, 0, 2 + preview.length), preview);
  const jpeg = concat(Uint8Array.of(0xff, 0xd8), exif, frame(700, 500));
  assertEquals(imageSize(jpeg), { width: 700, height: 500 });
  assertEquals(imageSize(jpeg.subarray(0, 16)), undefined);
  assertEquals(imageSize(text.encode("no image")), undefined);
});

Deno.test("measureImage() reads on where a long profile comes before the size", async () => {
  await using folder = await temporaryFolder();
  const jpeg = await Deno.readFile(new URL("images/baseline.jpg", GOLDEN));
  const segment = new Uint8Array(60_000);
  segment.set([0xff, 0xe2, 59_998 >> 8, 59_998 & 255]);
  const long = concat(jpeg.subarray(0, 2), segment, segment, jpeg.subarray(2));
  const png = await encodeRgbPng(makeImage(5, 4));
  await writeTree(folder.path, { "a.jpg": long, "b.png": png, "c.png": "no image" });
  const set = await openImages(folder.path);
  const { width, height } = await set.read(0);
  assertEquals(await measureImage(set, 0), { bytes: long.length, width, height });
  assertEquals(await measureImage(set, 1), { bytes: png.length, width: 5, height: 4 });
  await assertRejects(() => measureImage(set, 2), ImageError, '"c.png": it is text, not an image');
  await Deno.remove(`${folder.path}/b.png`);
  await assertRejects(() => measureImage(set, 1), ImageError, '"b.png": there is no such file');
});

Deno.test("subsetImages() keeps names, labels and classes, and refuses places that are none", async () => {
  await using folder = await temporaryFolder();
  const png = await encodeRgbPng(makeImage(2, 3));
  await writeTree(folder.path, { "cat/1.png": png, "dog/1.png": png, "dog/2.png": png });
  const set = await openImages(folder.path);
  const some = subsetImages(set, [2, 0]);
  assertEquals(some.names, ["dog/2.png", "cat/1.png"]);
  assertEquals([...some.labels], [1, 0]);
  assertEquals(some.classNames, ["cat", "dog"]);
  assertEquals(some.count, 2);
  assertEquals((await some.item(0)).name, "dog/2.png");
  assertEquals((await some.read(1)).height, 3);
  for (const wrong of [3, -1, 0.5]) {
    assertThrows(() => subsetImages(set, [wrong]), RangeError, `Cannot take image ${wrong} of`);
  }
});
