/**
 * `ood synood labels`: names of things outside the known classes, with the text features of all.
 *
 * @module
 */

import {
  describeWords,
  LEXICOGRAPHER_FILES,
  readWordList,
  readWordNet,
  WORDNET_FOLDER,
  type WordNetOptions,
} from "../data/mod.ts";
import {
  type Candidates,
  CSP_EXCLUDED,
  findLabels,
  type LabelInput,
  type LabelKind,
  type LabelOptions,
  mergeCandidates,
  type MinedLabels,
  type Mining,
  NEG_LABEL_EXCLUDED,
  PromptCache,
  PROMPTS,
  type PromptSet,
  type PromptTemplates,
  requireTemplates,
  saveLabelSet,
  wordNetCandidates,
} from "../methods/mod.ts";
import { type ExtractionDevice, openVisionLanguage } from "../onnx/mod.ts";
import { nearestName, UserError } from "../runtime/mod.ts";
import { type Arguments, asUsage, UsageError } from "./_arguments.ts";
import { CLASSES_HELP, readClasses } from "./_class_list.ts";
import type { Command, CommandContext } from "./_command.ts";
import { MODEL_DEVICE_OPTION, openKernels } from "./_device.ts";
import { describeLabels, labelsSummary } from "./_label_report.ts";
import { requireWritable } from "./_outputs.ts";
import type { Terminal } from "./_terminal.ts";

/** The command. */
export const synoodLabelsCommand: Command = {
  name: "synood labels",
  summary: "Find negative labels: words that name nothing the known classes are near to",
  details:
    "Of the nouns and adjectives of WordNet (or of --words) those are kept that are farthest from\n" +
    "all classes, as a text encoder sees them: the lowest 15 % of each by the 0.95 quantile of their\n" +
    "cosines (NegLabel; --mining csp makes objects and scenes of adjectives). Words that say the\n" +
    "name of a class, alone or within others, are left out. Text features are kept beside --out,\n" +
    "so that another share or quantile takes seconds. The scores mcm, neg_label and csp, and the\n" +
    "other commands of synood, read the file.",
  options: [
    { name: "model", value: "FOLDER", help: "a vision-language model as CLIP", required: true },
    { name: "classes", value: "SOURCE", help: CLASSES_HELP, required: true },
    { name: "out", value: "FILE", help: "the labels to write, .safetensors", required: true },
    {
      name: "wordnet",
      value: "DIR",
      help: `WordNet's database files (default ${WORDNET_FOLDER}, of Debian's wordnet-base)`,
    },
    {
      name: "synsets",
      value: "WORDS",
      help: "the first word of each of WordNet's sets of synonyms, as the paper's code, or all",
      choices: ["first", "all"],
      default: "first",
    },
    {
      name: "exclude",
      value: "FILES",
      help: "WordNet's files to leave out, as noun.animal,noun.food, or none (default the paper's)",
    },
    { name: "words", value: "FILE", help: "words in place of WordNet's: one a line, or JSON" },
    { name: "words-adjectives", value: "FILE", help: "beside --words, which are nouns then" },
    { name: "negatives", value: "FILE", help: "the negative labels themselves: nothing is mined" },
    { name: "ids-only", help: "no negative labels, for the score mcm" },
    {
      name: "mining",
      value: "METHOD",
      help: "how words are chosen",
      choices: ["neg_label", "csp"],
      default: "neg_label",
    },
    { name: "share", value: "P", help: "of each kind of words to keep", default: "0.15" },
    { name: "count", value: "N", help: "how many to keep in all, in place of --share" },
    { name: "quantile", value: "Q", help: "of a word's cosines to the classes", default: "0.95" },
    {
      name: "template",
      value: "TEXT",
      help: "a prompt with {} for the name, or the prompts of neg_label, csp or mcm; several are " +
        "averaged (default the model's own, else those of --mining)",
      multiple: true,
    },
    {
      name: "template-adjectives",
      value: "TEXT",
      help: "the same for adjectives",
      multiple: true,
    },
    { name: "template-classes", value: "TEXT", help: "the same for classes", multiple: true },
    {
      name: "names",
      value: "WHICH",
      help: 'of a class called "crane, bird": the first name, or all on average',
      choices: ["first", "all"],
      default: "first",
    },
    { name: "keep-id-names", help: "keep words that say the name of a class" },
    { name: "same-names", help: "allow classes of one name" },
    { name: "seed", value: "N", help: "seed of what csp draws", default: "0" },
    {
      name: "cache",
      value: "FILE",
      help: "where text features are kept (default beside --out, .prompts.safetensors)",
    },
    { name: "batch", value: "N", help: "texts in one run of the model" },
    MODEL_DEVICE_OPTION,
    { name: "show", value: "N", help: "labels to print from either end", default: "10" },
    { name: "force", help: "replace labels that are there" },
    { name: "json", help: "print what was found as JSON" },
  ],
  examples: [
    "ood synood labels --model clip/ --classes classes.txt --out labels.safetensors",
    "ood synood labels --model clip/ --classes train/ --words words.txt --out labels.safetensors",
    "ood synood labels --model clip/ --classes classifier.onnx --mining csp --out csp.safetensors",
  ],
  run: runLabels,
};

async function runLabels(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const out = args.need("out");
  const settings = settingsOf(args);
  requireOneSource(args);
  const prompts = promptsOf(args);
  if (!args.flag("force")) await requireNew(out);
  const kept = args.text("cache") ?? `${out.replace(/\.safetensors$/i, "")}.prompts.safetensors`;
  await requireWritable(out, kept);
  const classes = args.need("classes");
  const { names: ids, notes } = await readClasses(classes, { sameNames: args.flag("same-names") });
  noteOdd(classes, notes, terminal);
  const { candidates, duplicates, source } = await openCandidates(args, terminal);
  const found = await mine(context, { ids, candidates, settings, prompts, kept });
  await saveLabelSet(out, found.set, provenance(found, { settings, source, classes }));
  const about = { path: out, source, duplicates, settings, show: settings.show };
  if (args.flag("json")) terminal.printJson(labelsSummary(found, about));
  else terminal.print(describeLabels(found, about));
  if (found.cached > 0) terminal.note(`${found.cached} text features were in ${kept} already`);
  terminal.note(
    `Wrote ${out}: ${ids.length} classes, ${found.set.negatives.length} negative labels`,
  );
}

/** Classes, words and settings, with the file that keeps text features. */
interface Mine extends LabelInput {
  readonly settings: LabelSettings;
  readonly prompts: Partial<PromptTemplates>;
  readonly kept: string;
}

/** Opens the model and finds the labels. */
async function mine(
  { args, terminal, signal }: CommandContext,
  { ids, candidates, settings, prompts, kept }: Mine,
): Promise<MinedLabels> {
  const kernels = await openKernels(args);
  using scope = kernels.context;
  const device = args.need("device") as ExtractionDevice;
  await using model = await openVisionLanguage(args.need("model"), {
    device,
    parts: ["text"],
    ...(kernels.gpu === undefined || device === "wasm" ? {} : { gpu: kernels.gpu }),
    onWarning: (message) => terminal.note(`Note: ${message}`),
  });
  terminal.note(`Running on ${model.deviceName}`);
  const cache = await PromptCache.open(kept, model.textHash);
  if (cache.renewed !== undefined) {
    terminal.note(`Note: ${kept} is begun anew: ${cache.renewed}`);
  }
  const usual = args.flag("ids-only") ? PROMPTS.mcm : {};
  const own = prompts.noun === undefined ? ownPrompts(model.templates) : {};
  try {
    return await withProgress(terminal, (onProgress) =>
      findLabels(model, { ids, candidates }, {
        ...settings,
        prompts: { ...usual, ...own, ...prompts },
        cache,
        context: scope,
        sameNames: args.flag("same-names"),
        signal,
        onProgress,
      }));
  } catch (error) {
    if (signal.aborted && cache.size > 0) {
      terminal.note(`${cache.size} text features are kept in ${kept}; the same command goes on`);
    }
    throw error;
  }
}

/** What the command's options say of the mining, checked. */
export interface LabelSettings
  extends Required<Pick<LabelOptions, "mining" | "share" | "quantile" | "seed" | "names">> {
  /** How many in all. */
  readonly count?: number;
  /** Texts in one run. */
  readonly batch?: number;
  /** Whether names of classes stay. */
  readonly keepIdNames: boolean;
  /** How many labels are printed from either end. */
  readonly show: number;
}

function settingsOf(args: Arguments): LabelSettings {
  const share = args.number("share", { minimum: 0, maximum: 1 })!;
  if (share === 0) throw new UsageError("The option --share must be above 0");
  const count = args.number("count", { minimum: 1, integer: true });
  const batch = args.number("batch", { minimum: 1, integer: true });
  const given = args.text("negatives") !== undefined || args.flag("ids-only");
  return {
    mining: given ? "given" : args.need("mining") as Mining,
    share,
    quantile: args.number("quantile", { minimum: 0, maximum: 1 })!,
    seed: args.number("seed", { minimum: 0, maximum: Number.MAX_SAFE_INTEGER, integer: true })!,
    names: args.need("names") as "first" | "all",
    keepIdNames: args.flag("keep-id-names"),
    show: args.number("show", { minimum: 0, integer: true })!,
    ...(count === undefined ? {} : { count }),
    ...(batch === undefined ? {} : { batch }),
  };
}

/** Refuses several sources of words, and options of one that is not used. */
function requireOneSource(args: Arguments): void {
  const named = ["wordnet", "words", "negatives"].filter((name) => args.text(name) !== undefined);
  if (args.flag("ids-only")) named.push("ids-only");
  if (named.length > 1) {
    throw new UsageError(
      `The options --${named[0]} and --${named[1]} exclude each other: give one`,
    );
  }
  if (args.text("words-adjectives") !== undefined && named[0] !== "words") {
    throw new UsageError("The option --words-adjectives needs --words");
  }
  if (args.text("count") !== undefined && ["negatives", "ids-only"].includes(named[0] ?? "")) {
    throw new UsageError(`The option --count is for mined labels, not for --${named[0]}`);
  }
  if (args.text("exclude") !== undefined && named.length > 0 && named[0] !== "wordnet") {
    throw new UsageError(`The option --exclude is for WordNet's words, not for --${named[0]}`);
  }
}

/** Refuses to replace labels, which other files may have been made with. */
async function requireNew(path: string): Promise<void> {
  const found = await Deno.stat(path).catch(() => undefined);
  if (found?.isFile) {
    throw new UserError(`Cannot write "${path}": it is there already; --force replaces it`);
  }
}

/** Templates that the command's options name; those that they leave open are missing. */
function promptsOf(args: Arguments): Partial<PromptTemplates> {
  const ofKind = (option: string, kind: keyof PromptTemplates) => {
    const texts = args.all(option);
    if (texts.length === 0) return undefined;
    const templates = texts.flatMap((text) =>
      Object.hasOwn(PROMPTS, text) ? PROMPTS[text as PromptSet][kind] : [text]
    );
    return asUsage(() => requireTemplates(templates));
  };
  const noun = ofKind("template", "noun");
  const id = ofKind("template-classes", "id") ?? ofKind("template", "id");
  const sets = args.all("template").filter((text) => Object.hasOwn(PROMPTS, text));
  const adjective = ofKind("template-adjectives", "adjective") ??
    (sets.length > 0 ? ofKind("template", "adjective") : undefined);
  return {
    ...(noun === undefined ? {} : { noun }),
    ...(id === undefined ? {} : { id }),
    ...(adjective === undefined ? {} : { adjective }),
  };
}

/** A model's own templates stand for all kinds. */
function ownPrompts(templates: readonly string[] | undefined): Partial<PromptTemplates> {
  if (templates === undefined) return {};
  return { id: templates, noun: templates, adjective: templates };
}

/** Words that may become negative labels, and where they come from. */
interface OpenCandidates extends Candidates {
  readonly source: string;
}

async function openCandidates(args: Arguments, terminal: Terminal): Promise<OpenCandidates> {
  if (args.flag("ids-only")) return { candidates: [], duplicates: 0, source: "none" };
  const [words, negatives] = [args.text("words"), args.text("negatives")];
  if (words === undefined && negatives === undefined) return await wordNetWords(args);
  const adjectives = args.text("words-adjectives");
  const path = (negatives ?? words)!;
  const kind: LabelKind = adjectives === undefined ? "word" : "noun";
  const lists: Partial<Record<LabelKind, readonly string[]>> = {};
  lists[kind] = await wordsOf(path, terminal);
  if (adjectives !== undefined) lists["adjective"] = await wordsOf(adjectives, terminal);
  return { ...mergeCandidates(lists), source: path };
}

async function wordsOf(path: string, terminal: Terminal): Promise<readonly string[]> {
  const list = await readWordList(path);
  noteOdd(path, describeWords(list), terminal);
  return list.words;
}

async function wordNetWords(args: Arguments): Promise<OpenCandidates> {
  const csp = args.need("mining") === "csp";
  const exclude = excludedFiles(args.text("exclude")) ?? (csp ? CSP_EXCLUDED : NEG_LABEL_EXCLUDED);
  const wordNet = await readWordNet(args.text("wordnet") ?? WORDNET_FOLDER, {
    words: args.need("synsets") as NonNullable<WordNetOptions["words"]>,
  });
  return { ...wordNetCandidates(wordNet, { exclude }), source: wordNet.path };
}

function excludedFiles(text: string | undefined): readonly string[] | undefined {
  if (text === undefined || text === "none") return text === undefined ? undefined : [];
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !LEXICOGRAPHER_FILES.includes(name));
  if (unknown === undefined) return names;
  const near = nearestName(unknown, LEXICOGRAPHER_FILES);
  const hint = near === undefined ? "man 5 lexnames lists them" : `did you mean "${near}"`;
  throw new UsageError(`The option --exclude names no file of WordNet: "${unknown}"; ${hint}`);
}

function noteOdd(path: string, notes: readonly string[], terminal: Terminal): void {
  for (const note of notes) terminal.note(`${path}: ${note}`);
}

/** One bar after the other. */
async function withProgress<T>(
  terminal: Terminal,
  run: (onProgress: NonNullable<LabelOptions["onProgress"]>) => Promise<T>,
): Promise<T> {
  const bars = new Map<string, ReturnType<Terminal["progress"]>>();
  try {
    return await run((stage, done, total) => {
      const bar = bars.get(stage) ?? terminal.progress(stage, total, { unit: "prompts" });
      bars.set(stage, bar);
      bar.update(done);
      if (done === total) bar.finish();
    });
  } finally {
    for (const bar of bars.values()) bar.finish();
  }
}

/** What the file says of how its labels came about. */
function provenance(
  { prompts, candidates, dropped }: MinedLabels,
  { settings, source, classes }: {
    readonly settings: LabelSettings;
    readonly source: string;
    readonly classes: string;
  },
): Record<string, string> {
  const { show: _, batch: __, ...rest } = settings;
  return {
    prompts: JSON.stringify(prompts),
    "label_mining": JSON.stringify({
      ...rest,
      source,
      classes,
      candidates,
      dropped: dropped.length,
    }),
  };
}
