import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { encodeSafetensors, featureHash, writeSafetensors } from "../../data/mod.ts";
import {
  calibrate,
  Detector,
  findScore,
  fitDetector,
  loadDetector,
  parseDetector,
  saveDetector,
  SCORES,
} from "../../methods/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { fitOnHost, floats, makeProblem, scoreOn } from "./_problem.ts";

const SEED = 4;
const SIZE = { rows: 60, channels: 12, classes: 4 };

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const method of SCORES) {
  Deno.test(`a ${method.name} detector scores the same bits after saving and loading`, async () => {
    await inFolder(async (folder) => {
      const { train, test } = makeProblem(SEED, SIZE);
      const fitted = await fitOnHost(method, train);
      const expected = await scoreOn("reference", fitted, test);
      const path = `${folder}/d.safetensors`;
      const calibration = calibrate(expected);
      await saveDetector(new Detector(fitted, { metadata: { a: "b" }, calibration }), path);
      const loaded = await loadDetector(path);
      assertEquals(await scoreOn("reference", loaded.fitted, test), expected);
      assertEquals(loaded.fitted.parameters, fitted.parameters);
      assertEquals(loaded.fitted.dimensions, fitted.dimensions);
      assertEquals(loaded.metadata, { a: "b" });
      assertEquals(loaded.calibration, calibration);
      const parsed = await parseDetector(await Deno.readFile(path));
      assertEquals(await scoreOn("reference", parsed.fitted, test), expected);
      assertEquals((await Array.fromAsync(Deno.readDir(folder))).length, 1);
    });
  });
}

Deno.test("fitDetector() notes what it was fitted to", async () => {
  const { train, test } = makeProblem(SEED, SIZE);
  const { metadata } = await fitDetector(findScore("react"), {
    train,
    validation: test,
    context: new Host(),
    seed: 7,
  });
  assertEquals(JSON.parse(metadata["fit"]!), [
    { role: "train", path: "train", count: 60, sha256: await featureHash(train) },
    { role: "validation", path: "test", count: 20, sha256: await featureHash(test) },
  ]);
  assertEquals(metadata["seed"], "7");
});

Deno.test("a detector without a threshold does not decide", async () => {
  const { train } = makeProblem(SEED, SIZE);
  const detector = new Detector(await fitOnHost(findScore("msp"), train));
  assertThrows(() => detector.verdict(1), UserError, "calibrate it first");
  const calibrated = detector.calibrated(calibrate([1, 2]));
  assertThrows(() => calibrated.verdict(NaN), UserError, "the score is NaN");
});

Deno.test("a verdict gives decision, p-value and a reason in the method's words", async () => {
  const { train } = makeProblem(SEED, SIZE);
  const of = async (name: string, sign: number) =>
    new Detector(await fitOnHost(findScore(name), train), {
      calibration: calibrate(Float32Array.from({ length: 100 }, (_, i) => sign * (i + 1) / 100)),
    });
  const energy = await of("energy", 1);
  assertEquals(energy.verdict(0.5).isInDistribution, true);
  assertEquals(energy.verdict(energy.calibration!.threshold).isInDistribution, true);
  assertEquals(energy.verdict(0.01).pValue, 2 / 101);
  assertEquals(energy.verdict(0.001).pValue, 1 / 101);
  assertEquals(
    energy.verdict(0.01).reason,
    "energy 0.0100 is below the threshold 0.0600, which 95 % of in-distribution images reach",
  );
  const knn = await of("knn", -1);
  assertEquals(
    knn.verdict(-2).reason,
    "squared distance to the k-th nearest training image 2.00 exceeds the limit 0.950, which 95 % " +
      "of in-distribution images keep",
  );
  assert(knn.verdict(-0.1).reason.includes("0.100 is within the limit"));
});

Deno.test("saveDetector() names a folder that is not there", async () => {
  const { train } = makeProblem(SEED, SIZE);
  const detector = new Detector(await fitOnHost(findScore("msp"), train));
  await assertRejects(
    () => saveDetector(detector, "no-such-folder/d"),
    UserError,
    "no-such-folder",
  );
});

Deno.test("loadDetector() refuses what is no sound detector, in one sentence", async () => {
  await inFolder(async (folder) => {
    const { train } = makeProblem(SEED, SIZE);
    const path = `${folder}/d.safetensors`;
    const detector = new Detector(await fitOnHost(findScore("vim"), train), {
      calibration: calibrate([1, 2, 3]),
    });
    await saveDetector(detector, path);
    const whole = await Deno.readFile(path);

    await Deno.writeFile(path, whole.subarray(0, whole.length - 7));
    await assertRejects(() => loadDetector(path), UserError, path);
    await Deno.writeFile(path, whole.subarray(0, 5));
    await assertRejects(() => loadDetector(path), UserError, path);
    await Deno.writeFile(path, new Uint8Array(0));
    await assertRejects(() => loadDetector(path), UserError, path);
    await assertRejects(() => loadDetector(`${folder}/none`), UserError, "none");

    await writeSafetensors(path, { x: floats([1], [1]) });
    await assertRejects(() => loadDetector(path), UserError, "it is no detector");
  });
});

const ENTRIES = {
  "state.weight": floats(new Float32Array(6), [2, 3]),
  "state.bias": floats([0, 0], [2]),
  "state.clip": floats([1], [1]),
};
const METADATA = {
  format: "oodgpu.detector",
  "format_version": "1",
  method: "react",
  parameters: '{"percentile":90}',
  inputs: '{"features":[3]}',
};

for (
  const { what, entries = {}, metadata = {}, says } of [
    { what: "nothing wrong" },
    { what: "another version", metadata: { "format_version": "9" }, says: "format version is 9" },
    { what: "another method", metadata: { method: "magic" }, says: 'the method "magic"' },
    { what: "broken parameters", metadata: { parameters: "{" }, says: '"parameters" is no JSON' },
    { what: "a list of parameters", metadata: { parameters: "[]" }, says: "no JSON object" },
    {
      what: "a text as a parameter",
      metadata: { parameters: '{"percentile":"x"}' },
      says: '"parameters.percentile" is no number',
    },
    { what: "no parameter", metadata: { parameters: "{}" }, says: '"percentile" is missing' },
    { what: "a wrong shape", metadata: { inputs: '{"features":"x"}' }, says: "is no shape" },
    { what: "no input", metadata: { inputs: "{}" }, says: 'how long "features" is' },
    {
      what: "an array of another rank",
      entries: { "state.bias": floats([0, 0], [1, 2]) },
      says: '"bias" has 2 dimensions instead of 1',
    },
    {
      what: "NaN",
      entries: { "state.bias": floats([0, NaN], [2]) },
      says: '"state.bias" has a NaN',
    },
    {
      what: "half a threshold",
      metadata: { calibration: '{"threshold":1}' },
      says: "lacks a number",
    },
    {
      what: "a threshold without scores",
      metadata: {
        calibration: '{"threshold":1,"acceptance":1,"accepted":1,"interval":[0,1],"count":1}',
      },
      says: 'no "calibration.scores"',
    },
  ] as const satisfies readonly {
    what: string;
    entries?: Record<string, ReturnType<typeof floats>>;
    metadata?: Record<string, string>;
    says?: string;
  }[]
) {
  Deno.test(`parseDetector() on a file with ${what}`, async () => {
    const bytes = encodeSafetensors({ ...ENTRIES, ...entries }, { ...METADATA, ...metadata });
    const parsed = parseDetector(bytes, { name: "file" });
    if (says === undefined) assertEquals((await parsed).fitted.parameters, { percentile: 90 });
    else await assertRejects(() => parsed, UserError, says);
  });
}

Deno.test("parseDetector() misses an array", async () => {
  const { "state.clip": _, ...rest } = ENTRIES;
  const bytes = encodeSafetensors(rest, METADATA);
  await assertRejects(() => parseDetector(bytes), UserError, 'the array "clip" is missing');
});
