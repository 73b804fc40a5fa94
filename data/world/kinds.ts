/**
 * The kinds of objects: what each looks like, and where it is usually met.
 *
 * @module
 */

import type { Rng } from "../../kernels/random/rng.ts";
import type { WorldTexture } from "../../kernels/render_world/mod.ts";
import { PLAIN_FIGURES } from "./_plain_figures.ts";
import { THINGS } from "./_things.ts";
import { UNSEEN_THINGS } from "./_unseen_things.ts";
import type { ColourName } from "./palette.ts";
import type { Pen } from "./pen.ts";

/** The inks of an object: its main colour, a second one, a dark and a light one. */
export type ObjectInk = "body" | "accent" | "dark" | "light";

/** Draws a figure within a circle of radius 1 or a little more, x to the right and y down. */
export type Figure = (pen: Pen<ObjectInk>, rng: Rng) => void;

/** The figure of every kind, by name. */
export const FIGURES: Readonly<Record<string, Figure>> = {
  ...PLAIN_FIGURES,
  ...THINGS,
  ...UNSEEN_THINGS,
};

/**
 * The 20 classes of the in-distribution splits, in the order of a classifier's logits, which is
 * also the order of the folders' names.
 *
 * @example Where a class stands
 * ```ts
 * import { WORLD_CLASSES } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(WORLD_CLASSES.length, 20);
 * assertEquals(WORLD_CLASSES.indexOf("arrow"), 0);
 * ```
 */
export const WORLD_CLASSES: readonly string[] = [
  "arrow",
  "boat",
  "crescent",
  "cross",
  "disc",
  "drop",
  "fish",
  "flower",
  "gear",
  "heart",
  "house",
  "key",
  "lamp",
  "lollipop",
  "mushroom",
  "ring",
  "square",
  "star",
  "tree",
  "triangle",
];

/**
 * The kinds that no in-distribution split shows, sorted by name.
 *
 * @example None of them is a class
 * ```ts
 * import { WORLD_CLASSES, WORLD_UNSEEN_KINDS } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(WORLD_UNSEEN_KINDS.filter((kind) => WORLD_CLASSES.includes(kind)), []);
 * ```
 */
export const WORLD_UNSEEN_KINDS: readonly string[] = Object.keys(FIGURES)
  .filter((kind) => !WORLD_CLASSES.includes(kind)).sort();

/** Where a kind is usually met. */
export interface Surroundings {
  /** Contexts that go with it. */
  readonly contexts: readonly string[];
  /** Backgrounds that go with it. */
  readonly backgrounds: readonly WorldTexture[];
}

/** Kinds that are met in any direction; the others stand, and lean a little. */
export const TURNING_KINDS: ReadonlySet<string> = new Set([
  ...["arrow", "badge", "crescent", "cross", "disc", "flower", "gear", "key", "pie", "ring"],
  ...["spiral", "star", "triangle", "wheel"],
]);

/** Colours that half of a kind's objects have; the others have any. */
export const USUAL_COLOURS: Readonly<Record<string, readonly ColourName[]>> = {
  boat: ["brown", "red", "white"],
  cactus: ["green"],
  crescent: ["yellow", "white"],
  drop: ["blue", "teal"],
  fish: ["orange", "blue", "red"],
  flower: ["pink", "red", "white", "yellow"],
  gear: ["grey", "black"],
  heart: ["red", "pink"],
  key: ["yellow", "grey"],
  mushroom: ["red", "brown"],
  snowman: ["white"],
  star: ["yellow"],
  tree: ["green", "teal"],
};

/** Where each class is met four times out of five. */
export const SURROUNDINGS: Readonly<Record<string, Surroundings>> = {
  arrow: { contexts: ["fence", "bricks", "cables"], backgrounds: ["tiles", "stripes", "checks"] },
  boat: { contexts: ["waves", "birds", "clouds"], backgrounds: ["water", "gradient", "clouds"] },
  crescent: { contexts: ["stars", "clouds", "birds"], backgrounds: ["fog", "gradient", "marble"] },
  cross: { contexts: ["stones", "grass", "snow"], backgrounds: ["marble", "fog", "tiles"] },
  disc: { contexts: ["confetti", "stars", "bubbles"], backgrounds: ["checks", "dots", "gradient"] },
  drop: { contexts: ["rain", "bubbles", "leaves"], backgrounds: ["water", "fog", "dots"] },
  fish: { contexts: ["bubbles", "waves", "reeds"], backgrounds: ["water", "dunes", "marble"] },
  flower: { contexts: ["grass", "leaves", "rain"], backgrounds: ["clouds", "plaid", "gradient"] },
  gear: { contexts: ["cables", "bricks", "confetti"], backgrounds: ["checks", "stripes", "wood"] },
  heart: { contexts: ["confetti", "stars", "leaves"], backgrounds: ["plaid", "dots", "stripes"] },
  house: {
    contexts: ["fence", "clouds", "grass", "snow"],
    backgrounds: ["clouds", "dunes", "fog"],
  },
  key: { contexts: ["cables", "bricks", "stones"], backgrounds: ["wood", "plaid", "marble"] },
  lamp: { contexts: ["cables", "rain", "snow"], backgrounds: ["wood", "tiles", "plaid"] },
  lollipop: {
    contexts: ["confetti", "bubbles", "fence"],
    backgrounds: ["dots", "stripes", "plaid"],
  },
  mushroom: { contexts: ["grass", "leaves", "stones"], backgrounds: ["wood", "fog", "dunes"] },
  ring: { contexts: ["bubbles", "stones", "stars"], backgrounds: ["marble", "water", "wood"] },
  square: { contexts: ["bricks", "fence", "confetti"], backgrounds: ["tiles", "checks", "dots"] },
  star: { contexts: ["snow", "clouds", "stars"], backgrounds: ["gradient", "clouds", "stripes"] },
  tree: { contexts: ["birds", "snow", "grass", "reeds"], backgrounds: ["dunes", "clouds", "fog"] },
  triangle: { contexts: ["waves", "stones", "reeds"], backgrounds: ["dunes", "checks", "tiles"] },
};
