import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { writeSafetensors } from "../../data/mod.ts";
import {
  type Candidate,
  chooseFarthest,
  compareWithClasses,
  conjugateCandidates,
  CSP_EXCLUDED,
  dropIdNames,
  findLabels,
  type LabelKind,
  type LabelOptions,
  type LabelSet,
  type LabelStage,
  loadLabelSet,
  mergeCandidates,
  parseTextLabels,
  saveLabelSet,
  SUPERCLASSES,
  wordNetCandidates,
} from "../../methods/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { Rng } from "../../kernels/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { fakeEncoder } from "./_prompts.ts";

const nouns = (...names: string[]): Candidate[] => names.map((name) => ({ name, kind: "noun" }));

Deno.test("wordNetCandidates() leaves files out and takes a word once, as a noun", () => {
  const files = new Map([
    ["adj.all", ["light", "red"]],
    ["adj.pert", ["atomic"]],
    ["adv.all", ["here"]],
    ["noun.animal", ["dog", "rose"]],
    ["noun.plant", ["rose", "Rose", "light"]],
    ["noun.person", ["poet"]],
  ]);
  const wordNet = { path: "wn", files };
  const { candidates, duplicates } = wordNetCandidates(wordNet);
  assertEquals(candidates, [
    ...nouns("rose", "light", "poet"),
    { name: "red", kind: "adjective" },
    { name: "atomic", kind: "adjective" },
  ]);
  assertEquals(duplicates, 2);
  const csp = wordNetCandidates(wordNet, { exclude: CSP_EXCLUDED });
  assertEquals(csp.candidates.map(({ name }) => name), ["rose", "light", "red"]);
  assertEquals(wordNetCandidates(wordNet, { exclude: [] }).candidates[0]!.name, "dog");
  assertThrows(
    () => wordNetCandidates(wordNet, { exclude: [...files.keys()] }),
    UserError,
    'labels of "wn": no noun and no adjective is left',
  );
});

Deno.test("conjugateCandidates() draws superclasses by the seed", () => {
  const { candidates } = mergeCandidates({
    noun: ["rose"],
    adjective: Array.from({ length: 200 }, (_, i) => `a${i}`),
  });
  const one = conjugateCandidates(candidates, 1);
  assertEquals(one, conjugateCandidates(candidates, 1));
  assert(JSON.stringify(one) !== JSON.stringify(conjugateCandidates(candidates, 2)));
  assertEquals(one[0], { name: "rose", kind: "noun" });
  const drawn = one.slice(1).map(({ name }, i) => name.replace(`a${i} `, ""));
  assertEquals(new Set(drawn), new Set(SUPERCLASSES));
});

Deno.test("dropIdNames() knows names in any case, number and spelling, as whole words", () => {
  const ids = [
    ...["crane, bird", "golden_retriever", "t-shirt", "kite (bird of prey)", "berry", "bus"],
    ...["ox", "Stra\u00dfe", "\u72d7", "potter's wheel", "fox", "glass", "iris"],
  ];
  const dropped = {
    equal: [
      ...["Crane", "CRANES", "bird", "golden retrievers", "Golden-Retriever", "T-Shirts", "kites"],
      ...["berries", "buses", "STRASSE", "\u72d7", "potters wheel", "foxes", "glasses", "irises"],
    ],
    within: [
      ...["paper crane", "bird's nest", "a golden retriever puppy", "blue t shirt", "glass eye"],
      ...["bus-stop", "\u72d7\u306e\u5c0f\u5c4b", "kite string"],
    ],
  };
  const kept = [
    ...["cranefly", "birdsong", "retriever", "golden", "shirt", "kit", "strawberry", "business"],
    ...["oxide", "wheel", "potter", "foxglove", "iri", "glas", "\u732b", "cats", "bi rd"],
  ];
  const found = dropIdNames(nouns(...dropped.equal, ...dropped.within, ...kept), ids);
  assertEquals(found.kept, nouns(...kept));
  assertEquals(found.dropped.filter(({ equal }) => equal).map(({ name }) => name), dropped.equal);
  assertEquals(found.dropped.filter(({ equal }) => !equal).map(({ name }) => name), dropped.within);
  assertEquals(found.dropped.find(({ name }) => name === "bird's nest")!.id, "crane, bird");
  assertEquals(dropIdNames(nouns("a"), []).kept, nouns("a"));
});

/** Rows of unit length from a seed. */
function unitRows(count: number, width: number, seed: number) {
  const rng = new Rng(seed);
  const text = Float32Array.from({ length: count * width }, () => rng.normal());
  for (let row = 0; row < count; row++) {
    const values = text.subarray(row * width, (row + 1) * width);
    const length = Math.hypot(...values);
    values.forEach((value, i) => values[i] = value / length);
  }
  return { text, width };
}

/** Quantiles and maxima in float64, by sorting. */
function byHand(candidates: Float32Array, ids: Float32Array, width: number, quantile: number) {
  const quantiles: number[] = [];
  const largest: number[] = [];
  for (let row = 0; row * width < candidates.length; row++) {
    const cosines: number[] = [];
    for (let id = 0; id * width < ids.length; id++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += candidates[row * width + i]! * ids[id * width + i]!;
      cosines.push(sum);
    }
    cosines.sort((a, b) => a - b);
    const at = quantile * (cosines.length - 1);
    const low = cosines[Math.floor(at)]!;
    quantiles.push(low + (cosines[Math.ceil(at)]! - low) * (at - Math.floor(at)));
    largest.push(cosines.at(-1)!);
  }
  return { quantiles, largest };
}

Deno.test("compareWithClasses() gives interpolated quantiles for any number of classes", async () => {
  for (
    const [classes, quantile] of [[1, 0.95], [2, 0.95], [20, 0.95], [21, 0], [21, 1], [7, 0.5]]
  ) {
    const candidates = unitRows(33, 5, classes!);
    const ids = unitRows(classes!, 5, 99);
    const expected = byHand(candidates.text, ids.text, 5, quantile!);
    using host = new Host();
    const found = await compareWithClasses(host, { candidates, ids }, { quantile: quantile! });
    assertClose(found.quantiles, expected.quantiles, TOLERANCE.kernel);
    assertClose(found.largest, expected.largest, TOLERANCE.kernel);
  }
});

gpuTest(
  "compareWithClasses() takes more candidates of few classes than one binding holds",
  async ({ gpu }) => {
    const [width, count] = [512, 66_000];
    assert(4 * width * count > 128 * 1024 * 1024);
    const text = new Float32Array(count * width);
    for (let row = 0; row < count; row++) text[row * width + row % 3] = 1;
    const ids = { text: text.slice(0, 2 * width), width };
    const { largest } = await compareWithClasses(gpu, { candidates: { text, width }, ids });
    for (const row of [0, 1, 2, 8192, 65_999]) assertEquals(largest[row], row % 3 === 2 ? 0 : 1);
  },
);

gpuTest("compareWithClasses() works in parts on the GPU", async ({ gpu }) => {
  // Three parts: 4 Mi cosines fit 4194 rows of 1000.
  const candidates = unitRows(9000, 8, 1);
  const ids = unitRows(1000, 8, 2);
  const seen: number[] = [];
  const { quantiles, largest } = await compareWithClasses(gpu, { candidates, ids }, {
    onProgress: (done, total) => seen.push(done, total),
  });
  assertEquals(seen, [4194, 9000, 8388, 9000, 9000, 9000]);
  for (const at of [0, 4193, 4194, 8999]) {
    const row = candidates.text.subarray(at * 8, (at + 1) * 8);
    const expected = byHand(row, ids.text, 8, 0.95);
    assertClose([quantiles[at]!, largest[at]!], [expected.quantiles[0]!, expected.largest[0]!], {
      ...TOLERANCE.kernel,
    });
  }
  const stop = new AbortController();
  await assertRejects(
    () =>
      compareWithClasses(gpu, { candidates, ids }, {
        signal: stop.signal,
        onProgress: () => stop.abort(),
      }),
    DOMException,
  );
});

Deno.test("compareWithClasses() refuses features of different width", async () => {
  const [candidates, ids] = [unitRows(2, 3, 1), unitRows(2, 4, 1)];
  await assertRejects(
    () => compareWithClasses(new Host(), { candidates, ids }),
    UserError,
    "the features of the candidates are 3 wide and those of the classes 4",
  );
});

Deno.test("chooseFarthest() takes a share of each kind, ties in order", () => {
  const kinds = (n: number, kind: LabelKind) => new Array<LabelKind>(n).fill(kind);
  const all = [...kinds(10, "noun"), ...kinds(4, "adjective")];
  const nearness = Float64Array.from([9, 1, 1, 3, 8, 8, 8, 8, 8, 8, 7, 6, 0, 7]);
  assertEquals(chooseFarthest(nearness, all, { share: 0.3 }), [12, 1, 2, 3]);
  assertEquals(chooseFarthest(nearness, all), [12, 1]);
  assertEquals(chooseFarthest(nearness, all, { share: 1 }).length, 14);
  const hundred = new Float64Array(100);
  assertEquals(chooseFarthest(hundred, kinds(100, "word"), { share: 0.29 }).length, 29);
  // A number is shared as the candidates are: 10 to 4.
  const byKind = (count: number) => {
    const chosen = chooseFarthest(nearness, all, { count });
    return [chosen.filter((i) => i < 10).length, chosen.filter((i) => i >= 10).length];
  };
  assertEquals([1, 3, 7, 14, 99].map(byKind), [[1, 0], [2, 1], [5, 2], [10, 4], [10, 4]]);
  for (const share of [0, -1, 1.1, NaN]) {
    assertThrows(() => chooseFarthest(nearness, all, { share }), UserError, "the share must be");
  }
  for (const count of [0, 1.5, NaN]) {
    assertThrows(() => chooseFarthest(nearness, all, { count }), UserError, "their number must be");
  }
});

/** An encoder of angles: a text's last word is at the angle of that name. */
function angles(map: Readonly<Record<string, number>>) {
  return fakeEncoder({
    width: 2,
    feature: (text) => {
      const word = Object.keys(map).find((word) => text.includes(word));
      const angle = map[word ?? ""] ?? NaN;
      return [3 * Math.cos(angle), 3 * Math.sin(angle)];
    },
  });
}

const find = (
  map: Readonly<Record<string, number>>,
  { ids = ["cat"], ...options }: Partial<LabelOptions> & { ids?: readonly string[] } = {},
  candidates?: readonly Candidate[],
) => {
  const rest = Object.keys(map).filter((name) => !ids.includes(name));
  const input = { ids, candidates: candidates ?? nouns(...rest) };
  const encoder = angles(map);
  return findLabels(encoder, input, { context: new Host(), ...options })
    .then((found) => ({ ...found, encoder }));
};

Deno.test("findLabels() mines the farthest nouns and adjectives with their own prompts", async () => {
  const map = { cat: 0, sofa: 1, sea: 2, law: 3, red: 1.5, wet: 2.5 };
  const stages: LabelStage[] = [];
  const candidates: Candidate[] = [
    ...nouns("sofa", "cats", "sea", "law"),
    { name: "red", kind: "adjective" },
    { name: "wet", kind: "adjective" },
  ];
  const { set, cosines, dropped, encoder, ...rest } = await find(map, {
    share: 0.5,
    onProgress: (stage) => stages.push(stage),
  }, candidates);
  assertEquals(set.negatives, ["wet", "law"].reverse());
  assertEquals(set.kinds, ["noun", "adjective"]);
  assertClose(cosines, [Math.cos(3), Math.cos(2.5)], TOLERANCE.kernel);
  assertEquals(dropped, [{ name: "cats", kind: "noun", id: "cat", equal: true }]);
  assertEquals([rest.candidates, rest.cached], [5, 0]);
  assertEquals([...new Set(stages)], [
    "encode classes",
    "encode candidates",
    "compare candidates",
  ]);
  assertEquals(encoder.calls, [
    ["the nice cat"],
    [
      ...["the nice sofa", "the nice sea", "the nice law"],
      ...["This is a red photo", "This is a wet photo"],
    ],
  ]);
  const expected = [0, 3, 2.5].flatMap((angle) => [Math.cos(angle), Math.sin(angle)]);
  assertClose(set.text, expected, TOLERANCE.kernel);
  assertEquals([set.width, set.logitScale, set.mining, set.model], [2, 100, "neg_label", "fake"]);
});

Deno.test("findLabels() with csp conjugates adjectives and puts what is all but a class last", async () => {
  const map = { cat: 0, tom: 0.3, sofa: 1.2, sea: 2, dog: 3.14, red: 1 };
  const candidates: Candidate[] = [
    ...nouns("tom", "sofa", "sea"),
    { name: "red", kind: "adjective" },
  ];
  // By the quantile 0 "tom" would be the farthest of all from "dog".
  const { set, nearClasses, encoder } = await find(
    map,
    { ids: ["cat", "dog"], mining: "csp", quantile: 0, share: 0.7, seed: 3 },
    candidates,
  );
  assertEquals(nearClasses, 1);
  assertEquals(set.negatives.includes("tom"), false);
  const red = set.negatives.find((name) => name.startsWith("red "))!;
  assert(SUPERCLASSES.includes(red.slice(4)));
  assertEquals(set.kinds[set.negatives.indexOf(red)], "adjective");
  assertEquals(encoder.calls[0]!.length, 16);
  assertEquals(encoder.calls[1]!.length, 3 * 8 + 4);
  assertEquals(encoder.calls[1]!.slice(-4), [
    red,
    `a nice photo of ${red}`,
    `a good photo of ${red}`,
    `a close-up photo of ${red}`,
  ]);
});

Deno.test("findLabels() keeps given labels in their order, and may keep names of classes", async () => {
  const map = { cat: 0, law: 3, tom: 0.1, sea: 2 };
  const given = await find(map, { mining: "given" });
  assertEquals(given.set.negatives, ["law", "tom", "sea"]);
  assertEquals(given.set.mining, "given");
  const kept = await find(map, { mining: "given", keepIdNames: true }, nouns("cat", "law"));
  assertEquals(kept.set.negatives, ["cat", "law"]);
  const none = await find(map, { mining: "given" }, []);
  assertEquals([none.set.negatives, none.set.text.length], [[], 2]);
});

Deno.test("findLabels() takes the first name of a class, or all, or the whole where they meet", async () => {
  const map = { crane: 0, bird: 0.4, machine: 1, law: 3 };
  const ids = ["crane, bird", "crane, machine", "law, order"];
  const { encoder } = await find(map, { ids, mining: "given" }, []);
  assertEquals(encoder.calls[0], [
    ...["the nice crane, bird", "the nice crane, machine", "the nice law"],
  ]);
  const all = await find(map, {
    ids: ["crane, bird"],
    names: "all",
    mining: "given",
    prompts: { id: ["a nice {}"] },
  }, []);
  assertEquals(all.encoder.calls[0], ["a nice crane", "a nice bird"]);
  assertClose(all.set.text, [Math.cos(0.2), Math.sin(0.2)], TOLERANCE.kernel);
});

Deno.test("findLabels() refuses what it cannot mine in one sentence", async () => {
  const map = { cat: 0, law: 3, odd: NaN };
  const refuse = (options: Parameters<typeof find>[1], message: string, names = ["law"]) =>
    assertRejects(() => find(map, options, nouns(...names)), UserError, message);
  await refuse({ ids: [] }, "there is no class");
  await refuse({ ids: ["cat", " "] }, "class 1 has no name");
  await refuse(
    { ids: ["Cat", "cat"] },
    'the classes 0 and 1 have one name, "cat"; tell them apart',
  );
  await refuse({ quantile: 1.5 }, "the quantile must be from 0 to 1 and is 1.5");
  await refuse({ quantile: NaN }, "the quantile must be");
  await refuse({ share: 0 }, "the share must be above 0 and at most 1 and is 0");
  await refuse({ count: 0 }, "their number must be a whole number from 1 and is 0");
  await refuse({ prompts: { noun: [] } }, "there is no template");
  await refuse({}, 'all 2 candidates say the name of a class, as "cats" does of "cat"', [
    ...["cats", "cat food"],
  ]);
  await refuse({}, 'its feature of "the nice odd" has a NaN', ["law", "odd"]);
  const same = await find(
    { ...map, Cat: 0 },
    { ids: ["cat", "Cat"], sameNames: true },
    nouns("law"),
  );
  assertEquals(same.set.ids, ["cat", "Cat"]);
});

Deno.test("label sets are checked when they are saved and loaded", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/l.safetensors`;
  const set: LabelSet = {
    ids: ["cat"],
    negatives: ["\u6d77", "wet"],
    kinds: ["noun", "adjective"],
    text: new Float32Array([1, 0, 0, 1, 0, -1]),
    width: 2,
    logitScale: 100,
    mining: "csp",
    model: "m",
  };
  await saveLabelSet(path, set, { prompts: "x", "text_labels": "not this" });
  assertEquals(await loadLabelSet(path), set);
  const refuse = (change: Partial<LabelSet>, message: string) =>
    assertRejects(() => saveLabelSet(path, { ...set, ...change }), UserError, message);
  await refuse(
    { ids: [], negatives: ["a", "b", "c"], kinds: ["word", "word", "word"] },
    "no class",
  );
  await refuse({ kinds: ["noun"] }, "3 labels of 2 numbers were expected");
  await refuse({ width: 3 }, "3 labels of 3 numbers were expected");
  await refuse({ logitScale: NaN }, "the logit scale must be positive and is NaN");
  await refuse(
    { text: new Float32Array([1, 0, 0, 1, 0, 2]) },
    'text feature of "wet" has the length 2.000, and 1 was expected',
  );
  await refuse(
    { text: new Float32Array([1, NaN, 0, 1, 0, 1]) },
    'the text feature of "cat" has a NaN or an infinity',
  );

  const text = { data: new Float32Array([1, 0]), shape: [1, 2] };
  const scale = { data: new Float32Array([5]), shape: [1] };
  const labels = (value: unknown) => ({ "text_labels": JSON.stringify(value) });
  const one = labels({ id: ["cat"], negative: [] });
  const files: readonly (readonly [
    Parameters<typeof writeSafetensors>[1],
    Record<string, string>,
    string,
  ])[] = [
    [{ "text_embed": text }, one, 'it has no "logit_scale"; "ood synood labels" makes such a file'],
    [{ "logit_scale": scale }, one, 'it has no "text_embed"'],
    [{ "text_embed": text, "logit_scale": scale }, {}, "it has no names of its text features"],
    [
      { "text_embed": text, "logit_scale": scale },
      labels({ id: ["cat"], negative: ["sea"] }),
      'it names 1 classes and 1 negative labels, and "text_embed" has 1 rows',
    ],
    [
      { "text_embed": { ...text, shape: [2] }, "logit_scale": scale },
      one,
      '"text_embed" must be f32 [labels, width] and is F32 [2]',
    ],
  ];
  for (const [tensors, metadata, message] of files) {
    await writeSafetensors(path, tensors, metadata);
    await assertRejects(() => loadLabelSet(path), UserError, message);
  }
  const damaged: readonly (readonly [string, string])[] = [
    ["{", "damaged"],
    ["3", "damaged"],
    ['{"id":["a"]}', "must be lists of names"],
    ['{"id":[""],"negative":[]}', "must be lists of names"],
    ['{"id":["a"],"negative":["b"],"kinds":["verb"]}', "must be one of noun, adjective, word each"],
    ['{"id":["a"],"negative":["b"],"kinds":[]}', "must be one of noun, adjective, word each"],
    ['{"id":["a"],"negative":["b"],"mining":"x"}', "must be one of neg_label, csp, given"],
  ];
  for (const [value, message] of damaged) {
    assertThrows(() => parseTextLabels({ "text_labels": value }), UserError, message);
  }
  assertThrows(
    () => parseTextLabels({}, { name: "f" }),
    UserError,
    'labels of "f": it does not name',
  );
});
