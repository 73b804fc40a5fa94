/**
 * What a score is: the contract that every post-hoc score and every trained detector fulfils, and
 * the types that it speaks in.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import type { GraphBuilder } from "../onnx/mod.ts";
import type { Context, Tensor, TypedArray } from "../runtime/mod.ts";

/** A number that a score can be tuned with. */
export interface ParameterSpec {
  /** Its name, without the score's. */
  readonly name: string;
  /** One line that says what it does. */
  readonly description: string;
  /** The value without a wish; absent when it follows from the data as `rule` says. */
  readonly default?: number;
  /** How the default follows from the data. */
  readonly rule?: string;
  /** Smallest value allowed. */
  readonly minimum?: number;
  /** Largest value allowed. */
  readonly maximum?: number;
  /** Whether it must exceed the minimum rather than reach it. */
  readonly exclusive?: boolean;
  /** Whether it must be a whole number. */
  readonly integer?: boolean;
  /** Names of its values 0, 1, 2, ..., where these are no quantities but choices. */
  readonly choices?: readonly string[];
  /** Values worth trying in a search. */
  readonly search: readonly number[];
}

/** The linear classifier behind the features: logits = weight * features + bias. */
export interface LinearHead {
  /** [K, C], row-major. */
  readonly weight: Float32Array<ArrayBuffer>;
  /** [K]. */
  readonly bias: Float32Array<ArrayBuffer>;
}

/** How far a fit has come. */
export interface FitProgress {
  /** What is being done. */
  readonly stage: string;
  /** Rows done in this stage. */
  readonly done: number;
  /** Rows of this stage. */
  readonly total: number;
}

/** What a score is fitted to. */
export interface FitInput {
  /** In-distribution training data. */
  readonly train: FeatureSet;
  /** In-distribution validation data, for the scores that want it; without it they use `train`. */
  readonly validation?: FeatureSet;
  /** The linear head; read from `train` when absent. */
  readonly head?: LinearHead;
  /** Wishes by parameter name; the others take their defaults. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** Where the heavy sums run. */
  readonly context: Context;
  /** Seed of fits that draw at random; default 0. */
  readonly seed?: number;
  /** Told about every batch of rows. */
  readonly onProgress?: (progress: FitProgress) => void;
}

/** A fitted array: rows in one or more parts, so that a large bank needs no single buffer. */
export interface StateArray {
  /** Its dimensions. */
  readonly shape: readonly number[];
  /** The elements in order; each part holds whole rows. */
  readonly parts: readonly (TypedArray | Float64Array<ArrayBuffer>)[];
}

/** All that a fit has learned: enough to score, to save and to export. */
export interface FittedState {
  /** Every parameter's value, those that follow from the data included. */
  readonly parameters: Readonly<Record<string, number>>;
  /** Dimensions of one row of each needed key; -1 where any length will do. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** The learned arrays. */
  readonly arrays: Readonly<Record<string, StateArray>>;
  /** What a person should know about the fit, one sentence each. */
  readonly warnings?: readonly string[];
}

/** Some rows: a tensor for each feature key, rows along the first axis. */
export type ScoreBatch = Readonly<Record<string, Tensor>>;

/**
 * Scores rows: records the work through `context` and returns [rows], higher = more
 * in-distribution. The tensors of the batch and of the score's own arrays must live on the same
 * device as the context.
 */
export type Scorer = (context: Context, batch: ScoreBatch) => Tensor;

/** What a score measures, in words for people. */
export interface Evidence {
  /** The quantity, for example `max softmax`. */
  readonly quantity: string;
  /** Whether the score is the quantity negated, so that a large quantity speaks against an image. */
  readonly negated: boolean;
}

/** A fitted score: ready to run, to save and to export. */
export interface Fitted {
  /** The score. */
  readonly method: ScoreMethod;
  /** Every parameter's value, those that follow from the data included. */
  readonly parameters: Readonly<Record<string, number>>;
  /** Feature keys that scoring reads. */
  readonly needs: readonly string[];
  /** Dimensions of one row of each needed key; -1 where any length will do. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** C, the number of features, and K, the number of classes, where the score depends on them. */
  readonly dimensions: { readonly C?: number; readonly K?: number };
  /** What a person should know about the fit, one sentence each. */
  readonly warnings: readonly string[];
  /** Bytes of the learned arrays. */
  readonly byteLength: number;
  /** Bytes that one row takes inside the ONNX graph, where that is far more than its inputs. */
  readonly graphRowBytes: number;
  /**
   * Brings the learned arrays to where scoring runs, once for many batches. They belong to
   * `context` and live as long as it does.
   */
  place(context: Context): Scorer;
  /** What a score says in words where it is no measurement, such as one that a rule gives. */
  explain(score: number): string | undefined;
  /** Scores one batch: {@linkcode Fitted.place} and one call. */
  score(context: Context, batch: ScoreBatch): Tensor;
  /** All that was learned. */
  state(): FittedState;
  /**
   * Writes the score into an ONNX graph.
   *
   * @returns Name of the value [N], higher = more in-distribution.
   */
  graph(builder: GraphBuilder, inputs: Readonly<Record<string, string>>): string;
}

/** A score: what it needs, what it can be tuned with, and how it is fitted. */
export interface ScoreMethod {
  /** Short name, as typed on the command line. */
  readonly name: string;
  /** Name as papers spell it. */
  readonly title: string;
  /** The paper: authors, year, arXiv id. */
  readonly source: string;
  /** One sentence that says what it does. */
  readonly summary: string;
  /** Feature keys that scoring reads. */
  readonly needs: readonly string[];
  /** Feature keys that fitting reads; empty when nothing is fitted. */
  readonly fitNeeds: readonly string[];
  /** Whether fitting prefers validation data. */
  readonly usesValidation: boolean;
  /** What it can be tuned with. */
  readonly parameters: readonly ParameterSpec[];
  /** What it measures, in words for people. */
  readonly evidence: Evidence;
  /**
   * Fits the score: a pure function of features, parameters and seed.
   *
   * @throws {UserError} When the data lack something, or a parameter is out of range.
   */
  fit(input: FitInput): Promise<Fitted>;
  /**
   * Makes a fitted score from what an earlier fit learned.
   *
   * @throws {UserError} When the state is not one of this score's.
   */
  restore(state: FittedState): Fitted;
}
