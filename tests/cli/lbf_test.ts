import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { inspect, loadSidecar, readModel } from "../../onnx/mod.ts";
import { cifarResnet } from "../onnx/_networks.ts";
import { squeezenetLike } from "../onnx/_models.ts";
import {
  assertRefused,
  listFiles,
  ood,
  succeed,
  workshop,
  writeClassFolders,
  writeImages,
  writeSmallModel,
} from "./_workshop.ts";

const EACH = 4;
const TUNE = ["--epochs", "2", "--batch", "8", "--delta", "0.5", "--seed", "3"];

/** A model of four classes for 16 x 16 images, and folders of images. */
async function prepared() {
  const shop = await workshop();
  await writeSmallModel(shop.file("model.onnx"), cifarResnet());
  const sidecar = JSON.parse(await Deno.readTextFile(shop.file("model.json")));
  sidecar.preprocessing.resize = { width: 16, height: 16 };
  delete sidecar.preprocessing.crop;
  await Deno.writeTextFile(shop.file("model.json"), JSON.stringify(sidecar));
  await writeClassFolders(shop.file("train"), EACH);
  await writeClassFolders(shop.file("test"), 2, 3);
  await writeImages(shop.file("other"), 6, 90);
  return shop;
}

Deno.test("ood lbf: inspect, tune and eval, the whole way", async () => {
  await using shop = await prepared();
  const model = shop.file("model.onnx");
  const tuned = shop.file("tuned.onnx");
  const looked = await succeed("lbf", "inspect", "--model", model, "--images", shop.file("train"));
  assertMatch(looked.out, /^16 images, 4 x 4 locations each; δ = 0\.25\n/);
  assertMatch(looked.out, /suggested μ = [\d.]+/);
  const json = await succeed(
    ...["lbf", "inspect", "--model", model, "--images", shop.file("train"), "--json"],
  );
  const found = JSON.parse(json.out);
  assertEquals(found.images, 16);
  assertEquals(found.maps.length, 3);

  const { notes, out } = await succeed(
    ...["lbf", "tune", "--model", model, "--images", shop.file("train"), "--out", tuned],
    ...[...TUNE, "--json"],
  );
  assertMatch(notes, /taking μ = [\d.]+\n/);
  assertMatch(notes, /Tuning all on 16 images, moved by up to 2 pixels and mirrored: 2 epochs/);
  assertMatch(notes, /epoch 2: cross-entropy [\d.]+, background [\d.]+ % with hinge/);
  const result = JSON.parse(out);
  assertEquals(result.steps.length, 4);
  assertEquals(result.settings.seed, 3);
  const files = await Array.fromAsync(Deno.readDir(shop.path), ({ name }) => name);
  assertEquals(files.sort(), [
    ...["model.json", "model.onnx", "other", "test", "train", "tuned.json", "tuned.onnx"],
  ]);
  const [old, now] = [await readModel(model), await readModel(tuned)];
  assertEquals(now.graph.outputs, old.graph.outputs);
  const sidecar = await loadSidecar(tuned);
  assertEquals(inspect(now, { sidecar: sidecar! }).labels?.length, 4);

  const compared = await succeed(
    ...["lbf", "eval", "--before", model, "--after", tuned, "--train", shop.file("train")],
    ...["--id", shop.file("test"), "--ood", `other=${shop.file("other")}`, "--bootstrap", "0"],
    ...["--ood", "drawn=synthetic:stripes:5:16x16", "--json", shop.file("r.json")],
    ...["--html", shop.file("r.html"), "--maps", "1", "--sensitivity", "weight=0.5"],
    ...["--work", shop.file("features")],
  );
  for (const name of ["msp", "odin", "energy", "react", "feature_norm"]) {
    assertMatch(compared.out, new RegExp(`\n  ${name} +[\\d.]+ -> [\\d.]+ \\(`));
  }
  assertMatch(compared.out, /^before -> after, percent\nID accuracy /);
  const record = JSON.parse(await Deno.readTextFile(shop.file("r.json")));
  assertEquals(record.settings.delta, 0.5);
  assertEquals(record.sensitivity[0].points[0].value, 0.5);
  assertEquals(record.comparison.rows.length, 15);
  const html = await Deno.readTextFile(shop.file("r.html"));
  for (const id of ["changes", "norms", "maps", "sensitivity"]) {
    assertStringIncludes(html, `<section id="${id}">`);
  }
  const features = shop.file("features");
  const kept = listFiles(features).map((line) => line.slice(features.length + 1).split(" ")[0]);
  assert(kept.includes("after/other.safetensors") && kept.includes("before/id.safetensors"));
});

Deno.test("ood lbf tune: the last block from a cached trunk, and the steps by kernel", async () => {
  await using shop = await prepared();
  const { notes } = await succeed(
    ...["lbf", "tune", "--model", shop.file("model.onnx"), "--images", shop.file("train")],
    ...["--out", shop.file("tuned.onnx"), ...TUNE, "--margin", "0.5"],
    ...["--trainable", "last-block", "--profile"],
  );
  assertStringIncludes(notes, "Tuning last-block on 16 images, not moved");
  assertMatch(notes, /\d+ parameters learn, from \S+ on; 4 steps/);
  assertMatch(notes, /One step takes [\d.]+ ms on the GPU:\n {2}\S+ +[\d.]+ ms/);
  assertMatch(notes, /The last \d+ steps made 0 buffers, 0 pipelines, 0 bind groups, /);
});

Deno.test("ood lbf tune: batch normalisation for the training where a model has none", async () => {
  await using shop = await prepared();
  const plain = shop.file("plain.onnx");
  await writeSmallModel(plain);
  const tune = async (...more: string[]) =>
    (await succeed(
      ...["lbf", "tune", "--model", plain, "--images", shop.file("train"), "--margin", "0.5"],
      ...["--out", shop.file("tuned.onnx"), ...TUNE, ...more],
    )).notes;
  assertStringIncludes(
    await tune(),
    "Batch normalisation was put after 3 convolutions for the training and is folded away in the",
  );
  const notes = await tune("--insert-norms", "never");
  assert(!notes.includes("was put after"), notes);
});

Deno.test("ood lbf tune: an unfinished training is neither lost nor mistaken", async () => {
  await using shop = await prepared();
  const out = shop.file("tuned.onnx");
  const tune = (...more: string[]) =>
    ood(
      ...["lbf", "tune", "--model", shop.file("model.onnx"), "--images", shop.file("train")],
      ...["--out", out, ...TUNE, "--margin", "0.5", ...more],
    );
  assertRefused(await tune("--resume"), { code: 1, message: "there is no unfinished training" });
  await Deno.writeTextFile(`${out}.checkpoint`, "half");
  const before = listFiles(shop.path);
  assertRefused(await tune(), { code: 1, message: "go on with --resume, or remove it" });
  assertRefused(await tune("--resume"), { code: 1, message: "tuned.onnx.checkpoint" });
  assertEquals(listFiles(shop.path), before);
});

Deno.test("ood lbf refuses bad input in one sentence", async () => {
  await using shop = await prepared();
  await writeSmallModel(shop.file("convhead.onnx"), squeezenetLike());
  await writeSmallModel(shop.file("five.onnx"), squeezenetLike());
  await Deno.remove(shop.file("convhead.json"));
  await writeImages(shop.file("plain"), 4);
  await writeImages(shop.file("strange/owl"), 4);
  await writeImages(shop.file("strange/whale"), 4);
  const base = {
    model: shop.file("model.onnx"),
    images: shop.file("train"),
    out: shop.file("tuned.onnx"),
  };
  const before = listFiles(shop.path);
  const tune = (change: Partial<typeof base>, ...more: string[]) => {
    const { model, images, out } = { ...base, ...change };
    return ood("lbf", "tune", "--model", model, "--images", images, "--out", out, ...more);
  };
  const cases: [Parameters<typeof tune>, number, string][] = [
    [[{}, "--delta", "0"], 2, "δ (delta) must be above 0"],
    [[{}, "--delta", "2"], 2, "δ (delta) must be above 0 and at most 1: it is 2"],
    [[{}, "--margin", "-1"], 2, "μ (margin) must be 0 or more"],
    [[{}, "--weight", "-0.5"], 2, "λ (weight) must be 0 or more"],
    [[{}, "--rate", "0"], 2, "the learning rate must be above 0"],
    [[{}, "--epochs", "1.5"], 2, "--epochs must be a whole number"],
    [[{}, "--selection", "both"], 2, "--selection must be one of online, frozen"],
    [[{ images: shop.file("plain") }], 1, "4 of 4 images have no label"],
    [[{ images: shop.file("strange") }], 1, "whale"],
    [[{ images: shop.file("nowhere") }], 1, "nowhere"],
    [[{ model: shop.file("convhead.onnx") }], 1, 'Cannot tune "'],
    [[{ model: shop.file("five.onnx") }], 1, "it lists 4 labels and the model has 5 classes"],
    [[{}, "--batch", "100", "--margin", "1"], 1, "a batch takes 100 images and there are 16"],
    [[{}, "--trainable", "head", "--margin", "1", "--batch", "4"], 1, "what learns begins after"],
    [[{}, "--trainable", "nothing", "--margin", "1", "--batch", "4"], 1, "nothing"],
    [[{ out: shop.file("no/folder/t.onnx") }], 1, "no/folder"],
  ];
  for (const [args, code, message] of cases) assertRefused(await tune(...args), { code, message });
  const evaluate = (...more: string[]) =>
    ood(
      ...["lbf", "eval", "--before", base.model, "--after", base.model, "--train", base.images],
      ...["--id", shop.file("test"), "--ood", `other=${shop.file("other")}`, ...more],
    );
  assertRefused(await evaluate("--sensitivity", "rate=1"), { code: 2, message: "delta, margin" });
  assertRefused(await evaluate("--sensitivity", "delta=0"), { code: 2, message: "cannot take" });
  assertRefused(await evaluate("--sensitivity", "weight=1"), {
    code: 1,
    message: "does not say how it was tuned",
  });
  assertRefused(await evaluate("--ood", `id=${shop.file("other")}`), {
    code: 2,
    message: 'must not name a set "id"',
  });
  assertEquals(listFiles(shop.path), before);
});
