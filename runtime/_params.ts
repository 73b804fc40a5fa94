/**
 * The scalars of kernels, as they lie in a uniform arena of 256-byte slots.
 *
 * @module
 */

import type { Kernel, ParamType } from "./kernel.ts";
import { Scalar } from "./scalar.ts";

/** One block of memory seen as every type that a scalar may have. */
export class ParamWords {
  /** The block. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly #floats: Float32Array<ArrayBuffer>;
  readonly #integers: Int32Array<ArrayBuffer>;

  /**
   * Makes a block of zeros.
   *
   * @param count Its length in words of 4 bytes.
   */
  constructor(count: number) {
    this.words = new Uint32Array(count);
    this.#floats = new Float32Array(this.words.buffer);
    this.#integers = new Int32Array(this.words.buffer);
  }

  /**
   * Writes one scalar.
   *
   * @param word Where.
   * @param type Its type in WGSL.
   * @param value Its value.
   */
  set(word: number, type: ParamType, value: number): void {
    switch (type) {
      case "f32":
        this.#floats[word] = value;
        break;
      case "i32":
        this.#integers[word] = value;
        break;
      default:
        this.words[word] = value;
    }
  }

  /**
   * Writes all scalars of a run, one word each.
   *
   * @param start The first word.
   * @param kernel Whose they are.
   * @param params Their values.
   * @param onScalar Told of every value that may change later.
   * @throws {TypeError} When one is missing.
   */
  write(
    start: number,
    kernel: Kernel,
    params: Readonly<Record<string, number | Scalar>>,
    onScalar?: (patch: ScalarPatch) => void,
  ): void {
    let word = start;
    for (const name in kernel.params) {
      const value = params[name];
      const type = kernel.params[name]!;
      if (value === undefined) {
        throw new TypeError(`Cannot run ${kernel.name}: the parameter "${name}" is missing`);
      }
      if (value instanceof Scalar) {
        onScalar?.({ word, type, scalar: value });
        this.set(word, type, value.value);
      } else {
        this.set(word, type, value);
      }
      word++;
    }
  }
}

/** Where a scalar that may change lies. */
export interface ScalarPatch {
  /** Its word in the arena. */
  readonly word: number;
  /** Its type in WGSL. */
  readonly type: ParamType;
  /** What it reads. */
  readonly scalar: Scalar;
}
