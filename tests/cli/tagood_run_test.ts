import { assertEquals, assertStringIncludes } from "@std/assert";
import { loadDetector } from "../../methods/mod.ts";
import { prepared, SMALL } from "./_colours.ts";
import { assertRefused, listFiles, ood, succeed } from "./_workshop.ts";

Deno.test("ood tagood run does every stage once, and goes on from the files that are there", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const argv = [
    ...["tagood", "run", "--model", file("t.onnx"), "--train", file("train"), "--val"],
    ...[file("test"), "--id", file("test"), "--ood", `a/b=${file("rose")}`, "--work"],
    ...[file("work"), ...SMALL, "--epochs", "2", "--patience", "1"],
  ];
  const { out, notes } = await succeed(...argv);
  const stages = [...out.matchAll(/^\$ ood (tagood \w+|\w+) /gm)].map(([, name]) => name);
  assertEquals(stages, [
    ...["tagood vocab", "tagood features", "tagood features", "tagood features"],
    ...["tagood features", "tagood train", "calibrate", "tagood eval"],
  ]);
  assertStringIncludes(out, `--out ${file("work/train.safetensors")}\n`);
  assertStringIncludes(out, `Detector with a threshold: ${file("work/calibrated.safetensors")}`);
  assertStringIncludes(notes, "Epoch 1: validation loss ");
  const names = listFiles(file("work")).map((line) => line.split("/").pop()!.split(" ")[0]);
  assertEquals(names, [
    ...["calibrated.safetensors", "id.safetensors", "ood-a%2Fb.safetensors", "report.html"],
    ...["tagood.safetensors", "train.safetensors", "val.safetensors", "vocabulary.json"],
    ...["vocabulary.safetensors"],
  ]);
  assertEquals((await loadDetector(file("work/calibrated.safetensors"))).calibration?.count, 12);

  await Deno.remove(file("work/calibrated.safetensors"));
  const before = await Deno.readFile(file("work/tagood.safetensors"));
  const again = await succeed(...argv);
  assertStringIncludes(again.out, `${file("work/tagood.safetensors")} is there already; remove it`);
  assertEquals(await Deno.readFile(file("work/tagood.safetensors")), before);
  assertEquals((await loadDetector(file("work/calibrated.safetensors"))).calibration?.count, 12);
});

Deno.test("ood tagood run refuses what makes no sense before the first stage", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const sources = ["--train", file("train"), "--val", file("test"), "--id", file("test")];
  const sets = [...sources, "--ood", `rose=${file("rose")}`];
  const before = listFiles(shop.path);
  const cases: [argv: string[], code: number, message: string][] = [
    [sources, 2, "The options --train, --val, --id and --ood go together: give all"],
    [[...sets, "--tau", "2"], 2, "The option --tau must be a number from 0 to 1"],
    [[...sets, "--width", "9"], 2, "a width of 9 cannot be shared by 8 heads"],
    [[...sets, "--patience", "x"], 2, "The option --patience must be a whole number"],
    [[...sets, "--work", file("t.json")], 1, `Cannot make the folder "${file("t.json")}"`],
  ];
  for (const [argv, code, message] of cases) {
    const work = argv.includes("--work") ? [] : ["--work", file("work")];
    assertRefused(await ood("tagood", "run", ...argv, ...work), { code, message });
  }
  assertEquals(listFiles(shop.path), before);
});
