import { assertEquals, assertThrows } from "@std/assert";
import {
  confidenceGradient,
  confidenceGradientBytes,
  confidenceGradientFlops,
} from "../../kernels/confidence_gradient/mod.ts";
import { crossEntropy } from "../../kernels/cross_entropy/mod.ts";
import { rowArgmax } from "../../kernels/row_reduce/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { MANY_ROWS, sweepRows, uniform } from "./_rows.ts";

for (const temperature of [1, 1000]) {
  gpuTest(
    `confidenceGradient() agrees with the reference in every layout at ${temperature}`,
    async (context) => {
      await sweepRows(context, {
        op: (ctx, logits, options) =>
          confidenceGradient(ctx, { logits }, { ...options, temperature }),
        fill: (shape) => uniform(shape, { low: -8, high: 12 }),
      });
    },
  );
}

gpuTest("confidenceGradient() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, logits, options) => confidenceGradient(ctx, { logits }, options),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("confidenceGradient() holds for equal logits and for certain rows", async (context) => {
  for (const factor of [0, 1e-6, 1e4, 1e30]) {
    await sweepRows(context, {
      op: (ctx, logits, options) => confidenceGradient(ctx, { logits }, options),
      fill: (shape) => uniform(shape).map((value) => factor * Math.round(3 * value)),
      shapes: [[5, 16], [6, 37], [3, 2]],
    });
  }
});

Deno.test("confidenceGradient() is the gradient of the cross-entropy but for its size", () => {
  using host = new Host();
  const [rows, classes, temperature] = [6, 5, 3];
  const shape = [rows, classes] as const;
  const logits = host.upload(uniform(shape, { low: -4, high: 4 }), shape);
  const scaled = host.upload(logits.data.map((value) => value / temperature), shape);
  const labels = host.upload(Int32Array.from(rowArgmax(host, { x: logits }).data), [rows]);
  const { dLogits } = crossEntropy(host, { logits: scaled, labels }, { scale: 1 });
  const direction = confidenceGradient(host, { logits }, { temperature }).data;
  const size = (i: number) =>
    -dLogits.data[i - i % classes + labels.data[Math.floor(i / classes)]!]!;
  assertClose(direction, dLogits.data.map((value, i) => value / size(i)), TOLERANCE.kernel);
});

gpuTest("confidenceGradient() of single logits is 0, and it writes into out", async ({ gpu }) => {
  const out = gpu.empty([2, 1]);
  const logits = gpu.upload(new Float32Array([3, -5]), [2, 1]);
  assertEquals(confidenceGradient(gpu, { logits }, { out }), out);
  assertEquals([...(await gpu.read(out))[0]!], [0, 0]);
});

Deno.test("confidenceGradient() refuses what does not fit", () => {
  using host = new Host();
  const logits = host.upload(new Float32Array(4), [2, 2]);
  const whole = host.upload(new Int32Array(4), [2, 2]);
  assertThrows(() => confidenceGradient(host, { logits: whole }), DTypeError, '"logits"');
  assertThrows(
    () => confidenceGradient(host, { logits: logits.reshape([4]) }),
    ShapeError,
    '"logits"',
  );
  assertThrows(
    () => confidenceGradient(host, { logits }, { out: logits.reshape([4]) }),
    ShapeError,
    '"out"',
  );
  for (const temperature of [0, -1, NaN]) {
    assertThrows(
      () => confidenceGradient(host, { logits }, { temperature }),
      RangeError,
      "temperature",
    );
  }
});

Deno.test("confidenceGradientFlops() and confidenceGradientBytes() count what it does", () => {
  assertEquals(confidenceGradientFlops({ rows: 3, columns: 5 }), 180);
  assertEquals(confidenceGradientBytes({ rows: 3, columns: 5 }), 120);
});
