import { assertEquals, assertRejects } from "@std/assert";
import {
  cleanWords,
  describeWords,
  foldWord,
  MAX_WORD_LENGTH,
  readWordList,
} from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { temporaryFolder } from "../_support/images.ts";

Deno.test("cleanWords() keeps each word once and counts what is odd", () => {
  const long = "x".repeat(MAX_WORD_LENGTH);
  const list = cleanWords([
    "  golden \t retriever ",
    "Golden Retriever",
    "golden_retriever",
    "Stra\u00dfe",
    "STRASSE",
    "Cafe\u0301",
    "caf\u00e9",
    "",
    " \t ",
    "\u200b\ufeff",
    "--",
    "\u72d7",
    "\u0643\u0644\u0628",
    "\u{1f415}",
    "\u{1f469}\u200d\u{1f33e}",
    "7",
    long,
    `${long}x`,
    "\u{1f415}".repeat(MAX_WORD_LENGTH),
    "a\u0007b",
    "lone \ud800",
  ]);
  assertEquals(list, {
    words: [
      ...["golden retriever", "Stra\u00dfe", "Caf\u00e9", "\u72d7", "\u0643\u0644\u0628"],
      ...["\u{1f415}", "\u{1f469}\u200d\u{1f33e}", "7", long],
      ...["\u{1f415}".repeat(MAX_WORD_LENGTH), "a b", "lone \ufffd"],
    ],
    entries: 21,
    empty: 3,
    duplicates: 4,
    repeated: ["Golden Retriever", "golden_retriever", "STRASSE", "caf\u00e9"],
    long: 1,
    wordless: 1,
    otherScripts: 5,
  });
  assertEquals(describeWords(list), [
    "3 empty entries",
    '4 entries that repeat others ("Golden Retriever", "golden_retriever", "STRASSE", …)',
    "1 entry that is longer than 200 characters",
    "1 entry without a letter, a figure or a pictograph",
    "5 words with letters that are not Latin, or pictographs (kept)",
  ]);
  assertEquals(describeWords(cleanWords(["sea", "sky"])), []);
});

Deno.test("foldWord() makes words alike that differ in case, form or blanks", () => {
  const same = [
    ["\u0399\u0391\u03a3", "\u03b9\u03b1\u03c2", "\u03b9\u03b1\u03c3"],
    ["a\u00a0b", "A b", "a__b"],
    ["\u212b", "\u00e5", "a\u030a"],
  ];
  for (const words of same) assertEquals(new Set(words.map(foldWord)).size, 1, words.join());
  assertEquals(foldWord("crane") === foldWord("cranes"), false);
});

Deno.test("readWordList() takes lines of any system, and JSON", async () => {
  await using folder = await temporaryFolder();
  const path = (name: string) => `${folder.path}/${name}`;
  await Deno.writeTextFile(path("dos.txt"), "\uFEFFsea\r\nsky\r\n\r\n");
  await Deno.writeTextFile(path("old.txt"), "sea\rsky");
  await Deno.writeTextFile(path("words.JSON"), '\uFEFF["sea", "sky", ""]');
  await Deno.writeTextFile(path("brackets"), "[sea\nsky");
  const words = async (name: string) => (await readWordList(path(name))).words;
  assertEquals(await words("dos.txt"), ["sea", "sky"]);
  assertEquals((await readWordList(path("dos.txt"))).empty, 1);
  assertEquals(await words("old.txt"), ["sea", "sky"]);
  assertEquals(await words("words.JSON"), ["sea", "sky"]);
  assertEquals(await words("brackets"), ["[sea", "sky"]);
});

Deno.test("readWordList() refuses what holds no word in one sentence", async () => {
  await using folder = await temporaryFolder();
  const cases: readonly (readonly [string, string | Uint8Array, string])[] = [
    ["empty.txt", "", "there is no word in it"],
    ["blank.txt", "\n \n--\n", "no word in it (2 empty entries, 1 entry without a letter"],
    ["binary.txt", new Uint8Array([1, 0, 2]), "it is no UTF-8 text"],
    ["latin.txt", new Uint8Array([0x63, 0xe9, 0x0a]), "it is no UTF-8 text"],
    ["broken.json", '["sea"', "it is no JSON text"],
    ["object.json", '{"sea": 1}', "a JSON array of words was expected"],
    ["numbers.json", '["sea", 3]', "entry 2 is no text"],
  ];
  for (const [name, content, message] of cases) {
    const path = `${folder.path}/${name}`;
    await Deno.writeFile(
      path,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    await assertRejects(() => readWordList(path), UserError, message);
  }
  await assertRejects(() => readWordList("none.txt"), UserError, "there is no such file");
});
