import { assertEquals, assertThrows } from "@std/assert";
import { specialize } from "../../runtime/mod.ts";

const SOURCE = [
  "const TILE: u32 = 4u; // @spec rows of the tile",
  "alias Element = f32; // @spec",
  "const FIXED: u32 = 4u;",
].join("\n");

Deno.test("specialize() replaces marked lines only and keeps their comments", () => {
  const expected = SOURCE.replace("TILE: u32 = 4u", "TILE: u32 = 8u").replace("= f32", "= f16");
  assertEquals(specialize(SOURCE, { TILE: 8, Element: "f16" }), expected);
});

Deno.test("specialize() without names gives the source itself", () => {
  assertEquals(specialize(SOURCE, {}), SOURCE);
});

Deno.test("specialize() refuses a name that no marked line has", () => {
  assertThrows(() => specialize(SOURCE, { FIXED: 8 }), RangeError, "FIXED");
});
