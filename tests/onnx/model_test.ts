import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  makeTensor,
  type OnnxModel,
  parseModel,
  readModel,
  withGraph,
  writeModel,
} from "../../onnx/mod.ts";
import { create, STRING_STRING_ENTRY, type StringStringEntryProto } from "../../onnx/proto/mod.ts";
import { UserError } from "../../runtime/errors.ts";
import { resnetLike, small, waves } from "./_models.ts";

const SHIPPED = new URL("../../models/cifar10-resnet20.onnx", import.meta.url);

Deno.test("readModel() reads a file by path, by URL and by bytes", async () => {
  const bytes = await Deno.readFile(SHIPPED);
  for (const source of [SHIPPED, fileURLToPath(SHIPPED), bytes]) {
    const model = await readModel(source);
    assertEquals([model.opset(), model.graph.nodes.length], [13, 52]);
  }
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
  const folder = fileURLToPath(new URL(".", import.meta.url));
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
