import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { curveOf } from "../../eval/_curve.ts";
import { Markup, markup } from "../../eval/_html.ts";
import { histogram, histogramRange, rocPoints } from "../../eval/_report_plots.ts";
import { SCRIPT, SCRIPT_HASH } from "../../eval/_report_style.ts";
import { auroc } from "../../eval/metrics.ts";
import { evaluate } from "../../eval/protocol.ts";
import { renderReport, type ReportInput } from "../../eval/report.ts";
import { UserError } from "../../runtime/errors.ts";
import { Rng } from "../../kernels/random/rng.ts";

const SEED = 31;
const HOSTILE = `"><img src=x onerror=alert(1)><script>alert('x')</script>&\u0000`;
const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

function scores(methods: readonly string[], { count, mean, rng }: {
  count: number;
  mean: number;
  rng: Rng;
}): Record<string, Float32Array> {
  return Object.fromEntries(
    methods.map((method) => [
      method,
      Float32Array.from({ length: count }, () => rng.normal() + mean),
    ]),
  );
}

function input(
  { methods = ["msp", "energy"], sets = ["noise", "photos"], count = 120 } = {},
): ReportInput {
  const rng = new Rng(SEED);
  const id = scores(methods, { count, mean: 2, rng });
  const ood = Object.fromEntries(
    sets.map((set) => [set, scores(methods, { count, mean: 0, rng })]),
  );
  return { evaluation: evaluate({ id, ood }, { replicates: 10 }), id, ood };
}

Deno.test("renderReport() makes one whole page with every section", () => {
  const page = renderReport({
    ...input(),
    methods: [{ name: "msp", title: "MSP", source: "Someone, 2017", parameters: { k: 3 } }],
  }, { title: "My title", lede: "My lede" });
  assertMatch(page, /^<!doctype html>\n<html lang="en">/);
  assertMatch(page, /<\/html>\n$/);
  for (
    const part of ["<h1>My title</h1>", "My lede", "FPR95(OOD|ID95)", "k = 3", "Someone, 2017"]
  ) assertStringIncludes(page, part);
  for (
    const id of ["results", "auroc", "roc", "scores", "confusing", "methods", "reading", "record"]
  ) {
    assertStringIncludes(page, `<section id="${id}">`);
    assertStringIncludes(page, `<a href="#${id}">`);
  }
  assertEquals(page.match(/class="roc /g)!.length, 4, "a curve for each method and set");
});

Deno.test("renderReport() shows the mean over each group of sets", () => {
  const { id, ood } = input();
  const evaluation = evaluate({ id: id!, ood: ood!, groups: { far: ["photos"] } }, {
    replicates: 0,
  });
  assertStringIncludes(renderReport({ evaluation }), ">Mean, far<small>1 set</small>");
});

Deno.test("renderReport() is the same text twice", () => {
  assertEquals(renderReport(input()), renderReport(input()));
});

Deno.test("renderReport() closes every element that it opens", () => {
  const page = renderReport(input());
  const body = page.replace(/<(style|script)>[^]*?<\/\1>/g, "");
  const open: string[] = [];
  const empty = new Set(["meta", "img", "path", "circle", "!doctype"]);
  for (const [, close, name, end] of body.matchAll(/<(\/?)([a-z!][a-z0-9]*)[^>]*?(\/?)>/g)) {
    if (empty.has(name!) || end === "/") continue;
    if (close === "/") assertEquals(open.pop(), name);
    else open.push(name!);
  }
  assertEquals(open, []);
});

Deno.test("renderReport() asks the network for nothing", () => {
  const page = renderReport({
    ...input(),
    idImages: { names: [], thumbnails: new Map([[0, PIXEL]]) },
  });
  assert(
    !/\b(?:src|href|action|poster|srcset)="(?!data:image\/|#)/.test(page),
    "a foreign address",
  );
  assert(!/https?:|\/\/[a-z]|@import|url\(/i.test(page.replaceAll(PIXEL, "")), "an address");
  assertStringIncludes(page, "default-src &#39;none&#39;");
});

Deno.test("renderReport() allows exactly its own script", async () => {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(SCRIPT));
  const hash = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  assertEquals(SCRIPT_HASH, hash, "SCRIPT changed: put this hash into SCRIPT_HASH");
  const page = renderReport(input());
  assertStringIncludes(page, `script-src &#39;sha256-${hash}&#39;`);
  assertEquals(page.split("<script>").length, 2);
  assertStringIncludes(page, `<script>${SCRIPT}</script>`);
});

Deno.test("renderReport() escapes hostile names wherever they appear", () => {
  const methods = [HOSTILE, `${HOSTILE}2`];
  const given = input({ methods, sets: [HOSTILE, "b"] });
  const names = Array.from({ length: 120 }, (_, i) => `${HOSTILE}${i}`);
  const report = {
    ...given,
    idImages: { names },
    oodImages: { [HOSTILE]: { names }, b: { names } },
    methods: [{
      name: HOSTILE,
      title: HOSTILE,
      source: HOSTILE,
      parameters: { [HOSTILE]: HOSTILE, list: [HOSTILE] },
    }],
    warnings: [HOSTILE],
  };
  const page = renderReport(report, { title: HOSTILE, lede: HOSTILE });
  const withPictures = renderReport({
    ...report,
    idImages: { names, thumbnails: new Map(names.map((_, index) => [index, PIXEL])) },
  });
  for (const text of [page, withPictures]) {
    assert(!text.includes("<img src=x"), "an element came through");
    assert(!/<script>alert/.test(text), "a script came through");
    assert(!/="[^"<>]*"><img src=x/.test(text), "an attribute was closed");
    assert(!text.includes("\u0000"), "a NUL came through");
  }
});

Deno.test("renderReport() shows pictures only from data:image addresses", () => {
  const given = input();
  const names = Array.from({ length: 120 }, (_, i) => `folder/${i}.png`);
  const all = new Map(names.map((_, index) => [index, PIXEL]));
  const page = renderReport({ ...given, idImages: { names, thumbnails: all } }, { confusing: 3 });
  assertEquals(page.split(`<img src="${PIXEL}"`).length - 1, 3);
  for (
    const bad of [
      "http://example.com/a.png",
      "data:text/html;base64,AAAA",
      'data:image/png;base64,AA" onload="x',
    ]
  ) {
    assertThrows(
      () => renderReport({ ...given, idImages: { names, thumbnails: new Map([[0, bad]]) } }),
      UserError,
      "it must be a data:image address",
    );
  }
});

Deno.test("renderReport() does without scores, and refuses incomplete ones", () => {
  const given = input();
  const page = renderReport({ evaluation: given.evaluation });
  assert(!page.includes('id="roc"') && !page.includes('id="confusing"'));
  assertThrows(
    () => renderReport({ ...given, ood: { noise: given.ood! } as never }),
    UserError,
    'on set "noise": the evaluation has it and the scores do not',
  );
});

Deno.test("renderReport() copes with constant scores and with one image", () => {
  const one = { msp: Float32Array.of(1) };
  const evaluation = evaluate({ id: one, ood: { a: one } }, { replicates: 5 });
  const page = renderReport({ evaluation, id: one, ood: { a: one } });
  assert(!page.includes("NaN") && !page.includes("Infinity") && !page.includes("undefined"));
});

Deno.test("renderReport() stays below 2 MB with nine methods on five sets of 2,000 images", () => {
  const methods = Array.from({ length: 9 }, (_, i) => `method${i}`);
  const sets = Array.from({ length: 5 }, (_, i) => `set${i}`);
  const page = renderReport(input({ methods, sets, count: 2000 }));
  assert(page.length < 2e6, `${page.length} characters`);
  assert(!page.includes("NaN"));
});

Deno.test("rocPoints() keeps the area within the width of a pixel", () => {
  for (const count of [50, 5000]) {
    const rng = new Rng(SEED);
    const id = scores(["a"], { count, mean: 1, rng })["a"]!;
    const ood = scores(["a"], { count, mean: 0, rng })["a"]!;
    const points = rocPoints(curveOf(id, ood));
    assert(points.length <= 400, `${points.length} points`);
    assertEquals(points[0], { fpr: 0, tpr: 0 });
    assertEquals(points.at(-1), { fpr: 1, tpr: 1 });
    let area = 0;
    for (let i = 1; i < points.length; i++) {
      const [a, b] = [points[i - 1]!, points[i]!];
      area += (b.fpr - a.fpr) * (a.tpr + b.tpr) / 2;
    }
    const error = Math.abs(area - auroc(id, ood));
    assert(error < 1 / 300, `area is off by ${error}, seed ${SEED}`);
  }
});

Deno.test("rocPoints() drops points on straight runs only", () => {
  const curve = curveOf(Float64Array.of(6, 5, 4, 1), Float64Array.of(3, 2));
  assertEquals(rocPoints(curve), [
    { fpr: 0, tpr: 0 },
    { fpr: 0, tpr: 0.75 },
    { fpr: 1, tpr: 0.75 },
    { fpr: 1, tpr: 1 },
  ]);
});

Deno.test("histogram() counts every score, outliers in the end bins", () => {
  const values = Float32Array.of(-100, 0, 0.5, 1, 100);
  const shares = histogram(values, [0, 1]);
  assertEquals(shares.reduce((sum, share) => sum + share, 0), 1);
  assertEquals([shares[0], shares.at(-1)], [0.4, 0.4]);
  assertEquals(histogramRange([Float32Array.of(3, 3)]), [2.5, 3.5]);
});

Deno.test("markup escapes text, joins lists and leaves markup alone", () => {
  assertEquals(
    markup`<p title="${`"'<`}">${["a&", new Markup("<b>")]}${null}${0}</p>`.text,
    '<p title="&quot;&#39;&lt;">a&amp;<b>0</p>',
  );
});
