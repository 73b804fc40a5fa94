import { toChannelsFirst, toChannelsLast } from "../../kernels/mod.ts";
import { Tape, Variable } from "../../nn/mod.ts";
import { exposeOutputs, type GraphNetwork, type OnnxModel } from "../../onnx/mod.ts";
import { type Context, sizeOf, type Tensor } from "../../runtime/mod.ts";
import { waves } from "./_models.ts";
import { type Arrays, runWasm } from "./_run.ts";

/** Arrays for the inputs of a graph, in ONNX's layout. */
export function arraysFor(
  model: OnnxModel,
  batch: number,
  shapes: Readonly<Record<string, readonly number[]>> = {},
): Arrays {
  return Object.fromEntries(
    model.graph.inputs.map(({ name, shape }, i) => {
      const lengths = [batch, ...shapes[name] ?? shape!.slice(1) as number[]];
      return [name, { data: waves(sizeOf(lengths), 5 + i).map((x) => 3 * x), shape: lengths }];
    }),
  );
}

/** A network's inputs: those of the graph, or values inside it as onnxruntime computes them. */
export async function givenTo(
  network: GraphNetwork,
  model: OnnxModel,
  arrays: Arrays,
): Promise<Arrays> {
  const inside = network.inputs.map(({ name }) => name).filter((name) => !(name in arrays));
  if (inside.length === 0) return arrays;
  return { ...arrays, ...await runWasm(exposeOutputs(model, inside), arrays) };
}

/** Arrays as variables in the engine's layout. */
export function variablesOf(
  ctx: Context,
  network: GraphNetwork,
  arrays: Arrays,
  options: { readonly needsGradient?: boolean } = {},
): Record<string, Variable> {
  return Object.fromEntries(
    network.inputs.map(({ name }) => {
      const { data, shape } = arrays[name]!;
      const x = ctx.upload(data, shape);
      return [name, new Variable(shape.length === 4 ? toChannelsLast(ctx, { x }) : x, options)];
    }),
  );
}

/** What a network computes, in ONNX's layout. */
export async function runGraph(
  ctx: Context,
  network: GraphNetwork,
  arrays: Arrays,
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  using scope = ctx.scope();
  const given = variablesOf(scope, network, arrays);
  const found = network.forward(new Tape(scope), given, { gradients: false });
  const planes = (x: Tensor) => x.shape.length === 4 ? toChannelsFirst(scope, { x }) : x;
  const read = await scope.read(...Object.values(found).map(({ value }) => planes(value)));
  return Object.fromEntries(
    Object.keys(found).map((name, i) => [name, read[i] as Float32Array<ArrayBuffer>]),
  );
}
