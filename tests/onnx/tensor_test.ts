import { assertEquals, assertThrows } from "@std/assert";
import { makeTensor, readTensor } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/errors.ts";

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
