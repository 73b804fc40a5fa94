/**
 * `ood tagood vocab`: which of a tagger's tags stand for which class, for a person to review.
 *
 * @module
 */

import { openFeatures } from "../data/mod.ts";
import {
  parseVocabulary,
  proposeVocabulary,
  saveVocabulary,
  taggerOf,
  type Vocabulary,
} from "../methods/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { MODEL_DEVICE_OPTION } from "./_device.ts";
import { openSource } from "./_image_source.ts";
import { LABELS_OPTION } from "./_lbf.ts";
import { requireWritable } from "./_outputs.ts";
import { extractTagLogits } from "./_tag_logits.ts";
import { describeReview, describeVocabulary, reviewVocabulary } from "./_vocabulary_review.ts";

/** The command. */
export const tagoodVocabCommand: Command = {
  name: "tagood vocab",
  summary: "Propose which tags of a tagger stand for which class; a person reviews the file",
  details:
    "For every class the tag that is predicted for most of its images is proposed, with the next\n" +
    'ones and some images beside it. Edit "tags" of a class to have others, or several, stand for\n' +
    "it; the other commands of tagood read the file. --images runs the tagger first and keeps its\n" +
    "tag logits in --work, which --features takes another time.",
  options: [
    {
      name: "features",
      value: "FILE",
      help: "a feature file with tag_logits and labels of the training images",
      requiredUnless: "images",
    },
    { name: "out", value: "FILE", help: "the vocabulary to write, a JSON file", required: true },
    { name: "images", value: "SOURCE", help: "the labelled training images themselves" },
    { name: "model", value: "MODEL.onnx", help: "with --images: the tagger" },
    {
      name: "work",
      value: "FILE",
      help: "with --images: where tag logits are kept (default beside --out)",
    },
    LABELS_OPTION,
    {
      name: "threshold",
      value: "P",
      help: "the probability above which any tag counts as predicted (default the tagger's own, " +
        "or 0.5)",
    },
    { name: "candidates", value: "N", help: "tags listed for each class", default: "5" },
    { name: "force", help: "replace a vocabulary that is there, with what was edited in it" },
    MODEL_DEVICE_OPTION,
    { name: "resume", help: "go on with a run of the tagger that was stopped" },
    { name: "strict", help: "stop at the first image that cannot be read" },
    { name: "json", help: "print the vocabulary and what to review as JSON" },
  ],
  examples: [
    "ood tagood vocab --features train.safetensors --out vocabulary.json",
    "ood tagood vocab --images train/ --model ram.onnx --out vocabulary.json",
  ],
  run: runVocab,
};

async function runVocab(context: CommandContext): Promise<void> {
  const { args, terminal, signal } = context;
  const out = args.need("out");
  const threshold = args.number("threshold", { minimum: 0, maximum: 1 });
  if (threshold === 0 || threshold === 1) {
    throw new UsageError(`The option --threshold must lie between 0 and 1: it is ${threshold}`);
  }
  const candidates = args.number("candidates", { minimum: 1, maximum: 100, integer: true })!;
  if (!args.flag("force")) await requireNoVocabulary(out);
  await requireWritable(out);
  await using set = await openFeatures(await featureFile(context));
  const tagger = taggerOf(set);
  using progress = terminal.progress("count tags", set.count, { unit: "images" });
  const vocabulary = await proposeVocabulary(set, {
    tagger,
    candidates,
    signal,
    ...(threshold === undefined ? {} : { threshold }),
    onProgress: (done) => progress.update(done),
  });
  progress.finish();
  await saveVocabulary(vocabulary, out);
  const review = reviewVocabulary(vocabulary, tagger.tags);
  if (args.flag("json")) {
    terminal.printJson({ path: out, vocabulary, review });
  } else {
    terminal.print(describeVocabulary(vocabulary));
    if (review.length > 0) terminal.print(`\n${describeReview(review)}`);
  }
  const images = vocabulary.classes.reduce((sum, entry) => sum + entry.images, 0);
  if (images < set.count) {
    terminal.note(`Note: ${set.count - images} of ${set.count} images have no label`);
  }
  const whose = vocabulary.forced || tagger.thresholds === undefined
    ? `a probability above ${vocabulary.threshold}`
    : "the tagger's own thresholds";
  terminal.note(
    `Wrote ${out}: ${vocabulary.classes.length} classes, tags counted at ${whose}; look through it ` +
      'and edit "tags" where another tag fits better',
  );
}

/** Refuses to replace a file: what a person edited in it would be gone. */
async function requireNoVocabulary(path: string): Promise<void> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch {
    // What cannot be written either is refused by its own name.
    return;
  }
  const edited = editedClasses(text);
  const what = edited === undefined || edited === 0
    ? "it is there already"
    : `tags of ${edited === 1 ? "1 class" : `${edited} classes`} were edited in it`;
  throw new UserError(`Cannot write "${path}": ${what}; --force replaces it`);
}

/** How many classes have other tags than were proposed; undefined for other files. */
function editedClasses(text: string): number | undefined {
  let vocabulary: Vocabulary;
  try {
    vocabulary = parseVocabulary(text);
  } catch {
    return undefined;
  }
  return vocabulary.classes.filter(({ tags, candidates }) =>
    tags.length !== Math.min(1, candidates.length) || tags[0] !== candidates[0]?.tag
  ).length;
}

/** The feature file that was named, or one that the tagger makes of the images now. */
async function featureFile(context: CommandContext): Promise<string> {
  const { args } = context;
  const [features, source, model] = [
    args.text("features"),
    args.text("images"),
    args.text("model"),
  ];
  if (source === undefined) {
    requireOnlyWithImages(args);
    return features!;
  }
  if (features !== undefined) {
    throw new UsageError("The options --features and --images exclude each other: give one");
  }
  if (model === undefined) throw new UsageError("The option --images needs --model, the tagger");
  const images = await openSource(source, {
    option: "images",
    labels: args.need("labels"),
    seed: 0,
  });
  const work = args.text("work") ?? `${args.need("out").replace(/\.json$/i, "")}.safetensors`;
  await extractTagLogits(context, { model, images, out: work });
  return work;
}

function requireOnlyWithImages(args: Arguments): void {
  const stray = ["model", "work"].find((name) => args.text(name) !== undefined) ??
    ["resume", "strict"].find((name) => args.flag(name));
  if (stray !== undefined) throw new UsageError(`The option --${stray} needs --images`);
}
