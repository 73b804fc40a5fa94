import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { encodeSafetensors, readSafetensors } from "../../data/mod.ts";
import { loadLabelSet, SUPERCLASSES } from "../../methods/mod.ts";
import { replaceInitializers } from "../../onnx/mod.ts";
import { clipText, writeClip } from "../_support/clip.ts";
import { assertRefused, listFiles, ood, succeed, type Workshop, workshop } from "./_workshop.ts";

const TINY = { width: 8, heads: 2, embed: 6, vocabulary: 700, side: 32 } as const;

const NOUNS = ["reef", "harbour", "law", "teapot", "sofa", "granite", "hammer", "violin", "cloud"];
const ADJECTIVES = ["rusty", "wet", "striped", "hollow"];

/** Lines of WordNet's database. */
function synsets(file: number, type: string, words: readonly string[]): string {
  const number = String(file).padStart(2, "0");
  return words.map((word, i) =>
    `${String(i).padStart(8, "0")} ${number} ${type} 02 ${word} 0 second_${word} 0 000 | gloss  \n`
  ).join("");
}

/** A model, classes and words in a folder. */
async function prepared(): Promise<Workshop> {
  const shop = await workshop();
  await writeClip(shop.file("clip"), { ...TINY, files: { "oodgpu.json": { logit_scale: 20 } } });
  await Deno.writeTextFile(shop.file("classes.txt"), "cat\n\ncrane, bird\n");
  await Deno.writeTextFile(
    shop.file("words.txt"),
    `\uFEFF${NOUNS.join("\r\n")}\r\n\r\nReef\r\nCats\r\n`,
  );
  await Deno.writeTextFile(shop.file("adjectives.json"), JSON.stringify(ADJECTIVES));
  await Deno.mkdir(shop.file("wordnet"));
  const nouns = synsets(6, "n", NOUNS) + synsets(5, "n", ["lynx", "zebra"]) +
    synsets(18, "n", ["poet", "birdwatcher", "bird"]);
  await Deno.writeTextFile(shop.file("wordnet/data.noun"), `  1 A licence.  \n${nouns}`);
  const adjectives = synsets(0, "a", ADJECTIVES) + synsets(1, "a", ["atomic", "law"]);
  await Deno.writeTextFile(shop.file("wordnet/data.adj"), adjectives);
  return shop;
}

function usual({ file }: Workshop, out = "l.safetensors"): string[] {
  return [
    ...["synood", "labels", "--model", file("clip"), "--classes", file("classes.txt")],
    ...["--out", file(out), "--device", "wasm"],
  ];
}

Deno.test("ood synood labels mines WordNet, and encodes nothing twice", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const argv = [...usual(shop), "--wordnet", file("wordnet"), "--share", "0.4"];
  const { out, notes } = await succeed(...argv);
  // Eleven nouns without animals and the class, five adjectives without the noun.
  assertStringIncludes(out, "6 negative labels for 2 classes (");
  assertStringIncludes(out, "of 16 words: the lowest 40 % by the 0.95 quantile of their cosines");
  assertStringIncludes(out, "left out: 1 word that repeats another\n");
  assertStringIncludes(
    out,
    'left out: 1 word that says the name of a class ("bird" is "crane, bird")',
  );
  assertStringIncludes(
    out,
    'prompts: "the nice {}" for classes, "the nice {}" for words, "This is a {} photo" for adjectives',
  );
  assertStringIncludes(out, "Most negative\n");
  assertStringIncludes(notes, `${file("classes.txt")}: 1 empty entry`);
  assertStringIncludes(notes, "Wrote ");
  const set = await loadLabelSet(file("l.safetensors"));
  assertEquals(set.ids, ["cat", "crane, bird"]);
  assertEquals(set.kinds.filter((kind) => kind === "noun").length, 4);
  assertEquals([set.logitScale, set.mining, set.width], [20, "neg_label", 6]);
  const { metadata } = await readSafetensors(file("l.safetensors"));
  assertEquals(JSON.parse(metadata["prompts"]!).adjective, ["This is a {} photo"]);
  assertEquals(JSON.parse(metadata["label_mining"]!).share, 0.4);

  assertRefused(await ood(...argv), {
    code: 1,
    message: "it is there already; --force replaces it",
  });
  const again = await succeed(...argv, "--force", "--json", "--share", "1", "--show", "3");
  assertStringIncludes(again.notes, "18 text features were in");
  const summary = JSON.parse(again.out);
  assertEquals([summary.negatives, summary.kinds], [16, { noun: 11, adjective: 5 }]);
  assertEquals([summary.most.length, summary.least.length], [3, 3]);
  assertEquals(summary.most[0].name, set.negatives[0]);
  // All of a synonym set's words, and other files left out.
  const all = await succeed(...argv, "--force", "--json", "--synsets", "all", "--exclude", "none");
  assertEquals(JSON.parse(all.out).candidates > 30, true);
});

Deno.test("ood synood labels takes lists of words, and given labels", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const words = ["--words", file("words.txt"), "--json"];
  const mined = await succeed(...usual(shop), ...words, "--count", "4");
  assertStringIncludes(mined.notes, `${file("words.txt")}: 1 empty entry`);
  assertStringIncludes(mined.notes, 'words.txt: 1 entry that repeats another ("Reef")');
  const summary = JSON.parse(mined.out);
  assertEquals([summary.negatives, summary.kinds], [4, { word: 4 }]);
  assertEquals(summary.dropped, {
    count: 1,
    examples: [{ name: "Cats", kind: "word", id: "cat", equal: true }],
  });
  const both = await succeed(
    ...[...usual(shop, "b.safetensors"), ...words, "--words-adjectives", file("adjectives.json")],
    ...["--share", "0.5", "--mining", "csp", "--seed", "4", "--names", "all"],
  );
  const { kinds, prompts, seed } = JSON.parse(both.out);
  assertEquals([kinds, seed], [{ noun: 4, adjective: 2 }, 4]);
  assertEquals([prompts.id.length, prompts.noun.length, prompts.adjective.length], [8, 8, 4]);
  const csp = await loadLabelSet(file("b.safetensors"));
  const made = csp.negatives.filter((_, i) => csp.kinds[i] === "adjective");
  assertEquals(made.every((name) => SUPERCLASSES.includes(name.split(" ")[1]!)), true);

  const given = await succeed(
    ...[...usual(shop, "g.safetensors"), "--negatives", file("words.txt"), "--keep-id-names"],
    ...["--template", "a photo of a {}.", "--template", "mcm", "--template-classes", "{}"],
  );
  assertStringIncludes(given.out, "10 negative labels for 2 classes (10 words)");
  const set = await loadLabelSet(file("g.safetensors"));
  assertEquals([set.negatives, set.mining], [[...NOUNS, "Cats"], "given"]);
  const { metadata } = await readSafetensors(file("g.safetensors"));
  assertEquals(JSON.parse(metadata["prompts"]!), {
    id: ["{}"],
    noun: ["a photo of a {}.", "a photo of a {}."],
    adjective: ["a photo of a {}.", "a photo of a {}."],
  });

  const none = await succeed(...usual(shop, "n.safetensors"), "--ids-only");
  assertEquals(
    none.out,
    '0 negative labels for 2 classes\nprompts: "a photo of a {}." for classes\n',
  );
  assertEquals((await loadLabelSet(file("n.safetensors"))).negatives, []);
});

Deno.test("ood synood labels takes the model's own prompts, and begins another's features anew", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const words = ["--words", file("words.txt")];
  await succeed(...usual(shop), ...words);
  const sidecar = { "logit_scale": 20, templates: ["{}", "a drawing of a {}"] };
  await writeClip(file("clip"), { ...TINY, seed: 2, files: { "oodgpu.json": sidecar } });
  const { out, notes } = await succeed(...usual(shop), ...words, "--force");
  assertStringIncludes(out, "prompts: the average of 2 for classes, the average of 2 for words");
  const anew = "l.prompts.safetensors is begun anew: it is of another text encoder or tokenizer";
  assertStringIncludes(notes, anew);

  const same = await succeed(...usual(shop), ...words, "--force");
  assert(!same.notes.includes("begun anew"));
  const tokenizer = JSON.parse(await Deno.readTextFile(file("clip/tokenizer.json")));
  const other = { ...tokenizer, normalizer: { type: "Sequence", normalizers: [] } };
  await Deno.writeTextFile(file("clip/tokenizer.json"), JSON.stringify(other));
  assertStringIncludes((await succeed(...usual(shop), ...words, "--force")).notes, anew);
});

Deno.test("ood synood labels takes classes from folders, sidecars and feature files", async () => {
  await using shop = await prepared();
  const { file } = shop;
  await Deno.mkdir(file("train/golden_retriever"), { recursive: true });
  await Deno.mkdir(file("train/Bee"));
  await Deno.mkdir(file("train/.hidden"));
  await Deno.writeTextFile(file("train/list.txt"), "x");
  const labels = ["owl", "ape"];
  await Deno.writeTextFile(file("classifier.json"), JSON.stringify({ labels }));
  await Deno.writeTextFile(file("array.json"), JSON.stringify(labels));
  await Deno.writeFile(
    file("f.safetensors"),
    encodeSafetensors(
      { labels: { data: new Int32Array([0]), shape: [1] } },
      { "label_names": JSON.stringify(labels) },
    ),
  );
  const classes = async (source: string, ...more: string[]) => {
    const argv = ["--classes", file(source), "--ids-only", "--force", ...more];
    const rest = usual(shop).filter((_, i) => i !== 4 && i !== 5);
    await succeed(...rest, ...argv);
    return (await loadLabelSet(file("l.safetensors"))).ids;
  };
  assertEquals(await classes("train"), ["Bee", "golden_retriever"]);
  for (const source of ["classifier.json", "classifier.onnx", "array.json", "f.safetensors"]) {
    assertEquals(await classes(source), labels);
  }
  await Deno.writeTextFile(file("twice.txt"), "missile\nsunglasses\nmissile\n");
  assertEquals(await classes("twice.txt", "--same-names"), ["missile", "sunglasses", "missile"]);
});

Deno.test("ood synood labels refuses what it cannot use in one sentence", async () => {
  await using shop = await prepared();
  const { file } = shop;
  const write = (name: string, text: string) => Deno.writeTextFile(file(name), text);
  await write("empty.txt", "\n \n");
  await write("twice.txt", "cat\ndog\nCat\n");
  await write("numbers.txt", "n01440764\nn01443537\n");
  await write("cats.txt", "cats\ncat food\n");
  await write("bare.json", '{"name": "x"}');
  await write("object.json", '{"cat": 1}');
  await Deno.writeFile(file("binary.txt"), new Uint8Array([0, 1, 2]));
  await Deno.mkdir(file("hollow"));
  await write("other.safetensors", "hello");
  const nan = replaceInitializers(clipText(TINY), {
    "final_layer_norm.bias": new Float32Array(TINY.width).fill(NaN),
  });
  await writeClip(file("broken"), { ...TINY, files: { "text_model.onnx": nan } });
  const words = ["--words", file("words.txt")];
  const [classes, model] = [["--classes", file("classes.txt")], ["--model", file("clip")]];
  const both = [...model, ...classes];
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [classes, 2, "The option --model FOLDER is required"],
    [model, 2, "The option --classes SOURCE is required"],
    [[...both, ...words, "--share", "0"], 2, "The option --share must be above 0"],
    [[...both, ...words, "--share", "1.5"], 2, "--share must be a number from 0 to 1"],
    [[...both, ...words, "--quantile", "-0.1"], 2, "--quantile must be a number from 0 to 1"],
    [[...both, ...words, "--count", "0"], 2, "--count must be a whole number from 1"],
    [[...both, ...words, "--seed", "x"], 2, "--seed must be a whole number"],
    [[...both, ...words, "--mining", "given"], 2, "--mining must be one of neg_label, csp"],
    [[...both, ...words, "--wordnet", "x"], 2, "--wordnet and --words exclude each other"],
    [[...both, ...words, "--ids-only"], 2, "--words and --ids-only exclude each other"],
    [[...both, "--words-adjectives", "x"], 2, "--words-adjectives needs --words"],
    [[...both, "--ids-only", "--count", "3"], 2, "--count is for mined labels, not for --ids-only"],
    [[...both, ...words, "--exclude", "none"], 2, "--exclude is for WordNet's words, not for"],
    [
      [...both, "--wordnet", file("wordnet"), "--exclude", "noun.animals"],
      2,
      'names no file of WordNet: "noun.animals"; did you mean "noun.animal"',
    ],
    [[...both, ...words, "--template", "a photo"], 2, 'exactly one "{}" for the name: "a photo"'],
    [[...both, ...words, "--template", "{} {}"], 2, 'exactly one "{}" for the name: "{} {}"'],
    [[...both, "--words", file("none.txt")], 1, 'none.txt": there is no such file'],
    [[...both, "--words", file("empty.txt")], 1, "no word in it (2 empty entries)"],
    [[...both, "--negatives", file("binary.txt")], 1, "it is no UTF-8 text"],
    [[...both, "--words", file("object.json")], 1, "a JSON array of words was expected"],
    [[...both, "--words", file("cats.txt")], 1, "all 2 candidates say the name of a class"],
    [[...both, "--wordnet", file("hollow")], 1, 'hollow": it has no data.noun; Debian'],
    [[...both, "--wordnet", file("nowhere")], 1, 'nowhere": there is no such folder'],
    [[...model, ...words, "--classes", file("none.txt")], 1, "there is no such file"],
    [[...model, ...words, "--classes", file("empty.txt")], 1, 'empty.txt": it names none'],
    [
      [...model, ...words, "--classes", file("twice.txt")],
      1,
      'the classes 0 and 2 have one name, "Cat"; tell them apart',
    ],
    [[...model, ...words, "--classes", file("numbers.txt")], 1, "are WordNet's numbers, and names"],
    [[...model, ...words, "--classes", file("bare.json")], 1, 'bare.json": it has no "labels"'],
    [[...model, ...words, "--classes", file("hollow")], 1, "there is no folder in it"],
    [[...model, ...words, "--classes", file("m.onnx")], 1, 'has no "labels"'],
    [[...classes, ...words, "--model", file("hollow")], 1, "there is no text_model.onnx"],
    [[...classes, ...words, "--model", file("broken")], 1, "gives numbers that are none"],
    [
      [...both, ...words, "--cache", file("other.safetensors")],
      1,
      'other.safetensors": the file has 5 bytes',
    ],
  ];
  const before = listFiles(shop.path);
  for (const [argv, code, message] of cases) {
    const run = await ood(
      ...["synood", "labels", "--out", file("l.safetensors"), "--device", "wasm", ...argv],
    );
    assertRefused(run, { code, message });
    assertEquals(listFiles(shop.path), before, argv.join(" "));
  }
  const nowhere = [...both, ...words, "--out", file("no/l.safetensors")];
  assertRefused(await ood("synood", "labels", ...nowhere), { code: 1, message: "no/l" });
  assertRefused(await ood("synood", "lables"), { code: 2, message: "did you mean synood labels" });
});
