import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { f32, i32 } from "../_support/features.ts";
import { temporaryFolder, writeTree } from "../_support/images.ts";
import { featureHash } from "../../data/feature_hash.ts";
import {
  type FeatureSet,
  type HostArray,
  memoryFeatures,
  openFeatures,
} from "../../data/feature_set.ts";
import { writeSafetensors } from "../../data/safetensors.ts";
import { SafetensorsFile } from "../../data/safetensors_file.ts";
import { SafetensorsWriter } from "../../data/safetensors_writer.ts";
import { UserError } from "../../runtime/errors.ts";

async function collect(set: FeatureSet, key: string, rows: number): Promise<number[][]> {
  const out: number[][] = [];
  for await (const batch of set.batches([key], { rows })) {
    assertEquals(batch.get(key).shape[0], batch.rows);
    out.push([batch.start, ...batch.get(key).data]);
  }
  return out;
}

/** The message of what opening arrays as a file says. */
function refusal(arrays: Record<string, HostArray>): string {
  return assertThrows(() => memoryFeatures(arrays, { path: "x" }), UserError).message;
}

Deno.test("openFeatures() reads a file that another program wrote", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  await writeSafetensors(path, {
    features: { data: new Float64Array([1, 2, 3, 4]), shape: [2, 2] },
    labels: { data: new Int32Array([1, -1]), shape: [2], dtype: "I64" },
    feature_map: { ...f32([2, 1, 1, 1]), dtype: "F16" },
    logit_scale: { data: new Float32Array([100]), shape: [] },
  }, { names: '["a","b"]' });
  await using set = await openFeatures(path);
  assertEquals(set.count, 2);
  assertEquals(set.names, ["a", "b"]);
  assert(set.has("labels") && !set.has("logits"));
  assertEquals((await set.read("features")).data, new Float32Array([1, 2, 3, 4]));
  assertEquals((await set.read("labels")).data, new Int32Array([1, -1]));
  assertEquals((await set.read("feature_map")).data, new Float32Array([0, 1]));
  assertEquals((await set.read("logit_scale")).data, new Float32Array([100]));
});

Deno.test("FeatureSet.batches() streams the rows in order, the last batch shorter", async () => {
  const set = memoryFeatures({ features: f32([5, 2]), labels: i32([0, 1, 2, 3, 4]) });
  assertEquals(await collect(set, "features", 2), [[0, 0, 1, 2, 3], [2, 4, 5, 6, 7], [4, 8, 9]]);
  assertEquals(await collect(set, "labels", 10), [[0, 0, 1, 2, 3, 4]]);
  await assertRejects(() => collect(set, "features", 0), RangeError);
});

Deno.test("FeatureSet.batches() gives copies, and only what was asked for", async () => {
  const features = f32([2, 2]);
  const set = memoryFeatures({ features, labels: i32([0, 1]) });
  for await (const batch of set.batches(["features"], { rows: 2 })) {
    batch.get("features").data.fill(-1);
    assertThrows(() => batch.get("labels"), TypeError, "asked for features");
  }
  assertEquals([...features.data], [0, 1, 2, 3]);
});

Deno.test("FeatureSet.batches() can be left early", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  const data = new Float32Array(100).fill(1);
  data[90] = NaN;
  await writeSafetensors(path, { features: { data, shape: [100, 1] } });
  await using set = await openFeatures(path);
  for await (const _ of set.batches(["features"], { rows: 80 })) break;
});

Deno.test("openFeatures() streams a large file in bounded reads", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  const rows = 20000;
  {
    await using writer = await SafetensorsWriter.open(path, {
      features: { dtype: "F32", shape: [rows, 64] },
      labels: { dtype: "I32", shape: [rows] },
    });
    for (let start = 0; start < rows; start += 1000) {
      await writer.append("features", new Float32Array(64000).fill(start));
      await writer.append("labels", new Int32Array(1000).fill(start));
    }
    await writer.finish();
  }
  const opened: SafetensorsFile[] = [];
  const original = SafetensorsFile.open;
  SafetensorsFile.open = async (name) => {
    const file = await original(name);
    opened.push(file);
    return file;
  };
  try {
    await using set = await openFeatures(path);
    let seen = 0;
    for await (const batch of set.batches(["features", "labels"], { rows: 512 })) {
      assertEquals(batch.start, seen);
      const block = Math.floor(seen / 1000) * 1000;
      assertEquals(batch.get("features").data[0], block);
      assertEquals(batch.get("labels").data[0], block);
      seen += batch.rows;
    }
    assertEquals(seen, rows);
    assertEquals(opened[0]!.largestRead, 512 * 64 * 4);
  } finally {
    SafetensorsFile.open = original;
  }
});

Deno.test("memoryFeatures() refuses arrays that disagree", () => {
  const features = f32([3, 4]);
  assertEquals(
    refusal({ features, labels: i32([0, 1]) }),
    'Cannot use "x": "features" has 3 rows and "labels" has 2',
  );
  assertEquals(
    refusal({ features, "head.weight": f32([2, 5]) }),
    'Cannot use "x": "features" has 4 channels and "head.weight" has 5',
  );
  assertEquals(
    refusal({ logits: f32([3, 7]), "head.weight": f32([2, 4]) }),
    'Cannot use "x": "logits" has 7 classes and "head.weight" has 2',
  );
  assertEquals(
    refusal({ features: f32([12]) }),
    'Cannot use "x": "features" has shape [12], and [N, C] was expected',
  );
  assertEquals(
    refusal({ image_embed: f32([3, 4]), text_embed: f32([2, 5]) }),
    'Cannot use "x": "image_embed" has 4 embedding channels and "text_embed" has 5',
  );
  assert(refusal({ weights: features }).includes("it has weights, and at least one of features"));
  // A name that every object has is no known array.
  assert(refusal({ constructor: features }).includes("it has constructor, and at least one of"));
  assertThrows(() => memoryFeatures({ features: { ...features, shape: [3, 3] } }), RangeError);
});

Deno.test("memoryFeatures() lets the head, text and scale have other numbers of rows", () => {
  const set = memoryFeatures({
    features: f32([3, 4]),
    logits: f32([3, 2]),
    "head.weight": f32([2, 4]),
    "head.bias": f32([2]),
    image_embed: f32([3, 5]),
    text_embed: f32([9, 5]),
    logit_scale: f32([1]),
    feature_norms: f32([3, 6]),
    feature_map: f32([3, 6, 1, 2]),
  });
  assertEquals(set.count, 3);
  assertEquals(set.shape("text_embed"), [9, 5]);
});

Deno.test("FeatureSet names what it has when a key is missing", async () => {
  const set = memoryFeatures({ features: f32([3, 4]), "head.bias": f32([2]) }, { path: "x" });
  const message = 'Cannot use "x": it has no "logits"; it has features, head.bias';
  assertEquals((await assertRejects(() => set.read("logits"), UserError)).message, message);
  assertEquals(assertThrows(() => set.shape("logits"), UserError).message, message);
  assertEquals((await assertRejects(() => collect(set, "logits", 1), UserError)).message, message);
  await assertRejects(() => collect(set, "head.bias", 1), UserError, "a row for each of the 3");
});

Deno.test("FeatureSet.batches() refuses NaN and infinities with the row and the image", async () => {
  const features = f32([4, 3]);
  features.data[10] = NaN;
  const set = memoryFeatures({ features }, { path: "x", names: ["a", "b", "c", "d.jpg"] });
  assertEquals(
    (await assertRejects(() => collect(set, "features", 2), UserError)).message,
    'Cannot use "x": "features" has a NaN in row 3 ("d.jpg")',
  );
  features.data[1] = -Infinity;
  await assertRejects(() => collect(set, "features", 9), UserError, "an infinity in row 0");
  let rows = 0;
  for await (const batch of set.batches(["features"], { rows: 3, allowNonFinite: true })) {
    rows += batch.rows;
  }
  assertEquals(rows, 4);
});

Deno.test("openFeatures() reads shards behind an index as one set", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const write = (name: string, start: number, rows: number) =>
    writeSafetensors(`${path}/${name}`, {
      features: f32([rows, 2], (i) => 2 * start + i),
      labels: i32(Array.from({ length: rows }, (_, i) => start + i)),
    }, { names: JSON.stringify(Array.from({ length: rows }, (_, i) => `${start + i}.jpg`)) });
  await write("a.safetensors", 0, 3);
  await write("b.safetensors", 3, 4);
  await writeSafetensors(`${path}/head.safetensors`, { "head.weight": f32([5, 2]) });
  const index = {
    metadata: { model_hash: "1", total_size: 99 },
    shards: [{ file: "a.safetensors", rows: 3 }, { file: "b.safetensors", rows: 4 }],
    shared: "head.safetensors",
  };
  const file = `${path}/f.safetensors.index.json`;
  await writeTree(path, { "f.safetensors.index.json": JSON.stringify(index) });
  await using set = await openFeatures(file);
  assertEquals([set.count, set.shape("features"), set.shape("head.weight")], [7, [7, 2], [5, 2]]);
  assertEquals(set.metadata["total_size"], "99");
  assertEquals(set.names?.at(4), "4.jpg");
  // A batch across the border of two shards.
  assertEquals(await collect(set, "labels", 5), [[0, 0, 1, 2, 3, 4], [5, 5, 6]]);
  assertEquals([...(await set.read("features")).data], [...f32([7, 2]).data]);
  const whole = memoryFeatures({
    features: f32([7, 2]),
    labels: i32([0, 1, 2, 3, 4, 5, 6]),
    "head.weight": f32([5, 2]),
  });
  assertEquals(await featureHash(set), await featureHash(whole));

  {
    await using byFile = await openFeatures(`${path}/f.safetensors`);
    assertEquals([byFile.path, byFile.count], [file, 7]);
  }

  const refuses = async (change: unknown, part: string) => {
    await Deno.writeTextFile(file, typeof change === "string" ? change : JSON.stringify(change));
    await assertRejects(() => openFeatures(file), UserError, part);
  };
  await refuses("nonsense", "no JSON");
  await refuses({ weight_map: {} }, 'no list of "shards"');
  await refuses({ shards: [{ file: "a.safetensors" }] }, "rows");
  await refuses({ shards: [{ file: "a.safetensors", rows: 4 }] }, "has 4 rows, and it has 3");
  await refuses({ shards: [{ file: "c.safetensors", rows: 4 }] }, "no such file");
  await writeSafetensors(`${path}/c.safetensors`, { features: f32([2, 3]), labels: i32([0, 1]) });
  await refuses(
    { shards: [{ file: "a.safetensors", rows: 3 }, { file: "c.safetensors", rows: 2 }] },
    'its shards disagree about "features"',
  );
  await writeSafetensors(`${path}/d.safetensors`, { features: f32([2, 2]) });
  await refuses(
    { shards: [{ file: "a.safetensors", rows: 3 }, { file: "d.safetensors", rows: 2 }] },
    "lacks it",
  );
});

Deno.test("FeatureSet.read() refuses labels that are no whole numbers", async () => {
  const set = memoryFeatures({ labels: f32([2], (i) => i / 2) }, { path: "x" });
  await assertRejects(() => set.read("labels"), UserError, "has 0.5 in row 1");
  const whole = memoryFeatures({ labels: f32([2]) });
  assertEquals((await whole.read("labels")).data, new Int32Array([0, 1]));
});
