import { assert, assertEquals, assertRejects } from "@std/assert";
import { decodeBase64 } from "../_support/base64.ts";
import { concat, encodePng, encodeRgbPng, makeImage, pngChunk } from "../_support/images.ts";
import { decodeImage } from "../../data/decode.ts";
import { ImageError } from "../../data/image.ts";

const GOLDEN = new URL("../golden/images/", import.meta.url);

function golden(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(new URL(name, GOLDEN));
}

async function reasonOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const error = await assertRejects(() => decodeImage(bytes, { name: "x" }), ImageError);
  assertEquals(error.image, "x");
  assert(error.message === `Cannot read "x": ${error.reason}`, error.message);
  return error.reason;
}

Deno.test("decodeImage() gives the pixels that Pillow gives, for each format", async () => {
  const text = await Deno.readTextFile(new URL("../images.json", GOLDEN));
  const expected = JSON.parse(text) as Record<
    string,
    { width: number; height: number; rgb: string }
  >;
  assertEquals(Object.keys(expected).length, 13);
  for (const [name, { width, height, rgb }] of Object.entries(expected)) {
    const image = await decodeImage(await golden(name), { name });
    assertEquals([name, image.width, image.height], [name, width, height]);
    assertEquals([...image.data], [...decodeBase64(rgb)], name);
  }
});

Deno.test("decodeImage() keeps the high bytes of 16-bit PNGs", async () => {
  const samples = new Uint8Array([0x12, 0xff, 0x80, 0x00, 0xfe, 0x01, 0, 0, 0xff, 0xff, 1, 2]);
  const size = { width: 2, height: 1 };
  const rgb = await encodePng(size, samples, { colourType: 2, bitDepth: 16 });
  assertEquals([...(await decodeImage(rgb)).data], [0x12, 0x80, 0xfe, 0, 0xff, 1]);
  const grey = await encodePng(size, samples.subarray(0, 4), { colourType: 0, bitDepth: 16 });
  assertEquals([...(await decodeImage(grey)).data], [0x12, 0x12, 0x12, 0x80, 0x80, 0x80]);
});

Deno.test("decodeImage() expands palettes of fewer than eight bits", async () => {
  const palette = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  const size = { width: 3, height: 1 };
  const options = { colourType: 3, bitDepth: 2, palette };
  const png = await encodePng(size, new Uint8Array([0b11_00_01_00]), options);
  assertEquals([...(await decodeImage(png)).data], [10, 11, 12, 1, 2, 3, 4, 5, 6]);
});

Deno.test("decodeImage() drops alpha and does not blend with it", async () => {
  const size = { width: 1, height: 1 };
  const pixel = new Uint8Array([200, 100, 50, 0]);
  const png = await encodePng(size, pixel, { colourType: 6, bitDepth: 8 });
  assertEquals([...(await decodeImage(png)).data], [200, 100, 50]);
});

Deno.test("decodeImage() decodes a view into a larger buffer", async () => {
  const png = await encodeRgbPng(makeImage(3, 2));
  const padded = concat(new Uint8Array(5), png, new Uint8Array(7));
  const image = await decodeImage(padded.subarray(5, 5 + png.length));
  assertEquals([...image.data], [...makeImage(3, 2).data]);
});

Deno.test("decodeImage() decodes many at once without mixing them up", async () => {
  const names = ["baseline.jpg", "rgb.png", "lossy.webp", "progressive.jpg", "alpha.webp"];
  const files = await Promise.all(names.map(golden));
  const alone: number[][] = [];
  for (const bytes of files) alone.push([...(await decodeImage(bytes)).data]);
  const broken = files[0]!.slice(0, 500);
  const results = await Promise.all(
    files.flatMap((bytes) => [decodeImage(bytes), decodeImage(broken).catch(() => undefined)]),
  );
  for (const [i, expected] of alone.entries()) {
    assertEquals([...results[2 * i]!.data], expected, names[i]);
    assertEquals(results[2 * i + 1], undefined);
  }
});

Deno.test("decodeImage() says what a file is that is no image it can read", async () => {
  const text = new TextEncoder();
  assertEquals(await reasonOf(new Uint8Array(0)), "the file is empty");
  assertEquals(await reasonOf(text.encode("hello, world")), "it is text, not an image");
  assertEquals(await reasonOf(text.encode("<!DOCTYPE html><p>404")), "it is text, not an image");
  assertEquals(await reasonOf(new Uint8Array(64)), "it holds nothing but zeros");
  assertEquals(await reasonOf(new Uint8Array([7, 1, 255, 9])), "it is no JPEG, PNG or WebP image");
  assertEquals(
    await reasonOf(await golden("still.gif")),
    "it is a GIF; JPEG, PNG and WebP can be read",
  );
  assertEquals(
    await reasonOf(await golden("animated.webp")),
    "it is an animated WebP, and one picture was expected",
  );
  assertEquals(
    await reasonOf(await golden("cmyk.jpg")),
    "it is a CMYK JPEG, which cannot be read; convert it to RGB",
  );
});

Deno.test("decodeImage() goes by the content and not by the name", async () => {
  const image = await decodeImage(await encodeRgbPng(makeImage(2, 2)), { name: "a.jpg" });
  assertEquals(image.width, 2);
});

Deno.test("decodeImage() refuses a file that is cut off at any length", async () => {
  for (const name of ["baseline.jpg", "progressive.jpg", "rgb.png", "lossy.webp", "alpha.webp"]) {
    const bytes = await golden(name);
    for (let length = 1; length < bytes.length; length += Math.max(1, bytes.length >> 5)) {
      await reasonOf(bytes.slice(0, length));
    }
    await reasonOf(bytes.slice(0, bytes.length - 1));
  }
});

Deno.test("decodeImage() refuses a JPEG whose picture is cut off before a proper end", async () => {
  for (const name of ["baseline.jpg", "progressive.jpg"]) {
    const bytes = await golden(name);
    const cut = concat(bytes.slice(0, bytes.length - 60), new Uint8Array([0xff, 0xd9]));
    assertEquals(await reasonOf(cut), "it is damaged: a part of the picture is missing", name);
  }
});

Deno.test("decodeImage() accepts bytes after the end of an image", async () => {
  for (const name of ["baseline.jpg", "rgb.png", "lossy.webp"]) {
    const bytes = await golden(name);
    const image = await decodeImage(concat(bytes, new Uint8Array([1, 2, 3])));
    assertEquals(image.data, (await decodeImage(bytes)).data, name);
  }
});

Deno.test("decodeImage() accepts a few stray bytes between the segments of a JPEG", async () => {
  const bytes = await golden("baseline.jpg");
  const end = bytes.length - 2;
  const stray = concat(bytes.slice(0, 20), new Uint8Array([0, 1]), bytes.slice(20, end));
  const image = await decodeImage(concat(stray, new Uint8Array([0, 0]), bytes.slice(end)));
  assertEquals(image.data, (await decodeImage(bytes)).data);
});

Deno.test("decodeImage() refuses a PNG with a changed byte", async () => {
  const bytes = await golden("rgb.png");
  bytes[60] = bytes[60]! ^ 0xff;
  assertEquals(await reasonOf(bytes), "it is damaged: a PNG checksum is wrong");
});

Deno.test("decodeImage() recovers from a codec's fault", async () => {
  // Sound chunks around data that is too short: only the codec itself can notice.
  const good = await encodeRgbPng(makeImage(4, 4));
  const short = await encodePng({ width: 4, height: 4 }, new Uint8Array(8), {
    colourType: 2,
    bitDepth: 8,
  });
  const jpeg = await golden("baseline.jpg");
  const noTables = concat(jpeg.slice(0, 2), jpeg.slice(jpeg.lastIndexOf(0xc0) - 1));
  const webp = await golden("lossy.webp");
  const blank = webp.slice().fill(0, 24);
  for (let round = 0; round < 300; round++) {
    assertEquals(await reasonOf(short), "it is damaged");
  }
  await reasonOf(noTables);
  await reasonOf(blank);
  assertEquals([...(await decodeImage(good)).data], [...makeImage(4, 4).data]);
  assertEquals((await decodeImage(jpeg)).width, 13);
  assertEquals((await decodeImage(webp)).width, 13);
});

Deno.test("decodeImage() refuses containers without a picture", async () => {
  const png = concat(
    new Uint8Array([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]),
    pngChunk("IHDR", new Uint8Array(13)),
    pngChunk("IEND", new Uint8Array(0)),
  );
  assertEquals(await reasonOf(png), "it is a PNG without an image in it");
  const jpeg = new Uint8Array([0xff, 0xd8, 0xff, 0xd9]);
  assertEquals(await reasonOf(jpeg), "it is a JPEG without an image in it");
});
