import { fileURLToPath } from "node:url";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { loadSidecar, parseSidecar } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/errors.ts";
import { temporaryFolder } from "../_support/images.ts";

const PREPROCESSING = {
  interpolation: "bilinear",
  channels: "BGR",
  range: 255,
  mean: [104, 117, 123],
  scale: [1, 1, 1],
};

Deno.test("loadSidecar() reads the file beside the model", async () => {
  const model = fileURLToPath(new URL("../../models/cifar10-resnet20.onnx", import.meta.url));
  const sidecar = await loadSidecar(model);
  assertEquals(sidecar?.labels?.length, 10);
  assertEquals(sidecar?.preprocessing?.scale, [0.2470, 0.2435, 0.2616]);
  assertEquals(await loadSidecar("no/such.onnx"), undefined);
});

Deno.test("loadSidecar() refuses a file that is not JSON", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/m.json`, "{ labels: }");
    await assertRejects(() => loadSidecar(`${folder}/m.onnx`), UserError, "it is not JSON");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("loadSidecar() reads the preprocessing of a preprocessor_config.json", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.mkdir(`${path}/onnx`);
  const specOf = async (config: unknown, model = "m.onnx") => {
    await Deno.writeTextFile(`${path}/preprocessor_config.json`, JSON.stringify(config));
    return (await loadSidecar(`${path}/${model}`))?.preprocessing;
  };
  const numbers = { "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4] };
  const rest = { channels: "RGB", range: 1, layout: "NCHW" } as const;
  const shown = { mean: [0.5, 0.4, 0.3], scale: [0.2, 0.3, 0.4] };
  // As CLIP's first files had it: one number each, the filter left to the class.
  const clip = {
    ...numbers,
    "crop_size": 24,
    "do_center_crop": true,
    "feature_extractor_type": "CLIPFeatureExtractor",
    size: 24,
  };
  const expected = {
    resize: { shorter: 24 },
    crop: { width: 24, height: 24 },
    interpolation: "bicubic",
    ...rest,
    ...shown,
  };
  assertEquals<unknown>(await specOf(clip), expected);
  assertEquals<unknown>(await specOf({ ...clip, resample: 0 }), {
    ...expected,
    interpolation: "nearest",
  });
  // A folder of models has its configuration above it.
  assertEquals<unknown>(await specOf(clip, "onnx/m.onnx"), expected);
  // As transformers that see whole images.
  const whole = { ...numbers, resample: 2, size: { height: 20, width: 30 }, "rescale_factor": 1 };
  assertEquals<unknown>(await specOf(whole), {
    resize: { width: 30, height: 20 },
    interpolation: "bilinear",
    ...rest,
    range: 255,
    ...shown,
  });
  assertEquals<unknown>(
    await specOf({ "do_normalize": false, "do_rescale": false, "do_resize": false, size: 9 }),
    { interpolation: "nearest", ...rest, range: 255, mean: [0, 0, 0], scale: [1, 1, 1] },
  );
  // What the sidecar says goes before.
  await Deno.writeTextFile(`${path}/m.json`, JSON.stringify({ labels: ["cat"] }));
  assertEquals<unknown>(await specOf(clip), expected);
  assertEquals((await loadSidecar(`${path}/m.onnx`))?.labels, ["cat"]);
  await Deno.writeTextFile(`${path}/m.json`, JSON.stringify({ preprocessing: PREPROCESSING }));
  assertEquals((await specOf(clip))?.channels, "BGR");
  await assertRejects(() => specOf(7, "onnx/m.onnx"), UserError, "it is 7 and an object");
  await assertRejects(
    () => specOf({ size: 9 }, "x.onnx"),
    UserError,
    '"mean" must be three numbers',
  );
});

Deno.test("parseSidecar() takes everything that a sidecar can say", () => {
  const sidecar = parseSidecar({
    name: "a",
    input: "x",
    labels: ["cat", "dog"],
    preprocessing: PREPROCESSING,
    outputs: { logits: "y", "feature_map": "m", "tag_logits": "t" },
    tags: ["cat", "dog", "grass"],
    "tag_thresholds": [0.6, 0.7, 0.8],
    head: { weight: "w", bias: "b" },
  });
  assertEquals(sidecar.tags, ["cat", "dog", "grass"]);
  assertEquals(sidecar.tag_thresholds, [0.6, 0.7, 0.8]);
  assertEquals(parseSidecar({ "tag_thresholds": 0.68 }).tag_thresholds, 0.68);
  assertEquals(sidecar.preprocessing?.layout, "NCHW");
  assertEquals(sidecar.head, { weight: "w", bias: "b" });
  assertEquals(parseSidecar({ head: "none" }).head, "none");
});

Deno.test("parseSidecar() names what it does not understand", () => {
  const cases: [unknown, string][] = [
    [[], "it is a list and an object was expected"],
    [{ lables: [] }, 'unknown key "lables"; did you mean "labels"'],
    [{ labels: "cat" }, '"labels" is "cat" and a list of class names was expected'],
    [{ labels: [] }, '"labels" is a list'],
    [{ labels: ["cat", 3] }, '"labels.1" is 3 and a text was expected'],
    [{ outputs: { logit: "y" } }, '"outputs" has the unknown key "logit"; did you mean "logits"'],
    [{ outputs: { logits: null } }, '"outputs.logits" is null'],
    [{ head: "nothing" }, '"head" is "nothing"'],
    [{ head: { bias: "b" } }, '"head.weight" is null'],
    [{ tags: "cat" }, '"tags" is "cat" and a list of tag names was expected'],
    [{ tags: ["cat", ""] }, '"tags.1" is an empty text'],
    [{ tag_treshold: 0.5 }, 'did you mean "tag_thresholds"'],
    [{ "tag_thresholds": 1 }, '"tag_thresholds" is 1 and a probability between 0 and 1'],
    [{ "tag_thresholds": [0.5, "0.5"] }, '"tag_thresholds.1" is "0.5" and a probability'],
    [
      { tags: ["cat"], "tag_thresholds": [0.5, 0.5] },
      '"tag_thresholds" lists 2 probabilities for 1 tags',
    ],
    [{ preprocessing: { ...PREPROCESSING, std: [1, 1, 1] } }, 'unknown key "std"'],
    [{ preprocessing: { ...PREPROCESSING, range: 2 } }, '"range"'],
    [{ preprocessing: { interpolation: "bilinear" } }, '"preprocessing" of "m.json"'],
  ];
  for (const [value, message] of cases) {
    assertThrows(() => parseSidecar(value, { name: "m.json" }), UserError, message);
  }
});
