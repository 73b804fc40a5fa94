import * as native from "onnxruntime-node";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { openImages } from "../../data/mod.ts";
import {
  extractFeatures,
  GraphBuilder,
  type HostArray,
  loadTokenizer,
  OnnxSession,
  openVisionLanguage,
  readTensor,
  replaceInitializers,
  type VisionLanguageOptions,
  writeModel,
} from "../../onnx/mod.ts";
import { Gpu, UserError } from "../../runtime/mod.ts";
import {
  type ClipFiles,
  type ClipOptions,
  clipPreprocessor,
  clipText,
  clipTokenizer,
  clipVision,
  writeClip,
} from "../_support/clip.ts";
import { encodeRgbPng, makeImage, temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

/** A model that is small all over. */
const SMALL: ClipOptions = { vocabulary: 600, length: 12, side: 32, embed: 24 };
const TEXTS = ["a cat", "a photo of a dog", "dogs and cats, many of them, over and over", ""];

type Written = AsyncDisposable & { readonly path: string };

/** A folder with a model. */
async function clip(
  options: ClipOptions & { readonly files?: ClipFiles } = SMALL,
): Promise<Written> {
  const folder = await temporaryFolder();
  await writeClip(folder.path, options);
  return folder;
}

/** Embeddings of texts, and what was said meanwhile. */
async function encode(
  folder: string,
  texts: readonly string[],
  options: VisionLanguageOptions & { readonly batch?: number } = {},
): Promise<{ embed: Float32Array<ArrayBuffer>; warnings: string[]; width: number }> {
  const warnings: string[] = [];
  const { batch, ...open } = options;
  await using model = await openVisionLanguage(folder, {
    device: "wasm",
    parts: ["text"],
    onWarning: (message) => warnings.push(message),
    ...open,
  });
  const { embed, width } = await model.encodeTexts(texts, batch === undefined ? {} : { batch });
  return { embed, warnings, width };
}

/** The same in onnxruntime's native build, one text at a time, padded to the whole length. */
async function nativeEmbeds(texts: readonly string[], length: number): Promise<number[]> {
  const session = await native.InferenceSession.create(writeModel(clipText(SMALL)));
  const tokenizer = await loadTokenizer(clipTokenizer({ vocabulary: SMALL.vocabulary! }));
  const rows: number[] = [];
  for (const text of texts) {
    const { ids, shape } = tokenizer.encode([text], { length });
    const { text_embeds: embeds } = await session.run({
      "input_ids": new native.Tensor("int64", ids, shape),
    });
    rows.push(...embeds!.data as Float32Array);
  }
  await session.release();
  return rows;
}

Deno.test("openVisionLanguage() opens what has CLIP ViT-B/16's interface", async () => {
  await using folder = await clip({ logitScale: Math.log(100) });
  const warnings: string[] = [];
  await using model = await openVisionLanguage(folder.path, {
    device: "wasm",
    onWarning: (message) => warnings.push(message),
  });
  assertEquals([model.width, model.logitScale, model.contextLength], [512, 100, 77]);
  assertEquals(model.templates, undefined);
  assertEquals(model.deviceName, "wasm");
  assert(/^[0-9a-f]{64}$/.test(model.hash.image!) && model.hash.image !== model.hash.text);
  assertEquals(model.imageModel, {
    path: `${folder.path}/vision_model.onnx`,
    sidecar: {
      input: "pixel_values",
      outputs: { "image_embed": "image_embeds" },
      preprocessing: {
        resize: { shorter: 224 },
        crop: { width: 224, height: 224 },
        interpolation: "bicubic",
        channels: "RGB",
        range: 1,
        mean: [0.48145466, 0.4578275, 0.40821073],
        scale: [0.26862954, 0.26130258, 0.27577711],
        layout: "NCHW",
      },
    },
  });
  const { embed, width } = await model.encodeTexts(["a photo of a cat", "a photo of a dog"]);
  assertEquals([embed.length, width], [1024, 512]);
  assertEquals(warnings, []);
});

Deno.test("VisionLanguageModel.encodeTexts() gives what the encoder gives, however it is cut", async () => {
  const expected = await nativeEmbeds(TEXTS, 12);
  const graphs: ClipOptions[] = [
    SMALL,
    { ...SMALL, mask: true, hidden: true },
    { ...SMALL, tokens: 12 },
    { ...SMALL, tokens: 12, batch: 1, mask: true },
    { ...SMALL, batch: 3 },
  ];
  for (const sizes of graphs) {
    await using folder = await clip(sizes);
    for (const batch of [1, 3, 64]) {
      const { embed, warnings } = await encode(folder.path, TEXTS, { batch });
      const what = `${JSON.stringify(sizes)}, ${batch} at a time`;
      assertClose(embed, expected, TOLERANCE.provider, what);
      assertEquals(warnings.length, 2, what);
      assertStringIncludes(warnings[0]!, "100 is taken");
      assertStringIncludes(warnings[1]!, "1 of 4 texts are longer than 12 tokens and lost their");
    }
    assertEquals((await encode(folder.path, [])).embed.length, 0);
  }
});

Deno.test("VisionLanguageModel.encodeTexts() runs on webgpu", async () => {
  using gpu = await Gpu.open();
  await using folder = await clip({ ...SMALL, mask: true, tokens: 12 });
  const { embed } = await encode(folder.path, TEXTS, { device: "webgpu", gpu });
  assertClose(embed, await nativeEmbeds(TEXTS, 12), TOLERANCE.provider, "webgpu");
});

Deno.test("VisionLanguageModel.encodeTexts() keeps rows whole for an encoder that sees padding", async () => {
  // The mean over all tokens: unlike CLIP's, what stands behind the end counts.
  const b = new GraphBuilder({ name: "mean" });
  const ids = b.input("input_ids", ["N", "T"], { type: "i64" });
  const table = Float32Array.from({ length: 600 * 4 }, (_, i) => Math.sin(i));
  const found = b.node("Gather", [b.constant(table, { shape: [600, 4] }), ids]);
  b.output("text_embeds", b.reduce("ReduceMean", found, { axes: [1] }));
  await using folder = await clip({ ...SMALL, files: { "text_model.onnx": b.build() } });
  const { embed } = await encode(folder.path, ["cat", "cat dog"]);
  const tokenizer = await loadTokenizer(clipTokenizer({ vocabulary: 600 }));
  const { ids: tokens } = tokenizer.encode(["cat"], { length: 12 });
  const mean = [0, 1, 2, 3].map((k) =>
    tokens.reduce((sum, id) => sum + Math.sin(4 * Number(id) + k), 0) / 12
  );
  assertClose(embed.subarray(0, 4), mean, TOLERANCE.provider, "padded to 12");
});

Deno.test("openVisionLanguage() finds files where exports put them, or where oodgpu.json says", async () => {
  const [vision, text] = [clipVision(SMALL), clipText(SMALL)];
  const absent = { "vision_model.onnx": null, "text_model.onnx": null };
  const layouts: ClipFiles[] = [
    { ...absent, "onnx/vision_model.onnx": vision, "onnx/text_model.onnx": text },
    { ...absent, "vision_model/model.onnx": vision, "text_model/model.onnx": text },
    {
      ...absent,
      "onnx/vision_model_fp32.onnx": vision,
      "b.onnx": text,
      "tokenizer.json": null,
      "t/tokens.json": clipTokenizer({ vocabulary: 600 }).tokenizer,
      "oodgpu.json": {
        name: "small",
        "image_model": "onnx/vision_model_fp32.onnx",
        "text_model": "b.onnx",
        tokenizer: "t/tokens.json",
      },
    },
  ];
  for (const files of layouts) {
    await using folder = await clip({ ...SMALL, files });
    await using model = await openVisionLanguage(folder.path, { device: "wasm" });
    assertEquals(model.width, 24);
    const { preprocessing } = model.imageModel.sidecar;
    // The configuration lies above the folder "onnx", and not above others.
    assertEquals(preprocessing === undefined, "vision_model/model.onnx" in files);
  }
});

Deno.test("openVisionLanguage() takes both encoders out of one file", async () => {
  const b = new GraphBuilder({ name: "both" });
  const ids = b.input("input_ids", ["texts", "T"], { type: "i64" });
  const pixels = b.input("pixel_values", ["images", 3, 8, 8]);
  b.input("attention_mask", ["texts", "T"], { type: "i64" });
  const table = (rows: number) =>
    b.constant(Float32Array.from({ length: rows * 4 }, (_, i) => Math.sin(i)), {
      shape: [rows, 4],
    });
  const found = b.node("Gather", [table(600), ids]);
  const text = b.node("ReduceMax", [found], {
    attributes: { axes: [1n], keepdims: 0n },
    output: "text_embeds",
  });
  const image = b.node("MatMul", [b.node("Flatten", [pixels]), table(192)], {
    output: "image_embeds",
  });
  const turned = b.node("Transpose", [text], { attributes: { perm: [1n, 0n] } });
  b.output("logits_per_image", b.node("MatMul", [image, turned]));
  b.output("text_embeds");
  b.output("image_embeds");
  const files = {
    "vision_model.onnx": null,
    "text_model.onnx": null,
    "onnx/model.onnx": b.build(),
    "preprocessor_config.json": clipPreprocessor(8),
  };
  await using folder = await clip({ ...SMALL, files });
  await using model = await openVisionLanguage(folder.path, { device: "wasm" });
  assertEquals(model.hash.image, model.hash.text);
  assertEquals((await model.encodeTexts(["cat", "dog"])).embed.length, 8);
  const { path, sidecar } = model.imageModel;
  const png = await encodeRgbPng(makeImage(9, 10));
  await Deno.writeFile(`${folder.path}/a.png`, png);
  const { keys } = await extractFeatures({
    model: path,
    sidecar,
    images: await openImages(folder.path),
    out: `${folder.path}/f.safetensors`,
    device: "wasm",
    workers: 0,
  });
  assertEquals(keys, ["image_embed", "labels"]);
});

Deno.test("oodgpu.json goes before everything else", async () => {
  const names = {
    "pixel_values": "image",
    "image_embeds": "v",
    "input_ids": "t",
    "text_embeds": "w",
  };
  const preprocessing = {
    crop: { width: 32, height: 32 },
    interpolation: "nearest",
    channels: "BGR",
    range: 255,
    mean: [1, 2, 3],
    scale: [4, 5, 6],
  };
  const sidecar = {
    inputs: { image: "image", ids: "t" },
    outputs: { "image_embed": "v", "text_embed": "w" },
    preprocessing,
    "logit_scale": 50,
    "context_length": 7,
    templates: ["a photo of a {}."],
    width: 24,
  };
  const files = { "oodgpu.json": sidecar };
  await using folder = await clip({ ...SMALL, names, logitScale: 4, files });
  await using model = await openVisionLanguage(folder.path, { device: "wasm" });
  assertEquals([model.logitScale, model.contextLength, model.width], [50, 7, 24]);
  assertEquals(model.templates, sidecar.templates);
  const { input, outputs, preprocessing: spec } = model.imageModel.sidecar;
  assertEquals([input, outputs], ["image", { "image_embed": "v" }]);
  assertEquals<unknown>(spec, { ...preprocessing, layout: "NCHW" });
  assertEquals((await model.encodeTexts(["cat"])).embed.length, 24);
});

Deno.test("openVisionLanguage() opens just the parts that are asked for", async () => {
  await using folder = await clip({ ...SMALL, files: { "text_model.onnx": null } });
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  await using image = await openVisionLanguage(folder.path, { parts: ["image"], onWarning });
  assertEquals(Object.keys(image.hash), ["image"]);
  assertEquals(warnings, []);
  await assertRejects(() => image.encodeTexts(["cat"]), TypeError, "text encoder");
  await using other = await clip({ ...SMALL, files: { "vision_model.onnx": null } });
  const text = await openVisionLanguage(other.path, { device: "wasm", parts: ["text"] });
  let message = "";
  try {
    text.imageModel;
  } catch (error) {
    message = (error as Error).message;
  }
  assertStringIncludes(message, "Cannot use the image encoder");
  await assertRejects(() => text.encodeTexts(["cat"], { batch: 0 }), RangeError, "0 texts");
  const stopped = AbortSignal.abort(new Error("enough"));
  await assertRejects(() => text.encodeTexts(["cat"], { signal: stopped }), Error, "enough");
  await text.dispose();
  await text.dispose();
  await assertRejects(() => text.encodeTexts(["cat"]), TypeError, "is disposed");
});

Deno.test("openVisionLanguage() reads a scale wherever it is", async () => {
  const scaleOf = async (options: ClipOptions & { files?: ClipFiles }) => {
    await using folder = await clip({ ...SMALL, ...options });
    await using model = await openVisionLanguage(folder.path, { device: "wasm" });
    return model.logitScale;
  };
  assertEquals(await scaleOf({ logitScale: Math.log(20) }), 20);
  // One that was exponentiated before it was stored, and that nothing reads.
  const b = new GraphBuilder({ name: "scaled" });
  const ids = b.input("input_ids", ["N", "T"], { type: "i64" });
  const table = b.constant(new Float32Array(600 * 24).fill(1), { shape: [600, 24] });
  b.output("text_embeds", b.reduce("ReduceMax", b.node("Gather", [table, ids]), { axes: [1] }));
  b.constant(Float32Array.of(64), { name: "model.logit_scale" });
  assertEquals(await scaleOf({ files: { "text_model.onnx": b.build() } }), 64);
});

Deno.test("openVisionLanguage() says what is missing or does not fit", async () => {
  const { tokenizer } = clipTokenizer({ vocabulary: 600 });
  const sidecar = (value: unknown): ClipFiles => ({ "oodgpu.json": value });
  const takes3d = new GraphBuilder();
  takes3d.output("image_embeds", takes3d.input("pixel_values", [3, 32, 32]));
  const gives3d = new GraphBuilder();
  const ids = gives3d.input("input_ids", ["N", "T"], { type: "i64" });
  const rows = gives3d.constant(new Float32Array(600 * 24), { shape: [600, 24] });
  gives3d.output("text_embeds", gives3d.node("Gather", [rows, ids]));
  const floats = new GraphBuilder();
  floats.output("text_embeds", floats.input("input_ids", ["N", 24]));
  const needsMore = new GraphBuilder();
  const image = needsMore.input("pixel_values", ["N", 3, 32, 32]);
  const factor = needsMore.input("factor", ["N", 1]);
  needsMore.output(
    "image_embeds",
    needsMore.node("Mul", [needsMore.node("Flatten", [image]), factor]),
  );
  const config = (change: Record<string, unknown>): ClipFiles => ({
    "preprocessor_config.json": { ...clipPreprocessor(32), ...change },
  });
  const cases: [ClipOptions & { files?: ClipFiles }, string][] = [
    [
      { files: { "vision_model.onnx": null } },
      "there is no vision_model.onnx, no onnx/vision_model.onnx, no vision_model/model.onnx, no model.onnx,",
    ],
    [
      { files: { "text_model.onnx": null, "onnx/text_model_quantized.onnx": new Uint8Array(1) } },
      "there is onnx/text_model_quantized.onnx: name the one to use in oodgpu.json " +
      '("text_model": "onnx/text_model_quantized.onnx")',
    ],
    [{ files: { "tokenizer.json": null } }, "Cannot find the tokenizer"],
    [{ files: sidecar({ "text_model": "x.onnx" }) }, "no x.onnx, which its oodgpu.json names"],
    [{ files: sidecar({ "logit_scal": 1 }) }, 'key "logit_scal"; did you mean "logit_scale"'],
    [{ files: sidecar({ "logit_scale": -1 }) }, '"logit_scale" is -1 and a number above 0'],
    [{ files: sidecar({ "context_length": 7.5 }) }, "7.5 and a whole number from 1"],
    [{ files: sidecar({ templates: ["a cat"] }) }, 'has "a cat", in which no {} stands'],
    [{ files: sidecar({ inputs: { text: "x" } }) }, '"inputs" has the unknown key "text"'],
    [{ files: sidecar({ preprocessing: { mean: 3 } }) }, '"interpolation" must be'],
    [{ files: sidecar({ width: 32 }) }, "says that embeddings have 32 numbers and"],
    [
      { names: { "pixel_values": "image" } },
      'as an image encoder: it takes "image" [batch, 3, 32, 32] and gives "image_embeds" ' +
      '[batch, 24]; the input "pixel_values" [N, 3, H, W] and the output "image_embeds" [N, D]',
    ],
    [{ names: { "image_embeds": "pooled" } }, 'gives "pooled" [batch, 24]; the input'],
    [{ names: { "text_embeds": "pooled" } }, "as a text encoder: it takes"],
    [{ files: { "vision_model.onnx": takes3d.build() } }, 'takes "pixel_values" [3, 32, 32]'],
    [{ files: { "vision_model.onnx": needsMore.build() } }, '"factor" [N, 1]'],
    [{ files: { "text_model.onnx": gives3d.build() } }, 'gives "text_embeds" [N, T, 24]'],
    [{ files: { "text_model.onnx": floats.build() } }, 'takes "input_ids" [N, 24]'],
    [{ files: { "vision_model.onnx": clipVision({ ...SMALL, embed: 16 }) } }, "gives 16 numbers"],
    [
      { files: { "tokenizer.json": clipTokenizer({ vocabulary: 700 }).tokenizer } },
      "does not match the text encoder",
    ],
    [{ files: { "text_model.onnx": clipText({ ...SMALL, vocabulary: 9000 }) } }, "has 9000"],
    [{ files: { "tokenizer.json": { ...tokenizer, model: 3 } } }, 'it has no "model"'],
    [{ tokens: 12, files: sidecar({ "context_length": 77 }) }, "77 tokens and the graph takes 12"],
    [{ files: config({ resample: 1 }) }, '"resample" is 1 and 0 (nearest), 2 (bilinear) or 3'],
    [{ files: config({ "rescale_factor": 2 }) }, '"rescale_factor" is 2 and 1/255 or 1'],
    [{ files: config({ size: { longest: 3 } }) }, '"size" is no number'],
    [{ files: config({ "image_std": [0, 0, 0] }) }, '"scale" must be three numbers other than 0'],
  ];
  for (const [options, message] of cases) {
    await using folder = await clip({ ...SMALL, ...options });
    const open = async () => {
      await using _model = await openVisionLanguage(folder.path, { device: "wasm" });
    };
    const error = await assertRejects(open, UserError);
    assertStringIncludes(error.message, message);
    assert(!error.message.includes("\n"), error.message);
  }
  await assertRejects(() => openVisionLanguage("no/such"), UserError, "there is no such folder");
  await assertRejects(() => openVisionLanguage("deno.json"), UserError, "it is a file");
});

Deno.test("openVisionLanguage() names both numbers of a tokenizer that does not match", async () => {
  const files = { "tokenizer.json": clipTokenizer().tokenizer };
  await using folder = await clip({ ...SMALL, files });
  const error = await assertRejects(() => openVisionLanguage(folder.path), UserError);
  assertEquals(
    error.message,
    `Cannot encode texts: the tokenizer "${folder.path}/tokenizer.json" does not match the text ` +
      `encoder "${folder.path}/text_model.onnx": it has 49408 tokens and the encoder has 600`,
  );
});

Deno.test("VisionLanguageModel.encodeTexts() refuses embeddings without a direction", async () => {
  const text = clipText(SMALL);
  const weights = (name: string) => {
    const { data } = readTensor(text.graph.initializers.get(name)!);
    return Float32Array.from(data as Float32Array);
  };
  const table = weights("embeddings.token_embedding.weight");
  const { ids } = (await loadTokenizer(clipTokenizer({ vocabulary: 600 })))
    .encode(["dog"], { length: 3 });
  table.fill(NaN, 16 * Number(ids[1]), 16 * Number(ids[1]) + 16);
  const damaged = replaceInitializers(text, { "embeddings.token_embedding.weight": table });
  await using nan = await clip({ ...SMALL, files: { "text_model.onnx": damaged } });
  const refused = 'Cannot encode "a dog": ';
  for (const batch of [1, 64]) {
    const texts = ["cat", "a dog", "cat"];
    await assertRejects(() => encode(nan.path, texts, { batch }), UserError, refused);
  }
  assertEquals((await encode(nan.path, ["cat"])).width, 24);
  const projection = weights("text_projection.weight").fill(0);
  const flat = replaceInitializers(text, { "text_projection.weight": projection });
  await using zero = await clip({ ...SMALL, files: { "text_model.onnx": flat } });
  const message = "gives an embedding of length 0";
  await assertRejects(() => encode(zero.path, ["cat"]), UserError, message);
});

Deno.test("VisionLanguageModel.encodeTexts() halves a batch that does not fit into memory", async () => {
  await using folder = await clip(SMALL);
  const texts = Array.from({ length: 23 }, (_, i) => `${"cat ".repeat(i % 5)}dog ${i}`);
  const { embed: expected } = await encode(folder.path, texts);
  const { run } = OnnxSession.prototype;
  const sizes: number[] = [];
  let fits = 3;
  OnnxSession.prototype.run = function (inputs) {
    const rows = (inputs["input_ids"] as HostArray).shape[0]!;
    sizes.push(rows);
    if (rows <= fits) return run.call(this, inputs);
    const cause = new Error("Can't run: std::bad_alloc");
    return Promise.reject(new UserError("Cannot run the model", { cause }));
  };
  try {
    const { embed, warnings } = await encode(folder.path, texts, { batch: 16 });
    assertClose(embed, expected, TOLERANCE.provider, "halved");
    // Two runs find out about padding.
    assertEquals(sizes.slice(2), [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
    const said = warnings.filter((message) => message.includes("memory"));
    assertEquals(said, ["16 texts at a time did not fit into memory: going on with 2"]);
    fits = 0;
    await assertRejects(() => encode(folder.path, texts), UserError, "Cannot run the model");
  } finally {
    OnnxSession.prototype.run = run;
  }
});
