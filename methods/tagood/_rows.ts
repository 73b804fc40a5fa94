/**
 * Rows on the host, as comparisons take them.
 *
 * @module
 */

/**
 * Rows whose equal parts have length 1 each.
 *
 * @param rows f32 [K, W].
 * @param size W, and the number of parts.
 * @returns f32 [K, W].
 */
export function unitParts(
  rows: Float32Array,
  { width, patterns }: { readonly width: number; readonly patterns: number },
): Float32Array<ArrayBuffer> {
  const length = width / patterns;
  const out = Float32Array.from(rows);
  for (let begin = 0; begin < out.length; begin += length) {
    const part = out.subarray(begin, begin + length);
    const norm = Math.max(Math.hypot(...part), 1e-12);
    part.forEach((value, i) => part[i] = value / norm);
  }
  return out;
}

/**
 * Rows as distributions.
 *
 * @param rows f32 [K, W].
 * @param width W.
 * @returns Softmax of each row, f32 [K, W].
 */
export function softmaxRows(rows: Float32Array, width: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(rows.length);
  for (let begin = 0; begin < rows.length; begin += width) {
    const row = rows.subarray(begin, begin + width);
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = Array.from(row, (value) => Math.exp(value - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    out.set(powers.map((power) => power / sum), begin);
  }
  return out;
}
