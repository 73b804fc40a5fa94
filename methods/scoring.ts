/**
 * Scoring feature sets of any size: one pass over the data for any number of scores, in bounded
 * memory.
 *
 * @module
 */

import type { FeatureBatch, FeatureSet, HostArray } from "../data/mod.ts";
import { type OnnxSession, openSession } from "../onnx/mod.ts";
import { type Context, Host, type Tensor, type TypedArray, UserError } from "../runtime/mod.ts";
import type { Executor } from "./executor.ts";
import { SCORE_OUTPUT, scoreGraph } from "./export.ts";
import { completeBatch, rowShape, storedKeys } from "./_keys.ts";
import type { Fitted, ScoreMethod, Scorer } from "./score.ts";

/** How far scoring has come. */
export interface ScoreProgress {
  /** Rows done. */
  readonly done: number;
  /** Rows of the set. */
  readonly total: number;
}

/** How to score. */
export interface ScoreOptions {
  /** Where to compute. */
  readonly executor: Executor;
  /** Rows of a batch; chosen by the width of the data by default. */
  readonly rows?: number;
  /** Told after every batch. */
  readonly onProgress?: (progress: ScoreProgress) => void;
  /** Told, in one sentence, when a score runs elsewhere than asked for. */
  readonly onNotice?: (notice: string) => void;
}

/** Bytes of one batch of one key. */
const BATCH_BYTES = 16 << 20;
const MAX_ROWS = 4096;
/** Bytes that a graph may take for one batch beside its inputs. */
const GRAPH_BYTES = 64 << 20;
/** Learned arrays beyond this do not go into a graph. */
const MAX_GRAPH_STATE_BYTES = 256 << 20;

/**
 * Scores every row of a set with one fitted score.
 *
 * @param fitted The fitted score.
 * @param set The set.
 * @param options Where to compute, and how many rows at a time.
 * @returns One score for each row, higher = more in-distribution.
 * @throws {UserError} When the set lacks a key, has other dimensions than the fit, holds NaN, or a
 * score comes out as NaN.
 *
 * @example The largest logit
 * ```ts
 * import { chooseExecutor, maxLogit, scoreFeatures } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * using executor = await chooseExecutor("reference");
 * const set = memoryFeatures({
 *   logits: { data: new Float32Array([1, 2, 4, 3]), shape: [2, 2] },
 * });
 * const fitted = await maxLogit.fit({ train: set, context: executor.context });
 * assertEquals([...await scoreFeatures(fitted, set, { executor })], [2, 4]);
 * ```
 */
export async function scoreFeatures(
  fitted: Fitted,
  set: FeatureSet,
  options: ScoreOptions,
): Promise<Float32Array<ArrayBuffer>> {
  const [scores] = await scoreMany([fitted], set, options);
  return scores!;
}

/**
 * Scores every row of a set with several fitted scores in one pass: each batch is read once and
 * each of its arrays uploaded once.
 *
 * On a GPU, a batch is recorded while the one before it is read back.
 *
 * @param fitted The fitted scores.
 * @param set The set.
 * @param options Where to compute, and how many rows at a time.
 * @returns For each fitted score one score for each row, higher = more in-distribution.
 * @throws {UserError} When the set lacks a key, has other dimensions than a fit, holds NaN, or a
 * score comes out as NaN.
 *
 * @example Two scores, one pass
 * ```ts
 * import { chooseExecutor, findScores, scoreMany } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * using executor = await chooseExecutor("reference");
 * const set = memoryFeatures({ logits: { data: new Float32Array([5, 5]), shape: [1, 2] } });
 * const fits = findScores("msp,max_logit")
 *   .map((method) => method.fit({ train: set, context: executor.context }));
 * const [msp, maxLogit] = await scoreMany(await Promise.all(fits), set, { executor });
 * assertEquals([msp![0], maxLogit![0]], [0.5, 5]);
 * ```
 */
export async function scoreMany(
  fitted: readonly Fitted[],
  set: FeatureSet,
  options: ScoreOptions,
): Promise<Float32Array<ArrayBuffer>[]> {
  for (const one of fitted) requireFit(one, set);
  const keys = [
    ...new Set(fitted.flatMap((one) => storedKeys(set, one.needs, purposeOf(one)))),
  ];
  const results = fitted.map(() => new Float32Array(set.count));
  if (set.count === 0 || fitted.length === 0) return results;
  const split = splitWork(fitted, options);
  const width = Math.max(...keys.map((key) => rowLength(set.shape(key))));
  const rows = options.rows ?? defaultRows(width, fitted, split);
  await using runner = await openRunner(fitted, split, options.executor);
  let pending: { batch: FeatureBatch; scores: Promise<TypedArray[]> } | undefined;
  const settle = async (): Promise<void> => {
    if (pending === undefined) return;
    const { batch, scores } = pending;
    pending = undefined;
    (await scores).forEach((values, i) => {
      requireFinite(values, { fitted: fitted[i]!, set, start: batch.start });
      results[i]!.set(values, batch.start);
    });
    options.onProgress?.({ done: batch.start + batch.rows, total: set.count });
  };
  for await (const batch of set.batches(keys, { rows })) {
    const scores = runner.score(batch, keys);
    // Its failure is thrown when its turn comes; until then it must not count as unhandled.
    scores.catch(() => {});
    await settle();
    pending = { batch, scores };
  }
  await settle();
  return results;
}

/**
 * Checks that a set has what a score reads, before anything is fitted.
 *
 * @param method The score.
 * @param set The set.
 * @throws {UserError} When it lacks a key; the message says what to do about it.
 *
 * @example Logits of moved images
 * ```ts
 * import { odin, requireKeys } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertThrows } from "@std/assert";
 *
 * const set = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * assertThrows(() => requireKeys(odin, set), Error, "ood extract --odin");
 * ```
 */
export function requireKeys(method: ScoreMethod, set: FeatureSet): void {
  storedKeys(set, method.needs, `score with "${method.name}"`);
}

function purposeOf(fitted: Fitted): string {
  return `score with "${fitted.method.name}"`;
}

function rowLength(shape: readonly number[]): number {
  return shape.slice(1).reduce((product, length) => product * length, 1);
}

/**
 * Checks that a set has what a fitted score reads, in the dimensions that the fit had, before
 * anything is scored.
 *
 * @param fitted The fitted score.
 * @param set The set.
 * @throws {UserError} When it lacks a key, or has other dimensions.
 *
 * @example Logits of another number of classes
 * ```ts
 * import { maxLogit, requireFit } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertThrows } from "@std/assert";
 *
 * const logitsOf = (classes: number) =>
 *   memoryFeatures({ logits: { data: new Float32Array(classes), shape: [1, classes] } });
 * const fitted = await maxLogit.fit({ train: logitsOf(2), context: new Host() });
 * requireFit(fitted, logitsOf(2));
 * assertThrows(() => requireFit(fitted, logitsOf(3)), Error, "has 3 columns and the fit had 2");
 * ```
 */
export function requireFit(fitted: Fitted, set: FeatureSet): void {
  requireKeys(fitted.method, set);
  for (const key of fitted.needs) {
    const expected = fitted.inputs[key]!;
    const actual = rowShape(set, key)!;
    const open = expected.includes(-1);
    const fits = open || expected.length === actual.length &&
        expected.every((length, axis) => length === actual[axis]);
    if (fits) continue;
    throw new UserError(
      `Cannot ${purposeOf(fitted)}: "${key}" of "${set.path}" has ${actual.join(" x ")} columns ` +
        `and the fit had ${expected.join(" x ")}`,
    );
  }
}

function requireFinite(
  scores: TypedArray,
  of: { fitted: Fitted; set: FeatureSet; start: number },
): void {
  const at = scores.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const row = of.start + at;
  const name = of.set.names?.[row];
  throw new UserError(
    `Cannot ${purposeOf(of.fitted)}: row ${row}${name === undefined ? "" : ` ("${name}")`} of ` +
      `"${of.set.path}" comes out as ${scores[at]}; its values are too large for float32`,
  );
}

/** Which of the fitted scores run as graphs. */
type Split = readonly ("graph" | "kernels")[];

function splitWork(fitted: readonly Fitted[], options: ScoreOptions): Split {
  const { executor, onNotice } = options;
  if (executor.kind !== "wasm") return fitted.map(() => "kernels");
  return fitted.map((one) => {
    if (one.byteLength <= MAX_GRAPH_STATE_BYTES) return "graph";
    const megabytes = Math.round(one.byteLength / 2 ** 20);
    onNotice?.(
      `"${one.method.name}" keeps ${megabytes} MB, too much for one ONNX graph, and runs on ` +
        `${executor.context.kind} instead of wasm`,
    );
    return "kernels";
  });
}

function defaultRows(width: number, fitted: readonly Fitted[], split: Split): number {
  const inGraphs = fitted.map((one, i) => split[i] === "graph" ? one.graphRowBytes : 0);
  const perRow = Math.max(1, ...inGraphs);
  const rows = Math.min(
    MAX_ROWS,
    Math.floor(BATCH_BYTES / (4 * width)),
    Math.floor(GRAPH_BYTES / perRow),
  );
  return Math.max(1, rows);
}

/** Scores batches; several may be under way. */
interface Runner extends AsyncDisposable {
  score(batch: FeatureBatch, keys: readonly string[]): Promise<TypedArray[]>;
}

async function openRunner(
  fitted: readonly Fitted[],
  split: Split,
  executor: Executor,
): Promise<Runner> {
  const context = executor.context.scope();
  const sessions = new Map<Fitted, OnnxSession>();
  const scorers = new Map<Fitted, Scorer>();
  const close = async (): Promise<void> => {
    for (const session of sessions.values()) await session.dispose();
    context[Symbol.dispose]();
  };
  try {
    for (const [i, one] of fitted.entries()) {
      if (split[i] === "graph") {
        sessions.set(one, await openSession(scoreGraph(one), { device: "wasm" }));
      } else {
        scorers.set(one, one.place(context));
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async score(batch, keys) {
      // Kernels are recorded before the graphs run, so that a GPU works meanwhile.
      const fromKernels = runKernels(context, scorers, { batch, keys });
      const fromGraphs = runGraphs(sessions, { batch, keys });
      const [kernels, graphs] = await Promise.all([fromKernels, fromGraphs]);
      return fitted.map((one) => kernels.get(one) ?? graphs.get(one)!);
    },
    [Symbol.asyncDispose]: close,
  };
}

interface Rows {
  readonly batch: FeatureBatch;
  readonly keys: readonly string[];
}

async function runKernels(
  context: Context,
  scorers: ReadonlyMap<Fitted, Scorer>,
  rows: Rows,
): Promise<Map<Fitted, TypedArray>> {
  if (scorers.size === 0) return new Map();
  using scope = context.scope();
  const tensors: Record<string, Tensor> = {};
  for (const key of rows.keys) {
    const { data, shape } = rows.batch.get(key);
    tensors[key] = scope.upload(data, shape, { label: key });
  }
  const needs = [...scorers.keys()].flatMap((one) => one.needs);
  const batch = completeBatch(scope, tensors, needs);
  const outputs = [...scorers.values()].map((scorer) => scorer(scope, batch));
  const values = await scope.read(...outputs);
  return new Map([...scorers.keys()].map((one, i) => [one, values[i]!]));
}

async function runGraphs(
  sessions: ReadonlyMap<Fitted, OnnxSession>,
  rows: Rows,
): Promise<Map<Fitted, TypedArray>> {
  const scores = new Map<Fitted, TypedArray>();
  if (sessions.size === 0) return scores;
  const inputs = completeOnHost([...sessions.keys()].flatMap((one) => one.needs), rows);
  for (const [one, session] of sessions) {
    const feeds = Object.fromEntries(one.needs.map((key) => [key, inputs[key]!]));
    const output = (await session.run(feeds))[SCORE_OUTPUT] as HostArray;
    scores.set(one, output.data);
  }
  return scores;
}

/** The needed arrays of a batch; those that are not stored are made on the host. */
function completeOnHost(needs: readonly string[], rows: Rows): Record<string, HostArray> {
  const inputs: Record<string, HostArray> = {};
  for (const key of rows.keys) inputs[key] = rows.batch.get(key);
  if (needs.every((key) => inputs[key] !== undefined)) return inputs;
  using host = new Host();
  const tensors: Record<string, Tensor> = {};
  for (const [key, { data, shape }] of Object.entries(inputs)) {
    tensors[key] = host.upload(data, shape);
  }
  for (const [key, tensor] of Object.entries(completeBatch(host, tensors, needs))) {
    inputs[key] ??= { data: tensor.data.slice() as HostArray["data"], shape: tensor.shape };
  }
  return inputs;
}
