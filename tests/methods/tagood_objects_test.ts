import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { memoryFeatures } from "../../data/mod.ts";
import {
  classMeans,
  cosineScores,
  meanTokens,
  tagBaselines,
  wholeFeatures,
} from "../../methods/tagood/baselines.ts";
import { objectRecord } from "../../methods/tagood/features.ts";
import { loadObjects, type ObjectSet, packObjects } from "../../methods/tagood/objects.ts";
import { UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { drawObjects, objectFeatures, WIDTH } from "./_objects.ts";

const COUNTS = [2, 0, 3, 1, 0, 4];

/** All rows of a set's tokens. */
function rowsOf({ tokens, width }: ObjectSet, rows: readonly number[]): number[] {
  const packed = new Float32Array(rows.length * width);
  tokens.gather(Float64Array.from(rows), new Uint8Array(packed.buffer));
  return [...packed];
}

Deno.test("loadObjects() keeps every image, or those with tokens, in memory or in a file", async () => {
  using all = await drawObjects({ counts: COUNTS });
  assertEquals([...all.offsets], [0, 2, 2, 5, 6, 6, 10]);
  assertEquals([...all.labels], [0, 1, 2, 0, 1, 2]);
  assertEquals([all.count, all.width, all.head], [6, WIDTH, undefined]);
  const set = objectFeatures({ counts: COUNTS });
  const rows = Array.from({ length: 10 }, (_, row) => row);
  for (const memoryBytes of [1 << 20, 16]) {
    using tagged = await loadObjects(set, { onlyTagged: true, memoryBytes });
    assertEquals([...tagged.counts], [2, 3, 1, 4]);
    assertEquals([...tagged.labels], [0, 2, 0, 2]);
    assertEquals(tagged.names, ["0.png", "2.png", "3.png", "5.png"]);
    assertEquals([...tagged.offsets], [0, 2, 5, 6, 10]);
    assertEquals(rowsOf(tagged, rows), rowsOf(all, rows));
  }
});

Deno.test("loadObjects() refuses other files, and stops when it is told to", async () => {
  const tokens = memoryFeatures({ tokens: { data: new Float32Array(6), shape: [1, 2, 3] } }, {
    path: "f.safetensors",
  });
  const error = await assertRejects(() => loadObjects(tokens), UserError);
  assertEquals(
    error.message,
    'Cannot use "f.safetensors": it has no "object_tokens"; a file from ood tagood features was ' +
      "expected",
  );
  const signal = AbortSignal.abort();
  await assertRejects(
    () => loadObjects(objectFeatures({ counts: COUNTS }), { signal }),
    DOMException,
  );
});

Deno.test("packObjects() puts tokens of any images one behind the other, zeros behind them", async () => {
  using objects = await drawObjects({ counts: COUNTS });
  const { tokens, offsets } = packObjects(objects, [5, 1, 0], { capacity: 8, images: 4 });
  assertEquals([...offsets], [0, 4, 4, 6, 6]);
  assertEquals([...tokens.subarray(0, 6 * WIDTH)], rowsOf(objects, [6, 7, 8, 9, 0, 1]));
  assertEquals([...tokens.subarray(6 * WIDTH)], Array(2 * WIDTH).fill(0));
});

Deno.test("objectRecord() names what a file does not say", () => {
  const good = {
    ...{ kind: "tagger", tau: 0.5, untagged: "none", oneTag: false, tags: [1], thresholds: [0] },
    inputs: { tokens: [2, 3], "tag_logits": [4], attention: [4, 2] },
  };
  const recordOf = (objects?: string) =>
    objectRecord({
      path: "o.safetensors",
      metadata: objects === undefined ? {} : { objects },
    });
  assertEquals(recordOf(JSON.stringify(good)) as unknown, good);
  const refuses = (why: string, objects?: string) =>
    assertEquals(
      assertThrows(() => recordOf(objects), UserError).message,
      `Cannot use "o.safetensors": ${why}`,
    );
  refuses(
    "it does not say how its tokens were chosen; a file from ood tagood features was expected",
  );
  refuses('"objects" of its metadata is no JSON text', "{");
  for (
    const bad of [
      ...[null, 5, [], {}, { ...good, kind: "owl" }, { ...good, tags: [1, 2] }],
      ...[{ ...good, thresholds: ["0"] }, { ...good, inputs: { tokens: [2, 3] } }],
    ]
  ) refuses('"objects" of its metadata is damaged', JSON.stringify(bad));
});

gpuTest("means of tokens and cosines to classes are those by hand", async ({ gpu, host }) => {
  // More than one batch of images.
  const counts = Array.from({ length: 300 }, (_, i) => i % 4);
  using objects = await drawObjects({ counts });
  const { tokens } = packObjects(objects, counts.keys().toArray(), {
    capacity: 450,
    images: 300,
  });
  const expected = new Float64Array(300 * WIDTH);
  counts.forEach((count, n) => {
    for (let at = 0; at < count * WIDTH; at++) {
      expected[n * WIDTH + at % WIDTH]! += tokens[objects.offsets[n]! * WIDTH + at]! / count;
    }
  });
  const labels = counts.map((_, n) => n % 7 === 0 ? -1 : n % 3);
  for (const ctx of [host, gpu]) {
    const means = await meanTokens(ctx, objects);
    assertClose(means, expected, TOLERANCE.kernel, `means on ${ctx.kind}`);
    const centres = classMeans(means, { labels, classes: 4 });
    assertEquals([...centres.subarray(3 * WIDTH)], Array(WIDTH).fill(0));
    const [c0] = [0, 1, 2].map((label) => {
      const own = labels.flatMap((of, n) => of === label ? [n] : []);
      return own.reduce((sum, n) => sum + means[n * WIDTH]!, 0) / own.length;
    });
    assertClose([centres[0]!], [c0!], TOLERANCE.kernel, "class mean");
    const images = { features: means, counts: objects.counts };
    const scores = await cosineScores(ctx, images, centres.slice(0, 3 * WIDTH));
    const cosines = counts.map((count, n) => {
      if (count === 0) return -1;
      const row = means.subarray(n * WIDTH, (n + 1) * WIDTH);
      return Math.max(...[0, 1, 2].map((k) => {
        const centre = centres.subarray(k * WIDTH, (k + 1) * WIDTH);
        const product = row.reduce((sum, value, i) => sum + value * centre[i]!, 0);
        return product / Math.hypot(...row) / Math.hypot(...centre);
      }));
    });
    assertClose(scores, cosines, TOLERANCE.kernel, `cosines on ${ctx.kind}`);
  }
});

Deno.test("tagBaselines() and wholeFeatures() look at the columns and places that count", async () => {
  const set = memoryFeatures({
    "tag_logits": { data: new Float32Array([0, 50, Math.log(3), 1000, 0, 1000]), shape: [2, 3] },
    tokens: { data: new Float32Array([1, 2, 3, 6, 0, 0, 4, -4]), shape: [2, 2, 2] },
  }, { path: "set" });
  const { msp, energy } = await tagBaselines(set, { key: "tag_logits", columns: [0, 2] });
  assertClose(msp, [0.75, 0.5], TOLERANCE.kernel, "msp");
  assertClose(energy, [Math.log(4), 1000 + Math.log(2)], TOLERANCE.kernel, "energy");
  assertEquals([...await wholeFeatures(set, "tagger")], [2, 4, 2, -2]);
  const map = memoryFeatures({
    "feature_map": { data: new Float32Array([1, 3, 2, 6]), shape: [1, 2, 1, 2] },
  });
  assertEquals([...await wholeFeatures(map, "cam")], [2, 4]);
  await assertRejects(
    () => tagBaselines(set, { key: "logits", columns: [0] }),
    UserError,
    'Cannot compare with "set": it has no "logits"',
  );
});
