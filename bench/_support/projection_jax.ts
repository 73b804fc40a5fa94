/**
 * The training step of `projection_problem.ts` in jax-js, on WebGPU or in WebAssembly with threads:
 * forward, gradients and Adam in one function under `jit`, as its authors advise.
 *
 * In jax-js an array that is passed on is given away, and `.ref` keeps it.
 *
 * @module
 */

import {
  type Array as JaxArray,
  blockUntilReady,
  defaultDevice,
  init,
  jit,
  nn,
  numpy as np,
  tree,
  valueAndGrad,
} from "@jax-js/jax";
import type { TrainingPeer } from "./contest.ts";
import { type StepProblem, TRAINING } from "./projection_problem.ts";

/** Where jax-js computes. */
export type JaxDevice = "webgpu" | "wasm";

/** Packages that emulate Node put another class in its place, which cannot run jax-js's threads. */
const NativeWorker = globalThis.Worker;

type Arrays = Record<string, JaxArray>;

/** What a step changes. */
type State = { parameters: Arrays; first: Arrays; second: Arrays };

/** What does not learn. */
type Batch = { features: JaxArray; labels: JaxArray; targets: JaxArray };

/** What a step reads: `first` and `second` are the corrections of the moments. */
type Given = Batch & { first: JaxArray; second: JaxArray };

/**
 * Puts the problem on a device of jax-js.
 *
 * @param problem The problem.
 * @param device The device.
 * @returns The peer.
 */
export async function jaxPeer(problem: StepProblem, device: JaxDevice): Promise<TrainingPeer> {
  globalThis.Worker = NativeWorker;
  const found = await init(device);
  if (!found.includes(device)) throw new Error(`jax-js finds no ${device}`);
  const { images, width, labels } = problem.sizes;
  const place = (data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>, shape: number[]) =>
    np.array(data, { shape, device });
  const placeAll = (value: (data: Float32Array<ArrayBuffer>) => Float32Array<ArrayBuffer>) =>
    Object.fromEntries(
      problem.parameters.map(({ name, shape, data }) => [name, place(value(data), [...shape])]),
    );
  let state: State = {
    parameters: placeAll((data) => data),
    first: placeAll((data) => new Float32Array(data.length)),
    second: placeAll((data) => new Float32Array(data.length)),
  };
  const scaled = problem.labels.map((value) => TRAINING.logitScale * value);
  const batch: Batch = {
    features: place(problem.features, [images, width]),
    labels: place(scaled, [labels, width]),
    targets: place(problem.targets, [images]),
  };
  const run = jit((state: State, given: Given) => step(problem, state, given));
  let steps = 0;
  let loss: JaxArray | undefined;
  return {
    name: `jax-js ${device}`,
    issue() {
      defaultDevice(device);
      loss?.dispose();
      steps++;
      const given = {
        ...tree.ref(batch),
        first: place(Float32Array.of(1 - TRAINING.beta1 ** steps), []),
        second: place(Float32Array.of(1 - TRAINING.beta2 ** steps), []),
      };
      [loss, state] = run(state, given);
    },
    async finish() {
      // The loss alone would be ready before the gradients are.
      await blockUntilReady(state);
      return (await loss!.ref.data())[0]!;
    },
    async [Symbol.asyncDispose]() {
      await blockUntilReady(state);
      tree.dispose(state);
      tree.dispose(batch);
      loss?.dispose();
      run.dispose();
    },
  };
}

function step(problem: StepProblem, state: State, given: Given): [JaxArray, State] {
  const { learningRate, beta1, beta2, epsilon, weightDecay } = TRAINING;
  const { first: firstScale, second: secondScale, ...batch } = given;
  const oneHot = nn.oneHot(batch.targets, problem.sizes.labels);
  const [loss, gradients] = valueAndGrad(
    (parameters: Arrays, features: JaxArray, labels: JaxArray, oneHot: JaxArray) =>
      lossOf(problem, parameters, { features, labels, oneHot }),
  )(
    tree.ref(state.parameters),
    batch.features,
    batch.labels,
    oneHot,
  ) as unknown as [JaxArray, Arrays];
  const next: State = { parameters: {}, first: {}, second: {} };
  for (const [name, value] of Object.entries(state.parameters)) {
    const gradient = gradients[name]!.add(value.ref.mul(weightDecay));
    const first = state.first[name]!.mul(beta1).add(gradient.ref.mul(1 - beta1));
    const second = state.second[name]!.mul(beta2).add(np.square(gradient).mul(1 - beta2));
    const scale = np.sqrt(second.ref.div(secondScale.ref)).add(epsilon);
    const change = first.ref.div(firstScale.ref).div(scale).mul(learningRate);
    next.parameters[name] = value.sub(change);
    next.first[name] = first;
    next.second[name] = second;
  }
  tree.dispose([firstScale, secondScale]);
  return [loss, next];
}

function lossOf(
  problem: StepProblem,
  parameters: Arrays,
  { features, labels, oneHot }: { features: JaxArray; labels: JaxArray; oneHot: JaxArray },
): JaxArray {
  const weight = parameters["projection.weight"]!;
  const inside = np.dot(features.ref, np.transpose(weight)).add(parameters["projection.bias"]!);
  const y = features.add(nn.relu(norm(inside, parameters)));
  const length = np.sqrt(np.square(y.ref).sum(-1, { keepdims: true }));
  const logits = np.dot(y.div(length), np.transpose(labels));
  const entropy = nn.logSoftmax(logits, -1).mul(oneHot).sum();
  return np.negative(entropy).div(problem.sizes.images);
}

/** Two passes over a row: `nn.standardize` takes the difference of squares. */
function norm(x: JaxArray, parameters: Arrays): JaxArray {
  const centred = x.ref.sub(x.mean(-1, { keepdims: true }));
  const variance = np.square(centred.ref).mean(-1, { keepdims: true });
  return centred.div(np.sqrt(variance.add(TRAINING.normEpsilon)))
    .mul(parameters["norm.weight"]!)
    .add(parameters["norm.bias"]!);
}
