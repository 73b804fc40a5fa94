import { toChannelsLast } from "../../kernels/mod.ts";
import { Tape, Variable } from "../../nn/mod.ts";
import type { Network, NetworkOptions, NetworkOutputs, OnnxModel } from "../../onnx/mod.ts";
import { type Context, Scalar, sizeOf } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { Host64 } from "../_support/host64.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { images, imported } from "./_forward.ts";
import { waves } from "./_models.ts";
import { FAMILIES, type Family, folded } from "./_networks.ts";

const COUNT = 4;

/** The step of the differences: small enough that hardly any ReLU changes its side. */
const STEP = 5e-6;

/** The image as a variable of its own. */
function imageOf(ctx: Context, model: OnnxModel): Variable {
  const [given] = Object.values(images(model, COUNT));
  const x = toChannelsLast(ctx, { x: ctx.upload(given!.data, given!.shape) });
  return new Variable(x, { needsGradient: true });
}

interface Case {
  readonly network: Network;
  readonly image: Variable;
  readonly training: boolean;
}

function forward(ctx: Context, { network, image, training }: Case): [Tape, NetworkOutputs] {
  const tape = new Tape(ctx);
  const inputs = new Map([[network.inputs[0]!.name, image]]);
  return [tape, network.forward(tape, inputs, { training, seed: new Scalar(5) })];
}

/** The gradients of all parameters and of the image, for a fixed gradient of the logits. */
async function gradientsOf(
  ctx: Context,
  model: OnnxModel,
  how: Omit<Case, "image">,
): Promise<Map<string, Float32Array<ArrayBuffer>>> {
  using scope = ctx.scope();
  const image = imageOf(scope, model);
  const [tape, { logits }] = forward(scope, { ...how, image });
  const gradient = scope.upload(waves(sizeOf(logits.shape), 9), logits.shape);
  tape.backward([{ variable: logits, gradient }]);
  const { parameters } = how.network;
  const tensors = parameters.names.map((name) => parameters.get(name).gradient!);
  const arrays = await scope.read(...tensors, tape.gradientOf(image)!);
  return new Map(
    [...parameters.names, "image"].map((name, i) => [name, arrays[i] as Float32Array<ArrayBuffer>]),
  );
}

/** The loss with that gradient, in float64. */
function lossOf(host: Host64, how: Case): number {
  using scope = host.scope();
  const [, { logits }] = forward(scope, how);
  const weights = waves(logits.value.size, 9);
  return weights.reduce((sum, weight, i) => sum + weight * logits.value.data[i]!, 0);
}

/** Slopes of the loss along one direction for each parameter: by gradients, and by differences. */
function slopesOf(
  host: Host64,
  how: Case & { readonly gradients: ReadonlyMap<string, ArrayLike<number>> },
): { actual: number[]; expected: number[] } {
  const { network: { parameters }, gradients, image } = how;
  const variables = [...parameters.names.map((name) => parameters.get(name)), image];
  const expected = variables.map(({ value }) => {
    const values = value.data;
    const before = values.slice();
    const direction = waves(values.length, 31);
    const loss = (move: number) => {
      for (let i = 0; i < values.length; i++) values[i] = before[i]! + move * direction[i]!;
      return lossOf(host, how);
    };
    const slope = (loss(STEP) - loss(-STEP)) / (2 * STEP);
    values.set(before);
    return slope;
  });
  const actual = [...gradients.values()].map((gradient) =>
    waves(gradient.length, 31).reduce((sum, part, i) => sum + part * gradient[i]!, 0)
  );
  return { actual, expected };
}

const CASES: readonly (readonly [name: string, build: Family, options?: NetworkOptions])[] = [
  ...Object.entries(FAMILIES),
  ["folded with normalisations put in", folded, { insertNorms: "auto" }],
];

/** As they come, inserted normalisations leave many values at 0, where a ReLU has its kink. */
function moveNorms({ inserted, parameters }: Network): void {
  parameters.write(
    new Map(
      inserted.map(({ bias }, i) => [bias, waves(parameters.get(bias).value.size, 50 + i)]),
    ),
  );
}

for (const [family, build, options] of CASES) {
  gpuTest(`Network gradients of ${family} are those of its loss`, async ({ gpu }) => {
    const model = build();
    for (const training of [true, false]) {
      const mode = training ? "training" : "evaluation";
      using host = new Host64();
      using network = imported(host, model, options);
      moveNorms(network);
      const gradients = await gradientsOf(host, model, { network, training });
      const image = imageOf(host, model);
      const { actual, expected } = slopesOf(host, { network, image, training, gradients });
      const scale = Math.max(...expected.map(Math.abs));
      assertClose(
        actual.map((slope) => slope / scale),
        expected.map((slope) => slope / scale),
        TOLERANCE.networkSlope,
        `slopes in ${mode}`,
      );

      using onGpu = imported(gpu, model, options);
      moveNorms(onGpu);
      const found = await gradientsOf(gpu, model, { network: onGpu, training });
      for (const [name, gradient] of gradients) {
        const largest = Math.max(...gradient.map(Math.abs), 1e-3);
        assertClose(
          found.get(name)!.map((value) => value / largest),
          gradient.map((value) => value / largest),
          TOLERANCE.network,
          `gradient of ${name} in ${mode} on the GPU`,
        );
      }
    }
  });
}
