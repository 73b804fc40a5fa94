import { assertEquals } from "@std/assert";
import { type AttributeValue, GraphBuilder, inferShapes } from "../../onnx/mod.ts";
import { transformerLike } from "./_models.ts";

Deno.test("inferShapes() follows shapes that the graph computes", () => {
  const b = new GraphBuilder();
  const x = b.input("x", ["N", 2, 3, 4]);
  const shape = b.node("Shape", [x]);
  const rows = b.node("Gather", [shape, b.ints([0])]);
  const target = b.node("Concat", [rows, b.ints([-1])], { attributes: { axis: 0n } });
  b.output("y", b.node("Reshape", [x, target]));
  assertEquals(inferShapes(b.build()).get("y")?.shape, ["N", 24]);
  const values = inferShapes(transformerLike());
  assertEquals(values.get("token")?.shape, ["N", 6]);
});

Deno.test("inferShapes() knows what operators make of [N, 2, 5, 4]", () => {
  const cases: [string, Record<string, AttributeValue>, (number | string)[][]][] = [
    ["Relu", {}, [["N", 2, 5, 4]]],
    ["MaxPool", { kernel_shape: [2n, 2n], strides: [2n, 2n] }, [["N", 2, 2, 2]]],
    ["MaxPool", { kernel_shape: [2n, 2n], strides: [2n, 2n], ceil_mode: 1n }, [["N", 2, 3, 2]]],
    ["GlobalMaxPool", {}, [["N", 2, 1, 1]]],
    ["ReduceMean", { axes: [2n, -1n], keepdims: 0n }, [["N", 2]]],
    ["Flatten", { axis: 2n }, [["?", 20]]],
    ["Transpose", { perm: [0n, 2n, 3n, 1n] }, [["N", 5, 4, 2]]],
    ["Unsqueeze", { axes: [0n] }, [[1, "N", 2, 5, 4]]],
    ["Slice", { axes: [3n], starts: [-3n], ends: [2147483647n] }, [["N", 2, 5, 3]]],
    ["Pad", { pads: [0n, 0n, 1n, 0n, 0n, 0n, 1n, 3n] }, [["N", 2, 7, 7]]],
    ["Split", { axis: 2n }, [["N", 2, 3, 4], ["N", 2, 2, 4]]],
    ["ArgMax", { axis: 1n, keepdims: 0n }, [["N", 5, 4]]],
    ["TopK", { k: 3n }, [["N", 2, 5, 3], ["N", 2, 5, 3]]],
    ["Upsample", { scales: [1, 1, 2, 1.5] }, [["N", 2, 10, 6]]],
    ["Shape", {}, [[4]]],
  ];
  for (const [opType, attributes, expected] of cases) {
    const b = new GraphBuilder({ opset: 9 });
    const names = b.nodes(opType, [b.input("x", ["N", 2, 5, 4])], {
      attributes,
      outputs: expected.length,
    });
    b.output("y", names[0]);
    const values = inferShapes(b.build());
    assertEquals(names.map((name) => values.get(name)?.shape), expected, opType);
  }
});
