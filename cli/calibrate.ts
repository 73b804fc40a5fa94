/**
 * `ood calibrate`: a threshold for a detector, at a chosen acceptance of in-distribution images.
 *
 * @module
 */

import { type FeatureSet, openFeatures } from "../data/mod.ts";
import {
  calibrate,
  type Detector,
  loadDetector,
  requireSameSource,
  saveDetector,
} from "../methods/mod.ts";
import type { Arguments, OptionSpec } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import { requireWritable } from "./_outputs.ts";
import { scoreSet, type ScoringRun } from "./_scoring.ts";

/** How many in-distribution images to accept. */
export const ACCEPTANCE_OPTION: OptionSpec = {
  name: "acceptance",
  value: "SHARE",
  help: "share of in-distribution images to accept",
  default: "0.95",
};

/** The value of `--acceptance`. */
export function acceptanceOf(args: Arguments): number {
  return args.number("acceptance", { minimum: 1e-6, maximum: 1 })!;
}

/** The command. */
export const calibrateCommand: Command = {
  name: "calibrate",
  summary: "Give a detector its threshold, from in-distribution features it was not fitted to",
  options: [
    { name: "detector", value: "FILE", help: "the detector", required: true },
    { name: "id", value: "FILE", help: "in-distribution features", required: true },
    ACCEPTANCE_OPTION,
    { name: "out", value: "FILE", help: "where to write it (default: the detector itself)" },
    DEVICE_OPTION,
    VARIANT_OPTION,
    { name: "json", help: "print the calibration as JSON" },
  ],
  examples: ["ood calibrate --detector energy.safetensors --id val.safetensors --acceptance 0.99"],
  run: runCalibrate,
};

async function runCalibrate({ args, terminal, signal }: CommandContext): Promise<void> {
  const path = args.need("detector");
  const acceptance = acceptanceOf(args);
  const out = args.text("out") ?? path;
  await requireWritable(out);
  const detector = await loadDetector(path);
  await using id = await openFeatures(args.need("id"));
  requireSameSource(detector, id);
  using executor = await openExecutor(args, terminal);
  const calibrated = await calibrateOn(id, detector, { acceptance, executor, terminal, signal });
  await saveDetector(calibrated, out);
  if (args.flag("json")) {
    const { scores: _, ...calibration } = calibrated.calibration!;
    terminal.printJson(calibration);
  }
  terminal.note(`Wrote ${out}`);
}

/**
 * Gives a detector its threshold and says which.
 *
 * @param id In-distribution features, of the source that the detector was fitted to.
 * @param detector The detector.
 * @param run The acceptance, where to compute, and where progress is shown.
 * @returns The detector with its threshold.
 */
export async function calibrateOn(
  id: FeatureSet,
  detector: Detector,
  run: ScoringRun & { readonly acceptance: number },
): Promise<Detector> {
  const [scores] = await scoreSet([detector.fitted], id, { ...run, label: "score" });
  const calibrated = detector.calibrated(calibrate(scores!, { acceptance: run.acceptance }));
  run.terminal.note(describeCalibration(calibrated));
  return calibrated;
}

/**
 * A calibration in one sentence.
 *
 * @param detector A calibrated detector.
 * @returns The sentence.
 */
function describeCalibration(detector: Detector): string {
  const { threshold, accepted, interval, count } = detector.calibration!;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  return `The threshold ${threshold.toPrecision(5)} accepts ${percent(accepted)} of ${count} ` +
    `in-distribution images (95 % interval ${percent(interval[0])} to ${percent(interval[1])})`;
}
