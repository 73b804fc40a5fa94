/**
 * `ood demo`: the whole way on what the repository ships.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureDir } from "@std/fs/ensure-dir";
import { encodePng, syntheticSet, writeFileAtomic } from "../data/mod.ts";
import { bestMethod, textTable } from "../eval/mod.ts";
import { calibrate, Detector, type Executor, saveDetector, SCORES } from "../methods/mod.ts";
import { UserError } from "../runtime/mod.ts";
import type { Command, CommandContext } from "./_command.ts";
import { DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import { type EvaluationOutcome, type EvaluationSets, runEvaluation } from "./_evaluation.ts";
import { requireWritable } from "./_outputs.ts";
import { writeReport } from "./_report.ts";
import { OpenSets } from "./_sets.ts";
import type { Terminal } from "./_terminal.ts";
import { judgeImages, printVerdicts } from "./_verdicts.ts";

/** The command. */
export const demoCommand: Command = {
  name: "demo",
  summary: "Evaluate every score on the shipped features, judge a few images, write a report",
  details:
    "The features are those of models/cifar10-resnet20.onnx on CIFAR-10 photos, on ImageNet\n" +
    "photos of other things, and on drawn noise and textures (data/packs/).",
  options: [
    { name: "out", value: "DIR", help: "where to write", default: "out/demo" },
    { name: "bootstrap", value: "N", help: "replicates of the intervals", default: "200" },
    DEVICE_OPTION,
    VARIANT_OPTION,
  ],
  examples: ["ood demo"],
  run: runDemo,
};

const PACK = new URL("../data/packs/cifar10-resnet20/", import.meta.url);
const MODEL = new URL("../models/cifar10-resnet20.onnx", import.meta.url);
const OOD_SETS = ["photos", "noise", "textures"] as const;
const REPORT = "report.html";
const DRAWN_IMAGES = 6;

async function runDemo({ args, terminal, signal }: CommandContext): Promise<void> {
  const started = performance.now();
  const out = args.need("out");
  const replicates = args.number("bootstrap", { minimum: 0, maximum: 100_000, integer: true })!;
  await makeFolder(out);
  await requireWritable(join(out, REPORT));
  await using open = new OpenSets();
  const sets = await openPack(open);
  using executor = await openExecutor(args, terminal);
  // The pack has what a plain extraction stores: no logits of moved images for ODIN.
  const methods = SCORES.filter(({ needs }) => needs.every((key) => sets.id.has(key)));
  const outcome = await runEvaluation(sets, {
    methods,
    explicit: true,
    parameters: {},
    convention: "default",
    groups: {},
    replicates,
    seed: 0,
    executor,
    terminal,
    signal,
  });
  terminal.print(textTable(outcome.evaluation, { color: terminal.isTerminal }));
  const report = join(out, REPORT);
  await writeReport(report, { ...outcome, sets, title: "CIFAR-10 ResNet-20: the demo" });
  const kept = bestMethod(outcome.evaluation);
  const path = join(out, `${kept}.safetensors`);
  const detector = await keepDetector(outcome, { method: kept, path });
  terminal.print(`\nA few drawn images, judged by ${kept}, the best of the table:`);
  await judgeDrawnImages(detector, { out, executor, terminal, signal });
  terminal.print(
    `\nReport: ${report}\nDetector: ${path}\n` +
      `Done in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
}

async function makeFolder(path: string): Promise<void> {
  try {
    await ensureDir(path);
  } catch (error) {
    throw new UserError(`Cannot make the folder "${path}": ${(error as Error).message}`);
  }
}

async function openPack(open: OpenSets): Promise<EvaluationSets> {
  const file = (name: string) => open.open(fileURLToPath(new URL(`${name}.safetensors`, PACK)));
  const [train, id] = [await file("train"), await file("test")];
  const ood = new Map();
  for (const name of OOD_SETS) ood.set(name, await file(name));
  return { train, validation: undefined, id, ood };
}

async function keepDetector(
  outcome: EvaluationOutcome,
  kept: { readonly method: string; readonly path: string },
): Promise<Detector> {
  const fitted = outcome.fitted.find(({ method }) => method.name === kept.method)!;
  const calibration = calibrate(outcome.scores.get("id")!.get(kept.method)!);
  const detector = new Detector(fitted, { calibration });
  await saveDetector(detector, kept.path);
  return detector;
}

/** Draws images, writes them as PNG, and judges the files: the way that a user's images go. */
async function judgeDrawnImages(
  detector: Detector,
  run: { out: string; executor: Executor; terminal: Terminal; signal: AbortSignal },
): Promise<void> {
  const folder = join(run.out, "images");
  await makeFolder(folder);
  const drawn = syntheticSet(DRAWN_IMAGES, { width: 48, height: 48, seed: 2 });
  for (let i = 0; i < drawn.count; i++) {
    const { name, image } = drawn.item(i);
    await writeFileAtomic(join(folder, `${name.replace("/", "-")}.png`), await encodePng(image));
  }
  const { verdicts } = await judgeImages(detector, {
    ...run,
    model: fileURLToPath(MODEL),
    source: folder,
  });
  printVerdicts(verdicts, run.terminal);
}
