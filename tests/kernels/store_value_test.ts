import { assertEquals, assertThrows } from "@std/assert";
import { storeValue, storeValueBytes, storeValueFlops } from "../../kernels/store_value/mod.ts";
import { DTypeError, Host, Scalar, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";

gpuTest(
  "storeValue() writes one place of the table, as the reference does",
  async ({ gpu, host }) => {
    const index = new Scalar(2);
    const results = [];
    for (const ctx of [gpu, host]) {
      const table = ctx.upload(new Float32Array([1, 2, 3, 4, 5]), [5]);
      const value = ctx.upload(new Float32Array([0.75]), [1]);
      storeValue(ctx, { value, table }, { index, factor: 2 });
      storeValue(ctx, { value, table }, { index: 4 });
      storeValue(ctx, { value, table }, { index: 5 });
      results.push([...(await ctx.read(table))[0]!]);
    }
    assertEquals(results, [[1, 2, 1.5, 4, 0.75], [1, 2, 1.5, 4, 0.75]]);
  },
);

Deno.test("storeValue() refuses more than one number, and other types", () => {
  using host = new Host();
  const table = host.upload(new Float32Array(4), [4]);
  const two = host.upload(new Float32Array(2), [2]);
  const whole = host.upload(new Int32Array(4), [4]);
  assertThrows(() => storeValue(host, { value: two, table }, { index: 0 }), ShapeError, '"value"');
  const value = host.upload(new Float32Array(1), [1]);
  assertThrows(
    () => storeValue(host, { value, table: whole }, { index: 0 }),
    DTypeError,
    '"table"',
  );
});

Deno.test("storeValueFlops() and storeValueBytes() count one number", () => {
  assertEquals([storeValueFlops(), storeValueBytes()], [1, 8]);
});
