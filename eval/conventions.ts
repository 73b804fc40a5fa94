/**
 * The ways in which the field computes FPR95 and AUPR. Numbers under two conventions do not
 * compare, so each has a name and a letter, and every table and file says which one it used.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";

/** The name of a convention; see {@linkcode CONVENTIONS} for what each means. */
export type Convention =
  | "default"
  | "openood"
  | "pytorch-ood"
  | "tagood"
  | "synood"
  | "neglabel"
  | "ssd";

/** How the area under a precision-recall curve is taken. */
export type AuprRule = "average-precision" | "trapezoid" | "trapezoid-dummy-ends";

/** What a convention means. */
export interface ConventionInfo {
  /** Its name, as the command line takes it. */
  readonly name: Convention;
  /** Its letter, as result files carry it. */
  readonly letter: "A" | "A2" | "B" | "C" | "D" | "E" | "F";
  /** Which class counts as positive for FPR95. */
  readonly positive: "id" | "ood";
  /** FPR95 by its full name: share of what is accepted, at 95 % of what. */
  readonly fpr95: "FPR95(OOD|ID95)" | "FPR95(ID|OOD95)";
  /** The full name of FPR95 with the classes' roles swapped. */
  readonly fpr95Reverse: "FPR95(OOD|ID95)" | "FPR95(ID|OOD95)";
  /** How AUPR is taken. */
  readonly aupr: AuprRule;
  /** One sentence for a reader of the numbers. */
  readonly sentence: string;
  /** Where the convention comes from. */
  readonly source: string;
}

const ID_POSITIVE = {
  positive: "id",
  fpr95: "FPR95(OOD|ID95)",
  fpr95Reverse: "FPR95(ID|OOD95)",
} as const;

const OOD_POSITIVE = {
  positive: "ood",
  fpr95: "FPR95(ID|OOD95)",
  fpr95Reverse: "FPR95(OOD|ID95)",
} as const;

/**
 * Every convention by name.
 *
 * @example Read what a convention means
 * ```ts
 * import { CONVENTIONS } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(CONVENTIONS.default.letter, "B");
 * assertEquals(CONVENTIONS.default.fpr95, "FPR95(OOD|ID95)");
 * assertEquals(CONVENTIONS.openood.fpr95, "FPR95(ID|OOD95)");
 * ```
 */
export const CONVENTIONS: Readonly<Record<Convention, ConventionInfo>> = {
  default: {
    ...ID_POSITIVE,
    name: "default",
    letter: "B",
    aupr: "average-precision",
    sentence:
      "FPR95 is the share of OOD images that are still accepted at the highest threshold that accepts at least 95 % of the in-distribution images",
    source: "the definition in the papers, every point of the ROC curve kept",
  },
  openood: {
    ...OOD_POSITIVE,
    name: "openood",
    letter: "A",
    aupr: "trapezoid",
    sentence:
      "FPR95 is the share of in-distribution images that are rejected once 95 % of the OOD images are, read at the first kept point of scikit-learn's ROC curve, which drops collinear points",
    source: "OpenOOD and OpenOOD-VLM",
  },
  "pytorch-ood": {
    ...OOD_POSITIVE,
    name: "pytorch-ood",
    letter: "A2",
    aupr: "trapezoid",
    sentence:
      "FPR95 is the share of in-distribution images that are rejected once 95 % of the OOD images are, every point of the ROC curve kept",
    source: "pytorch-ood",
  },
  tagood: {
    ...ID_POSITIVE,
    name: "tagood",
    letter: "C",
    aupr: "average-precision",
    sentence:
      "FPR95 is the share of accepted OOD images, interpolated linearly between the two ROC points around 95 % of accepted in-distribution images",
    source: "the TagOOD code",
  },
  synood: {
    ...ID_POSITIVE,
    name: "synood",
    letter: "D",
    aupr: "trapezoid-dummy-ends",
    sentence:
      "FPR95 is the share of OOD images strictly above the in-distribution score of rank 0.05 N (rounded half to even); AUPR is a trapezoid with a dummy point at each end, which biases it low",
    source: "the SynOOD code, in the lineage of knn-ood and DICE",
  },
  neglabel: {
    ...ID_POSITIVE,
    name: "neglabel",
    letter: "E",
    aupr: "average-precision",
    sentence:
      "FPR95 is the share of accepted OOD images at the threshold whose share of accepted in-distribution images is nearest to 95 %, from either side",
    source: "the NegLabel and CSP code, in the lineage of Outlier Exposure",
  },
  ssd: {
    ...ID_POSITIVE,
    name: "ssd",
    letter: "F",
    aupr: "average-precision",
    sentence:
      "FPR95 is the share of OOD images whose distance lies strictly below the interpolated 95th percentile of the in-distribution distances",
    source: "the SSD code",
  },
};

/**
 * Looks a convention up by the name that a person typed.
 *
 * @param name The name, for example `openood`.
 * @returns What the convention means.
 * @throws {UserError} If there is no such convention; the message lists the names.
 *
 * @example Look up and refuse
 * ```ts
 * import { findConvention } from "@oodgpu/oodgpu/eval";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(findConvention("tagood").letter, "C");
 * assertThrows(() => findConvention("mine"), Error, 'Cannot use convention "mine"');
 * ```
 */
export function findConvention(name: string): ConventionInfo {
  if (!Object.hasOwn(CONVENTIONS, name)) {
    throw new UserError(
      `Cannot use convention "${name}": it must be one of ${Object.keys(CONVENTIONS).join(", ")}`,
    );
  }
  return CONVENTIONS[name as Convention];
}
