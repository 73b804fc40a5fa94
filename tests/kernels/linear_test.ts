import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  linear,
  linearBytes,
  linearFlops,
  linearGradient,
  type LinearGradientOptions,
} from "../../kernels/matmul/linear.ts";
import { linearGradientReference } from "../../kernels/matmul/reference.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { PRODUCT_WAYS, wayOf } from "./_product_ways.ts";
import { SEED, uniform } from "./_rows.ts";

/** Rows, inputs, outputs. */
const SIZES = [
  [1, 1, 1],
  [0, 3, 2],
  [3, 4, 0],
  [2, 3, 5],
  [17, 7, 19],
  [33, 64, 10],
  [128, 37, 64],
] as const;

interface Layer {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly dY: Tensor;
}

function layer(ctx: Context, [rows, inputs, outputs]: readonly [number, number, number]): Layer {
  const matrix = (shape: readonly [number, number], seed: number) =>
    ctx.upload(uniform(shape, { seed }), shape);
  return {
    x: matrix([rows, inputs], 1),
    weight: matrix([outputs, inputs], 2),
    bias: ctx.upload(uniform([1, outputs], { seed: 3 }), [outputs]),
    dY: matrix([rows, outputs], 4),
  };
}

function all(ctx: Context, tensors: Layer, options: LinearGradientOptions = {}): Tensor[] {
  const { dX, dWeight, dBias } = linearGradient(ctx, tensors, options);
  return [linear(ctx, tensors, options), dX!, dWeight!, dBias!];
}

gpuTest("linear() and its gradients agree with the reference", async ({ gpu, host }) => {
  for (const size of SIZES) {
    const expected = all(host, layer(host, size));
    using scope = gpu.scope();
    const tensors = layer(scope, size);
    for (const way of PRODUCT_WAYS) {
      const actual = await scope.read(...all(scope, tensors, way));
      actual.forEach((values, i) => {
        const label = `${i}, ${wayOf(way)} on ${size} (seed ${SEED})`;
        assertClose(values, expected[i]!.data, TOLERANCE.kernel, label);
      });
      assertEquals(await scope.read(...all(scope, tensors, way)), actual, `second run, ${size}`);
    }
  }
});

gpuTest("linearGradient() computes what is wanted, where it is wanted", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const tensors = layer(ctx, [5, 4, 3]);
    const [outWeight, outBias] = [ctx.empty([3, 4]), ctx.empty([3])];
    const whole = linearGradient(ctx, tensors, { outWeight, outBias });
    assert(whole.dWeight === outWeight && whole.dBias === outBias);
    const some = linearGradient(ctx, tensors, { needs: { x: false, bias: false } });
    assertEquals(Object.keys(some), ["dWeight"]);
    const out = ctx.empty([5, 3]);
    assert(linear(ctx, tensors, { out }) === out);
    await ctx.read(out, outWeight, outBias);
  }
});

Deno.test("the reference's gradients are the derivatives", () => {
  const size = { rows: 4, inputs: 3, outputs: 5 };
  const point = (length: number, seed: number) => Float64Array.from(uniform([1, length], { seed }));
  checkGradient({
    forward: ([x, weight, bias]) =>
      Float64Array.from({ length: 20 }, (_, at) => {
        const [n, o] = [Math.floor(at / 5), at % 5];
        return [0, 1, 2].reduce((y, i) => y + x![3 * n + i]! * weight![3 * o + i]!, bias![o]!);
      }),
    backward: ([x, weight], dY) => {
      const [dX, dWeight, dBias] = [12, 15, 5].map((length) => new Float64Array(length));
      linearGradientReference({ x: x!, weight: weight!, dY }, { dX, dWeight, dBias }, size);
      return [dX!, dWeight!, dBias!];
    },
    inputs: [point(12, 1), point(15, 2), point(5, 3)],
    seed: SEED,
  });
});

Deno.test("linear() and linearGradient() refuse wrong shapes and types", () => {
  using host = new Host();
  const { x, weight, bias, dY } = layer(host, [5, 4, 3]);
  assertThrows(() => linear(host, { x: dY, weight }), ShapeError, '"weight"');
  assertThrows(() => linear(host, { x, weight, bias: host.empty([4]) }), ShapeError, '"bias"');
  assertThrows(() => linear(host, { x, weight, bias }, { out: x }), ShapeError, '"out"');
  assertThrows(() => linearGradient(host, { x, weight, dY: x }), ShapeError, '"dY"');
  assertThrows(
    () => linearGradient(host, { x, weight, dY }, { outWeight: bias }),
    ShapeError,
    '"outWeight"',
  );
  const whole = host.empty([5, 3], "i32");
  assertThrows(() => linearGradient(host, { x, weight, dY: whole }), DTypeError, '"dY"');
});

Deno.test("linearFlops() and linearBytes() count what a layer does", () => {
  assertEquals(linearFlops({ rows: 5, inputs: 4, outputs: 3 }), 120);
  assertEquals(linearBytes({ rows: 5, inputs: 4, outputs: 3 }), 188);
});
