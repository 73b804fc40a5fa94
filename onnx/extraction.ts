/**
 * From images to a feature file: decoding on worker threads, preprocessing, the model, reducing
 * feature maps and writing run at the same time, each on another batch.
 *
 * On the GPU a batch goes from pixels to features without leaving it, and only what is stored comes
 * back; in WebAssembly the workers preprocess too.
 *
 * @module
 */

import { loadModel, makePlan, openExecutor, openWriter } from "./_extraction_plan.ts";
import { openOdin } from "./_extraction_odin.ts";
import { ExtractionRun } from "./_extraction_run.ts";
import type {
  ExtractionOptions,
  ExtractionStart,
  ExtractionSummary,
} from "./extraction_options.ts";

/**
 * Extracts features of a set of images with an ONNX model.
 *
 * The file has what the model offers of `features`, `logits`, `feature_norms` (the norms of the
 * channels of the last feature map, or of the `block`'s), `labels` in the model's order,
 * `head.weight`, `head.bias`, and if asked for `feature_map` and `odin_logits`; of a tagger
 * `tokens`, `tag_logits` and `attention`, summed over its heads, and the tags' names and thresholds
 * in the metadata; of an image encoder beside a text encoder `image_embed`. `keys` takes fewer of them, and `reduce` stores what it makes of them instead.
 * The metadata say how the file was made and name the images. Nothing in it depends on time or
 * chance: a run that was stopped and resumed leaves the same bytes.
 *
 * Images that cannot be read are skipped and reported, unless `strict`.
 *
 * @param options What, with what, and where to.
 * @returns What came of it.
 * @throws {UserError} When the model, the images or the options do not fit together, an unfinished
 * run is in the way, or nothing can be written.
 * @throws {ImageError} With `strict`, at the first image that cannot be read.
 *
 * @example Features of one picture
 * ```ts
 * import { openFeatures, openImages } from "@oodgpu/oodgpu/data";
 * import { extractFeatures } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const image = { width: 40, height: 30, data: new Uint8Array(3600) };
 * const folder = await Deno.makeTempDir();
 * const summary = await extractFeatures({
 *   model: "models/cifar10-resnet20.onnx",
 *   images: {
 *     path: "memory",
 *     count: 1,
 *     names: ["black"],
 *     labels: new Int32Array([-1]),
 *     classNames: [],
 *     skippedFiles: 0,
 *     item: () => Promise.resolve({ name: "black", image }),
 *     read: () => Promise.resolve(image),
 *   },
 *   out: `${folder}/black.safetensors`,
 *   device: "wasm",
 *   workers: 0,
 * });
 * {
 *   await using set = await openFeatures(summary.path!);
 *   assertEquals(set.shape("features"), [1, 64]);
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function extractFeatures(options: ExtractionOptions): Promise<ExtractionSummary> {
  const source = await loadModel(options);
  await using executor = await openExecutor(options);
  const plan = makePlan(options, source, executor);
  await using odin = await openOdin(options, { source, plan, executor });
  await using writer = await openWriter(options, { source, plan, executor, odin: odin?.start });
  const total = writer.end - writer.start;
  const start: ExtractionStart = {
    device: executor.device,
    deviceName: executor.name,
    ...(odin === undefined ? {} : { odin: odin.start }),
    preprocessing: plan.spec,
    preprocessingGuessed: plan.guessed,
    keys: plan.keys,
    reasons: source.inspection.reasons,
    unknownClasses: plan.unknownClasses,
    batch: plan.batch,
    resumed: writer.position - writer.start,
    total,
  };
  options.onStart?.(start);
  const begin = performance.now();
  const run = new ExtractionRun({ options, source, plan, executor, odin: odin?.odin, writer });
  if (writer.position < writer.end) await run.work();
  const finished = writer.position === writer.end;
  const path = finished ? await run.timed("store", () => writer.finish()) : undefined;
  const seconds = { ...run.seconds, total: (performance.now() - begin) / 1000 };
  const skipped = writer.skipped;
  return {
    ...start,
    path,
    images: writer.position - writer.start - skipped.length,
    processed: run.processed,
    skipped,
    seconds,
    imagesPerSecond: run.processed / Math.max(seconds.total, 1e-9),
  };
}
