/**
 * Object tokens of a set that is scored: from their own file, or found now in a tagger's outputs.
 *
 * @module
 */

import { type FeatureSet, openFeatures } from "../data/mod.ts";
import {
  type Detector,
  loadObjects,
  type ObjectRule,
  type ObjectSet,
  taggerKindOf,
  writeObjects,
} from "../methods/mod.ts";
import { type Context, UserError } from "../runtime/mod.ts";
import type { CommandContext } from "./_command.ts";
import { stageFile, workFolder } from "./_tagood.ts";

/** A set that is scored. */
export interface ScoredSet {
  /** What to call it. */
  readonly name: string;
  /** Its file. */
  readonly path: string;
  /** The detector, whose tags and threshold are used. */
  readonly detector: Detector;
  /** Another threshold on attention. */
  readonly tau?: number | undefined;
}

/** Loads the object tokens of a set. */
export async function openScoredObjects(
  context: CommandContext,
  ctx: Context,
  of: ScoredSet,
): Promise<ObjectSet> {
  await using set = await openFeatures(of.path);
  if (!set.has("object_tokens")) return await findNow(context, ctx, { ...of, set });
  if (of.tau !== undefined) {
    throw new UserError(
      `Cannot take another τ of "${of.path}": its tokens are chosen already; name the tagger's ` +
        "outputs instead",
    );
  }
  return await loadObjects(set, { signal: context.signal });
}

async function findNow(
  { terminal, signal }: CommandContext,
  ctx: Context,
  { name, set, detector, tau }: ScoredSet & { readonly set: FeatureSet },
): Promise<ObjectSet> {
  await using work = await workFolder(undefined);
  using progress = terminal.progress(`objects of ${name}`, set.count, { unit: "images" });
  const { path } = await writeObjects(set, {
    rule: ruleOf(set, detector, tau),
    ...(set.has("head.weight") ? { head: await set.read("head.weight") } : {}),
    out: stageFile(work.path, "objects"),
    ctx,
    signal,
    onProgress: (done) => progress.update(done),
  });
  progress.finish();
  await using objects = await openFeatures(path);
  return await loadObjects(objects, { signal });
}

/** The rule of a detector: its tags and thresholds, at its τ or another one. */
export function ruleOf(set: FeatureSet, { fitted }: Detector, tau?: number): ObjectRule {
  const { arrays, parameters } = fitted.state();
  const kind = taggerKindOf(set);
  const expected = fitted.method.name === "tagood" ? "tagger" : "cam";
  if (kind !== expected) {
    throw new UserError(
      `Cannot score "${set.path}" with a detector of "${fitted.method.name}": it has ` +
        `${set.keys.join(", ")}`,
    );
  }
  return {
    kind,
    tau: tau ?? parameters["tau"]!,
    untagged: "none",
    oneTag: false,
    tags: Int32Array.from(arrays["tags"]!.parts[0]!),
    thresholds: Float32Array.from(arrays["thresholds"]!.parts[0]!),
    ofClass: [],
  };
}
