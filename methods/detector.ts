/**
 * A detector: a fitted score with its threshold and its papers, as it is asked.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { UserError } from "../runtime/mod.ts";
import { type Calibration, pValue } from "./calibration.ts";
import type { Fitted } from "./score.ts";

/** What a detector says of one image. */
export interface Verdict {
  /** Whether the image counts as in-distribution. */
  readonly isInDistribution: boolean;
  /** Its score, higher = more in-distribution. */
  readonly score: number;
  /** Scores at or above it count as in-distribution. */
  readonly threshold: number;
  /** Share of in-distribution images that score no higher. */
  readonly pValue: number;
  /** One sentence that says why. */
  readonly reason: string;
}

/**
 * A fitted score with what belongs to it.
 *
 * @example A verdict
 * ```ts
 * import { calibrate, Detector, msp } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await msp.fit({ train, context: new Host() });
 * const calibration = calibrate(Float32Array.from({ length: 100 }, (_, i) => i / 100));
 * const detector = new Detector(fitted, { calibration });
 * assertEquals(
 *   detector.verdict(0.01).reason,
 *   "max softmax 0.0100 is below the threshold 0.0500, which 95 % of in-distribution images reach",
 * );
 * ```
 */
export class Detector {
  /** The fitted score. */
  readonly fitted: Fitted;
  /** Strings that belong to it: model hash, preprocessing, what it was fitted to. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The threshold, once there is one. */
  readonly calibration: Calibration | undefined;

  /**
   * Puts together what belongs together.
   *
   * @param fitted The fitted score.
   * @param options `metadata` and `calibration`.
   */
  constructor(
    fitted: Fitted,
    options: {
      readonly metadata?: Readonly<Record<string, string>> | undefined;
      readonly calibration?: Calibration | undefined;
    } = {},
  ) {
    this.fitted = fitted;
    this.metadata = options.metadata ?? {};
    this.calibration = options.calibration;
  }

  /**
   * The same detector with a threshold.
   *
   * @param calibration From `calibrate`.
   * @returns A new detector.
   */
  calibrated(calibration: Calibration): Detector {
    return new Detector(this.fitted, { metadata: this.metadata, calibration });
  }

  /**
   * Decides about one image.
   *
   * @param score Its score.
   * @returns The decision, the p-value and the reason.
   * @throws {UserError} When there is no threshold yet, or the score is not finite.
   */
  verdict(score: number): Verdict {
    const { calibration } = this;
    const { fitted } = this;
    const { name, evidence } = fitted.method;
    if (calibration === undefined) {
      throw new UserError(`Cannot decide with "${name}": it has no threshold; calibrate it first`);
    }
    if (!Number.isFinite(score)) {
      throw new UserError(`Cannot decide with "${name}": the score is ${score}`);
    }
    const { threshold, acceptance } = calibration;
    const isInDistribution = score >= threshold;
    const sign = evidence.negated ? -1 : 1;
    const side = isInDistribution
      ? evidence.negated ? "is within" : "reaches"
      : evidence.negated
      ? "exceeds"
      : "is below";
    const share = `${Number((100 * acceptance).toFixed(2))} %`;
    const limit = evidence.negated
      ? `the limit ${figure(sign * threshold)}, which ${share} of in-distribution images keep`
      : `the threshold ${figure(threshold)}, which ${share} of in-distribution images reach`;
    return {
      isInDistribution,
      score,
      threshold,
      pValue: pValue(calibration, score),
      reason: fitted.explain(score) ??
        `${evidence.quantity} ${figure(sign * score)} ${side} ${limit}`,
    };
  }
}

function figure(value: number): string {
  return value.toPrecision(3);
}
