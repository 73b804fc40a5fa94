import { assertEquals, assertNotStrictEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  exposeOutputs,
  GraphBuilder,
  type OnnxModel,
  parseModel,
  pruneUnused,
  readTensor,
  removeOutputs,
  renameValues,
  replaceInitializers,
  setDynamicBatch,
  withGraph,
  writeModel,
} from "../../onnx/mod.ts";
import { UserError } from "../../runtime/errors.ts";
import { resnetLike, waves } from "./_models.ts";

function outputs(model: OnnxModel): unknown[] {
  return model.graph.outputs.map(({ name, shape }) => [name, ...shape ?? []]);
}

Deno.test("exposeOutputs() adds values with their shapes behind the outputs", () => {
  const model = resnetLike();
  const exposed = exposeOutputs(model, ["block", "logits", "rows"]);
  assertEquals(outputs(exposed), [["logits", "N", 4], ["block", "N", 6, 8, 8], ["rows", "N", 6]]);
  assertEquals(outputs(model), [["logits", "N", 4]]);
  parseModel(writeModel(exposed));
});

Deno.test("exposeOutputs() refuses unknown values and suggests a near one", () => {
  assertThrows(() => exposeOutputs(resnetLike(), ["blocks"]), UserError, 'did you mean "block"');
});

Deno.test("removeOutputs() and pruneUnused() leave what the other outputs need", () => {
  const model = exposeOutputs(resnetLike(), ["block"]);
  const cut = pruneUnused(removeOutputs(model, ["logits"]));
  assertEquals(outputs(cut), [["block", "N", 6, 8, 8]]);
  assertEquals(cut.graph.initializers.has("fc.weight"), false);
  assertEquals(cut.graph.nodes.at(-1)?.outputs, ["block"]);
  assertThrows(() => removeOutputs(cut, ["block"]), UserError, "one must stay");
  assertThrows(() => removeOutputs(cut, ["logits"]), UserError, 'its outputs are "block"');
});

Deno.test("pruneUnused() keeps what a subgraph reads from around it", () => {
  const b = new GraphBuilder();
  const x = b.input("x", ["N"]);
  const flag = b.input("flag", [], { type: "bool" });
  b.node("Relu", [x], { output: "outer" });
  b.node("Neg", [x], { output: "unused" });
  const branch = (name: string) => {
    const inner = new GraphBuilder();
    inner.node("Exp", ["outer"], { output: name });
    inner.output(name);
    return inner.build().graph.proto;
  };
  b.output("y", b.node("If", [flag]));
  const model = b.build();
  const node = model.graph.proto.node.map((item) =>
    item.opType !== "If" ? item : {
      ...item,
      attribute: ["then_branch", "else_branch"].map((name, i) => ({
        name,
        g: branch(`z${i}`),
        type: 5,
        floats: [],
        ints: [],
        strings: [],
      })),
    }
  );
  const pruned = pruneUnused(withGraph(model, { node }));
  assertEquals(pruned.graph.nodes.map((item) => item.opType), ["Relu", "If", "Identity"]);
  const renamed = renameValues(pruned, { outer: "other" });
  assertEquals(renamed.graph.nodes[1]?.captured, ["other"]);
});

Deno.test("renameValues() renames everywhere and refuses names that are taken", () => {
  const model = renameValues(resnetLike(), { image: "x", rows: "features", logits: "y" });
  assertEquals(model.graph.inputs[0]?.name, "x");
  assertEquals(model.graph.producer("y")?.opType, "Identity");
  assertEquals(model.graph.producer("features")?.opType, "Flatten");
  parseModel(writeModel(model));
  assertThrows(() => renameValues(model, { x: "y" }), UserError, "the name is taken");
  assertThrows(() => renameValues(model, { nothing: "z" }), UserError, 'no value "nothing"');
});

Deno.test("replaceInitializers() replaces elements and leaves the old model alone", () => {
  const model = resnetLike();
  const edited = replaceInitializers(model, { "fc.bias": new Float32Array(4) });
  assertEquals([...readTensor(edited.graph.initializers.get("fc.bias")!).data], [0, 0, 0, 0]);
  assertEquals(readTensor(model.graph.initializers.get("fc.bias")!).data, waves(4, 4));
  assertThrows(
    () => replaceInitializers(model, { "fc.bias": new Float32Array(5) }),
    UserError,
    "has 4 elements and 5",
  );
  assertThrows(
    () => replaceInitializers(model, { image: new Float32Array(1) }),
    UserError,
    "is no initialiser",
  );
});

Deno.test("setDynamicBatch() opens a fixed batch through the whole graph", () => {
  const fixed = resnetLike({ batch: 1 });
  const open = setDynamicBatch(fixed);
  assertNotStrictEquals(open, fixed);
  assertEquals(open.graph.inputs[0]?.shape, ["N", 3, 8, 8]);
  assertEquals(outputs(open), [["logits", "N", 4]]);
  assertStrictEquals(setDynamicBatch(open), open);
});

Deno.test("setDynamicBatch() mends reshapes that name the batch", () => {
  const b = new GraphBuilder();
  const x = b.input("x", [2, 3, 4]);
  const target = b.ints([2, 12]);
  b.output("y", b.node("Relu", [b.node("Reshape", [x, target])]));
  const open = setDynamicBatch(b.build());
  assertEquals(outputs(open), [["y", "N", 12]]);
  assertEquals(open.graph.initializers.has(target), true);
});

Deno.test("setDynamicBatch() refuses graphs that mix the images of a batch", () => {
  const build = (make: (b: GraphBuilder, x: string) => string) => {
    const b = new GraphBuilder();
    b.output("y", make(b, b.input("x", [2, 3])));
    return b.build();
  };
  const softmax = build((b, x) => b.node("Softmax", [x], { attributes: { axis: 0n } }));
  assertThrows(() => setDynamicBatch(softmax), UserError, "computes across the images");
  const mean = build((b, x) => b.reduce("ReduceMean", x, { axes: [0], keepDims: true }));
  assertThrows(() => setDynamicBatch(mean), UserError, "can not be followed");
  const flat = build((b, x) => b.node("Reshape", [x, b.ints([6])]));
  assertThrows(() => setDynamicBatch(flat), UserError, "can not be followed");
});
