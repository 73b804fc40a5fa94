/**
 * A training step that is recorded once and run many times.
 *
 * @module
 */

import { type Context, isGpu, type KernelTime, type Replay, type Tensor } from "../runtime/mod.ts";

/**
 * One step of a training: on a GPU it is captured at once and each run is one submit of the same
 * commands; on the host each run computes it anew.
 *
 * What is recorded must take its inputs from tensors that live outside of it, leave its results in
 * such tensors, and read numbers that change from `Scalar`s.
 *
 * @example A step that counts
 * ```ts
 * import { TrainingStep } from "@oodgpu/oodgpu/nn";
 * import { addInto } from "@oodgpu/oodgpu/kernels";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const target = host.upload(new Float32Array([0]), [1]);
 * const one = host.upload(new Float32Array([1]), [1]);
 * using step = new TrainingStep(host, (ctx) => addInto(ctx, { target, x: one }));
 * step.run();
 * step.run();
 * assertEquals([...target.data], [2]);
 * ```
 */
export class TrainingStep implements Disposable {
  readonly #ctx: Context;
  readonly #record: (ctx: Context) => void;
  readonly #replay: Replay | undefined;

  /**
   * Records the step; nothing runs yet.
   *
   * @param ctx Where it runs.
   * @param record Records one step into the context that it is given.
   */
  constructor(ctx: Context, record: (ctx: Context) => void) {
    this.#ctx = ctx;
    this.#record = record;
    this.#replay = isGpu(ctx) ? ctx.gpu.capture(record) : undefined;
  }

  /** Dispatches of one run; 0 on the host. */
  get dispatches(): number {
    return this.#replay?.dispatches ?? 0;
  }

  /** Runs the step: one submit on a GPU, which is not waited for. */
  run(): void {
    if (this.#replay !== undefined) {
      this.#replay.run();
      return;
    }
    using scope = this.#ctx.scope();
    this.#record(scope);
  }

  /**
   * Runs the step once and takes the time of every kernel.
   *
   * @returns Times by kernel, the longest first; none on the host.
   * @throws {UnsupportedFeatureError} When the device takes no time stamps.
   */
  async profile(): Promise<KernelTime[]> {
    if (this.#replay !== undefined) return await this.#replay.profile();
    this.run();
    return [];
  }

  /**
   * Runs the step twice, the second time as {@linkcode TrainingStep.profile} does, and puts back what
   * both runs changed.
   *
   * @param state The tensors that a step changes and that must stay as they are.
   * @returns Times by kernel, the longest first; none on the host.
   * @throws {UnsupportedFeatureError} When the device takes no time stamps.
   */
  async profileKeeping(state: readonly Tensor[]): Promise<KernelTime[]> {
    const before = await this.#ctx.read(...state);
    this.run();
    const times = await this.profile();
    state.forEach((tensor, i) => this.#ctx.write(tensor, before[i]!));
    return times;
  }

  /** Releases what the step allocated. */
  [Symbol.dispose](): void {
    this.#replay?.[Symbol.dispose]();
  }
}
