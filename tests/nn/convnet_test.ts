import { assertEquals } from "@std/assert";
import { crossEntropy, rowMean } from "../../kernels/mod.ts";
import {
  constantSchedule,
  History,
  Sgd,
  type StepRow,
  Tape,
  train,
  TrainingStep,
  Variable,
} from "../../nn/mod.ts";
import { lbfLoss } from "../../methods/lbf/loss.ts";
import type { Context } from "../../runtime/mod.ts";
import golden from "../golden/convnet.json" with { type: "json" };
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  BATCH,
  CLASSES,
  Convnet,
  convnetImages,
  convnetLabels,
  type GoldenWeights,
} from "./_convnet.ts";

const WEIGHTS = golden.weights as GoldenWeights;
const STEPS = 40;
const HELD_OUT = { begin: 640, count: 200 };
type Run = typeof golden.runs[number];

/** One training of the golden file, and what it left. */
async function trainAs(run: Run, ctx: Context, steps = STEPS) {
  using net = new Convnet(ctx, WEIGHTS);
  using sgd = new Sgd(ctx, net.parameters, {
    learningRate: 0.05,
    momentum: 0.9,
    weightDecay: 1e-4,
  });
  using history = new History(ctx, ["cross_entropy", "lff", "selected"], 10);
  const x = ctx.upload(convnetImages(0, BATCH), [BATCH, 12, 12, 3]);
  const labels = ctx.upload(convnetLabels(0, BATCH), [BATCH]);
  const lambda = run.objective === "lbf" ? 0.2 : 0;
  using step = new TrainingStep(ctx, (scope) => {
    const tape = new Tape(scope);
    const { logits, featureMap } = net.forward(tape, new Variable(x), "train");
    tape.retain(featureMap);
    const loss = lbfLoss(scope, { logits, featureMap }, {
      labels,
      selector: {
        featureMap: featureMap.value,
        weight: net.parameters.get("linear.weight").value,
        bias: net.parameters.get("linear.bias").value,
      },
      delta: 0.2,
      margin: 1,
      weight: lambda,
    });
    history.record(scope, "cross_entropy", loss.crossEntropy);
    history.record(scope, "lff", loss.hinge);
    history.record(scope, "selected", loss.selected, 1 / (36 * BATCH));
    tape.backward(lambda === 0 ? loss.seeds.slice(0, 1) : loss.seeds);
    sgd.record(scope);
  });
  const rows: StepRow[] = [];
  let gradients: Map<string, Float32Array> | undefined;
  await train({
    step,
    history,
    optimizer: sgd,
    learningRate: 0.05,
    schedule: constantSchedule(),
    steps,
    prepare: async (at) => {
      if (at === 1) gradients = await gradientsOf(net, ctx);
      ctx.write(x, convnetImages(at * BATCH, BATCH));
      ctx.write(labels, convnetLabels(at * BATCH, BATCH));
    },
    onRows: (read) => rows.push(...read),
  });
  const heldOut = await evaluate(net, ctx);
  return { rows, gradients: gradients!, final: await net.parameters.read(), heldOut };
}

async function gradientsOf(net: Convnet, ctx: Context): Promise<Map<string, Float32Array>> {
  const { names } = net.parameters;
  const arrays = await ctx.read(...names.map((name) => net.parameters.get(name).gradient!));
  return new Map(names.map((name, i) => [name, arrays[i] as Float32Array]));
}

async function evaluate(net: Convnet, ctx: Context) {
  using scope = ctx.scope();
  const { begin, count } = HELD_OUT;
  const x = scope.upload(convnetImages(begin, count), [count, 12, 12, 3]);
  const labels = scope.upload(convnetLabels(begin, count), [count]);
  const { logits } = net.forward(new Tape(scope), new Variable(x), "frozen");
  const { loss, correct } = crossEntropy(scope, { logits: logits.value, labels });
  const mean = (values: typeof loss) => rowMean(scope, { x: values.reshape([1, count]) });
  const [l, a, z] = await scope.read(mean(loss), mean(correct), logits.value);
  return { loss: l![0]!, accuracy: a![0]!, logits: z!.slice(0, 5 * CLASSES) };
}

Deno.test("the images are those of the golden file", () => {
  const all = convnetImages(0, 840);
  assertClose([all.reduce((sum, value) => sum + value, 0)], [golden.images.sum], TOLERANCE.printed);
  assertClose(all.slice(0, 12), golden.images.first, TOLERANCE.printed);
});

for (const run of golden.runs) {
  gpuTest(`a network trains on the GPU as PyTorch trains it: ${run.objective}`, async ({ gpu }) => {
    const { rows, gradients, heldOut, final } = await trainAs(run, gpu);
    for (const [name, gradient] of gradients) {
      const expected = run.gradients[name as keyof typeof run.gradients];
      assertClose(gradient, expected.data, TOLERANCE.trainedGradient, `gradient of ${name}`);
    }
    const column = (name: string) => rows.map(({ values }) => values[name]!);
    assertClose(column("cross_entropy"), run.cross_entropy, TOLERANCE.trainingCurve);
    if (run.objective === "lbf") {
      assertClose(column("lff"), run.lff, TOLERANCE.trainingCurve);
      assertClose(column("selected"), run.selected, TOLERANCE.trainingCurve);
    }
    assertClose([heldOut.accuracy], [run.held_out.accuracy], TOLERANCE.trainingCurve);
    assertClose([heldOut.loss], [run.held_out.loss], TOLERANCE.trainingCurve);
    for (const [name, weights] of final) {
      const expected = run.final[name as keyof typeof run.final];
      assertClose(weights, expected.data, TOLERANCE.trainingCurve, name);
    }
  });
}

gpuTest("a network's first steps on the host are those on the GPU", async ({ gpu, host }) => {
  const run = golden.runs[1]!;
  const [there, here] = [await trainAs(run, gpu, 3), await trainAs(run, host, 3)];
  for (const [name, weights] of here.final) {
    assertClose(there.final.get(name)!, weights, TOLERANCE.trainedGradient, name);
  }
});

gpuTest("two trainings of one seed are bit-equal", async ({ gpu }) => {
  const run = golden.runs[1]!;
  const [first, second] = [await trainAs(run, gpu, 5), await trainAs(run, gpu, 5)];
  assertEquals(second.final, first.final);
});
