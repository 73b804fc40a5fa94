/**
 * The synthesis of near-boundary images (section 3.3): source images are taken back towards noise,
 * denoised with what they show beside their object as a prompt, and decoded; the gradient of a
 * recognition model's energy moves the noise, and it begins again.
 *
 * @module
 */

import {
  contactSheet,
  decodeImage,
  encodePng,
  type ImageSet,
  loadPixels,
  type PixelSet,
  subsetImages,
  writeFileAtomic,
} from "../../data/mod.ts";
import { type PreprocessSpec, resizeReference, type RgbImage } from "../../kernels/mod.ts";
import type { Inspection, OnnxModel } from "../../onnx/mod.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import { SynthesisRun } from "./_synthesis_run.ts";
import type { LatentDiffusion } from "./diffusion.ts";
import {
  type SynthesisCounts,
  type SynthesisIdentity,
  type SyntheticImage,
  SyntheticStore,
} from "./synthetic_images.ts";
import { type Boundary, boundaryOf, type ImageScores } from "./synthesis_loss.ts";
import { requireSynthesisSettings, type SynthesisSettings } from "./synthesis_settings.ts";
import { workHash, type WorkItem, type WorkList } from "./work_list.ts";

/** What {@linkcode synthesise} makes images with and of. */
export interface SynthesisOptions {
  /** The folder to write. */
  readonly out: string;
  /** The diffusion model. */
  readonly diffusion: LatentDiffusion;
  /** The recognition model, what was found in it, and a hash of its file. */
  readonly classifier: {
    /** The model. */
    readonly model: OnnxModel;
    /** What was found in it, with its preprocessing. */
    readonly inspection: Inspection;
    /** What tells it from another. */
    readonly hash: string;
  };
  /** Hashes of the diffusion model's files. */
  readonly hashes: Readonly<Record<string, string>>;
  /** Where gradients are computed. */
  readonly ctx: Context;
  /** The images to make. */
  readonly work: WorkList;
  /** The source images; without them the work must name none. */
  readonly images?: ImageSet;
  /** The settings. */
  readonly settings: SynthesisSettings;
  /** Images at a time; 8 by default. */
  readonly batch?: number;
  /** Whether to go on with a run that was stopped. */
  readonly resume?: boolean;
  /** Whether to stop at the first source image that cannot be read. */
  readonly strict?: boolean;
  /** Stops between two steps; what is done is kept. */
  readonly signal?: AbortSignal;
  /** Told how far it is. */
  readonly onProgress?: (stage: SynthesisStage, done: number, total: number) => void;
  /** Told what goes on although something is amiss. */
  readonly onWarning?: (text: string) => void;
}

/** What a synthesis does one after the other. */
export type SynthesisStage = "load" | "score" | "generate";

/** Seconds by what they went into. */
export type SynthesisSeconds = Readonly<
  Record<"load" | "score" | "text" | "encode" | "denoise" | "gradient" | "decode" | "write", number>
>;

/** What a synthesis made. */
export interface SynthesisReport {
  /** The folder. */
  readonly out: string;
  /** All images of the run, those of earlier calls too. */
  readonly images: readonly SyntheticImage[];
  /** How many there are of what. */
  readonly counts: SynthesisCounts;
  /** The boundary; null where there is none. */
  readonly boundary: Boundary | null;
  /** Images that this call made. */
  readonly made: number;
  /** Seconds of this call. */
  readonly seconds: SynthesisSeconds;
  /** Images that a run of the models took at the end. */
  readonly batch: number;
  /** Source images that cannot be read, and why. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

const DEFAULT_BATCH = 8;
/** Pairs on the contact sheet. */
const SHEET_PAIRS = 32;
const SHEET_COLUMNS = 8;
/** Longest side of a picture on the contact sheet. */
const SHEET_SIDE = 128;

/**
 * Makes images and writes them, with what is known of each, to a folder.
 *
 * An image depends on its source, its prompt, the seed and the settings, and on nothing else but
 * rounding: neither on the batch it is made in nor on the others. A run that was stopped goes on
 * where it was and gives the same files as one that was not.
 *
 * When a batch does not fit in memory, it is made in halves, and this is said once.
 *
 * @param options The models, the work, and the settings.
 * @returns What was made.
 * @throws {UserError} When a setting makes no sense, the folder holds another run, the models do not
 * fit together or give numbers that are not finite, or an image cannot be made.
 *
 * @example No work
 * ```ts
 * import { labelWork } from "@oodgpu/oodgpu/methods";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => labelWork([]), Error, "one of each is the least");
 * ```
 */
export async function synthesise(options: SynthesisOptions): Promise<SynthesisReport> {
  const settings = requireSynthesisSettings(options.settings);
  const batch = options.batch ?? DEFAULT_BATCH;
  if (!(Number.isInteger(batch) && batch >= 1)) {
    throw new UserError(`Cannot make ${batch} images at a time: it must be a whole number from 1`);
  }
  const mode = requireSources(options);
  requireFilter(settings, mode);
  const store = new SyntheticStore(options.out);
  const identity: SynthesisIdentity = {
    mode,
    settings: JSON.parse(JSON.stringify(settings)) as SynthesisSettings,
    models: { ...options.hashes, classifier: options.classifier.hash },
    work: workHash(options.work.items),
  };
  const before = await store.manifest();
  requireSameRun(options.out, { before, identity, resume: options.resume === true });
  // A folder that cannot be written is found before the work; one that was made for nothing goes.
  await using place = await store.make();
  const sources = await loadSources(options);
  using _sources = sources.pixels;
  const run = new SynthesisRun({ ...options, settings, batch, store, items: sources.items });
  await using _run = run;
  run.seconds.load += sources.seconds;
  const scores = await run.score((index) => sources.image(index));
  const boundary = before?.boundary ?? boundaryFor(settings, scores);
  place.keep();
  if (before === undefined) await store.clear();
  const done = await store.keepWhole(sources.items.map(({ source }) => source));
  const countsOf = (images: readonly SyntheticImage[]): SynthesisCounts => ({
    images: sources.items.length,
    done: images.length,
    kept: images.filter(({ kept }) => kept).length,
    crossed: images.filter(({ crossed }) => crossed === true).length,
    withoutElements: options.work.withoutElements.length,
    unreadable: sources.skipped.length,
  });
  const write = (images: readonly SyntheticImage[]) =>
    store.writeManifest({
      ...identity,
      boundary,
      counts: countsOf(images),
      skipped: sources.skipped,
      complete: images.length === sources.items.length,
    });
  await write(done);
  let images: readonly SyntheticImage[] = done;
  try {
    images = await run.generate({ done, scores, boundary, image: (index) => sources.image(index) });
    if (images.length > done.length || before?.complete !== true) {
      await writeSheet(store, options.out, { images, source: (index) => sources.image(index) });
    }
  } finally {
    await write(run.images.length > images.length ? run.images : images);
  }
  return {
    out: options.out,
    images,
    counts: countsOf(images),
    boundary,
    made: images.length - done.length,
    seconds: run.seconds,
    batch: run.batch,
    skipped: sources.skipped,
  };
}

/** Whether images are made of source images or of labels; never both. */
function requireSources({ work, images }: SynthesisOptions): SynthesisIdentity["mode"] {
  const sources = work.items.filter(({ source }) => source !== null).length;
  if (work.items.length > 0 && sources === 0) return "labels";
  if (sources === work.items.length && sources > 0 && images !== undefined) return "source";
  throw new UserError(
    `Cannot make ${work.items.length} images, ${sources} of them from source images: ${
      images === undefined ? "there are no source images" : "all or none must have one"
    }`,
  );
}

function requireFilter(
  { filter, boundary }: SynthesisSettings,
  mode: SynthesisIdentity["mode"],
): void {
  if (filter === "none" || mode === "source") return;
  if (filter === "energy" && boundary !== undefined) return;
  throw new UserError(
    `Cannot filter images of labels by ${filter}: there are no source images that a boundary could ` +
      `be taken from; filter by energy with a boundary of your own, or by nothing`,
  );
}

function requireSameRun(
  out: string,
  { before, identity, resume }: {
    readonly before: SynthesisIdentity & { readonly complete: boolean } | undefined;
    readonly identity: SynthesisIdentity;
    readonly resume: boolean;
  },
): void {
  const refuse = (why: string) => new UserError(`Cannot write images to "${out}": ${why}`);
  if (before === undefined) {
    if (resume) throw refuse("there is no run to go on with");
    return;
  }
  if (!resume) {
    throw refuse(
      before.complete
        ? "it holds a complete run; choose another folder"
        : "it holds a run that was stopped; go on with --resume, or choose another folder",
    );
  }
  const differing = [
    ...Object.keys({ ...before.settings, ...identity.settings }).map((key) => {
      const [a, b] = [before, identity].map(({ settings }) =>
        settings[key as keyof SynthesisSettings]
      );
      return a === b ? undefined : `${key} ${a} and not ${b}`;
    }),
    ...Object.keys({ ...before.models, ...identity.models }).map((key) =>
      before.models[key] === identity.models[key] ? undefined : `another ${key} model`
    ),
    before.mode === identity.mode ? undefined : `the mode ${before.mode} and not ${identity.mode}`,
    before.work === identity.work ? undefined : "other images or prompts",
  ].filter((difference) => difference !== undefined);
  if (differing.length > 0) {
    throw refuse(`it holds a run with ${differing.join(", ")}; choose another folder`);
  }
}

/** Source images in bytes of the diffusion model's size, and the work that can be done with them. */
interface Sources {
  readonly items: readonly WorkItem[];
  readonly pixels: PixelSet | undefined;
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  readonly seconds: number;
  /** The source of an item; undefined where there is none. */
  image(index: number): RgbImage | undefined;
}

async function loadSources(options: SynthesisOptions): Promise<Sources> {
  const { work, images, diffusion, signal, onProgress } = options;
  if (images === undefined || work.items[0]!.source === null) {
    return {
      items: work.items,
      pixels: undefined,
      skipped: [],
      seconds: 0,
      image: () => undefined,
    };
  }
  const begin = performance.now();
  const { image: size } = diffusion.info;
  const chosen = subsetImages(images, work.items.map(({ index }) => index));
  const pixels = await loadPixels(chosen, {
    spec: squashed(size),
    size,
    strict: options.strict ?? false,
    ...(signal === undefined ? {} : { signal }),
    onProgress: (done, total) => onProgress?.("load", done, total),
  });
  return {
    items: Array.from(pixels.origin, (i) => work.items[i]!),
    pixels,
    skipped: pixels.skipped,
    seconds: (performance.now() - begin) / 1000,
    image: (index) => ({ ...size, data: pixels.rows.gather([index]) }),
  };
}

/** The whole image, at another ratio where it must be. */
function squashed(size: { readonly width: number; readonly height: number }): PreprocessSpec {
  return {
    resize: size,
    interpolation: "bicubic",
    channels: "RGB",
    range: 255,
    mean: [0, 0, 0],
    scale: [1, 1, 1],
    layout: "NCHW",
  };
}

function boundaryFor(
  settings: SynthesisSettings,
  scores: ImageScores | undefined,
): Boundary | null {
  const { boundary: energy, quantile } = settings;
  if (scores === undefined) return energy === undefined ? null : { energy, msp: 0 };
  const found = boundaryOf(scores, quantile);
  return energy === undefined ? found : { ...found, energy };
}

/** Source images with what was made of them below; images of labels alone. */
async function writeSheet(
  store: SyntheticStore,
  out: string,
  { images, source }: {
    readonly images: readonly SyntheticImage[];
    readonly source: (index: number) => RgbImage | undefined;
  },
): Promise<void> {
  const count = Math.min(SHEET_PAIRS, images.length);
  if (count === 0) return;
  const chosen = Array.from(
    { length: count },
    (_, i) => Math.floor((i + 0.5) * images.length / count),
  );
  const made = await Promise.all(chosen.map(async (index) => {
    const name = images[index]!.synthetic;
    return small(await decodeImage(await store.readImage(name), { name }));
  }));
  const sources = chosen.map((index) => source(index));
  const columns = Math.min(SHEET_COLUMNS, count);
  const rows: RgbImage[] = [];
  for (let begin = 0; begin < count; begin += columns) {
    const end = Math.min(count, begin + columns);
    const padding = Array.from({ length: columns - (end - begin) }, () => dark(made[0]!));
    const above = sources.slice(begin, end).flatMap((image) =>
      image === undefined ? [] : small(image)
    );
    if (above.length > 0) rows.push(...above, ...padding);
    rows.push(...made.slice(begin, end), ...padding);
  }
  await writeFileAtomic(
    `${out}/contact.png`,
    await encodePng(contactSheet(rows, columns)),
  );
}

function dark({ width, height }: RgbImage): RgbImage {
  return { width, height, data: new Uint8Array(3 * width * height).fill(24) };
}

function small(image: RgbImage): RgbImage {
  const longest = Math.max(image.width, image.height);
  if (longest <= SHEET_SIDE) return image;
  const side = (length: number) => Math.max(1, Math.round(length * SHEET_SIDE / longest));
  return resizeReference(
    image,
    {
      ...squashed({ width: side(image.width), height: side(image.height) }),
      interpolation: "bilinear",
    },
  );
}
