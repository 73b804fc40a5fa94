import { assert, assertEquals, assertThrows } from "@std/assert";
import { intervalsOf, meanReplicates, RankedScores, replicate } from "../../eval/_replicates.ts";
import { bootstrapIntervals, delong } from "../../eval/bootstrap.ts";
import { type Convention, CONVENTIONS } from "../../eval/conventions.ts";
import { FIGURES } from "../../eval/figures.ts";
import { auroc, computeMetrics } from "../../eval/metrics.ts";
import { UserError } from "../../runtime/errors.ts";
import { Rng } from "../../kernels/random/rng.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 23;

function normals(rng: Rng, { count, mean }: { count: number; mean: number }): Float64Array {
  return Float64Array.from({ length: count }, () => rng.normal() + mean);
}

Deno.test("bootstrapIntervals() gives the same bits for the same seed, and others for another", () => {
  const rng = new Rng(SEED);
  const id = normals(rng, { count: 80, mean: 1 });
  const ood = normals(rng, { count: 60, mean: 0 });
  const first = bootstrapIntervals(id, ood, { replicates: 50, seed: 4 });
  assertEquals(bootstrapIntervals(id, ood, { replicates: 50, seed: 4 }), first);
  const other = bootstrapIntervals(id, ood, { replicates: 50, seed: 5 });
  assert(other.auroc[0] !== first.auroc[0], "another seed gave the same bound");
  const named = bootstrapIntervals(id, ood, { replicates: 50, seed: 4, set: "svhn" });
  assert(named.auroc[0] !== first.auroc[0], "another set drew the same images");
});

Deno.test("a replicate equals the metrics of the resampled arrays under every convention", () => {
  const rng = new Rng(SEED);
  const id = normals(rng, { count: 37, mean: 1 }).map((x) => Math.round(x * 4) / 4);
  const ood = normals(rng, { count: 23, mean: 0 }).map((x) => Math.round(x * 4) / 4);
  const seed = 9;
  // The draws that replicate() makes: the ID set's stream and that of the set named "".
  const draws = (stream: number, count: number) => {
    const generator = new Rng(seed, stream);
    return Array.from({ length: count }, () => generator.integer(count));
  };
  const idDraw = draws(fnv("id"), id.length);
  const oodDraw = draws(fnv("ood:"), ood.length);
  const idSample = Float64Array.from(idDraw, (index) => id[index]!);
  const oodSample = Float64Array.from(oodDraw, (index) => ood[index]!);
  for (const convention of Object.keys(CONVENTIONS) as Convention[]) {
    const { aupr } = CONVENTIONS[convention];
    const values = replicate(
      [new RankedScores(id)],
      [{ name: "", methods: [new RankedScores(ood)] }],
      { convention, aupr, replicates: 1, level: 0.95, seed },
    )[0]![0]!;
    const expected = computeMetrics(idSample, oodSample, { convention });
    for (const figure of FIGURES) {
      assertEquals(values[figure][0], expected[figure], `${convention} ${figure}`);
    }
  }
});

Deno.test("methods on one set are resampled alike, whatever stands beside them", () => {
  const rng = new Rng(SEED);
  const id = new RankedScores(normals(rng, { count: 30, mean: 1 }));
  const ood = new RankedScores(normals(rng, { count: 20, mean: 0 }));
  const other = new RankedScores(normals(rng, { count: 11, mean: 0 }));
  const options = {
    convention: "default",
    aupr: "average-precision",
    replicates: 20,
    level: 0.9,
    seed: 1,
  } as const;
  const alone = replicate([id], [{ name: "a", methods: [ood] }], options);
  const together = replicate([id, id], [
    { name: "b", methods: [other, other] },
    { name: "a", methods: [ood, ood] },
  ], options);
  assertEquals(together[1]![0], alone[0]![0]);
  assertEquals(together[1]![1], alone[0]![0]);
});

Deno.test("meanReplicates() averages replicate by replicate", () => {
  const make = (values: number[]) => ({
    auroc: Float64Array.from(values),
    fpr95: Float64Array.from(values),
    fpr95_reverse: Float64Array.from(values),
    aupr_in: Float64Array.from(values),
    aupr_out: Float64Array.from(values),
  });
  const mean = meanReplicates([make([0, 1]), make([0.5, 0])]);
  assertEquals([...mean.auroc], [0.25, 0.5]);
  assertClose(intervalsOf(mean, 0.5).fpr95, [0.3125, 0.4375], TOLERANCE.float64);
});

Deno.test("95 % intervals hold the true AUROC in about 95 % of experiments", () => {
  // Two unit normals whose means differ by 1: AUROC = Phi(1 / sqrt 2).
  const truth = 0.760249938906523;
  const rng = new Rng(SEED);
  const experiments = 200;
  let bootstrap = 0;
  let closed = 0;
  for (let i = 0; i < experiments; i++) {
    const id = normals(rng, { count: 60, mean: 1 });
    const ood = normals(rng, { count: 60, mean: 0 });
    const [lower, upper] = bootstrapIntervals(id, ood, { replicates: 200, seed: i }).auroc;
    if (lower <= truth && truth <= upper) bootstrap++;
    const { auroc: area, standardError } = delong(id, ood);
    if (Math.abs(area - truth) <= 1.959964 * standardError) closed++;
  }
  // Four standard deviations of a binomial with p = 0.95 around 190, and a little bias.
  for (const covered of [bootstrap, closed]) {
    assert(covered >= 174 && covered <= 199, `covered ${covered} of ${experiments}, seed ${SEED}`);
  }
});

Deno.test("bootstrap and DeLong agree on the spread of the AUROC", () => {
  const rng = new Rng(SEED);
  const id = normals(rng, { count: 400, mean: 1 });
  const ood = normals(rng, { count: 300, mean: 0 });
  const [lower, upper] = bootstrapIntervals(id, ood, { replicates: 1000, seed: SEED }).auroc;
  const { auroc: area, standardError } = delong(id, ood);
  assertEquals(area, auroc(id, ood));
  const ratio = (upper - lower) / (2 * 1.959964 * standardError);
  assert(ratio > 0.9 && ratio < 1.1, `ratio ${ratio}, seed ${SEED}`);
});

Deno.test("delong() equals the variance of placements over all pairs", () => {
  const rng = new Rng(SEED);
  const id = normals(rng, { count: 13, mean: 1 }).map((x) => Math.round(x * 2) / 2);
  const ood = normals(rng, { count: 9, mean: 0 }).map((x) => Math.round(x * 2) / 2);
  const beats = (a: number, b: number) => a > b ? 1 : a === b ? 0.5 : 0;
  const mean = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = (values: number[]) => {
    const centre = mean(values);
    return values.reduce((sum, x) => sum + (x - centre) ** 2, 0) / (values.length - 1);
  };
  const idPlaces = Array.from(id, (a) => mean(Array.from(ood, (b) => beats(a, b))));
  const oodPlaces = Array.from(ood, (b) => mean(Array.from(id, (a) => beats(a, b))));
  const expected = Math.sqrt(variance(idPlaces) / id.length + variance(oodPlaces) / ood.length);
  assertClose([delong(id, ood).standardError], [expected], TOLERANCE.float64, `seed ${SEED}`);
});

Deno.test("bootstrapIntervals() refuses bad scores and options", () => {
  const good = Float32Array.of(1, 2);
  assertThrows(
    () => bootstrapIntervals(good, Float32Array.of(NaN), { set: "noise", method: "msp" }),
    UserError,
    'method "msp" on set "noise": score 0 is NaN',
  );
  for (const replicates of [0, -1, 1.5]) {
    assertThrows(
      () => bootstrapIntervals(good, good, { replicates }),
      UserError,
      `it is ${replicates}`,
    );
  }
  for (const level of [0, 1, NaN]) {
    assertThrows(
      () => bootstrapIntervals(good, good, { level }),
      UserError,
      "the level must lie between 0 and 1",
    );
  }
});

function fnv(name: string): number {
  let hash = 0x811c9dc5;
  for (const unit of name) hash = Math.imul(hash ^ unit.charCodeAt(0), 0x01000193);
  return hash >>> 0;
}
