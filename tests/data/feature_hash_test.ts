import { assertEquals, assertNotEquals } from "@std/assert";
import { f32, i32 } from "../_support/features.ts";
import { temporaryFolder } from "../_support/images.ts";
import { featureHash } from "../../data/feature_hash.ts";
import { memoryFeatures, openFeatures } from "../../data/feature_set.ts";
import { writeSafetensors } from "../../data/safetensors.ts";

Deno.test("featureHash() depends on names, shapes and values only", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  const arrays = { features: f32([3, 2]), labels: i32([1, 2, 3]) };
  await writeSafetensors(path, {
    ...arrays,
    labels: { ...arrays.labels, dtype: "I64" },
  }, { any: "thing" });
  const hash = await featureHash(memoryFeatures(arrays));
  {
    await using set = await openFeatures(path);
    assertEquals(await featureHash(set), hash);
  }
  assertEquals(hash.length, 64);
  const others = [
    { ...arrays, features: f32([3, 2], (i) => i + 1) },
    { ...arrays, features: f32([3, 2], (i) => i === 0 ? -0 : i) },
    { features: arrays.features },
    { ...arrays, feature_norms: f32([3, 1]) },
  ];
  for (const other of others) assertNotEquals(await featureHash(memoryFeatures(other)), hash);
});
