/**
 * A training step of TagOOD's projection model beside tfjs and jax-js: the same model with the same
 * first values on the same batch, in one process, losses compared first. `deno task bench:encoder`.
 *
 * The peers take turns round by round; the table has the shortest time of each, and the ratios are
 * taken within rounds. Full size takes minutes on a software adapter: a step of tfjs alone takes
 * most of one.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { jaxPeer } from "./_support/encoder_jax.ts";
import {
  type EncoderPeer,
  type EncoderProblem,
  type EncoderSizes,
  encoderStepFlops,
  makeEncoderProblem,
  MOST_STEPS,
  PAPER_SIZES,
  SMALL_SIZES,
} from "./_support/encoder_problem.ts";
import { ourPeer } from "./_support/encoder_ours.ts";
import { tfjsPeer } from "./_support/encoder_tfjs.ts";
import { median } from "./_support/median.ts";

const PEERS: Readonly<Record<string, (problem: EncoderProblem) => Promise<EncoderPeer>>> = {
  "oodgpu": ourPeer,
  "tfjs": tfjsPeer,
  "jax-webgpu": (problem) => jaxPeer(problem, "webgpu"),
  "jax-wasm": (problem) => jaxPeer(problem, "wasm"),
};

const USAGE = `Usage: deno task bench:encoder [--rounds N] [--peers NAME,…] [--batch N] [--json]

Times a training step of TagOOD's projection model in every library that can express it.

  --rounds N  rounds in which the peers take turns, 3 by default
  --peers …   which of ${Object.keys(PEERS).join(", ")}; all by default; ratios are
              to the first
  --batch N   lists in a batch, ${PAPER_SIZES.lists} by default
  --tokens N  tokens of a list, ${PAPER_SIZES.tokens} by default
  --every-row tfjs and jax-js compute all rows of the last block, though only one of each list is
              used
  --check     only compare the losses of a small model; exit 1 when they differ
  --json      print the result as JSON
  --help      show this`;

/** Steps whose losses are compared before the rounds; the first compiles. */
const CHECKED_STEPS = { paper: 2, small: 6 };

/** Largest relative difference of two losses of one step. */
const AGREEMENT = 1e-4;

/** A sample issues as many steps as fit, since every wait for the GPU takes 10 ms in Deno. */
const SAMPLE_MS = 500;

/** A peer and what it has shown. */
class Contestant {
  readonly peer: EncoderPeer;
  /** Losses by step, those of steps that were waited for. */
  readonly losses: Map<number, number> = new Map();
  /** Milliseconds of a step, one for each round. */
  readonly times: number[] = [];
  #steps = 0;
  #stepsPerSample = 1;

  constructor(peer: EncoderPeer) {
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

/** The largest relative difference to the first one's losses, of the steps that both waited for. */
function disagreement(contestants: readonly Contestant[]): number {
  const [first, ...others] = contestants;
  let worst = 0;
  for (const { losses } of others) {
    for (const [step, loss] of losses) {
      const expected = first!.losses.get(step);
      if (expected === undefined) continue;
      const difference = Math.abs(loss - expected) / Math.abs(expected);
      worst = Number.isFinite(difference) ? Math.max(worst, difference) : Infinity;
    }
  }
  return worst;
}

interface Result {
  readonly sizes: EncoderSizes;
  readonly flops: number;
  readonly deno: string;
  readonly disagreement: number;
  readonly peers: readonly {
    readonly name: string;
    readonly milliseconds: readonly number[];
    readonly best: number;
    readonly ratios: readonly number[];
    readonly losses: readonly (readonly [step: number, loss: number])[];
  }[];
}

function resultOf(sizes: EncoderSizes, contestants: readonly Contestant[]): Result {
  const [first] = contestants;
  return {
    sizes,
    flops: encoderStepFlops(sizes),
    deno: Deno.version.deno,
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

function describe({ sizes, flops, peers, ...result }: Result): string[] {
  const { lists, tokens, width, blocks } = sizes;
  const lines = [
    `A training step of TagOOD's projection model: ${lists} lists of ${tokens} tokens, width ` +
    `${width}, ${blocks} blocks, ${(flops / 1e9).toFixed(1)} GFLOP, Deno ${result.deno}`,
  ];
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
    result.disagreement <= AGREEMENT
      ? `  losses differ by at most ${result.disagreement.toExponential(1)}`
      : `  LOSSES DIFFER by ${result.disagreement.toExponential(1)}`,
  );
  return lines;
}

/** Runs the rounds of the peers that are named. */
async function compare(
  sizes: EncoderSizes,
  plan: { readonly names: readonly string[]; readonly rounds: number; readonly checked: number },
): Promise<Result> {
  const problem = makeEncoderProblem(sizes);
  await using owned = new AsyncDisposableStack();
  const contestants: Contestant[] = [];
  for (const name of plan.names) {
    const peer = owned.use(await PEERS[name]!(problem));
    const contestant = new Contestant(peer);
    await contestant.prepare(plan.checked);
    contestants.push(contestant);
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const contestant of contestants) await contestant.sample();
  }
  return resultOf(sizes, contestants);
}

function positive(value: string | undefined, name: string, standard: number): number {
  const number = value === undefined ? standard : Number(value);
  if (Number.isInteger(number) && number > 0) return number;
  return usage(`--${name} must be a positive whole number: it is "${value}"`);
}

function usage(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  Deno.exit(2);
}

if (import.meta.main) {
  const options = parseArgs(Deno.args, {
    string: ["rounds", "peers", "batch", "tokens"],
    boolean: ["check", "every-row", "json", "help"],
    unknown: (name) => usage(`There is no option ${name}`),
  });
  if (options.help) {
    console.log(USAGE);
    Deno.exit();
  }
  const names = options.peers?.split(",") ?? Object.keys(PEERS);
  const strange = names.find((name) => !Object.hasOwn(PEERS, name));
  if (strange !== undefined) usage(`There is no peer "${strange}"`);
  const sizes = {
    ...(options.check ? SMALL_SIZES : PAPER_SIZES),
    ...(options.batch && { lists: positive(options.batch, "batch", 0) }),
    everyRow: options["every-row"],
    ...(options.tokens && { tokens: positive(options.tokens, "tokens", 0) }),
  };
  const result = await compare(sizes, {
    names,
    rounds: options.check ? 0 : positive(options.rounds, "rounds", 3),
    checked: options.check ? CHECKED_STEPS.small : CHECKED_STEPS.paper,
  });
  console.log(options.json ? JSON.stringify(result) : describe(result).join("\n"));
  // The threads of jax-js would keep the process.
  Deno.exit(result.disagreement <= AGREEMENT ? 0 : 1);
}
