/**
 * Radix search of order statistics: keys that order as their numbers do, looked at digit by digit
 * from the left. Counts are exact in float64 far beyond 2^32.
 *
 * @module
 */

/** A digit of a 32-bit key. */
export interface Digit {
  /** Its bits. */
  readonly bits: number;
  /** Bits to its right. */
  readonly shift: number;
  /** Bits to its left. */
  readonly above: number;
}

/**
 * Cuts 32 bits into digits.
 *
 * @param widths Bits of each digit, the leftmost first.
 * @returns The digits.
 */
export function digitsOf(widths: readonly number[]): readonly Digit[] {
  let above = 0;
  return widths.map((bits) => {
    const digit = { bits, shift: 32 - above - bits, above };
    above += bits;
    return digit;
  });
}

/** The number that a key stands for. */
export function numberOfKey(key: number): number {
  const bits = new Uint32Array([key >= 0x80000000 ? key - 0x80000000 : ~key]);
  return new Float32Array(bits.buffer)[0]!;
}

/** An order statistic on its way: the digits found, and its rank among the keys that have them. */
export interface Search {
  /** The digits found so far, as a number. */
  readonly prefix: number;
  /** Rank among the keys with that prefix, from 0. */
  readonly rank: number;
}

/**
 * Finds the next digit of an order statistic.
 *
 * @param search What is known.
 * @param counts How many keys with the known prefix have each next digit.
 * @returns What is known then.
 * @throws {RangeError} When the counts are fewer than the rank: the data changed between passes.
 */
export function refine(search: Search, counts: ArrayLike<number>): Search {
  let rank = search.rank;
  for (let digit = 0; digit < counts.length; digit++) {
    const count = counts[digit]!;
    if (rank < count) return { prefix: search.prefix * counts.length + digit, rank };
    rank -= count;
  }
  throw new RangeError("Cannot find the percentile: the chunks differ from pass to pass");
}
