import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { encodeSafetensors, openFeatures } from "../../data/mod.ts";
import { loadVocabulary } from "../../methods/mod.ts";
import { writeModel } from "../../onnx/mod.ts";
import { tagger, TAGGER_SIDECAR } from "../onnx/_taggers.ts";
import {
  assertRefused,
  listFiles,
  ood,
  succeed,
  type Workshop,
  workshop,
  writeClassFolders,
} from "./_workshop.ts";

const TAGS = ["boat", "sea", "plane", "sky", "animal"];

/** A feature file of a tagger: each image has the tags that its row names. */
async function writeTags(
  path: string,
  rows: readonly (readonly [label: number, ...tags: string[]])[],
  { metadata = {}, labels = true }: { metadata?: Record<string, string>; labels?: boolean } = {},
): Promise<void> {
  const logits = new Float32Array(rows.length * TAGS.length).fill(-2);
  rows.forEach(([, ...tags], row) => {
    for (const tag of tags) logits[row * TAGS.length + TAGS.indexOf(tag)] = 1;
  });
  const arrays = {
    "tag_logits": { data: logits, shape: [rows.length, TAGS.length] },
    ...(labels
      ? { labels: { data: Int32Array.from(rows, ([label]) => label), shape: [rows.length] } }
      : {}),
  };
  await Deno.writeFile(
    path,
    encodeSafetensors(arrays, {
      model: "tagger.onnx",
      names: JSON.stringify(rows.map((_, i) => `train/${i}.png`)),
      "label_names": '["boat", "Plane", "cat", "dog", "ghost"]',
      "tag_names": JSON.stringify(TAGS),
      ...metadata,
    }),
  );
}

const ROWS = [
  ...[[0, "sea", "boat"], [0, "sea"], [0, "sea", "sky"], [0]] as const,
  ...[[1, "sky", "plane"], [1, "plane", "sky"]] as const,
  ...[[2, "animal"], [3, "animal"], [3], [3], [-1, "sea"]] as const,
];

async function prepared(): Promise<{ shop: Workshop; features: string; out: string }> {
  const shop = await workshop();
  const features = shop.file("train.safetensors");
  await writeTags(features, ROWS);
  return { shop, features, out: shop.file("v.json") };
}

Deno.test("ood tagood vocab proposes tags and says what to review", async () => {
  const { shop, features, out: path } = await prepared();
  await using _shop = shop;
  const { out, notes } = await succeed("tagood", "vocab", "--features", features, "--out", path);
  assertEquals(
    out,
    [
      "class  images  tag       share  second    share",
      "boat        4  sea      75.0 %  boat     25.0 %",
      "Plane       2  plane   100.0 %  sky     100.0 %",
      "cat         1  animal  100.0 %",
      "dog         3  animal   33.3 %",
      "ghost       0  -",
      "",
      "To review:",
      "  boat has a tag of its own name, on 25.0 % of its images",
      '  Plane has "sky" on as many images as "plane"',
      '  dog has "animal" on 33.3 % of its images only',
      "  ghost has no tag: there is no image of this class",
      '  cat, dog share the tag "animal"',
      "",
    ].join("\n"),
  );
  assertStringIncludes(notes, "Note: 1 of 11 images have no label\n");
  assertMatch(notes, /Wrote \S+v\.json: 5 classes, tags counted at a probability above 0\.5;/);
  const { classes, model } = await loadVocabulary(path);
  assertEquals(model, { name: "tagger.onnx" });
  assertEquals(classes.map(({ tags }) => tags), [["sea"], ["plane"], ["animal"], ["animal"], []]);
  assertEquals(classes[0]!.candidates[0]!.samples, ["train/0.png", "train/1.png", "train/2.png"]);
});

Deno.test("ood tagood vocab takes thresholds, and prints JSON", async () => {
  await using shop = await workshop();
  const [features, out] = [shop.file("f.safetensors"), shop.file("v.json")];
  await writeTags(features, ROWS, { metadata: { "tag_thresholds": "[0.5, 0.9, 0.5, 0.5, 0.5]" } });
  const run = (...more: string[]) =>
    succeed("tagood", "vocab", "--features", features, "--out", out, "--json", ...more);
  const own = await run();
  assertStringIncludes(own.notes, "counted at the tagger's own thresholds");
  const { path, vocabulary, review } = JSON.parse(own.out);
  assertEquals(path, out);
  assertEquals(vocabulary.classes[0].tags, ["boat"]);
  assertEquals(review.at(-1), { classes: ["cat", "dog"], what: 'share the tag "animal"' });
  const forced = await run("--force", "--threshold", "0.6", "--candidates", "1");
  assertStringIncludes(forced.notes, "counted at a probability above 0.6");
  const { classes } = JSON.parse(forced.out).vocabulary;
  assertEquals(classes[0].candidates.map(({ tag }: { tag: string }) => tag), ["sea"]);
});

Deno.test("ood tagood vocab runs the tagger over images, and keeps its tag logits", async () => {
  await using shop = await workshop();
  const [model, out, work] = [shop.file("t.onnx"), shop.file("v.json"), shop.file("v.safetensors")];
  await Deno.writeFile(model, writeModel(tagger()));
  await Deno.writeTextFile(shop.file("t.json"), JSON.stringify(TAGGER_SIDECAR));
  await writeClassFolders(shop.file("train"), 3);
  const images = ["--images", shop.file("train"), "--model", model, "--device", "wasm"];
  const first = await succeed("tagood", "vocab", ...images, "--out", out);
  assertStringIncludes(first.notes, `Kept the tag logits in ${work}\n`);
  assertStringIncludes(first.notes, "counted at the tagger's own thresholds");
  const vocabulary = await loadVocabulary(out);
  assertEquals(vocabulary.classes.map(({ class: name, images }) => [name, images]), [
    ...[["ape", 3], ["cat", 3], ["dog", 3], ["owl", 3]],
  ]);
  assertEquals([vocabulary.tags, vocabulary.model.name], [5, "t.onnx"]);
  {
    await using set = await openFeatures(work);
    assertEquals([...set.keys].sort(), ["labels", "tag_logits"]);
  }
  const again = await succeed("tagood", "vocab", "--features", work, "--out", out, "--force");
  assertEquals(again.out, first.out);
  const resumed = await succeed("tagood", "vocab", ...images, "--out", out, "--force", "--resume");
  assertEquals(resumed.out, first.out);
});

Deno.test("ood tagood vocab does not replace what a person edited", async () => {
  const { shop, features, out } = await prepared();
  await using _shop = shop;
  const again = (...more: string[]) =>
    ood("tagood", "vocab", "--features", features, "--out", out, ...more);
  assertEquals((await again()).code, 0);
  const before = await Deno.readTextFile(out);
  assertRefused(await again(), { code: 1, message: "it is there already; --force replaces it" });
  const edited = before.replace('"tags": ["sea"]', '"tags": ["boat"]')
    .replace('"tags": []', '"tags": ["sky"]');
  await Deno.writeTextFile(out, edited);
  assertRefused(await again(), { code: 1, message: "tags of 2 classes were edited in it" });
  assertEquals(await Deno.readTextFile(out), edited);
  assertEquals((await again("--force")).code, 0);
  assertEquals(await Deno.readTextFile(out), before);
  await Deno.writeTextFile(out, "a diary");
  assertRefused(await again(), { code: 1, message: "it is there already" });
});

Deno.test("ood tagood vocab refuses bad input in one sentence", async () => {
  const { shop, features, out } = await prepared();
  await using _shop = shop;
  await writeTags(shop.file("bare.safetensors"), ROWS, { labels: false });
  await writeTags(shop.file("nameless.safetensors"), ROWS, {
    metadata: { "tag_names": '["boat"]' },
  });
  const before = listFiles(shop.path);
  const cases: [argv: string[], code: number, message: string][] = [
    [[], 2, "The option --features FILE is required"],
    [["--features", features, "--images", shop.path], 2, "--features and --images exclude"],
    [["--images", shop.path], 2, "The option --images needs --model"],
    [["--features", features, "--model", "m.onnx"], 2, "The option --model needs --images"],
    [["--features", features, "--resume"], 2, "The option --resume needs --images"],
    [["--features", features, "--threshold", "1"], 2, "--threshold must lie between 0 and 1"],
    [["--features", features, "--candidates", "0"], 2, "--candidates must be a whole number"],
    [["--features", shop.file("no.safetensors")], 1, "no.safetensors"],
    [["--features", shop.file("bare.safetensors")], 1, 'has no "labels"'],
    [["--features", shop.file("nameless.safetensors")], 1, "has 5 tag logits an image"],
  ];
  for (const [argv, code, message] of cases) {
    assertRefused(await ood("tagood", "vocab", "--out", out, ...argv), { code, message });
  }
  const nowhere = ["--features", features, "--out", shop.file("no/v.json")];
  assertRefused(await ood("tagood", "vocab", ...nowhere), { code: 1, message: "no/v.json" });
  assertEquals(listFiles(shop.path), before);
});
