/**
 * The three sources of elements that `ood synood contexts` has: their options, what is checked before
 * any work, and the work itself.
 *
 * @module
 */

import { type ImageSet, openFeatures } from "../data/mod.ts";
import {
  askElements,
  CONTEXT_QUESTION,
  type ContextsKind,
  type ContextsSource,
  DEFAULT_TAG_RULE,
  endpointAddress,
  type GivenElements,
  loadVocabulary,
  readElements,
  tagElements,
  type TagRule,
  type Vocabulary,
} from "../methods/mod.ts";
import { requireNet } from "../methods/synood/endpoint.ts";
import { patternOfNoTag } from "../methods/synood/tag_elements.ts";
import { loadSidecar } from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Arguments, asUsage, type OptionSpec, UsageError } from "./_arguments.ts";
import type { CommandContext } from "./_command.ts";
import { MODEL_DEVICE_OPTION } from "./_device.ts";
import { noteSkipped } from "./_skipped.ts";
import { extractTagLogits } from "./_tag_logits.ts";

/** Options of the source that is a tagger; what holds without them stands in their help. */
export const TAGGER_OPTIONS: readonly OptionSpec[] = [
  { name: "tagger", value: "MODEL.onnx", help: "a tagger that names its tags" },
  {
    name: "threshold",
    value: "P",
    help:
      "with --tagger: the probability above which a tag is predicted (default the tagger's own, or 0.5)",
  },
  {
    name: "keep",
    value: "A,B",
    help:
      'with --tagger: only tags of these patterns, in which * stands for anything, as in "* around" ' +
      "(default all)",
  },
  {
    name: "drop",
    value: "A,B",
    help: `with --tagger: no tags of these patterns; none for no pattern (default ${
      DEFAULT_TAG_RULE.drop.join(", ")
    })`,
  },
  {
    name: "strip",
    value: "A,B",
    help: `with --tagger: last words that tags lose; none for no word (default ${
      DEFAULT_TAG_RULE.strip.join(", ")
    })`,
  },
  {
    name: "vocabulary",
    value: "FILE",
    help:
      "with --tagger: from ood tagood vocab; tags that stand for classes are no elements either",
  },
  {
    name: "work",
    value: "FILE",
    help: "with --tagger: where its logits are kept (default beside --out)",
  },
  MODEL_DEVICE_OPTION,
  { name: "resume", help: "go on with a run of the tagger that was stopped" },
];

/** Options of the source that is an endpoint. */
export const ENDPOINT_OPTIONS: readonly OptionSpec[] = [
  {
    name: "endpoint",
    value: "URL",
    help: "an OpenAI-compatible API, such as http://127.0.0.1:8080/v1",
  },
  { name: "model", value: "NAME", help: "with --endpoint: the model's name there" },
  {
    name: "key-env",
    value: "NAME",
    help:
      "with --endpoint: the environment variable that holds the API's key; the key is neither shown nor kept",
  },
  {
    name: "question",
    value: "FILE",
    help:
      "with --endpoint: another question, in which {class} and {most} stand for the class and a number",
  },
  {
    name: "request",
    value: "JSON",
    help:
      'with --endpoint: further fields of the request, such as {"max_tokens": 500}; null leaves one out ' +
      "(default temperature 0 and max_tokens 300)",
  },
  {
    name: "image-size",
    value: "N",
    help: "with --endpoint: longest side of the images that are sent, in pixels (default 512)",
  },
  {
    name: "parallel",
    value: "N",
    help: "with --endpoint: questions under way at a time (default 2)",
  },
  { name: "timeout", value: "SECONDS", help: "with --endpoint: for one try (default 60)" },
  { name: "retries", value: "N", help: "with --endpoint: tries after the first (default 4)" },
  {
    name: "backoff",
    value: "SECONDS",
    help:
      "with --endpoint: wait before the second try; each further one waits twice as long (default 1)",
  },
  {
    name: "seed",
    value: "N",
    help: "with --endpoint: seed of what these waits vary by (default 0)",
  },
  {
    name: "cache",
    value: "DIR",
    help: "with --endpoint: where answers are kept (default beside --out)",
  },
  {
    name: "skip-failed",
    help: "with --endpoint: go on when there is no answer about an image; it gets no elements",
  },
];

/** Elements of images, and what is said of them. */
export interface ReadElements {
  readonly given: GivenElements;
  readonly source: ContextsSource;
  /** Further names of classes. */
  readonly synonyms?: ReadonlyMap<string, readonly string[]>;
  /** More to print as JSON. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** Where elements come from, with all that could be checked before the images are opened. */
export interface ElementSource {
  readonly kind: ContextsKind;
  /** What the user named. */
  readonly name: string;
  read(context: CommandContext, images: ImageSet): Promise<ReadElements>;
}

/** What chooses each source, in the order of the help text. */
const CHOICES: readonly (readonly [option: string, own: readonly OptionSpec[]])[] = [
  ["from", []],
  ["tagger", TAGGER_OPTIONS],
  ["endpoint", ENDPOINT_OPTIONS],
];

/** The source that a command's options name. */
export async function prepareSource(args: Arguments, most: number): Promise<ElementSource> {
  const chosen = CHOICES.filter(([option]) => args.text(option) !== undefined);
  const [first, second] = chosen.map(([option]) => option);
  if (first === undefined) {
    throw new UsageError(
      "One of the options --from FILE, --tagger MODEL.onnx and --endpoint URL is required",
    );
  }
  if (second !== undefined) {
    throw new UsageError(`The options --${first} and --${second} exclude each other: give one`);
  }
  for (const [option, own] of CHOICES) {
    const stray = own.find(({ name, default: usual }) =>
      option !== first && usual === undefined && (args.text(name) !== undefined || args.flag(name))
    );
    if (stray !== undefined) {
      throw new UsageError(`The option --${stray.name} needs --${option}`);
    }
  }
  if (first === "from") return await prepareFile(args);
  return first === "tagger" ? await prepareTagger(args) : await prepareEndpoint(args, most);
}

/** The last part of a path: files say what they came from, and not where it was. */
function baseName(path: string): string {
  return path.split(/[\\/]/).filter((part) => part !== "").pop() ?? path;
}

async function prepareFile(args: Arguments): Promise<ElementSource> {
  const name = args.need("from");
  const given = await readElements(name);
  const source = { kind: "file", file: baseName(name) } as const;
  return { kind: "file", name, read: () => Promise.resolve({ given, source }) };
}

async function prepareTagger(args: Arguments): Promise<ElementSource> {
  const model = args.need("tagger");
  const threshold = args.number("threshold", { minimum: 0, maximum: 1 });
  if (threshold === 0 || threshold === 1) {
    throw new UsageError(`The option --threshold must lie between 0 and 1: it is ${threshold}`);
  }
  const rule = ruleOf(args);
  const sidecar = await loadSidecar(model);
  if (sidecar?.tags === undefined) {
    await requireFile(model);
    throw new UserError(
      `Cannot take elements from "${model}": it does not name its tags; list them as "tags" in its ` +
        "sidecar",
    );
  }
  for (const option of ["keep", "drop"] as const) {
    const wrong = args.text(option) === undefined
      ? undefined
      : patternOfNoTag(rule[option], sidecar.tags);
    if (wrong !== undefined) {
      throw new UsageError(`The option --${option} has "${wrong}", and no tag is of that pattern`);
    }
  }
  const path = args.text("vocabulary");
  const vocabulary = path === undefined ? undefined : await loadVocabulary(path);
  return {
    kind: "tagger",
    name: model,
    read: (context, images) => readTags(context, images, { model, threshold, rule, vocabulary }),
  };
}

/** Says that a model is missing before it says that nothing is known of it. */
async function requireFile(path: string): Promise<void> {
  try {
    await Deno.stat(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : (error as Error).message;
    throw new UserError(`Cannot read "${path}": ${why}`, { cause: error });
  }
}

/** Which tags are taken, and how they are written. */
function ruleOf(args: Arguments): TagRule {
  const list = (option: keyof TagRule) => {
    const text = args.text(option);
    if (text === undefined) return DEFAULT_TAG_RULE[option];
    if (text === "none" && option !== "keep") return [];
    const items = text.split(",").map((item) => item.trim());
    if (!items.includes("")) return items;
    throw new UsageError(
      `The option --${option} must be a list such as A,B without empty parts: it is "${text}"`,
    );
  };
  return { keep: list("keep"), drop: list("drop"), strip: list("strip") };
}

interface TaggerWork {
  readonly model: string;
  readonly threshold: number | undefined;
  readonly rule: TagRule;
  readonly vocabulary: Vocabulary | undefined;
}

async function readTags(
  context: CommandContext,
  images: ImageSet,
  { model, threshold, rule, vocabulary }: TaggerWork,
): Promise<ReadElements> {
  const { args, signal } = context;
  const work = args.text("work") ?? `${withoutJson(args.need("out"))}.safetensors`;
  const skipped = await extractTagLogits(context, { model, images, out: work });
  const synonyms = new Map(vocabulary?.classes.map((entry) => [entry.class, entry.tags]));
  await using set = await openFeatures(work);
  const given = await tagElements(set, {
    rule,
    classNames: [...images.classNames, ...[...synonyms].flat(2)],
    signal,
    ...(threshold === undefined ? {} : { threshold }),
  });
  const sha256 = set.metadata["model_hash"];
  const about = { model: baseName(model), ...(sha256 === undefined ? {} : { sha256 }) };
  return {
    given,
    source: { kind: "tagger", ...about, ...(threshold === undefined ? {} : { threshold }), rule },
    synonyms,
    more: { skipped },
  };
}

function withoutJson(path: string): string {
  return path.replace(/\.json$/i, "");
}

/** This machine. */
const LOCAL_REGEXP = /^(?:localhost|127\.[\d.]+|\[::1\])$/;
/** Images without an answer that are named. */
const MAX_FAILED = 5;

/** What is asked of whom. */
interface EndpointWork {
  readonly endpoint: string;
  readonly model: string;
  readonly question: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly key: string | undefined;
  readonly most: number;
  /** Numbers that were given. */
  readonly numbers: Readonly<Partial<Record<keyof typeof NUMBERS, number>>>;
}

/** Numbers of the endpoint's options, by the name they have as settings. */
const NUMBERS = {
  imageSize: { option: "image-size", minimum: 16, maximum: 8192, integer: true },
  parallel: { option: "parallel", minimum: 1, maximum: 64, integer: true },
  timeout: { option: "timeout", minimum: 0.05, maximum: 86_400 },
  retries: { option: "retries", minimum: 0, maximum: 100, integer: true },
  backoff: { option: "backoff", minimum: 0, maximum: 600 },
  seed: { option: "seed", minimum: 0, maximum: Number.MAX_SAFE_INTEGER, integer: true },
} as const;

async function prepareEndpoint(args: Arguments, most: number): Promise<ElementSource> {
  const endpoint = args.need("endpoint");
  const name = asUsage(() => endpointAddress(endpoint));
  const model = args.text("model");
  if (model === undefined) throw new UsageError("The option --endpoint needs --model NAME");
  const numbers = Object.fromEntries(
    Object.entries(NUMBERS).map(([key, { option, ...bounds }]) => [
      key,
      args.number(option, bounds),
    ]).filter(([, value]) => value !== undefined),
  );
  const work: EndpointWork = {
    ...{ endpoint, model, most, numbers },
    request: requestOf(args),
    key: await keyOf(args),
    question: await questionOf(args),
  };
  await requireNet(endpoint);
  return { kind: "endpoint", name, read: (context, images) => ask(context, images, work) };
}

/** Further fields of the request. */
function requestOf(args: Arguments): Readonly<Record<string, unknown>> {
  const text = args.text("request");
  if (text === undefined) return {};
  const value = jsonOf(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UsageError(`The option --request must be a JSON object: it is "${text}"`);
  }
  const fixed = ["messages", "model", "stream"].find((name) => Object.hasOwn(value, name));
  if (fixed === undefined) return value as Record<string, unknown>;
  throw new UsageError(`The option --request must not set "${fixed}", which this command does`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The API's key. Whoever types a key in place of a name must not read it in a message. */
async function keyOf(args: Arguments): Promise<string | undefined> {
  const name = args.text("key-env");
  if (name === undefined) return undefined;
  if (!/^[A-Za-z_]\w*$/.test(name)) {
    throw new UsageError(
      "The option --key-env must be the name of an environment variable, not the key itself",
    );
  }
  const { state } = await Deno.permissions.query({ name: "env", variable: name });
  if (state !== "granted") {
    throw new UserError(
      `Cannot read the environment variable ${name}: Deno was started without the permission for ` +
        `it; start it with --allow-env=${name}`,
    );
  }
  const key = Deno.env.get(name)?.trim() ?? "";
  if (key === "") {
    throw new UsageError("The option --key-env names an environment variable that is not set");
  }
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new UserError(
    `Cannot use the key in ${name}: there are characters in it that no key has`,
  );
}

async function questionOf(args: Arguments): Promise<string> {
  const path = args.text("question");
  if (path === undefined) return CONTEXT_QUESTION;
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : (error as Error).message;
    throw new UserError(`Cannot read the question "${path}": ${why}`, { cause: error });
  }
  if (text.trim() !== "") return text.trim();
  throw new UserError(`Cannot use the question "${path}": the file is empty`);
}

async function ask(
  { args, terminal, signal }: CommandContext,
  images: ImageSet,
  { endpoint, model, question, request, key, most, numbers }: EndpointWork,
): Promise<ReadElements> {
  const cache = args.text("cache") ?? `${withoutJson(args.need("out"))}.cache`;
  const keyName = args.text("key-env");
  const address = endpointAddress(endpoint);
  const { protocol, hostname } = new URL(address);
  if (key !== undefined && protocol === "http:" && !LOCAL_REGEXP.test(hostname)) {
    terminal.note(`Note: the key goes to ${hostname} without encryption`);
  }
  using progress = terminal.progress("ask", images.count, { unit: "images" });
  try {
    const { given, skipped, failed, ...counts } = await askElements(images, {
      ...{ endpoint, model, cache, question, request, most, ...numbers, signal },
      ...(key === undefined || keyName === undefined ? {} : { key, keyName }),
      strict: args.flag("strict"),
      skipFailed: args.flag("skip-failed"),
      onProgress: (done) => progress.update(done),
    });
    progress.finish();
    noteSkipped(skipped, terminal, "");
    for (const { name, reason } of failed.slice(0, MAX_FAILED)) {
      terminal.note(`No answer about ${name}: ${reason}`);
    }
    const rest = failed.length - MAX_FAILED;
    if (rest > 0) terminal.note(`No answer about ${rest} more`);
    terminal.note(
      `Asked about ${counts.asked} images; answers about ${counts.known} were there already, and ` +
        `${counts.empty} of all name nothing. They are kept in ${cache}`,
    );
    const about = { endpoint: address, model, question, imageSize: numbers.imageSize ?? 512 };
    return {
      given,
      source: { kind: "endpoint", ...about, request },
      more: { ...counts, skipped, failed },
    };
  } catch (error) {
    progress.finish();
    const exists = await Deno.stat(cache).then(() => true, () => false);
    if (exists) {
      terminal.note(`Answers so far are kept in ${cache}; the same command goes on from there`);
    }
    throw error;
  }
}
