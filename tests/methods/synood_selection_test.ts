import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ImageError, openImages } from "../../data/mod.ts";
import {
  type InformativeImage,
  measureImages,
  selectInformative,
  shortClasses,
} from "../../methods/mod.ts";
import { encodeRgbPng, makeImage, temporaryFolder, writeTree } from "../_support/images.ts";

/** An image of one pixel. */
function pixel(path: string, bytes: number, label = 0): InformativeImage {
  return { path, bytes, width: 1, height: 1, label };
}

Deno.test("selectInformative() compares numbers: 10 bytes a pixel go before 9", () => {
  const images = [9, 10, 100, 8.5, 2].map((bytes, i) => pixel(String(i), bytes));
  assertEquals(selectInformative(images, 2), [2, 1]);
  assertEquals(selectInformative(images, 5), [2, 1, 0, 3, 4]);
  // What the authors' code does: texts, in which 9 is the largest of all.
  const asTexts = images.map(({ bytes }, i) => [String(bytes), i] as const)
    .sort(([a], [b]) => a < b ? 1 : -1).map(([, i]) => i);
  assertEquals(asTexts.slice(0, 2), [0, 3]);
});

Deno.test("selectInformative() divides by the pixels, and goes by path where ratios are equal", () => {
  const images: InformativeImage[] = [
    { path: "b", bytes: 600, width: 20, height: 10, label: 0 },
    { path: "a", bytes: 300, width: 10, height: 10, label: 0 },
    { path: "large", bytes: 9000, width: 100, height: 100, label: 0 },
    { path: "c", bytes: 12, width: 2, height: 2, label: 0 },
  ];
  assertEquals(selectInformative(images, 3), [1, 0, 3]);
  const turned = images.toReversed();
  assertEquals(selectInformative(turned, 3).map((i) => turned[i]!.path), ["a", "b", "c"]);
});

Deno.test("selectInformative() takes each class by itself, and leaves out images without one", () => {
  const images = [
    ...[pixel("2", 5, 2), pixel("none", 99, -1), pixel("0", 1, 0), pixel("2+", 7, 2)],
    ...[pixel("0+", 2, 0), pixel("2-", 3, 2)],
  ];
  assertEquals(selectInformative(images, 2), [4, 2, 3, 0]);
  assertEquals(selectInformative([], 2), []);
  assertEquals(
    shortClasses(images.map(({ label }) => label), { perClass: 3, classes: 4 }),
    [{ label: 0, count: 2 }, { label: 1, count: 0 }, { label: 3, count: 0 }],
  );
});

Deno.test("selectInformative() refuses numbers that are none", () => {
  for (const wrong of [0, -1, 1.5, NaN]) {
    assertThrows(() => selectInformative([], wrong), RangeError, "a whole number from 1");
    assertThrows(() => shortClasses([], { perClass: wrong, classes: 1 }), RangeError, "from 1");
  }
  const empty = { path: "x.png", bytes: 9, width: 0, height: 4, label: 0 };
  assertThrows(() => selectInformative([empty], 1), RangeError, '"x.png" has 0 x 4 pixels');
});

Deno.test("measureImages() measures what can be read and lists the rest", async () => {
  await using folder = await temporaryFolder();
  const png = await encodeRgbPng(makeImage(5, 4));
  const files = Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`cat/${i + 10}.png`, png]),
  );
  await writeTree(folder.path, { ...files, "cat/20.png": "no image", "dog/a.png": png });
  const set = await openImages(folder.path);
  const seen: number[] = [];
  const { images, origin, skipped } = await measureImages(set, {
    onProgress: (done) => seen.push(done),
  });
  assertEquals([images.length, seen.at(-1)], [40, 41]);
  assertEquals(skipped, [{ name: "cat/20.png", reason: "it is text, not an image" }]);
  assertEquals(images.map(({ path }) => path), origin.map((i) => set.names[i]!));
  assertEquals(images.at(-1), {
    ...{ path: "dog/a.png", bytes: png.length, width: 5, height: 4, label: 1 },
  });
  await assertRejects(() => measureImages(set, { strict: true }), ImageError, "cat/20.png");
  await assertRejects(() => measureImages(set, { signal: AbortSignal.abort() }), DOMException);
});
