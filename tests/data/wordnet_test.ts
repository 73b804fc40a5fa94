import { assertEquals, assertRejects } from "@std/assert";
import { LEXICOGRAPHER_FILES, readWordNet, WORDNET_FOLDER } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { temporaryFolder } from "../_support/images.ts";

const LICENCE = "  1 This software and database is being provided to you.  \n  2 Licence.  \n";
const NOUNS = [
  "00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 ~ 00002137 n 0000 | that which exists  ",
  "00017222 20 n 03 plant 0 flora 0 plant_life 0 001 @ 00004475 n 0000 | a living organism  ",
  "02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 000 | a member of the genus Canis  ",
  "11669921 20 n 01 flower 0 000 | a plant cultivated for its blooms  ",
  "11669922 20 n 02 Flora 0 plant 1 000 | again  ",
].join("\n");
const ADJECTIVES = [
  "00001740 00 a 01 able 0 001 = 05200169 n 0000 | having the means  ",
  "00004171 00 s 02 afraid(p) 0 scared_stiff(ip) 0 001 & 00003939 a 0000 | filled with fear  ",
  "02600000 01 a 01 atomic 1 000 | of atoms  ",
  "00004615 44 s 01 elect(a) 1 000 | elected but not yet installed  ",
].join("\n");

async function database(files: Readonly<Record<string, string>>) {
  const folder = await temporaryFolder();
  for (const [name, text] of Object.entries(files)) {
    await Deno.mkdir(`${folder.path}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(`${folder.path}/${name}`, text);
  }
  return folder;
}

Deno.test("readWordNet() gives words by lexicographer file", async () => {
  await using folder = await database({
    "data.noun": `${LICENCE}${NOUNS}\n`,
    "data.adj": `${LICENCE}${ADJECTIVES}\n`.replaceAll("\n", "\r\n"),
  });
  const { path, files } = await readWordNet(folder.path);
  assertEquals(path, folder.path);
  assertEquals([...files], [
    ["adj.all", ["able", "afraid", "scared stiff"]],
    ["adj.pert", ["atomic"]],
    ["noun.Tops", ["entity"]],
    ["noun.animal", ["dog", "domestic dog", "Canis familiaris"]],
    ["noun.plant", ["plant", "flora", "plant life", "flower", "Flora"]],
    ["adj.ppl", ["elect"]],
  ]);
  const first = await readWordNet(folder.path, { parts: ["noun"], words: "first" });
  assertEquals([...first.files], [
    ["noun.Tops", ["entity"]],
    ["noun.animal", ["dog"]],
    ["noun.plant", ["plant", "flower", "Flora"]],
  ]);
});

Deno.test("readWordNet() finds the files in dict, and reads Latin-1", async () => {
  await using folder = await database({ "dict/data.noun": "" });
  const line = "00000001 13 n 01 caf\u00e9 0 000 | coffee  \n";
  const bytes = Uint8Array.from(line, (c) => c.charCodeAt(0));
  await Deno.writeFile(`${folder.path}/dict/data.noun`, bytes);
  const { path, files } = await readWordNet(folder.path, { parts: ["noun"] });
  assertEquals(path, `${folder.path}/dict`);
  assertEquals([...files], [["noun.food", ["caf\u00e9"]]]);
});

Deno.test("readWordNet() refuses what is no database in one sentence", async () => {
  const cases: readonly (readonly [Record<string, string>, string])[] = [
    [{}, "it has no data.noun; Debian's package wordnet-base has it"],
    [{ "data.noun": NOUNS }, "it has no data.adj"],
    [{ "data.noun": LICENCE, "data.adj": ADJECTIVES }, "there is no set of synonyms in it"],
    [{ "data.noun": "dog\ncat\n", "data.adj": ADJECTIVES }, "line 1 is no set of synonyms"],
    [
      { "data.noun": `${LICENCE}00001740 77 n 01 x 0 000 | y`, "data.adj": ADJECTIVES },
      "line 3 is no set of synonyms",
    ],
    [
      { "data.noun": "00001740 03 n 09 entity 0", "data.adj": ADJECTIVES },
      "line 1 says that it has 9 words",
    ],
  ];
  for (const [files, message] of cases) {
    await using folder = await database(files);
    await assertRejects(() => readWordNet(folder.path), UserError, message);
  }
  await assertRejects(() => readWordNet("no-such-folder"), UserError, "there is no such folder");
  await using folder = await database({ "data.noun": NOUNS });
  const file = `${folder.path}/data.noun`;
  await assertRejects(() => readWordNet(file), UserError, "it is a file");
});

Deno.test("LEXICOGRAPHER_FILES has the 45 files at their numbers", () => {
  assertEquals(LEXICOGRAPHER_FILES.length, 45);
  const named = {
    0: "adj.all",
    2: "adv.all",
    5: "noun.animal",
    18: "noun.person",
    28: "noun.time",
  };
  const more = { 29: "verb.body", 43: "verb.weather", 44: "adj.ppl" };
  for (const [number, name] of Object.entries({ ...named, ...more })) {
    assertEquals(LEXICOGRAPHER_FILES[Number(number)], name);
  }
});

// Debian's WordNet 3.0, where it is installed; the tests above hold without it.
if (await Deno.stat(`${WORDNET_FOLDER}/data.noun`).then(() => true, () => false)) {
  Deno.test("readWordNet() reads the installed WordNet", async () => {
    const { files } = await readWordNet(WORDNET_FOLDER);
    assertEquals(files.size, 29);
    const words = (name: string) => files.get(name)!;
    assertEquals(words("noun.animal").includes("golden retriever"), true);
    assertEquals(words("adj.all").includes("afraid"), true);
    assertEquals([...files.values()].flat().some((word) => /[_(]\w*\)?$/.test(word)), false);
    const first = await readWordNet(WORDNET_FOLDER, { words: "first" });
    const nouns = [...first.files].filter(([name]) => /^noun\.(?!animal|food)/.test(name));
    assertEquals(new Set(nouns.flatMap(([, list]) => list)).size, 59_123);
  });
}
