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
  AGREEMENT,
  describeContest,
  positive,
  runContest,
  type TrainingPeer,
} from "./_support/contest.ts";
import {
  type EncoderProblem,
  encoderStepFlops,
  makeEncoderProblem,
  PAPER_SIZES,
  SMALL_SIZES,
} from "./_support/encoder_problem.ts";
import { ourPeer } from "./_support/encoder_ours.ts";
import { tfjsPeer } from "./_support/encoder_tfjs.ts";

const PEERS: Readonly<Record<string, (problem: EncoderProblem) => Promise<TrainingPeer>>> = {
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
  const whole = (name: "rounds" | "batch" | "tokens", standard: number) =>
    positive(options[name], { name, standard, usage });
  const standard = options.check ? SMALL_SIZES : PAPER_SIZES;
  const sizes = {
    ...standard,
    lists: whole("batch", standard.lists),
    tokens: whole("tokens", standard.tokens),
    everyRow: options["every-row"],
  };
  const problem = makeEncoderProblem(sizes);
  const result = await runContest({
    peers: names.map((name) => () => PEERS[name]!(problem)),
    rounds: options.check ? 0 : whole("rounds", 3),
    checked: options.check ? CHECKED_STEPS.small : CHECKED_STEPS.paper,
    flops: encoderStepFlops(sizes),
  });
  const { lists, tokens, width, blocks } = sizes;
  const title =
    `A training step of TagOOD's projection model: ${lists} lists of ${tokens} tokens, width ` +
    `${width}, ${blocks} blocks, ${
      (result.flops / 1e9).toFixed(1)
    } GFLOP, Deno ${Deno.version.deno}`;
  console.log(
    options.json
      ? JSON.stringify({ sizes, deno: Deno.version.deno, ...result })
      : [title, ...describeContest(result)].join("\n"),
  );
  // The threads of jax-js would keep the process.
  Deno.exit(result.disagreement <= AGREEMENT ? 0 : 1);
}
