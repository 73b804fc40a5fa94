import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { openImageFeatures, openLabels } from "../../cli/_synood_training.ts";
import { Terminal } from "../../cli/_terminal.ts";
import { encodeSafetensors, readSafetensors, writeSafetensors } from "../../data/mod.ts";
import {
  type LabelSet,
  loadDetector,
  loadLabelSet,
  loadProjection,
  PROJECTION_DEFAULTS,
  saveLabelSet,
  trainProjection,
} from "../../methods/mod.ts";
import { Batches } from "../../nn/mod.ts";
import { Host } from "../../runtime/mod.ts";
import { CLASSES, drawLabels, NEGATIVES, normals, WIDTH } from "../methods/_synood.ts";
import {
  assertRefused,
  listFiles,
  ood,
  succeed,
  textSink,
  type Workshop,
  workshop,
} from "./_workshop.ts";

const COUNT = 20;
const DEVICE = ["--device", "reference"] as const;

/** What may be other in a file of image features. */
interface Images {
  readonly count?: number;
  readonly width?: number;
  readonly seed?: number;
  readonly labels?: readonly number[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly change?: (features: Float32Array<ArrayBuffer>) => void;
}

async function writeImages(path: string, images: Images = {}): Promise<void> {
  const { count = COUNT, width = WIDTH, seed = 2, labels, metadata = {}, change } = images;
  const data = normals(count * width, seed);
  change?.(data);
  const classes = Int32Array.from({ length: count }, (_, n) => labels?.[n] ?? n % CLASSES);
  await Deno.writeFile(
    path,
    encodeSafetensors({
      "image_embed": { data, shape: [count, width] },
      labels: { data: classes, shape: [count] },
    }, { model: "vision_model.onnx", "model_hash": "images", "text_model": "texts", ...metadata }),
  );
}

/** A folder with labels and pairs. */
async function prepared(): Promise<Workshop> {
  const shop = await workshop();
  await saveLabelSet(shop.file("labels.st"), drawLabels());
  await writeImages(shop.file("id.st"), { metadata: { preprocessing: '{"range":1}' } });
  await writeImages(shop.file("syn.st"), { seed: 3 });
  return shop;
}

/** Options that name the files of a folder. */
function files({ file }: Workshop, ...names: readonly string[]): string[] {
  return names.flatMap((name) => [`--${name === "syn" ? "synthetic" : name}`, file(`${name}.st`)]);
}

const SMALL = ["--batch", "8", ...DEVICE] as const;

Deno.test("ood synood project, tune-labels and fit make a detector, which others take", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const project = await succeed(
    ...["synood", "project", ...files(shop, "labels", "id", "syn"), ...SMALL],
    ...["--out", file("p.st")],
  );
  assertMatch(
    project.out,
    /^Wrote .*p\.st; \d+ of 11 negative labels are those of synthetic images: loss \d+\.\d{4}, accuracy /,
  );
  assertMatch(
    project.notes,
    /Training 88 numbers \(a projection\) over \d+ labels: 15 steps of 8 images/,
  );
  const { metadata, ...projection } = await loadProjection(file("p.st"));
  assertEquals([projection.width, projection.images], [WIDTH, "unit"]);
  assertEquals(metadata["model_hash"], "images");
  const fit = JSON.parse(metadata["fit"]!);
  assertEquals(fit.map(({ role, count }: { role: string; count: number }) => [role, count]), [
    ["id", COUNT],
    ["synthetic", COUNT],
  ]);

  const tune = await succeed(
    ...["synood", "tune-labels", ...files(shop, "labels", "syn"), ...SMALL],
    ...["--out", file("tuned.st")],
  );
  assertMatch(
    tune.out,
    /^Wrote .*tuned\.st: tuned \d+ of 11 negative labels; the mean cosine to what they were is 0\.9999/,
  );
  const [before, after] = [
    await loadLabelSet(file("labels.st")),
    await loadLabelSet(file("tuned.st")),
  ];
  assertEquals({ ...after, text: before.text }, before);
  assert(after.text.some((value, i) => value !== before.text[i]));

  const made = await succeed(
    ...["synood", "fit", "--labels", file("tuned.st"), "--projection", file("p.st")],
    ...["--groups", "4", "--out", file("d.st")],
  );
  assertEquals(
    made.out,
    `Wrote ${file("d.st")}: 3 classes, 11 negative labels in 4 groups, a projection\n`,
  );
  assertStringIncludes(made.notes, "Note: 3 of 11 negative labels are left out");
  const detector = await loadDetector(file("d.st"));
  assertEquals(detector.fitted.method.name, "synood");
  assertEquals(detector.metadata["preprocessing"], '{"range":1}');
  assertEquals(detector.metadata["text_model"], "texts");

  await succeed(
    ...["calibrate", "--detector", file("d.st"), "--id", file("id.st")],
    ...["--out", file("c.st"), ...DEVICE],
  );
  const scored = await succeed(
    ...["score", "--detector", file("c.st"), "--features", file("syn.st"), ...DEVICE, "--json"],
  );
  assertEquals(JSON.parse(scored.out).verdicts.length, COUNT);
  await succeed("export", "--detector", file("c.st"), "--out", file("d.onnx"));
  assertEquals(listFiles(shop.path).filter((name) => name.includes("checkpoint")), []);
});

Deno.test("ood synood tune-labels has the three strategies of Table 5", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await succeed(
    ...["synood", "project", ...files(shop, "labels", "id", "syn"), ...SMALL],
    ...["--out", file("p.st"), "--variant", "code", "--label-set", "all"],
  );
  assertEquals((await loadProjection(file("p.st"))).images, "raw");
  const tune = async (name: string, ...more: readonly string[]) => {
    const { out } = await succeed(
      ...["synood", "tune-labels", ...files(shop, "labels", "syn"), ...SMALL, "--json"],
      ...["--out", file(`${name}.st`), "--strategy", name, ...more],
    );
    const [{ text }, report] = [await loadLabelSet(file(`${name}.st`)), JSON.parse(out)];
    assertEquals([report.out, report.negatives], [file(`${name}.st`), NEGATIVES]);
    return { text, report };
  };
  const separate = await tune("separate");
  const behind = await tune("separate-with-projection", "--projection", file("p.st"));
  const joint = await tune(
    ...["joint", "--id", file("id.st"), "--out-projection", file("joint-p.st")] as const,
    ...["--loss", "code", "--epochs", "2"],
  );
  assertEquals([separate, behind, joint].map(({ report }) => report.steps.length), [10, 10, 10]);
  assertEquals(new Set([separate, behind, joint].map(({ text }) => text.join())).size, 3);
  assertEquals(Object.keys(joint.report.steps[0]), [
    ...["step", "loss", "accuracy", "label_loss", "label_accuracy"],
  ]);
  assertEquals(joint.report.settings.tuning.learningRate, 0.02);
  assertEquals((await loadProjection(file("joint-p.st"))).width, WIDTH);
});

/** A training of `ood synood project` that is stopped after some steps. */
async function stopped(shop: Workshop, out: string, after: number): Promise<void> {
  const { file } = shop;
  const stop = new AbortController();
  const context = { terminal: new Terminal(textSink(), textSink()), signal: stop.signal };
  const labels = await openLabels(file("labels.st"));
  const id = await openImageFeatures(file("id.st"), context);
  const synthetic = await openImageFeatures(file("syn.st"), context);
  const inner = new Batches({ samples: 2 * COUNT, batch: 8, seed: 0 });
  using ctx = new Host();
  let begun = false;
  const training = trainProjection({
    ctx,
    labels: labels.value,
    id: id.value,
    synthetic: synthetic.value,
    settings: { ...PROJECTION_DEFAULTS, batch: 8 },
    identity: [labels, id, synthetic].map(({ sha256 }) => sha256).join(" "),
    checkpoint: { path: `${out}.checkpoint`, resume: false },
    signal: stop.signal,
    onStart: () => begun = true,
    batches: {
      stepsPerEpoch: inner.stepsPerEpoch,
      at(step) {
        if (begun && step === after) stop.abort();
        return inner.at(step);
      },
    },
  });
  await assertRejects(() => training, DOMException);
}

Deno.test("a training that was stopped goes on, and only with what it began with", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const argv = (out: string, ...more: readonly string[]) => [
    ...["synood", "project", ...files(shop, "labels", "id", "syn"), ...SMALL, ...more],
    ...["--out", file(out)],
  ];
  const refused = async (message: string, ...argv: readonly string[]) =>
    assertRefused(await ood(...argv), { code: 1, message });
  await succeed(...argv("whole.st"));
  await stopped(shop, file("part.st"), 6);
  await refused("an unfinished training is in", ...argv("part.st"));
  const resumed = (...more: readonly string[]) => argv("part.st", "--resume", ...more);
  await refused('"learningRate" is 0.002 and was 0.001', ...resumed("--rate", "0.002"));
  await refused('"labelSet" is "all" and was "code"', ...resumed("--label-set", "all"));
  await writeImages(file("id.st"), { seed: 4 });
  await refused('"data" is', ...resumed());
  await writeImages(file("id.st"), { metadata: { preprocessing: '{"range":1}' } });
  const { notes } = await succeed(...resumed());
  assertStringIncludes(notes, "15 steps of 8 images, going on after 7");
  const [whole, part] = [file("whole.st"), file("part.st")];
  assertEquals((await readSafetensors(part)).tensors, (await readSafetensors(whole)).tensors);
  await refused("there is no unfinished training in", ...resumed());
  const other = `${file("other.st")}.checkpoint`;
  await writeSafetensors(other, { x: { data: new Float32Array(1), shape: [1] } });
  await refused("it is no checkpoint of a training", ...argv("other.st", "--resume"));
});

/** A command line, its exit code, and what its one sentence says. */
type Case = readonly [argv: readonly string[], code: number, message: string];

/** Runs command lines that must be refused and leave nothing behind. */
async function refuseAll(shop: Workshop, command: string, cases: readonly Case[]): Promise<void> {
  const before = listFiles(shop.path);
  for (const [argv, code, message] of cases) {
    const run = await ood("synood", command, ...argv);
    assertRefused(run, { code, message });
    assertEquals(listFiles(shop.path), before, argv.join(" "));
  }
}

async function writeOthers({ file }: Workshop): Promise<void> {
  const written: Record<string, Images> = {
    narrow: { width: 6 },
    few: { count: 12 },
    high: { labels: [0, 5] },
    unknown: { labels: [0, -1, -1] },
    other: { metadata: { "text_model": "other-texts" } },
    encoder: { metadata: { "model_hash": "other-images" } },
    nan: { change: (features) => features[3 * WIDTH] = NaN },
    zeros: { change: (features) => features.fill(0, 0, WIDTH) },
  };
  for (const [name, images] of Object.entries(written)) {
    await writeImages(file(`${name}.st`), images);
  }
  const sets: Record<string, Partial<LabelSet>> = {
    alone: { negatives: [], kinds: [] },
    renamed: { negatives: Array.from({ length: NEGATIVES }, (_, m) => `other ${m}`) },
    "other-labels": { model: "other-texts" },
  };
  for (const [name, change] of Object.entries(sets)) {
    await saveLabelSet(file(`${name}.st`), drawLabels(change));
  }
}

Deno.test("ood synood project refuses what does not fit, in one sentence", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await writeOthers(shop);
  const usual = files(shop, "labels", "id", "syn");
  const with_ = (name: "labels" | "id" | "synthetic", other: string): string[] => {
    const argv = [...usual];
    argv[argv.indexOf(`--${name}`) + 1] = file(`${other}.st`);
    return [...argv, ...SMALL, "--out", file("o")];
  };
  const out = [...usual, ...SMALL, "--out", file("o")];
  const cannot = "Cannot train the projection: ";
  await refuseAll(shop, "project", [
    [[], 2, "The option --labels FILE is required"],
    [[...out, "--label-set", "some"], 2, "--label-set must be one of code, all, negatives"],
    [[...out, "--images", "long"], 2, "--images must be one of unit, raw"],
    [[...out, "--rate", "0"], 2, `${cannot}the learning rate must be above 0: it is 0`],
    [[...out, "--rate", "1e-6"], 2, `${cannot}the final rate 0.00001 is above the learning rate`],
    [
      [...out, "--batch", "1.5"],
      2,
      '--batch must be a whole number from 0 to 4294967295: it is "1.5"',
    ],
    [[...out, "--epochs", "0"], 2, `${cannot}the number of epochs must be a whole number from 1`],
    [[...out, "--logit-scale", "-1"], 2, `${cannot}the logit scale must be above 0: it is -1`],
    [[...out, "--batch", "64"], 1, `${cannot}a batch takes 64 images and there are 40 with`],
    [[...out.slice(0, -1), file("no/o")], 1, "no/o"],
    [with_("labels", "none"), 1, 'none.st": there is no such file'],
    [with_("labels", "id"), 1, 'it has no "text_embed"; "ood synood labels" makes such a file'],
    [with_("labels", "alone"), 1, `${cannot}there is no negative label`],
    [with_("id", "none"), 1, 'none.st": there is no such file'],
    [with_("id", "labels"), 1, 'it has no "image_embed"; a file from ood synood features'],
    [with_("id", "narrow"), 1, "its features are 6 wide and those of the labels 8"],
    [with_("synthetic", "narrow"), 1, "its features are 6 wide and those of the labels 8"],
    [with_("id", "few"), 1, `${cannot}images are paired one to one, and there are 12 in`],
    [with_("id", "high"), 1, 'high.st" has a label 5, and the classes are 0 to 2'],
    [with_("id", "unknown"), 1, `${cannot}2 of 20 images of "${file("unknown.st")}" have no label`],
    [with_("synthetic", "other"), 1, "it goes with the text encoder other-texts"],
    [with_("labels", "other-labels"), 1, "the labels were made by other-texts"],
    [with_("synthetic", "encoder"), 1, "come from two image encoders"],
    [with_("id", "nan"), 1, '"image_embed" has a NaN in row 3'],
    [with_("synthetic", "zeros"), 1, "the feature of image 0 is all zeros"],
  ]);
});

Deno.test("ood synood tune-labels and fit refuse what does not fit, in one sentence", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await writeOthers(shop);
  const project = async (name: string, ...more: readonly string[]) => {
    const argv = ["synood", "project", ...files(shop, "labels", "id", "syn"), ...SMALL];
    await succeed(...argv, "--out", file(`${name}.st`), ...more);
  };
  await project("p");
  const usual = [...files(shop, "labels", "syn"), ...SMALL, "--out", file("o")];
  const strategy = (name: string, ...more: readonly string[]) => [
    ...[...usual, "--strategy", name, ...more],
  ];
  const behind = "separate-with-projection";
  const projection = ["--projection", file("p.st")];
  await refuseAll(shop, "tune-labels", [
    [strategy("both"), 2, "--strategy must be one of separate, separate-with-projection, joint"],
    [strategy(behind), 2, "The strategy separate-with-projection needs --projection"],
    [strategy("joint"), 2, "The strategy joint needs --id"],
    [strategy("joint", "--id", file("id.st")), 2, "The strategy joint needs --out-projection"],
    [[...usual, ...projection], 2, `The option --projection is for the strategy ${behind}`],
    [[...usual, "--id", file("id.st")], 2, "The option --id is for the strategy joint"],
    [[...usual, "--rate", "1"], 2, "The option --rate is for the strategy joint"],
    [
      strategy("joint", "--id", file("id.st"), "--out-projection", file("q"), "--tune-epochs", "2"),
      2,
      "The option --tune-epochs is not for the strategy joint",
    ],
    [[...usual, "--momentum", "1"], 2, "the momentum must be 0 to below 1: it is 1"],
    [[...usual, "--text-length", "0"], 2, "the length of the features must be above 0: it is 0"],
    [[...usual, "--loss", "mine"], 2, "--loss must be one of paper, code"],
    [[...usual, "--batch", "21"], 1, "a batch takes 21 images and there are 20 with"],
    [
      strategy(behind, "--projection", file("id.st")),
      1,
      "it is none; a file from ood synood project was expected",
    ],
    [
      ["--labels", file("renamed.st"), ...usual.slice(2), "--strategy", behind, ...projection],
      1,
      "it was trained with labels of other names",
    ],
    [
      ["--labels", file("other-labels.st"), ...usual.slice(2), "--strategy", behind, ...projection],
      1,
      "it was trained with labels of another text encoder",
    ],
    [
      ["--labels", file("labels.st"), "--synthetic", file("nan.st"), ...usual.slice(4)],
      1,
      '"image_embed" has a NaN in row 3',
    ],
  ]);
  const fit = ["--labels", file("labels.st"), "--out", file("o")];
  await refuseAll(shop, "fit", [
    [[], 2, "The option --labels FILE is required"],
    [[...fit, "--groups", "-1"], 2, '--groups must be a whole number from 0: it is "-1"'],
    [[...fit, "--tau", "0"], 2, "τ (tau) must be above 0: it is 0"],
    [["--labels", file("alone.st"), "--out", file("o")], 1, "there is no negative label"],
    [["--labels", file("renamed.st"), ...fit.slice(2), ...projection], 1, "labels of other names"],
    [[...fit, "--features", file("other.st")], 1, "it goes with the text encoder other-texts"],
  ]);
});
