import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { activation, conv2d } from "../../kernels/mod.ts";
import type { PreprocessSpec, RgbImage } from "../../kernels/preprocess/mod.ts";
import { inspect, type OnnxModel } from "../../onnx/mod.ts";
import { type Context, Host, type TypedArray, UserError } from "../../runtime/mod.ts";
import { SkipGradient, type SkipGradientSource } from "../../methods/synood/skip_gradient.ts";
import { SYNTHESIS_LOSSES } from "../../methods/synood/synthesis_loss.ts";
import { classifier, vaeDecoder } from "../_support/diffusion.ts";
import { gpuTest } from "../_support/gpu.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { Host64 } from "../_support/host64.ts";
import { makeImage } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

void activation;
void conv2d;

const SIDE = 16;
const LATENTS = { channels: 4, height: 4, width: 4 };
const SIZE = 64;

/** Resizes to another size and crops, with planes in the other order. */
const SPEC: PreprocessSpec = {
  resize: { shorter: 14 },
  crop: { width: 12, height: 12 },
  interpolation: "bilinear",
  channels: "BGR",
  range: 1,
  mean: [0.5, 0.4, 0.3],
  scale: [0.2, 0.3, 0.4],
  layout: "NCHW",
};

function source(
  options: Partial<SkipGradientSource> & { spec?: PreprocessSpec } = {},
): SkipGradientSource {
  const { spec = SPEC, ...rest } = options;
  const model = rest.classifier ?? classifier({ side: spec.crop?.width ?? SIDE });
  return {
    decoder: vaeDecoder(),
    latents: LATENTS,
    image: { width: SIDE, height: SIDE },
    classifier: model,
    inspection: { ...inspect(model), preprocessing: { spec, guessed: false } },
    batch: 3,
    ...rest,
  };
}

function latents(count: number, seed = 1): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count * SIZE }, (_, i) => 0.8 * Math.sin(3.7 * i + seed));
}

for (const loss of SYNTHESIS_LOSSES) {
  Deno.test(`SkipGradient gives the derivative of the loss ${loss} by latents, in float64`, async () => {
    using host = new Host64();
    using skip = new SkipGradient(host, source({ loss, batch: 2, temperature: 1.5 }));
    skip.setBoundary({ energy: -1 });
    const at = Float64Array.from(latents(2));
    const run = async (z: Float64Array) =>
      await skip.gradient(z as unknown as Float32Array<ArrayBuffer>);
    const { gradient, loss: losses } = await run(at);
    assert(losses.every((value) => value > 0 || loss === "paper-literal"), String(losses));
    // Differences of both losses' sum: no image's loss depends on another's latents.
    for (let i = 0; i < at.length; i += 11) {
      const step = 1e-4;
      const [high, low] = [step, -step].map((delta) =>
        at.map((value, j) => value + (j === i ? delta : 0))
      );
      const sum = async (z: Float64Array) => (await run(z)).loss.reduce((a, b) => a + b);
      const slope = (await sum(high!) - await sum(low!)) / (2 * step);
      assertClose([gradient[i]!], [slope], TOLERANCE.networkSlope, `${loss} at ${i}`);
    }
  });
}
