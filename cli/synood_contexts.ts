/**
 * `ood synood contexts`: what each image shows beside its object, from a file, from a tagger, or from
 * a vision-language model behind an endpoint.
 *
 * @module
 */

import { type ImageSet, subsetImages } from "../data/mod.ts";
import {
  type ContextCounts,
  fitContexts,
  type FrequentElement,
  frequentElements,
  measureImages,
  saveContexts,
  selectInformative,
  shortClasses,
} from "../methods/mod.ts";
import { UserError } from "../runtime/mod.ts";
import type { Command, CommandContext } from "./_command.ts";
import { openSource } from "./_image_source.ts";
import { LABELS_OPTION } from "./_lbf.ts";
import { requireWritable } from "./_outputs.ts";
import { noteSkipped } from "./_skipped.ts";
import {
  type ElementSource,
  ENDPOINT_OPTIONS,
  prepareSource,
  TAGGER_OPTIONS,
} from "./_synood_contexts.ts";

/** The command. */
export const synoodContextsCommand: Command = {
  name: "synood contexts",
  summary: "Name what each image shows beside its object, for the prompts of synthesis",
  details:
    "Elements come from one of three sources, and are cleaned in the same way: single spaces, each\n" +
    "once, none that is the image's own class or has its name among its words.\n" +
    "--from takes a JSON map of lists by path, a contexts file, or lines of JSON such as the\n" +
    "tags.jsonl of `ood world`, whose contexts and background are elements.\n" +
    "--tagger runs a tagger and takes its predicted tags, the most probable first: no names of\n" +
    'classes, no colours, and "grass around" or "water background" without the last word, which\n' +
    "leaves the contexts and backgrounds of the shipped tagger; --keep, --drop and --strip make\n" +
    "other rules for other taggers.\n" +
    "--endpoint shows each image to a vision-language model behind an OpenAI-compatible API. Answers\n" +
    "are kept in --cache, so that nothing is asked twice; busy servers are asked again. `deno task\n" +
    "ood` may not use the net: `deno task synood:contexts` is this command with that permission, or\n" +
    "run cli.ts with --allow-net=HOST:PORT.",
  options: [
    { name: "images", value: "SOURCE", help: "the images", required: true },
    { name: "out", value: "FILE", help: "the contexts to write, a JSON file", required: true },
    LABELS_OPTION,
    {
      name: "per-class",
      value: "M",
      help: "only the M images of each class whose files have most bytes a pixel",
    },
    { name: "limit", value: "N", help: "only the first N images" },
    { name: "most", value: "N", help: "elements of an image", default: "8" },
    { name: "from", value: "FILE", help: "elements that are there already" },
    ...TAGGER_OPTIONS,
    ...ENDPOINT_OPTIONS,
    { name: "strict", help: "stop at the first image that cannot be read" },
    { name: "json", help: "print counts and the most frequent elements as JSON" },
  ],
  examples: [
    "ood synood contexts --images world/train --from world/train/tags.jsonl --out contexts.json",
    "ood synood contexts --images world/train --tagger models/world-tagger.onnx --out contexts.json",
    "ood synood contexts --images train/ --per-class 50 --endpoint http://127.0.0.1:8080 \\\n" +
    "    --model llava --out contexts.json",
  ],
  run: runContexts,
};

/** Elements and names that are listed. */
const LISTED = 12;
const MAX_NAMED = 3;

async function runContexts(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const most = args.number("most", { minimum: 1, maximum: 1000, integer: true })!;
  const source = await prepareSource(args, most);
  const out = args.need("out");
  await requireWritable(out);
  const all = await openSource(args.need("images"), {
    option: "images",
    labels: args.need("labels"),
    seed: 0,
  });
  const images = await chooseImages(context, all);
  const elements = await source.read(context, images);
  context.signal.throwIfAborted();
  // Images that are there and were not chosen are no strangers.
  const left = new Set(all.names);
  for (const name of images.names) left.delete(name);
  const given = new Map([...elements.given].filter(([name]) => !left.has(name)));
  const { contexts, counts } = fitContexts(given, images, {
    source: elements.source,
    most,
    ...(elements.synonyms === undefined ? {} : { synonyms: elements.synonyms }),
  });
  requireKnown(counts, source, all);
  await saveContexts(contexts, out);
  const frequent = frequentElements(contexts, LISTED);
  if (args.flag("json")) {
    terminal.printJson({ path: out, source: contexts.source, counts, frequent, ...elements.more });
  } else {
    terminal.print(describe(out, counts, frequent));
  }
  noteCounts(context, counts, most);
}

/** The images that were asked for. */
export async function chooseImages(
  { args, terminal, signal }: CommandContext,
  images: ImageSet,
): Promise<ImageSet> {
  const perClass = args.number("per-class", { minimum: 1, integer: true });
  const limit = args.number("limit", { minimum: 1, integer: true }) ?? Infinity;
  if (perClass === undefined) {
    const count = Math.min(limit, images.count);
    return count === images.count ? images : subsetImages(images, [...Array(count).keys()]);
  }
  if (images.labels.every((label) => label < 0)) {
    throw new UserError(
      `Cannot choose images of each class of "${images.path}": its images have no labels`,
    );
  }
  using progress = terminal.progress("measure", images.count, { unit: "images" });
  const measured = await measureImages(images, {
    strict: args.flag("strict"),
    signal,
    onProgress: (done) => progress.update(done),
  });
  progress.finish();
  noteSkipped(measured.skipped, terminal, "");
  const chosen = selectInformative(measured.images, perClass).map((i) => measured.origin[i]!);
  const labels = measured.images.map(({ label }) => label);
  // Classes without names are those that occur.
  const classes = images.classNames.length || labels.reduce((a, b) => Math.max(a, b), -1) + 1;
  const short = shortClasses(labels, { perClass, classes })
    .filter(({ count }) => images.classNames.length > 0 || count > 0)
    .map(({ label, count }) => `${images.classNames[label] ?? `class ${label}`} (${count})`);
  if (short.length > 0) {
    terminal.note(`Note: fewer than ${perClass} images of ${some(short)}`);
  }
  if (chosen.length === 0) {
    throw new UserError(`Cannot use "${images.path}": none of its labelled images can be read`);
  }
  return subsetImages(images, chosen.slice(0, limit));
}

/** Refuses elements that belong to none of the images. */
function requireKnown(
  { empty, images, unknown }: ContextCounts,
  source: ElementSource,
  { path }: ImageSet,
): void {
  if (source.kind !== "file" || empty < images || unknown.length === 0) return;
  throw new UserError(
    `Cannot use "${source.name}": none of the images of "${path}" is in it; it names ` +
      `"${unknown[0]}", and paths below that folder were expected`,
  );
}

function describe(
  out: string,
  { images, elements, withElements }: ContextCounts,
  frequent: readonly FrequentElement[],
): string {
  const mean = (elements / images).toFixed(1);
  const lines = [
    `Wrote ${out}: ${images} images, ${elements} elements, ${mean} an image; ` +
    `${images - withElements} without any`,
  ];
  if (frequent.length > 0) {
    const list = frequent.map(({ element, images }) => `${element} ${images}`).join(", ");
    lines.push(`Most frequent: ${list}`);
  }
  return lines.join("\n");
}

/** What was left out, and what belongs to no image. */
function noteCounts(
  { terminal, args }: CommandContext,
  counts: ContextCounts,
  most: number,
): void {
  const { unusable, duplicates, own, more } = counts.dropped;
  const parts = [
    own > 0 ? `${own} that say the image's own class` : "",
    duplicates > 0 ? `${duplicates} that were there already` : "",
    unusable > 0 ? `${unusable} that name nothing` : "",
    more > 0 ? `${more} beyond ${most} an image` : "",
  ].filter((part) => part !== "");
  if (parts.length > 0) terminal.note(`Left out: ${parts.join(", ")}`);
  if (counts.unknown.length > 0) {
    const { length } = counts.unknown;
    const names = some(counts.unknown);
    terminal.note(
      `Note: ${length} ${length === 1 ? "path is" : "paths are"} of no image of ` +
        `${args.need("images")}: ${names}`,
    );
  }
}

/** The first of many names. */
function some(names: readonly string[]): string {
  return `${names.slice(0, MAX_NAMED).join(", ")}${names.length > MAX_NAMED ? ", …" : ""}`;
}
