import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import {
  compareEvaluations,
  type ComparisonReport,
  comparisonTable,
  evaluate,
  type Evaluation,
  renderComparison,
} from "../../eval/mod.ts";
import { UserError } from "../../runtime/mod.ts";

const scores = (count: number, shift: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i) + shift);

function evaluation(shift: number, options: { sets?: string[]; right?: number } = {}): Evaluation {
  const { sets = ["near", "far"], right = 8 } = options;
  return evaluate({
    id: { msp: scores(10, 1 + shift), energy: scores(10, 2 + shift) },
    ood: Object.fromEntries(
      sets.map((set) => [set, { msp: scores(12, 0), energy: scores(12, 0.5) }]),
    ),
    predictions: Int32Array.from({ length: 10 }, (_, i) => i < right ? 0 : 1),
    labels: new Int32Array(10),
  }, { replicates: 20 });
}

function report(change: Partial<ComparisonReport> = {}): ComparisonReport {
  const [before, after] = [evaluation(0), evaluation(1, { right: 9 })];
  const norms = new Map(["id", "near", "far"].map((set) => [set, scores(10, 3)]));
  const byMethod = new Map([["msp", scores(10, 1)], ["energy", scores(10, 2)]]);
  const all = new Map(["id", "near", "far"].map((set) => [set, byMethod]));
  return {
    before: "a.onnx",
    after: "a & b.onnx",
    comparison: compareEvaluations(before, after),
    evaluations: { before, after },
    norms: { before: norms, after: norms },
    scores: { before: all, after: all },
    maps: [{
      set: "near",
      name: "<img>",
      picture: "data:image/png;base64,AAAA",
      size: [2, 3],
      before: [0, 1, 2, 3, 4, 5],
      after: [0, 1, 1, 1, 1, 2],
    }],
    sensitivity: [{
      name: "weight",
      chosen: 1,
      points: [0.1, 1].map((value) => ({
        value,
        accuracy: 0.9,
        averages: [{ method: "energy", auroc: 0.8, fpr95: 0.4 }],
      })),
    }],
    settings: { delta: 0.1 },
    ...change,
  };
}

Deno.test("compareEvaluations() puts every figure beside its own", () => {
  const [before, after] = [evaluation(0), evaluation(1, { right: 9 })];
  const { rows, accuracy, fpr95 } = compareEvaluations(before, after);
  assertEquals(accuracy, { before: 0.8, after: 0.9 });
  assertEquals(fpr95, "FPR95(OOD|ID95)");
  assertEquals(rows.map(({ method, set }) => `${set} ${method}`), [
    "near msp",
    "near energy",
    "far msp",
    "far energy",
    "average msp",
    "average energy",
  ]);
  before.results.forEach((result, i) => {
    assertEquals(rows[i]!.auroc.before, result.auroc);
    assertEquals(rows[i]!.auroc.after, after.results[i]!.auroc);
    assertEquals(rows[i]!.fpr95.after, after.results[i]!.fpr95);
  });
  assertEquals(rows[4]!.auroc.after, after.averages[0]!.auroc);
});

Deno.test("compareEvaluations() refuses what cannot be compared", () => {
  const other = evaluation(0, { sets: ["near"] });
  assertThrows(() => compareEvaluations(evaluation(0), other), UserError, "they differ in");
});

Deno.test("comparisonTable() shows both figures and the way", () => {
  const { comparison } = report();
  const text = comparisonTable(comparison, { names: ["old", "new"] });
  assertMatch(text, /^old -> new, percent\nID accuracy 80\.00 -> 90\.00 \(\+10\.00\)\n/);
  for (const set of ["near", "far", "average"]) assertStringIncludes(text, `\n${set}\n`);
  assertMatch(text, /\(-\d/);
});

Deno.test("renderComparison() is one page that loads nothing and escapes names", () => {
  const html = renderComparison(report());
  for (const id of ["changes", "norms", "scores", "maps", "sensitivity", "record"]) {
    assertStringIncludes(html, `<section id="${id}">`);
    assertStringIncludes(html, `href="#${id}"`);
  }
  assertStringIncludes(html, "a &amp; b.onnx");
  assertStringIncludes(html, "&lt;img&gt;");
  assertEquals(/(src|href)="(?!data:|#)/.test(html), false);
  assertEquals(html.match(/<rect /g)!.length, 12);
  assert(!html.includes("NaN"));
});

Deno.test("renderComparison() leaves out what there is not", () => {
  const html = renderComparison(report({ maps: [], sensitivity: [], settings: null }));
  for (const id of ["maps", "sensitivity"]) assert(!html.includes(`id="${id}"`));
  assert(!html.includes("Settings of the tuning"));
});

Deno.test("renderComparison() refuses pictures from elsewhere", () => {
  const [map] = report().maps;
  assertThrows(
    () => renderComparison(report({ maps: [{ ...map!, picture: "https://example.com/a.png" }] })),
    UserError,
    "data:image",
  );
});
