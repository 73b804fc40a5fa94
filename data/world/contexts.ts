/**
 * The kinds of contexts: small things around an object, which say something about it and do not
 * decide.
 *
 * @module
 */

import type { Rng } from "../../kernels/random/rng.ts";
import type { WorldPart } from "../../kernels/render_world/mod.ts";
import {
  between,
  chance,
  type ColourName,
  drawColour,
  type NamedColour,
  pick,
  shade,
} from "./palette.ts";
import { arc, around, box, type Path, Pen, placed, type Point, poseMap } from "./pen.ts";

/** The inks of a context: its main colour, a shade of it, and another one. */
type ContextInk = "main" | "shade" | "other";

/** What a context is drawn with. */
interface Sheet {
  readonly pen: Pen<ContextInk>;
  readonly rng: Rng;
  /** Draws a place that is not in the middle of the object. */
  readonly place: (area?: Area) => Point;
}

/** Where in the image something may lie. */
interface Area {
  readonly left?: number;
  readonly top?: number;
  readonly right?: number;
  readonly bottom?: number;
}

interface ContextKind {
  /** Colours that its main ink may have. */
  readonly colours: readonly ColourName[];
  /** Colour of its other ink; like the main one by default. */
  readonly others?: readonly ColourName[];
  /** Whether it lies before the object. */
  readonly before?: boolean;
  readonly draw: (sheet: Sheet) => void;
}

/** A context in a scene. */
export interface WorldContext {
  /** What it is. */
  readonly kind: string;
  /** The name of its main colour. */
  readonly colour: ColourName;
  /** Whether it lies before the object. */
  readonly before: boolean;
  /** What is drawn. */
  readonly parts: readonly WorldPart[];
}

/** The object's place, which contexts leave free. */
export interface KeepOut {
  /** Its middle, in units of the image's side. */
  readonly x: number;
  /** The same, downward. */
  readonly y: number;
  /** How far it reaches. */
  readonly radius: number;
}

function repeat<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** A whole number from one to another. */
function count(rng: Rng, least: number, most: number): number {
  return least + rng.integer(most - least + 1);
}

function grass({ pen, rng }: Sheet): void {
  const tufts = count(rng, 4, 6);
  for (let i = 0; i < tufts; i++) {
    const x = (i + between(rng, 0.15, 0.85)) / tufts;
    const y = between(rng, 0.96, 1.05);
    const high = between(rng, 0.13, 0.24);
    const blades = [-0.05, 0, 0.05].map((lean): Path => [
      [x + lean * 0.4 - 0.017, y],
      [x + lean * 1.5 + between(rng, -0.02, 0.02), y - high * (1 - 6 * Math.abs(lean))],
      [x + lean * 0.4 + 0.017, y],
    ]);
    pen.area(i % 2 === 0 ? "main" : "shade", blades);
  }
}

function stones({ pen, rng, place }: Sheet): void {
  for (let i = count(rng, 4, 7); i > 0; i--) {
    const [x, y] = place({ top: 0.5 });
    const radius = between(rng, 0.035, 0.075);
    const turns = rng.uniform();
    const outline = repeat(7, (k): Point => {
      const [dx, dy] = around([0, 0], radius * between(rng, 0.75, 1.1), turns + k / 7);
      return [x + 1.25 * dx, y + 0.8 * dy];
    });
    pen.area(chance(rng, 0.5) ? "main" : "shade", [outline]);
  }
}

function clouds({ pen, rng, place }: Sheet): void {
  for (let i = count(rng, 2, 3); i > 0; i--) {
    const [x, y] = place({ bottom: 0.4 });
    const r = between(rng, 0.05, 0.075);
    pen.dots("main", [[x - 1.3 * r, y + 0.3 * r], [x, y - 0.3 * r], [x + 1.3 * r, y + 0.3 * r]], r);
  }
}

function waves({ pen, rng }: Sheet): void {
  const low = between(rng, 0.72, 0.82);
  for (let i = 0; i < 3; i++) {
    const [phase, length] = [rng.uniform(), between(rng, 0.2, 0.3)];
    const path = repeat(15, (k): Point => {
      const x = -0.05 + 1.1 * k / 14;
      return [x, low + 0.09 * i + 0.022 * Math.sin(2 * Math.PI * (x / length + phase))];
    });
    pen.stroke(i === 1 ? "shade" : "main", [path], 0.024);
  }
}

function fence({ pen, rng }: Sheet): void {
  const pickets = count(rng, 5, 8);
  const [top, width] = [between(rng, 0.68, 0.78), between(rng, 0.05, 0.07)];
  pen.stroke("shade", [[[-0.1, top + 0.1], [1.1, top + 0.1]]], 0.03);
  const outlines = repeat(pickets, (i): Path => {
    const x = (i + 0.5) / pickets;
    const [left, right] = [x - width / 2, x + width / 2];
    return [[left, 1.1], [left, top + 0.04], [x, top], [right, top + 0.04], [right, 1.1]];
  });
  pen.area("main", outlines);
}

function stars({ pen, rng, place }: Sheet): void {
  for (let i = count(rng, 5, 9); i > 0; i--) {
    const radius = between(rng, 0.03, 0.06);
    const tips = repeat(8, (k) => around([0, 0], k % 2 === 0 ? radius : 0.35 * radius, k / 8));
    pen.area("main", [placed(tips, 0.1 * rng.uniform(), place())]);
  }
}

function leaves({ pen, rng, place }: Sheet): void {
  for (let i = count(rng, 5, 9); i > 0; i--) {
    const long = between(rng, 0.05, 0.085);
    const leaf = [
      ...arc([0, -0.3 * long], [long, 0.75 * long], { from: 0.07, to: 0.43, steps: 4 }),
      ...arc([0, 0.3 * long], [long, 0.75 * long], { from: 0.57, to: 0.93, steps: 4 }),
    ];
    pen.area(pick(rng, ["main", "shade", "other"]), [placed(leaf, rng.uniform(), place())]);
  }
}

function rain({ pen, rng, place }: Sheet): void {
  const slant = between(rng, -0.03, 0.03);
  for (let i = 0; i < 4; i++) {
    const drops = repeat(count(rng, 3, 5), (): Path => {
      const [x, y] = place();
      return [[x, y], [x + slant, y + 0.08]];
    });
    pen.stroke(i % 2 === 0 ? "main" : "shade", drops, 0.018);
  }
}

function bubbles({ pen, rng, place }: Sheet): void {
  for (let i = count(rng, 5, 9); i > 0; i--) {
    const radius = between(rng, 0.025, 0.06);
    const centre = place();
    pen.rings("main", [centre], { radius, width: 0.018 });
    pen.dots("shade", [[centre[0] - 0.35 * radius, centre[1] - 0.35 * radius]], 0.22 * radius);
  }
}

function bricks({ pen, rng, place }: Sheet): void {
  for (let i = count(rng, 3, 5); i > 0; i--) {
    const [x, y] = place();
    const long = between(rng, 0.055, 0.075);
    const pair = [
      box(-long, -0.62 * long, long * 0.05, 0),
      box(long * 0.15, -0.62 * long, long, 0),
    ];
    const low = box(-0.5 * long, 0.1 * long, 0.55 * long, 0.72 * long);
    pen.area(i % 2 === 0 ? "main" : "shade", [...pair, low].map((path) => placed(path, 0, [x, y])));
  }
}

function cables({ pen, rng }: Sheet): void {
  for (let i = count(rng, 2, 3); i > 0; i--) {
    const [left, right] = [between(rng, 0.02, 0.35), between(rng, 0.02, 0.35)];
    const sag = between(rng, 0.08, 0.3);
    const path = repeat(11, (k): Point => {
      const t = k / 10;
      return [-0.05 + 1.1 * t, left + (right - left) * t + 4 * sag * t * (1 - t)];
    });
    pen.stroke(i === 2 ? "shade" : "main", [path], 0.02);
  }
}

function snow({ pen, rng, place }: Sheet): void {
  for (let i = 0; i < 5; i++) {
    pen.dots("main", repeat(count(rng, 3, 5), () => place()), between(rng, 0.01, 0.026));
  }
}

function birds({ pen, rng, place }: Sheet): void {
  for (let i = count(rng, 3, 6); i > 0; i--) {
    const [x, y] = place({ bottom: 0.55 });
    const span = between(rng, 0.04, 0.075);
    const lift = between(rng, 0.3, 0.6);
    const wing: Path = [[span, -lift * span], [0.5 * span, -0.75 * lift * span], [0, 0.1 * span]];
    const both = [...wing, ...wing.slice(0, 2).reverse().map(([dx, dy]): Point => [-dx, dy])];
    pen.stroke("main", [placed(both, 0, [x, y])], 0.02);
  }
}

function confetti({ pen, rng, place }: Sheet): void {
  for (let i = count(rng, 8, 12); i > 0; i--) {
    const side = between(rng, 0.014, 0.026);
    const slip = box(-1.4 * side, -side, 1.4 * side, side);
    pen.area(pick(rng, ["main", "shade", "other"]), [placed(slip, rng.uniform(), place())]);
  }
}

function reeds({ pen, rng }: Sheet): void {
  const left = chance(rng, 0.5);
  for (let i = count(rng, 3, 5); i > 0; i--) {
    const side = between(rng, 0.02, 0.24);
    const x = chance(rng, 0.75) === left ? side : 1 - side;
    const top = between(rng, 0.3, 0.65);
    const tip = x + between(rng, -0.04, 0.04);
    pen.stroke("main", [[[x, 1.1], [tip, top]]], 0.018);
    pen.stroke("other", [[[tip, top], [tip, top + 0.12]]], 0.05);
  }
}

const KINDS: Readonly<Record<string, ContextKind>> = {
  birds: { colours: ["black", "white", "grey", "brown"], draw: birds },
  bricks: { colours: ["red", "orange", "brown", "grey"], draw: bricks },
  bubbles: { colours: ["white", "teal", "blue", "pink"], draw: bubbles },
  cables: { colours: ["black", "grey", "red", "white"], draw: cables },
  clouds: { colours: ["white", "grey", "pink"], draw: clouds },
  confetti: {
    colours: ["red", "yellow", "pink", "teal"],
    others: ["blue", "green", "orange", "purple"],
    draw: confetti,
  },
  fence: { colours: ["brown", "white", "grey", "green"], draw: fence },
  grass: { colours: ["green", "yellow", "teal", "brown"], before: true, draw: grass },
  leaves: {
    colours: ["green", "orange", "red", "brown"],
    others: ["yellow", "brown", "green"],
    draw: leaves,
  },
  rain: { colours: ["blue", "white", "teal", "grey"], before: true, draw: rain },
  reeds: { colours: ["green", "brown", "yellow"], others: ["brown", "black"], draw: reeds },
  snow: { colours: ["white", "white", "grey", "blue"], before: true, draw: snow },
  stars: { colours: ["yellow", "white", "orange", "pink"], draw: stars },
  stones: { colours: ["grey", "brown", "black", "white"], draw: stones },
  waves: { colours: ["blue", "white", "teal", "purple"], draw: waves },
};

/**
 * The kinds of contexts, sorted by name.
 *
 * @example How many there are
 * ```ts
 * import { WORLD_CONTEXTS } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(WORLD_CONTEXTS.length, 15);
 * ```
 */
export const WORLD_CONTEXTS: readonly string[] = Object.keys(KINDS);

/** Draws places around the object: evenly over an area, less the object's middle. */
function placer(rng: Rng, keepOut: KeepOut | undefined): Sheet["place"] {
  return ({ left = 0.03, top = 0.03, right = 0.97, bottom = 0.97 } = {}) => {
    let point: Point = [0, 0];
    for (let tries = 0; tries < 6; tries++) {
      point = [between(rng, left, right), between(rng, top, bottom)];
      if (keepOut === undefined) break;
      if (Math.hypot(point[0] - keepOut.x, point[1] - keepOut.y) > keepOut.radius) break;
    }
    return point;
  };
}

/** Draws a context of a kind. */
export function drawContext(
  rng: Rng,
  name: string,
  keepOut: KeepOut | undefined,
): WorldContext {
  const kind = KINDS[name]!;
  const main: NamedColour = drawColour(rng, pick(rng, kind.colours));
  const other = kind.others === undefined ? main : drawColour(rng, pick(rng, kind.others));
  const rim = chance(rng, 0.35) ? 0.008 : 0;
  const ink = (rgb: NamedColour["rgb"]) => ({
    fill: rgb,
    outline: shade(rgb, -0.6),
    outlineWidth: rim,
  });
  const pen = new Pen<ContextInk>(poseMap({ x: 0, y: 0, size: 1 }), {
    main: ink(main.rgb),
    shade: ink(shade(main.rgb, chance(rng, 0.5) ? 0.3 : -0.3)),
    other: ink(other.rgb),
  });
  kind.draw({ pen, rng, place: placer(rng, keepOut) });
  return { kind: name, colour: main.name, before: kind.before ?? false, parts: pen.parts };
}
