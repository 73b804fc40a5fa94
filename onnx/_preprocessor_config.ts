/**
 * `preprocessor_config.json`, in which exports from the Hugging Face hub say what is done to an
 * image.
 *
 * @module
 */

import {
  type ImageSize,
  type Interpolation,
  type PreprocessSpec,
  type ShorterSide,
  validatePreprocessSpec,
} from "../kernels/preprocess/spec.ts";
import { asRecord, at, kindOf, readJson, refuse, type Where } from "./_json.ts";

/** PIL's numbers of filters. */
const FILTERS: Readonly<Record<number, Interpolation>> = {
  0: "nearest",
  2: "bilinear",
  3: "bicubic",
};

/** 1 / 255, however many digits of it a file has. */
const RESCALE_TOLERANCE = 1e-6;

/** A folder of models keeps its configuration beside it. */
const MODELS_FOLDER_REGEXP = /(^|[/\\])onnx[/\\]$/;

/** The preprocessing beside a model, or beside the folder `onnx` that it is in; if there is any. */
export async function findPreprocessor(modelPath: string): Promise<PreprocessSpec | undefined> {
  const folder = modelPath.replace(/[^/\\]*$/, "");
  const above = MODELS_FOLDER_REGEXP.test(folder)
    ? [folder.replace(MODELS_FOLDER_REGEXP, "$1")]
    : [];
  for (const place of [folder, ...above]) {
    const path = `${place}preprocessor_config.json`;
    const value = await readJson(path);
    if (value !== undefined) return parsePreprocessor(value, { name: path, at: "" });
  }
  return undefined;
}

/** What such a file says, in this project's words. */
export function parsePreprocessor(value: unknown, where: Where): PreprocessSpec {
  const config = asRecord(value, where);
  const does = (key: string) => config[`do_${key}`] !== false;
  const cuts = does("center_crop") && config["crop_size"] !== undefined;
  return validatePreprocessSpec({
    ...(does("resize") && config["size"] !== undefined &&
      { resize: sizeOf(config, { where, cuts }) }),
    ...(cuts && { crop: cropOf(config["crop_size"], at(where, "crop_size")) }),
    interpolation: does("resize")
      ? filterOf(config["resample"] ?? usualFilter(config), at(where, "resample"))
      : "nearest",
    channels: "RGB",
    range: does("rescale") ? rangeOf(config["rescale_factor"], where) : 255,
    mean: does("normalize") ? config["image_mean"] : [0, 0, 0],
    scale: does("normalize") ? config["image_std"] : [1, 1, 1],
    layout: "NCHW",
  }, { source: `"${where.name}"` });
}

function sizeOf(
  config: Readonly<Record<string, unknown>>,
  { where, cuts }: { where: Where; cuts: boolean },
): ShorterSide | ImageSize {
  const place = at(where, "size");
  const { size } = config;
  if (typeof size === "number") {
    // One number is the shorter side where a square is cut out afterwards, and a square else.
    return cuts ? { shorter: size } : { width: size, height: size };
  }
  const { shortest_edge: shorter, height, width } = asRecord(size, place);
  if (typeof shorter === "number") return { shorter };
  if (typeof height === "number" && typeof width === "number") return { width, height };
  throw refuse(place, 'is no number, no "shortest_edge" and no "height" with "width"');
}

function cropOf(size: unknown, where: Where): ImageSize {
  if (typeof size === "number") return { width: size, height: size };
  const { height, width } = asRecord(size, where);
  if (typeof height === "number" && typeof width === "number") return { width, height };
  throw refuse(where, 'is no number and no "height" with "width"');
}

/** What a file that does not say it leaves to its class. */
function usualFilter(config: Readonly<Record<string, unknown>>): number {
  const kind = config["image_processor_type"] ?? config["feature_extractor_type"];
  return String(kind).includes("CLIP") ? 3 : 2;
}

function filterOf(resample: unknown, where: Where): Interpolation {
  const filter = FILTERS[resample as number];
  if (filter !== undefined) return filter;
  throw refuse(
    where,
    `is ${kindOf(resample)} and 0 (nearest), 2 (bilinear) or 3 (bicubic) was expected`,
  );
}

function rangeOf(factor: unknown, where: Where): 1 | 255 {
  if (factor === undefined) return 1;
  if (factor === 1) return 255;
  if (typeof factor === "number" && Math.abs(factor * 255 - 1) < RESCALE_TOLERANCE) return 1;
  throw refuse(at(where, "rescale_factor"), `is ${kindOf(factor)} and 1/255 or 1 was expected`);
}
