import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { type ImageSet, openImages } from "../../data/mod.ts";
import {
  denoisingsOf,
  diffusionHashes,
  labelWork,
  openDiffusion,
  readSyntheticImages,
  sourceWork,
  SYNTHESIS_DEFAULTS,
  synthesise,
  type SynthesisOptions,
  type SynthesisSettings,
} from "../../methods/mod.ts";
import { inspect } from "../../onnx/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { classifier, type DiffusionOptions, writeDiffusion } from "../_support/diffusion.ts";
import { gpuTest } from "../_support/gpu.ts";
import { encodeRgbPng, makeImage, temporaryFolder, writeTree } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SIDE = 16;
const SMALL: DiffusionOptions = {};
const SETTINGS: SynthesisSettings = {
  ...SYNTHESIS_DEFAULTS,
  steps: 5,
  rate: 2,
  guidance: 3,
  seed: 7,
};

/** A diffusion model, five images of two classes, and what they show. */
async function workshop(folder: string, model: DiffusionOptions = SMALL) {
  await writeDiffusion(`${folder}/diffusion`, model);
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < 5; i++) {
    const image = makeImage(SIDE, SIDE, (x, y, c) => 40 * i + 9 * x + 3 * y * i + 60 * c);
    files[`images/${i < 3 ? "cat" : "dog"}/${i}.png`] = await encodeRgbPng(image);
  }
  await writeTree(folder, files);
  const images = await openImages(`${folder}/images`);
  const contexts = {
    images: Object.fromEntries(
      images.names.map((name, i) => [name, i === 3 ? [] : ["grass", `${i}`]]),
    ),
  };
  return { folder, images, work: sourceWork(images, contexts) };
}

/** Makes images in a folder of the workshop. */
async function make(
  { folder, images, work }: Awaited<ReturnType<typeof workshop>>,
  options: Partial<SynthesisOptions> & { readonly out: string },
) {
  await using diffusion = await openDiffusion(`${folder}/diffusion`, { device: "wasm" });
  using host = new Host();
  const model = classifier();
  return await synthesise({
    diffusion,
    hashes: await diffusionHashes(diffusion.info),
    classifier: { model, inspection: inspect(model), hash: "c" },
    ctx: host,
    work,
    images,
    settings: SETTINGS,
    batch: 2,
    ...options,
    out: `${folder}/${options.out}`,
  });
}

/** All files of a folder, by path. */
async function filesOf(folder: string, below = ""): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { name, isFile } of Deno.readDir(`${folder}/${below}`)) {
    const path = `${below}${name}`;
    if (!isFile) Object.assign(files, await filesOf(folder, `${path}/`));
    else files[path] = [...await Deno.readFile(`${folder}/${path}`)].join();
  }
  return files;
}

Deno.test("synthesise() writes images, what is known of each, a manifest and a contact sheet", async () => {
  await using folder = await temporaryFolder();
  const shop = await workshop(folder.path);
  const stages: string[] = [];
  const report = await make(shop, {
    out: "out",
    onProgress: (stage, done, total) => stages.push(`${stage} ${done}/${total}`),
  });
  const { images, manifest } = await readSyntheticImages(`${folder.path}/out`);
  console.log(JSON.stringify(images[0]), report.counts, report.boundary, report.seconds, stages);
  assertEquals(images, report.images);
  assert(manifest.complete);
});
