/**
 * What object tokens must be so that a projection model can be trained and validated on them.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
import type { ObjectSet } from "./objects.ts";

/** What is trained on. */
export interface TrainingData {
  /** Object tokens that are learned from. */
  readonly objects: ObjectSet;
  /** Object tokens that early stopping looks at. */
  readonly validation?: ObjectSet;
  /** Number of classes. */
  readonly classes: number;
  /** Their names, for messages. */
  readonly classNames?: readonly string[] | undefined;
  /** Most tokens that an image can have. */
  readonly maxTokens: number;
  /** Images in a step. */
  readonly batch: number;
}

const MAX_NAMED = 10;

/**
 * Refuses labels that no logit stands for, classes that nothing is learned of, and validation data of
 * another kind.
 *
 * @throws {UserError} When something does not fit.
 */
export function requireTrainingData(data: TrainingData): void {
  const { objects, validation, classes, batch } = data;
  requireSet(objects, data);
  const seen = new Int32Array(classes);
  for (const label of objects.labels) seen[label]!++;
  const empty = [...seen.keys()].filter((label) => seen[label] === 0);
  if (empty.length > 0) {
    const named = empty.slice(0, MAX_NAMED).map((label) => data.classNames?.[label] ?? label);
    const some = `${named.join(", ")}${empty.length > MAX_NAMED ? ", …" : ""}`;
    throw refused(
      `"${objects.path}" has no image with an object of ${empty.length} of ${classes} classes: ` +
        `${some}; look at their tags in the vocabulary, or lower τ`,
    );
  }
  if (batch > objects.count) {
    throw refused(
      `a batch takes ${batch} images and there are ${objects.count}; name a smaller batch`,
    );
  }
  if (validation === undefined) return;
  requireSet(validation, data);
  if (validation.count === 0) throw refused(`"${validation.path}" has no image with an object`);
  if (validation.width !== objects.width) {
    throw refused(
      `the tokens of "${validation.path}" are ${validation.width} wide and those of ` +
        `"${objects.path}" ${objects.width}`,
    );
  }
}

function requireSet(
  { path, labels, counts }: ObjectSet,
  { classes, maxTokens }: Pick<TrainingData, "classes" | "maxTokens">,
): void {
  const unknown = labels.reduce((count, label) => count + (label < 0 ? 1 : 0), 0);
  if (unknown > 0) {
    throw refused(
      `${unknown} of ${labels.length} images of "${path}" have no label; make it of labelled images`,
    );
  }
  const highest = labels.reduce((most, label) => Math.max(most, label), 0);
  if (highest >= classes) {
    throw refused(`"${path}" has a label ${highest}, and the classes are 0 to ${classes - 1}`);
  }
  const longest = counts.reduce((most, count) => Math.max(most, count), 0);
  if (longest > maxTokens) {
    throw refused(
      `an image of "${path}" has ${longest} tokens, and the tagger gives at most ${maxTokens}`,
    );
  }
}

function refused(why: string): UserError {
  return new UserError(`Cannot train TagOOD: ${why}`);
}
