import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  GraphBuilder,
  makeTensor,
  type OnnxModel,
  parseModel,
  readModel,
  readTensor,
  withGraph,
  writeModel,
} from "../../onnx/mod.ts";
import { create, STRING_STRING_ENTRY, type StringStringEntryProto } from "../../onnx/proto/mod.ts";
import { UserError } from "../../runtime/errors.ts";
import { resnetLike, waves } from "./_models.ts";

const SHIPPED = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);

function small(): OnnxModel {
  const b = new GraphBuilder();
  const x = b.input("x", ["N", 4]);
  b.output("y", b.node("Relu", [b.node("Add", [x, b.constant(waves(4), { name: "w" })])]));
  return b.build();
}

Deno.test("readModel() reads a file by path, by URL and by bytes", async () => {
  const bytes = await Deno.readFile(SHIPPED);
  for (const source of [SHIPPED, SHIPPED.pathname, bytes]) {
    const model = await readModel(source);
    assertEquals([model.opset(), model.graph.nodes.length], [13, 52]);
  }
});

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

Deno.test("readTensor() widens half floats and reads every field", () => {
  const half = makeTensor("h", Uint16Array.of(0x3c00, 0xc000), { type: "f16" });
  assertEquals([...readTensor(half).data], [1, -2]);
  const brain = makeTensor("b", Uint16Array.of(0x3f80, 0xc000), { type: "bf16" });
  assertEquals([...readTensor(brain).data], [1, -2]);
  const base = makeTensor("t", new Int32Array(2));
  delete base.rawData;
  // -1 as a ten-byte varint, then 5.
  const int32Data = new Uint8Array([255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 5]);
  assertEquals([...readTensor({ ...base, int32Data }).data], [-1, 5]);
  const halves = new Uint8Array([0x80, 0x78, 0x80, 0x80, 3]);
  assertEquals([...readTensor({ ...base, dataType: 10, int32Data: halves }).data], [1, -2]);
  const floatData = new Uint8Array(Float32Array.of(0.5, -0.5).buffer);
  assertEquals([...readTensor({ ...base, dataType: 1, floatData }).data], [0.5, -0.5]);
});

Deno.test("readTensor() reads data at odd addresses", () => {
  const bytes = new Uint8Array(9);
  bytes.set(new Uint8Array(Float32Array.of(1, 2).buffer), 1);
  const tensor = { ...makeTensor("w", new Float32Array(2)), rawData: bytes.subarray(1) };
  assertEquals([...readTensor(tensor).data], [1, 2]);
});

Deno.test("readTensor() refuses strings and wrong sizes", () => {
  const tensor = makeTensor("w", new Float32Array(2));
  assertThrows(() => readTensor({ ...tensor, dataType: 8 }), UserError, "string");
  assertThrows(() => readTensor({ ...tensor, dims: [3] }), UserError, "needs 3 elements");
  assertThrows(
    () => readTensor({ ...tensor, rawData: new Uint8Array(7) }),
    UserError,
    "takes 4 each",
  );
});

Deno.test("parseModel() refuses what is not an ONNX model, and says what it is", () => {
  const text = (value: string) => new TextEncoder().encode(value);
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "the file is empty"],
    [text('{"model": "not onnx"}\n'), "it is a text file"],
    [text("# A list of words\nand nothing else\n"), "it is a text file"],
    [text("version https://git-lfs.github.com/spec/v1\noid sha256:0"), "Git LFS pointer"],
    [new Uint8Array([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13]), "not an ONNX model"],
    [new Uint8Array(64).fill(0xff), "not an ONNX model"],
    [new Uint8Array([0x08, 8]), "it has no graph"],
  ];
  for (const [bytes, message] of cases) {
    assertThrows(() => parseModel(bytes, { name: "a.onnx" }), UserError, message);
  }
});

Deno.test("parseModel() reads or refuses every prefix of a model", () => {
  const bytes = writeModel(resnetLike());
  let read = 0;
  for (let length = 0; length < bytes.length; length += length < 400 ? 1 : 7) {
    try {
      parseModel(bytes.slice(0, length), { name: "cut.onnx" });
      read++;
    } catch (error) {
      assert(error instanceof UserError, `${length} bytes: ${error}`);
      assert(!error.message.includes("\n"), error.message);
    }
  }
  assertEquals(read, 0);
});

Deno.test("parseModel() reads or refuses a model with any byte changed", () => {
  const bytes = writeModel(small());
  for (let at = 0; at < bytes.length; at++) {
    for (const value of [0, 0x7f, 0xff, bytes[at]! ^ 1]) {
      const damaged = bytes.slice();
      damaged[at] = value;
      try {
        parseModel(damaged).graph.constant("w");
      } catch (error) {
        assert(error instanceof UserError, `byte ${at} = ${value}: ${error}`);
      }
    }
  }
});

Deno.test("parseModel() refuses operator sets and formats that are not supported", () => {
  const model = small();
  const old = { ...model.proto, opsetImport: [{ version: 3 }] };
  const newer = { ...model.proto, irVersion: 99 };
  const none = { ...model.proto, opsetImport: [] };
  for (
    const [proto, message] of [
      [old, "operator set 3"],
      [newer, "format version is 99"],
      [none, "names no operator set"],
    ] as const
  ) {
    const bytes = writeModel(Object.assign(small(), { proto }));
    assertThrows(() => parseModel(bytes, { name: "a.onnx" }), UserError, message);
  }
});

Deno.test("parseModel() refuses graphs that cannot run", () => {
  const model = small();
  const [add, relu, out] = model.graph.proto.node;
  const cases: [OnnxModel, string][] = [
    [withGraph(model, { node: [add!, out!] }), "which is neither an input nor made by a node"],
    [withGraph(model, { node: [add!, relu!, relu!, out!] }), "two nodes make the value"],
    [withGraph(model, { output: [{ name: "nothing" }] }), 'nothing makes the output "nothing"'],
    [withGraph(model, { output: [] }), "the graph has no outputs"],
    [
      withGraph(model, { node: [{ ...add!, input: ["x", relu!.output[0]!] }, relu!, out!] }),
      "lies on a cycle",
    ],
  ];
  for (const [broken, message] of cases) {
    assertThrows(() => parseModel(writeModel(broken)), UserError, message);
  }
});

Deno.test("readModel() says what is wrong with a path", async () => {
  await assertRejects(() => readModel("no/such.onnx"), UserError, "there is no such file");
  const folder = new URL(".", import.meta.url).pathname;
  await assertRejects(() => readModel(folder), UserError, "is a folder");
});

Deno.test("readModel() loads data that lies beside the model, and only there", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const model = small();
    const data = waves(4);
    const external = (location: string, length: string) =>
      withGraph(model, {
        initializer: [{
          ...makeTensor("w", data),
          rawData: undefined as unknown as Uint8Array,
          dataLocation: 1,
          externalData: Object.entries({ location, offset: "4", length }).map(([key, value]) =>
            create<StringStringEntryProto>(STRING_STRING_ENTRY, { key, value })
          ),
        }],
      });
    const bytes = new Uint8Array(20);
    bytes.set(new Uint8Array(data.buffer), 4);
    await Deno.writeFile(`${folder}/w.bin`, bytes);
    const path = `${folder}/m.onnx`;
    await Deno.writeFile(path, writeModel(external("w.bin", "16")));
    const loaded = await readModel(path);
    assertEquals(loaded.graph.constant("w")?.data, data);
    assertEquals(parseModel(writeModel(loaded)).graph.constant("w")?.data, data);
    const written = await Deno.readFile(path);
    assertThrows(() => parseModel(written), UserError, '"w.bin"');
    for (
      const [location, length, message] of [
        ["gone.bin", "16", "there is no such file"],
        ["w.bin", "32", "it needs bytes 4 to 36 and has 20"],
        ["../w.bin", "16", "within the model's folder"],
        ["/etc/hostname", "16", "within the model's folder"],
      ] as const
    ) {
      await Deno.writeFile(path, writeModel(external(location, length)));
      await assertRejects(() => readModel(path), UserError, message);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
