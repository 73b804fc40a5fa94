import { assertEquals, assertRejects } from "@std/assert";
import { temporaryFolder } from "../_support/images.ts";
import { writeSafetensors } from "../../data/safetensors.ts";
import { SafetensorsWriter } from "../../data/safetensors_writer.ts";

Deno.test("SafetensorsWriter makes the same bytes as one write, in any interleaving", async () => {
  await using folder = await temporaryFolder();
  const x = { data: Float32Array.from({ length: 12 }, (_, i) => i / 2), shape: [4, 3] };
  const labels = { data: new Int32Array([3, 2, 1, 0]), shape: [4] };
  await writeSafetensors(`${folder.path}/a`, { x: { ...x, dtype: "F16" }, labels }, { k: "v" });
  {
    await using writer = await SafetensorsWriter.open(`${folder.path}/b`, {
      labels: { dtype: "I32", shape: [4] },
      x: { dtype: "F16", shape: [4, 3] },
    }, { k: "v" });
    await writer.append("labels", labels.data.subarray(0, 3) as Int32Array<ArrayBuffer>);
    const writes = [0, 1, 2, 3].map((row) =>
      writer.append("x", x.data.slice(3 * row, 3 * row + 3))
    );
    await writer.append("labels", labels.data.slice(3));
    await Promise.all(writes);
    await writer.finish();
  }
  const [a, b] = await Promise.all(
    ["a", "b"].map((name) => Deno.readFile(`${folder.path}/${name}`)),
  );
  assertEquals(a, b);
});

Deno.test("SafetensorsWriter refuses too much, too little and the undeclared, and leaves no file", async () => {
  await using folder = await temporaryFolder();
  {
    await using writer = await SafetensorsWriter.open(`${folder.path}/a`, {
      x: { dtype: "F32", shape: [2, 2] },
    });
    await writer.append("x", new Float32Array(2));
    await assertRejects(() => writer.append("x", new Float32Array(3)), RangeError, "holds 4");
    await assertRejects(() => writer.append("y", new Float32Array(1)), TypeError, "not declared");
    await assertRejects(() => writer.append("x", new Int32Array(2)), TypeError, "I32 data");
    await assertRejects(() => writer.finish(), RangeError, "of 4 elements");
  }
  assertEquals(await Array.fromAsync(Deno.readDir(folder.path)), []);
});
