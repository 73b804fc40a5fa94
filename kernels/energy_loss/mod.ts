/**
 * Losses of the energy score by which an image is moved towards the boundary of what a classifier
 * knows, with their gradients by the logits.
 *
 * @module
 */

import { type Context, isGpu, type Scalar, scalarValue, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor } from "../_arguments.ts";
import { dispatchElementRows } from "../_element_rows.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import { requirePositive, requireRows, type RowShape, type TemperatureOptions } from "../_rows.ts";
import source from "./energy_loss.wgsl" with { type: "text" };
import { type EnergyLossKind, energyLossRows } from "./reference.ts";

export type { EnergyLossKind } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "energy_loss",
  wgsl: source,
  bindings: ["read", "read_write", "read_write", "read_write", "read_write"],
  params: { rows: "u32", columns: "u32", temperature: "f32", margin: "f32" },
});

const KINDS: Readonly<Record<EnergyLossKind, number>> = {
  hinge: 0,
  squared: 1,
  literal: 2,
  spread: 3,
};

/** Options of {@linkcode energyLoss}. */
export interface EnergyLossOptions extends TemperatureOptions {
  /** What is asked of the energy. */
  readonly kind: EnergyLossKind;
  /** Where the loss begins, or for `spread` what the energy should be above the mean logit. */
  readonly margin: number | Scalar;
}

/** What {@linkcode energyLoss} gives. */
export interface EnergyLoss {
  /** f32 [N]. */
  readonly loss: Tensor;
  /** T log sum exp(z / T), f32 [N]. */
  readonly energy: Tensor;
  /** The largest softmax of z / T, f32 [N]. */
  readonly confidence: Tensor;
  /** The gradient of each row's own loss, f32 [N, K]. */
  readonly dLogits: Tensor;
}

/**
 * A loss of each row's energy E = T log sum exp(z / T), its gradient, and E with the largest
 * probability besides, in one pass. Rows are never averaged: each has its own loss.
 *
 * - `hinge`: max(E - margin, 0); it stops where the margin is reached.
 * - `squared`: max(E - margin, 0)^2.
 * - `literal`: margin - E, equation 7 of SynOOD as it is printed; minimising it raises E.
 * - `spread`: (E - mean(z) - margin)^2, the loss of SynOOD's code (with margin 5). E less the mean is
 *   at least T log K, so with many classes the margin is out of reach and logits go towards equal ones.
 *
 * Source: Li et al., "Synthesizing Near-Boundary OOD Samples for Out-of-Distribution Detection", 2025;
 * Liu et al., "Energy-based Out-of-distribution Detection", 2020. Two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The logits, f32 [N, K].
 * @param options The kind, the margin, the temperature, and a forced variant.
 * @returns Losses, energies, largest probabilities and gradients.
 * @throws {ShapeError} When `logits` has not two axes or no column.
 * @throws {DTypeError} When `logits` does not hold f32.
 * @throws {RangeError} When the kind does not exist, the margin is not finite, the temperature is not
 * positive, or a forced variant does not exist.
 *
 * @example Two equal logits
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { energyLoss } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const logits = host.upload(new Float32Array([3, 3]), [1, 2]);
 * const { loss, dLogits } = energyLoss(host, { logits }, { kind: "hinge", margin: 1 });
 * assertAlmostEquals(loss.data[0]!, 2 + Math.log(2), 1e-6);
 * assertEquals([...dLogits.data], [0.5, 0.5]);
 * ```
 */
export function energyLoss(
  ctx: Context,
  { logits }: { readonly logits: Tensor },
  options: EnergyLossOptions,
): EnergyLoss {
  const kernel = "energyLoss";
  const { rows, columns } = requireRows(logits, { kernel, name: "logits" });
  const { kind, margin } = options;
  const temperature = requirePositive(options.temperature ?? 1, { kernel, name: "temperature" });
  if (!Object.hasOwn(KINDS, kind)) {
    throw new RangeError(
      `Cannot run ${kernel}: kind must be one of ${Object.keys(KINDS).join(", ")}: it is "${kind}"`,
    );
  }
  if (!Number.isFinite(scalarValue(margin))) {
    throw new RangeError(
      `Cannot run ${kernel}: "margin" must be a finite number: it is ${scalarValue(margin)}`,
    );
  }
  const output = (shape: readonly number[]) => outputTensor(ctx, shape, { kernel, out: undefined });
  const results = {
    loss: output([rows]),
    energy: output([rows]),
    confidence: output([rows]),
    dLogits: output([rows, columns]),
  };
  const { loss, energy, confidence, dLogits } = results;
  if (!isGpu(ctx)) {
    energyLossRows({
      logits: hostFloats(logits),
      loss: hostFloats(loss),
      energy: hostFloats(energy),
      confidence: hostFloats(confidence),
      dLogits: hostFloats(dLogits),
    }, { classes: columns, kind, margin: scalarValue(margin), temperature });
    return results;
  }
  dispatchElementRows(ctx, {
    operation: kernel,
    kernel: KERNEL,
    spec: { KIND: KINDS[kind] },
    buffers: [logits, loss, energy, confidence, dLogits],
    rows,
    columns,
    params: { temperature, margin },
    sweeps: 3,
    options,
  });
  return results;
}

/**
 * Floating-point operations of the loss and its gradient, an exponential counted as one: about ten
 * per logit.
 *
 * @param shape Rows and classes.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { energyLossFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(energyLossFlops({ rows: 2, columns: 8 }), 160);
 * ```
 */
export function energyLossFlops(shape: RowShape): number {
  return 10 * shape.rows * shape.columns;
}

/**
 * Bytes that the loss must move: logits read once, gradients and three numbers a row written once.
 *
 * @param shape Rows and classes.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { energyLossBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(energyLossBytes({ rows: 2, columns: 8 }), 152);
 * ```
 */
export function energyLossBytes(shape: RowShape): number {
  return 8 * shape.rows * shape.columns + 12 * shape.rows;
}
