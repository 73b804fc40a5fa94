import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { type FeatureSet, type HostArray, memoryFeatures } from "../../data/mod.ts";
import {
  formatVocabulary,
  idTags,
  loadVocabulary,
  parseVocabulary,
  proposeVocabulary,
  requireVocabulary,
  saveVocabulary,
  taggerOf,
  type Vocabulary,
} from "../../methods/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { temporaryFolder } from "../_support/images.ts";

const TAGS = ["boat", "sea", "plane", "sky"];
const CLASSES = ["boat", "plane", "ghost"];

/** A set in which each image has the tags that its row names. */
function tagged(
  rows: readonly (readonly [label: number, ...tags: string[]])[],
  metadata: Record<string, string> = {},
) {
  const logits = new Float32Array(rows.length * TAGS.length).fill(-2);
  rows.forEach(([, ...tags], row) => {
    for (const tag of tags) logits[row * TAGS.length + TAGS.indexOf(tag)] = 1;
  });
  const arrays: Record<string, HostArray> = {
    "tag_logits": { data: logits, shape: [rows.length, TAGS.length] },
    labels: { data: Int32Array.from(rows, ([label]) => label), shape: [rows.length] },
  };
  return memoryFeatures(arrays, {
    path: "f.safetensors",
    names: rows.map((_, i) => `${i}.png`),
    metadata: {
      "tag_names": JSON.stringify(TAGS),
      "label_names": JSON.stringify(CLASSES),
      ...metadata,
    },
  });
}

const ROWS = [
  [0, "sea", "boat"],
  [0, "sea"],
  [0],
  [0, "boat", "sky", "sea"],
  [1, "sky", "plane"],
  [-1, "plane"],
  [1, "plane", "sky"],
] as const;

function file(change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    format: "oodgpu.tagood.vocabulary",
    version: 1,
    model: { name: "tagger.onnx" },
    tags: TAGS.length,
    threshold: 0.5,
    classes: [{ class: "boat", tags: ["boat"] }, { class: "plane", tags: ["plane", "sky"] }],
    ...change,
  };
}

Deno.test("proposeVocabulary() counts tags by class and takes the most frequent", async () => {
  const set = tagged(ROWS, { model: "tagger.onnx", "model_hash": "abc" });
  const seen: number[] = [];
  const vocabulary = await proposeVocabulary(set, {
    onProgress: (done, total) => seen.push(done, total),
  });
  assertEquals(seen, [7, 7]);
  assertEquals(vocabulary.model, { name: "tagger.onnx", sha256: "abc" });
  assertEquals([vocabulary.tags, vocabulary.threshold], [4, 0.5]);
  const [boat, plane, ghost] = vocabulary.classes;
  assertEquals(boat, {
    class: "boat",
    tags: ["sea"],
    images: 4,
    tagged: 3,
    candidates: [
      { tag: "sea", count: 3, share: 0.75, samples: ["0.png", "1.png", "3.png"] },
      { tag: "boat", count: 2, share: 0.5, samples: ["0.png", "3.png"] },
      { tag: "sky", count: 1, share: 0.25, samples: ["3.png"] },
    ],
  });
  // Equally frequent: the tagger has "plane" first. The image without a label counts for nothing.
  assertEquals(plane!.tags, ["plane"]);
  assertEquals(plane!.candidates.map(({ count }) => count), [2, 2]);
  assertEquals(ghost, {
    class: "ghost",
    tags: [],
    images: 0,
    tagged: 0,
    note: "there is no image of this class",
    candidates: [],
  });
});

Deno.test("proposeVocabulary() names a class in which nothing is predicted", async () => {
  const { classes } = await proposeVocabulary(tagged([[0], [0], [1, "sky"]]));
  assertEquals(classes[0]!.note, "no tag was predicted for any image of this class");
  assertEquals(classes[0]!.images, 2);
});

Deno.test("proposeVocabulary() takes the tagger's thresholds unless one is given", async () => {
  // Logits of 1 are probabilities of 0.73.
  const set = tagged(ROWS, { "tag_thresholds": "[0.9, 0.5, 0.5, 0.73105]" });
  const own = await proposeVocabulary(set);
  assertEquals(own.classes[0]!.candidates.map(({ tag }) => tag), ["sea", "sky"]);
  assertEquals([own.threshold, own.forced], [0.5, undefined]);
  const forced = await proposeVocabulary(set, { threshold: 0.7 });
  assertEquals(forced.classes[0]!.candidates.map(({ tag }) => tag), ["sea", "boat", "sky"]);
  assertEquals([forced.threshold, forced.forced], [0.7, true]);
  const one = await proposeVocabulary(tagged(ROWS, { "tag_thresholds": "0.8" }));
  assertEquals([one.threshold, one.classes[0]!.tags], [0.8, []]);
});

Deno.test("proposeVocabulary() lists as many candidates and images as asked for", async () => {
  const { classes } = await proposeVocabulary(tagged(ROWS), { candidates: 2, samples: 1 });
  assertEquals(classes[0]!.candidates.map(({ samples }) => samples), [["0.png"], ["0.png"]]);
});

Deno.test("proposeVocabulary() counts over batches as in one", async () => {
  const rows = Array.from({ length: 500 }, (_, i) => [i % 3, TAGS[i % 4]!] as const);
  const set = tagged(rows);
  const split: FeatureSet = {
    path: set.path,
    count: set.count,
    metadata: set.metadata,
    names: set.names,
    keys: set.keys,
    has: (key) => set.has(key),
    shape: (key) => set.shape(key),
    read: (key) => set.read(key),
    batches: (keys) => set.batches(keys, { rows: 7 }),
    [Symbol.asyncDispose]: () => set[Symbol.asyncDispose](),
  };
  assertEquals(await proposeVocabulary(split), await proposeVocabulary(set));
});

Deno.test("proposeVocabulary() refuses what has no labels or no names of tags", async () => {
  const unlabelled = tagged([[-1, "sea"]]);
  await assertRejects(() => proposeVocabulary(unlabelled), UserError, "no image of");
  const logits = { data: new Float32Array(4), shape: [1, 4] };
  const bare = memoryFeatures({ "tag_logits": logits }, { path: "f.safetensors" });
  await assertRejects(() => proposeVocabulary(bare), UserError, 'give "tags" in the sidecar');
  await assertRejects(
    () => proposeVocabulary(bare, { tagger: { tags: TAGS } }),
    UserError,
    'has no "labels"',
  );
  await assertRejects(
    () => proposeVocabulary(tagged(ROWS), { threshold: 1 }),
    UserError,
    "above 0 and below 1: it is 1",
  );
  await assertRejects(
    () => proposeVocabulary(tagged(ROWS), { signal: AbortSignal.abort() }),
    DOMException,
  );
});

Deno.test("taggerOf() refuses names and thresholds that do not fit", () => {
  const labels = { data: new Int32Array(1), shape: [1] };
  assertThrows(() => taggerOf(memoryFeatures({ labels })), UserError, 'has no "tag_logits"');
  const of = (metadata: Record<string, string>) => () => taggerOf(tagged(ROWS, metadata));
  assertThrows(of({ "tag_names": '["boat"]' }), UserError, "has 4 tag logits an image");
  assertThrows(of({ "tag_names": "boat" }), UserError, "is no JSON");
  assertThrows(of({ "tag_names": '{"boat": 1}' }), UserError, "is something else");
  for (const thresholds of ["[0.5]", "2", '"0.5"', "[0.5, 0.5, 0.5, null]"]) {
    assertThrows(of({ "tag_thresholds": thresholds }), UserError, "one for each of its 4");
  }
});

Deno.test("formatVocabulary() keeps what is edited, and each candidate, on one line", async () => {
  const vocabulary = await proposeVocabulary(tagged(ROWS));
  const text = formatVocabulary(vocabulary);
  assertEquals(JSON.parse(text), JSON.parse(JSON.stringify(vocabulary)));
  assertEquals(parseVocabulary(text), vocabulary);
  assertStringIncludes(
    text,
    '      "class": "boat",\n      "tags": ["sea"],\n      "images": 4,\n',
  );
  assertStringIncludes(
    text,
    '        { "tag": "boat", "count": 2, "share": 0.5, "samples": ["0.png", "3.png"] },\n',
  );
  assertStringIncludes(text, '      "candidates": []\n    }\n  ]\n}\n');
});

Deno.test("loadVocabulary() reads what saveVocabulary() wrote", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/v.json`;
  const vocabulary = await proposeVocabulary(tagged(ROWS), { threshold: 0.6 });
  await saveVocabulary(vocabulary, path);
  assertEquals(await loadVocabulary(path), vocabulary);
  await assertRejects(
    () => loadVocabulary(`${folder.path}/other.json`),
    UserError,
    "there is no such file",
  );
});

Deno.test("parseVocabulary() names what is wrong in a file", () => {
  const boat = { class: "boat", tags: ["boat"] };
  const cases: [unknown, string][] = [
    ["{", 'Cannot use "v.json": it is not JSON'],
    [[], 'it is no vocabulary; a file from "ood tagood vocab" was expected'],
    [{ labels: ["boat"] }, "it is no vocabulary"],
    [file({ version: 2 }), '"version" is 2, and this program reads version 1'],
    [file({ treshold: 0.5 }), 'it has the unknown key "treshold"; did you mean "threshold"'],
    [file({ tags: 0 }), '"tags" is 0 and a whole number from 1 was expected'],
    [file({ tags: undefined }), 'it has no "tags"'],
    [file({ model: {} }), '"model" has no "name"'],
    [file({ threshold: 1.5 }), '"threshold" is 1.5 and a probability above 0 and below 1 was'],
    [file({ forced: "yes" }), '"forced" is "yes" and true or false was expected'],
    [file({ classes: {} }), '"classes" is an object and a list of classes was expected'],
    [file({ classes: [] }), '"classes" is empty'],
    [file({ classes: ["boat"] }), '"classes[0]" is "boat" and an object was expected'],
    [file({ classes: [{ class: "boat" }] }), '"classes[0]" has no "tags"'],
    [file({ classes: [{ tags: [] }] }), '"classes[0]" has no "class"'],
    [file({ classes: [{ ...boat, tag: "x" }] }), 'did you mean "tags"'],
    [file({ classes: [{ ...boat, tags: "sea" }] }), '"classes[0].tags" is "sea" and a list of'],
    [file({ classes: [{ ...boat, tags: ["a", ""] }] }), '"classes[0].tags[1]" is an empty text'],
    [file({ classes: [{ ...boat, images: -1 }] }), '"classes[0].images" is -1'],
    [file({ classes: [boat, boat] }), 'it has the class "boat" twice'],
    [
      file({ classes: [{ ...boat, candidates: [{ tag: "sea", count: 1, share: 2 }] }] }),
      '"classes[0].candidates[0].share" is 2',
    ],
  ];
  for (const [value, message] of cases) {
    assertThrows(() => parseVocabulary(value, { name: "v.json" }), UserError, message);
  }
});

Deno.test("requireVocabulary() puts classes in the order of the labels", () => {
  const vocabulary = parseVocabulary(file());
  const fitted = requireVocabulary(vocabulary, { tags: TAGS, classNames: ["plane", "boat"] });
  assertEquals(fitted.classes.map((entry) => entry.class), ["plane", "boat"]);
});

Deno.test("requireVocabulary() refuses unknown names and classes without a tag", () => {
  const check = (
    change: Record<string, unknown>,
    fit: { tags?: string[]; classNames?: string[]; allowUncovered?: boolean } = {},
  ) =>
  (): Vocabulary =>
    requireVocabulary(parseVocabulary(file(change)), {
      tags: TAGS,
      classNames: ["boat", "plane"],
      name: "v.json",
      ...fit,
    });
  const plane = { class: "plane", tags: ["plane"] };
  assertThrows(
    check({ classes: [{ class: "boat", tags: ["boot"] }, plane] }),
    UserError,
    'Cannot use "v.json": the tagger has no tag "boot", which stands for the class "boat"; did you ' +
      'mean "boat"',
  );
  assertThrows(
    check({ classes: [{ class: "baot", tags: ["boat"] }, plane] }),
    UserError,
    'there is no class "baot" among those of the images; did you mean "boat"',
  );
  assertThrows(
    check({ tags: 9, classes: [{ class: "boat", tags: ["wheelbarrow"] }, plane] }),
    UserError,
    "the vocabulary was made for the 9 tags of tagger.onnx, and this tagger has 4",
  );
  assertEquals(check({ tags: 9 })().tags, 9);
  assertThrows(
    check({ classes: [{ class: "boat", tags: [] }, plane] }),
    UserError,
    'no tag stands for the class "boat"; name tags',
  );
  assertThrows(
    check({}, { classNames: ["boat", "plane", "cat", "dog"] }),
    UserError,
    'no tag stands for 2 classes ("cat", "dog")',
  );
  const allowed = check({}, { classNames: ["boat", "plane", "cat"], allowUncovered: true })();
  assertEquals(allowed.classes[2], {
    class: "cat",
    tags: [],
    images: 0,
    tagged: 0,
    candidates: [],
  });
});

Deno.test("idTags() gives distinct tags in order, their logits, and those of each class", () => {
  const vocabulary = parseVocabulary(file({
    threshold: 0.8,
    classes: [
      { class: "plane", tags: ["sky", "plane", "sky"] },
      { class: "kite", tags: ["sky"] },
      { class: "ghost", tags: [] },
    ],
  }));
  const found = idTags(vocabulary, TAGS);
  assertEquals([...found.tags], [2, 3]);
  assertEquals([...found.thresholds], [Math.log(4), Math.log(4)].map(Math.fround));
  assertEquals(found.ofClass.map((places) => [...places]), [[0, 1], [1], []]);

  const own = idTags(vocabulary, TAGS, [0.5, 0.5, 0, 1]);
  const largest = Math.fround(3.4028235e38);
  assertEquals([...own.thresholds], [-largest, largest]);
  assertEquals([...idTags({ ...vocabulary, forced: true }, TAGS, 0.5).thresholds], [
    ...found.thresholds,
  ]);
  assertEquals([...idTags(vocabulary, ["sky", "plane", "sky", "sea"]).tags], [0, 1, 2]);
});

Deno.test("idTags() refuses tags that the tagger lacks, and a vocabulary of none", () => {
  assertThrows(
    () => idTags(parseVocabulary(file()), ["bat", "sea", "plane", "sky"]),
    UserError,
    'the tag "boat" of the class "boat": the tagger does not have it; did you mean "bat"',
  );
  const empty = parseVocabulary(file({ classes: [{ class: "boat", tags: [] }] }));
  assertThrows(() => idTags(empty, TAGS), UserError, "names no tag for any class");
});
