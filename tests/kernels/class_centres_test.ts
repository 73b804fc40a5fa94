import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  centreLoss,
  type CentreLossOptions,
  classCentresBytes,
  classCentresFlops,
  updateCentres,
} from "../../kernels/class_centres/mod.ts";
import {
  centreLossReference,
  updateCentresReference,
} from "../../kernels/class_centres/reference.ts";
import { COLUMN_VARIANTS } from "../../kernels/column_reduce/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import {
  type Context,
  DTypeError,
  Host,
  Scalar,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { noise64, random } from "./_pointwise.ts";
import { MANY_ROWS, SEED, sweepRows } from "./_rows.ts";

/** Labels of all classes, and some that are none on either side. */
function labelsOf(samples: number, classes: number): Int32Array<ArrayBuffer> {
  const rng = new Rng(SEED, 2);
  return Int32Array.from({ length: samples }, () => rng.integer(classes + 2) - 1);
}

const UPDATES = [
  { samples: 0, classes: 3, columns: 4 },
  { samples: 5, classes: 0, columns: 4 },
  { samples: 1, classes: 1, columns: 1 },
  { samples: 40, classes: 1, columns: 3 },
  { samples: 64, classes: 7, columns: 12 },
  { samples: 33, classes: 100, columns: 5 },
  { samples: 130, classes: 20, columns: 512 },
  { samples: 5000, classes: 9, columns: 8 },
  { samples: 4097, classes: 1, columns: 6 },
] as const;

function inputsOf(ctx: Context, shape: { samples: number; classes: number; columns: number }) {
  const { samples, classes, columns } = shape;
  return {
    centres: random(ctx, [classes, columns], { seed: 3 }),
    features: random(ctx, [samples, columns]),
    labels: ctx.upload(labelsOf(samples, classes), [samples]),
  };
}

gpuTest("updateCentres() goes through the batch in its order", async ({ gpu, host }) => {
  for (const shape of UPDATES) {
    const { samples, classes, columns } = shape;
    for (const rate of [0.05, 0.7]) {
      // The definition, written out here as well.
      const { centres, features, labels } = inputsOf(host, shape);
      const expected = Float64Array.from(centres.data);
      for (let i = 0; i < samples; i++) {
        const label = labels.data[i]!;
        if (label < 0 || label >= classes) continue;
        for (let c = 0; c < columns; c++) {
          const at = label * columns + c;
          expected[at] = (1 - rate) * expected[at]! + rate * features.data[i * columns + c]!;
        }
      }
      const about = JSON.stringify({ ...shape, rate });
      updateCentres(host, { centres, features, labels }, { rate });
      assertClose(centres.data, expected, TOLERANCE.kernel, `reference, ${about}`);
      using scope = gpu.scope();
      for (const variant of COLUMN_VARIANTS) {
        const [first, second] = await scope.read(
          updateCentres(scope, inputsOf(scope, shape), { rate, variant }),
          updateCentres(scope, inputsOf(scope, shape), { rate, variant }),
        );
        assertClose(first!, expected, TOLERANCE.kernel, `${variant}, ${about}`);
        assertEquals(second, first, `the second run of ${variant}, ${about}`);
      }
    }
  }
});

gpuTest("updateCentres() leaves classes without a sample as they are", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const centres = ctx.upload(new Float32Array([1, 2, 3, 4, 5, 6, 7, 8, NaN, 0, 0, 0]), [3, 4]);
    const features = ctx.upload(new Float32Array(24).map((_, i) => i < 20 ? i : NaN), [6, 4]);
    const labels = ctx.upload(new Int32Array([-1, 1, 3, 1, 2 ** 31 - 1, -(2 ** 31)]), [6]);
    assert(updateCentres(ctx, { centres, features, labels }, { rate: 1 }) === centres);
    const [moved] = await ctx.read(centres);
    assertEquals([...moved!], [1, 2, 3, 4, 12, 13, 14, 15, NaN, 0, 0, 0]);
  }
});

gpuTest("updateCentres() reads its rate and its batch afresh at each replay", async ({ gpu }) => {
  const centres = gpu.upload(new Float32Array([0, 0, 0, 0]), [2, 2]);
  const features = gpu.upload(new Float32Array([4, 8, 4, 8]), [2, 2]);
  const labels = gpu.upload(new Int32Array([0, 0]), [2]);
  const rate = new Scalar(0.5);
  using step = gpu.gpu.capture((scope) =>
    updateCentres(scope, { centres, features, labels }, { rate })
  );
  step.run();
  assertEquals([...(await gpu.read(centres))[0]!], [3, 6, 0, 0]);
  rate.value = 0.25;
  gpu.write(labels, new Int32Array([1, 5]));
  step.run();
  assertEquals([...(await gpu.read(centres))[0]!], [3, 6, 1, 2]);
});

const CLASSES = 6;

/** One tensor of the two results, so that a sweep can compare it. */
function run(name: "loss" | "dFeatures", extra: CentreLossOptions = {}) {
  return (ctx: Context, features: Tensor, options: CentreLossOptions): Tensor => {
    const [rows, columns] = features.shape as [number, number];
    const centres = random(ctx, [CLASSES, columns], { seed: 5 });
    const labels = ctx.upload(labelsOf(rows, CLASSES), [rows]);
    const how = { scale: columns, ...extra, ...options };
    return centreLoss(ctx, { centres, features, labels }, how)[name];
  };
}

gpuTest("centreLoss() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, { op: run("loss") });
  await sweepRows(context, { op: run("dFeatures") });
  await sweepRows(context, { op: run("loss", { groups: 4 }), layouts: [{}] });
  await sweepRows(context, { op: run("dFeatures", { groups: 4 }), layouts: [{}] });
});

gpuTest("centreLoss() folds grids beyond 65535 workgroups", async (context) => {
  const layouts = [{ variant: "serial" }, { variant: "tree", lanes: 64 }] as const;
  await sweepRows(context, { op: run("dFeatures"), shapes: [MANY_ROWS], layouts });
});

gpuTest("centreLoss() passes over what is no class, and writes into out", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const centres = ctx.upload(new Float32Array([0, 0, 1, 1]), [2, 2]);
    const features = ctx.upload(new Float32Array([NaN, 1, 4, 5, NaN, 2]), [3, 2]);
    const labels = ctx.upload(new Int32Array([2, 1, -1]), [3]);
    const [outLoss, outGradient] = [ctx.empty([3]), ctx.empty([3, 2])];
    const options = { outLoss, outGradient, groups: 2, scale: new Scalar(0.5) };
    const made = centreLoss(ctx, { centres, features, labels }, options);
    assertEquals(made, { loss: outLoss, dFeatures: outGradient });
    const [loss, gradient] = await ctx.read(outLoss, outGradient);
    assertEquals([...loss!], [0, 25, 0]);
    assertEquals([...gradient!], [0, 0, 3, 4, 0, 0]);
  }
});

Deno.test("the gradient of the reference of centreLoss() is the derivative", () => {
  const labels = Int32Array.from([0, 2, -1, 1, 2, 9]);
  const centres = noise64(15, { seed: 3 });
  for (const groups of [1, 4]) {
    const compute = (features: Float64Array) => {
      const [loss, dFeatures] = [new Float64Array(6), new Float64Array(30)];
      const results = { loss, dFeatures };
      centreLossReference({ centres, features, labels }, results, { groups, scale: 1 });
      return results;
    };
    checkGradient({
      forward: ([features]) => compute(features!).loss,
      backward: (
        [features],
        dY,
      ) => [compute(features!).dFeatures.map((g, i) => g * dY[Math.floor(i / 5)]!)],
      inputs: [noise64(30)],
      seed: SEED,
    });
  }
});

Deno.test("updateCentresReference() keeps float64", () => {
  const centres = Float64Array.from([1]);
  const features = Float64Array.from([2, 3]);
  updateCentresReference(
    { centres, features, labels: Int32Array.from([0, 0]) },
    { columns: 1, rate: 0.1 },
  );
  assertClose(centres, [0.9 * (0.9 + 0.2) + 0.3], TOLERANCE.float64);
});

Deno.test("updateCentres() and centreLoss() refuse what does not fit", () => {
  using host = new Host();
  const inputs = inputsOf(host, { samples: 3, classes: 2, columns: 4 });
  const floats = host.upload(new Float32Array(3), [3]);
  const four = host.upload(new Int32Array(4), [4]);
  const wide = host.upload(new Float32Array(10), [2, 5]);
  for (
    const op of [
      (changed: object) => () => updateCentres(host, { ...inputs, ...changed }, { rate: 0.1 }),
      (changed: object) => () => centreLoss(host, { ...inputs, ...changed }),
    ]
  ) {
    assertThrows(op({ features: floats }), ShapeError, '"features"');
    assertThrows(op({ features: host.empty([3, 0]) }), ShapeError, "one column");
    assertThrows(op({ centres: wide }), ShapeError, '"centres"');
    assertThrows(op({ labels: floats }), DTypeError, '"labels"');
    assertThrows(op({ labels: four }), ShapeError, '"labels"');
  }
  assertThrows(() => centreLoss(host, inputs, { groups: 0 }), RangeError, "groups");
  assertThrows(() => centreLoss(host, inputs, { outLoss: wide }), ShapeError, '"outLoss"');
  assertThrows(() => centreLoss(host, inputs, { outGradient: wide }), ShapeError, '"outGradient"');
});

gpuTest("updateCentres() and centreLoss() refuse variants that do not exist", ({ gpu }) => {
  const inputs = inputsOf(gpu, { samples: 3, classes: 2, columns: 4 });
  assertThrows(
    () => updateCentres(gpu, inputs, { rate: 0.1, variant: "fast" as "naive" }),
    RangeError,
    'no variant "fast"',
  );
  assertThrows(
    () => centreLoss(gpu, inputs, { variant: "fast" as "naive" }),
    RangeError,
    '"fast"',
  );
});

Deno.test("classCentresFlops() and classCentresBytes() count what both do", () => {
  const shape = { rows: 3, columns: 5 };
  assertEquals(classCentresFlops(shape, "update"), 45);
  assertEquals(classCentresFlops(shape, "loss"), 60);
  assertEquals(classCentresBytes(shape, "update"), 192);
  assertEquals(classCentresBytes(shape, "loss"), 204);
});
