import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { openImages } from "../../data/mod.ts";
import { preprocessReference } from "../../kernels/mod.ts";
import { loadDetector } from "../../methods/mod.ts";
import { type HostArray, openSession } from "../../onnx/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  arraysOf,
  COLOUR_SIDECAR,
  OBJECT_KEYS,
  prepared,
  train,
  WASM,
  withObjects,
} from "./_colours.ts";
import { succeed, workshop, writeImages } from "./_workshop.ts";

Deno.test("a TagOOD detector gives the same scores everywhere, and to single images", async () => {
  await using shop = await prepared("train", "test", "rose");
  const { file } = shop;
  await withObjects(shop, "train", "rose");
  await train(shop, "--epochs", "2");
  const detector = ["--detector", file("d.st")];
  await succeed("calibrate", ...detector, "--id", file("test.st"), "--device", "reference");
  const { calibration } = await loadDetector(file("d.st"));
  assertEquals(calibration!.count, 12);

  const rose = ["--features", file("rose.st")];
  const verdicts = async (...argv: string[]) => {
    const { out } = await succeed("score", ...detector, "--json", ...argv);
    return JSON.parse(out).verdicts as { name: string; score: number; pValue: number }[];
  };
  const scores = async (...argv: string[]) => (await verdicts(...argv)).map(({ score }) => score);
  const expected = await scores(...rose, "--device", "reference");
  assertEquals(expected.length, 6);
  assert(expected.every((score) => score > -1 && score <= 1), `${expected}`);
  for (const device of ["webgpu", "wasm"]) {
    assertClose(await scores(...rose, "--device", device), expected, TOLERANCE.score, device);
  }
  const ofObjects = await scores("--features", file("rose.objects"), "--device", "webgpu");
  assertClose(ofObjects, expected, TOLERANCE.score, "object tokens");
  const images = ["--model", file("t.onnx"), "--images"];
  for (const device of ["reference", "webgpu", "wasm"]) {
    const found = await verdicts(...images, file("rose"), "--device", device);
    assertEquals(found.map(({ name }) => name).slice(0, 2), ["00.png", "01.png"]);
    assertClose(found.map(({ score }) => score), expected, TOLERANCE.score, `images, ${device}`);
  }
  const [grey] = await verdicts(...images, file("grey"), ...WASM);
  assertEquals(grey!.score, -1);

  await succeed("export", ...detector, "--out", file("alone.onnx"));
  const features = await arraysOf(file("rose.st"), ["tokens", "tag_logits", "attention"]);
  assertClose(await scoresOf(file("alone.onnx"), features), expected, TOLERANCE.score, "alone");
  const joined = ["--model", file("t.onnx"), "--out", file("joined.onnx")];
  const { notes } = await succeed("export", ...detector, ...joined);
  assertStringIncludes(notes, `Wrote ${file("joined.onnx")}: image to score\n`);
  const pixels = await pixelsOf(file("rose"));
  const ofPixels = await scoresOf(file("joined.onnx"), { image: pixels });
  assertClose(ofPixels, expected, TOLERANCE.score, "joined");
});

async function scoresOf(path: string, feeds: Record<string, HostArray>): Promise<number[]> {
  const bytes = await Deno.readFile(path);
  await using session = await openSession(bytes, { device: "wasm", threads: 1 });
  return [...(await session.run(feeds))["score"]!.data];
}

async function pixelsOf(source: string): Promise<HostArray> {
  const images = await openImages(source, { labels: "none" });
  const pixels: number[] = [];
  for (let i = 0; i < images.count; i++) {
    pixels.push(...preprocessReference(await images.read(i), COLOUR_SIDECAR.preprocessing!));
  }
  return { data: Float32Array.from(pixels), shape: [images.count, 3, 16, 16] };
}

Deno.test("ood tagood takes a classifier by its class-activation maps", async () => {
  await using shop = await workshop();
  const { file } = shop;
  const model = ["--model", "models/cifar10-resnet20.onnx"];
  const names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse"];
  for (const [i, name] of [...names, "ship", "truck"].entries()) {
    await writeImages(file(`train/${name}`), 2, 7 * i);
  }
  const extract = (images: string, out: string, ...more: string[]) =>
    succeed(
      ...["extract", ...model, "--images", images, "--out", file(out), "--threads", "1"],
      ...["--workers", "0", ...more, ...WASM],
    );
  await extract(file("train"), "train.st", "--feature-map", "f32");
  await extract("synthetic:rings:4:32x32", "other.st", "--feature-map", "f32");
  const features = ["tagood", "features", "--out", file("train.objects")];
  const made = await succeed(...features, "--features", file("train.st"), "--json");
  const { tokens, untagged } = JSON.parse(made.out);
  // A class of ten is predicted from a tenth on, so that each image has one.
  assertEquals(untagged, 0);
  assert(tokens > 20 && tokens < 20 * 64, `${tokens} of ${20 * 64} places`);
  const arrays = await arraysOf(file("train.objects"), [...OBJECT_KEYS, "head.weight"]);
  assertEquals(arrays["head.weight"]!.shape, [10, 64]);
  await succeed(...features, "--images", file("train"), ...model);
  const again = await arraysOf(file("train.objects"), [...OBJECT_KEYS, "head.weight"]);
  assertEquals(again["object_counts"], arrays["object_counts"]);
  assertClose(
    again["object_tokens"]!.data,
    arrays["object_tokens"]!.data as Float32Array,
    TOLERANCE.exact,
    "tokens of maps that are not stored",
  );
  await train(shop, "--epochs", "1");
  const { fitted } = await loadDetector(file("d.st"));
  assertEquals(fitted.method.name, "tagood_cam");
  const { out } = await succeed(
    ...["tagood", "eval", "--detector", file("d.st"), "--id", file("train.st"), "--bootstrap"],
    ...["0", "--ood", `other=${file("other.st")}`],
  );
  assertMatch(out, /^other \(20 ID, 4 OOD\)\ncosine /m);
  await succeed(...["calibrate", "--detector", file("d.st"), "--id", file("train.st"), ...WASM]);
  const score = ["score", "--detector", file("d.st"), "--json", ...WASM];
  const scores = async (...argv: string[]) =>
    JSON.parse((await succeed(...score, ...argv)).out).verdicts
      .map(({ score }: { score: number }) => score) as number[];
  const ofImages = await scores(...model, "--images", file("train"));
  assertClose(
    ofImages,
    await scores("--features", file("train.st")),
    TOLERANCE.score,
    "images and their maps",
  );
  const joined = await succeed(
    ...["export", "--detector", file("d.st"), ...model, "--out", file("joined.onnx")],
  );
  assertStringIncludes(joined.notes, ": input to score, logits\n");
});
