import { assertEquals, assertThrows } from "@std/assert";
import {
  GraphBuilder,
  type OnnxModel,
  OPSET_RANGE,
  parseModel,
  writeModel,
} from "../../onnx/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { runWasm } from "./_run.ts";

/** One of each helper, whose form changed between operator sets. */
function helpers(opset: number): OnnxModel {
  const b = new GraphBuilder({ opset });
  const x = b.input("x", ["N", 4]);
  b.output("clip", b.clip(x, { min: -1, max: 2 }));
  b.output("floor", b.clip(x, { min: 0 }));
  b.output("sum", b.reduce("ReduceSum", x, { axes: [1] }));
  b.output("max", b.reduce("ReduceMax", x, { axes: [-1 + 2], keepDims: true }));
  b.output("norm", b.reduce("ReduceL2", x, { axes: [1] }));
  b.output("lse", b.reduce("ReduceLogSumExp", x, { axes: [1] }));
  b.output("axes", b.squeeze(b.unsqueeze(x, [1]), [1]));
  b.output("top", b.topK(x, { k: 2 }).values);
  b.output("part", b.slice(x, { axis: 1, start: 1, end: -1 }));
  return b.build();
}

Deno.test("GraphBuilder's helpers compute the same in every operator set", async () => {
  const inputs = { x: { data: Float32Array.of(1, -2, 3, 0.5), shape: [1, 4] } };
  const expected: Record<string, number[]> = {
    clip: [1, -1, 2, 0.5],
    floor: [1, 0, 3, 0.5],
    sum: [2.5],
    max: [3],
    norm: [Math.hypot(1, 2, 3, 0.5)],
    lse: [Math.log(Math.E + Math.exp(-2) + Math.exp(3) + Math.exp(0.5))],
    axes: [1, -2, 3, 0.5],
    top: [3, 1],
    part: [-2, 3],
  };
  for (const opset of [OPSET_RANGE[0], 10, 11, 13, 17, 18, OPSET_RANGE[1]]) {
    const model = parseModel(writeModel(helpers(opset)), { name: `set ${opset}` });
    const outputs = await runWasm(model, inputs);
    for (const [name, values] of Object.entries(expected)) {
      assertClose(outputs[name]!.data, values, TOLERANCE.kernel, `${name} in set ${opset}`);
    }
  }
});

Deno.test("GraphBuilder infers the shapes of outputs", () => {
  const shapes = helpers(17).graph.outputs.map(({ name, shape }) => [name, ...shape!]);
  assertEquals(shapes, [
    ["clip", "N", 4],
    ["floor", "N", 4],
    ["sum", "N"],
    ["max", "N", 1],
    ["norm", "N"],
    ["lse", "N"],
    ["axes", "N", 4],
    ["top", "N", 2],
    ["part", "N", 2],
  ]);
});

Deno.test("GraphBuilder refuses names that are taken and sets that are unknown", () => {
  const b = new GraphBuilder();
  b.input("x", [1]);
  assertThrows(() => b.input("x", [1]), TypeError, "the name is taken");
  assertThrows(() => b.node("Relu", ["x"], { output: "x" }), TypeError, "the name is taken");
  assertEquals(b.fresh("x"), "x_1");
  assertThrows(() => new GraphBuilder({ opset: 99 }), RangeError, "operator set 99");
  const old = new GraphBuilder({ opset: 10 });
  assertThrows(() => old.topK("x", { k: 1, largest: false }), RangeError, "11 is needed");
});
