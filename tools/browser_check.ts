/**
 * Runs in Chromium, with its own WGSL compiler, what runs in Deno: `deno task browser`.
 *
 * One page scores with a detector of every kind through the bundle of the embed entry point and is
 * held against Deno. Another runs the kernels' tests as they stand.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { difference, TOLERANCE } from "../tests/_support/tolerance.ts";
import { fitOnHost, makeProblem, scoreOn } from "../tests/methods/_problem.ts";
import { calibrate, Detector, saveDetector, SCORES } from "../methods/mod.ts";
import { bundle, forOlderEngines } from "./_bundle.ts";
import type { DetectorAnswer, DetectorCase } from "./_browser_detectors.ts";
import type { TestResult } from "./_browser_tests.ts";

const USAGE =
  `Usage: deno task browser [--browser FILE] [--hardware] [--filter TEXT] [TEST_FILE ...]

Runs detectors and the tests of kernels in Chromium, on its software adapter.

  --browser FILE  the browser; chromium, chromium-browser or google-chrome by default
  --hardware      use the machine's own GPU
  --filter TEXT   only test files whose path contains the text
  --help          show this`;

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/** Files that tests read. */
const GOLDEN = "tests/golden";
const SEED = 21;
/** Without a word from the page for so long, it counts as hung. */
const SILENCE_SECONDS = 450;

/** Pages under these headers have shared memory, which `@std/assert` knows by name. */
const ISOLATION = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

/** A file that the server gives. */
interface Served {
  readonly type: string;
  readonly body: string | Uint8Array<ArrayBuffer>;
}

/** Everything the pages said. */
interface Outcome {
  readonly adapter: Record<string, unknown>;
  readonly detectors: DetectorAnswer[];
  readonly tests: TestResult[];
  finished: boolean;
}

/** A detector of every kind with rows to score, and the scores that Deno gives them. */
interface FittedCase extends DetectorCase {
  /** The detector's file. */
  readonly file: Uint8Array<ArrayBuffer>;
  /** Scores of the reference. */
  readonly expected: Float32Array;
}

async function fitCases(): Promise<FittedCase[]> {
  const { train, test, arrays } = makeProblem(SEED, { rows: 200, channels: 40, classes: 10 });
  const path = await Deno.makeTempFile();
  const cases: FittedCase[] = [];
  for (const method of SCORES) {
    const fitted = await fitOnHost(method, train);
    const expected = await scoreOn("reference", fitted, test);
    await saveDetector(new Detector(fitted, { calibration: calibrate(expected) }), path);
    const keys = fitted.needs.map((key) => key === "feature_norms" ? "feature_map" : key);
    const features = Object.fromEntries(keys.map((key) => {
      const { data, shape } = arrays.test[key]!;
      return [key, { data: [...data], shape }];
    }));
    cases.push({ name: method.name, file: await Deno.readFile(path), features, expected });
  }
  await Deno.remove(path);
  return cases;
}

async function testFiles(filter: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name } of Deno.readDir("tests/kernels")) {
    if (name.endsWith("_test.ts")) files.push(`tests/kernels/${name}`);
  }
  return files.filter((file) => file.includes(filter)).sort();
}

function page(script: string, imports: Readonly<Record<string, string>> = {}): Served {
  const map = JSON.stringify({ imports });
  const body = `<!doctype html><link rel="icon" href="data:,">` +
    `<script type="importmap">${map}</script><script type="module" src="${script}"></script>`;
  return { type: "text/html; charset=utf-8", body };
}

const json = (value: unknown): Served => ({
  type: "application/json",
  body: JSON.stringify(value),
});

const script = (body: string): Served => ({ type: "text/javascript; charset=utf-8", body });

async function pages(
  cases: readonly FittedCase[],
  files: readonly string[],
): Promise<Map<string, Served>> {
  const root = Deno.cwd();
  const node = ["assert", "util", "crypto"].map((name) => [`node:${name}`, "/node.js"]);
  const served = new Map<string, Served>([
    ["/", page("/detectors.js")],
    ["/tests.html", page("/tests.js", Object.fromEntries(node))],
    ["/detectors.json", json(cases.map(({ name, features }) => ({ name, features })))],
    ["/files.json", json(files)],
    ["/detectors.js", script(await bundle("tools/_browser_detectors.ts", root))],
    ["/tests.js", script(await bundle("tools/_browser_tests.ts", root))],
    ["/node.js", script(await bundle("tools/_browser_node.ts", root))],
    ["/embed.js", script(await forOlderEngines(await bundle("methods/embed.ts", root)))],
  ]);
  for (const { name, file } of cases) {
    served.set(`/detectors/${name}`, { type: "application/octet-stream", body: file });
  }
  for (const file of files) {
    served.set(`/${file}.js`, script(await bundle(file, root)));
  }
  for await (const { name, isFile } of Deno.readDir(GOLDEN)) {
    if (!isFile) continue;
    const body = await Deno.readFile(`${GOLDEN}/${name}`);
    served.set(`/${GOLDEN}/${name}`, { type: "application/octet-stream", body });
  }
  return served;
}

/** Takes what the pages post; calls `heard` each time. */
function listen(outcome: Outcome, heard: () => void): (path: string, body: unknown) => void {
  return (path, body) => {
    heard();
    if (path === "/adapter") Object.assign(outcome.adapter, body);
    if (path === "/detector") outcome.detectors.push(body as DetectorAnswer);
    if (path === "/test") outcome.tests.push(body as TestResult);
    if (path === "/done") outcome.finished = true;
  };
}

function findBrowser(wanted: string | undefined): { path: string; version: string } {
  for (const path of wanted === undefined ? BROWSERS : [wanted]) {
    try {
      const { stdout } = new Deno.Command(path, { args: ["--version"], stderr: "null" })
        .outputSync();
      return { path, version: new TextDecoder().decode(stdout).trim() };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  const tried = wanted ?? BROWSERS.join(", ");
  console.error(`No browser was found (${tried}); on Debian the package chromium brings one`);
  Deno.exit(1);
}

/** Shows the pages to the browser until they are done or silent. */
async function browse(
  browser: string,
  served: ReadonlyMap<string, Served>,
  hardware: boolean,
): Promise<Outcome> {
  const outcome: Outcome = { adapter: {}, detectors: [], tests: [], finished: false };
  const over = Promise.withResolvers<void>();
  let silence: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(over.resolve, SILENCE_SECONDS * 1000);
  };
  const take = listen(outcome, heard);
  heard();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (request.method === "POST") {
        take(pathname, await request.json());
        if (outcome.finished) over.resolve();
        return new Response();
      }
      const { type, body } = served.get(pathname) ?? { type: "text/plain", body: "" };
      return new Response(body, { headers: { ...ISOLATION, "content-type": type } });
    },
  );
  const profile = await Deno.makeTempDir();
  const child = new Deno.Command(browser, {
    args: [
      ...["--headless", "--no-sandbox", "--no-first-run", "--enable-unsafe-webgpu"],
      ...(hardware ? [] : ["--use-webgpu-adapter=swiftshader"]),
      `--user-data-dir=${profile}`,
      `http://127.0.0.1:${server.addr.port}/`,
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  const ended = child.status.then(() => over.resolve());
  await over.promise;
  clearTimeout(silence);
  try {
    child.kill("SIGTERM");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  await ended;
  await Deno.remove(profile, { recursive: true }).catch(() => {});
  return outcome;
}

/** Prints how near the detectors come to Deno; returns how many do not. */
function reportDetectors(outcome: Outcome, cases: readonly FittedCase[]): number {
  let failed = 0;
  console.log(`\n${"detector".padEnd(14)} rows  webgpu        reference     (largest difference)`);
  for (const { name, expected } of cases) {
    const answer = outcome.detectors.find((answer) => answer.name === name);
    const cells = (["webgpu", "reference"] as const).map((kind) => {
      const scores = answer?.scores[kind];
      if (scores?.length !== expected.length) return { text: "none", good: false };
      const { outside, worst } = difference(scores, expected, TOLERANCE.score);
      return { text: `${worst.toExponential(1)}${outside ? " BAD" : ""}`, good: outside === 0 };
    });
    if (!cells.every(({ good }) => good)) failed++;
    const rows = String(expected.length).padStart(4);
    console.log([name.padEnd(14), rows, "", ...cells.map(({ text }) => text.padEnd(13))].join(" "));
  }
  for (const { name, error } of outcome.detectors) {
    if (error !== undefined) console.log(`  ${name}: ${error}`);
  }
  return failed;
}

/** Prints a line for each test file, and what failed; returns how many tests did. */
function reportTests(outcome: Outcome, files: readonly string[]): number {
  let failed = 0;
  console.log(`\n${"tests".padEnd(46)} passed failed  seconds`);
  for (const file of files) {
    const results = outcome.tests.filter((result) => result.file === file);
    const bad = results.filter(({ error }) => error !== undefined);
    const seconds = results.reduce((sum, result) => sum + result.seconds, 0).toFixed(1);
    const counts = `${String(results.length - bad.length).padStart(6)} ${
      String(bad.length).padStart(6)
    }`;
    console.log(`${file.padEnd(46)} ${counts} ${seconds.padStart(8)}`);
    for (const { name, error } of bad) {
      console.log(`  FAILED ${name}\n    ${error!.split("\n").join("\n    ")}`);
    }
    failed += results.length === 0 ? 1 : bad.length;
  }
  return failed;
}

const args = parseArgs(Deno.args, {
  boolean: ["help", "hardware"],
  string: ["browser", "filter"],
});
if (args.help) {
  console.log(USAGE);
  Deno.exit(0);
}
const browser = findBrowser(args.browser);
const files = args._.length > 0 ? args._.map(String) : await testFiles(args.filter ?? "");
const cases = await fitCases();
const outcome = await browse(browser.path, await pages(cases, files), args.hardware);
console.log(`${browser.version}: ${JSON.stringify(outcome.adapter)}`);
const failed = reportDetectors(outcome, cases) + reportTests(outcome, files);
if (!outcome.finished) {
  console.error("\nThe page stopped before its end: it crashed, hung or was closed");
}
console.log(
  failed === 0 && outcome.finished ? "\nbrowser: all well" : `\nbrowser: ${failed} failed`,
);
Deno.exit(failed === 0 && outcome.finished ? 0 : 1);
