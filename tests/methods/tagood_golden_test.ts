import { type FeatureSet, memoryFeatures } from "../../data/mod.ts";
import { chooseExecutor, type Fitted, scoreFeatures } from "../../methods/mod.ts";
import { fittedTagood, type ScoreChoice, scoreObjects } from "../../methods/tagood/detector.ts";
import { tagoodLoss } from "../../methods/tagood/loss.ts";
import { project, type ProjectionSizes } from "../../methods/tagood/model.ts";
import { loadObjects, type ObjectSet, packObjects } from "../../methods/tagood/objects.ts";
import { projectObjects } from "../../methods/tagood/projection.ts";
import {
  TAGOOD_DEFAULTS,
  type TagoodSettings,
  type TagoodVariant,
} from "../../methods/tagood/settings.ts";
import { type TagoodTrained, trainTagood } from "../../methods/tagood/train.ts";
import { ParameterSet, Tape, Variable } from "../../nn/mod.ts";
import type { Context } from "../../runtime/mod.ts";
import golden from "../golden/tagood.json" with { type: "json" };
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { floats, scoreOn } from "./_problem.ts";

type Run = typeof golden.runs[number];
type Images = typeof golden.training & Partial<typeof golden.held_out>;

const { sizes: { tokens: inputs, width, classes, positions, heads, depth, hidden } } = golden;
const SIZES: ProjectionSizes = {
  inputs,
  maxTokens: positions - 1,
  width,
  depth,
  heads,
  hidden,
  classes,
};
const { batches } = golden;
const BATCH = batches[0]!.length;
const LONGEST = Math.max(...golden.training.counts);
/** Tags and tokens of an image of the tagger. */
const [OUTPUTS, PLACES] = [6, 8];
/** The gradient of an attention's key bias is 0 but for rounding, so its training is noise. */
const NOISE = /key\.bias$/;

function settingsOf(run: Run): TagoodSettings {
  return {
    ...TAGOOD_DEFAULTS,
    variant: run.variant as TagoodVariant,
    width,
    depth,
    heads,
    hidden,
    dropout: 0,
    attentionDropout: 0,
    alpha: run.alpha,
    beta: run.beta,
    centreRate: run.centre_rate,
    learningRate: run.rate,
    finalRate: run.floor,
    weightDecay: run.weight_decay,
    batch: BATCH,
    epochs: 1,
  };
}

function objectsOf({ counts, labels, tokens, ...tagged }: Images): Promise<ObjectSet> {
  const column = (data: readonly number[]) => ({
    data: Int32Array.from(data),
    shape: [data.length],
  });
  const scores = Float32Array.from(tagged.tag_scores ?? counts.map(() => 1));
  return loadObjects(memoryFeatures({
    "object_tokens": { data: Float32Array.from(tokens), shape: [tokens.length / inputs, inputs] },
    "object_counts": column(counts),
    "tag_count": column(tagged.tag_counts ?? counts),
    "tag_score": { data: scores, shape: [scores.length] },
    labels: column(labels),
  }));
}

const START: ReadonlyMap<string, Float32Array<ArrayBuffer>> = new Map([
  ...Object.entries(golden.weights).map(([name, { data }]) =>
    [name, Float32Array.from(data)] as const
  ),
  ["centres", Float32Array.from(golden.centres)],
]);

/** One training of the golden file. */
async function trainAs(run: Run, ctx: Context, steps = batches.length): Promise<TagoodTrained> {
  using objects = await objectsOf(golden.training);
  return await trainTagood({
    objects,
    classes,
    maxTokens: SIZES.maxTokens,
    settings: settingsOf(run),
    identity: "golden",
    ctx,
    batches: {
      stepsPerEpoch: steps,
      at: (step) => ({ indices: Uint32Array.from(batches[step]!), draws: new Int32Array(0) }),
    },
    start: START,
  });
}

function parametersOn(ctx: Context, values: ReadonlyMap<string, Float32Array<ArrayBuffer>>) {
  return new ParameterSet(
    ctx,
    Object.entries(golden.weights).map(([name, { shape }]) => ({
      name,
      shape,
      data: values.get(name)!,
    })),
  );
}

/** The gradients of the first step, with room behind the tokens. */
async function gradientsOf(run: Run, ctx: Context): Promise<Map<string, Float32Array>> {
  using objects = await objectsOf(golden.training);
  using parameters = parametersOn(ctx, START);
  using scope = ctx.scope();
  const capacity = BATCH * LONGEST;
  const [indices] = batches;
  const { tokens, offsets } = packObjects(objects, indices!, { capacity, images: BATCH });
  const labels = Int32Array.from(indices!, (i) => objects.labels[i]!);
  const tape = new Tape(scope);
  const outputs = project(
    tape,
    {
      tokens: new Variable(scope.upload(tokens, [capacity, inputs])),
      offsets: scope.upload(offsets, [BATCH + 1]),
      singles: scope.upload(Int32Array.from(offsets.keys()), [BATCH + 1]),
    },
    parameters,
    { sizes: SIZES },
  );
  const loss = tagoodLoss(scope, outputs, {
    ...run,
    labels: scope.upload(labels, [BATCH]),
    centres: scope.upload(START.get("centres")!, [classes, width]),
  });
  tape.backward(loss.seeds);
  const { names } = parameters;
  const arrays = await scope.read(...names.map((name) => parameters.get(name).gradient!));
  return new Map(names.map((name, i) => [name, arrays[i] as Float32Array]));
}

/** What the golden file's numbers are called here. */
const SCORES = {
  cosine: { distance: "cosine", variant: "paper" },
  euclidean: { distance: "euclidean", variant: "paper" },
  kl: { distance: "kl", variant: "paper" },
  code: { distance: "cosine", variant: "code" },
} as const;

/** A trained model as a detector's score, on the golden file's tags. */
function fittedOf(trained: TagoodTrained, choice: ScoreChoice): Fitted {
  const { tags, thresholds } = golden.tagger;
  return fittedTagood(trained, {
    kind: "tagger",
    tau: 0.5,
    untagged: "none",
    oneTag: false,
    tags,
    thresholds,
    inputs: { tokens: [PLACES, inputs], "tag_logits": [OUTPUTS], attention: [OUTPUTS, PLACES] },
  }, choice);
}

/** What the golden file's tagger gives. */
function taggerSet(): FeatureSet {
  const { tokens, tag_logits, attention } = golden.tagger;
  const count = tag_logits.length / OUTPUTS;
  return memoryFeatures({
    tokens: floats(tokens, [count, PLACES, inputs]),
    "tag_logits": floats(tag_logits, [count, OUTPUTS]),
    attention: floats(attention, [count, OUTPUTS, PLACES]),
  });
}

/** Held-out images with tokens; the golden file has features of these alone. */
const SEEN = golden.held_out.counts.flatMap((count, i) => count > 0 ? [i] : []);

function seenRows(rows: Float32Array, length: number): number[] {
  return SEEN.flatMap((i) => [...rows.subarray(i * length, (i + 1) * length)]);
}

for (const run of golden.runs) {
  gpuTest(`TagOOD trains on the GPU as PyTorch trains it: ${run.variant}`, async ({ gpu }) => {
    const trained = await trainAs(run, gpu);
    const column = (name: string) => trained.rows.map(({ values }) => values[name]!);
    assertClose(column("cross_entropy"), run.cross_entropy, TOLERANCE.smoothTraining, "entropy");
    assertClose(column("distance"), run.mse, TOLERANCE.smoothTraining, "distance");
    assertClose(column("accuracy"), run.accuracy, TOLERANCE.smoothTraining, "accuracy");
    assertClose(trained.centres, run.centres, TOLERANCE.smoothTraining, "centres");
    for (const [name, weights] of trained.parameters) {
      if (NOISE.test(name)) continue;
      const expected = run.final[name as keyof typeof run.final];
      const squares = weights.reduce((sum, value) => sum + value * value, 0);
      assertClose(weights.slice(0, 4), expected.first, TOLERANCE.smoothTraining, name);
      assertClose([squares], [expected.squares], TOLERANCE.smoothTraining, `squares of ${name}`);
    }
    using objects = await objectsOf(golden.held_out as Images);
    using parameters = parametersOn(gpu, trained.parameters);
    const found = await projectObjects(gpu, objects, { parameters, sizes: SIZES, batch: 5 });
    const { z, logits, ...scores } = run.held_out;
    assertClose(seenRows(found.features, width), z, TOLERANCE.smoothTraining, "features");
    assertClose(seenRows(found.logits, classes), logits, TOLERANCE.smoothTraining, "logits");
    for (const [name, choice] of Object.entries(SCORES)) {
      const expected = scores[name as keyof typeof SCORES];
      const actual = await scoreObjects(gpu, fittedOf(trained, choice), objects, { batch: 5 });
      assertClose(actual, expected, TOLERANCE.smoothTraining, name);
    }
  });

  gpuTest(`TagOOD's gradients are PyTorch's: ${run.variant}`, async ({ gpu, host }) => {
    for (const ctx of [gpu, host]) {
      for (const [name, gradient] of await gradientsOf(run, ctx)) {
        const expected = run.gradients[name as keyof typeof run.gradients];
        const largest = Math.max(...expected.map(Math.abs), 1e-3);
        const scaled = (values: ArrayLike<number>) => Array.from(values, (v) => v / largest);
        const label = `gradient of ${name} on ${ctx.kind}`;
        assertClose(scaled(gradient), scaled(expected), TOLERANCE.network, label);
      }
    }
  });
}

gpuTest("TagOOD scores a tagger's outputs as PyTorch does", async ({ gpu }) => {
  const run = golden.runs[1]!;
  const trained = await trainAs(run, gpu);
  const set = taggerSet();
  using executor = await chooseExecutor("webgpu", { gpu: gpu.gpu });
  for (const [tau, scores] of Object.entries(run.tagger)) {
    for (const [name, choice] of Object.entries(SCORES)) {
      const fitted = fittedOf(trained, { ...choice, tau: Number(tau) });
      const expected = scores[name as keyof typeof SCORES];
      const label = `${name} at tau ${tau}`;
      const onGpu = await scoreFeatures(fitted, set, { executor });
      assertClose(onGpu, expected, TOLERANCE.smoothTraining, `${label} on webgpu`);
      // Each graph is a session of its own, which takes its time: one for each score and each tau.
      const devices = name === "code" || tau === "0.5" ? ["reference", "wasm"] as const : [];
      for (const device of devices) {
        const elsewhere = await scoreOn(device, fitted, set);
        assertClose(elsewhere, expected, TOLERANCE.smoothTraining, `${label} on ${device}`);
      }
    }
  }
});

gpuTest("TagOOD's first steps on the host are those on the GPU", async ({ gpu, host }) => {
  const run = golden.runs[1]!;
  const [there, here] = [await trainAs(run, gpu, 3), await trainAs(run, host, 3)];
  for (const [name, weights] of here.parameters) {
    if (NOISE.test(name)) continue;
    assertClose(there.parameters.get(name)!, weights, TOLERANCE.trainedGradient, name);
  }
  assertClose(there.centres, here.centres, TOLERANCE.trainedGradient, "centres");
});
