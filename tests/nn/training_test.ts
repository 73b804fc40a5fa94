import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { crossEntropy, rowMean } from "../../kernels/mod.ts";
import {
  Adam,
  type Batch,
  Batches,
  batchNormLayer,
  constantSchedule,
  convLayer,
  DivergedError,
  History,
  type Layer,
  type LayerState,
  linearLayer,
  loadCheckpoint,
  type Optimizer,
  placeLayer,
  poolLayer,
  residual,
  saveCheckpoint,
  sequential,
  Sgd,
  stepSchedule,
  Tape,
  train,
  TrainingStep,
  Variable,
} from "../../nn/mod.ts";
import { type Context, isGpu, type Tensor, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { convnetImages, convnetLabels } from "./_convnet.ts";

const SAMPLES = 40;
const BATCH = 8;
const SEED = 5;

function smallNetwork(): Layer {
  const at = (stream: number) => ({ seed: SEED, stream, padding: [1, 1, 1, 1] as const });
  const block = sequential([
    convLayer("a", { inputs: 8, outputs: 8, kernel: [3, 3], bias: false, ...at(1) }),
    batchNormLayer("bn", { channels: 8 }),
  ]);
  return sequential([
    convLayer("stem", {
      inputs: 3,
      outputs: 8,
      kernel: [3, 3],
      stride: [2, 2],
      activation: "relu",
      ...at(0),
    }),
    residual(block),
    poolLayer(),
    linearLayer("head", { inputs: 8, outputs: 5, seed: SEED, stream: 2 }),
  ]);
}

/** A training of a small network that can be stopped and resumed. */
class Rig implements Disposable {
  readonly state: LayerState;
  readonly optimizer: Optimizer;
  readonly history: History;
  readonly step: TrainingStep;
  readonly batches: Batches = new Batches({ samples: SAMPLES, batch: BATCH, seed: SEED });
  readonly losses: number[] = [];
  readonly #ctx: Context;
  readonly #x: Tensor;
  readonly #labels: Tensor;
  readonly #images: Float32Array<ArrayBuffer> = convnetImages(0, SAMPLES);
  readonly #classes: Int32Array<ArrayBuffer> = convnetLabels(0, SAMPLES);

  constructor(ctx: Context, kind: "sgd" | "adam") {
    this.#ctx = ctx;
    const network = smallNetwork();
    this.state = placeLayer(ctx, network);
    const { parameters } = this.state;
    this.optimizer = kind === "sgd"
      ? new Sgd(ctx, parameters, { learningRate: 0.1, momentum: 0.9, weightDecay: 1e-3 })
      : new Adam(ctx, parameters, { learningRate: 0.01, weightDecay: 0.1, decoupled: true });
    this.history = new History(ctx, ["loss"], 3);
    this.#x = ctx.upload(new Float32Array(BATCH * 432), [BATCH, 12, 12, 3]);
    this.#labels = ctx.upload(new Int32Array(BATCH), [BATCH]);
    this.step = new TrainingStep(ctx, (scope) => {
      const tape = new Tape(scope);
      const logits = network.apply(tape, new Variable(this.#x), this.state);
      const { loss, dLogits } = crossEntropy(scope, {
        logits: logits.value,
        labels: this.#labels,
      });
      this.history.record(scope, "loss", rowMean(scope, { x: loss.reshape([1, BATCH]) }));
      tape.backward([{ variable: logits, gradient: dLogits }]);
      this.optimizer.record(scope);
    });
  }

  tensors(): Record<string, Tensor> {
    return {
      values: this.state.parameters.values,
      ...this.optimizer.state,
      ...Object.fromEntries(this.state.statistics),
    };
  }

  write({ indices }: Batch): void {
    const images = new Float32Array(BATCH * 432);
    indices.forEach((index, i) =>
      images.set(this.#images.subarray(index * 432, (index + 1) * 432), i * 432)
    );
    this.#ctx.write(this.#x, images);
    this.#ctx.write(this.#labels, Int32Array.from(indices, (index) => this.#classes[index]!));
  }

  async run(options: {
    readonly steps: number;
    readonly done?: number;
    readonly rate?: number;
    readonly path?: string;
    readonly saveEvery?: number;
    readonly signal?: AbortSignal;
    readonly onStep?: (step: number) => void;
  }): Promise<void> {
    const { path, onStep, saveEvery, steps, done = 0, rate = 0.1, signal } = options;
    await train({
      ...this,
      step: this.step,
      history: this.history,
      optimizer: this.optimizer,
      learningRate: rate,
      schedule: stepSchedule([5]),
      steps,
      done,
      signal,
      prepare: (step) => {
        onStep?.(step);
        this.write(this.batches.at(step));
      },
      onRows: (rows) => this.losses.push(...rows.map(({ values }) => values["loss"]!)),
      ...(saveEvery === undefined ? {} : { saveEvery }),
      ...(path === undefined ? {} : {
        save: (step) =>
          saveCheckpoint(this.#ctx, path, {
            tensors: this.tensors(),
            step,
            settings: { seed: SEED },
          }),
      }),
    });
  }

  async result(): Promise<number[][]> {
    return (await this.#ctx.read(...Object.values(this.tensors()))).map((values) => [...values]);
  }

  [Symbol.dispose](): void {
    this.step[Symbol.dispose]();
    this.history[Symbol.dispose]();
    this.optimizer[Symbol.dispose]();
    this.state.parameters[Symbol.dispose]();
    for (const tensor of this.state.statistics.values()) tensor.dispose();
    this.#x.dispose();
    this.#labels.dispose();
  }
}

const inFolder = async (body: (folder: string) => Promise<void>) => {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
};

for (const kind of ["sgd", "adam"] as const) {
  gpuTest(`a resumed training is bit-equal to an uninterrupted one: ${kind}`, async ({ gpu }) => {
    await inFolder(async (folder) => {
      const path = `${folder}/checkpoint`;
      using whole = new Rig(gpu, kind);
      await whole.run({ steps: 11 });
      {
        using first = new Rig(gpu, kind);
        await first.run({ steps: 7, path });
      }
      using second = new Rig(gpu, kind);
      const into = { tensors: second.tensors(), settings: { seed: SEED } };
      const done = await loadCheckpoint(gpu, path, into);
      assertEquals(done, 7);
      await second.run({ steps: 11, done });
      assertEquals(await second.result(), await whole.result());
      assertEquals(second.losses, whole.losses.slice(7));
    });
  });
}

gpuTest("a stopped training saves the step that it reached", async ({ gpu }) => {
  await inFolder(async (folder) => {
    const path = `${folder}/checkpoint`;
    const stop = new AbortController();
    using rig = new Rig(gpu, "sgd");
    await assertRejects(
      () =>
        rig.run({
          steps: 100,
          path,
          signal: stop.signal,
          onStep: (step) => step === 4 && stop.abort(new Error("enough")),
        }),
      Error,
      "enough",
    );
    using again = new Rig(gpu, "sgd");
    const into = { tensors: again.tensors(), settings: { seed: SEED } };
    assertEquals(await loadCheckpoint(gpu, path, into), 5);
  });
});

gpuTest("a step in the steady state makes nothing and submits once", async ({ gpu }) => {
  using rig = new Rig(gpu, "sgd");
  await rig.run({ steps: 4 });
  const before = gpu.gpu.counters();
  const steps = 6;
  for (let i = 0; i < steps; i++) {
    rig.write(rig.batches.at(i));
    rig.step.run();
  }
  await gpu.gpu.idle();
  const after = gpu.gpu.counters();
  assertEquals(after.pipelines, before.pipelines);
  assertEquals(after.bindGroups, before.bindGroups);
  assertEquals(after.pool, before.pool);
  assertEquals(after.submits - before.submits, steps);
});

gpuTest("a training on the host goes the way of the GPU", async ({ gpu, host }) => {
  using there = new Rig(gpu, "sgd");
  using here = new Rig(host, "sgd");
  await there.run({ steps: 3 });
  await here.run({ steps: 3 });
  there.losses.forEach((loss, i) =>
    assertEquals(Math.abs(loss - here.losses[i]!) < 1e-4, true, `${loss} ${here.losses[i]}`)
  );
});

gpuTest("a training lowers its loss", async ({ gpu }) => {
  using rig = new Rig(gpu, "adam");
  await rig.run({ steps: 60, rate: 0.02 });
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [begin, end] = [mean(rig.losses.slice(0, 5)), mean(rig.losses.slice(-5))];
  assertEquals(end < 0.8 * begin, true, `${begin} -> ${end}`);
});

gpuTest(
  "a loss that is no number stops, names the step, and keeps what was saved",
  async ({ gpu }) => {
    await inFolder(async (folder) => {
      const path = `${folder}/checkpoint`;
      using rig = new Rig(gpu, "sgd");
      const broken = new Float32Array(5).fill(NaN);
      const error = await assertRejects(() =>
        rig.run({
          steps: 50,
          path,
          saveEvery: 2,
          onStep: (step) => {
            if (step !== 5 || !isGpu(gpu)) return;
            gpu.write(rig.state.parameters.get("head.bias").value, broken);
          },
        }), DivergedError);
      assertEquals(error.step, 5);
      assertStringIncludes(error.message, "loss is NaN; the state after 4 steps is kept");
      const into = { tensors: rig.tensors(), settings: { seed: SEED } };
      assertEquals(await loadCheckpoint(gpu, path, into), 4);
    });
  },
);

gpuTest("a state that is not finite is not saved, though a ReLU hides it", async ({ gpu }) => {
  await inFolder(async (folder) => {
    const path = `${folder}/checkpoint`;
    using rig = new Rig(gpu, "sgd");
    await rig.run({ steps: 1, path });
    gpu.write(rig.state.parameters.get("stem.bias").value, new Float32Array(8).fill(NaN));
    const error = await assertRejects(
      () => rig.run({ steps: 2, done: 1, path, rate: 1e-9 }),
      UserError,
    );
    assertStringIncludes(error.message, '"values" is NaN at');
    const into = { tensors: rig.tensors(), settings: { seed: SEED } };
    assertEquals(await loadCheckpoint(gpu, path, into), 1);
  });
});

gpuTest("a checkpoint of another training is refused", async ({ gpu }) => {
  await inFolder(async (folder) => {
    const path = `${folder}/checkpoint`;
    const w = gpu.upload(new Float32Array(3), [3]);
    await saveCheckpoint(gpu, path, { tensors: { w }, step: 1, settings: { seed: 1 } });
    const load = (tensors: Record<string, Tensor>, settings: Record<string, unknown>) =>
      loadCheckpoint(gpu, path, { tensors, settings });
    await assertRejects(() => load({ w }, { seed: 1, rate: 2 }), UserError, '"rate" is 2');
    await assertRejects(() => load({ v: w }, { seed: 1 }), UserError, 'it holds no "v"');
    const two = gpu.upload(new Float32Array(2), [2]);
    await assertRejects(() => load({ w: two }, { seed: 1 }), UserError, "holds 3 numbers");
    await Deno.writeTextFile(path, "no checkpoint");
    await assertRejects(() => load({ w }, { seed: 1 }), UserError);
    await assertRejects(
      () => loadCheckpoint(gpu, `${folder}/none`, { tensors: {}, settings: {} }),
      UserError,
      "none",
    );
  });
});

Deno.test("Batches see every sample once an epoch, in another order each time", () => {
  const batches = new Batches({ samples: 12, batch: 4, seed: 3 });
  const epoch = (n: number) => [0, 1, 2].flatMap((i) => [...batches.at(3 * n + i).indices]);
  assertEquals(epoch(0).toSorted((a, b) => a - b), Array.from({ length: 12 }, (_, i) => i));
  assertEquals(epoch(0).join() === epoch(1).join(), false);
  assertEquals(epoch(0), epoch(0));
  assertEquals(new Batches({ samples: 12, batch: 4, seed: 3 }).at(4), batches.at(4));
});

Deno.test("Batches draw moves within their bounds, and none when there are none", () => {
  const moved = new Batches({
    samples: 64,
    batch: 64,
    seed: 3,
    augment: { shift: 2, flip: true },
  });
  const { draws } = moved.at(7);
  const columns = [0, 1, 2].map((c) => new Set(draws.filter((_, i) => i % 3 === c)));
  assertEquals(columns.map((values) => [Math.min(...values), Math.max(...values)]), [
    [-2, 2],
    [-2, 2],
    [0, 1],
  ]);
  const still = new Batches({ samples: 4, batch: 2, seed: 3 });
  assertEquals([...still.at(0).draws], [0, 0, 0, 0, 0, 0]);
  assertThrows(() => new Batches({ samples: 3, batch: 4, seed: 0 }), RangeError, "from 3 samples");
});

Deno.test("a schedule is a function of the step", () => {
  assertEquals([0, 4, 5, 9].map(stepSchedule([5, 9], 0.5)), [1, 1, 0.5, 0.25]);
  assertEquals(constantSchedule()(100), 1);
});
