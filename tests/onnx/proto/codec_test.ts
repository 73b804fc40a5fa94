import { assertEquals, assertThrows } from "@std/assert";
import {
  create,
  decode,
  encode,
  MODEL,
  type ModelProto,
  NODE,
  type NodeProto,
  TENSOR,
  type TensorProto,
} from "../../../onnx/proto/mod.ts";
import { readTensor } from "../../../onnx/mod.ts";

const SHIPPED = new URL("../../../models/cifar10-resnet20.onnx", import.meta.url);

Deno.test("encode() gives back the bytes that decode() read", async () => {
  const bytes = await Deno.readFile(SHIPPED);
  assertEquals(encode(MODEL, decode<ModelProto>(MODEL, bytes)), bytes);
});

Deno.test("decode() gives large data as views of the file", async () => {
  const bytes = await Deno.readFile(SHIPPED);
  const model = decode<ModelProto>(MODEL, bytes);
  for (const tensor of model.graph!.initializer) {
    assertEquals(tensor.rawData?.buffer, bytes.buffer, tensor.name);
  }
});

Deno.test("encode() writes unknown fields back at their place", () => {
  // op_type "Relu", then field 10 (device configurations), then field 99 as a varint.
  const bytes = new Uint8Array([
    ...[0x22, 4, 0x52, 0x65, 0x6c, 0x75],
    ...[0x52, 2, 1, 2],
    ...[0x98, 0x06, 7],
  ]);
  const node = decode<NodeProto>(NODE, bytes);
  assertEquals(node.opType, "Relu");
  assertEquals(node.unknown?.map((field) => field.number), [10, 99]);
  assertEquals(encode(NODE, node), bytes);
});

Deno.test("decode() keeps a known field of an unexpected wire type as unknown", () => {
  // Field 4 (op_type, a text) as a varint.
  const bytes = new Uint8Array([0x20, 5]);
  const node = decode<NodeProto>(NODE, bytes);
  assertEquals([node.opType, node.unknown?.length], [undefined, 1]);
  assertEquals(encode(NODE, node), bytes);
});

Deno.test("decode() reads lists packed and one by one", () => {
  const packed = decode<TensorProto>(TENSOR, new Uint8Array([0x0a, 2, 2, 3]));
  const single = decode<TensorProto>(TENSOR, new Uint8Array([0x08, 2, 0x08, 3]));
  assertEquals([packed.dims, single.dims], [[2, 3], [2, 3]]);
});

Deno.test("decode() joins the pieces of a packed list", () => {
  // dims 2, data_type i64, then int64_data [5] packed and 6 alone.
  const bytes = new Uint8Array([0x08, 2, 0x10, 7, 0x3a, 1, 5, 0x38, 6]);
  assertEquals([...readTensor(decode<TensorProto>(TENSOR, bytes)).data], [5n, 6n]);
});

Deno.test("decode() keeps int64 to the last bit and negative sizes", () => {
  const attribute = { name: "ends", ints: [2n ** 63n - 1n, -1n], type: 7 };
  const node = create<NodeProto>(NODE, {
    attribute: [{ ...attribute, floats: [], strings: [] }],
  });
  assertEquals(decode<NodeProto>(NODE, encode(NODE, node)).attribute[0]!.ints, attribute.ints);
  const tensor = create<TensorProto>(TENSOR, { dims: [-1, 4] });
  assertEquals(decode<TensorProto>(TENSOR, encode(TENSOR, tensor)).dims, [-1, 4]);
});

Deno.test("decode() keeps a field that is set to its default", () => {
  const bytes = new Uint8Array([0x18, 0]);
  const attribute = decode<NodeProto>(NODE, new Uint8Array([0x2a, 2, ...bytes])).attribute[0]!;
  assertEquals(attribute.i, 0n);
});

Deno.test("decode() refuses messages that nest without end", () => {
  // A node whose attribute holds a graph whose node holds an attribute, and so on.
  let bytes: Uint8Array = new Uint8Array([0x22, 1, 0x41]);
  const wrap = (tag: number, inner: Uint8Array) => {
    const length = inner.length;
    return new Uint8Array([tag, length & 0x7f | 0x80, length >> 7, ...inner]);
  };
  for (let i = 0; i < 40; i++) bytes = wrap(0x2a, wrap(0x32, wrap(0x0a, bytes)));
  assertThrows(() => decode<NodeProto>(NODE, bytes), Error, "nested too deep");
});
