/**
 * What the host must know of a WGSL kernel, and how a kernel is run.
 *
 * @module
 */

import type { Scalar } from "./scalar.ts";
import type { Tensor } from "./tensor.ts";

/** How a storage buffer of group 0 is bound. */
export type BindingAccess = "read" | "read_write";

/** Scalar types of the uniform `Params`. */
export type ParamType = "u32" | "i32" | "f32";

/**
 * A kernel: its WGSL, the storage buffers of group 0 in order, and the scalars of the uniform
 * struct at group 1 binding 0 in order (4 bytes each, no vectors, at most 64).
 */
export interface Kernel {
  /** Name for labels, profiles and errors. */
  readonly name: string;
  /** The WGSL source, valid as it stands; its entry point is `main`. */
  readonly wgsl: string;
  /** Access of each storage buffer of group 0, by binding number. */
  readonly bindings: readonly BindingAccess[];
  /** Members of `Params`, in the order of the struct. */
  readonly params: Readonly<Record<string, ParamType>>;
}

/** One run of a kernel. */
export interface Dispatch {
  /** Tensors for group 0, in the kernel's order. */
  readonly buffers: readonly Tensor[];
  /** A value for every member of `Params`; a {@linkcode Scalar} is read again at each replay. */
  readonly params: Readonly<Record<string, number | Scalar>>;
  /** Number of workgroups along x, y and z; a zero skips the run. */
  readonly workgroups: readonly [number, number?, number?];
  /** Values of WGSL `override` constants. */
  readonly overrides?: Readonly<Record<string, number>>;
  /** New right-hand sides of lines marked `// @spec`, by constant or alias name. */
  readonly spec?: Readonly<Record<string, string | number>>;
}

/** Largest number of workgroups along one axis that every WebGPU device takes. */
export const MAX_WORKGROUPS_PER_DIMENSION = 65535;

/**
 * A grid that covers `count` items with `perWorkgroup` items each, folded from x into y where x
 * would pass the limit. Kernels find their workgroup as `wid.y * num_workgroups.x + wid.x` and
 * must check bounds.
 *
 * @param count Number of items.
 * @param perWorkgroup Items that one workgroup does.
 * @returns Workgroups along x, y and z.
 * @throws {RangeError} When even the folded grid passes the limit.
 *
 * @example A grid of 100 items in groups of 64
 * ```ts
 * import { gridFor } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(gridFor(100, 64), [2, 1, 1]);
 * assertEquals(gridFor(100_000, 1), [50_000, 2, 1]);
 * ```
 */
export function gridFor(count: number, perWorkgroup: number): [number, number, number] {
  const groups = Math.ceil(count / perWorkgroup);
  if (groups <= MAX_WORKGROUPS_PER_DIMENSION) return [groups, 1, 1];
  const y = Math.ceil(groups / MAX_WORKGROUPS_PER_DIMENSION);
  if (y > MAX_WORKGROUPS_PER_DIMENSION) {
    throw new RangeError(`Cannot cover ${count} items: ${groups} workgroups exceed the grid`);
  }
  return [Math.ceil(groups / y), y, 1];
}
