/**
 * Which operator sets and versions of the file format there are for the project.
 *
 * @module
 */

/** The lowest and highest operator set that the project's runtimes run. */
export const OPSET_RANGE: readonly [number, number] = [7, 26];

/** The highest file format version that the project's runtimes read. */
export const MAX_IR_VERSION = 13;

/** The operator set that graphs are built for by default. */
export const DEFAULT_OPSET = 17;

// The lowest file format version that each range of operator sets came with.
const IR_VERSIONS: readonly (readonly [number, number])[] = [
  [24, 11],
  [21, 10],
  [19, 9],
  [15, 8],
  [12, 7],
  [11, 6],
  [0, 5],
];

/** The oldest format version that files of an operator set may have, so that most can read them. */
export function irVersionOf(opset: number): number {
  return IR_VERSIONS.find(([from]) => opset >= from)?.[1] ?? MAX_IR_VERSION;
}

/** A domain of operators under one name: ONNX's own has two spellings. */
export function normalDomain(domain: string | undefined): string {
  return domain === undefined || domain === "ai.onnx" ? "" : domain;
}
