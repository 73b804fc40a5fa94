/**
 * Scoring a set for a command: progress, remarks, and Ctrl-C between batches.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import {
  type Executor,
  type Fitted,
  loadObjects,
  scoreMany,
  scoreObjects,
  TRAINED_SCORES,
} from "../methods/mod.ts";
import { type Context, UserError } from "../runtime/mod.ts";
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

/** Object tokens are chosen already; the trained methods take them as they are. */
async function scoreObjectSet(
  fitted: readonly Fitted[],
  set: FeatureSet,
  run: {
    readonly ctx: Context;
    readonly signal: AbortSignal;
    readonly onProgress: (done: number) => void;
  },
): Promise<Float32Array<ArrayBuffer>[]> {
  const other = fitted.find(({ method }) => !TRAINED_SCORES.includes(method));
  if (other !== undefined) {
    throw new UserError(
      `Cannot score "${set.path}" with "${other.method.name}": it has object tokens, which only ` +
        "detectors from ood tagood train take",
    );
  }
  using objects = await loadObjects(set, { signal: run.signal });
  const scores: Float32Array<ArrayBuffer>[] = [];
  for (const score of fitted) scores.push(await scoreObjects(run.ctx, score, objects, run));
  return scores;
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
  if (set.has("object_tokens")) {
    return await scoreObjectSet(fitted, set, {
      ctx: run.executor.context,
      signal: run.signal,
      onProgress: (done) => progress.update(done),
    });
  }
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
