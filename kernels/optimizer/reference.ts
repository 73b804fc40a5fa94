/**
 * Optimiser steps in plain loops, in float64.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** What all steps have in common. */
export interface StepNumbers {
  /** Step width. */
  readonly learningRate: number;
  /** Share of a parameter that is added to its gradient, or taken off it. */
  readonly weightDecay: number;
  /** Leading elements that decay. */
  readonly decayed: number;
  /** Factor of the gradients. */
  readonly scale: number;
}

/** Numbers of a step of gradient descent. */
export interface SgdNumbers extends StepNumbers {
  /** Share of the last step's direction that is kept. */
  readonly momentum: number;
  /** Share of the gradient that does not enter the momentum. */
  readonly dampening: number;
  /** Whether the gradient is taken where the momentum leads. */
  readonly nesterov: boolean;
}

/** Numbers of a step of Adam. */
export interface AdamNumbers extends StepNumbers {
  /** Decay of the mean of the gradients. */
  readonly beta1: number;
  /** Decay of the mean of their squares. */
  readonly beta2: number;
  /** Added to the root of the latter. */
  readonly epsilon: number;
  /** Number of the step, from 1. */
  readonly step: number;
  /** Whether the decay goes past the moments (AdamW). */
  readonly decoupled: boolean;
}

/** One step of stochastic gradient descent, in place. */
export function sgdReference(
  arrays: { parameters: Floats; gradients: Floats; momentum?: Floats | undefined },
  how: SgdNumbers,
): void {
  const { parameters, gradients, momentum } = arrays;
  for (let i = 0; i < parameters.length; i++) {
    const p = parameters[i]!;
    let d = how.scale * gradients[i]! + (i < how.decayed ? how.weightDecay * p : 0);
    if (momentum !== undefined) {
      const m = how.momentum * momentum[i]! + (1 - how.dampening) * d;
      momentum[i] = m;
      d = how.nesterov ? d + how.momentum * m : m;
    }
    parameters[i] = p - how.learningRate * d;
  }
}

/** One step of Adam or AdamW, in place. */
export function adamReference(
  arrays: { parameters: Floats; gradients: Floats; first: Floats; second: Floats },
  how: AdamNumbers,
): void {
  const { parameters, gradients, first, second } = arrays;
  const { beta1, beta2, learningRate } = how;
  const rate = learningRate / (1 - beta1 ** how.step);
  const correction = Math.sqrt(1 - beta2 ** how.step);
  for (let i = 0; i < parameters.length; i++) {
    const decay = i < how.decayed ? how.weightDecay : 0;
    let p = parameters[i]!;
    let g = how.scale * gradients[i]!;
    if (how.decoupled) p *= 1 - learningRate * decay;
    else g += decay * p;
    const mean = beta1 * first[i]! + (1 - beta1) * g;
    const square = beta2 * second[i]! + (1 - beta2) * g * g;
    first[i] = mean;
    second[i] = square;
    parameters[i] = p - rate * mean / (Math.sqrt(square) / correction + how.epsilon);
  }
}

/**
 * The norm of all gradients, and what scales it down to a maximum.
 *
 * @param gradients All gradients.
 * @param maxNorm The maximum.
 * @returns Scale and norm.
 */
export function clipReference(
  gradients: Floats,
  maxNorm: number,
): { readonly scale: number; readonly norm: number } {
  let sum = 0;
  for (const g of gradients) sum += g * g;
  const norm = Math.sqrt(sum);
  return { scale: Math.min(1, maxNorm / (norm + 1e-6)), norm };
}
