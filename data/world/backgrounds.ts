/**
 * Backgrounds: textures in drawn colours, directions and scales.
 *
 * @module
 */

import type { Rng } from "../../kernels/random/rng.ts";
import type { WorldBackdrop, WorldTexture } from "../../kernels/render_world/mod.ts";
import {
  between,
  blend,
  chance,
  type ColourName,
  contrast,
  drawColour,
  type NamedColour,
  pick,
  shade,
  WORLD_COLOURS,
} from "./palette.ts";

type Range = readonly [low: number, high: number];

/** How a texture is drawn. */
interface TextureKind {
  /** Periods of `u` across the image; `v` has `aspect` times as many. */
  readonly periods: Range;
  readonly aspect?: Range;
  /** Direction in turns; any by default. */
  readonly direction?: Range;
  readonly duty?: Range;
  readonly warp?: Range;
  /** Noise cells in a period of u and v. */
  readonly noise?: readonly [number, number];
  /** Colours of the ground; any by default. */
  readonly colours?: readonly ColourName[];
  /** Whether figure and ground may be any two colours, and not shades of one. */
  readonly mixed?: boolean;
}

const UPRIGHT: Range = [-0.02, 0.02];
const ANY: Range = [0, 1];

const KINDS = {
  checks: { periods: [2, 5], mixed: true },
  clouds: {
    periods: [2, 4],
    direction: UPRIGHT,
    aspect: [1.3, 2],
    duty: [0.4, 0.5],
    colours: ["blue", "teal", "grey", "purple", "pink"],
  },
  dots: { periods: [3, 6], duty: [0.45, 0.75], mixed: true },
  dunes: {
    periods: [1.5, 3],
    direction: [-0.05, 0.05],
    aspect: [1, 1.8],
    warp: [0.5, 1.2],
    noise: [0.6, 0.3],
    colours: ["orange", "yellow", "brown", "pink", "grey"],
  },
  fog: { periods: [1.5, 3.5], warp: [0.7, 1] },
  gradient: { periods: [1, 1], warp: [0, 0.3], mixed: true },
  marble: {
    periods: [1.2, 2.5],
    warp: [1.5, 3],
    noise: [1, 1],
    colours: ["white", "grey", "black", "green", "pink", "teal"],
  },
  plaid: { periods: [2, 4], direction: [-0.03, 0.03], duty: [0.45, 0.65] },
  stripes: { periods: [2.5, 6], duty: [0.4, 0.6], warp: [0, 0.15], mixed: true },
  tiles: {
    periods: [2.5, 4.5],
    aspect: [1.8, 2.2],
    direction: UPRIGHT,
    duty: [0.15, 0.25],
    colours: ["red", "orange", "brown", "grey", "white", "blue"],
  },
  water: {
    periods: [1.5, 3],
    aspect: [2, 3],
    direction: UPRIGHT,
    warp: [0.4, 1],
    colours: ["blue", "teal", "green", "purple"],
  },
  wood: {
    periods: [2.5, 5],
    direction: [0.2, 0.3],
    warp: [0.5, 1.2],
    noise: [0.5, 0.12],
    colours: ["brown", "orange", "yellow", "red", "grey"],
  },
  cells: { periods: [3, 6] },
  chevrons: { periods: [2, 4], aspect: [1, 2], duty: [0.4, 0.6], warp: [0.5, 1], mixed: true },
  hexagons: { periods: [3, 6], duty: [0.2, 0.6] },
  maze: { periods: [4, 8], duty: [0.4, 0.8], mixed: true },
  rings: { periods: [3, 6], warp: [0, 0.4], mixed: true },
  scales: { periods: [3, 6], direction: [-0.05, 0.05] },
  weave: { periods: [3, 7] },
  blobs: { periods: [2, 7] },
  gaussian: { periods: [1, 1] },
  uniform: { periods: [1, 1] },
} as const satisfies Readonly<Record<WorldTexture, TextureKind>>;

/**
 * The backgrounds of scenes, sorted by name.
 *
 * @example How many there are
 * ```ts
 * import { WORLD_BACKGROUNDS } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(WORLD_BACKGROUNDS.length, 12);
 * ```
 */
export const WORLD_BACKGROUNDS: readonly WorldTexture[] = [
  "checks",
  "clouds",
  "dots",
  "dunes",
  "fog",
  "gradient",
  "marble",
  "plaid",
  "stripes",
  "tiles",
  "water",
  "wood",
];

/** Textures that are no background of a scene. */
export const UNSEEN_TEXTURES: readonly WorldTexture[] = [
  "cells",
  "chevrons",
  "hexagons",
  "maze",
  "rings",
  "scales",
  "weave",
];

/** Noise without any place to it, and smooth noise. */
export const NOISE_TEXTURES: readonly WorldTexture[] = ["blobs", "gaussian", "uniform"];

/** A background in a scene. */
export interface WorldBackground {
  /** Its texture. */
  readonly kind: WorldTexture;
  /** The names of its colours, one or two. */
  readonly colours: readonly ColourName[];
  /** What is painted. */
  readonly backdrop: WorldBackdrop;
}

/** Two colours, the second a shade of the first or, where the texture may mix, another one. */
function twoColours(rng: Rng, kind: TextureKind): [NamedColour, NamedColour] {
  const names = kind.colours ?? WORLD_COLOURS;
  const first = soften(rng, drawColour(rng, pick(rng, names)));
  if (kind.mixed && chance(rng, 0.5)) {
    const second = soften(rng, drawColour(rng, pick(rng, names)));
    if (contrast(first.rgb, second.rgb) > 0.12) return [first, second];
  }
  const bright = Math.max(...first.rgb) > 0.55;
  const amount = between(rng, 0.25, 0.5);
  return [first, { name: first.name, rgb: shade(first.rgb, bright ? -amount : amount) }];
}

/** Backgrounds are paler than things. */
function soften(rng: Rng, { name, rgb }: NamedColour): NamedColour {
  const level = (rgb[0] + rgb[1] + rgb[2]) / 3;
  return { name, rgb: blend(rgb, [level, level, level], between(rng, 0.1, 0.5)) };
}

/** Draws a background of a texture. */
export function drawBackground(rng: Rng, texture: WorldTexture): WorldBackground {
  const kind: TextureKind = KINDS[texture];
  const draw = ([low, high]: Range) => between(rng, low, high);
  const [ground, figure] = twoColours(rng, kind);
  const detail = shade(figure.rgb, pick(rng, [-0.35, 0.45]));
  const turns = 2 * Math.PI * draw(kind.direction ?? ANY);
  const [cos, sin] = [Math.cos(turns), Math.sin(turns)];
  const periods = draw(kind.periods);
  const aspect = draw(kind.aspect ?? [1, 1]);
  const u = [periods * cos, periods * sin] as const;
  const v = [-periods * aspect * sin, periods * aspect * cos] as const;
  const [x, y] = [rng.uniform(), rng.uniform()];
  // A gradient is half way in the middle, rings lie around a place; the others may begin anywhere.
  const [offsetU, offsetV] = texture === "gradient"
    ? [0.5 - 0.5 * (u[0] + u[1]), 0.5 - 0.5 * (v[0] + v[1])]
    : texture === "rings"
    ? [-u[0] * x - u[1] * y, -v[0] * x - v[1] * y]
    : [16 * x, 16 * y];
  const pure = NOISE_TEXTURES.includes(texture);
  const light = () => pure ? 0 : between(rng, -0.25, 0.25);
  return {
    kind: texture,
    colours: ground.name === figure.name ? [ground.name] : [ground.name, figure.name],
    backdrop: {
      texture,
      colours: [ground.rgb, figure.rgb, detail],
      u: [...u, offsetU],
      v: [...v, offsetV],
      seed: rng.integer(1 << 24),
      duty: draw(kind.duty ?? [0.5, 0.5]),
      warp: draw(kind.warp ?? [1, 1]),
      noise: kind.noise ?? [1, 1],
      grain: !pure && chance(rng, 0.6) ? between(rng, 0.01, 0.07) : 0,
      light: [light(), light()],
    },
  };
}
