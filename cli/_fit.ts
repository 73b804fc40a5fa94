/**
 * Fitting scores for a command, with progress and plain words about what cannot be fitted.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import { type Executor, type Fitted, requireKeys, type ScoreMethod } from "../methods/mod.ts";
import { UserError } from "../runtime/mod.ts";
import type { Terminal } from "./_terminal.ts";

/** What scores are fitted to, and how. */
export interface FitPlan {
  /** Training set. */
  readonly train: FeatureSet;
  /** Validation set, for the scores that want one. */
  readonly validation: FeatureSet | undefined;
  /** Sets that are to be scored; a method that cannot score one of them is not fitted. */
  readonly scored?: readonly FeatureSet[];
  /** Wishes by method, then parameter. */
  readonly parameters: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /**
   * Whether the user named the methods; one that cannot run is then an error, not a remark. So is
   * one that the user gave parameters of.
   */
  readonly explicit: boolean;
  /** Seed. */
  readonly seed: number;
  /** Where the heavy sums run. */
  readonly executor: Executor;
  /** Where progress is shown. */
  readonly terminal: Terminal;
  /** Stops the work between two batches. */
  readonly signal: AbortSignal;
}

/** Fitted scores, and why others are missing. */
export interface FitOutcome {
  /** In the order asked for. */
  readonly fitted: readonly Fitted[];
  /** Reasons by method. */
  readonly skipped: Readonly<Record<string, string>>;
}

/**
 * Fits scores one after the other.
 *
 * @param methods The scores.
 * @param plan What they are fitted to.
 * @returns The fitted ones, and reasons for the others.
 * @throws {UserError} When a method that was asked for by name cannot be fitted, or none can.
 */
export async function fitScores(
  methods: readonly ScoreMethod[],
  plan: FitPlan,
): Promise<FitOutcome> {
  const fitted: Fitted[] = [];
  const skipped: Record<string, string> = {};
  for (const method of methods) {
    using progress = plan.terminal.progress(`fit ${method.name}`, plan.train.count, {
      unit: "images",
    });
    try {
      plan.scored?.forEach((set) => requireKeys(method, set));
      const result = await method.fit({
        train: plan.train,
        ...(plan.validation === undefined ? {} : { validation: plan.validation }),
        parameters: plan.parameters[method.name] ?? {},
        seed: plan.seed,
        context: plan.executor.context,
        onProgress: ({ done, total }) => {
          plan.signal.throwIfAborted();
          progress.update(done, total);
        },
      });
      fitted.push(result);
      result.warnings.forEach((warning) => plan.terminal.note(`Note: ${method.name}: ${warning}`));
    } catch (error) {
      const wanted = plan.explicit || plan.parameters[method.name] !== undefined;
      if (wanted || !(error instanceof UserError)) throw error;
      skipped[method.name] = error.message;
      plan.terminal.note(`Left out ${method.name}: ${error.message}`);
    }
  }
  if (fitted.length === 0) {
    throw new UserError("Cannot go on: none of the methods can be fitted; see the remarks above");
  }
  return { fitted, skipped };
}
