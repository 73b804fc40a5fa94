/**
 * Raising low elements and bending high ones down, in plain loops and float64.
 *
 * @module
 */

/** Where elements count as low, and where as high. */
export interface LhBounds {
  /** Elements below this count as this. */
  readonly low: number;
  /** Elements from this on are bent down; positive. */
  readonly high: number;
}

/**
 * LHAct of every element; see `lhActivation`.
 *
 * @param x The elements.
 * @param bounds The bounds, as float32 holds them: `high` is compared exactly.
 * @returns The changed elements.
 */
export function lhActivationReference(
  x: Float32Array,
  bounds: LhBounds,
): Float32Array<ArrayBuffer> {
  const { low, high } = bounds;
  return Float32Array.from(x, (value) => {
    const u = Math.max(value, low);
    return u < high ? u : u / Math.sqrt(1 + (u / high) ** 4) + low;
  });
}
