/**
 * The files of a vision-language model: which they are, and what `oodgpu.json` says of them.
 *
 * @module
 */

import type { PreprocessSpec } from "../kernels/preprocess/spec.ts";
import { UserError } from "../runtime/errors.ts";
import {
  asPositive,
  asRecord,
  asString,
  asStrings,
  at,
  checkKeys,
  readJson,
  refuse,
  type Where,
} from "./_json.ts";
import { parseSidecar } from "./sidecar.ts";

/** Names of a model's inputs. */
export interface InputNames {
  /** Images, f32 [N, 3, H, W]. */
  readonly image: string;
  /** Tokens, i64 [N, T]. */
  readonly ids: string;
  /** 1 for each token and 0 for padding, i64 [N, T]. */
  readonly mask: string;
}

/** Names of a model's values. */
export interface OutputNames {
  /** Embeddings of images, [N, D]. */
  readonly imageEmbed: string;
  /** Embeddings of texts, [N, D]. */
  readonly textEmbed: string;
}

/** What `oodgpu.json` in a model's folder can say. */
export interface FolderSidecar {
  /** Path of the image encoder. */
  readonly imageModel?: string;
  /** Path of the text encoder. */
  readonly textModel?: string;
  /** Path of the tokenizer. */
  readonly tokenizer?: string;
  /** Names of the inputs. */
  readonly inputs: InputNames;
  /** Names of the outputs. */
  readonly outputs: OutputNames;
  /** What is done to an image. */
  readonly preprocessing?: PreprocessSpec;
  /** What cosines are multiplied with. */
  readonly logitScale?: number;
  /** Tokens of a text. */
  readonly contextLength?: number;
  /** Sentences with `{}` in the place of a label. */
  readonly templates?: readonly string[];
  /** Width of the embeddings. */
  readonly width?: number;
}

/** The sidecar's name. */
export const FOLDER_SIDECAR = "oodgpu.json";

const KEYS: readonly string[] = [
  "name",
  "description",
  "license",
  "image_model",
  "text_model",
  "tokenizer",
  "inputs",
  "outputs",
  "preprocessing",
  "logit_scale",
  "context_length",
  "templates",
  "width",
];

const INPUTS: InputNames = { image: "pixel_values", ids: "input_ids", mask: "attention_mask" };
const OUTPUTS = { "image_embed": "image_embeds", "text_embed": "text_embeds" } as const;

/** Reads a folder's `oodgpu.json`; the usual names where there is none. */
export async function readFolderSidecar(folder: string): Promise<FolderSidecar> {
  const path = join(folder, FOLDER_SIDECAR);
  return parseFolderSidecar(await readJson(path) ?? {}, { name: path, at: "" });
}

function parseFolderSidecar(value: unknown, where: Where): FolderSidecar {
  const record = asRecord(value, where);
  checkKeys(record, where, KEYS);
  const text = (key: string) =>
    record[key] === undefined ? undefined : asString(record[key], at(where, key));
  const [imageModel, textModel, tokenizer] = ["image_model", "text_model", "tokenizer"].map(text);
  for (const key of ["name", "description", "license"]) text(key);
  const outputs = namesOf(record["outputs"], OUTPUTS, at(where, "outputs"));
  const number = (key: string, whole: boolean) =>
    record[key] === undefined ? undefined : asPositive(record[key], at(where, key), { whole });
  const logitScale = number("logit_scale", false);
  const contextLength = number("context_length", true);
  const width = number("width", true);
  const { preprocessing } = record["preprocessing"] === undefined
    ? {}
    : parseSidecar({ preprocessing: record["preprocessing"] }, { name: where.name });
  return {
    ...(imageModel !== undefined && { imageModel }),
    ...(textModel !== undefined && { textModel }),
    ...(tokenizer !== undefined && { tokenizer }),
    inputs: namesOf(record["inputs"], INPUTS, at(where, "inputs")),
    outputs: { imageEmbed: outputs["image_embed"], textEmbed: outputs["text_embed"] },
    ...(preprocessing !== undefined && { preprocessing }),
    ...(logitScale !== undefined && { logitScale }),
    ...(contextLength !== undefined && { contextLength }),
    ...(width !== undefined && { width }),
    ...(record["templates"] !== undefined &&
      { templates: templatesOf(record["templates"], where) }),
  };
}

/** Names with those of a sidecar in the place of the usual ones. */
function namesOf<T extends Readonly<Record<keyof T, string>>>(
  value: unknown,
  usual: T,
  where: Where,
): { readonly [K in keyof T]: string } {
  if (value === undefined) return usual;
  const given = asRecord(value, where);
  checkKeys(given, where, Object.keys(usual));
  for (const [key, name] of Object.entries(given)) asString(name, at(where, key));
  return { ...usual, ...given };
}

function templatesOf(value: unknown, where: Where): readonly string[] {
  const place = at(where, "templates");
  const templates = asStrings(value, place, "sentences");
  const without = templates.find((template) => !template.includes("{}"));
  if (without === undefined) return templates;
  throw refuse(place, `has "${without}", in which no {} stands for the label`);
}

/** Parts of a model, as their files are called. */
const FILES = {
  image: { key: "image_model", stem: "vision_model", what: "image encoder" },
  text: { key: "text_model", stem: "text_model", what: "text encoder" },
} as const;

/** Where an encoder is: where the sidecar says, else under one of the names that exports use. */
export async function findEncoder(
  folder: string,
  part: keyof typeof FILES,
  named: string | undefined,
): Promise<string> {
  const { key, stem, what } = FILES[part];
  const usual = [`${stem}.onnx`, `onnx/${stem}.onnx`, `${stem}/model.onnx`];
  // One file can hold both encoders, as optimum exports them.
  usual.push("model.onnx", "onnx/model.onnx");
  const candidates = named === undefined ? usual : [named];
  const found = await firstFile(folder, candidates);
  if (found !== undefined) return found;
  const others = named === undefined ? await filesLike(folder, stem) : [];
  throw new UserError(
    `Cannot find the ${what} in "${folder}": there is no ${candidates.join(", no ")}` +
      (others.length === 0
        ? named === undefined ? "" : `, which its ${FOLDER_SIDECAR} names`
        : `; there is ${others.join(", ")}: name the one to use in ${FOLDER_SIDECAR} ` +
          `("${key}": "${others[0]}")`),
  );
}

/** Where the tokenizer is. */
export async function findTokenizer(folder: string, named: string | undefined): Promise<string> {
  const candidates = named === undefined
    ? ["tokenizer.json", "tokenizer/tokenizer.json", "text_model/tokenizer.json"]
    : [named];
  const found = await firstFile(folder, candidates);
  if (found !== undefined) return found;
  throw new UserError(
    `Cannot find the tokenizer in "${folder}": there is no ${candidates.join(", no ")}`,
  );
}

/** Refuses a folder that is none. */
export async function requireFolder(folder: string): Promise<void> {
  const info = await Deno.stat(folder).catch(() => undefined);
  if (info?.isDirectory) return;
  throw new UserError(
    `Cannot open the vision-language model "${folder}": ${
      info === undefined ? "there is no such folder" : "it is a file and a folder was expected"
    }`,
  );
}

async function firstFile(
  folder: string,
  candidates: readonly string[],
): Promise<string | undefined> {
  for (const name of candidates) {
    const path = join(folder, name);
    const info = await Deno.stat(path).catch(() => undefined);
    if (info?.isFile) return path;
  }
  return undefined;
}

/** Other files of the same part: of another precision, for example. */
async function filesLike(folder: string, stem: string): Promise<string[]> {
  const found: string[] = [];
  for (const place of ["", "onnx/"]) {
    try {
      for await (const { name, isFile } of Deno.readDir(join(folder, place))) {
        if (isFile && name.startsWith(stem) && name.endsWith(".onnx")) found.push(place + name);
      }
    } catch {
      // A folder that cannot be listed has nothing to offer.
    }
  }
  return found.sort();
}

/** A path in a folder; an absolute one stays what it is. */
function join(folder: string, name: string): string {
  if (/^([/\\]|[A-Za-z]:)/.test(name)) return name;
  return folder.replace(/[/\\]?$/, "/") + name;
}
