/**
 * Random arrays in plain TypeScript: the oracle of the kernel.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { philox4x32 } from "./rng.ts";

/** Which part of which sequence. */
export interface RandomSource {
  /** A whole number from 0 to 2^53 - 1. */
  readonly seed: number;
  /** A whole number from 0 to 2^32 - 1; streams of one seed are independent. */
  readonly stream?: number;
  /** Position in the stream of the first element, a whole number from 0. */
  readonly offset?: number;
}

const TWO_POW_32 = 4294967296;
const TWO_POW_MINUS_24 = 1 / 16777216;

/**
 * Words of a stream.
 *
 * @param size How many.
 * @param source Which ones.
 * @returns The words.
 */
export function randomBitsReference(size: number, source: RandomSource): Uint32Array<ArrayBuffer> {
  const offset = source.offset ?? 0;
  const words = new Uint32Array(size);
  const key = [source.seed >>> 0, Math.floor(source.seed / TWO_POW_32)];
  const block = new Uint32Array(4);
  let current = -1;
  for (let i = 0; i < size; i++) {
    const position = offset + i;
    const index = Math.floor(position / 4);
    if (index !== current) {
      philox4x32([index, Math.floor(index / TWO_POW_32), source.stream ?? 0, 0], key, block);
      current = index;
    }
    words[i] = block[position % 4]!;
  }
  return words;
}

/**
 * Uniform numbers in [0, 1), multiples of 2^-24.
 *
 * @param size How many.
 * @param source Which ones.
 * @returns The numbers.
 */
export function randomUniformReference(
  size: number,
  source: RandomSource,
): Float32Array<ArrayBuffer> {
  const words = randomBitsReference(size, source);
  return Float32Array.from(words, (word) => (word >>> 8) * TWO_POW_MINUS_24);
}

/**
 * Standard normal numbers: each pair of positions takes its two from the pair's two words.
 *
 * @param size How many.
 * @param source Which ones.
 * @returns The numbers, computed in float64.
 */
export function randomNormalReference(
  size: number,
  source: RandomSource,
): Float32Array<ArrayBuffer> {
  const offset = source.offset ?? 0;
  const skip = offset % 2;
  const words = randomBitsReference(size + skip + (size + skip) % 2, {
    ...source,
    offset: offset - skip,
  });
  return Float32Array.from({ length: size }, (_, i) => {
    const pair = (i + skip) & ~1;
    const radius = Math.sqrt(-2 * Math.log(((words[pair]! >>> 8) + 1) * TWO_POW_MINUS_24));
    const angle = 2 * Math.PI * (words[pair + 1]! >>> 8) * TWO_POW_MINUS_24;
    return radius * ((i + skip) % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  });
}
