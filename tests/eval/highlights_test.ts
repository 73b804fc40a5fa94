import { assertEquals } from "@std/assert";
import { bestMethod, mostConfusing } from "../../eval/highlights.ts";
import { evaluate } from "../../eval/protocol.ts";

Deno.test("mostConfusing() lists the wrongly ranked images, ties in input order", () => {
  const found = mostConfusing(Float32Array.of(3, 1, 2, 1), {
    a: Float32Array.of(2.5, 0),
    b: Float32Array.of(2.5, 9),
  }, { count: 3 });
  assertEquals(found.ood.map(({ set, index, rank }) => [set, index, rank]), [
    ["b", 1, 1],
    ["a", 0, 0.75],
    ["b", 0, 0.75],
  ]);
  assertEquals(found.id.map(({ index, rank }) => [index, rank]), [[1, 0], [3, 0], [2, 0.5]]);
});

Deno.test("bestMethod() is the one with the highest mean AUROC, the first of equals", () => {
  const id = { low: Float32Array.of(2), high: Float32Array.of(3), same: Float32Array.of(3) };
  const ood = {
    a: { low: Float32Array.of(2), high: Float32Array.of(1), same: Float32Array.of(1) },
  };
  assertEquals(bestMethod(evaluate({ id, ood }, { replicates: 0 })), "high");
});
