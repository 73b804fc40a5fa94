/**
 * The training step of `projection_problem.ts` in tfjs on WebGPU, with what tfjs offers for it: a
 * product with its bias, `variableGrads`, and its Adam, to whose gradients the decay is added. A
 * product with a transposed operand takes tfjs 2.5 times as long, so that weights are stored [inputs,
 * outputs], the labels, which do not learn, once each way, and what a gradient transposes it
 * transposes first.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
import type { TrainingPeer } from "./contest.ts";
import { type StepProblem, TRAINING } from "./projection_problem.ts";

/**
 * Puts the problem into tfjs, whose backend it sets to WebGPU.
 *
 * @param problem The problem.
 * @returns The peer.
 */
export async function tfjsPeer(problem: StepProblem): Promise<TrainingPeer> {
  if (!await tf.setBackend("webgpu")) throw new Error("tfjs finds no WebGPU adapter");
  const model = new TfProjection(problem);
  return {
    name: "tfjs-webgpu",
    issue: () => model.step(),
    finish: () => model.finish(),
    [Symbol.asyncDispose]: () => {
      model.dispose();
      return Promise.resolve();
    },
  };
}

class TfProjection {
  readonly #variables: Map<string, tf.Variable> = new Map();
  readonly #features: tf.Tensor2D;
  readonly #oneHot: tf.Tensor2D;
  readonly #cosines: (x: tf.Tensor2D) => tf.Tensor2D;
  readonly #labels: readonly tf.Tensor2D[];
  readonly #optimizer: tf.AdamOptimizer;
  #loss: tf.Scalar | undefined;

  constructor(problem: StepProblem) {
    const { images, width, labels } = problem.sizes;
    for (const { name, shape, data } of problem.parameters) {
      const value = tf.tidy(() => {
        const given = tf.tensor(data, [...shape]);
        return name === "projection.weight" ? tf.transpose(given) : given;
      });
      this.#variables.set(name, tf.variable(value));
      value.dispose();
    }
    this.#features = tf.tensor2d(problem.features, [images, width]);
    this.#oneHot = tf.tidy(() =>
      tf.oneHot(tf.tensor1d(problem.targets, "int32"), labels).toFloat() as tf.Tensor2D
    );
    const scaled = problem.labels.map((value) => TRAINING.logitScale * value);
    const rows = tf.tensor2d(scaled, [labels, width]);
    const columns = tf.transpose(rows) as tf.Tensor2D;
    this.#labels = [rows, columns];
    this.#cosines = tf.customGrad((x) => ({
      value: tf.matMul(x as tf.Tensor2D, columns),
      gradFunc: (dY) => tf.matMul(dY as tf.Tensor2D, rows),
    })) as (x: tf.Tensor2D) => tf.Tensor2D;
    const { learningRate, beta1, beta2, epsilon } = TRAINING;
    this.#optimizer = tf.train.adam(learningRate, beta1, beta2, epsilon);
  }

  step(): void {
    this.#loss?.dispose();
    const variables = [...this.#variables.values()];
    const { value, grads } = tf.variableGrads(() => this.#lossOf(), variables);
    this.#loss = value;
    const decayed = variables.map((variable) => ({
      name: variable.name,
      tensor: tf.tidy(() =>
        tf.add(grads[variable.name]!, tf.mul(variable, TRAINING.weightDecay)) as tf.Tensor
      ),
    }));
    this.#optimizer.applyGradients(decayed);
    tf.dispose([...Object.values(grads), ...decayed.map(({ tensor }) => tensor)]);
  }

  async finish(): Promise<number> {
    // One element of the weight, which the step writes last.
    const last = tf.tidy(() => tf.slice(this.#variables.get("projection.weight")!, [0, 0], [1, 1]));
    await last.data();
    last.dispose();
    return (await this.#loss!.data())[0]!;
  }

  dispose(): void {
    this.#loss?.dispose();
    this.#optimizer.dispose();
    tf.dispose([...this.#variables.values(), ...this.#labels, this.#features, this.#oneHot]);
  }

  #lossOf(): tf.Scalar {
    const f = this.#features;
    const [weight, bias] = [this.#variable("projection.weight"), this.#variable("projection.bias")];
    const y = tf.add(f, tf.relu(this.#norm(linear(f, weight as tf.Tensor, bias) as tf.Tensor2D)));
    const length = tf.sqrt(tf.sum(tf.square(y), 1, true));
    const logits = this.#cosines(tf.div(y, length) as tf.Tensor2D);
    return tf.losses.softmaxCrossEntropy(this.#oneHot, logits) as tf.Scalar;
  }

  #norm(x: tf.Tensor2D): tf.Tensor2D {
    const { mean, variance } = tf.moments(x, 1, true);
    const scaled = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, TRAINING.normEpsilon)));
    return tf.add(tf.mul(scaled, this.#variable("norm.weight")), this.#variable("norm.bias"));
  }

  #variable(name: string): tf.Variable {
    return this.#variables.get(name)!;
  }
}

/** A linear layer of features that do not learn, whose gradients transpose first and multiply then. */
const linear = tf.customGrad((...inputs) => {
  const [x, weight, bias, save] = inputs as [
    tf.Tensor2D,
    tf.Tensor2D,
    tf.Tensor1D,
    tf.GradSaveFunc,
  ];
  save([x]);
  return {
    value: tf.fused.matMul({ a: x, b: weight, bias }) as tf.Tensor,
    gradFunc: (dY, saved) => {
      const [x] = saved as [tf.Tensor2D];
      const rows = dY as tf.Tensor2D;
      return [tf.zerosLike(x), tf.matMul(tf.transpose(x), rows), tf.sum(rows, 0)];
    },
  };
});
