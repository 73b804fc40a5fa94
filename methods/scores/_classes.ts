/**
 * Means of classes and what is within them, for the scores that know of classes.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
import { chunkRows, floats, streamRows, sumOfProducts } from "../_fit.ts";
import type { LearnInput } from "../define.ts";
import { type Whitening, whitening } from "../numerics/mod.ts";

/** Which score asks, as its messages call it. */
export interface Asking {
  /** Its short name. */
  readonly name: string;
  /** Its title. */
  readonly title: string;
}

/** Means of classes. */
export interface ClassMeans {
  /** [K, C]; rows of classes without samples are zero. */
  readonly means: Float64Array<ArrayBuffer>;
  /** Samples by class. */
  readonly counts: Float64Array<ArrayBuffer>;
  /** Samples with a label. */
  readonly labelled: number;
  /** Classes that have samples, ascending. */
  readonly present: readonly number[];
  /** Number of features, C. */
  readonly columns: number;
}

/**
 * The means of all classes in float64. Rows without a label are left out.
 *
 * @param input What is fitted.
 * @param asking Which score asks.
 * @param classes The least number of classes; those of the stored logits by default.
 * @returns The means.
 * @throws {UserError} When no row has a label, or a label is no class number.
 */
export async function classMeans(
  input: LearnInput,
  asking: Asking,
  classes?: number,
): Promise<ClassMeans> {
  const { train } = input;
  const columns = train.shape("features")[1]!;
  const sums: Float64Array<ArrayBuffer>[] = [];
  const counts: number[] = [];
  let labelled = 0;
  const ensure = (k: number): void => {
    while (sums.length <= k) {
      sums.push(new Float64Array(columns));
      counts.push(0);
    }
  };
  ensure((classes ?? (train.has("logits") ? train.shape("logits")[1]! : 0)) - 1);
  const stream = streamRows(train, ["features", "labels"], { input, stage: "class means" });
  for await (const batch of stream) {
    const data = floats(batch, "features");
    const labels = batch.get("labels").data;
    for (let n = 0; n < batch.rows; n++) {
      const label = labels[n]!;
      if (label < 0) continue;
      requireLabel(label, { asking, path: train.path });
      ensure(label);
      const sum = sums[label]!;
      for (let c = 0; c < columns; c++) sum[c] = sum[c]! + data[n * columns + c]!;
      counts[label] = counts[label]! + 1;
      labelled++;
    }
  }
  if (labelled === 0) {
    throw new UserError(
      `Cannot fit "${asking.name}": no row of "${train.path}" has a label; extract with --labels ` +
        "to store them",
    );
  }
  const means = new Float64Array(sums.length * columns);
  sums.forEach((sum, k) => {
    for (let c = 0; c < columns; c++) means[k * columns + c] = sum[c]! / Math.max(1, counts[k]!);
  });
  const present = [...counts.keys()].filter((k) => counts[k]! > 0);
  return { means, counts: Float64Array.from(counts), labelled, present, columns };
}

/** More classes than this are a mistake: identifiers, for example, taken for labels. */
const MAX_CLASSES = 1_000_000;

function requireLabel(label: number, by: { asking: Asking; path: string }): void {
  if (label < MAX_CLASSES) return;
  throw new UserError(
    `Cannot fit "${by.asking.name}": "${by.path}" has the label ${label}, and class numbers below ` +
      `${MAX_CLASSES} were expected`,
  );
}

/** Where classes lie once their shared covariance is whitened. */
export interface WhitenedClasses {
  /** L with L L' = pinv(S), S the covariance within classes divided by N: [C, rank]. */
  readonly whitening: Whitening;
  /** The mean of all labelled rows, [C]. */
  readonly middle: Float64Array<ArrayBuffer>;
  /** (mu_c - middle) L of the classes that have samples, [present, rank]. */
  readonly centres: Float64Array<ArrayBuffer>;
}

/**
 * Whitens the covariance within classes.
 *
 * @param input What is fitted.
 * @param asking Which score asks.
 * @param classes The means.
 * @returns The whitening, and the means in whitened units about their overall mean: far from zero
 * they would cancel in float32.
 * @throws {UserError} When no class varies.
 */
export async function whitenClasses(
  input: LearnInput,
  asking: Asking,
  classes: ClassMeans,
): Promise<WhitenedClasses> {
  const { means, counts, labelled, present, columns } = classes;
  const scatter = await sumOfProducts(input.context, centredRows(input, classes), {
    rows: labelled,
    columns,
  });
  const found = whitening(scatter.map((value) => value / labelled), columns);
  if (found.rank === 0) {
    throw new UserError(
      `Cannot fit "${asking.name}": the features of "${input.train.path}" do not vary within any ` +
        "class",
    );
  }
  const middle = new Float64Array(columns);
  for (const k of present) {
    for (let c = 0; c < columns; c++) {
      middle[c] = middle[c]! + means[k * columns + c]! * counts[k]! / labelled;
    }
  }
  const centres = new Float64Array(present.length * found.rank);
  present.forEach((k, i) => {
    const mean = means.subarray(k * columns, (k + 1) * columns);
    const gap = mean.map((value, c) => value - middle[c]!);
    centres.set(times(gap, found.matrix, found.rank), i * found.rank);
  });
  return { whitening: found, middle, centres };
}

/** Labelled rows less the mean of their class, in float64. */
async function* centredRows(
  input: LearnInput,
  classes: ClassMeans,
): AsyncGenerator<Float64Array<ArrayBuffer>> {
  const { columns, means } = classes;
  const rows = new Float64Array(chunkRows(columns) * columns);
  const stream = streamRows(input.train, ["features", "labels"], { input, stage: "covariance" });
  for await (const batch of stream) {
    const data = floats(batch, "features");
    const labels = batch.get("labels").data;
    let end = 0;
    for (let n = 0; n < batch.rows; n++) {
      const mean = labels[n]! * columns;
      if (mean < 0) continue;
      for (let c = 0; c < columns; c++) rows[end++] = data[n * columns + c]! - means[mean + c]!;
    }
    yield rows.slice(0, end);
  }
}

/** row * matrix, with the matrix [row.length, columns]. */
export function times(
  row: Float64Array,
  matrix: Float64Array,
  columns: number,
): Float64Array<ArrayBuffer> {
  const result = new Float64Array(columns);
  row.forEach((value, r) => {
    for (let c = 0; c < columns; c++) result[c] = result[c]! + value * matrix[r * columns + c]!;
  });
  return result;
}

const LISTED_CLASSES = 10;

/**
 * What a person should know about classes without rows.
 *
 * @param path The training set.
 * @param asking Which score asks.
 * @param counts Samples by class.
 * @returns One sentence, or none.
 */
export function emptyClassWarnings(
  path: string,
  asking: Asking,
  counts: Float64Array,
): string[] {
  const empty = [...counts.keys()].filter((k) => counts[k] === 0);
  if (empty.length === 0) return [];
  const listed = empty.slice(0, LISTED_CLASSES).join(", ");
  const more = empty.length > LISTED_CLASSES ? ", ..." : "";
  return [
    `${asking.title} leaves out ${empty.length} of ${counts.length} classes that have no rows in ` +
    `"${path}": ${listed}${more}`,
  ];
}
