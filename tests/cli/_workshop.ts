/**
 * What the tests of commands share: running a command line in this process, and small models,
 * images and feature files to run it on.
 *
 * @module
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { execute } from "../../cli/_execute.ts";
import { Terminal, type TextSink } from "../../cli/_terminal.ts";
import { encodeSafetensors } from "../../data/mod.ts";
import type { PreprocessSpec } from "../../kernels/mod.ts";
import { type OnnxModel, writeModel } from "../../onnx/mod.ts";
import { encodeRgbPng, makeImage, temporaryFolder } from "../_support/images.ts";
import { resnetLike, waves } from "../onnx/_models.ts";

/** A sink that keeps what is written. */
export function textSink(): TextSink & { text: string } {
  return {
    isTerminal: false,
    text: "",
    write(text) {
      this.text += text;
    },
  };
}

/** What came of a command line. */
export interface Run {
  /** The exit code. */
  readonly code: number;
  /** Standard output. */
  readonly out: string;
  /** Standard error. */
  readonly notes: string;
}

/** Runs a command line in this process. */
export async function ood(...argv: string[]): Promise<Run> {
  const [out, notes] = [textSink(), textSink()];
  const code = await execute(argv, new Terminal(out, notes));
  return { code, out: out.text, notes: notes.text };
}

/** Runs a command line that must succeed. */
export async function succeed(...argv: string[]): Promise<Run> {
  const run = await ood(...argv);
  assertEquals(run.code, 0, `ood ${argv.join(" ")}\n${run.notes}`);
  return run;
}

/**
 * Checks that a command was refused in one sentence: the last line of standard error, after
 * remarks at most, and nothing on standard output.
 */
export function assertRefused(run: Run, expected: { code: number; message: string }): void {
  const lines = run.notes.trimEnd().split("\n");
  const sentence = lines.at(-1)!;
  assertEquals(run.code, expected.code, run.notes);
  assertEquals(run.out, "");
  assertMatch(sentence, /^ood: [A-Z"-].*[^.]$/, run.notes);
  assertEquals(lines.filter((line) => line.startsWith("ood: ")).length, 1, run.notes);
  assertEquals(/mistake in the program|^ {4}at /m.test(run.notes), false, run.notes);
  assertStringIncludes(sentence, expected.message);
}

/** Every file below a folder with its size, in order. */
export function listFiles(folder: string): string[] {
  const found: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) found.push(...listFiles(path));
    else found.push(`${path} ${Deno.statSync(path).size}`);
  }
  return found.sort();
}

/** Classes of the small model, in its order. */
export const CLASSES: readonly string[] = ["owl", "cat", "ape", "dog"];

/** What the small model's images go through. */
export const SPEC: PreprocessSpec = {
  resize: { shorter: 9 },
  crop: { width: 8, height: 8 },
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.5, 0.4, 0.3],
  scale: [0.2, 0.3, 0.4],
  layout: "NCHW",
};

/** A folder for one test. */
export interface Workshop extends AsyncDisposable {
  /** The folder. */
  readonly path: string;
  /** A path in it. */
  file(name: string): string;
}

/** An empty folder for one test. */
export async function workshop(): Promise<Workshop> {
  const folder = await temporaryFolder();
  return {
    path: folder.path,
    file: (name) => `${folder.path}/${name}`,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Writes a small model of four classes, and its sidecar. */
export async function writeSmallModel(
  path: string,
  model: OnnxModel = resnetLike(),
): Promise<void> {
  await Deno.writeFile(path, writeModel(model));
  const sidecar = { preprocessing: SPEC, labels: CLASSES };
  await Deno.writeTextFile(path.replace(/\.onnx$/, ".json"), JSON.stringify(sidecar));
}

/** Writes PNG images; the `seed` makes folders of images differ. */
export async function writeImages(folder: string, count: number, seed = 0): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (let i = 0; i < count; i++) {
    const value = (x: number, y: number, c: number) =>
      x * (7 * i + 3 + seed) + y * (29 + 11 * seed) * (c + 1) + 13 * i;
    const image = makeImage(9 + (i + seed) % 5, 9 + i % 4, value);
    await Deno.writeFile(`${folder}/${String(i).padStart(3, "0")}.png`, await encodeRgbPng(image));
  }
}

/** Writes a folder of images for each class. */
export async function writeClassFolders(folder: string, each: number, seed = 0): Promise<void> {
  for (const [i, name] of [...CLASSES].sort().entries()) {
    await writeImages(`${folder}/${name}`, each, seed + 5 * i);
  }
}

/** How many channels and classes the made-up features have. */
export const SHAPE = { channels: 8, classes: 3 } as const;

/** An array of f32 with its shape. */
interface FloatArray {
  readonly data: Float32Array<ArrayBuffer>;
  readonly shape: readonly number[];
}

/** The arrays of a feature file, made up so that all of them fit together. */
export interface FeatureArrays {
  readonly features: FloatArray;
  readonly logits: FloatArray;
  readonly "odin_logits": FloatArray;
  readonly "feature_norms": FloatArray;
  readonly "head.weight": FloatArray;
  readonly "head.bias": FloatArray;
  readonly labels: { readonly data: Int32Array<ArrayBuffer>; readonly shape: readonly number[] };
}

/** Made-up features: one direction for each class and waves around it; `ood` has no classes. */
export function featureArrays(
  count: number,
  { seed = 1, outlying = false, channels = SHAPE.channels, classes = SHAPE.classes }: {
    seed?: number;
    outlying?: boolean;
    channels?: number;
    classes?: number;
  } = {},
): FeatureArrays {
  const noise = waves(count * channels, seed);
  const features = new Float32Array(count * channels);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  const weight = waves(classes * channels, 50).map((value, j) =>
    value + (j % channels === Math.floor(j / channels) ? 2 : 0)
  );
  const bias = waves(classes, 60);
  const logits = new Float32Array(count * classes);
  for (let row = 0; row < count; row++) {
    for (let c = 0; c < channels; c++) {
      const centre = !outlying && c === labels[row] ? 3 : 0;
      features[row * channels + c] = Math.abs(centre + noise[row * channels + c]!);
    }
    for (let k = 0; k < classes; k++) {
      let sum = bias[k]!;
      for (let c = 0; c < channels; c++) {
        sum += features[row * channels + c]! * weight[k * channels + c]!;
      }
      logits[row * classes + k] = sum;
    }
  }
  return {
    features: { data: features, shape: [count, channels] },
    logits: { data: logits, shape: [count, classes] },
    "odin_logits": { data: logits.map((value) => 1.1 * value), shape: [count, classes] },
    "feature_norms": { data: features.map((value) => 2 * value + 0.1), shape: [count, channels] },
    "head.weight": { data: weight, shape: [classes, channels] },
    "head.bias": { data: bias, shape: [classes] },
    labels: { data: labels, shape: [count] },
  };
}

/** Writes made-up features, all or some of the arrays, as a file of this project. */
export async function writeFeatureFile(
  path: string,
  arrays: Partial<FeatureArrays>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await Deno.writeFile(path, encodeSafetensors(arrays, metadata));
}

/** Feature files in a folder: `train`, `id` and the OOD sets `near` and `far`. */
export async function writeFeatureFiles(folder: string): Promise<{
  readonly train: string;
  readonly id: string;
  readonly near: string;
  readonly far: string;
}> {
  const paths = {
    train: `${folder}/train.safetensors`,
    id: `${folder}/id.safetensors`,
    near: `${folder}/near.safetensors`,
    far: `${folder}/far.safetensors`,
  };
  await writeFeatureFile(paths.train, featureArrays(90, { seed: 1 }));
  await writeFeatureFile(paths.id, featureArrays(60, { seed: 2 }));
  await writeFeatureFile(paths.near, featureArrays(30, { seed: 3, outlying: true }));
  await writeFeatureFile(paths.far, featureArrays(25, { seed: 4, outlying: true }));
  return paths;
}
