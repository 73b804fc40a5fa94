/**
 * `ood score`: verdicts for images or features.
 *
 * @module
 */

import { type FeatureSet, openFeatures, openImages, writeFileAtomic } from "../data/mod.ts";
import {
  type Detector,
  type Executor,
  loadDetector,
  scoreFeatures,
  type Verdict,
} from "../methods/mod.ts";
import { extractFeatures } from "../onnx/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import { requireSameModel } from "./_sets.ts";
import type { Terminal } from "./_terminal.ts";

/** The command. */
export const scoreCommand: Command = {
  name: "score",
  summary: "Judge images or features with a calibrated detector: verdict, p-value, reason",
  details: "Takes --features, or --model with --images. The p-value is the share of calibration\n" +
    "images that score no higher: small ones speak against an image.",
  options: [
    { name: "detector", value: "FILE", help: "the calibrated detector", required: true },
    { name: "features", value: "FILE", help: "a feature file" },
    { name: "model", value: "FILE", help: "the ONNX model the detector was fitted to" },
    { name: "images", value: "SOURCE", help: "a folder of images, or a list file" },
    DEVICE_OPTION,
    VARIANT_OPTION,
    { name: "csv", value: "FILE", help: "write a table" },
    { name: "json", help: "print JSON" },
  ],
  examples: [
    "ood score --detector energy.safetensors --model models/cifar10-resnet20.onnx --images photos/",
  ],
  run: runScore,
};

/** The verdict on one image. */
interface NamedVerdict extends Verdict {
  readonly name: string;
}

async function runScore({ args, terminal, signal }: CommandContext): Promise<void> {
  const detector = await loadDetector(args.need("detector"));
  using executor = await openExecutor(args, terminal);
  const scored = args.text("features") === undefined
    ? await scoreImages(args, { detector, executor, terminal, signal })
    : await scoreFile(args.need("features"), detector, executor);
  const verdicts = scored.names.map((name, i): NamedVerdict => ({
    name,
    ...detector.verdict(scored.scores[i]!),
  }));
  if (args.flag("json")) {
    terminal.printJson({ verdicts, skipped: scored.skipped });
  } else {
    printVerdicts(verdicts, terminal);
  }
  const csv = args.text("csv");
  if (csv !== undefined) {
    await writeFileAtomic(csv, verdictsCsv(verdicts));
    terminal.note(`Wrote ${csv}`);
  }
  scored.skipped.forEach(({ name, reason }) => terminal.note(`Skipped ${name}: ${reason}`));
  const rejected = verdicts.filter(({ isInDistribution }) => !isInDistribution).length;
  terminal.note(`${rejected} of ${verdicts.length} images are out of distribution`);
}

/** Scores with the images' names. */
interface Scored {
  readonly names: readonly string[];
  readonly scores: Float32Array<ArrayBuffer>;
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

async function scoreFile(path: string, detector: Detector, executor: Executor): Promise<Scored> {
  await using set = await openFeatures(path);
  requireSameModel(detector, set);
  return { ...await scoreSet(set, detector, executor), skipped: [] };
}

async function scoreSet(
  set: FeatureSet,
  detector: Detector,
  executor: Executor,
): Promise<Pick<Scored, "names" | "scores">> {
  const names = set.names ?? Array.from({ length: set.count }, (_, i) => `row ${i}`);
  return { names, scores: await scoreFeatures(detector.fitted, set, { executor }) };
}

async function scoreImages(
  args: Arguments,
  run: { detector: Detector; executor: Executor; terminal: Terminal; signal: AbortSignal },
): Promise<Scored> {
  const [model, source] = [args.text("model"), args.text("images")];
  if (model === undefined || source === undefined) {
    throw new UsageError("Either --features, or --model and --images, must say what to judge");
  }
  const { detector, executor, terminal, signal } = run;
  const images = await openImages(source, { labels: "none" });
  using progress = terminal.progress("extract", images.count, { unit: "images" });
  const folder = await Deno.makeTempDir({ prefix: "ood-score-" });
  try {
    const summary = await extractFeatures({
      model,
      images,
      out: `${folder}/features.safetensors`,
      device: executor.kind === "webgpu" ? "webgpu" : "wasm",
      featureMap: detector.fitted.needs.includes("feature_map") ? "f32" : "none",
      onProgress: ({ done, total }) => progress.update(done, total),
      signal,
    });
    progress.finish();
    signal.throwIfAborted();
    await using set = await openFeatures(summary.path!);
    requireSameModel(detector, set);
    return { ...await scoreSet(set, detector, executor), skipped: summary.skipped };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function printVerdicts(verdicts: readonly NamedVerdict[], terminal: Terminal): void {
  const width = Math.max(5, ...verdicts.map(({ name }) => name.length));
  terminal.print(`${"image".padEnd(width)}  verdict  p-value  reason`);
  for (const { name, isInDistribution, pValue, reason } of verdicts) {
    const verdict = isInDistribution ? "in" : "OUT";
    terminal.print(
      `${name.padEnd(width)}  ${verdict.padEnd(7)}  ${pValue.toFixed(4).padStart(7)}  ${reason}`,
    );
  }
}

function verdictsCsv(verdicts: readonly NamedVerdict[]): string {
  const quote = (text: string) => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const rows = verdicts.map(({ name, isInDistribution, score, threshold, pValue, reason }) =>
    [quote(name), isInDistribution, score, threshold, pValue, quote(reason)].join(",")
  );
  return ["name,in_distribution,score,threshold,p_value,reason", ...rows, ""].join("\n");
}
