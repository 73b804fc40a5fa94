/** A small tagger: patches of an image, tags that look at them, scores of tags. */

import { type ImageSet, openFeatures, openImages } from "../../data/mod.ts";
import { preprocessReference, type PreprocessSpec } from "../../kernels/preprocess/mod.ts";
import {
  exposeMaps,
  GraphBuilder,
  type HostArray,
  type OnnxModel,
  openSession,
  type Sidecar,
  writeModel,
} from "../../onnx/mod.ts";
import { encodeRgbPng, makeImage, temporaryFolder } from "../_support/images.ts";
import { waves } from "./_models.ts";

/** What images of the tagger go through. */
export const TAGGER_SPEC: PreprocessSpec = {
  resize: { width: 8, height: 8 },
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.5, 0.4, 0.3],
  scale: [0.2, 0.3, 0.4],
  layout: "NCHW",
};

/** Everything that the sidecar of the tagger can say. */
export const TAGGER_SIDECAR: Sidecar = {
  preprocessing: TAGGER_SPEC,
  outputs: { tokens: "tokens", "tag_logits": "scores", attention: "attention" },
  tags: ["cat", "dog", "grass", "sky", "sea"],
  "tag_thresholds": [0.4, 0.5, 0.6, 0.7, 0.8],
};

/**
 * A tagger of images of 8 x 8: tokens [N, 4, 6], attention [N, 5, 4] or by two heads [N, 2, 5, 4],
 * scores [N, 5]; `fewer`, the tokens without the last; and `lone`, those of one image. With `open` the sizes of images, and
 * with them the number of tokens, are known only when it runs.
 */
export function tagger(
  { heads = false, open = false }: { heads?: boolean; open?: boolean } = {},
): OnnxModel {
  const b = new GraphBuilder({ name: "tagger" });
  const x = b.input("image", ["N", 3, ...(open ? ["H", "W"] : [8, 8])]);
  const patch = b.constant(waves(6 * 3 * 16), { shape: [6, 3, 4, 4], name: "patch.weight" });
  const patches = b.node("Conv", [x, patch], {
    attributes: { kernel_shape: [4n, 4n], strides: [4n, 4n] },
  });
  const keys = b.node("Reshape", [patches, b.ints([0, 6, -1])]);
  const tokens = b.node("Transpose", [keys], {
    attributes: { perm: [0n, 2n, 1n] },
    output: "tokens",
  });
  const queries = b.constant(waves(heads ? 60 : 30, 3), {
    shape: heads ? [2, 5, 6] : [5, 6],
    name: "queries",
  });
  const products = b.node("MatMul", [queries, heads ? b.unsqueeze(keys, [1]) : keys]);
  const attention = b.node("Softmax", [products], {
    attributes: { axis: -1n },
    output: "attention",
  });
  const summed = heads ? b.reduce("ReduceSum", attention, { axes: [1] }) : attention;
  const head = b.constant(waves(30, 5), { shape: [5, 6], name: "head" });
  const scores = b.node("Mul", [b.node("MatMul", [summed, tokens]), head]);
  b.output("scores", b.reduce("ReduceSum", scores, { axes: [2] }));
  b.output("lone", b.slice(tokens, { axis: 0, start: 0, end: 1 }));
  b.output("fewer", b.slice(tokens, { axis: 1, start: 0, end: -1 }));
  return b.build();
}

/** How many images the workshop has. */
export const IMAGES = 11;

function imageAt(i: number): ReturnType<typeof makeImage> {
  return makeImage(9 + i, 15 - i, (x, y, c) => (x * (i + 3) + y * 29) * (c + 1));
}

/** A folder with a tagger and eleven images in the folders `a` and `b`. */
export async function workshop(
  model: OnnxModel = tagger(),
): Promise<
  AsyncDisposable & {
    path: string;
    model: Uint8Array<ArrayBuffer>;
    sidecar: Sidecar;
    images: ImageSet;
    out: string;
  }
> {
  const folder = await temporaryFolder();
  const { path } = folder;
  for (let i = 0; i < IMAGES; i++) {
    const into = `${path}/images/${i < 6 ? "a" : "b"}`;
    await Deno.mkdir(into, { recursive: true });
    await Deno.writeFile(`${into}/${i + 10}.png`, await encodeRgbPng(imageAt(i)));
  }
  return {
    path,
    model: writeModel(model),
    sidecar: TAGGER_SIDECAR,
    images: await openImages(`${path}/images`),
    out: `${path}/out.safetensors`,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** On the calling thread and in small batches. */
export const SMALL = { device: "wasm", threads: 1, workers: 0, batch: 3 } as const;

/** What the tagger gives for all images. */
export async function expected(model: OnnxModel): Promise<Record<string, HostArray>> {
  const { model: maps } = exposeMaps(model, ["tokens", "scores", "attention"]);
  await using session = await openSession(maps, { device: "wasm" });
  const pixels = Array.from({ length: IMAGES }, (_, i) => [
    ...preprocessReference(imageAt(i), TAGGER_SPEC),
  ]);
  const image = { data: Float32Array.from(pixels.flat()), shape: [IMAGES, 3, 8, 8] };
  return await session.run({ image }) as Record<string, HostArray>;
}

/** What a file holds. */
export async function contents(
  path: string,
  keys: readonly string[],
): Promise<Record<string, HostArray>> {
  await using set = await openFeatures(path);
  const out: Record<string, HostArray> = {};
  for (const key of keys) out[key] = await set.read(key);
  return out;
}
