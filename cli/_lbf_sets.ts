/**
 * Two models on the same images: features of every set, tables of both, and what the report draws.
 *
 * @module
 */

import { ensureDir } from "@std/fs/ensure-dir";
import { join } from "node:path";
import type { FeatureSet, ImageSet } from "../data/mod.ts";
import type { ScoreMethod } from "../methods/mod.ts";
import { extractFeatures, type Sidecar } from "../onnx/mod.ts";
import type { Gpu } from "../runtime/mod.ts";
import { type EvaluationOutcome, type EvaluationPlan, runEvaluation } from "./_evaluation.ts";
import type { ScoringRun } from "./_scoring.ts";
import { OpenSets } from "./_sets.ts";

/** Name of the training set's file; OOD sets must not have it. */
export const TRAIN_SET = "train";
/** Name of the in-distribution set's file. */
export const ID_SET = "id";

/** The images of an evaluation. */
export interface LbfImageSets {
  /** What scores are fitted to. */
  readonly train: ImageSet;
  /** The in-distribution test images. */
  readonly id: ImageSet;
  /** OOD images by name. */
  readonly ood: ReadonlyMap<string, ImageSet>;
}

/** Where features of a model go, and how they are made. */
export interface LbfExtraction extends ScoringRun {
  /** The model. */
  readonly model: string;
  /** What stands beside the model, or beside the one that it was made of. */
  readonly sidecar: Sidecar | undefined;
  /** Folder of the feature files. */
  readonly folder: string;
  /** The device of the model. */
  readonly device: "auto" | "webgpu" | "wasm";
  /** Whether images are moved for ODIN. */
  readonly odin: boolean;
  /** A GPU to share. */
  readonly gpu?: Gpu;
}

/** Extracts the features of all sets; the training set without ODIN's second pass. */
export async function extractSets(sets: LbfImageSets, how: LbfExtraction): Promise<void> {
  await ensureDir(how.folder);
  await extractOne(TRAIN_SET, sets.train, { ...how, odin: false });
  await extractOne(ID_SET, sets.id, how);
  for (const [name, images] of sets.ood) await extractOne(name, images, how);
}

async function extractOne(name: string, images: ImageSet, how: LbfExtraction): Promise<void> {
  const { model, sidecar, folder, device, odin, gpu, terminal, signal } = how;
  using progress = terminal.progress(`features of ${name}`, images.count, { unit: "images" });
  const summary = await extractFeatures({
    model,
    images,
    out: join(folder, `${name}.safetensors`),
    device,
    signal,
    ...(sidecar === undefined ? {} : { sidecar }),
    ...(gpu === undefined ? {} : { gpu }),
    ...(odin ? { odin: {} } : {}),
    onProgress: ({ done }) => progress.update(done),
  });
  progress.finish();
  signal.throwIfAborted();
  if (summary.skipped.length > 0) {
    terminal.note(`Skipped ${summary.skipped.length} images of ${name} that cannot be read`);
  }
}

/** What an evaluation of one model gave, and the norms of its features. */
export interface LbfOutcome extends EvaluationOutcome {
  /** L2 norms of the penultimate features by set, the training set left out. */
  readonly norms: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
}

/** Fits and scores on the features of a folder. */
export async function evaluateFolder(
  folder: string,
  names: readonly string[],
  run: EvaluationPlan & ScoringRun,
): Promise<LbfOutcome> {
  await using open = new OpenSets();
  const file = (name: string) => open.open(join(folder, `${name}.safetensors`));
  const train = await file(TRAIN_SET);
  const id = await file(ID_SET);
  const ood = new Map<string, FeatureSet>();
  for (const name of names) ood.set(name, await file(name));
  const outcome = await runEvaluation({ train, validation: undefined, id, ood }, run);
  const norms = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, set] of [[ID_SET, id] as const, ...ood]) norms.set(name, await normsOf(set));
  return { ...outcome, norms };
}

async function normsOf(set: FeatureSet): Promise<Float32Array<ArrayBuffer>> {
  const channels = set.shape("features")[1]!;
  const norms = new Float32Array(set.count);
  for await (const batch of set.batches(["features"], { rows: 4096 })) {
    const { data } = batch.get("features");
    for (let row = 0; row < batch.rows; row++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += data[row * channels + c]! ** 2;
      norms[batch.start + row] = Math.sqrt(sum);
    }
  }
  return norms;
}

/** Whether a method reads logits of moved images. */
export function needsOdin(methods: readonly ScoreMethod[]): boolean {
  return methods.some(({ needs }) => needs.includes("odin_logits"));
}
