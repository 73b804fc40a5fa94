/**
 * How the axes of a value lie in memory, so that most changes of shape and order move nothing.
 *
 * A layout names factors: what lies in memory, outermost first, and of which factors each axis of the
 * graph's value is made. A Reshape splits and joins factors, a Transpose reorders axes; memory stays as
 * it is until an operator needs it otherwise.
 *
 * @module
 */

import type { Dimension } from "../value_info.ts";

/** A length in memory. */
export interface Factor {
  /** Its length; that of the batch is what the graph says, or undefined where it is open. */
  readonly size: number | undefined;
  /** Whether it is the batch, whose length a run decides. */
  readonly batch: boolean;
}

/** Memory order of maps by axes: channels last. */
const MAP_ORDER = [0, 2, 3, 1];

/** Where each axis of a value lies. */
export class Layout {
  /** What lies in memory, outermost first. */
  readonly memory: readonly Factor[];
  /** The factors of each axis of the value, outermost first; none for an axis of length 1. */
  readonly axes: readonly (readonly Factor[])[];

  constructor(memory: readonly Factor[], axes: readonly (readonly Factor[])[]) {
    this.memory = memory;
    this.axes = axes;
  }

  /**
   * The layout that operators take: maps [N, C, H, W] channels last, other values in their order.
   *
   * @param shape The shape, of which the first axis is the batch, and the others are fixed.
   */
  static standard(shape: readonly Dimension[]): Layout {
    const axes = shape.map((length, i): Factor[] => {
      const size = typeof length === "number" ? length : undefined;
      if (i === 0) return [{ size, batch: true }];
      return size === 1 ? [] : [{ size, batch: false }];
    });
    return new Layout(standardMemory(axes), axes);
  }

  /** Memory in the order of the axes; the first is the batch. */
  static inOrder(shape: readonly Dimension[]): Layout {
    const { axes } = Layout.standard(shape);
    return new Layout(axes.flat(), axes);
  }

  /** The same axes, laid out as operators take them. */
  standardised(): Layout {
    return new Layout(standardMemory(this.axes), this.axes);
  }

  /** Whether memory is as operators take it. */
  get isStandard(): boolean {
    return this.order === this.standardised().order;
  }

  /** Number of axes. */
  get rank(): number {
    return this.axes.length;
  }

  /** The length of an axis, undefined for one with the batch in it. */
  length(axis: number): number | undefined {
    const factors = this.axes[axis]!;
    return factors.some(({ batch }) => batch) ? undefined : product(factors);
  }

  /** Elements for each element of the batch. */
  get each(): number {
    return product(this.memory.filter(({ batch }) => !batch));
  }

  /** The shape of a tensor that holds it: maps and values in their order by axes, others by memory. */
  shape(n: number): number[] {
    const { axes, rank } = this;
    if (!this.isStandard) return this.memory.map((factor) => lengthOf(factor, n));
    const lengths = axes.map((factors) =>
      factors.reduce((a, factor) => a * lengthOf(factor, n), 1)
    );
    return rank === 4 ? MAP_ORDER.map((axis) => lengths[axis]!) : lengths;
  }

  /** Says for equal shapes whether memory is laid out alike. */
  get order(): string {
    const owners = new Map<Factor, readonly [axis: number, place: number]>();
    this.axes.forEach((factors, axis) =>
      factors.forEach((factor, place) => owners.set(factor, [axis, place]))
    );
    // Neighbours in memory that are neighbours in one axis too count as one.
    const blocks: { axis: number; place: number; size: number; batch: boolean }[] = [];
    for (const factor of this.memory) {
      const [axis, place] = owners.get(factor)!;
      const last = blocks.at(-1);
      if (last !== undefined && last.axis === axis && last.place + 1 === place) {
        last.place = place;
        last.size *= factor.batch ? 1 : factor.size!;
        last.batch ||= factor.batch;
      } else {
        blocks.push({ axis, place, size: factor.batch ? 1 : factor.size!, batch: factor.batch });
      }
    }
    const seen = new Map<number, number>();
    return blocks.map(({ axis, size, batch, place }) => {
      const blocksOfAxis = blocks.filter((block) => block.axis === axis);
      seen.set(axis, (seen.get(axis) ?? 0) + 1);
      const at = blocksOfAxis.filter((block) => block.place < place).length;
      return `${axis}.${at}:${batch ? "N" : ""}${size}`;
    }).join(" ");
  }

  /** The axes in another order. */
  transposed(order: readonly number[]): Layout {
    return new Layout(this.memory, order.map((axis) => this.axes[axis]!));
  }

  /**
   * The same elements under another shape.
   *
   * @param shape The shape; one length may be open besides the batch.
   * @returns The layout, or undefined when an axis would begin or end within another's factor.
   */
  reshaped(shape: readonly Dimension[]): Layout | undefined {
    const regrouping = new Regrouping(this);
    const axes = regrouping.axes(shape);
    return axes === undefined ? undefined : new Layout(regrouping.memory, axes);
  }

  /** One axis of another length; its factors, if there are any, lie one behind the other. */
  withLength(axis: number, length: number): Layout {
    const old = this.axes[axis]!;
    const added = length === 1 ? [] : [{ size: length, batch: false }];
    const at = old.length === 0 ? this.memory.length : this.memory.indexOf(old[0]!);
    return new Layout(
      [...this.memory.slice(0, at), ...added, ...this.memory.slice(at + old.length)],
      this.axes.map((factors, i) => i === axis ? added : factors),
    );
  }

  /** Without an axis that has length 1. */
  without(axis: number): Layout {
    return new Layout(this.memory, this.axes.filter((_, i) => i !== axis));
  }

  /** Whether the factors of an axis lie one behind the other, the batch not among them. */
  isWhole(axis: number): boolean {
    const factors = this.axes[axis]!;
    const at = this.memory.indexOf(factors[0]!);
    return factors.every((factor, i) => !factor.batch && this.memory[at + i] === factor);
  }

  /** Elements of what lies behind an axis in memory; it is whole. */
  behind(axis: number): number {
    const last = this.axes[axis]!.at(-1);
    const at = last === undefined ? this.memory.length : this.memory.indexOf(last) + 1;
    return product(this.memory.slice(at));
  }

  /** Whether an axis, in its order, is what lies last in memory. */
  isLast(axis: number): boolean {
    const factors = this.axes[axis]!;
    return endsWith(this.memory, factors) && !factors.some(({ batch }) => batch);
  }

  /** Elements of an axis and of all that lies behind it in memory, in a standard layout. */
  inside(axis: number): number {
    const order = this.rank === 4 ? MAP_ORDER : this.axes.map((_, i) => i);
    return product(order.slice(order.indexOf(axis)).flatMap((i) => this.axes[i]!));
  }

  /** Whether memory is these factors in this order. */
  liesAs(factors: readonly Factor[]): boolean {
    return this.memory.length === factors.length && endsWith(this.memory, factors);
  }
}

/** Whether a list ends with another. */
export function endsWith(list: readonly Factor[], end: readonly Factor[]): boolean {
  const from = list.length - end.length;
  return from >= 0 && end.every((factor, i) => factor === list[from + i]);
}

/** The product of fixed lengths. */
export function product(factors: readonly Factor[]): number {
  return factors.reduce((a, { size }) => a * (size ?? NaN), 1);
}

/** A factor's length when there are n elements in the batch. */
export function lengthOf({ size, batch }: Factor, n: number): number {
  return batch ? n : size!;
}

function standardMemory(axes: readonly (readonly Factor[])[]): Factor[] {
  return axes.length === 4 ? MAP_ORDER.flatMap((axis) => axes[axis]!) : axes.flat();
}

/** Factors on their way into other axes. */
class Regrouping {
  readonly memory: Factor[];
  readonly #left: Factor[];

  constructor({ memory, axes }: Layout) {
    this.memory = [...memory];
    this.#left = axes.flat();
  }

  axes(shape: readonly Dimension[]): Factor[][] | undefined {
    const axes: (Factor[] | undefined)[] = shape.map(() => undefined);
    let [begin, end] = [0, shape.length];
    while (end > 0 && typeof shape[end - 1] === "number") {
      end--;
      // The batch that has length 1 here belongs to the next axis if that has length 1.
      const axis = this.#take(shape[end] as number, { fromEnd: true, next: shape[end - 1] });
      if (axis === undefined) return undefined;
      axes[end] = axis;
    }
    while (begin < end) {
      const length = shape[begin]!;
      if (begin === end - 1) {
        axes[begin] = this.#left.splice(0);
      } else if (typeof length === "number") {
        axes[begin] = this.#take(length, { fromEnd: false, next: undefined });
      } else {
        axes[begin] = this.#left[0]?.batch ? this.#left.splice(0, 1) : undefined;
      }
      if (axes[begin] === undefined) return undefined;
      begin++;
    }
    return this.#left.length === 0 ? axes as Factor[][] : undefined;
  }

  #take(
    length: number,
    { fromEnd, next }: { readonly fromEnd: boolean; readonly next: Dimension | undefined },
  ): Factor[] | undefined {
    const taken: Factor[] = [];
    let rest = length;
    const at = () => fromEnd ? this.#left.length - 1 : 0;
    const take = () => {
      const [factor] = this.#left.splice(at(), 1);
      if (fromEnd) taken.unshift(factor!);
      else taken.push(factor!);
      rest /= factor!.size!;
    };
    while (rest > 1) {
      const size = this.#left[at()]?.size;
      if (size === undefined) return undefined;
      if (rest % size === 0) take();
      else if (!this.#split(at(), rest, fromEnd)) return undefined;
    }
    if (fromEnd && next !== 1) {
      while (this.#left.at(-1)?.batch && this.#left.at(-1)!.size === 1) take();
    } else if (!fromEnd && length === 1 && this.#left[0]?.batch && this.#left[0].size === 1) {
      take();
    }
    return taken;
  }

  /** Splits a factor so that the part at the outer or inner end has a length. */
  #split(at: number, length: number, fromEnd: boolean): boolean {
    const factor = this.#left[at]!;
    if (factor.batch || factor.size! % length !== 0) return false;
    const other: Factor = { size: factor.size! / length, batch: false };
    const part: Factor = { size: length, batch: false };
    const both = fromEnd ? [other, part] : [part, other];
    this.#left.splice(at, 1, ...both);
    this.memory.splice(this.memory.indexOf(factor), 1, ...both);
    return true;
  }
}
