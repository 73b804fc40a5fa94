import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { memoryFeatures, WORLD_CLASSES } from "../../data/mod.ts";
import {
  elementsOf,
  fitContexts,
  frequentElements,
  loadContexts,
  parseContexts,
  readElements,
  saveContexts,
  tagElements,
  type TagElementsOptions,
} from "../../methods/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import sidecar from "../../models/world-tagger.json" with { type: "json" };
import { temporaryFolder } from "../_support/images.ts";

const SOURCE = { kind: "file" } as const;

/** Elements of one image of a class. */
function fitted(className: string, given: readonly string[], most = 8) {
  const images = { names: ["x"], labels: [0], classNames: [className] };
  const { contexts, counts } = fitContexts(new Map([["x", given]]), images, {
    source: SOURCE,
    most,
  });
  return { elements: contexts.images["x"], dropped: counts.dropped };
}

Deno.test("fitContexts() cleans elements: NFC, spaces, duplicates, at most so many", () => {
  const given = [
    " green \t grass ",
    "Cafe\u0301",
    "caf\u00e9",
    "GREEN grass",
    "",
    " ",
    "—",
    "a\u0000b",
  ];
  assertEquals(fitted("cat", [...given, "x".repeat(101), "sky"], 3), {
    elements: ["green grass", "Caf\u00e9", "a b"],
    dropped: { unusable: 4, duplicates: 2, own: 0, more: 1 },
  });
});

Deno.test("fitContexts() leaves out the image's own class and what has its name among its words", () => {
  const own = (className: string, given: readonly string[]) => fitted(className, given).elements;
  assertEquals(own("panda", ["Panda", "pandas", "giant panda", "pandanus", "a panda's paw"]), [
    "pandanus",
  ]);
  assertEquals(own("tree_frog", ["tree", "frog", "Tree frogs", "tree-frog"]), ["tree", "frog"]);
  assertEquals(own("tench, Tinca tinca", ["tinca tinca", "tench", "water"]), ["water"]);
  assertEquals(own("star", ["stars", "starfish"]), ["starfish"]);
});

Deno.test("fitContexts() knows synonyms, and does not mix up classes", () => {
  const images = { names: ["1", "2", "3"], labels: [0, 1, -1], classNames: ["boat", "plane"] };
  const list = ["boat", "ship", "plane", "sea"];
  const given = new Map(images.names.map((name) => [name, list]));
  const { contexts, counts } = fitContexts(given, images, {
    source: SOURCE,
    synonyms: new Map([["boat", ["ship"]]]),
  });
  assertEquals(contexts.images, {
    "1": ["plane", "sea"],
    "2": ["boat", "ship", "sea"],
    "3": list,
  });
  assertEquals(counts.dropped.own, 3);
});

Deno.test("fitContexts() counts images without elements and names that are of no image", () => {
  const images = { names: ["a", "b", "c", "d"], labels: [0, 0, 0, 0], classNames: ["cat"] };
  const given = new Map([["a", ["sofa", "rug"]], ["b", []], ["c", ["cat"]], ["e", ["sofa"]]]);
  const { contexts, counts } = fitContexts(given, images, { source: SOURCE });
  assertEquals(contexts.images, { a: ["sofa", "rug"], b: [], c: [], d: [] });
  assertEquals(counts, {
    ...{ images: 4, withElements: 1, empty: 2, emptied: 1, elements: 2, unknown: ["e"] },
    dropped: { unusable: 0, duplicates: 0, own: 1, more: 0 },
  });
  for (const most of [0, 1.5]) {
    assertThrows(() => fitContexts(given, images, { source: SOURCE, most }), RangeError, "from 1");
  }
});

Deno.test("saveContexts() and loadContexts() keep every name and element, one image a line", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/contexts.json`;
  const images = {
    "cat/1 \u{1F600}.png": ['"quoted"', "草"],
    ...Object.fromEntries([["__proto__", ["grass"]]]),
    "empty.png": [],
    "7": ["seven"],
  };
  const contexts = parseContexts({ version: 1, source: { kind: "tagger", model: "m" }, images });
  await saveContexts(contexts, path);
  const again = await loadContexts(path);
  assertEquals(again, contexts);
  assertEquals(elementsOf(again, "__proto__"), ["grass"]);
  assertEquals(elementsOf(again, "toString"), undefined);
  const text = await Deno.readTextFile(path);
  assertEquals(text.split("\n").filter((line) => line.startsWith("    ")).length, 4);
  const many = Object.fromEntries(
    Array.from({ length: 5000 }, (_, i) => [`image number ${i}.png`, ["grass", "sky"]]),
  );
  await saveContexts({ ...contexts, images: many }, path);
  assertEquals((await loadContexts(path)).images, many);
  await saveContexts({ ...contexts, images: {} }, path);
  assertEquals((await loadContexts(path)).images, {});
  const files = await Array.fromAsync(Deno.readDir(folder.path), ({ name }) => name);
  assertEquals(files, ["contexts.json"]);
});

Deno.test("loadContexts() refuses what is none in one sentence", async () => {
  await using folder = await temporaryFolder();
  const refusal = async (text: string) => {
    await Deno.writeTextFile(`${folder.path}/c.json`, text);
    return (await assertRejects(() => loadContexts(`${folder.path}/c.json`), UserError)).message;
  };
  const start = `Cannot use the contexts "${folder.path}/c.json": `;
  const cases: [unknown, string][] = [
    [[], 'it is no contexts file; a file from "ood synood contexts" was expected'],
    [{ version: 2, images: {} }, "its version is 2, and this program reads version 1"],
    [{ version: 1, images: { a: "grass" } }, '"a" has no list of texts'],
    [{ version: 1, images: { a: ["grass", 7] } }, '"a" has no list of texts'],
    [
      { version: 1, source: { kind: "oracle" }, images: {} },
      "the kind of its source is none of file, tagger, endpoint",
    ],
  ];
  for (const [value, why] of cases) assertEquals(await refusal(JSON.stringify(value)), start + why);
  assertEquals(await refusal('{"version": 1, "ima'), `${start}it is no JSON text`);
  await assertRejects(
    () => loadContexts(`${folder.path}/no.json`),
    UserError,
    'there is no such file; "ood synood contexts" makes one',
  );
});

Deno.test("readElements() reads maps, contexts files and lines of tags", async () => {
  await using folder = await temporaryFolder();
  const read = async (content: string) => {
    await Deno.writeTextFile(`${folder.path}/e`, content);
    return Object.fromEntries(await readElements(`${folder.path}/e`));
  };
  const lists = { "a.png": ["grass"], "cat/b.png": [] };
  assertEquals(await read(JSON.stringify(lists)), lists);
  assertEquals(await read(JSON.stringify({ version: 1, images: lists })), lists);
  assertEquals(await read('{"cat\\\\b.png": ["x"], "././cat/b.png": ["y"]}'), {
    "cat/b.png": ["x", "y"],
  });
  const line = { path: "a.png", object: "tree", contexts: ["birds"], background: "fog" };
  assertEquals(await read(JSON.stringify(line)), { "a.png": ["birds", "fog"] });
  const more = { path: "b.png", elements: ["sky"], background: null };
  assertEquals(await read(`${JSON.stringify(line)}\r\n\n${JSON.stringify(more)}\n`), {
    "a.png": ["birds", "fog"],
    "b.png": ["sky"],
  });
  const refusal = async (text: string) =>
    (await assertRejects(() => read(text), UserError)).message.split('/e": ')[1];
  assertEquals(await refusal(""), "it is empty");
  assertEquals(
    await refusal("<html>"),
    "it is neither a JSON object of lists by path nor lines of JSON with a path each",
  );
  assertEquals(await refusal('{"a": 7}'), '"a" has no list of texts');
  assertEquals(await refusal(`${JSON.stringify(line)}\nfog`), "line 2 is no JSON object");
  assertEquals(await refusal(`${JSON.stringify(line)}\n{"x": 1}`), 'line 2 has no "path"');
  assertEquals(
    await refusal('{"path": "a"}'),
    'line 1 has none of "elements", "contexts", "background"',
  );
  assertEquals(
    await refusal('{"path": "a", "contexts": [1]}'),
    'line 1 has a "contexts" that is neither a text nor a list of texts',
  );
});

/** Elements of one image for which a tagger gives these logits. */
async function elementsFrom(
  tags: readonly string[],
  logits: readonly number[],
  options?: TagElementsOptions,
): Promise<readonly string[] | undefined> {
  const set = memoryFeatures(
    { "tag_logits": { data: Float32Array.from(logits), shape: [1, tags.length] } },
    { names: ["x"], metadata: { "tag_names": JSON.stringify(tags), "tag_thresholds": "0.5" } },
  );
  return (await tagElements(set, options)).get("x");
}

Deno.test("tagElements() leaves the shipped tagger's contexts and backgrounds", async () => {
  const { tags } = sidecar;
  const all = await elementsFrom(tags, tags.map((_, i) => 9 - i / 10), {
    classNames: WORLD_CLASSES,
  });
  const surroundings = tags.filter((tag) => / (around|background)$/.test(tag));
  assertEquals(surroundings.length, 27);
  // Clouds may be around and in the background: they are one element.
  const expected = new Set(surroundings.map((tag) => tag.split(" ")[0]!));
  assertEquals(all, [...expected]);
});

Deno.test("tagElements() goes by probability and by the tagger's thresholds", async () => {
  const tags = ["sky", "sea", "sand", "sun", "shell"];
  assertEquals(await elementsFrom(tags, [1, 3, -0.1, 2, 2]), ["sea", "sun", "shell", "sky"]);
  const logits = [1, 3, -0.1, 2, 2];
  assertEquals(await elementsFrom(tags, logits, { threshold: 0.9 }), ["sea"]);
  assertEquals(await elementsFrom(tags, [-1, -1, -1, -1, -1]), []);
});

Deno.test("tagElements() keeps, drops and strips what it is told to", async () => {
  const tags = [
    "Blue",
    "dark wood",
    "wood floor",
    "dog",
    "dogs",
    "hot dog",
    "background",
    "lake view",
  ];
  const logits = tags.map((_, i) => 9 - i);
  const classNames = ["dog"];
  const elements = (rule: TagElementsOptions["rule"]) =>
    elementsFrom(tags, logits, { classNames, ...(rule === undefined ? {} : { rule }) });
  assertEquals(await elements(undefined), ["dark wood", "wood floor", "hot dog", "lake view"]);
  assertEquals(await elements({ keep: ["*WOOD*"] }), ["dark wood", "wood floor"]);
  assertEquals(await elements({ drop: ["wood*", "hot dog"] }), ["Blue", "dark wood", "lake view"]);
  assertEquals(await elements({ drop: [], strip: [] }), [
    ...["Blue", "dark wood", "wood floor", "hot dog", "background", "lake view"],
  ]);
  assertEquals(await elements({ strip: ["view", "wood"] }), [
    ...["dark", "wood floor", "hot dog", "background", "lake"],
  ]);
  // A pattern is no expression.
  assertEquals(await elements({ keep: ["d.rk wood", "[a-z]"] }), []);
});

Deno.test("frequentElements() counts images, whatever the capitals", () => {
  const images = { a: ["Sky", "grass"], b: ["sky"], c: ["fence"] };
  assertEquals(frequentElements({ images }, 2), [
    { element: "Sky", images: 2 },
    { element: "fence", images: 1 },
  ]);
});
