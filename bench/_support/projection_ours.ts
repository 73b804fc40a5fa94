/**
 * The training step of `projection_problem.ts` by this project: the parts that `ood synood project`
 * is made of, recorded once and replayed.
 *
 * @module
 */

import { frozenLabels, imageToText } from "../../methods/synood/loss.ts";
import { delta } from "../../methods/synood/model.ts";
import { Adam, History, ParameterSet, Tape, TrainingStep, Variable } from "../../nn/mod.ts";
import { Gpu, type KernelTime } from "../../runtime/mod.ts";
import { MOST_STEPS, type TrainingPeer } from "./contest.ts";
import { type StepProblem, TRAINING } from "./projection_problem.ts";

/** A peer that can say where its time goes. */
export interface ProfiledPeer extends TrainingPeer {
  /** Times by kernel, the longest first. */
  profile(): Promise<KernelTime[]>;
}

/**
 * Puts the problem on a GPU of its own.
 *
 * @param problem The problem.
 * @returns The peer.
 */
export async function ourPeer(problem: StepProblem): Promise<ProfiledPeer> {
  const { images, width, labels: count } = problem.sizes;
  const owned = new DisposableStack();
  const gpu = owned.use(await Gpu.open());
  const features = new Variable(gpu.upload(problem.features, [images, width]));
  const targets = gpu.upload(problem.targets, [images]);
  const { logitScale, normEpsilon: epsilon, epsilon: added, ...numbers } = TRAINING;
  const scaled = problem.labels.map((value) => logitScale * value);
  const labels = frozenLabels(gpu, gpu.upload(scaled, [count, width]), { images });
  const parameters = owned.use(new ParameterSet(gpu, problem.parameters));
  const adam = owned.use(new Adam(gpu, parameters, { ...numbers, epsilon: added }));
  const history = owned.use(new History(gpu, ["loss"], MOST_STEPS));
  const step = owned.use(
    new TrainingStep(gpu, (ctx) => {
      const tape = new Tape(ctx);
      const projected = delta(tape, features, parameters, { epsilon });
      const { loss, seed } = imageToText(tape, projected, { labels, targets });
      history.record(ctx, "loss", loss);
      tape.backward([seed]);
      adam.record(ctx);
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
      return (await history.drain()).at(-1)!["loss"]!;
    },
    profile: () => step.profileKeeping([parameters.values, ...Object.values(adam.state)]),
    [Symbol.asyncDispose]() {
      owned.dispose();
      return Promise.resolve();
    },
  };
}
