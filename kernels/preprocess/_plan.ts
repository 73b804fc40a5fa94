/**
 * How a batch of images is cut into uploads and dispatches, and the words that tell the kernels.
 * Pure functions.
 *
 * The plan's words (i32):
 * - 3 * 256 values of bytes after normalisation, as f32 bits
 * - 8 for each image: width, its column axis (word and taps), its row axis (word and taps), its
 *   first needed row, where it begins in the intermediate image (in pixels), its place in the batch
 * - 4 for each job, a band of rows of one image: word of the image, first row (counted from the
 *   first needed one), rows, word of its pixels in the upload
 * - each axis once: starts, counts, weights
 *
 * @module
 */

import { axesOf, type Axis } from "./_geometry.ts";
import { normalizationTable } from "./reference.ts";
import type { PreprocessSpec, RgbImage } from "./spec.ts";

const BYTES_PER_PIXEL = 3;
const WORDS_PER_IMAGE = 8;
const WORDS_PER_JOB = 4;

/** Sizes at which a batch is cut. */
export interface PlanLimits {
  /** Bytes of pixels in one upload; a single row may exceed it. */
  readonly uploadBytes: number;
  /** Bytes of pixels of a group; a single image may exceed it. */
  readonly groupBytes: number;
  /** Pixels of intermediate images of a group; a single image may exceed it. */
  readonly middlePixels: number;
  /** Never cut an image into bands, and take the same way for all. */
  readonly wholeImages: boolean;
}

/** A band of rows of an image. */
export interface Job {
  /** The image's place in the group. */
  readonly image: number;
  /** First row, counted from the first needed one. */
  readonly firstRow: number;
  /** Rows. */
  readonly rows: number;
  /** Where its pixels begin in the upload, in words. */
  readonly word: number;
}

/** Jobs whose pixels are uploaded together. */
export interface Upload {
  /** Words of pixels. */
  readonly words: number;
  /** Images to resize. */
  readonly resized: readonly Job[];
  /** Images to normalise only. */
  readonly direct: readonly Job[];
}

/** An image of a group with its axes. */
export interface PlannedImage {
  /** The image. */
  readonly image: RgbImage;
  /** Its place in the batch. */
  readonly slot: number;
  /** How columns are mixed. */
  readonly columns: Axis;
  /** How rows are mixed. */
  readonly rows: Axis;
  /** Whether it needs no resize, crop or padding. */
  readonly direct: boolean;
  /** Where it begins in the intermediate image, in pixels. */
  readonly middle: number;
}

/** Images that are on the GPU together; those to resize come first. */
export interface Group {
  /** The images. */
  readonly images: readonly PlannedImage[];
  /** How many of them are resized. */
  readonly resized: number;
  /** Pixels of the intermediate images. */
  readonly middlePixels: number;
  /** What is uploaded when. */
  readonly uploads: readonly Upload[];
}

/**
 * Cuts a batch into groups and uploads.
 *
 * @param images The batch.
 * @param spec What is done to it.
 * @param limits Where to cut.
 * @returns The groups.
 */
export function planBatch(
  images: readonly RgbImage[],
  spec: PreprocessSpec,
  limits: PlanLimits,
): Group[] {
  const groups: Group[] = [];
  let pending: PlannedImage[] = [];
  let middle = 0;
  let bytes = 0;
  const close = () => {
    if (pending.length > 0) groups.push(closeGroup(pending, { middle, limits }));
    pending = [];
    middle = 0;
    bytes = 0;
  };
  images.forEach((image, slot) => {
    const { columns, rows } = axesOf(image, spec);
    const direct = !limits.wholeImages && columns.identity && rows.identity;
    const pixels = direct ? 0 : columns.size * rows.span;
    const needed = image.width * rows.span * BYTES_PER_PIXEL;
    if (middle + pixels > limits.middlePixels || bytes + needed > limits.groupBytes) close();
    pending.push({ image, slot, columns, rows, direct, middle });
    middle += pixels;
    bytes += needed;
  });
  close();
  return groups;
}

function closeGroup(
  pending: readonly PlannedImage[],
  about: { middle: number; limits: PlanLimits },
): Group {
  const resized = pending.filter(({ direct }) => !direct);
  const images = [...resized, ...pending.filter(({ direct }) => direct)];
  return {
    images,
    resized: resized.length,
    middlePixels: about.middle,
    uploads: cutUploads(images, about.limits),
  };
}

function cutUploads(images: readonly PlannedImage[], limits: PlanLimits): Upload[] {
  const uploads: Upload[] = [];
  let jobs: Job[] = [];
  let words = 0;
  const close = () => {
    if (jobs.length === 0) return;
    uploads.push({
      words,
      resized: jobs.filter(({ image }) => !images[image]!.direct),
      direct: jobs.filter(({ image }) => images[image]!.direct),
    });
    jobs = [];
    words = 0;
  };
  images.forEach(({ image, rows }, index) => {
    const rowBytes = image.width * BYTES_PER_PIXEL;
    for (let firstRow = 0; firstRow < rows.span;) {
      const room = Math.floor((limits.uploadBytes - words * 4) / rowBytes);
      const left = rows.span - firstRow;
      const band = limits.wholeImages ? left : Math.min(left, room);
      if (band < left && jobs.length > 0 && left * rowBytes <= limits.uploadBytes) {
        // The whole rest fits into an upload of its own.
        close();
        continue;
      }
      const taken = Math.max(1, band);
      jobs.push({ image: index, firstRow, rows: taken, word: words });
      words += Math.ceil(taken * rowBytes / 4);
      firstRow += taken;
      if (words * 4 >= limits.uploadBytes || taken < left) close();
    }
  });
  close();
  return uploads;
}

/** The words of a group's plan, and where its parts begin. */
export interface PlanWords {
  /** The words. */
  readonly words: Int32Array<ArrayBuffer>;
  /** Word of the first image. */
  readonly images: number;
  /** Word of the first resize job, by upload. */
  readonly resizedJobs: readonly number[];
  /** Word of the first direct job, by upload. */
  readonly directJobs: readonly number[];
}

/**
 * Writes a group down for the kernels.
 *
 * @param group The group.
 * @param spec What is done to the images.
 * @returns The words.
 */
export function planWords(group: Group, spec: PreprocessSpec): PlanWords {
  const values = normalizationTable(spec);
  const images = values.length;
  const firstJob = images + group.images.length * WORDS_PER_IMAGE;
  const resizedJobs: number[] = [];
  const directJobs: number[] = [];
  let end = firstJob;
  for (const { resized, direct } of group.uploads) {
    resizedJobs.push(end);
    directJobs.push(end + resized.length * WORDS_PER_JOB);
    end += (resized.length + direct.length) * WORDS_PER_JOB;
  }
  const axes = new Map<Axis, number>();
  for (const axis of group.images.flatMap(({ columns, rows }) => [columns, rows])) {
    if (axes.has(axis)) continue;
    axes.set(axis, end);
    end += 2 * axis.size + axis.weights.length;
  }
  const words = new Int32Array(end);
  words.set(new Int32Array(values.buffer));
  group.images.forEach(({ image, columns, rows, middle, slot }, index) => {
    const fields = [
      image.width,
      axes.get(columns)!,
      columns.taps,
      axes.get(rows)!,
      rows.taps,
      rows.first,
      middle,
      slot,
    ];
    words.set(fields, images + index * WORDS_PER_IMAGE);
  });
  let word = firstJob;
  for (const { resized, direct } of group.uploads) {
    for (const job of [...resized, ...direct]) {
      words.set([images + job.image * WORDS_PER_IMAGE, job.firstRow, job.rows, job.word], word);
      word += WORDS_PER_JOB;
    }
  }
  for (const [axis, at] of axes) {
    words.set(axis.starts, at);
    words.set(axis.counts, at + axis.size);
    words.set(axis.weights, at + 2 * axis.size);
  }
  return { words, images, resizedJobs, directJobs };
}

/**
 * Packs the pixels of an upload.
 *
 * @param group The group.
 * @param upload One of its uploads.
 * @param bytes Where the pixels go.
 */
export function packUpload(group: Group, upload: Upload, bytes: Uint8Array<ArrayBuffer>): void {
  for (
    const { image: index, firstRow, rows: count, word } of [
      ...upload.resized,
      ...upload.direct,
    ]
  ) {
    const { image, rows } = group.images[index]!;
    const stride = image.width * BYTES_PER_PIXEL;
    const from = (rows.first + firstRow) * stride;
    bytes.set(image.data.subarray(from, from + count * stride), word * 4);
  }
}
