import { assertEquals } from "@std/assert";
import { parseAnswer } from "../../methods/synood/_answer.ts";

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
