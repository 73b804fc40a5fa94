/**
 * The two 16-bit float formats, to and from 32 bits. This module is browser compatible.
 *
 * @module
 */

let table: Float32Array<ArrayBuffer> | undefined;

/** The value of every f16 pattern: 256 KiB that make a conversion one look-up. */
function halfTable(): Float32Array<ArrayBuffer> {
  if (table !== undefined) return table;
  table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >>> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) table[bits] = fraction === 0 ? sign * Infinity : NaN;
    else if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else table[bits] = sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
  return table;
}

/**
 * f16 patterns as f32 numbers, exactly.
 *
 * @param bits The patterns, one a number.
 * @returns As many numbers.
 *
 * @example One half
 * ```ts
 * import { f16ToF32 } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...f16ToF32(new Uint16Array([0x3800, 0xfc00]))], [0.5, -Infinity]);
 * ```
 */
export function f16ToF32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const values = halfTable();
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = values[bits[i]!]!;
  return out;
}

/**
 * f32 numbers as f16 patterns, rounded to the nearest, ties to even; beyond 65504 infinite.
 *
 * @param values The numbers.
 * @returns As many patterns.
 *
 * @example There and back
 * ```ts
 * import { f16ToF32, f32ToF16 } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...f16ToF32(f32ToF16(new Float32Array([1.5, 1e9])))], [1.5, Infinity]);
 * ```
 */
export function f32ToF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(new Float32Array(values).buffer);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      out[i] = sign | 0x7e00;
    } else if (magnitude >= 0x477ff000) {
      // From halfway between 65504 and 65536 on.
      out[i] = sign | 0x7c00;
    } else if (magnitude >= 0x38800000) {
      const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1);
      out[i] = sign | (rounded >>> 13);
    } else {
      // Subnormal: a whole number of 2^-24, rounded with the bits that fall off.
      const exponent = magnitude >>> 23;
      const shift = 126 - exponent;
      if (shift > 24) {
        out[i] = sign;
      } else {
        const significand = (magnitude & 0x7fffff) | 0x800000;
        const kept = significand >>> shift;
        const rest = significand & ((1 << shift) - 1);
        const half = 1 << (shift - 1);
        out[i] = sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
      }
    }
  }
  return out;
}

/**
 * bf16 patterns as f32 numbers, exactly.
 *
 * @param bits The patterns, one a number.
 * @returns As many numbers.
 *
 * @example One
 * ```ts
 * import { bf16ToF32 } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...bf16ToF32(new Uint16Array([0x3f80]))], [1]);
 * ```
 */
export function bf16ToF32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/**
 * f32 numbers as bf16 patterns, rounded to the nearest, ties to even.
 *
 * @param values The numbers.
 * @returns As many patterns.
 *
 * @example One
 * ```ts
 * import { f32ToBf16 } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...f32ToBf16(new Float32Array([1]))], [0x3f80]);
 * ```
 */
export function f32ToBf16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(new Float32Array(values).buffer);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    // A NaN must not be rounded into an infinity.
    if ((word & 0x7fffffff) > 0x7f800000) out[i] = (word >>> 16) | 0x40;
    else out[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}
