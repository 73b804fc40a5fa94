/**
 * A number that the GPU computed, kept in a table for a later read: the losses of many steps cost
 * one readback.
 *
 * @module
 */

import {
  type Context,
  isGpu,
  type Kernel,
  type Scalar,
  scalarValue,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, requireDType, requireVector } from "../_arguments.ts";
import { storeValueReference } from "./reference.ts";
import source from "./store_value.wgsl" with { type: "text" };

const STORE: Kernel = {
  name: "store_value",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: { length: "u32", index: "u32", factor: "f32" },
};

/** What {@linkcode storeValue} takes. */
export interface StoreValueInputs {
  /** f32 [1]. */
  readonly value: Tensor;
  /** f32 [length], written in one place. */
  readonly table: Tensor;
}

/** Where {@linkcode storeValue} writes. */
export interface StoreValueOptions {
  /** Index in the table; beyond it nothing is written. */
  readonly index: number | Scalar;
  /** What the number is multiplied by, 1 by default. */
  readonly factor?: number;
}

/**
 * Writes `value[0] * factor` into `table[index]`; the rest of the table stays.
 *
 * @param ctx Where to run.
 * @param inputs The number and the table.
 * @param options The index, and a factor.
 * @throws {ShapeError} When the value is not one number.
 * @throws {DTypeError} When either does not hold f32.
 *
 * @example A loss of step 2
 * ```ts
 * import { storeValue } from "@oodgpu/oodgpu/kernels";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const table = host.upload(new Float32Array(4), [4]);
 * const value = host.upload(new Float32Array([0.5]), [1]);
 * storeValue(host, { value, table }, { index: 2 });
 * assertEquals([...table.data], [0, 0, 0.5, 0]);
 * ```
 */
export function storeValue(
  ctx: Context,
  inputs: StoreValueInputs,
  options: StoreValueOptions,
): void {
  const { value, table } = inputs;
  requireVector(value, { kernel: "storeValue", name: "value", length: 1 });
  requireDType(table, "f32", { kernel: "storeValue", name: "table" });
  const { index, factor = 1 } = options;
  if (!isGpu(ctx)) {
    const number = hostFloats(value)[0]!;
    storeValueReference(hostFloats(table), { index: scalarValue(index), value: number, factor });
    return;
  }
  ctx.dispatch(STORE, {
    buffers: [value, table],
    params: { length: table.size, index, factor },
    workgroups: [1],
  });
}

/**
 * Floating-point operations of {@linkcode storeValue}.
 *
 * @returns 1.
 *
 * @example One product
 * ```ts
 * import { storeValueFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(storeValueFlops(), 1);
 * ```
 */
export function storeValueFlops(): number {
  return 1;
}

/**
 * Bytes that {@linkcode storeValue} moves.
 *
 * @returns 8: one read and one write.
 *
 * @example One number
 * ```ts
 * import { storeValueBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(storeValueBytes(), 8);
 * ```
 */
export function storeValueBytes(): number {
  return 8;
}
