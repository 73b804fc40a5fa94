/**
 * Numbers of the references: f32 as tensors hold them, or float64 where derivatives are checked.
 *
 * @module
 */

/** An array of numbers that references read and write. */
export type Floats = Float32Array | Float64Array;
