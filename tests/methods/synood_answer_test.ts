import { assert, assertEquals, assertRejects } from "@std/assert";
import { syntheticSet } from "../../data/mod.ts";
import { Rng } from "../../kernels/mod.ts";
import { askElements, type AskElementsOptions, endpointAddress } from "../../methods/mod.ts";
import { parseAnswer } from "../../methods/synood/_answer.ts";
import { secondsBefore } from "../../methods/synood/_chat.ts";

/** What models say, and the elements in it. */
const ANSWERS: readonly (readonly [answer: string, elements: readonly string[]])[] = [
  ['["grass", "birds"]', ["grass", "birds"]],
  ['```json\n["grass", "birds"]\n```', ["grass", "birds"]],
  ['Here is the list:\n["grass", "birds"]\nDo you want more?', ["grass", "birds"]],
  ['<think>perhaps ["cat"]?</think>\n["grass"]', ["grass"]],
  ['{"elements": ["a lake", "the sky"]}', ["lake", "sky"]],
  ['{"result": ["lake"]}', ["lake"]],
  ['{"elements": "lake, sky"}', ["lake", "sky"]],
  ['[{"name": "grass"}, {"label": "sky"}, 7, null]', ["grass", "sky"]],
  ["['grass', 'birds']", ["grass", "birds"]],
  ['["grass", "birds", "tre', ["grass", "birds"]],
  ['["grass"]\nor ["sky"]', ["grass"]],
  ["[grass, blue sky]", ["grass", "blue sky"]],
  ["grass, birds and a fence.", ["grass", "birds", "fence"]],
  ["Sure! I see these elements: grass, some birds, and a fence", ["grass", "birds", "fence"]],
  ["grass\nbirds\n\nsky", ["grass", "birds", "sky"]],
  ["- **Grass**: covers the ground\n- birds\n* a child's toy", ["Grass", "birds", "child's toy"]],
  ["1. grass (green)\n2) sky – cloudy\n3. `water`", ["grass", "sky", "water"]],
  ["Elements:\n• grass\n• sky", ["grass", "sky"]],
  ["草, 鸟", ["草", "鸟"]],
  ["[]", []],
  ["", []],
  ['{"elements": []}', []],
  ["None.", []],
  ["There is nothing else in the picture.", []],
  ["No other elements", []],
  ["I'm sorry, but I can't help with that.", []],
  ["The image shows a very small cat that sits upon an old red sofa", []],
  ["<think>it never ends", []],
];

for (const [answer, elements] of ANSWERS) {
  Deno.test(`parseAnswer() finds ${elements.length} in ${JSON.stringify(answer)}`, () => {
    assertEquals(parseAnswer(answer), elements);
  });
}

Deno.test("endpointAddress() takes an API's address with and without its path", () => {
  const addresses: [string, string][] = [
    ["http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/chat/completions"],
    ["http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1/chat/completions"],
    ["https://x.org/v1/", "https://x.org/v1/chat/completions"],
    ["https://x.org/api/v2?key=secret", "https://x.org/api/v2/chat/completions"],
    ["https://x.org/openai/chat/completions", "https://x.org/openai/chat/completions"],
    ["https://x.org/proxy", "https://x.org/proxy/v1/chat/completions"],
  ];
  for (const [endpoint, address] of addresses) assertEquals(endpointAddress(endpoint), address);
});

Deno.test("secondsBefore() doubles up to a minute, and varies by the seed alone", () => {
  const waits = (seed: number) => {
    const rng = new Rng(seed, 7);
    return Array.from({ length: 9 }, (_, i) => secondsBefore(i + 1, { backoff: 1, rng }));
  };
  assertEquals(waits(1), waits(1));
  assert(waits(1)[0] !== waits(2)[0]);
  for (const [i, seconds] of waits(3).entries()) {
    const whole = Math.min(60, 2 ** i);
    assert(seconds >= whole / 2 && seconds < whole, `${i}: ${seconds}`);
  }
});

Deno.test("askElements() refuses numbers that make no sense", async () => {
  const images = syntheticSet(1, { width: 2, height: 2, seed: 1, kinds: ["uniform"] });
  const wrong: Partial<AskElementsOptions>[] = [
    ...[{ parallel: 0 }, { timeout: 0 }, { retries: -1 }, { imageSize: 0 }, { most: NaN }],
    { backoff: Infinity },
  ];
  for (const numbers of wrong) {
    const [name] = Object.keys(numbers);
    await assertRejects(
      () =>
        askElements({
          ...{ path: "drawn", count: 1, names: images.names, labels: new Int32Array(1) },
          ...{ classNames: [], skippedFiles: 0 },
          item: (index) => Promise.resolve(images.item(index)),
          read: (index) => Promise.resolve(images.item(index).image),
        }, { endpoint: "http://127.0.0.1:4321", model: "m", cache: "none", ...numbers }),
      RangeError,
      `Cannot ask about images: "${name}" must be at least`,
    );
  }
});
