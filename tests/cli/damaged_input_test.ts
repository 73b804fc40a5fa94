import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openFeatures } from "../../data/mod.ts";
import { GraphBuilder, writeModel } from "../../onnx/mod.ts";
import { squeezenetLike } from "../onnx/_models.ts";
import {
  assertRefused,
  featureArrays,
  listFiles,
  ood,
  succeed,
  type Workshop,
  workshop,
  writeClassFolders,
  writeFeatureFile,
  writeFeatureFiles,
  writeSmallModel,
} from "./_workshop.ts";

const HERE = ["--device", "reference"];

function extractArgs(
  { file }: Workshop,
  { model = "tiny.onnx", images = "images" } = {},
): string[] {
  return [
    ...["extract", "--model", file(model), "--images", file(images)],
    ...["--out", file("out.safetensors"), "--device", "wasm", "--threads", "1", "--workers", "0"],
  ];
}

/** A folder with a model and images of which one is cut off, one empty, one a text, one no image. */
async function damagedImages(): Promise<Workshop> {
  const shop = await workshop();
  const { file } = shop;
  await writeSmallModel(file("tiny.onnx"));
  await writeClassFolders(file("images"), 2);
  const png = await Deno.readFile(file("images/ape/000.png"));
  await Deno.writeFile(file("images/cat/cut.png"), png.subarray(0, 60));
  const corrupt = png.slice();
  corrupt[50]! ^= 255;
  await Deno.writeFile(file("images/cat/corrupt.png"), corrupt);
  await Deno.writeFile(file("images/dog/empty.jpg"), new Uint8Array());
  await Deno.writeTextFile(file("images/dog/text.webp"), "no image");
  await Deno.writeTextFile(file("images/owl/notes.txt"), "no image either");
  return shop;
}

Deno.test("ood extract skips, counts and reports images that cannot be read", async () => {
  await using shop = await damagedImages();
  const run = await succeed(...extractArgs(shop), "--json");
  for (const name of ["cat/cut.png", "cat/corrupt.png", "dog/empty.jpg", "dog/text.webp"]) {
    assertStringIncludes(run.notes, `Skipped ${name}: `);
  }
  assertStringIncludes(run.notes, "8 images, 4 skipped");
  assertStringIncludes(run.notes, "1 other file of");
  const summary = JSON.parse(run.out);
  assertEquals([summary.images, summary.skipped.length], [8, 4]);
  await using set = await openFeatures(shop.file("out.safetensors"));
  assertEquals(set.count, 8);
  const { skipped } = set.metadata;
  assertEquals(JSON.parse(skipped!).map(({ name }: { name: string }) => name), [
    ...["cat/corrupt.png", "cat/cut.png", "dog/empty.jpg", "dog/text.webp"],
  ]);
});

Deno.test("ood extract --strict stops at the first image that cannot be read", async () => {
  await using shop = await damagedImages();
  const before = listFiles(shop.path);
  const run = await ood(...extractArgs(shop), "--strict");
  assertRefused(run, { code: 1, message: 'Cannot read "cat/corrupt.png"' });
  assertEquals(listFiles(shop.path), before);
});

Deno.test("ood extract refuses folders without images, and leaves nothing behind", async () => {
  await using shop = await damagedImages();
  const { file } = shop;
  await Deno.mkdir(file("void"));
  await Deno.mkdir(file("texts"));
  await Deno.writeTextFile(file("texts/a.txt"), "a");
  await Deno.mkdir(file("trash"));
  await Deno.writeTextFile(file("trash/a.png"), "a");
  const before = listFiles(shop.path);
  for (
    const [images, message] of [
      ["void", "there is no image in the folder"],
      ["texts", "there is no image in the folder"],
      ["nowhere", "there is no such file or folder"],
      ["tiny.onnx", "neither an image nor a text that lists images"],
      ["trash", "none of the 1 images can be read"],
    ] as const
  ) {
    assertRefused(await ood(...extractArgs(shop, { images })), { code: 1, message });
    assertEquals(listFiles(shop.path), before);
  }
  await succeed(...extractArgs(shop));
});

Deno.test("ood extract and inspect refuse what is no ONNX model that can run", async () => {
  await using shop = await damagedImages();
  const { file } = shop;
  const whole = await Deno.readFile(file("tiny.onnx"));
  await Deno.writeFile(file("cut.onnx"), whole.subarray(0, whole.length >> 1));
  await Deno.writeTextFile(file("text.onnx"), "<!DOCTYPE html><p>404</p>\n");
  await Deno.writeFile(file("empty.onnx"), new Uint8Array());
  const builder = new GraphBuilder({ name: "alien" });
  const image = builder.input("image", ["N", 3, 8, 8]);
  builder.output("logits", builder.node("Frobnicate", [image]));
  await Deno.writeFile(file("alien.onnx"), writeModel(builder.build()));
  const before = listFiles(shop.path);
  for (
    const [model, message, readable] of [
      ["cut.onnx", "the file is truncated or damaged", false],
      ["text.onnx", "it is a text file and an ONNX model was expected", false],
      ["empty.onnx", "the file is empty", false],
      ["none.onnx", "there is no such file", false],
      ["alien.onnx", "the operator Frobnicate", true],
    ] as const
  ) {
    assertRefused(await ood(...extractArgs(shop, { model })), { code: 1, message });
    if (!readable) assertRefused(await ood("inspect", file(model)), { code: 1, message });
    assertEquals(listFiles(shop.path), before);
  }
});

Deno.test("ood without a linear head extracts, and says so where a head is needed", async () => {
  await using shop = await damagedImages();
  const { file } = shop;
  await Deno.writeFile(file("squeeze.onnx"), writeModel(squeezenetLike()));
  await writeClassFolders(file("others"), 2, 50);
  await succeed(...extractArgs(shop, { model: "squeeze.onnx" }));
  await Deno.rename(file("out.safetensors"), file("train.safetensors"));
  await succeed(...extractArgs(shop, { model: "squeeze.onnx", images: "others" }));
  const set = file("train.safetensors");
  const sets = ["--train", set, "--id", set, "--ood", `o=${file("out.safetensors")}`];
  const options = ["--bootstrap", "0", ...HERE];
  const run = await ood("eval", ...sets, "--methods", "react", ...options);
  assertRefused(run, { code: 1, message: '"react"' });
  assertStringIncludes(run.notes, "head.weight");
  const all = await succeed("eval", ...sets, ...options, "--json", "-");
  assertStringIncludes(all.notes, "Left out react: ");
  const { manifest, results } = JSON.parse(all.out);
  assert("react" in manifest.skipped);
  assert(results.some(({ method }: { method: string }) => method === "msp"));
  assert(!results.some(({ method }: { method: string }) => method === "react"));
});

Deno.test("ood eval refuses feature files that do not fit, one sentence each", async () => {
  await using shop = await workshop();
  const { file } = shop;
  const { train, id, near } = await writeFeatureFiles(shop.path);
  const good = featureArrays(20, { seed: 9 });
  const { logits, labels } = good;
  await writeFeatureFile(file("logits.safetensors"), { logits, labels });
  const spoilt = featureArrays(20, { seed: 9 });
  spoilt.features.data[8 * 7 + 2] = NaN;
  spoilt.logits.data[3 * 7] = Infinity;
  await writeFeatureFile(file("nan.safetensors"), spoilt);
  await writeFeatureFile(file("c.safetensors"), featureArrays(20, { channels: 5 }));
  await writeFeatureFile(file("k.safetensors"), featureArrays(20, { classes: 4 }));
  await writeFeatureFile(file("rows.safetensors"), { ...good, logits: featureArrays(21).logits });
  const bytes = await Deno.readFile(near);
  await Deno.writeFile(file("cut.safetensors"), bytes.subarray(0, bytes.length - 100));
  await Deno.writeFile(file("head.safetensors"), bytes.subarray(0, 40));
  await Deno.writeFile(file("empty.safetensors"), new Uint8Array());
  await Deno.writeTextFile(file("text.safetensors"), "features, but in words");
  await writeFeatureFile(file("a.safetensors"), good, { "model_hash": "a" });
  await writeFeatureFile(file("b.safetensors"), good, { "model_hash": "b" });
  const before = listFiles(shop.path);
  const evaluate = (methods: string, set: string, using: { train?: string; id?: string } = {}) =>
    ood(
      ...["eval", "--train", using.train ?? train, "--id", using.id ?? id],
      ...["--ood", `set=${file(`${set}.safetensors`)}`, "--methods", methods],
      ...["--json", file("out.json"), "--bootstrap", "0", ...HERE],
    );
  for (
    const [methods, set, message] of [
      ["knn", "logits", '"features"'],
      ["knn", "nan", '"features" has a NaN in row 7'],
      ["msp", "nan", "in row 7"],
      ["msp", "c", "it has 5 channels and"],
      ["msp", "k", "it has 4 classes and"],
      ["msp", "rows", "rows"],
      ["msp", "cut", 'Cannot read "DIR/cut.safetensors"'],
      ["msp", "head", 'Cannot read "DIR/head.safetensors"'],
      ["msp", "empty", 'Cannot read "DIR/empty.safetensors"'],
      ["msp", "text", 'Cannot read "DIR/text.safetensors"'],
    ] as const
  ) {
    const run = await evaluate(methods, set);
    const hidden = { ...run, notes: run.notes.replaceAll(shop.path, "DIR") };
    assertRefused(hidden, { code: 1, message });
    assertStringIncludes(hidden.notes, `DIR/${set}.safetensors`);
    assertEquals(listFiles(shop.path), before);
  }
  const lacking = await evaluate("knn", "near", { train: file("logits.safetensors") });
  assertRefused(lacking, { code: 1, message: '"features"' });
  const mixed = await evaluate("msp", "a", { train: file("b.safetensors") });
  assertRefused(mixed, { code: 1, message: "they were extracted with different models" });
});

Deno.test("ood refuses features and models that a detector was not fitted to", async () => {
  await using shop = await damagedImages();
  const { file } = shop;
  await succeed(...extractArgs(shop));
  await writeSmallModel(file("other.onnx"), squeezenetLike());
  const detector = ["--detector", file("detector.safetensors")];
  await succeed(
    ...["fit", "--method", "energy", "--train", file("out.safetensors"), "--out", detector[1]!],
    ...["--id", file("out.safetensors"), ...HERE],
  );
  const arrays = featureArrays(20);
  await writeFeatureFile(file("k.safetensors"), arrays);
  await writeFeatureFile(file("alien.safetensors"), arrays, { "model_hash": "0123456789abcdef" });
  const before = listFiles(shop.path);
  const model = ["--model", file("other.onnx")];
  for (
    const [argv, message] of [
      [
        ["score", ...detector, "--features", file("alien.safetensors"), ...HERE],
        "come from the model 0123456789ab",
      ],
      [["score", ...detector, "--features", file("k.safetensors"), ...HERE], "logits"],
      [["calibrate", ...detector, "--id", file("k.safetensors"), ...HERE], "logits"],
      [["export", ...detector, ...model, "--out", file("x.onnx")], "another model"],
      [
        ["score", ...detector, ...model, "--images", file("images"), "--device", "wasm"],
        "model",
      ],
    ] as const
  ) {
    const run = await ood(...argv);
    assertRefused(run, { code: 1, message });
    assertEquals(listFiles(shop.path), before);
  }
});
