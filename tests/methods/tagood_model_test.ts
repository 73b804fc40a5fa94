import { assertEquals, assertNotEquals } from "@std/assert";
import { project, projectionParameters, type ProjectionSizes } from "../../methods/tagood/model.ts";
import { ParameterSet, type ParameterSpec, Tape, Variable } from "../../nn/mod.ts";
import { type Context, Scalar } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { Host64 } from "../_support/host64.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { waves } from "../onnx/_models.ts";

const SIZES: ProjectionSizes = {
  inputs: 6,
  maxTokens: 5,
  width: 8,
  depth: 2,
  heads: 2,
  hidden: 12,
  classes: 3,
};
const LENGTHS = [2, 0, 5, 1, 3];
const TOKENS = 11;
const PADDING = 3;
/** Elements of each parameter that are moved. */
const SAMPLES = 12;
const DROPOUT = { rate: 0.2, attention: 0.3 };

interface Run {
  readonly lengths?: readonly number[];
  readonly dropout?: boolean;
}

/**
 * Parameters with nothing at 0 or 1, so that no gradient is trivial, and with a class token as long
 * as the tokens: normalising something short bends too much for differences.
 */
const SPECS: readonly ParameterSpec[] = projectionParameters(SIZES, 3).map((spec, i) => {
  const moves = waves(spec.data.length, i);
  const reach = spec.name === "class_token" ? 2 : 0.3;
  return { ...spec, data: spec.data.map((value, at) => value + reach * moves[at]!) };
});

function forward(
  ctx: Context,
  parameters: ParameterSet,
  tokens: Variable,
  { lengths = LENGTHS, dropout = false }: Run,
) {
  const ends = lengths.map((_, n) => lengths.slice(0, n + 1).reduce((sum, l) => sum + l, 0));
  const offsets = ctx.upload(Int32Array.from([0, ...ends]), [lengths.length + 1]);
  const singles = ctx.upload(Int32Array.from([0, ...ends], (_, n) => n), [lengths.length + 1]);
  const tape = new Tape(ctx);
  const { features, logits } = project(tape, { tokens, offsets, singles }, parameters, {
    sizes: SIZES,
    ...(dropout ? { dropout: { ...DROPOUT, seed: new Scalar(7) } } : {}),
  });
  return { tape, outputs: [features, logits] as const };
}

function tokensOf(ctx: Context, data: Float32Array<ArrayBuffer> | Float64Array): Variable {
  const { inputs } = SIZES;
  const value = ctx.upload(Float32Array.from(data), [data.length / inputs, inputs]);
  if (ctx instanceof Host64) (value.data as unknown as Float64Array).set(data);
  return new Variable(value, { needsGradient: true });
}

/** Runs forward and, for a gradient of the outputs, backward. */
function run(
  ctx: Context,
  { parameters, tokens, dY }: {
    readonly parameters: ParameterSet;
    readonly tokens: Variable;
    readonly dY: readonly (Float32Array<ArrayBuffer> | Float64Array)[];
  },
  how: Run,
) {
  const { tape, outputs } = forward(ctx, parameters, tokens, how);
  tape.backward(outputs.map((variable, i) => {
    const gradient = ctx.upload(Float32Array.from(dY[i]!), variable.shape);
    if (ctx instanceof Host64) (gradient.data as unknown as Float64Array).set(dY[i]!);
    return { variable, gradient };
  }));
  return [
    ...parameters.names.map((name) => parameters.get(name).gradient!),
    tape.gradientOf(tokens)!,
  ];
}

/** The lengths of the two outputs, one behind the other. */
const SPLIT = LENGTHS.length * SIZES.width;

for (const dropout of [false, true]) {
  const name = dropout ? "with dropout" : "without dropout";
  Deno.test(`project() ${name} has the gradients of its outputs`, () => {
    using host = new Host64();
    using parameters = new ParameterSet(host, SPECS);
    const { names } = parameters;
    const arrays = (inputs: readonly Float64Array[]) => {
      names.forEach((name, i) => {
        (parameters.get(name).value.data as unknown as Float64Array).set(inputs[i]!);
      });
      return inputs.at(-1)!;
    };
    checkGradient({
      inputs: [
        ...SPECS.map(({ data }) => Float64Array.from(data)),
        Float64Array.from(waves((TOKENS + PADDING) * SIZES.inputs, 40)),
      ],
      forward: (inputs) => {
        using scope = host.scope();
        const tokens = tokensOf(scope, arrays(inputs));
        const { outputs } = forward(scope, parameters, tokens, { dropout });
        return Float64Array.from(outputs.flatMap(({ value }) => [...value.data]));
      },
      backward: (inputs, dY) => {
        using scope = host.scope();
        const tokens = tokensOf(scope, arrays(inputs));
        const parts = [dY.subarray(0, SPLIT), dY.subarray(SPLIT)];
        const gradients = run(scope, { parameters, tokens, dY: parts }, { dropout });
        return gradients.map(({ data }) => Float64Array.from(data));
      },
      samples: SAMPLES,
      seed: 5,
    });
  });

  gpuTest(`project() ${name} is on the GPU what it is in float64`, async ({ gpu }) => {
    const data = waves((TOKENS + PADDING) * SIZES.inputs, 40);
    const dY = [waves(SPLIT, 50), waves(LENGTHS.length * SIZES.classes, 51)];
    using host = new Host64();
    const all: (readonly ArrayLike<number>[])[] = [];
    for (const ctx of [gpu, host]) {
      using parameters = new ParameterSet(ctx, SPECS);
      using scope = ctx.scope();
      const { outputs } = forward(scope, parameters, tokensOf(scope, data), { dropout });
      const values = await scope.read(...outputs.map(({ value }) => value));
      const tokens = tokensOf(scope, data);
      all.push([
        ...values,
        ...await scope.read(...run(scope, { parameters, tokens, dY }, { dropout })),
      ]);
    }
    const [found, expected] = all;
    const names = ["features", "logits", ...SPECS.map(({ name }) => name), "tokens"];
    names.forEach((name, i) => {
      const largest = Math.max(...Array.from(expected![i]!, Math.abs), 1e-3);
      const scaled = (values: ArrayLike<number>) => Array.from(values, (value) => value / largest);
      assertClose(scaled(found![i]!), scaled(expected![i]!), TOLERANCE.network, name);
    });
  });
}

gpuTest("project() of an image depends on its own tokens alone", async ({ gpu, host }) => {
  const { inputs, width } = SIZES;
  const data = waves((TOKENS + PADDING) * inputs, 40);
  const project64 = async (ctx: Context, tokens: typeof data, how: Run) => {
    using parameters = new ParameterSet(ctx, SPECS);
    using scope = ctx.scope();
    const { outputs: [features] } = forward(scope, parameters, tokensOf(scope, tokens), how);
    return (await scope.read(features.value))[0]!;
  };
  for (const ctx of [host, gpu]) {
    const together = await project64(ctx, data, {});
    let begin = 0;
    for (const [n, length] of LENGTHS.entries()) {
      const own = data.slice(begin * inputs, (begin + Math.max(1, length)) * inputs);
      const alone = await project64(ctx, own, { lengths: [length] });
      const expected = together.slice(n * width, (n + 1) * width);
      assertClose(alone, expected, TOLERANCE.kernel, `image ${n} on ${ctx.kind}`);
      begin += length;
    }
    const other = data.slice().fill(5, TOKENS * inputs);
    assertEquals(await project64(ctx, other, {}), together, `other padding on ${ctx.kind}`);
    const swapped = data.slice();
    swapped.copyWithin(0, inputs, 2 * inputs);
    swapped.set(data.subarray(0, inputs), inputs);
    assertNotEquals((await project64(ctx, swapped, {}))[0], together[0], "order has no influence");
  }
});

Deno.test("projectionParameters() of one seed are the same and of another differ", () => {
  const first = projectionParameters(SIZES, 3);
  assertEquals(projectionParameters(SIZES, 3), first);
  const other = projectionParameters(SIZES, 4);
  for (const [i, { name, data }] of first.entries()) {
    if (!name.includes("norm")) assertNotEquals(other[i]!.data, data, name);
  }
});
