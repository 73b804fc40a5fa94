/**
 * Every way to run a product on the GPU: each variant, and the register variant with each side of
 * its tile, since small test shapes would only get the short one.
 *
 * @module
 */

import type { ProductOptions } from "../../kernels/matmul/mod.ts";

/** Options that force each way. */
export const PRODUCT_WAYS: readonly ProductOptions[] = [
  { variant: "naive" },
  { variant: "tiled" },
  { variant: "register", side: 8 },
  { variant: "register", side: 16 },
];

/** A way in words, for failure messages. */
export function wayOf(options: ProductOptions): string {
  return Object.values(options).join(" ");
}
