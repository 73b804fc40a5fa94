import { assertEquals, assertStringIncludes } from "@std/assert";
import { openFeatures } from "../../data/mod.ts";
import { writeModel } from "../../onnx/mod.ts";
import { tagger, TAGGER_SIDECAR } from "../onnx/_taggers.ts";
import { assertRefused, ood, succeed, type Workshop, workshop } from "./_workshop.ts";

/** A folder with a tagger and what its sidecar says. */
async function withTagger(sidecar: unknown = TAGGER_SIDECAR): Promise<Workshop> {
  const shop = await workshop();
  await Deno.writeFile(shop.file("tagger.onnx"), writeModel(tagger({ heads: true })));
  await Deno.writeTextFile(shop.file("tagger.json"), JSON.stringify(sidecar));
  return shop;
}

/** Extracts five drawn images. */
function extractArgs(shop: Workshop, ...more: string[]): string[] {
  const model = ["--model", shop.file("tagger.onnx"), "--out", shop.file("f.safetensors")];
  return ["extract", ...model, "--images", "synthetic:stripes:5:8x8", "--device", "wasm", ...more];
}

Deno.test("ood inspect shows what a tagger has and what it lacks", async () => {
  await using shop = await withTagger();
  const { out } = await succeed("inspect", shop.file("tagger.onnx"));
  for (
    const line of [
      "tokens          tokens [N, 4, 6]",
      "tag scores      scores [N, 5]",
      "attention       attention [N, 2, 5, 4]",
      "tags            5: cat, dog, grass, sky, sea",
      "thresholds      5 from 0.4 to 0.8",
      "logits          none: the model is a tagger",
    ]
  ) assertStringIncludes(out, line);

  const { outputs: _, tag_thresholds: __, ...bare } = TAGGER_SIDECAR;
  await Deno.writeTextFile(shop.file("tagger.json"), JSON.stringify(bare));
  const less = await succeed("inspect", shop.file("tagger.onnx"));
  assertStringIncludes(less.out, 'attention       none: the sidecar names no "attention"');
  assertStringIncludes(less.out, "thresholds      none: name them in the sidecar");
});

Deno.test("ood extract --keys stores just these of a tagger's values", async () => {
  await using shop = await withTagger();
  await succeed(...extractArgs(shop));
  {
    await using set = await openFeatures(shop.file("f.safetensors"));
    assertEquals(set.shape("tokens"), [5, 4, 6]);
    assertEquals(set.shape("attention"), [5, 5, 4]);
    assertEquals(JSON.parse(set.metadata["tag_names"]!), TAGGER_SIDECAR.tags);
  }
  await succeed(...extractArgs(shop, "--keys", "tokens, tag_logits"));
  {
    await using set = await openFeatures(shop.file("f.safetensors"));
    assertEquals([...set.keys].sort(), ["labels", "tag_logits", "tokens"]);
  }
  assertRefused(await ood(...extractArgs(shop, "--keys", "tokens,,")), {
    code: 2,
    message: 'The option --keys must be names with commas between: it is "tokens,,"',
  });
  assertRefused(await ood(...extractArgs(shop, "--keys", "attentoin")), {
    code: 1,
    message:
      'Cannot store "attentoin" of "tagger.onnx": it offers tokens, tag_logits, attention; ' +
      'did you mean "attention"',
  });
});

Deno.test("ood extract refuses a sidecar of another tagger, and says what a file lacks", async () => {
  await using shop = await withTagger({ ...TAGGER_SIDECAR, tags: ["cat", "dog"] });
  assertRefused(await ood(...extractArgs(shop)), {
    code: 1,
    message: '"tag_thresholds" lists 5 probabilities for 2 tags',
  });
  const { outputs, ...rest } = TAGGER_SIDECAR;
  const scored = { ...rest, outputs: { "tag_logits": outputs!.tag_logits! } };
  await Deno.writeTextFile(shop.file("tagger.json"), JSON.stringify(scored));
  await succeed(...extractArgs(shop));
  await using set = await openFeatures(shop.file("f.safetensors"));
  assertStringIncludes(set.metadata["attention.reason"]!, 'the sidecar names no "attention"');
});
