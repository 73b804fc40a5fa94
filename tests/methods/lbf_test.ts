import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type PixelSet, RowStore } from "../../data/mod.ts";
import { Rng } from "../../kernels/mod.ts";
import {
  findBackground,
  LBF_DEFAULTS,
  type LbfImages,
  type LbfSettings,
  type LbfTuned,
  type LbfTuneOptions,
  tuneLbf,
} from "../../methods/mod.ts";
import { DivergedError } from "../../nn/mod.ts";
import { inspect, type OnnxModel, openSession, writeModel } from "../../onnx/mod.ts";
import type { Context } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { resnetLike, squeezenetLike } from "../onnx/_models.ts";
import { cifarResnet, folded } from "../onnx/_networks.ts";

const COUNT = 24;
const CLASSES = 4;

const SPEC = {
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.5, 0.4, 0.3],
  scale: [0.2, 0.3, 0.4],
  layout: "NCHW",
} as const;

/** Noisy images of a class's colour in the left half. */
function images(side: number, count = COUNT): LbfImages & Disposable {
  const rng = new Rng(11);
  const rows = RowStore.open({ rows: count, rowBytes: side * side * 3 });
  const labels = Int32Array.from({ length: count }, (_, i) => i % CLASSES);
  for (let i = 0; i < count; i++) {
    const bytes = Uint8Array.from({ length: side * side * 3 }, (_, at) => {
      const x = Math.floor(at / 3) % side;
      const bright = x < side / 2 && (at % 3 === labels[i]! % 3 || labels[i] === 3);
      return (bright ? 160 : 40) + rng.integer(60);
    });
    rows.write(i, bytes);
  }
  const pixels: PixelSet = {
    count,
    height: side,
    width: side,
    rows,
    origin: Uint32Array.from({ length: count }, (_, i) => i),
    skipped: [],
    [Symbol.dispose]: () => rows[Symbol.dispose](),
  };
  return { pixels, labels, identity: "drawn", [Symbol.dispose]: () => rows[Symbol.dispose]() };
}

const SETTINGS: LbfSettings = {
  ...LBF_DEFAULTS,
  delta: 0.5,
  margin: 0.1,
  batch: 8,
  epochs: 4,
  learningRate: 0.02,
  shift: 1,
};

function found(model: OnnxModel) {
  return inspect(model, { sidecar: { preprocessing: SPEC } });
}

async function tune(
  ctx: Context,
  options: Partial<Omit<LbfTuneOptions, "settings">> & {
    readonly settings?: Partial<LbfSettings>;
  } = {},
): Promise<LbfTuned> {
  const model = options.model ?? resnetLike();
  const inspection = options.inspection ?? found(model);
  using own = images(Number(inspection.image?.width ?? 8));
  return await tuneLbf({
    ctx,
    model,
    inspection,
    images: own,
    ...options,
    settings: { ...SETTINGS, ...options.settings },
  });
}

const initializers = (model: OnnxModel) =>
  new Map(
    [...model.graph.initializers.keys()].map((name) => [name, model.graph.constant(name)!.data]),
  );

gpuTest("a tuning shortens the features of the background and keeps learning", async ({ gpu }) => {
  const { epochs, rows, warnings } = await tune(gpu, { settings: { epochs: 12 } });
  assertEquals(rows.length, 12 * 3);
  assertEquals(rows.map(({ step }) => step), Array.from({ length: 36 }, (_, i) => i));
  const [first, last] = [epochs[0]!, epochs.at(-1)!];
  assert(last.hinge < 0.8 * first.hinge, `${first.hinge} -> ${last.hinge}`);
  assert(last.crossEntropy < first.crossEntropy);
  assert(first.selected > 0 && first.selected < 1);
  assertEquals(warnings, []);
});

gpuTest("the tuned model has the same interface and runs in onnxruntime", async ({ gpu }) => {
  const model = resnetLike();
  const tuned = await tune(gpu, { model });
  const described = (of: OnnxModel) => [of.graph.inputs, of.graph.outputs];
  assertEquals(described(tuned.model), described(model));
  assertEquals(tuned.model.graph.nodes.length, model.graph.nodes.length);
  await using session = await openSession(tuned.model, { device: "wasm" });
  const input = { data: new Float32Array(192).fill(0.3), shape: [1, 3, 8, 8] };
  const { logits } = await session.run({ image: input });
  assert(logits!.data.every((value: number) => Number.isFinite(value)));
});

gpuTest("a resumed tuning is bit-equal to an uninterrupted one", async ({ gpu }) => {
  const folder = await Deno.makeTempDir();
  const cases = [
    { model: cifarResnet(), settings: {} },
    { model: cifarResnet(), settings: { selection: "frozen" as const } },
    { model: resnetLike(), settings: { insertNorms: "always" as const } },
  ];
  for (const { model, settings } of cases) {
    const path = `${folder}/tuning.checkpoint`;
    const whole = await tune(gpu, { model, settings });
    const stop = new AbortController();
    const seen: number[] = [];
    await assertRejects(
      () =>
        tune(gpu, {
          model,
          settings,
          checkpoint: { path, resume: false, every: 1 },
          readEvery: 1,
          signal: stop.signal,
          onRows: (rows) => {
            seen.push(...rows.map(({ step }) => step));
            if (seen.length === 5) stop.abort(new Error("enough"));
          },
        }),
      Error,
      "enough",
    );
    const rest = await tune(gpu, { model, settings, checkpoint: { path, resume: true } });
    assert(rest.rows[0]!.step > 0);
    assertEquals(writeModel(rest.model), writeModel(whole.model));
  }
  await Deno.remove(folder, { recursive: true });
});

gpuTest(
  "two tunings of one seed are bit-equal, another seed is another tuning",
  async ({ gpu }) => {
    const model = async (seed: number) =>
      writeModel((await tune(gpu, { settings: { seed } })).model);
    const first = await model(3);
    assertEquals(await model(3), first);
    assert((await model(4)).some((byte, i) => byte !== first[i]));
  },
);

gpuTest(
  "batch normalisation is put in for the training where there is none, and is gone in the file",
  async ({ gpu }) => {
    const insertedIn = async (model: OnnxModel, settings: Partial<LbfSettings>) => {
      const counts: number[] = [];
      const { rows, model: tuned } = await tune(gpu, {
        model,
        settings: { epochs: 1, ...settings },
        onStart: ({ insertedNorms }) => counts.push(insertedNorms),
      });
      const operators = ({ graph }: OnnxModel) => graph.nodes.map(({ opType }) => opType);
      assertEquals(operators(tuned), operators(model));
      return { count: counts[0], loss: rows[0]!.values["cross_entropy"]! };
    };
    const auto = await insertedIn(resnetLike(), {});
    const never = await insertedIn(resnetLike(), { insertNorms: "never" });
    assertEquals([auto.count, never.count], [3, 0]);
    assertEquals((await insertedIn(resnetLike(), { batchNorm: "frozen" })).count, 0);
    assertEquals((await insertedIn(cifarResnet(), {})).count, 0);
    // All images in one batch, as they are, are what they were calibrated on: the same function.
    const still = { batch: COUNT, shift: 0, flip: false };
    const [put, plain] = [
      await insertedIn(resnetLike(), still),
      await insertedIn(resnetLike(), { ...still, insertNorms: "never" }),
    ];
    assertClose([put.loss], [plain.loss], TOLERANCE.provider);
    const last = { ...still, trainable: "last-block" as const, insertNorms: "always" as const };
    assertEquals((await insertedIn(folded(), last)).count, 3);
  },
);

gpuTest("a tuning of the last block leaves the rest as it was", async ({ gpu }) => {
  const model = cifarResnet();
  const cuts: string[] = [];
  const tuned = await tune(gpu, {
    model,
    settings: { trainable: "last-block", shift: 0, flip: false },
    onStart: ({ cut }) => cuts.push(...cut),
  });
  assertEquals(cuts.length, 1);
  const before = initializers(model);
  const changed = [...initializers(tuned.model)]
    .filter(([name, data]) => {
      const old = before.get(name)!;
      return data.some((value: number | bigint, i: number) => value !== old[i]);
    })
    .map(([name]) => name);
  assert(changed.length > 0);
  for (const name of changed) assert(/^(layer3\.1|fc)/.test(name), name);
});

gpuTest("a frozen trunk gives what the network gives from its images", async ({ gpu }) => {
  // Rate almost 0 and no moves: both ways see the same function of the same images.
  const settings = {
    learningRate: 1e-12,
    shift: 0,
    flip: false,
    epochs: 1,
    batchNorm: "frozen" as const,
  };
  const whole = await tune(gpu, { model: cifarResnet(), settings });
  const last = await tune(gpu, {
    model: cifarResnet(),
    settings: { ...settings, trainable: "last-block" },
  });
  const numbers = ({ rows }: LbfTuned) => rows.flatMap(({ values }) => Object.values(values));
  assertClose(numbers(last), numbers(whole), TOLERANCE.provider);
});

gpuTest("frozen selection keeps to the model before, online follows", async ({ gpu }) => {
  // One batch of all images, not moved: the frozen choice is then the same at every step.
  const settings = { batch: COUNT, shift: 0, flip: false, epochs: 8, learningRate: 0.05 };
  const share = async (selection: "online" | "frozen") =>
    (await tune(gpu, { settings: { ...settings, selection } })).rows
      .map(({ values }) => values["selected"]!);
  const frozen = await share("frozen");
  assertEquals(new Set(frozen).size, 1);
  const online = await share("online");
  assertEquals(online[0], frozen[0]);
  assert(new Set(online).size > 1);
});

gpuTest(
  "frozen batch norm leaves the running statistics alone, train moves them",
  async ({ gpu }) => {
    const model = cifarResnet();
    const before = initializers(model).get("stem.bn.running_mean")!;
    for (const batchNorm of ["train", "frozen"] as const) {
      const settings = { batchNorm, epochs: 1, learningRate: 2e-3 };
      const tuned = await tune(gpu, { model, settings });
      const after = initializers(tuned.model).get("stem.bn.running_mean")!;
      const same = after.every((value: number | bigint, i: number) => value === before[i]);
      assertEquals(same, batchNorm === "frozen");
    }
  },
);

gpuTest("a tuning without background, or without anything to pull on, warns", async ({ gpu }) => {
  const none = await tune(gpu, { settings: { delta: 1e-30, epochs: 2 } });
  assertStringIncludes(none.warnings[0]!, "no location was background in epoch 1, 2");
  assertStringIncludes(none.warnings[0]!, "raise δ");
  assert(none.rows.every(({ values }) => values["hinge"] === 0));
  const idle = await tune(gpu, { settings: { margin: 1e6, epochs: 1 } });
  assertStringIncludes(idle.warnings[0]!, "lower μ");
});

gpuTest("a rate that is far too large stops with the step", async ({ gpu }) => {
  const error = await assertRejects(
    () => tune(gpu, { settings: { learningRate: 1e6, epochs: 20 } }),
    DivergedError,
  );
  assertStringIncludes(error.message, `Training stopped at step ${error.step}: `);
  assertStringIncludes(error.message, "nothing was saved before");
});

gpuTest("the gradient's norm can be bounded", async ({ gpu }) => {
  const { rows } = await tune(gpu, { settings: { maxNorm: 1e-3, learningRate: 1, epochs: 2 } });
  assert(rows.every(({ values }) => Number.isFinite(values["cross_entropy"])));
});

gpuTest("a tuning's profile changes nothing", async ({ gpu }) => {
  const plain = await tune(gpu, { settings: { epochs: 1 } });
  const profiled = await tune(gpu, { profile: true, settings: { epochs: 1 } });
  assertEquals(writeModel(profiled.model), writeModel(plain.model));
  assert(profiled.kernels!.some(({ kernel }) => kernel.includes("conv2d")));
});

gpuTest("bad images, labels, settings and models are refused in one sentence", async ({ gpu }) => {
  using small = images(8);
  const refuse = async (
    options: Parameters<typeof tune>[1],
    message: string,
  ) =>
    assertStringIncludes((await assertRejects(() => tune(gpu, options), Error)).message, message);
  const labelled = (change: (labels: Int32Array<ArrayBuffer>) => void): LbfImages => {
    const labels = small.labels.slice();
    change(labels);
    return { ...small, labels };
  };
  await refuse({ images: labelled((labels) => labels[3] = -1) }, "1 of 24 images have no label");
  await refuse(
    { images: labelled((labels) => labels[3] = 4) },
    "a label 4 and the model has the classes 0 to 3",
  );
  await refuse({ images: { ...small, labels: new Int32Array(3) } }, "3 labels for 24 images");
  using large = images(16);
  await refuse({ images: large }, "16 x 16 and the model takes 8 x 8");
  await refuse({ model: squeezenetLike() }, 'Cannot tune "squeezenet-like"');
  for (
    const [settings, message] of [
      [{ delta: 0 }, "δ (delta) must be above 0 and at most 1: it is 0"],
      [{ delta: 1.5 }, "δ (delta)"],
      [{ margin: -1 }, "μ (margin) must be 0 or more: it is -1"],
      [{ weight: NaN }, "λ (weight) must be 0 or more: it is NaN"],
      [{ learningRate: 0 }, "the learning rate must be above 0"],
      [{ epochs: 0 }, "the number of epochs"],
      [{ momentum: 1 }, "the momentum must be 0 to below 1"],
      [{ batch: 100 }, "a batch takes 100 images and there are 24"],
      [{ trainable: "head" as const }, "what learns begins after the last feature map"],
    ] as const
  ) await refuse({ settings }, message);
});

gpuTest("findBackground() agrees with the plain formula", async ({ gpu, host }) => {
  const model = cifarResnet();
  const inspection = found(model);
  using own = images(16);
  const options = { model, inspection, images: own, delta: 0.4, limit: 10, batch: 4 };
  const [there, here] = [
    await findBackground({ ...options, ctx: gpu }),
    await findBackground({ ...options, ctx: host }),
  ];
  assertEquals(there.images.map(({ index }) => index), [0, 2, 4, 7, 9, 12, 14, 16, 19, 21]);
  assertEquals(there.images.map(({ label }) => label), [0, 2, 0, 3, 1, 0, 2, 0, 3, 1]);
  there.images.forEach(({ probabilities, norms }, i) => {
    assertClose(probabilities, here.images[i]!.probabilities, TOLERANCE.provider);
    assertClose(norms, here.images[i]!.norms, TOLERANCE.provider);
  });
  const all = there.images.flatMap(({ probabilities }) => [...probabilities]);
  assertEquals(there.selected, all.filter((p) => p < 0.4).length / all.length);
  assertEquals(there.background.count + there.foreground.count, all.length);
  assertEquals(there.margin, Number(there.background.values[0]!.toPrecision(2)));
});
