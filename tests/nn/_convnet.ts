/**
 * The network and the images of tests/golden/convnet.py, by its integer formulas.
 *
 * @module
 */

import {
  activation,
  add,
  batchNorm,
  conv2d,
  globalAveragePool,
  linear,
  ParameterSet,
  type Tape,
  type Variable,
} from "../../nn/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";

const SIDE = 12;
const PIXELS = SIDE * SIDE * 3;
export const BATCH = 16;
export const CLASSES = 5;

function mix(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b) >>> 0;
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35) >>> 0;
  return (x ^ (x >>> 16)) >>> 0;
}

function hash(a: number, b: number): number {
  return mix(mix(Math.imul(a, 0x9e3779b9) + 0x7f4a7c15) + b);
}

/** f32 [count, 12, 12, 3] of images from `begin` on. */
export function convnetImages(begin: number, count: number): Float32Array<ArrayBuffer> {
  const images = new Float32Array(count * PIXELS);
  for (let n = 0; n < count; n++) {
    const i = begin + n;
    const move = hash(1, i);
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const row = (y + (move & 3)) & 3;
        const column = (x + ((move >>> 2) & 3)) & 3;
        for (let c = 0; c < 3; c++) {
          const texture = hash(2, (((i % CLASSES) * 4 + row) * 4 + column) * 3 + c) & 127;
          const noise = hash(3, ((i * SIDE + y) * SIDE + x) * 3 + c) & 127;
          images[n * PIXELS + (y * SIDE + x) * 3 + c] = (texture + noise) / 64 - 2;
        }
      }
    }
  }
  return images;
}

/** i32 [count] of images from `begin` on. */
export function convnetLabels(begin: number, count: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: count }, (_, i) => (begin + i) % CLASSES);
}

/** Weights as the golden file has them. */
export interface GoldenWeights {
  readonly [name: string]: { readonly shape: readonly number[]; readonly data: readonly number[] };
}

/** The network with its statistics. */
export class Convnet implements Disposable {
  readonly parameters: ParameterSet;
  readonly statistics: Readonly<Record<string, Tensor>>;

  constructor(ctx: Context, weights: GoldenWeights) {
    this.parameters = new ParameterSet(
      ctx,
      Object.entries(weights).map(([name, { shape, data }]) => ({
        name,
        shape,
        data: Float32Array.from(data),
      })),
    );
    const statistic = (channels: number, value: number) =>
      ctx.upload(new Float32Array(channels).fill(value), [channels]);
    this.statistics = {
      "bn1.running_mean": statistic(8, 0),
      "bn1.running_var": statistic(8, 1),
      "bn2.running_mean": statistic(16, 0),
      "bn2.running_var": statistic(16, 1),
    };
  }

  forward(
    tape: Tape,
    x: Variable,
    mode: "train" | "frozen",
  ): { logits: Variable; featureMap: Variable } {
    const p = (name: string) => this.parameters.get(name);
    const norm = (input: Variable, name: string) =>
      batchNorm(tape, input, {
        weight: p(`${name}.weight`),
        bias: p(`${name}.bias`),
        runningMean: this.statistics[`${name}.running_mean`]!,
        runningVariance: this.statistics[`${name}.running_var`]!,
      }, { mode, activation: "relu" });
    const padding = [1, 1, 1, 1] as const;
    const first = norm(conv2d(tape, x, { weight: p("conv1.weight") }, { padding }), "bn1");
    const a = norm(
      conv2d(tape, first, { weight: p("conv2.weight") }, { padding, stride: [2, 2] }),
      "bn2",
    );
    const b = activation(
      tape,
      conv2d(tape, a, { weight: p("depthwise.weight"), bias: p("depthwise.bias") }, {
        padding,
        groups: 16,
      }),
      { kind: "relu" },
    );
    const featureMap = add(tape, a, b);
    const logits = linear(tape, globalAveragePool(tape, featureMap), {
      weight: p("linear.weight"),
      bias: p("linear.bias"),
    });
    return { logits, featureMap };
  }

  [Symbol.dispose](): void {
    this.parameters[Symbol.dispose]();
    for (const tensor of Object.values(this.statistics)) tensor.dispose();
  }
}
