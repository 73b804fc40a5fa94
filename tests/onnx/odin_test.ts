import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  crossEntropy,
  type PreprocessSpec,
  rowArgmax,
  scale,
  toChannelsFirst,
  toChannelsLast,
} from "../../kernels/mod.ts";
import { inputGradient, inspect, Odin, type OdinSettings, type OnnxModel } from "../../onnx/mod.ts";
import { type Context, Host, ShapeError, sizeOf, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { imported } from "./_forward.ts";
import { resnetLike, small, waves } from "./_models.ts";
import { cifarResnet, FAMILIES } from "./_networks.ts";
import { runWasm } from "./_run.ts";

const SPEC: PreprocessSpec = {
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.5, 0.4, 0.3],
  scale: [0.2, 0.3, 0.4],
  layout: "NCHW",
};

/** A step that moves logits well beyond what rounding does. */
const FAR = { temperature: 100, epsilon: 0.01 };

function opened(
  ctx: Context,
  model: OnnxModel,
  options: OdinSettings & { batch?: number; preprocessing?: PreprocessSpec } = {},
): Odin {
  const inspection = inspect(model);
  return new Odin(ctx, { model, inspection, preprocessing: SPEC, batch: 3, ...FAR, ...options });
}

function imagesOf(model: OnnxModel, count: number, seed = 6) {
  const shape = [count, ...model.graph.inputs[0]!.shape!.slice(1) as number[]];
  return { data: waves(sizeOf(shape), seed), shape };
}

async function logitsOn(ctx: Context, odin: Odin, images: ReturnType<typeof imagesOf>) {
  using scope = ctx.scope();
  using logits = odin.logits(scope.upload(images.data, images.shape));
  return (await ctx.read(logits))[0]!;
}

Deno.test("Odin gives the logits of images moved by hand against the cross-entropy", async () => {
  using host = new Host();
  const model = cifarResnet();
  const { data, shape } = imagesOf(model, 3);
  using odin = opened(host, model);
  const actual = await logitsOn(host, odin, { data, shape });

  using network = imported(host, model, { trainable: "none" });
  const gradient = inputGradient(host, network, {
    image: toChannelsLast(host, { x: host.upload(data, shape) }),
    byLogits: (ctx, logits) => {
      const labels = ctx.upload(Int32Array.from(rowArgmax(ctx, { x: logits }).data), [3]);
      const scaled = scale(ctx, { x: logits }, { factor: 1 / FAR.temperature });
      return crossEntropy(ctx, { logits: scaled, labels }).dLogits;
    },
  });
  const planes = toChannelsFirst(host, { x: gradient }).data;
  const plane = shape[2]! * shape[3]!;
  const moved = data.map((value, i) => {
    const step = FAR.epsilon / SPEC.scale[Math.floor(i / plane) % 3]!;
    return value - (planes[i]! >= 0 ? step : -step);
  });
  const { logits } = await runWasm(model, { image: { data: moved, shape } });
  assertClose(actual, logits!.data, TOLERANCE.provider);
});

Deno.test("Odin gives the logits of onnxruntime for the images that it moves", async () => {
  using host = new Host();
  const model = cifarResnet();
  const images = imagesOf(model, 3);
  using still = opened(host, model, { epsilon: 0 });
  const { logits } = await runWasm(model, { image: images });
  assertClose(await logitsOn(host, still, images), logits!.data, TOLERANCE.network);
});

Deno.test("Odin raises the largest softmax", async () => {
  using host = new Host();
  const model = cifarResnet();
  const images = imagesOf(model, 3);
  const confidence = async (epsilon: number) => {
    using odin = opened(host, model, { epsilon, temperature: 1 });
    const z = await logitsOn(host, odin, images);
    const classes = z.length / 3;
    return [0, 1, 2].map((row) => {
      const own = [...z.subarray(row * classes, (row + 1) * classes)];
      return 1 / own.reduce((sum, value) => sum + Math.exp(value - Math.max(...own)), 0);
    });
  };
  const [before, after] = [await confidence(0), await confidence(0.001)];
  after.forEach((value, row) => assert(value > before[row]!, `${value} from ${before[row]}`));
});

for (const [family, build] of Object.entries(FAMILIES)) {
  gpuTest(`Odin on ${family} agrees with the reference, in parts too`, async ({ gpu, host }) => {
    const model = build();
    const images = imagesOf(model, 3);
    using onHost = opened(host, model);
    using onGpu = opened(gpu, model);
    const expected = await logitsOn(host, onHost, images);
    const whole = await logitsOn(gpu, onGpu, images);
    assertClose(whole, expected, TOLERANCE.provider);
    // The rest of the batch, which other images left there, does not matter.
    const one = {
      data: images.data.slice(0, images.data.length / 3),
      shape: [1, ...images.shape.slice(1)],
    };
    await logitsOn(gpu, onGpu, imagesOf(model, 3, 77));
    assertEquals(await logitsOn(gpu, onGpu, one), whole.slice(0, whole.length / 3));
  });
}

gpuTest("Odin makes nothing new from batch to batch", async ({ gpu }) => {
  const model = resnetLike();
  using odin = opened(gpu, model);
  await logitsOn(gpu, odin, imagesOf(model, 3));
  const { created } = gpu.gpu.counters().pool;
  await logitsOn(gpu, odin, imagesOf(model, 3, 7));
  assertEquals(gpu.gpu.counters().pool.created, created);
});

Deno.test("Odin takes the step for colours from 0 to 1 whatever their range is", async () => {
  using host = new Host();
  const model = resnetLike();
  const images = imagesOf(model, 2);
  const wide: PreprocessSpec = {
    ...SPEC,
    range: 255,
    mean: [127.5, 102, 76.5],
    scale: [51, 76.5, 102],
  };
  using one = opened(host, model);
  using other = opened(host, model, { preprocessing: wide });
  assertClose(
    await logitsOn(host, other, images),
    await logitsOn(host, one, images),
    TOLERANCE.kernel,
  );
});

Deno.test("Odin has the defaults of its paper, and refuses what makes no sense", () => {
  using host = new Host();
  const model = resnetLike();
  const inspection = inspect(model);
  const source = { model, inspection, batch: 2 };
  {
    using odin = new Odin(host, source);
    assertEquals(odin.settings, { temperature: 1000, epsilon: 0.0014 });
    const wrong = [[0, 3, 8, 8], [3, 3, 8, 8], [1, 8, 8, 3], [1, 3, 8, 9]];
    for (const shape of wrong) {
      const images = host.upload(new Float32Array(sizeOf(shape)), shape);
      assertThrows(() => odin.logits(images), ShapeError, "[1 to 2, 3, 8, 8]");
    }
  }
  assertThrows(() => new Odin(host, { ...source, temperature: 0 }), UserError, "temperature");
  assertThrows(() => new Odin(host, { ...source, epsilon: -1 }), UserError, "epsilon");
  const none = small();
  assertThrows(
    () => new Odin(host, { model: none, inspection: inspect(none), batch: 1 }),
    UserError,
    "no input of four dimensions",
  );
});
