import { Tape, type Variable } from "../../nn/mod.ts";
import { type GraphNetwork, importGraph, type OnnxModel } from "../../onnx/mod.ts";
import type { Context } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { Host64 } from "../_support/host64.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { arraysFor, variablesOf } from "./_graphs.ts";
import { waves } from "./_models.ts";
import { PATTERNS } from "./_patterns.ts";
import type { Arrays } from "./_run.ts";

const COUNT = 2;

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
function slopesOf(host: Host64, network: GraphNetwork, arrays: Arrays): number[] {
  const inputs = variablesOf(host, network, arrays);
  const { parameters } = network;
  const leaves = [
    ...parameters.names.map((name) => parameters.get(name)),
    ...Object.values(inputs),
  ];
  return leaves.map(({ value }) => {
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

/** Requires that gradients are those of differences on the host, and the same on the GPU. */
async function assertGradients(
  gpu: Context,
  model: OnnxModel,
  outputs: readonly string[],
): Promise<void> {
  const arrays = arraysFor(model, COUNT);
  const host = new Host64();
  using network = importGraph(host, model, { outputs });
  const gradients = await gradientsOf(host, network, arrays);
  const expected = slopesOf(host, network, arrays);
  const actual = [...gradients.values()].map((gradient) =>
    waves(gradient.length, 31).reduce((sum, part, i) => sum + part * gradient[i]!, 0)
  );
  const scale = Math.max(...expected.map(Math.abs));
  const relative = (slopes: number[]) => slopes.map((slope) => slope / scale);
  assertClose(relative(actual), relative(expected), TOLERANCE.networkSlope, "slopes");

  using onGpu = importGraph(gpu, model, { outputs });
  const found = await gradientsOf(gpu, onGpu, arrays);
  for (const [name, gradient] of gradients) {
    const largest = Math.max(...gradient.map(Math.abs), 1e-3);
    const parts = (values: Float32Array<ArrayBuffer>) => values.map((value) => value / largest);
    const label = `gradient of ${name} on the GPU`;
    assertClose(parts(found.get(name)!), parts(gradient), TOLERANCE.network, label);
  }
}

for (const [name, build] of Object.entries(PATTERNS)) {
  gpuTest(`GraphNetwork gradients of ${name} are those of its loss`, async ({ gpu }) => {
    const model = build();
    await assertGradients(gpu, model, model.graph.outputs.map((output) => output.name));
  });
}
