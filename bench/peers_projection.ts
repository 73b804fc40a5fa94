/**
 * A training step of SynOOD's projection beside tfjs and jax-js: the same model with the same first
 * values on the same batch, in one process, losses compared first. `deno task bench:projection`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import {
  AGREEMENT,
  describeContest,
  positive,
  runContest,
  type TrainingPeer,
} from "./_support/contest.ts";
import { jaxPeer } from "./_support/projection_jax.ts";
import { ourPeer } from "./_support/projection_ours.ts";
import {
  makeStepProblem,
  PAPER_SIZES,
  SMALL_SIZES,
  stepFlops,
  type StepProblem,
} from "./_support/projection_problem.ts";
import { tfjsPeer } from "./_support/projection_tfjs.ts";

const PEERS: Readonly<Record<string, (problem: StepProblem) => Promise<TrainingPeer>>> = {
  "oodgpu": ourPeer,
  "tfjs": tfjsPeer,
  "jax-webgpu": (problem) => jaxPeer(problem, "webgpu"),
  "jax-wasm": (problem) => jaxPeer(problem, "wasm"),
};

const USAGE = `Usage: deno task bench:projection [--rounds N] [--peers NAME,…] [--labels N] [--json]

Times a training step of SynOOD's projection in every library that can express it.

  --rounds N  rounds in which the peers take turns, 5 by default
  --peers …   which of ${Object.keys(PEERS).join(", ")}; all by default; ratios are
              to the first
  --labels N  labels, ${PAPER_SIZES.labels} by default
  --images N  images in a batch, ${PAPER_SIZES.images} by default
  --profile   only show where our own step's time goes, kernel by kernel
  --check     only compare the losses of a small model; exit 1 when they differ
  --json      print the result as JSON
  --help      show this`;

/** Steps whose losses are compared before the rounds; the first compiles. */
const CHECKED_STEPS = { paper: 4, small: 8 };

function usage(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  Deno.exit(2);
}

if (import.meta.main) {
  const options = parseArgs(Deno.args, {
    string: ["rounds", "peers", "labels", "images"],
    boolean: ["check", "profile", "json", "help"],
    unknown: (name) => usage(`There is no option ${name}`),
  });
  if (options.help) {
    console.log(USAGE);
    Deno.exit();
  }
  const names = options.peers?.split(",") ?? Object.keys(PEERS);
  const strange = names.find((name) => !Object.hasOwn(PEERS, name));
  if (strange !== undefined) usage(`There is no peer "${strange}"`);
  const standard = options.check ? SMALL_SIZES : PAPER_SIZES;
  const whole = (name: "rounds" | "labels" | "images", standard: number) =>
    positive(options[name], { name, standard, usage });
  const sizes = {
    ...standard,
    labels: whole("labels", standard.labels),
    images: whole("images", standard.images),
  };
  const problem = makeStepProblem(sizes);
  if (options.profile) {
    await using peer = await ourPeer(problem);
    for (const { kernel, dispatches, nanoseconds } of await peer.profile()) {
      console.log(`${kernel.padEnd(36)}${(nanoseconds / 1e6).toFixed(2)} ms  ${dispatches} x`);
    }
    Deno.exit();
  }
  const result = await runContest({
    peers: names.map((name) => () => PEERS[name]!(problem)),
    rounds: options.check ? 0 : whole("rounds", 5),
    checked: options.check ? CHECKED_STEPS.small : CHECKED_STEPS.paper,
    flops: stepFlops(sizes),
  });
  const { images, width, labels } = sizes;
  const title =
    `A training step of SynOOD's projection: ${images} images, ${width} wide, ${labels} ` +
    `labels, ${(result.flops / 1e9).toFixed(2)} GFLOP, Deno ${Deno.version.deno}`;
  console.log(
    options.json
      ? JSON.stringify({ sizes, deno: Deno.version.deno, ...result })
      : [title, ...describeContest(result)].join("\n"),
  );
  // The threads of jax-js would keep the process.
  Deno.exit(result.disagreement <= AGREEMENT ? 0 : 1);
}
