/**
 * Label sets: names of the in-distribution classes and of things outside, each with its text
 * feature, as one file that the other parts of SynOOD share.
 *
 * @module
 */

import { SafetensorsFile, writeSafetensors } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { formatTextLabels, parseTextLabels, type TextLabels } from "./text_labels.ts";

export * from "./text_labels.ts";

/** Names with their text features. */
export interface LabelSet extends TextLabels {
  /** Features of unit length, [C + M, D]: the classes first. */
  readonly text: Float32Array<ArrayBuffer>;
  /** D. */
  readonly width: number;
  /** What cosines are multiplied with before a softmax. */
  readonly logitScale: number;
  /** Hash of the text encoder. */
  readonly model: string;
}

/** How far from one the length of a row may be; f16 encoders round. */
const UNIT_TOLERANCE = 1e-3;

/**
 * Saves a label set as a safetensors file (`text_embed`, `logit_scale`, and the names as metadata),
 * atomically.
 *
 * @param path The file; an existing one is replaced.
 * @param set The labels.
 * @param metadata Further strings to keep.
 * @throws {UserError} When the set does not fit together, a feature is not of unit length, or the
 * file cannot be written.
 *
 * @example There and back
 * ```ts
 * import { type LabelSet, loadLabelSet, saveLabelSet } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const set: LabelSet = {
 *   ids: ["cat"],
 *   negatives: ["teapot", "rusty"],
 *   kinds: ["noun", "adjective"],
 *   text: new Float32Array([1, 0, 0, 1, 0, -1]),
 *   width: 2,
 *   logitScale: 100,
 *   mining: "neg_label",
 *   model: "5eaf00d",
 * };
 * const folder = await Deno.makeTempDir();
 * await saveLabelSet(`${folder}/labels.safetensors`, set);
 * assertEquals(await loadLabelSet(`${folder}/labels.safetensors`), set);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveLabelSet(
  path: string,
  set: LabelSet,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  requireSet(set, `Cannot write "${path}"`);
  await writeSafetensors(path, {
    "text_embed": { data: set.text, shape: [countOf(set), set.width] },
    "logit_scale": { data: new Float32Array([set.logitScale]), shape: [1] },
  }, { ...metadata, ...formatTextLabels(set), "text_model": set.model });
}

/**
 * Loads a label set; a feature file that has `text_embed` and names them is one too.
 *
 * @param path The file.
 * @returns The labels.
 * @throws {UserError} When the file is missing, damaged, or holds no labels that fit together.
 *
 * @example A missing file
 * ```ts
 * import { loadLabelSet } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => loadLabelSet("no-such-file.safetensors"), Error, "no-such-file");
 * ```
 */
export async function loadLabelSet(path: string): Promise<LabelSet> {
  await using file = await SafetensorsFile.open(path);
  const { metadata, entries } = file.header;
  const missing = ["text_embed", "logit_scale"].find((name) => !entries.has(name));
  if (missing !== undefined || metadata["text_labels"] === undefined) {
    throw new UserError(
      `Cannot read labels of "${path}": it has no ${
        missing === undefined ? "names of its text features" : `"${missing}"`
      }; "ood synood labels" makes such a file`,
    );
  }
  const labels = parseTextLabels(metadata, { name: path });
  const features = await file.read("text_embed");
  const scale = await file.read("logit_scale");
  const [rows = 0, width = 0] = features.shape;
  const { data } = features;
  if (!(data instanceof Float32Array) || features.shape.length !== 2 || width === 0) {
    throw new UserError(
      `Cannot read labels of "${path}": "text_embed" must be f32 [labels, width] and is ` +
        `${features.dtype} [${features.shape.join(", ")}]`,
    );
  }
  if (rows !== countOf(labels)) {
    throw new UserError(
      `Cannot read labels of "${path}": it names ${labels.ids.length} classes and ` +
        `${labels.negatives.length} negative labels, and "text_embed" has ${rows} rows`,
    );
  }
  const set: LabelSet = {
    ...labels,
    text: data as Float32Array<ArrayBuffer>,
    width,
    logitScale: Number(scale.data[0]),
    model: metadata["text_model"] ?? "",
  };
  requireSet(set, `Cannot read labels of "${path}"`);
  return set;
}

function countOf(labels: TextLabels): number {
  return labels.ids.length + labels.negatives.length;
}

function requireSet(set: LabelSet, what: string): void {
  const count = countOf(set);
  const { text, width, logitScale } = set;
  if (set.ids.length === 0) throw new UserError(`${what}: there is no class`);
  if (set.kinds.length !== set.negatives.length || text.length !== count * width) {
    throw new UserError(
      `${what}: ${count} labels of ${width} numbers were expected, and there are ${text.length} ` +
        `numbers and ${set.kinds.length} kinds`,
    );
  }
  if (!(logitScale > 0 && Number.isFinite(logitScale))) {
    throw new UserError(`${what}: the logit scale must be positive and is ${logitScale}`);
  }
  for (let row = 0; row < count; row++) {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) sum += text[i]! * text[i]!;
    if (Math.abs(Math.sqrt(sum) - 1) <= UNIT_TOLERANCE) continue;
    const name = row < set.ids.length ? set.ids[row]! : set.negatives[row - set.ids.length]!;
    throw new UserError(
      Number.isFinite(sum)
        ? `${what}: the text feature of "${name}" has the length ${
          Math.sqrt(sum).toPrecision(4)
        }, and 1 was expected`
        : `${what}: the text feature of "${name}" has a NaN or an infinity`,
    );
  }
}
