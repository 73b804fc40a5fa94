import { assertEquals } from "@std/assert";
import { COLOUR_SIDECAR, writeTagger, writeThings } from "./_colours.ts";
import { assertRefused, listFiles, ood, workshop, writeImages } from "./_workshop.ts";

/** A command line, its exit code, and what its one sentence says. */
type Case = readonly [argv: readonly string[], code: number, message: string];

Deno.test("ood synood contexts refuses what makes no sense in one sentence", async () => {
  await using shop = await workshop();
  const { file } = shop;
  await writeImages(file("in/cat"), 2);
  await writeThings(file("plain"), 2, { colour: [1, 2, 3] });
  await writeTagger(file("t.onnx"));
  const { tags: _, ...nameless } = COLOUR_SIDECAR;
  await writeTagger(file("nameless.onnx"), { sidecar: nameless });
  const { outputs: __, ...mute } = COLOUR_SIDECAR;
  await writeTagger(file("mute.onnx"), { sidecar: mute });
  const texts: Record<string, string> = {
    "map.json": '{"cat/000.png": ["sofa"]}',
    "other.json": '{"train/cat/000.png": ["sofa"]}',
    "broken.json": '{"cat/000.png": ["so',
    "numbers.json": '{"cat/000.png": [7]}',
    "old.json": '{"version": 9, "images": {}}',
    "line.jsonl": '{"path": "cat/000.png"}',
    "empty.txt": " \n",
  };
  for (const [name, text] of Object.entries(texts)) await Deno.writeTextFile(file(name), text);
  Deno.env.set("OODGPU_TEST_ODD_KEY", "two words");
  const from = ["--from", file("map.json")];
  const tagger = ["--tagger", file("t.onnx")];
  const url = "http://127.0.0.1:4321";
  const endpoint = ["--endpoint", url, "--model", "m"];
  const cases: Case[] = [
    [[], 2, "One of the options --from FILE, --tagger MODEL.onnx and --endpoint URL is required"],
    [[...from, ...tagger], 2, "The options --from and --tagger exclude each other"],
    [[...tagger, ...endpoint], 2, "The options --tagger and --endpoint exclude each other"],
    [[...from, "--model", "m"], 2, "The option --model needs --endpoint"],
    [[...from, "--skip-failed"], 2, "The option --skip-failed needs --endpoint"],
    [[...tagger, "--timeout", "3"], 2, "The option --timeout needs --endpoint"],
    [[...from, "--strip", "around"], 2, "The option --strip needs --tagger"],
    [[...endpoint, "--resume"], 2, "The option --resume needs --tagger"],
    [["--endpoint", url], 2, "The option --endpoint needs --model NAME"],
    [
      [...from, "--most", "0"],
      2,
      'The option --most must be a whole number from 1 to 1000: it is "0"',
    ],
    [[...from, "--limit", "none"], 2, "The option --limit must be a whole number from 1"],
    [[...from, "--per-class", "0.5"], 2, "The option --per-class must be a whole number from 1"],
    [["--from", file("no.json")], 1, 'elements from "'],
    [["--from", file("broken.json")], 1, "it is neither a JSON object of lists by path nor lines"],
    [["--from", file("numbers.json")], 1, 'numbers.json": "cat/000.png" has no list of texts'],
    [["--from", file("old.json")], 1, "its version is 9, and this program reads version 1"],
    [["--from", file("line.jsonl")], 1, 'line 1 has none of "elements", "contexts", "background"'],
    [
      ["--from", file("other.json")],
      1,
      `other.json": none of the images of "${
        file("in")
      }" is in it; it names "train/cat/000.png", and`,
    ],
    [["--tagger", file("no.onnx")], 1, 'no.onnx": there is no such file'],
    [
      ["--tagger", file("nameless.onnx")],
      1,
      'it does not name its tags; list them as "tags" in its',
    ],
    [
      [...tagger, "--threshold", "1"],
      2,
      "The option --threshold must lie between 0 and 1: it is 1",
    ],
    [
      [...tagger, "--keep", "red,,blue"],
      2,
      "--keep must be a list such as A,B without empty parts",
    ],
    [[...tagger, "--keep", "rde"], 2, 'The option --keep has "rde", and no tag is of that pattern'],
    [
      [...tagger, "--vocabulary", file("no.json")],
      1,
      'no.json": there is no such file; "ood tagood',
    ],
    [
      ["--endpoint", "localhost:8080", "--model", "m"],
      2,
      'the endpoint "localhost:8080": an address',
    ],
    [["--endpoint", "ftp://x/v1", "--model", "m"], 2, 'the endpoint "ftp://x/v1": an address such'],
    [
      ["--endpoint", "http://me:secret@x/v1", "--model", "m"],
      2,
      "Cannot use an endpoint with a name or a password in its address: a key comes from an environ",
    ],
    [[...endpoint, "--timeout", "0"], 2, "The option --timeout must be a number from 0.05"],
    [
      [...endpoint, "--parallel", "0"],
      2,
      "The option --parallel must be a whole number from 1 to 64",
    ],
    [
      [...endpoint, "--image-size", "9"],
      2,
      "The option --image-size must be a whole number from 16",
    ],
    [
      [...endpoint, "--request", "{x}"],
      2,
      'The option --request must be a JSON object: it is "{x}"',
    ],
    [[...endpoint, "--request", '{"model": 1}'], 2, '--request must not set "model", which this'],
    [[...endpoint, "--question", file("no")], 1, 'the question "'],
    [[...endpoint, "--question", file("empty.txt")], 1, 'empty.txt": the file is empty'],
    [
      [...endpoint, "--key-env", "sk-5ecret"],
      2,
      "--key-env must be the name of an environment var",
    ],
    [
      [...endpoint, "--key-env", "OODGPU_NO_SUCH_KEY"],
      2,
      "--key-env names an environment variable that is not set",
    ],
    [[...endpoint, "--key-env", "OODGPU_TEST_ODD_KEY"], 1, "OODGPU_TEST_ODD_KEY: there are char"],
    [
      ["--endpoint", "https://vision.example.org/v1", "--model", "m"],
      1,
      'Cannot ask "https://vision.example.org/v1/chat/completions": Deno was started without the ' +
      "permission to reach vision.example.org:443; start it with --allow-net=vision.example.org:443",
    ],
  ];
  const before = listFiles(shop.path);
  for (const [argv, code, message] of cases) {
    const images = ["--images", file("in"), "--out", file("c.json")];
    const run = await ood("synood", "contexts", ...images, ...argv);
    assertRefused(run, { code, message });
    assertEquals(/5ecret|me:secret|two words/.test(run.notes), false, run.notes);
    assertEquals(listFiles(shop.path), before, argv.join(" "));
  }
  Deno.env.delete("OODGPU_TEST_ODD_KEY");
  const elsewhere: Case[] = [
    [["--images", file("no"), "--out", file("c.json")], 1, 'no": there is no such file or folder'],
    [["--images", file("in"), "--out", file("no/c.json")], 1, "no/c.json"],
    [["--images", file("in")], 2, "The option --out FILE is required"],
    [["--out", file("c.json")], 2, "The option --images SOURCE is required"],
    [
      ["--images", file("plain"), "--out", file("c.json"), "--per-class", "1"],
      1,
      `images of each class of "${file("plain")}": its images have no labels`,
    ],
  ];
  for (const [argv, code, message] of elsewhere) {
    assertRefused(await ood("synood", "contexts", ...from, ...argv), { code, message });
    assertEquals(listFiles(shop.path), before, argv.join(" "));
  }
  const run = await ood(
    ...["synood", "contexts", "--images", file("in"), "--out", file("c.json")],
    ...["--tagger", file("mute.onnx"), "--device", "wasm"],
  );
  assertRefused(run, { code: 1, message: "tag_logits" });
});
