import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  encodePrompts,
  fillTemplate,
  type Prompt,
  PromptCache,
  PROMPTS,
  requireTemplates,
  SUPERCLASSES,
  templatesOf,
} from "../../methods/mod.ts";
import { writeSafetensors } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { fakeEncoder } from "./_prompts.ts";

const NICE = ["the nice {}"];
const prompts = (...names: string[]): Prompt[] =>
  names.map((name) => ({ names: [name], templates: NICE }));

Deno.test("templates hold the papers' prompts, and a place for the name", () => {
  for (const { id, noun, adjective } of Object.values(PROMPTS)) {
    for (const templates of [id, noun, adjective]) requireTemplates(templates);
  }
  assertEquals([PROMPTS.csp.noun.length, PROMPTS.csp.adjective.length], [8, 4]);
  assertEquals(SUPERCLASSES.length, 14);
  assertEquals(templatesOf(PROMPTS["neg_label"], "adjective"), ["This is a {} photo"]);
  assertEquals(fillTemplate("a {} photo", "$& {} _x"), "a $& {}  x photo");
  assertThrows(() => requireTemplates([]), UserError, "there is no template");
  assertThrows(() => requireTemplates(["{} and {}"]), UserError, 'exactly one "{}"');
});

Deno.test("encodePrompts() averages features before it scales them", async () => {
  const features: Record<string, number[]> = { "a": [10, 0], "the a": [0, 1], "b": [-2, 0] };
  const model = fakeEncoder({ width: 2, feature: (text) => features[text]! });
  const both = ["{}", "the {}"];
  const { text, width } = await encodePrompts(model, [
    { names: ["a"], templates: both },
    { names: ["a", "b"], templates: ["{}"] },
    { names: ["b"], templates: ["{}"] },
  ]);
  const length = Math.hypot(10, 1);
  assertClose(text, [10 / length, 1 / length, 1, 0, -1, 0], TOLERANCE.kernel);
  assertEquals(width, 2);
  assertEquals(model.calls, [["a", "the a", "a", "b", "b"]]);
});

Deno.test("encodePrompts() works in parts, says how far it is, and stops", async () => {
  const model = fakeEncoder();
  const many = prompts(...Array.from({ length: 2500 }, (_, i) => `word ${i}`));
  const seen: number[] = [];
  const { text } = await encodePrompts(model, many, { onProgress: (done) => seen.push(done) });
  assertEquals(text.length, 2500 * 6);
  assertEquals(seen, [0, 1024, 2048, 2500]);
  const alone = await encodePrompts(model, many.slice(1500, 1501));
  assertEquals(alone.text, text.subarray(1500 * 6, 1501 * 6));
  const stop = new AbortController();
  const stopped = encodePrompts(model, many, {
    signal: stop.signal,
    onProgress: (done) => done > 0 && stop.abort(),
  });
  await assertRejects(() => stopped, DOMException);
  // What takes more texts than a part holds is a part of its own.
  const names = Array.from({ length: 1500 }, (_, i) => `w${i}`);
  await encodePrompts(model, [{ names, templates: NICE }, ...prompts("a")]);
  assertEquals(model.calls.slice(-2).map(({ length }) => length), [1500, 1]);
});

Deno.test("encodePrompts() refuses features that are none in one sentence", async () => {
  const refuse = (feature: (text: string) => number[], message: string, width = 2) =>
    assertRejects(
      () => encodePrompts(fakeEncoder({ width, feature }), prompts("a", "b")),
      UserError,
      message,
    );
  await refuse(
    (text) => [1, text.endsWith("b") ? NaN : 0],
    'its feature of "the nice b" has a NaN',
  );
  await refuse((text) => [text.endsWith("b") ? -Infinity : 1, 0], 'of "the nice b" has a NaN or');
  await refuse(() => [0, 0], 'its feature of "a" is zero');
  await refuse(() => [1], "2 numbers came of 2 texts, and 2 for each were expected");
  await refuse(() => [], "0 numbers came of 2 texts", 0);
  await assertRejects(() => encodePrompts(fakeEncoder(), []), UserError, "there is none");
});

Deno.test("PromptCache gives what was encoded before, by name and templates", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/cache.safetensors`;
  const model = fakeEncoder({ hash: "m" });
  const first = await encodePrompts(model, prompts("a", "b"), {
    cache: await PromptCache.open(path, "m"),
  });
  assertEquals(first.cached, 0);
  const other: Prompt = { names: ["b"], templates: ["{}", "the {}"] };
  const many: Prompt = { names: ["a", "b"], templates: NICE };
  const second = await encodePrompts(model, [...prompts("c", "b"), other, many], {
    cache: await PromptCache.open(path, "m"),
  });
  assertEquals(second.cached, 1);
  assertEquals(model.calls.at(-1), ["the nice c", "b", "the b", "the nice a", "the nice b"]);
  assertEquals(second.text.subarray(6, 12), first.text.subarray(6, 12));
  const third = await PromptCache.open(path, "m");
  assertEquals(third.size, 5);
  const again = await encodePrompts(model, [many, other, ...prompts("c", "b")], { cache: third });
  assertEquals([again.cached, model.calls.length], [4, 2]);
  assertEquals(again.text.subarray(12, 18), second.text.subarray(0, 6));

  const renewed = await PromptCache.open(path, "n");
  assertEquals([renewed.size, renewed.renewed], [0, "it is of another text encoder or tokenizer"]);
  assertThrows(() => third.set(other, new Float32Array(7)), UserError, "they are 7 wide");
});

Deno.test("PromptCache keeps what was encoded before a failure", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/cache.safetensors`;
  let texts = 0;
  const model = fakeEncoder({
    width: 2,
    feature: () => ++texts > 1024 ? [NaN, 0] : [1, texts],
  });
  const many = prompts(...Array.from({ length: 1500 }, (_, i) => `word ${i}`));
  const cache = await PromptCache.open(path, "m");
  await assertRejects(() => encodePrompts(model, many, { cache }), UserError, "NaN");
  assertEquals((await PromptCache.open(path, "m")).size, 1024);
});

Deno.test("PromptCache never replaces another file, and begins a damaged one anew", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/x.safetensors`;
  const x = { data: new Float32Array(2), shape: [1, 2] };
  await writeSafetensors(path, { x });
  await assertRejects(() => PromptCache.open(path, "m"), UserError, "it is another file");
  await Deno.writeTextFile(path, "hello");
  await assertRejects(() => PromptCache.open(path, "m"), UserError, "the file has 5 bytes");
  const damaged = ["", "{}", "[{}]", '[{"templates":["{}"],"names":["a","b"]}]', "[3]"];
  for (const prompts of damaged) {
    const metadata = { format: "oodgpu.synood.prompts", "text_model": "m", prompts };
    await writeSafetensors(path, { "text_embed": x }, metadata);
    const cache = await PromptCache.open(path, "m");
    assertEquals([cache.size, cache.renewed], [0, "it is damaged"], prompts);
  }
});
