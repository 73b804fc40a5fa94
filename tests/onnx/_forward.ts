import {
  importNetwork,
  inspect,
  type Network,
  type NetworkOptions,
  type OnnxModel,
} from "../../onnx/mod.ts";
import { toChannelsFirst, toChannelsLast } from "../../kernels/mod.ts";
import { Tape, Variable } from "../../nn/mod.ts";
import { type Context, sizeOf, type Tensor } from "../../runtime/mod.ts";
import { waves } from "./_models.ts";
import { type Arrays, runWasm } from "./_run.ts";

/** Imports a model with what inspection finds in it. */
export function imported(ctx: Context, model: OnnxModel, options?: NetworkOptions): Network {
  return importNetwork(ctx, model, inspect(model), options);
}

/** Images in ONNX's layout for a model's one input. */
export function images(model: OnnxModel, count: number): Arrays {
  const [input] = model.graph.inputs;
  const shape = [count, ...input!.shape!.slice(1) as number[]];
  return { [input!.name]: { data: waves(sizeOf(shape), 5), shape } };
}

/** What a network's inputs are for these images: they themselves, or what its trunk makes of them. */
export async function inputsOf(
  ctx: Context,
  network: Network,
  arrays: Arrays,
): Promise<Map<string, Variable>> {
  const given = network.trunk === undefined ? arrays : await runWasm(network.trunk, arrays);
  return new Map(network.inputs.map(({ name }) => {
    const { data, shape } = given[name]!;
    const x = ctx.upload(data, shape);
    return [name, new Variable(shape.length === 4 ? toChannelsLast(ctx, { x }) : x)];
  }));
}

/** What a network computes from images, by name, in ONNX's layout. */
export async function runNetwork(
  ctx: Context,
  network: Network,
  arrays: Arrays,
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  using scope = ctx.scope();
  const inputs = await inputsOf(scope, network, arrays);
  const found = network.forward(new Tape(scope), inputs, { gradients: false });
  const variables = {
    logits: found.logits,
    ...(found.features && { features: found.features }),
    ...(found.featureMap && { featureMap: found.featureMap }),
    ...Object.fromEntries(found.values),
  };
  const planes = (x: Tensor) => x.shape.length === 4 ? toChannelsFirst(scope, { x }) : x;
  const tensors = Object.values(variables).map(({ value }) => planes(value));
  const read = await scope.read(...tensors);
  return Object.fromEntries(
    Object.keys(variables).map((name, i) => [name, read[i] as Float32Array<ArrayBuffer>]),
  );
}

/** Moves every parameter and statistic of a network away from what it was. */
export async function shake(
  ctx: Context,
  network: Pick<Network, "parameters" | "statistics">,
): Promise<void> {
  const names = [...network.parameters.names, ...network.statistics.keys()];
  const tensors = names.map((name) =>
    network.statistics.get(name) ?? network.parameters.get(name).value
  );
  const before = await ctx.read(...tensors);
  tensors.forEach((tensor, i) => {
    const values = before[i] as Float32Array<ArrayBuffer>;
    const moves = waves(values.length, 100 + i);
    ctx.write(tensor, values.map((value, j) => value * (1.2 + 0.4 * moves[j]!)));
  });
}
