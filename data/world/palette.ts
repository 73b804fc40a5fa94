/**
 * Named colours of the procedural world, each a range that is drawn from.
 *
 * @module
 */

import type { WorldColour } from "../../kernels/render_world/mod.ts";
import type { Rng } from "../../kernels/random/rng.ts";

/** The name of a colour. */
export type ColourName =
  | "red"
  | "orange"
  | "yellow"
  | "green"
  | "teal"
  | "blue"
  | "purple"
  | "pink"
  | "brown"
  | "white"
  | "grey"
  | "black";

/** Lowest and highest value of hue (in turns, may pass 1), saturation and brightness. */
type Ranges = readonly [hue: Range, saturation: Range, value: Range];
type Range = readonly [low: number, high: number];

const RANGES: Readonly<Record<ColourName, Ranges>> = {
  red: [[0.97, 1.02], [0.7, 0.95], [0.65, 0.95]],
  orange: [[0.05, 0.085], [0.75, 1], [0.85, 1]],
  yellow: [[0.125, 0.165], [0.65, 0.95], [0.85, 1]],
  green: [[0.25, 0.4], [0.5, 0.9], [0.4, 0.8]],
  teal: [[0.46, 0.53], [0.5, 0.9], [0.5, 0.9]],
  blue: [[0.57, 0.66], [0.6, 0.95], [0.55, 0.95]],
  purple: [[0.72, 0.8], [0.45, 0.85], [0.45, 0.85]],
  pink: [[0.88, 0.95], [0.3, 0.65], [0.85, 1]],
  brown: [[0.04, 0.085], [0.45, 0.75], [0.28, 0.5]],
  white: [[0, 1], [0, 0.06], [0.92, 1]],
  grey: [[0, 1], [0, 0.08], [0.4, 0.65]],
  black: [[0, 1], [0, 0.3], [0.05, 0.16]],
};

/** Every colour name, as tags have them. */
export const WORLD_COLOURS: readonly ColourName[] = Object.keys(RANGES) as ColourName[];

/** A colour that was drawn, and what it is called. */
export interface NamedColour {
  /** Its name. */
  readonly name: ColourName;
  /** What is painted. */
  readonly rgb: WorldColour;
}

/** A number between two, drawn evenly. */
export function between(rng: Rng, low: number, high: number): number {
  return low + (high - low) * rng.uniform();
}

/** One of some, each equally likely. */
export function pick<T>(rng: Rng, choices: readonly T[]): T {
  return choices[rng.integer(choices.length)]!;
}

/** Whether something happens that has this probability. */
export function chance(rng: Rng, probability: number): boolean {
  return rng.uniform() < probability;
}

/** Draws a colour of a name. */
export function drawColour(rng: Rng, name: ColourName): NamedColour {
  const [hue, saturation, value] = RANGES[name].map(([low, high]) => between(rng, low, high));
  return { name, rgb: fromHsv(hue!, saturation!, value!) };
}

/** Red, green and blue from hue (in turns), saturation and value. */
export function fromHsv(hue: number, saturation: number, value: number): WorldColour {
  const channel = (shift: number) => {
    const k = (shift + 6 * (hue - Math.floor(hue))) % 6;
    return value * (1 - saturation * Math.max(0, Math.min(1, k, 4 - k)));
  };
  return [channel(5), channel(3), channel(1)];
}

/** A colour moved towards another one. */
export function blend(from: WorldColour, to: WorldColour, share: number): WorldColour {
  return [0, 1, 2].map((c) => from[c]! + share * (to[c]! - from[c]!)) as unknown as WorldColour;
}

/** A lighter colour for a positive amount, a darker one for a negative amount. */
export function shade(colour: WorldColour, amount: number): WorldColour {
  return amount < 0 ? blend(colour, [0, 0, 0], -amount) : blend(colour, [1, 1, 1], amount);
}

/** How far apart two colours look: 0 to about 1. */
export function contrast(a: WorldColour, b: WorldColour): number {
  const [red, green, blue] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  return Math.sqrt(0.3 * red * red + 0.5 * green * green + 0.2 * blue * blue);
}
