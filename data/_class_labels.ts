/** From what labels are called to the indices of classes. */

import { UserError } from "../runtime/errors.ts";
import type { Listing } from "./_image_listing.ts";
import { readLabelFile } from "./_label_file.ts";
import { compareNames } from "./_name_order.ts";

/** Labels of a label file by image: by path within the set, else by file name where that is unique. */
export async function labelsFromFile(
  path: string,
  names: readonly string[],
): Promise<(string | number | undefined)[]> {
  const byName = await readLabelFile(path);
  const labels: (string | number | undefined)[] = [];
  let found = 0;
  for (const name of names) {
    const label = byName.get(name) ?? byName.get(name.slice(name.lastIndexOf("/") + 1));
    if (label !== undefined) found++;
    labels.push(label);
  }
  if (found === 0) {
    throw new UserError(
      `Cannot use the labels of "${path}": none of its ${byName.size} names is an image of the set, ` +
        `whose first is "${names[0]}"`,
    );
  }
  return labels;
}

/** Class names to indices. */
export function numberLabels(
  path: string,
  listing: Listing,
  order: readonly string[] | undefined,
): { labels: Int32Array<ArrayBuffer>; classNames: readonly string[] } {
  const labels = new Int32Array(listing.labels.length).fill(-1);
  const given = listing.labels.filter((label) => label !== undefined);
  if (given.every((label) => typeof label === "number")) {
    const classNames = listing.classNames ?? order ?? [];
    for (const [i, label] of listing.labels.entries()) {
      if (typeof label === "number") labels[i] = label;
    }
    const count = given.length === 0 ? 0 : 1 + labels.reduce((a, b) => Math.max(a, b), -1);
    if (classNames.length > 0 && count > classNames.length) {
      throw new UserError(
        `Cannot use the labels of "${path}": there is a label ${count - 1} and ` +
          `${classNames.length} classes`,
      );
    }
    return { labels, classNames };
  }
  const occurring = new Set(given.map(String));
  const all = new Set([...listing.emptyClasses ?? [], ...occurring]);
  const classNames = listing.classNames ?? order ?? [...all].sort(compareNames);
  const index = new Map(classNames.map((name, i) => [name, i]));
  const unknown = [...occurring].filter((name) => !index.has(name)).sort(compareNames);
  if (unknown.length > 0) throw unknownClasses(path, unknown, classNames);
  for (const [i, label] of listing.labels.entries()) {
    if (label !== undefined) labels[i] = index.get(String(label))!;
  }
  return { labels, classNames };
}

/** What to say of classes that a model does not have. */
export function unknownClasses(
  path: string,
  unknown: readonly string[],
  known: readonly string[],
): UserError {
  const some = (names: readonly string[]) =>
    names.slice(0, 5).map((name) => `"${name}"`).join(", ") + (names.length > 5 ? ", …" : "");
  return new UserError(
    `Cannot use the labels of "${path}": ${some(unknown)} ${unknown.length === 1 ? "is" : "are"} ` +
      `not among the ${known.length} classes of the model (${some(known)})`,
  );
}
