import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  softmaxExcess,
  softmaxExcessBytes,
  softmaxExcessFlops,
} from "../../kernels/softmax_excess/mod.ts";
import { rowMaxSoftmax } from "../../kernels/row_reduce/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { MANY_ROWS, sweepRows, uniform } from "./_rows.ts";

const logits = (shape: readonly [number, number]) => uniform(shape, { low: -8, high: 12 });

for (const temperature of [1, 15, 1000, 1e6]) {
  gpuTest(
    `softmaxExcess() agrees with the reference in every layout at ${temperature}`,
    async (context) => {
      await sweepRows(context, {
        op: (ctx, x, options) => softmaxExcess(ctx, { x }, { ...options, temperature }),
        fill: logits,
      });
    },
  );
}

gpuTest("softmaxExcess() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => softmaxExcess(ctx, { x }, options),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("softmaxExcess() reaches the end of few very long rows", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => softmaxExcess(ctx, { x }, options),
    shapes: [[2, 300_001]],
    layouts: [{}],
  });
});

gpuTest("softmaxExcess() holds for equal and for extreme elements", async (context) => {
  for (const factor of [0, 1e-6, 1e4, 1e30]) {
    await sweepRows(context, {
      op: (ctx, x, options) => softmaxExcess(ctx, { x }, options),
      fill: (shape) => uniform(shape).map((value) => factor * value),
      shapes: [[5, 16], [6, 37]],
    });
  }
});

gpuTest("softmaxExcess() tells rows apart that softmax in f32 does not", async ({ gpu }) => {
  const columns = 10;
  const data = new Float32Array(2 * columns);
  // Both have the same largest element; one other element differs by a ten-thousandth.
  data.set([10, 3], 0);
  data.set([10, 3.0001], columns);
  const x = gpu.upload(data, [2, columns]);
  const temperature = 1000;
  const [softmax, excess] = await gpu.read(
    rowMaxSoftmax(gpu, { x }, { temperature }),
    softmaxExcess(gpu, { x }, { temperature }),
  );
  assertEquals(softmax![0], softmax![1]);
  assert(excess![0]! > excess![1]!);
});

Deno.test("softmaxExcess() is a function of the largest softmax that grows with it", () => {
  using host = new Host();
  const shape = [50, 7] as const;
  const x = host.upload(logits(shape), shape);
  const p = rowMaxSoftmax(host, { x }, { temperature: 20 }).data;
  const expected = Array.from(p, (value) => 20 * (1 - 1 / (7 * value)));
  assertClose(softmaxExcess(host, { x }, { temperature: 20 }).data, expected, TOLERANCE.kernel);
});

Deno.test("softmaxExcess() refuses wrong shapes, types and temperatures", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [2, 2]);
  assertThrows(() => softmaxExcess(host, { x: x.reshape([4]) }), ShapeError, "softmaxExcess");
  assertThrows(
    () => softmaxExcess(host, { x: host.upload(new Uint32Array(4), [2, 2]) }),
    DTypeError,
    "f32",
  );
  for (const temperature of [0, -1, NaN, Infinity]) {
    assertThrows(() => softmaxExcess(host, { x }, { temperature }), RangeError, "temperature");
  }
});

Deno.test("the reference of softmaxExcess() agrees with a row worked out by hand", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([Math.log(2), 0, 0]), [1, 3]);
  // The largest softmax is 1/2.
  assertClose(softmaxExcess(host, { x }).data, [1 - 1 / 1.5], TOLERANCE.printed);
});

Deno.test("softmaxExcessFlops() and softmaxExcessBytes() count what it does", () => {
  assertEquals(softmaxExcessFlops({ rows: 3, columns: 5 }), 270);
  assertEquals(softmaxExcessBytes({ rows: 3, columns: 5 }), 72);
});
