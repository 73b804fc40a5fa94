import { assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { saveLabelSet, SYNTHESIS_DEFAULTS, type SyntheticImage } from "../../methods/mod.ts";
import { SyntheticStore } from "../../methods/synood/synthetic_images.ts";
import { encodeRgbPng, makeImage } from "../_support/images.ts";
import {
  axisLabels,
  between,
  expectedFigures,
  type Image,
  mcmOf,
  shareOf,
  testOptions,
  turned,
  withTests,
  writeRows,
} from "./_angles.ts";
import { assertRefused, listFiles, ood, succeed, type Workshop } from "./_workshop.ts";

const PAIRS = 24;
const DEVICE = ["--device", "reference"] as const;
const SMALL = ["--batch", "8", "--epochs", "2", "--tune-epochs", "2", "--seed", "5"] as const;

/** Images halfway between a class and a negative label: all are the first one but for two. */
const HALFWAY: readonly Image[] = Array.from(
  { length: PAIRS },
  (_, n) => between([n % 2, n === 0 ? 4 : n === 4 ? 3 : 2], 46 + n % 7),
);

/** A folder with labels, test sets, pairs, and images of negative labels. */
async function prepared(): Promise<Workshop> {
  const shop = await withTests();
  await writeRows(shop.file("train.st"), turned(PAIRS, (n) => 4 + n));
  await writeRows(shop.file("syn.st"), HALFWAY);
  await writeRows(shop.file("neg.st"), turned(16, (n) => 70 + n, { known: false }));
  return shop;
}

/** Options that name all files of a folder. */
function files(shop: Workshop): string[] {
  const { file } = shop;
  return [
    ...["--labels", file("labels.st"), "--train", file("train.st")],
    ...["--synthetic", file("syn.st"), ...testOptions(shop), ...SMALL, ...DEVICE],
  ];
}

/** A run of the synthesis that kept some of its images. */
async function writeSynthesis(
  folder: string,
  { complete = true, energies = true }: {
    readonly complete?: boolean;
    readonly energies?: boolean;
  } = {},
): Promise<void> {
  const images = Array.from({ length: 5 }, (_, n): SyntheticImage => ({
    source: energies ? `cat/${n}.png` : null,
    synthetic: `images/cat/${n}.png`,
    label: 0,
    class: "cat",
    elements: ["sofa"],
    prompt: "sofa",
    seed: n,
    loss: [1],
    energy: { before: energies ? 9 - n : null, after: [5, 3 - n] },
    msp: { before: energies ? 0.9 : null, after: [0.5, 0.3] },
    crossed: energies ? n > 1 : null,
    kept: n > 0,
  }));
  await Deno.mkdir(folder);
  const store = new SyntheticStore(folder);
  await store.append(complete ? images : images.slice(0, 3));
  const done = complete ? 5 : 3;
  await store.writeManifest({
    mode: energies ? "source" : "labels",
    settings: SYNTHESIS_DEFAULTS,
    models: {},
    work: "",
    boundary: energies ? { energy: 1.5, msp: 0.4 } : null,
    counts: { images: 5, done, kept: done - 1, crossed: 3, withoutElements: 0, unreadable: 0 },
    skipped: [],
    complete,
  });
  await Deno.writeFile(`${folder}/contact.png`, await encodeRgbPng(makeImage(4, 4)));
}

/** Figures by choice, then by set. */
type Figures = Record<string, Record<string, { auroc: number; fpr95: number }>>;

/** Everything of one seed, as JSON has it. */
interface Seed {
  readonly seed: number;
  readonly parts: Figures;
  readonly strategies: Figures;
  readonly tuned: Figures;
  readonly untuned: Figures;
  readonly used: Record<string, number>;
}

const FULL = "Both, near-boundary";
const PROJECTED = "Projection, near-boundary";

Deno.test("ood synood ablate has every row, its seeds, and a report with pairs and energies", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await writeSynthesis(file("synthetic"));
  const { out, notes } = await succeed(
    ...["synood", "ablate", ...files(shop), "--neg-images", file("neg.st"), "--seeds", "2"],
    ...["--amounts", "8, 16", "--synthesis", file("synthetic"), "--rate", "0.05"],
    ...["--epochs", "10", "--tune-rate", "0.5"],
    ...["--json", file("a.json"), "--html", file("a.html")],
  );
  const { record, seeds }: {
    record: { plan: Record<string, unknown>; sources: Record<string, string>; ood: string[] };
    seeds: Seed[];
  } = JSON.parse(await Deno.readTextFile(file("a.json")));
  const { amounts, seeds: count, projection } = record.plan;
  assertEquals([amounts, count], [[8, 16, 24], 2]);
  assertEquals((projection as { batch: number }).batch, 8);
  assertEquals(record.sources["neg-images"], file("neg.st"));
  assertEquals(record.ood.length, 3);
  assertEquals(seeds.map(({ seed }) => seed), [5, 6]);
  const untrained = {
    MCM: expectedFigures(mcmOf),
    NegLabel: expectedFigures((image) => shareOf(image, { groups: "each" })),
  };
  for (const { parts, strategies, tuned, untuned, used } of seeds) {
    assertEquals(Object.keys(parts), [
      ...["MCM", "NegLabel", "Projection, label images", PROJECTED],
      ...["Both, label images", FULL],
    ]);
    for (const [row, sets] of Object.entries(untrained)) {
      for (const [set, { auroc, fpr95 }] of Object.entries(sets)) {
        assertAlmostEquals(parts[row]![set]!.auroc, auroc, 1e-9, `${row} on ${set}`);
        assertAlmostEquals(parts[row]![set]!.fpr95, fpr95, 1e-9, `${row} on ${set}`);
      }
    }
    assertEquals(Object.keys(strategies), [
      ...["Joint", "Separate, behind projection", "Separate"],
    ]);
    assertEquals([Object.keys(tuned), Object.keys(untuned)], [
      ["8", "16", "24"],
      ["8", "16", "24"],
    ]);
    assertEquals([strategies["Separate"], tuned["24"]], [parts[FULL], parts[FULL]]);
    assertEquals(untuned["24"], parts[PROJECTED]);
    assertEquals(parts[FULL]!["far"], { auroc: 1, fpr95: 0 });
    // Every third image from the second on, then two of three, then all.
    assertEquals(used, { "8": 2, "16": 2, "24": 3 });
  }
  const rows = [FULL, PROJECTED, "NegLabel"].map((row) => seeds.map(({ parts }) => parts[row]));
  assertEquals(new Set(rows.map((row) => JSON.stringify(row))).size, 3);
  const page = await Deno.readTextFile(file("a.html"));
  for (
    const text of [
      ...["What each part adds", "What each part adds: mixed", "Order of the trainings", FULL],
      ...["Number of near-boundary images, labels tuned", "Used labels", "3 of 4, 75.0 %"],
      ...["Energy of the classifier", "75.0 % fell below the boundary of 1.50.", "near-boundary"],
      ...["<h2>Pairs</h2>", '<img src="data:image/png;base64,iVBOR', "2 known, 4 negative"],
    ]
  ) {
    assertStringIncludes(page, text);
  }
  assertEquals(/https?:\/\/(?!www\.w3\.org)/.test(page.replaceAll(/<a [^>]*>/g, "")), false);
  for (const text of ["MCM", FULL, "Joint", "Neg image", "±"]) assertStringIncludes(out, text);
  assertStringIncludes(notes, `Wrote ${file("a.html")}`);
});

Deno.test("the rows of ood synood ablate are what the commands of the trainings give", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const { out } = await succeed("synood", "ablate", ...files(shop), "--json", "-");
  const [seed]: Seed[] = JSON.parse(out).seeds;
  // An eighth and a quarter of the images are fewer than a batch takes.
  assertEquals(Object.keys(seed!.tuned), ["12", "24"]);
  assertEquals(Object.keys(seed!.parts), ["MCM", "NegLabel", PROJECTED, FULL]);
  const [labels, synthetic] = [["--labels", file("labels.st")], ["--synthetic", file("syn.st")]];
  const pairs = [...labels, ...synthetic, "--batch", "8", "--seed", "5", ...DEVICE];
  const id = ["--id", file("train.st")];
  const tune = ["synood", "tune-labels", ...pairs];
  const behind = ["--strategy", "separate-with-projection", "--projection", file("p.st")];
  const joint = ["--strategy", "joint", ...id, "--out-projection", file("joint-p.st")];
  await succeed("synood", "project", ...pairs, ...id, "--epochs", "2", "--out", file("p.st"));
  await succeed(...tune, "--tune-epochs", "2", "--out", file("tuned.st"));
  await succeed(...tune, ...behind, "--tune-epochs", "2", "--out", file("behind.st"));
  await succeed(...tune, ...joint, "--epochs", "2", "--out", file("joint.st"));
  const ways = {
    projected: ["labels.st", "p.st", seed!.parts[PROJECTED]],
    full: ["tuned.st", "p.st", seed!.parts[FULL]],
    behind: ["behind.st", "p.st", seed!.strategies["Separate, behind projection"]],
    joint: ["joint.st", "joint-p.st", seed!.strategies["Joint"]],
  } as const;
  const detectors: string[] = [];
  for (const [name, [tuned, projection]] of Object.entries(ways)) {
    const detector = file(`detector-${name}.st`);
    await succeed(
      ...["synood", "fit", "--labels", file(tuned), "--projection", file(projection)],
      ...["--out", detector],
    );
    detectors.push("--detector", `${name}=${detector}`);
  }
  const evaluated = await succeed(
    ...["synood", "eval", ...detectors, ...testOptions(shop), "--bootstrap", "0", "--json", "-"],
    ...DEVICE,
  );
  const results: { method: string; ood: string; auroc: number; fpr95: number }[] =
    JSON.parse(evaluated.out).results;
  for (const [name, [, , figures]] of Object.entries(ways)) {
    const found = results.filter(({ method }) => method === name)
      .map(({ ood, auroc, fpr95 }) => [ood, { auroc, fpr95 }]);
    assertEquals(Object.fromEntries(found), figures, name);
  }
});

Deno.test("a report of ood synood ablate shows what there is of the synthesis", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await writeSynthesis(file("labels"), { energies: false });
  const argv = ["synood", "ablate", ...files(shop), "--amounts", "24", "--epochs", "1"];
  await succeed(...argv, "--synthesis", file("labels"), "--html", file("a.html"));
  const page = await Deno.readTextFile(file("a.html"));
  assertStringIncludes(page, "<h2>Pairs</h2>");
  assertEquals(page.includes("Energy of the classifier"), false);
});

/** Files that `ood synood ablate` cannot use. */
async function writeOthers({ file }: Workshop): Promise<void> {
  const images = turned(PAIRS, (n) => n);
  await writeRows(file("few.st"), images.slice(0, 12));
  await writeRows(file("four.st"), images.slice(0, 4));
  await writeRows(file("unknown.st"), turned(PAIRS, (n) => n, { known: false }));
  await writeRows(file("high.st"), images.map((image) => ({ ...image, label: 7 })));
  await writeRows(file("other.st"), images, { metadata: { "text_model": "other-texts" } });
  await writeRows(file("encoder.st"), images, { metadata: { "model_hash": "other-images" } });
  await writeRows(file("narrow.st"), images, { width: 6 });
  await writeRows(file("features.st"), images, { key: "features" });
  await saveLabelSet(file("alone.st"), axisLabels({ negatives: [] }));
  await writeSynthesis(file("whole"));
  await writeSynthesis(file("part"), { complete: false });
  await writeSynthesis(file("without"));
  await Deno.remove(file("without/contact.png"));
  await writeSynthesis(file("cut"));
  await Deno.truncate(file("cut/pairs.jsonl"), 900);
}

Deno.test("ood synood ablate refuses what does not fit before it trains, in one sentence", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await writeOthers(shop);
  const usual = files(shop);
  const far = (other: string) =>
    usual.map((option) =>
      option === `far=${file("far.st")}` ? `far=${file(`${other}.st`)}` : option
    );
  const with_ = (name: "labels" | "train" | "synthetic" | "id", other: string) => {
    const argv = [...usual];
    argv[argv.indexOf(`--${name}`) + 1] = file(`${other}.st`);
    return argv;
  };
  const amounts =
    "The option --amounts must list whole numbers from 8, a batch, to the 24 images " +
    "that there are: it is ";
  const before = listFiles(shop.path);
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [[], 2, "The option --labels FILE is required"],
    [usual.filter((_, i) => i < 4 || i > 5), 2, "The option --synthetic FILE is required"],
    [[...usual, "--ood", `id=${file("far.st")}`], 2, '--ood must not name a set "id"'],
    [[...usual, "--seeds", "0"], 2, "The option --seeds must be a whole number from 1 to 100"],
    [
      [...usual, "--seed", "4294967295", "--seeds", "2"],
      2,
      "The options --seed and --seeds name seeds above 4294967295",
    ],
    [[...usual, "--groups", "0"], 2, "The option --groups must be a whole number from 1"],
    [[...usual, "--rate", "-1"], 2, "the learning rate must be above 0: it is -1"],
    [[...usual, "--momentum", "1"], 2, "the momentum must be 0 to below 1: it is 1"],
    [[...usual, "--batch", "7"], 2, "a batch of 7 has no whole pairs"],
    [[...usual, "--label-set", "negatives"], 2, "pairs need labels of both kinds"],
    [[...usual, "--amounts", "4,24"], 2, `${amounts}"4,24"`],
    [[...usual, "--amounts", "8,25"], 2, `${amounts}"8,25"`],
    [[...usual, "--amounts", "8,,16"], 2, `${amounts}"8,,16"`],
    [[...usual, "--amounts", "9.5"], 2, `${amounts}"9.5"`],
    [with_("labels", "train"), 1, 'it has no "text_embed"; "ood synood labels" makes such a file'],
    [with_("labels", "alone"), 1, "there is no negative label"],
    [with_("train", "none"), 1, 'none.st": there is no such file'],
    [with_("train", "features"), 1, 'it has no "image_embed"; a file from ood synood features'],
    [with_("train", "few"), 1, "images are paired one to one, and there are 12 in"],
    [with_("synthetic", "few"), 1, "images are paired one to one, and there are 24 in"],
    [with_("train", "unknown"), 1, "24 of 24 images of"],
    [with_("train", "high"), 1, 'high.st" has a label 7, and the classes are 0 to 1'],
    [with_("train", "narrow"), 1, "its features are 6 wide and those of the labels 8"],
    [with_("synthetic", "other"), 1, "it goes with the text encoder other-texts"],
    [with_("synthetic", "encoder"), 1, "come from two image encoders"],
    [[...usual, "--neg-images", file("narrow.st")], 1, "its features are 6 wide"],
    [[...usual, "--neg-images", file("four.st")], 1, "a batch takes 8 images and there are 4 with"],
    [
      [...usual, "--neg-images", file("encoder.st")],
      1,
      "they were extracted with different models",
    ],
    [[...usual, "--batch", "26"], 1, "a batch takes 26 images and there are 24 with"],
    [with_("id", "features"), 1, 'has no "image_embed" (a vision-language model gives them'],
    [far("narrow"), 1, 'narrow.st" has 6 columns and the fit had 8'],
    [far("other"), 1, "it goes with the text encoder other-texts"],
    [far("encoder"), 1, "they were extracted with different models"],
    [far("none"), 1, 'none.st": there is no such file'],
    [[...usual, "--synthesis", file("none")], 1, 'there is no "manifest.json"'],
    [[...usual, "--synthesis", file("part")], 1, '3 of 5 are made; "ood synood generate --resume"'],
    [[...usual, "--synthesis", file("cut")], 1, '"pairs.jsonl" has'],
    [[...usual, "--synthesis", file("without")], 1, 'it has no "contact.png"'],
    [[...usual, "--html", file("no/a.html")], 1, `there is no folder "${file("no")}"`],
  ];
  for (const [argv, code, message] of cases) {
    const run = await ood("synood", "ablate", ...argv, "--json", file("a.json"));
    assertRefused(run, { code, message });
    assertEquals(listFiles(shop.path), before, argv.join(" "));
  }
});
