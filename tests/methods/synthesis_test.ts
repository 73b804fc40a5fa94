import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { decodeImage, openImages } from "../../data/mod.ts";
import {
  diffusionHashes,
  labelWork,
  type LatentDiffusion,
  openDiffusion,
  readSyntheticImages,
  sourceWork,
  SYNTHESIS_DEFAULTS,
  synthesise,
  type SynthesisOptions,
  type SynthesisReport,
  type SynthesisSettings,
  type WorkList,
} from "../../methods/mod.ts";
import { GraphBuilder, inspect, type OnnxModel } from "../../onnx/mod.ts";
import { Host, OutOfMemoryError, UserError } from "../../runtime/mod.ts";
import { classifier, type DiffusionOptions, writeDiffusion } from "../_support/diffusion.ts";
import { gpuTest } from "../_support/gpu.ts";
import { encodeRgbPng, makeImage, temporaryFolder, writeTree } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SIDE = 8;
const SETTINGS: SynthesisSettings = {
  ...SYNTHESIS_DEFAULTS,
  steps: 5,
  rate: 0.5,
  guidance: 3,
  loss: "squared",
  boundary: 2,
  seed: 7,
};

/** A diffusion model, five images of two classes, and what they show; the fourth shows nothing. */
async function workshop(model: DiffusionOptions = {}) {
  const folder = await temporaryFolder();
  await writeDiffusion(`${folder.path}/diffusion`, { side: SIDE, ...model });
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < 5; i++) {
    const image = makeImage(SIDE, SIDE, (x, y, c) => 40 * i + 18 * x + 6 * y * i + 60 * c);
    files[`images/${i < 3 ? "cat" : "dog"}/${i}.png`] = await encodeRgbPng(image);
  }
  await writeTree(folder.path, files);
  const images = await openImages(`${folder.path}/images`);
  const contexts = {
    images: Object.fromEntries(
      images.names.map((name, i) => [name, i === 3 ? [] : ["grass", "birds"].slice(i % 2)]),
    ),
  };
  return {
    path: folder.path,
    images,
    contexts,
    work: sourceWork(images, contexts),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

type Workshop = Awaited<ReturnType<typeof workshop>>;

/** How a test departs from the usual run. */
interface Departure extends Partial<Omit<SynthesisOptions, "out" | "settings" | "classifier">> {
  readonly settings?: Partial<SynthesisSettings>;
  readonly recognition?: OnnxModel;
  /** Changes the model before the run. */
  readonly spoil?: (diffusion: LatentDiffusion) => void;
}

async function make(
  { path, images, work }: Workshop,
  out: string,
  { settings, recognition = classifier({ side: SIDE }), spoil, ...options }: Departure = {},
): Promise<SynthesisReport> {
  await using diffusion = await openDiffusion(`${path}/diffusion`, { device: "wasm" });
  spoil?.(diffusion);
  using host = new Host();
  return await synthesise({
    diffusion,
    hashes: await diffusionHashes(diffusion.info),
    classifier: { model: recognition, inspection: inspect(recognition), hash: "c" },
    ctx: host,
    work,
    ...((options.work ?? work).items[0]!.source === null ? {} : { images }),
    batch: 2,
    ...options,
    out: `${path}/${out}`,
    settings: { ...SETTINGS, ...settings },
  });
}

/** Bytes of all files of a folder, by path. */
async function filesOf(folder: string, below = ""): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { name, isFile } of Deno.readDir(`${folder}/${below}`)) {
    const path = `${below}${name}`;
    if (!isFile) Object.assign(files, await filesOf(folder, `${path}/`));
    else files[path] = String(await Deno.readFile(`${folder}/${path}`));
  }
  return files;
}

async function pixelsOf(shop: Workshop, out: string, path: string): Promise<number[]> {
  const name = `${shop.path}/${out}/${path}`;
  return [...(await decodeImage(await Deno.readFile(name), { name })).data];
}

Deno.test("synthesise() writes images, what is known of each, a manifest and a contact sheet", async () => {
  await using shop = await workshop();
  const stages: string[] = [];
  const report = await make(shop, "out", {
    onProgress: (stage, done, total) => stages.push(`${stage} ${done}/${total}`),
  });
  assertEquals(stages, [
    ...[1, 2, 3, 4].map((done) => `load ${done}/4`),
    ...[2, 4].map((done) => `score ${done}/4`),
    ...[0, 2, 4].map((done) => `generate ${done}/4`),
  ]);
  const { images, manifest } = await readSyntheticImages(`${shop.path}/out`);
  assertEquals(images, report.images);
  assertEquals(manifest.counts, {
    images: 4,
    done: 4,
    kept: 4,
    crossed: images.filter(({ crossed }) => crossed).length,
    withoutElements: 1,
    unreadable: 0,
  });
  assertEquals([manifest.mode, manifest.complete], ["source", true]);
  assertEquals(manifest.boundary?.energy, 2);
  assertEquals(Object.keys(manifest.models).sort(), [
    "classifier",
    "text_encoder",
    "unet",
    "vae_decoder",
    "vae_encoder",
  ]);
  assertEquals(images.map(({ source }) => source), [
    "cat/0.png",
    "cat/1.png",
    "cat/2.png",
    "dog/4.png",
  ]);
  const [first] = images;
  assertEquals(first!.synthetic, "images/cat/0.png");
  assertEquals([first!.class, first!.label, first!.elements], ["cat", 0, ["grass", "birds"]]);
  assertEquals(first!.prompt, "A photo only remain grass, birds.");
  for (const { loss, energy, msp, crossed, kept } of images) {
    // Three updates, and what is saved is decoded behind the last.
    assertEquals([loss, energy.after, msp.after].map(({ length }) => length), [4, 4, 4]);
    assert(energy.before !== null && msp.before !== null);
    assert(loss[2]! < loss[0]! && energy.after[2]! < energy.after[0]!, `${energy.after}`);
    assertClose(loss, energy.after.map((value) => Math.max(0, value - 2) ** 2), TOLERANCE.network);
    assertEquals([crossed, kept], [energy.after[3]! < 2, true]);
  }
  assertEquals((await pixelsOf(shop, "out", first!.synthetic)).length, 3 * SIDE * SIDE);
  const name = "contact.png";
  const sheet = await decodeImage(await Deno.readFile(`${shop.path}/out/${name}`), { name });
  // Four sources above four images, with gaps of two.
  assertEquals([sheet.width, sheet.height], [4 * (SIDE + 2) - 2, 2 * (SIDE + 2) - 2]);
});

Deno.test("synthesise() goes on after a stop and gives the files of an uninterrupted run", async () => {
  await using shop = await workshop();
  await make(shop, "whole");
  const whole = await filesOf(`${shop.path}/whole`);
  const controller = new AbortController();
  await assertRejects(
    () =>
      make(shop, "parts", {
        signal: controller.signal,
        onProgress: (stage, done) => {
          if (stage === "generate" && done === 2) controller.abort(new Error("enough"));
        },
      }),
    Error,
    "enough",
  );
  const { manifest, images } = await readSyntheticImages(`${shop.path}/parts`, { partial: true });
  assertEquals([manifest.complete, images.length], [false, 2]);
  await assertRejects(
    () => readSyntheticImages(`${shop.path}/parts`),
    UserError,
    '2 of 4 are made; "ood synood generate --resume" goes on',
  );
  const report = await make(shop, "parts", { resume: true });
  assertEquals([report.made, report.counts.done], [2, 4]);
  assertEquals(await filesOf(`${shop.path}/parts`), whole);

  // Killed while a line was written, and one of its batch's images is gone.
  const pairs = `${shop.path}/parts/pairs.jsonl`;
  const text = await Deno.readTextFile(pairs);
  await Deno.writeTextFile(pairs, text.slice(0, text.lastIndexOf('"kept"')));
  await Deno.remove(`${shop.path}/parts/images/cat/2.png`);
  assertEquals((await make(shop, "parts", { resume: true })).made, 2);
  assertEquals(await filesOf(`${shop.path}/parts`), whole);

  // An image in the middle of a batch is made anew with those beside it.
  await Deno.remove(`${shop.path}/parts/images/cat/1.png`);
  assertEquals((await make(shop, "parts", { resume: true })).made, 3);
  assertEquals(await filesOf(`${shop.path}/parts`), whole);
  assertEquals((await make(shop, "parts", { resume: true })).made, 0);
  assertEquals(await filesOf(`${shop.path}/parts`), whole);
});

Deno.test("synthesise() gives an image the same in any batch, order and company", async () => {
  await using shop = await workshop();
  const { images } = await make(shop, "two");
  const { items } = shop.work;
  const others: Readonly<Record<string, Departure>> = {
    "one at a time": { batch: 1 },
    "all at once": { batch: 8 },
    "backwards": { work: { ...shop.work, items: items.toReversed() } },
    "fewer": { work: { ...shop.work, items: items.slice(1, 3) } },
  };
  for (const [name, departure] of Object.entries(others)) {
    // The boundary is a setting here; from the source images it would depend on which they are.
    const report = await make(shop, name, departure);
    for (const image of report.images) {
      const same = images.find(({ source }) => source === image.source)!;
      assertEquals(image.seed, same.seed);
      assertClose(image.energy.after, same.energy.after, TOLERANCE.provider, name);
      assertClose(
        await pixelsOf(shop, name, image.synthetic),
        await pixelsOf(shop, "two", same.synthetic),
        TOLERANCE.byte,
        name,
      );
    }
  }
  const { images: reseeded } = await make(shop, "other seed", { settings: { seed: 8 } });
  assertNotEquals(reseeded[0]!.energy.after[0], images[0]!.energy.after[0]);
});

Deno.test("synthesise() counts updates as the paper or as the code does", async () => {
  await using shop = await workshop();
  const run = async (name: string, settings: Partial<SynthesisSettings>) =>
    (await make(shop, name, { settings, batch: 4 })).images.map(({ energy }) => energy.after);
  const [paper, code, two, none] = [
    await run("paper", { iterations: 3 }),
    await run("code", { iterations: 3, count: "code" }),
    await run("two", { iterations: 2 }),
    await run("none", { iterations: 0 }),
  ];
  assertEquals([paper, code, two, none].map((run) => run![0]!.length), [4, 3, 3, 1]);
  // The code's three iterations are the paper's two, and the paper's third comes behind.
  assertEquals(code, two);
  assertEquals(paper!.map((after) => after.slice(0, 2)), code!.map((after) => after.slice(0, 2)));
  // Without a rate nothing moves.
  const still = await run("still", { rate: 0 });
  still.forEach((after) =>
    assertClose(after.slice(0, 3), Array(3).fill(after[0]), TOLERANCE.exact)
  );
});

Deno.test("synthesise() takes the gradient by scaled latents or by what the decoder takes", async () => {
  await using shop = await workshop();
  const run = async (name: string, settings: Partial<SynthesisSettings>) =>
    (await make(shop, name, { settings, batch: 4 })).images.map(({ energy }) => energy.after);
  // The scaling factor of the model is a half.
  const vae = await run("vae", { gradientBy: "vae", rate: 1 });
  const latents = await run("latents", { gradientBy: "latents", rate: 0.5 });
  vae.forEach((after, i) => assertClose(after, latents[i]!, TOLERANCE.provider));
});

Deno.test("synthesise() lowers the energy, and raises it with Eq. 7 as printed", async () => {
  await using shop = await workshop();
  const run = async (loss: SynthesisSettings["loss"]) =>
    (await make(shop, loss, { settings: { loss, boundary: -100, rate: 0.2 }, batch: 4 })).images;
  for (const { energy: { after } } of await run("paper")) assert(after[2]! < after[0]!, `${after}`);
  for (const { energy: { after } } of await run("paper-literal")) {
    assert(after[2]! > after[0]!, `${after}`);
  }
  for (const { loss } of await run("code")) assert(loss[2]! < loss[0]!, `${loss}`);
});

Deno.test("synthesise() takes the boundary from the source images, and filters by it", async () => {
  await using shop = await workshop();
  const settings = { boundary: undefined, quantile: 0.5 };
  const all = await make(shop, "all", { settings });
  const energies = all.images.map(({ energy }) => energy.before!).sort((a, b) => a - b);
  assertEquals(all.boundary!.energy, energies[2]);
  for (const filter of ["energy", "msp"] as const) {
    const { images, counts, boundary } = await make(shop, filter, {
      settings: { ...settings, filter },
    });
    images.forEach(({ energy, msp, kept, synthetic, crossed }) => {
      const score = filter === "energy" ? energy.after.at(-1)! : msp.after.at(-1)!;
      assertEquals(kept, score < boundary![filter]);
      assertEquals(crossed, energy.after.at(-1)! < boundary!.energy);
      assert(synthetic.startsWith(kept ? "images/" : "rejected/"), synthetic);
    });
    assertEquals(counts.kept, images.filter(({ kept }) => kept).length);
    const written = Object.keys(await filesOf(`${shop.path}/${filter}`));
    assertEquals(written.filter((path) => path.startsWith("images/")).length, counts.kept);
    assertEquals(written.filter((path) => /^(images|rejected)\//.test(path)).length, 4);
  }
});

Deno.test("synthesise() makes images of labels, without sources and gradients", async () => {
  await using shop = await workshop();
  const work = labelWork(["grass", "a/b", "A:b"], { perLabel: 2 });
  const report = await make(shop, "labels", { work, settings: { boundary: undefined } });
  assertEquals(report.images.map(({ synthetic }) => synthetic), [
    "images/grass/0.png",
    "images/grass/1.png",
    "images/a_b/0.png",
    "images/a_b/1.png",
    "images/A_b/0-2.png",
    "images/A_b/1-2.png",
  ]);
  const [first, second] = report.images;
  assertEquals([first!.source, first!.label, first!.class, first!.prompt], [
    null,
    -1,
    "grass",
    "grass",
  ]);
  assertEquals([first!.energy.before, first!.energy.after.length, first!.crossed], [null, 1, null]);
  assertNotEquals(first!.seed, second!.seed);
  assertEquals(report.boundary, null);
  const { manifest } = await readSyntheticImages(`${shop.path}/labels`);
  assertEquals(manifest.mode, "labels");
  // Nothing of a source is left at full strength, so the noise alone decides.
  assertNotEquals(
    await pixelsOf(shop, "labels", first!.synthetic),
    await pixelsOf(shop, "labels", second!.synthetic),
  );
  await assertRejects(
    () => make(shop, "filtered", { work, settings: { filter: "energy", boundary: undefined } }),
    UserError,
    "there are no source images that a boundary could be taken from",
  );
});

Deno.test("synthesise() halves batches that do not fit in memory and says so once", async () => {
  await using shop = await workshop();
  const whole = await make(shop, "whole", { batch: 4 });
  const warnings: string[] = [];
  const sizes: number[] = [];
  const report = await make(shop, "halved", {
    batch: 4,
    onWarning: (text) => warnings.push(text),
    spoil: (diffusion) => {
      const denoise = diffusion.denoise.bind(diffusion);
      diffusion.denoise = (denoising) => {
        const count = denoising.latents.length / 16;
        sizes.push(count);
        if (count <= 1) return denoise(denoising);
        throw new OutOfMemoryError("latents", { requestedBytes: 2, limitBytes: 1 });
      };
    },
  });
  assertEquals(sizes.filter((size) => size > 1), [4, 2]);
  assertEquals(warnings, ["4 images at a time did not fit into memory: going on with 1"]);
  assertEquals(report.batch, 1);
  report.images.forEach(({ energy, source }, i) => {
    assertEquals(source, whole.images[i]!.source);
    assertClose(energy.after, whole.images[i]!.energy.after, TOLERANCE.provider);
  });
});

Deno.test("synthesise() passes over sources that cannot be read, and counts them", async () => {
  await using shop = await workshop();
  await Deno.writeTextFile(`${shop.path}/images/cat/1.png`, "no image");
  const { counts, skipped, images } = await make(shop, "out");
  assertEquals([counts.images, counts.unreadable, counts.withoutElements], [3, 1, 1]);
  assertEquals(skipped, [{ name: "cat/1.png", reason: "it is text, not an image" }]);
  assertEquals(images.map(({ source }) => source), ["cat/0.png", "cat/2.png", "dog/4.png"]);
  await assertRejects(() => make(shop, "strict", { strict: true }), UserError, "it is text");
});

Deno.test("synthesise() takes images of any size", async () => {
  await using shop = await workshop();
  await Deno.writeFile(`${shop.path}/images/cat/1.png`, await encodeRgbPng(makeImage(40, 23)));
  const { images } = await make(shop, "out");
  assertEquals(images.length, 4);
  assertEquals((await pixelsOf(shop, "out", images[1]!.synthetic)).length, 3 * SIDE * SIDE);
});

gpuTest("synthesise() gives the same with gradients on the GPU", async ({ gpu }) => {
  await using shop = await workshop();
  const onHost = await make(shop, "host", { batch: 3 });
  const onGpu = await make(shop, "gpu", { batch: 3, ctx: gpu });
  onGpu.images.forEach(({ energy, loss }, i) => {
    assertClose(energy.after, onHost.images[i]!.energy.after, TOLERANCE.provider);
    assertClose(loss, onHost.images[i]!.loss, TOLERANCE.provider);
  });
});

Deno.test("synthesise() refuses a folder of another run", async () => {
  await using shop = await workshop();
  await assertRejects(
    () => make(shop, "out", { resume: true }),
    UserError,
    "there is no run to go on with",
  );
  await make(shop, "out");
  const refused: readonly [Departure, string][] = [
    [{}, "it holds a complete run; choose another folder"],
    [{ resume: true, settings: { rate: 3 } }, "it holds a run with rate 0.5 and not 3"],
    [{ resume: true, hashes: { unet: "x" } }, "another unet model"],
    [
      { resume: true, work: { ...shop.work, items: shop.work.items.slice(1) } },
      "other images or prompts",
    ],
    [{ resume: true, work: labelWork(["grass"]) }, "the mode source and not labels"],
  ];
  for (const [departure, message] of refused) {
    await assertRejects(() => make(shop, "out", departure), UserError, message);
  }
  await Deno.writeTextFile(`${shop.path}/out/manifest.json`, "{}");
  await assertRejects(
    () => make(shop, "out", { resume: true }),
    UserError,
    "it is not written by ood synood generate",
  );
  await Deno.writeTextFile(`${shop.path}/file`, "");
  await assertRejects(() => make(shop, "file"), UserError, "file");
});

Deno.test("synthesise() refuses what makes no sense, before it writes anything", async () => {
  await using shop = await workshop();
  const refused: readonly [Departure, string][] = [
    [{ settings: { strength: 0 } }, "the strength must be above 0 and at most 1"],
    [{ settings: { iterations: -1 } }, "the number of iterations must be a whole number from 0"],
    [{ settings: { rate: NaN } }, "the rate must be 0 or more: it is NaN"],
    [{ settings: { loss: "literal" as "paper" } }, 'Cannot use the loss "literal"'],
    [{ settings: { count: "papr" as "paper" } }, 'did you mean "paper"'],
    [{ settings: { boundary: NaN } }, "the boundary must be a number"],
    [{ settings: { steps: 2000 } }, "Cannot sample in 2000 steps"],
    [{ batch: 0 }, "Cannot make 0 images at a time"],
    [{ work: { items: [], withoutElements: [] } as WorkList }, "Cannot make 0 images"],
  ];
  for (const [departure, message] of refused) {
    const work = departure.work?.items.length === 0 ? { images: shop.images } : {};
    await assertRejects(
      () =>
        departure.work === undefined
          ? make(shop, "out", departure)
          : synthesiseNothing(shop, { ...departure, ...work }),
      UserError,
      message,
    );
  }
});

/** A run without work, which `make` cannot begin. */
async function synthesiseNothing(shop: Workshop, departure: Departure): Promise<SynthesisReport> {
  await using diffusion = await openDiffusion(`${shop.path}/diffusion`, { device: "wasm" });
  using host = new Host();
  const model = classifier({ side: SIDE });
  return await synthesise({
    diffusion,
    hashes: {},
    classifier: { model, inspection: inspect(model), hash: "" },
    ctx: host,
    work: departure.work!,
    images: shop.images,
    out: `${shop.path}/nothing`,
    settings: SETTINGS,
  });
}

Deno.test("synthesise() names the image at which a model gives no numbers", async () => {
  await using shop = await workshop();
  const b = new GraphBuilder({ name: "dividing" });
  const image = b.input("image", ["N", 3, SIDE, SIDE]);
  const rows = b.node("Flatten", [b.node("GlobalAveragePool", [image])]);
  const weight = b.constant(new Float32Array(9).fill(NaN), { shape: [3, 3], name: "fc" });
  b.output("logits", b.node("Gemm", [rows, weight], { attributes: { transB: 1n } }));
  await assertRejects(
    () => make(shop, "out", { recognition: b.build() }),
    UserError,
    'Cannot use "dividing": it gives an energy of NaN for "cat/0.png"',
  );
  await using broken = await workshop({ offset: Infinity });
  await assertRejects(() => make(broken, "out"), UserError, "among its latents");
});
