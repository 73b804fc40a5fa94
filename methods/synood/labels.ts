/**
 * Negative labels: of many words those that name nothing the in-distribution classes are near to
 * (NegLabel, Jiang et al., ICLR 2024; CSP, Chen et al., NeurIPS 2024), with the text features of all.
 *
 * @module
 */

import type { Context } from "../../runtime/mod.ts";
import { foldWord } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { promptNames } from "./_id_names.ts";
import {
  type Candidate,
  conjugateCandidates,
  dropIdNames,
  type DroppedCandidate,
} from "./candidates.ts";
import type { LabelSet, Mining } from "./label_set.ts";
import {
  encodePrompts,
  type EncodePromptsOptions,
  type Prompt,
  type PromptEncoder,
  type PromptFeatures,
  PROMPTS,
  type PromptTemplates,
  requireTemplates,
  templatesOf,
} from "./prompts.ts";
import {
  chooseFarthest,
  compareWithClasses,
  type Nearness,
  requireChoice,
  requireQuantile,
} from "./ranking.ts";

/** What labels are made of. */
export interface LabelInput {
  /** Names of the classes; what commas separate are names of one class. */
  readonly ids: readonly string[];
  /** Words that may become negative labels; none for a set of classes alone. */
  readonly candidates: readonly Candidate[];
}

/** A part of the work, for progress. */
export type LabelStage = "encode classes" | "encode candidates" | "compare candidates";

/** How negative labels are found. */
export interface LabelOptions extends Omit<EncodePromptsOptions, "onProgress"> {
  /** Where candidates are compared with classes. */
  readonly context: Context;
  /**
   * `neg_label` keeps the farthest candidates; `csp` does so with adjectives made into objects and
   * scenes, and without those that are all but a class; `given` keeps all in their order.
   *
   * @default {"neg_label"}
   */
  readonly mining?: Mining;
  /**
   * The share of nouns and of adjectives that is kept.
   *
   * @default {0.15}
   */
  readonly share?: number;
  /** How many are kept in all, in place of the share. */
  readonly count?: number;
  /**
   * Which of a candidate's cosines, in their order, stands for all of them.
   *
   * @default {0.95}
   */
  readonly quantile?: number;
  /** Templates; those of the paper by default. */
  readonly prompts?: Partial<PromptTemplates>;
  /**
   * The names of a class that its prompts have: `first`, or `all` on average.
   *
   * @default {"first"}
   */
  readonly names?: "first" | "all";
  /** Whether candidates stay that say the name of a class. */
  readonly keepIdNames?: boolean;
  /** Whether several classes may have one name. */
  readonly sameNames?: boolean;
  /**
   * Seed of CSP's draw.
   *
   * @default {0}
   */
  readonly seed?: number;
  /** Called after each part of a stage. */
  readonly onProgress?: (stage: LabelStage, done: number, total: number) => void;
}

/** Labels, and how they came about. */
export interface MinedLabels {
  /** The labels. */
  readonly set: LabelSet;
  /** For each negative label the quantile of its cosines to the classes. */
  readonly cosines: Float64Array;
  /** Candidates that say the name of a class. */
  readonly dropped: readonly DroppedCandidate[];
  /** How many candidates were compared. */
  readonly candidates: number;
  /** How many candidates CSP put last for being all but a class. */
  readonly nearClasses: number;
  /** Templates that were used. */
  readonly prompts: PromptTemplates;
  /** How many text features were in the cache. */
  readonly cached: number;
}

/** The cosine from which CSP takes a candidate for a class. */
const CSP_LARGEST = 0.95;

/**
 * Finds negative labels and encodes them and the classes.
 *
 * @param model The text encoder.
 * @param input Classes and candidates.
 * @param options How they are found.
 * @returns The labels, the most negative first, and how they came about.
 * @throws {UserError} When there is no class, two have one name, a setting is out of its range, all
 * candidates say names of classes, or the encoder gives a NaN.
 *
 * @example Of four words the two that are farthest from the class
 * ```ts
 * import { findLabels } from "@oodgpu/oodgpu/methods";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const angles: Record<string, number> = { cat: 0, lynx: 0.2, sofa: 1, sea: 2, law: 3 };
 * const model = {
 *   logitScale: 100,
 *   hash: { text: "5eaf00d" },
 *   encodeTexts(texts: readonly string[]) {
 *     const angle = (text: string) => angles[text.replace("the nice ", "")]!;
 *     const embed = texts.flatMap((text) => [Math.cos(angle(text)), Math.sin(angle(text))]);
 *     return Promise.resolve({ embed: new Float32Array(embed), width: 2 });
 *   },
 * };
 * const candidates = ["lynx", "law", "sofa", "sea"].map((name) => ({ name, kind: "noun" }) as const);
 * const { set } = await findLabels(model, { ids: ["cat"], candidates }, {
 *   context: new Host(),
 *   share: 0.5,
 * });
 * assertEquals(set.negatives, ["law", "sea"]);
 * ```
 */
export async function findLabels(
  model: PromptEncoder,
  input: LabelInput,
  options: LabelOptions,
): Promise<MinedLabels> {
  const { mining = "neg_label", onProgress } = options;
  requireClasses(input.ids, options.sameNames ?? false);
  requireQuantile(options.quantile ?? 0.95);
  requireChoice(options);
  const prompts = templatesFor(mining, options.prompts);
  const { kept, dropped } = options.keepIdNames
    ? { kept: input.candidates, dropped: [] }
    : dropIdNames(input.candidates, input.ids);
  if (kept.length === 0 && dropped.length > 0) {
    const { name, id } = dropped[0]!;
    throw new UserError(
      `Cannot mine labels: all ${dropped.length} candidates say the name of a class, as "${name}" ` +
        `does of "${id}"`,
    );
  }
  const candidates = mining === "csp" ? conjugateCandidates(kept, options.seed ?? 0) : kept;
  const encode = (stage: LabelStage, list: readonly Prompt[]) =>
    encodePrompts(model, list, {
      ...(options.batch === undefined ? {} : { batch: options.batch }),
      ...(options.cache === undefined ? {} : { cache: options.cache }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onProgress: (done, total) => onProgress?.(stage, done, total),
    });
  const ids = await encode("encode classes", idPrompts(input.ids, prompts, options));
  const features = candidates.length === 0
    ? { text: new Float32Array(0), width: ids.width, cached: 0 }
    : await encode("encode candidates", candidates.map((it) => candidatePrompt(it, prompts)));
  const nearness = await compareWithClasses(options.context, { candidates: features, ids }, {
    quantile: options.quantile ?? 0.95,
    onProgress: (done, total) => onProgress?.("compare candidates", done, total),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const { chosen, nearClasses } = choose(candidates, nearness, { ...options, mining });
  return {
    set: {
      ids: input.ids,
      negatives: chosen.map((i) => candidates[i]!.name),
      kinds: chosen.map((i) => candidates[i]!.kind),
      text: gather(ids, features, chosen),
      width: ids.width,
      logitScale: model.logitScale,
      mining,
      model: model.hash.text ?? "",
    },
    cosines: Float64Array.from(chosen, (i) => nearness.quantiles[i]!),
    dropped,
    candidates: candidates.length,
    nearClasses,
    prompts,
    cached: ids.cached + features.cached,
  };
}

/** Refuses classes without a name, and several of one name. */
function requireClasses(ids: readonly string[], sameNames: boolean): void {
  if (ids.length === 0) throw new UserError("Cannot mine labels: there is no class");
  const seen = new Map<string, number>();
  for (const [i, id] of ids.entries()) {
    const folded = foldWord(id);
    if (folded === "") throw new UserError(`Cannot mine labels: class ${i} has no name`);
    const other = seen.get(folded);
    if (other !== undefined && !sameNames) {
      throw new UserError(
        `Cannot mine labels: the classes ${other} and ${i} have one name, "${id}"; tell them apart, ` +
          'as in "crane, bird"',
      );
    }
    seen.set(folded, i);
  }
}

/** Templates of a kind of mining, or those that were given in their place. */
function templatesFor(
  mining: Mining,
  given: Partial<PromptTemplates> = {},
): PromptTemplates {
  const usual = PROMPTS[mining === "csp" ? "csp" : "neg_label"];
  const { id = usual.id, noun = usual.noun, adjective = usual.adjective } = given;
  for (const templates of [id, noun, adjective]) requireTemplates(templates);
  return { id, noun, adjective };
}

function idPrompts(
  ids: readonly string[],
  { id: templates }: PromptTemplates,
  { names = "first" }: LabelOptions,
): Prompt[] {
  return promptNames(ids, names).map((names) => ({ names, templates }));
}

function candidatePrompt({ name, kind }: Candidate, prompts: PromptTemplates): Prompt {
  return { names: [name], templates: templatesOf(prompts, kind) };
}

function choose(
  candidates: readonly Candidate[],
  { quantiles, largest }: Nearness,
  options: LabelOptions & { readonly mining: Mining },
): { readonly chosen: readonly number[]; readonly nearClasses: number } {
  if (options.mining === "given") {
    return { chosen: candidates.map((_, i) => i), nearClasses: 0 };
  }
  let nearClasses = 0;
  const nearness = options.mining === "neg_label" ? quantiles : quantiles.map((value, i) => {
    if (!(largest[i]! > CSP_LARGEST)) return value;
    nearClasses++;
    return 1;
  });
  const chosen = chooseFarthest(nearness, candidates.map(({ kind }) => kind), options);
  return { chosen, nearClasses };
}

/** Features of the classes, then of the chosen candidates. */
function gather(
  ids: PromptFeatures,
  candidates: PromptFeatures,
  chosen: readonly number[],
): Float32Array<ArrayBuffer> {
  const { width } = ids;
  const text = new Float32Array(ids.text.length + chosen.length * width);
  text.set(ids.text);
  for (const [k, i] of chosen.entries()) {
    text.set(candidates.text.subarray(i * width, (i + 1) * width), ids.text.length + k * width);
  }
  return text;
}
