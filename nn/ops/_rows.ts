/**
 * Maps as matrices: the statistics and sums of channels-last maps are those of columns.
 *
 * @module
 */

import type { Tensor } from "../../runtime/mod.ts";

/** A tensor as [rows, last axis], a view. */
export function flattenRows(x: Tensor): Tensor {
  const columns = x.shape.at(-1) ?? 1;
  return x.reshape([columns === 0 ? 0 : x.size / columns, columns]);
}
