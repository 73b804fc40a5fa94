import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type ImageSet, openFeatures, openImages } from "../../data/mod.ts";
import { channelNorms } from "../../kernels/mod.ts";
import { preprocessReference } from "../../kernels/preprocess/mod.ts";
import {
  exposeMaps,
  extractFeatures,
  type HostArray,
  inspect,
  openSession,
  withBlock,
  writeModel,
} from "../../onnx/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { encodeRgbPng, temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { SIDE, smoothImage, TWO_BLOCKS_SPEC, twoBlocks } from "../_support/two_blocks.ts";
import { resnetLike, transformerLike } from "./_models.ts";

const COUNT = 5;
/** On the calling thread and in small batches. */
const SMALL = { device: "wasm", threads: 1, workers: 0, batch: 2 } as const;

async function workshop(): Promise<
  AsyncDisposable & {
    out: string;
    images: ImageSet;
    model: Uint8Array<ArrayBuffer>;
    preprocessing: typeof TWO_BLOCKS_SPEC;
  }
> {
  const folder = await temporaryFolder();
  await Deno.mkdir(`${folder.path}/images`);
  for (let i = 0; i < COUNT; i++) {
    await Deno.writeFile(`${folder.path}/images/${i}.png`, await encodeRgbPng(smoothImage(i)));
  }
  return {
    out: `${folder.path}/out.safetensors`,
    images: await openImages(`${folder.path}/images`, { labels: "none" }),
    model: writeModel(twoBlocks()),
    preprocessing: TWO_BLOCKS_SPEC,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("withBlock() takes another map and leaves everything else", () => {
  const model = twoBlocks();
  const found = inspect(model);
  assertEquals(found.featureMap?.value, "edges");
  assertEquals(found.featureMap?.pooledToFeatures, true);
  const chosen = withBlock(found, { model, block: "pointwise" });
  assertEquals(chosen.featureMap, {
    value: "pointwise",
    via: "value",
    shape: ["N", 4, SIDE, SIDE],
    afterRelu: true,
    pooledToFeatures: false,
  });
  const { featureMap: _, ...rest } = chosen;
  const { featureMap: __, ...before } = found;
  assertEquals(rest, before);
  assertEquals(withBlock(chosen, { model, block: "edges" }), found);
});

for (
  const [block, says] of [
    ["pointwize", 'the model has no such value; did you mean "pointwise"'],
    ["nothing like it", 'the model has no such value; its blocks end at "pointwise", "edges"'],
    ["rows", "it has the shape [N, 4] and not [N, C, H, W]"],
    ["edges1", "the model has no such value"],
    ["image", "the model has no such value"],
  ] as const
) {
  Deno.test(`withBlock() refuses "${block}" in one sentence`, () => {
    const model = twoBlocks();
    assertThrows(
      () => withBlock(inspect(model), { model, block }),
      UserError,
      `Cannot take the block "${block}" of "two-blocks": ${says}`,
    );
  });
}

Deno.test("withBlock() says when a model has no blocks", () => {
  const model = transformerLike();
  assertThrows(
    () => withBlock(inspect(model), { model, block: "x" }),
    UserError,
    "no block of it ends in a map",
  );
});

Deno.test("exposeMaps() gives several maps, each as the whole model has it", async () => {
  const model = resnetLike();
  const { model: edited, names } = exposeMaps(model, ["block", "pooled"]);
  assertEquals(names, ["block", "pooled"]);
  await using session = await openSession(edited, { device: "wasm" });
  const images = Float32Array.from({ length: 2 * 192 }, (_, i) => Math.sin(i));
  const outputs = await session.run({ image: { data: images, shape: [2, 3, 8, 8] } });
  const [map, pooled] = names.map((name) => outputs[name] as HostArray);
  const means = Float32Array.from({ length: 12 }, (_, i) => {
    const plane = map!.data.subarray(64 * i, 64 * (i + 1)) as Float32Array;
    return plane.reduce((sum, value) => sum + value, 0) / 64;
  });
  assertEquals(Object.keys(outputs).length, 2);
  assertClose(pooled!.data, means, TOLERANCE.kernel);
});

Deno.test("extractFeatures() stores map and norms of the block that was asked for", async () => {
  await using shop = await workshop();
  const summary = await extractFeatures({
    ...shop,
    ...SMALL,
    block: "pointwise",
    featureMap: "f32",
  });
  await using set = await openFeatures(summary.path!);
  assertEquals(set.metadata["value_of_feature_map"], "pointwise");
  assertEquals(set.metadata["value_of_features"], "rows");
  const pixels = Array.from(
    { length: COUNT },
    (_, i) => [...preprocessReference(smoothImage(i), TWO_BLOCKS_SPEC)],
  );
  const input = { data: Float32Array.from(pixels.flat()), shape: [COUNT, 3, SIDE, SIDE] };
  const { model } = exposeMaps(twoBlocks(), ["pointwise"]);
  await using session = await openSession(model, { device: "wasm" });
  const { pointwise } = await session.run({ image: input });
  const { data, shape } = pointwise as HostArray;
  assertClose((await set.read("feature_map")).data, data, TOLERANCE.kernel);
  using host = new Host();
  const norms = channelNorms(host, { map: host.upload(data, shape) });
  assertClose((await set.read("feature_norms")).data, norms.data, TOLERANCE.kernel);
  // What is no map is as without the option.
  const plain = `${shop.out}.plain`;
  await extractFeatures({ ...shop, ...SMALL, out: plain });
  await using last = await openFeatures(plain);
  assertEquals(last.metadata["value_of_feature_map"], "edges");
  for (const key of ["features", "logits"]) {
    assertEquals((await set.read(key)).data, (await last.read(key)).data, key);
  }
});

Deno.test("extractFeatures() refuses to resume with another block", async () => {
  await using shop = await workshop();
  const controller = new AbortController();
  await extractFeatures({
    ...shop,
    ...SMALL,
    block: "pointwise",
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  await assertRejects(
    () => extractFeatures({ ...shop, ...SMALL, resume: true }),
    UserError,
    '"value_of_feature_map" is another',
  );
  const { path } = await extractFeatures({
    ...shop,
    ...SMALL,
    block: "pointwise",
    resume: true,
  });
  assertEquals(path, shop.out);
});
