/**
 * The few numerical habits of NumPy and Python that the legacy conventions inherit. The published
 * numbers of those code bases come out of these roundings, so they are followed to the last bit.
 *
 * @module
 */

/** NumPy sums blocks of at most this many values with eight accumulators, and halves above it. */
const PAIRWISE_BLOCK = 128;

/**
 * Sums as `numpy.sum` does for contiguous float64: pairwise, eight accumulators to a block.
 *
 * @param values What to add.
 * @param start First index.
 * @param count How many values.
 */
export function pairwiseSum(
  values: Float64Array,
  { start = 0, count = values.length }: { start?: number; count?: number } = {},
): number {
  if (count < 8) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += values[start + i]!;
    return sum;
  }
  if (count <= PAIRWISE_BLOCK) {
    let s0 = values[start]!;
    let s1 = values[start + 1]!;
    let s2 = values[start + 2]!;
    let s3 = values[start + 3]!;
    let s4 = values[start + 4]!;
    let s5 = values[start + 5]!;
    let s6 = values[start + 6]!;
    let s7 = values[start + 7]!;
    const whole = count - (count % 8);
    let i = 8;
    for (; i < whole; i += 8) {
      s0 += values[start + i]!;
      s1 += values[start + i + 1]!;
      s2 += values[start + i + 2]!;
      s3 += values[start + i + 3]!;
      s4 += values[start + i + 4]!;
      s5 += values[start + i + 5]!;
      s6 += values[start + i + 6]!;
      s7 += values[start + i + 7]!;
    }
    let sum = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
    for (; i < count; i++) sum += values[start + i]!;
    return sum;
  }
  let half = Math.floor(count / 2);
  half -= half % 8;
  return pairwiseSum(values, { start, count: half }) +
    pairwiseSum(values, { start: start + half, count: count - half });
}

/** The area under y over x by the trapezoid rule, in the order of operations of `numpy.trapz`. */
export function trapezoid(y: Float64Array, x: Float64Array): number {
  const terms = new Float64Array(Math.max(0, x.length - 1));
  for (let i = 0; i < terms.length; i++) {
    terms[i] = (x[i + 1]! - x[i]!) * (y[i + 1]! + y[i]!) / 2;
  }
  return pairwiseSum(terms);
}

/** Rounds half to even, as Python's `round` does. */
export function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/**
 * The percentile with linear interpolation, as `numpy.percentile` computes it in float64.
 *
 * @param sorted Values in ascending order, at least one.
 * @param q The percentage, 0 to 100.
 */
export function percentileOfSorted(sorted: ArrayLike<number>, q: number): number {
  const position = (q / 100) * (sorted.length - 1);
  const index = Math.floor(position);
  const weight = position - index;
  const low = sorted[index]!;
  const high = sorted[Math.min(index + 1, sorted.length - 1)]!;
  const step = high - low;
  // NumPy measures from the nearer end, which changes the last bit.
  return weight >= 0.5 ? high - step * (1 - weight) : low + step * weight;
}
