/**
 * Scenes of the procedural world: what an image shows, drawn from a seed, a split and an index and
 * from nothing else.
 *
 * @module
 */

import { Rng } from "../../kernels/random/rng.ts";
import type { WorldColour, WorldDrawing, WorldPart } from "../../kernels/render_world/mod.ts";
import {
  drawBackground,
  NOISE_TEXTURES,
  UNSEEN_TEXTURES,
  WORLD_BACKGROUNDS,
  type WorldBackground,
} from "./backgrounds.ts";
import { drawContext, type KeepOut, WORLD_CONTEXTS, type WorldContext } from "./contexts.ts";
import { drawGlyph } from "./glyphs.ts";
import {
  FIGURES,
  type ObjectInk,
  SURROUNDINGS,
  TURNING_KINDS,
  USUAL_COLOURS,
  WORLD_CLASSES,
} from "./kinds.ts";
import {
  between,
  chance,
  type ColourName,
  contrast,
  drawColour,
  type NamedColour,
  pick,
  shade,
  WORLD_COLOURS,
} from "./palette.ts";
import { type Ink, Pen, type Pose, poseMap } from "./pen.ts";
import { type FarFamily, kindsOf, MAX_IMAGES, WORLD_SPLITS, type WorldSplitName } from "./split.ts";

/** The object of a scene. */
export interface WorldObject {
  /** What it is; for a glyph which one. */
  readonly kind: string;
  /** The names of its main and its second colour. */
  readonly colours: readonly ColourName[];
  /** How it lies. */
  readonly pose: Required<Pose>;
  /** What is drawn of it. */
  readonly parts: readonly WorldPart[];
}

/** What one image shows. */
export interface Scene {
  /** The seed of the world. */
  readonly seed: number;
  /** The split. */
  readonly split: WorldSplitName;
  /** The place in the split. */
  readonly index: number;
  /** The object, where there is one. */
  readonly object?: WorldObject;
  /** Index of the object's class; -1 where it has none. */
  readonly label: number;
  /** The class whose surroundings are shown; none in far-OOD. */
  readonly home?: string;
  /** The family in far-OOD. */
  readonly family?: FarFamily;
  /** The small things around the object, from the back to the front. */
  readonly contexts: readonly WorldContext[];
  /** The background. */
  readonly background: WorldBackground;
  /** What is rendered. */
  readonly drawing: WorldDrawing;
}

/** How often surroundings are those that go with the class. */
const USUAL = 0.8;

/** Which scenes of a split. */
export interface SceneRange {
  /** The seed of the world, a whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** Index of the first scene; 0 by default. */
  readonly begin?: number;
  /** How many scenes. */
  readonly count: number;
}

/**
 * Draws scenes. Each is a function of the seed, the split and its index: it is the same whatever
 * range it is asked for in, on every machine.
 *
 * @param split The split.
 * @param range Seed, first index and number.
 * @returns The scenes.
 * @throws {RangeError} When the split is unknown, the seed is out of its range, or an index passes
 * 2^28.
 *
 * @example A scene alone and among others
 * ```ts
 * import { worldScenes } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const some = worldScenes("train", { seed: 1, count: 3 });
 * assertEquals(worldScenes("train", { seed: 1, begin: 2, count: 1 }), some.slice(2));
 * ```
 */
export function worldScenes(split: WorldSplitName, range: SceneRange): Scene[] {
  const { seed, begin = 0, count } = range;
  const code = WORLD_SPLITS.indexOf(split);
  const whole = Number.isInteger(begin) && Number.isInteger(count) && begin >= 0 && count >= 0;
  if (code < 0 || !whole || begin + count > MAX_IMAGES) {
    throw new RangeError(
      `Cannot draw ${count} scenes of "${split}" from ${begin}: a split among ${
        WORLD_SPLITS.join(", ")
      } and whole numbers that end by 2^28 were expected`,
    );
  }
  return Array.from({ length: count }, (_, i) => {
    const index = begin + i;
    return drawScene(new Rng(seed, code * MAX_IMAGES + index), { seed, split, index });
  });
}

type Address = Pick<Scene, "seed" | "split" | "index">;

function drawScene(rng: Rng, address: Address): Scene {
  const kinds = kindsOf(address.split);
  if (address.split === "far-ood") {
    return drawFar(rng, address, kinds[address.index % kinds.length] as FarFamily);
  }
  const kind = kinds[address.index % kinds.length];
  const label = kind === undefined ? -1 : WORLD_CLASSES.indexOf(kind);
  // Unseen kinds, and no kind at all, are met where the classes are met.
  const home = label < 0 ? pick(rng, WORLD_CLASSES) : kind!;
  const background = drawBackground(
    rng,
    usually(rng, SURROUNDINGS[home]!.backgrounds, WORLD_BACKGROUNDS),
  );
  const object = kind === undefined ? undefined : drawObject(rng, kind, background);
  const contexts = drawContexts(rng, home, object?.pose);
  return {
    ...address,
    ...(object === undefined ? {} : { object }),
    label,
    home,
    contexts,
    background,
    drawing: {
      backdrop: background.backdrop,
      parts: [
        ...contexts.filter(({ before }) => !before).flatMap(({ parts }) => parts),
        ...(object === undefined ? [] : shadowOf(rng, object)),
        ...object?.parts ?? [],
        ...contexts.filter(({ before }) => before).flatMap(({ parts }) => parts),
      ],
    },
  };
}

function usually<T>(rng: Rng, usual: readonly T[], all: readonly T[]): T {
  return pick(rng, chance(rng, USUAL) ? usual : all);
}

function drawContexts(rng: Rng, home: string, pose: Pose | undefined): WorldContext[] {
  const keepOut: KeepOut | undefined = pose && { x: pose.x, y: pose.y, radius: 0.9 * pose.size };
  const names = new Set<string>();
  for (let i = chance(rng, 0.4) ? 2 : 1; i > 0; i--) {
    names.add(usually(rng, SURROUNDINGS[home]!.contexts, WORLD_CONTEXTS));
  }
  return [...names].map((name) => drawContext(rng, name, keepOut));
}

function drawPose(rng: Rng, kind: string): Required<Pose> {
  const size = between(rng, 0.26, 0.4);
  const margin = 0.85 * size;
  const turning = TURNING_KINDS.has(kind);
  return {
    x: between(rng, margin, 1 - margin),
    y: between(rng, margin, 1 - margin),
    size,
    angle: turning ? between(rng, -Math.PI, Math.PI) : between(rng, -0.3, 0.3),
    aspect: between(rng, 0.85, 1.18),
    shear: between(rng, -0.12, 0.12),
    mirrored: chance(rng, 0.5),
  };
}

/** A colour that is seen before others: the best of a few. */
function visible(
  rng: Rng,
  names: readonly ColourName[],
  others: readonly WorldColour[],
): NamedColour {
  let best = drawColour(rng, pick(rng, names));
  const least = (colour: NamedColour) =>
    Math.min(...others.map((other) => contrast(colour.rgb, other)));
  for (let tries = 0; tries < 5 && least(best) < 0.3; tries++) {
    const next = drawColour(rng, pick(rng, names));
    if (least(next) > least(best)) best = next;
  }
  return best;
}

function drawObject(rng: Rng, kind: string, background: WorldBackground): WorldObject {
  const pose = drawPose(rng, kind);
  const [ground, figure] = background.backdrop.colours;
  const usual = chance(rng, 0.5) ? USUAL_COLOURS[kind] : undefined;
  const body = visible(rng, usual ?? WORLD_COLOURS, [ground, figure]);
  const accent = visible(rng, WORLD_COLOURS, [ground, body.rgb]);
  const pale = Math.min(contrast(body.rgb, ground), contrast(body.rgb, figure)) < 0.18;
  const rim = chance(rng, 0.6) || pale ? drawRim(rng, [ground, figure, body.rgb]) : {};
  const dark = shade(body.rgb, -between(rng, 0.6, 0.8));
  const light = shade(accent.rgb, between(rng, 0.6, 0.85));
  const pen = new Pen<ObjectInk>(poseMap(pose), {
    body: { fill: body.rgb, ...drawPattern(rng, body.rgb), ...rim },
    accent: { fill: accent.rgb, ...rim },
    dark: { fill: dark },
    light: { fill: light, ...rim },
  });
  FIGURES[kind]!(pen, rng);
  return { kind, colours: [body.name, accent.name], pose, parts: pen.parts };
}

function drawRim(rng: Rng, others: readonly WorldColour[]): Partial<Ink> {
  const least = (colour: WorldColour) =>
    Math.min(...others.map((other) => contrast(colour, other)));
  const [dark, light]: WorldColour[] = [[0.08, 0.07, 0.1], [0.96, 0.96, 0.94]];
  const outline = least(dark!) >= least(light!) || chance(rng, 0.3) ? dark! : light!;
  return { outline, outlineWidth: between(rng, 0.012, 0.03) };
}

function drawPattern(rng: Rng, body: WorldColour): Partial<Ink> {
  const amount = between(rng, 0.3, 0.5);
  const bright = (body[0] + body[1] + body[2]) / 3 > 0.4;
  const style: Partial<Ink> = {
    other: shade(body, bright ? -amount : amount),
    direction: rng.uniform(),
    frequency: between(rng, 1.6, 3),
  };
  const choice = rng.uniform();
  if (choice < 0.4) return {};
  if (choice < 0.6) return { ...style, pattern: "gradient" };
  if (choice < 0.76) return { ...style, pattern: "stripes" };
  if (choice < 0.9) return { ...style, pattern: "dots", duty: between(rng, 0.2, 0.34) };
  return { ...style, pattern: "checks" };
}

const MAX_SHADOWED = 4;

/** A soft shadow of an object of few parts, now and then. */
function shadowOf(rng: Rng, { parts, pose }: WorldObject): WorldPart[] {
  const shown = chance(rng, 0.4);
  const [x, y] = [between(rng, -0.16, 0.16) * pose.size, between(rng, 0.06, 0.2) * pose.size];
  if (!shown || parts.length > MAX_SHADOWED) return [];
  return parts.map((part) => ({
    ...part,
    edges: part.edges.map((value, i) => value + (i % 2 === 0 ? x : y)),
    softness: 0.05,
    opacity: 0.3,
    fill: [0, 0, 0],
    pattern: "solid",
    outlineWidth: 0,
  }));
}

function drawFar(rng: Rng, address: Address, family: FarFamily): Scene {
  const textures = family === "textures"
    ? UNSEEN_TEXTURES
    : family === "noise"
    ? NOISE_TEXTURES
    : ["gradient", "fog"] as const;
  const background = drawBackground(rng, pick(rng, textures));
  const object = family === "glyphs" ? drawGlyphObject(rng, background) : undefined;
  return {
    ...address,
    ...(object === undefined ? {} : { object }),
    label: -1,
    family,
    contexts: [],
    background,
    drawing: { backdrop: background.backdrop, parts: object?.parts ?? [] },
  };
}

function drawGlyphObject(rng: Rng, background: WorldBackground): WorldObject {
  const pose = { ...drawPose(rng, "glyph"), mirrored: false };
  const [ground, figure] = background.backdrop.colours;
  const body = visible(rng, WORLD_COLOURS, [ground, figure]);
  const pen = new Pen<"body">(poseMap(pose), { body: { fill: body.rgb } });
  const kind = drawGlyph(rng, pen);
  return { kind, colours: [body.name], pose, parts: pen.parts };
}
