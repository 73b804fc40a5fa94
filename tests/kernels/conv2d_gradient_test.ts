import { assertEquals, assertThrows } from "@std/assert";
import { convSize } from "../../kernels/conv2d/_size.ts";
import {
  conv2dDataGradientReference,
  conv2dReference,
  conv2dWeightGradientReference,
} from "../../kernels/conv2d/reference.ts";
import {
  conv2dDataGradient,
  type Conv2dDataGradientOptions,
  conv2dWeightGradient,
  type Conv2dWeightGradientOptions,
} from "../../kernels/mod.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { gpuTest, type GpuTestContext, openTestGpu } from "../_support/gpu.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { assertClose, TOLERANCE, type Tolerance } from "../_support/tolerance.ts";
import {
  type Case,
  DENSE,
  GROUPED,
  label,
  LARGE,
  LARGE_WAYS,
  numbers,
  SEED,
  shapesOf,
  WAYS,
} from "./_convolutions.ts";

type Ways = typeof WAYS;
type Run = (ctx: Context, of: Case, options?: { out?: Tensor } & Ways[number]) => Tensor;

const OPERATIONS: Readonly<Record<"conv2dDataGradient" | "conv2dWeightGradient", Run>> = {
  conv2dDataGradient: (ctx, of, options = {}) => {
    const shapes = shapesOf(of);
    return conv2dDataGradient(ctx, {
      dY: ctx.upload(numbers(shapes.y, 3), shapes.y),
      weight: ctx.upload(numbers(shapes.weight, 1), shapes.weight),
    }, { ...of, ...options });
  },
  conv2dWeightGradient: (ctx, of, options = {}) => {
    const shapes = shapesOf(of);
    return conv2dWeightGradient(ctx, {
      x: ctx.upload(numbers(shapes.x), shapes.x),
      dY: ctx.upload(numbers(shapes.y, 3), shapes.y),
    }, { ...of, ...options });
  },
};

async function agree(
  { gpu, host }: GpuTestContext,
  cases: readonly Case[],
  options: { readonly run: Run; readonly ways?: Ways; readonly tolerance?: Tolerance },
): Promise<void> {
  const { run, ways = WAYS, tolerance = TOLERANCE.kernel } = options;
  using scope = gpu.scope();
  const pending = cases.flatMap((of) => {
    const expected = run(host, of);
    return ways.map((way) => {
      const runs = [1, 2].map(() => run(scope, of, way));
      assertEquals(runs[0]!.shape, expected.shape, label(of, way));
      return { runs, expected: expected.data, label: label(of, way) };
    });
  });
  const results = await scope.read(...pending.flatMap(({ runs }) => runs));
  pending.forEach(({ expected, label }, i) => {
    assertClose(results[2 * i]!, expected, tolerance, label);
    assertClose(results[2 * i + 1]!, results[2 * i]!, TOLERANCE.exact, `second run of ${label}`);
  });
}

Deno.test("the gradients of convolutions are derivatives of the reference", () => {
  for (const of of [...DENSE, ...GROUPED]) {
    if (of.batch * of.size[0] * of.size[1] * of.channels > 2000) continue;
    const shapes = shapesOf(of);
    const size = convSize("test", of, of);
    checkGradient({
      forward: ([x, weight]) => conv2dReference({ x: x!, weight: weight! }, size),
      backward: ([x, weight], dY) => [
        conv2dDataGradientReference({ dY, weight: weight! }, size),
        conv2dWeightGradientReference({ x: x!, dY }, size),
      ],
      inputs: [shapes.x, shapes.weight].map((shape, i) => Float64Array.from(numbers(shape, i))),
      seed: SEED,
      samples: 12,
    });
  }
});

for (const [name, run] of Object.entries(OPERATIONS)) {
  gpuTest(`${name}() agrees with its reference for every geometry`, async (contexts) => {
    await agree(contexts, DENSE, { run });
  });

  gpuTest(`${name}() agrees with its reference in groups`, async (contexts) => {
    await agree(contexts, GROUPED, { run });
  });

  gpuTest(`${name}() agrees with its reference on large tiles`, async (contexts) => {
    await agree(contexts, LARGE, { run, ways: LARGE_WAYS });
  });

  gpuTest(`${name}() writes into the tensor that it is given`, async ({ gpu, host }) => {
    const of = DENSE[3]!;
    for (const ctx of [gpu, host]) {
      const out = ctx.empty(run(host, of).shape);
      assertEquals(run(ctx, of, { out }), out);
      const [values, expected] = await ctx.read(out, run(ctx, of));
      assertEquals(values, expected);
    }
  });

  Deno.test(`${name}() takes its variant from the GPU and refuses one that does not exist`, async () => {
    using gpu = await openTestGpu({ variants: { [name]: "fast" } });
    using scope = gpu.scope();
    assertThrows(() => run(scope, DENSE[2]!), RangeError, 'there is no variant "fast"');
  });
}

gpuTest(
  "gradients sum beyond the 65535 turns after which llvmpipe leaves a loop",
  async (contexts) => {
    const outputs = {
      batch: 1,
      size: [3, 3],
      channels: 2,
      outputs: 30_000,
      kernel: [3, 3],
    } as const;
    const pixels = {
      batch: 5,
      size: [1, 60_000],
      channels: 1,
      outputs: 1,
      kernel: [1, 3],
    } as const;
    const columns = { ...pixels, batch: 1, size: [1, 280_000] } as const;
    const tolerance = TOLERANCE.longSum;
    await agree(contexts, [outputs], { run: OPERATIONS.conv2dDataGradient, tolerance });
    await agree(contexts, [pixels, columns], { run: OPERATIONS.conv2dWeightGradient, tolerance });
  },
);

Deno.test("the gradients of convolutions refuse what does not fit, in words", () => {
  using host = new Host();
  const x = host.empty([1, 4, 4, 6]);
  const weight = host.empty([4, 3, 3, 6]);
  const dY = host.empty([1, 2, 2, 4]);
  type Refusal = typeof RangeError | typeof ShapeError | typeof DTypeError;
  const data = (
    inputs: Partial<Parameters<typeof conv2dDataGradient>[1]>,
    options: Partial<Conv2dDataGradientOptions>,
    [error, message]: [Refusal, string],
  ) =>
    assertThrows(
      () => conv2dDataGradient(host, { dY, weight, ...inputs }, { size: [4, 4], ...options }),
      error,
      message,
    );
  data({ dY: host.empty([2, 2, 4]) }, {}, [ShapeError, '"dY" must have shape [N, OH, OW, O]']);
  data({ weight: host.empty([4, 3, 3]) }, {}, [ShapeError, '"weight" must have shape [O, KH, KW']);
  data({ dY: host.empty([1, 2, 3, 4]) }, {}, [ShapeError, '"dY" must have shape [1, 2, 2, 4]']);
  data({}, { size: [5, 4] }, [ShapeError, '"dY" must have shape [1, 3, 2, 4]']);
  data({}, { size: [2, 4] }, [RangeError, "is larger than the padded image"]);
  data({}, { out: host.empty([1, 4, 4, 5]) }, [ShapeError, '"out" must have shape [1, 4, 4, 6]']);
  data({ dY: host.empty([1, 2, 2, 4], "i32") }, {}, [DTypeError, '"dY" must hold f32']);
  const ofWeight = (
    inputs: Partial<Parameters<typeof conv2dWeightGradient>[1]>,
    options: Partial<Conv2dWeightGradientOptions>,
    [error, message]: [Refusal, string],
  ) =>
    assertThrows(
      () => conv2dWeightGradient(host, { x, dY, ...inputs }, { kernel: [3, 3], ...options }),
      error,
      message,
    );
  ofWeight({ x: host.empty([4, 4, 6]) }, {}, [ShapeError, '"x" must have shape [N, H, W, C]']);
  ofWeight({}, { kernel: [3, 2] }, [ShapeError, '"dY" must have shape [1, 2, 3, 4]']);
  ofWeight({}, { kernel: [0, 3] }, [RangeError, '"kernel" must be whole numbers of at least 1']);
  ofWeight({}, { groups: 5 }, [RangeError, "5 groups must divide 6 channels and 4 outputs"]);
  ofWeight({}, { out: weight.reshape([4, 9, 1, 6]) }, [ShapeError, '"out" must have shape [4, 3']);
  ofWeight({ x: host.empty([1, 4, 4, 6], "u32") }, {}, [DTypeError, '"x" must hold f32']);
});
