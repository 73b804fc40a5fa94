import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openFeatures, openImages, readSafetensors } from "../../data/mod.ts";
import { preprocessReference } from "../../kernels/mod.ts";
import { SCORES } from "../../methods/mod.ts";
import { openSession, readModel } from "../../onnx/mod.ts";
import { VERSION } from "../../cli/main.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  CLASSES,
  listFiles,
  SPEC,
  succeed,
  type Workshop,
  workshop,
  writeClassFolders,
  writeFeatureFiles,
  writeImages,
  writeSmallModel,
} from "./_workshop.ts";

/** The scores on labels, which a classifier does not know. */
const ON_LABELS = SCORES.filter(({ needs }) => needs.includes("image_embed"))
  .map(({ name }) => name);
const METHODS = SCORES.map(({ name }) => name).filter((name) => !ON_LABELS.includes(name));
const WASM = ["--device", "wasm"];
const HERE = ["--device", "reference"];
const FIGURES = ["auroc", "fpr95", "fpr95_reverse", "aupr_in", "aupr_out"];

/** A model, its images, and features of them as `ood extract` makes them. */
async function extracted(): Promise<Workshop> {
  const shop = await workshop();
  const { file } = shop;
  await writeSmallModel(file("tiny.onnx"));
  await writeClassFolders(file("train"), 13);
  await writeClassFolders(file("test"), 4, 100);
  await writeImages(file("loose"), 5, 200);
  await Deno.writeTextFile(file("list.txt"), "loose/003.png\nloose/000.png\nloose/004.png\n");
  const extract = (images: string, name: string) =>
    succeed(
      ...["extract", "--model", file("tiny.onnx"), "--images", images],
      ...["--out", file(`${name}.safetensors`), "--batch", "8", "--threads", "1", ...WASM],
    );
  await extract(file("train"), "train");
  await extract(file("test"), "id");
  await extract(file("list.txt"), "listed");
  await extract("synthetic:rings,stripes:7:12x10", "drawn");
  return shop;
}

function setsOf({ file }: Workshop): string[] {
  const feature = (name: string) => file(`${name}.safetensors`);
  return [
    ...["--train", feature("train"), "--id", feature("id")],
    ...["--ood", `listed=${feature("listed")}`, "--ood", `drawn=${feature("drawn")}`],
  ];
}

Deno.test("ood goes from images through features, table and detector to one graph", async () => {
  await using shop = await extracted();
  const { file } = shop;
  {
    await using id = await openFeatures(file("id.safetensors"));
    assertEquals(id.count, 16);
    assertEquals(id.names?.slice(0, 5), [
      ...["ape/000.png", "ape/001.png", "ape/002.png", "ape/003.png", "cat/000.png"],
    ]);
    const folders = [...CLASSES].sort();
    const expected = folders.flatMap((name) => Array(4).fill(CLASSES.indexOf(name)));
    assertEquals([...(await id.read("labels")).data], expected);
    await using listed = await openFeatures(file("listed.safetensors"));
    assertEquals(listed.names, ["loose/003.png", "loose/000.png", "loose/004.png"]);
    await using drawn = await openFeatures(file("drawn.safetensors"));
    assertEquals(drawn.names?.slice(0, 3), ["rings/0000", "stripes/0001", "rings/0002"]);
  }

  const table = await succeed("eval", ...setsOf(shop), "--bootstrap", "20", ...HERE);
  // Without --odin there are no logits of moved images.
  const scored = METHODS.filter((name) => name !== "odin");
  for (const name of scored) assertStringIncludes(table.out, name);
  for (const name of ["odin", ...ON_LABELS]) {
    assertStringIncludes(table.notes, `Left out ${name}: `);
  }

  for (const method of ["energy", "feature_norm"]) {
    const detector = ["--detector", file(`${method}.safetensors`)];
    const train = ["--train", file("train.safetensors"), "--id", file("id.safetensors")];
    const fitted = await succeed(
      ...["fit", "--method", method, ...train, "--out", detector[1]!, ...HERE],
    );
    assertStringIncludes(fitted.notes, "in-distribution images (95 % interval");
    const calibrated = await succeed(
      ...["calibrate", ...detector, "--id", file("id.safetensors"), "--acceptance", "0.8"],
      ...["--json", ...HERE],
    );
    assertEquals(JSON.parse(calibrated.out).acceptance, 0.8);

    const score = ["score", ...detector, "--json"];
    const features = ["--features", file("listed.safetensors")];
    const images = ["--model", file("tiny.onnx"), "--images", file("list.txt")];
    const ofFeatures = JSON.parse((await succeed(...score, ...features, ...HERE)).out);
    const ofImages = JSON.parse((await succeed(...score, ...images, ...WASM)).out);
    const numbers = ({ verdicts }: { verdicts: { score: number }[] }) =>
      verdicts.map(({ score }) => score);
    assertClose(numbers(ofImages), numbers(ofFeatures), TOLERANCE.score, method);
    const [first] = ofFeatures.verdicts;
    assertEquals(Object.keys(first), [
      ...["name", "isInDistribution", "score", "threshold", "pValue", "reason"],
    ]);
    assertEquals(first.isInDistribution, first.score >= first.threshold);

    const csv = await succeed("score", ...detector, ...features, "--csv", file("v.csv"), ...HERE);
    assertStringIncludes(csv.out, "loose/003.png");
    const rows = (await Deno.readTextFile(file("v.csv"))).trimEnd().split("\n");
    assertEquals(rows[0], "name,in_distribution,score,threshold,p_value,reason");
    assertEquals(rows.length, 4);
    assertEquals(Number(rows[1]!.split(",")[2]), first.score);

    await succeed("export", ...detector, "--out", file("alone.onnx"));
    const { graph } = await readModel(file("alone.onnx"));
    assertEquals(graph.outputs.map(({ name }) => name), ["score"]);
    const joined = ["--model", file("tiny.onnx"), "--out", file("joined.onnx")];
    await succeed("export", ...detector, ...joined, "--with-features");
    assertClose(
      await runJoined(file("joined.onnx"), file("list.txt")),
      numbers(ofFeatures),
      TOLERANCE.provider,
      `joined ${method}`,
    );
  }
});

/** The scores that a joined graph gives images. */
async function runJoined(path: string, source: string): Promise<number[]> {
  const images = await openImages(source, { labels: "none" });
  const pixels: number[] = [];
  for (let i = 0; i < images.count; i++) {
    pixels.push(...preprocessReference(await images.read(i), SPEC));
  }
  await using session = await openSession(await Deno.readFile(path), {
    device: "wasm",
    threads: 1,
  });
  const input = { data: Float32Array.from(pixels), shape: [images.count, 3, 8, 8] };
  const outputs = await session.run({ image: input });
  const { score } = outputs;
  assertEquals(Object.keys(outputs).length, 3);
  return [...score!.data];
}

Deno.test("ood extract --shard makes parts that --merge joins without a model", async () => {
  await using shop = await workshop();
  const { file } = shop;
  await writeSmallModel(file("tiny.onnx"));
  await writeImages(file("images"), 7);
  const argv = [
    ...["extract", "--model", file("tiny.onnx"), "--images", file("images"), "--labels", "none"],
    ...["--batch", "2", "--threads", "1", "--workers", "0", ...WASM],
  ];
  await succeed(...argv, "--out", file("whole"));
  for (const shard of ["1/2", "2/2"]) {
    await succeed(...argv, "--out", file("parts"), "--shard", shard);
  }
  await succeed("extract", "--merge", "2", "--out", file("parts"));
  const [whole, parts] = [
    await readSafetensors(file("whole")),
    await readSafetensors(file("parts")),
  ];
  assertEquals(parts.metadata["names"], whole.metadata["names"]);
  for (const [key, { data }] of Object.entries(whole.tensors)) {
    const floats = data as Float32Array<ArrayBuffer>;
    assertClose(parts.tensors[key]!.data as typeof floats, floats, TOLERANCE.provider, key);
  }
});

Deno.test("ood eval writes results as their contract says", async () => {
  await using shop = await workshop();
  const { file } = shop;
  const { train, id, near, far } = await writeFeatureFiles(shop.path);
  const sets = ["--train", train, "--id", id, "--ood", `near=${near}`, "--ood", `far=${far}`];
  const run = await succeed(
    ...["eval", ...sets, "--val", id, "--group", "both=near,far", "--bootstrap", "20", ...HERE],
    ...["--param", "knn.k=5", "--param", "react.percentile=80", "--param", "vim.dim=3"],
    ...["--json", file("out.json"), "--scores", file("s.safetensors"), "--csv", file("out.csv")],
    ...["--html", file("out.html")],
  );
  const results = JSON.parse(await Deno.readTextFile(file("out.json")));
  assertEquals(Object.keys(results).slice(0, 4), [
    ...["manifest", "id_accuracy", "results", "averages"],
  ]);
  const { manifest } = results;
  assertEquals([manifest.convention, manifest.convention_name, manifest.fpr95], [
    ...["B", "default", "FPR95(OOD|ID95)"],
  ]);
  assertEquals(manifest.tool, `oodgpu ${VERSION}`);
  assertEquals(manifest.methods, METHODS);
  assertEquals(manifest.parameters.knn, { k: 5 });
  assertEquals(manifest.parameters.react.percentile, 80);
  assertEquals(manifest.parameters.vim.dim, 3);
  assertEquals(manifest.bootstrap, { replicates: 20, level: 0.95, seed: 0 });
  assertEquals(manifest.validation.path, id);
  assertEquals(manifest.ood.far.count, 25);
  assert(results.id_accuracy > 0.9 && results.id_accuracy <= 1);

  assertEquals(
    results.results.map((row: { ood: string; method: string }) => `${row.ood} ${row.method}`),
    ["near", "far"].flatMap((set) => METHODS.map((method) => `${set} ${method}`)),
  );
  for (const row of [...results.results, ...results.averages]) {
    assertEquals(row.n_id, 60);
    for (const figure of FIGURES) {
      assert(row[figure] >= 0 && row[figure] <= 1, `${row.method} ${figure} ${row[figure]}`);
      const [low, high] = row.ci[figure];
      assert(0 <= low && low <= high && high <= 1, `${row.method} ${figure} ${low} ${high}`);
    }
  }
  assertEquals(
    results.averages.map((row: { group: string; method: string }) => `${row.group} ${row.method}`),
    ["all", "both"].flatMap((group) => METHODS.map((method) => `${group} ${method}`)),
  );
  const energy = results.results.filter((row: { method: string }) => row.method === "energy");
  const [average] = results.averages.filter((row: { method: string }) => row.method === "energy");
  assertEquals(average.auroc, (energy[0].auroc + energy[1].auroc) / 2);

  const { tensors, metadata } = await readSafetensors(file("s.safetensors"));
  assertEquals(
    Object.keys(tensors).sort(),
    METHODS.flatMap((method) => ["id", "near", "far"].map((set) => `${method}/${set}`)).sort(),
  );
  assertEquals(metadata["convention"], "B");
  await using idSet = await openFeatures(id);
  const { data: logits } = await idSet.read("logits");
  const largest = Array.from(
    { length: 60 },
    (_, i) => Math.max(...logits.subarray(3 * i, 3 * i + 3)),
  );
  assertClose(
    tensors["max_logit/id"]!.data as Float32Array<ArrayBuffer>,
    largest,
    TOLERANCE.exact,
    "max_logit/id in the order of the input",
  );

  const csv = (await Deno.readTextFile(file("out.csv"))).trimEnd().split("\n");
  assertStringIncludes(csv.join("\n"), "feature_norm");
  const html = await Deno.readTextFile(file("out.html"));
  assertStringIncludes(html, "FPR95(OOD|ID95)");
  assertEquals(/(src|href)="https?:/.test(html), false);
  assertStringIncludes(run.notes, `Wrote ${file("out.json")}`);
});

for (
  const [name, letter] of [
    ["default", "B"],
    ["openood", "A"],
    ["tagood", "C"],
    ["synood", "D"],
    ["neglabel", "E"],
  ] as const
) {
  Deno.test(`ood eval --convention ${name} --json - prints nothing but the results`, async () => {
    await using shop = await workshop();
    const { train, id, near } = await writeFeatureFiles(shop.path);
    const before = listFiles(shop.path);
    const { out } = await succeed(
      ...["eval", "--train", train, "--id", id, "--ood", `near=${near}`, "--methods", "msp"],
      ...["--convention", name, "--json", "-", "--bootstrap", "0", ...HERE],
    );
    const { manifest, results } = JSON.parse(out);
    assertEquals([manifest.convention_name, manifest.convention], [name, letter]);
    assertEquals(results[0].ci, null);
    assertEquals(listFiles(shop.path), before);
  });
}
