import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type FeatureSet, type HostArray, memoryFeatures, openFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/mod.ts";
import {
  findObjects,
  objectRecord,
  objectReducer,
  type ObjectRule,
  writeObjects,
  type WriteObjectsOptions,
} from "../../methods/tagood/features.ts";
import { taggerKindOf } from "../../methods/tagood/tagger.ts";
import { type Context, Host, UserError } from "../../runtime/mod.ts";
import { temporaryFolder } from "../_support/images.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 5;
const [N, T, E, M] = [11, 6, 4, 5];
const TAGGER = ["tokens", "tag_logits", "attention"];

const RULE: ObjectRule = {
  kind: "tagger",
  tau: 0.5,
  untagged: "none",
  oneTag: false,
  tags: Int32Array.of(1, 3),
  thresholds: Float32Array.of(0.2, -0.1),
  ofClass: [Int32Array.of(0), Int32Array.of(0, 1), Int32Array.of(1)],
};

function floats(stream: number, shape: readonly number[]): HostArray {
  const rng = new Rng(SEED, stream);
  const length = shape.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length }, () => rng.normal()), shape };
}

function taggerSet(labels?: readonly number[]): FeatureSet {
  return memoryFeatures({
    tokens: floats(1, [N, T, E]),
    "tag_logits": floats(2, [N, M]),
    attention: floats(3, [N, M, T]),
    ...(labels === undefined ? {} : { labels: { data: Int32Array.from(labels), shape: [N] } }),
  }, { path: "tagger", metadata: { "model_hash": "abc", "label_names": '["a", "b", "c"]' } });
}

/** The object tokens of a set by hand; an image without a tag takes that of its `own`, if any. */
async function byHand(set: FeatureSet, own?: readonly number[]): Promise<number[][]> {
  const [tokens, logits, attention] = await Promise.all(TAGGER.map((key) => set.read(key)));
  return Array.from({ length: N }, (_, n) => {
    const predicted = [...RULE.tags].filter((tag, v) =>
      logits!.data[n * M + tag]! > RULE.thresholds[v]!
    );
    const used = own === undefined ? predicted : own[n]! < 0 ? [] : [RULE.tags[own[n]!]!];
    const most = Array(T).fill(0);
    for (const tag of used) {
      const map = [...attention!.data.subarray((n * M + tag) * T, (n * M + tag + 1) * T)];
      const [low, high] = [Math.min(...map), Math.max(...map)];
      map.forEach((value, t) => most[t] = Math.max(most[t], (value - low) / (high - low)));
    }
    return most.flatMap((value, t) =>
      value > RULE.tau ? [...tokens!.data.subarray((n * T + t) * E, (n * T + t + 1) * E)] : []
    );
  });
}

async function found(
  ctx: Context,
  set: FeatureSet,
  source: Parameters<typeof findObjects>[2],
): Promise<Record<string, HostArray>> {
  using scope = ctx.scope();
  const arrays = await Promise.all(TAGGER.map((key) => set.read(key)));
  const values = Object.fromEntries(
    arrays.map(({ data, shape }, i) => [
      TAGGER[i]!,
      scope.upload(data as Float32Array<ArrayBuffer>, shape),
    ]),
  );
  return await findObjects(scope, values, source);
}

gpuTest("findObjects() keeps what predicted tags, or an image's own tag, look at", async (on) => {
  const labels = [0, 1, 2, 0, 1, 2, -1, 0, 9, 2, 0];
  // The first tag of each class; of no class, and of one that there is not, none.
  const own = labels.map((label) => [0, 0, 1][label] ?? -1);
  const set = taggerSet(labels);
  for (const ctx of [on.host, on.gpu]) {
    for (const oneTag of [false, true]) {
      const expected = await byHand(set, oneTag ? own : undefined);
      const rule = { ...RULE, oneTag };
      const objects = await found(ctx, set, { rule, labels });
      const what = `seed ${SEED}, ${ctx.kind}, one tag ${oneTag}`;
      assertEquals(objects["object_counts"]!.data, counts(expected), what);
      assertEquals([...objects["object_tokens"]!.data], expected.flat(), what);
      const logits = (await set.read("tag_logits")).data;
      const probabilities = Array.from(
        { length: N },
        (_, n) => 1 / (1 + Math.exp(-Math.max(logits[n * M + 1]!, logits[n * M + 3]!))),
      );
      assertClose(objects["tag_score"]!.data, probabilities, TOLERANCE.kernel, what);
    }
  }
  using host = new Host();
  await assertRejects(
    () => found(host, set, { rule: { ...RULE, oneTag: true } }),
    UserError,
    "the images have no labels",
  );
});

function counts(lists: readonly number[][]): Int32Array<ArrayBuffer> {
  return Int32Array.from(lists, (list) => list.length / E);
}

Deno.test("writeObjects() writes the same in batches of any size, and goes on from any", async () => {
  await using folder = await temporaryFolder();
  using ctx = new Host();
  const set = taggerSet([0, 1, 2, 0, 1, 2, -1, 0, 1, 2, 0]);
  const write = (name: string, options: Partial<WriteObjectsOptions> = {}) =>
    writeObjects(set, { rule: RULE, ctx, out: `${folder.path}/${name}`, ...options });
  const made = await write("whole");
  const whole = await Deno.readFile(made.path);
  const expected = await byHand(set);
  assertEquals(made.tokens, expected.flat().length / E);
  assertEquals(made.untagged, expected.filter((list) => list.length === 0).length);
  assert(made.untagged > 0 && made.untagged < N);
  for (const batch of [1, 4]) {
    await write(`by${batch}`, { batch });
    assertEquals(await Deno.readFile(`${folder.path}/by${batch}`), whole);
  }
  const stop = new AbortController();
  const onProgress = (done: number) => done === 6 && stop.abort();
  await assertRejects(
    () => write("stopped", { batch: 3, signal: stop.signal, onProgress }),
    DOMException,
  );
  await assertRejects(() => write("stopped"), UserError, "--resume");
  assertEquals(
    { ...await write("stopped", { batch: 4, resume: true }), path: made.path },
    made,
  );
  assertEquals(await Deno.readFile(`${folder.path}/stopped`), whole);

  await using file = await openFeatures(made.path);
  assertEquals(file.metadata["model_hash"], "abc");
  const { tags, inputs } = objectRecord(file);
  assertEquals([tags, inputs["attention"]], [[1, 3], [M, T]]);
  for (const labels of [undefined, Array(N).fill(-1)]) {
    await assertRejects(
      () =>
        writeObjects(taggerSet(labels), {
          ...{ rule: { ...RULE, oneTag: true }, ctx, out: `${folder.path}/none` },
        }),
      UserError,
      `Cannot use each image's own tag of "tagger": its images have no labels`,
    );
  }
  assertEquals(await Deno.stat(`${folder.path}/none`).catch(() => "none"), "none");
});

Deno.test("writeObjects() keeps a classifier's head as an array, and its hash", async () => {
  await using folder = await temporaryFolder();
  using ctx = new Host();
  const head = floats(4, [3, E]);
  const set = memoryFeatures({
    "feature_map": floats(1, [N, E, 2, 3]),
    logits: floats(2, [N, 3]),
    "head.weight": head,
  });
  const rule: ObjectRule = {
    ...RULE,
    kind: "cam",
    tags: Int32Array.of(0, 1, 2),
    thresholds: new Float32Array(3).fill(1 / 3),
  };
  const { path, untagged } = await writeObjects(set, { rule, head, ctx, out: `${folder.path}/o` });
  assertEquals(untagged, 0);
  await using file = await openFeatures(path);
  assertEquals(await file.read("head.weight"), head);
  assertEquals(file.metadata["head_sha256"]?.length, 64);
  assert(file.metadata["objects"]!.length < 400, file.metadata["objects"]);
  const [one, other] = [head, floats(9, [3, E])].map((head) => objectReducer({ rule, head }));
  assert(one!.identity !== other!.identity, "another head is another run");
});

Deno.test("taggerKindOf() tells taggers from classifiers, and both from what is neither", () => {
  const of = (arrays: Record<string, HostArray>) => memoryFeatures(arrays, { path: "f" });
  const tagger = { tokens: floats(1, [N, T, E]), "tag_logits": floats(2, [N, M]) };
  const attention = floats(3, [N, M, T]);
  const map = { "feature_map": floats(1, [N, E, 2, 3]), logits: floats(2, [N, 3]) };
  assertEquals(taggerKindOf(of({ ...tagger, attention })), "tagger");
  assertEquals(taggerKindOf(of({ ...map, "head.weight": floats(4, [3, E]) })), "cam");
  assertEquals(taggerKindOf(of({ ...map, ...tagger, attention })), "tagger");
  const refuses = (arrays: Record<string, HostArray>, why: string) =>
    assertEquals(
      assertThrows(() => taggerKindOf(of(arrays)), UserError).message,
      `Cannot find objects in "f": ${why}`,
    );
  refuses(
    tagger,
    `it has no "attention"; name the tagger's outputs in its sidecar and extract again`,
  );
  refuses(
    { ...map, "head.weight": floats(4, [3, 7]) },
    "its feature_map has 4 channels and its head takes 7; extract the map that the head looks at",
  );
  refuses(
    { logits: floats(2, [N, 3]) },
    "it has logits; a tagger's tokens, tag_logits and attention were expected, or a classifier's " +
      "feature_map (ood extract --feature-map f32), logits and head",
  );
});
