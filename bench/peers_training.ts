/**
 * A training step of ours beside tfjs-webgpu's: the same network with the same weights on the same
 * images, one adapter, one process, losses compared first. `deno task bench:training`.
 *
 * tfjs gets what it offers for this: channels-last convolutions, `variableGrads` and its momentum
 * optimiser. Every sample runs several steps and waits once.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
import { crossEntropy, Rng, rowMean } from "../kernels/mod.ts";
import { History, Sgd, Tape, TrainingStep, Variable } from "../nn/mod.ts";
import { importNetwork, inspect, type OnnxModel, type OnnxNode, readModel } from "../onnx/mod.ts";
import { median } from "./_support/median.ts";
import { Gpu } from "../runtime/mod.ts";

/** Forward and backward of one image: three times 2 x 40.8 million multiplications. */
const RESNET20_FLOPS = 3 * 2 * 40.8e6;

const MODEL = new URL("../models/cifar10-resnet20.onnx", import.meta.url);
const BATCH = 32;
const RATE = 1e-3;
const MOMENTUM = 0.9;
const CHECKED_STEPS = 4;
const ROUNDS = 5;
const STEPS_A_SAMPLE = 3;

/** One way to train. */
interface Peer {
  readonly name: string;
  /** Issues one step without waiting. */
  step(): void;
  /** Waits, and gives the loss of the last step. */
  loss(): Promise<number>;
}

interface Data {
  readonly images: Float32Array<ArrayBuffer>;
  readonly labels: Int32Array<ArrayBuffer>;
}

function makeData(classes: number): Data {
  const rng = new Rng(5);
  return {
    images: Float32Array.from({ length: BATCH * 32 * 32 * 3 }, () => rng.normal()),
    labels: Int32Array.from({ length: BATCH }, () => rng.integer(classes)),
  };
}

function ourPeer(gpu: Gpu, model: OnnxModel, data: Data): Peer & Disposable {
  const network = importNetwork(gpu, model, inspect(model));
  const input = network.inputs[0]!;
  const x = gpu.upload(data.images, [BATCH, ...input.shape]);
  const labels = gpu.upload(data.labels, [BATCH]);
  const sgd = new Sgd(gpu, network.parameters, { learningRate: RATE, momentum: MOMENTUM });
  const history = new History(gpu, ["loss"], STEPS_A_SAMPLE);
  const step = new TrainingStep(gpu, (scope) => {
    const tape = new Tape(scope);
    const inputs = new Map([[input.name, new Variable(x)]]);
    const { logits } = network.forward(tape, inputs, { training: true });
    const { loss, dLogits } = crossEntropy(scope, { logits: logits.value, labels });
    history.record(scope, "loss", rowMean(scope, { x: loss.reshape([1, BATCH]) }));
    tape.backward([{ variable: logits, gradient: dLogits }]);
    sgd.record(scope);
  });
  return {
    name: "oodgpu",
    step() {
      history.next();
      step.run();
    },
    async loss() {
      return (await history.drain()).at(-1)!["loss"]!;
    },
    [Symbol.dispose]() {
      step[Symbol.dispose]();
      history[Symbol.dispose]();
      sgd[Symbol.dispose]();
      network[Symbol.dispose]();
      x.dispose();
      labels.dispose();
    },
  };
}

/** The classifier's graph on tfjs tensors, channels last. */
class TfNetwork {
  readonly #nodes: readonly OnnxNode[];
  readonly #variables: Map<string, tf.Variable> = new Map();

  constructor(model: OnnxModel) {
    this.#nodes = model.graph.sorted().filter(({ opType }) => opType !== "Constant");
    for (const node of this.#nodes) {
      for (const [place, name] of node.inputs.entries()) {
        const constant = model.graph.constant(name);
        if (constant === undefined || place === 0) continue;
        const data = constant.data as Float32Array;
        const value = node.opType === "Conv" && place === 1
          // [O, C, KH, KW] as tfjs has it: [KH, KW, C, O].
          ? tf.tidy(() =>
            tf.transpose(
              tf.tensor4d(data, [...constant.shape] as [number, number, number, number]),
              [
                2,
                3,
                1,
                0,
              ],
            )
          )
          : tf.tensor(data, [...constant.shape]);
        this.#variables.set(name, tf.variable(value));
      }
    }
  }

  logits(image: string, x: tf.Tensor4D): tf.Tensor2D {
    const values = new Map<string, tf.Tensor>([[image, x]]);
    let last: tf.Tensor = x;
    for (const node of this.#nodes) {
      last = this.#run(node, (name) => values.get(name) ?? this.#variables.get(name)!);
      values.set(node.outputs[0]!, last);
    }
    return last as tf.Tensor2D;
  }

  #run(node: OnnxNode, value: (name: string) => tf.Tensor): tf.Tensor {
    const [x, weight, bias] = node.inputs.map(value);
    switch (node.opType) {
      case "Conv": {
        const pads = node.ints("pads")!;
        const border: [[number, number], [number, number], [number, number], [number, number]] = [
          [0, 0],
          [pads[0]!, pads[2]!],
          [pads[1]!, pads[3]!],
          [0, 0],
        ];
        const strides = node.ints("strides") as [number, number];
        const y = tf.conv2d(x as tf.Tensor4D, weight as tf.Tensor4D, strides, border);
        return tf.add(y, bias!);
      }
      case "Relu":
        return tf.relu(x!);
      case "Add":
        return tf.add(x!, weight!);
      case "GlobalAveragePool":
        return tf.mean(x!, [1, 2]);
      case "Flatten":
      case "Identity":
        return x!;
      case "Gemm":
        return tf.add(tf.matMul(x as tf.Tensor2D, weight as tf.Tensor2D, false, true), bias!);
      default:
        throw new TypeError(`Cannot run ${node.opType} in tfjs here`);
    }
  }
}

function tfPeer(model: OnnxModel, data: Data, classes: number): Peer {
  const network = new TfNetwork(model);
  const image = inspect(model).image!.name;
  const x = tf.tensor4d(data.images, [BATCH, 32, 32, 3]);
  const labels = tf.oneHot(tf.tensor1d(data.labels, "int32"), classes) as tf.Tensor2D;
  const optimizer = tf.train.momentum(RATE, MOMENTUM);
  let last: tf.Scalar | undefined;
  return {
    name: "tfjs-webgpu",
    step() {
      last?.dispose();
      last = optimizer.minimize(
        () => tf.losses.softmaxCrossEntropy(labels, network.logits(image, x)) as tf.Scalar,
        true,
      ) as tf.Scalar;
    },
    async loss() {
      return (await last!.data())[0]!;
    },
  };
}

async function sample(peer: Peer): Promise<number> {
  const begin = performance.now();
  for (let i = 0; i < STEPS_A_SAMPLE; i++) peer.step();
  await peer.loss();
  return (performance.now() - begin) / STEPS_A_SAMPLE;
}

const AGREEMENT = 1e-3;

if (import.meta.main) {
  await tf.setBackend("webgpu");
  using gpu = await Gpu.open();
  const model = await readModel(MODEL);
  const classes = inspect(model).classes!;
  const data = makeData(classes);
  using ours = ourPeer(gpu, model, data);
  const peers = [ours, tfPeer(model, data, classes)];
  const losses: number[][] = [];
  for (const peer of peers) {
    const seen: number[] = [];
    for (let i = 0; i < CHECKED_STEPS; i++) {
      peer.step();
      seen.push(await peer.loss());
    }
    losses.push(seen);
  }
  const worst = Math.max(...losses[0]!.map((loss, i) => Math.abs(loss - losses[1]![i]!) / loss));
  const times: number[][] = peers.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [p, peer] of peers.entries()) times[p]!.push(await sample(peer));
  }
  console.log(
    `A training step of ResNet-20, batch ${BATCH}, on ${gpu.adapter.description}, Deno ` +
      `${Deno.version.deno}; median of ${ROUNDS} rounds`,
  );
  const flops = BATCH * RESNET20_FLOPS;
  peers.forEach(({ name }, p) => {
    const time = median(times[p]!);
    const ratio = median(times[p]!.map((t, round) => t / times[0]![round]!));
    console.log(
      `  ${name.padEnd(14)}${time.toFixed(0).padStart(7)} ms  ${
        (time / BATCH).toFixed(2).padStart(7)
      } ms/image  ${(flops / time / 1e6).toFixed(1).padStart(6)} GFLOP/s  ${ratio.toFixed(2)} x`,
    );
  });
  console.log(
    `  losses of the first ${CHECKED_STEPS} steps: ${
      losses[0]!.map((l) => l.toFixed(5)).join(", ")
    }; ` +
      (worst <= AGREEMENT
        ? `they differ by at most ${worst.toExponential(1)}`
        : `RESULTS DIFFER by ${worst.toExponential(1)}`),
  );
}
