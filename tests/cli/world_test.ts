import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  decodeImage,
  openImages,
  renderImages,
  WORLD_CLASSES,
  WORLD_SPLITS,
  worldScenes,
} from "../../data/mod.ts";
import { Gpu } from "../../runtime/mod.ts";
import { assertRefused, listFiles, ood, succeed, workshop } from "./_workshop.ts";

const COUNTS = ["--train", "40", "--val", "3", "--test", "3", "--near", "30"];
const SMALL = ["--size", "16", ...COUNTS, "--background", "2", "--far", "6"];

async function linesOf(path: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(path);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("ood world writes images, tags, labels, an overview and a manifest", async () => {
  await using shop = await workshop();
  const out = shop.file("world");
  const { out: text, notes } = await succeed("world", "--out", out, ...SMALL);
  assertStringIncludes(text, "train 40");
  assertStringIncludes(notes, "Rendering with webgpu");
  const manifest = JSON.parse(await Deno.readTextFile(`${out}/world.json`));
  assertEquals([manifest.complete, manifest.seed, manifest.size], [true, 1, 16]);
  assertEquals(JSON.parse(await Deno.readTextFile(`${out}/labels.json`)), WORLD_CLASSES);
  const files = listFiles(out);
  assertEquals(files.filter((file) => file.includes(".tmp")), []);
  assertEquals(files.filter((file) => file.includes(".png")).length, 40 + 3 + 3 + 30 + 2 + 6 + 1);
  using gpu = await Gpu.open();
  for (const split of WORLD_SPLITS) {
    const lines = await linesOf(`${out}/${split}/tags.jsonl`);
    assertEquals(lines.length, manifest.splits[split].count);
    const scenes = worldScenes(split, { seed: 1, count: lines.length });
    const images = await renderImages(gpu, scenes, { size: 16 });
    for (const [i, { path, index, object }] of lines.entries()) {
      assertEquals([index, object], [i, scenes[i]!.object?.kind ?? null]);
      const bytes = await Deno.readFile(`${out}/${split}/${path}`);
      const { data } = await decodeImage(bytes, { name: String(path) });
      assertEquals([...data], [...images[i]!.data]);
    }
  }
});

Deno.test("ood world's folders and lists are image sets with the classes' numbers", async () => {
  await using shop = await workshop();
  await succeed("world", "--out", shop.file("w"), ...SMALL, "--splits", "val,background");
  const folder = await openImages(shop.file("w/val"));
  assertEquals(folder.classNames, WORLD_CLASSES);
  assertEquals([...folder.labels], [0, 1, 2]);
  const list = await openImages(shop.file("w/val/tags.jsonl"));
  assertEquals([...list.labels], [0, 1, 2]);
  assertEquals([...(await openImages(shop.file("w/background/tags.jsonl"))).labels], [-1, -1]);
});

Deno.test("ood world goes on where it stopped, and adds splits", async () => {
  await using shop = await workshop();
  const out = shop.file("world");
  const options = ["world", "--out", out, ...SMALL];
  await succeed(...options);
  const before = listFiles(out);
  const manifest = await Deno.readTextFile(`${out}/world.json`);
  // As it is left by a run that was killed: no tags, some images missing, the manifest open.
  const open = JSON.parse(manifest);
  open.splits.train.tags = null;
  await Deno.writeTextFile(`${out}/world.json`, JSON.stringify({ ...open, complete: false }));
  await Deno.remove(`${out}/train/tags.jsonl`);
  await Deno.remove(`${out}/train/fish/00006.png`);
  await Deno.writeTextFile(`${out}/train/boat/00001.png`, "kept as it is");
  await succeed(...options);
  assertEquals(await Deno.readTextFile(`${out}/world.json`), manifest);
  assertEquals(await Deno.readTextFile(`${out}/train/boat/00001.png`), "kept as it is");
  await Deno.remove(`${out}/train/boat/00001.png`);
  await Deno.writeTextFile(`${out}/world.json`, JSON.stringify({ ...open, complete: false }));
  await succeed(...options);
  assertEquals(listFiles(out), before);

  const apart = shop.file("apart");
  await succeed("world", "--out", apart, ...SMALL, "--splits", "val");
  const { out: json } = await succeed(
    "world",
    "--out",
    apart,
    ...SMALL,
    "--splits",
    "test",
    "--json",
  );
  const both = JSON.parse(json);
  assertEquals([Object.keys(both.splits), both.complete], [["val", "test"], true]);
  assertEquals(both.splits.val, open.splits.val);
});

Deno.test("ood world writes the same on the reference, but for steps of a byte", async () => {
  await using shop = await workshop();
  const options = [...SMALL, "--splits", "test"];
  await succeed("world", "--out", shop.file("a"), ...options);
  const { notes } = await succeed(
    "world",
    "--out",
    shop.file("b"),
    ...options,
    "--device",
    "reference",
  );
  assertEquals(notes, "");
  const tags = (name: string) => Deno.readTextFile(shop.file(`${name}/test/tags.jsonl`));
  assertEquals(await tags("a"), await tags("b"));
});

Deno.test("ood world refuses other worlds, other folders and options that make no sense", async () => {
  await using shop = await workshop();
  await Deno.writeTextFile(shop.file("notes.txt"), "mine");
  await succeed("world", "--out", shop.file("w"), ...SMALL, "--splits", "val");
  await Deno.mkdir(shop.file("odd"));
  await Deno.writeTextFile(shop.file("odd/world.json"), "{}");
  const before = listFiles(shop.path);
  const refused = async (argv: readonly string[], expected: { code: number; message: string }) => {
    assertRefused(await ood("world", ...argv), expected);
    assertEquals(listFiles(shop.path), before);
  };
  const w = ["--out", shop.file("w"), ...SMALL];
  await refused(["--out", shop.path], {
    code: 1,
    message: "the folder is not empty and holds no world",
  });
  await refused(["--out", shop.file("notes.txt")], { code: 1, message: "it is a file" });
  await refused(["--out", shop.file("odd")], { code: 1, message: "none of this program's" });
  await refused([...w, "--seed", "2"], {
    code: 1,
    message: "whose seed is 1, and 2 was asked for",
  });
  await refused([...w, "--size", "32"], { code: 1, message: "whose size is 16" });
  await refused([...w, "--val", "4"], { code: 1, message: "whose count of val is 3" });
  await refused([...w, "--splits", "vall"], { code: 2, message: 'it has "vall"' });
  await refused([...w, "--val", "0", "--splits", "val"], { code: 2, message: "0 images" });
  await refused([...w, "--size", "4"], { code: 2, message: "--size must be a whole number" });
  await refused([], { code: 2, message: "The option --out DIR is required" });
});

Deno.test("ood world --help shows an example and every split", async () => {
  const { out } = await succeed("world", "--help");
  for (const split of WORLD_SPLITS) assertStringIncludes(out.replaceAll(/\s+/g, " "), split);
  assert(out.includes("ood world --out world"));
});
