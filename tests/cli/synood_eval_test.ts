import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { PROJECTION_ARRAYS } from "../../methods/synood/model.ts";
import { saveLabelSet, saveProjection } from "../../methods/mod.ts";
import {
  axisLabels,
  expectedFigures,
  type Image,
  mcmOf,
  shareOf,
  testOptions,
  TESTS,
  turned,
  WIDTH,
  withTests,
  writeRows,
} from "./_angles.ts";
import {
  assertRefused,
  featureArrays,
  listFiles,
  ood,
  succeed,
  type Workshop,
  writeFeatureFile,
} from "./_workshop.ts";

const DEVICE = ["--device", "reference"] as const;
/** Added to images of length one by the projection of these tests. */
const BEHIND = [0, 0, 0, 0.7, 0, 0, 0, 0.2] as const;

/** A projection that adds the same to every image. */
async function writeProjection(path: string): Promise<void> {
  const filled = ([name, rank]: [string, number]) =>
    [name, new Float32Array(rank === 2 ? WIDTH * WIDTH : WIDTH)] as const;
  const parameters = new Map(Object.entries(PROJECTION_ARRAYS).map(filled));
  parameters.get("norm.weight")!.fill(1);
  parameters.get("norm.bias")!.set(BEHIND);
  await saveProjection(path, { width: WIDTH, images: "unit", epsilon: 1e-5, parameters });
}

/** What that projection makes of an image. */
function projected({ row, label }: Image): Image {
  const length = Math.hypot(...row);
  return { row: row.map((value, i) => value / length + BEHIND[i]!), label };
}

async function fit({ file }: Workshop, out: string, ...more: readonly string[]): Promise<void> {
  const argv = ["synood", "fit", "--labels", file("labels.st"), "--out", file(out), ...more];
  await succeed(...argv);
}

/** Figures of a run's JSON by method, then by set. */
function figuresOf(json: string): Record<string, Record<string, { auroc: number; fpr95: number }>> {
  const figures: ReturnType<typeof figuresOf> = {};
  for (const { method, ood, auroc, fpr95 } of JSON.parse(json).results) {
    (figures[method] ??= {})[ood] = { auroc, fpr95 };
  }
  return figures;
}

function assertFigures(
  actual: Record<string, { auroc: number; fpr95: number }>,
  expected: Record<string, { auroc: number; fpr95: number }>,
  what: string,
): void {
  assertEquals(Object.keys(actual), Object.keys(expected), what);
  for (const [set, { auroc, fpr95 }] of Object.entries(expected)) {
    assertAlmostEquals(actual[set]!.auroc, auroc, 1e-9, `${what}, AUROC on ${set}`);
    assertAlmostEquals(actual[set]!.fpr95, fpr95, 1e-9, `${what}, FPR95 on ${set}`);
  }
}

Deno.test("ood synood eval gives the figures that MCM, NegLabel and a projection have by hand", async () => {
  await using shop = await withTests();
  const { file } = shop;
  await writeProjection(file("p.st"));
  await fit(shop, "plain.safetensors");
  await fit(shop, "projected.safetensors", "--projection", file("p.st"));
  const evaluated = ["synood", "eval", "--labels", file("labels.st"), ...testOptions(shop)];
  const { out, notes } = await succeed(
    ...[...evaluated, "--detector", file("plain.safetensors"), ...DEVICE],
    ...["--detector", `behind=${file("projected.safetensors")}`, "--bootstrap", "0"],
    ...["--json", file("r.json"), "--html", file("r.html")],
  );
  const each = (image: Image) => shareOf(image, { groups: "each" });
  const expected = {
    mcm: expectedFigures(mcmOf),
    "neg_label": expectedFigures(each),
    plain: expectedFigures(each),
    behind: expectedFigures((image) => each(projected(image))),
  };
  // What sets the scores apart: sets of known overlap, one that is far, and one that only MCM finds.
  const overlap = expected.mcm["near"]!.auroc;
  assert(overlap > 0.8 && overlap < 0.95);
  assertEquals(expected["neg_label"]["near"], expected.mcm["near"]);
  assertEquals(expected.mcm["far"], { auroc: 1, fpr95: 0 });
  assertEquals(expected.mcm["mixed"], { auroc: 1, fpr95: 0 });
  assert(expected["neg_label"]["mixed"]!.auroc < 0.5);
  assert(expected.behind["near"]!.auroc !== overlap);
  const json = await Deno.readTextFile(file("r.json"));
  const actual = figuresOf(json);
  assertEquals(Object.keys(actual), Object.keys(expected));
  for (const [method, figures] of Object.entries(expected)) {
    assertFigures(actual[method]!, figures, method);
  }
  const { manifest } = JSON.parse(json);
  assertEquals(manifest.detectors, [
    file("plain.safetensors"),
    `behind=${file("projected.safetensors")}`,
  ]);
  assertEquals([manifest.labels, manifest.device], [file("labels.st"), "reference"]);
  assertEquals(manifest.parameters.mcm, { tau: 1 });
  assertEquals([manifest.parameters.behind.groups, manifest.parameters.behind.tau], [4, 0.1]);
  assertEquals(
    Object.entries(manifest.sets as Record<string, { count: number; model: string }>)
      .map(([name, { count, model }]) => [name, count, model]),
    Object.entries(TESTS).map(([name, images]) => [name, images.length, "images"]),
  );
  for (const name of ["mcm", "neg_label", "plain", "behind", "near", "mixed"]) {
    assertStringIncludes(out, name);
  }
  const page = await Deno.readTextFile(file("r.html"));
  for (const title of ["MCM", "SynOOD, neg_label", "SynOOD, behind", "Li et al. 2025, ICCV"]) {
    assertStringIncludes(page, title);
  }
  assertStringIncludes(notes, `Wrote ${file("r.json")}`);
  assertStringIncludes(notes, `Wrote ${file("r.html")}`);
});

Deno.test("ood synood eval groups negative labels as it is asked to, and calls CSP by its name", async () => {
  await using shop = await withTests();
  const { file } = shop;
  await saveLabelSet(file("csp.st"), axisLabels({ mining: "csp" }));
  await saveLabelSet(file("alone.st"), axisLabels({ negatives: [] }));
  const evaluate = async (labels: string, ...more: readonly string[]) => {
    const argv = ["synood", "eval", "--labels", file(labels), ...testOptions(shop), ...DEVICE];
    const { out } = await succeed(...argv, "--bootstrap", "0", "--json", "-", ...more);
    return figuresOf(out);
  };
  const together = await evaluate("csp.st", "--groups", "1");
  assertEquals(Object.keys(together), ["mcm", "csp"]);
  const expected = expectedFigures((image) => shareOf(image, { groups: "one" }));
  assertFigures(together["csp"]!, expected, "one group");
  assertEquals(Object.keys(await evaluate("alone.st")), ["mcm"]);
});

Deno.test("ood synood eval calls the only detector after its method", async () => {
  await using shop = await withTests();
  const { file } = shop;
  await fit(shop, "plain.safetensors");
  const argv = ["synood", "eval", "--detector", file("plain.safetensors"), ...testOptions(shop)];
  const { out } = await succeed(...argv, ...DEVICE, "--bootstrap", "20", "--json", "-");
  const figures = figuresOf(out);
  assertEquals(Object.keys(figures), ["synood"]);
  assertEquals(figures["synood"]!["far"], { auroc: 1, fpr95: 0 });
  assertEquals(JSON.parse(out).results[0].ci.auroc.length, 2);
});

/** Files that `ood synood eval` cannot use. */
async function writeOthers(shop: Workshop): Promise<void> {
  const { file } = shop;
  const images = turned(6, (n) => 10 * n);
  await writeRows(file("other.st"), images, { metadata: { "text_model": "other-texts" } });
  await writeRows(file("encoder.st"), images, { metadata: { "model_hash": "other-images" } });
  await writeRows(file("narrow.st"), images, { width: 6 });
  await writeRows(file("features.st"), images, { key: "features" });
  await writeRows(file("nan.st"), [{ row: new Array(WIDTH).fill(NaN), label: -1 }]);
  await Deno.writeFile(file("damaged.st"), new Uint8Array(12));
  await saveLabelSet(file("other-labels.st"), axisLabels({ model: "other-texts" }));
  await writeFeatureFile(file("logits.st"), featureArrays(30));
  await succeed(
    ...["fit", "--method", "energy", "--train", file("logits.st"), "--id", file("logits.st")],
    ...["--out", file("energy.st"), ...DEVICE],
  );
}

Deno.test("ood synood eval refuses what does not fit, in one sentence", async () => {
  await using shop = await withTests();
  const { file } = shop;
  await writeOthers(shop);
  await fit(shop, "d.st");
  await fit(shop, "images.st", "--features", file("encoder.st"));
  const sets = testOptions(shop);
  const labels = ["--labels", file("labels.st")];
  const detector = ["--detector", file("d.st")];
  /** Options with another file for a set. */
  const with_ = (set: "id" | "far", other: string) => [
    ...sets.map((option) => option.replace(file(`${set}.st`), file(`${other}.st`))),
  ];
  const before = listFiles(shop.path);
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [sets, 2, "The option --detector FILE is required"],
    [[...labels, "--id", file("id.st")], 2, "The option --ood NAME=FILE is required"],
    [
      [...labels, ...sets, "--ood", `id=${file("far.st")}`],
      2,
      'The option --ood must not name a set "id": that is the in-distribution set',
    ],
    [[...labels, ...sets, "--ood", `far=${file("far.st")}`], 2, '--ood names "far" twice'],
    [[...labels, ...sets, "--bootstrap", "-1"], 2, "--bootstrap must be a whole number from 0"],
    [[...labels, ...sets, "--seed", "x"], 2, "--seed must be a whole number"],
    [[...labels, ...sets, "--convention", "mine"], 2, "--convention must be one of default"],
    [[...labels, ...sets, "--groups", "0"], 2, "--groups must be a whole number from 1"],
    [[...detector, ...sets, "--groups", "5"], 2, "The option --groups needs --labels"],
    [[...detector, ...detector, ...sets], 2, 'names two scores "d.st": give another name'],
    [
      [...labels, "--detector", `mcm=${file("d.st")}`, ...sets],
      2,
      'names two scores "mcm": give another name, as in NAME=FILE',
    ],
    [[...labels, "--detector", "ours=", ...sets], 2, "--detector must be FILE or NAME=FILE"],
    [["--detector", file("none.st"), ...sets], 1, 'none.st": there is no such file'],
    [["--detector", file("labels.st"), ...sets], 1, "labels.st"],
    [["--detector", file("energy.st"), ...sets], 1, 'it is a detector of "energy", and one of'],
    [["--labels", file("id.st"), ...sets], 1, 'it has no "text_embed"; "ood synood labels" makes'],
    [["--labels", file("damaged.st"), ...sets], 1, "damaged.st"],
    [[...labels, ...with_("far", "none")], 1, 'none.st": there is no such file'],
    [[...labels, ...with_("far", "other")], 1, "it goes with the text encoder other-texts"],
    [[...detector, ...with_("far", "other")], 1, "it goes with the text encoder other-texts"],
    [["--labels", file("other-labels.st"), ...sets], 1, "the labels were made by other-texts"],
    [[...labels, ...with_("far", "encoder")], 1, "they were extracted with different models"],
    [["--detector", file("images.st"), ...sets], 1, "the detector was fitted to those of"],
    [[...labels, ...with_("far", "narrow")], 1, 'narrow.st" has 6 columns and the fit had 8'],
    [[...detector, ...with_("id", "narrow")], 1, 'narrow.st" has 6 columns and the fit had 8'],
    [[...labels, ...with_("far", "features")], 1, 'has no "image_embed" (a vision-language model'],
    [[...labels, ...with_("far", "nan")], 1, '"image_embed" has a NaN in row 0'],
    [[...labels, ...sets, "--html", file("no/r.html")], 1, `there is no folder "${file("no")}"`],
  ];
  for (const [argv, code, message] of cases) {
    const run = await ood("synood", "eval", ...argv, ...DEVICE, "--json", file("r.json"));
    assertRefused(run, { code, message });
    assertEquals(listFiles(shop.path), before, argv.join(" "));
  }
});
