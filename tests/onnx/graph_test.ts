import { assertEquals } from "@std/assert";
import { GraphBuilder, makeTensor, withGraph } from "../../onnx/mod.ts";
import { resnetLike, small } from "./_models.ts";

Deno.test("OnnxGraph lists inputs without the initialisers of old files", () => {
  const model = small();
  const listed = withGraph(model, {
    input: [...model.graph.proto.input, { name: "w" }],
  });
  assertEquals(listed.graph.inputs.map((input) => input.name), ["x"]);
});

Deno.test("OnnxGraph knows makers, readers and constants", () => {
  const { graph } = resnetLike();
  assertEquals(graph.producer("block")?.opType, "Relu");
  assertEquals(graph.consumers("block").map((node) => node.opType), ["GlobalAveragePool"]);
  assertEquals(graph.constant("fc.weight")?.shape, [4, 6]);
  assertEquals(graph.producer("image"), undefined);
});

Deno.test("OnnxGraph.sorted() orders nodes that a file has out of order", () => {
  const model = small();
  const { node } = model.graph.proto;
  const shuffled = withGraph(model, { node: node.toReversed() });
  const order = shuffled.graph.sorted().map((item) => item.opType);
  assertEquals(order, ["Add", "Relu", "Identity"]);
});

Deno.test("OnnxGraph.constant() reads all forms of Constant", () => {
  const b = new GraphBuilder();
  const x = b.input("x", [2]);
  b.node("Constant", [], { output: "a", attributes: { value_floats: [1.5, 2] } });
  b.node("Constant", [], { output: "b", attributes: { value_int: 3n } });
  b.node("Constant", [], { output: "c", attributes: { value_float: 0.25 } });
  b.node("Constant", [], { output: "d", attributes: { value_ints: [1n, -1n] } });
  const value = makeTensor("", Float32Array.of(7), { shape: [] });
  b.node("Constant", [], { output: "e", attributes: { value } });
  b.output("y", b.node("Relu", [x]));
  const { graph } = b.build();
  const found = ["a", "b", "c", "d", "e", "x"].map((name) => {
    const constant = graph.constant(name);
    return constant && [constant.type, constant.shape.length, ...constant.data];
  });
  assertEquals(found, [
    ["f32", 1, 1.5, 2],
    ["i64", 0, 3n],
    ["f32", 0, 0.25],
    ["i64", 1, 1n, -1n],
    ["f32", 0, 7],
    undefined,
  ]);
});
