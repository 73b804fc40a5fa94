import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { extract, OPTIONS } from "../_support/feature_run.ts";
import { f32, i32 } from "../_support/features.ts";
import { temporaryFolder, writeTree } from "../_support/images.ts";
import { requireCompatible } from "../../data/feature_checks.ts";
import { featureHash } from "../../data/feature_hash.ts";
import {
  type FeatureSet,
  type HostArray,
  memoryFeatures,
  openFeatures,
} from "../../data/feature_set.ts";
import { FeatureWriter } from "../../data/feature_writer.ts";
import { raggedOffsets } from "../../data/ragged.ts";
import { writeSafetensors } from "../../data/safetensors.ts";
import { SafetensorsFile } from "../../data/safetensors_file.ts";
import { SafetensorsWriter } from "../../data/safetensors_writer.ts";
import { mergeShards, shardPath } from "../../data/shards.ts";
import { UserError } from "../../runtime/errors.ts";

const COUNTS = [2, 0, 3, 0, 1];

/** Five images with 2, 0, 3, 0 and 1 tokens of two channels. */
function objects(): Record<string, HostArray> {
  return { object_tokens: f32([6, 2]), object_counts: i32(COUNTS) };
}

async function collect(set: FeatureSet, rows: number): Promise<[number[], number[]][]> {
  const out: [number[], number[]][] = [];
  for await (const batch of set.batches(["object_counts", "object_tokens"], { rows })) {
    const tokens = batch.get("object_tokens");
    assertEquals(tokens.shape, [tokens.data.length / 2, 2]);
    out.push([[...batch.get("object_counts").data], [...tokens.data]]);
  }
  return out;
}

const IN_TWOS: [number[], number[]][] = [
  [[2, 0], [0, 1, 2, 3]],
  [[3, 0], [4, 5, 6, 7, 8, 9]],
  [[1], [10, 11]],
];

Deno.test("raggedOffsets() refuses counts that are none, and sums that do not fit", () => {
  assertEquals([...raggedOffsets(new Int32Array(0))], [0]);
  assertThrows(() => raggedOffsets(new Int32Array([1, -1])), RangeError, "image 1");
  const most = 2 ** 31 - 1;
  assertThrows(() => raggedOffsets(new Int32Array([most, 1])), RangeError, `most ${most}`);
});

Deno.test("FeatureSet.batches() gives the packed rows of just its images", async () => {
  const set = memoryFeatures(objects());
  assertEquals([set.count, set.shape("object_tokens")], [5, [6, 2]]);
  assertEquals(await collect(set, 2), IN_TWOS);
  assertEquals(await collect(set, 9), [[COUNTS, [...f32([6, 2]).data]]]);
  assertEquals((await set.read("object_tokens")).shape, [6, 2]);
  for await (const batch of set.batches(["object_tokens"], { rows: 5 })) {
    batch.get("object_tokens").data.fill(-1);
  }
  assertEquals((await set.read("object_tokens")).data[3], 3);
});

Deno.test("openFeatures() reads ragged arrays that another program wrote", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  await writeSafetensors(path, {
    object_tokens: { ...f32([6, 2]), dtype: "F16" },
    object_counts: { data: new Int32Array(COUNTS), shape: [5], dtype: "I64" },
    tag_count: { data: new Uint8Array([1, 0, 2, 0, 1]), shape: [5] },
    tag_score: f32([5], (i) => i / 8),
  });
  await using set = await openFeatures(path);
  assertEquals(await collect(set, 2), IN_TWOS);
  assertEquals((await set.read("tag_count")).data, new Int32Array([1, 0, 2, 0, 1]));
  assertEquals(
    await featureHash(set),
    await featureHash(memoryFeatures({
      ...objects(),
      tag_count: i32([1, 0, 2, 0, 1]),
      tag_score: f32([5], (i) => i / 8),
    })),
  );
});

Deno.test("FeatureSet streams ragged rows in bounded reads", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  const images = 4000;
  {
    await using writer = await SafetensorsWriter.open(path, {
      object_tokens: { dtype: "F32", shape: [3 * images, 32] },
      object_counts: { dtype: "I32", shape: [images] },
    });
    await writer.append("object_counts", new Int32Array(images).fill(3));
    for (let n = 0; n < images; n += 500) {
      await writer.append("object_tokens", new Float32Array(500 * 3 * 32).fill(n));
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
    for await (const batch of set.batches(["object_tokens"], { rows: 100 })) {
      const { data, shape } = batch.get("object_tokens");
      assertEquals(shape, [300, 32]);
      assertEquals(data[0], Math.floor(batch.start / 500) * 500);
    }
    assertEquals(opened[0]!.largestRead, 300 * 32 * 4);
  } finally {
    SafetensorsFile.open = original;
  }
});

Deno.test("openFeatures() reads ragged arrays over shards, some of them without a row", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const write = (name: string, counts: number[], from: number) => {
    const rows = counts.reduce((a, b) => a + b, 0);
    const tokens = f32([rows, 2], (i) => 2 * from + i);
    return writeSafetensors(`${path}/${name}`, {
      object_tokens: tokens,
      object_counts: i32(counts),
    });
  };
  await write("a", [2], 0);
  await write("b", [0], 2);
  await write("c", [3, 0, 1], 2);
  const shards = [{ file: "a", rows: 1 }, { file: "b", rows: 1 }, { file: "c", rows: 3 }];
  await writeTree(path, { "f.index.json": JSON.stringify({ shards }) });
  {
    await using set = await openFeatures(`${path}/f.index.json`);
    assertEquals(set.shape("object_tokens"), [6, 2]);
    for (const rows of [1, 2, 3, 5]) {
      assertEquals(await collect(set, rows), await collect(memoryFeatures(objects()), rows));
    }
    assertEquals((await set.read("object_tokens")).data, f32([6, 2]).data);
    assertEquals(await featureHash(set), await featureHash(memoryFeatures(objects())));
  }
  await writeSafetensors(`${path}/b`, { object_tokens: f32([1, 3]), object_counts: i32([1]) });
  await assertRejects(
    () => openFeatures(`${path}/f.index.json`),
    UserError,
    'its shards disagree about "object_tokens"',
  );
});

Deno.test("openFeatures() reads a set in which no image has a row", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  const names = ["a", "b"];
  {
    await using writer = await FeatureWriter.open(path, { names, config: {}, partImages: 1 });
    for (let i = 0; i < 2; i++) {
      await writer.append({
        images: 1,
        arrays: { object_tokens: f32([0, 4]), object_counts: i32([0]) },
      });
    }
    await writer.finish();
  }
  await using set = await openFeatures(path);
  assertEquals(set.shape("object_tokens"), [0, 4]);
  assertEquals((await set.read("object_tokens")).shape, [0, 4]);
  for await (const batch of set.batches(["object_tokens"], { rows: 1 })) {
    assertEquals(batch.get("object_tokens").shape, [0, 4]);
  }
  assertEquals((await featureHash(set)).length, 64);
});

Deno.test("openFeatures() and memoryFeatures() refuse counts that do not fit", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  const refuses = async (arrays: Record<string, HostArray>, why: string) => {
    const message = `Cannot use "${path}": ${why}`;
    const inMemory = () => memoryFeatures({ ...objects(), ...arrays }, { path });
    assertEquals(assertThrows(inMemory, UserError).message, message);
    await writeSafetensors(path, { ...objects(), ...arrays });
    assertEquals((await assertRejects(() => openFeatures(path), UserError)).message, message);
  };
  await refuses(
    { object_tokens: f32([7, 2]) },
    '"object_counts" counts 6 rows and "object_tokens" has 7',
  );
  await refuses({ object_counts: i32([7, -1, 0, 0, 0]) }, '"object_counts" has -1 in row 1');
  await refuses(
    { object_counts: f32([2], () => 2.5) },
    '"object_counts" has 2.5 in row 0, and a whole number that fits 32 bits was expected',
  );
  await refuses(
    { labels: i32([1, 2]) },
    '"labels" has 2 rows and "object_counts" has 5',
  );
  await refuses(
    { tokens: f32([5, 9, 3]) },
    '"tokens" has 3 token channels and "object_tokens" has 2',
  );
  assertThrows(
    () => memoryFeatures({ object_tokens: f32([6, 2]) }, { path }),
    UserError,
    'it has "object_tokens" and no "object_counts", which says how many of its rows each image has',
  );
});

Deno.test("FeatureSet.batches() refuses a NaN in a ragged array with the image", async () => {
  const arrays = objects();
  arrays["object_tokens"]!.data[9] = NaN;
  const names = ["a", "b", "c.jpg", "d", "e"];
  const set = memoryFeatures(arrays, { path: "x", names });
  for (const rows of [1, 2, 5]) {
    assertEquals(
      (await assertRejects(() => collect(set, rows), UserError)).message,
      'Cannot use "x": "object_tokens" has a NaN in a row of image 2 ("c.jpg")',
    );
  }
});

Deno.test("requireCompatible() compares the channels of tokens", () => {
  const train = memoryFeatures(objects(), { path: "t" });
  const whole = memoryFeatures({ tokens: f32([1, 7, 3]) }, { path: "o" });
  assertThrows(
    () => requireCompatible(train, [whole]),
    UserError,
    'Cannot use "o" with "t": it has 3 token channels and "t" has 2',
  );
});

Deno.test("FeatureWriter.append() refuses ragged rows that do not fit their counts", async () => {
  await using folder = await temporaryFolder();
  const options = { names: ["a", "b", "c"], config: {} };
  await using writer = await FeatureWriter.open(`${folder.path}/f`, options);
  const refuses = (arrays: Record<string, HostArray>, why: string) =>
    assertRejects(() => writer.append({ images: 2, arrays }), TypeError, why);
  const tokens = f32([3, 2]);
  await refuses({ object_tokens: tokens }, 'needs "object_counts" beside it');
  await refuses({ object_tokens: tokens, object_counts: i32([3]) }, "2 rows were expected");
  await refuses({ object_tokens: tokens, object_counts: i32([3, 1]) }, "counts 4 rows");
  await refuses({ object_tokens: tokens, object_counts: i32([4, -1]) }, "has -1 in row 1");
  await writer.append({ images: 2, arrays: { object_tokens: tokens, object_counts: i32([3, 0]) } });
  await assertRejects(
    () =>
      writer.append({ images: 1, arrays: { object_tokens: f32([1, 3]), object_counts: i32([1]) } }),
    TypeError,
    "rows of [3], and [2] was expected",
  );
});

/** Makes the first count of a file another one. */
async function spoil(path: string): Promise<void> {
  await using file = await SafetensorsFile.open(path);
  const { offset } = file.entry("object_counts");
  const bytes = await Deno.readFile(path);
  bytes[offset]! ^= 1;
  await Deno.writeFile(path, bytes);
}

Deno.test("FeatureWriter drops a part whose counts do not add up", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f`;
  {
    await using writer = await FeatureWriter.open(path, OPTIONS);
    await extract(writer, 18);
  }
  await spoil(`${path}.parts/part-0000000006-0000000012.safetensors`);
  await using writer = await FeatureWriter.open(path, { ...OPTIONS, resume: true });
  assertEquals(writer.position, 6);
});

Deno.test("mergeShards() refuses a shard whose counts do not add up", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  for (const index of [1, 2]) {
    await using writer = await FeatureWriter.open(path, { ...OPTIONS, shard: { index, of: 2 } });
    await extract(writer, writer.end);
    await writer.finish();
  }
  await spoil(shardPath(path, { index: 2, of: 2 }));
  const error = await assertRejects(() => mergeShards(path, { of: 2 }), UserError);
  assert(error.message.includes('-00002-of-00002.safetensors": "object_counts" counts'));
});
