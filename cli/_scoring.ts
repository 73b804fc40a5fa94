/**
 * Scoring a set for a command: progress, remarks, and Ctrl-C between batches.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import { type Executor, type Fitted, scoreMany } from "../methods/mod.ts";
import type { Terminal } from "./_terminal.ts";

/** Where a command computes, what it shows, and what stops it. */
export interface ScoringRun {
  /** Where to compute. */
  readonly executor: Executor;
  /** Where progress and remarks are shown. */
  readonly terminal: Terminal;
  /** Stops between batches. */
  readonly signal: AbortSignal;
}

/**
 * Scores a set with several fitted scores in one pass.
 *
 * @param fitted The fitted scores.
 * @param set The set.
 * @param run Where to compute, what to show, and what the progress bar is called.
 * @returns For each fitted score one score for each row.
 */
export async function scoreSet(
  fitted: readonly Fitted[],
  set: FeatureSet,
  run: ScoringRun & { readonly label: string },
): Promise<Float32Array<ArrayBuffer>[]> {
  using progress = run.terminal.progress(run.label, set.count, { unit: "images" });
  const scores = await scoreMany(fitted, set, {
    executor: run.executor,
    onProgress: ({ done }) => {
      run.signal.throwIfAborted();
      progress.update(done);
    },
    onNotice: (notice) => run.terminal.note(`Note: ${notice}`),
  });
  progress.update(set.count);
  return scores;
}
