import { Tape, type Variable } from "../../nn/mod.ts";
import {
  type GraphNetwork,
  type GraphOptions,
  importGraph,
  type OnnxModel,
} from "../../onnx/mod.ts";
import type { Context } from "../../runtime/mod.ts";
import { Host64 } from "../_support/host64.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { variablesOf } from "./_graphs.ts";
import { waves } from "./_models.ts";
import type { Arrays } from "./_run.ts";

/** The step of the differences. */
const STEP = 5e-6;

type Inputs = Readonly<Record<string, Variable>>;

/** The gradient of the loss by an output. */
function weightsOf(value: Variable, i: number): Float32Array<ArrayBuffer> {
  return waves(value.value.size, 9 + i);
}

/** The gradients of all parameters and inputs, for fixed gradients of the outputs. */
async function gradientsOf(
  ctx: Context,
  network: GraphNetwork,
  arrays: Arrays,
): Promise<Map<string, Float32Array<ArrayBuffer>>> {
  using scope = ctx.scope();
  const inputs = variablesOf(scope, network, arrays, { needsGradient: true });
  const tape = new Tape(scope);
  const outputs = Object.values(network.forward(tape, inputs));
  tape.backward(outputs.map((variable, i) => {
    const gradient = scope.upload(weightsOf(variable, i), variable.shape);
    return { variable, gradient };
  }));
  const { parameters } = network;
  const names = [...parameters.names, ...Object.keys(inputs)];
  const read = await scope.read(
    ...parameters.names.map((name) => parameters.get(name).gradient!),
    ...Object.values(inputs).map((input) => tape.gradientOf(input)!),
  );
  return new Map(names.map((name, i) => [name, read[i] as Float32Array<ArrayBuffer>]));
}

/** The loss with those gradients, in float64. */
function lossOf(host: Host64, network: GraphNetwork, inputs: Inputs): number {
  using scope = host.scope();
  const outputs = Object.values(network.forward(new Tape(scope), inputs));
  return outputs.reduce((total, output, i) =>
    weightsOf(output, i).reduce(
      (sum, weight, at) => sum + weight * output.value.data[at]!,
      total,
    ), 0);
}

/** Slopes of the loss along one direction for each parameter and input, by differences. */
function slopesOf(
  host: Host64,
  network: GraphNetwork,
  { arrays, names }: { readonly arrays: Arrays; readonly names: readonly string[] },
): number[] {
  const inputs = variablesOf(host, network, arrays);
  return names.map((name) => {
    const { value } = inputs[name] ?? network.parameters.get(name);
    const values = value.data;
    const before = values.slice();
    const direction = waves(values.length, 31);
    const loss = (move: number) => {
      for (let i = 0; i < values.length; i++) values[i] = before[i]! + move * direction[i]!;
      return lossOf(host, network, inputs);
    };
    const slope = (loss(STEP) - loss(-STEP)) / (2 * STEP);
    values.set(before);
    return slope;
  });
}

/** What gradients are checked of. */
export interface GradientCase {
  readonly options: GraphOptions;
  readonly arrays: Arrays;
  /** Which gradients are compared with differences; all by default. */
  readonly names?: readonly string[];
}

/** Requires that gradients are those of differences on the host, and the same on the GPU. */
export async function assertGradients(
  gpu: Context,
  model: OnnxModel,
  { options, arrays, names }: GradientCase,
): Promise<void> {
  const host = new Host64();
  using network = importGraph(host, model, options);
  const gradients = await gradientsOf(host, network, arrays);
  const moved = names ?? [...gradients.keys()];
  const expected = slopesOf(host, network, { arrays, names: moved });
  const actual = moved.map((name) => {
    const gradient = gradients.get(name)!;
    return waves(gradient.length, 31).reduce((sum, part, i) => sum + part * gradient[i]!, 0);
  });
  const scale = Math.max(...expected.map(Math.abs));
  const relative = (slopes: number[]) => slopes.map((slope) => slope / scale);
  assertClose(relative(actual), relative(expected), TOLERANCE.networkSlope, "slopes");

  using onGpu = importGraph(gpu, model, options);
  const found = await gradientsOf(gpu, onGpu, arrays);
  const largestOf = (values: Float32Array<ArrayBuffer>) => Math.max(...values.map(Math.abs));
  // The gradient of a bias of keys is 0, and what is left of it by rounding is not compared.
  const least = Math.max(1e-3, 1e-3 * Math.max(...[...gradients.values()].map(largestOf)));
  for (const [name, gradient] of gradients) {
    const largest = Math.max(largestOf(gradient), least);
    const parts = (values: Float32Array<ArrayBuffer>) => values.map((value) => value / largest);
    const label = `gradient of ${name} on the GPU`;
    assertClose(parts(found.get(name)!), parts(gradient), TOLERANCE.network, label);
  }
}
