/**
 * The gradients of a backward pass: who holds which tensor, and what to do with a second
 * contribution.
 *
 * @module
 */

import type { add, addInto } from "../kernels/mod.ts";
import type { Context, Tensor } from "../runtime/mod.ts";
import type { Variable } from "./variable.ts";

/** The two sums that accumulation needs. */
export interface Sums {
  /** a + b, new. */
  readonly add: typeof add;
  /** target += x. */
  readonly addInto: typeof addInto;
}

/** How a gradient arrives. */
export interface Arrival {
  /** The scope that made it; it is moved out of there. */
  readonly scope?: Context;
  /** The gradient from which it was computed: it may be this very tensor, or a view of it. */
  readonly incoming?: Tensor;
  /** It belongs to the caller, who may read it later: never write to it. */
  readonly borrowed?: boolean;
}

/**
 * Gradients by variable. A tensor may be the gradient of several variables at once (both inputs of
 * a sum get the sum's): it is written to only by its single holder, and released by the last.
 */
export class GradientStore {
  readonly #ctx: Context;
  readonly #sums: Sums;
  readonly #held: Map<Variable, Tensor> = new Map();
  /** For each tensor with memory of its own: how many hold it or a view of it. */
  readonly #holders: Map<Tensor, number> = new Map();
  /** The tensor whose memory a view shows. */
  readonly #base: Map<Tensor, Tensor> = new Map();
  readonly #borrowed: Set<Tensor> = new Set();

  constructor(ctx: Context, sums: Sums) {
    this.#ctx = ctx;
    this.#sums = sums;
  }

  /** Where a parameter's gradient should be written when nothing is there yet. */
  out(variable: Variable): Tensor | undefined {
    return this.#held.has(variable) ? undefined : variable.gradient;
  }

  /** The gradient of a variable so far. */
  peek(variable: Variable): Tensor | undefined {
    return this.#held.get(variable);
  }

  /** Takes the gradient of a variable out; the caller releases it. */
  take(variable: Variable): Tensor | undefined {
    const gradient = this.#held.get(variable);
    this.#held.delete(variable);
    return gradient;
  }

  /** Moves a new gradient out of the scope that made it; the caller holds it until it releases it. */
  adopt(gradient: Tensor, scope: Context): void {
    scope.keep(gradient);
    this.#hold(gradient);
  }

  /** One holder less; the last one gives the memory back. */
  release(gradient: Tensor): void {
    const base = this.#base.get(gradient) ?? gradient;
    const left = (this.#holders.get(base) ?? 1) - 1;
    this.#holders.set(base, left);
    if (left > 0 || this.#borrowed.has(base)) return;
    this.#holders.delete(base);
    base.dispose();
  }

  /** Adds a contribution to the gradient of a variable. */
  contribute(variable: Variable, gradient: Tensor, arrival: Arrival): void {
    const before = this.#held.get(variable);
    if (before === undefined) {
      this.#held.set(variable, this.#first(variable, gradient, arrival));
      return;
    }
    const base = this.#base.get(before) ?? before;
    const alone = (this.#holders.get(base) ?? 1) === 1 && !this.#borrowed.has(base);
    if (alone) {
      this.#sums.addInto(this.#ctx, { target: before, x: gradient });
      return;
    }
    const sum = this.#sums.add(this.#ctx, { a: before, b: gradient });
    this.release(before);
    this.#holders.set(sum, 1);
    this.#held.set(variable, sum);
  }

  #first(variable: Variable, gradient: Tensor, arrival: Arrival): Tensor {
    const place = variable.gradient;
    if (place !== undefined) {
      if (gradient !== place) this.#ctx.copy(gradient, place);
      return place;
    }
    if (arrival.borrowed) {
      this.#borrowed.add(gradient);
      this.#hold(gradient);
    } else if (arrival.incoming !== undefined && sameMemory(gradient, arrival.incoming)) {
      const base = this.#base.get(arrival.incoming) ?? arrival.incoming;
      if (gradient !== base) this.#base.set(gradient, base);
      this.#hold(base);
    } else {
      arrival.scope?.keep(gradient);
      this.#hold(gradient);
    }
    return gradient;
  }

  #hold(base: Tensor): void {
    this.#holders.set(base, (this.#holders.get(base) ?? 0) + 1);
  }
}

function sameMemory(a: Tensor, b: Tensor): boolean {
  return a === b || a.sharesMemory(b);
}
