import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { openFeatures } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import {
  extractFeatures,
  type ExtractionOptions,
  inspect,
  type Sidecar,
  writeModel,
} from "../../onnx/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { resnetLike } from "./_models.ts";
import {
  contents,
  expected,
  IMAGES,
  SMALL,
  tagger,
  TAGGER_SIDECAR,
  TAGGER_SPEC,
  workshop,
} from "./_taggers.ts";

Deno.test("inspect() takes a tagger's values from the sidecar, and no classifier for granted", () => {
  const found = inspect(tagger({ heads: true }), { sidecar: TAGGER_SIDECAR });
  assertEquals(found.tokens?.shape, ["N", 4, 6]);
  assertEquals(found.tagLogits?.shape, ["N", 5]);
  assertEquals(found.attention?.shape, ["N", 2, 5, 4]);
  assertEquals(found.tags?.[4], "sea");
  assertEquals(found.tagThresholds, [0.4, 0.5, 0.6, 0.7, 0.8]);
  assertEquals([found.logits, found.head, found.features], [undefined, undefined, undefined]);
  assert(found.reasons.logits?.startsWith("the model is a tagger"), found.reasons.logits);

  const plain = inspect(resnetLike());
  assertEquals([plain.tags, plain.reasons.attention], [undefined, undefined]);
  // One that is both says so.
  const both = inspect(resnetLike(), {
    sidecar: { labels: ["a", "b", "c", "d"], outputs: { "tag_logits": "logits" } },
  });
  assertEquals([both.head?.kind, both.tagLogits?.shape], ["gemm", ["N", 4]]);
});

Deno.test("inspect() says what a tagger lacks", () => {
  const { reasons } = inspect(tagger(), { sidecar: { tags: TAGGER_SIDECAR.tags! } });
  assertEquals(
    reasons.attention,
    'the sidecar names no "attention", by which objects are told from the rest of an image; name ' +
      "the weights of its last cross-attention, [N, M, T] or [N, H, M, T], in the sidecar " +
      '("outputs": {"attention": …})',
  );
  assert(reasons.tokens?.startsWith('the sidecar names no "tokens"'), reasons.tokens);
  assert(reasons.tagLogits?.startsWith('the sidecar names no "tag_logits"'), reasons.tagLogits);
});

Deno.test("inspect() refuses lists and shapes of a tagger that do not fit", () => {
  const refuses = (change: Partial<Sidecar>, why: string, heads = false) =>
    assertEquals(
      assertThrows(
        () => inspect(tagger({ heads }), { sidecar: { ...TAGGER_SIDECAR, ...change } }),
        UserError,
      ).message,
      `Cannot use the sidecar of "tagger": ${why}`,
    );
  const outputs = TAGGER_SIDECAR.outputs!;
  refuses({ tags: ["cat"] }, '1 tags are listed and "tag_logits" [N, 5] has 5');
  refuses({ "tag_thresholds": [0.5] }, '1 tag thresholds are listed and "tag_logits" [N, 5] has 5');
  refuses(
    { tags: ["cat"], outputs: { attention: "attention" } },
    '1 tags are listed and "attention" [N, 2, 5, 4] has 5',
    true,
  );
  refuses(
    { outputs: { ...outputs, tokens: "fewer" } },
    '"attention" [N, 5, 4] looks at 4 tokens and "tokens" [N, 3, 6] has 3',
  );
  refuses(
    { outputs: { tokens: "tokens", attention: "fewer", "tag_logits": "scores" } },
    '"attention" [N, 3, 6] looks at 6 tokens and "tokens" [N, 4, 6] has 4',
  );
  refuses(
    { outputs: { attention: "fewer", "tag_logits": "scores" } },
    '"attention" [N, 3, 6] is that of 3 tags and "tag_logits" [N, 5] has 5',
  );
  refuses({ outputs: { ...outputs, tokens: "scores" } }, '"tokens" [N, 5] is no [N, T, E]');
  refuses(
    { outputs: { ...outputs, "tag_logits": "tokens" } },
    '"tag_logits" [N, 4, 6] is no [N, M]',
  );
  refuses(
    { outputs: { ...outputs, attention: "scores" } },
    '"attention" [N, 5] is no [N, M, T] or [N, H, M, T]',
  );
});

gpuTest(
  "extractFeatures() stores what a tagger gives, attention summed over heads",
  async ({ gpu }) => {
    for (const heads of [false, true]) {
      const model = tagger({ heads });
      await using shop = await workshop(model);
      const summary = await extractFeatures({ ...shop, ...SMALL });
      assertEquals(summary.keys, ["tokens", "tag_logits", "attention", "labels"]);
      const { tokens, scores, attention } = await expected(model);
      const file = await contents(shop.out, summary.keys);
      assertEquals(file["tokens"], tokens);
      assertEquals(file["tag_logits"], scores);
      assertEquals(file["attention"]!.shape, [IMAGES, 5, 4]);
      const sum = Float32Array.from({ length: IMAGES * 20 }, (_, i) => {
        if (!heads) return attention!.data[i]!;
        const at = Math.floor(i / 20) * 40 + i % 20;
        return attention!.data[at]! + attention!.data[at + 20]!;
      });
      assertEquals(file["attention"]!.data, sum);
      // The folders' numbers are the labels: a tagger has no classes to differ from.
      assertEquals([...file["labels"]!.data], [...Array(6).fill(0), ...Array(5).fill(1)]);
      {
        await using set = await openFeatures(shop.out);
        assertEquals(JSON.parse(set.metadata["tag_names"]!), TAGGER_SIDECAR.tags);
        assertEquals(JSON.parse(set.metadata["tag_thresholds"]!), TAGGER_SIDECAR.tag_thresholds);
        assertEquals(JSON.parse(set.metadata["label_names"]!), ["a", "b"]);
      }

      const onGpu = { ...shop, device: "webgpu", gpu: gpu.gpu, workers: 0, batch: 4 } as const;
      const out = `${shop.path}/gpu.safetensors`;
      await extractFeatures({ ...onGpu, out });
      const other = await contents(out, summary.keys);
      for (const key of summary.keys) {
        assertEquals(other[key]!.shape, file[key]!.shape);
        assertClose(other[key]!.data, file[key]!.data, TOLERANCE.provider, key);
      }
    }
  },
);

Deno.test("extractFeatures() finds that a tagger's values do not fit when they are there", async () => {
  await using shop = await workshop(tagger({ open: true }));
  const refuses = async (sidecar: Partial<Sidecar>, why: string) => {
    const options = { ...shop, ...SMALL, sidecar: { ...TAGGER_SIDECAR, ...sidecar } };
    const error = await assertRejects(() => extractFeatures(options), UserError);
    assertEquals(error.message, `Cannot extract with "model": ${why}`);
  };
  const outputs = TAGGER_SIDECAR.outputs!;
  await refuses(
    { outputs: { ...outputs, tokens: "fewer" } },
    '"attention" [3, 5, 4] looks at 4 tokens and "tokens" [3, 3, 6] has 3',
  );
  await refuses(
    { outputs: { ...outputs, tokens: "lone" } },
    '"tokens" [1, 4, 6] has no row for each of 3 images',
  );
});

Deno.test("extractFeatures() stores the keys that are asked for", async () => {
  await using shop = await workshop();
  const taken = async (options: Partial<ExtractionOptions>) =>
    (await extractFeatures({ ...shop, ...SMALL, ...options })).keys;
  assertEquals(await taken({ keys: ["tokens"] }), ["tokens", "labels"]);
  assertEquals(Object.keys(await contents(shop.out, ["tokens", "labels"])).length, 2);
  // The order is the file's, and what is there anyway may be named.
  assertEquals(await taken({ keys: ["labels", "tag_logits", "tokens"] }), [
    "tokens",
    "tag_logits",
    "labels",
  ]);
  const classifier = { model: writeModel(resnetLike()), sidecar: { preprocessing: TAGGER_SPEC } };
  assertEquals(await taken({ ...classifier, keys: ["feature_norms"] }), [
    "feature_norms",
    "labels",
    "head.weight",
    "head.bias",
  ]);
  const maps = { featureMap: "f16", keys: ["feature_map"] } as const;
  assertEquals((await taken({ ...classifier, ...maps }))[0], "feature_map");

  const refuses = async (options: Partial<ExtractionOptions>, why: string) => {
    const error = await assertRejects(() => taken(options), UserError);
    assert(error.message.includes(why), error.message);
  };
  await refuses(
    { keys: ["token"] },
    'Cannot store "token" of "model": it offers tokens, tag_logits, attention; did you mean "tokens"',
  );
  await refuses(
    { keys: ["labels"] },
    "nothing is asked for; it offers tokens, tag_logits, attention",
  );
  await refuses({ keys: ["logits"] }, 'Cannot store "logits" of "model": the model is a tagger');
  await refuses({ keys: ["odin_logits"] }, "ODIN's settings are not given");
  await refuses({ ...classifier, keys: ["feature_map"] }, "whether as f16 or as f32");
  await refuses({ ...classifier, keys: ["attention"] }, "it offers none; name the weights");
});
