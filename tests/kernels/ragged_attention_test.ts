import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  raggedAttention,
  raggedAttentionBytes,
  raggedAttentionFlops,
  raggedAttentionGradient,
  raggedAttentionGradientBytes,
  raggedAttentionGradientFlops,
  type RaggedAttentionOptions,
} from "../../kernels/ragged_attention/mod.ts";
import { layoutOf, tileFor } from "../../kernels/ragged_attention/_plan.ts";
import { attendLists, attendListsGradient } from "../../kernels/ragged_attention/reference.ts";
import { randomUniform } from "../../kernels/random/mod.ts";
import {
  type Context,
  DTypeError,
  Host,
  Scalar,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest, type GpuTestContext } from "../_support/gpu.ts";
import { assertClose, TOLERANCE, type Tolerance } from "../_support/tolerance.ts";
import { noise, noise64, SEED } from "./_pointwise.ts";

type Way = Pick<RaggedAttentionOptions, "variant" | "tile">;

/** Every way to run it. */
const WAYS: readonly Way[] = [
  { variant: "naive" },
  { variant: "tiled" },
  { variant: "register", tile: "small" },
  { variant: "register", tile: "large" },
];
const [NAIVE, TILED, SMALL] = WAYS as [Way, Way, Way];

/** Lists and heads. */
interface Case {
  readonly heads: number;
  readonly dimension: number;
  readonly lengths: readonly number[];
  /** Keys of each list, for cross-attention. */
  readonly keyLengths?: readonly number[];
  /** Rows after the last list. */
  readonly padding?: number;
  readonly keyPadding?: number;
  readonly scale?: number;
  readonly dropout?: RaggedAttentionOptions["dropout"];
  readonly tolerance?: Tolerance;
  /** Ways to run it, all by default; wide heads take seconds to compile. */
  readonly ways?: readonly Way[];
}

/** Where lists of given lengths begin, and the end of the last. */
function offsetsOf(lengths: readonly number[]): Int32Array<ArrayBuffer> {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, list) => offsets[list + 1] = offsets[list]! + length);
  return offsets;
}

/** Random rows, and rows of NaN for padding, which no result may show. */
function rowsOf(
  ctx: Context,
  [rows, padding, width]: readonly [number, number, number],
  seed: number,
): Tensor {
  const data = new Float32Array((rows + padding) * width).fill(NaN);
  data.set(noise(rows * width, { seed, low: -2, high: 2 }));
  return ctx.upload(data, [rows + padding, width]);
}

/** Forward pass and gradient of a case: y, logSumExp, dQ, dK, dV. */
function run(ctx: Context, of: Case, way: Way = {}): Tensor[] {
  const { heads, dimension, lengths, keyLengths, scale, dropout } = of;
  const width = heads * dimension;
  const offsets = offsetsOf(lengths);
  const keyOffsets = keyLengths && offsetsOf(keyLengths);
  const padding = of.padding ?? 0;
  const keyPadding = keyLengths === undefined ? padding : of.keyPadding ?? 0;
  const queries = [offsets.at(-1)!, padding, width] as const;
  const keys = [(keyOffsets ?? offsets).at(-1)!, keyPadding, width] as const;
  const inputs = {
    q: rowsOf(ctx, queries, SEED),
    k: rowsOf(ctx, keys, SEED + 1),
    v: rowsOf(ctx, keys, SEED + 2),
    offsets: ctx.upload(offsets, [offsets.length]),
    ...(keyOffsets && { keyOffsets: ctx.upload(keyOffsets, [keyOffsets.length]) }),
  };
  const options = {
    heads,
    maxLength: Math.max(1, ...lengths),
    maxKeys: Math.max(1, ...keyLengths ?? lengths),
    scale,
    dropout,
    ...way,
  };
  const dY = rowsOf(ctx, queries, SEED + 3);
  const { y, logSumExp } = raggedAttention(ctx, inputs, options);
  const { dQ, dK, dV } = raggedAttentionGradient(ctx, { ...inputs, y, logSumExp, dY }, options);
  return [y, logSumExp, dQ, dK, dV];
}

const RESULTS = ["y", "logSumExp", "dQ", "dK", "dV"];

/** Runs every case twice in every way: near the reference, and both runs equal bit by bit. */
async function agree({ gpu, host }: GpuTestContext, cases: readonly Case[]): Promise<void> {
  for (const of of cases) {
    const expected = run(host, of).map(({ data }) => data);
    for (const way of of.ways ?? WAYS) {
      using scope = gpu.scope();
      const results = await scope.read(...run(scope, of, way), ...run(scope, of, way));
      RESULTS.forEach((name, i) => {
        const label = `${name} of ${JSON.stringify(of)}, ${JSON.stringify(way)}`;
        assertClose(results[i]!, expected[i]!, of.tolerance ?? TOLERANCE.kernel, label);
        const again = results[i + RESULTS.length]!;
        assertClose(again, results[i]!, TOLERANCE.exact, `again ${label}`);
      });
    }
  }
}

gpuTest("raggedAttention() agrees with the reference for lists of any length", async (contexts) => {
  await agree(contexts, [
    { heads: 1, dimension: 4, lengths: [] },
    { heads: 1, dimension: 4, lengths: [], padding: 3 },
    { heads: 1, dimension: 4, lengths: [0], padding: 2 },
    { heads: 1, dimension: 4, lengths: [1] },
    { heads: 2, dimension: 8, lengths: [0, 1, 2, 0, 0, 3, 17, 4, 0], padding: 5 },
    { heads: 3, dimension: 4, lengths: [31, 33, 16, 8, 65, 64, 129], padding: 1 },
    { heads: 8, dimension: 8, lengths: [20, 1, 9], padding: 100 },
    { heads: 1, dimension: 4, lengths: Array(40).fill(1) },
  ]);
});

gpuTest("raggedAttention() takes heads of any width", async (contexts) => {
  const lengths = [5, 0, 19];
  await agree(contexts, [
    { heads: 3, dimension: 1, lengths, padding: 2 },
    { heads: 2, dimension: 3, lengths, padding: 2 },
    { heads: 3, dimension: 5, lengths, padding: 2, ways: [NAIVE, TILED, SMALL] },
    { heads: 1, dimension: 7, lengths, padding: 2, ways: [NAIVE, TILED, SMALL] },
    { heads: 2, dimension: 36, lengths, ways: [NAIVE, SMALL] },
    // Cut into parts.
    { heads: 2, dimension: 67, lengths, padding: 2, ways: [TILED] },
    { heads: 2, dimension: 132, lengths, padding: 2, ways: [NAIVE, SMALL] },
  ]);
});

gpuTest("raggedAttention() lets queries look at keys of their own", async (contexts) => {
  await agree(contexts, [
    { heads: 2, dimension: 8, lengths: [6, 6, 6], keyLengths: [1, 70, 9], keyPadding: 3 },
    { heads: 1, dimension: 8, lengths: [3, 0, 2, 5], keyLengths: [0, 4, 7, 0], padding: 4 },
    { heads: 4, dimension: 4, lengths: [0, 0], keyLengths: [3, 2], padding: 1, keyPadding: 9 },
    { heads: 1, dimension: 4, lengths: [60], keyLengths: [64] },
  ]);
});

gpuTest("raggedAttention() drops the weights that randomUniform() says", async (contexts) => {
  const dropout = { rate: 0.3, seed: 2 ** 40 + 5, stream: 7 };
  await agree(contexts, [
    { heads: 2, dimension: 4, lengths: [5, 0, 18, 1, 67], padding: 3, dropout },
    { heads: 3, dimension: 4, lengths: [4, 7], keyLengths: [9, 2], dropout },
    {
      heads: 1,
      dimension: 4,
      lengths: [33],
      dropout: { rate: 0.9, seed: new Scalar(3), stream: new Scalar(2 ** 32 - 1) },
    },
    { heads: 1, dimension: 4, lengths: [9], dropout: { ...dropout, rate: 0 } },
    // Fewer keys in an invocation than in a block of numbers.
    { heads: 1, dimension: 36, lengths: [7, 10], dropout, ways: [SMALL] },
  ]);
});

gpuTest(
  "raggedAttention() takes element (row heads + head) stride + key of a stream",
  async ({ gpu }) => {
    const [keys, heads] = [5, 2];
    const source = { seed: 11, stream: 3 };
    // One query a list, and values that show which weights are left: keys as columns of one head.
    const q = gpu.upload(new Float32Array(2 * heads * keys), [2, heads * keys]);
    const identity = Float32Array.from(
      { length: 2 * keys * heads * keys },
      (_, i) => i % keys === Math.floor(i / (heads * keys)) % keys ? 1 : 0,
    );
    const v = gpu.upload(identity, [2 * keys, heads * keys]);
    const { y } = raggedAttention(gpu, {
      q,
      k: v,
      v,
      offsets: gpu.upload(new Int32Array([0, 1, 2]), [3]),
      keyOffsets: gpu.upload(new Int32Array([0, keys, 2 * keys]), [3]),
    }, { heads, maxLength: 1, maxKeys: keys, dropout: { rate: 0.5, ...source } });
    const [mix, chances] = await gpu.read(y, randomUniform(gpu, [2 * heads * 8], source));
    mix!.forEach((weight, i) => {
      const [query, key] = [Math.floor(i / keys), i % keys];
      assertEquals(weight > 0, chances![query * 8 + key]! >= 0.5, `${i}`);
    });
  },
);

gpuTest("raggedAttention() is safe where scores are large", async (contexts) => {
  await agree(contexts, [
    { heads: 1, dimension: 4, lengths: [40, 3], scale: 40, tolerance: TOLERANCE.affine },
    { heads: 2, dimension: 4, lengths: [9], scale: 0 },
    { heads: 2, dimension: 4, lengths: [9], scale: -0.5 },
  ]);
});

gpuTest("raggedAttention() reaches the end of a long list", async (contexts) => {
  await agree(contexts, [{ heads: 1, dimension: 4, lengths: [3000], ways: [SMALL] }]);
});

gpuTest("raggedAttention() refuses lists that a software adapter cannot finish", ({ gpu }) => {
  if (!gpu.gpu.adapter.isSoftware) return;
  const x = gpu.upload(new Float32Array(4), [1, 4]);
  const offsets = gpu.upload(new Int32Array([0, 1]), [2]);
  for (const way of [NAIVE, SMALL]) {
    assertThrows(
      () =>
        raggedAttention(gpu, { q: x, k: x, v: x, offsets }, { heads: 1, maxLength: 7e4, ...way }),
      RangeError,
      "loop turns",
    );
  }
});

gpuTest("raggedAttention() lets no list see another", async ({ gpu }) => {
  const first = await gpu.read(...run(gpu, { heads: 2, dimension: 8, lengths: [7, 12] }));
  const longer = await gpu.read(...run(gpu, { heads: 2, dimension: 8, lengths: [7, 30] }));
  first.forEach((values, i) => {
    const size = 7 * (RESULTS[i] === "logSumExp" ? 2 : 16);
    assertEquals(values.slice(0, size), longer[i]!.slice(0, size), RESULTS[i]);
  });
});

Deno.test("layoutOf() covers a head of any width and keeps to what registers hold", () => {
  for (let quads = 1; quads <= 300; quads++) {
    for (const pass of ["forward", "queries", "keys"] as const) {
      for (const tile of ["small", "large"] as const) {
        const { rows, parts, spec } = layoutOf(pass, quads, { variant: "register", tile });
        const { TM, QUADS, PARTS } = spec as Record<"TM" | "QUADS" | "PARTS", number>;
        assertEquals([TM, PARTS, Math.log2(TM) % 1], [rows, parts, 0]);
        assert(QUADS * PARTS >= quads && QUADS * (PARTS - 1) < quads, `${quads} in ${PARTS}`);
        assert(TM * QUADS <= (tile === "large" ? 64 : 32), `${TM} rows of ${QUADS}`);
      }
      const { parts, spec } = layoutOf(pass, quads, { variant: "tiled", tile: "small" });
      assert(spec["QUADS"]! * parts >= quads && spec["QUADS"]! <= 16, `${quads} in ${parts}`);
    }
  }
  assertEquals([tileFor(1e6, undefined), tileFor(1e9, undefined)], ["small", "large"]);
});

Deno.test("the reference of raggedAttentionGradient() is the derivative", () => {
  const [heads, dimension] = [2, 3];
  const width = heads * dimension;
  const lists = {
    offsets: offsetsOf([2, 0, 3]),
    keyOffsets: offsetsOf([4, 1, 2]),
  };
  for (const dropout of [undefined, { rate: 0.4, seed: SEED, stream: 1 }]) {
    const problem = { heads, dimension, scale: 0.7, stride: 4, dropout };
    const attend = ([q, k, v]: Float64Array[]) => {
      const y = new Float64Array(q!.length);
      const logSumExp = new Float64Array(q!.length / dimension);
      attendLists({ q: q!, k: k!, v: v!, ...lists }, { y, logSumExp }, problem);
      return { y, logSumExp };
    };
    checkGradient({
      forward: (inputs) => attend(inputs).y,
      backward: (inputs, dY) => {
        const [q, k, v] = inputs as [Float64Array, Float64Array, Float64Array];
        const [dQ, dK, dV] = inputs.map((input) => new Float64Array(input.length));
        attendListsGradient(
          { q, k, v, ...lists, ...attend(inputs), dY },
          { dQ: dQ!, dK: dK!, dV: dV! },
          problem,
        );
        return [dQ!, dK!, dV!];
      },
      inputs: [
        noise64(5 * width),
        noise64(7 * width, { seed: 2 }),
        noise64(7 * width, { seed: 3 }),
      ],
      seed: SEED,
    });
  }
});

Deno.test("the reference of raggedAttention() agrees with a list worked out by hand", () => {
  using host = new Host();
  // Scores 0 and log 3: weights 1/4 and 3/4.
  const q = host.upload(new Float32Array([1, 0]), [2, 1]);
  const k = host.upload(new Float32Array([0, Math.log(3)]), [2, 1]);
  const v = host.upload(new Float32Array([8, 4]), [2, 1]);
  const offsets = host.upload(new Int32Array([0, 2]), [2]);
  const options = { heads: 1, maxLength: 2 };
  const { y, logSumExp } = raggedAttention(host, { q, k, v, offsets }, options);
  assertClose(y.data, [5, 6], TOLERANCE.printed);
  assertClose(logSumExp.data, [Math.log(4), Math.log(2)], TOLERANCE.printed);
});

Deno.test("raggedAttention() refuses what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(12), [3, 4]);
  const offsets = host.upload(new Int32Array([0, 3]), [2]);
  const other = host.upload(new Float32Array(8), [2, 4]);
  const narrow = host.upload(new Float32Array(6), [3, 2]);
  const call = (inputs: object, options: object = {}) =>
    raggedAttention(
      host,
      { q: x, k: x, v: x, offsets, ...inputs },
      { heads: 2, maxLength: 3, ...options },
    );
  assert(call({}).y.size === 12);
  assertThrows(() => call({ q: offsets }), DTypeError, '"q"');
  assertThrows(() => call({ k: narrow }), ShapeError, '"k"');
  assertThrows(() => call({ v: other }), ShapeError, '"v"');
  assertThrows(() => call({ offsets: x }), DTypeError, '"offsets"');
  assertThrows(() => call({ offsets: host.empty([0], "i32") }), RangeError, "offsets");
  const three = host.upload(new Int32Array(3), [3]);
  assertThrows(() => call({ keyOffsets: three }, { maxKeys: 3 }), ShapeError, '"keyOffsets"');
  assertThrows(() => call({ keyOffsets: offsets }), TypeError, '"maxKeys"');
  assertThrows(() => call({}, { heads: 3 }), RangeError, "multiple of the 3 heads");
  assertThrows(() => call({}, { heads: 0 }), RangeError, "heads");
  assertThrows(() => call({}, { maxLength: 0 }), RangeError, "maxLength");
  assertThrows(() => call({}, { maxKeys: 1.5 }), RangeError, "maxKeys");
  assertThrows(() => call({}, { scale: NaN }), RangeError, "scale");
  const dropout = { rate: 0.5, seed: 1, stream: 0 };
  assertThrows(() => call({}, { dropout: { ...dropout, rate: 1 } }), RangeError, "rate");
  assertThrows(() => call({}, { dropout: { ...dropout, seed: -1 } }), RangeError, "seed");
  assertThrows(() => call({}, { dropout: { ...dropout, stream: 2 ** 32 } }), RangeError, "stream");
});

Deno.test("raggedAttentionGradient() refuses what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(12), [3, 4]);
  const offsets = host.upload(new Int32Array([0, 3]), [2]);
  const logSumExp = host.upload(new Float32Array(6), [3, 2]);
  const call = (inputs: object) =>
    raggedAttentionGradient(
      host,
      { q: x, k: x, v: x, offsets, y: x, logSumExp, dY: x, ...inputs },
      { heads: 2, maxLength: 3 },
    );
  assertEquals(Object.keys(call({})), ["dQ", "dK", "dV"]);
  assertThrows(() => call({ y: logSumExp }), ShapeError, '"y"');
  assertThrows(() => call({ logSumExp: x }), ShapeError, '"logSumExp"');
  assertThrows(() => call({ dY: offsets }), DTypeError, '"dY"');
});

Deno.test("the costs of raggedAttention() count pairs of each list", () => {
  const shape = { heads: 2, dimension: 3, lengths: [2, 0, 5], keyLengths: [3, 4, 1] };
  assertEquals(raggedAttentionFlops(shape), 2 * 11 * 16);
  assertEquals(raggedAttentionGradientFlops(shape), 2 * 11 * 36);
  assertEquals(raggedAttentionBytes(shape), 4 * (2 * 6 * 15 + 14));
  assertEquals(raggedAttentionGradientBytes(shape), 4 * (4 * 6 * 15 + 14));
});
