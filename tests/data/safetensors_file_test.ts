import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { temporaryFolder } from "../_support/images.ts";
import { writeSafetensors } from "../../data/safetensors.ts";
import { SafetensorsFile } from "../../data/safetensors_file.ts";
import { UserError } from "../../runtime/errors.ts";

Deno.test("SafetensorsFile reads rows by ranges and never more", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.safetensors`;
  const data = Float32Array.from({ length: 20000 }, (_, i) => i);
  await writeSafetensors(path, { x: { data, shape: [1000, 20] } });
  await using opened = await SafetensorsFile.open(path);
  const reads = [990, 0, 500].map((start) => opened.readRows("x", { start, rows: 10 }));
  for (const [i, part] of (await Promise.all(reads)).entries()) {
    const start = [990, 0, 500][i]!;
    assertEquals(part.shape, [10, 20]);
    assertEquals([part.data[0], part.data[199]], [20 * start, 20 * start + 199]);
  }
  assertEquals(opened.largestRead, 800);
  await assertRejects(() => opened.readRows("x", { start: 995, rows: 6 }), RangeError);
  assertThrows(() => opened.entry("y"), UserError, 'there is no "y" in it; it has x');
});

Deno.test("SafetensorsFile.open() says why a file cannot be opened", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await assertRejects(() => SafetensorsFile.open(`${path}/no`), UserError, "there is no such file");
  await assertRejects(() => SafetensorsFile.open(path), UserError, "folder");
  await writeSafetensors(`${path}/a`, { x: { data: new Float32Array(100), shape: [100] } });
  await Deno.truncate(`${path}/a`, 200);
  const error = await assertRejects(() => SafetensorsFile.open(`${path}/a`), UserError);
  assert(error.message.includes("the file has 200: it is truncated"), error.message);
});

Deno.test("SafetensorsFile notices a file that shrinks after it was opened", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a`;
  await writeSafetensors(path, { x: { data: new Float32Array(100), shape: [100] } });
  await using opened = await SafetensorsFile.open(path);
  await Deno.truncate(path, 200);
  await assertRejects(() => opened.read("x"), UserError, "cut off");
});
