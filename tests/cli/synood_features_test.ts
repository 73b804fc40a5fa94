import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { openFeatures } from "../../data/mod.ts";
import { type LabelSet, saveLabelSet } from "../../methods/mod.ts";
import { hashTextEncoder, readTensor, replaceInitializers } from "../../onnx/mod.ts";
import { type ClipFiles, type ClipOptions, clipVision, writeClip } from "../_support/clip.ts";
import { encodeRgbPng, makeImage, temporaryFolder } from "../_support/images.ts";
import { assertRefused, ood, succeed } from "./_workshop.ts";

const SMALL: ClipOptions = { vocabulary: 600, length: 12, side: 32, embed: 24 };
const FOLDERS = ["Great_White_Shark", "owl", "unknown"];

/** Labels of two classes and three things outside. */
function labels(width: number, model: string): LabelSet {
  const text = Float32Array.from({ length: 5 * width }, (_, i) => i % width === 3 ? 1 : 0);
  return {
    ids: ["owl", "great white shark"],
    negatives: ["teapot", "rusty", "lamp"],
    kinds: ["noun", "adjective", "noun"],
    text,
    width,
    logitScale: 50,
    mining: "neg_label",
    model,
  };
}

/** A folder with a model in `clip`, labels for it, and nine images of three classes. */
async function workshop(files: ClipFiles = {}) {
  const folder = await temporaryFolder();
  const file = (name: string) => `${folder.path}/${name}`;
  await writeClip(file("clip"), { ...SMALL, files });
  await saveLabelSet(
    file("labels.safetensors"),
    labels(24, await hashTextEncoder(file("clip")) ?? ""),
  );
  for (const [f, name] of FOLDERS.entries()) {
    await Deno.mkdir(file(`images/${name}`), { recursive: true });
    for (let i = 0; i < 3; i++) {
      const image = makeImage(33 + i, 36, (x, y, c) => x * (i + 3) + y * 29 * (f + 1) * (c + 1));
      await Deno.writeFile(file(`images/${name}/${i}.png`), await encodeRgbPng(image));
    }
  }
  await Deno.writeTextFile(file("images/owl/1.png"), "no image");
  const args = (...more: string[]) => [
    ...["synood", "features", "--model", file("clip"), "--images", file("images")],
    ...["--out", file("out.safetensors"), "--device", "wasm", ...more],
  ];
  return { file, args, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("ood synood features stores embeddings of images and of labels", async () => {
  await using shop = await workshop();
  const text = ["--text", shop.file("labels.safetensors")];
  const { out, notes } = await succeed(...shop.args(...text, "--batch", "2", "--json"));
  assertEquals(JSON.parse(out).images, 8);
  assertStringIncludes(notes, "2 images at a time");
  assertStringIncludes(notes, "Skipped owl/1.png");
  assertStringIncludes(notes, "the model has no class for 1 of the folders (unknown)");
  assertEquals(/guess|not of the text encoder/.test(notes), false, notes);
  await using set = await openFeatures(shop.file("out.safetensors"));
  const expected = labels(24, await hashTextEncoder(shop.file("clip")) ?? "");
  assertEquals(set.shape("image_embed"), [8, 24]);
  assertEquals(await set.read("text_embed"), { data: expected.text, shape: [5, 24] });
  assertEquals(await set.read("logit_scale"), { data: Float32Array.of(50), shape: [1] });
  assertEquals([...(await set.read("labels")).data], [1, 1, 1, 0, 0, -1, -1, -1]);
  assertEquals(JSON.parse(set.metadata["text_labels"]!), {
    id: expected.ids,
    negative: expected.negatives,
    kinds: expected.kinds,
    mining: "neg_label",
  });
  assertEquals(set.metadata["text_model"], expected.model);
  assertEquals(JSON.parse(set.metadata["label_names"]!), expected.ids);
  assertMatch(set.metadata["preprocessing"]!, /"bicubic"/);
});

Deno.test("ood synood features goes on, shards and merges as ood extract does", async () => {
  await using shop = await workshop();
  const out = shop.file("out.safetensors");
  await succeed(...shop.args("--labels", "none"));
  const whole = await openFeatures(out);
  const embeds = await whole.read("image_embed");
  assertEquals([...(await whole.read("labels")).data], Array(8).fill(-1));
  assertEquals([...whole.keys].sort(), ["image_embed", "labels"]);
  await whole[Symbol.asyncDispose]();
  await Deno.remove(out);
  for (const part of ["1/2", "2/2"]) {
    await succeed(...shop.args("--labels", "none", "--shard", part));
  }
  await succeed("synood", "features", "--merge", "2", "--out", out);
  await using merged = await openFeatures(out);
  assertEquals(await merged.read("image_embed"), embeds);
  const again = await ood(...shop.args("--labels", "none", "--resume"));
  assertEquals(again.code, 0, again.notes);
});

Deno.test("ood synood features takes folders of WordNet's numbers by their order", async () => {
  await using shop = await workshop();
  await Deno.rename(shop.file("images/owl"), shop.file("images/n00000001"));
  await Deno.rename(shop.file("images/Great_White_Shark"), shop.file("images/n00000002"));
  await Deno.remove(shop.file("images/unknown"), { recursive: true });
  await succeed(...shop.args("--text", shop.file("labels.safetensors")));
  await using set = await openFeatures(shop.file("out.safetensors"));
  assertEquals([...(await set.read("labels")).data], [0, 0, 1, 1, 1]);
});

Deno.test("ood synood features says what it cannot use", async () => {
  await using shop = await workshop();
  const other = shop.file("other.safetensors");
  await saveLabelSet(other, labels(24, "abc"));
  const { notes } = await succeed(...shop.args("--text", other));
  assertStringIncludes(notes, `the text features of "${other}" are not of the text encoder in`);
  const wide = shop.file("wide.safetensors");
  await saveLabelSet(wide, labels(32, "abc"));
  assertRefused(await ood(...shop.args("--text", wide)), {
    code: 1,
    message: `Cannot compare images of "${shop.file("clip")}" with the labels of "${wide}": the ` +
      "image encoder gives 24 numbers and the text features have 32",
  });
  const refused = async (message: string, ...argv: string[]) => {
    const run = await ood(...argv);
    assertEquals([run.code, run.out], [1, ""], run.notes);
    assertStringIncludes(run.notes, message);
  };
  const token = shop.file("clip/tokenizer.json");
  await refused("it is not a safetensors file", ...shop.args("--text", token));
  const model = (path: string) => {
    const argv = shop.args();
    argv[3] = shop.file(path);
    return argv;
  };
  await refused("there is no such folder", ...model("nothing"));
  await refused("it is a file and a folder was expected", ...model("labels.safetensors"));
  await refused("there is no vision_model.onnx", ...model("images"));
  assertRefused(await ood("synood", "features", "--out", shop.file("x.safetensors")), {
    code: 2,
    message: "The option --model FOLDER is required",
  });
});

Deno.test("ood synood features names the image that an encoder fails on", async () => {
  const model = clipVision(SMALL);
  const name = "visual_projection.weight";
  const { data } = readTensor(model.graph.initializers.get(name)!);
  const broken = replaceInitializers(model, { [name]: new Float32Array(data.length).fill(NaN) });
  await using shop = await workshop({ "vision_model.onnx": broken });
  const run = await ood(...shop.args());
  assertEquals(run.code, 1);
  assertStringIncludes(
    run.notes,
    'gives NaN in "image_embed" for the image "Great_White_Shark/0.png"',
  );
});

Deno.test("ood extract and ood inspect know an image encoder's embeddings", async () => {
  await using shop = await workshop();
  const model = shop.file("clip/vision_model.onnx");
  const { out } = await succeed("inspect", model);
  assertStringIncludes(out, "embeddings      image_embeds [batch, 24]");
  assertStringIncludes(out, "logits          none: the model gives embeddings of images");
  assertStringIncludes(out, "shorter side to 32 (bicubic), centre crop 32x32, RGB 0..1");
  const file = shop.file("e.safetensors");
  const argv = ["--images", shop.file("images"), "--out", file, "--device", "wasm"];
  const { notes } = await succeed("extract", "--model", model, ...argv);
  assertEquals(notes.includes("guess"), false, notes);
  await using set = await openFeatures(file);
  assertEquals([...set.keys].sort(), ["image_embed", "labels"]);
  assertEquals([...(await set.read("labels")).data], [0, 0, 0, 1, 1, 2, 2, 2]);
});
