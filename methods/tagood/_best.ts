/**
 * The state with the smallest validation loss so far, kept beside the one that is trained.
 *
 * @module
 */

import type { Context, Tensor } from "../../runtime/mod.ts";

/** A loss that any other is smaller than, and that a checkpoint takes. */
const NO_LOSS = 3e38;

/** Copies of tensors as they were when the loss was smallest. */
export class BestSoFar implements Disposable {
  /** What a checkpoint keeps: the copies, and loss, epoch, and the last epoch seen. */
  readonly state: Readonly<Record<string, Tensor>>;
  readonly #ctx: Context;
  readonly #live: readonly Tensor[];
  readonly #copies: readonly Tensor[];
  readonly #progress: Tensor;
  #loss = NO_LOSS;
  #epoch = 0;
  #seen = 0;

  constructor(ctx: Context, tensors: Readonly<Record<string, Tensor>>) {
    this.#ctx = ctx;
    this.#live = Object.values(tensors);
    this.#copies = this.#live.map(({ size, shape }) => ctx.upload(new Float32Array(size), shape));
    this.#progress = ctx.upload(Float32Array.of(NO_LOSS, 0, 0), [3]);
    const names = Object.keys(tensors).map((name) => `best.${name}`);
    this.state = {
      ...Object.fromEntries(names.map((name, i) => [name, this.#copies[i]!])),
      "best.progress": this.#progress,
    };
  }

  /** The epoch of the smallest loss, 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The last epoch whose loss was offered. */
  get seen(): number {
    return this.#seen;
  }

  /** Epochs since the smallest loss. */
  get waited(): number {
    return this.#seen - this.#epoch;
  }

  /** Takes the state of now when its loss is the smallest; says whether it is. */
  offer(loss: number, epoch: number): boolean {
    const better = loss < this.#loss;
    this.#seen = epoch;
    if (better) {
      this.#loss = loss;
      this.#epoch = epoch;
      this.#live.forEach((tensor, i) => this.#ctx.copy(tensor, this.#copies[i]!));
    }
    this.#ctx.write(this.#progress, Float32Array.of(this.#loss, this.#epoch, this.#seen));
    return better;
  }

  /** Reads back what a checkpoint has brought. */
  async load(): Promise<void> {
    const [progress] = await this.#ctx.read(this.#progress);
    [this.#loss, this.#epoch, this.#seen] = [...progress!] as [number, number, number];
  }

  /** Makes the best state the one of now; says of which epoch it is. */
  restore(): number | undefined {
    if (this.#epoch === 0) return undefined;
    this.#live.forEach((tensor, i) => this.#ctx.copy(this.#copies[i]!, tensor));
    return this.#epoch;
  }

  [Symbol.dispose](): void {
    for (const tensor of [...this.#copies, this.#progress]) tensor.dispose();
  }
}
