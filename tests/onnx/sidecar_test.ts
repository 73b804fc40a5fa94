import { fileURLToPath } from "node:url";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { loadSidecar, parseSidecar } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/errors.ts";

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
