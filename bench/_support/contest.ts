/**
 * Libraries that train the same model on the same batch in one process: they take turns round by
 * round, and the losses of their steps are compared.
 *
 * @module
 */

import { median } from "./median.ts";

/** Someone who trains. */
export interface TrainingPeer extends AsyncDisposable {
  /** Its name in the table. */
  readonly name: string;
  /** Issues one step; need not wait for it. */
  issue(): void;
  /** Waits until the last step issued is done, parameters and all, and gives its loss. */
  finish(): Promise<number>;
}

/** Steps that may be issued before a peer is waited for. */
export const MOST_STEPS = 64;

/** Largest relative difference of two losses of one step. */
export const AGREEMENT = 1e-4;

/** A sample issues as many steps as fit, since every wait for the GPU takes 10 ms in Deno. */
const SAMPLE_MS = 500;

/** A peer and what it has shown. */
class Contestant {
  readonly peer: TrainingPeer;
  /** Losses by step, those of steps that were waited for. */
  readonly losses: Map<number, number> = new Map();
  /** Milliseconds of a step, one for each round. */
  readonly times: number[] = [];
  #steps = 0;
  #stepsPerSample = 1;

  constructor(peer: TrainingPeer) {
    this.peer = peer;
  }

  /** Runs steps and waits once; gives the milliseconds of one. */
  async run(steps: number): Promise<number> {
    const begin = performance.now();
    for (let i = 0; i < steps; i++) this.peer.issue();
    const loss = await this.peer.finish();
    const time = (performance.now() - begin) / steps;
    this.#steps += steps;
    this.losses.set(this.#steps, loss);
    return time;
  }

  async prepare(steps: number): Promise<void> {
    let time = 0;
    for (let i = 0; i < steps; i++) time = await this.run(1);
    this.#stepsPerSample = Math.max(1, Math.min(MOST_STEPS, Math.floor(SAMPLE_MS / time)));
  }

  async sample(): Promise<void> {
    this.times.push(await this.run(this.#stepsPerSample));
  }
}

/** What each peer has shown. */
export interface ContestResult {
  /** Operations of a step that cannot be left out. */
  readonly flops: number;
  /**
   * Largest difference to the first one's losses, of the steps that both waited for, relative to the
   * loss or to a hundredth of the first step's where that is more.
   */
  readonly disagreement: number;
  /** The peers in their order. */
  readonly peers: readonly {
    readonly name: string;
    readonly milliseconds: readonly number[];
    readonly best: number;
    readonly ratios: readonly number[];
    readonly losses: readonly (readonly [step: number, loss: number])[];
  }[];
}

/** How a contest is run. */
export interface ContestPlan {
  /** What makes the peers, in their order; ratios are to the first. */
  readonly peers: readonly (() => Promise<TrainingPeer>)[];
  /** Rounds; none where losses alone are wanted. */
  readonly rounds: number;
  /** Steps whose losses are compared before the rounds; the first compiles. */
  readonly checked: number;
  /** Operations of a step that cannot be left out. */
  readonly flops: number;
}

/** Runs a contest. */
export async function runContest(plan: ContestPlan): Promise<ContestResult> {
  await using owned = new AsyncDisposableStack();
  const contestants: Contestant[] = [];
  for (const open of plan.peers) {
    const contestant = new Contestant(owned.use(await open()));
    await contestant.prepare(plan.checked);
    contestants.push(contestant);
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const contestant of contestants) await contestant.sample();
  }
  const [first] = contestants;
  return {
    flops: plan.flops,
    disagreement: disagreement(contestants),
    peers: contestants.map(({ peer, times, losses }) => ({
      name: peer.name,
      milliseconds: times,
      best: Math.min(...times),
      ratios: times.map((time, round) => time / first!.times[round]!),
      losses: [...losses],
    })),
  };
}

/** Losses far below the first one differ by its rounding, so they are measured by a share of it. */
const LEAST_LOSS = 0.01;

function disagreement(contestants: readonly Contestant[]): number {
  const [first, ...others] = contestants;
  const [initial = 0] = first!.losses.values();
  let worst = 0;
  for (const { losses } of others) {
    for (const [step, loss] of losses) {
      const expected = first!.losses.get(step);
      if (expected === undefined) continue;
      const size = Math.max(Math.abs(expected), LEAST_LOSS * Math.abs(initial));
      const difference = Math.abs(loss - expected) / size;
      worst = Number.isFinite(difference) ? Math.max(worst, difference) : Infinity;
    }
  }
  return worst;
}

/** A table of times with the losses below it. */
export function describeContest({ flops, peers, disagreement }: ContestResult): string[] {
  const lines: string[] = [];
  for (const { name, best, ratios, milliseconds } of peers) {
    if (milliseconds.length === 0) continue;
    lines.push(
      `  ${name.padEnd(14)}${best.toFixed(0).padStart(8)} ms${
        (flops / best / 1e6).toFixed(1).padStart(8)
      } GFLOP/s${median(ratios).toFixed(2).padStart(8)} x   (${
        ratios.map((ratio) => ratio.toFixed(2)).join(", ")
      })`,
    );
  }
  for (const { name, losses } of peers) {
    const seen = losses.map(([step, loss]) => `${step}: ${loss.toFixed(5)}`).join(", ");
    lines.push(`  losses of ${name}: ${seen}`);
  }
  lines.push(
    disagreement <= AGREEMENT
      ? `  losses differ by at most ${disagreement.toExponential(1)}`
      : `  LOSSES DIFFER by ${disagreement.toExponential(1)}`,
  );
  return lines;
}

/**
 * A positive whole number of the command line.
 *
 * @param value The option's value, or nothing.
 * @param option Its name, what holds without it, and what bad usage does.
 * @returns The number.
 */
export function positive(
  value: string | undefined,
  option: {
    readonly name: string;
    readonly standard: number;
    readonly usage: (why: string) => never;
  },
): number {
  const number = value === undefined ? option.standard : Number(value);
  if (Number.isInteger(number) && number > 0) return number;
  return option.usage(`--${option.name} must be a positive whole number: it is "${value}"`);
}
