import { assertEquals, assertThrows } from "@std/assert";
import { Host } from "../../runtime/mod.ts";

Deno.test("upload() on the host copies, and read() copies again", async () => {
  using host = new Host();
  const source = new Float32Array([1, 2]);
  const x = host.upload(source, [2]);
  source[0] = 9;
  const [values] = await host.read(x);
  values![1] = 9;
  assertEquals([...x.data], [1, 2]);
});

Deno.test("upload() refuses data that do not fill the shape", () => {
  using host = new Host();
  assertThrows(() => host.upload(new Float32Array(3), [2, 2]), RangeError, "4 elements");
});

Deno.test("reshape() shares the elements and refuses another number of them", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([1, 2, 3, 4]), [4]);
  assertEquals(x.reshape([2, 2]).shape, [2, 2]);
  assertThrows(() => x.reshape([3]), RangeError, "number of elements differs");
});

Deno.test("a scope disposes its tensors at its end and keeps those asked for", () => {
  using host = new Host();
  let kept;
  let lost;
  {
    using scope = host.scope();
    kept = scope.keep(scope.empty([1]));
    lost = scope.empty([1]);
  }
  assertEquals(kept.data.length, 1);
  assertThrows(() => lost.data, ReferenceError, "was disposed");
});
