import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { loadTokenizer, type TextTokenizer } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { clipTokenizer, type TokenizerFiles } from "../_support/clip.ts";
import { temporaryFolder } from "../_support/images.ts";

const START = 49_406n;
const END = 49_407n;

/** Loads a tokenizer's files from a folder. */
async function written(files: Partial<TokenizerFiles>, special?: unknown): Promise<TextTokenizer> {
  await using folder = await temporaryFolder();
  const write = async (name: string, value: unknown) => {
    if (value !== undefined) {
      await Deno.writeTextFile(`${folder.path}/${name}`, JSON.stringify(value));
    }
  };
  await write("tokenizer.json", files.tokenizer);
  await write("tokenizer_config.json", files.config);
  await write("special_tokens_map.json", special);
  return await loadTokenizer(`${folder.path}/tokenizer.json`);
}

Deno.test("loadTokenizer() encodes as CLIP does: marks, padding with the end, mask", async () => {
  const tokenizer = await written(clipTokenizer());
  assertEquals(tokenizer.vocabularySize, 49_408);
  assertEquals(tokenizer.maxLength, 77);
  const { ids, mask, shape, truncated } = tokenizer.encode(["A photo  of\na CAT", "é"], {
    length: 8,
  });
  assertEquals(shape, [2, 8]);
  assertEquals(truncated, []);
  // Case, runs of white space and line breaks do not matter; words that were merged are one token.
  const [a, photo, of, cat] = [320n, 519n, 520n, 513n];
  assertEquals([...ids.slice(0, 8)], [START, a, photo, of, a, cat, END, END]);
  // Two bytes of UTF-8, the second with the end of the word.
  assertEquals([...ids.slice(8)], [START, 127n, 358n, END, END, END, END, END]);
  assertEquals([...mask], [1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0].map(BigInt));
});

Deno.test("TextTokenizer.encode() cuts the end of a text but not its end token", async () => {
  const tokenizer = await loadTokenizer(clipTokenizer());
  const words = "cat dog ".repeat(100);
  const { ids, mask, truncated } = tokenizer.encode(["cat", words, ""], { length: 77 });
  assertEquals(truncated, [1]);
  const row = ids.slice(77, 154);
  assertEquals([row[0], row.at(-1)], [START, END]);
  assertEquals(row.filter((id) => id === END).length, 1);
  assert(mask.slice(77, 154).every((value) => value === 1n));
  assertEquals([...ids.slice(154, 157)], [START, END, END]);
  // The rows of short texts need not be long.
  const { ids: short, shape } = tokenizer.encode(["cat", "cat dog"], {
    length: 77,
    padding: "longest",
  });
  assertEquals(shape, [2, 4]);
  assertEquals([short[3], short[7]], [END, END]);
  for (const length of [2, 0, 2.5]) {
    assertThrows(() => tokenizer.encode(["cat"], { length }), RangeError, "start and the end");
  }
});

Deno.test("loadTokenizer() pads as the files say", async () => {
  const { tokenizer, config } = clipTokenizer();
  const pads = async (files: Partial<TokenizerFiles>, special?: unknown) =>
    (await written(files, special)).padId;
  assertEquals(await pads({ tokenizer, config }), 49_407);
  // Stable Diffusion 2's map of special tokens names "!".
  assertEquals(await pads({ tokenizer, config }, { pad_token: "!" }), 0);
  const object = { content: "!", lstrip: false };
  assertEquals(await pads({ tokenizer, config: { ...config, pad_token: object } }), 0);
  const { pad_token: _, ...silent } = config;
  const padding = { strategy: "BatchLongest", "pad_token": '"', "pad_id": 1 };
  assertEquals(await pads({ tokenizer: { ...tokenizer, padding }, config: silent }), 1);
  // Without a word about padding, with what ends a text.
  assertEquals(await pads({ tokenizer, config: silent }), 49_407);
  assertEquals(await pads({ tokenizer }), 49_407);
});

Deno.test("loadTokenizer() refuses what is no tokenizer", async () => {
  const { tokenizer, config } = clipTokenizer();
  const model = tokenizer["model"] as Record<string, unknown>;
  const cases: [Partial<TokenizerFiles>, string][] = [
    [{}, "there is no such file"],
    [{ tokenizer: [1] as unknown as TokenizerFiles["tokenizer"] }, "it is a list and an object"],
    [{ tokenizer: { labels: ["cat"] } }, 'it has no "model", so it is no tokenizer.json'],
    [{ tokenizer: { ...tokenizer, model: { type: "Magic" } } }, 'run ("Unknown TokenizerModel'],
    [{ tokenizer: { ...tokenizer, model: { ...model, vocab: null } } }, "no tokenizer that can be"],
    [
      { tokenizer, config: { ...config, pad_token: "<pad>" } },
      'its padding token "<pad>" is not in its vocabulary',
    ],
  ];
  for (const [files, message] of cases) {
    await assertRejects(() => written(files), UserError, message);
  }
  await using folder = await temporaryFolder();
  const path = `${folder.path}/tokenizer.json`;
  await Deno.writeTextFile(path, "{");
  await assertRejects(() => loadTokenizer(path), UserError, "it is not JSON");
});

Deno.test("TextTokenizer.encode() names what it has no token for", async () => {
  const tokenizer = await loadTokenizer({
    tokenizer: {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "WhitespaceSplit" },
      post_processor: null,
      decoder: null,
      model: {
        type: "WordPiece",
        unk_token: "[UNK]",
        continuing_subword_prefix: "##",
        vocab: { a: 0, "##b": 1 },
      },
    },
  });
  assertEquals([tokenizer.padId, tokenizer.maxLength], [0, undefined]);
  assertEquals([...tokenizer.encode(["ab"], { length: 3 }).ids], [0n, 1n, 0n]);
  const message = 'Cannot encode "aXb": "tokenizer.json" has no token for "[UNK]"';
  assertThrows(() => tokenizer.encode(["aXb"], { length: 3 }), UserError, message);
});

Deno.test("TextTokenizer.hash tells tokenizers apart", async () => {
  const content = clipTokenizer({ words: ["cat"], vocabulary: 600 });
  const hashOf = async (change: Record<string, unknown>) =>
    (await loadTokenizer({ ...content, tokenizer: { ...content.tokenizer, ...change } })).hash;
  assertEquals(await hashOf({}), await hashOf({}));
  assert(await hashOf({}) !== await hashOf({ normalizer: null }));
});
