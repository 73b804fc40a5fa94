import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { openFeatures, openImages } from "../../data/mod.ts";
import { preprocessReference } from "../../kernels/preprocess/mod.ts";
import {
  completePreprocessing,
  extractFeatures,
  type ExtractionOptions,
  inspect,
  loadSidecar,
  OnnxSession,
  openSession,
  readModel,
  readTensor,
  replaceInitializers,
} from "../../onnx/mod.ts";
import { Gpu, GpuError, UserError } from "../../runtime/mod.ts";
import { type ClipOptions, clipVision, writeClip } from "../_support/clip.ts";
import { encodeRgbPng, makeImage, temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { resnetLike } from "./_models.ts";

const SMALL: ClipOptions = { vocabulary: 600, length: 12, side: 32, embed: 24 };
const COUNT = 11;

/** A folder with a model and eleven images, one of which is none. */
async function workshop(options: ClipOptions & { files?: Record<string, unknown> } = SMALL) {
  const folder = await temporaryFolder();
  const { path } = folder;
  await writeClip(path, options);
  for (let i = 0; i < COUNT; i++) {
    const name = `${path}/images/${i % 2 === 0 ? "cat" : "dog"}/${i}.png`;
    await Deno.mkdir(name.replace(/[^/]*$/, ""), { recursive: true });
    const image = makeImage(40 + i, 50 - i, (x, y, c) => 3 * x * (i + 1) + 5 * y + 60 * c);
    await Deno.writeFile(name, i === 4 ? new Uint8Array(9) : await encodeRgbPng(image));
  }
  return {
    path,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    extract: async (options: Partial<ExtractionOptions> = {}) =>
      await extractFeatures({
        model: `${path}/vision_model.onnx`,
        images: await openImages(`${path}/images`),
        out: `${path}/out.safetensors`,
        device: "wasm",
        workers: 0,
        ...options,
      }),
  };
}

/** Embeddings of a file. */
async function embedsOf(path: string): Promise<Float32Array> {
  await using set = await openFeatures(path);
  return (await set.read("image_embed")).data as Float32Array;
}

Deno.test("inspect() finds embeddings by the output's name, and no classifier then", async () => {
  await using shop = await workshop({ ...SMALL, hidden: true });
  const path = `${shop.path}/vision_model.onnx`;
  const sidecar = await loadSidecar(path);
  const model = await readModel(path);
  const found = inspect(model, { sidecar: sidecar! });
  assertEquals(found.imageEmbed, { value: "image_embeds", via: "value", shape: ["batch", 24] });
  assertEquals([found.logits, found.head, found.classes], [undefined, undefined, undefined]);
  assertStringIncludes(found.reasons.logits!, "embeddings of images and no class scores; name the");
  assertEquals(found.preprocessing?.guessed, false);
  assertEquals(completePreprocessing(found).size, { width: 32, height: 32 });
  // A sidecar may call something else the embeddings, or say that there are classes too.
  const logits = inspect(model, { sidecar: { outputs: { logits: "image_embeds" } } });
  assertEquals(logits.classes, 24);
  const named = inspect(resnetLike(), { sidecar: { outputs: { "image_embed": "rows" } } });
  assertEquals(named.imageEmbed?.shape, ["N", 6]);
  await assertRejects(
    async () =>
      inspect(await readModel(path), {
        sidecar: { outputs: { "image_embed": "last_hidden_state" } },
      }),
    UserError,
    "no [N, D]",
  );
});

Deno.test("extractFeatures() stores what an image encoder gives, by batches, fixed ones too", async () => {
  for (const batch of ["N", 4]) {
    await using shop = await workshop({ ...SMALL, batch });
    const summary = await shop.extract({
      batch: 3,
      shared: { "text_embed": { data: new Float32Array(48).fill(1), shape: [2, 24] } },
      metadata: { "text_model": "abc" },
    });
    assertEquals([summary.images, summary.skipped.length], [COUNT - 1, 1]);
    assertEquals(summary.keys, ["image_embed", "labels"]);
    await using set = await openFeatures(summary.path!);
    assertEquals(set.shape("image_embed"), [COUNT - 1, 24]);
    assertEquals(set.shape("text_embed"), [2, 24]);
    assertEquals(set.metadata["text_model"], "abc");
    const { data: labels } = await set.read("labels");
    assertEquals([...labels], set.names!.map((name) => name.startsWith("cat/") ? 0 : 1));
    // The same by the reference's preprocessing and one run of the model.
    const { spec } = completePreprocessing(
      inspect(clipVision(SMALL), {
        sidecar: (await loadSidecar(`${shop.path}/vision_model.onnx`))!,
      }),
    );
    const i = 10;
    const image = makeImage(40 + i, 50 - i, (x, y, c) => 3 * x * (i + 1) + 5 * y + 60 * c);
    await using session = await openSession(clipVision(SMALL), { device: "wasm" });
    const { image_embeds: expected } = await session.run({
      "pixel_values": { data: preprocessReference(image, spec), shape: [1, 3, 32, 32] },
    });
    const row = set.names!.indexOf("cat/10.png");
    const actual = (await set.read("image_embed")).data.subarray(24 * row, 24 * row + 24);
    assertClose(actual, expected!.data as Float32Array, TOLERANCE.provider, "image_embed");
  }
});

Deno.test("extractFeatures() goes on with an image encoder where it was stopped", async () => {
  await using shop = await workshop();
  const whole = (await shop.extract({ batch: 2 })).path!;
  const expected = await Deno.readFile(whole);
  const out = `${shop.path}/again.safetensors`;
  const controller = new AbortController();
  const stopped = await shop.extract({
    batch: 2,
    out,
    flushSeconds: 0,
    signal: controller.signal,
    onProgress: ({ done }) => done >= 4 && controller.abort(),
  });
  assertEquals(stopped.path, undefined);
  const summary = await shop.extract({ batch: 2, out, resume: true });
  assertEquals(summary.resumed > 0, true);
  assertEquals(await Deno.readFile(summary.path!), expected);
});

Deno.test("extractFeatures() refuses embeddings of nothing but zeros, by the image's name", async () => {
  const model = clipVision(SMALL);
  const name = "visual_projection.weight";
  const { data } = readTensor(model.graph.initializers.get(name)!);
  const flat = replaceInitializers(model, { [name]: new Float32Array(data.length) });
  await using shop = await workshop({ ...SMALL, files: { "vision_model.onnx": flat } });
  await assertRejects(
    () => shop.extract(),
    UserError,
    'it gives nothing but zeros in "image_embed" for the image "cat/0.png"',
  );
});

/** Runs of more than `fits` images fail as for want of memory, until it is disposed. */
function scarce(fits: number): Disposable & { sizes: number[] } {
  const { run } = OnnxSession.prototype;
  const sizes: number[] = [];
  OnnxSession.prototype.run = async function (inputs) {
    const rows = Object.values(inputs)[0]!.shape[0]!;
    sizes.push(rows);
    if (rows > fits) throw new UserError('Cannot run: onnxruntime-web says "std::bad_alloc"');
    return await run.call(this, inputs);
  };
  return {
    sizes,
    [Symbol.dispose]: () => {
      OnnxSession.prototype.run = run;
    },
  };
}

Deno.test("extractFeatures() halves batches that do not fit into memory, with one warning", async () => {
  await using shop = await workshop();
  const expected = await Deno.readFile((await shop.extract({ batch: 8 })).path!);
  const warnings: string[] = [];
  const options = {
    batch: 8,
    out: `${shop.path}/less.safetensors`,
    onWarning: (message: string) => warnings.push(message),
  };
  {
    using memory = scarce(3);
    const { path } = await shop.extract(options);
    // Seven of the first eight images can be read; then three are left.
    assertEquals(memory.sizes, [7, 4, 2, 2, 2, 1, 2, 1]);
    assertEquals(warnings, ["7 images at a time did not fit into memory: going on with 2"]);
    // Batches are still cut as they were, so that a run can go on with another amount of memory.
    assertEquals(await Deno.readFile(path!), expected);
  }
  {
    using _memory = scarce(0);
    await assertRejects(() => shop.extract(options), UserError, "std::bad_alloc");
  }
});

Deno.test("extractFeatures() halves batches on webgpu, whenever the want of memory shows", async () => {
  using gpu = await Gpu.open({ poison: true });
  await using shop = await workshop();
  const options = { batch: 4, device: "webgpu", gpu, out: `${shop.path}/g.safetensors` } as const;
  const expected = await embedsOf((await shop.extract(options)).path!);
  {
    using memory = scarce(2);
    const { path } = await shop.extract(options);
    assertEquals(Math.max(...memory.sizes.slice(1)), 2);
    assertClose(await embedsOf(path!), expected, TOLERANCE.provider, "halved");
  }
  const before = gpu.counters().pool;
  // The batch after the first is issued already when its results fail to come.
  const { read } = Gpu.prototype;
  let fails = 1;
  Gpu.prototype.read = async function (...tensors) {
    const rows = tensors[0]?.shape[0] ?? 0;
    const result = await read.apply(this, tensors);
    if (rows > 2 && fails-- > 0) throw new GpuError("WebGPU reported: Out of memory");
    return result;
  };
  const warnings: string[] = [];
  try {
    const { path } = await shop.extract({ ...options, onWarning: (text) => warnings.push(text) });
    assertClose(await embedsOf(path!), expected, TOLERANCE.provider, "after a late failure");
  } finally {
    Gpu.prototype.read = read;
  }
  assertEquals(warnings, ["3 images at a time did not fit into memory: going on with 2"]);
  assertEquals(gpu.counters().pool.live, before.live);
});
