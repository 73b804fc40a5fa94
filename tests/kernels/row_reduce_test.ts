import { assert, assertEquals, assertThrows } from "@std/assert";
import { planRows } from "../../kernels/_rows.ts";
import {
  rowArgmax,
  rowLogSumExp,
  rowMax,
  rowMaxSoftmax,
  rowMean,
  rowReduceBytes,
  rowReduceFlops,
  rowSum,
} from "../../kernels/row_reduce/mod.ts";
import { DTypeError, Gpu, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { LAYOUTS, MANY_ROWS, sweepRows, uniform } from "./_rows.ts";

const OPERATIONS = { rowSum, rowMean, rowMax, rowArgmax, rowLogSumExp, rowMaxSoftmax } as const;
const NAMES = Object.keys(OPERATIONS) as (keyof typeof OPERATIONS)[];

for (const name of NAMES) {
  gpuTest(`${name}() agrees with the reference in every layout`, async (context) => {
    await sweepRows(context, { op: (ctx, x, options) => OPERATIONS[name](ctx, { x }, options) });
  });
}

gpuTest("rowSum() folds grids beyond 65535 workgroups", async (context) => {
  await sweepRows(context, {
    op: (ctx, x, options) => rowSum(ctx, { x }, options),
    shapes: [MANY_ROWS],
    layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree", lanes: 64 }],
  });
});

gpuTest("rowSum() and rowLogSumExp() keep their digits over a million columns", async (context) => {
  const shapes = [[2, 1_000_000]] as const;
  const layouts = [{}, { variant: "tree", lanes: 8 }, { variant: "tree", lanes: 256 }] as const;
  const fill = (shape: readonly [number, number]) => uniform(shape, { low: 0, high: 1 });
  await sweepRows(context, {
    op: (ctx, x, options) => rowSum(ctx, { x }, options),
    shapes,
    layouts,
    fill,
  });
  await sweepRows(context, {
    op: (ctx, x, options) => rowLogSumExp(ctx, { x }, options),
    shapes,
    layouts,
    fill,
  });
});

gpuTest("rowArgmax() gives the lowest of equal maxima", async ({ gpu }) => {
  const data = new Float32Array(3 * 1001).fill(-2);
  for (const c of [7, 8, 300, 1000]) data[c] = 1; // row 0: four maxima
  data[1001 + 1000] = 1; // row 1: only the last
  const x = gpu.upload(data, [3, 1001]); // row 2: all equal
  for (const options of LAYOUTS) {
    const [index] = await gpu.read(rowArgmax(gpu, { x }, options));
    assertEquals([...index!], [7, 1000, 0], JSON.stringify(options));
  }
});

gpuTest(
  "rowLogSumExp() and rowMaxSoftmax() hold at extreme logits and temperatures",
  async (context) => {
    const extremes = (shape: readonly [number, number]) =>
      uniform(shape).map((value) => Math.sign(value) * 1e4);
    const shapes = [[4, 3], [5, 16], [3, 100], [3, 1001]] as const;
    for (const temperature of [0.5, 1, 1000]) {
      for (const op of [rowLogSumExp, rowMaxSoftmax]) {
        for (const fill of [extremes, uniform]) {
          await sweepRows(context, {
            op: (ctx, x, options) => op(ctx, { x }, { ...options, temperature }),
            shapes,
            fill,
            layouts: [{ variant: "naive" }, { variant: "serial" }, { variant: "tree" }],
          });
        }
      }
    }
  },
);

gpuTest("rowLogSumExp() ignores what is minus infinity", async ({ gpu }) => {
  const x = gpu.upload(new Float32Array([-Infinity, 1, -Infinity, 1, -Infinity]), [1, 5]);
  for (const options of LAYOUTS) {
    const [y] = await gpu.read(rowLogSumExp(gpu, { x }, options));
    assertClose(y!, [1 + Math.log(2)], TOLERANCE.kernel, JSON.stringify(options));
  }
});

gpuTest("rowLogSumExp() moves with a shift of its row", async ({ gpu }) => {
  const shape = [9, 37] as const;
  const data = uniform(shape);
  const [y, shifted] = await gpu.read(
    rowLogSumExp(gpu, { x: gpu.upload(data, shape) }),
    rowLogSumExp(gpu, { x: gpu.upload(data.map((value) => value + 8), shape) }),
  );
  assertClose(shifted!, y!.map((value) => value + 8), TOLERANCE.kernel);
});

gpuTest("a row's result does not depend on the rows around it", async ({ gpu }) => {
  const columns = 101;
  const data = uniform([40, columns]);
  const row = data.slice(17 * columns, 18 * columns);
  for (const options of LAYOUTS) {
    const [all, alone] = await gpu.read(
      rowLogSumExp(gpu, { x: gpu.upload(data, [40, columns]) }, options),
      rowLogSumExp(gpu, { x: gpu.upload(row, [1, columns]) }, options),
    );
    assertEquals(alone![0], all![17], JSON.stringify(options));
  }
});

const TURNS = { naive: 2, main: 2 };

Deno.test("planRows() gives a row to an invocation on software, and to several lanes elsewhere", () => {
  assertEquals(planRows({ rows: 4096, columns: 1000 }, { software: true, turns: TURNS }), {
    variant: "serial",
    workgroup: 8,
    lanes: 1,
  });
  const real = { software: false, turns: TURNS };
  assertEquals(planRows({ rows: 4096, columns: 1000 }, real).lanes, 64);
  assertEquals(planRows({ rows: 4096, columns: 10 }, real), {
    variant: "tree",
    workgroup: 64,
    lanes: 2,
  });
  assertEquals(planRows({ rows: 4096, columns: 100 }, real).lanes, 16);
  assertEquals(planRows({ rows: 4, columns: 4096 }, real), {
    variant: "tree",
    workgroup: 256,
    lanes: 256,
  });
});

Deno.test("planRows() never gives few or very long rows to single invocations", () => {
  for (const software of [true, false]) {
    for (const rows of [3, 100]) {
      const plan = planRows({ rows, columns: 1_000_000 }, { software, turns: TURNS });
      assertEquals(plan.variant, "tree", `${rows} rows`);
    }
  }
});

Deno.test("planRows() keeps loops within what a software adapter runs", () => {
  const software = { software: true, turns: { naive: 36, main: 20 } };
  assertEquals(planRows({ rows: 1, columns: 1_000_000 }, software).lanes, 128);
  assertThrows(
    () => planRows({ rows: 20, columns: 2000 }, { ...software, variant: "naive" }),
    RangeError,
    "72000 loop turns",
  );
  assertThrows(
    () => planRows({ rows: 1, columns: 10_000_000 }, software),
    RangeError,
    "with 256 lanes",
  );
});

Deno.test("planRows() makes layouts that the kernels can run", () => {
  for (const software of [true, false]) {
    for (const variant of [undefined, "naive", "serial", "tree"]) {
      for (const columns of [1, 2, 3, 4, 9, 64, 65, 500, 4095, 4096, 30_000]) {
        const plan = planRows({ rows: 20, columns }, { software, variant, turns: TURNS });
        assert(Number.isInteger(Math.log2(plan.lanes)), `${plan.lanes} lanes`);
        assert(plan.workgroup % plan.lanes === 0 && plan.workgroup <= 256, `${plan.workgroup}`);
      }
    }
  }
});

Deno.test("planRows() refuses a variant or a number of lanes that does not exist", () => {
  const shape = { rows: 1, columns: 1 };
  const target = { software: true, turns: TURNS };
  assertThrows(() => planRows(shape, { ...target, variant: "fast" }), RangeError, '"fast"');
  for (const lanes of [0, 1, 3, 512, 2.5]) {
    assertThrows(
      () => planRows(shape, { ...target, variant: "tree", lanes }),
      RangeError,
      "power of two",
    );
  }
});

gpuTest("a GPU's own variant is used, and an option goes before it", async ({ gpu }) => {
  // The same device under another Gpu, which forces a variant that does not exist.
  using forced = await Gpu.open({ device: gpu.gpu.device, variants: { rowSum: "missing" } });
  using x = forced.upload(new Float32Array([1, 2]), [1, 2]);
  assertThrows(() => rowSum(forced, { x }), RangeError, '"missing"');
  using y = rowSum(forced, { x }, { variant: "serial" });
  assertEquals([...(await forced.read(y))[0]!], [3]);
});

Deno.test("row reductions refuse wrong shapes, types and temperatures", () => {
  using host = new Host();
  const matrix = host.upload(new Float32Array(4), [2, 2]);
  const vector = host.upload(new Float32Array(4), [4]);
  const empty = host.upload(new Float32Array(0), [2, 0]);
  const whole = host.upload(new Int32Array(4), [2, 2]);
  for (const name of NAMES) {
    assertThrows(() => OPERATIONS[name](host, { x: vector }), ShapeError, name);
    assertThrows(() => OPERATIONS[name](host, { x: empty }), ShapeError, "at least one column");
    assertThrows(() => OPERATIONS[name](host, { x: whole }), DTypeError, "f32");
  }
  for (const temperature of [0, -1, NaN, Infinity]) {
    assertThrows(
      () => rowLogSumExp(host, { x: matrix }, { temperature }),
      RangeError,
      "must be a positive number",
    );
  }
});

Deno.test("the reference reduces rows worked out by hand", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([1, 2, 3, -1, -1, -4]), [2, 3]);
  const of = (name: keyof typeof OPERATIONS) => [...OPERATIONS[name](host, { x }).data];
  assertEquals(of("rowSum"), [6, -6]);
  assertEquals(of("rowMean"), [2, -2]);
  assertEquals(of("rowMax"), [3, -1]);
  assertEquals(of("rowArgmax"), [2, 0]);
  assertClose(of("rowLogSumExp"), [3.407606, -0.282264], TOLERANCE.printed);
  assertClose(of("rowMaxSoftmax"), [0.665241, 0.487856], TOLERANCE.printed);
});

Deno.test("rowReduceFlops() and rowReduceBytes() count what a reduction does", () => {
  assertEquals(rowReduceFlops({ rows: 3, columns: 5 }, "rowMax"), 15);
  assertEquals(rowReduceFlops({ rows: 3, columns: 5 }, "rowLogSumExp"), 60);
  assertEquals(rowReduceBytes({ rows: 3, columns: 5 }), 72);
});
