import { assertEquals, assertThrows } from "@std/assert";
import {
  gatedProduct,
  gatedProductBytes,
  gatedProductFlops,
  type GatedProductInputs,
  type GatedProductSize,
} from "../../kernels/gated_product/mod.ts";
import { matmul } from "../../kernels/matmul/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 17;
const VARIANTS = ["naive", "register"] as const;
const SHAPES: readonly GatedProductSize[] = [
  { rows: 0, classes: 3, channels: 4 },
  { rows: 1, classes: 1, channels: 1 },
  { rows: 3, classes: 7, channels: 5 },
  { rows: 4, classes: 8, channels: 16 },
  { rows: 5, classes: 9, channels: 17 },
  { rows: 33, classes: 10, channels: 64 },
  { rows: 67, classes: 101, channels: 33 },
  { rows: 70_001, classes: 2, channels: 3 },
];

/** Uniform arrays; a third of the gates is negative, and bounds have either sign. */
function arraysOf(size: GatedProductSize) {
  const { rows, classes, channels } = size;
  const rng = new Rng(SEED);
  const draw = (count: number) => Float32Array.from({ length: count }, () => 2 * rng.uniform() - 1);
  const gates = draw(classes * channels).map((value) => value < -1 / 3 ? -1 : Math.abs(value));
  return {
    features: draw(rows * channels),
    weight: draw(classes * channels),
    bias: draw(classes),
    gates,
    bounds: draw(classes).map((value) => 0.2 * value),
    index: Uint32Array.from({ length: rows }, () => rng.integer(classes)),
  };
}

function upload(
  ctx: Context,
  arrays: ReturnType<typeof arraysOf>,
  size: GatedProductSize,
): Required<GatedProductInputs> {
  const { rows, classes, channels } = size;
  return {
    features: ctx.upload(arrays.features, [rows, channels]),
    weight: ctx.upload(arrays.weight, [classes, channels]),
    bias: ctx.upload(arrays.bias, [classes]),
    mask: {
      gates: ctx.upload(arrays.gates, [classes, channels]),
      bounds: ctx.upload(arrays.bounds, [classes]),
      index: ctx.upload(arrays.index, [rows]),
    },
  };
}

for (const size of SHAPES) {
  const name = `${size.rows} x ${size.channels} x ${size.classes}`;
  gpuTest(`gatedProduct() agrees with the reference for ${name}`, async ({ gpu, host }) => {
    const arrays = arraysOf(size);
    const onHost = upload(host, arrays, size);
    const onGpu = upload(gpu, arrays, size);
    const { features, weight } = onGpu;
    const expected = gatedProduct(host, onHost, { clip: 0.6 }).data;
    const plain = gatedProduct(host, { features: onHost.features, weight: onHost.weight }).data;
    const results: Record<string, ArrayLike<number>> = {};
    for (const variant of VARIANTS) {
      const [masked, again, bare] = await gpu.read(
        gatedProduct(gpu, onGpu, { clip: 0.6, variant }),
        gatedProduct(gpu, onGpu, { clip: 0.6, variant }),
        gatedProduct(gpu, { features, weight }, { variant }),
      );
      assertClose(masked!, expected, TOLERANCE.kernel, `${variant}, seed ${SEED}`);
      assertClose(again!, masked!, TOLERANCE.exact, `${variant} twice`);
      assertClose(bare!, plain, TOLERANCE.kernel, `${variant} without a mask`);
      results[variant] = masked!;
    }
    assertClose(results["register"]!, results["naive"]!, TOLERANCE.exact, "tile against single");
  });
}

gpuTest("gatedProduct() leaves out a product that is the bound itself", async ({ gpu, host }) => {
  const size = { rows: 200, classes: 11, channels: 21 };
  const arrays = arraysOf(size);
  // Each bound is one of the rounded products that it is compared with.
  const bounds = arrays.bounds.map((_, i) => {
    const c = i % size.channels;
    const gate = arrays.gates[i * size.channels + c]!;
    return Math.fround(arrays.weight[3 * size.channels + c]! * gate);
  });
  const tied = { ...arrays, bounds };
  const expected = gatedProduct(host, upload(host, tied, size)).data;
  for (const variant of VARIANTS) {
    const [z] = await gpu.read(gatedProduct(gpu, upload(gpu, tied, size), { variant }));
    assertClose(z!, expected, TOLERANCE.kernel, variant);
  }
});

Deno.test("gatedProduct() without a mask is a matrix product", () => {
  using host = new Host();
  const size = { rows: 6, classes: 5, channels: 9 };
  const { features, weight, bias } = upload(host, arraysOf(size), size);
  const expected = matmul(host, { a: features, b: weight, bias }, { transposeB: true }).data;
  const z = gatedProduct(host, { features, weight, bias }).data;
  assertClose(z, expected as Float32Array, TOLERANCE.kernel);
});

Deno.test("gatedProduct() refuses wrong shapes, types, clips and lengths", () => {
  using host = new Host();
  const size = { rows: 2, classes: 3, channels: 4 };
  const inputs = upload(host, arraysOf(size), size);
  const { mask } = inputs;
  const floats = (...shape: number[]) => host.empty(shape);
  const wrong: [Partial<GatedProductInputs>, string][] = [
    [{ features: floats(2) }, "features"],
    [{ weight: floats(3, 5) }, "weight"],
    [{ bias: floats(4) }, "bias"],
    [{ mask: { ...mask, gates: floats(3, 5) } }, "gates"],
    [{ mask: { ...mask, bounds: floats(4) } }, "bounds"],
    [{ mask: { ...mask, index: host.empty([3], "u32") } }, "index"],
  ];
  for (const [change, says] of wrong) {
    assertThrows(() => gatedProduct(host, { ...inputs, ...change }), ShapeError, says);
  }
  assertThrows(
    () => gatedProduct(host, { ...inputs, mask: { ...mask, index: floats(2) } }),
    DTypeError,
    "index",
  );
  assertThrows(() => gatedProduct(host, inputs, { clip: NaN }), RangeError, "clip");
});

Deno.test("the reference of gatedProduct() agrees with rows worked out by hand", () => {
  using host = new Host();
  const features = host.upload(new Float32Array([1, 2, 1, 9]), [2, 2]);
  const weight = host.upload(new Float32Array([1, 2, 3, -4]), [2, 2]);
  const mask = {
    gates: host.upload(new Float32Array([1, 1, 2, -1]), [2, 2]),
    bounds: host.upload(new Float32Array([1, 5]), [2]),
    index: host.upload(new Uint32Array([0, 1]), [2]),
  };
  // The first row keeps weights above 1; the second 2 w > 5 of its first feature alone.
  const z = gatedProduct(host, { features, weight, mask }, { clip: 1.5 }).data;
  assertClose(z, [3, 3, 0, 3], TOLERANCE.exact);
});

Deno.test("gatedProductFlops() and gatedProductBytes() count what it does", () => {
  assertEquals(gatedProductFlops({ rows: 2, classes: 5, channels: 3 }), 120);
  assertEquals(gatedProductBytes({ rows: 2, classes: 5, channels: 3 }), 232);
});
