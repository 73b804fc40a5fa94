/**
 * The procedural world in plain TypeScript: the oracle of the kernel, and the measure of what a part
 * covers. It reads the same packed numbers, and computes in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { HEAD_QUADS, PART_QUADS } from "./drawing.ts";

type Numbers = ArrayLike<number>;
type Triple = [number, number, number];

const TWO_POW_MINUS_24 = 1 / 16777216;
const GOLDEN = 0x9e3779b1;

function hash(x: number): number {
  let h = x;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function hashCell(x: number, y: number, seed: number): number {
  return hash(Math.imul(x, GOLDEN) ^ Math.imul(y, 0x85ebca77) ^ seed);
}

function lattice(x: number, y: number, seed: number): number {
  return (hashCell(x, y, seed) >>> 8) * TWO_POW_MINUS_24;
}

function saturate(x: number): number {
  return Math.min(1, Math.max(0, x));
}

function mix(a: number, b: number, share: number): number {
  return a + (b - a) * share;
}

function fract(x: number): number {
  return x - Math.floor(x);
}

function noise(x: number, y: number, seed: number): number {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [fx, fy] = [x - left, y - top];
  const [sx, sy] = [fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)];
  const upper = mix(lattice(left, top, seed), lattice(left + 1, top, seed), sx);
  const lower = mix(lattice(left, top + 1, seed), lattice(left + 1, top + 1, seed), sx);
  return mix(upper, lower, sy);
}

function octaves(x: number, y: number, seed: number): number {
  const sum = 8 * noise(x, y, seed) + 4 * noise(2 * x, 2 * y, seed + 1) +
    2 * noise(4 * x, 4 * y, seed + 2) + noise(8 * x, 8 * y, seed + 3);
  return sum / 15;
}

function triangle(x: number): number {
  return Math.abs(2 * fract(x) - 1);
}

function wave(x: number): number {
  const t = triangle(x);
  return t * t * (3 - 2 * t);
}

function ramp(x: number, top: number): number {
  const f = fract(x);
  return Math.min(f / top, (1 - f) / (1 - top));
}

function edge(x: number, width: number): number {
  return saturate(0.5 + x / width);
}

/** What a texture computes with at one place. */
interface Ground {
  u: number;
  v: number;
  pixelU: number;
  pixelV: number;
  duty: number;
  warp: number;
  bend: number;
  fleck: number;
  seed: number;
}

type Mixture = readonly [figure: number, detail: number];

function checks({ u, v, pixelU, pixelV }: Ground): Mixture {
  const a = edge(triangle(u) - 0.5, 2 * pixelU);
  const b = edge(triangle(v) - 0.5, 2 * pixelV);
  return [a + b - 2 * a * b, 0];
}

function water({ u, v, warp, bend, fleck }: Ground): Mixture {
  const t = wave(v + 0.3 * wave(u) + warp * bend);
  return [t, saturate(4 * (t - 0.7)) * saturate(3 * (fleck - 0.4))];
}

function plaid({ u, v, pixelU, pixelV, duty }: Ground): Mixture {
  const a = edge(triangle(u) - duty, 2 * pixelU);
  const b = edge(triangle(v) - duty, 2 * pixelV);
  const thin = Math.max(
    edge(triangle(u + 0.5) - 0.86, 2 * pixelU),
    edge(triangle(v + 0.5) - 0.86, 2 * pixelV),
  );
  return [0.5 * (a + b), 0.7 * thin];
}

function tiles({ u, v, pixelU, duty, fleck, seed }: Ground): Mixture {
  const row = Math.floor(v);
  const x = u + 0.5 * (row & 1);
  const brick = lattice(Math.floor(x), row, seed);
  const border = Math.min(1 - triangle(x), 0.5 * (1 - triangle(v)));
  const gap = Math.max(0.4 * duty, 2 * pixelU);
  return [0.8 * brick + 0.2 * fleck, edge(gap - border, 2 * pixelU)];
}

function hexagons({ u, v, pixelU, duty }: Ground): Mixture {
  const height = 1.7320508;
  const a = [fract(u) - 0.5, (fract(v / height) - 0.5) * height] as const;
  const b = [fract(u + 0.5) - 0.5, (fract(v / height + 0.5) - 0.5) * height] as const;
  const nearer = a[0] * a[0] + a[1] * a[1] < b[0] * b[0] + b[1] * b[1] ? a : b;
  const [x, y] = [Math.abs(nearer[0]), Math.abs(nearer[1])];
  const border = 0.5 - Math.max(x, 0.5 * x + 0.8660254 * y);
  return [edge(border - 0.2 * duty, pixelU), 1.2 * border];
}

function cells({ u, v, pixelU, seed }: Ground): Mixture {
  const [left, top] = [Math.floor(u), Math.floor(v)];
  let nearest = 9;
  let second = 9;
  for (let i = 0; i < 9; i++) {
    const [x, y] = [left + i % 3 - 1, top + Math.floor(i / 3) - 1];
    const h = hashCell(x, y, seed);
    const away = Math.hypot(x + (h & 0xffff) / 65535 - u, y + (h >>> 16) / 65535 - v);
    second = Math.min(second, Math.max(nearest, away));
    nearest = Math.min(nearest, away);
  }
  return [saturate(1.1 * nearest), edge(0.12 - (second - nearest), 0.08 + 2 * pixelU)];
}

function scales({ u, v, pixelU }: Ground): Mixture {
  const reach = 0.70710678;
  const y = 2 * v;
  const row = Math.floor(y);
  const shift = 0.5 * (row & 1);
  const above = Math.hypot(fract(u + 0.5 - shift) - 0.5, 0.5 * (y - row) + 0.5);
  const own = Math.hypot(fract(u + shift) - 0.5, 0.5 * (y - row));
  const hidden = saturate(1 + (reach - above) / pixelU);
  const far = mix(own, above, hidden) / reach;
  return [saturate(far * far), edge(far - 0.86, 3 * pixelU)];
}

function maze({ u, v, pixelU, duty, fleck, seed }: Ground): Mixture {
  const [left, top] = [Math.floor(u), Math.floor(v)];
  const turned = (hashCell(left, top, seed) & 1) === 1;
  const [x, y] = [turned ? 1 - (u - left) : u - left, v - top];
  const away = Math.min(
    Math.abs(Math.hypot(x, y) - 0.5),
    Math.abs(Math.hypot(x - 1, y - 1) - 0.5),
  );
  return [edge(0.35 * duty - away, pixelU), 0.5 * fleck];
}

function weave({ u, v, pixelU }: Ground): Mixture {
  const lies = ((Math.floor(u) + Math.floor(v)) & 1) === 0;
  const [x, y] = [Math.abs(fract(u) - 0.5), Math.abs(fract(v) - 0.5)];
  const gap = Math.max(0.08, pixelU);
  return [1 - 2 * (lies ? x : y), edge(Math.max(x, y) - 0.5 + gap, pixelU)];
}

/** By the code of the texture. */
const MIXTURES: readonly ((ground: Ground) => Mixture)[] = [
  ({ v, warp, bend }) => [v + warp * bend, 0],
  ({ bend, fleck }) => [0.5 + 2 * bend, 0.8 * saturate(2.5 * (fleck - 0.5))],
  ({ u, warp, bend, duty, pixelU }) => [edge(triangle(u + warp * bend) - duty, 2 * pixelU), 0],
  checks,
  ({ u, v, warp, bend, fleck }) => [ramp(v + 0.4 * wave(0.5 * u) + warp * bend, 0.8), 0.3 * fleck],
  water,
  ({ u, warp, bend, fleck }) => [ramp(u + warp * bend, 0.85), 0.6 * saturate(4 * (fleck - 0.5))],
  ({ bend, duty, fleck }) => [5 * (bend + 0.5 - duty), 0.4 * fleck],
  ({ u, v, duty, pixelU }) => [
    edge(0.5 * duty - Math.hypot(fract(u) - 0.5, fract(v) - 0.5), pixelU),
    0,
  ],
  plaid,
  ({ u, warp, bend, fleck }) => [triangle(u + warp * bend) ** 3, 0.35 * fleck],
  tiles,
  hexagons,
  ({ u, v, warp, bend }) => [wave(Math.hypot(u, v) + warp * bend), 0],
  ({ u, v, warp, duty, pixelV }) => [
    edge(triangle(v + warp * triangle(u)) - duty, 2 * pixelV),
    0,
  ],
  cells,
  scales,
  maze,
  weave,
];

function bytesOf(h: number): Triple {
  return [(h & 255) / 255, (h >>> 8 & 255) / 255, (h >>> 16 & 255) / 255];
}

function randomColour(code: number, ground: Ground, key: number): Triple {
  if (code === MIXTURES.length + 2) {
    const bend = ground.warp * ground.bend;
    const smooth = (channel: number) =>
      0.5 + 1.6 * (noise(ground.u + bend, ground.v + bend, ground.seed + 16 * channel) - 0.5);
    return [smooth(0), smooth(1), smooth(2)];
  }
  const first = bytesOf(key);
  if (code === MIXTURES.length) return first;
  const more = [1, 2, 3].map((i) => bytesOf(hash(key + i)));
  return first.map((value, c) =>
    0.5 + 0.4330127 * (more.reduce((sum, bytes) => sum + bytes[c]!, value) - 2)
  ) as Triple;
}

/** Where in which picture. */
interface Place {
  /** First number of the picture's head. */
  readonly head: number;
  readonly x: number;
  readonly y: number;
  /** Number of the pixel. */
  readonly index: number;
  /** Pixels of a side. */
  readonly size: number;
}

function backdrop(scene: Numbers, { head, x, y, index, size }: Place): Triple {
  const at = (i: number) => scene[head + i]!;
  const [code, seed] = [at(2), at(3)];
  const [u, v] = [at(16) * x + at(17) * y + at(18), at(20) * x + at(21) * y + at(22)];
  const [cellU, cellV] = [u * at(11), v * at(15)];
  const ground: Ground = {
    u,
    v,
    pixelU: Math.max(Math.hypot(at(16), at(17)) / size, 1e-6),
    pixelV: Math.max(Math.hypot(at(20), at(21)) / size, 1e-6),
    duty: at(7),
    warp: at(19),
    bend: octaves(cellU, cellV, seed) - 0.5,
    fleck: noise(5 * cellU + 0.5, 5 * cellV + 0.5, seed + 4),
    seed,
  };
  const mixture = MIXTURES[code];
  if (mixture === undefined) {
    return randomColour(code, ground, hash(index ^ Math.imul(seed, GOLDEN)));
  }
  const [figure, detail] = mixture(ground).map(saturate) as [number, number];
  return [0, 1, 2].map((c) => mix(mix(at(4 + c), at(8 + c), figure), at(12 + c), detail)) as Triple;
}

/** Signed distance from a place to the outline of the part at `row` (in numbers): negative inside. */
function outlineDistance(scene: Numbers, row: number, [x, y]: readonly [number, number]): number {
  const [radius, shell] = [scene[row + 24]!, scene[row + 25]!];
  const [first, count] = [4 * scene[row + 26]!, scene[row + 27]!];
  let nearest = 1e9;
  let inside = false;
  for (let i = first; i < first + 4 * Math.abs(count); i += 4) {
    const [x0, y0, x1, y1] = [scene[i]!, scene[i + 1]!, scene[i + 2]!, scene[i + 3]!];
    const [dx, dy, fx, fy] = [x1 - x0, y1 - y0, x - x0, y - y0];
    const share = saturate((fx * dx + fy * dy) / Math.max(dx * dx + dy * dy, 1e-12));
    const [ax, ay] = [fx - share * dx, fy - share * dy];
    nearest = Math.min(nearest, ax * ax + ay * ay);
    const crosses = (y0 <= y) !== (y1 <= y);
    if (crosses && (dx * fy > dy * fx) === (dy > 0)) inside = !inside;
  }
  const away = Math.sqrt(nearest);
  const signed = (inside && count > 0 ? -away : away) - radius;
  return shell > 0 ? Math.abs(signed) - shell : signed;
}

function patternShare(scene: Numbers, row: number, { x, y, size }: Place): number {
  const at = (i: number) => scene[row + i]!;
  const code = at(11);
  if (code === 0) return 0;
  const [u, v] = [at(16) * x + at(17) * y + at(18), at(20) * x + at(21) * y + at(22)];
  if (code === 4) return saturate(u);
  const pixel = Math.max(Math.hypot(at(16), at(17)) / size, 1e-6);
  const duty = at(19);
  if (code === 2) return edge(duty - Math.hypot(fract(u) - 0.5, fract(v) - 0.5), pixel);
  const a = edge(triangle(u) - duty, 2 * pixel);
  if (code === 1) return a;
  const b = edge(triangle(v) - duty, 2 * pixel);
  return a + b - 2 * a * b;
}

function isNear(scene: Numbers, row: number, { x, y, size }: Place): boolean {
  const reach = 1 / size;
  return x > scene[row]! - reach && y > scene[row + 1]! - reach &&
    x < scene[row + 2]! + reach && y < scene[row + 3]! + reach;
}

/** How much of a pixel a part covers, 0 to 1, its opacity apart. */
function coverage(away: number, width: number): number {
  return saturate(0.5 - away / width);
}

function paintPart(scene: Numbers, row: number, place: Place, colour: Triple): void {
  if (!isNear(scene, row, place)) return;
  const at = (i: number) => scene[row + i]!;
  const away = outlineDistance(scene, row, [place.x, place.y]);
  const width = Math.max(at(23), 1 / place.size);
  const share = coverage(away, width) * at(7);
  if (share === 0) return;
  const rim = at(15);
  const core = rim > 0 ? coverage(away + rim, width) : 1;
  const second = patternShare(scene, row, place);
  for (let c = 0; c < 3; c++) {
    const body = mix(at(4 + c), at(8 + c), second);
    colour[c] = mix(colour[c]!, mix(at(12 + c), body, core), share);
  }
}

/**
 * Renders packed drawings.
 *
 * @param scene What `packDrawings` made.
 * @param output f32 `[images, size, size, 3]`, which is filled.
 * @param size Pixels of a side.
 */
export function renderReference(scene: Numbers, output: Float32Array, size: number): void {
  const area = size * size;
  for (let item = 0; item < output.length / 3; item++) {
    const index = item % area;
    const head = 4 * HEAD_QUADS * Math.floor(item / area);
    const [x, y] = [(index % size + 0.5) / size, (Math.floor(index / size) + 0.5) / size];
    const place: Place = { head, x, y, index, size };
    const colour = backdrop(scene, place);
    const first = 4 * scene[head]!;
    for (let part = 0; part < scene[head + 1]!; part++) {
      paintPart(scene, first + 4 * PART_QUADS * part, place, colour);
    }
    const light = 1 + scene[head + 24]! * (x - 0.5) + scene[head + 25]! * (y - 0.5);
    const grain = bytesOf(hash(index * 3 + (scene[head + 3]! ^ 0x5bd1e995)));
    for (let c = 0; c < 3; c++) {
      output[3 * item + c] = saturate(colour[c]! * light + scene[head + 23]! * (grain[c]! - 0.5));
    }
  }
}

/**
 * How much of each pixel the parts of the first packed drawing hide, opacity included.
 *
 * @param scene What `packDrawings` made of one drawing.
 * @param size Pixels of a side.
 * @returns f32 `[size, size]`, 0 to 1.
 */
export function coverageReference(scene: Numbers, size: number): Float32Array<ArrayBuffer> {
  const mask = new Float32Array(size * size);
  const first = 4 * scene[0]!;
  for (let index = 0; index < mask.length; index++) {
    const [x, y] = [(index % size + 0.5) / size, (Math.floor(index / size) + 0.5) / size];
    const place: Place = { head: 0, x, y, index, size };
    let shown = 1;
    for (let part = 0; part < scene[1]!; part++) {
      const row = first + 4 * PART_QUADS * part;
      if (!isNear(scene, row, place)) continue;
      const width = Math.max(scene[row + 23]!, 1 / size);
      shown *= 1 - coverage(outlineDistance(scene, row, [x, y]), width) * scene[row + 7]!;
    }
    mask[index] = 1 - shown;
  }
  return mask;
}
