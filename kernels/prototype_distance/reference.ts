/**
 * The nearest centre in plain loops with float64 sums.
 *
 * @module
 */

/** How nearness is measured. */
export type PrototypeKind = "cosine" | "euclidean" | "kl";

/** Lengths of a search. */
export interface PrototypeSize {
  /** Rows to look up. */
  readonly rows: number;
  /** Number of centres. */
  readonly centres: number;
  /** Length of a row and of a centre. */
  readonly channels: number;
}

/** What a search finds, per row. */
export interface NearestReference {
  /** The largest cosine, or the smallest distance. */
  readonly value: Float32Array<ArrayBuffer>;
  /** The lowest centre that has it. */
  readonly index: Uint32Array<ArrayBuffer>;
}

/** Norms below this count as this. */
const LEAST_NORM = 1e-12;

/**
 * Nearness of one row to one centre; larger is nearer.
 *
 * @param pair Where the row and the centre begin.
 * @param inputs Rows and centres.
 * @param how Kind, length of a row and epsilon.
 * @returns The cosine, or the negative distance.
 */
export function nearness(
  pair: { readonly row: number; readonly centre: number },
  inputs: { readonly x: Float32Array<ArrayBuffer>; readonly y: Float32Array<ArrayBuffer> },
  how: { readonly kind: PrototypeKind; readonly channels: number; readonly epsilon: number },
): number {
  const { channels, epsilon } = how;
  const logarithm = (value: number) => Math.log(Math.max(value, epsilon));
  let sum = 0;
  let xSquares = 0;
  let ySquares = 0;
  for (let l = 0; l < channels; l++) {
    const a = inputs.x[pair.row * channels + l]!;
    const b = inputs.y[pair.centre * channels + l]!;
    switch (how.kind) {
      case "cosine":
        sum += a * b;
        xSquares += a * a;
        ySquares += b * b;
        break;
      case "euclidean":
        sum -= (a - b) ** 2;
        break;
      case "kl":
        sum -= a * (logarithm(a) - logarithm(b));
        break;
      default:
        how.kind satisfies never;
    }
  }
  if (how.kind !== "cosine") return sum;
  return sum / Math.max(Math.sqrt(xSquares), LEAST_NORM) /
    Math.max(Math.sqrt(ySquares), LEAST_NORM);
}

/**
 * The nearest centre of every row.
 *
 * @param inputs Rows [rows, channels] and centres [centres, channels].
 * @param size The lengths.
 * @param how Kind and epsilon.
 * @returns Values and indices.
 */
export function nearestReference(
  inputs: { readonly x: Float32Array<ArrayBuffer>; readonly y: Float32Array<ArrayBuffer> },
  size: PrototypeSize,
  how: { readonly kind: PrototypeKind; readonly epsilon: number },
): NearestReference {
  const value = new Float32Array(size.rows);
  const index = new Uint32Array(size.rows);
  for (let row = 0; row < size.rows; row++) {
    let best = -Infinity;
    for (let centre = 0; centre < size.centres; centre++) {
      const near = nearness({ row, centre }, inputs, { ...how, channels: size.channels });
      if (near > best) {
        best = near;
        index[row] = centre;
      }
    }
    value[row] = how.kind === "cosine" ? best : -best;
  }
  return { value, index };
}
