/**
 * First rows of lists in plain loops.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/**
 * The first row of each list; zeros for an empty one.
 *
 * @param inputs The rows, and where each list begins and the last one ends.
 * @param y Where the first rows go, [lists, columns].
 */
export function firstRowsReference(
  { x, offsets }: { readonly x: Floats; readonly offsets: Int32Array },
  y: Floats,
): void {
  const columns = y.length / (offsets.length - 1);
  y.fill(0);
  for (let n = 0; n + 1 < offsets.length; n++) {
    const begin = offsets[n]!;
    if (begin === offsets[n + 1]!) continue;
    y.set(x.subarray(begin * columns, (begin + 1) * columns), n * columns);
  }
}

/**
 * The gradient by the rows.
 *
 * @param inputs The gradient that comes in, and the offsets.
 * @param dX Where it goes.
 */
export function firstRowsGradientReference(
  { dY, offsets }: { readonly dY: Floats; readonly offsets: Int32Array },
  dX: Floats,
): void {
  const columns = dY.length / (offsets.length - 1);
  dX.fill(0);
  for (let n = 0; n + 1 < offsets.length; n++) {
    if (offsets[n]! === offsets[n + 1]!) continue;
    dX.set(dY.subarray(n * columns, (n + 1) * columns), offsets[n]! * columns);
  }
}
