import { assert, assertEquals, assertRejects } from "@std/assert";
import { mergeShards, openFeatures } from "../../data/mod.ts";
import { rowMax } from "../../kernels/mod.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";
import {
  type BatchReducer,
  extractFeatures,
  type ExtractionOptions,
  GraphBuilder,
  type OnnxModel,
  writeModel,
} from "../../onnx/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { encodeRgbPng, makeImage } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { resnetLike } from "./_models.ts";
import {
  contents,
  expected,
  IMAGES,
  SMALL,
  tagger,
  TAGGER_SIDECAR,
  TAGGER_SPEC,
  workshop,
} from "./_taggers.ts";

/**
 * Keeps of each image as many of its first tokens as its largest score says, from 0 to 3; what is
 * read in the second step depends on the first.
 */
function firstTokens(hooks: {
  begin?: () => void;
  between?: () => Promise<void>;
} = {}): BatchReducer {
  return {
    keys: ["tokens", "tag_logits", "attention"],
    stored: ["object_tokens", "object_counts", "tag_score"],
    identity: "first tokens",
    async run(ctx: Context, values: Readonly<Record<string, Tensor>>) {
      hooks.begin?.();
      const { tokens, tag_logits: scores, attention } = values;
      attention!.dispose();
      const [best] = await ctx.read(rowMax(ctx, { x: scores! }));
      await hooks.between?.();
      const counts = Int32Array.from(best!, (score) => Math.floor(Math.abs(score) * 64) % 4);
      const [all] = await ctx.read(tokens!);
      const kept = [...counts].flatMap((count, n) => [...all!.slice(24 * n, 24 * n + 6 * count)]);
      return {
        "object_tokens": { data: Float32Array.from(kept), shape: [kept.length / 6, 6] },
        "object_counts": { data: counts, shape: [counts.length] },
        "tag_score": { data: best as Float32Array<ArrayBuffer>, shape: [counts.length] },
      };
    },
  };
}

const OBJECTS = ["object_counts", "tag_score", "object_tokens", "labels"];

gpuTest("extractFeatures() stores what a reducer makes, on either device", async ({ gpu }) => {
  await using shop = await workshop();
  const reduce = firstTokens();
  const summary = await extractFeatures({ ...shop, ...SMALL, reduce });
  assertEquals(summary.keys, ["object_tokens", "object_counts", "tag_score", "labels"]);
  const file = await contents(shop.out, OBJECTS);
  const { tokens, scores } = await expected(tagger());
  const best = Array.from(
    { length: IMAGES },
    (_, n) => Math.max(...scores!.data.slice(5 * n, 5 * n + 5)),
  );
  const counts = best.map((score) => Math.floor(Math.abs(score) * 64) % 4);
  assert(new Set(counts).size > 2, `${counts}`);
  assertEquals([...file["object_counts"]!.data], counts);
  assertEquals(
    [...file["object_tokens"]!.data],
    counts.flatMap((count, n) => [...tokens!.data.slice(24 * n, 24 * n + 6 * count)]),
  );
  {
    await using set = await openFeatures(shop.out);
    assertEquals(set.metadata["reduction"], "first tokens");
    assertEquals(set.has("tokens") || set.has("attention"), false);
    assertEquals(JSON.parse(set.metadata["tag_names"]!), TAGGER_SIDECAR.tags);
  }

  const onGpu = { ...shop, device: "webgpu", gpu: gpu.gpu, workers: 0, reduce } as const;
  const outs = [2, 11].map((batch) => ({ batch, out: `${shop.path}/${batch}.safetensors` }));
  for (const options of outs) {
    await extractFeatures({ ...onGpu, ...options });
    const other = await contents(options.out, OBJECTS);
    for (const key of OBJECTS) {
      assertEquals(other[key]!.shape, file[key]!.shape, key);
      assertClose(other[key]!.data, file[key]!.data, TOLERANCE.provider, key);
    }
  }
  // Beside what is asked for by name.
  const named = { keys: ["tag_logits"], out: `${shop.path}/named.safetensors` };
  const both = await extractFeatures({ ...onGpu, ...named });
  assertEquals(both.keys.slice(0, 2), ["tag_logits", "object_tokens"]);
  assertClose(
    (await contents(named.out, ["tag_logits"]))["tag_logits"]!.data,
    scores!.data,
    TOLERANCE.provider,
  );
});

Deno.test("extractFeatures() tells a reducer which images it gets", async () => {
  await using shop = await workshop();
  await Deno.writeTextFile(`${shop.path}/images/a/14.png`, "no image");
  const names: string[] = [];
  const reduce: BatchReducer = {
    keys: ["tag_logits"],
    stored: ["tag_count"],
    identity: "labels",
    run(_, values, images) {
      assertEquals(values["tag_logits"]!.shape, [images.names.length, 5]);
      names.push(...images.names);
      const { labels } = images;
      return Promise.resolve({ "tag_count": { data: labels, shape: [labels.length] } });
    },
  };
  await extractFeatures({ ...shop, ...SMALL, keys: [], reduce });
  await using set = await openFeatures(shop.out);
  assertEquals([...set.keys].sort(), ["labels", "tag_count"]);
  assertEquals(names, set.names);
  assertEquals(await set.read("tag_count"), await set.read("labels"));
});

gpuTest("extractFeatures() issues two more batches while a reducer reads", async ({ gpu }) => {
  await using shop = await workshop();
  const batches = Math.ceil(IMAGES / 2);
  const begun = Array.from({ length: batches }, () => Promise.withResolvers<void>());
  let next = 0;
  const reduce: BatchReducer = {
    ...firstTokens(),
    async run(ctx, values, images) {
      const mine = next++;
      begun[mine]!.resolve();
      const between = async () => {
        let timer: ReturnType<typeof setTimeout> | undefined;
        const late = new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new Error(`batch ${mine} waits`)), 10_000);
        });
        await Promise.race([begun[Math.min(mine + 2, batches - 1)]!.promise, late]);
        clearTimeout(timer);
      };
      return await firstTokens({ between }).run(ctx, values, images);
    },
  };
  const onGpu = { ...shop, device: "webgpu", gpu: gpu.gpu, workers: 0, batch: 2 } as const;
  await extractFeatures({ ...onGpu, reduce });
  const out = `${shop.path}/other.safetensors`;
  await extractFeatures({ ...onGpu, reduce: firstTokens(), out });
  assertEquals(await Deno.readFile(shop.out), await Deno.readFile(out));
});

gpuTest("extractFeatures() with a reducer reuses buffers from batch to batch", async ({ gpu }) => {
  await using shop = await workshop();
  const images = { ...shop.images, item: () => shop.images.item(0) };
  const onGpu = { ...shop, images, device: "webgpu", gpu: gpu.gpu, workers: 0, batch: 1 } as const;
  let early: number | undefined;
  await extractFeatures({
    ...onGpu,
    reduce: firstTokens(),
    onProgress: ({ done }) => done === 6 && (early = gpu.gpu.counters().pool.created),
  });
  assertEquals(gpu.gpu.counters().pool.created, early);
});

Deno.test("extractFeatures() with a reducer resumes to the same bytes, and only as it was", async () => {
  await using shop = await workshop();
  const options = { ...shop, ...SMALL, reduce: firstTokens() };
  await extractFeatures(options);
  const whole = await Deno.readFile(shop.out);
  const part = { ...options, out: `${shop.path}/part.safetensors` };
  const controller = new AbortController();
  const stopped = await extractFeatures({
    ...part,
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  assert(stopped.path === undefined && stopped.images > 0);
  await assertRejects(
    () => extractFeatures({ ...part, resume: true, reduce: { ...part.reduce, identity: "x" } }),
    UserError,
    '"reduction" is another',
  );
  const resumed = await extractFeatures({ ...part, resume: true });
  assertEquals(resumed.resumed, stopped.images);
  assertEquals(await Deno.readFile(part.out), whole);

  const shards = { ...options, out: `${shop.path}/shards.safetensors` };
  for (const index of [1, 2]) await extractFeatures({ ...shards, shard: { index, of: 2 } });
  const merged = await contents(await mergeShards(shards.out, { of: 2 }), OBJECTS);
  assertEquals(merged, await contents(shop.out, OBJECTS));
});

/** A tagger that divides by what is 0 for black images. */
function dividing(): OnnxModel {
  const b = new GraphBuilder({ name: "dividing" });
  const x = b.input("image", ["N", 3, 8, 8]);
  const tokens = b.node("Reshape", [x, b.ints([0, 3, 64])], { output: "tokens" });
  const mean = b.reduce("ReduceMean", tokens, { axes: [2] });
  b.output("scores", b.node("Div", [mean, mean]));
  b.output("tokens");
  return b.build();
}

gpuTest("extractFeatures() refuses what a reducer cannot use", async ({ gpu }) => {
  await using shop = await workshop();
  const refuses = (options: Partial<ExtractionOptions>, why: string, type = UserError) =>
    assertRejects(
      () => extractFeatures({ ...shop, ...SMALL, reduce: firstTokens(), ...options }),
      type as typeof UserError,
      why,
    );
  const { attention: _, ...outputs } = TAGGER_SIDECAR.outputs!;
  await refuses(
    { sidecar: { ...TAGGER_SIDECAR, outputs } },
    'Cannot extract with "model": the sidecar names no "attention", by which objects are told',
  );
  const classifier = { model: writeModel(resnetLike()), sidecar: { preprocessing: TAGGER_SPEC } };
  await refuses(classifier, 'it offers no "tokens"; name the value [N, T, E]');
  const { run, ...rest } = firstTokens();
  await refuses(
    { reduce: { ...rest, run, stored: ["object_tokens"] } },
    "announced",
    TypeError as never,
  );
  await refuses(
    { reduce: { ...rest, run, stored: ["labels"] } },
    '"labels" twice',
    TypeError as never,
  );

  // A NaN is found where the reducer reads it, whatever it makes of it.
  await Deno.writeFile(
    `${shop.path}/images/a/14.png`,
    await encodeRgbPng(makeImage(8, 8, () => 0)),
  );
  const black = { ...TAGGER_SPEC, mean: [0, 0, 0] as const, scale: [1, 1, 1] as const };
  const counting: BatchReducer = {
    keys: ["tokens", "tag_logits"],
    stored: ["tag_count"],
    identity: "ones",
    run: (_, __, { labels }) =>
      Promise.resolve({ "tag_count": { data: labels, shape: [labels.length] } }),
  };
  const blackened = {
    model: writeModel(dividing()),
    sidecar: { outputs: { tokens: "tokens", "tag_logits": "scores" } },
    preprocessing: black,
    reduce: counting,
  };
  for (const device of ["wasm", "webgpu"] as const) {
    await refuses(
      { ...blackened, device, gpu: gpu.gpu, out: `${shop.path}/${device}-black.safetensors` },
      'it gives a NaN or an infinity in "tag_logits" for the image "a/14.png"',
    );
    const failing = { ...counting, run: () => Promise.reject(new UserError("Cannot count")) };
    const out = `${shop.path}/${device}.safetensors`;
    await refuses({ device, gpu: gpu.gpu, out, reduce: failing }, "Cannot count");
  }
});
