import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  normHinge,
  normHingeBytes,
  normHingeFlops,
  normHingeGradient,
  type NormHingeGradientOptions,
  type NormHingeOptions,
} from "../../kernels/norm_hinge/mod.ts";
import {
  normHingeGradientReference,
  normHingeReference,
} from "../../kernels/norm_hinge/reference.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, Host, Scalar, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { LAYOUTS, uniform } from "./_rows.ts";

const SEED = 61;

const SHAPES: readonly (readonly number[])[] = [
  [0, 4, 3],
  [1, 1, 1],
  [2, 3, 5],
  [3, 2, 4, 6],
  [5, 16, 64],
  [7, 9, 37],
  [2, 1031, 8],
  [33, 64, 16],
];

interface Given {
  readonly shape: readonly number[];
  /** Share of selected locations. */
  readonly share?: number;
  readonly margin?: number;
}

function inputsOf(ctx: Context, { shape, share = 0.4 }: Given) {
  const rng = new Rng(SEED);
  const size = shape.reduce((a, b) => a * b, 1);
  const places = shape.slice(0, -1);
  const locations = places.reduce((a, b) => a * b, 1);
  const mask = Float32Array.from({ length: locations }, () => rng.uniform() < share ? 1 : 0);
  return {
    features: ctx.upload(uniform([1, size], { seed: SEED }), shape),
    mask: ctx.upload(mask, places),
  };
}

/** Loss, count, norms, gradient, and what was added to. */
function run(ctx: Context, given: Given, options: Partial<NormHingeOptions> = {}) {
  const { shape } = given;
  const inputs = inputsOf(ctx, given);
  // Some norms above it, some below.
  const margin = given.margin ?? 0.55 * Math.sqrt(shape[shape.length - 1]!);
  const { loss, count, norms } = normHinge(ctx, inputs, { margin, ...options });
  const found = { ...inputs, count, norms };
  const gradient = (more: Partial<NormHingeGradientOptions> = {}) =>
    normHingeGradient(ctx, found, { margin, weight: new Scalar(0.7), ...more });
  const size = inputs.features.size;
  const addTo = ctx.upload(uniform([1, size], { seed: SEED + 1 }), shape);
  return [loss, count, norms, gradient(), gradient({ addTo })];
}

gpuTest("normHinge() and its gradient agree with the reference", async ({ gpu, host }) => {
  for (const shape of SHAPES) {
    const expected = run(host, { shape });
    using scope = gpu.scope();
    for (const layout of LAYOUTS) {
      const label = `${JSON.stringify(layout)} on [${shape}] (seed ${SEED})`;
      const runs = [1, 2].map(() => run(scope, { shape }, layout));
      const results = await scope.read(...runs.flat());
      expected.forEach(({ data }, i) => {
        assertClose(results[i]!, data, TOLERANCE.kernel, `${i}, ${label}`);
        assertEquals(results[i + expected.length], results[i], `second run of ${i}, ${label}`);
      });
    }
  }
});

gpuTest("normHinge() of nothing selected is 0 and so is its gradient", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const given = { shape: [3, 5, 8], share: 0 };
    const [loss, count, , gradient, added] = await ctx.read(...run(ctx, given));
    assertEquals([loss![0], count![0]], [0, 0]);
    assertEquals([...new Set(gradient)], [0]);
    assertEquals(added, uniform([1, 120], { seed: SEED + 1 }));
  }
});

gpuTest("normHingeGradient() of zeros is 0, also with a margin of 0", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const features = ctx.upload(new Float32Array([0, 0, 3, 4]), [1, 2, 2]);
    const mask = ctx.upload(new Float32Array([1, 1]), [1, 2]);
    const { count, norms } = normHinge(ctx, { features, mask }, { margin: 0 });
    const inputs = { features, mask, count, norms };
    const [d] = await ctx.read(normHingeGradient(ctx, inputs, { margin: 0 }));
    assertClose(d!, [0, 0, 0.3, 0.4], TOLERANCE.printed);
  }
});

gpuTest("normHinge() of very many locations counts every one", async ({ gpu, host }) => {
  const given = { shape: [1, 200_003, 4], share: 1 };
  const expected = run(host, given);
  const actual = await gpu.read(...run(gpu, given));
  expected.forEach(({ data }, i) => assertClose(actual[i]!, data, TOLERANCE.kernel, `${i}`));
  assertEquals(actual[1]![0], 200_003);
});

gpuTest("normHingeGradient() writes where it is told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const inputs = inputsOf(ctx, { shape: [2, 3, 5] });
    const { count, norms } = normHinge(ctx, inputs, { margin: 0.1 });
    const found = { ...inputs, count, norms };
    const [out, addTo] = [ctx.empty([2, 3, 5]), ctx.upload(new Float32Array(30), [2, 3, 5])];
    assert(normHingeGradient(ctx, found, { margin: 0.1, out }) === out);
    assert(normHingeGradient(ctx, found, { margin: 0.1, addTo }) === addTo);
    const [written, added] = await ctx.read(out, addTo);
    assertEquals(added, written);
  }
});

Deno.test("the reference's gradient is the derivative", () => {
  const mask = new Float64Array([1, 0, 1, 1, 0]);
  const margin = 1.1;
  // Norms of about 1.5, 2.2, 0.5, 1.7 and 0.3.
  const features = new Float64Array(
    [1, -1, 0.5, 2, 1, 0, 0.3, 0.4, -0.1, 1, 1, 1, 0.2, 0.2, 0.1],
  );
  const { norms, count } = normHingeReference(features, mask, margin);
  checkGradient({
    forward: ([z]) => new Float64Array([normHingeReference(z!, mask, margin).loss]),
    backward: ([z], dY) => {
      const target = new Float64Array(15);
      const arrays = { features: z!, mask, norms, target };
      normHingeGradientReference(arrays, { count, margin, weight: dY[0]! });
      return [target];
    },
    inputs: [features],
    seed: SEED,
  });
});

Deno.test("normHinge() and its gradient refuse wrong shapes, types and margins", () => {
  using host = new Host();
  const features = host.empty([2, 3, 4]);
  const mask = host.empty([2, 3]);
  const margin = 1;
  assertThrows(
    () => normHinge(host, { features, mask: host.empty([6]) }, { margin }),
    ShapeError,
    '"mask"',
  );
  assertThrows(
    () => normHinge(host, { features, mask: host.empty([2, 3], "u32") }, { margin }),
    DTypeError,
    '"mask"',
  );
  assertThrows(
    () => normHinge(host, { features: host.empty([2, 3, 0]), mask }, { margin }),
    ShapeError,
    "one channel",
  );
  assertThrows(() => normHinge(host, { features, mask }, { margin: -1 }), RangeError, '"margin"');
  const found = { features, mask, ...normHinge(host, { features, mask }, { margin }) };
  assertThrows(
    () => normHingeGradient(host, { ...found, norms: features }, { margin }),
    ShapeError,
    '"norms"',
  );
  assertThrows(
    () => normHingeGradient(host, { ...found, count: mask }, { margin }),
    ShapeError,
    '"count"',
  );
  assertThrows(
    () => normHingeGradient(host, found, { margin, addTo: mask }),
    ShapeError,
    '"addTo"',
  );
  const both = { margin, addTo: host.empty([2, 3, 4]), out: host.empty([2, 3, 4]) };
  assertThrows(() => normHingeGradient(host, found, both), RangeError, "both");
});

Deno.test("normHingeFlops() and normHingeBytes() count what it does", () => {
  assertEquals(normHingeFlops({ rows: 3, columns: 5 }), 30);
  assertEquals(normHingeBytes({ rows: 3, columns: 5 }), 84);
});
