import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { memoryFeatures } from "../../data/mod.ts";
import { assignNegatives } from "../../methods/synood/assign.ts";
import { loadImageFeatures } from "../../methods/synood/images.ts";
import { type JointTrained, trainJointly } from "../../methods/synood/joint.ts";
import { type LabelsTuned, tuneLabels } from "../../methods/synood/label_tuning.ts";
import { type ProjectionTrained, trainProjection } from "../../methods/synood/projection.ts";
import {
  LABEL_TUNING_CODE,
  LABEL_TUNING_DEFAULTS,
  type LabelTuningSettings,
  PROJECTION_DEFAULTS,
  type ProjectionSettings,
  requireLabelTuningSettings,
  requireProjectionSettings,
} from "../../methods/synood/settings.ts";
import { scheduleOf, type SynoodRun } from "../../methods/synood/_trainer.ts";
import { Batches, DivergedError } from "../../nn/mod.ts";
import { type Context, Host, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { temporaryFolder } from "../_support/images.ts";
import { CLASSES, drawImages, drawLabels, type DrawnImages, NEGATIVES, WIDTH } from "./_synood.ts";

const COUNT = 13;
const PROJECTION: ProjectionSettings = {
  ...PROJECTION_DEFAULTS,
  batch: 4,
  epochs: 2,
  learningRate: 0.01,
};
const TUNING: LabelTuningSettings = {
  ...LABEL_TUNING_CODE,
  loss: "paper",
  batch: 4,
  epochs: 2,
  weightDecay: 0.01,
};

type Labels = ReturnType<typeof drawLabels>;

/** What may be other than usual. */
interface Change extends Partial<SynoodRun> {
  readonly labels?: Labels;
  readonly id?: Partial<DrawnImages>;
  readonly synthetic?: Partial<DrawnImages>;
  readonly projection?: Partial<ProjectionSettings>;
  readonly tuning?: Partial<LabelTuningSettings>;
}

async function common(ctx: Context, change: Change) {
  const { id, synthetic, projection: _, tuning: __, ...run } = change;
  return {
    ctx,
    identity: "some",
    labels: drawLabels(),
    ...run,
    id: await drawImages({ count: COUNT, path: "id", ...id }),
    synthetic: await drawImages({ count: COUNT, seed: 3, path: "synthetic", ...synthetic }),
  };
}

async function project(ctx: Context, change: Change = {}): Promise<ProjectionTrained> {
  const options = await common(ctx, change);
  return await trainProjection({ ...options, settings: { ...PROJECTION, ...change.projection } });
}

async function tune(ctx: Context, change: Change = {}): Promise<LabelsTuned> {
  const { id: _, ...options } = await common(ctx, change);
  return await tuneLabels({ ...options, settings: { ...TUNING, ...change.tuning } });
}

async function join(ctx: Context, change: Change = {}): Promise<JointTrained> {
  return await trainJointly({
    ...await common(ctx, change),
    projection: { ...PROJECTION, ...change.projection },
    tuning: { ...TUNING, ...change.tuning },
  });
}

/** Everything that a training learned, and samples of an epoch in batches. */
const TRAININGS = {
  project: { run: project, samples: 2 * COUNT, batch: 4 },
  tune: { run: tune, samples: COUNT, batch: 4 },
  join: { run: join, samples: COUNT, batch: 2 },
} as const;

type Trained = Partial<ProjectionTrained & LabelsTuned & JointTrained>;

function learned({ projection, labels }: Trained): unknown {
  return [projection?.parameters, labels?.text];
}

for (const [name, { run, samples, batch }] of Object.entries(TRAININGS)) {
  Deno.test(`${name}: resumed in the middle of an epoch it ends in the same state`, async () => {
    await using folder = await temporaryFolder();
    using host = new Host();
    const whole = await run(host);
    const path = `${folder.path}/checkpoint`;
    const inner = new Batches({ samples, batch, seed: 0 });
    for (const at of [0, 2, inner.stepsPerEpoch]) {
      const stop = new AbortController();
      let begun = false;
      const batches = {
        stepsPerEpoch: inner.stepsPerEpoch,
        at(step: number) {
          if (begun && step === at) stop.abort();
          return inner.at(step);
        },
      };
      await assertRejects(() =>
        run(host, {
          batches,
          onStart: () => begun = true,
          checkpoint: { path, resume: false },
          signal: stop.signal,
        }), DOMException);
      let done = 0;
      const resumed = await run(host, {
        checkpoint: { path, resume: true },
        onStart: (start) => done = start.done,
      });
      assertEquals(done, at + 1);
      assertEquals(learned(resumed), learned(whole), `stopped after ${at + 1} steps`);
      assertEquals(resumed.rows, whole.rows.slice(at + 1));
    }
    const resume = { checkpoint: { path, resume: true } };
    await assertRejects(
      () => run(host, { ...resume, identity: "other" }),
      UserError,
      '"data" is "other" and was "some"',
    );
    await assertRejects(
      () => run(host, { ...resume, projection: { seed: 1 }, tuning: { seed: 1 } }),
      UserError,
      "and was",
    );
    const other = Object.values(TRAININGS).find((training) => training.run !== run)!;
    await assertRejects(() => other.run(host, resume), UserError, '"training" is ');
  });

  gpuTest(`${name}: one seed gives the same bits, another others`, async ({ gpu }) => {
    const [first, again] = [await run(gpu), await run(gpu)];
    assertEquals(learned(again), learned(first));
    const other = await run(gpu, { projection: { seed: 1 }, tuning: { seed: 1 } });
    assertNotEquals(learned(other), learned(first));
  });

  gpuTest(`${name}: taking times of kernels changes nothing`, async ({ gpu }) => {
    const plain = await run(gpu);
    const { kernels, ...rest } = await run(gpu, { profile: true });
    assert(kernels !== undefined && kernels.length > 5);
    assertEquals(rest, plain);
  });

  Deno.test(`${name}: a loss that is no number ends it, with what was saved before`, async () => {
    await using folder = await temporaryFolder();
    using host = new Host();
    const path = `${folder.path}/checkpoint`;
    const broken = { logitScale: 1e300 };
    const error = await assertRejects(
      () =>
        run(host, {
          projection: broken,
          tuning: broken,
          checkpoint: { path, resume: false, every: 1 },
        }),
      DivergedError,
    );
    assertEquals(error.step, 0);
    assertMatch(error.message, /loss is NaN.*; nothing was saved before; a smaller/);
    assertEquals((await Array.fromAsync(Deno.readDir(folder.path))).length, 0);
  });
}

Deno.test("a feature that was lengthened beyond f32 is not given back", async () => {
  using host = new Host();
  const rates = { learningRate: 1e38, momentum: 0.9, schedule: "constant" } as const;
  await assertRejects(
    () => tune(host, { tuning: rates }),
    UserError,
    "a smaller learning rate may help",
  );
});

Deno.test("what a training is over depends on the set of labels", async () => {
  using host = new Host();
  const counts: Record<string, number> = {};
  const steps: Record<string, number> = {};
  for (const labelSet of ["code", "all", "negatives"] as const) {
    const { assignment, rows } = await project(host, {
      projection: { labelSet },
      onStart: ({ labels }) => counts[labelSet] = labels,
    });
    steps[labelSet] = rows.length;
    counts["used"] = assignment.used.length;
  }
  const used = counts["used"]!;
  assert(used > 1 && used < NEGATIVES);
  assertEquals(counts, { used, code: CLASSES + used, all: CLASSES + NEGATIVES, negatives: used });
  // Without in-distribution images an epoch has half as many.
  assertEquals(steps, { code: 12, all: 12, negatives: 6 });
  // In-distribution images play no part where they have no label.
  const negatives = { labelSet: "negatives" } as const;
  const [one, other] = [
    await project(host, { projection: negatives }),
    await project(host, { projection: negatives, id: { seed: 9 } }),
  ];
  assertEquals(one.projection, other.projection);
});

Deno.test("tuning changes the labels that images have, and no others", async () => {
  using host = new Host();
  const before = drawLabels();
  for (const loss of ["paper", "code"] as const) {
    const { labels, assignment, kept } = await tune(host, { tuning: { loss } });
    assert(kept < 1 && kept > 0.5);
    assertEquals({ ...labels, text: [] }, { ...before, text: [] });
    for (let label = 0; label < CLASSES + NEGATIVES; label++) {
      const row = (text: Float32Array) => text.slice(label * WIDTH, (label + 1) * WIDTH);
      const same = assignment.used.includes(label - CLASSES);
      assertEquals(row(labels.text).some((v, i) => v !== row(before.text)[i]), same, `${label}`);
      assert(Math.abs(Math.hypot(...row(labels.text)) - 1) < 1e-6);
    }
  }
});

Deno.test("longer features turn less", async () => {
  using host = new Host();
  const plain = { momentum: 0, weightDecay: 0, epochs: 1 };
  const { kept } = await tune(host, { tuning: plain });
  const { kept: longer } = await tune(host, { tuning: { ...plain, length: 10 } });
  assert(1 - longer < 0.01 * (1 - kept), `${kept} and ${longer}`);
});

Deno.test("assignNegatives() takes the first of labels that are as near", async () => {
  using host = new Host();
  const text = Float32Array.of(1, 0, 0, -1, 0, 1, 0, 1);
  const labels = drawLabels({
    ids: ["a"],
    negatives: ["b", "c", "d"],
    kinds: ["noun", "noun", "noun"],
    width: 2,
    text,
  });
  const images = await loadImageFeatures(memoryFeatures({
    "image_embed": { data: Float32Array.of(0, 2, 0, -3, 5, 5), shape: [3, 2] },
  }));
  const { labels: found, used, cosines } = await assignNegatives(host, images, labels);
  assertEquals([[...found], [...used]], [[1, 0, 1], [0, 1]]);
  assertEquals([...cosines].map((cosine) => Math.round(1000 * cosine)), [1000, 1000, 707]);
});

gpuTest("assignNegatives() goes through many images in parts", async ({ gpu, host }) => {
  const [labels, images] = [drawLabels(), await drawImages({ count: 5000 })];
  const seen: number[] = [];
  const found = await assignNegatives(gpu, images, labels, {
    onProgress: (done) => seen.push(done),
  });
  assertEquals(seen, [4096, 5000]);
  assertEquals(found.labels, (await assignNegatives(host, images, labels)).labels);
});

Deno.test("scheduleOf() goes down as it is called", () => {
  const rates = { learningRate: 1, finalRate: 0.5 };
  const at = (schedule: "constant" | "cosine" | "cosine-epoch") =>
    [0, 1, 2, 3].map(scheduleOf({ ...rates, schedule }, { epochs: 2, stepsPerEpoch: 2 }));
  assertEquals(at("constant"), [1, 1, 1, 1]);
  assertEquals(at("cosine-epoch"), [1, 1, 0.75, 0.75]);
  const [first, second, third, fourth] = at("cosine");
  assert(first === 1 && 1 > second! && second! > third! && third! > fourth! && fourth! > 0.5);
});

Deno.test("settings out of range are refused", async () => {
  const refused = async (check: () => unknown, message: string) => {
    const error = await assertRejects(async () => await check(), UserError);
    assertEquals(error.message, message);
  };
  const projection = (change: object) => () =>
    requireProjectionSettings({ ...PROJECTION_DEFAULTS, ...change });
  const tuning = (change: object) => () =>
    requireLabelTuningSettings({ ...LABEL_TUNING_DEFAULTS, ...change });
  const train = "Cannot train the projection: ";
  await refused(
    projection({ learningRate: 0 }),
    `${train}the learning rate must be above 0: it is 0`,
  );
  await refused(
    projection({ batch: 1.5 }),
    `${train}the batch must be a whole number from 1: it is 1.5`,
  );
  await refused(projection({ epsilon: -1 }), `${train}epsilon must be above 0: it is -1`);
  await refused(
    projection({ finalRate: 1 }),
    `${train}the final rate 1 is above the learning rate 0.001`,
  );
  await refused(
    tuning({ momentum: 1 }),
    "Cannot tune labels: the momentum must be 0 to below 1: it is 1",
  );
  await refused(
    tuning({ length: 0 }),
    "Cannot tune labels: the length of the features must be above 0: it is 0",
  );
  await refused(
    tuning({ logitScale: NaN }),
    "Cannot tune labels: the logit scale must be above 0: it is NaN",
  );
  assertEquals(tuning({ finalRate: 1 })().finalRate, 1);
});

Deno.test("images and labels that do not fit are refused", async () => {
  using host = new Host();
  const refused = async (
    run: typeof project | typeof tune | typeof join,
    change: Change,
    why: string,
  ) => {
    const error = await assertRejects(() => run(host, change), UserError);
    assertEquals(error.message, why);
  };
  const train = "Cannot train the projection: ";
  await refused(
    project,
    { id: { count: 12 } },
    `${train}images are paired one to one, and there are 12 in "id" and 13 in "synthetic"`,
  );
  await refused(
    project,
    { id: { labels: [0, -1, 2, -1] } },
    `${train}2 of 13 images of "id" have no label`,
  );
  await refused(
    project,
    { id: { labels: [0, 7] } },
    `${train}"id" has a label 7, and the classes are 0 to 2`,
  );
  await refused(
    project,
    { projection: { batch: 27 } },
    `${train}a batch takes 27 images and there are 26 with "id"; name a smaller batch`,
  );
  await refused(
    tune,
    { tuning: { batch: 14 } },
    'Cannot tune labels: a batch takes 14 images and there are 13 with "synthetic"; name a smaller ' +
      "batch",
  );
  const widths =
    'Cannot use "synthetic": its features are 6 wide and those of the labels 8; both must ' +
    "come from one vision-language model";
  await refused(tune, { synthetic: { width: 6 } }, widths);
  await refused(project, { synthetic: { width: 6 } }, widths);
  await refused(project, { id: { width: 6 } }, widths.replace("synthetic", "id"));
  await refused(
    join,
    { synthetic: { metadata: { "text_model": "0123456789abcdef" } } },
    'Cannot use "synthetic" with these labels: it goes with the text encoder 0123456789ab…, and the ' +
      "labels were made by texts",
  );
  await refused(
    project,
    {
      id: { metadata: { "model_hash": "a" } },
      synthetic: { metadata: { "model_hash": "b" } },
    },
    `${train}"id" and "synthetic" come from two image encoders`,
  );
  const none = drawLabels({ negatives: [], kinds: [] });
  await refused(project, { labels: none }, `${train}there is no negative label`);
  await refused(tune, { labels: none }, "Cannot tune labels: there is no negative label");
  const jointly = "Cannot train the projection and labels jointly: ";
  await refused(join, { projection: { batch: 5 } }, `${jointly}a batch of 5 has no whole pairs`);
  await refused(
    join,
    { projection: { labelSet: "negatives" } },
    `${jointly}pairs need labels of both kinds; choose another label set than "negatives"`,
  );
  const { projection } = await project(host);
  const { id: _, ...options } = await common(host, {});
  const narrow = { ...projection, width: 6 };
  await assertRejects(
    () => tuneLabels({ ...options, settings: TUNING, projection: narrow }),
    UserError,
    "Cannot use the projection with these labels: it is 6 wide and the labels' features 8",
  );
});

Deno.test("image features without direction, or that are none, are refused", async () => {
  const load = (data: number[], names?: string[]) =>
    loadImageFeatures(memoryFeatures({
      "image_embed": { data: Float32Array.from(data), shape: [data.length / 2, 2] },
    }, { path: "f", ...(names && { names }) }));
  await assertRejects(() => load([1, 2, 0, 0]), UserError, "the feature of image 1 is all zeros");
  await assertRejects(() => load([0, 0], ["a.png"]), UserError, 'image 0 ("a.png") is all zeros');
  await assertRejects(() => load([1, NaN]), UserError, "NaN");
  await assertRejects(
    () =>
      loadImageFeatures(memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } })),
    UserError,
    'it has no "image_embed"; a file from ood synood features was expected',
  );
});
