/**
 * Runs tests of this project in a page: stands in for the parts of Deno that they use, and tells
 * the server what became of each. Bundled by browser_check.ts.
 *
 * @module
 */

/** What became of a test. */
export interface TestResult {
  /** The file. */
  readonly file: string;
  /** The test. */
  readonly name: string;
  /** What it threw; absent when it passed. */
  readonly error?: string;
  /** How long it took. */
  readonly seconds: number;
}

interface Test {
  readonly name: string;
  readonly ignore?: boolean;
  readonly fn: (context: unknown) => void | Promise<void>;
}

/** A software adapter needs minutes for the largest tests. */
const TEST_SECONDS = 400;

let tests: Test[] = [];

function register(test: Test | string, fn?: Test["fn"]): void {
  tests.push(typeof test === "string" ? { name: test, fn: fn! } : test);
}

/** What a test that takes too long throws. */
class Timeout extends Error {}

function limit(): Promise<never> {
  const message = `it takes more than ${TEST_SECONDS} s; the rest of its file is left out`;
  return new Promise((_, reject) =>
    setTimeout(() => reject(new Timeout(message)), 1000 * TEST_SECONDS)
  );
}

/** Runs the tests of a file until one hangs, which would disturb those after it. */
async function runFile(file: string): Promise<void> {
  for (const { name, fn, ignore } of tests) {
    if (ignore) continue;
    const begin = performance.now();
    const thrown: { error?: unknown } = {};
    const body = async () => await fn({});
    await Promise.race([body(), limit()]).catch((error) => thrown.error = error);
    const seconds = (performance.now() - begin) / 1000;
    const error = "error" in thrown ? { error: String(thrown.error) } : {};
    await post("/test", { file, name, seconds, ...error });
    if (thrown.error instanceof Timeout) return;
  }
}

async function post(path: string, value: unknown): Promise<void> {
  await fetch(path, { method: "POST", body: JSON.stringify(value) });
}

Object.assign(globalThis, {
  Deno: {
    test: register,
    env: { get: () => undefined },
    readTextFile: async (path: string | URL) => await (await fetch(path)).text(),
  },
});
const files: string[] = await (await fetch("/files.json")).json();
for (const file of files) {
  tests = [];
  try {
    await import(`/${file}.js`);
  } catch (error) {
    await post("/test", { file, name: "(loading)", error: String(error), seconds: 0 });
  }
  await runFile(file);
}
await post("/done", {});
