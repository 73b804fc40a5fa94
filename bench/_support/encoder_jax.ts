/**
 * The training step of `encoder_problem.ts` in jax-js, on WebGPU or in WebAssembly with threads:
 * forward, gradients, AdamW and centres in one function under `jit`, as its authors advise.
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
import { type EncoderProblem, TRAINING } from "./encoder_problem.ts";

/** Where jax-js computes. */
export type JaxDevice = "webgpu" | "wasm";

/** Packages that emulate Node put another class in its place, which cannot run jax-js's threads. */
const NativeWorker = globalThis.Worker;

type Arrays = Record<string, JaxArray>;

/** What a step changes. */
type State = { parameters: Arrays; first: Arrays; second: Arrays; centres: JaxArray };

/** What it reads: `first` and `second` are the corrections of the moments. */
type Given = { tokens: JaxArray; labels: JaxArray; first: JaxArray; second: JaxArray };

/**
 * Puts the problem on a device of jax-js.
 *
 * @param problem The problem.
 * @param device The device.
 * @returns The peer.
 */
export async function jaxPeer(problem: EncoderProblem, device: JaxDevice): Promise<TrainingPeer> {
  globalThis.Worker = NativeWorker;
  const found = await init(device);
  if (!found.includes(device)) throw new Error(`jax-js finds no ${device}`);
  const name = `jax-js ${device}`;
  const { lists, tokens, inputs, width, classes } = problem.sizes;
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
    centres: place(problem.centres, [classes, width]),
  };
  const batch = {
    tokens: place(problem.tokens, [lists * tokens, inputs]),
    labels: place(problem.labels, [lists]),
  };
  const run = jit((state: State, given: Given) => step(problem, state, given));
  let steps = 0;
  let loss: JaxArray | undefined;
  return {
    name,
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

function step(problem: EncoderProblem, state: State, given: Given): [JaxArray, State] {
  const { learningRate, beta1, beta2, epsilon, weightDecay, centreRate } = TRAINING;
  const { classes } = problem.sizes;
  const { tokens, labels, first: firstScale, second: secondScale } = given;
  const oneHot = nn.oneHot(labels, classes);
  const towards = np.dot(oneHot.ref, state.centres.ref);
  const [[loss, z], gradients] = valueAndGrad(
    (parameters: Arrays, tokens: JaxArray, oneHot: JaxArray, towards: JaxArray) =>
      lossOf(problem, parameters, { tokens, oneHot, towards }),
    { hasAux: true },
  )(tree.ref(state.parameters), tokens, oneHot.ref, towards.ref) as unknown as [
    [JaxArray, JaxArray],
    Arrays,
  ];
  const next: State = { parameters: {}, first: {}, second: {}, centres: state.centres };
  for (const [name, value] of Object.entries(state.parameters)) {
    const gradient = gradients[name]!;
    const first = state.first[name]!.mul(beta1).add(gradient.ref.mul(1 - beta1));
    const second = state.second[name]!.mul(beta2).add(np.square(gradient).mul(1 - beta2));
    const scale = np.sqrt(second.ref.div(secondScale.ref)).add(epsilon);
    const change = first.ref.div(firstScale.ref).div(scale).mul(learningRate);
    next.parameters[name] = value.mul(1 - learningRate * weightDecay).sub(change);
    next.first[name] = first;
    next.second[name] = second;
  }
  tree.dispose([firstScale, secondScale]);
  const moved = np.dot(np.transpose(oneHot), z.sub(towards)).mul(centreRate);
  next.centres = state.centres.add(moved);
  return [loss, next];
}

/** The loss, and the features beside it. */
function lossOf(
  problem: EncoderProblem,
  parameters: Arrays,
  batch: { tokens: JaxArray; oneHot: JaxArray; towards: JaxArray },
): [JaxArray, JaxArray] {
  const { lists, tokens, width, blocks } = problem.sizes;
  const rows = linear(batch.tokens, parameters, "input").reshape([lists, tokens, width]);
  const token = np.broadcastTo(parameters["class_token"]!, [lists, 1, width]);
  let x = np.concatenate([token, rows], 1).add(parameters["positions"]!)
    .reshape([lists * (tokens + 1), width]);
  const all = (rows: JaxArray) => rows;
  const classTokens = (rows: JaxArray) => rows.reshape([lists, tokens + 1, width]).slice([], 0);
  for (let i = 0; i + 1 < blocks; i++) {
    x = block(problem, x, parameters, { name: `blocks.${i}`, some: all });
  }
  const last = `blocks.${blocks - 1}`;
  const features = problem.sizes.everyRow
    ? classTokens(block(problem, x, parameters, { name: last, some: all }))
    : block(problem, x, parameters, { name: last, some: classTokens });
  const z = norm(features, parameters, "norm");
  const logits = linear(z.ref, parameters, "classifier");
  const entropy = np.negative(nn.logSoftmax(logits, -1).mul(batch.oneHot).sum()).div(lists);
  const distance = np.square(z.ref.sub(batch.towards)).mean();
  return [entropy.add(distance.mul(TRAINING.centreWeight)), z];
}

/** A block that gives some of its rows. */
function block(
  problem: EncoderProblem,
  x: JaxArray,
  parameters: Arrays,
  { name, some }: { name: string; some: (rows: JaxArray) => JaxArray },
): JaxArray {
  const { lists, width, heads } = problem.sizes;
  const keys = norm(x.ref, parameters, `${name}.norm1`);
  const part = (rows: JaxArray, kind: string) => {
    const length = rows.shape[0]! / lists;
    return linear(rows, parameters, `${name}.attention.${kind}`)
      .reshape([lists, length, heads, width / heads]);
  };
  const query = part(some(keys.ref), "query");
  const mixed = nn.dotProductAttention(query, part(keys.ref, "key"), part(keys, "value"));
  const shape = [mixed.shape[0]! * mixed.shape[1]!, width];
  const attended = linear(mixed.reshape(shape), parameters, `${name}.attention.output`);
  const middle = some(x).add(attended);
  const hidden = linear(
    norm(middle.ref, parameters, `${name}.norm2`),
    parameters,
    `${name}.mlp.in`,
  );
  const curved = nn.gelu(hidden, { approximate: false });
  return middle.add(linear(curved, parameters, `${name}.mlp.out`));
}

/** Uses up its two parameters: no other layer has them. */
function linear(x: JaxArray, parameters: Arrays, name: string): JaxArray {
  const weight = parameters[`${name}.weight`]!;
  return np.dot(x, np.transpose(weight)).add(parameters[`${name}.bias`]!);
}

/** Two passes over a row: `nn.standardize` takes the difference of squares. */
function norm(x: JaxArray, parameters: Arrays, name: string): JaxArray {
  const centred = x.ref.sub(x.mean(-1, { keepdims: true }));
  const variance = np.square(centred.ref).mean(-1, { keepdims: true });
  return centred.div(np.sqrt(variance.add(TRAINING.normEpsilon)))
    .mul(parameters[`${name}.weight`]!)
    .add(parameters[`${name}.bias`]!);
}
