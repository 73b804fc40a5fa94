import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { apart } from "../../eval/_plot_labels.ts";
import {
  type Ablation,
  type AblationCurves,
  type AblationScatter,
  type AblationSection,
  type AblationTable,
  ablationText,
  renderAblation,
} from "../../eval/mod.ts";
import { UserError } from "../../runtime/mod.ts";

const MEASURES = [
  { name: "AUROC", better: "more" },
  { name: "FPR95(OOD|ID95)", better: "less" },
] as const;

const CURVES: AblationCurves = {
  kind: "curves",
  title: "τ in training",
  about: "How much is kept.",
  parameter: "τ",
  chosen: 0.5,
  measures: MEASURES,
  series: [
    {
      name: "near",
      points: [
        { value: 0.5, figures: [[0.9, 0.92], [0.2, 0.3]] },
        { value: 0, figures: [[0.8, 0.82], [0.4, 0.4]] },
      ],
    },
    {
      name: "<far>",
      points: [
        { value: 0, figures: [[0.9, 0.9], [0.3, 0.3]] },
        { value: 0.5, figures: [[0.98, 0.92], [0.1, 0.1]] },
        { value: 0.7, figures: [0.9, null] },
      ],
    },
  ],
};

const TABLE: AblationTable = {
  kind: "table",
  title: "Parts",
  choice: "score",
  parts: ["centres", "projection"],
  measures: MEASURES,
  rows: [
    { name: "tag score", figures: [0.8562, 0.4344] },
    { name: "p(CE)", parts: [false, true], figures: [0.92401, 0.3] },
    { name: "all & more", parts: [true, true], figures: [[0.92, 0.928], null] },
  ],
};

const SCATTER: AblationScatter = {
  kind: "scatter",
  title: "Features",
  classes: Array.from({ length: 11 }, (_, i) => `c${i}`),
  clouds: [
    { name: "before", note: "tokens", points: [0, 0, 1, 2, 3, -1], classOf: [0, 10, -1] },
    { name: "after", points: new Float32Array(4), classOf: Int32Array.of(0, -1) },
  ],
};

const scores = (shift: number) => Float32Array.from({ length: 40 }, (_, i) => Math.sin(i) + shift);

function ablation(...sections: readonly AblationSection[]): Ablation {
  return { title: "TagOOD", sections };
}

Deno.test("renderAblation() is one page that loads nothing and escapes names", () => {
  const html = renderAblation({
    title: "Parts & more",
    lede: "Three seeds.",
    key: [{ name: "AUROC", value: "92.4", note: "± 0.1" }],
    warnings: ["<few> images"],
    sections: [
      CURVES,
      TABLE,
      SCATTER,
      {
        kind: "scores",
        title: "Scores",
        rows: [{ name: "cosine", sets: new Map([["id", scores(1)], ["near", scores(0)]]) }],
      },
      {
        kind: "picture",
        title: "Sheet",
        source: "data:image/png;base64,AAAA",
        description: "Eight images",
      },
      { kind: "notes", title: "Notes", notes: [{ term: "Seeds", text: "0, 1, 2" }] },
    ],
    record: { seeds: [0, 1, 2] },
  });
  assert(html.startsWith("<!doctype html>"));
  for (const id of ["s1", "s2", "s3", "s4", "s5", "s6", "record"]) {
    assertStringIncludes(html, `<section id="${id}">`);
    assertStringIncludes(html, `href="#${id}"`);
  }
  for (const text of ["Parts &amp; more", "&lt;few&gt;", "&lt;far&gt;", "all &amp; more"]) {
    assertStringIncludes(html, text);
  }
  assertEquals(/(src|href)="(?!data:|#)/.test(html), false);
  assert(!/NaN|undefined|Infinity|<far>|<few>/.test(html));
});

Deno.test("renderAblation() draws a line for each set and one for their average", () => {
  const html = renderAblation(ablation(CURVES));
  assertEquals(html.match(/<path class="curve /g)!.length, 2 * 3);
  assertStringIncludes(html, "Bars are the deviation over 2 runs. The dashed line marks");
  assertStringIncludes(html, "near: AUROC 91.00 ± 1.41 at 0.5");
  // The runs' averages are 0.94 and 0.92; only values that all sets have are averaged.
  assertStringIncludes(html, "average: AUROC 93.00 ± 1.41 at 0.5");
  assert(!/average: [^<]* at 0\.7/.test(html));
  assertStringIncludes(html, '<text class="tick mark"');
  const alone = renderAblation(ablation({ ...CURVES, series: CURVES.series.slice(0, 1) }));
  assertEquals(alone.match(/<path class="curve /g)!.length, 2);
  assert(!alone.includes("average"));
});

Deno.test("renderAblation() spaces values evenly or in proportion", () => {
  const positions = (spacing: "even" | "linear") =>
    [
      ...renderAblation(ablation({ ...CURVES, spacing })).matchAll(
        /<text class="tick(?: mark)?" x="([\d.]+)" y="\d+" text-anchor="middle">/g,
      ),
    ].slice(0, 3).map(([, x]) => Number(x));
  const [a, b, c] = positions("even") as [number, number, number];
  assert(Math.abs((b - a) - (c - b)) < 0.2);
  const [d, e, f] = positions("linear") as [number, number, number];
  assert(Math.abs((e - d) / (f - d) - 0.5 / 0.7) < 0.01);
});

Deno.test("renderAblation() marks the best of what prints alike", () => {
  const html = renderAblation(ablation(TABLE));
  assertEquals(html.match(/first best/g)!.length, 3);
  assertStringIncludes(html, '<td class="first best"><b>92.40</b><small>± 0.57</small></td>');
  assertStringIncludes(html, '<td class="first best"><b>30.00</b></td>');
  assertStringIncludes(html, '<td class="first">–</td>');
  assertEquals(html.match(/✓/g)!.length, 3);
  assertStringIncludes(html, 'aria-label="projection">✓');
});

Deno.test("renderAblation() draws classes in colours and shapes, and OOD as crosses", () => {
  const html = renderAblation(ablation(SCATTER));
  assertEquals(html.match(/<path class="cross"/g)!.length, 3);
  assertEquals(html.match(/data-m="class-10"/g)!.length, 2);
  assertMatch(
    html,
    /data-m="class-10" style="--c:var\(--m1\)"><title>c10<\/title><path class="marks"/,
  );
  assertMatch(html, /<li data-m="class-ood"[^>]*>.*?OOD<\/li><\/ul>/);
  // Both axes have one scale: the cloud is 3 wide and 3 high, and fills the frame.
  assertStringIncludes(html, '<title>c0</title><path class="dots" d="M14,275.3h0"/>');
});

Deno.test("renderAblation() refuses figures and points that cannot be drawn", () => {
  const broken = { ...TABLE, rows: [{ name: "x", figures: [NaN, 0.1] }] };
  assertThrows(() => renderAblation(ablation(broken)), UserError, "it must be finite");
  const cloud = (points: number[]) =>
    ablation({ ...SCATTER, clouds: [{ name: "z", points, classOf: [0] }] });
  assertThrows(() => renderAblation(cloud([0, NaN])), UserError, 'Cannot draw "z"');
  assertThrows(() => renderAblation(cloud([0])), RangeError, "1 coordinates for 1");
});

Deno.test("ablationText() lays out tables and sweeps for a terminal", () => {
  assertEquals(
    ablationText(ablation(CURVES, SCATTER, TABLE)),
    [
      "τ in training: mean over 2 sets",
      "  τ                  AUROC ↑  FPR95(OOD|ID95) ↓",
      "  0            85.50  ± 0.71      35.00  ± 0.00",
      "  0.5 (taken)  93.00* ± 1.41      17.50* ± 3.54",
      "  percent, mean ± deviation over 2 runs; * best",
      "",
      "Parts",
      "  score       centres  projection        AUROC ↑  FPR95(OOD|ID95) ↓",
      "  tag score                        85.62                     43.44",
      "  p(CE)                ✓           92.40*                    30.00*",
      "  all & more  ✓        ✓           92.40* ± 0.57                 -",
      "  percent, mean ± deviation over 2 runs; * best",
      "",
    ].join("\n"),
  );
  assertEquals(ablationText(ablation(SCATTER)), "");
});

Deno.test("apart() moves labels down where they overlap, and never below the bottom", () => {
  assertEquals(apart([50, 10, 12]), [50, 10, 24]);
  assertEquals(apart([95, 90], 100), [100, 86]);
});
