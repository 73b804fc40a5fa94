import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  boundaryOf,
  denoisingsOf,
  elementPrompt,
  energyTarget,
  imageSeed,
  labelWork,
  requireSynthesisSettings,
  sourceWork,
  SYNTHESIS_DEFAULTS,
  SYNTHESIS_LOSSES,
  type SynthesisLoss,
} from "../../methods/mod.ts";
import { workHash } from "../../methods/synood/work_list.ts";
import { UserError } from "../../runtime/mod.ts";

Deno.test("the defaults are the paper's, with the guidance of the code", () => {
  assertEquals(requireSynthesisSettings(SYNTHESIS_DEFAULTS), {
    steps: 20,
    strength: 0.6,
    guidance: 8,
    iterations: 3,
    count: "paper",
    rate: 10,
    gradientBy: "latents",
    loss: "paper",
    temperature: 1,
    quantile: 0.05,
    filter: "none",
    seed: 0,
  });
  assertEquals(denoisingsOf(SYNTHESIS_DEFAULTS), 4);
  assertEquals(denoisingsOf({ iterations: 0, count: "code" }), 1);
});

Deno.test("energyTarget() names what the kernel is asked for", () => {
  const kinds = SYNTHESIS_LOSSES.map((loss) => energyTarget(loss, 12));
  assertEquals(kinds, [
    { kind: "hinge", margin: 12 },
    { kind: "squared", margin: 12 },
    { kind: "literal", margin: 12 },
    { kind: "spread", margin: 5 },
  ]);
  for (const loss of ["energy", "toString", ""]) {
    assertThrows(() => energyTarget(loss as SynthesisLoss, 0), UserError, "Cannot use the loss");
  }
});

Deno.test("boundaryOf() is what 95 % of the source images reach", () => {
  const energy = Array.from({ length: 100 }, (_, i) => 100 - i);
  const { energy: found, msp } = boundaryOf({ energy, msp: energy.map((value) => value / 100) });
  assertEquals([found, msp], [6, 0.06]);
  assertEquals(energy.filter((value) => value >= found).length, 95);
  assertEquals(boundaryOf({ energy: [3], msp: [1] }), { energy: 3, msp: 1 });
  assertEquals(boundaryOf({ energy: [1, 2], msp: [1, 2] }, 0).energy, 1);
  assertThrows(() => boundaryOf({ energy: [], msp: [] }), UserError, "there are no source images");
  assertThrows(() => boundaryOf({ energy: [1], msp: [1] }, 1), UserError, "from 0 to below 1");
});

Deno.test("elementPrompt() cuts elements at 73 characters, whatever they are written in", () => {
  assertEquals(elementPrompt(["a".repeat(80)]), `A photo only remain ${"a".repeat(73)}.`);
  assertEquals(elementPrompt(["🌲".repeat(80)], "{elements}"), "🌲".repeat(73));
  assertEquals(elementPrompt(["$&", "b"], "x {elements} {elements}"), "x $&, b $&, b");
  assertThrows(() => elementPrompt(["a"], "a photo"), UserError, "it lacks {elements}");
});

const IMAGES = {
  path: "in",
  names: ["cat/1.png", "cat/deep/1.jpg", "cat/2.png", "3.png", "dog/.x.png"],
  labels: Int32Array.of(0, 0, 0, -1, 1),
  classNames: ["cat", "dog"],
};
const CONTEXTS = {
  images: Object.fromEntries(IMAGES.names.map((name, i) => [name, i === 2 ? [] : ["sky"]])),
};

Deno.test("sourceWork() gives each source with elements a place of its own", () => {
  const { items, withoutElements } = sourceWork(IMAGES, CONTEXTS);
  assertEquals(items.map(({ path, index, label }) => [path, index, label]), [
    ["cat/1.png", 0, 0],
    ["cat/1-2.png", 1, 0],
    ["unlabelled/3.png", 3, -1],
    ["dog/_x.png", 4, 1],
  ]);
  assertEquals(withoutElements, ["cat/2.png"]);
  const { items: chosen } = sourceWork(IMAGES, CONTEXTS, { indices: [4, 0], prompt: "{elements}" });
  assertEquals(chosen.map(({ source, prompt }) => [source, prompt]), [
    ["dog/.x.png", "sky"],
    ["cat/1.png", "sky"],
  ]);
  assertThrows(
    () => sourceWork(IMAGES, { images: {} }),
    UserError,
    'Cannot make images from "in": none of 5 images has elements in the contexts',
  );
});

Deno.test("labelWork() keeps labels apart that a file system does not tell apart", () => {
  const { items } = labelWork(["Kite", "kite", "..", "a/b:c", ""], { prompt: "a {elements}" });
  assertEquals(items.map(({ path }) => path), [
    "Kite/0.png",
    "kite/0-2.png",
    "_/0.png",
    "a_b_c/0.png",
    "_/0-2.png",
  ]);
  assertEquals(items[1]!.prompt, "a kite");
  for (const perLabel of [0, 1.5, NaN]) {
    assertThrows(() => labelWork(["a"], { perLabel }), UserError, "Cannot make");
  }
});

Deno.test("imageSeed() depends on the image and the seed alone", () => {
  const { items } = sourceWork(IMAGES, CONTEXTS);
  const seeds = items.map((item) => imageSeed(item, 1));
  assertEquals(new Set(seeds).size, items.length);
  assertEquals(seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0), true);
  assertEquals(imageSeed({ ...items[0]!, path: "elsewhere.png" }, 1), seeds[0]);
  assertNotEquals(imageSeed(items[0]!, 2), seeds[0]);
});

Deno.test("workHash() tells work lists apart by sources, prompts and places", () => {
  const { items } = sourceWork(IMAGES, CONTEXTS);
  const hash = workHash(items);
  assertEquals(workHash([...items]), hash);
  assertNotEquals(workHash(items.toReversed()), hash);
  assertNotEquals(workHash(items.map((item) => ({ ...item, prompt: "" }))), hash);
});
