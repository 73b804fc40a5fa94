import { assert, assertEquals, assertThrows } from "@std/assert";
import { pairwiseSum, percentileOfSorted, roundHalfEven } from "../../eval/_numpy.ts";
import { type Convention, CONVENTIONS, findConvention } from "../../eval/conventions.ts";
import {
  auprIn,
  auprOut,
  auroc,
  balancedError,
  computeMetrics,
  detectionError,
  fpr95,
  fpr95Reverse,
  idAccuracy,
  tieMass,
} from "../../eval/metrics.ts";
import { FIGURES } from "../../eval/figures.ts";
import { UserError } from "../../runtime/errors.ts";
import { Rng } from "../../kernels/random/rng.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 11;
const ALL = Object.keys(CONVENTIONS) as Convention[];

const COUNTING = Float64Array.from({ length: 20 }, (_, i) => i + 1);
/** The hand-made score sets by which conventions are told apart. */
const HAND_MADE = {
  X1: {
    id: Float64Array.of(.9, .8, .8, .6, .5, .3),
    ood: Float64Array.of(.8, .5, .4, .3, .1),
  },
  X2: {
    id: Float64Array.of(.95, .85, .75, .65, .55, .35),
    ood: Float64Array.of(.7, .45, .4, .2, .1),
  },
  X4: { id: Float64Array.of(1, 1, 1, .9, .7, .2), ood: Float64Array.of(1, 1, .6, .2, .1) },
  X7: { id: COUNTING, ood: COUNTING },
};

const ROWS: [string, (id: Float64Array, ood: Float64Array) => number, number[]][] = [
  ["AUROC", auroc, [.766667, .833333, .65, .5]],
  ["FPR95 A", (id, ood) => fpr95(id, ood, { convention: "openood" }), [.833333, .5, 1, 1]],
  ["FPR95 A2", (id, ood) => fpr95(id, ood, { convention: "pytorch-ood" }), [.833333, .5, 1, .95]],
  ["FPR95 B", fpr95, [.8, .6, .8, .95]],
  ["FPR95 C", (id, ood) => fpr95(id, ood, { convention: "tagood" }), [.74, .6, .74, .95]],
  ["FPR95 D", (id, ood) => fpr95(id, ood, { convention: "synood" }), [.6, .6, .6, .9]],
  ["FPR95 E", (id, ood) => fpr95(id, ood, { convention: "neglabel" }), [.8, .6, .8, .95]],
  [
    "AUPR-in trapezoid",
    (id, ood) => auprIn(id, ood, { aupr: "trapezoid" }),
    [.815774, .872917, .722718, .5125],
  ],
  [
    "AUPR-out trapezoid",
    (id, ood) => auprOut(id, ood, { aupr: "trapezoid" }),
    [.757143, .81631, .699242, .5125],
  ],
  ["AP-in", auprIn, [.769048, .883333, .630159, .5]],
  ["AP-out", auprOut, [.716667, .835, .665152, .5]],
  [
    "AUIN D",
    (id, ood) => auprIn(id, ood, { convention: "synood" }),
    [.73244, .789583, .472718, .4875],
  ],
  [
    "AUOUT D",
    (id, ood) => auprOut(id, ood, { convention: "synood" }),
    [.657143, .71631, .599242, .4875],
  ],
  ["DTERR D", detectionError, [.272727, .181818, .272727, .5]],
  ["min half FNR + FPR", balancedError, [.266667, .183333, .283333, .5]],
];

for (const [row, metric, expected] of ROWS) {
  Deno.test(`${row} gives the published value on the hand-made scores`, () => {
    const actual = Object.values(HAND_MADE).map(({ id, ood }) => metric(id, ood));
    assertClose(actual, expected, TOLERANCE.printed, row);
  });
}

Deno.test("auroc() agrees between all conventions on the hand-made scores", () => {
  for (const [name, { id, ood }] of Object.entries(HAND_MADE)) {
    const expected = auroc(id, ood);
    const actual = ALL.map((convention) => auroc(id, ood, { convention }));
    assertClose(actual, ALL.map(() => expected), TOLERANCE.float64, name);
  }
});

interface GoldenCase {
  kind: string;
  id: number[];
  ood: number[];
  expected: Record<Convention, Record<string, number>>;
}

const GOLDEN: { seed: number; cases: GoldenCase[] } = JSON.parse(
  Deno.readTextFileSync(new URL("../golden/metrics.json", import.meta.url)),
);

for (const convention of ALL.filter((name) => name !== "default" && name !== "pytorch-ood")) {
  Deno.test(`computeMetrics() equals scikit-learn and NumPy to the last bit under ${convention}`, () => {
    for (const { kind, id, ood, expected } of GOLDEN.cases) {
      const actual = computeMetrics(Float64Array.from(id), Float64Array.from(ood), { convention });
      for (const figure of FIGURES) {
        assertEquals(
          actual[figure],
          expected[convention][figure],
          `${figure} of ${id.length} ID and ${ood.length} OOD ${kind} scores, seed ${GOLDEN.seed}`,
        );
      }
    }
  });
}

for (const convention of ["default", "pytorch-ood"] as const) {
  Deno.test(`computeMetrics() agrees with scikit-learn under ${convention}`, () => {
    for (const { kind, id, ood, expected } of GOLDEN.cases) {
      const actual = computeMetrics(Float64Array.from(id), Float64Array.from(ood), { convention });
      assertClose(
        FIGURES.map((figure) => actual[figure]),
        FIGURES.map((figure) => expected[convention][figure]!),
        TOLERANCE.float64,
        `${id.length} ID and ${ood.length} OOD ${kind} scores, seed ${GOLDEN.seed}:`,
      );
      assertEquals(actual.fpr95, expected[convention]["fpr95"]);
      assertEquals(actual.fpr95_reverse, expected[convention]["fpr95_reverse"]);
    }
  });
}

Deno.test("detectionError() equals the curve over single samples", () => {
  for (const { id, ood, expected } of GOLDEN.cases) {
    assertEquals(
      detectionError(Float64Array.from(id), Float64Array.from(ood)),
      expected.synood["dterr"],
    );
  }
});

Deno.test("single metrics equal computeMetrics() under every convention", () => {
  const { id, ood } = randomScores({ count: 61, step: 0.25 });
  for (const convention of ALL) {
    const all = computeMetrics(id, ood, { convention });
    assertEquals(
      {
        auroc: auroc(id, ood, { convention }),
        fpr95: fpr95(id, ood, { convention }),
        fpr95_reverse: fpr95Reverse(id, ood, { convention }),
        aupr_in: auprIn(id, ood, { convention }),
        aupr_out: auprOut(id, ood, { convention }),
      },
      { ...all },
      convention,
    );
  }
});

Deno.test("auroc() equals the count over all pairs", () => {
  for (const step of [0, 0.5]) {
    const { id, ood } = randomScores({ count: 83, step });
    let wins = 0;
    for (const a of id) for (const b of ood) wins += a > b ? 1 : a === b ? 0.5 : 0;
    assertEquals(auroc(id, ood), wins / (id.length * ood.length), `seed ${SEED}, step ${step}`);
  }
});

Deno.test("metrics do not change under an increasing map of the scores", () => {
  const { id, ood } = randomScores({ count: 70, step: 0.25 });
  for (const map of [(x: number) => 3 * x - 7, Math.exp, Math.atan]) {
    for (const convention of ALL) {
      const before = computeMetrics(id, ood, { convention });
      const after = computeMetrics(id.map(map), ood.map(map), { convention });
      // Rule F interpolates between scores, so only maps that keep ratios keep its FPR95.
      const figures = convention === "ssd"
        ? FIGURES.filter((figure) => !figure.startsWith("fpr95"))
        : FIGURES;
      for (const figure of figures) {
        assertEquals(after[figure], before[figure], `${convention} ${figure}, seed ${SEED}`);
      }
    }
  }
});

Deno.test("negating the scores turns AUROC into 1 - AUROC", () => {
  const { id, ood } = randomScores({ count: 57, step: 0.25 });
  assertClose(
    [auroc(id.map((x) => -x), ood.map((x) => -x))],
    [1 - auroc(id, ood)],
    TOLERANCE.float64,
    `seed ${SEED}`,
  );
});

Deno.test("swapping sets and sign swaps the two FPR95 and the two AUPR", () => {
  const { id, ood } = randomScores({ count: 57, step: 0.25 });
  for (
    const convention of ALL.filter((name) => CONVENTIONS[name].aupr !== "trapezoid-dummy-ends")
  ) {
    const forward = computeMetrics(id, ood, { convention });
    const backward = computeMetrics(ood.map((x) => -x), id.map((x) => -x), { convention });
    assertEquals(backward.fpr95, forward.fpr95_reverse, convention);
    assertEquals(backward.fpr95_reverse, forward.fpr95, convention);
    assertClose([backward.aupr_in], [forward.aupr_out], TOLERANCE.float64, convention);
  }
});

Deno.test("a constant detector has AUROC 0.5 and accepts every OOD image", () => {
  const id = new Float32Array(40).fill(0.25);
  const ood = new Float32Array(25).fill(0.25);
  for (const convention of ALL) assertEquals(auroc(id, ood, { convention }), 0.5, convention);
  assertEquals(fpr95(id, ood), 1);
  assertEquals(fpr95(id, ood, { convention: "synood" }), 0);
  assertEquals(tieMass(id, ood), 1);
  assertEquals(auprIn(id, ood), 40 / 65);
});

Deno.test("order of the images does not matter, and the arrays are left as they were", () => {
  const { id, ood } = randomScores({ count: 64, step: 0.5 });
  const copy = id.slice();
  const reversed = id.slice().reverse();
  for (const convention of ALL) {
    assertEquals(
      computeMetrics(id, ood, { convention }),
      computeMetrics(reversed, ood, { convention }),
      convention,
    );
  }
  assertEquals(id, copy);
});

Deno.test("every set repeated twice keeps AUROC, average precision and FPR95", () => {
  const { id, ood } = randomScores({ count: 40, step: 0.5 });
  const once = computeMetrics(id, ood);
  const twice = computeMetrics(concat(id, id), concat(ood, ood));
  assertClose(
    FIGURES.map((figure) => twice[figure]),
    FIGURES.map((figure) => once[figure]),
    TOLERANCE.float64,
  );
});

Deno.test("AUROC over joined OOD sets is the mean weighted by their sizes", () => {
  const { id, ood } = randomScores({ count: 90, step: 0.25 });
  const first = ood.slice(0, 20);
  const second = ood.slice(20);
  const joined = (auroc(id, first) * first.length + auroc(id, second) * second.length) /
    ood.length;
  assertClose([auroc(id, ood)], [joined], TOLERANCE.float64, `seed ${SEED}`);
});

Deno.test("Float32Array and Float64Array of the same values give the same metrics", () => {
  const { id, ood } = randomScores({ count: 50, step: 0.25 });
  assertEquals(
    computeMetrics(Float32Array.from(id), ood),
    computeMetrics(id, Float32Array.from(ood)),
  );
});

Deno.test("metrics treat -0 and 0 as a tie", () => {
  assertEquals(auroc(Float32Array.of(0, -0), Float32Array.of(-0, 0)), 0.5);
});

Deno.test("metrics refuse scores that are not finite, and name method, set and index", () => {
  const good = Float32Array.of(1, 2);
  for (const bad of [NaN, Infinity, -Infinity]) {
    assertThrows(
      () => auroc(good, Float32Array.of(0, bad), { method: "vim", set: "svhn" }),
      UserError,
      `Cannot evaluate method "vim" on set "svhn": score 1 is ${bad}, and every score must be finite`,
    );
  }
  assertThrows(
    () => fpr95(Float32Array.of(NaN), good),
    UserError,
    'on set "id": score 0 is NaN',
  );
});

Deno.test("metrics refuse an empty set", () => {
  const none = new Float32Array(0);
  const some = Float32Array.of(1);
  for (const metric of [auroc, fpr95, fpr95Reverse, auprIn, auprOut, tieMass, detectionError]) {
    assertThrows(() => metric(none, some), UserError, 'set "id": the set has no scores');
    assertThrows(
      () => metric(some, none, { set: "noise" }),
      UserError,
      'set "noise": the set has no scores',
    );
  }
});

Deno.test("idAccuracy() leaves unknown labels out and refuses unequal lengths", () => {
  assertEquals(idAccuracy([1, 2, 3, 4], Int32Array.of(1, 2, 0, -1)), 2 / 3);
  assertEquals(idAccuracy([], []), null);
  assertThrows(() => idAccuracy([1], [1, 2]), UserError, "there are 1 predictions and 2 labels");
});

Deno.test("findConvention() knows every name and refuses others", () => {
  for (const name of ALL) assertEquals(findConvention(name).name, name);
  assertEquals(new Set(ALL.map((name) => CONVENTIONS[name].letter)).size, ALL.length);
  for (const name of ["", "toString", "OpenOOD"]) {
    assertThrows(() => findConvention(name), UserError, "it must be one of default, openood");
  }
});

Deno.test("roundHalfEven() rounds as Python does", () => {
  assertEquals([0.5, 1.5, 2.5, 2.4, 2.6, 7].map(roundHalfEven), [0, 2, 2, 2, 3, 7]);
});

Deno.test("percentileOfSorted() interpolates linearly and keeps the ends", () => {
  const values = Float64Array.of(1, 2, 4, 8);
  assertEquals([0, 50, 75, 100].map((q) => percentileOfSorted(values, q)), [1, 3, 5, 8]);
  assertEquals(percentileOfSorted(Float64Array.of(3), 95), 3);
});

Deno.test("pairwiseSum() adds long arrays with less error than a running sum", () => {
  const values = new Float64Array(10_000).fill(0.1);
  let running = 0;
  for (const value of values) running += value;
  const error = Math.abs(pairwiseSum(values) - 1000);
  assert(error < Math.abs(running - 1000) / 100, `error ${error}`);
});

/** Overlapping scores; a step above 0 rounds them so that many tie. */
function randomScores(
  { count, step }: { count: number; step: number },
): { id: Float64Array; ood: Float64Array } {
  const rng = new Rng(SEED);
  const draw = (mean: number) => {
    const value = rng.normal() + mean;
    return step === 0 ? value : Math.round(value / step) * step;
  };
  return {
    id: Float64Array.from({ length: count }, () => draw(1)),
    ood: Float64Array.from({ length: Math.ceil(count * 0.7) }, () => draw(0)),
  };
}

function concat(a: Float64Array, b: Float64Array): Float64Array {
  const joined = new Float64Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
