/** Figures of things: several parts each. These are the composed ones among the classes. */

import type { Figure } from "./kinds.ts";
import { between } from "./palette.ts";
import { arc, around, box, type Point } from "./pen.ts";

const boat: Figure = (pen, rng) => {
  const mast = between(rng, -0.15, 0.1);
  pen.stroke("dark", [[[mast, 0.4], [mast, -0.95]]], 0.1);
  pen.area("accent", [[[mast + 0.1, -0.9], [0.85, 0.2], [mast + 0.1, 0.2]]]);
  pen.area("light", [[[mast - 0.1, -0.6], [mast - 0.1, 0.2], [-0.7, 0.2]]]);
  pen.area("body", [[[-1, 0.35], [1, 0.35], [0.62, 0.85], [-0.62, 0.85]]]);
};

const fish: Figure = (pen, rng) => {
  const height = between(rng, 0.4, 0.55);
  pen.area("accent", [[[0.4, 0], [1, -0.5], [0.88, 0], [1, 0.5]]]);
  pen.area("accent", [[[-0.25, -height + 0.12], [0.3, -height - 0.28], [0.35, -height + 0.22]]]);
  pen.ellipse("body", [-0.18, 0], [0.78, height]);
  pen.stroke(
    "dark",
    [arc([-0.62, 0], [0.22, height * 0.72], { from: -0.2, to: 0.2, steps: 5 })],
    0.06,
  );
  pen.dots("light", [[-0.62, -0.12]], 0.13);
  pen.dots("dark", [[-0.64, -0.12]], 0.07);
};

const flower: Figure = (pen, rng) => {
  const petals = 5 + rng.integer(4);
  const reach = between(rng, 0.5, 0.6);
  const width = Math.min(0.42, 2.1 * reach / petals);
  for (let i = 0; i < petals; i++) {
    const turns = i / petals;
    const centre = around([0, 0], reach, turns);
    const petal = Array.from({ length: 10 }, (_, k): Point => {
      const [x, y] = around([0, 0], 1, k / 10);
      const [cos, sin] = around([0, 0], 1, turns);
      return [
        centre[0] + cos * 0.44 * x - sin * width * y,
        centre[1] + sin * 0.44 * x + cos * width * y,
      ];
    });
    pen.area("body", [petal]);
  }
  pen.dots("accent", [[0, 0]], between(rng, 0.24, 0.32));
};

const house: Figure = (pen, rng) => {
  const eaves = between(rng, -0.2, 0);
  if (rng.integer(2) === 1) pen.area("dark", [box(0.35, -0.85, 0.58, eaves)]);
  pen.area("body", [box(-0.72, eaves, 0.72, 0.85)]);
  pen.area("accent", [[[-0.98, eaves + 0.05], [0, -0.98], [0.98, eaves + 0.05]]]);
  pen.area("dark", [box(-0.5, 0.25, -0.1, 0.85)]);
  pen.area("light", [box(0.15, 0.2, 0.52, 0.55)]);
};

const key: Figure = (pen, rng) => {
  const bow = between(rng, 0.3, 0.38);
  pen.stroke("body", [[[-0.35, 0], [0.98, 0]]], 0.17);
  pen.area("body", [box(0.5, 0, 0.66, 0.4), box(0.82, 0, 1, between(rng, 0.28, 0.45))]);
  pen.rings("body", [[-0.6, 0]], { radius: bow, width: 0.2 });
};

const lamp: Figure = (pen, rng) => {
  const top = between(rng, 0.25, 0.4);
  pen.stroke("dark", [[[0, -0.2], [0, 0.85]]], 0.12);
  pen.area("dark", [arc([0, 0.95], [0.5, 0.22], { from: 0.5, to: 1, steps: 8 })]);
  pen.dots("light", [[0, -0.05]], 0.17);
  pen.area("body", [[[-top, -0.98], [top, -0.98], [0.78, -0.1], [-0.78, -0.1]]]);
};

const lollipop: Figure = (pen, rng) => {
  const radius = between(rng, 0.52, 0.6);
  pen.stroke("light", [[[0, -0.1], [0, 1.02]]], 0.13);
  pen.ellipse("body", [0, -0.42], [radius, radius]);
  const swirl = Array.from(
    { length: 15 },
    (_, i) => around([0, -0.42], (radius - 0.14) * i / 14, 1.6 * i / 14),
  );
  pen.stroke("accent", [swirl], 0.13);
};

const mushroom: Figure = (pen, rng) => {
  const width = between(rng, 0.2, 0.28);
  const brim = between(rng, 0.02, 0.15);
  pen.area("light", [[[-width, 0], [width, 0], [width + 0.1, 0.95], [-width - 0.1, 0.95]]]);
  pen.area("body", [arc([0, brim], [0.98, brim + 0.95], { from: 0.5, to: 1, steps: 14 })]);
  pen.dots("accent", [[-0.48, -0.2], [0.08, -0.5], [0.52, -0.15]], between(rng, 0.12, 0.17));
};

/** A fir: a stem and three storeys. */
const tree: Figure = (pen, rng) => {
  const spread = between(rng, 0.62, 0.8);
  pen.area("accent", [box(-0.13, 0.5, 0.13, 1)]);
  pen.area("body", [[[-spread, 0.62], [0, -0.2], [spread, 0.62]]]);
  pen.area("body", [[[-spread * 0.82, 0.15], [0, -0.62], [spread * 0.82, 0.15]]]);
  pen.area("body", [[[-spread * 0.62, -0.3], [0, -1.02], [spread * 0.62, -0.3]]]);
};

/** Kinds by name. */
export const THINGS: Readonly<Record<string, Figure>> = {
  boat,
  fish,
  flower,
  house,
  key,
  lamp,
  lollipop,
  mushroom,
  tree,
};
