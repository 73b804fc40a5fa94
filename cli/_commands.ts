/**
 * Every command of `ood`, in the order of the overview.
 *
 * @module
 */

import type { Command } from "./_command.ts";
import { calibrateCommand } from "./calibrate.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { evalCommand } from "./eval.ts";
import { exportCommand } from "./export.ts";
import { extractCommand } from "./extract.ts";
import { fitCommand } from "./fit.ts";
import { inspectCommand } from "./inspect.ts";
import { lbfEvalCommand } from "./lbf_eval.ts";
import { lbfInspectCommand } from "./lbf_inspect.ts";
import { lbfTuneCommand } from "./lbf_tune.ts";
import { scoreCommand } from "./score.ts";
import { synoodAblateCommand } from "./synood_ablate.ts";
import { synoodContextsCommand } from "./synood_contexts.ts";
import { synoodEvalCommand } from "./synood_eval.ts";
import { synoodFeaturesCommand } from "./synood_features.ts";
import { synoodFitCommand } from "./synood_fit.ts";
import { synoodGenerateCommand } from "./synood_generate.ts";
import { synoodLabelsCommand } from "./synood_labels.ts";
import { synoodProjectCommand } from "./synood_project.ts";
import { synoodRunCommand } from "./synood_run.ts";
import { synoodTuneLabelsCommand } from "./synood_tune_labels.ts";
import { tagoodAblateCommand } from "./tagood_ablate.ts";
import { tagoodEvalCommand } from "./tagood_eval.ts";
import { tagoodFeaturesCommand } from "./tagood_features.ts";
import { tagoodRunCommand } from "./tagood_run.ts";
import { tagoodTrainCommand } from "./tagood_train.ts";
import { tagoodVocabCommand } from "./tagood_vocab.ts";
import { worldCommand } from "./world.ts";

/** The commands. */
export const COMMANDS: readonly Command[] = [
  doctorCommand,
  inspectCommand,
  extractCommand,
  evalCommand,
  fitCommand,
  calibrateCommand,
  scoreCommand,
  exportCommand,
  lbfInspectCommand,
  lbfTuneCommand,
  lbfEvalCommand,
  tagoodVocabCommand,
  tagoodFeaturesCommand,
  tagoodTrainCommand,
  tagoodEvalCommand,
  tagoodAblateCommand,
  tagoodRunCommand,
  synoodLabelsCommand,
  synoodContextsCommand,
  synoodFeaturesCommand,
  synoodGenerateCommand,
  synoodProjectCommand,
  synoodTuneLabelsCommand,
  synoodFitCommand,
  synoodEvalCommand,
  synoodAblateCommand,
  synoodRunCommand,
  worldCommand,
  demoCommand,
];
