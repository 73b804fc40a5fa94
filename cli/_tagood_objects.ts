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
  requireSameSource,
  type TaggerKind,
  taggerKindOf,
  writeObjects,
} from "../methods/mod.ts";
import { objectRecord } from "../methods/tagood/features.ts";
import { type Context, UserError } from "../runtime/mod.ts";
import type { CommandContext } from "./_command.ts";
import { stageFile, workFolder } from "./_tagood.ts";

/** A set that is scored. */
export interface ScoredSet {
  /** What to call it. */
  readonly name: string;
  /** Object tokens, or a tagger's outputs. */
  readonly set: FeatureSet;
  /** The detector, whose tags and threshold are used. */
  readonly detector: Detector;
}

/** Loads the object tokens of a set that can be scored. */
export async function openScoredObjects(
  context: CommandContext,
  ctx: Context,
  of: ScoredSet,
): Promise<ObjectSet> {
  if (!of.set.has("object_tokens")) return await findNow(context, ctx, of);
  return await loadObjects(of.set, { signal: context.signal });
}

/** Refuses a set that is not of the detector's tagger, or whose tokens cannot be chosen again. */
export function requireScorable(
  { name, set, detector }: ScoredSet,
  { args, terminal }: Pick<CommandContext, "args" | "terminal">,
): void {
  requireSameSource(detector, set);
  if (!set.has("object_tokens")) {
    ruleOf(set, detector);
    return;
  }
  if (args.text("tau") !== undefined) {
    throw new UserError(
      `Cannot take another τ of "${set.path}": its tokens are chosen already; name the tagger's ` +
        "outputs instead",
    );
  }
  // A file that was made by hand may say nothing of its tokens.
  if (set.metadata["objects"] === undefined) return;
  const { kind, tags, thresholds } = objectRecord(set);
  const { arrays } = detector.fitted.state();
  requireKind(set, detector, kind);
  const same = (list: readonly number[], key: "tags" | "thresholds") =>
    JSON.stringify(list) === JSON.stringify([...arrays[key]!.parts[0]!]);
  if (same(tags, "tags") && same(thresholds, "thresholds")) return;
  terminal.note(
    `Note: the objects of ${name} were found with other tags or thresholds than those of the training`,
  );
}

async function findNow(
  { terminal, signal }: CommandContext,
  ctx: Context,
  { name, set, detector }: ScoredSet,
): Promise<ObjectSet> {
  await using work = await workFolder(undefined);
  using progress = terminal.progress(`objects of ${name}`, set.count, { unit: "images" });
  const { path } = await writeObjects(set, {
    rule: ruleOf(set, detector),
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

/** The rule of a detector: its tags, thresholds and τ. */
function ruleOf(set: FeatureSet, detector: Detector): ObjectRule {
  const { arrays, parameters } = detector.fitted.state();
  const kind = taggerKindOf(set);
  requireKind(set, detector, kind);
  return {
    kind,
    tau: parameters["tau"]!,
    untagged: "none",
    oneTag: false,
    tags: Int32Array.from(arrays["tags"]!.parts[0]!),
    thresholds: Float32Array.from(arrays["thresholds"]!.parts[0]!),
    ofClass: [],
  };
}

function requireKind(set: FeatureSet, { fitted }: Detector, kind: TaggerKind): void {
  const expected = fitted.method.name === "tagood" ? "tagger" : "cam";
  if (kind === expected) return;
  const whose = { tagger: "a tagger", cam: "a classifier without tags" };
  throw new UserError(
    `Cannot score "${set.path}": it is of ${whose[kind]} and the detector of ${whose[expected]}`,
  );
}
