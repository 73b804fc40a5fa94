import { storeValue, storeValueBytes, storeValueFlops } from "../kernels/store_value/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";

await benchKernel("storeValue", {
  shapes: [{
    label: "one number",
    flops: storeValueFlops(),
    bytes: storeValueBytes(),
    prepare: (ctx) => ({ value: fill(ctx, [1]), table: fill(ctx, [1024]) }),
  }],
  variants: { naive: (ctx, inputs) => storeValue(ctx, inputs, { index: 7 }) },
});
