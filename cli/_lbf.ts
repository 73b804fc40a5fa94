/**
 * What the LBF commands share: the model, labelled images as bytes, and where training runs.
 *
 * @module
 */

import { alignLabels, type ImageSet, loadPixels, openImages, type PixelSet } from "../data/mod.ts";
import { type LbfImages, requireLbfModel } from "../methods/mod.ts";
import { inspect, type Inspection, loadSidecar, type OnnxModel, readModel } from "../onnx/mod.ts";
import type { Context } from "../runtime/mod.ts";
import { createHash } from "node:crypto";
import type { Arguments, OptionSpec } from "./_arguments.ts";
import { adapterName, openKernels } from "./_device.ts";
import { noteSkipped } from "./_skipped.ts";
import type { Terminal } from "./_terminal.ts";

/** The `--device` option of commands that train. */
export const TRAINING_DEVICE_OPTION: OptionSpec = {
  name: "device",
  value: "NAME",
  help: "where to train; auto is webgpu when there is any adapter, else the slow reference",
  choices: ["auto", "webgpu", "reference"],
  default: "auto",
};

/** The same for commands that compute and do not train. */
export const KERNEL_DEVICE_OPTION: OptionSpec = {
  ...TRAINING_DEVICE_OPTION,
  help: "where to compute; auto is webgpu when there is any adapter, else the slow reference",
};

/** The `--labels` option. */
export const LABELS_OPTION: OptionSpec = {
  name: "labels",
  value: "SOURCE",
  help: "folder: the first folder's name is the class; or a file of labels (CSV, TSV, JSON)",
  default: "folder",
};

/** A classifier and what was found in it. */
export interface OpenModel {
  /** The model. */
  readonly model: OnnxModel;
  /** What was found. */
  readonly inspection: Inspection;
}

/** Reads a model with the sidecar beside it. */
export async function openModel(path: string): Promise<OpenModel> {
  const sidecar = await loadSidecar(path);
  const model = await readModel(path);
  return { model, inspection: inspect(model, sidecar === undefined ? {} : { sidecar }) };
}

/** Labelled images of a training, and how many could not be used. */
export interface OpenLbfImages extends LbfImages, Disposable {
  /** Names of the images, in their order. */
  readonly names: readonly string[];
}

/** How labelled images are loaded. */
export interface LbfImageOptions extends OpenModel {
  /** Whether to stop at the first image that cannot be read. */
  readonly strict: boolean;
  /** Where progress is shown. */
  readonly terminal: Terminal;
  /** Stops the loading. */
  readonly signal: AbortSignal;
}

/** Opens labelled images from a folder or a list. */
export async function openLbfImages(
  source: string,
  how: LbfImageOptions & { readonly labels: string },
): Promise<OpenLbfImages> {
  requireLbfModel(how.model, how.inspection);
  return await openLbfPixels(await openImages(source, { labels: how.labels }), how);
}

/** Labelled images with labels in the model's order, as bytes of the model's size. */
export async function openLbfPixels(set: ImageSet, how: LbfImageOptions): Promise<OpenLbfImages> {
  const { model, inspection, terminal, signal, strict } = how;
  const { spec, size } = requireLbfModel(model, inspection);
  const labels = inspection.labels === undefined
    ? set.labels
    : alignLabels(set, inspection.labels).labels;
  using progress = terminal.progress("load", set.count, { unit: "images" });
  const pixels: PixelSet = await loadPixels(set, {
    spec,
    size,
    strict,
    signal,
    onProgress: (done) => progress.update(done),
  });
  progress.finish();
  noteSkipped(pixels.skipped, terminal, "");
  const names = Array.from(pixels.origin, (index) => set.names[index]!);
  const chosen = Int32Array.from(pixels.origin, (index) => labels[index]!);
  return {
    pixels,
    labels: chosen,
    names,
    identity: hashOf(names, chosen),
    [Symbol.dispose]: () => pixels[Symbol.dispose](),
  };
}

/** Names and labels, so that a resumed training is one of the same images. */
function hashOf(names: readonly string[], labels: Int32Array): string {
  const hash = createHash("sha256");
  names.forEach((name, i) => hash.update(`${name}\0${labels[i]}\0`));
  return hash.digest("hex");
}

/** Opens where `--device` wants to train, and says in one line where that is. */
export async function openTraining(
  args: Arguments,
  terminal: Terminal,
  variants?: "variant" | "kernel-variant",
): Promise<Context> {
  const { context, gpu } = await openKernels(args, variants);
  if (gpu !== undefined) {
    const kind = gpu.adapter.isSoftware ? ", a software adapter" : "";
    terminal.note(`Running on webgpu: ${adapterName(gpu)}${kind}`);
  } else if (args.need("device") !== "reference") {
    terminal.note("Running on the reference, because no GPU adapter was found: this is very slow");
  }
  return context;
}

/** Indices that are spread evenly over a set, away from its ends. */
export function spreadOver(count: number, wanted: number): number[] {
  const taken = Math.min(count, wanted);
  return Array.from({ length: taken }, (_, i) => Math.floor(((i + 0.5) * count) / taken));
}
