import { assert, assertEquals } from "@std/assert";
import { renderImages, WORLD_CLASSES, worldScenes } from "../../data/mod.ts";
import { preprocessImages, Rng } from "../../kernels/mod.ts";
import { loadTokenizer, openSession, openVisionLanguage } from "../../onnx/mod.ts";
import {
  captionedTags,
  captionOf,
  SPECIAL_TOKENS,
  WORLD_CONTEXT_LENGTH,
  worldIds,
} from "../../tools/_world_captions.ts";
import { gpuTest } from "../_support/gpu.ts";

const FOLDER = "models/world-clip";
const COUNT = 60;

Deno.test("the shipped tokenizer gives the ids that the text encoder was taught", async () => {
  const tokenizer = await loadTokenizer(`${FOLDER}/tokenizer.json`);
  const rng = new Rng(3);
  const captions = captionedTags(5, [["train", 20], ["background", 5], ["far-ood", 6]])
    .map((tags) => captionOf(tags, rng));
  const texts = [...captions, "", "a zebra, perhaps?", "boat ".repeat(40)];
  const { ids } = tokenizer.encode(texts, { length: WORLD_CONTEXT_LENGTH });
  const pad = SPECIAL_TOKENS.indexOf("<pad>");
  texts.forEach((text, n) => {
    const row = ids.subarray(n * WORLD_CONTEXT_LENGTH, (n + 1) * WORLD_CONTEXT_LENGTH);
    const taught = worldIds(text);
    const expected = [...taught, ...new Array(WORLD_CONTEXT_LENGTH - taught.length).fill(pad)];
    assertEquals(Array.from(row, Number), expected, text);
  });
});

gpuTest("the shipped dual encoder finds the names of classes", async ({ gpu, host }) => {
  await using model = await openVisionLanguage(FOLDER, { device: "wasm" });
  assertEquals([model.width, model.logitScale, model.contextLength], [64, 20, 16]);
  const { embed } = await model.encodeTexts(WORLD_CLASSES.map((name) => `the nice ${name}`));
  const names = unitRows(embed, model.width);

  const { path, sidecar } = model.imageModel;
  const scenes = worldScenes("test", { seed: 4, count: COUNT });
  const input = preprocessImages(host, await renderImages(gpu, scenes), sidecar.preprocessing!);
  await using session = await openSession(path, { device: "wasm" });
  const { "image_embeds": found } = await session.run({
    "pixel_values": { data: input.data as Float32Array<ArrayBuffer>, shape: input.shape },
  });
  const embeds = unitRows(found!.data as Float32Array, model.width);
  const right = scenes.filter(({ label }, n) => nearest(embeds[n]!, names) === label).length;
  assert(right >= 0.8 * COUNT, `${right} of ${COUNT} images have the right name`);
});

function unitRows(data: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: data.length / width }, (_, n) => {
    const row = data.slice(n * width, (n + 1) * width);
    const length = Math.hypot(...row);
    return row.map((value) => value / length);
  });
}

function nearest(row: Float32Array, names: readonly Float32Array[]): number {
  const cosines = names.map((name) => name.reduce((sum, value, i) => sum + value * row[i]!, 0));
  return cosines.indexOf(Math.max(...cosines));
}
