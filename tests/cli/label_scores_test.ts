import { assertEquals, assertStringIncludes } from "@std/assert";
import { encodeSafetensors } from "../../data/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { formatTextLabels, saveLabelSet } from "../../methods/mod.ts";
import { readModel } from "../../onnx/mod.ts";
import { writeClip } from "../_support/clip.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  assertRefused,
  featureArrays,
  ood,
  succeed,
  type Workshop,
  workshop,
  writeFeatureFile,
  writeImages,
} from "./_workshop.ts";

const HERE = ["--device", "reference"];
const WIDTH = 16;
const NAMES = {
  ids: ["cat", "dog"],
  negatives: ["teapot", "sky", "rusty"],
  kinds: ["noun", "noun", "adjective"],
  mining: "neg_label",
} as const;

/** Text features along axes, and images near those of some labels. */
async function writeLabelFeatures(
  path: string,
  images: { near: readonly number[]; seed: number },
): Promise<void> {
  const labels = NAMES.ids.length + NAMES.negatives.length;
  const text = new Float32Array(labels * WIDTH);
  for (let label = 0; label < labels; label++) text[label * WIDTH + label] = 1;
  const rng = new Rng(images.seed);
  const count = 20;
  const embed = Float32Array.from({ length: count * WIDTH }, () => 0.1 * rng.normal());
  for (let n = 0; n < count; n++) embed[n * WIDTH + images.near[n % images.near.length]!]! += 1;
  const bytes = encodeSafetensors({
    "image_embed": { data: embed, shape: [count, WIDTH] },
    "text_embed": { data: text, shape: [labels, WIDTH] },
    "logit_scale": { data: new Float32Array([50]), shape: [1] },
  }, formatTextLabels(NAMES));
  await Deno.writeFile(path, bytes);
}

async function labelled(): Promise<Workshop> {
  const shop = await workshop();
  await writeLabelFeatures(shop.file("train.st"), { near: [0, 1], seed: 1 });
  await writeLabelFeatures(shop.file("id.st"), { near: [0, 1], seed: 2 });
  await writeLabelFeatures(shop.file("other.st"), { near: [2, 3, 4], seed: 3 });
  return shop;
}

const setsOf = ({ file }: Workshop) => [
  ...["--train", file("train.st"), "--id", file("id.st"), "--ood", `other=${file("other.st")}`],
];

Deno.test("ood eval and ood fit take the scores on labels", async () => {
  await using shop = await labelled();
  const { file } = shop;
  const table = await succeed(
    ...["eval", ...setsOf(shop), "--methods", "mcm,neg_label", "--param", "neg_label.groups=2"],
    ...["--bootstrap", "20", "--json", "-", ...HERE],
  );
  const { manifest, results } = JSON.parse(table.out);
  assertEquals(manifest.parameters, {
    mcm: { tau: 1 },
    "neg_label": { groups: 2, tau: 1 / 50 },
  });
  assertStringIncludes(JSON.stringify(results), "neg_label");
  const refused = await ood("eval", ...setsOf(shop), "--methods", "csp", ...HERE);
  assertRefused(refused, { code: 1, message: "were found as NegLabel finds them" });

  const detector = ["--detector", file("d.st")];
  await succeed(
    ...["fit", "--method", "neg_label", "--train", file("train.st"), "--id", file("id.st")],
    ...["--out", file("d.st"), ...HERE],
  );
  const judged = await succeed(
    ...["score", ...detector, "--features", file("other.st"), "--json", ...HERE],
  );
  const { verdicts }: { verdicts: { isInDistribution: boolean; reason: string }[] } = JSON.parse(
    judged.out,
  );
  assertEquals(verdicts.map(({ isInDistribution }) => isInDistribution), Array(20).fill(false));
  assertStringIncludes(verdicts[0]!.reason, "share of the known labels");
  await succeed("export", ...detector, "--out", file("d.onnx"));
});

Deno.test("ood eval says why a classifier's features have no scores on labels", async () => {
  await using shop = await workshop();
  const { file } = shop;
  for (const [i, name] of ["train", "id", "other"].entries()) {
    await writeFeatureFile(file(`${name}.st`), featureArrays(20, { seed: i }));
  }
  const says = `"${file("id.st")}" has no "image_embed" (a vision-language model gives them: ood ` +
    "synood features); it has";
  const named = await ood("eval", ...setsOf(shop), "--methods", "mcm", ...HERE);
  assertRefused(named, { code: 1, message: says });
  const all = await succeed("eval", ...setsOf(shop), "--bootstrap", "20", ...HERE);
  for (const name of ["mcm", "neg_label", "csp"]) {
    assertStringIncludes(all.notes, `Left out ${name}: Cannot score with "${name}": ${says}`);
  }
});

Deno.test("a detector of labels judges images by their encoder, and is joined to it", async () => {
  await using shop = await workshop();
  const { file } = shop;
  const width = 24;
  await writeClip(file("clip"), { vocabulary: 600, length: 12, side: 32, embed: width });
  const rng = new Rng(4);
  const text = Float32Array.from({ length: 5 * width }, () => rng.normal());
  for (let start = 0; start < text.length; start += width) {
    const row = text.subarray(start, start + width);
    const length = Math.hypot(...row);
    row.forEach((value, i) => row[i] = value / length);
  }
  const set = { ...NAMES, text, width, logitScale: 10, model: "" };
  await saveLabelSet(file("labels.st"), set);
  await writeImages(file("images"), 9);
  await succeed(
    ...["synood", "features", "--model", file("clip"), "--images", file("images")],
    ...["--text", file("labels.st"), "--labels", "none", "--out", file("f.st")],
    ...["--device", "wasm"],
  );
  await succeed(
    ...["fit", "--method", "neg_label", "--train", file("f.st"), "--id", file("f.st")],
    ...["--out", file("d.st"), ...HERE],
  );
  const scores = async (...of: string[]) => {
    const { out } = await succeed("score", "--detector", file("d.st"), "--json", ...of);
    const { verdicts }: { verdicts: { score: number }[] } = JSON.parse(out);
    return verdicts.map(({ score }) => score);
  };
  const expected = await scores("--features", file("f.st"), ...HERE);
  const encoder = ["--model", file("clip/vision_model.onnx")];
  const images = ["--images", file("images"), "--device", "wasm"];
  assertClose(await scores(...encoder, ...images), expected, TOLERANCE.provider);
  await succeed("export", "--detector", file("d.st"), ...encoder, "--out", file("joined.onnx"));
  const { graph } = await readModel(file("joined.onnx"));
  assertEquals(graph.outputs.map(({ name }) => name), ["score"]);
});
