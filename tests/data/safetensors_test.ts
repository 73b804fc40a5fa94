import { Buffer } from "node:buffer";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat, temporaryFolder } from "../_support/images.ts";
import { readSafetensors, writeSafetensors } from "../../data/safetensors.ts";
import { decodeSafetensors, encodeSafetensors } from "../../data/safetensors_bytes.ts";
import { UserError } from "../../runtime/errors.ts";

/** A file of a header as someone else would write it, and data. */
function file(header: unknown, data: Uint8Array, padding = ""): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? header : JSON.stringify(header);
  const bytes = new TextEncoder().encode(text + padding);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, bytes.length, true);
  return concat(length, bytes, data);
}

function bytesOf(...arrays: readonly ArrayBufferView[]): Uint8Array<ArrayBuffer> {
  return concat(...arrays.map((a) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength)));
}

function refusal(bytes: Uint8Array): string {
  return assertThrows(() => decodeSafetensors(bytes, { name: "x" }), UserError).message;
}

Deno.test("decodeSafetensors() reads every dtype, in files laid out as others do", () => {
  // Not sorted by name, not aligned (an odd array comes first), metadata in the middle.
  const data = bytesOf(
    new Uint8Array([1, 0, 1]),
    new Float32Array([1.5, -2]),
    new BigInt64Array([-3n, 2147483647n, -2147483648n]),
    new Float64Array([Math.PI]),
    new Uint16Array([0x3800, 0xfc00]),
    new Uint16Array([0x3fc0]),
    new Int16Array([-5]),
    new Int8Array([-6]),
    new Uint8Array([250]),
    new Uint32Array([4294967295]),
    new Int32Array([-7]),
    new Uint16Array([65535]),
  );
  const header = {
    mask: { dtype: "BOOL", shape: [3], data_offsets: [0, 3] },
    b: { dtype: "F32", shape: [1, 2], data_offsets: [3, 11] },
    __metadata__: { format: "pt" },
    a: { dtype: "I64", shape: [3], data_offsets: [11, 35] },
    d: { dtype: "F64", shape: [], data_offsets: [35, 43] },
    h: { dtype: "F16", shape: [2], data_offsets: [43, 47] },
    bf: { dtype: "BF16", shape: [1], data_offsets: [47, 49] },
    i16: { dtype: "I16", shape: [1], data_offsets: [49, 51] },
    i8: { dtype: "I8", shape: [1], data_offsets: [51, 52] },
    u8: { dtype: "U8", shape: [1], data_offsets: [52, 53] },
    u32: { dtype: "U32", shape: [1], data_offsets: [53, 57] },
    i32: { dtype: "I32", shape: [1], data_offsets: [57, 61] },
    u16: { dtype: "U16", shape: [1], data_offsets: [61, 63] },
    none: { dtype: "F32", shape: [0, 5], data_offsets: [63, 63] },
  };
  const { tensors, metadata } = decodeSafetensors(file(header, data, "   "));
  const values = Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [name, [...data]]),
  );
  assertEquals(values, {
    mask: [1, 0, 1],
    b: [1.5, -2],
    a: [-3, 2147483647, -2147483648],
    d: [Math.PI],
    h: [0.5, -Infinity],
    bf: [1.5],
    i16: [-5],
    i8: [-6],
    u8: [250],
    u32: [4294967295],
    i32: [-7],
    u16: [65535],
    none: [],
  });
  assertEquals(tensors["b"]!.shape, [1, 2]);
  assertEquals({ ...metadata }, { format: "pt" });
});

Deno.test("decodeSafetensors() refuses what is no sound file, in one sentence", () => {
  const one = { dtype: "F32", shape: [2], "data_offsets": [0, 8] };
  const eight = new Uint8Array(8);
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "the file is empty"],
    [new Uint8Array(5), "the file has 5 bytes"],
    [new Uint8Array(100).fill(0xff), "it is not a safetensors file"],
    [new TextEncoder().encode('{"a": 1} and more text'), "it is not a safetensors file"],
    [file({ a: one }, eight).slice(0, 20), "it is truncated"],
    [file("[1]", eight), "its header is no JSON object"],
    [file("{nonsense", eight), "its header is no JSON text"],
    [file({ a: one }, eight.slice(0, 4)), "it is truncated"],
    [file({ a: one }, new Uint8Array(12)), "accounts for"],
    [file({ a: { ...one, shape: [3] } }, eight), "needs 12 bytes and has 8"],
    [file({ a: { ...one, shape: [-2] } }, eight), "shape"],
    [file({ a: { ...one, shape: "2" } }, eight), "shape"],
    [file({ a: { ...one, data_offsets: [8, 0] } }, eight), "ends before it begins"],
    [file({ a: { ...one, data_offsets: [0] } }, eight), "data_offsets"],
    [file({ a: { ...one, data_offsets: [0, 0.5] } }, eight), "data_offsets"],
    [file({ a: { shape: [2], data_offsets: [0, 8] } }, eight), "no dtype"],
    [file({ a: 5 }, eight), "no dtype"],
    [file({ a: one, b: one }, eight), "overlaps"],
    [file({ a: one, b: { ...one, data_offsets: [4, 12] } }, new Uint8Array(12)), "overlaps"],
    [file({ a: { ...one, data_offsets: [4, 12] } }, new Uint8Array(12)), "nothing names"],
    [file({ a: one, __metadata__: { x: 1 } }, eight), 'metadata "x" is not a string'],
    [file({ a: { ...one, dtype: "I64", shape: [1] } }, eight.fill(1)), "does not fit 32 bits"],
    [file({ a: { ...one, dtype: "F4" } }, eight), "dtype F4"],
  ];
  for (const [bytes, part] of cases) {
    const message = refusal(bytes);
    assert(message.startsWith('Cannot read "x": ') && message.includes(part), message);
    assert(!message.endsWith(".") && !message.includes("\n"), message);
  }
});

Deno.test("decodeSafetensors() takes a tensor named like a property of objects", () => {
  const bytes = encodeSafetensors({ constructor: { data: new Int32Array([1]), shape: [1] } });
  assertEquals([...decodeSafetensors(bytes).tensors["constructor"]!.data], [1]);
});

Deno.test("decodeSafetensors() takes a Buffer of Node, which is a window of a larger one", () => {
  const bytes = encodeSafetensors({ x: { data: new Float32Array([1, 2]), shape: [2] } });
  const { tensors } = decodeSafetensors(Buffer.from(bytes));
  assertEquals([...tensors["x"]!.data], [1, 2]);
});

Deno.test("encodeSafetensors() aligns arrays, is independent of the order, and reads back", () => {
  const tensors = {
    flag: { data: new Uint8Array([1, 0, 1]), shape: [3], dtype: "BOOL" as const },
    wide: { data: new Float64Array([1, 2]), shape: [2] },
    half: { data: new Float32Array([0.5, 2]), shape: [2, 1], dtype: "F16" as const },
    brain: { data: new Float32Array([0.5]), shape: [1], dtype: "BF16" as const },
    long: { data: new Int32Array([-1, 5]), shape: [2], dtype: "I64" as const },
    one: { data: new Float32Array([7]), shape: [] },
  };
  const bytes = encodeSafetensors(tensors, { b: "2", a: "1" });
  const reversed = Object.fromEntries(Object.entries(tensors).reverse());
  assertEquals(encodeSafetensors(reversed, { a: "1", b: "2" }), bytes);
  const back = decodeSafetensors(bytes);
  for (const [name, { data, shape }] of Object.entries(tensors)) {
    assertEquals([...back.tensors[name]!.data], [...data], name);
    assertEquals(back.tensors[name]!.shape, shape);
  }
  assertEquals(encodeSafetensors(back.tensors, back.metadata), bytes);
  const header = JSON.parse(
    new TextDecoder().decode(bytes.slice(8, 8 + bytes[0]! + 256 * bytes[1]!)),
  );
  for (const [name, size] of [["wide", 8], ["one", 4], ["half", 2]] as const) {
    const at = 8 + bytes[0]! + 256 * bytes[1]! + header[name].data_offsets[0];
    assertEquals(at % size, 0, name);
  }
});

Deno.test("encodeSafetensors() refuses a shape that does not hold its data", () => {
  const x = { data: new Float32Array(3), shape: [2] };
  assertThrows(() => encodeSafetensors({ x }), RangeError, "does not hold 3");
  const wrong = { data: new Int32Array(2), shape: [2], dtype: "F16" as const };
  assertThrows(() => encodeSafetensors({ wrong }), TypeError, "I32 data does not make a F16");
});

Deno.test("readSafetensors() gives back what writeSafetensors() wrote", async () => {
  await using folder = await temporaryFolder();
  const x = { data: new Float32Array([NaN, -0, 1e-45, Infinity]), shape: [2, 2] };
  await writeSafetensors(`${folder.path}/a`, { x }, { note: 'quotes " and \n lines' });
  const { tensors, metadata } = await readSafetensors(`${folder.path}/a`);
  assertEquals(tensors["x"]!.data, x.data);
  assertEquals(metadata["note"], 'quotes " and \n lines');
});
