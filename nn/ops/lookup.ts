/**
 * Rows of a table by their numbers, differentiably.
 *
 * @module
 */

import { lookupRows as lookupKernel, lookupRowsGradient } from "../../kernels/mod.ts";
import type { Tensor } from "../../runtime/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/**
 * Rows of a table by their numbers; zeros where there is no such row.
 *
 * @param tape The tape.
 * @param table f32 [R, W].
 * @param options The numbers, i32 [N].
 * @returns f32 [N, W].
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example The second row twice
 * ```ts
 * import { lookupRows, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const table = new Variable(host.upload(new Float32Array([1, 2]), [2, 1]));
 * const index = host.upload(new Int32Array([1, 1]), [2]);
 * assertEquals([...lookupRows(new Tape(host), table, { index }).value.data], [2, 2]);
 * ```
 */
export function lookupRows(
  tape: Tape,
  table: Variable,
  { index }: { readonly index: Tensor },
): Variable {
  return tape.operation({
    inputs: [table],
    output: lookupKernel(tape.ctx, { table: table.value, index }),
    backward: (dY, gradients) => {
      const out = gradients.out(table);
      const dTable = lookupRowsGradient(gradients.ctx, { dY, index }, {
        rows: table.shape[0]!,
        ...(out === undefined ? {} : { out }),
      });
      gradients.send(table, dTable);
    },
  });
}
