import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import {
  contactSheet,
  FAR_FAMILIES,
  renderImages,
  renderScenes,
  type Scene,
  sceneMask,
  sceneTags,
  UNSEEN_TEXTURES,
  WORLD_BACKGROUNDS,
  WORLD_CLASSES,
  WORLD_COLOURS,
  WORLD_CONTEXTS,
  WORLD_SPLITS,
  WORLD_UNSEEN_KINDS,
  WORLD_VERSION,
  worldScenes,
  worldSplit,
  type WorldSplitName,
} from "../../data/mod.ts";
import {
  FIGURES,
  type ObjectInk,
  SURROUNDINGS,
  TURNING_KINDS,
  USUAL_COLOURS,
} from "../../data/world/kinds.ts";
import { type Ink, Pen, poseMap } from "../../data/world/pen.ts";
import { renderWorld, Rng, type WorldPart } from "../../kernels/mod.ts";
import { Host } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { difference, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 4;

function some(count: number): Scene[] {
  return WORLD_SPLITS.flatMap((split) => worldScenes(split, { seed: SEED, count }));
}

Deno.test("worldScenes() gives a scene that depends on seed, split and index alone", () => {
  for (const split of WORLD_SPLITS) {
    const whole = worldScenes(split, { seed: SEED, count: 60 });
    const parts = [[40, 20], [0, 13], [13, 27]].map(([begin, count]) =>
      worldScenes(split, { seed: SEED, begin: begin!, count: count! })
    );
    assertEquals([...parts[1]!, ...parts[2]!, ...parts[0]!], whole);
    assertNotEquals(
      worldScenes(split, { seed: SEED + 1, count: 60 })[0]!.drawing,
      whole[0]!.drawing,
    );
  }
});

Deno.test("worldScenes() draws the world that its version names", () => {
  const tags = JSON.stringify(some(120).map(sceneTags));
  const hash = createHash("sha256").update(tags).digest("hex");
  // Another hash is another world: raise WORLD_VERSION with it.
  assertEquals([WORLD_VERSION, hash.slice(0, 16)], [1, "db638e852f581044"]);
});

Deno.test("worldScenes() shares no scene between splits or within one", () => {
  const scenes = WORLD_SPLITS.flatMap((split) => worldScenes(split, { seed: SEED, count: 300 }));
  const drawings = new Set(scenes.map(({ drawing }) => JSON.stringify(drawing)));
  assertEquals(drawings.size, scenes.length);
});

Deno.test("worldScenes() refuses unknown splits, seeds and ranges out of bounds", () => {
  const draw = (split: string, range: { seed: number; begin?: number; count: number }) => () =>
    worldScenes(split as WorldSplitName, range);
  assertThrows(draw("trian", { seed: 1, count: 1 }), RangeError, "train, val");
  assertThrows(draw("train", { seed: -1, count: 1 }), RangeError, "seed");
  assertThrows(draw("train", { seed: 1, count: 1.5 }), RangeError, "1.5 scenes");
  assertThrows(draw("train", { seed: 1, begin: 2 ** 28, count: 1 }), RangeError, "2^28");
  assertEquals(worldScenes("far-ood", { seed: 1, begin: 2 ** 28 - 1, count: 1 }).length, 1);
});

Deno.test("worldScenes() shows what each split is for", () => {
  const of = (split: WorldSplitName) => worldScenes(split, { seed: SEED, count: 120 });
  for (const split of ["train", "val", "test"] as const) {
    for (const { object, label, index } of of(split)) {
      assertEquals([object!.kind, label], [WORLD_CLASSES[index % 20]!, index % 20]);
    }
  }
  for (const { object, label, home } of of("near-ood")) {
    assert(
      WORLD_UNSEEN_KINDS.includes(object!.kind) && label === -1 && WORLD_CLASSES.includes(home!),
    );
  }
  for (const { object, contexts, background } of of("background")) {
    assert(
      object === undefined && contexts.length > 0 && WORLD_BACKGROUNDS.includes(background.kind),
    );
  }
  const far = of("far-ood");
  for (const family of FAR_FAMILIES) {
    const members = far.filter((scene) => scene.family === family);
    assertEquals(members.length, 40);
    const seen = new Set(members.map(({ background }) => background.kind));
    if (family === "textures") assertEquals([...seen].sort(), UNSEEN_TEXTURES);
    if (family === "noise") assertEquals([...seen].sort(), ["blobs", "gaussian", "uniform"]);
    assertEquals(
      members.every(({ object }) => (object !== undefined) === (family === "glyphs")),
      true,
    );
    for (const kind of members.flatMap(({ object }) => object?.kind ?? [])) {
      assert(FIGURES[kind] === undefined);
    }
  }
});

Deno.test("worldScenes() meets classes in their surroundings often, and everywhere sometimes", () => {
  const scenes = worldScenes("train", { seed: SEED, count: 4000 });
  const usual = scenes.filter(({ home, background }) =>
    SURROUNDINGS[home!]!.backgrounds.includes(background.kind)
  );
  // 0.8, and 3 of 12 of the rest.
  assert(Math.abs(usual.length / scenes.length - 0.85) < 0.03, `${usual.length}`);
  const contexts = scenes.flatMap(({ home, contexts }) =>
    contexts.map(({ kind }) => SURROUNDINGS[home!]!.contexts.includes(kind))
  );
  const share = contexts.filter((fits) => fits).length / contexts.length;
  assert(share > 0.75 && share < 0.9, `${share}`);
  for (const kind of WORLD_CLASSES) {
    const met = scenes.filter(({ object }) => object!.kind === kind);
    assert(new Set(met.map(({ background }) => background.kind)).size >= 8, kind);
    assert(new Set(met.map(({ object }) => object!.colours[0])).size >= 8, kind);
  }
});

Deno.test("the tables of kinds, surroundings and colours name what there is", () => {
  assertEquals(WORLD_CLASSES.length, 20);
  assertEquals(WORLD_CLASSES, WORLD_CLASSES.toSorted());
  assert(WORLD_CLASSES.length + WORLD_UNSEEN_KINDS.length >= 40);
  assert(WORLD_CONTEXTS.length >= 12 && WORLD_BACKGROUNDS.length >= 10);
  assertEquals(Object.keys(SURROUNDINGS), WORLD_CLASSES);
  for (const { contexts, backgrounds } of Object.values(SURROUNDINGS)) {
    assert(contexts.every((name) => WORLD_CONTEXTS.includes(name)));
    assert(backgrounds.every((name) => WORLD_BACKGROUNDS.includes(name)));
  }
  const kinds = Object.keys(FIGURES);
  assert([...TURNING_KINDS, ...Object.keys(USUAL_COLOURS)].every((name) => kinds.includes(name)));
  assert(UNSEEN_TEXTURES.every((name) => !WORLD_BACKGROUNDS.includes(name)));
});

/** A kind in fixed inks and an even pose, as pixels: shapes alone tell such pictures apart. */
function portrait(kind: string, seed: number): Float32Array {
  const ink = (value: number): Ink => ({ fill: [value, value, value] });
  const pen = new Pen<ObjectInk>(poseMap({ x: 0.5, y: 0.5, size: 0.42 }), {
    body: ink(1),
    accent: ink(0.8),
    dark: ink(0.5),
    light: ink(0.9),
  });
  FIGURES[kind]!(pen, new Rng(seed));
  return picture(pen.parts);
}

function picture(parts: readonly WorldPart[]): Float32Array {
  using host = new Host();
  const [scene] = worldScenes("background", { seed: SEED, count: 1 });
  const black = [0, 0, 0] as const;
  const backdrop = {
    ...scene!.background.backdrop,
    texture: "gradient",
    colours: [black, black, black],
    grain: 0,
    light: [0, 0],
  } as const;
  const pixels = renderWorld(host, [{ backdrop, parts }], { size: 24 }).data;
  return Float32Array.from(pixels.filter((_, i) => i % 3 === 0));
}

Deno.test("every kind differs in shape from every other", () => {
  const kinds = Object.keys(FIGURES);
  const portraits = kinds.map((kind) => portrait(kind, 1));
  const apart = (a: Float32Array, b: Float32Array) => {
    const sum = a.reduce((total, value, i) => total + Math.abs(value - b[i]!), 0);
    return sum / Math.max(a.reduce((x, y) => x + y, 0), b.reduce((x, y) => x + y, 0));
  };
  portraits.forEach((one, i) => {
    const others = portraits.filter((_, j) => j !== i).map((other) => apart(one, other));
    const nearest = Math.min(...others);
    assert(nearest > 0.14, `${kinds[i]} is ${nearest} from ${kinds[others.indexOf(nearest)]}`);
  });
});

Deno.test("sceneTags() says what the scene has", () => {
  for (const scene of some(40)) {
    const tags = sceneTags(scene);
    assertEquals(tags.contexts, scene.contexts.map(({ kind }) => kind));
    assertEquals(tags.background, scene.background.kind);
    assertEquals([tags.split, tags.index, tags.label], [scene.split, scene.index, scene.label]);
    const names: readonly string[] = WORLD_COLOURS;
    const colours = [...tags.colours, ...tags.contextColours, ...tags.backgroundColours];
    assert(colours.every((name) => names.includes(name)));
    if (scene.object === undefined) {
      assertEquals([tags.object, tags.box, tags.maskFraction], [null, null, 0]);
      continue;
    }
    assertEquals(tags.object, scene.object.kind);
    const [left, top, right, bottom] = tags.box!;
    assert(left >= 0 && top >= 0 && right <= 1 && bottom <= 1 && left < right && top < bottom);
    const size = 32;
    const mask = sceneMask(scene, size);
    let inside = 0;
    mask.forEach((value, i) => {
      const [x, y] = [(i % size + 0.5) / size, (Math.floor(i / size) + 0.5) / size];
      const near = x > left - 1 / size && x < right + 1 / size && y > top - 1 / size &&
        y < bottom + 1 / size;
      assert(near || value === 0, `${scene.split} ${scene.index}`);
      inside += value;
    });
    assert(Math.abs(inside / size ** 2 - tags.maskFraction) < 1e-4);
    assert(tags.maskFraction > 0.01 && tags.maskFraction < 0.6, `${tags.object}`);
  }
});

Deno.test("sceneMask() covers the pixels that the object changes", () => {
  using host = new Host();
  const size = 24;
  const scenes = worldScenes("train", { seed: SEED, count: 40 });
  const without = scenes.map(({ drawing, object }) => ({
    ...drawing,
    parts: drawing.parts.filter((part) => !object!.parts.includes(part)),
  }));
  const full = renderScenes(host, scenes, { size }).data;
  const empty = renderWorld(host, without, { size }).data;
  scenes.forEach((scene, i) => {
    sceneMask(scene, size).forEach((value, place) => {
      const at = 3 * (i * size * size + place);
      const changed = [0, 1, 2].some((c) => full[at + c] !== empty[at + c]);
      assert(!changed || value > 0, `${scene.object!.kind} at ${place}`);
    });
  });
});

gpuTest(
  "renderImages() gives the same bytes in any batch, near the host's",
  async ({ gpu, host }) => {
    const scenes = some(6);
    const images = await renderImages(gpu, scenes, { size: 32 });
    const again = await renderImages(gpu, scenes.toReversed(), { size: 32 });
    assertEquals(again.toReversed(), images);
    const [alone] = await renderImages(gpu, scenes.slice(5, 6), { size: 32 });
    assertEquals(alone, images[5]);
    const expected = await renderImages(host, scenes, { size: 32 });
    images.forEach(({ data }, i) => {
      const { split, index } = scenes[i]!;
      const { outside, worst } = difference(data, expected[i]!.data, TOLERANCE.byte);
      assertEquals(outside, 0, `${split} ${index}: ${worst}`);
    });
  },
);

gpuTest("renderScenes() and renderImages() agree", async ({ gpu }) => {
  const scenes = worldScenes("val", { seed: SEED, count: 3 });
  const tensor = renderScenes(gpu, scenes, { size: 16 });
  assertEquals(tensor.shape, [3, 16, 16, 3]);
  const [values] = await gpu.read(tensor);
  const images = await renderImages(gpu, scenes, { size: 16 });
  const bytes = images.flatMap(({ data }) => [...data]);
  const { outside } = difference(bytes, [...values!].map((value) => 255 * value), TOLERANCE.byte);
  assertEquals(outside, 0);
});

Deno.test("worldSplit() gives the standard protocol, in other sizes where asked for", () => {
  const standard = worldSplit(SEED);
  assertEquals(standard.map(({ name }) => name), [...WORLD_SPLITS]);
  assertEquals(standard.map(({ count }) => count), [20_000, 2000, 2000, 2000, 2000, 2100]);
  assertEquals(standard.map((split) => split.inDistribution), [
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
  assertEquals(worldSplit(SEED, { val: 0 })[1]!.count, 0);
  assertThrows(() => worldSplit(SEED, { val: -1 }), RangeError, '"val" of -1');
  assertThrows(() => worldSplit(0.5), RangeError, "seed 0.5");
});

Deno.test("contactSheet() puts images in rows and refuses other sizes", () => {
  const dot = (value: number) => ({ width: 1, height: 1, data: new Uint8Array(3).fill(value) });
  const { width, height, data } = contactSheet([dot(200), dot(100), dot(50)], 2);
  assertEquals([width, height], [4, 4]);
  assertEquals([data[0], data[9], data[36], data[45]], [200, 100, 50, 24]);
  assertThrows(() => contactSheet([], 2), RangeError, "no images");
  const wide = { width: 2, height: 1, data: new Uint8Array(6) };
  assertThrows(() => contactSheet([dot(1), wide], 2), RangeError, "several sizes");
});
