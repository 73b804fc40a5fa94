import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { type ImageSet, openImages } from "../../data/mod.ts";
import { preprocessReference } from "../../kernels/preprocess/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { jigsaw, jigsawOrder } from "../../methods/_jigsaw.ts";
import { bestBlock, type NormRatioOptions, normRatios } from "../../methods/mod.ts";
import { exposeMaps, GraphBuilder, type HostArray, openSession } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { encodeRgbPng, temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { SIDE, smoothImage, TWO_BLOCKS_SPEC, twoBlocks } from "../_support/two_blocks.ts";

const COUNT = 6;
const OPTIONS = {
  preprocessing: TWO_BLOCKS_SPEC,
  device: "wasm",
  workers: 0,
} as const satisfies NormRatioOptions;

async function smoothImages(): Promise<AsyncDisposable & { path: string; set: ImageSet }> {
  const folder = await temporaryFolder();
  for (let i = 0; i < COUNT; i++) {
    await Deno.writeFile(`${folder.path}/${i}.png`, await encodeRgbPng(smoothImage(i)));
  }
  return {
    path: folder.path,
    set: await openImages(folder.path),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("jigsaw() moves whole tiles and leaves what remains at the edges", () => {
  const size = { width: 7, height: 8 };
  const pixels = Float32Array.from({ length: 2 * 56 }, (_, i) => i);
  const order = [8, 1, 2, 3, 4, 5, 6, 7, 0];
  const result = jigsaw(pixels, size, order);
  for (let c = 0; c < 2; c++) {
    for (let y = 0; y < 8; y++) {
      for (let x = 0; x < 7; x++) {
        const [first, last] = [y < 2 && x < 2, y >= 4 && y < 6 && x >= 4 && x < 6];
        const [fromY, fromX] = first ? [y + 4, x + 4] : last ? [y - 4, x - 4] : [y, x];
        assertEquals(result[c * 56 + y * 7 + x], c * 56 + fromY * 7 + fromX, `${c} ${y} ${x}`);
      }
    }
  }
});

Deno.test("jigsaw() is undone by the inverse order", () => {
  const rng = new Rng(3);
  const pixels = Float32Array.from({ length: 3 * 100 }, () => rng.normal());
  const size = { width: 10, height: 10 };
  const order = jigsawOrder(rng);
  const inverse = order.map((_, tile) => order.indexOf(tile));
  assertEquals(jigsaw(jigsaw(pixels, size, order), size, inverse), pixels);
});

Deno.test("jigsawOrder() always moves a tile, and takes all orders alike", () => {
  const places = new Float64Array(81);
  const draws = 4000;
  for (let seed = 0; seed < draws; seed++) {
    const order = jigsawOrder(new Rng(seed, 1));
    assertEquals(order.toSorted(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert(order.some((tile, place) => tile !== place), `seed ${seed}`);
    order.forEach((tile, place) => places[9 * place + tile]!++);
  }
  // Each tile comes to each place in a ninth of the draws; six standard deviations to either side.
  const spread = 6 * Math.sqrt(draws * (1 / 9) * (8 / 9));
  for (const count of places) assert(Math.abs(count - draws / 9) < spread, `${count}`);
});

Deno.test("normRatios() is 1 for a block of single pixels and smaller for one of edges", async () => {
  await using images = await smoothImages();
  const blocks = await normRatios(twoBlocks(), images.set, OPTIONS);
  assertEquals(blocks.map(({ block, shape }) => [block, shape]), [
    ["pointwise", ["N", 4, SIDE, SIDE]],
    ["edges", ["N", 4, SIDE, SIDE]],
  ]);
  assertClose([blocks[0]!.ratio], [1], TOLERANCE.kernel);
  assert(blocks[1]!.ratio < 0.95, `${blocks[1]!.ratio}`);
  // The last map is not the best one here.
  assertEquals(bestBlock(blocks).block, "pointwise");
});

Deno.test("normRatios() agrees with plain loops over images and their jigsaws", async () => {
  await using images = await smoothImages();
  const seed = 5;
  const model = exposeMaps(twoBlocks(), ["pointwise", "edges"]).model;
  await using session = await openSession(model, { device: "wasm" });
  const normOn = async (pixels: Float32Array<ArrayBuffer>, block: string) => {
    const outputs = await session.run({ image: { data: pixels, shape: [1, 3, SIDE, SIDE] } });
    const { data } = outputs[block] as HostArray;
    const plane = SIDE * SIDE;
    const norms = [0, 1, 2, 3].map((c) =>
      Math.hypot(...data.subarray(c * plane, (c + 1) * plane).map((value) => Math.max(0, value)))
    );
    return norms.reduce((a, b) => a + b) / 4;
  };
  const expected: number[] = [];
  for (const block of ["pointwise", "edges"]) {
    let sum = 0;
    for (let i = 0; i < COUNT; i++) {
      const pixels = preprocessReference(smoothImage(i), TWO_BLOCKS_SPEC);
      const order = jigsawOrder(new Rng(seed, 1 + i));
      const shuffled = jigsaw(pixels, { width: SIDE, height: SIDE }, order);
      sum += await normOn(pixels, block) / await normOn(shuffled, block);
    }
    expected.push(sum / COUNT);
  }
  const blocks = await normRatios(twoBlocks(), images.set, { ...OPTIONS, seed });
  assertClose(blocks.map(({ ratio }) => ratio), expected, TOLERANCE.kernel, `seed ${seed}`);
});

Deno.test("normRatios() depends on the seed, and on nothing else that is random", async () => {
  await using images = await smoothImages();
  const run = (options: NormRatioOptions) =>
    normRatios(twoBlocks(), images.set, { ...OPTIONS, ...options });
  const once = await run({ seed: 1, count: 3 });
  assertEquals(await run({ seed: 1, count: 3, workers: 2 }), once);
  assertNotEquals(await run({ seed: 2, count: 3 }), once);
  // More than there are is all.
  assertEquals(await run({ seed: 1, count: 100 }), await run({ seed: 1, count: COUNT }));
});

Deno.test("normRatios() reports progress and leaves out images that cannot be read", async () => {
  await using images = await smoothImages();
  await Deno.writeTextFile(`${images.path}/2.png`, "no image");
  const skipped: string[] = [];
  let done = 0;
  const blocks = await normRatios(twoBlocks(), images.set, {
    ...OPTIONS,
    onSkip: ({ index, name }) => skipped.push(`${index} ${name}`),
    onProgress: (progress) => {
      done = progress.done;
      assertEquals(progress.total, COUNT);
    },
  });
  assertEquals([skipped, done], [["2 2.png"], COUNT]);
  assertClose([blocks[0]!.ratio], [1], TOLERANCE.kernel);
  for (let i = 0; i < COUNT; i++) await Deno.writeTextFile(`${images.path}/${i}.png`, "no image");
  await assertRejects(
    () => normRatios(twoBlocks(), images.set, OPTIONS),
    UserError,
    "none of the 6 images",
  );
});

/** Two branches that join in a concatenation, `scale` times the image. */
function branches(scale: number, { side = SIDE }: { side?: number } = {}) {
  const b = new GraphBuilder({ name: "branches" });
  const x = b.input("image", ["N", 3, side, side]);
  const scaled = b.node("Mul", [x, b.constant(new Float32Array([scale]), { name: "scale" })]);
  const map = b.node("Concat", [scaled, scaled], { attributes: { axis: 1n }, output: "joined" });
  b.output("pooled", b.node("Flatten", [b.node("GlobalAveragePool", [map])]));
  return b.build();
}

Deno.test("normRatios() gives 0 to a block that never responds, and refuses infinite norms", async () => {
  await using images = await smoothImages();
  const [silent] = await normRatios(branches(-1), images.set, OPTIONS);
  assertEquals(silent!.ratio, 0);
  await assertRejects(
    () => normRatios(branches(3e38), images.set, OPTIONS),
    UserError,
    'the norm of "joined" comes out as Infinity',
  );
});

Deno.test("normRatios() refuses what it cannot compare, in one sentence", async () => {
  await using images = await smoothImages();
  const b = new GraphBuilder({ name: "flat" });
  b.output("y", b.node("Flatten", [b.input("image", ["N", 3, SIDE, SIDE])]));
  await assertRejects(() => normRatios(b.build(), images.set, OPTIONS), UserError, "none of them");
  await assertRejects(
    () => normRatios(twoBlocks(), images.set, { ...OPTIONS, count: 0 }),
    UserError,
    "Cannot take 0 images",
  );
  const tiny = { ...TWO_BLOCKS_SPEC, crop: { width: 2, height: 2 } };
  await assertRejects(
    () => normRatios(branches(1, { side: 2 }), images.set, { ...OPTIONS, preprocessing: tiny }),
    UserError,
    "images of 2 x 2 pixels have no 3 x 3 tiles",
  );
  const controller = new AbortController();
  controller.abort(new Error("enough"));
  await assertRejects(
    () => normRatios(twoBlocks(), images.set, { ...OPTIONS, signal: controller.signal }),
    Error,
    "enough",
  );
  assertThrows(() => bestBlock([]), RangeError, "there is none");
});

gpuTest(
  "normRatios() on webgpu agrees with wasm, repeats to the bit and leaves nothing",
  async ({ gpu }) => {
    await using images = await smoothImages();
    const wasm = await normRatios(twoBlocks(), images.set, OPTIONS);
    const onGpu = { ...OPTIONS, device: "webgpu", gpu: gpu.gpu } as const;
    const blocks = await normRatios(twoBlocks(), images.set, onGpu);
    const ratios = (list: typeof blocks) => list.map(({ ratio }) => ratio);
    assertClose(ratios(blocks), ratios(wasm), TOLERANCE.provider);
    assertEquals(await normRatios(twoBlocks(), images.set, onGpu), blocks);
  },
);
