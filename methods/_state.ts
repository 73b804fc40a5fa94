/**
 * Learned arrays: making them, and looking at them whole.
 *
 * @module
 */

import type { Context, Tensor } from "../runtime/mod.ts";
import type { FittedState, StateArray } from "./score.ts";

/**
 * A learned array in one part. Float64 numbers become float32, which is what scoring runs on.
 *
 * @param data The elements.
 * @param shape The dimensions.
 * @returns The array.
 */
export function stateArray(
  data: Float32Array<ArrayBuffer> | Float64Array,
  shape: readonly number[],
): StateArray {
  return { shape, parts: [data instanceof Float32Array ? data : Float32Array.from(data)] };
}

/**
 * A learned array as one float32 array.
 *
 * @param state What was learned.
 * @param name The array's name.
 * @returns The elements; a copy only when the array has several parts.
 * @throws {TypeError} When there is no such array.
 */
export function wholeArray(state: FittedState, name: string): Float32Array<ArrayBuffer> {
  const array = requireArray(state, name);
  const [first] = array.parts;
  if (array.parts.length === 1 && first instanceof Float32Array) return first;
  const whole = new Float32Array(array.parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of array.parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

/**
 * A learned array where scoring runs.
 *
 * @param context Where to bring it; it owns the tensor.
 * @param state What was learned.
 * @param name The array's name.
 * @returns The tensor.
 * @throws {TypeError} When there is no such array.
 */
export function placeArray(context: Context, state: FittedState, name: string): Tensor {
  return context.upload(wholeArray(state, name), requireArray(state, name).shape, { label: name });
}

function requireArray(state: FittedState, name: string): StateArray {
  const array = state.arrays[name];
  if (array === undefined) throw new TypeError(`Cannot use the learned array "${name}": none such`);
  return array;
}
