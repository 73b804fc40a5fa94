/**
 * Products of two computed matrices, and softmax, that can be differentiated.
 *
 * @module
 */

import {
  addChannels as addChannelsKernel,
  matmul as matmulKernel,
  mul as mulKernel,
  softmax as softmaxKernel,
} from "../../kernels/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/**
 * Products of stacks of matrices.
 *
 * @param tape The tape.
 * @param a f32 [B, M, K].
 * @param b f32 [B, K, N], or [B, N, K] with `transposeB`.
 * @param options Whether `b` holds its transposes.
 * @returns f32 [B, M, N].
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example One product
 * ```ts
 * import { matmul, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = new Variable(host.upload(new Float32Array([1, 2]), [1, 1, 2]));
 * const b = new Variable(host.upload(new Float32Array([3, 4]), [1, 2, 1]));
 * assertEquals([...matmul(new Tape(host), a, b).value.data], [11]);
 * ```
 */
export function matmul(
  tape: Tape,
  a: Variable,
  b: Variable,
  options: { readonly transposeB?: boolean } = {},
): Variable {
  const { transposeB = false } = options;
  return tape.operation({
    inputs: [a, b],
    output: matmulKernel(tape.ctx, { a: a.value, b: b.value }, { transposeB }),
    backward: (dY, { ctx, wants, send }) => {
      if (wants(a)) {
        send(a, matmulKernel(ctx, { a: dY, b: b.value }, { transposeB: !transposeB }));
      }
      if (!wants(b)) return;
      const [left, right] = transposeB ? [dY, a.value] : [a.value, dY];
      send(b, matmulKernel(ctx, { a: left, b: right }, { transposeA: true }));
    },
  });
}

/**
 * Softmax of rows.
 *
 * @param tape The tape.
 * @param x f32 [R, C].
 * @returns f32 [R, C].
 * @throws {ShapeError} When `x` has not two axes.
 *
 * @example Equal numbers
 * ```ts
 * import { softmax, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([7, 7]), [1, 2]));
 * assertEquals([...softmax(new Tape(host), x).value.data], [0.5, 0.5]);
 * ```
 */
export function softmax(tape: Tape, x: Variable): Variable {
  const y = softmaxKernel(tape.ctx, { x: x.value });
  const [rows, columns] = y.shape as [number, number];
  return tape.operation({
    inputs: [x],
    output: y,
    backward: (dY, { ctx, send }) => {
      // y (dY - s) with s the sum of y dY over the row.
      const minus = ctx.upload(new Float32Array(columns).fill(-1), [columns, 1]);
      const sums = matmulKernel(ctx, { a: mulKernel(ctx, { a: y, b: dY }), b: minus });
      const centred = addChannelsKernel(ctx, { x: dY.reshape([rows, columns, 1, 1]), v: sums });
      send(x, mulKernel(ctx, { a: y, b: centred.reshape([rows, columns]) }));
    },
  });
}
