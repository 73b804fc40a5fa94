import { assert, assertEquals, assertThrows } from "@std/assert";
import { f32, i32 } from "../_support/features.ts";
import { assertFinite, requireCompatible } from "../../data/feature_checks.ts";
import { type HostArray, memoryFeatures } from "../../data/feature_set.ts";
import { UserError } from "../../runtime/errors.ts";

Deno.test("assertFinite() accepts every finite number", () => {
  assertFinite(f32([2, 2], (i) => [3.4e38, -3.4e38, 1e-45, 0][i]!), "x");
  assertThrows(() => assertFinite(f32([2, 1], (i) => i / 0), "x"), UserError, "a NaN in row 0");
});

Deno.test("requireCompatible() compares channels, classes and models by file", () => {
  const options = (path: string, hash: string) => ({ path, metadata: { model_hash: hash } });
  const train = memoryFeatures(
    { features: f32([3, 4]), "head.weight": f32([2, 4]) },
    options("t", "1"),
  );
  const same = memoryFeatures({ features: f32([9, 4]), logits: f32([9, 2]) }, options("s", "1"));
  const labelsOnly = memoryFeatures({ labels: i32([1]) }, { path: "l" });
  requireCompatible(train, [same, labelsOnly]);
  const message = (arrays: Record<string, HostArray>, hash = "1") =>
    assertThrows(
      () => requireCompatible(train, [memoryFeatures(arrays, options("o", hash))]),
      UserError,
    ).message;
  assertEquals(
    message({ features: f32([3, 5]) }),
    'Cannot use "o" with "t": it has 5 channels and "t" has 4',
  );
  assertEquals(
    message({ logits: f32([3, 7]) }),
    'Cannot use "o" with "t": it has 7 classes and "t" has 2',
  );
  assert(message({ features: f32([3, 4]) }, "2").includes("different models"));
});
