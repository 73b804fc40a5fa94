import { assertEquals } from "@std/assert";
import { makeAttribute, makeTensor } from "../../onnx/mod.ts";

Deno.test("makeAttribute() tells floats, integers, texts, tensors and lists apart", () => {
  const tensor = makeTensor("t", new Float32Array(1));
  const values = [1, 1n, "a", tensor, [1, 2], [1n, 2n], ["a"], []] as const;
  const types = values.map((value) => makeAttribute("a", value).type);
  assertEquals(types, [1, 2, 3, 4, 6, 7, 8, 7]);
});
