/**
 * The loop around a training step: rates, batches, losses read now and then, checkpoints.
 *
 * @module
 */

import { UserError } from "../runtime/mod.ts";
import type { History } from "./history.ts";
import type { Optimizer } from "./optimizers.ts";
import type { Schedule } from "./schedule.ts";
import type { TrainingStep } from "./step.ts";

/** The numbers of one step. */
export interface StepRow {
  /** The step, counted from 0. */
  readonly step: number;
  /** Its numbers by name. */
  readonly values: Readonly<Record<string, number>>;
}

/** What {@linkcode train} runs. */
export interface TrainingLoop {
  /** The recorded step; it writes its numbers into `history`. */
  readonly step: TrainingStep;
  /** What the step writes; its capacity bounds the steps between two reads. */
  readonly history: History;
  /** The optimiser that the step records. */
  readonly optimizer: Optimizer;
  /** The rate before the schedule. */
  readonly learningRate: number;
  /** Factors on the rate. */
  readonly schedule: Schedule;
  /** Number of steps in all. */
  readonly steps: number;
  /** Steps that are done already; 0 by default. */
  readonly done?: number;
  /** Writes a step's inputs before it runs. */
  readonly prepare: (step: number) => void | Promise<void>;
  /** Told the numbers of steps, in order, when they have been read. */
  readonly onRows?: (rows: readonly StepRow[]) => void;
  /** Saves the state after so many steps. */
  readonly save?: (done: number) => Promise<void>;
  /** Steps between two saves; only at the end by default. */
  readonly saveEvery?: number;
  /** Asked after each save, and when a resumed training begins, whether that was enough. */
  readonly enough?: () => boolean;
  /** Stops after the step that runs, with everything saved. */
  readonly signal?: AbortSignal | undefined;
}

/** A training whose loss is no longer a number. */
export class DivergedError extends UserError {
  /** The class's name, as shown by consoles. */
  override readonly name: string = "DivergedError";
  /** The step whose numbers were not finite. */
  readonly step: number;

  /**
   * Names the step and what is left.
   *
   * @param row The step's numbers.
   * @param saved Steps done at the last save, if there was one.
   */
  constructor(row: StepRow, saved: number | undefined) {
    const bad = Object.entries(row.values).filter(([, value]) => !Number.isFinite(value));
    const kept = saved === undefined
      ? "nothing was saved before"
      : `the state after ${saved} steps is kept`;
    super(
      `Training stopped at step ${row.step}: ${
        bad.map(([name, value]) => `${name} is ${value}`).join(", ")
      }; ${kept}; a smaller learning rate may help`,
    );
    this.step = row.step;
  }
}

/**
 * Runs a training to its end.
 *
 * Steps are submitted without waiting; their numbers are read when the history is full, before a
 * save, and at the end. A state is saved only when all numbers up to it are finite.
 *
 * @param loop What to run.
 * @throws {DivergedError} When a step's numbers are not finite; nothing later is saved.
 * @throws {Error} The signal's reason when it stops the training, after saving.
 *
 * @example Nothing left to do
 * ```ts
 * import {
 *   constantSchedule, History, ParameterSet, Sgd, train, TrainingStep,
 * } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const data = new Float32Array([1]);
 * using parameters = new ParameterSet(host, [{ name: "w", shape: [1], data }]);
 * const { value, gradient } = parameters.get("w");
 * using optimizer = new Sgd(host, parameters, { learningRate: 0.5 });
 * using history = new History(host, ["loss"], 8);
 * using step = new TrainingStep(host, (ctx) => {
 *   ctx.copy(value, gradient!); // of the loss w² / 2
 *   history.record(ctx, "loss", value);
 *   optimizer.record(ctx);
 * });
 * const losses: number[] = [];
 * await train({
 *   step, history, optimizer, learningRate: 0.5, schedule: constantSchedule(), steps: 3,
 *   prepare: () => {},
 *   onRows: (rows) => losses.push(...rows.map((row) => row.values["loss"]!)),
 * });
 * assertEquals(losses, [1, 0.5, 0.25]);
 * ```
 */
export async function train(loop: TrainingLoop): Promise<void> {
  const run = new Run(loop);
  for (let step = loop.done ?? 0; step < loop.steps; step++) {
    if (run.saved === step && loop.enough?.()) return;
    if (loop.signal?.aborted) {
      await run.save(step);
      loop.signal.throwIfAborted();
    }
    if (loop.history.length === loop.history.capacity) await run.drain();
    await loop.prepare(step);
    loop.optimizer.learningRate.value = loop.learningRate * loop.schedule(step);
    loop.optimizer.begin(step);
    loop.history.next();
    loop.step.run();
    const done = step + 1;
    if (loop.saveEvery !== undefined && done % loop.saveEvery === 0 && done < loop.steps) {
      await run.save(done);
    }
  }
  await run.save(loop.steps);
}

class Run {
  readonly #loop: TrainingLoop;
  #read: number;
  #saved: number | undefined;

  /** Steps done at the last save. */
  get saved(): number | undefined {
    return this.#saved;
  }

  constructor(loop: TrainingLoop) {
    this.#loop = loop;
    this.#read = loop.done ?? 0;
    if (this.#read > 0) this.#saved = this.#read;
  }

  /** Reads what the steps wrote and refuses what is not finite. */
  async drain(): Promise<void> {
    const rows: StepRow[] = [];
    for (const values of await this.#loop.history.drain()) {
      const row = { step: this.#read++, values };
      if (!Object.values(values).every(Number.isFinite)) {
        this.#loop.onRows?.(rows);
        throw new DivergedError(row, this.#saved);
      }
      rows.push(row);
    }
    if (rows.length > 0) this.#loop.onRows?.(rows);
  }

  async save(done: number): Promise<void> {
    await this.drain();
    if (this.#saved === done) return;
    await this.#loop.save?.(done);
    if (this.#loop.save !== undefined) this.#saved = done;
  }
}
