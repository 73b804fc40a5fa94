import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { evaluate } from "../../eval/protocol.ts";
import { csvTable, figureHeading, markdownTable, textTable } from "../../eval/table.ts";

const EVALUATION = evaluate({
  id: { msp: Float32Array.of(4, 3, 2, 1), "knn|50": Float32Array.of(4, 3, 2, 1) },
  ood: {
    noise: { msp: Float32Array.of(2.5, 0), "knn|50": Float32Array.of(0.5, 0) },
    photos: { msp: Float32Array.of(5, 0), "knn|50": Float32Array.of(5, 0) },
  },
}, { replicates: 40, seed: 2 });

Deno.test("textTable() aligns its columns and names the convention", () => {
  const lines = textTable(EVALUATION, { digits: 1 }).split("\n");
  assertStringIncludes(lines[0]!, "convention B (default)");
  assertStringIncludes(lines[2]!, "FPR95(OOD|ID95) ↓");
  const rows = lines.filter((line) => /^(msp|knn\|50) /.test(line));
  assertEquals(rows.length, 6);
  const brackets = (line: string) => [...line.matchAll(/\[/g)].map((match) => match.index);
  for (const row of rows) assertEquals(brackets(row), brackets(rows[0]!), row);
  assert(lines.some((line) => line.startsWith("average over all 2 sets")));
});

Deno.test("textTable() marks the best of each column, and all of equals", () => {
  const text = textTable(EVALUATION, { digits: 0, intervals: false, figures: ["auroc", "fpr95"] });
  const rows = text.split("\n").filter((line) => /^(msp|knn\|50) /.test(line))
    .map((line) => line.split(/\s+/).slice(1));
  assertEquals(rows, [
    ["75", "50"],
    ["100*", "0*"],
    ["50*", "50*"],
    ["50*", "50*"],
    ["63", "50"],
    ["75*", "25*"],
  ]);
});

Deno.test("textTable() sets the best bold only when asked", () => {
  assert(!textTable(EVALUATION).includes("\x1b"));
  assertStringIncludes(textTable(EVALUATION, { digits: 0, color: true }), "\x1b[1m100*\x1b[22m");
});

Deno.test("textTable() shows warnings and the ID accuracy", () => {
  const text = textTable({ ...EVALUATION, id_accuracy: 0.9125, warnings: ["Look out"] });
  assertStringIncludes(text, "ID accuracy 91.25 %\nwarning: Look out\n");
});

Deno.test("figureHeading() names FPR95 by the convention, and AUPR by its rule", () => {
  const scores = { id: { a: Float32Array.of(1) }, ood: { b: { a: Float32Array.of(0) } } };
  const openood = evaluate(scores, { convention: "openood", replicates: 0 });
  assertEquals(figureHeading(openood, "fpr95").text, "FPR95(ID|OOD95)");
  assertEquals(figureHeading(openood, "fpr95_reverse").text, "FPR95(OOD|ID95)");
  assertEquals(figureHeading(openood, "aupr_in").text, "AUPR-in (trapezoid)");
  assertEquals(figureHeading(EVALUATION, "aupr_out").text, "AUPR-out");
});

Deno.test("markdownTable() escapes names and sets the best bold", () => {
  const lines = markdownTable(EVALUATION, { digits: 1, intervals: false }).split("\n");
  assertEquals(
    lines[2],
    "| noise | msp | 75.0 | 50.0 | 85.4 | 70.0 |".replace("85.4 | 70.0", cells()),
  );
  assertStringIncludes(lines[3]!, "| noise | knn\\|50 | **100.0** | **0.0** |");
  assertEquals(new Set(lines.slice(0, 8).map((line) => line.split(/(?<!\\)\|/).length)).size, 1);
});

function cells(): string {
  const row = EVALUATION.results[0]!;
  return `${(100 * row.aupr_in).toFixed(1)} | ${(100 * row.aupr_out).toFixed(1)}`;
}

Deno.test("csvTable() keeps every digit and quotes what needs it", () => {
  const awkward = evaluate({
    id: { 'a,"b"': Float32Array.of(3, 2, 1) },
    ood: { "line\nbreak": { 'a,"b"': Float32Array.of(2.5, 0) } },
  }, { replicates: 10 });
  const csv = csvTable(awkward);
  assertStringIncludes(csv, '"line\nbreak","a,""b""",3,2,B,');
  assertStringIncludes(csv, `,${awkward.results[0]!.auroc},${awkward.results[0]!.ci!.auroc[0]},`);
  const plain = csvTable(EVALUATION).trimEnd().split("\r\n");
  assertEquals(plain.length, 1 + 4 + 2);
  assertEquals(new Set(plain.map((line) => line.split(",").length)).size, 1);
});
