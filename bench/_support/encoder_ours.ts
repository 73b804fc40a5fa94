/**
 * The training step of `encoder_problem.ts` by this project: the parts that `ood tagood train` is
 * made of, recorded once and replayed.
 *
 * @module
 */

import { updateCentres } from "../../kernels/mod.ts";
import { tagoodLoss } from "../../methods/tagood/loss.ts";
import { project } from "../../methods/tagood/model.ts";
import { Adam, History, ParameterSet, Tape, TrainingStep, Variable } from "../../nn/mod.ts";
import { Gpu } from "../../runtime/mod.ts";
import { MOST_STEPS, type TrainingPeer } from "./contest.ts";
import { type EncoderProblem, TRAINING } from "./encoder_problem.ts";

/**
 * Puts the problem on a GPU of its own.
 *
 * @param problem The problem.
 * @returns The peer.
 */
export async function ourPeer(problem: EncoderProblem): Promise<TrainingPeer> {
  const { lists, tokens, inputs, width, blocks, classes, ...same } = problem.sizes;
  const sizes = { ...same, inputs, width, classes, maxTokens: tokens, depth: blocks };
  const owned = new DisposableStack();
  const gpu = owned.use(await Gpu.open());
  const counted = (factor: number) =>
    gpu.upload(Int32Array.from({ length: lists + 1 }, (_, i) => factor * i), [lists + 1]);
  const input = {
    tokens: new Variable(gpu.upload(problem.tokens, [lists * tokens, inputs])),
    offsets: counted(tokens),
    singles: counted(1),
  };
  const labels = gpu.upload(problem.labels, [lists]);
  const centres = gpu.upload(problem.centres, [classes, width]);
  const { centreWeight: beta, centreRate: rate, ...numbers } = TRAINING;
  const parameters = owned.use(new ParameterSet(gpu, problem.parameters));
  const adam = owned.use(new Adam(gpu, parameters, { ...numbers, decoupled: true }));
  const history = owned.use(new History(gpu, ["crossEntropy", "distance"], MOST_STEPS));
  const step = owned.use(
    new TrainingStep(gpu, (ctx) => {
      const tape = new Tape(ctx);
      const output = project(tape, input, parameters, { sizes });
      const features = tape.retain(output.features).value;
      const weights = { alpha: 1, beta, groups: 1, labels, centres };
      const { crossEntropy, distance, seeds } = tagoodLoss(ctx, output, weights);
      history.record(ctx, "crossEntropy", crossEntropy);
      history.record(ctx, "distance", distance);
      tape.backward(seeds);
      adam.record(ctx);
      updateCentres(ctx, { centres, features, labels }, { rate });
    }),
  );
  let steps = 0;
  return {
    name: "oodgpu",
    issue() {
      adam.begin(steps++);
      history.next();
      step.run();
    },
    async finish() {
      const last = (await history.drain()).at(-1)!;
      return last["crossEntropy"]! + beta * last["distance"]!;
    },
    [Symbol.asyncDispose]() {
      owned.dispose();
      return Promise.resolve();
    },
  };
}
