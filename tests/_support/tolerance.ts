/**
 * The one table of tolerances: |actual - expected| <= absolute + relative * |expected|, and where
 * given, the normalised squared error of the whole array.
 *
 * @module
 */

/** How far a result may be from its reference. */
export interface Tolerance {
  /** Allowed absolute difference. */
  readonly absolute: number;
  /** Allowed difference relative to the expected value. */
  readonly relative: number;
  /** Allowed sum of squared differences over the sum of squared expected values. */
  readonly normalisedSquaredError?: number;
}

/** Every tolerance that a test uses, by name. */
export const TOLERANCE = {
  /** A derivative against central differences, both in float64, of values around one. */
  gradient: { absolute: 1e-8, relative: 1e-6 },
  /** A single operation in f32 on the GPU against its float64 reference. */
  kernel: { absolute: 1e-5, relative: 1e-4, normalisedSquaredError: 1e-7 },
  /** The same for values far below one that must keep their digits. */
  digits: { absolute: 0, relative: 1e-4 },
  /** An f32 sum of tens of thousands of terms that cancel. */
  longSum: { absolute: 2e-3, relative: 1e-4, normalisedSquaredError: 1e-7 },
  /** Results that must agree to the last bit. */
  exact: { absolute: 0, relative: 0 },
  /** Float64 arithmetic against hand-made or library figures that are given to six digits. */
  printed: { absolute: 1e-6, relative: 0 },
  /** Float64 arithmetic done in two orders. */
  float64: { absolute: 1e-12, relative: 1e-12 },
  /** A float64 decomposition of a matrix with entries around one, put together again. */
  decomposition: { absolute: 1e-11, relative: 1e-11 },
  /** A score on kernels, as a graph or in float64 NumPy: several f32 operations in a row. */
  score: { absolute: 1e-5, relative: 1e-4 },
  /** A Mahalanobis distance before and after an affine map that is itself rounded to f32. */
  affine: { absolute: 1e-3, relative: 1e-3 },
  /** Sums of a few hundred f32 products with entries around one, against float64. */
  gram: { absolute: 5e-4, relative: 1e-5 },
  /** A p-value from one in two and a half of the calibration scores. */
  thinned: { absolute: 1e-4, relative: 0 },
  /** A rendered colour, 0 to 1, where f32 rounding moves a ramp of one pixel: a tenth of a byte. */
  colour: { absolute: 4e-4, relative: 0 },
  /** Colours rounded to bytes on two executors. */
  byte: { absolute: 1, relative: 0 },
  /** A whole network in the engine against onnxruntime. */
  network: { absolute: 1e-4, relative: 1e-4 },
  /** Slopes of a network in float64 against central differences, relative to the largest slope. */
  networkSlope: { absolute: 1e-6, relative: 1e-6 },
  /** One network on two execution providers. */
  provider: { absolute: 1e-3, relative: 1e-3 },
  /** Gradients of a whole network in f32 against PyTorch's in float64. */
  trainedGradient: { absolute: 2e-5, relative: 2e-3, normalisedSquaredError: 1e-7 },
  /** A variance whose root was rounded up to twelve bits. */
  twelveBits: { absolute: 1e-5, relative: 1e-3 },
  /** Losses and weights over tens of training steps of a smooth network in f32 against float64. */
  smoothTraining: { absolute: 2e-4, relative: 2e-4 },
  /** The same where errors compound. */
  trainingCurve: { absolute: 2e-3, relative: 5e-3 },
} as const;

/** Where two arrays differ most, and by how much. */
export interface Difference {
  /** Number of elements outside the tolerance. */
  readonly outside: number;
  /** Index of the worst element. */
  readonly index: number;
  /** The worst absolute difference. */
  readonly worst: number;
  /** Sum of squared differences over the sum of squared expected values. */
  readonly normalisedSquaredError: number;
}

/** Compares two arrays; a NaN or an infinity that the other lacks counts as outside. */
export function difference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
): Difference {
  let outside = 0;
  let index = -1;
  let worst = -1;
  let squared = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    const same = Object.is(a, e) || a === e;
    const error = same ? 0 : Math.abs(a - e);
    const bad = Number.isNaN(error) ||
      error > tolerance.absolute + tolerance.relative * Math.abs(e);
    if (bad) outside++;
    const rank = Number.isNaN(error) ? Infinity : error;
    if (rank > worst) {
      worst = rank;
      index = i;
    }
    squared += error * error;
    scale += e * e;
  }
  return { outside, index, worst, normalisedSquaredError: squared / Math.max(scale, 1e-30) };
}

/**
 * Fails with the count of wrong elements, the worst one and the first five values when two arrays
 * differ by more than the tolerance.
 */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
  label = "",
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${label} has ${actual.length} elements, expected ${expected.length}`);
  }
  const found = difference(actual, expected, tolerance);
  const limit = tolerance.normalisedSquaredError ?? Infinity;
  if (found.outside === 0 && found.normalisedSquaredError <= limit) return;
  const head = (values: ArrayLike<number>) =>
    Array.from({ length: Math.min(5, values.length) }, (_, i) => values[i]);
  throw new Error(
    `${label} differs in ${found.outside} of ${expected.length} elements; worst at ${found.index}: ` +
      `${actual[found.index]} against ${expected[found.index]} (normalised squared error ` +
      `${found.normalisedSquaredError}); begins ${head(actual)} against ${head(expected)}`,
  );
}
