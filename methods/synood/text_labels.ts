/**
 * Names of text features, and how the metadata of a file hold them.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";

/** What sort of word a negative label is; `word` where that is unknown. */
export type LabelKind = "noun" | "adjective" | "word";

/** How negative labels were found; `given` ones were taken as they are. */
export type Mining = "neg_label" | "csp" | "given";

/** The kinds. */
export const LABEL_KINDS: readonly LabelKind[] = ["noun", "adjective", "word"];

/** The ways. */
export const MININGS: readonly Mining[] = ["neg_label", "csp", "given"];

/** Names without features: what the metadata of a file hold. */
export interface TextLabels {
  /** Names of the C classes. */
  readonly ids: readonly string[];
  /** M names of things outside, the most negative first. */
  readonly negatives: readonly string[];
  /** The kind of each negative label. */
  readonly kinds: readonly LabelKind[];
  /** How they were found. */
  readonly mining: Mining;
}

/**
 * The names of text features as the metadata of a file hold them.
 *
 * @param labels The names.
 * @returns The metadata, one entry `text_labels`.
 *
 * @example One class and one negative label
 * ```ts
 * import { formatTextLabels } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   formatTextLabels({ ids: ["cat"], negatives: ["sky"], kinds: ["noun"], mining: "given" }),
 *   { text_labels: '{"id":["cat"],"negative":["sky"],"kinds":["noun"],"mining":"given"}' },
 * );
 * ```
 */
export function formatTextLabels(labels: TextLabels): Record<string, string> {
  const { ids: id, negatives: negative, kinds, mining } = labels;
  return { "text_labels": JSON.stringify({ id, negative, kinds, mining }) };
}

/**
 * Reads the names of text features from the metadata of a file.
 *
 * @param metadata The metadata.
 * @param options `name`: what messages call the file.
 * @returns The names.
 * @throws {UserError} When there are none, or they are damaged.
 *
 * @example Of a file without kinds
 * ```ts
 * import { parseTextLabels } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const { kinds, mining } = parseTextLabels({ text_labels: '{"id":["cat"],"negative":["sky"]}' });
 * assertEquals([kinds, mining], [["word"], "given"]);
 * ```
 */
export function parseTextLabels(
  metadata: Readonly<Record<string, string>>,
  options: { readonly name?: string } = {},
): TextLabels {
  const refuse = (why: string) =>
    new UserError(`Cannot read labels of "${options.name ?? "metadata"}": ${why}`);
  const text = metadata["text_labels"];
  if (text === undefined) throw refuse("it does not name its text features");
  const value = parseRecord(text);
  if (value === undefined) throw refuse('"text_labels" of its metadata is damaged');
  const { id, negative } = value;
  if (!isNames(id) || !isNames(negative)) {
    throw refuse('"id" and "negative" of its "text_labels" must be lists of names');
  }
  const kinds = value["kinds"] ?? negative.map(() => "word");
  const mining = value["mining"] ?? "given";
  const known: readonly unknown[] = LABEL_KINDS;
  if (
    !Array.isArray(kinds) || kinds.length !== negative.length ||
    !kinds.every((kind) => known.includes(kind))
  ) {
    throw refuse(`"kinds" of its "text_labels" must be one of ${LABEL_KINDS.join(", ")} each`);
  }
  if (!(MININGS as readonly unknown[]).includes(mining)) {
    throw refuse(`"mining" of its "text_labels" must be one of ${MININGS.join(", ")}`);
  }
  return { ids: id, negatives: negative, kinds, mining: mining as Mining };
}

function parseRecord(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // What is no JSON text is no record either.
  }
  return undefined;
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === "string" && name !== "");
}
