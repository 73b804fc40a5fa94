import { assertEquals, assertThrows } from "@std/assert";
import { softmax, softmaxBytes, softmaxFlops } from "../../kernels/softmax/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { LAYOUTS, MANY_ROWS, sweepRows, uniform } from "./_rows.ts";

gpuTest("softmax() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, { op: (ctx, x, options) => softmax(ctx, { x }, options) });
});

gpuTest("softmax() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => softmax(ctx, { x }, options),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("softmax() holds at extreme logits, equal logits and temperatures", async (context) => {
  const fills = [
    uniform,
    (shape: readonly [number, number]) => uniform(shape).map((value) => Math.sign(value) * 1e4),
    (shape: readonly [number, number]) => uniform(shape).fill(-1e4),
  ];
  for (const temperature of [0.5, 1, 1000]) {
    for (const fill of fills) {
      await sweepRows(context, {
        op: (ctx, x, options) => softmax(ctx, { x }, { ...options, temperature }),
        shapes: [[4, 3], [5, 16], [3, 100], [3, 1001]],
        layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree" }],
        fill,
      });
    }
  }
});

gpuTest("softmax() reaches the end of few very long rows", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => softmax(ctx, { x }, options),
    shapes: [[2, 300_001]],
    layouts: [{}],
    tolerance: TOLERANCE.kernel,
  });
});

gpuTest("softmax() rows sum to one, and do not move with a shift", async ({ gpu }) => {
  const shape = [33, 101] as const;
  const data = uniform(shape, { low: -8, high: 8 });
  for (const options of LAYOUTS) {
    const [y, shifted] = await gpu.read(
      softmax(gpu, { x: gpu.upload(data, shape) }, options),
      softmax(gpu, { x: gpu.upload(data.map((value) => value + 16), shape) }, options),
    );
    const sums = Array.from({ length: shape[0] }, (_, r) => {
      let sum = 0;
      for (const p of y!.subarray(r * shape[1], (r + 1) * shape[1])) sum += p;
      return sum;
    });
    assertClose(sums, sums.map(() => 1), TOLERANCE.kernel, JSON.stringify(options));
    assertClose(shifted!, y!, TOLERANCE.kernel, JSON.stringify(options));
  }
});

gpuTest("softmax() moves with a permutation of its columns", async ({ gpu }) => {
  const shape = [5, 64] as const;
  const data = uniform(shape);
  const reversed = (values: ArrayLike<number>) =>
    Float32Array.from(
      { length: values.length },
      (_, i) => values[i - i % shape[1] + shape[1] - 1 - i % shape[1]]!,
    );
  const [y, other] = await gpu.read(
    softmax(gpu, { x: gpu.upload(data, shape) }),
    softmax(gpu, { x: gpu.upload(reversed(data), shape) }),
  );
  assertClose(other!, reversed(y!), TOLERANCE.kernel);
});

Deno.test("softmax() refuses wrong shapes, types and temperatures", () => {
  using host = new Host();
  const matrix = host.upload(new Float32Array(4), [2, 2]);
  const empty = host.upload(new Float32Array(0), [2, 0]);
  assertThrows(() => softmax(host, { x: empty }), ShapeError, "at least one column");
  assertThrows(() => softmax(host, { x: matrix.reshape([4]) }), ShapeError, "[rows, columns]");
  assertThrows(
    () => softmax(host, { x: host.upload(new Uint32Array(4), [2, 2]) }),
    DTypeError,
    "f32",
  );
  assertThrows(() => softmax(host, { x: matrix }, { temperature: 0 }), RangeError, "temperature");
});

Deno.test("the reference of softmax() agrees with a row worked out by hand", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([1, 2, 3]), [1, 3]);
  assertClose(softmax(host, { x }).data, [0.090031, 0.244728, 0.665241], TOLERANCE.printed);
});

Deno.test("softmaxFlops() and softmaxBytes() count what a softmax does", () => {
  assertEquals(softmaxFlops({ rows: 3, columns: 5 }), 75);
  assertEquals(softmaxBytes({ rows: 3, columns: 5 }), 120);
});
