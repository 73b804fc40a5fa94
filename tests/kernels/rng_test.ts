import { assert, assertEquals, assertThrows } from "@std/assert";
import { philox4x32, Rng } from "../../kernels/random/rng.ts";

Deno.test("philox4x32() gives the known answers of the Random123 library", () => {
  const ones = 0xffffffff;
  assertEquals(
    [...philox4x32([0, 0, 0, 0], [0, 0])],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  );
  assertEquals(
    [...philox4x32([ones, ones, ones, ones], [ones, ones])],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  );
  assertEquals(
    [
      ...philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    ],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  );
});

Deno.test("Rng takes its words from the blocks (index, stream) under the key (seed)", () => {
  const seed = 5 * 2 ** 32 + 17;
  const rng = new Rng(seed, 9);
  const words = Array.from({ length: 10 }, () => rng.word());
  const expected = [0, 1, 2].flatMap((block) => [...philox4x32([block, 0, 9, 0], [17, 5])]);
  assertEquals(words, expected.slice(0, 10));
});

Deno.test("Rng gives other words for another seed or another stream", () => {
  const first = (seed: number, stream: number) => new Rng(seed, stream).word();
  const distinct = new Set([first(0, 0), first(1, 0), first(0, 1), first(2 ** 32, 0)]);
  assertEquals(distinct.size, 4);
});

Deno.test("Rng refuses a seed or a stream that is no whole number in range", () => {
  assertThrows(() => new Rng(-1), RangeError, "seed");
  assertThrows(() => new Rng(0.5), RangeError, "seed");
  assertThrows(() => new Rng(2 ** 53), RangeError, "seed");
  assertThrows(() => new Rng(0, 2 ** 32), RangeError, "stream");
});

Deno.test("Rng.uniform() is exact in f32 and has the moments of the uniform law", () => {
  const seed = 11;
  const rng = new Rng(seed);
  let sum = 0;
  let squares = 0;
  const n = 20000;
  for (let i = 0; i < n; i++) {
    const value = rng.uniform();
    assert(value >= 0 && value < 1 && Math.fround(value) === value, `seed ${seed}: ${value}`);
    sum += value;
    squares += value * value;
  }
  // Six standard errors.
  assert(Math.abs(sum / n - 0.5) < 6 * Math.sqrt(1 / 12 / n), `seed ${seed}: mean ${sum / n}`);
  assert(Math.abs(squares / n - 1 / 3) < 6 * Math.sqrt(4 / 45 / n), `seed ${seed}`);
});

Deno.test("Rng.normal() has the moments of the normal law and makes two of each pair of words", () => {
  const seed = 12;
  const rng = new Rng(seed);
  const n = 20000;
  let sum = 0;
  let squares = 0;
  let fourth = 0;
  for (let i = 0; i < n; i++) {
    const value = rng.normal();
    sum += value;
    squares += value ** 2;
    fourth += value ** 4;
  }
  assert(Math.abs(sum / n) < 6 / Math.sqrt(n), `seed ${seed}: mean ${sum / n}`);
  assert(Math.abs(squares / n - 1) < 6 * Math.sqrt(2 / n), `seed ${seed}: ${squares / n}`);
  assert(Math.abs(fourth / n - 3) < 6 * Math.sqrt(96 / n), `seed ${seed}: ${fourth / n}`);

  const pair = new Rng(seed);
  const words = new Rng(seed);
  const radius = Math.sqrt(-2 * Math.log(((words.word() >>> 8) + 1) / 2 ** 24));
  const angle = 2 * Math.PI * ((words.word() >>> 8) / 2 ** 24);
  assertEquals([pair.normal(), pair.normal()], [
    radius * Math.cos(angle),
    radius * Math.sin(angle),
  ]);
  assertEquals(pair.word(), words.word());
});

Deno.test("Rng.integer() covers its range evenly and refuses an empty one", () => {
  const seed = 13;
  const rng = new Rng(seed);
  const counts = new Array<number>(7).fill(0);
  const n = 14000;
  for (let i = 0; i < n; i++) counts[rng.integer(7)]!++;
  const deviation = Math.sqrt(n * (1 / 7) * (6 / 7));
  for (const count of counts) {
    assert(Math.abs(count - n / 7) < 6 * deviation, `seed ${seed}: ${counts}`);
  }
  assertEquals(rng.integer(1), 0);
  assert(rng.integer(2 ** 32) < 2 ** 32);
  assertThrows(() => rng.integer(0), RangeError);
  assertThrows(() => rng.integer(1.5), RangeError);
});

Deno.test("Rng.integer() rejects the words that would favour small values", () => {
  // With n = 3 * 2^30 plain scaling would give each third value twice the weight of the others.
  const seed = 14;
  const rng = new Rng(seed);
  const n = 3 * 2 ** 30;
  const counts = [0, 0, 0];
  for (let i = 0; i < 9000; i++) counts[rng.integer(n) % 3]!++;
  for (const count of counts) {
    assert(Math.abs(count - 3000) < 6 * Math.sqrt(2000), `seed ${seed}: ${counts}`);
  }
});

Deno.test("Rng.shuffle() permutes in place and gives every order its share", () => {
  const seed = 15;
  const rng = new Rng(seed);
  const orders = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const array = [0, 1, 2];
    assert(rng.shuffle(array) === array);
    const order = array.join("");
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  assertEquals(orders.size, 6, `seed ${seed}`);
  for (const [order, count] of orders) {
    assert(Math.abs(count - 1000) < 6 * Math.sqrt(1000), `seed ${seed}: ${order} ${count}`);
  }
});
