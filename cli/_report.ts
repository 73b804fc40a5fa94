/**
 * The HTML report of an evaluation, with thumbnails of the most confusing images where the images
 * are at hand.
 *
 * @module
 */

import { encodePng, type ImageSet, writeFileAtomic } from "../data/mod.ts";
import {
  bestMethod,
  type ConfusingImage,
  type Evaluation,
  mostConfusing,
  renderReport,
  type ReportImages,
} from "../eval/mod.ts";
import { type PreprocessSpec, resizeReference } from "../kernels/mod.ts";
import { describeParameters, type Fitted } from "../methods/mod.ts";
import type { EvaluationSets, ScoresBySet } from "./_evaluation.ts";

const CONFUSING = 12;
const THUMBNAIL: PreprocessSpec = {
  resize: { shorter: 96 },
  crop: { width: 96, height: 96 },
  interpolation: "bicubic",
  channels: "RGB",
  range: 255,
  mean: [0, 0, 0],
  scale: [1, 1, 1],
  layout: "NCHW",
};

/** What a report is made of. */
export interface ReportSource {
  /** The table. */
  readonly evaluation: Evaluation;
  /** Scores by set and method. */
  readonly scores: ScoresBySet;
  /** The feature files. */
  readonly sets: Pick<EvaluationSets, "id" | "ood">;
  /** The fitted scores. */
  readonly fitted: readonly Fitted[];
  /** Images by set, for thumbnails. */
  readonly images?: ReadonlyMap<string, ImageSet>;
  /** Its heading, when it has one of its own. */
  readonly title?: string;
}

/**
 * Writes the report.
 *
 * @param path The file.
 * @param source What it is made of.
 * @throws {UserError} When an image is damaged, or the file cannot be written.
 */
export async function writeReport(path: string, source: ReportSource): Promise<void> {
  const { evaluation, scores, sets, fitted } = source;
  const best = bestMethod(evaluation);
  const ofBest = (set: string) => scores.get(set)!.get(best)!;
  const ood = new Map([...sets.ood.keys()].map((name) => [name, ofBest(name)]));
  const confusing = mostConfusing(ofBest("id"), ood, { count: CONFUSING });
  const show = (name: string, list: readonly ConfusingImage[]) =>
    imagesOf(name === "id" ? sets.id : sets.ood.get(name)!, source.images?.get(name), list);

  const idImages = await show("id", confusing.id);
  const oodImages: Record<string, ReportImages> = {};
  for (const name of sets.ood.keys()) {
    const found = await show(name, confusing.ood.filter(({ set }) => set === name));
    if (found !== undefined) oodImages[name] = found;
  }
  const html = renderReport({
    evaluation,
    id: scores.get("id")!,
    ood: new Map([...scores].filter(([name]) => name !== "id")),
    ...(idImages === undefined ? {} : { idImages }),
    oodImages,
    methods: fitted.map(({ method, parameters }) => ({
      name: method.name,
      title: method.title,
      source: method.source,
      parameters: describeParameters(method, parameters),
    })),
  }, { confusing: CONFUSING, ...(source.title === undefined ? {} : { title: source.title }) });
  await writeFileAtomic(path, html);
}

async function imagesOf(
  set: EvaluationSets["id"],
  images: ImageSet | undefined,
  shown: readonly ConfusingImage[],
): Promise<ReportImages | undefined> {
  const { names } = set;
  if (names === undefined) return undefined;
  if (images === undefined || shown.length === 0) return { names };
  const places = new Map(images.names.map((name, index) => [name, index]));
  const thumbnails = new Map<number, string>();
  for (const { index } of shown) {
    const place = places.get(names[index]!);
    if (place === undefined) continue;
    const png = await encodePng(resizeReference(await images.read(place), THUMBNAIL));
    thumbnails.set(index, `data:image/png;base64,${png.toBase64()}`);
  }
  return { names, thumbnails };
}
