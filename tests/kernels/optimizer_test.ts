import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type AdamOptions,
  adamStep,
  adamWStep,
  clipScale,
  optimizerBytes,
  optimizerFlops,
  type SgdOptions,
  sgdStep,
} from "../../kernels/optimizer/mod.ts";
import { type Context, DTypeError, Host, Scalar, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { SEED, uniform } from "./_rows.ts";
import golden from "../golden/optimizer.json" with { type: "json" };

interface Run {
  readonly optimizer: string;
  readonly options: Readonly<Record<string, number | boolean | undefined>>;
  readonly maxNorm?: number;
  readonly norms?: readonly number[];
  readonly values: readonly number[];
}

/** All steps of a run; the learning rate and the step are scalars, as a replayed step has them. */
async function steps(ctx: Context, run: Run): Promise<void> {
  const size = golden.parameters.length;
  const vector = (values: ArrayLike<number>) => ctx.upload(Float32Array.from(values), [size]);
  const parameters = vector(golden.parameters);
  const zeros = () => vector(new Float32Array(size));
  const [momentum, first, second] = [zeros(), zeros(), zeros()];
  const learningRate = new Scalar(run.options["learningRate"] as number);
  const step = new Scalar(0);
  const norms: number[] = [];
  for (const values of golden.gradients) {
    step.value++;
    const gradients = vector(values);
    let scale = {};
    if (run.maxNorm !== undefined) {
      const clip = clipScale(ctx, { gradients }, { maxNorm: run.maxNorm });
      norms.push((await ctx.read(clip.norm))[0]![0]!);
      scale = { scale: clip.scale };
    }
    const options = { ...run.options, ...scale, learningRate, step };
    switch (run.optimizer) {
      case "sgd":
        sgdStep(ctx, { parameters, gradients, momentum }, options as SgdOptions);
        break;
      case "adam":
        adamStep(ctx, { parameters, gradients, first, second }, options as AdamOptions);
        break;
      default:
        adamWStep(ctx, { parameters, gradients, first, second }, options as AdamOptions);
    }
  }
  const label = `${ctx.kind}, ${run.optimizer} ${JSON.stringify(run.options)}`;
  const [actual] = await ctx.read(parameters);
  assertClose(actual!, run.values, TOLERANCE.kernel, label);
  assertClose(norms, run.norms ?? [], TOLERANCE.kernel, `norms of ${label}`);
}

gpuTest("ten steps of every optimiser end where PyTorch's do", async ({ gpu, host }) => {
  for (const run of golden.runs as unknown as readonly Run[]) {
    await steps(host, run);
    await steps(gpu, run);
  }
});

type Step = (ctx: Context, arena: (seed: number) => ReturnType<Context["upload"]>) => void;

const STEPS: Readonly<Record<string, Step>> = {
  sgd: (ctx, arena) =>
    sgdStep(ctx, { parameters: arena(1), gradients: arena(2) }, {
      learningRate: 0.1,
      weightDecay: 0.3,
      scale: 0.5,
    }),
  momentum: (ctx, arena) =>
    sgdStep(ctx, { parameters: arena(1), gradients: arena(2), momentum: arena(3) }, {
      learningRate: 0.1,
      momentum: 0.9,
      dampening: 0.2,
      scale: new Scalar(2),
    }),
  adam: (ctx, arena) =>
    adamStep(
      ctx,
      { parameters: arena(1), gradients: arena(2), first: arena(3), second: arena(4) },
      {
        learningRate: 0.1,
        step: 1000,
        weightDecay: 0.1,
        decayed: 1,
      },
    ),
  adamW: (ctx, arena) =>
    adamWStep(
      ctx,
      { parameters: arena(1), gradients: arena(2), first: arena(3), second: arena(4) },
      {
        learningRate: 0.1,
        beta1: 0,
        step: 1,
        weightDecay: 0.1,
        scale: 3,
      },
    ),
};

gpuTest("every step changes its arenas as the reference does, twice alike", async (contexts) => {
  const { gpu, host } = contexts;
  for (const size of [1, 2, 3, 4, 31, 64, 1000, 70_001]) {
    for (const [name, step] of Object.entries(STEPS)) {
      using scope = gpu.scope();
      const arenas = (ctx: Context) => {
        const made = [1, 2, 3, 4].map((seed) =>
          ctx.upload(uniform([1, size], { seed, low: seed === 4 ? 0.01 : -1 }), [size])
        );
        step(ctx, (seed) => made[seed - 1]!);
        return ctx.read(...made);
      };
      const [expected, actual, again] = [
        await arenas(host),
        await arenas(scope),
        await arenas(scope),
      ];
      const label = `${name} of ${size} (seed ${SEED})`;
      expected.forEach((values, i) => {
        assertClose(actual[i]!, values, TOLERANCE.kernel, `arena ${i}, ${label}`);
      });
      assertEquals(again, actual, `second run of ${label}`);
    }
  }
});

gpuTest("adamStep() keeps the digits of the first steps' corrections", async ({ gpu, host }) => {
  for (const step of [1, 2, 10, 300, 700, 100_000]) {
    const run = (ctx: Context) => {
      const parameters = ctx.upload(new Float32Array(4), [4]);
      const gradients = ctx.upload(new Float32Array([1e-3, 1, 10, -5]), [4]);
      const first = ctx.upload(new Float32Array([1e-3, 1, 10, -5]), [4]);
      const second = ctx.upload(new Float32Array([1e-6, 1, 100, 25]), [4]);
      adamStep(ctx, { parameters, gradients, first, second }, {
        learningRate: 1,
        step,
        beta2: 0.9999,
      });
      return ctx.read(parameters);
    };
    assertClose((await run(gpu))[0]!, (await run(host))[0]!, TOLERANCE.kernel, `step ${step}`);
  }
});

gpuTest("clipScale() agrees with the reference at every length", async ({ gpu, host }) => {
  for (const size of [0, 1, 2, 3, 4, 5, 31, 1000, 262_147, 3_000_001]) {
    for (const maxNorm of [0.5, 1e6]) {
      const data = uniform([1, size]);
      using scope = gpu.scope();
      const expected = clipScale(host, { gradients: host.upload(data, [size]) }, { maxNorm });
      const gradients = scope.upload(data, [size]);
      const runs = [1, 2].map(() => clipScale(scope, { gradients }, { maxNorm }));
      const [scale, norm, scaleAgain, normAgain] = await scope.read(
        ...runs.flatMap((run) => [run.scale, run.norm]),
      );
      assertClose(scale!, expected.scale.data, TOLERANCE.kernel, `scale of ${size}`);
      assertClose(norm!, expected.norm.data, TOLERANCE.kernel, `norm of ${size}`);
      assertEquals([scaleAgain, normAgain], [scale, norm]);
    }
  }
});

gpuTest("sgdStep() is one dispatch", ({ gpu }) => {
  const arena = () => gpu.upload(new Float32Array(64), [64]);
  const [parameters, gradients, momentum] = [arena(), arena(), arena()];
  const before = gpu.gpu.counters().dispatches;
  sgdStep(gpu, { parameters, gradients, momentum }, { learningRate: 1, momentum: 0.9 });
  assertEquals(gpu.gpu.counters().dispatches - before, 1);
});

Deno.test("the steps refuse wrong shapes, types and numbers", () => {
  using host = new Host();
  const [p, g, first, second] = [
    host.empty([3]),
    host.empty([3]),
    host.empty([3]),
    host.empty([3]),
  ];
  const two = host.empty([2]);
  const adam = { parameters: p, gradients: g, first, second };
  const sgd = { parameters: p, gradients: g };
  const rate = { learningRate: 1 };
  const step = { ...rate, step: 1 };
  assertThrows(() => sgdStep(host, { ...sgd, gradients: two }, rate), ShapeError, '"gradients"');
  assertThrows(() => sgdStep(host, { ...sgd, parameters: p.reshape([1, 3]) }, rate), ShapeError);
  assertThrows(() => sgdStep(host, { ...sgd, momentum: two }, rate), ShapeError, '"momentum"');
  assertThrows(() => sgdStep(host, sgd, { ...rate, scale: two }), ShapeError, '"scale"');
  assertThrows(() => sgdStep(host, sgd, { ...rate, momentum: 0.9 }), RangeError, "its tensor");
  assertThrows(() => sgdStep(host, sgd, { ...rate, nesterov: true }), RangeError, "nesterov");
  assertThrows(() => sgdStep(host, sgd, { learningRate: -1 }), RangeError, '"learningRate"');
  assertThrows(() => sgdStep(host, sgd, { ...rate, decayed: 4 }), RangeError, '"decayed"');
  assertThrows(() => sgdStep(host, sgd, { ...rate, dampening: 1.5 }), RangeError, '"dampening"');
  const whole = host.empty([3], "i32");
  assertThrows(() => adamStep(host, { ...adam, first: whole }, step), DTypeError, '"first"');
  assertThrows(() => adamWStep(host, { ...adam, second: two }, step), ShapeError, '"second"');
  assertThrows(() => adamStep(host, adam, { ...rate, step: 0 }), RangeError, "counts from 1");
  assertThrows(() => adamStep(host, adam, { ...step, beta1: 1 }), RangeError, '"beta1"');
  assertThrows(() => adamStep(host, adam, { ...step, epsilon: NaN }), RangeError, '"epsilon"');
  assertThrows(() => clipScale(host, { gradients: p }, { maxNorm: 0 }), RangeError, '"maxNorm"');
  assertThrows(
    () => clipScale(host, { gradients: host.empty([1, 3]) }, { maxNorm: 1 }),
    ShapeError,
    '"gradients"',
  );
});

Deno.test("optimizerFlops() and optimizerBytes() count what a step does", () => {
  assertEquals(optimizerFlops({ parameters: 10, step: "adam" }), 160);
  assertEquals(optimizerBytes({ parameters: 10, step: "momentum" }), 200);
  assert(optimizerBytes({ parameters: 10, step: "clip" }) === 40);
});
