/** Figures of things that no in-distribution split shows. */

import { starPath } from "./_plain_figures.ts";
import type { Figure } from "./kinds.ts";
import { between } from "./palette.ts";
import { arc, around, box, mirror, type Path, placed, type Point } from "./pen.ts";

const anchor: Figure = (pen) => {
  pen.stroke("body", [[[0, -0.55], [0, 0.85]], [[-0.42, -0.3], [0.42, -0.3]]], 0.17);
  pen.stroke("body", [arc([0, 0.1], [0.75, 0.75], { from: 0.04, to: 0.46, steps: 12 })], 0.18);
  pen.area("body", [[[0.5, 0.3], [0.95, 0.3], [0.8, -0.1]], [[-0.5, 0.3], [-0.95, 0.3], [
    -0.8,
    -0.1,
  ]]]);
  pen.rings("body", [[0, -0.75]], { radius: 0.17, width: 0.12 });
};

const balloon: Figure = (pen, rng) => {
  const sway = between(rng, -0.2, 0.2);
  pen.stroke("dark", [[[0, 0.4], [sway, 0.65], [-sway, 0.85], [0, 1.05]]], 0.06);
  pen.area("accent", [[[0, 0.25], [0.14, 0.48], [-0.14, 0.48]]]);
  pen.ellipse("body", [0, -0.35], [0.56, 0.68]);
  pen.stroke("light", [arc([0, -0.35], [0.36, 0.46], { from: 0.54, to: 0.68, steps: 4 })], 0.09);
};

const bell: Figure = (pen) => {
  const side: Path = [[0.12, -0.75], [0.42, -0.5], [0.5, 0.15], [0.85, 0.55]];
  pen.dots("accent", [[0, 0.68]], 0.22);
  pen.dots("dark", [[0, -0.82]], 0.14);
  pen.area("body", [[...side, ...mirror(side).reverse()]], 0.04);
  pen.stroke("dark", [[[-0.55, 0.3], [0.55, 0.3]]], 0.08);
};

const bottle: Figure = (pen, rng) => {
  const side: Path = [[0.14, -0.9], [0.14, -0.4], [0.4, -0.1], [0.4, 0.95]];
  pen.area("body", [[...side, ...mirror(side).reverse()]]);
  pen.area("light", [box(-0.4, 0.15, 0.4, between(rng, 0.5, 0.65))]);
  pen.area("dark", [box(-0.18, -1.02, 0.18, -0.8)]);
};

const butterfly: Figure = (pen, rng) => {
  const spread = between(rng, 0.85, 1);
  const upper: Path = [[0, -0.05], [0.3, -0.7], [spread, -0.75], [0.8, -0.1], [0.35, 0.1]];
  const lower: Path = [[0, 0.05], [0.6, 0.1], [0.72, 0.6], [0.4, 0.8], [0.1, 0.45]];
  pen.area("accent", [lower, mirror(lower)], 0.04);
  pen.area("body", [upper, mirror(upper)], 0.04);
  pen.dots("light", [[0.55, -0.4], [-0.55, -0.4]], 0.12);
  pen.stroke("dark", [[[0, -0.4], [0, 0.5]]], 0.15);
  pen.stroke("dark", [[[0.25, -0.9], [0, -0.4], [-0.25, -0.9]]], 0.05);
};

const cactus: Figure = (pen, rng) => {
  const [left, right] = [between(rng, -0.1, 0.2), between(rng, -0.3, 0.1)];
  pen.stroke("body", [[[0, -0.75], [0, 0.6]]], 0.4);
  pen.stroke("body", [
    [[0, left + 0.3], [-0.55, left + 0.3], [-0.55, left - 0.25]],
    [[0, right + 0.3], [0.55, right + 0.3], [0.55, right - 0.3]],
  ], 0.26);
  pen.area("accent", [[[-0.42, 0.55], [0.42, 0.55], [0.3, 1], [-0.3, 1]]]);
};

const candle: Figure = (pen, rng) => {
  const top = between(rng, -0.3, -0.1);
  pen.area("body", [box(-0.26, top, 0.26, 0.8)]);
  pen.area("dark", [[[-0.6, 0.75], [0.6, 0.75], [0.45, 1], [-0.45, 1]]]);
  pen.stroke("dark", [[[0, top], [0, top - 0.15]]], 0.06);
  pen.area(
    "accent",
    [[[0, top - 0.8], [0.2, top - 0.35], [0, top - 0.1], [-0.2, top - 0.35]]],
    0.03,
  );
};

const car: Figure = (pen, rng) => {
  const roof = between(rng, -0.55, -0.4);
  pen.area("body", [[
    [-1, 0.05],
    [-0.62, 0],
    [-0.38, roof],
    [0.3, roof],
    [0.6, 0],
    [1, 0.1],
    [1, 0.45],
    [-1, 0.45],
  ]]);
  pen.area("light", [
    [[-0.45, 0], [-0.3, roof + 0.12], [-0.08, roof + 0.12], [-0.08, 0]],
    [[0.05, 0], [0.05, roof + 0.12], [0.24, roof + 0.12], [0.42, 0]],
  ]);
  pen.dots("dark", [[-0.52, 0.45], [0.52, 0.45]], 0.26);
  pen.dots("accent", [[-0.52, 0.45], [0.52, 0.45]], 0.11);
};

const chair: Figure = (pen, rng) => {
  const seat = between(rng, 0.05, 0.2);
  pen.stroke("body", [[[-0.62, -1], [-0.5, seat], [-0.6, 1]], [[0.5, seat], [0.6, 1]]], 0.17);
  pen.stroke("body", [[[-0.5, seat + 0.45], [0.5, seat + 0.45]]], 0.1);
  pen.area("accent", [box(-0.62, seat - 0.12, 0.65, seat + 0.12)]);
};

const crown: Figure = (pen) => {
  pen.area("body", [[
    [-0.85, 0.65],
    [-0.95, -0.5],
    [-0.45, 0.05],
    [0, -0.75],
    [0.45, 0.05],
    [0.95, -0.5],
    [0.85, 0.65],
  ]]);
  pen.dots("accent", [[-0.95, -0.55], [0, -0.8], [0.95, -0.55]], 0.14);
  pen.stroke("dark", [[[-0.8, 0.48], [0.8, 0.48]]], 0.14);
};

const cup: Figure = (pen) => {
  pen.stroke("body", [arc([0.5, -0.05], [0.42, 0.36], { from: -0.25, to: 0.25, steps: 8 })], 0.17);
  pen.area("body", [[[-0.75, -0.6], [0.55, -0.6], [0.42, 0.7], [-0.62, 0.7]]]);
  pen.ellipse("dark", [-0.1, -0.6], [0.65, 0.16]);
};

const dumbbell: Figure = (pen, rng) => {
  const high = between(rng, 0.5, 0.65);
  pen.stroke("dark", [[[-0.9, 0], [0.9, 0]]], 0.16);
  pen.area("body", [box(-0.75, -high, -0.42, high), box(0.42, -high, 0.75, high)]);
  pen.area("accent", [box(-0.98, -0.32, -0.75, 0.32), box(0.75, -0.32, 0.98, 0.32)]);
};

const envelope: Figure = (pen) => {
  pen.area("body", [box(-0.98, -0.62, 0.98, 0.62)]);
  pen.stroke("dark", [[[-0.95, -0.58], [0, 0.15], [0.95, -0.58]]], 0.1);
  pen.dots("accent", [[0, 0.12]], 0.16);
};

const glasses: Figure = (pen, rng) => {
  const radius = between(rng, 0.34, 0.4);
  pen.dots("light", [[-0.52, 0], [0.52, 0]], radius);
  pen.rings("body", [[-0.52, 0], [0.52, 0]], { radius, width: 0.16 });
  pen.stroke("body", [[[-0.14, -0.06], [0, -0.14], [0.14, -0.06]]], 0.12);
  pen.stroke("body", [[[-0.9, -0.05], [-1.05, -0.35]], [[0.9, -0.05], [1.05, -0.35]]], 0.12);
};

const hammer: Figure = (pen) => {
  pen.stroke("accent", [[[0, -0.5], [0, 1]]], 0.22);
  pen.area("body", [[
    [-0.7, -0.9],
    [0.35, -0.9],
    [0.85, -0.55],
    [0.35, -0.4],
    [-0.7, -0.4],
  ]]);
};

const hourglass: Figure = (pen) => {
  const side: Path = [[0.55, -0.8], [0.5, -0.5], [0.08, 0], [0.5, 0.5], [0.55, 0.8]];
  pen.area("light", [[...side, ...mirror(side).reverse()]]);
  pen.area("body", [[[-0.4, -0.42], [0.4, -0.42], [0, 0.02]], [[-0.5, 0.8], [0.5, 0.8], [
    0,
    0.25,
  ]]]);
  pen.stroke("dark", [[[-0.6, -0.88], [0.6, -0.88]], [[-0.6, 0.88], [0.6, 0.88]]], 0.18);
};

const kite: Figure = (pen, rng) => {
  const knee = between(rng, -0.4, -0.2);
  pen.stroke("dark", [[[0, 0.5], [0.25, 0.75], [-0.1, 0.9], [0.2, 1.1]]], 0.06);
  pen.area("body", [[[0, -1], [0.65, knee], [0, 0.6], [-0.65, knee]]]);
  pen.area("accent", [[[0, -1], [0.65, knee], [0, knee]], [[0, 0.6], [-0.65, knee], [0, knee]]]);
};

const ladder: Figure = (pen, rng) => {
  const rungs = 4 + rng.integer(2);
  const top = between(rng, 0.3, 0.45);
  pen.stroke("body", [[[-0.45, 1], [-top, -1]], [[0.45, 1], [top, -1]]], 0.14);
  const steps = Array.from({ length: rungs }, (_, i): Path => {
    const y = -0.75 + 1.5 * i / (rungs - 1);
    return [[-0.42, y], [0.42, y]];
  });
  pen.stroke("accent", steps, 0.13);
};

/** A letter K: strokes that no other kind has. */
const letter: Figure = (pen, rng) => {
  const joint = between(rng, -0.1, 0.15);
  const width = between(rng, 0.26, 0.34);
  pen.stroke(
    "body",
    [[[-0.5, -0.85], [-0.5, 0.85]], [[0.55, -0.85], [-0.45, joint], [0.6, 0.85]]],
    width,
  );
};

const rocket: Figure = (pen) => {
  pen.area("accent", [[[-0.3, 0.2], [-0.65, 0.75], [-0.3, 0.65]], [[0.3, 0.2], [0.65, 0.75], [
    0.3,
    0.65,
  ]]]);
  pen.area("light", [[[-0.2, 0.65], [0.2, 0.65], [0, 1.08]]]);
  const side: Path = [[0, -1.02], [0.26, -0.62], [0.34, -0.1], [0.3, 0.7]];
  pen.area("body", [[...side, ...mirror(side).reverse().slice(0, -1)]]);
  pen.dots("dark", [[0, -0.3]], 0.17);
};

const snowman: Figure = (pen, rng) => {
  const head = between(rng, 0.28, 0.34);
  pen.dots("body", [[0, 0.45]], 0.54);
  pen.dots("body", [[0, -0.4]], head + 0.06);
  pen.area("dark", [box(-0.28, -1.08, 0.28, -0.72), box(-0.45, -0.74, 0.45, -0.62)]);
  pen.dots("dark", [[-0.11, -0.45], [0.11, -0.45]], 0.06);
  pen.dots("dark", [[0, 0.3], [0, 0.58]], 0.07);
  pen.stroke("accent", [[[-0.3, -0.12], [0.3, -0.12], [0.36, 0.2]]], 0.13);
};

const umbrella: Figure = (pen, rng) => {
  const base = between(rng, 0, 0.15);
  const hook = arc([0.16, 0.8], [0.16, 0.18], { from: 0.5, to: 0, steps: 5 });
  pen.stroke("dark", [[[0, -0.95], [0, 0.8], ...hook]], 0.1);
  pen.area("body", [[
    ...arc([0, base], [0.98, 0.85], { from: 0.5, to: 1, steps: 14 }),
    [0.65, base - 0.15],
    [0.33, base],
    [0, base - 0.15],
    [-0.33, base],
    [-0.65, base - 0.15],
  ]]);
  pen.stroke("accent", [[[-0.33, base - 0.02], [0, base - 0.84], [0.33, base - 0.02]]], 0.06);
};

const wheel: Figure = (pen, rng) => {
  const spokes = 3 + rng.integer(2);
  const lines = Array.from({ length: spokes }, (_, i): Path => [
    around([0, 0], 0.8, i / (2 * spokes)),
    around([0, 0], 0.8, i / (2 * spokes) + 0.5),
  ]);
  pen.stroke("accent", lines, 0.11);
  pen.rings("body", [[0, 0]], { radius: 0.84, width: 0.24 });
  pen.dots("dark", [[0, 0]], 0.2);
};

const pinwheel: Figure = (pen) => {
  const blade: Path = [[0, 0], [0, -0.85], [0.6, -0.45]];
  pen.stroke("dark", [[[0, 0], [0, 1.1]]], 0.1);
  const blades = [0, 0.25, 0.5, 0.75].map((turns): Point[] => placed(blade, turns, [0, -0.15]));
  pen.area("body", [blades[0]!, blades[2]!]);
  pen.area("accent", [blades[1]!, blades[3]!]);
  pen.dots("light", [[0, -0.15]], 0.13);
};

/** A rosette over two ribbons. */
const badge: Figure = (pen, rng) => {
  const spread = between(rng, 0.3, 0.45);
  const ribbon: Path = [[0.02, 0], [0.4, 0], [spread + 0.3, 1.05], [spread, 0.85], [
    spread - 0.25,
    1,
  ]];
  pen.area("dark", [ribbon, mirror(ribbon)]);
  pen.area("body", [starPath(12, 0.8).map(([x, y]) => [0.68 * x, 0.68 * y - 0.32])]);
  pen.ellipse("accent", [0, -0.32], [0.32, 0.32]);
};

/** Kinds by name. */
export const UNSEEN_THINGS: Readonly<Record<string, Figure>> = {
  anchor,
  badge,
  balloon,
  bell,
  bottle,
  butterfly,
  cactus,
  candle,
  car,
  chair,
  crown,
  cup,
  dumbbell,
  envelope,
  glasses,
  hammer,
  hourglass,
  kite,
  ladder,
  letter,
  pinwheel,
  rocket,
  snowman,
  umbrella,
  wheel,
};
