import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { WORLD_CLASSES, worldSplit, writeWorld } from "../../data/mod.ts";
import { loadContexts } from "../../methods/mod.ts";
import { Host } from "../../runtime/mod.ts";
import { encodeRgbPng, makeImage, writeTree } from "../_support/images.ts";
import { COLOUR_SIDECAR, GREY, WASM, writeTagger, writeThings } from "./_colours.ts";
import { succeed, workshop, writeImages } from "./_workshop.ts";

/** Tags for a tagger that sees red, green, blue, light and dark. */
const TAGS = ["cherry", "leaf around", "lake background", "grey", "night background"];

Deno.test("ood synood contexts --from takes the tags of a world", async () => {
  await using shop = await workshop();
  const { file } = shop;
  using host = new Host();
  const splits = worldSplit(3, { test: 20 }).filter(({ name }) => name === "test");
  await writeWorld(host, file("world"), { splits, size: 8 });
  const argv = [
    ...["synood", "contexts", "--images", file("world/test"), "--out", file("c.json")],
    ...["--from", file("world/test/tags.jsonl")],
  ];
  const { out, notes } = await succeed(...argv);
  const { images, source } = await loadContexts(file("c.json"));
  assertEquals(source, { kind: "file", file: "tags.jsonl" });
  const lines = (await Deno.readTextFile(file("world/test/tags.jsonl"))).trim().split("\n");
  assertEquals(lines.length, 20);
  for (const line of lines) {
    const { path, object, contexts, background } = JSON.parse(line);
    const expected = [...new Set([...contexts, background])].filter((name) =>
      name !== `${object}s`
    );
    assertEquals(images[path], expected);
  }
  assertStringIncludes(out, `Wrote ${file("c.json")}: 20 images, `);
  assertStringIncludes(out, "\nMost frequent: ");
  // What was written is a source like any other.
  await succeed(...argv.slice(0, -1), file("c.json"));
  assertEquals((await loadContexts(file("c.json"))).images, images);
  assert(!notes.includes("Note: "), notes);
});

Deno.test("ood synood contexts --from cleans and counts, and takes some of the images", async () => {
  await using shop = await workshop();
  const { file } = shop;
  await writeImages(file("in/cat"), 4, 1);
  await writeImages(file("in/dog"), 1, 2);
  // The most bytes a pixel by far: 9 and 10 and more of them.
  await writeTree(file("in"), { "cat/tiny.png": await encodeRgbPng(makeImage(1, 1)) });
  const lists = {
    "cat/000.png": ["sofa", " Sofa ", "two cats", ""],
    "cat\\001.png": ["rug", "window", "lamp"],
    "cat/tiny.png": ["wall"],
    "dog/000.png": [],
    "dog/999.png": ["grass"],
    "owl.png": ["tree"],
  };
  await Deno.writeTextFile(file("map.json"), JSON.stringify(lists));
  const argv = [
    ...["synood", "contexts", "--images", file("in"), "--out", file("c.json")],
    ...["--from", file("map.json"), "--most", "2"],
  ];
  const { out, notes } = await succeed(...argv);
  assertEquals((await loadContexts(file("c.json"))).images, {
    "cat/000.png": ["sofa"],
    "cat/001.png": ["rug", "window"],
    "cat/002.png": [],
    "cat/003.png": [],
    "cat/tiny.png": ["wall"],
    "dog/000.png": [],
  });
  assertStringIncludes(out, "6 images, 4 elements, 0.7 an image; 3 without any");
  assertStringIncludes(
    notes,
    "Left out: 1 that say the image's own class, 1 that were there already, 1 that name nothing, 1 " +
      "beyond 2 an image\n",
  );
  assertStringIncludes(
    notes,
    `Note: 2 paths are of no image of ${file("in")}: dog/999.png, owl.png`,
  );

  const limited = await succeed(...argv, "--limit", "2", "--json");
  const { counts, frequent } = JSON.parse(limited.out);
  assertEquals([counts.images, counts.elements, counts.unknown], [2, 3, [
    "dog/999.png",
    "owl.png",
  ]]);
  assertEquals(frequent[0], { element: "rug", images: 1 });

  const chosen = await succeed(...argv, "--per-class", "2");
  assertStringIncludes(chosen.notes, "Note: fewer than 2 images of dog (1)\n");
  const names = Object.keys((await loadContexts(file("c.json"))).images);
  assertEquals([names.length, names[0], names[2]], [3, "cat/tiny.png", "dog/000.png"]);
});

Deno.test("ood synood contexts --tagger takes predicted tags that are no classes", async () => {
  await using shop = await workshop();
  const { file } = shop;
  await writeTagger(file("t.onnx"), { sidecar: { ...COLOUR_SIDECAR, tags: TAGS } });
  await writeThings(file("in/cherry"), 2, { colour: [235, 15, 20] });
  await writeThings(file("in/lake"), 2, { colour: [15, 20, 240] });
  await writeThings(file("in/stone"), 2, { colour: GREY });
  await Deno.writeTextFile(file("in/stone/text.png"), "no image");
  const argv = [
    ...["synood", "contexts", "--images", file("in"), "--out", file("c.json")],
    ...["--tagger", file("t.onnx"), ...WASM],
  ];
  const { notes } = await succeed(...argv, "--threshold", "0.001");
  const { images, source } = await loadContexts(file("c.json"));
  assertStringIncludes(notes, "Skipped stone/text.png: it is text, not an image");
  assertStringIncludes(notes, `Kept the tag logits in ${file("c.safetensors")}`);
  assertEquals(images["stone/text.png"], []);
  // "cherry" is a class, "grey" a colour, and "lake" is what lakes are.
  assertEquals(new Set(images["cherry/00.png"]), new Set(["leaf", "lake", "night"]));
  assertEquals(new Set(images["lake/00.png"]), new Set(["leaf", "night"]));
  const { kind, model, threshold } = source;
  assertEquals([kind, model, threshold], ["tagger", "t.onnx", 0.001]);
  // The tagger's own threshold, the finished run, and another rule.
  await succeed(...argv, "--resume", "--keep", "* BACKGROUND,grey", "--drop", "none");
  const kept = (await loadContexts(file("c.json"))).images;
  assertEquals(kept["cherry/00.png"], []);
  await succeed(...argv, "--resume", "--threshold", "0.001", "--keep", "l*", "--strip", "none");
  const whole = (await loadContexts(file("c.json"))).images;
  assertEquals(new Set(whole["cherry/00.png"]), new Set(["leaf around", "lake background"]));
  const vocabulary = {
    format: "oodgpu.tagood.vocabulary",
    ...{ version: 1, model: { name: "t.onnx" }, tags: 5 },
    classes: [{ class: "stone", tags: ["night background"] }],
  };
  await Deno.writeTextFile(file("v.json"), JSON.stringify(vocabulary));
  await succeed(...argv, "--resume", "--threshold", "0.001", "--vocabulary", file("v.json"));
  const named = (await loadContexts(file("c.json"))).images;
  assertEquals(new Set(named["cherry/00.png"]), new Set(["leaf", "lake"]));
});

Deno.test("ood synood contexts --tagger names surroundings with the shipped tagger", async () => {
  await using shop = await workshop();
  const { file } = shop;
  using host = new Host();
  const splits = worldSplit(5, { test: 6 }).filter(({ name }) => name === "test");
  await writeWorld(host, file("world"), { splits, size: 64 });
  await succeed(
    ...["synood", "contexts", "--images", file("world/test"), "--out", file("c.json")],
    ...["--tagger", "models/world-tagger.onnx", ...WASM],
  );
  const { images } = await loadContexts(file("c.json"));
  const lines = (await Deno.readTextFile(file("world/test/tags.jsonl"))).trim().split("\n");
  let [right, all] = [0, 0];
  for (const line of lines) {
    const { path, contexts, background } = JSON.parse(line);
    const there = [...contexts, background];
    right += images[path]!.filter((element) => there.includes(element)).length;
    all += images[path]!.length;
  }
  assert(all > 0 && right >= 0.7 * all, `${right} of ${all}`);
  const elements = Object.values(images).flat();
  assertEquals(elements.filter((element) => WORLD_CLASSES.includes(element)), []);
});
