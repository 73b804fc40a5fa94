/**
 * Feature files named on the command line.
 *
 * @module
 */

import { featureHash, type FeatureSet, openFeatures } from "../data/mod.ts";

/** Open feature files that are closed together. */
export class OpenSets implements AsyncDisposable {
  readonly #open: FeatureSet[] = [];

  /** Opens a file and remembers it. */
  async open(path: string): Promise<FeatureSet> {
    const set = await openFeatures(path);
    this.#open.push(set);
    return set;
  }

  /** Closes every file. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const set of this.#open) await set[Symbol.asyncDispose]();
  }
}

/** What a result file says of a feature file. */
export interface SetRecord {
  /** Its path as it was given. */
  readonly path: string;
  /** Number of images. */
  readonly count: number;
  /** SHA-256 of its arrays. */
  readonly sha256: string;
  /** SHA-256 of the model that made it, where the file says. */
  readonly model?: string;
}

/** Describes a feature file for a manifest. */
export async function recordOf(set: FeatureSet): Promise<SetRecord> {
  const model = set.metadata["model_hash"];
  return {
    path: set.path,
    count: set.count,
    sha256: await featureHash(set),
    ...(model === undefined ? {} : { model }),
  };
}
