/**
 * What SynOOD's trainings share: groups of parameters with an optimiser each, the loop, checkpoints,
 * and how a training is told and ends.
 *
 * @module
 */

import {
  type Batch,
  constantSchedule,
  cosineSchedule,
  History,
  loadCheckpoint,
  type Optimizer,
  type ParameterSet,
  requireFinite,
  saveCheckpoint,
  type Schedule,
  type StepRow,
  train,
  TrainingStep,
} from "../../nn/mod.ts";
import type { Context, KernelTime, Tensor } from "../../runtime/mod.ts";
import type { SynoodSettings } from "./settings.ts";

/** Where a training keeps its state. */
export interface SynoodCheckpoint {
  /** The file. */
  readonly path: string;
  /** Whether to go on from it. */
  readonly resume: boolean;
  /** Steps between two saves; once an epoch by default. */
  readonly every?: number;
}

/** What a training is going to do. */
export interface SynoodStart {
  /** Numbers that learn. */
  readonly parameters: number;
  /** Steps in all. */
  readonly steps: number;
  /** Steps of an epoch. */
  readonly stepsPerEpoch: number;
  /** Steps that an earlier run has done. */
  readonly done: number;
  /** Dispatches of a step. */
  readonly dispatches: number;
  /** Labels that images are told apart by. */
  readonly labels: number;
}

/** Batches of a training, which are pure functions of the step. */
export interface SynoodBatches {
  /** Steps of an epoch. */
  readonly stepsPerEpoch: number;
  /** The samples of a step. */
  at(step: number): Pick<Batch, "indices">;
}

/** How every training is run. */
export interface SynoodRun {
  /** Where to compute. */
  readonly ctx: Context;
  /** What must be the same when a training is resumed, such as hashes of its files. */
  readonly identity: string;
  /** Where the state is kept; nowhere by default. */
  readonly checkpoint?: SynoodCheckpoint | undefined;
  /** Which samples each step sees; by the settings' seed by default. */
  readonly batches?: SynoodBatches;
  /** First values of parameters by name; drawn from the seed, or the labels', by default. */
  readonly start?: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** Stops the training after the step that runs. */
  readonly signal?: AbortSignal | undefined;
  /** Told before the first step. */
  readonly onStart?: (start: SynoodStart) => void;
  /** Told the losses of steps, now and then. */
  readonly onRows?: (rows: readonly StepRow[]) => void;
  /** Takes the time of every kernel in one more step before the first. */
  readonly profile?: boolean;
}

/** Parameters and what trains them. */
export interface TrainedGroup {
  /** The parameters. */
  readonly parameters: ParameterSet;
  /** Their optimiser. */
  readonly optimizer: Optimizer;
  /** The rate before the schedule. */
  readonly learningRate: number;
  /** Factors on the rate. */
  readonly schedule: Schedule;
}

/** One training. */
export interface TrainingPlan {
  /** How it is run. */
  readonly run: SynoodRun;
  /** Parameters by a name for the checkpoint; the first group's rate leads. */
  readonly groups: Readonly<Record<string, TrainedGroup>>;
  /** What each step says of itself. */
  readonly metrics: readonly string[];
  /** Records forward and backward pass; the optimisers come behind it. */
  readonly record: (ctx: Context, history: History) => void;
  /** Writes a step's inputs. */
  readonly prepare: (step: number) => void;
  /** Steps of an epoch. */
  readonly stepsPerEpoch: number;
  /** Epochs. */
  readonly epochs: number;
  /** Labels that images are told apart by. */
  readonly labels: number;
  /** Settings and sizes that must be the same when it is resumed. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What came of a training, besides the parameters. */
export interface TrainingReport {
  /** Numbers of every step of this run. */
  readonly rows: readonly StepRow[];
  /** Times by kernel, when they were asked for. */
  readonly kernels?: readonly KernelTime[];
}

const READ_EVERY = 10;

/** Runs a training; afterwards the groups hold what was learned. */
export async function runTraining(plan: TrainingPlan): Promise<TrainingReport> {
  using training = new Training(plan);
  return await training.run();
}

class Training implements Disposable {
  readonly #plan: TrainingPlan;
  readonly #history: History;
  readonly #step: TrainingStep;
  readonly #rows: StepRow[] = [];

  constructor(plan: TrainingPlan) {
    const { run: { ctx }, record, groups, metrics } = plan;
    this.#plan = plan;
    this.#history = new History(ctx, metrics, READ_EVERY);
    this.#step = new TrainingStep(ctx, (scope) => {
      record(scope, this.#history);
      for (const { optimizer } of Object.values(groups)) optimizer.record(scope);
    });
  }

  async run(): Promise<TrainingReport> {
    const { run, groups, stepsPerEpoch, epochs, labels } = this.#plan;
    const { ctx, checkpoint, signal } = run;
    const [leader, ...others] = Object.values(groups) as [TrainedGroup, ...TrainedGroup[]];
    const steps = epochs * stepsPerEpoch;
    const settings = { ...this.#plan.settings, data: run.identity };
    const done = checkpoint?.resume === true
      ? await loadCheckpoint(ctx, checkpoint.path, { tensors: this.#state(), settings })
      : 0;
    const kernels = run.profile === true ? await this.#profile() : undefined;
    run.onStart?.({
      parameters: Object.values(groups).reduce((sum, { parameters }) => sum + parameters.count, 0),
      steps,
      stepsPerEpoch,
      done,
      dispatches: this.#step.dispatches,
      labels,
    });
    await train({
      ...leader,
      step: this.#step,
      history: this.#history,
      steps,
      done,
      prepare: (step) => {
        this.#plan.prepare(step);
        for (const { optimizer, learningRate, schedule } of others) {
          optimizer.learningRate.value = learningRate * schedule(step);
          optimizer.begin(step);
        }
      },
      onRows: (rows) => {
        this.#rows.push(...rows);
        run.onRows?.(rows);
      },
      save: async (step) => {
        if (checkpoint === undefined) return;
        await saveCheckpoint(ctx, checkpoint.path, { tensors: this.#state(), step, settings });
      },
      saveEvery: checkpoint?.every ?? stepsPerEpoch,
      signal,
    });
    return { rows: this.#rows, ...(kernels === undefined ? {} : { kernels }) };
  }

  [Symbol.dispose](): void {
    this.#step[Symbol.dispose]();
    this.#history[Symbol.dispose]();
  }

  /** Runs a step on the first batch and puts everything back as it was. */
  async #profile(): Promise<KernelTime[]> {
    this.#plan.prepare(0);
    for (const { optimizer } of Object.values(this.#plan.groups)) {
      optimizer.learningRate.value = 0;
      optimizer.begin(0);
    }
    return await this.#step.profileKeeping(Object.values(this.#state()));
  }

  #state(): Record<string, Tensor> {
    const state: Record<string, Tensor> = {};
    for (const [name, { parameters, optimizer }] of Object.entries(this.#plan.groups)) {
      state[name] = parameters.values;
      for (const [part, tensor] of Object.entries(optimizer.state)) {
        state[`${name}.${part}`] = tensor;
      }
    }
    return state;
  }
}

/** The factors on a learning rate that settings ask for. */
export function scheduleOf(
  settings: Pick<SynoodSettings, "schedule" | "learningRate" | "finalRate">,
  { epochs, stepsPerEpoch }: { readonly epochs: number; readonly stepsPerEpoch: number },
): Schedule {
  const { schedule, learningRate, finalRate } = settings;
  if (schedule === "constant") return constantSchedule();
  const floor = finalRate / learningRate;
  if (schedule === "cosine") return cosineSchedule(epochs * stepsPerEpoch, floor);
  const byEpoch = cosineSchedule(epochs, floor);
  return (step) => byEpoch(Math.floor(step / stepsPerEpoch));
}

/**
 * Values of parameters on the host.
 *
 * @throws {UserError} When one is not finite: a ReLU hides NaN from the loss.
 */
export async function readParameters(
  parameters: ParameterSet,
): Promise<Map<string, Float32Array<ArrayBuffer>>> {
  const values = await parameters.read();
  for (const [name, data] of values) requireFinite(name, data);
  return values;
}
