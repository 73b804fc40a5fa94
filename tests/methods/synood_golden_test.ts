import { assertEquals, assertThrows } from "@std/assert";
import { memoryFeatures, readSafetensors } from "../../data/mod.ts";
import { type Fitted, scoreFeatures } from "../../methods/mod.ts";
import { assignNegatives } from "../../methods/synood/assign.ts";
import { fittedSynood } from "../../methods/synood/detector.ts";
import { type ImageFeatures, loadImageFeatures } from "../../methods/synood/images.ts";
import { trainJointly } from "../../methods/synood/joint.ts";
import type { LabelSet } from "../../methods/synood/label_set.ts";
import { tuneLabels } from "../../methods/synood/label_tuning.ts";
import { deltaParameters, type Projection } from "../../methods/synood/model.ts";
import { trainProjection } from "../../methods/synood/projection.ts";
import {
  LABEL_TUNING_DEFAULTS,
  type LabelTuningSettings,
  PROJECTION_DEFAULTS,
  type ProjectionSettings,
  type RateSchedule,
} from "../../methods/synood/settings.ts";
import type { SynoodRun } from "../../methods/synood/_trainer.ts";
import { ParameterSet } from "../../nn/mod.ts";
import { type Context, Host } from "../../runtime/mod.ts";
import golden from "../golden/synood.json" with { type: "json" };
import { gpuTest, type GpuTestContext } from "../_support/gpu.ts";
import { temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { scoreOn } from "./_problem.ts";

type Run = typeof golden.projections[number];
type Tuning = typeof golden.tunings[number];

const { sizes: { width, classes, negatives, epoch, epsilon }, batches } = golden;
const BATCH = batches.projection[0]!.length;

const LABELS: LabelSet = {
  ids: Array.from({ length: classes }, (_, k) => `class ${k}`),
  negatives: Array.from({ length: negatives }, (_, m) => `thing ${m}`),
  kinds: Array.from({ length: negatives }, () => "noun"),
  text: Float32Array.from(golden.text),
  width,
  logitScale: golden.scale,
  mining: "given",
  model: "golden",
};

/** The projection's first values. */
const START: ReadonlyMap<string, Float32Array<ArrayBuffer>> = new Map(
  Object.entries(golden.weights).map(([name, { data }]) => [name, Float32Array.from(data)]),
);

function setOf(values: readonly number[], labels?: readonly number[]) {
  const count = values.length / width;
  return memoryFeatures({
    "image_embed": { data: Float32Array.from(values), shape: [count, width] },
    ...(labels && { labels: { data: Int32Array.from(labels), shape: [count] } }),
  });
}

interface Images extends Disposable {
  readonly id: ImageFeatures;
  readonly synthetic: ImageFeatures;
}

async function openImages(): Promise<Images> {
  const id = await loadImageFeatures(setOf(golden.id, golden.id_labels));
  const synthetic = await loadImageFeatures(setOf(golden.synthetic));
  return {
    id,
    synthetic,
    [Symbol.dispose]() {
      id[Symbol.dispose]();
      synthetic[Symbol.dispose]();
    },
  };
}

/** The first of the golden file's batches. */
function batchesOf(kind: keyof typeof batches, steps: number): Pick<SynoodRun, "batches"> {
  const at = (step: number) => ({ indices: Uint32Array.from(batches[kind][step]!) });
  return { batches: { stepsPerEpoch: Math.min(epoch, steps), at } };
}

interface How {
  readonly ctx: Context;
  /** Steps; all by default. */
  readonly steps?: number;
  /** Whether the optimisers' first states are to be gradients. */
  readonly bare?: string;
}

/** What every training is given. */
function runOf(kind: keyof typeof batches, { ctx, steps = 25, bare }: How) {
  return {
    ...batchesOf(kind, steps),
    ctx,
    identity: "golden",
    labels: LABELS,
    ...(bare === undefined ? {} : { checkpoint: { path: bare, resume: false } }),
  };
}

function ratesOf(run: Run | Tuning, { steps = 25, bare }: How) {
  return {
    learningRate: run.rate,
    finalRate: run.floor,
    schedule: run.schedule as RateSchedule,
    weightDecay: bare === undefined ? run.weight_decay : 0,
    epochs: Math.ceil(steps / epoch),
    batch: BATCH,
  };
}

function projectionSettings(run: Pick<Run, "images" | "labels"> & Run, how: How) {
  return {
    ...PROJECTION_DEFAULTS,
    ...ratesOf(run, how),
    epsilon,
    images: run.images as ProjectionSettings["images"],
    labelSet: run.labels as ProjectionSettings["labelSet"],
  };
}

function tuningSettings(run: Tuning, how: How): LabelTuningSettings {
  const momentum = how.bare === undefined ? run.momentum : 0.9;
  const loss = run.kind as LabelTuningSettings["loss"];
  return { ...LABEL_TUNING_DEFAULTS, ...ratesOf(run, how), momentum, loss, length: run.length };
}

async function project(run: Run, how: How) {
  using images = await openImages();
  const alone = run.labels === "negatives";
  return await trainProjection({
    ...runOf(alone ? "synthetic" : "projection", how),
    ...images,
    start: START,
    settings: projectionSettings(run, how),
  });
}

async function tune(run: Tuning, how: How, projection?: Projection) {
  using images = await openImages();
  return await tuneLabels({
    ...runOf("synthetic", how),
    synthetic: images.synthetic,
    settings: tuningSettings(run, how),
    projection,
  });
}

type Joint = typeof golden.joints[number];

async function join(run: Joint, how: How) {
  using images = await openImages();
  return await trainJointly({
    ...runOf("pairs", how),
    ...images,
    start: START,
    projection: projectionSettings(run.projection as unknown as Run, how),
    tuning: tuningSettings(run.tuning as unknown as Tuning, how),
  });
}

function assertCurves(
  rows: Awaited<ReturnType<typeof project>>["rows"],
  run: { readonly loss: number[]; readonly accuracy: number[]; readonly label_loss?: number[] },
  label: string,
): void {
  for (const name of ["loss", "accuracy", "label_loss"] as const) {
    if (run[name] === undefined) continue;
    const found = rows.map(({ values }) => values[name]!);
    assertClose(found, run[name], TOLERANCE.smoothTraining, `${name} of ${label}`);
  }
}

function assertWeights(
  parameters: ReadonlyMap<string, Float32Array>,
  final: Readonly<Record<string, readonly number[]>>,
  label: string,
): void {
  for (const [name, weights] of parameters) {
    assertClose(weights, final[name]!, TOLERANCE.smoothTraining, `${name} of ${label}`);
  }
}

/** Rows of the used labels. */
function usedText({ text }: LabelSet): number[] {
  return golden.used.flatMap((m) => [
    ...text.subarray((classes + m) * width, (classes + m + 1) * width),
  ]);
}

/** Scores of the test images, which do not depend on the order of labels in one group or in many. */
async function assertScores(
  { gpu }: GpuTestContext,
  make: (groups: number) => Fitted,
  run: { readonly name: string; readonly scores: Readonly<Record<string, readonly number[]>> },
): Promise<void> {
  const set = setOf(golden.test);
  for (const [groups, expected] of Object.entries(run.scores)) {
    const fitted = make(Number(groups));
    const label = `${run.name} in ${groups} groups`;
    const onGpu = await scoreFeatures(fitted, set, {
      executor: {
        kind: "webgpu",
        context: gpu,
        reason: "",
        [Symbol.dispose]: () => {},
      },
    });
    assertClose(onGpu, expected, TOLERANCE.smoothTraining, `${label} on webgpu`);
    for (const device of ["reference", "wasm"] as const) {
      const elsewhere = await scoreOn(device, fitted, set);
      assertClose(elsewhere, expected, TOLERANCE.smoothTraining, `${label} on ${device}`);
    }
  }
}

gpuTest("synthetic images get the labels that PyTorch gives them", async ({ gpu, host }) => {
  using images = await openImages();
  for (const ctx of [gpu, host]) {
    const { labels, used } = await assignNegatives(ctx, images.synthetic, LABELS);
    assertEquals([[...labels], [...used]], [golden.assigned, golden.used], ctx.kind);
  }
});

const PROJECTIONS = new Map<string, Projection>();

for (const run of golden.projections) {
  gpuTest(`SynOOD's projection trains as PyTorch trains it: ${run.name}`, async (on) => {
    const { projection, rows } = await project(run, { ctx: on.gpu });
    PROJECTIONS.set(run.name, projection);
    assertCurves(rows, run, run.name);
    assertWeights(projection.parameters, run.final, run.name);
    await assertScores(on, (groups) => fittedSynood(LABELS, projection, { groups }), run);
  });
}

for (const run of golden.tunings) {
  gpuTest(`SynOOD's labels are tuned as PyTorch tunes them: ${run.name}`, async (on) => {
    const { projection: name } = run as { projection?: string };
    const first = golden.projections.find((other) => other.name === name);
    const projection = first && (PROJECTIONS.get(first.name) ??
      (await project(first, { ctx: on.gpu })).projection);
    const { labels, rows } = await tune(run, { ctx: on.gpu }, projection);
    assertCurves(rows, run, run.name);
    assertClose(usedText(labels), run.text, TOLERANCE.smoothTraining, `text of ${run.name}`);
    await assertScores(on, (groups) => fittedSynood(labels, undefined, { groups }), run);
  });
}

for (const run of golden.joints) {
  gpuTest(`SynOOD trains both at once as PyTorch does: ${run.name}`, async (on) => {
    const { labels, projection, rows } = await join(run, { ctx: on.gpu });
    assertCurves(rows, run, run.name);
    assertWeights(projection.parameters, run.final, run.name);
    assertClose(usedText(labels), run.text, TOLERANCE.smoothTraining, `text of ${run.name}`);
    await assertScores(on, (groups) => fittedSynood(labels, projection, { groups }), run);
  });
}

Deno.test("another decay, residual, epsilon or length is another training", () => {
  const [{ loss }] = golden.projections as [Run];
  for (const [name, altered] of Object.entries(golden.altered)) {
    const compare = () => assertClose(altered, loss, TOLERANCE.smoothTraining, name);
    assertThrows(compare, Error, `${name} differs in`);
  }
});

/** Gradients of the first step, as the optimisers' states hold them without decay. */
async function gradientsOf(
  train: (how: How) => Promise<unknown>,
  ctx: Context,
): Promise<Map<string, ArrayLike<number>>> {
  await using folder = await temporaryFolder();
  const bare = `${folder.path}/checkpoint`;
  await train({ ctx, steps: 1, bare });
  const { tensors } = await readSafetensors(bare);
  const found = new Map<string, ArrayLike<number>>();
  using host = new Host();
  using parameters = new ParameterSet(host, deltaParameters(width, 0));
  const moment = tensors["projection.first"];
  if (moment !== undefined) {
    host.write(parameters.values, moment.data as Float32Array<ArrayBuffer>);
    for (const [name, data] of await parameters.read()) found.set(name, data.map((m) => 10 * m));
  }
  const momentum = tensors["text.momentum"];
  if (momentum !== undefined) {
    found.set("text", momentum.data.subarray(0, golden.used.length * width) as Float32Array);
  }
  return found;
}

gpuTest("SynOOD's gradients are PyTorch's", async ({ gpu, host }) => {
  const paper = (await project(golden.projections[0]!, { ctx: gpu })).projection;
  const trainings = [
    ...golden.projections.map((run) => [run, (how: How) => project(run, how)] as const),
    ...golden.tunings.map((run) =>
      [run, (how: How) => tune(run, how, "projection" in run ? paper : undefined)] as const
    ),
    ...golden.joints.map((run) => [run, (how: How) => join(run, how)] as const),
  ];
  for (const ctx of [gpu, host]) {
    for (const [run, train] of trainings) {
      const found = await gradientsOf(train, ctx);
      const expected: Readonly<Record<string, readonly number[]>> = run.gradients;
      assertEquals([...found.keys()].sort(), Object.keys(expected).sort());
      for (const [name, gradient] of found) {
        const largest = Math.max(...expected[name]!.map(Math.abs));
        const scaled = (values: ArrayLike<number>) => Array.from(values, (v) => v / largest);
        const label = `${name} of ${run.name} on ${ctx.kind}`;
        assertClose(scaled(gradient), scaled(expected[name]!), TOLERANCE.network, label);
      }
    }
  }
});
