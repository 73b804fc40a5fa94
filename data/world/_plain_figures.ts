/** Figures of geometry: one outline each, told apart by their shape alone. */

import type { Rng } from "../../kernels/random/rng.ts";
import type { Figure } from "./kinds.ts";
import { between } from "./palette.ts";
import { arc, around, box, mirror, type Point } from "./pen.ts";

/** A star's outline: tips at radius 1, the corners between at `inner`, one tip upward. */
export function starPath(tips: number, inner: number): Point[] {
  return Array.from(
    { length: 2 * tips },
    (_, i) => around([0, 0], i % 2 === 0 ? 1 : inner, i / (2 * tips) - 0.25),
  );
}

/** A disc without a wedge. */
function piePath(mouth: number): Point[] {
  return [[0, 0], ...arc([0, 0], [0.97, 0.97], { from: mouth / 2, to: 1 - mouth / 2, steps: 18 })];
}

function gearPath(teeth: number): Point[] {
  return Array.from({ length: teeth }, (_, i) => {
    const at = (radius: number, share: number) => around([0, 0], radius, (i + share) / teeth);
    return [at(0.72, 0), at(0.98, 0.1), at(0.98, 0.42), at(0.72, 0.52)];
  }).flat();
}

/** A circle with a bite out of its right side. */
function crescentPath(bite: number): Point[] {
  // The circles of radius 1 around 0 and of radius r around (bite, 0) meet where both are reached.
  const r = 0.82;
  const x = (1 - r * r + bite * bite) / (2 * bite);
  const outer = Math.acos(x) / (2 * Math.PI);
  const inner = Math.acos((x - bite) / r) / (2 * Math.PI);
  return [
    ...arc([0, 0], [1, 1], { from: outer, to: 1 - outer, steps: 16 }),
    ...arc([bite, 0], [r, r], { from: 1 - inner, to: inner, steps: 12 }).slice(1, -1),
  ];
}

/** Two lobes with a deep notch between them, and straight flanks down to a tip. */
function heartPath(): Point[] {
  const lobe = arc([0.5, -0.38], [0.5, 0.5], { from: 0.5, to: 1.07, steps: 9 });
  return [...mirror(lobe).reverse(), ...lobe.slice(1), [0, 0.98]];
}

function dropPath(rng: Rng): Point[] {
  const radius = between(rng, 0.55, 0.65);
  return [[0, -1.05], ...arc([0, 0.35], [radius, radius], { from: -0.06, to: 0.56, steps: 16 })];
}

function crossPath(w: number): Point[] {
  return [
    [-w, -1],
    [w, -1],
    [w, -w],
    [1, -w],
    [1, w],
    [w, w],
    [w, 1],
    [-w, 1],
    [-w, w],
    [-1, w],
    [-1, -w],
    [-w, -w],
  ];
}

function arrowPath(rng: Rng): Point[] {
  const [shaft, head] = [between(rng, 0.16, 0.26), between(rng, 0.55, 0.75)];
  const neck = between(rng, -0.05, 0.25);
  return [
    [-1, -shaft],
    [neck, -shaft],
    [neck, -head],
    [1, 0],
    [neck, head],
    [neck, shaft],
    [-1, shaft],
  ];
}

function boltPath(): Point[] {
  return [[0.25, -1], [-0.55, 0.15], [-0.05, 0.15], [-0.3, 1], [0.6, -0.25], [0.08, -0.25]];
}

/** A line that winds outward. */
function spiralPath(turns: number): Point[] {
  return Array.from({ length: 33 }, (_, i) => around([0, 0], 0.08 + 0.84 * i / 32, turns * i / 32));
}

/** Kinds by name. */
export const PLAIN_FIGURES: Readonly<Record<string, Figure>> = {
  arrow: (pen, rng) => pen.area("body", [arrowPath(rng)]),
  bolt: (pen) => pen.area("body", [boltPath()]),
  crescent: (pen, rng) => pen.area("body", [crescentPath(between(rng, 0.42, 0.55))]),
  cross: (pen, rng) => pen.area("body", [crossPath(between(rng, 0.24, 0.38))]),
  disc: (pen) => pen.ellipse("body", [0, 0], [0.95, 0.95]),
  drop: (pen, rng) => pen.area("body", [dropPath(rng)]),
  gear: (pen, rng) => {
    const hole = arc([0, 0], [0.28, 0.28], { from: 0, to: 1, steps: 12 }).slice(1);
    pen.area("body", [gearPath(7 + rng.integer(4)), hole]);
  },
  heart: (pen) => pen.area("body", [heartPath()]),
  pie: (pen, rng) => pen.area("body", [piePath(between(rng, 0.17, 0.3))]),
  ring: (pen, rng) => {
    const inner = between(rng, 0.5, 0.68);
    const circle = (r: number) => arc([0, 0], [r, r], { from: 0, to: 1, steps: 20 }).slice(1);
    pen.area("body", [circle(0.97), circle(inner)]);
  },
  spiral: (pen, rng) => pen.stroke("body", [spiralPath(between(rng, 2.1, 2.6))], 0.2),
  square: (pen, rng) => {
    const round = between(rng, 0, 0.15);
    pen.area("body", [box(round - 0.8, round - 0.8, 0.8 - round, 0.8 - round)], round);
  },
  star: (pen, rng) => pen.area("body", [starPath(5 + rng.integer(2), between(rng, 0.4, 0.5))]),
  triangle: (pen) => pen.area("body", [[[0, -0.95], [0.95, 0.75], [-0.95, 0.75]]], 0.04),
};
