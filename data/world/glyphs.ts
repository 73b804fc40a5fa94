/**
 * Glyphs: digits and scribbles, strokes that are no kind of object.
 *
 * @module
 */

import type { Rng } from "../../kernels/random/rng.ts";
import { between, pick } from "./palette.ts";
import { arc, type Path, type Pen, type Point } from "./pen.ts";

const DIGITS: Readonly<Record<string, readonly Path[]>> = {
  "digit-0": [arc([0, 0], [0.55, 0.9], { from: 0, to: 1, steps: 16 })],
  "digit-1": [[[-0.3, -0.55], [0.1, -0.9], [0.1, 0.9]], [[-0.3, 0.9], [0.5, 0.9]]],
  "digit-2": [[
    ...arc([0, -0.4], [0.52, 0.5], { from: 0.5, to: 1.08, steps: 10 }),
    [-0.55, 0.9],
    [0.6, 0.9],
  ]],
  "digit-3": [[
    ...arc([0, -0.45], [0.48, 0.45], { from: 0.58, to: 1.25, steps: 10 }),
    ...arc([0, 0.45], [0.55, 0.45], { from: 0.75, to: 1.42, steps: 10 }),
  ]],
  "digit-4": [[[0.3, 0.9], [0.3, -0.9], [-0.6, 0.35], [0.65, 0.35]]],
  "digit-5": [[
    [0.5, -0.9],
    [-0.4, -0.9],
    [-0.45, -0.15],
    ...arc([0, 0.35], [0.55, 0.55], { from: 0.65, to: 1.4, steps: 10 }),
  ]],
  "digit-6": [[
    [0.35, -0.9],
    [-0.35, -0.1],
    ...arc([0, 0.4], [0.52, 0.5], { from: 0.55, to: 1.55, steps: 14 }),
  ]],
  "digit-7": [[[-0.6, -0.9], [0.55, -0.9], [-0.15, 0.9]], [[-0.25, 0], [0.45, 0]]],
  "digit-8": [
    arc([0, -0.45], [0.42, 0.42], { from: 0, to: 1, steps: 12 }),
    arc([0, 0.45], [0.55, 0.47], { from: 0, to: 1, steps: 14 }),
  ],
  "digit-9": [[
    ...arc([0, -0.4], [0.5, 0.5], { from: 0, to: 1, steps: 14 }),
    [0.45, 0.2],
    [0.1, 0.9],
  ]],
};

/** The names of the glyphs. */
export const GLYPHS: readonly string[] = [...Object.keys(DIGITS), "scribble"];

/** A smooth line through random places. */
function scribble(rng: Rng): Path {
  const knots = Array.from(
    { length: 7 },
    (): Point => [between(rng, -0.95, 0.95), between(rng, -0.95, 0.95)],
  );
  return knots.slice(1, -1).flatMap((knot, i): Point[] => {
    const [before, after] = [knots[i]!, knots[i + 2]!];
    // A quadratic arc from one middle to the next, with the knot as its control point.
    return [0, 0.25, 0.5, 0.75, 1].map((t): Point => {
      const [a, b, c] = [0.5 * (1 - t) ** 2, 0.5 + t * (1 - t), 0.5 * t * t];
      return [
        a * before[0] + b * knot[0] + c * after[0],
        a * before[1] + b * knot[1] + c * after[1],
      ];
    });
  });
}

/** Draws a glyph and says which. */
export function drawGlyph(rng: Rng, pen: Pen<"body">): string {
  const name = pick(rng, GLYPHS);
  const width = between(rng, 0.14, 0.3);
  pen.stroke("body", DIGITS[name] ?? [scribble(rng)], width);
  return name;
}
