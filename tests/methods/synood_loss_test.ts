import { assertEquals } from "@std/assert";
import { imageToText, textToImage } from "../../methods/synood/loss.ts";
import { delta, deltaParameters } from "../../methods/synood/model.ts";
import {
  l2Normalize,
  ParameterSet,
  type ParameterSpec,
  scale,
  type Seed,
  Tape,
  Variable,
} from "../../nn/mod.ts";
import { type Context, Host, type Tensor } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { Host64 } from "../_support/host64.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { waves } from "../onnx/_models.ts";

const [WIDTH, IMAGES, LABELS] = [6, 5, 7];
const SCALE = 8;
const TARGETS = Int32Array.of(3, 0, 3, 6, 2);

/** Parameters of the projection, then rows of text. */
const SPECS: readonly ParameterSpec[] = [
  ...deltaParameters(WIDTH, 2).map((spec, i) => ({
    ...spec,
    data: spec.data.map((value, at) => value + 0.3 * waves(spec.data.length, i)[at]!),
  })),
  {
    name: "text",
    shape: [LABELS, WIDTH],
    data: waves(LABELS * WIDTH, 9).map((value) => 1.5 * value),
  },
];

const IMAGE_DATA = waves(IMAGES * WIDTH, 11);

/** A loss of projected images and learnable text. */
type Loss = (tape: Tape, of: { images: Variable; text: Variable; ctx: Context }) => {
  readonly loss: Tensor;
  readonly seeds: readonly Seed[];
};

const whole = (ctx: Context, values: Int32Array<ArrayBuffer>) =>
  ctx.upload(values, [values.length]);

const LOSSES: Readonly<Record<string, Loss>> = {
  "image to text": (tape, { images, text, ctx }) => {
    const labels = l2Normalize(tape, text);
    const made = imageToText(tape, images, { labels, targets: whole(ctx, TARGETS) });
    return { loss: made.loss, seeds: [made.seed] };
  },
  "text to image": (tape, { images, text, ctx }) => {
    const made = textToImage(tape, images, {
      labels: text,
      targets: whole(ctx, TARGETS),
      diagonal: whole(ctx, Int32Array.from({ length: IMAGES }, (_, i) => i)),
    });
    return { loss: made.loss, seeds: [made.seed] };
  },
};

function forward(ctx: Context, parameters: ParameterSet, loss: Loss, data: ArrayLike<number>) {
  const value = ctx.upload(Float32Array.from(data), [IMAGES, WIDTH]);
  if (ctx instanceof Host64) (value.data as unknown as Float64Array).set(data);
  const tape = new Tape(ctx);
  const projected = delta(tape, new Variable(value), parameters, { epsilon: 1e-5 });
  const images = scale(tape, projected, { factor: SCALE });
  return { tape, ...loss(tape, { images, text: parameters.get("text"), ctx }) };
}

for (const [name, loss] of Object.entries(LOSSES)) {
  Deno.test(`the gradient of the whole loss, ${name}, is its derivative`, () => {
    using host = new Host64();
    using parameters = new ParameterSet(host, SPECS);
    const { names } = parameters;
    const place = (inputs: readonly Float64Array[]) =>
      names.forEach((name, i) => {
        (parameters.get(name).value.data as unknown as Float64Array).set(inputs[i]!);
      });
    checkGradient({
      inputs: SPECS.map(({ data }) => Float64Array.from(data)),
      forward: (inputs) => {
        place(inputs);
        using scope = host.scope();
        return Float64Array.from(forward(scope, parameters, loss, IMAGE_DATA).loss.data);
      },
      backward: (inputs, dY) => {
        place(inputs);
        using scope = host.scope();
        const { tape, seeds } = forward(scope, parameters, loss, IMAGE_DATA);
        tape.backward(seeds);
        return names.map((name) =>
          Float64Array.from(parameters.get(name).gradient!.data, (value) => dY[0]! * value)
        );
      },
      seed: 3,
    });
  });

  gpuTest(`the loss, ${name}, is on the GPU what it is in float64`, async ({ gpu }) => {
    using host = new Host64();
    const found: ArrayLike<number>[][] = [];
    for (const ctx of [gpu, host]) {
      using parameters = new ParameterSet(ctx, SPECS);
      using scope = ctx.scope();
      const { tape, loss: value, seeds } = forward(scope, parameters, loss, IMAGE_DATA);
      tape.backward(seeds);
      const gradients = SPECS.map(({ name }) => parameters.get(name).gradient!);
      found.push(await scope.read(value, ...gradients));
    }
    const [actual, expected] = found;
    ["loss", ...SPECS.map(({ name }) => name)].forEach((name, i) => {
      const largest = Math.max(...Array.from(expected![i]!, Math.abs), 1e-3);
      const scaled = (values: ArrayLike<number>) => Array.from(values, (value) => value / largest);
      assertClose(scaled(actual![i]!), scaled(expected![i]!), TOLERANCE.network, name);
    });
  });
}

Deno.test("textToImage() is equation 14, written out", () => {
  using host = new Host();
  using parameters = new ParameterSet(host, SPECS);
  const { loss } = forward(host, parameters, LOSSES["text to image"]!, IMAGE_DATA);
  const images = delta(
    new Tape(host),
    new Variable(host.upload(IMAGE_DATA, [IMAGES, WIDTH])),
    parameters,
    { epsilon: 1e-5 },
  ).value.data;
  const text = parameters.get("text").value.data;
  const similarity = (image: number, label: number) => {
    let [dot, square] = [0, 0];
    for (let d = 0; d < WIDTH; d++) {
      dot += images[image * WIDTH + d]! * text[label * WIDTH + d]!;
      square += text[label * WIDTH + d]! ** 2;
    }
    return Math.exp(SCALE * dot / Math.sqrt(square));
  };
  let sum = 0;
  TARGETS.forEach((label, i) => {
    let others = 0;
    for (let j = 0; j < IMAGES; j++) others += similarity(j, label);
    sum -= Math.log(similarity(i, label) / others) / IMAGES;
  });
  assertClose(loss.data, [sum], TOLERANCE.kernel, "loss");
});

Deno.test("the gradient of a row of text stands at a right angle to it", () => {
  using host = new Host();
  using parameters = new ParameterSet(host, SPECS);
  for (const loss of Object.values(LOSSES)) {
    const { tape, seeds } = forward(host, parameters, loss, IMAGE_DATA);
    tape.backward(seeds);
    const { value, gradient } = parameters.get("text");
    for (let label = 0; label < LABELS; label++) {
      let [along, largest] = [0, 0];
      for (let d = label * WIDTH; d < (label + 1) * WIDTH; d++) {
        along += value.data[d]! * gradient!.data[d]!;
        largest = Math.max(largest, Math.abs(gradient!.data[d]!));
      }
      assertClose([along], [0], TOLERANCE.score, `label ${label}`);
      const unused = loss === LOSSES["text to image"] && !TARGETS.includes(label);
      assertEquals(largest === 0, unused, `label ${label} is used`);
    }
  }
});
