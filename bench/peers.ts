/**
 * Our kernels beside onnxruntime-web's WebGPU provider and tfjs-webgpu: the same work, the same
 * adapter, one process, results compared first. `deno task bench:peers`.
 *
 * In Deno every wait for the GPU takes at least 10 ms, so each sample issues several runs and waits
 * once. Peers take turns round by round, and the ratio is the median over rounds.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
import {
  cosineMax,
  headEnergy,
  l2Normalize,
  labelMass,
  layerNorm,
  matmul,
  Rng,
  softmax,
} from "../kernels/mod.ts";
import { GraphBuilder, openSession } from "../onnx/mod.ts";
import { median } from "./_support/median.ts";
import { Gpu, type GpuContext, type Tensor } from "../runtime/mod.ts";

/** One way to do a workload. */
interface Peer {
  /** Its name in the table. */
  readonly name: string;
  /** Issues one run without waiting for it. */
  issue(): void | Promise<void>;
  /** Waits for everything issued. */
  wait(): Promise<void>;
  /** One run's result, for the comparison. */
  result(): Promise<ArrayLike<number>>;
}

/** A workload with its operands; `b` is stored as each peer likes it best. */
interface Workload {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Rows of the second operand; 0 when there is none. */
  readonly outputs: number;
  readonly ours: (ctx: GpuContext, x: Tensor, operands: Operands) => Tensor;
  readonly onnx: (builder: GraphBuilder, x: string, arrays: Arrays) => string;
  readonly tfjs: (x: tf.Tensor2D, operands: TfOperands) => tf.Tensor;
}

interface Arrays {
  /** [outputs, columns] */
  readonly weight: Float32Array<ArrayBuffer>;
  /** [columns, outputs] */
  readonly transposed: Float32Array<ArrayBuffer>;
  readonly shape: readonly [outputs: number, columns: number];
}

interface Operands {
  readonly weight: Tensor;
}

interface TfOperands {
  readonly transposed: tf.Tensor2D;
}

const EPSILON = 1e-5;

/** NegLabel as its authors run it on ImageNet: classes, and groups of other labels. */
const LABELS = { classes: 1000, groups: 100, groupSize: 100, scale: 100 };

function normalisedRows(values: Float32Array<ArrayBuffer>, columns: number) {
  for (let start = 0; start < values.length; start += columns) {
    const row = values.subarray(start, start + columns);
    const norm = Math.hypot(...row);
    row.forEach((value, i) => row[i] = value / norm);
  }
  return values;
}

function product(rows: number, columns: number, outputs: number): Workload {
  return {
    name: `matrix product ${rows}x${columns}x${outputs}`,
    rows,
    columns,
    outputs,
    ours: (ctx, x, { weight }) => matmul(ctx, { a: x, b: weight }, { transposeB: true }),
    onnx: (builder, x, { transposed, shape }) =>
      builder.node("MatMul", [
        x,
        builder.constant(transposed, { shape: [shape[1], shape[0]] }),
      ]),
    tfjs: (x, { transposed }) => tf.matMul(x, transposed),
  };
}

const WORKLOADS: readonly Workload[] = [
  product(512, 512, 1024),
  product(1024, 1024, 1024),
  product(4096, 512, 1000),
  {
    name: "fused energy 4096x2048x1000",
    rows: 4096,
    columns: 2048,
    outputs: 1000,
    ours: (ctx, x, { weight }) => headEnergy(ctx, { features: x, weight }),
    onnx: (builder, x, { transposed, shape }) => {
      const weight = builder.constant(transposed, { shape: [shape[1], shape[0]] });
      const logits = builder.node("MatMul", [x, weight]);
      return builder.reduce("ReduceLogSumExp", logits, { axes: [1] });
    },
    tfjs: (x, { transposed }) => tf.logSumExp(tf.matMul(x, transposed), 1),
  },
  {
    name: "cosine-max 4096x512x1000",
    rows: 4096,
    columns: 512,
    outputs: 1000,
    ours: (ctx, x, { weight }) => cosineMax(ctx, { features: x, centres: weight }).value,
    onnx: (builder, x, { transposed, shape }) => {
      const norm = builder.reduce("ReduceL2", x, { axes: [1], keepDims: true });
      const unit = builder.node("Div", [x, norm]);
      const centres = builder.constant(transposed, { shape: [shape[1], shape[0]] });
      return builder.reduce("ReduceMax", builder.node("MatMul", [unit, centres]), { axes: [1] });
    },
    tfjs: (x, { transposed }) =>
      tf.max(tf.matMul(tf.div(x, tf.norm(x, "euclidean", 1, true)) as tf.Tensor2D, transposed), 1),
  },
  {
    name: "NegLabel 1024x512x11000",
    rows: 1024,
    columns: 512,
    outputs: LABELS.classes + LABELS.groups * LABELS.groupSize,
    ours: (ctx, x, { weight }) =>
      labelMass(ctx, { x: l2Normalize(ctx, { x }), labels: weight }, LABELS),
    onnx: (builder, x, { transposed, shape }) => {
      const norm = builder.reduce("ReduceL2", x, { axes: [1], keepDims: true });
      const unit = builder.node("Div", [x, norm]);
      const labels = builder.constant(transposed, { shape: [shape[1], shape[0]] });
      const z = builder.node("Mul", [
        builder.node("MatMul", [unit, labels]),
        builder.constant(LABELS.scale),
      ]);
      const part = (start: number, end: number) => builder.slice(z, { axis: 1, start, end });
      const own = builder.reduce("ReduceLogSumExp", part(0, LABELS.classes), {
        axes: [1],
        keepDims: true,
      });
      const groups = builder.node("Reshape", [
        part(LABELS.classes, shape[0]),
        builder.ints([
          0,
          LABELS.groups,
          LABELS.groupSize,
        ]),
      ]);
      const others = builder.reduce("ReduceLogSumExp", groups, { axes: [2] });
      const shares = builder.node("Sigmoid", [builder.node("Sub", [own, others])]);
      return builder.reduce("ReduceMean", shares, { axes: [1] });
    },
    tfjs: (x, { transposed }) => {
      const unit = tf.div(x, tf.norm(x, "euclidean", 1, true)) as tf.Tensor2D;
      const z = tf.mul(tf.matMul(unit, transposed), LABELS.scale);
      const own = tf.logSumExp(tf.slice(z, [0, 0], [-1, LABELS.classes]), 1, true);
      const groups = tf.reshape(tf.slice(z, [0, LABELS.classes], [-1, -1]), [
        -1,
        LABELS.groups,
        LABELS.groupSize,
      ]);
      return tf.mean(tf.sigmoid(tf.sub(own, tf.logSumExp(groups, 2))), 1);
    },
  },
  {
    name: "softmax 4096x1000",
    rows: 4096,
    columns: 1000,
    outputs: 0,
    ours: (ctx, x) => softmax(ctx, { x }),
    onnx: (builder, x) => builder.node("Softmax", [x], { attributes: { axis: -1n } }),
    tfjs: (x) => tf.softmax(x),
  },
  {
    name: "layer norm 4096x512",
    rows: 4096,
    columns: 512,
    outputs: 0,
    ours: (ctx, x) => layerNorm(ctx, { x }, { epsilon: EPSILON }),
    onnx: (builder, x) => {
      const scale = builder.constant(new Float32Array(512).fill(1));
      return builder.node("LayerNormalization", [x, scale], {
        attributes: { axis: -1n, epsilon: EPSILON },
      });
    },
    tfjs: (x) => {
      const { mean, variance } = tf.moments(x, 1, true);
      return tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, EPSILON)));
    },
  },
];

function makeArrays(workload: Workload): { x: Float32Array<ArrayBuffer>; arrays: Arrays } {
  const rng = new Rng(7);
  const { rows, columns, outputs } = workload;
  const random = (count: number) => Float32Array.from({ length: count }, () => rng.normal());
  const x = random(rows * columns);
  const weight = normalisedRows(random(outputs * columns), columns);
  const transposed = new Float32Array(weight.length);
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < columns; c++) transposed[c * outputs + o] = weight[o * columns + c]!;
  }
  return { x, arrays: { weight, transposed, shape: [outputs, columns] } };
}

function ourPeer(
  gpu: Gpu,
  workload: Workload,
  data: ReturnType<typeof makeArrays>,
): Peer & Disposable {
  const scope = gpu.scope();
  const { rows, columns, outputs } = workload;
  const x = scope.upload(data.x, [rows, columns]);
  const weight = scope.upload(data.arrays.weight, [outputs, columns]);
  return {
    name: "oodgpu",
    issue() {
      using step = gpu.scope();
      workload.ours(step, x, { weight });
    },
    wait: () => gpu.idle(),
    async result() {
      using step = gpu.scope();
      const [values] = await step.read(workload.ours(step, x, { weight }));
      return values!;
    },
    [Symbol.dispose]: () => scope[Symbol.dispose](),
  };
}

async function onnxPeer(
  gpu: Gpu,
  workload: Workload,
  data: ReturnType<typeof makeArrays>,
): Promise<Peer & AsyncDisposable> {
  const builder = new GraphBuilder();
  const { rows, columns } = workload;
  const input = builder.input("x", [rows, columns]);
  builder.output("y", workload.onnx(builder, input, data.arrays));
  const session = await openSession(builder.build(), { device: "webgpu", gpu });
  const x = gpu.upload(data.x, [rows, columns]);
  const run = async () => (await session.run({ x })).y as Tensor;
  return {
    name: "onnxruntime-web webgpu",
    issue: async () => (await run()).dispose(),
    wait: () => gpu.idle(),
    async result() {
      using y = await run();
      const [values] = await gpu.read(y);
      return values!;
    },
    async [Symbol.asyncDispose]() {
      x.dispose();
      await session.dispose();
    },
  };
}

function tfPeer(workload: Workload, data: ReturnType<typeof makeArrays>): Peer & Disposable {
  const { rows, columns, outputs } = workload;
  const x = tf.tensor2d(data.x, [rows, columns]);
  const transposed = tf.tensor2d(data.arrays.transposed, [columns, outputs]);
  const run = () => tf.tidy(() => workload.tfjs(x, { transposed }));
  let last = run();
  return {
    name: "tfjs-webgpu",
    issue() {
      last.dispose();
      last = run();
    },
    // One element of the last result: everything issued before it has then run.
    async wait() {
      const first = tf.tidy(() => tf.slice(tf.reshape(last, [-1]), 0, 1));
      await first.data();
      first.dispose();
    },
    async result() {
      const y = run();
      const values = await y.data();
      y.dispose();
      return values;
    },
    [Symbol.dispose]: () => tf.dispose([x, transposed, last]),
  };
}

const AGREEMENT = 1e-3;

/** The largest difference to the first peer's result, relative where values are large. */
function disagreement(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = a.length === b.length ? 0 : Infinity;
  for (let i = 0; i < a.length; i++) {
    worst = Math.max(worst, Math.abs(a[i]! - b[i]!) / (1 + Math.abs(b[i]!)));
  }
  return worst;
}

const ROUNDS = 7;
const SAMPLE_MS = 450;

async function sample(peer: Peer, runs: number): Promise<number> {
  await peer.wait();
  const start = performance.now();
  for (let i = 0; i < runs; i++) await peer.issue();
  await peer.wait();
  return (performance.now() - start) / runs;
}

async function compare(workload: Workload, peers: readonly Peer[]): Promise<void> {
  const results: ArrayLike<number>[] = [];
  for (const peer of peers) results.push(await peer.result());
  const runs: number[] = [];
  for (const peer of peers) {
    const once = await sample(peer, 1);
    runs.push(Math.min(64, Math.max(1, Math.round(SAMPLE_MS / Math.max(1, once - 10)))));
  }
  const times: number[][] = peers.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [p, peer] of peers.entries()) times[p]!.push(await sample(peer, runs[p]!));
  }
  console.log(workload.name);
  peers.forEach((peer, p) => {
    const ratio = median(times[p]!.map((time, round) => time / times[0]![round]!));
    const worst = disagreement(results[p]!, results[0]!);
    const check = worst <= AGREEMENT ? "" : `  RESULT DIFFERS by ${worst.toExponential(1)}`;
    console.log(
      `  ${peer.name.padEnd(24)}${median(times[p]!).toFixed(1).padStart(9)} ms` +
        `${ratio.toFixed(2).padStart(8)} x${check}`,
    );
  });
}

if (import.meta.main) {
  await tf.setBackend("webgpu");
  using gpu = await Gpu.open();
  console.log(
    `Median of ${ROUNDS} rounds on ${gpu.adapter.description}, Deno ${Deno.version.deno}`,
  );
  const wanted = Deno.args[0] ?? "";
  for (const workload of WORKLOADS.filter(({ name }) => name.includes(wanted))) {
    const data = makeArrays(workload);
    using ours = ourPeer(gpu, workload, data);
    await using onnx = await onnxPeer(gpu, workload, data);
    using tfjs = tfPeer(workload, data);
    await compare(workload, [ours, onnx, tfjs]);
  }
}
