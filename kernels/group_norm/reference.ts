/**
 * Group normalisation and its gradients in plain loops, in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** Sizes of maps with channels last. */
export interface GroupNormSizes {
  /** Positions of a map. */
  readonly positions: number;
  /** Channels of a map. */
  readonly channels: number;
  /** Groups of channels. */
  readonly groups: number;
}

/** How maps are normalised. */
export interface GroupNormProblem extends GroupNormSizes {
  /** Factor of each channel. */
  readonly weight: Floats;
  /** Summand of each channel. */
  readonly bias: Floats;
  /** Whether `u * sigmoid(u)` is applied to the result. */
  readonly silu: boolean;
}

/** Statistics of every group of every map. */
export interface GroupStatistics {
  /** Means, [maps, groups]. */
  readonly mean: Float64Array;
  /** 1 / sqrt(variance + epsilon), [maps, groups]. */
  readonly inverse: Float64Array;
}

function logistic(u: number): number {
  return 1 / (1 + Math.exp(-u));
}

/** Index of the group of element i. */
function groupOf(i: number, { positions, channels, groups }: GroupNormSizes): number {
  const map = Math.floor(i / (positions * channels));
  return map * groups + Math.floor(i % channels / (channels / groups));
}

/**
 * Mean and reciprocal deviation of every group of every map.
 *
 * @param x The maps.
 * @param sizes Their sizes.
 * @param epsilon Added to the variance.
 * @returns The statistics.
 */
export function groupStatistics(
  x: Floats,
  sizes: GroupNormSizes,
  epsilon: number,
): GroupStatistics {
  const { positions, channels, groups } = sizes;
  const count = positions * channels / groups;
  const mean = new Float64Array(x.length / count);
  const variance = new Float64Array(mean.length);
  x.forEach((value, i) => mean[groupOf(i, sizes)]! += value / count);
  x.forEach((value, i) => {
    const group = groupOf(i, sizes);
    variance[group]! += (value - mean[group]!) ** 2 / count;
  });
  return { mean, inverse: variance.map((value) => 1 / Math.sqrt(value + epsilon)) };
}

/**
 * Normalises every group, scales and shifts its channels, and applies the activation.
 *
 * @param x The maps.
 * @param y Where the result goes.
 * @param how Statistics, weight, bias, sizes, activation.
 */
export function normaliseGroups(
  x: Floats,
  y: Floats,
  how: GroupNormProblem & { readonly mean: Floats; readonly inverse: Floats },
): void {
  const { weight, bias, mean, inverse, channels, silu } = how;
  x.forEach((value, i) => {
    const group = groupOf(i, how);
    const c = i % channels;
    const u = (value - mean[group]!) * inverse[group]! * weight[c]! + bias[c]!;
    y[i] = silu ? u * logistic(u) : u;
  });
}

/** Where the gradients go. */
export interface GroupNormGradientArrays {
  /** Of the maps. */
  readonly dX: Floats;
  /** Of the channels' factors. */
  readonly dWeight: Floats;
  /** Of the channels' summands. */
  readonly dBias: Floats;
}

/**
 * The gradients of {@linkcode normaliseGroups} with the statistics of `x`.
 *
 * @param inputs The maps, and the gradient that comes in.
 * @param results Where the gradients go.
 * @param how Statistics, weight, bias, sizes, activation.
 */
export function groupNormGradientReference(
  { x, dY }: { readonly x: Floats; readonly dY: Floats },
  results: GroupNormGradientArrays,
  how: GroupNormProblem & { readonly mean: Floats; readonly inverse: Floats },
): void {
  const { weight, bias, mean, inverse, positions, channels, groups, silu } = how;
  const count = positions * channels / groups;
  const incoming = new Float64Array(x.length);
  const unit = new Float64Array(x.length);
  const dWeight = new Float64Array(channels);
  const dBias = new Float64Array(channels);
  const ofMean = new Float64Array(mean.length);
  const ofUnit = new Float64Array(mean.length);
  x.forEach((value, i) => {
    const group = groupOf(i, how);
    const c = i % channels;
    const h = (value - mean[group]!) * inverse[group]!;
    const u = h * weight[c]! + bias[c]!;
    const s = logistic(u);
    const d = silu ? dY[i]! * s * (1 + u * (1 - s)) : dY[i]!;
    incoming[i] = d;
    unit[i] = h;
    dWeight[c]! += d * h;
    dBias[c]! += d;
    ofMean[group]! += d * weight[c]! / count;
    ofUnit[group]! += d * weight[c]! * h / count;
  });
  x.forEach((_, i) => {
    const group = groupOf(i, how);
    const through = ofMean[group]! + unit[i]! * ofUnit[group]!;
    results.dX[i] = inverse[group]! * (incoming[i]! * weight[i % channels]! - through);
  });
  results.dWeight.set(dWeight);
  results.dBias.set(dBias);
}
