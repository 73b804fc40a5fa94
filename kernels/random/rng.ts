/**
 * The one source of random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", 2011), a counter-based generator. A block of four words is a pure
 * function of a key and a counter, so the GPU can make any part of a sequence without the part
 * before it, and the host makes the same words.
 *
 * The layout that host and GPU share:
 *
 * - key = (low 32 bits of the seed, high 32 bits of the seed)
 * - counter = (low 32 bits of the block index, high 32 bits of it, stream, 0)
 * - word `i` of a stream is word `i % 4` of block `floor(i / 4)`
 * - uniform from a word: `(word >>> 8) * 2^-24`, in [0, 1), exact in f32
 * - two normals from the words (a, b) of a pair `2j`, `2j + 1`: with `u = ((a >>> 8) + 1) * 2^-24`,
 *   in (0, 1], and `v = (b >>> 8) * 2^-24`: `sqrt(-2 ln u) * cos(2 pi v)`, then
 *   `sqrt(-2 ln u) * sin(2 pi v)` (Box and Muller)
 *
 * This module is browser compatible.
 *
 * @module
 */

const MULTIPLIER_0 = 0xD2511F53;
const MULTIPLIER_1 = 0xCD9E8D57;
const WEYL_0 = 0x9E3779B9;
const WEYL_1 = 0xBB67AE85;
const ROUNDS = 10;
const TWO_POW_32 = 4294967296;
const TWO_POW_MINUS_24 = 1 / 16777216;

/** The high 32 bits of the 64-bit product of two unsigned 32-bit words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (carry >>> 16)) >>> 0;
}

/**
 * One block of Philox4x32-10: four words from a counter of four words and a key of two.
 *
 * @param counter Four unsigned 32-bit words.
 * @param key Two unsigned 32-bit words.
 * @param out Where the four words go; a new array when left out.
 * @returns `out`.
 *
 * @example The first vector of the reference implementation's known answers
 * ```ts
 * import { philox4x32 } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const words = philox4x32([0, 0, 0, 0], [0, 0]);
 * assertEquals([...words], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
 * ```
 */
export function philox4x32(
  counter: ArrayLike<number>,
  key: ArrayLike<number>,
  out: Uint32Array<ArrayBuffer> = new Uint32Array(4),
): Uint32Array<ArrayBuffer> {
  let c0 = counter[0]! >>> 0;
  let c1 = counter[1]! >>> 0;
  let c2 = counter[2]! >>> 0;
  let c3 = counter[3]! >>> 0;
  let k0 = key[0]! >>> 0;
  let k1 = key[1]! >>> 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
  return out;
}

/**
 * A sequence of random numbers that depends on nothing but its seed and its stream: the same on
 * every machine, and word for word what the GPU makes of the same seed and stream.
 *
 * Streams of one seed are independent: give each use its own (one for weights, one for shuffling)
 * rather than passing one generator around.
 *
 * @example A coin, a permutation and a normal deviate
 * ```ts
 * import { Rng } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rng = new Rng(1, 7);
 * const again = new Rng(1, 7);
 * assertEquals(rng.integer(2), again.integer(2));
 * assertEquals(rng.shuffle([1, 2, 3]), again.shuffle([1, 2, 3]));
 * assertEquals(rng.normal(), again.normal());
 * ```
 */
export class Rng {
  /** The seed that it was made with. */
  readonly seed: number;
  /** The stream that it was made with. */
  readonly stream: number;
  #block: Uint32Array<ArrayBuffer> = new Uint32Array(4);
  #key: Uint32Array<ArrayBuffer> = new Uint32Array(2);
  #counter: Uint32Array<ArrayBuffer> = new Uint32Array(4);
  #position = 0;
  #spareNormal: number | undefined = undefined;

  /**
   * Begins a stream.
   *
   * @param seed A whole number from 0 to 2^53 - 1.
   * @param stream A whole number from 0 to 2^32 - 1.
   * @throws {RangeError} If either is out of its range.
   */
  constructor(seed: number, stream: number = 0) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(
        `Cannot seed Rng: seed must be a whole number from 0 to 2^53 - 1: ${seed}`,
      );
    }
    if (!Number.isInteger(stream) || stream < 0 || stream >= TWO_POW_32) {
      throw new RangeError(
        `Cannot seed Rng: stream must be a whole number from 0 to 2^32 - 1: ${stream}`,
      );
    }
    this.seed = seed;
    this.stream = stream;
    this.#key[0] = seed >>> 0;
    this.#key[1] = Math.floor(seed / TWO_POW_32);
    this.#counter[2] = stream;
  }

  /**
   * The next word of the stream.
   *
   * @returns A whole number from 0 to 2^32 - 1.
   *
   * @example The words of a stream
   * ```ts
   * import { Rng } from "@oodgpu/oodgpu/kernels";
   * import { assertEquals } from "@std/assert";
   *
   * assertEquals(new Rng(0).word(), 0x6627e8d5);
   * ```
   */
  word(): number {
    const lane = this.#position & 3;
    if (lane === 0) {
      const index = Math.floor(this.#position / 4);
      this.#counter[0] = index >>> 0;
      this.#counter[1] = Math.floor(index / TWO_POW_32);
      philox4x32(this.#counter, this.#key, this.#block);
    }
    // `& 3` sees only the low 32 bits, which is enough to pick the lane beyond 2^32 words too.
    this.#position++;
    return this.#block[lane]!;
  }

  /**
   * A uniform number from one word.
   *
   * @returns A multiple of 2^-24 in [0, 1), exact in f32.
   *
   * @example Between nought and one
   * ```ts
   * import { Rng } from "@oodgpu/oodgpu/kernels";
   * import { assert } from "@std/assert";
   *
   * const value = new Rng(3).uniform();
   * assert(value >= 0 && value < 1);
   * ```
   */
  uniform(): number {
    return (this.word() >>> 8) * TWO_POW_MINUS_24;
  }

  /**
   * A standard normal number, computed in float64; a pair of words makes two, and the second is
   * kept for the next call.
   *
   * @returns A number of mean 0 and variance 1, at most 5.77 from 0.
   *
   * @example Finite, always
   * ```ts
   * import { Rng } from "@oodgpu/oodgpu/kernels";
   * import { assert } from "@std/assert";
   *
   * assert(Number.isFinite(new Rng(3).normal()));
   * ```
   */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    const u = ((this.word() >>> 8) + 1) * TWO_POW_MINUS_24;
    const angle = 2 * Math.PI * this.uniform();
    const radius = Math.sqrt(-2 * Math.log(u));
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /**
   * A whole number below `n`, each equally likely (Lemire's multiplication with rejection, 2019).
   *
   * @param n How many values there are, 1 to 2^32.
   * @returns A whole number from 0 to `n` - 1.
   * @throws {RangeError} If `n` is not a whole number from 1 to 2^32.
   *
   * @example A die
   * ```ts
   * import { Rng } from "@oodgpu/oodgpu/kernels";
   * import { assert } from "@std/assert";
   *
   * const face = 1 + new Rng(5).integer(6);
   * assert(face >= 1 && face <= 6);
   * ```
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > TWO_POW_32) {
      throw new RangeError(`Cannot draw an integer: n must be a whole number from 1 to 2^32: ${n}`);
    }
    if (n === TWO_POW_32) return this.word();
    // Below this low part a multiple of n has one more preimage than the others.
    const threshold = (TWO_POW_32 - n) % n;
    while (true) {
      const word = this.word();
      if (Math.imul(word, n) >>> 0 >= threshold) return multiplyHigh(word, n);
    }
  }

  /**
   * Puts an array into a random order, in place, each order equally likely (Fisher and Yates).
   *
   * @typeParam T The elements' type.
   * @param array What to shuffle.
   * @returns The same array.
   *
   * @example Nothing is lost
   * ```ts
   * import { Rng } from "@oodgpu/oodgpu/kernels";
   * import { assertEquals } from "@std/assert";
   *
   * assertEquals(new Rng(5).shuffle([3, 1, 2]).toSorted(), [1, 2, 3]);
   * ```
   */
  shuffle<T>(array: T[]): T[] {
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = array[i]!;
      array[i] = array[j]!;
      array[j] = held;
    }
    return array;
  }
}
