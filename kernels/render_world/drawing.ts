/**
 * What a picture of the procedural world is made of: a texture behind, and flat parts over it, all
 * in units of the image's side, so that one drawing gives an image of any size.
 *
 * This module is browser compatible.
 *
 * @module
 */

/** Red, green and blue, 0 to 1, as they are shown. */
export type WorldColour = readonly [red: number, green: number, blue: number];

/** A line of an affine map: `a * x + b * y + c`. */
export type WorldAxis = readonly [a: number, b: number, c: number];

/**
 * The textures that a backdrop can have, by code. The last three are noise whose colours are drawn
 * for each pixel; the others mix the backdrop's three colours.
 *
 * @example Twelve for scenes, seven that scenes never have, three of noise
 * ```ts
 * import { WORLD_TEXTURES } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(WORLD_TEXTURES.length, 22);
 * assertEquals(WORLD_TEXTURES.indexOf("gradient"), 0);
 * ```
 */
export const WORLD_TEXTURES = [
  "gradient",
  "fog",
  "stripes",
  "checks",
  "dunes",
  "water",
  "wood",
  "clouds",
  "dots",
  "plaid",
  "marble",
  "tiles",
  "hexagons",
  "rings",
  "chevrons",
  "cells",
  "scales",
  "maze",
  "weave",
  "uniform",
  "gaussian",
  "blobs",
] as const;

/** The name of a texture. */
export type WorldTexture = typeof WORLD_TEXTURES[number];

/** How a part's two colours share its area, by code. */
export const WORLD_PATTERNS = ["solid", "stripes", "dots", "checks", "gradient"] as const;

/** The name of a pattern. */
export type WorldPattern = typeof WORLD_PATTERNS[number];

/** What lies behind everything. */
export interface WorldBackdrop {
  /** Which texture. */
  readonly texture: WorldTexture;
  /** What the texture mixes: ground, figure, and details such as mortar, foam or veins. */
  readonly colours: readonly [WorldColour, WorldColour, WorldColour];
  /** First texture coordinate; textures repeat with period 1. */
  readonly u: WorldAxis;
  /** Second texture coordinate. */
  readonly v: WorldAxis;
  /** Of the texture's own random numbers: a whole number from 0 to 2^24 - 1. */
  readonly seed: number;
  /** Where the texture has two areas, the share of one of them; 0 to 1. */
  readonly duty: number;
  /** How far noise bends the texture, in periods. */
  readonly warp: number;
  /** Cells of the bending noise in one period of `u` and of `v`. */
  readonly noise: readonly [number, number];
  /** Noise of each pixel and channel, from -`grain` / 2 to `grain` / 2. */
  readonly grain: number;
  /** How much brighter the picture gets to the right and to the bottom, as a factor of its side. */
  readonly light: readonly [number, number];
}

/** A flat part: an area within closed contours, or strokes along open ones. */
export interface WorldPart {
  /** Edges, four numbers each: from x, y to x, y. The inside is where an odd number is crossed. */
  readonly edges: readonly number[];
  /** Whether the edges are strokes, which have no inside. */
  readonly open: boolean;
  /** What is added around the edges: rounds corners, and gives strokes their half width. */
  readonly radius: number;
  /** Where positive, only a band of this half width along the outline is painted. */
  readonly shell: number;
  /** Width of the blurred rim; 0 for a sharp one, which is smoothed over one pixel. */
  readonly softness: number;
  /** How much of what is behind it a part hides, 0 to 1. */
  readonly opacity: number;
  /** Its colour. */
  readonly fill: WorldColour;
  /** The pattern's second colour. */
  readonly other: WorldColour;
  /** The pattern. */
  readonly pattern: WorldPattern;
  /** First coordinate of the pattern, period 1; a gradient runs from 0 to 1. */
  readonly u: WorldAxis;
  /** Second coordinate of the pattern. */
  readonly v: WorldAxis;
  /** Share of the first colour in stripes, radius of dots in periods. */
  readonly duty: number;
  /** Colour of the rim. */
  readonly outline: WorldColour;
  /** Width of the rim, inside the outline; 0 for none. */
  readonly outlineWidth: number;
}

/** One picture: parts hide what comes before them. */
export interface WorldDrawing {
  /** What lies behind everything. */
  readonly backdrop: WorldBackdrop;
  /** The parts, from the back to the front. */
  readonly parts: readonly WorldPart[];
}

/** vec4 that the head of an image takes in a packed buffer. */
export const HEAD_QUADS = 7;
/** vec4 that a part takes, without its edges. */
export const PART_QUADS = 7;

/** Turns of loops that the kernel may take for one pixel, well below where lavapipe ends them. */
export const MAX_TURNS = 60_000;

/**
 * The buffer that kernel and reference read: heads of all images, then all parts, then all edges.
 *
 * @param drawings The pictures.
 * @returns The numbers, four to a row; `render_world.wgsl` says what they are.
 * @throws {RangeError} When a picture has too many parts and edges.
 */
export function packDrawings(drawings: readonly WorldDrawing[]): Float32Array<ArrayBuffer> {
  const parts = drawings.flatMap((drawing) => drawing.parts);
  const firstPart = HEAD_QUADS * drawings.length;
  const firstEdge = firstPart + PART_QUADS * parts.length;
  const edges = parts.reduce((sum, part) => sum + part.edges.length / 4, 0);
  const packed = new Float32Array(4 * (firstEdge + edges));
  let at = 0;
  const push = (...numbers: readonly number[]) => {
    packed.set(numbers, at);
    at += numbers.length;
  };
  let part = firstPart;
  for (const [i, { backdrop, parts }] of drawings.entries()) {
    requireTurns(parts, i);
    const { colours: [ground, figure, detail], u, v, noise, light } = backdrop;
    push(part, parts.length, WORLD_TEXTURES.indexOf(backdrop.texture), backdrop.seed);
    push(...ground, backdrop.duty, ...figure, noise[0], ...detail, noise[1]);
    push(...u, backdrop.warp, ...v, backdrop.grain, ...light, 0, 0);
    part += PART_QUADS * parts.length;
  }
  let edge = firstEdge;
  for (const part of parts) {
    const count = part.edges.length / 4;
    push(...boundsOf(part));
    push(...part.fill, part.opacity);
    push(...part.other, WORLD_PATTERNS.indexOf(part.pattern));
    push(...part.outline, part.outlineWidth, ...part.u, part.duty, ...part.v, part.softness);
    push(part.radius, part.shell, edge, part.open ? -count : count);
    edge += count;
  }
  for (const part of parts) {
    packed.set(part.edges, at);
    at += part.edges.length;
  }
  return packed;
}

function requireTurns(parts: readonly WorldPart[], index: number): void {
  const turns = parts.reduce((sum, part) => sum + 2 + part.edges.length / 4, 0);
  if (turns <= MAX_TURNS) return;
  throw new RangeError(
    `Cannot render drawing ${index}: its parts and edges would take ${turns} turns, more than ` +
      `${MAX_TURNS}`,
  );
}

/**
 * The box that a part's paint lies in, but for the pixel that smooths its rim.
 *
 * @param part The part.
 * @returns Left, top, right and bottom.
 */
export function boundsOf(part: WorldPart): [number, number, number, number] {
  const bounds: [number, number, number, number] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < part.edges.length; i += 2) {
    const [x, y] = [part.edges[i]!, part.edges[i + 1]!];
    if (x < bounds[0]) bounds[0] = x;
    if (y < bounds[1]) bounds[1] = y;
    if (x > bounds[2]) bounds[2] = x;
    if (y > bounds[3]) bounds[3] = y;
  }
  const reach = part.radius + part.shell + part.softness;
  return [bounds[0] - reach, bounds[1] - reach, bounds[2] + reach, bounds[3] + reach];
}
