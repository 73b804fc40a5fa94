import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { openFeatures } from "../../data/mod.ts";
import { loadDetector } from "../../methods/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  arraysOf,
  OBJECT_KEYS,
  prepared,
  SMALL,
  TOKENS,
  train,
  withObjects,
  writeClasses,
} from "./_colours.ts";
import { assertRefused, listFiles, ood, succeed } from "./_workshop.ts";

Deno.test("ood tagood: vocabulary, features, training and evaluation, the whole way", async () => {
  await using shop = await prepared("train", "test", "grey", "rose");
  const { file } = shop;
  await withObjects(shop, "train", "test", "grey", "rose");

  const again = ["--vocabulary", file("v.json"), "--out", file("again"), "--json"];
  const made = await succeed(...["tagood", "features", "--features", file("train.st"), ...again]);
  const { tokens, ...counted } = JSON.parse(made.out);
  assertEquals(counted, { path: file("again"), images: 24, untagged: 0 });
  assert(tokens >= 24 && tokens < 24 * TOKENS, `${tokens} tokens`);
  assertEquals(await Deno.readFile(file("again")), await Deno.readFile(file("train.objects")));
  await succeed(
    ...["tagood", "features", "--images", file("train"), "--model", file("t.onnx"), ...again],
  );
  const keys = [...OBJECT_KEYS, "labels"];
  const fromFile = await arraysOf(file("train.objects"), keys);
  const fromImages = await arraysOf(file("again"), keys);
  for (const key of keys) {
    const { data } = fromImages[key]!;
    if (key !== "tag_score") assertEquals(data, fromFile[key]!.data, key);
    else assertClose(data, fromFile[key]!.data as Float32Array, TOLERANCE.kernel, key);
  }

  const { out, notes } = await train(
    shop,
    ...["--epochs", "12", "--validation", file("test.objects"), "--patience", "2", "--json"],
    ...["--rate", "0.5", "--variant", "code", "--seed", "4"],
  );
  const { settings, epoch, steps } = JSON.parse(out);
  assertEquals([settings.variant, settings.weightDecay, settings.seed], ["code", 5e-4, 4]);
  assertMatch(notes, /Training \d+ parameters on 24 images of 3 classes: 36 steps of 8 images/);
  const bests = [...notes.matchAll(/^Epoch (\d+): .*, the best so far$/gm)];
  assertEquals(epoch, Number(bests.at(-1)![1]));
  const last = [...notes.matchAll(/^Epoch (\d+): validation loss [\d.]+, accuracy [\d.]+ %/gm)]
    .at(-1)!;
  // Two epochs without a smaller loss are the end; the state is that of the smallest.
  assertEquals(Number(last[1]), epoch + 2);
  assertEquals(steps.length, 3 * (epoch + 2));
  assertEquals(Object.keys(steps[0]), ["step", "cross_entropy", "distance", "accuracy"]);
  assertEquals(listFiles(shop.path).some((line) => line.includes("checkpoint")), false);
  const detector = await loadDetector(file("d.st"));
  assertEquals(detector.fitted.parameters["code"], 1);
  {
    await using set = await openFeatures(file("train.st"));
    for (const key of ["model_hash", "preprocessing", "label_names"]) {
      assertEquals(detector.metadata[key], set.metadata[key], key);
    }
  }

  const evaluate = [
    ...["tagood", "eval", "--detector", file("d.st"), "--bootstrap", "20"],
    ...["--ood", `grey=${file("grey.objects")}`, "--ood", `rose=${file("rose.st")}`],
  ];
  const report = await succeed(
    ...[...evaluate, "--id", file("test.objects"), "--distances", "all", "--json", file("r.json")],
    ...["--html", file("r.html")],
  );
  assertMatch(report.out, /^grey \(12 ID, 5 OOD\)\ncosine .*\neuclidean .*\nkl /m);
  assertStringIncludes(
    report.out,
    'share the lowest score: 8.3 % of "id", 100.0 % of "grey"; so many in-distribution ones',
  );
  const { manifest, results } = JSON.parse(await Deno.readTextFile(file("r.json")));
  assertEquals(manifest.untagged, { id: 1 / 12, grey: 1, rose: 0 });
  assertEquals(manifest.parameters.tau, 0.5);
  assertEquals(manifest.distances, ["cosine", "euclidean", "kl"]);
  assertEquals(manifest.sets.rose.count, 6);
  assertEquals(manifest.settings.variant, "code");
  assertEquals(results.length, 6);
  assertStringIncludes(await Deno.readTextFile(file("r.html")), "TagOOD, euclidean");

  const whole = ["tagood", "eval", "--detector", file("d.st"), "--bootstrap", "0", "--tau", "0"];
  const printed = await succeed(
    ...[...whole, "--id", file("test.st"), "--ood", `rose=${file("rose.st")}`, "--json", "-"],
    ...["--variant", "paper"],
  );
  const { manifest: { parameters } } = JSON.parse(printed.out);
  assertEquals([parameters.tau, parameters.code], [0, 0]);
});

Deno.test("ood tagood ablate: the paper's figures and tables in one report", async () => {
  await using shop = await prepared("train", "test", "grey", "rose");
  const { file } = shop;
  await withObjects(shop);
  const { out } = await succeed(
    ...["tagood", "ablate", "--train", file("train.st"), "--id", file("test.st")],
    ...["--ood", `grey=${file("grey.st")}`, "--ood", `a/b=${file("rose.st")}`],
    ...["--vocabulary", file("v.json"), "--validation", file("test.st"), ...SMALL],
    ...["--epochs", "1", "--taus", "0,0.5", "--points", "20", "--work", file("work")],
    ...["--json", file("a.json"), "--html", file("a.html")],
  );
  const titles = [
    "Threshold on attention, in training and test",
    "What each part adds",
    "What each part adds: a/b",
    "Distances to the centres",
    "One tag against several",
    "Threshold on attention, at test time alone",
  ];
  for (const title of titles) assertStringIncludes(out, title);
  const html = await Deno.readTextFile(file("a.html"));
  const drawn = ["Object features before and after projection", "Scores", "Images without a tag"];
  for (const title of [...titles, ...drawn]) assertStringIncludes(html, `>${title}<`);
  const { record, seeds: [seed] } = JSON.parse(await Deno.readTextFile(file("a.json")));
  assertEquals([record.plan.taus, record.plan.settings.epochs], [[0, 0.5], 1]);
  assertEquals(Object.keys(seed.taus), ["0", "0.5"]);
  assertEquals(Object.keys(seed.steps).length, 7);
  assertEquals(Object.keys(seed.distances), ["kl", "euclidean", "cosine"]);
  assertEquals(Object.keys(seed.tags), ["One tag", "Multiple tags"]);
  assertEquals(seed.taus["0.5"], seed.testTaus["0.5"]);
  assertEquals([seed.untagged.id, seed.untagged.grey, seed.untagged["a/b"]], [1 / 12, 1, 0]);
  const kept = listFiles(file("work")).map((line) => line.split("/").pop()!.split(" ")[0]);
  assert(kept.includes("train-0.5-one.safetensors") && kept.includes("a%2Fb-0.safetensors"));
});

Deno.test("ood tagood features: images without a tag, other thresholds, and single tags", async () => {
  await using shop = await prepared("train", "test", "grey");
  const { file } = shop;
  await withObjects(shop, "test");
  const counts = async (set: string, ...more: string[]) => {
    const { notes } = await succeed(
      ...["tagood", "features", "--features", file(`${set}.st`), "--out", file("o")],
      ...["--vocabulary", file("v.json"), ...more],
    );
    const arrays = await arraysOf(file("o"), ["object_counts", "tag_count"]);
    return {
      notes,
      tokens: [...arrays["object_counts"]!.data],
      tags: [...arrays["tag_count"]!.data],
    };
  };
  // The fifth image is a grey one in the folder of leaves.
  const usual = await counts("test");
  assertEquals(usual.tags, [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]);
  assertEquals(usual.tokens.map((count) => count > 0), usual.tags.map((count) => count > 0));
  const whole = await counts("test", "--tau", "0");
  assertEquals(whole.tokens, usual.tags.map((count) => count * TOKENS));
  const likeliest = await counts("test", "--untagged", "likeliest");
  assertEquals(likeliest.tags, usual.tags);
  assert(likeliest.tokens[4]! > 0);
  const own = await counts("test", "--one-tag");
  assert(own.tokens[4]! > 0, "the tag of the image's own class, predicted or not");
  assertEquals((await counts("grey")).tokens, [0, 0, 0, 0, 0]);

  // Pictures of one known class, and of one known and one unknown.
  await writeClasses(file("some"), 2, 70);
  await Deno.remove(file("some/leaf"), { recursive: true });
  const images = ["--images", file("some"), "--model", file("t.onnx")];
  const some = [
    ...["tagood", "features", ...images, "--vocabulary", file("v.json"), "--out", file("s")],
  ];
  const { out, notes } = await succeed(...some);
  assertMatch(out, /: 4 images, \d+ tokens, [\d.]+ an image; 0 \(0\.0 %\) without a tag/);
  assertStringIncludes(notes, "Note: no image is of these classes of the vocabulary: leaf\n");
  await Deno.rename(file("some/sea"), file("some/whale"));
  const damaged = file("some/cherry/zz.png");
  await Deno.writeTextFile(damaged, "no picture");
  const others = await succeed(...some, "--allow-uncovered");
  assertMatch(others.out, /: 4 images, \d+ tokens/);
  assertStringIncludes(others.notes, "Skipped cherry/zz.png: it is text, not an image\n");
  assertRefused(await ood(...some, "--allow-uncovered", "--strict"), {
    code: 1,
    message: 'Cannot read "cherry/zz.png": it is text, not an image',
  });
});
