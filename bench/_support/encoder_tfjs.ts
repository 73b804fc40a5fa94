/**
 * The training step of `encoder_problem.ts` in tfjs on WebGPU, with what tfjs offers for it: products
 * with their bias, `variableGrads`, and its Adam, to which the decay of AdamW is added. Weights are
 * stored [inputs, outputs], and the gradients of linear layers transpose their operands first: a
 * product with a transposed operand takes tfjs 2.5 times as long, and its own gradients make the
 * whole step 1.4 times as slow. (They are also wrong in tfjs 4.22 with fewer than 9 lists, where it
 * splits sums of 2000 and more.)
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
import type { TrainingPeer } from "./contest.ts";
import { type EncoderProblem, TRAINING } from "./encoder_problem.ts";

/**
 * Puts the problem into tfjs, whose backend it sets to WebGPU.
 *
 * @param problem The problem.
 * @returns The peer.
 */
export async function tfjsPeer(problem: EncoderProblem): Promise<TrainingPeer> {
  if (!await tf.setBackend("webgpu")) throw new Error("tfjs finds no WebGPU adapter");
  const model = new TfEncoder(problem);
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

class TfEncoder {
  readonly #problem: EncoderProblem;
  readonly #variables: Map<string, tf.Variable> = new Map();
  readonly #tokens: tf.Tensor2D;
  readonly #oneHot: tf.Tensor2D;
  readonly #oneHotTransposed: tf.Tensor2D;
  readonly #labels: tf.Tensor1D;
  readonly #centres: tf.Variable<tf.Rank.R2>;
  readonly #optimizer: tf.AdamOptimizer;
  #loss: tf.Scalar | undefined;

  constructor(problem: EncoderProblem) {
    this.#problem = problem;
    const { lists, tokens, inputs, width, classes } = problem.sizes;
    for (const { name, shape, data } of problem.parameters) {
      const value = tf.tidy(() => {
        const given = tf.tensor(data, [...shape]);
        return isLinear(name) ? tf.transpose(given) : given;
      });
      this.#variables.set(name, tf.variable(value));
      value.dispose();
    }
    this.#tokens = tf.tensor2d(problem.tokens, [lists * tokens, inputs]);
    this.#labels = tf.tensor1d(problem.labels, "int32");
    this.#oneHot = tf.oneHot(this.#labels, classes).toFloat() as tf.Tensor2D;
    this.#oneHotTransposed = tf.transpose(this.#oneHot);
    this.#centres = tf.variable(tf.tensor2d(problem.centres, [classes, width]));
    const { learningRate, beta1, beta2, epsilon } = TRAINING;
    this.#optimizer = tf.train.adam(learningRate, beta1, beta2, epsilon);
  }

  step(): void {
    this.#loss?.dispose();
    let features: tf.Tensor2D | undefined;
    const variables = [...this.#variables.values()];
    const { value, grads } = tf.variableGrads(() => {
      const z = this.#features();
      features = tf.keep(z.clone());
      return this.#lossOf(z);
    }, variables);
    this.#loss = value;
    tf.tidy(() => {
      const kept = 1 - TRAINING.learningRate * TRAINING.weightDecay;
      for (const variable of variables) variable.assign(tf.mul(variable, kept));
    });
    this.#optimizer.applyGradients(
      Object.entries(grads).map(([name, tensor]) => ({ name, tensor })),
    );
    tf.tidy(() => this.#followCentres(features!));
    tf.dispose([features!, ...Object.values(grads)]);
  }

  async finish(): Promise<number> {
    // The centres are written last, from what the step computed; one element of them, after the
    // parameters on the same queue.
    const last = tf.tidy(() => tf.slice(this.#centres, [0, 0], [1, 1]));
    await last.data();
    last.dispose();
    return (await this.#loss!.data())[0]!;
  }

  dispose(): void {
    this.#loss?.dispose();
    this.#optimizer.dispose();
    tf.dispose([
      ...this.#variables.values(),
      this.#tokens,
      this.#oneHot,
      this.#oneHotTransposed,
      this.#labels,
      this.#centres,
    ]);
  }

  /** The class tokens behind the last normalisation, [lists, width]. */
  #features(): tf.Tensor2D {
    const { lists, tokens, width, blocks } = this.#problem.sizes;
    const rows = this.#linear(this.#tokens, "input").reshape([lists, tokens, width]);
    const first = tf.tile(this.#variable("class_token").reshape([1, 1, width]), [lists, 1, 1]);
    const lengthened = tf.add(tf.concat([first, rows], 1), this.#variable("positions"));
    let x = lengthened.reshape([lists * (tokens + 1), width]) as tf.Tensor2D;
    for (let i = 0; i + 1 < blocks; i++) x = this.#block(x, `blocks.${i}`, (rows) => rows);
    const last = `blocks.${blocks - 1}`;
    const features = this.#problem.sizes.everyRow
      ? this.#classTokens(this.#block(x, last, (rows) => rows))
      : this.#block(x, last, (rows) => this.#classTokens(rows));
    return this.#norm(features, "norm");
  }

  #classTokens(rows: tf.Tensor2D): tf.Tensor2D {
    const { lists, tokens, width } = this.#problem.sizes;
    const stacked = rows.reshape([lists, tokens + 1, width]);
    return tf.slice(stacked, [0, 0, 0], [lists, 1, width]).reshape([lists, width]);
  }

  #lossOf(z: tf.Tensor2D): tf.Scalar {
    const logits = this.#linear(z, "classifier");
    const entropy = tf.losses.softmaxCrossEntropy(this.#oneHot, logits) as tf.Scalar;
    const centres = tf.gather(this.#centres, this.#labels);
    const distance = tf.mean(tf.squaredDifference(z, centres)) as tf.Scalar;
    return tf.add(entropy, tf.mul(distance, TRAINING.centreWeight));
  }

  #followCentres(z: tf.Tensor2D): void {
    const behind = tf.sub(z, tf.gather(this.#centres, this.#labels)) as tf.Tensor2D;
    const moved = tf.mul(tf.matMul(this.#oneHotTransposed, behind), TRAINING.centreRate);
    this.#centres.assign(tf.add(this.#centres, moved));
  }

  /** A block that gives some of its rows. */
  #block(x: tf.Tensor2D, name: string, some: (rows: tf.Tensor2D) => tf.Tensor2D): tf.Tensor2D {
    const keys = this.#norm(x, `${name}.norm1`);
    const attended = this.#attention(some(keys), keys, `${name}.attention`);
    const middle = tf.add(some(x), attended) as tf.Tensor2D;
    const inside = gelu(this.#linear(this.#norm(middle, `${name}.norm2`), `${name}.mlp.in`));
    return tf.add(middle, this.#linear(inside, `${name}.mlp.out`));
  }

  #attention(queries: tf.Tensor2D, keys: tf.Tensor2D, name: string): tf.Tensor2D {
    const { lists, width, heads } = this.#problem.sizes;
    const depth = width / heads;
    const part = (x: tf.Tensor2D, kind: string, order: number[]) =>
      tf.transpose(
        this.#linear(x, `${name}.${kind}`).reshape([lists, x.shape[0] / lists, heads, depth]),
        order,
      );
    const query = tf.mul(part(queries, "query", [0, 2, 1, 3]), 1 / Math.sqrt(depth));
    const scores = tf.matMul(query, part(keys, "key", [0, 2, 3, 1]));
    const mixed = tf.matMul(tf.softmax(scores), part(keys, "value", [0, 2, 1, 3]));
    const rows = tf.transpose(mixed, [0, 2, 1, 3]).reshape(queries.shape);
    return this.#linear(rows as tf.Tensor2D, `${name}.output`);
  }

  #norm(x: tf.Tensor2D, name: string): tf.Tensor2D {
    const { mean, variance } = tf.moments(x, 1, true);
    const scaled = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, TRAINING.normEpsilon)));
    return tf.add(
      tf.mul(scaled, this.#variable(`${name}.weight`)),
      this.#variable(`${name}.bias`),
    );
  }

  #linear(x: tf.Tensor2D, name: string): tf.Tensor2D {
    const [weight, bias] = [this.#variable(`${name}.weight`), this.#variable(`${name}.bias`)];
    return linear(x, weight as tf.Tensor, bias) as tf.Tensor2D;
  }

  #variable(name: string): tf.Variable {
    return this.#variables.get(name)!;
  }
}

/** Whether a parameter is a linear layer's weight. */
function isLinear(name: string): boolean {
  return name.endsWith(".weight") && !/norm\d?\.weight$/.test(name);
}

/** A linear layer whose gradients transpose first and multiply then. */
const linear = tf.customGrad((...inputs) => {
  const [x, weight, bias, save] = inputs as [
    tf.Tensor2D,
    tf.Tensor2D,
    tf.Tensor1D,
    tf.GradSaveFunc,
  ];
  save([x, weight]);
  return {
    value: tf.fused.matMul({ a: x, b: weight, bias }) as tf.Tensor,
    gradFunc: (dY, saved) => {
      const [x, weight] = saved as [tf.Tensor2D, tf.Tensor2D];
      const rows = dY as tf.Tensor2D;
      return [
        tf.matMul(rows, tf.transpose(weight)),
        tf.matMul(tf.transpose(x), rows),
        tf.sum(rows, 0),
      ];
    },
  };
});

function gelu(x: tf.Tensor2D): tf.Tensor2D {
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
}
