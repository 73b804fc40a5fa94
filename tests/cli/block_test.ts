import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openFeatures, openImages } from "../../data/mod.ts";
import { bestBlock, blockOf, loadDetector, normRatios } from "../../methods/mod.ts";
import { readModel, writeModel } from "../../onnx/mod.ts";
import { encodeRgbPng, temporaryFolder } from "../_support/images.ts";
import { smoothImage, TWO_BLOCKS_SPEC, twoBlocks } from "../_support/two_blocks.ts";
import { ood, type Run } from "./_workshop.ts";

/** A folder with a model of two blocks, its sidecar and images; runs commands on them. */
async function workshop(): Promise<
  AsyncDisposable & { path: string; ood: (...argv: string[]) => Promise<Run> }
> {
  const folder = await temporaryFolder();
  const { path } = folder;
  await Deno.writeFile(`${path}/two.onnx`, writeModel(twoBlocks()));
  await Deno.writeTextFile(
    `${path}/two.json`,
    JSON.stringify({ preprocessing: TWO_BLOCKS_SPEC }),
  );
  await Deno.mkdir(`${path}/images`);
  for (let i = 0; i < 6; i++) {
    await Deno.writeFile(`${path}/images/${i}.png`, await encodeRgbPng(smoothImage(i)));
  }
  return {
    path,
    ood,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("ood inspect --norm-ratio prints the ratio of each block and marks the best", async () => {
  await using shop = await workshop();
  const { path } = shop;
  const argv = ["inspect", `${path}/two.onnx`, "--norm-ratio", `${path}/images`];
  const options = ["--device", "wasm", "--count", "4", "--seed", "3"];
  const table = await shop.ood(...argv, ...options);
  assertEquals(table.code, 0, table.notes);
  const expected = await normRatios(
    await readModel(`${path}/two.onnx`),
    await openImages(`${path}/images`),
    { preprocessing: TWO_BLOCKS_SPEC, device: "wasm", workers: 0, count: 4, seed: 3 },
  );
  assertStringIncludes(table.out, "NormRatio of 4 images and their jigsaws, seed 3");
  for (const { block, ratio } of expected) {
    const line = table.out.split("\n").find((text) => text.startsWith(`  ${block} `))!;
    assertStringIncludes(line, ratio.toFixed(4));
    assertEquals(line.endsWith("best"), block === bestBlock(expected).block);
  }
  const json = await shop.ood(...argv, ...options, "--json");
  const { normRatio, blocks } = JSON.parse(json.out);
  assertEquals(normRatio, { images: 4, seed: 3, best: "pointwise", blocks: expected });
  assertEquals(blocks.length, 2);
});

Deno.test("ood carries a block from extract through fit and score to export", async () => {
  await using shop = await workshop();
  const { path } = shop;
  const model = ["--model", `${path}/two.onnx`];
  const images = ["--images", `${path}/images`, "--labels", "none"];
  const wasm = ["--device", "wasm"];
  const extract = (out: string, ...more: string[]) =>
    shop.ood("extract", ...model, ...images, "--out", `${path}/${out}`, ...wasm, ...more);
  assertEquals((await extract("first", "--block", "pointwise")).code, 0);
  assertEquals((await extract("last")).code, 0);
  {
    await using set = await openFeatures(`${path}/first`);
    assertEquals(set.metadata["value_of_feature_map"], "pointwise");
  }
  const wrong = await extract("wrong", "--block", "pointwize");
  assertEquals(wrong.code, 1);
  assertStringIncludes(wrong.notes, 'did you mean "pointwise"');

  const fit = ["fit", "--method", "feature_norm", "--train", `${path}/first`, ...wasm];
  const out = ["--out", `${path}/detector`];
  const mixed = await shop.ood(...fit, ...out, "--id", `${path}/last`);
  assertEquals(mixed.code, 1);
  assertStringIncludes(mixed.notes, 'the detector was fitted to those from the value "pointwise"');
  const fitted = await shop.ood(...fit, ...out, "--id", `${path}/first`);
  assertEquals(fitted.code, 0, fitted.notes);
  assertEquals(blockOf(await loadDetector(`${path}/detector`)), "pointwise");

  const score = ["score", "--detector", `${path}/detector`, ...wasm, "--json"];
  const ofImages = await shop.ood(...score, ...model, "--images", `${path}/images`);
  const ofFeatures = await shop.ood(...score, "--features", `${path}/first`);
  assertEquals([ofImages.code, ofFeatures.code], [0, 0], ofImages.notes + ofFeatures.notes);
  assertEquals(JSON.parse(ofImages.out), JSON.parse(ofFeatures.out));
  const refused = await shop.ood(...score, "--features", `${path}/last`);
  assertEquals(refused.code, 1);
  const joined = `${path}/joined.onnx`;
  const detector = ["--detector", `${path}/detector`];
  assertEquals((await shop.ood("export", ...detector, ...model, "--out", joined)).code, 0);
  const { graph } = await readModel(joined);
  assert(graph.consumers("pointwise").some(({ label }) => label.includes("Relu")));

  // Only methods that read the maps mind that the sets are of different blocks.
  const evaluate = (methods: string) => {
    const sets = ["--train", `${path}/first`, "--id", `${path}/first`, "--ood", `o=${path}/last`];
    return shop.ood("eval", ...sets, "--methods", methods, "--bootstrap", "0", ...wasm);
  };
  const both = await evaluate("msp,feature_norm");
  assertEquals(both.code, 1);
  assertStringIncludes(both.notes, 'its "feature_norms" come from the value "edges"');
  assertEquals((await evaluate("msp")).code, 0);
});
