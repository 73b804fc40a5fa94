import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { bootstrapIntervals } from "../../eval/bootstrap.ts";
import { FIGURES } from "../../eval/figures.ts";
import { computeMetrics, tieMass } from "../../eval/metrics.ts";
import { evaluate, type EvaluationInput } from "../../eval/protocol.ts";
import { UserError } from "../../runtime/errors.ts";
import { Rng } from "../../kernels/random/rng.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 5;

function scores(rng: Rng, { count, mean }: { count: number; mean: number }): Float32Array {
  return Float32Array.from({ length: count }, () => rng.normal() + mean);
}

function input(): EvaluationInput & {
  id: Record<string, Float32Array>;
  ood: Record<string, Record<string, Float32Array>>;
} {
  const rng = new Rng(SEED);
  const both = (count: number, mean: number) => ({
    msp: scores(rng, { count, mean }),
    energy: scores(rng, { count, mean: 1.5 * mean }),
  });
  return {
    id: both(150, 1),
    ood: { near: both(120, 0.5), noise: both(130, -1), photos: both(110, 0) },
    groups: { far: ["noise", "photos"] },
  };
}

Deno.test("evaluate() gives the object that result files promise", () => {
  const given = input();
  const evaluation = evaluate({
    ...given,
    predictions: new Int32Array(150),
    labels: Int32Array.from({ length: 150 }, (_, i) => i % 2),
  }, { replicates: 30, seed: 3, manifest: { model: "m.onnx", convention: "overwritten" } });
  assertEquals(Object.keys(evaluation), [
    "manifest",
    "id_accuracy",
    "results",
    "averages",
    "warnings",
  ]);
  assertEquals(evaluation.manifest, {
    model: "m.onnx",
    convention: "B",
    convention_name: "default",
    fpr95: "FPR95(OOD|ID95)",
    fpr95_reverse: "FPR95(ID|OOD95)",
    aupr: "average-precision",
    bootstrap: { replicates: 30, level: 0.95, seed: 3 },
    methods: ["msp", "energy"],
    counts: { id: 150, ood: { near: 120, noise: 130, photos: 110 } },
  });
  assertEquals(evaluation.id_accuracy, 0.5);
  assertEquals(
    evaluation.results.map(({ method, ood, n_id, n_ood }) => [method, ood, n_id, n_ood]),
    [
      ["msp", "near", 150, 120],
      ["energy", "near", 150, 120],
      ["msp", "noise", 150, 130],
      ["energy", "noise", 150, 130],
      ["msp", "photos", 150, 110],
      ["energy", "photos", 150, 110],
    ],
  );
  assertEquals(JSON.parse(JSON.stringify(evaluation)), evaluation);
});

Deno.test("evaluate() agrees with the single metrics and intervals", () => {
  const given = input();
  for (const convention of ["default", "synood"] as const) {
    const evaluation = evaluate(given, { replicates: 25, seed: 8, convention });
    for (const row of evaluation.results) {
      const id = given.id[row.method]!;
      const ood = given.ood[row.ood]![row.method]!;
      const expected = computeMetrics(id, ood, { convention });
      for (const figure of FIGURES) assertEquals(row[figure], expected[figure]);
      assertEquals(row.tie_mass, tieMass(id, ood));
      assertEquals(
        row.ci,
        bootstrapIntervals(id, ood, { replicates: 25, seed: 8, convention, set: row.ood }),
      );
    }
  }
});

Deno.test("evaluate() averages metrics over all sets and over each group", () => {
  const evaluation = evaluate(input(), { replicates: 25 });
  assertEquals(
    evaluation.averages.map(({ method, group, sets, n_ood }) => [method, group, sets, n_ood]),
    [
      ["msp", "all", ["near", "noise", "photos"], 360],
      ["energy", "all", ["near", "noise", "photos"], 360],
      ["msp", "far", ["noise", "photos"], 240],
      ["energy", "far", ["noise", "photos"], 240],
    ],
  );
  for (const average of evaluation.averages) {
    const rows = evaluation.results.filter((row) =>
      row.method === average.method && average.sets.includes(row.ood)
    );
    for (const figure of FIGURES) {
      const mean = rows.reduce((sum, row) => sum + row[figure], 0) / rows.length;
      assertClose([average[figure]], [mean], TOLERANCE.float64, figure);
      const [lower, upper] = average.ci![figure];
      assert(lower <= upper);
    }
    const [lower, upper] = average.ci!.auroc;
    assert(lower < average.auroc && average.auroc < upper);
  }
});

Deno.test("evaluate() leaves intervals and accuracy out when they are not asked for", () => {
  const evaluation = evaluate(input(), { replicates: 0 });
  assertEquals(evaluation.manifest.bootstrap, null);
  assertEquals(evaluation.id_accuracy, null);
  assert(evaluation.results.every((row) => row.ci === null));
  assert(evaluation.averages.every((row) => row.ci === null));
});

Deno.test("evaluate() keeps the order of names that look like numbers when given maps", () => {
  const one = Float32Array.of(1, 2);
  const evaluation = evaluate({
    id: new Map([["b", one], ["10", one], ["2", one]]),
    ood: new Map([
      ["9", new Map([["2", one], ["10", one], ["b", one]])],
      ["1", new Map([["2", one], ["10", one], ["b", one]])],
    ]),
  }, { replicates: 0 });
  assertEquals(evaluation.manifest.methods, ["b", "10", "2"]);
  assertEquals(evaluation.results.map((row) => `${row.ood}/${row.method}`), [
    "9/b",
    "9/10",
    "9/2",
    "1/b",
    "1/10",
    "1/2",
  ]);
});

Deno.test("evaluate() reports progress up to 1", () => {
  const shares: number[] = [];
  evaluate(input(), { replicates: 4, onProgress: (share) => shares.push(share) });
  assertEquals(shares, [0.25, 0.5, 0.75, 1]);
});

Deno.test("evaluate() warns of small sets and of tied scores", () => {
  const tied = Float32Array.of(0, 0, 1);
  const { warnings } = evaluate({ id: { msp: tied }, ood: { noise: { msp: tied } } }, {
    replicates: 0,
  });
  assertEquals(warnings.length, 3);
  assertStringIncludes(warnings[0]!, "only 3 images");
  assertStringIncludes(warnings[1]!, 'OOD set "noise" has only 3 images');
  assertStringIncludes(warnings[2]!, 'Method "msp" gives ID and OOD images equal scores (100.0 %');
  assertEquals(evaluate(input(), { replicates: 0 }).warnings, []);
});

Deno.test("evaluate() refuses what it cannot evaluate, in one sentence", () => {
  const good = Float32Array.of(1, 2);
  const refused: [EvaluationInput, string][] = [
    [{ id: {}, ood: { a: {} } }, "there are no methods"],
    [{ id: { msp: good }, ood: {} }, "there are no OOD sets"],
    [
      { id: { msp: good }, ood: { a: { knn: good } } },
      'method "msp" on set "a": the set has no scores of it',
    ],
    [
      { id: { msp: good }, ood: { a: { msp: new Float32Array(0) } } },
      'method "msp" on set "a": the set has no scores',
    ],
    [
      { id: { msp: good }, ood: { a: { msp: Float32Array.of(1, Infinity) } } },
      'method "msp" on set "a": score 1 is Infinity',
    ],
    [
      { id: { msp: good, knn: Float32Array.of(1) }, ood: { a: { msp: good, knn: good } } },
      'method "knn" on set "id": it has 1 scores and method "msp" has 2',
    ],
    [
      { id: { msp: good }, ood: { a: { msp: good } }, groups: { near: ["b"] } },
      'Cannot average group "near": there is no OOD set "b", only "a"',
    ],
    [
      { id: { msp: good }, ood: { a: { msp: good } }, groups: { all: ["a"] } },
      'Cannot average group "all": the name is taken',
    ],
    [
      { id: { msp: good }, ood: { a: { msp: good } }, groups: { near: [] } },
      'Cannot average group "near": it names no set',
    ],
    [
      { id: { msp: good }, ood: { a: { msp: good } }, predictions: [1], labels: [1, 2] },
      "there are 1 predictions and 2 labels",
    ],
  ];
  for (const [bad, message] of refused) assertThrows(() => evaluate(bad), UserError, message);
});
