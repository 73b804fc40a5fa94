import { assert, assertEquals } from "@std/assert";
import { compactTokens, type CompactTokensInputs } from "../../kernels/object_mask/compact.ts";
import { Rng } from "../../kernels/random/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 5;

interface Size {
  readonly images: number;
  readonly outputs: number;
  readonly tokens: number;
  readonly columns: number;
}

function arraysOf({ images, outputs, tokens, columns }: Size, stream: number) {
  const rng = new Rng(SEED, stream);
  const floats = (length: number) => Float32Array.from({ length }, () => rng.uniform());
  return {
    tokens: floats(images * tokens * columns),
    attention: floats(images * outputs * tokens),
    tagLogits: floats(images * outputs),
  };
}

function upload(ctx: Context, size: Size, stream = 0): CompactTokensInputs {
  const { images, outputs, tokens, columns } = size;
  const arrays = arraysOf(size, stream);
  return {
    tokens: ctx.upload(arrays.tokens, [images, tokens, columns]),
    attention: ctx.upload(arrays.attention, [images, outputs, tokens]),
    tagLogits: ctx.upload(arrays.tagLogits, [images, outputs]),
    tags: ctx.upload(Int32Array.from({ length: outputs }, (_, v) => v), [outputs]),
    thresholds: ctx.upload(new Float32Array(outputs).fill(0.6), [outputs]),
  };
}

gpuTest("compactTokens() gives the object tokens of a batch", async ({ gpu, host }) => {
  const size: Size = { images: 21, outputs: 3, tokens: 49, columns: 20 };
  for (const capacity of [undefined, 300, 1000]) {
    const made = compactTokens(gpu, upload(gpu, size), { tau: 0.5, capacity });
    const expected = compactTokens(host, upload(host, size), { tau: 0.5, capacity });
    const names = ["packed", "offsets", "keep", "counts", "tagged"] as const;
    assertEquals(made.packed.shape, [capacity ?? 21 * 49, 20]);
    const results = await gpu.read(...names.map((name) => made[name]), made.score);
    names.forEach((name, i) => assertEquals(results[i], expected[name].data, name));
    assertClose(results.at(-1)!, expected.score.data, TOLERANCE.kernel, "score");
  }
});

gpuTest("compactTokens() can be recorded and run again on other images", async ({ gpu, host }) => {
  const size: Size = { images: 5, outputs: 2, tokens: 9, columns: 4 };
  const inputs = upload(gpu, size);
  const packed = gpu.empty([45, 4]);
  using replay = gpu.gpu.capture((scope) =>
    scope.copy(compactTokens(scope, inputs, { tau: 0.3 }).packed, packed)
  );
  for (const stream of [1, 2]) {
    const arrays = arraysOf(size, stream);
    gpu.write(inputs.tokens, arrays.tokens);
    gpu.write(inputs.attention, arrays.attention);
    gpu.write(inputs.tagLogits, arrays.tagLogits);
    replay.run();
    const [rows] = await gpu.read(packed);
    const expected = compactTokens(host, upload(host, size, stream), { tau: 0.3 });
    assertEquals(rows, expected.packed.data);
  }
});

/** A check sum of packed rows of whole numbers. */
function checkSum(packed: ArrayLike<number>, rows: number, columns: number): number {
  let sum = 0;
  for (let i = 0; i < rows * columns; i++) sum = (31 * sum + packed[i]!) % 1_000_003;
  return sum;
}

gpuTest("compactTokens() takes a million tokens in the memory of one chunk", async ({ gpu }) => {
  const size: Size = { images: 512, outputs: 2, tokens: 145, columns: 2 };
  const inputs = upload(gpu, size);
  const chunk = size.images * size.tokens;
  const rng = new Rng(SEED);
  const [tokens, attention, tagLogits] = [inputs.tokens, inputs.attention, inputs.tagLogits].map((
    tensor: Tensor,
  ) => new Float32Array(tensor.size));
  let seen = 0;
  let kept = 0;
  let steady: { created: number; peakBytes: number } | undefined;
  while (seen < 1_000_000) {
    // Whole numbers: a token tells where it comes from, and every other image has no tag.
    tokens!.forEach((_, i) => tokens![i] = (seen + (i >> 1)) % 4096 + i % 2);
    for (let i = 0; i < attention!.length; i++) attention![i] = rng.integer(256);
    tagLogits!.forEach((_, i) => tagLogits![i] = (i >> 1) % 2 === 0 ? i % 2 : -1);
    gpu.write(inputs.tokens, tokens!);
    gpu.write(inputs.attention, attention!);
    gpu.write(inputs.tagLogits, tagLogits!);
    using step = gpu.scope();
    const { packed, offsets } = compactTokens(step, inputs, { tau: 0.5 });
    const [rows, begins] = await step.read(packed, offsets);
    const expected = expectedRows({ tokens: tokens!, attention: attention! }, size);
    assertEquals(begins!.at(-1), expected.length / 2);
    assertEquals(
      checkSum(rows!, expected.length / 2, 2),
      checkSum(expected, expected.length / 2, 2),
    );
    assert(rows!.subarray(expected.length).every((value) => value === 0));
    seen += chunk;
    kept += expected.length / 2;
    const { created, peakBytes } = gpu.gpu.counters().pool;
    const now = { created, peakBytes };
    assertEquals(now, steady ?? now, `after ${seen} tokens`);
    steady ??= now;
  }
  assert(kept > seen / 8 && kept < seen / 2, `${kept} of ${seen} tokens are kept`);
  // Inputs, mask, places, packed rows: nothing the size of all tokens.
  assert(steady!.peakBytes < 16 * 4 * chunk, `${steady!.peakBytes} bytes`);
});

/** Rows of images with even numbers that their second tag's map, of whole numbers, singles out. */
function expectedRows(
  { tokens, attention }: { readonly tokens: Float32Array; readonly attention: Float32Array },
  { images, outputs, tokens: length, columns }: Size,
): number[] {
  const rows: number[] = [];
  for (let n = 0; n < images; n += 2) {
    const map = attention.subarray((n * outputs + 1) * length, (n * outputs + 2) * length);
    const low = map.reduce((a, b) => Math.min(a, b));
    const high = map.reduce((a, b) => Math.max(a, b));
    map.forEach((value, t) => {
      if (2 * (value - low) <= high - low) return;
      const at = (n * length + t) * columns;
      rows.push(...tokens.subarray(at, at + columns));
    });
  }
  return rows;
}
