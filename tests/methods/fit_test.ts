import { sumOfProducts } from "../../methods/_fit.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 12;

gpuTest("sumOfProducts() on the GPU agrees with float64 on the host", async ({ gpu, host }) => {
  const columns = 70;
  const rng = new Rng(SEED);
  const pieces = [300, 1, 129].map((rows) =>
    Float64Array.from({ length: rows * columns }, () => Math.fround(rng.normal()))
  );
  async function* chunks(): AsyncGenerator<Float64Array<ArrayBuffer>> {
    for (const piece of pieces) yield await Promise.resolve(piece);
  }
  const onHost = await sumOfProducts(host, chunks(), { rows: 430, columns });
  // So many rows are announced that the host alone would take too long.
  const onGpu = await sumOfProducts(gpu, chunks(), { rows: 1e9, columns });
  assertClose(onGpu, onHost, TOLERANCE.gram, `seed ${SEED}`);
});
