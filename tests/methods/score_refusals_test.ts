import { assertRejects } from "@std/assert";
import { memoryFeatures } from "../../data/mod.ts";
import { findScore } from "../../methods/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { floats, labelsOf } from "./_problem.ts";

/** Fits that must be refused, and what the one sentence says. */
const REFUSED: readonly {
  readonly what: string;
  readonly method: string;
  readonly arrays: Parameters<typeof memoryFeatures>[0];
  readonly metadata?: Record<string, string>;
  readonly parameters?: Record<string, number>;
  readonly says: string;
}[] = [
  {
    what: "a set without features",
    method: "knn",
    arrays: { logits: floats([1, 2], [1, 2]) },
    says: 'Cannot fit "knn": "bad" has no "features"; it has logits',
  },
  {
    what: "a set without labels",
    method: "mahalanobis",
    arrays: { features: floats([1, 2], [2, 1]) },
    says:
      'Cannot fit "mahalanobis": "bad" has no "labels" (extract with --labels to store them); it ' +
      "has features",
  },
  {
    what: "labels that are all unknown",
    method: "mahalanobis",
    arrays: { features: floats([1, 2], [2, 1]), labels: labelsOf([-1, -1]) },
    says: 'no row of "bad" has a label',
  },
  {
    what: "negative features",
    method: "scale",
    arrays: { features: floats([1, -2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { percentile: 50 },
    says: '1 of 1 rows of "bad" have negative features, and it divides by sums of features',
  },
  {
    what: "negative features where it divides",
    method: "ash",
    arrays: { features: floats([1, -2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { percentile: 50, variant: 2 },
    says: 'Cannot fit "ash": 1 of 1 rows of "bad" have negative features',
  },
  {
    what: "to set all features to zero",
    method: "ash",
    arrays: { features: floats([1, 2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { percentile: 80 },
    says: 'Cannot set "ash.percentile" to 80: it leaves none of the 2 features of "bad"',
  },
  {
    what: "a label that the head has no class for",
    method: "line",
    arrays: {
      features: floats([1, 2], [1, 2]),
      labels: labelsOf([3]),
      "head.weight": floats([1, 2], [1, 2]),
    },
    says: 'Cannot fit "line": "bad" has the label 3, and its head has 1 classes',
  },
  {
    what: "bounds in the wrong order",
    method: "lhact",
    arrays: { features: floats([1, 2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { h: 1, l: 2 },
    says: "h is 1 and l is 2, and h above zero and above l was expected",
  },
  {
    what: "features that are zero up to the percentile",
    method: "lhact",
    arrays: { features: floats([0, 0], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    says: "h is 0 and l is 0, and h above zero and above l was expected; choose other percentiles",
  },
  {
    what: "rows of one class",
    method: "rmds",
    arrays: { features: floats([1, 2], [2, 1]), labels: labelsOf([0, 0]) },
    says: 'the rows of "bad" are of one class, and two or more were expected',
  },
  {
    what: "classes in one place",
    method: "rmds",
    arrays: { features: floats([1, 2, 1, 2], [4, 1]), labels: labelsOf([0, 0, 1, 1]) },
    says: 'the classes of "bad" have the same mean',
  },
  {
    what: "features that point the same way",
    method: "ssd",
    arrays: { features: floats([1, 2, 2, 4], [2, 2]) },
    says: 'the features of "bad" do not vary once they are normalised',
  },
  {
    what: "features that do not vary",
    method: "mahalanobis",
    arrays: { features: floats([1, 1], [2, 1]), labels: labelsOf([0, 0]) },
    says: 'the features of "bad" do not vary within any class',
  },
  {
    what: "a model without a linear head, with the reason",
    method: "vim",
    arrays: { features: floats([1, 2], [1, 2]) },
    metadata: { "head.reason": "a ReLU stands between the classifier and the pooling" },
    says: 'has no "head.weight", because a ReLU stands between the classifier and the pooling',
  },
  {
    what: "a model without a linear head",
    method: "react",
    arrays: { features: floats([1, 2], [1, 2]) },
    says: 'has no "head.weight", so there is no linear head',
  },
  {
    what: "a dimension as large as the features",
    method: "vim",
    arrays: { features: floats([1, 2], [1, 2]), "head.weight": floats([1, 2], [1, 2]) },
    parameters: { dim: 2 },
    says: 'Cannot set "vim.dim" to 2: the features of "bad" have 2 channels',
  },
  {
    what: "features on a line, for the residual beyond it",
    method: "vim",
    arrays: {
      features: floats([1, 0, 0, 2, 0, 0, 3, 0, 0], [3, 3]),
      "head.weight": floats([1, 0, 0], [1, 3]),
    },
    parameters: { dim: 1 },
    says: 'the features of "bad" do not vary outside 1 dimensions',
  },
  {
    what: "a k above the size of the bank",
    method: "knn",
    arrays: { features: floats([1, 2], [2, 1]) },
    parameters: { k: 3 },
    says: 'Cannot fit "knn": knn.k is 3 and "bad" has 2 rows; choose a smaller k',
  },
  {
    what: "NaN among the features",
    method: "knn",
    arrays: { features: floats([1, NaN], [2, 1]) },
    parameters: { k: 1 },
    says: "NaN in row 1",
  },
  {
    what: "NaN in the head",
    method: "react",
    arrays: { features: floats([1, 2], [1, 2]), "head.weight": floats([1, NaN], [1, 2]) },
    says: '"head.weight" of "bad" has a NaN or infinity',
  },
  {
    what: "an empty set",
    method: "knn",
    arrays: { features: floats([], [0, 2]) },
    says: 'Cannot fit "knn": "bad" has no rows',
  },
];

for (const { what, method, arrays, metadata = {}, parameters = {}, says } of REFUSED) {
  Deno.test(`${method} refuses ${what}`, async () => {
    const train = memoryFeatures(arrays, { path: "bad", metadata });
    await assertRejects(
      () => findScore(method).fit({ train, parameters, context: new Host() }),
      UserError,
      says,
    );
  });
}
