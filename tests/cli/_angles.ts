/**
 * Labels along axes and images at known angles between them: what the tests of `ood synood eval` and
 * `ablate` score, with the scores and figures by plain arithmetic.
 *
 * @module
 */

import { encodeSafetensors } from "../../data/mod.ts";
import { type LabelSet, saveLabelSet } from "../../methods/mod.ts";
import { type Workshop, workshop } from "./_workshop.ts";

/** Width of features; the last two axes are no label's. */
export const WIDTH = 8;
/** Known labels, the first axes. */
export const IDS: readonly string[] = ["cat", "dog"];
/** Negative labels, the next ones. */
export const NEGATIVES: readonly string[] = ["teapot", "sky", "rusty", "lamp"];

const LABELS = IDS.length + NEGATIVES.length;
const SCALE = 10;

/** Labels along axes. */
export function axisLabels(change: Partial<LabelSet> = {}): LabelSet {
  const negatives = change.negatives ?? NEGATIVES;
  const count = IDS.length + negatives.length;
  const text = new Float32Array(count * WIDTH);
  for (let label = 0; label < count; label++) text[label * WIDTH + label] = 1;
  return {
    ids: IDS,
    negatives,
    kinds: negatives.map(() => "noun"),
    text,
    width: WIDTH,
    logitScale: SCALE,
    mining: "neg_label",
    model: "texts",
    ...change,
  };
}

/** An image: its feature, and its class if it has one. */
export interface Image {
  readonly row: readonly number[];
  readonly label: number;
}

/** An image at an angle from one axis to another, of some length. */
export function between(
  [from, to]: readonly [number, number],
  degrees: number,
  { length = 1, label = -1 }: { readonly length?: number; readonly label?: number } = {},
): Image {
  const angle = degrees * Math.PI / 180;
  const row = new Array<number>(WIDTH).fill(0);
  row[from] = length * Math.cos(angle);
  row[to] = length * Math.sin(angle);
  return { row, label };
}

/** Images of both classes, each turned towards a negative label by its own angle. */
export function turned(
  count: number,
  degrees: (n: number) => number,
  { known = true }: { readonly known?: boolean } = {},
): Image[] {
  return Array.from({ length: count }, (_, n) => {
    const axes = [n % IDS.length, IDS.length + n % NEGATIVES.length] as const;
    return between(axes, degrees(n), { length: 1 + n % 3, label: known ? axes[0] : -1 });
  });
}

/** What may be other in a file of images. */
export interface ImageFile {
  /** What their features are called. */
  readonly key?: string;
  /** Numbers of each that are kept. */
  readonly width?: number;
  /** What is stored with them. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Writes a file as `ood synood features` does. */
export async function writeRows(
  path: string,
  images: readonly Image[],
  { key = "image_embed", width = WIDTH, metadata = {} }: ImageFile = {},
): Promise<void> {
  const data = Float32Array.from(images.flatMap(({ row }) => row.slice(0, width)));
  await Deno.writeFile(
    path,
    encodeSafetensors({
      [key]: { data, shape: [images.length, width] },
      labels: { data: Int32Array.from(images, ({ label }) => label), shape: [images.length] },
    }, { model: "vision_model.onnx", "model_hash": "images", "text_model": "texts", ...metadata }),
  );
}

/** Images of the test sets: some that overlap, some far away, and some between both classes. */
export const TESTS: Readonly<Record<"id" | "near" | "far" | "mixed", readonly Image[]>> = {
  id: turned(20, (n) => 5 + 2 * n),
  near: turned(16, (n) => 20.5 + 4 * n, { known: false }),
  far: turned(9, (n) => 81 + n, { known: false }),
  mixed: Array.from({ length: 7 }, (_, n) => between([0, 1], 43.5 + n / 2)),
};

/** A folder with labels and the test sets. */
export async function withTests(): Promise<Workshop> {
  const shop = await workshop();
  await saveLabelSet(shop.file("labels.st"), axisLabels());
  for (const [name, images] of Object.entries(TESTS)) {
    await writeRows(shop.file(`${name}.st`), images);
  }
  return shop;
}

/** Options that name the test sets of a folder. */
export function testOptions({ file }: Workshop): string[] {
  const ood = ["near", "far", "mixed"].flatMap((
    name,
  ) => ["--ood", `${name}=${file(`${name}.st`)}`]);
  return ["--id", file("id.st"), ...ood];
}

/** Cosines of an image with labels along axes. */
function cosines({ row }: Image): number[] {
  const length = Math.hypot(...row);
  return row.slice(0, LABELS).map((value) => value / length);
}

const exponential = (scale: number) => (cosine: number) => Math.exp(scale * cosine);
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** MCM: the largest share of a known label, cosines as they are. */
export function mcmOf(image: Image): number {
  const shares = cosines(image).slice(0, IDS.length).map(exponential(1));
  return Math.max(...shares) / sum(shares);
}

/** NegLabel: the share of the known labels, against each negative label or all at once. */
export function shareOf(image: Image, { groups }: { readonly groups: "each" | "one" }): number {
  const masses = cosines(image).map(exponential(SCALE));
  const known = sum(masses.slice(0, IDS.length));
  const others = masses.slice(IDS.length);
  const against = groups === "each" ? others : [sum(others)];
  return sum(against.map((mass) => known / (known + mass))) / against.length;
}

/** AUROC and FPR95 by counting. */
export function countedFigures(
  id: readonly number[],
  ood: readonly number[],
): { auroc: number; fpr95: number } {
  const above = id.flatMap((a) => ood.map((b): number => a > b ? 1 : a === b ? 0.5 : 0));
  const kept = id.toSorted((a, b) => b - a)[Math.ceil(0.95 * id.length) - 1]!;
  return {
    auroc: sum(above) / above.length,
    fpr95: ood.filter((score) => score >= kept).length / ood.length,
  };
}

/** Figures of a score on the test sets, by set. */
export function expectedFigures(
  score: (image: Image) => number,
): Record<string, { auroc: number; fpr95: number }> {
  const { id, ...others } = TESTS;
  return Object.fromEntries(
    Object.entries(others).map(([name, images]) => [
      name,
      countedFigures(id.map(score), images.map(score)),
    ]),
  );
}
