/**
 * Tag logits of many images, which the vocabulary of TagOOD and the contexts of SynOOD are made of.
 *
 * @module
 */

import type { ImageSet } from "../data/mod.ts";
import { extractFeatures, type ExtractionDevice, type ExtractionSummary } from "../onnx/mod.ts";
import type { CommandContext } from "./_command.ts";
import { noteSkipped } from "./_skipped.ts";

/**
 * Runs a tagger over images and keeps its tag logits.
 *
 * @param context The command, with `--device`, `--resume` and `--strict`.
 * @param of The tagger, the images, and the feature file to write.
 * @returns The images that could not be read.
 */
export async function extractTagLogits(
  { args, terminal, signal }: CommandContext,
  of: { readonly model: string; readonly images: ImageSet; readonly out: string },
): Promise<ExtractionSummary["skipped"]> {
  using progress = terminal.progress("tag", of.images.count, { unit: "images" });
  const { skipped } = await extractFeatures({
    ...of,
    keys: ["tag_logits"],
    device: args.need("device") as ExtractionDevice,
    resume: args.flag("resume"),
    strict: args.flag("strict"),
    signal,
    onStart: ({ deviceName, batch }) =>
      terminal.note(`Running on ${deviceName}, ${batch} images at a time`),
    onProgress: ({ done }) => progress.update(done),
  });
  progress.finish();
  signal.throwIfAborted();
  noteSkipped(skipped, terminal);
  terminal.note(`Kept the tag logits in ${of.out}`);
  return skipped;
}
