import { assertEquals, assertThrows } from "@std/assert";
import {
  channelNorms,
  channelNormsBytes,
  channelNormsFlops,
} from "../../kernels/channel_norms/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { MANY_ROWS, sweepRows } from "./_rows.ts";

gpuTest("channelNorms() agrees with the reference in every layout", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => {
      const [rows, columns] = x.shape as readonly [number, number];
      return channelNorms(ctx, { map: x.reshape([rows, 1, 1, columns]) }, options);
    },
  });
});

gpuTest("channelNorms() folds grids beyond 65535 workgroups", async (context) => {
  const [rows, columns] = MANY_ROWS;
  await sweepRows(context, {
    op: (ctx, x, options) => channelNorms(ctx, { map: x.reshape([1, rows, 1, columns]) }, options),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("channelNorms() keeps images and channels apart", async ({ gpu, host }) => {
  const shape = [2, 3, 7, 5];
  const data = Float32Array.from({ length: 210 }, (_, i) => (i % 11) - 4);
  const expected = channelNorms(host, { map: host.upload(data, shape) });
  const y = channelNorms(gpu, { map: gpu.upload(data, shape) });
  assertEquals(y.shape, [2, 3]);
  assertClose((await gpu.read(y))[0]!, expected.data, TOLERANCE.kernel);
});

gpuTest("channelNorms() of maps without a positive number is zero", async ({ gpu }) => {
  const map = gpu.upload(new Float32Array(2 * 49).fill(-1), [1, 2, 7, 7]);
  assertEquals([...(await gpu.read(channelNorms(gpu, { map })))[0]!], [0, 0]);
});

Deno.test("channelNorms() refuses wrong shapes and types", () => {
  using host = new Host();
  const matrix = host.upload(new Float32Array(4), [2, 2]);
  assertThrows(() => channelNorms(host, { map: matrix }), ShapeError, "[images, channels");
  const empty = host.upload(new Float32Array(0), [2, 3, 0, 4]);
  assertThrows(() => channelNorms(host, { map: empty }), ShapeError, "at least one pixel");
  const whole = host.upload(new Int32Array(4), [1, 1, 2, 2]);
  assertThrows(() => channelNorms(host, { map: whole }), DTypeError, "f32");
});

Deno.test("the reference of channelNorms() agrees with maps worked out by hand", () => {
  using host = new Host();
  const map = host.upload(new Float32Array([3, 4, -9, 0, -1, -2, 5, 12]), [1, 2, 2, 2]);
  assertEquals([...channelNorms(host, { map }).data], [5, 13]);
});

Deno.test("channelNormsFlops() and channelNormsBytes() count what the lengths take", () => {
  assertEquals(channelNormsFlops({ rows: 3, columns: 5 }), 45);
  assertEquals(channelNormsBytes({ rows: 3, columns: 5 }), 72);
});
