import { assertEquals, assertThrows } from "@std/assert";
import {
  energyLoss,
  energyLossBytes,
  energyLossFlops,
  type EnergyLossKind,
} from "../../kernels/energy_loss/mod.ts";
import { energyLossRows } from "../../kernels/energy_loss/reference.ts";
import { rowLogSumExp, rowMaxSoftmax } from "../../kernels/row_reduce/mod.ts";
import { DTypeError, Host, Scalar, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { MANY_ROWS, SEED, sweepRows, uniform } from "./_rows.ts";

const KINDS: readonly EnergyLossKind[] = ["hinge", "squared", "literal", "spread"];

for (const kind of KINDS) {
  gpuTest(`energyLoss() ${kind} agrees with the reference in every layout`, async (context) => {
    for (const result of ["loss", "energy", "confidence", "dLogits"] as const) {
      await sweepRows(context, {
        op: (ctx, logits, options) =>
          energyLoss(ctx, { logits }, { ...options, kind, margin: 4, temperature: 2 })[result],
        fill: (shape) => uniform(shape, { low: -8, high: 8 }),
        ...(result === "loss" ? {} : { shapes: [[1, 1], [7, 17], [9, 10], [3, 1000], [2, 4100]] }),
      });
    }
  });

  Deno.test(`energyLoss() ${kind} gives the gradient of its loss`, () => {
    const [rows, classes] = [6, 5];
    for (const margin of [1.5, 40]) {
      const run = (logits: Float64Array) => {
        const arrays = {
          logits,
          loss: new Float64Array(rows),
          energy: new Float64Array(rows),
          confidence: new Float64Array(rows),
          dLogits: new Float64Array(rows * classes),
        };
        energyLossRows(arrays, { classes, kind, margin, temperature: 1.7 });
        return arrays;
      };
      checkGradient({
        forward: ([logits]) => run(logits!).loss,
        backward: ([logits], dY) => [
          run(logits!).dLogits.map((value, i) => value * dY[Math.floor(i / classes)]!),
        ],
        inputs: [Float64Array.from(uniform([rows, classes], { low: -2, high: 3 }))],
        seed: SEED,
      });
    }
  });
}

gpuTest("energyLoss() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, logits, options) =>
      energyLoss(ctx, { logits }, { ...options, kind: "squared", margin: 0 }).dLogits,
    shapes: [MANY_ROWS],
    layouts: [{ variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("energyLoss() is finite for logits of any size", async ({ gpu, host }) => {
  const data = Float32Array.of(1e4, -1e4, 0, 3e4, -3e4, 0, 0, 0, 0);
  for (const kind of KINDS) {
    const [onHost, onGpu] = [host, gpu].map((ctx) =>
      energyLoss(ctx, { logits: ctx.upload(data, [3, 3]) }, { kind, margin: 5 })
    );
    const [loss, dLogits] = await gpu.read(onGpu!.loss, onGpu!.dLogits);
    assertClose(loss!, onHost!.loss.data, TOLERANCE.kernel);
    assertClose(dLogits!, onHost!.dLogits.data, TOLERANCE.kernel);
  }
});

gpuTest("energyLoss() reads its margin anew at each replay", async ({ gpu }) => {
  const logits = gpu.upload(new Float32Array([1, 2]), [1, 2]);
  const margin = new Scalar(0);
  const kept = gpu.empty([1]);
  const replay = gpu.gpu.capture((ctx) => {
    ctx.copy(energyLoss(ctx, { logits }, { kind: "literal", margin }).loss, kept);
  });
  replay.run();
  const [first] = await gpu.read(kept);
  margin.value = 10;
  replay.run();
  const [second] = await gpu.read(kept);
  replay[Symbol.dispose]();
  assertClose([second![0]! - first![0]!], [10], TOLERANCE.kernel);
});

Deno.test("energyLoss() gives the energy and the largest softmax as the reductions do", () => {
  using host = new Host();
  const x = host.upload(uniform([4, 7], { low: -3, high: 3 }), [4, 7]);
  const { energy, confidence } = energyLoss(host, { logits: x }, { kind: "hinge", margin: 0 });
  assertClose(energy.data, rowLogSumExp(host, { x }).data, TOLERANCE.kernel);
  assertClose(confidence.data, rowMaxSoftmax(host, { x }).data, TOLERANCE.kernel);
});

Deno.test("energyLoss() says which way each kind goes", () => {
  using host = new Host();
  const logits = host.upload(new Float32Array([6, 1, 0, 0]), [1, 4]);
  const slopes = (kind: EnergyLossKind, margin: number) =>
    Math.sign(energyLoss(host, { logits }, { kind, margin }).dLogits.data[0]!);
  // Descending lowers the largest logit, but for the literal loss, which raises it.
  assertEquals(KINDS.map((kind) => slopes(kind, 2)), [1, 1, -1, 1]);
  // Below the margin nothing is left to do; the spread is too small then, and grows.
  assertEquals(KINDS.map((kind) => slopes(kind, 20)), [0, 0, -1, -1]);
});

Deno.test("energyLoss() refuses what does not fit", () => {
  using host = new Host();
  const logits = host.upload(new Float32Array(4), [2, 2]);
  const whole = host.upload(new Int32Array(4), [2, 2]);
  const options = { kind: "hinge", margin: 0 } as const;
  assertThrows(() => energyLoss(host, { logits: whole }, options), DTypeError, '"logits"');
  assertThrows(
    () => energyLoss(host, { logits: logits.reshape([4]) }, options),
    ShapeError,
    '"logits"',
  );
  assertThrows(
    () => energyLoss(host, { logits }, { ...options, kind: "paper" as EnergyLossKind }),
    RangeError,
    "kind must be one of hinge, squared, literal, spread",
  );
  assertThrows(
    () => energyLoss(host, { logits }, { ...options, margin: NaN }),
    RangeError,
    "margin",
  );
  for (const temperature of [0, -1, NaN]) {
    assertThrows(
      () => energyLoss(host, { logits }, { ...options, temperature }),
      RangeError,
      "temperature",
    );
  }
});

Deno.test("energyLossFlops() and energyLossBytes() count what it does", () => {
  assertEquals(energyLossFlops({ rows: 3, columns: 5 }), 150);
  assertEquals(energyLossBytes({ rows: 3, columns: 5 }), 156);
});
