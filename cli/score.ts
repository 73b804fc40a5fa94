/**
 * `ood score`: verdicts for images or features.
 *
 * @module
 */

import { writeFileAtomic } from "../data/mod.ts";
import { loadDetector } from "../methods/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import { requireWritable } from "./_outputs.ts";
import { judgeFeatures, judgeImages, type NamedVerdict, printVerdicts } from "./_verdicts.ts";

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

async function runScore({ args, terminal, signal }: CommandContext): Promise<void> {
  const path = args.need("detector");
  const [features, model, source] = ["features", "model", "images"].map((name) => args.text(name));
  if (features === undefined && (model === undefined || source === undefined)) {
    throw new UsageError("Either --features, or --model and --images, must say what to judge");
  }
  if (features !== undefined && (model !== undefined || source !== undefined)) {
    throw new UsageError("The option --features excludes --model and --images: judge one of them");
  }
  const csv = args.text("csv");
  await requireWritable(csv);
  const detector = await loadDetector(path);
  if (detector.calibration === undefined) {
    throw new UserError(
      `Cannot judge with "${path}": the detector has no threshold; \`ood calibrate\` gives it one`,
    );
  }
  using executor = await openExecutor(args, terminal);
  const { verdicts, skipped } = features === undefined
    ? await judgeImages(detector, {
      model: model!,
      source: source!,
      executor,
      terminal,
      signal,
    })
    : await judgeFeatures(detector, { path: features, executor, terminal, signal });
  if (args.flag("json")) terminal.printJson({ verdicts, skipped });
  else printVerdicts(verdicts, terminal);
  if (csv !== undefined) {
    await writeFileAtomic(csv, verdictsCsv(verdicts));
    terminal.note(`Wrote ${csv}`);
  }
  skipped.forEach(({ name, reason }) => terminal.note(`Skipped ${name}: ${reason}`));
  const rejected = verdicts.filter(({ isInDistribution }) => !isInDistribution).length;
  terminal.note(`${rejected} of ${verdicts.length} images are out of distribution`);
}

function verdictsCsv(verdicts: readonly NamedVerdict[]): string {
  const quote = (text: string) => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const rows = verdicts.map(({ name, isInDistribution, score, threshold, pValue, reason }) =>
    [quote(name), isInDistribution, score, threshold, pValue, quote(reason)].join(",")
  );
  return ["name,in_distribution,score,threshold,p_value,reason", ...rows, ""].join("\n");
}
