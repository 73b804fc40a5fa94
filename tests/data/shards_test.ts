import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { checkWhole, OPTIONS, run } from "../_support/feature_run.ts";
import { temporaryFolder } from "../_support/images.ts";
import { openFeatures } from "../../data/feature_set.ts";
import { mergeShards, shardPath, shardRange } from "../../data/shards.ts";
import { UserError } from "../../runtime/errors.ts";

Deno.test("mergeShards() puts the shards of several machines together", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  for (let index = 1; index <= 3; index++) {
    await run(path, { ...OPTIONS, shard: { index, of: 3 } });
  }
  for (const layout of ["single", "shards"] as const) {
    const merged = await mergeShards(path, { of: 3, layout });
    await using set = await openFeatures(merged);
    await checkWhole(set);
  }
  await run(path, { ...OPTIONS, config: { model_hash: "n" }, shard: { index: 2, of: 3 } });
  await assertRejects(() => mergeShards(path, { of: 3 }), UserError, "it is not shard 2/3");
  await Deno.remove(shardPath(path, { index: 3, of: 3 }));
  await run(path, { ...OPTIONS, shard: { index: 2, of: 3 } });
  await assertRejects(() => mergeShards(path, { of: 3 }), UserError, "there is no such file");
  await assertRejects(() => mergeShards(path, { of: 0 }), RangeError, "at least 1");
});

Deno.test("shardRange() covers every image once", () => {
  for (const [count, of] of [[10, 3], [3, 3], [7, 1], [100, 7]] as const) {
    let next = 0;
    for (let index = 1; index <= of; index++) {
      const { start, end } = shardRange(count, { index, of });
      assertEquals(start, next);
      next = end;
    }
    assertEquals(next, count);
  }
  assertThrows(() => shardRange(5, { index: 3, of: 2 }), UserError, "shard 3/2");
});
