/**
 * When values of a network are no longer read, for passes that nobody goes back on.
 *
 * @module
 */

import type { Variable } from "../../nn/mod.ts";
import type { Tensor } from "../../runtime/mod.ts";
import type { Step } from "./_compiler.ts";

/** The last readers of values; views count as the value whose memory they show. */
export class Lifetimes {
  readonly #steps: readonly Step[];
  /** For each step the values whose last reader it is. */
  readonly #ends: readonly (readonly string[])[];
  readonly #roots: ReadonlyMap<string, string>;

  /** @param steps The steps. @param wanted Values that nobody but their owner releases. */
  constructor(steps: readonly Step[], wanted: readonly string[]) {
    const roots = new Map<string, string>();
    const last = new Map<string, number>();
    const rootOf = (value: string) => roots.get(value) ?? value;
    steps.forEach(({ inputs, output, view }, index) => {
      if (view) roots.set(output, rootOf(inputs[0]!));
      for (const value of [...inputs, output]) last.set(rootOf(value), index);
    });
    for (const value of wanted) last.delete(rootOf(value));
    const ends: string[][] = steps.map(() => []);
    for (const [value, index] of last) ends[index]!.push(value);
    this.#steps = steps;
    this.#ends = ends;
    this.#roots = roots;
  }

  /**
   * Begins a pass.
   *
   * @param values The values, which the pass fills in.
   * @returns What to call when a step has run, with the tensors whose memory its output may show.
   */
  begin(
    values: ReadonlyMap<string, Variable>,
  ): { ran(index: number, held: readonly Tensor[]): void } {
    // What a differentiable operation has read, its backward function may read again.
    const pinned = new Set<string>();
    const owners = new Map<string, Tensor[]>();
    const rootOf = (value: string) => this.#roots.get(value) ?? value;
    return {
      ran: (index, held) => {
        const { inputs, output } = this.#steps[index]!;
        const root = rootOf(output);
        owners.set(root, [...owners.get(root) ?? [], values.get(output)!.value, ...held]);
        if (values.get(output)!.needsGradient) {
          for (const value of [...inputs, output]) pinned.add(rootOf(value));
        }
        for (const value of this.#ends[index]!) {
          if (!pinned.has(value)) owners.get(value)?.forEach((tensor) => tensor.dispose());
        }
      },
    };
  }
}
