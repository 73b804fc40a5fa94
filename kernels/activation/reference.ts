/**
 * Activations and their slopes, element by element in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/** Which activation; see {@linkcode Activation}. */
export type ActivationKind = "relu" | "gelu" | "sigmoid" | "silu" | "clip";

/** An activation with its parameters. */
export interface Activation {
  /**
   * `relu`: max(x, 0); `gelu`: x P(x) with P the standard normal distribution function; `sigmoid`:
   * s(x) = 1 / (1 + exp(-x)); `silu`: x s(x); `clip`: min(max(x, min), max).
   */
  readonly kind: ActivationKind;
  /** For `gelu`: `none` is the definition and the default, `tanh` the form that some networks use. */
  readonly approximate?: "none" | "tanh";
  /** For `clip`: the least value, none by default. */
  readonly min?: number;
  /** For `clip`: the largest value, none by default; ReLU6 has 0 and 6. */
  readonly max?: number;
}

/** A function of one number and its slope. */
interface Curve {
  readonly value: (x: number) => number;
  readonly slope: (x: number) => number;
}

const TANH_SCALE = Math.sqrt(2 / Math.PI);
const TANH_CUBIC = 0.044715;

/** The error function: the series of positive terms, exact to float64. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function normalDistribution(x: number): number {
  return 0.5 * (1 + erf(x / Math.SQRT2));
}

function logisticSlope(x: number): number {
  const s = logistic(x);
  return s * (1 - s);
}

function tanhArgument(x: number): number {
  return 2 * TANH_SCALE * (x + TANH_CUBIC * x ** 3);
}

const CURVES: Readonly<Record<Exclude<ActivationKind, "clip">, Curve>> = {
  relu: { value: (x) => Math.max(x, 0), slope: (x) => x > 0 ? 1 : 0 },
  gelu: {
    value: (x) => x * normalDistribution(x),
    slope: (x) => normalDistribution(x) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI),
  },
  sigmoid: { value: logistic, slope: logisticSlope },
  silu: {
    value: (x) => x * logistic(x),
    slope: (x) => logistic(x) + x * logisticSlope(x),
  },
};

const GELU_TANH: Curve = {
  value: (x) => x * logistic(tanhArgument(x)),
  slope: (x) => {
    const u = tanhArgument(x);
    return logistic(u) + x * logisticSlope(u) * 2 * TANH_SCALE * (1 + 3 * TANH_CUBIC * x * x);
  },
};

function curveOf({ kind, approximate, min = -Infinity, max = Infinity }: Activation): Curve {
  if (kind === "clip") {
    return {
      value: (x) => Math.min(Math.max(x, min), max),
      slope: (x) => x > min && x < max ? 1 : 0,
    };
  }
  return kind === "gelu" && approximate === "tanh" ? GELU_TANH : CURVES[kind];
}

/**
 * An activation of every element.
 *
 * @param x The numbers.
 * @param y Where the results go.
 * @param activation Which activation.
 */
export function activate(x: Numbers, y: Numbers, activation: Activation): void {
  const { value } = curveOf(activation);
  x.forEach((number, i) => y[i] = value(number));
}

/** What {@linkcode activateGradient} takes. */
export interface SlopeInputs {
  /** The activation's input, or its result. */
  readonly v: Numbers;
  /** Gradient of the result. */
  readonly dY: Numbers;
}

/**
 * The gradient of an activation.
 *
 * @param inputs Input or result, and the gradient that comes in.
 * @param dX Where the gradient goes.
 * @param activation Which activation, and whether `v` is its result.
 */
export function activateGradient(
  { v, dY }: SlopeInputs,
  dX: Numbers,
  activation: Activation & { readonly fromOutput: boolean },
): void {
  const byResult = activation.kind === "sigmoid" && activation.fromOutput;
  const slope = byResult ? (y: number) => y * (1 - y) : curveOf(activation).slope;
  v.forEach((number, i) => dX[i] = dY[i]! * slope(number));
}
