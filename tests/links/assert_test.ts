// Holds of the stand-in and of the real package alike. What is under test cannot judge itself, so
// node:assert does.
import { ok, rejects, strictEqual } from "node:assert/strict";
import * as std from "@std/assert";

const { AssertionError } = std;

// Assertion signatures need names with explicit types.
const assertIsError: typeof std.assertIsError = std.assertIsError;

class Point {
  readonly x: number;
  constructor(x: number) {
    this.x = x;
  }
}

class Secret {
  readonly #x: number;
  constructor(x: number) {
    this.#x = x;
  }
  get x(): number {
    return this.#x;
  }
}

function circle(value: number): Record<string, unknown> {
  const node: Record<string, unknown> = { value };
  node["self"] = node;
  return node;
}

/** The message of the assertion that failed, or nothing when it held. */
function failureOf(fn: () => unknown): string | undefined {
  try {
    fn();
  } catch (error) {
    ok(error instanceof AssertionError, `Not an AssertionError: ${error}`);
    strictEqual(error.name, "AssertionError");
    return error.message;
  }
  return undefined;
}

function holds(fn: () => unknown): void {
  strictEqual(failureOf(fn), undefined);
}

function fails(fn: () => unknown, includes = ""): void {
  const message = failureOf(fn);
  ok(message !== undefined, `Held: ${fn}`);
  ok(message.includes(includes), `Expected ${JSON.stringify(includes)} in ${message}`);
}

const EQUAL: [unknown, unknown][] = [
  [0, -0],
  [NaN, NaN],
  ["a", "a"],
  [[1, [2, { a: 3 }]], [1, [2, { a: 3 }]]],
  [{ a: 1, b: 2 }, { b: 2, a: 1 }],
  [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  [new Float32Array([1, NaN, 0]), new Float32Array([1, NaN, -0])],
  [new Uint8Array([1, 2]).buffer, new Uint8Array([1, 2]).buffer],
  [new Date(5), new Date(5)],
  [/a/g, /a/g],
  [new URL("http://a/b"), new URL("http://a/b")],
  [new Set([[1], [2]]), new Set([[2], [1]])],
  [new Map([[{ k: 1 }, 2]]), new Map([[{ k: 1 }, 2]])],
  [new Point(1), new Point(1)],
  [new Secret(1), new Secret(1)],
  [circle(1), circle(1)],
];

const UNEQUAL: [unknown, unknown][] = [
  [0, 1],
  [0, "0"],
  [null, undefined],
  [1n, 1],
  [{ a: undefined }, {}],
  [{ a: undefined }, { b: undefined }],
  [[1, 2], [2, 1]],
  [[1], [1, undefined]],
  [[], {}],
  [new Float32Array([1]), new Float64Array([1])],
  [new Float32Array([1]), [1]],
  [new Float32Array([1]), new Float32Array([1, 2])],
  [new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
  [new Date(5), new Date(6)],
  [/a/g, /a/],
  [new URL("http://a/b"), new URL("http://a/c")],
  [new Set([1, 2]), new Set([1, 3])],
  [new Map([["a", 1]]), new Map([["a", 2]])],
  [new Point(1), { x: 1 }],
  [new Secret(1), new Secret(2)],
  [circle(1), circle(2)],
  [() => 1, () => 1],
];

Deno.test("assertEquals() and assertNotEquals() compare deeply", () => {
  for (const [a, b] of EQUAL) {
    strictEqual(std.equal(a, b), true, `equal(${Deno.inspect(a)}, ${Deno.inspect(b)})`);
    holds(() => std.assertEquals(a, b));
    fails(() => std.assertNotEquals(a, b));
  }
  for (const [a, b] of UNEQUAL) {
    strictEqual(std.equal(a, b), false, `equal(${Deno.inspect(a)}, ${Deno.inspect(b)})`);
    strictEqual(std.equal(b, a), false, `equal(${Deno.inspect(b)}, ${Deno.inspect(a)})`);
    fails(() => std.assertEquals(a, b), "Values are not equal.");
    holds(() => std.assertNotEquals(a, b));
  }
});

Deno.test("assertEquals() shows both sides and the caller's words", () => {
  const message = failureOf(() => std.assertEquals({ a: [1, 2] }, { a: [1, 3] }, "the row")) ?? "";
  ok(message.startsWith("Values are not equal: the row"), message);
  ok(/2/.test(message) && /3/.test(message), message);
});

Deno.test("equal() refuses what cannot be looked into", () => {
  std.assertThrows(() => std.equal(new WeakMap(), new WeakMap()), TypeError, "WeakMap");
});

Deno.test("assert(), assertFalse(), fail() and unreachable() fail with the caller's words", () => {
  holds(() => std.assert(1));
  fails(() => std.assert(0, "no luck"), "no luck");
  holds(() => std.assertFalse(""));
  fails(() => std.assertFalse("x", "no luck"), "no luck");
  fails(() => std.fail("no luck"), "no luck");
  fails(() => std.unreachable(), "nreachable");
});

Deno.test("assertStrictEquals() and assertNotStrictEquals() compare by identity", () => {
  const one = { a: 1 };
  holds(() => std.assertStrictEquals(one, one));
  holds(() => std.assertStrictEquals(NaN, NaN));
  fails(() => std.assertStrictEquals(one, { a: 1 }));
  fails(() => std.assertStrictEquals<number>(0, -0), "not strictly equal");
  holds(() => std.assertNotStrictEquals(one, { a: 1 }));
  fails(() => std.assertNotStrictEquals(one, one));
});

Deno.test("assertAlmostEquals() allows 1e-7 of the expected value or what it is told", () => {
  holds(() => std.assertAlmostEquals(1e6, 1e6 + 0.09));
  fails(() => std.assertAlmostEquals(1e6, 1e6 + 0.2));
  holds(() => std.assertAlmostEquals(1, 1.05, 0.1));
  fails(() => std.assertAlmostEquals(1, 1.2, 0.1, "far"), "far");
  holds(() => std.assertAlmostEquals(Infinity, Infinity));
  fails(() => std.assertAlmostEquals(NaN, 1));
  fails(() => std.assertAlmostEquals(1e-9, 0));
});

Deno.test("assertExists() fails on null and undefined only", () => {
  holds(() => std.assertExists(0));
  fails(() => std.assertExists(null));
  fails(() => std.assertExists(undefined, "gone"), "gone");
});

Deno.test("assertGreater() and its kin compare", () => {
  holds(() => std.assertGreater(2, 1));
  fails(() => std.assertGreater(1, 1));
  holds(() => std.assertGreaterOrEqual(1, 1));
  fails(() => std.assertGreaterOrEqual(0, 1));
  holds(() => std.assertLess(1, 2));
  fails(() => std.assertLess(1, 1));
  holds(() => std.assertLessOrEqual(1, 1));
  fails(() => std.assertLessOrEqual(2, 1));
  fails(() => std.assertLess(NaN, 1, "not a number"), "not a number");
});

Deno.test("assertMatch(), assertNotMatch() and assertStringIncludes() look into text", () => {
  holds(() => std.assertMatch("abc", /b/));
  fails(() => std.assertMatch("abc", /x/, "words"), "words");
  holds(() => std.assertNotMatch("abc", /x/));
  fails(() => std.assertNotMatch("abc", /b/));
  holds(() => std.assertStringIncludes("abc", "bc"));
  fails(() => std.assertStringIncludes("abc", "cb"), "to contain");
});

Deno.test("assertArrayIncludes() looks for every expected value", () => {
  holds(() => std.assertArrayIncludes([1, { a: 1 }, 3], [{ a: 1 }, 1]));
  fails(() => std.assertArrayIncludes([1, 2], [2, 4]), "missing");
  holds(() => std.assertArrayIncludes(new Uint8Array([1, 2]), new Uint8Array([2])));
});

Deno.test("assertObjectMatch() asks only for what is expected", () => {
  const actual = {
    a: { b: [{ c: 1, d: 2 }, 2], e: 3 },
    f: /x/,
    g: new Set([1, 2]),
    h: new Map([["k", { i: 1, j: 2 }]]),
  };
  holds(() => std.assertObjectMatch(actual, { a: { b: [{ c: 1 }] }, f: /x/ }));
  holds(() => std.assertObjectMatch(actual, { g: new Set([1]), h: new Map([["k", { i: 1 }]]) }));
  holds(() => std.assertObjectMatch(actual, { a: {} }));
  fails(() => std.assertObjectMatch(actual, { a: { b: [{ c: 2 }] } }));
  fails(() => std.assertObjectMatch(actual, { a: { b: [{ c: 1 }, 2, 3] } }));
  fails(() => std.assertObjectMatch(actual, { f: /y/ }));
  fails(() => std.assertObjectMatch(actual, { g: new Set([3]) }));
  fails(() => std.assertObjectMatch(actual, { z: undefined }));
});

Deno.test("assertInstanceOf() and assertNotInstanceOf() look at the class", () => {
  holds(() => std.assertInstanceOf(new RangeError("a"), Error));
  fails(() => std.assertInstanceOf({}, Date), '"Date"');
  fails(() => std.assertInstanceOf(null, Date), '"null"');
  holds(() => std.assertNotInstanceOf({}, Date));
  fails(() => std.assertNotInstanceOf(new Date(), Date));
});

Deno.test("assertIsError() looks at class and message", () => {
  const error = new RangeError("too \u001b[31mbig\u001b[39m");
  holds(() => assertIsError(error));
  holds(() => assertIsError(error, RangeError, "too big"));
  holds(() => assertIsError(error, Error, /big$/));
  fails(() => assertIsError(error, TypeError), "TypeError");
  fails(() => assertIsError(error, RangeError, "small"), "small");
  fails(() => assertIsError("too big"));
});

Deno.test("assertThrows() gives the error and checks class and message", () => {
  const boom = () => {
    throw new RangeError("too big");
  };
  const error: RangeError = std.assertThrows(boom, RangeError, "big");
  strictEqual(error.message, "too big");
  strictEqual(std.assertThrows(boom) instanceof RangeError, true);
  holds(() => std.assertThrows(boom, "words"));
  fails(() => std.assertThrows(boom, TypeError), "TypeError");
  fails(() => std.assertThrows(boom, RangeError, "small"), "small");
  fails(() => std.assertThrows(() => 1), "Expected function to throw.");
  fails(() => std.assertThrows(() => 1, "words"), "Expected function to throw: words");
  fails(() => std.assertThrows(() => 1, Error, "x", "words"), "words");
  fails(() =>
    std.assertThrows(() => {
      throw "text";
    }, Error), "non-Error");
});

Deno.test("assertRejects() gives the error and checks class and message", async () => {
  const boom = () => Promise.reject(new RangeError("too big"));
  const error: RangeError = await std.assertRejects(boom, RangeError, "big");
  strictEqual(error.message, "too big");
  strictEqual(await std.assertRejects(boom) instanceof RangeError, true);
  await rejects(std.assertRejects(boom, TypeError), AssertionError);
  await rejects(std.assertRejects(boom, RangeError, "small"), /small/);
  await rejects(std.assertRejects(() => Promise.resolve(1)), /Expected function to reject/);
  await rejects(std.assertRejects(() => Promise.resolve(1), "words"), /words/);
  await rejects(std.assertRejects(() => Promise.reject("text"), Error), /non-Error/);
});

Deno.test("assertRejects() refuses a function that throws", async () => {
  const throws = (): Promise<void> => {
    throw new RangeError("too big");
  };
  await rejects(std.assertRejects(throws, RangeError), /Function throws when expected to reject/);
});
