import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { memoryFeatures } from "../../data/mod.ts";
import { Detector, energy } from "../../methods/mod.ts";
import {
  fittedTagood,
  projectFitted,
  requireTagood,
  scoreObjects,
  scoreProjected,
  withScore,
} from "../../methods/tagood/detector.ts";
import type { ObjectRecord } from "../../methods/tagood/features.ts";
import { firstCentres, projectionParameters } from "../../methods/tagood/model.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { drawObjects, WIDTH } from "./_objects.ts";

const COUNTS = [2, 0, 3, 1, 0, 4, 1];
const RECORD: ObjectRecord = {
  kind: "tagger",
  tau: 0.4,
  untagged: "none",
  oneTag: false,
  tags: [0, 2],
  thresholds: [0, 0.1],
  inputs: { tokens: [4, WIDTH], "tag_logits": [3], attention: [3, 4] },
};

/** A model as it is before it has learned. */
function modelOf(width = 8) {
  const sizes = {
    ...{ inputs: WIDTH, maxTokens: 4, width, depth: 1, heads: 2, hidden: 12, classes: 3 },
  };
  const parameters = new Map(projectionParameters(sizes, 3).map(({ name, data }) => [name, data]));
  return { sizes, parameters, centres: firstCentres(sizes, 3), warnings: ["young"] };
}

Deno.test("withScore() changes the score and nothing else, and drops the threshold", () => {
  const detector = new Detector(fittedTagood(modelOf(), RECORD), { metadata: { model: "m" } });
  const other = withScore(detector, { tau: 0, distance: "kl", variant: "code" });
  assertEquals(other.fitted.parameters, { tau: 0, distance: 2, code: 1, depth: 1, heads: 2 });
  assertEquals(detector.fitted.parameters["tau"], 0.4);
  assertEquals(other.fitted.state().arrays, detector.fitted.state().arrays);
  assertEquals([other.metadata, other.calibration], [{ model: "m" }, undefined]);
  assertEquals(other.fitted.warnings, ["young"]);
  const names = Object.keys(other.fitted.state().arrays);
  assertEquals(names.filter((name) => name.startsWith("classifier.")), []);
});

Deno.test("TagOOD's detectors refuse what does not fit", async () => {
  const narrow = new Detector(fittedTagood(modelOf(6), RECORD));
  assertThrows(
    () => withScore(narrow, { variant: "code" }),
    UserError,
    "it compares 4 equal parts of a feature, and this detector's width is 6",
  );
  assertThrows(
    () => fittedTagood(modelOf(), { ...RECORD, kind: "cam" }),
    UserError,
    'without its "head.weight"',
  );
  using host = new Host();
  const logits = { data: new Float32Array([1, 2]), shape: [1, 2] };
  const train = memoryFeatures({ logits });
  const plain = new Detector(await energy.fit({ train, context: host }));
  assertThrows(
    () => requireTagood(plain, "e.safetensors"),
    UserError,
    'Cannot use "e.safetensors": it is a detector of "energy", and one from ood tagood train was',
  );
  const { fitted } = narrow;
  using longer = await drawObjects({ counts: [1, 5], path: "o" });
  await assertRejects(
    () => projectFitted(host, fitted, longer),
    UserError,
    'Cannot score "o": an image has 5 tokens and the model was trained for at most 4',
  );
  await assertRejects(
    () => projectFitted(host, fitted, { ...longer, width: 7 }),
    UserError,
    'Cannot score "o": its tokens are 7 wide and the model takes 6',
  );
  const signal = AbortSignal.abort();
  using objects = await drawObjects({ counts: COUNTS });
  await assertRejects(() => projectFitted(host, fitted, objects, { signal }), DOMException);
});

gpuTest(
  "scores do not depend on the batch, and images without tokens have the lowest",
  async (on) => {
    using objects = await drawObjects({ counts: COUNTS });
    const detector = new Detector(fittedTagood(modelOf(), RECORD));
    const lowest = { cosine: -1, euclidean: 0, kl: 0 } as const;
    for (const [distance, floor] of Object.entries(lowest)) {
      const { fitted } = withScore(detector, { distance: distance as keyof typeof lowest });
      const expected = await scoreObjects(on.host, fitted, objects, { batch: 100 });
      COUNTS.forEach((count, n) =>
        assertEquals(expected[n] === floor, count === 0, `${distance} of image ${n}`)
      );
      for (const ctx of [on.gpu, on.host]) {
        for (const batch of [1, 3]) {
          const scores = await scoreObjects(ctx, fitted, objects, { batch });
          assertClose(scores, expected, TOLERANCE.score, `${distance} on ${ctx.kind}, ${batch}`);
        }
      }
    }
    // The code multiplies the mean cosine of four parts by the tag's probability.
    const { fitted } = withScore(detector, { variant: "code" });
    const images = await projectFitted(on.gpu, fitted, objects);
    const doubled = { ...images, tagScores: images.tagScores.map((score) => 2 * score) };
    const [once, twice] = [
      await scoreProjected(on.gpu, fitted, images),
      await scoreProjected(on.gpu, fitted, doubled),
    ];
    assertClose(twice, once.map((score) => 2 * score), TOLERANCE.score, "probability");
    assertEquals(once[1], 0);
    const empty = { ...images, counts: new Int32Array(0), features: new Float32Array(0) };
    assertEquals((await scoreProjected(on.gpu, fitted, empty)).length, 0);
  },
);
