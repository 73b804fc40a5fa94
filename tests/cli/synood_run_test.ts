import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { exists } from "../../cli/_stages.ts";
import { openFeatures } from "../../data/mod.ts";
import {
  loadDetector,
  loadLabelSet,
  readSyntheticImages,
  saveContexts,
} from "../../methods/mod.ts";
import { writeModel } from "../../onnx/mod.ts";
import { writeClip } from "../_support/clip.ts";
import { classifier, writeDiffusion } from "../_support/diffusion.ts";
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
const CLASSES = ["cat", "dog"] as const;
const EACH = 4;
const NOUNS = ["reef", "harbour", "law", "teapot", "sofa", "granite", "hammer", "violin", "cloud"];

/** Small models, images of two classes and of others, words and contexts. */
async function prepared(): Promise<Workshop> {
  const shop = await workshop();
  const { file } = shop;
  await writeClip(file("clip"), {
    ...{ width: 8, heads: 2, embed: 6, vocabulary: 700, side: 32, length: 16 },
    files: { "oodgpu.json": { logit_scale: 20, templates: ["a {}"] } },
  });
  await writeDiffusion(file("diffusion"), { side: SIDE });
  await writeTree(shop.path, {
    "m.onnx": writeModel(classifier({ side: SIDE })),
    "m.json": JSON.stringify({ preprocessing: SPEC, labels: ["dog", "cat", "owl"] }),
    "words.txt": `${NOUNS.join("\n")}\n`,
  });
  const lists: Record<string, string[]> = {};
  for (const [k, name] of CLASSES.entries()) {
    await writeImages(file(`train/${name}`), EACH + 1, 3 * k);
    await writeImages(file(`test/${name}`), 3, 3 * k + 1);
    for (let i = 0; i <= EACH; i++) lists[`${name}/00${i}.png`] = [i % 2 === 0 ? "grass" : "birds"];
  }
  await writeImages(file("near"), 4, 7);
  await writeImages(file("far"), 3, 9);
  await saveContexts(
    { version: 1, source: { kind: "file" }, images: lists },
    file("contexts.json"),
  );
  return shop;
}

/** Options that name all models and images of a folder. */
function sources({ file }: Workshop): string[] {
  return [
    ...["--model", file("clip"), "--diffusion", file("diffusion"), "--classifier", file("m.onnx")],
    ...["--train", file("train"), "--val", file("test"), "--id", file("test")],
    ...["--ood", `near/by=${file("near")}`, "--ood", `far=${file("far")}`],
    ...["--words", file("words.txt"), "--contexts", file("contexts.json")],
  ];
}

/** A whole run. */
function command(shop: Workshop, ...more: readonly string[]): string[] {
  return [
    ...["synood", "run", ...sources(shop), "--work", shop.file("work"), "--share", "0.5"],
    ...["--per-class", String(EACH), "--batch", "4", "--epochs", "1", "--tune-epochs", "1"],
    ...["--synthesis-steps", "6", "--synthesis-iterations", "1", "--synthesis-seed", "3"],
    ...["--seed", "7", "--neg-images", "6"],
    ...["--device", "reference", ...more],
  ];
}

/** Contents and times of all files of a run. */
async function stateOf(
  { file }: Workshop,
): Promise<Map<string, { bytes: string; time: number }>> {
  const state = new Map<string, { bytes: string; time: number }>();
  for (const line of listFiles(file("work"))) {
    const name = line.slice(0, line.lastIndexOf(" "));
    const bytes = new TextDecoder("latin1").decode(await Deno.readFile(name));
    const { mtime } = await Deno.stat(name);
    state.set(name.slice(file("work").length + 1), { bytes, time: mtime!.getTime() });
  }
  return state;
}

function assertSameBytes(
  actual: Awaited<ReturnType<typeof stateOf>>,
  expected: Awaited<ReturnType<typeof stateOf>>,
): void {
  assertEquals([...actual.keys()], [...expected.keys()]);
  for (const [name, { bytes }] of expected) assert(actual.get(name)!.bytes === bytes, name);
}

/** Names of the stages that were printed, and of those that were passed over. */
function stagesOf(out: string): { run: string[]; passed: string[] } {
  const blocks = out.split("\n$ ood ").slice(1);
  const nameOf = (block: string) => /^(synood )?[\w-]+/.exec(block)![0];
  const isPassed = (block: string) => block.includes("is there already; remove it");
  return {
    run: blocks.filter((block) => !isPassed(block)).map(nameOf),
    passed: blocks.filter(isPassed).map(nameOf),
  };
}

const STAGES = [
  ...["synood labels", "synood contexts", "synood generate", "synood features", "synood features"],
  ...["synood project", "synood tune-labels", "synood fit", "synood features", "calibrate"],
  ...["synood features", "synood features", "synood features", "synood eval"],
  ...["synood generate", "synood features", "synood ablate"],
];

Deno.test("ood synood run does every stage once, and again only what is gone", async (t) => {
  await using shop = await prepared();
  const { file } = shop;
  const { out } = await succeed(...command(shop));
  assertEquals(stagesOf(out), { run: STAGES, passed: [] });
  assertStringIncludes(out, `Detector with a threshold: ${file("work/calibrated.safetensors")}\n`);
  // What the synthesis and a training call alike goes to each as it was meant.
  assertMatch(out, /generate .* --steps 6 --iterations 1 --seed 3 /);
  assertMatch(out, /project .* --batch 4 --seed 7 --epochs 1 /);
  assertMatch(out, /generate --negatives \S+ --limit 3 --per-label 2 /);
  const whole = await stateOf(shop);
  assertEquals([...whole.keys()].filter((name) => !name.includes("/")), [
    ...["calibrated.safetensors", "contexts.json", "features-id.safetensors"],
    ...["features-neg-images.safetensors", "features-ood-far.safetensors"],
    ...["features-ood-near%2Fby.safetensors", "features-sources.safetensors"],
    ...["features-synthetic.safetensors", "features-val.safetensors"],
    ...["labels-tuned.safetensors", "labels.prompts.safetensors", "labels.safetensors"],
    ...["projection.safetensors", "report.html", "synood.safetensors"],
  ]);
  const labels = await loadLabelSet(file("work/labels.safetensors"));
  assertEquals([labels.ids, labels.logitScale], [["cat", "dog"], 20]);
  const made = await readSyntheticImages(file("work/synthetic"));
  assertEquals(made.images.map(({ class: name }) => name), [
    ...["cat", "cat", "cat", "cat", "dog", "dog", "dog", "dog"],
  ]);
  await using id = await openFeatures(file("work/features-sources.safetensors"));
  assertEquals([...(await id.read("labels")).data], [0, 0, 0, 0, 1, 1, 1, 1]);
  const detector = await loadDetector(file("work/calibrated.safetensors"));
  assertEquals([detector.fitted.method.name, detector.calibration?.count], ["synood", 6]);
  const page = await Deno.readTextFile(file("work/report.html"));
  for (const text of ["near/by", "Both, label images", "data:image/png"]) {
    assertStringIncludes(page, text);
  }

  await t.step("nothing that is there is made again", async () => {
    const again = await succeed(...command(shop));
    const files = STAGES.filter((name) => name !== "synood eval");
    assertEquals(stagesOf(again.out), { run: ["synood eval"], passed: files });
    assertEquals(await stateOf(shop), whole);
  });

  await t.step("what was removed is made again, and nothing else", async () => {
    const gone = ["features-id.safetensors", "report.html", "synood.safetensors"];
    for (const name of gone) await Deno.remove(file(`work/${name}`));
    const { run } = stagesOf((await succeed(...command(shop))).out);
    assertEquals(run, ["synood fit", "synood features", "synood eval", "synood ablate"]);
    const state = await stateOf(shop);
    assertSameBytes(state, whole);
    const newer = [...state].filter(([name, { time }]) => time !== whole.get(name)!.time);
    assertEquals(newer.map(([name]) => name), gone);
  });

  await t.step({
    name: "a run that was stopped by Ctrl-C and then killed goes on to the same bytes",
    ignore: Deno.build.os === "windows",
    fn: async () => {
      await Deno.remove(file("work"), { recursive: true });
      {
        await using run = new Process(...command(shop));
        await run.saw("Making 8 images");
        run.child.kill("SIGINT");
        assertEquals((await run.end()).code, 130, run.notes);
        assertStringIncludes(run.notes, "What is finished is kept; the same command goes on\n");
        assertEquals(/mistake|^ {4}at /m.test(run.notes), false, run.notes);
      }
      const before = await stateOf(shop);
      assert(before.has("contexts.json") && !before.has("synthetic/synthetic.tsv"));
      {
        await using run = new Process(...command(shop));
        await run.saw("(a projection)");
        run.child.kill("SIGKILL");
        assertEquals((await run.end()).signal, "SIGKILL");
      }
      const { out } = await succeed(...command(shop));
      assertEquals(stagesOf(out).passed.slice(0, 5), STAGES.slice(0, 5));
      const after = await stateOf(shop);
      assertSameBytes(after, whole);
      for (const [name, { time }] of before) {
        if (!name.includes("/")) assertEquals(after.get(name)!.time, time, name);
      }
    },
  });
});

Deno.test("ood synood run takes the classes of a list, and stops where a stage does", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const paths = CLASSES.flatMap((name) => [0, 1].map((i) => `train/${name}/00${i}.png\t${name}\n`));
  await Deno.writeTextFile(file("list.tsv"), paths.join(""));
  const argv = command(shop, "--neg-images", "0", "--batch", "2");
  argv[argv.indexOf("--train") + 1] = file("list.tsv");
  const { code, out, notes } = await ood(...argv);
  assertEquals(code, 1, notes);
  assertMatch(
    notes,
    /^ood: Cannot use ".*contexts\.json": none of the images of ".*list\.tsv" is in it/m,
  );
  assertEquals(/mistake|^ {4}at /m.test(notes), false, notes);
  assertEquals(stagesOf(out).run, ["synood labels", "synood contexts"]);
  assertEquals((await loadLabelSet(file("work/labels.safetensors"))).ids, [...CLASSES]);
});

Deno.test("ood synood run refuses what makes no sense before the first stage", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await writeImages(file("flat"), 2);
  await Deno.writeTextFile(file("file"), "");
  const usual = command(shop);
  const without = (name: string) => {
    const at = usual.indexOf(`--${name}`);
    return usual.toSpliced(at, 2);
  };
  const with_ = (name: string, other: string) =>
    usual.toSpliced(usual.indexOf(`--${name}`) + 1, 1, file(other));
  const own = ["synood", "run", "--work", file("work")];
  const together = "The options --train, --val, --id and --ood go together: give all";
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [[...own, "--train", file("train")], 2, together],
    [[...own, "--ood", `far=${file("far")}`], 2, together],
    [without("val"), 2, together],
    [[...usual, "--ood", `id=${file("far")}`], 2, 'The option --ood must not name a set "id"'],
    [[...usual, "--ood", `far=${file("near")}`], 2, '--ood names "far" twice'],
    [[...usual, "--ood", file("near")], 2, "--ood must be NAME=VALUE"],
    [[...own, "--per-class", "0"], 2, "The option --per-class must be a whole number from 1"],
    [[...own, "--neg-images", "-1"], 2, "The option --neg-images must be a whole number from 0"],
    [[...usual, "--neg-images", "3"], 2, "must be 0, or 4 and more, as a batch takes: it is 3"],
    [[...own, "--share", "0"], 2, "The option --share must be above 0"],
    [[...own, "--share", "2"], 2, "The option --share must be a number from 0 to 1"],
    [[...own, "--words-adjectives", file("words.txt")], 2, "--words-adjectives needs --words"],
    [[...usual, "--tagger", file("m.onnx")], 2, "--contexts and --tagger exclude each other"],
    [[...own, "--synthesis-steps", "0"], 2, "--synthesis-steps must be a whole number from 1"],
    [[...own, "--synthesis-strength", "2"], 2, "the strength must be above 0 and at most 1"],
    [[...own, "--synthesis-filter", "all"], 2, "--synthesis-filter must be one of none, energy"],
    [[...own, "--rate", "-1"], 2, "the learning rate must be above 0: it is -1"],
    [[...own, "--momentum", "2"], 2, "the momentum must be 0 to below 1: it is 2"],
    [[...usual, "--batch", "5"], 2, "a batch of 5 has no whole pairs"],
    [[...usual, "--label-set", "negatives"], 2, "pairs need labels of both kinds"],
    [[...usual, "--neg-images", "0", "--batch", "10"], 2, "Cannot train with 8 images, 4 of each"],
    [[...own, "--stesp", "3"], 2, "Unknown option --stesp"],
    [with_("words", "none.txt"), 1, 'none.txt": there is no such file'],
    [with_("contexts", "none.json"), 1, 'none.json": there is no such file'],
    [with_("model", "none"), 1, 'none": there is no such folder'],
    [with_("diffusion", "clip"), 1, 'there is no "vae_encoder/model.onnx"'],
    [with_("classifier", "clip/vision_model.onnx"), 1, "vision_model.onnx"],
    [with_("train", "none"), 1, 'none": there is no such file or folder'],
    [with_("train", "flat"), 1, "its images have no classes with names"],
    [with_("val", "none"), 1, 'none": there is no such file or folder'],
    [with_("id", "file"), 1, "it lists no image"],
    [[...usual, "--ood", `more=${file("none")}`], 1, 'none": there is no such file or folder'],
    [with_("work", "file"), 1, `Cannot make the folder "${file("file")}"`],
  ];
  const before = listFiles(shop.path);
  for (const [argv, code, message] of cases) {
    assertRefused(await ood(...argv), { code, message });
    assertEquals(listFiles(shop.path), before, argv.join(" "));
    assertEquals(await exists(file("work")), false, argv.join(" "));
  }
});
