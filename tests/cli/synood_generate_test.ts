import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openImages } from "../../data/mod.ts";
import { readSyntheticImages, saveContexts } from "../../methods/mod.ts";
import { writeModel } from "../../onnx/mod.ts";
import { classifier, unet, writeDiffusion } from "../_support/diffusion.ts";
import { writeTree } from "../_support/images.ts";
import { Process } from "./_process.ts";
import {
  assertRefused,
  listFiles,
  ood,
  SPEC,
  succeed,
  type Workshop,
  workshop,
  writeImages,
} from "./_workshop.ts";

const SIDE = 8;

/** A diffusion model, a classifier, images of two classes, and contexts of all but one. */
async function prepared(): Promise<Workshop> {
  const shop = await workshop();
  const { file } = shop;
  await writeDiffusion(file("diffusion"), { side: SIDE });
  await writeTree(shop.path, {
    "m.onnx": writeModel(classifier({ side: SIDE })),
    "m.json": JSON.stringify({ preprocessing: SPEC, labels: ["cat", "dog", "owl"] }),
    "labels.txt": "teapot\n\n kite \n",
  });
  await writeImages(file("in/cat"), 3, 1);
  await writeImages(file("in/dog"), 2, 2);
  const lists = {
    "cat/000.png": ["sofa"],
    "cat/001.png": ["rug", "window"],
    "cat/002.png": [],
    "dog/000.png": ["grass"],
    "dog/001.png": ["sky", "birds"],
  };
  await saveContexts(
    { version: 1, source: { kind: "file" }, images: lists },
    file("contexts.json"),
  );
  return shop;
}

function command({ file }: Workshop, out: string, ...more: string[]): string[] {
  return [
    ...["synood", "generate", "--diffusion", file("diffusion"), "--classifier", file("m.onnx")],
    ...["--images", file("in"), "--contexts", file("contexts.json"), "--out", file(out)],
    ...["--steps", "5", "--batch", "2", "--device", "wasm", ...more],
  ];
}

/** Contents of a run's files but for the machine's part of them. */
async function contents(folder: string): Promise<[string, string][]> {
  const files = listFiles(folder).map((line) => line.slice(0, line.lastIndexOf(" ")));
  return await Promise.all(files.map(async (path): Promise<[string, string]> => [
    path.slice(folder.length),
    String(await Deno.readFile(path)),
  ]));
}

Deno.test("ood synood generate makes images and says what came of them", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const { out, notes } = await succeed(...command(shop, "out"));
  assertStringIncludes(notes, "Making 4 images; 1 more have no elements\n");
  assertStringIncludes(notes, "Models run on wasm, gradients on ");
  assertStringIncludes(out, `Wrote ${file("out")}: 4 images, 4 kept; 1 sources without elements`);
  for (const row of ["source images", "after 0 updates", "after 2 updates", "saved images"]) {
    assertStringIncludes(out, row);
  }
  assertStringIncludes(out, "% crossed the boundary: their energy is below ");
  assertStringIncludes(out, "4 made in ");
  const { images, manifest } = await readSyntheticImages(file("out"));
  assertEquals(images.map(({ source }) => source), [
    "cat/000.png",
    "cat/001.png",
    "dog/000.png",
    "dog/001.png",
  ]);
  assertEquals(manifest.settings.steps, 5);
  assertEquals(images[1]!.prompt, "A photo only remain rug, window.");
});

Deno.test("ood synood generate takes some of the images, other settings, and gives JSON", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const { out } = await succeed(
    ...command(shop, "out", "--per-class", "1", "--json", "--filter", "energy", "--count", "code"),
    ...["--prompt", "only {elements}", "--boundary", "1000", "--seed", "9"],
  );
  const report = JSON.parse(out);
  assertEquals([report.counts.images, report.counts.kept, report.made], [2, 2, 2]);
  assertEquals(report.energy.after.length, 3);
  assertEquals(report.settings.filter, "energy");
  assert(typeof report.energy.before.mean === "number" && report.seconds.denoise > 0);
  const { images } = await readSyntheticImages(file("out"));
  assert(images.every(({ prompt }) => prompt.startsWith("only ")));
  assertEquals(new Set(images.map(({ label }) => label)).size, 2);
});

Deno.test("ood synood generate takes the prompt that the model was made for", async () => {
  await using shop = await prepared();
  const own = JSON.stringify({ prompt: "a photo of {elements}" });
  await Deno.writeTextFile(shop.file("diffusion/oodgpu.json"), own);
  await succeed(...command(shop, "out", "--limit", "1", "--iterations", "0"));
  const { images } = await readSyntheticImages(shop.file("out"));
  assertEquals(images.map(({ prompt }) => prompt), ["a photo of sofa"]);
});

Deno.test("ood synood generate lists its sources where they are, from a folder or a list", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const lists = { "in/dog/000.png": ["grass"], "in/cat/000.png": ["sofa"] };
  await saveContexts(
    { version: 1, source: { kind: "file" }, images: lists },
    file("listed.json"),
  );
  await Deno.writeTextFile(file("list.tsv"), "in/dog/000.png\tdog\nin/cat/000.png\tcat\n");
  const listed = ["--images", file("list.tsv"), "--contexts", file("listed.json")];
  const runs = [
    ["folder", "in/cat/001.png", ["--limit", "2"]],
    ["list", "in/cat/000.png", listed],
  ] as const;
  for (const [out, second, options] of runs) {
    await succeed(...command(shop, out, "--iterations", "0", ...options));
    const [sources, made] = [
      await openImages(file(`${out}/sources.tsv`)),
      await openImages(file(`${out}/synthetic.tsv`)),
    ];
    assertEquals([sources.count, made.count], [2, 2]);
    assertEquals(sources.labels, made.labels);
    const { path } = await sources.item(1);
    assertEquals(await Deno.readFile(path!), await Deno.readFile(file(second)));
  }
});

Deno.test("ood synood generate makes images of labels", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const { out, notes } = await succeed(
    ...["synood", "generate", "--diffusion", file("diffusion"), "--classifier", file("m.onnx")],
    ...["--negatives", file("labels.txt"), "--per-label", "2", "--out", file("out")],
    ...["--steps", "3", "--device", "wasm"],
  );
  assertStringIncludes(notes, "Making 4 images of 2 labels\n");
  assertStringIncludes(out, "4 images, 4 kept");
  const { images, manifest } = await readSyntheticImages(file("out"));
  assertEquals(images.map(({ class: name }) => name), ["teapot", "teapot", "kite", "kite"]);
  assertEquals(manifest.mode, "labels");
});

Deno.test("ood synood generate goes on where it was killed", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const argv = (out: string, ...more: string[]) =>
    command(shop, out, "--steps", "40", "--batch", "1", "--device", "reference", ...more);
  {
    await using process = new Process(...argv("out"));
    const lines = async () => {
      const text = await Deno.readTextFile(file("out/pairs.jsonl")).catch(() => "");
      return text.split("\n").length - 1;
    };
    for (let tries = 0; tries < 1200 && await lines() === 0; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    process.child.kill("SIGKILL");
    await process.end();
    assert(await lines() > 0, process.notes);
  }
  const refused = await ood(...argv("out"));
  assertRefused(refused, { code: 1, message: "go on with --resume, or choose another folder" });
  const { notes } = await succeed(...argv("out", "--resume"));
  assertStringIncludes(notes, "Going on after ");
  await succeed(...argv("whole"));
  assertEquals(await contents(file("out")), await contents(file("whole")));
});

Deno.test("ood synood generate refuses what does not fit, and leaves nothing behind", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await writeDiffusion(file("plain"), { side: SIDE, unetChannels: 4 });
  await writeDiffusion(file("broken"), { side: SIDE, offset: NaN });
  await writeDiffusion(file("texts"), { side: SIDE, unetWidth: 12 });
  await writeImages(file("zoo/cat"), 1);
  await writeImages(file("zoo/yak"), 1);
  await writeTree(shop.path, {
    "unet.onnx": writeModel(unet({ side: SIDE })),
    "empty.json": JSON.stringify({ version: 1, source: { kind: "file" }, images: {} }),
    "nothing.txt": "\n\n",
    "file": "",
  });
  const before = listFiles(shop.path);
  const replaced = (name: string, value: string, ...more: string[]) => {
    const argv = command(shop, "out", ...more);
    argv[argv.indexOf(`--${name}`) + 1] = value;
    return argv;
  };
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [replaced("diffusion", file("none")), 1, 'there is no "vae_encoder/model.onnx"'],
    [replaced("diffusion", file("plain")), 1, "its U-Net takes 4 channels, and one for inpainting"],
    [replaced("diffusion", file("texts")), 1, "the width of a token is 12"],
    [replaced("classifier", file("none.onnx")), 1, "there is no such file"],
    [replaced("classifier", file("unet.onnx")), 1, "unet.onnx"],
    [replaced("images", file("zoo")), 1, "yak"],
    [replaced("contexts", file("none.json")), 1, "none.json"],
    [replaced("contexts", file("empty.json")), 1, "none of 5 images has elements in the contexts"],
    [replaced("out", file("file")), 1, "file"],
    [command(shop, "out", "--resume"), 1, "there is no run to go on with"],
    [command(shop, "out", "--strength", "2"), 2, "the strength must be above 0 and at most 1"],
    [command(shop, "out", "--rate", "-1"), 2, "the rate must be 0 or more"],
    [command(shop, "out", "--batch", "0"), 2, "--batch must be a whole number from 1"],
    [command(shop, "out", "--steps", "5000"), 1, "Cannot sample in 5000 steps"],
    [command(shop, "out", "--loss", "energy"), 2, "--loss must be one of paper"],
    [command(shop, "out", "--prompt", "a photo"), 1, "it lacks {elements}"],
    [command(shop, "out", "--per-label", "2"), 2, "--per-label needs --negatives"],
    [command(shop, "out", "--negatives", file("labels.txt")), 2, "exclude each other"],
    [
      [
        ...["synood", "generate", "--diffusion", file("diffusion"), "--out", file("out")],
        ...["--classifier", file("m.onnx"), "--negatives", file("nothing.txt")],
      ],
      1,
      "it is empty",
    ],
    [
      ["synood", "generate", "--diffusion", file("diffusion"), "--out", file("out")],
      2,
      "--classifier MODEL.onnx is required",
    ],
  ];
  for (const [argv, code, message] of cases) {
    const run = await ood(...argv);
    assertRefused(run, { code, message });
  }
  assertEquals(listFiles(shop.path), before);

  // What is found while images are made leaves a run that can be looked at.
  const argv = replaced("diffusion", file("broken"));
  assertRefused(await ood(...argv), { code: 1, message: "it gives NaN among its latents" });
  const { manifest, images } = await readSyntheticImages(file("out"), { partial: true });
  assertEquals([manifest.complete, images], [false, []]);
});
