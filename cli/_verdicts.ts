/**
 * Judging features and images with a calibrated detector. `ood score` and `ood demo` share it.
 *
 * @module
 */

import { type FeatureSet, openFeatures, openImages, type SkippedImage } from "../data/mod.ts";
import { blockOf, type Detector, odinOf, requireSameSource, type Verdict } from "../methods/mod.ts";
import { extractFeatures } from "../onnx/mod.ts";
import type { Terminal } from "./_terminal.ts";
import { describeOdin } from "./_device.ts";
import { scoreSet, type ScoringRun } from "./_scoring.ts";

/** The verdict on one image. */
export interface NamedVerdict extends Verdict {
  /** The image's name. */
  readonly name: string;
}

/** Verdicts, and images that could not be read. */
export interface Judgement {
  /** One verdict for each image that could be read. */
  readonly verdicts: readonly NamedVerdict[];
  /** The others. */
  readonly skipped: readonly SkippedImage[];
}

/**
 * Judges a feature file.
 *
 * @param detector A calibrated detector.
 * @param run The file, and where to compute.
 * @returns A verdict for each row.
 */
export async function judgeFeatures(
  detector: Detector,
  run: ScoringRun & { readonly path: string },
): Promise<Judgement> {
  await using set = await openFeatures(run.path);
  return { verdicts: await judgeSet(detector, set, run), skipped: [] };
}

/**
 * Judges images: extracts their features into a temporary file and scores that.
 *
 * @param detector A calibrated detector.
 * @param run The model, the images, where to compute, and where progress is shown.
 * @returns A verdict for each image that can be read.
 */
export async function judgeImages(
  detector: Detector,
  run: ScoringRun & { readonly model: string; readonly source: string },
): Promise<Judgement> {
  const images = await openImages(run.source, { labels: "none" });
  const [block, odin] = [blockOf(detector), odinOf(detector)];
  const { needs } = detector.fitted;
  const folder = await Deno.makeTempDir({ prefix: "ood-score-" });
  try {
    using progress = run.terminal.progress("extract", images.count, { unit: "images" });
    const summary = await extractFeatures({
      model: run.model,
      images,
      out: `${folder}/features.safetensors`,
      device: run.executor.kind === "webgpu" ? "webgpu" : "wasm",
      featureMap: needs.includes("feature_map") ? "f32" : "none",
      // A tagger's maps are large: nothing beside what the detector reads.
      ...(needs.includes("attention") ? { keys: needs } : {}),
      ...(block === undefined ? {} : { block }),
      ...(odin === undefined ? {} : { odin }),
      onStart: (start) => describeOdin(start, run.terminal),
      onProgress: ({ done, total }) => progress.update(done, total),
      signal: run.signal,
    });
    progress.finish();
    run.signal.throwIfAborted();
    await using set = await openFeatures(summary.path!);
    return {
      verdicts: await judgeSet(detector, set, run),
      skipped: summary.skipped,
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function judgeSet(
  detector: Detector,
  set: FeatureSet,
  run: ScoringRun,
): Promise<NamedVerdict[]> {
  requireSameSource(detector, set);
  const [scores] = await scoreSet([detector.fitted], set, { ...run, label: "score" });
  return Array.from(
    scores!,
    (score, i) => ({ name: set.names?.[i] ?? `row ${i}`, ...detector.verdict(score) }),
  );
}

/** Prints verdicts as a table. */
export function printVerdicts(verdicts: readonly NamedVerdict[], terminal: Terminal): void {
  const width = Math.max(5, ...verdicts.map(({ name }) => name.length));
  terminal.print(`${"image".padEnd(width)}  verdict  p-value  reason`);
  for (const { name, isInDistribution, pValue, reason } of verdicts) {
    const verdict = isInDistribution ? "in" : "OUT";
    terminal.print(
      `${name.padEnd(width)}  ${verdict.padEnd(7)}  ${pValue.toFixed(4).padStart(7)}  ${reason}`,
    );
  }
}
