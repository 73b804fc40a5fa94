/**
 * The parts of t-SNE (van der Maaten and Hinton 2008), exact: affinities of the rows, a start from
 * their principal axes, and steps of gradient descent. All pairs are looked at, which is right for
 * a few thousand rows.
 *
 * @module
 */

import { Rng } from "../kernels/random/rng.ts";

const SEARCH_STEPS = 64;
const SEARCH_TOLERANCE = 1e-5;
const AXIS_STEPS = 24;
/** Deviation of the longer axis at the start: points begin close together. */
const START_DEVIATION = 1e-4;
/** How far the seed moves each point at the start, in that deviation. */
const JITTER = 0.05;
/** Nothing is weaker than this, so that logarithms and gradients stay finite. */
const LEAST = 1e-12;

/** Rows as a matrix. */
export interface Matrix {
  /** N times D numbers, row-major. */
  readonly data: ArrayLike<number>;
  /** N. */
  readonly rows: number;
  /** D. */
  readonly dims: number;
}

/** Squared distances of all pairs i < j, behind each other. */
export function pairDistances({ data, rows, dims }: Matrix): Float32Array<ArrayBuffer> {
  const distances = new Float32Array(rows * (rows - 1) / 2);
  const values = Float32Array.from(data);
  let pair = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = i + 1; j < rows; j++) {
      let [sum, a] = [0, i * dims];
      for (let b = j * dims; b < (j + 1) * dims; a++, b++) {
        const difference = values[a]! - values[b]!;
        sum += difference * difference;
      }
      distances[pair++] = sum;
    }
  }
  return distances;
}

/**
 * Symmetric affinities of all pairs i < j; both directions of all pairs add up to 1. Each row's
 * bandwidth is searched so that the row has as many effective neighbours as the perplexity says.
 */
export function affinities(
  distances: Float32Array,
  { rows, perplexity }: { readonly rows: number; readonly perplexity: number },
): Float32Array<ArrayBuffer> {
  const joint = new Float32Array(distances.length);
  const own = new Float64Array(rows);
  const weights = new Float64Array(rows);
  const pairOf = (i: number, j: number) => i * (2 * rows - i - 1) / 2 + j - i - 1;
  for (let i = 0; i < rows; i++) {
    let nearest = Infinity;
    for (let j = 0; j < rows; j++) {
      if (j === i) continue;
      own[j] = distances[i < j ? pairOf(i, j) : pairOf(j, i)]!;
      nearest = Math.min(nearest, own[j]!);
    }
    const total = searchBandwidth(own, { row: i, nearest, perplexity, weights });
    for (let j = 0; j < rows; j++) {
      if (j !== i) joint[i < j ? pairOf(i, j) : pairOf(j, i)]! += weights[j]! / total;
    }
  }
  for (let pair = 0; pair < joint.length; pair++) {
    joint[pair] = Math.max(LEAST, joint[pair]! / (2 * rows));
  }
  return joint;
}

/** Fills the weights of a row's neighbours and returns their sum. */
function searchBandwidth(
  distances: Float64Array,
  { row, nearest, perplexity, weights }: {
    readonly row: number;
    readonly nearest: number;
    readonly perplexity: number;
    readonly weights: Float64Array;
  },
): number {
  const wanted = Math.log(perplexity);
  let [beta, low, high, total] = [1, 0, Infinity, 0];
  for (let step = 0; step < SEARCH_STEPS; step++) {
    total = 0;
    let moment = 0;
    for (let j = 0; j < distances.length; j++) {
      const distance = distances[j]! - nearest;
      const weight = j === row ? 0 : Math.exp(-beta * distance);
      weights[j] = weight;
      total += weight;
      moment += weight * distance;
    }
    const entropy = Math.log(total) + beta * moment / total;
    if (Math.abs(entropy - wanted) < SEARCH_TOLERANCE) break;
    if (entropy > wanted) {
      low = beta;
      beta = high === Infinity ? 2 * beta : (beta + high) / 2;
    } else {
      high = beta;
      beta = (beta + low) / 2;
    }
  }
  return total;
}

/** Points on the two principal axes of the rows, small, each moved a little by the seed. */
export function startingPoints(matrix: Matrix, seed: number): Float64Array<ArrayBuffer> {
  const { rows } = matrix;
  const rng = new Rng(seed, 0);
  const centred = centre(matrix);
  const first = principalAxis(centred, { rng, without: [] });
  const second = principalAxis(centred, { rng, without: [first] });
  const points = new Float64Array(2 * rows);
  [first, second].forEach((axis, c) => {
    const along = project(centred, axis);
    for (let i = 0; i < rows; i++) points[2 * i + c] = along[i]!;
  });
  let squares = 0;
  for (let i = 0; i < rows; i++) squares += points[2 * i]! ** 2;
  const scale = squares === 0 ? 0 : START_DEVIATION / Math.sqrt(squares / rows);
  for (let c = 0; c < points.length; c++) {
    points[c] = scale * points[c]! + JITTER * START_DEVIATION * rng.normal();
  }
  return points;
}

function centre({ data, rows, dims }: Matrix): Matrix {
  const means = new Float64Array(dims);
  for (let k = 0; k < rows * dims; k++) means[k % dims]! += data[k]! / rows;
  return { data: Float32Array.from(data, (value, k) => value - means[k % dims]!), rows, dims };
}

/** The direction of the largest variance that is orthogonal to others, by power iteration. */
function principalAxis(
  matrix: Matrix,
  { rng, without }: { readonly rng: Rng; readonly without: readonly Float64Array[] },
): Float64Array<ArrayBuffer> {
  const { data, rows, dims } = matrix;
  let axis = normalized(Float64Array.from({ length: dims }, () => rng.normal()), without);
  for (let step = 0; step < AXIS_STEPS; step++) {
    const along = project(matrix, axis);
    const next = new Float64Array(dims);
    for (let i = 0; i < rows; i++) {
      for (let d = 0; d < dims; d++) next[d]! += along[i]! * data[i * dims + d]!;
    }
    axis = normalized(next, without);
  }
  return axis;
}

function normalized(
  vector: Float64Array<ArrayBuffer>,
  without: readonly Float64Array[],
): Float64Array<ArrayBuffer> {
  for (const other of without) {
    const share = vector.reduce((sum, value, d) => sum + value * other[d]!, 0);
    for (let d = 0; d < vector.length; d++) vector[d]! -= share * other[d]!;
  }
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return length === 0 ? vector : vector.map((value) => value / length);
}

function project({ data, rows, dims }: Matrix, axis: Float64Array): Float64Array<ArrayBuffer> {
  const along = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    for (let d = 0; d < dims; d++) along[i]! += data[i * dims + d]! * axis[d]!;
  }
  return along;
}

/** One descent: points, their velocities and gains. */
export class Descent {
  /** N pairs of coordinates. */
  readonly points: Float64Array<ArrayBuffer>;
  readonly #affinities: Float32Array;
  readonly #velocities: Float64Array;
  readonly #gains: Float64Array;
  readonly #attraction: Float64Array;
  readonly #repulsion: Float64Array;

  /**
   * @param points Where the points are at the start; they move.
   * @param affinities Of all pairs i < j.
   */
  constructor(points: Float64Array<ArrayBuffer>, affinities: Float32Array) {
    this.points = points;
    this.#affinities = affinities;
    this.#velocities = new Float64Array(points.length);
    this.#gains = new Float64Array(points.length).fill(1);
    this.#attraction = new Float64Array(points.length);
    this.#repulsion = new Float64Array(points.length);
  }

  /** Moves every point once. */
  step(
    { exaggeration, momentum, rate }: {
      readonly exaggeration: number;
      readonly momentum: number;
      readonly rate: number;
    },
  ): void {
    const total = this.#forces();
    const [attraction, repulsion] = [this.#attraction, this.#repulsion];
    const [velocities, gains, points] = [this.#velocities, this.#gains, this.points];
    for (let c = 0; c < points.length; c++) {
      const gradient = 4 * (exaggeration * attraction[c]! - repulsion[c]! / total);
      const turns = gradient * velocities[c]! < 0;
      gains[c] = Math.max(0.01, turns ? gains[c]! + 0.2 : gains[c]! * 0.8);
      velocities[c] = momentum * velocities[c]! - rate * gains[c]! * gradient;
      points[c]! += velocities[c]!;
    }
  }

  /** Sums what pulls and what pushes each point; returns the sum over all pairs both ways. */
  #forces(): number {
    const { points } = this;
    const [attraction, repulsion, pull] = [this.#attraction, this.#repulsion, this.#affinities];
    attraction.fill(0);
    repulsion.fill(0);
    const rows = points.length / 2;
    let [total, pair] = [0, 0];
    for (let i = 0; i < rows; i++) {
      const [xi, yi] = [points[2 * i]!, points[2 * i + 1]!];
      let [ax, ay, rx, ry] = [0, 0, 0, 0];
      for (let j = 2 * i + 2; j < points.length; j += 2) {
        const dx = xi - points[j]!;
        const dy = yi - points[j + 1]!;
        const near = 1 / (1 + dx * dx + dy * dy);
        const attract = pull[pair++]! * near;
        const repel = near * near;
        total += near;
        ax += attract * dx;
        ay += attract * dy;
        rx += repel * dx;
        ry += repel * dy;
        attraction[j]! -= attract * dx;
        attraction[j + 1]! -= attract * dy;
        repulsion[j]! -= repel * dx;
        repulsion[j + 1]! -= repel * dy;
      }
      attraction[2 * i]! += ax;
      attraction[2 * i + 1]! += ay;
      repulsion[2 * i]! += rx;
      repulsion[2 * i + 1]! += ry;
    }
    return Math.max(LEAST, 2 * total);
  }
}
