/**
 * Drawing figures in coordinates of their own: shapes and strokes go through an affine map and get
 * the colours, patterns and rims of the inks that they name.
 *
 * @module
 */

import type {
  WorldAxis,
  WorldColour,
  WorldPart,
  WorldPattern,
} from "../../kernels/render_world/mod.ts";

/** A point, x to the right and y down. */
export type Point = readonly [x: number, y: number];

/** A closed outline, or the path of a stroke. */
export type Path = readonly Point[];

/** How an ink paints. */
export interface Ink {
  /** Its colour. */
  readonly fill: WorldColour;
  /** The second colour of its pattern. */
  readonly other?: WorldColour;
  /** The pattern; solid by default. */
  readonly pattern?: WorldPattern;
  /** Periods of the pattern in one unit of the figure. */
  readonly frequency?: number;
  /** Direction of the pattern, in turns. */
  readonly direction?: number;
  /** Share of the first colour; dots have this radius. */
  readonly duty?: number;
  /** How much it hides, 1 by default. */
  readonly opacity?: number;
  /** Colour of the rim. */
  readonly outline?: WorldColour;
  /** Width of the rim in units of the image; none by default. */
  readonly outlineWidth?: number;
}

/** From a figure's coordinates to the image's: `x' = a x + c y + e`, `y' = b x + d y + f`. */
export interface Affine {
  /** x to x. */
  readonly a: number;
  /** x to y. */
  readonly b: number;
  /** y to x. */
  readonly c: number;
  /** y to y. */
  readonly d: number;
  /** Where the origin goes, x. */
  readonly e: number;
  /** Where the origin goes, y. */
  readonly f: number;
}

/** How a figure lies in the image. */
export interface Pose {
  /** The figure's origin, in units of the image's side. */
  readonly x: number;
  /** The same, downward. */
  readonly y: number;
  /** Length of one unit of the figure. */
  readonly size: number;
  /** Turn to the right, in radians. */
  readonly angle?: number;
  /** Width over height of a square of the figure; the area stays. */
  readonly aspect?: number;
  /** How much the top leans to the left, as a share of the height. */
  readonly shear?: number;
  /** Whether left and right are exchanged. */
  readonly mirrored?: boolean;
}

/** The map of a pose. */
export function poseMap(pose: Pose): Affine {
  const { x, y, size, angle = 0, aspect = 1, shear = 0, mirrored = false } = pose;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const wide = (mirrored ? -size : size) * Math.sqrt(aspect);
  const high = size / Math.sqrt(aspect);
  return {
    a: cos * wide,
    b: sin * wide,
    c: (cos * shear - sin) * high,
    d: (sin * shear + cos) * high,
    e: x,
    f: y,
  };
}

/** Where a point of a figure lies in the image. */
export function mapPoint({ a, b, c, d, e, f }: Affine, [x, y]: Point): Point {
  return [a * x + c * y + e, b * x + d * y + f];
}

/** A point at an angle (in turns, from the right, clockwise) around another one. */
export function around([x, y]: Point, radius: number, turns: number): Point {
  return [x + radius * Math.cos(2 * Math.PI * turns), y + radius * Math.sin(2 * Math.PI * turns)];
}

/** Points of an arc of an ellipse, from one angle to another, in turns. */
export function arc(
  [x, y]: Point,
  radii: Point,
  span: { readonly from: number; readonly to: number; readonly steps: number },
): Point[] {
  const { from, to, steps } = span;
  return Array.from({ length: steps + 1 }, (_, i) => {
    const angle = 2 * Math.PI * (from + (to - from) * i / steps);
    return [x + radii[0] * Math.cos(angle), y + radii[1] * Math.sin(angle)] as const;
  });
}

/** The corners of an upright rectangle. */
export function box(left: number, top: number, right: number, bottom: number): Point[] {
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}

/** The same path with left and right exchanged. */
export function mirror(path: Path): Point[] {
  return path.map(([x, y]) => [-x, y] as const);
}

/** A path turned around the origin, in turns, then moved. */
export function placed(path: Path, turns: number, [x, y]: Point): Point[] {
  const [cos, sin] = [Math.cos(2 * Math.PI * turns), Math.sin(2 * Math.PI * turns)];
  return path.map(([px, py]) => [cos * px - sin * py + x, sin * px + cos * py + y] as const);
}

const CIRCLE_STEPS = 18;

/** Draws parts with one map. */
export class Pen<Name extends string = string> {
  /** What was drawn, from the back to the front. */
  readonly parts: WorldPart[] = [];
  readonly #map: Affine;
  readonly #scale: number;
  readonly #inks: Readonly<Record<Name, Ink>>;

  /**
   * @param map Where the figure lies.
   * @param inks How each name paints.
   */
  constructor(map: Affine, inks: Readonly<Record<Name, Ink>>) {
    this.#map = map;
    this.#scale = Math.sqrt(Math.abs(map.a * map.d - map.b * map.c));
    this.#inks = inks;
  }

  /** An area within outlines, with holes where they lie within each other; `round` widens it. */
  area(ink: Name, outlines: readonly Path[], round = 0): void {
    const edges = outlines.flatMap((path) =>
      path.flatMap((point, i) => this.#edge(point, path[(i + 1) % path.length]!))
    );
    this.#push(ink, { edges, open: false, radius: round, shell: 0 });
  }

  /** Strokes along paths. */
  stroke(ink: Name, paths: readonly Path[], width: number): void {
    const edges = paths.flatMap((path) =>
      path.slice(1).flatMap((point, i) => this.#edge(path[i]!, point))
    );
    this.#push(ink, { edges, open: true, radius: width / 2, shell: 0 });
  }

  /** Round dots of one size, which the map moves and scales but leaves round. */
  dots(ink: Name, centres: readonly Point[], radius: number): void {
    const edges = centres.flatMap((centre) => this.#edge(centre, centre));
    this.#push(ink, { edges, open: true, radius, shell: 0 });
  }

  /** Round rings of one size and stroke width. */
  rings(ink: Name, centres: readonly Point[], size: { radius: number; width: number }): void {
    const edges = centres.flatMap((centre) => this.#edge(centre, centre));
    this.#push(ink, { edges, open: true, radius: size.radius, shell: size.width / 2 });
  }

  /** An ellipse that the map may squeeze. */
  ellipse(ink: Name, centre: Point, radii: Point): void {
    this.area(ink, [arc(centre, radii, { from: 0, to: 1, steps: CIRCLE_STEPS }).slice(1)]);
  }

  #edge(from: Point, to: Point): number[] {
    return [...mapPoint(this.#map, from), ...mapPoint(this.#map, to)];
  }

  #push(
    name: Name,
    shape: Pick<WorldPart, "edges" | "open" | "radius" | "shell">,
  ): void {
    const ink = this.#inks[name];
    const { frequency = 2, direction = 0, outlineWidth = 0 } = ink;
    const pattern = ink.pattern ?? "solid";
    const [u, v] = this.#axes(pattern === "gradient" ? 0.5 : frequency, direction, {
      centre: pattern === "gradient" ? 0.5 : 0.25,
    });
    this.parts.push({
      ...shape,
      radius: shape.radius * this.#scale,
      shell: shape.shell * this.#scale,
      softness: 0,
      opacity: ink.opacity ?? 1,
      fill: ink.fill,
      other: ink.other ?? ink.fill,
      pattern,
      u,
      v,
      duty: ink.duty ?? 0.5,
      outline: ink.outline ?? ink.fill,
      outlineWidth,
    });
  }

  /** Pattern coordinates that follow the figure: the inverse of the map, turned and scaled. */
  #axes(
    frequency: number,
    direction: number,
    { centre }: { centre: number },
  ): [WorldAxis, WorldAxis] {
    const { a, b, c, d, e, f } = this.#map;
    const determinant = a * d - b * c;
    const [cos, sin] = [
      Math.cos(2 * Math.PI * direction) * frequency / determinant,
      Math.sin(2 * Math.PI * direction) * frequency / determinant,
    ];
    const axis = (alongX: number, alongY: number): WorldAxis => {
      const x = alongX * d - alongY * b;
      const y = alongY * a - alongX * c;
      return [x, y, centre - x * e - y * f];
    };
    return [axis(cos, sin), axis(-sin, cos)];
  }
}
