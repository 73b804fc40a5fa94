import { assertEquals } from "@std/assert";
import { objectMask, type ObjectMaskVariant } from "../../kernels/object_mask/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import golden from "../golden/object_mask.json" with { type: "json" };
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const [N, HEADS, M, T] = golden.attention.shape as [number, number, number, number];

/** The maps added over the heads, f32 [N, M, T]; exact, as all are multiples of 1/1024. */
function summed(): Float32Array<ArrayBuffer> {
  const maps = new Float32Array(N * M * T);
  golden.attention.data.forEach((value, at) => {
    const image = Math.floor(at / (HEADS * M * T));
    maps[image * M * T + at % (M * T)]! += value;
  });
  return maps;
}

function attentionOf(ctx: Context, perHead: boolean): Tensor {
  return perHead
    ? ctx.upload(Float32Array.from(golden.attention.data), golden.attention.shape)
    : ctx.upload(summed(), [N, M, T]);
}

async function compare(
  ctx: Context,
  { perHead, variant }: { readonly perHead: boolean; readonly variant?: ObjectMaskVariant },
): Promise<void> {
  const inputs = {
    attention: attentionOf(ctx, perHead),
    tagLogits: ctx.upload(Float32Array.from(golden.tag_logits.data), [N, M]),
    tags: ctx.upload(Int32Array.from(golden.tags), [golden.tags.length]),
    thresholds: ctx.upload(Float32Array.from(golden.thresholds), [golden.tags.length]),
  };
  for (const { tau, only, fallback, ...expected } of golden.cases) {
    const { keep, counts, tagged, score } = objectMask(ctx, {
      ...inputs,
      ...(only === null ? {} : { only: ctx.upload(Int32Array.from(only), [N]) }),
    }, { tau, fallback, variant });
    const found = await ctx.read(keep, counts, tagged, score);
    const label = `${ctx.kind} ${variant}, tau ${tau}, only ${only}, fallback ${fallback}`;
    assertEquals([...found[0]!], expected.keep, label);
    assertEquals([...found[1]!], expected.counts, label);
    assertEquals([...found[2]!], expected.tagged, label);
    assertClose(found[3]!, expected.score, TOLERANCE.kernel, label);
  }
}

gpuTest("objectMask() keeps the tokens that NumPy keeps", async ({ gpu, host }) => {
  for (const perHead of [true, false]) {
    await compare(host, { perHead });
    for (const variant of ["naive", "serial", "tree"] as const) {
      await compare(gpu, { perHead, variant });
    }
  }
});
