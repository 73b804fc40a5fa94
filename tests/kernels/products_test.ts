import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  blockColumns,
  blockRows,
  blockTile,
  productVariant,
  registerSide,
  registerTile,
} from "../../kernels/_products.ts";
import type { GpuContext } from "../../runtime/mod.ts";

function adapter(isSoftware: boolean, variants = {}): Pick<GpuContext, "gpu"> {
  return { gpu: { adapter: { isSoftware }, variants } } as unknown as Pick<GpuContext, "gpu">;
}

Deno.test("productVariant() goes by the adapter, then by the GPU's, then by the call's option", () => {
  assertEquals(productVariant(adapter(true), "matmul"), "register");
  assertEquals(productVariant(adapter(false), "matmul"), "tiled");
  const forced = adapter(false, { matmul: "naive" });
  assertEquals(productVariant(forced, "matmul"), "naive");
  assertEquals(productVariant(forced, "kNearest"), "tiled");
  assertEquals(productVariant(forced, "matmul", { variant: "register" }), "register");
});

Deno.test("productVariant() names the variants when it is given an unknown one", () => {
  assertThrows(
    () => productVariant(adapter(true, { matmul: "fast" }), "matmul"),
    RangeError,
    'Cannot run matmul: there is no variant "fast", expected one of naive, register, tiled',
  );
});

Deno.test("registerTile() takes the largest tile for large products", () => {
  assertEquals(registerTile({ rows: 1024, columns: 1024 }, 16), { rows: 16, columns: 16 });
  assertEquals(registerTile({ rows: 4096, columns: 1000 }, 16), { rows: 16, columns: 16 });
});

Deno.test("registerTile() fits few rows or columns and keeps lanes busy for small products", () => {
  assertEquals(registerTile({ rows: 2048, columns: 10 }, 16), { rows: 16, columns: 12 });
  assertEquals(registerTile({ rows: 1, columns: 4096 }, 16), { rows: 4, columns: 16 });
  assertEquals(registerTile({ rows: 3, columns: 2 }, 16), { rows: 4, columns: 4 });
  const small = registerTile({ rows: 32, columns: 32 }, 16);
  assert(small.rows * small.columns < 256, `${small.rows} x ${small.columns}`);
});

Deno.test("registerSide() is short for little work, unless it is forced", () => {
  assertEquals(registerSide(1e6), 8);
  assertEquals(registerSide(2e9), 16);
  assertEquals(registerSide(1e6, { side: 16 }), 16);
  assertEquals(registerTile({ rows: 500, columns: 500 }, 8), { rows: 8, columns: 8 });
});

Deno.test("blockTile() is thin for thin products and large only where that leaves enough work", () => {
  const size = (rows: number, columns: number, maxComputeWorkgroupStorageSize = 32768) => {
    const tile = blockTile({ rows, columns }, { maxComputeWorkgroupStorageSize });
    return [blockRows(tile), blockColumns(tile)];
  };
  assertEquals(size(4096, 4096), [128, 128]);
  assertEquals(size(4096, 4096, 16384), [64, 64]);
  assertEquals(size(1024, 1024), [64, 64]);
  assertEquals(size(100_000, 10), [256, 16]);
  assertEquals(size(8, 50_000), [16, 256]);
  assertEquals(size(100, 100), [32, 32]);
});
