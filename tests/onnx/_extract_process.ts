/**
 * An extraction in a process of its own, slow enough to be killed on the way: prints a line after
 * each batch that is on disk. Arguments: model, images, output.
 */

import { openImages } from "../../data/mod.ts";
import { extractFeatures } from "../../onnx/extraction.ts";

const [model, images, out] = Deno.args;
const pause = new Int32Array(new SharedArrayBuffer(4));

await extractFeatures({
  model: model!,
  images: await openImages(images!),
  out: out!,
  device: "wasm",
  threads: 1,
  workers: 0,
  batch: 3,
  flushSeconds: 0,
  onProgress: ({ done }) => {
    Deno.stdout.writeSync(new TextEncoder().encode(`${done}\n`));
    Atomics.wait(pause, 0, 0, 50);
  },
});
