import { assertEquals, assertThrows } from "@std/assert";
import { Tape, Variable } from "../../nn/mod.ts";
import {
  GraphBuilder,
  type GraphOptions,
  importGraph,
  type OnnxModel,
  readModel,
} from "../../onnx/mod.ts";
import { Host, OutOfMemoryError, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { arraysFor, givenTo, runGraph } from "./_graphs.ts";
import { waves } from "./_models.ts";
import { cifarResnet } from "./_networks.ts";
import { PatternBuilder, PATTERNS } from "./_patterns.ts";
import { runWasm } from "./_run.ts";

const SHIPPED = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);

/** A chain of nodes from [N, 4, 2, 2], for what is refused. */
function chain(make: (b: GraphBuilder, x: string) => string, opset = 17): OnnxModel {
  const b = new GraphBuilder({ opset, name: "chain" });
  const x = b.input("x", ["N", 4, 2, 2]);
  b.output("y", make(b, x));
  return b.build();
}

gpuTest("importGraph() begins and ends inside a graph, at several values", async ({ gpu }) => {
  const model = cifarResnet();
  const arrays = arraysFor(model, 2);
  const sum = model.graph.producer(model.graph.producer("layer3.1.out")!.inputs[0]!)!;
  const cases: GraphOptions[] = [
    { outputs: ["layer1.0.out", "logits"] },
    { inputs: ["layer1.1.out"], outputs: ["logits"] },
    { inputs: [...sum.inputs], outputs: ["layer3.1.out", "logits"] },
    { inputs: ["layer1.1.out"], outputs: ["layer1.1.out", "layer2.0.out"], trainable: "none" },
  ];
  for (const options of cases) {
    using network = importGraph(gpu, model, options);
    const given = await givenTo(network, model, arrays);
    const found = await runGraph(gpu, network, given);
    assertEquals(Object.keys(found), [...options.outputs]);
    using whole = importGraph(gpu, model, { outputs: options.outputs });
    const expected = await runGraph(gpu, whole, arrays);
    for (const name of options.outputs) {
      assertClose(found[name]!, expected[name]!, TOLERANCE.network, name);
    }
  }
});

gpuTest("importGraph() runs other batches than a graph was exported for", async ({ gpu }) => {
  const build = (batch: number | string) => {
    const b = new PatternBuilder({ opset: 14, name: "fixed" });
    const first = typeof batch === "number" ? batch : -1;
    const x = b.conv(b.input("x", [batch, 3, 2, 3]), { from: 3, to: 4, k: 3 });
    const normal = b.groupNorm(x, { channels: 4, groups: 2 });
    const flat = b.node("Reshape", [normal, b.ints([first, 4, 6])]);
    const tokens = b.node("Transpose", [flat], { attributes: { perm: [0n, 2n, 1n] } });
    const apart = b.node("Reshape", [tokens, b.ints([first, 6, 2, 2])]);
    const heads = b.node("Transpose", [apart], { attributes: { perm: [0n, 2n, 1n, 3n] } });
    const lists = b.node("Reshape", [heads, b.ints([first < 0 ? -1 : 2 * first, 6, 2])]);
    const keys = b.node("Transpose", [lists], { attributes: { perm: [0n, 2n, 1n] } });
    const scores = b.node("Softmax", [b.node("MatMul", [lists, keys])], {
      attributes: { axis: -1n },
    });
    const mixed = b.node("Reshape", [b.node("MatMul", [scores, lists]), b.ints([first, 2, 6, 2])]);
    const back = b.node("Transpose", [mixed], { attributes: { perm: [0n, 2n, 1n, 3n] } });
    b.output("y", b.node("Reshape", [back, b.ints([first, 6, 4])]));
    return b.build();
  };
  const open = build("N");
  const arrays = arraysFor(open, 3);
  const { y } = await runWasm(open, arrays);
  for (const batch of [1, 2]) {
    using network = importGraph(gpu, build(batch), { outputs: ["y"] });
    const found = await runGraph(gpu, network, arrays);
    assertClose(found["y"]!, y!.data, TOLERANCE.network, `exported for ${batch}`);
  }
});

gpuTest("GraphNetwork.forward() names the node whose value is too large", ({ gpu }) => {
  const large = chain((b, x) => {
    const scales = b.constant(new Float32Array([1, 1, 16384, 16384]));
    return b.node("Resize", [x, "", scales], { attributes: { mode: "nearest" } });
  });
  using network = importGraph(gpu, large, { outputs: ["y"] });
  using scope = gpu.scope();
  const x = new Variable(scope.upload(new Float32Array(16), [1, 2, 2, 4]));
  assertThrows(
    () => network.forward(new Tape(scope), { x }),
    OutOfMemoryError,
    'what Resize "Resize:resize" makes',
  );
});

Deno.test("importGraph() says what stands in the way", () => {
  using host = new Host();
  const refused = (model: OnnxModel, options: Partial<GraphOptions>, message: string) => {
    const error = assertThrows(
      () => importGraph(host, model, { outputs: ["y"], ...options }),
      UserError,
      message,
    );
    assertEquals(error.message.includes("\n"), false);
  };
  const relu = chain((b, x) => b.node("Relu", [b.node("Sigmoid", [x], { output: "middle" })]));
  refused(relu, { outputs: ["z"] }, '"chain" has no value "z"');
  refused(relu, { outputs: ["midle"] }, 'did you mean "middle"');
  refused(relu, { inputs: ["midle"] }, 'did you mean "middle"');
  refused(relu, { outputs: [] }, "no output is named");
  refused(relu, { inputs: ["y"], outputs: ["middle"] }, '"x" is needed too; name it');
  refused(relu, { inputs: ["x", "middle"] }, 'from "x": "y" can be had without it');
  refused(
    chain((b, x) => b.node("Softplus", [x])),
    {},
    'in Softplus "Softplus:softplus" there is no training: supported operators are Add,',
  );
  refused(
    chain((b, x) => b.node("MatMul", [x, b.node("Reshape", [x, b.ints([0, 8, 2])])])),
    {},
    "[N, 4, 2, 2] and [N, 8, 2] are multiplied, and stacks of as many matrices were expected",
  );
  refused(
    chain((b, x) => b.node("Softmax", [x], { attributes: { axis: 1n } })),
    {},
    "only the last axis, whose length is known, is supported",
  );
  refused(
    chain((b, x) => b.node("Resize", [x, "", b.constant(new Float32Array([1, 1, 2, 1.5]))])),
    {},
    '[N, 4, 2, 2] becomes [N, 4, 4, 3] in mode "nearest", and only whole multiples',
  );
  refused(
    chain((b, x) => b.node("Pow", [x, b.constant(0.5)])),
    {},
    'in Pow "Pow:pow" only the powers 2 and 3',
  );
  refused(
    chain((b, x) => b.node("Concat", [x, x], { attributes: { axis: 0n } })),
    {},
    "axis 0 is that of the batch",
  );
  refused(
    chain((b, x) => b.node("Add", [x, b.constant(waves(8), { shape: [2, 4, 1, 1] })])),
    {},
    'the constant "constant" is [2, 4, 1, 1] beside [N, 4, 2, 2]',
  );
  refused(
    chain((b, x) => b.node("Mul", [x, b.node("Transpose", [x])])),
    {},
    "and one shape, or one number for each element of the batch and channel",
  );
  refused(
    chain((b, x) => b.reduce("ReduceMean", x, { axes: [0] })),
    {},
    "only fixed axes without the batch are supported",
  );
  refused(
    chain((b, x) => b.slice(x, { axis: 0, start: 0, end: 1 })),
    {},
    "an axis without the batch must hold them",
  );
});

Deno.test("importGraph() wants shapes that can be known, and numbers", () => {
  using host = new Host();
  const b = new GraphBuilder({ name: "open" });
  const x = b.input("x", ["N", 4, "H", "W"]);
  const ids = b.input("ids", ["N"], { type: "i64" });
  const table = b.constant(waves(12), { shape: [3, 4] });
  const rows = b.node("Gather", [table, ids], { output: "rows" });
  const map = b.unsqueeze(b.unsqueeze(rows, [2]), [3]);
  b.output("y", b.node("Add", [x, map]));
  const model = b.build();
  const importing = (options: Partial<GraphOptions>) => () =>
    importGraph(host, model, { outputs: ["y"], ...options });
  const inputs = ["x", "rows"];
  assertThrows(
    importing({ inputs }),
    UserError,
    'from "x": its shape is [N, 4, H, W], and only the batch may be open; give it (shapes)',
  );
  const shapes = { x: [4, 2, 3] };
  assertThrows(importing({ shapes }), UserError, 'from "ids": it holds i64');
  using network = importGraph(host, model, { inputs, outputs: ["y"], shapes });
  assertEquals(network.inputs, [{ name: "x", shape: [2, 3, 4] }, { name: "rows", shape: [4] }]);
});

Deno.test("GraphNetwork.forward() refuses inputs that do not fit", async () => {
  using host = new Host();
  const model = await readModel(SHIPPED);
  using network = importGraph(host, model, { inputs: ["feature_map"], outputs: ["logits"] });
  const tape = () => new Tape(host);
  const x = new Variable(host.upload(new Float32Array(64 * 4), [1, 2, 2, 64]));
  assertThrows(() => network.forward(tape(), {}), TypeError, 'the input "feature_map" is missing');
  assertThrows(
    () => network.forward(tape(), { "feature_map": x }),
    TypeError,
    "must have shape [N, 8, 8, 64]: current shape is [1, 2, 2, 64]",
  );
});

Deno.test("importGraph() refuses weights that other parts of the graph read", () => {
  using host = new Host();
  const b = new GraphBuilder({ name: "tied" });
  const weight = b.constant(waves(16), { shape: [4, 4], name: "weight" });
  const first = b.node("MatMul", [b.input("x", ["N", 4]), weight], { output: "middle" });
  b.output("y", b.node("MatMul", [first, weight]));
  const model = b.build();
  const options = { inputs: ["middle"], outputs: ["y"] };
  assertThrows(
    () => importGraph(host, model, options),
    UserError,
    'the weight "weight" is also read by MatMul "MatMul:middle"',
  );
  using network = importGraph(host, model, { ...options, trainable: "none" });
  assertEquals(network.parameters.names, ["weight"]);
});

gpuTest("passes without gradients release what nobody reads", ({ gpu }) => {
  const model = PATTERNS["encoder of set 17"]!();
  using network = importGraph(gpu, model, { outputs: ["embed"] });
  const { data, shape } = arraysFor(model, 2)["pixels"]!;
  const run = () => {
    using scope = gpu.scope();
    const x = new Variable(scope.upload(data, [shape[0]!, 4, 4, 3]));
    const before = gpu.gpu.counters().pool.live;
    network.forward(new Tape(scope), { "pixels": x }, { gradients: false });
    return gpu.gpu.counters().pool.live - before;
  };
  const first = run();
  assertEquals(run(), 1, `${first} tensors were live behind the first pass`);
});
