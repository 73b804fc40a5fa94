/**
 * What other values of δ, μ and λ would have given: one tuning for each value.
 *
 * @module
 */

import { ensureDir } from "@std/fs/ensure-dir";
import { join } from "node:path";
import { writeFileAtomic } from "../data/mod.ts";
import type { SensitivityCurve, SensitivityPoint } from "../eval/mod.ts";
import { type Executor, type LbfSettings, requireLbfSettings, tuneLbf } from "../methods/mod.ts";
import { type Sidecar, writeModel } from "../onnx/mod.ts";
import { asUsage, UsageError } from "./_arguments.ts";
import type { CommandContext } from "./_command.ts";
import type { EvaluationPlan } from "./_evaluation.ts";
import { openLbfPixels, openModel } from "./_lbf.ts";
import { evaluateFolder, extractSets, type LbfImageSets, needsOdin } from "./_lbf_sets.ts";
import { parseNamed } from "./_named.ts";

/** A setting and the values that it shall take. */
export interface Sweep {
  /** Which setting. */
  readonly name: "delta" | "margin" | "weight";
  /** Its values. */
  readonly values: readonly number[];
}

const NAMES: readonly string[] = ["delta", "margin", "weight"];

/**
 * Reads `--sensitivity`.
 *
 * @throws {UsageError} When a setting has no such name, or a value is none that it can take.
 */
export function parseSensitivity(pairs: readonly string[]): Sweep[] {
  return parseNamed("sensitivity", pairs).map(({ name, value }) => {
    const values = value.split(",").map(Number);
    if (!NAMES.includes(name)) {
      throw new UsageError(
        `The option --sensitivity names ${NAMES.join(", ")}: it is "${name}"`,
      );
    }
    const least = name === "delta" ? Number.MIN_VALUE : 0;
    const most = name === "delta" ? 1 : Infinity;
    const wrong = values.find((number) => !(number >= least && number <= most));
    if (wrong !== undefined) {
      throw new UsageError(`The option --sensitivity ${name} cannot take "${value}"`);
    }
    return { name: name as Sweep["name"], values };
  });
}

/** What is tuned again. */
export interface SensitivityRun {
  /** The settings and their values. */
  readonly sweeps: readonly Sweep[];
  /** The classifier before. */
  readonly before: string;
  /** The settings of the tuned file, as it holds them. */
  readonly settings: string;
  /** The images. */
  readonly sets: LbfImageSets;
  /** What stands beside the classifier. */
  readonly sidecar: Sidecar | undefined;
  /** Where models and features go. */
  readonly folder: string;
  /** The evaluation. */
  readonly plan: EvaluationPlan;
  /** Where scores are computed. */
  readonly executor: Executor;
}

/** Tunes and evaluates for each value of each setting. */
export async function measureSensitivity(
  { terminal, signal }: CommandContext,
  run: SensitivityRun,
): Promise<SensitivityCurve[]> {
  const { images: _, ...settings } = JSON.parse(run.settings) as LbfSettings & { images: string };
  const open = await openModel(run.before);
  await ensureDir(run.folder);
  const { context: ctx } = run.executor;
  using images = await openLbfPixels(run.sets.train, { ...open, strict: false, terminal, signal });
  const curves: SensitivityCurve[] = [];
  for (const { name, values } of run.sweeps) {
    const points: SensitivityPoint[] = [];
    for (const value of values) {
      const chosen = asUsage(() => requireLbfSettings({ ...settings, [name]: value }));
      using progress = terminal.progress(`tune ${name} ${value}`, 0, { unit: "steps" });
      let total = 0;
      const tuned = await tuneLbf({
        ...open,
        images,
        settings: chosen,
        ctx,
        signal,
        onStart: ({ steps }) => total = steps,
        onRows: (rows) => progress.update(rows.at(-1)!.step + 1, total),
      });
      progress.finish();
      const stem = join(run.folder, `${name}-${value}`);
      await writeFileAtomic(`${stem}.onnx`, writeModel(tuned.model));
      await extractSets(run.sets, {
        executor: run.executor,
        terminal,
        signal,
        model: `${stem}.onnx`,
        sidecar: run.sidecar,
        folder: stem,
        device: "auto",
        odin: needsOdin(run.plan.methods),
      });
      const { evaluation } = await evaluateFolder(stem, [...run.sets.ood.keys()], {
        ...run.plan,
        replicates: 0,
        executor: run.executor,
        terminal,
        signal,
      });
      points.push({
        value,
        accuracy: evaluation.id_accuracy,
        averages: evaluation.averages.filter(({ group }) => group === "all")
          .map(({ method, auroc, fpr95 }) => ({ method, auroc, fpr95 })),
      });
    }
    curves.push({ name, chosen: settings[name], points });
  }
  return curves;
}
