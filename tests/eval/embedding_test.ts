import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { affinities, pairDistances } from "../../eval/_tsne.ts";
import { embed2d } from "../../eval/mod.ts";
import { UserError } from "../../runtime/mod.ts";

const [N, D, GROUPS] = [120, 5, 4];

/** Four groups of waves; scikit-learn was given the same numbers. */
const ROWS = Float32Array.from({ length: N * D }, (_, k) => {
  const [i, d] = [Math.floor(k / D), k % D];
  const group = i % GROUPS;
  return Math.sin(1.7 * i * (d + 1)) + group * Math.cos(d + group) * 1.5;
});

const JOINT = affinities(pairDistances({ data: ROWS, rows: N, dims: D }), {
  rows: N,
  perplexity: 20,
});

/** The Kullback-Leibler divergence that t-SNE brings down. */
function divergence(points: Float32Array): number {
  const near: number[] = [];
  for (let i = 0; i < N; i++) {
    for (let j = i + 1; j < N; j++) {
      const dx = points[2 * i]! - points[2 * j]!;
      const dy = points[2 * i + 1]! - points[2 * j + 1]!;
      near.push(1 / (1 + dx * dx + dy * dy));
    }
  }
  const total = 2 * near.reduce((a, b) => a + b);
  return near.reduce((sum, q, k) => sum + 2 * JOINT[k]! * Math.log(JOINT[k]! * total / q), 0);
}

Deno.test("affinities() are those of scikit-learn", () => {
  // sklearn.manifold._t_sne._joint_probabilities, scikit-learn 1.9.1.
  const highest = JOINT.indexOf(Math.max(...JOINT));
  assertEquals(highest, 3001);
  assertAlmostEquals(JOINT[highest]!, 0.002577538333554948, 1e-7);
  assertAlmostEquals(JOINT[0]!, 3.23184934e-6, 1e-9);
  assertAlmostEquals(JOINT[3]!, 2.77619963e-4, 1e-8);
  assertAlmostEquals(2 * JOINT.reduce((a, b) => a + b, 0), 1, 1e-6);
});

Deno.test("embed2d() comes as near as scikit-learn's exact t-SNE", () => {
  // The best and the worst of four starts there: 0.1953 and 0.2059.
  for (const seed of [0, 1]) {
    const points = embed2d(ROWS, { dims: D, perplexity: 20, iterations: 1000, seed });
    const found = divergence(points);
    assert(found < 0.2059 * 1.02, `${found}`);
  }
});

Deno.test("embed2d() keeps groups together, around 0", () => {
  const points = embed2d(ROWS, { dims: D, iterations: 400 });
  assertEquals(points.length, 2 * N);
  let same = 0;
  for (let i = 0; i < N; i++) {
    const order = Array.from({ length: N }, (_, j) => j).filter((j) => j !== i).sort((a, b) =>
      Math.hypot(points[2 * a]! - points[2 * i]!, points[2 * a + 1]! - points[2 * i + 1]!) -
      Math.hypot(points[2 * b]! - points[2 * i]!, points[2 * b + 1]! - points[2 * i + 1]!)
    );
    same += order.slice(0, 5).filter((j) => j % GROUPS === i % GROUPS).length / (5 * N);
  }
  assert(same > 0.9, `${same}`);
  for (const c of [0, 1]) {
    let sum = 0;
    for (let i = 0; i < N; i++) sum += points[2 * i + c]!;
    assertAlmostEquals(sum / N, 0, 1e-5);
  }
});

Deno.test("embed2d() depends on the seed and on nothing else", () => {
  const of = (seed: number) => embed2d(ROWS, { dims: D, iterations: 100, seed });
  const seen: number[] = [];
  const watched = embed2d(ROWS, {
    dims: D,
    iterations: 100,
    seed: 1,
    onProgress: (done, total) => seen.push(done / total),
  });
  assertEquals(of(1), watched);
  assertEquals([seen.length, seen.at(-1)], [100, 1]);
  assert(of(2).some((value, c) => value !== watched[c]));
});

Deno.test("embed2d() copes with few rows, with equal rows and with rows of one number", () => {
  assertEquals(embed2d([], { dims: 3 }), new Float32Array(0));
  assertEquals(embed2d([1, 2, 3], { dims: 3 }), new Float32Array(2));
  for (const rows of [[1, 2, 3, 4], new Array(30).fill(7), [0, 1e6, 2e6, 5e6, 9e6, 1e7]]) {
    const points = embed2d(rows, { dims: rows.length === 6 ? 1 : 2, iterations: 50 });
    assert(points.every(Number.isFinite), `${points}`);
  }
});

Deno.test("embed2d() refuses what it cannot embed", () => {
  assertThrows(() => embed2d([1, 2, 3], { dims: 2 }), RangeError, "they are no rows of 2");
  assertThrows(() => embed2d([1, 2], { dims: 0 }), RangeError, "no rows of 0");
  assertThrows(() => embed2d([1, 2], { dims: 1, iterations: 0 }), RangeError, "0 iterations");
  assertThrows(() => embed2d([1, 2], { dims: 1, perplexity: 0.5 }), RangeError, "perplexity 0.5");
  assertThrows(() => embed2d([1, NaN], { dims: 1 }), UserError, "Cannot embed row 1: it has a NaN");
  assertThrows(() => embed2d(new Float32Array(5001), { dims: 1 }), UserError, "take a sample");
});
