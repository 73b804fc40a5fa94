import { assertEquals } from "@std/assert";
import { metadataOf, parseModel, readModel, withMetadata, writeModel } from "../../onnx/mod.ts";

Deno.test("withMetadata() adds and replaces, and survives the file", async () => {
  const model = await readModel("models/cifar10-resnet20.onnx");
  const once = withMetadata(model, { a: "1", b: "2" });
  const twice = withMetadata(once, { b: "3" });
  const back = parseModel(writeModel(twice));
  assertEquals([...metadataOf(back)].filter(([key]) => key.length === 1), [["a", "1"], ["b", "3"]]);
  assertEquals(metadataOf(model).has("a"), false);
  assertEquals(back.graph.nodes.length, model.graph.nodes.length);
});
