import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ImageError,
  type ImageSet,
  mergeShards,
  openFeatures,
  openImages,
  readSafetensors,
} from "../../data/mod.ts";
import { channelNorms } from "../../kernels/channel_norms/mod.ts";
import { preprocessReference, type PreprocessSpec } from "../../kernels/preprocess/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import {
  extractFeatures,
  type ExtractionOptions,
  type ExtractionProgress,
  GraphBuilder,
  type HostArray,
  inspect,
  loadSidecar,
  Odin,
  type OnnxModel,
  openSession,
  readModel,
  writeModel,
} from "../../onnx/mod.ts";
import config from "../../deno.json" with { type: "json" };
import { gpuTest } from "../_support/gpu.ts";
import { encodeRgbPng, makeImage, temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { headless, resnetLike, squeezenetLike } from "./_models.ts";

const SPEC: PreprocessSpec = {
  resize: { shorter: 9 },
  crop: { width: 8, height: 8 },
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.5, 0.4, 0.3],
  scale: [0.2, 0.3, 0.4],
  layout: "NCHW",
};

/** The model's order differs from that of the folders, and lacks one of them. */
const LABELS = ["owl", "cat", "ape", "dog"];
const FOLDERS = ["ape", "cat", "emu"];
const PER_FOLDER = 7;

function imageAt(folder: number, i: number): ReturnType<typeof makeImage> {
  const value = (x: number, y: number, c: number) =>
    (x * (i + 3) + y * 29 * (folder + 1)) * (c + 1);
  return makeImage(9 + i, 15 - i, value);
}

/** A folder with a model, its sidecar and 21 images in three classes. */
async function workshop(model: OnnxModel = resnetLike()): Promise<
  AsyncDisposable & { path: string; model: string; images: ImageSet; out: string }
> {
  const folder = await temporaryFolder();
  const path = folder.path;
  await Deno.writeFile(`${path}/tiny.onnx`, writeModel(model));
  await Deno.writeTextFile(
    `${path}/tiny.json`,
    JSON.stringify({ preprocessing: SPEC, labels: LABELS }),
  );
  for (const [f, name] of FOLDERS.entries()) {
    await Deno.mkdir(`${path}/images/${name}`, { recursive: true });
    for (let i = 0; i < PER_FOLDER; i++) {
      await Deno.writeFile(`${path}/images/${name}/${i}.png`, await encodeRgbPng(imageAt(f, i)));
    }
  }
  return {
    path,
    model: `${path}/tiny.onnx`,
    images: await openImages(`${path}/images`),
    out: `${path}/out.safetensors`,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** On the calling thread and in small batches. */
const SMALL = { device: "wasm", threads: 1, workers: 0, batch: 3 } as const;

function listNames(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name);
}

async function truncate(path: string): Promise<void> {
  await Deno.writeFile(path, (await Deno.readFile(path)).slice(0, 60));
}

Deno.test("extractFeatures() stores what the model gives for each image, in order", async () => {
  await using shop = await workshop();
  const summary = await extractFeatures({ ...shop, ...SMALL, featureMap: "f32" });
  assertEquals([summary.images, summary.processed, summary.skipped.length], [21, 21, 0]);
  assertEquals(summary.unknownClasses, ["emu"]);

  const batch = FOLDERS.flatMap((_, f) =>
    Array.from({ length: PER_FOLDER }, (_, i) => [...preprocessReference(imageAt(f, i), SPEC)])
  );
  const input = { data: Float32Array.from(batch.flat()), shape: [21, 3, 8, 8] };
  await using set = await openFeatures(summary.path!);
  await using session = await openSession(shop.model, { device: "wasm" });
  const { logits } = await session.run({ image: input });
  assertClose((await set.read("logits")).data, (logits as HostArray).data, TOLERANCE.kernel);
  const map = await set.read("feature_map");
  assertEquals(map.shape, [21, 6, 8, 8]);
  using host = new Host();
  const norms = channelNorms(host, { map: host.upload(map.data, map.shape) });
  assertEquals((await set.read("feature_norms")).data, norms.data);
  const features = await set.read("features");
  assertEquals(features.shape, [21, 6]);

  // Logits are the head's: the weights and the features belong together.
  const weight = (await set.read("head.weight")).data;
  const bias = (await set.read("head.bias")).data;
  const product = Float32Array.from({ length: 21 * 4 }, (_, i) => {
    let sum = bias[i % 4]!;
    for (let c = 0; c < 6; c++) {
      sum += weight[(i % 4) * 6 + c]! * features.data[Math.floor(i / 4) * 6 + c]!;
    }
    return sum;
  });
  assertClose(product, (logits as HostArray).data, TOLERANCE.kernel);

  // ape is class 2 of the model, cat class 1, and it has no emu.
  assertEquals([...(await set.read("labels")).data], [2, 1, -1].flatMap((k) => Array(7).fill(k)));
});

Deno.test("extractFeatures() records how the features were made", async () => {
  await using shop = await workshop();
  const { path } = await extractFeatures({ ...shop, ...SMALL, metadata: { note: "a test" } });
  await using set = await openFeatures(path!);
  const bytes = await Deno.readFile(shop.model);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  const { metadata } = set;
  assertEquals(metadata.model_hash, hash);
  assertEquals(metadata.model, "tiny.onnx");
  assertEquals(metadata.device, "wasm");
  assertEquals(JSON.parse(metadata.preprocessing!), SPEC);
  assertEquals(JSON.parse(metadata.label_names!), LABELS);
  assertEquals(metadata.oodgpu, config.version);
  assert(config.imports["onnxruntime-web"].endsWith(`@${metadata.onnxruntime_web}`));
  assertEquals(metadata.note, "a test");
  assertEquals(set.names?.[7], "cat/0.png");
  assert(!Object.values(metadata).some((text) => text.includes(shop.path)), "paths stay out");
});

Deno.test("extractFeatures() twice, with other workers and batches of time, gives the same bytes", async () => {
  await using shop = await workshop();
  await extractFeatures({ ...shop, ...SMALL });
  const once = await Deno.readFile(shop.out);
  const again = { out: `${shop.path}/again.safetensors`, workers: 2, flushSeconds: 0 };
  await extractFeatures({ ...shop, ...SMALL, ...again });
  assertEquals(await Deno.readFile(again.out), once);
});

Deno.test("extractFeatures() skips and reports damaged images", async () => {
  await using shop = await workshop();
  await truncate(`${shop.path}/images/ape/1.png`);
  // A whole batch of damaged ones: images 6, 7 and 8.
  await Deno.writeTextFile(`${shop.path}/images/ape/6.png`, "no image");
  await Deno.writeFile(`${shop.path}/images/cat/0.png`, new Uint8Array(0));
  await Deno.remove(`${shop.path}/images/cat/1.png`);
  const reports: ExtractionProgress[] = [];
  const summary = await extractFeatures({
    ...shop,
    ...SMALL,
    onProgress: (progress) => reports.push(progress),
  });
  assertEquals(summary.skipped.map(({ index, name }) => [index, name]), [
    [1, "ape/1.png"],
    [6, "ape/6.png"],
    [7, "cat/0.png"],
    [8, "cat/1.png"],
  ]);
  assertEquals(summary.skipped[0]!.reason, "the file is truncated");
  assertEquals(summary.skipped[2]!.reason, "the file is empty");
  assertEquals(summary.images, 17);
  assertEquals(reports.map(({ done, skipped }) => [done, skipped]), [
    [3, 1],
    [6, 1],
    [9, 4],
    [12, 4],
    [15, 4],
    [18, 4],
    [21, 4],
  ]);
  await using set = await openFeatures(summary.path!);
  assertEquals(set.count, 17);
  assertEquals(set.names?.slice(0, 2), ["ape/0.png", "ape/2.png"]);
  assertEquals(set.metadata.skipped, JSON.stringify(summary.skipped));
  const expected = [2, 1, -1].flatMap((k, f) => Array([5, 5, 7][f]!).fill(k));
  assertEquals([...(await set.read("labels")).data], expected);
});

Deno.test("extractFeatures() with strict stops at a damaged image and keeps the batches before it", async () => {
  await using shop = await workshop();
  await truncate(`${shop.path}/images/cat/3.png`);
  await assertRejects(
    () => extractFeatures({ ...shop, ...SMALL, strict: true }),
    ImageError,
    'Cannot read "cat/3.png": the file is truncated',
  );
  const summary = await extractFeatures({ ...shop, ...SMALL, resume: true });
  assertEquals(summary.resumed, 9);
  const out = `${shop.path}/whole.safetensors`;
  await extractFeatures({ ...shop, ...SMALL, out });
  assertEquals(await Deno.readFile(shop.out), await Deno.readFile(out));
});

Deno.test("extractFeatures() stops at its signal and resumes to the same bytes", async () => {
  await using shop = await workshop();
  await extractFeatures({ ...shop, ...SMALL });
  const whole = await Deno.readFile(shop.out);
  const out = `${shop.path}/stopped.safetensors`;
  const controller = new AbortController();
  const stopped = await extractFeatures({
    ...shop,
    ...SMALL,
    out,
    signal: controller.signal,
    onProgress: ({ done }) => done >= 6 && controller.abort(),
  });
  assertEquals(stopped.path, undefined);
  assert(stopped.images >= 6 && stopped.images < 21, `${stopped.images}`);
  assertEquals(stopped.images % 3, 0);
  await assertRejects(() => extractFeatures({ ...shop, ...SMALL, out }), UserError, "unfinished");
  const summary = await extractFeatures({ ...shop, ...SMALL, out, resume: true });
  assertEquals([summary.resumed, summary.processed], [stopped.images, 21 - stopped.images]);
  assertEquals(await Deno.readFile(out), whole);
  // A finished run has nothing left to do.
  const again = await extractFeatures({ ...shop, ...SMALL, out, resume: true });
  assertEquals([again.path, again.processed], [out, 0]);
});

Deno.test("extractFeatures() that was killed resumes to the same bytes", async () => {
  await using shop = await workshop();
  await truncate(`${shop.path}/images/ape/1.png`);
  await extractFeatures({ ...shop, ...SMALL });
  const whole = await Deno.readFile(shop.out);
  const out = `${shop.path}/killed.safetensors`;
  const script = fileURLToPath(new URL("./_extract_process.ts", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", script, shop.model, `${shop.path}/images`, out],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let seen = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    seen += text;
    if (/^9$/m.test(seen)) child.kill("SIGKILL");
  }
  const { signal } = await child.status;
  assertEquals(signal, "SIGKILL", seen);
  const summary = await extractFeatures({ ...shop, ...SMALL, out, resume: true });
  assert(summary.resumed >= 9 && summary.resumed < 21, `${summary.resumed}`);
  assertEquals(summary.skipped.map(({ index }) => index), [1]);
  assertEquals(await Deno.readFile(out), whole);
});

Deno.test("extractFeatures() refuses to resume with another model or preprocessing", async () => {
  await using shop = await workshop();
  const controller = new AbortController();
  const { signal } = controller;
  await extractFeatures({ ...shop, ...SMALL, signal, onProgress: () => controller.abort() });
  const other = { ...SPEC, channels: "BGR" as const };
  await assertRejects(
    () => extractFeatures({ ...shop, ...SMALL, resume: true, preprocessing: other }),
    UserError,
    "preprocessing",
  );
});

Deno.test("extractFeatures() of shards gives the rows of one run", async () => {
  await using shop = await workshop();
  await extractFeatures({ ...shop, ...SMALL });
  await using whole = await openFeatures(shop.out);
  const out = `${shop.path}/parts.safetensors`;
  const parts: (string | undefined)[] = [];
  for (const index of [1, 2, 3]) {
    parts.push((await extractFeatures({ ...shop, ...SMALL, out, shard: { index, of: 3 } })).path);
  }
  assertEquals(new Set(parts).size, 3);
  const index = await mergeShards(out, { of: 3 });
  await using set = await openFeatures(index);
  for (const key of ["features", "logits", "labels", "head.weight"]) {
    assertEquals((await set.read(key)).data, (await whole.read(key)).data, key);
  }
});

gpuTest("extractFeatures() on webgpu agrees with wasm and repeats to the bit", async ({ gpu }) => {
  await using shop = await workshop();
  await truncate(`${shop.path}/images/emu/2.png`);
  await extractFeatures({ ...shop, ...SMALL, featureMap: "f32" });
  const webgpu = { ...shop, workers: 1, batch: 4, device: "webgpu", gpu: gpu.gpu } as const;
  const outs = ["a", "b"].map((name) => `${shop.path}/${name}.safetensors`);
  for (const out of outs) {
    const summary = await extractFeatures({ ...webgpu, out, featureMap: "f32" });
    assertEquals([summary.device, summary.skipped.length], ["webgpu", 1]);
  }
  assertEquals(await Deno.readFile(outs[0]!), await Deno.readFile(outs[1]!));
  await using wasm = await openFeatures(shop.out);
  await using set = await openFeatures(outs[0]!);
  for (const key of ["features", "logits", "feature_norms", "feature_map", "labels"]) {
    const expected = await wasm.read(key);
    const actual = await set.read(key);
    assertEquals(actual.shape, expected.shape);
    assertClose(actual.data, expected.data, TOLERANCE.provider, key);
  }
});

gpuTest("extractFeatures() reuses buffers and pipelines from batch to batch", async ({ gpu }) => {
  await using shop = await workshop();
  const options = { ...shop, workers: 0, batch: 1, device: "webgpu", gpu: gpu.gpu } as const;
  let early: number | undefined;
  await extractFeatures({
    ...options,
    onProgress: ({ done }) => done === 10 && (early = gpu.gpu.counters().pool.created),
  });
  // Images differ in size, so a new size of upload may still turn up; one for each image may not.
  assert(gpu.gpu.counters().pool.created - early! <= 3);
});

gpuTest("extractFeatures() on auto leaves a software adapter to wasm", async ({ gpu }) => {
  await using shop = await workshop();
  const options = { ...shop, ...SMALL, device: "auto", gpu: gpu.gpu } as const;
  const { device } = await extractFeatures(options);
  assertEquals(device, gpu.gpu.adapter.isSoftware ? "wasm" : "webgpu");
});

Deno.test("extractFeatures() stores half-precision maps when asked", async () => {
  await using shop = await workshop();
  await extractFeatures({ ...shop, ...SMALL, featureMap: "f16" });
  const { tensors } = await readSafetensors(shop.out);
  assertEquals(tensors.feature_map?.dtype, "F16");
});

Deno.test("extractFeatures() says what a model does not offer", async () => {
  await using shop = await workshop(squeezenetLike());
  await Deno.writeTextFile(`${shop.path}/tiny.json`, JSON.stringify({ preprocessing: SPEC }));
  const summary = await extractFeatures({ ...shop, ...SMALL });
  assertEquals(summary.keys, ["logits", "features", "feature_norms", "labels"]);
  assert(summary.reasons.head?.includes("Relu"), summary.reasons.head);
  // Three folders and five classes: the folders' numbers mean nothing to the model.
  assertEquals(summary.unknownClasses, FOLDERS);
  await using set = await openFeatures(summary.path!);
  assertEquals([...(await set.read("labels")).data], Array(21).fill(-1));
  assertEquals(set.metadata["head.reason"], summary.reasons.head);
});

Deno.test("extractFeatures() takes folder numbers where the model names no classes", async () => {
  await using shop = await workshop();
  await Deno.remove(`${shop.path}/tiny.json`);
  await Deno.mkdir(`${shop.path}/images/yak`);
  const images = await openImages(`${shop.path}/images`);
  const summary = await extractFeatures({ ...shop, ...SMALL, images, preprocessing: SPEC });
  await using set = await openFeatures(summary.path!);
  assertEquals([...(await set.read("labels")).data], [0, 1, 2].flatMap((k) => Array(7).fill(k)));
  assertEquals(JSON.parse(set.metadata.label_names!), [...FOLDERS, "yak"]);
});

Deno.test("extractFeatures() guesses preprocessing by the input's size and says so", async () => {
  await using shop = await workshop();
  await Deno.remove(`${shop.path}/tiny.json`);
  const summary = await extractFeatures({ ...shop, ...SMALL });
  assertEquals(summary.preprocessingGuessed, true);
  assertEquals(summary.preprocessing.crop, { width: 8, height: 8 });
});

Deno.test("extractFeatures() completes preprocessing with the model's size", async () => {
  await using shop = await workshop();
  const { crop: _, ...uncropped } = SPEC;
  const cropped = await extractFeatures({ ...shop, ...SMALL, preprocessing: uncropped });
  assertEquals(cropped.preprocessing.crop, { width: 8, height: 8 });
  const { resize: __, ...bare } = uncropped;
  const out = `${shop.path}/bare.safetensors`;
  const resized = await extractFeatures({ ...shop, ...SMALL, out, preprocessing: bare });
  assertEquals(resized.preprocessing.resize, { width: 8, height: 8 });
});

/** A model that divides by what is 0 for black images. */
function dividing(): OnnxModel {
  const b = new GraphBuilder();
  const x = b.input("image", ["N", 3, 8, 8]);
  const mean = b.node("GlobalAveragePool", [x]);
  const rows = b.node("Flatten", [mean], { attributes: { axis: 1n } });
  b.output("logits", b.node("Div", [rows, rows]));
  return b.build();
}

Deno.test("extractFeatures() refuses what does not fit, in one sentence", async () => {
  await using shop = await workshop();
  const refuses = async (options: Partial<ExtractionOptions>, message: string) => {
    const error = await assertRejects(
      () => extractFeatures({ ...shop, ...SMALL, ...options }),
      UserError,
      message,
    );
    assert(!error.message.includes("\n"), error.message);
  };
  await refuses({ batch: 0 }, "batches of 0");
  await refuses({ model: `${shop.path}/none.onnx` }, "none.onnx");
  await refuses(
    { preprocessing: { ...SPEC, crop: { width: 7, height: 8 } } },
    "gives 7 x 8 pixels and the model takes 8 x 8",
  );
  await refuses({ out: `${shop.path}/nowhere/out.safetensors` }, "there is no folder");
  await refuses({ out: `${shop.path}/images` }, "it is a folder");
  await refuses({ shard: { index: 3, of: 2 } }, "shard 3/2");
  await refuses({ model: writeModel(dividing()), sidecar: {}, featureMap: "f16" }, "feature maps");
  const black = { ...SPEC, mean: [0, 0, 0] as const, scale: [1, 1, 1] as const };
  await Deno.writeFile(
    `${shop.path}/images/ape/5.png`,
    await encodeRgbPng(makeImage(8, 8, () => 0)),
  );
  await refuses(
    { model: writeModel(dividing()), sidecar: {}, preprocessing: black },
    'gives NaN in "logits" for the image "ape/5.png"',
  );
});

Deno.test("extractFeatures() refuses a set of which nothing can be read", async () => {
  await using shop = await workshop();
  for (const name of shop.images.names) await truncate(`${shop.path}/images/${name}`);
  await assertRejects(() => extractFeatures({ ...shop, ...SMALL }), UserError, "none of the 21");
});

Deno.test("extractFeatures() refuses a model without an input for images", async () => {
  await using shop = await workshop();
  const b = new GraphBuilder();
  const x = b.input("x", ["N", 4]);
  b.output("y", b.node("Relu", [x]));
  const model = writeModel(b.build());
  await assertRejects(() => extractFeatures({ ...shop, ...SMALL, model }), UserError, "extract");
});

Deno.test("extractFeatures() of a backbone without a classifier stores what there is", async () => {
  await using shop = await workshop(headless());
  await Deno.writeTextFile(
    `${shop.path}/tiny.json`,
    JSON.stringify({ preprocessing: SPEC, outputs: { features: "embedding" } }),
  );
  const summary = await extractFeatures({ ...shop, ...SMALL });
  assertEquals(summary.keys, ["features", "feature_norms", "labels"]);
  assert(summary.reasons.logits !== undefined && summary.reasons.head !== undefined);
});

gpuTest(
  "extractFeatures() stores ODIN's logits on every device, and resumes to the same bytes",
  async ({ gpu, host }) => {
    await using shop = await workshop();
    await truncate(`${shop.path}/images/cat/2.png`);
    const odin = { temperature: 10, epsilon: 0.02 };
    const inWasm = { ...shop, ...SMALL, gpu: gpu.gpu, odin };
    const whole = await extractFeatures(inWasm);
    assertEquals(whole.odin?.device, "webgpu");
    assertEquals(whole.keys, [
      ...["logits", "features", "feature_norms", "odin_logits", "labels"],
      ...["head.weight", "head.bias"],
    ]);
    await using set = await openFeatures(shop.out);
    assertEquals([set.metadata.odin_temperature, set.metadata.odin_epsilon], ["10", "0.02"]);
    const { data, shape } = await set.read("odin_logits");
    assertEquals(shape, [20, 4]);

    // As the reference has it, from the pixels.
    const model = await readModel(shop.model);
    const sidecar = await loadSidecar(shop.model);
    const inspection = inspect(model, { sidecar: sidecar! });
    using reference = new Odin(host, { model, inspection, ...odin, batch: 20 });
    const pixels = FOLDERS.flatMap((name, f) =>
      Array.from({ length: PER_FOLDER }, (_, i) => i).filter((i) => `${name}/${i}` !== "cat/2")
        .flatMap((i) => [...preprocessReference(imageAt(f, i), SPEC)])
    );
    const expected = reference.logits(host.upload(Float32Array.from(pixels), [20, 3, 8, 8]));
    assertClose(data, expected.data, TOLERANCE.provider);

    const onGpu = { ...shop, workers: 0, batch: 4, device: "webgpu", gpu: gpu.gpu, odin } as const;
    const out = `${shop.path}/gpu.safetensors`;
    await extractFeatures({ ...onGpu, out });
    {
      await using other = await openFeatures(out);
      assertClose((await other.read("odin_logits")).data, data, TOLERANCE.provider);
    }

    const controller = new AbortController();
    const part = { ...inWasm, out: `${shop.path}/part.safetensors` };
    const stop = { signal: controller.signal, onProgress: () => controller.abort() };
    assertEquals((await extractFeatures({ ...part, ...stop })).path, undefined);
    await assertRejects(
      () => extractFeatures({ ...part, resume: true, odin: { ...odin, epsilon: 0.01 } }),
      UserError,
      "odin_epsilon",
    );
    await assertRejects(
      () => {
        const { odin: _, ...plain } = part;
        return extractFeatures({ ...plain, resume: true });
      },
      UserError,
      "keys",
    );
    await extractFeatures({ ...part, resume: true });
    assertEquals(await Deno.readFile(part.out), await Deno.readFile(shop.out));
  },
);

/** A model that takes images of any size, and one with an operator that has no gradient here. */
function openSized(): OnnxModel {
  const b = new GraphBuilder();
  const mean = b.node("GlobalAveragePool", [b.input("image", ["N", 3, "H", "W"])]);
  const rows = b.node("Flatten", [mean], { attributes: { axis: 1n } });
  b.output("logits", b.node("Mul", [rows, b.constant(2)]));
  return b.build();
}

gpuTest(
  "extractFeatures() with ODIN refuses models that it cannot differentiate",
  async ({ gpu }) => {
    await using shop = await workshop(dividing());
    await Deno.writeTextFile(`${shop.path}/tiny.json`, JSON.stringify({ preprocessing: SPEC }));
    const options = { ...shop, ...SMALL, gpu: gpu.gpu, odin: {} };
    await assertRejects(
      () => extractFeatures(options),
      UserError,
      "Div",
    );
    assertEquals(listNames(shop.path).filter((name) => name.startsWith("out")), []);
    // An open size is filled in by the preprocessing.
    const sized = { model: writeModel(openSized()), sidecar: { preprocessing: SPEC } };
    const summary = await extractFeatures({ ...options, ...sized });
    assert(summary.keys.includes("odin_logits"));
    const { crop: _, resize: __, ...open } = SPEC;
    await assertRejects(
      () => extractFeatures({ ...options, ...sized, preprocessing: open }),
      UserError,
      "different sizes",
    );
  },
);
