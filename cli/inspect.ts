/**
 * `ood inspect`: what a model is, and which of its parts scores can use.
 *
 * @module
 */

import { openImages } from "../data/mod.ts";
import type { PreprocessSpec } from "../kernels/mod.ts";
import { bestBlock, type BlockRatio, normRatios } from "../methods/mod.ts";
import {
  inspect,
  type Inspection,
  type InspectionPart,
  loadSidecar,
  type OnnxModel,
  readModel,
} from "../onnx/mod.ts";
import type { Command, CommandContext } from "./_command.ts";
import { MODEL_DEVICE_OPTION } from "./_device.ts";

/** The command. */
export const inspectCommand: Command = {
  name: "inspect",
  summary: "Show a model's inputs, outputs, linear head, feature map and preprocessing",
  details:
    "A file MODEL.json beside MODEL.onnx overrides what is found and names what an ONNX file\n" +
    "cannot say: preprocessing, labels, names of outputs (see docs/models.md).\n" +
    "With --norm-ratio the model runs on training images and on the same images as jigsaws;\n" +
    "FeatureNorm works best where images exceed their jigsaws most (`ood extract --block`).",
  positionals: ["MODEL.onnx"],
  options: [
    { name: "norm-ratio", value: "IMAGES", help: "compare the blocks on these training images" },
    { name: "count", value: "N", help: "images to draw for --norm-ratio", default: "256" },
    { name: "seed", value: "N", help: "seed of the draw and of the jigsaws", default: "0" },
    MODEL_DEVICE_OPTION,
    { name: "json", help: "print JSON" },
  ],
  examples: [
    "ood inspect models/cifar10-resnet20.onnx",
    "ood inspect models/cifar10-resnet20.onnx --norm-ratio train/",
  ],
  run: runInspect,
};

async function runInspect(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const path = args.positionals[0]!;
  const sidecar = await loadSidecar(path);
  const model = await readModel(path);
  const found = inspect(model, sidecar === undefined ? {} : { sidecar });
  const source = args.text("norm-ratio");
  const comparison = source === undefined
    ? undefined
    : await compareBlocks(context, { source, model, found });
  if (args.flag("json")) {
    terminal.printJson({
      ...found,
      ...(comparison === undefined ? {} : { normRatio: comparison }),
    });
    return;
  }
  terminal.print(describeModel(found));
  if (comparison !== undefined) terminal.print(`\n${describeComparison(comparison)}`);
}

/** NormRatios of a model's blocks, and what they were made of. */
export interface BlockComparison {
  /** Images that were compared with their jigsaws. */
  readonly images: number;
  /** Seed of the draw and of the jigsaws. */
  readonly seed: number;
  /** The block with the largest ratio. */
  readonly best: string;
  /** All of them, in the order of the graph. */
  readonly blocks: readonly BlockRatio[];
}

async function compareBlocks(
  { args, terminal, signal }: CommandContext,
  { source, model, found }: { source: string; model: OnnxModel; found: Inspection },
): Promise<BlockComparison> {
  const count = args.number("count", { minimum: 1, integer: true })!;
  const seed = args.number("seed", { minimum: 0, maximum: 2 ** 32 - 1, integer: true })!;
  const set = await openImages(source, { labels: "none" });
  const total = Math.min(count, set.count);
  let skipped = 0;
  using progress = terminal.progress("compare blocks", total, { unit: "images" });
  const blocks = await normRatios(model, set, {
    inspection: found,
    device: args.need("device") as "auto" | "webgpu" | "wasm",
    count,
    seed,
    signal,
    onProgress: ({ done }) => progress.update(done),
    onSkip: ({ name, reason }) => {
      skipped++;
      terminal.note(`Skipped ${name}: ${reason}`);
    },
  });
  return { images: total - skipped, seed, best: bestBlock(blocks).block, blocks };
}

/**
 * The ratios of a model's blocks as a table, for a person.
 *
 * @param comparison The ratios.
 * @returns Lines of text.
 */
export function describeComparison(comparison: BlockComparison): string {
  const { images, seed, best, blocks } = comparison;
  const rows = blocks.map(({ block, shape, ratio }) => ({
    block,
    shape: `[${shape.join(", ")}]`,
    ratio: `${ratio.toFixed(4)}${block === best ? "  best" : ""}`,
  }));
  const width = (key: "block" | "shape") =>
    Math.max(key.length, ...rows.map((row) => row[key].length));
  const line = (row: { block: string; shape: string; ratio: string }) =>
    `  ${row.block.padEnd(width("block"))}  ${row.shape.padEnd(width("shape"))}  ${row.ratio}`;
  return [
    `NormRatio of ${images} images and their jigsaws, seed ${seed}`,
    line({ block: "block", shape: "shape", ratio: "ratio" }),
    ...rows.map(line),
  ].join("\n");
}

const PARTS: readonly [part: InspectionPart, title: string][] = [
  ["image", "image input"],
  ["logits", "logits"],
  ["head", "linear head"],
  ["features", "features"],
  ["featureMap", "feature map"],
];

const TAGGER_PARTS: readonly [part: InspectionPart, title: string][] = [
  ["tokens", "tokens"],
  ["tagLogits", "tag scores"],
  ["attention", "attention"],
];

const EMBED_PARTS: typeof PARTS = [["imageEmbed", "embeddings"]];

const TITLE_WIDTH = 16;

/**
 * What was found in a model, for a person.
 *
 * @param found The inspection.
 * @returns Lines of text.
 */
export function describeModel(found: Inspection): string {
  const line = (title: string, text: string) => `  ${title.padEnd(TITLE_WIDTH)}${text}`;
  const values = (list: Inspection["inputs"]) =>
    list.map(({ name, type, shape }) => `${name} ${type ?? ""} [${(shape ?? ["?"]).join(", ")}]`)
      .join("; ");
  return [
    `${found.name} (ONNX operator set ${found.opset})`,
    line("inputs", values(found.inputs)),
    line("outputs", values(found.outputs)),
    ...PARTS.map(([part, title]) => line(title, describePart(found, part))),
    ...taggerLines(found, line),
    ...EMBED_PARTS.filter(([part]) => part in found)
      .map(([part, title]) => line(title, describePart(found, part))),
    line("blocks", `${found.blocks.length} that end in a feature map`),
    line("preprocessing", describePreprocessing(found)),
    line("labels", listNames(found.labels)),
  ].join("\n");
}

/** What only taggers have; nothing for others. */
function taggerLines(
  found: Inspection,
  line: (title: string, text: string) => string,
): string[] {
  const parts = TAGGER_PARTS.filter(([part]) => part in found || part in found.reasons);
  if (parts.length === 0 && found.tags === undefined) return [];
  return [
    ...parts.map(([part, title]) => line(title, describePart(found, part))),
    line("tags", listNames(found.tags)),
    line("thresholds", describeThresholds(found)),
  ];
}

function describeThresholds({ tagThresholds }: Inspection): string {
  if (tagThresholds === undefined) return "none: name them in the sidecar";
  if (typeof tagThresholds === "number") return `${tagThresholds} for every tag`;
  const [least, most] = [Math.min(...tagThresholds), Math.max(...tagThresholds)];
  return `${tagThresholds.length} from ${least} to ${most}`;
}

function describePart(found: Inspection, part: InspectionPart): string {
  const reason = found.reasons[part];
  switch (part) {
    case "image": {
      const { image } = found;
      return image === undefined ? absent(reason) : `${image.name} [${image.shape.join(", ")}]`;
    }
    case "head": {
      const { head } = found;
      if (head === undefined) return absent(reason);
      const node = head.node === "" ? head.weight : head.node;
      return `${head.kind} ${node}: ${head.channels} features to ${head.classes} classes`;
    }
    default: {
      const source = found[part];
      if (source === undefined) return absent(reason);
      const via = source.via === "value" ? "" : `, after ${source.via}`;
      return `${source.value} [${(source.shape ?? ["?"]).join(", ")}]${via}`;
    }
  }
}

function absent(reason: string | undefined): string {
  return `none: ${reason ?? "not found"}`;
}

function describePreprocessing({ preprocessing }: Inspection): string {
  if (preprocessing === undefined) return "unknown: name it in the sidecar";
  const guess = preprocessing.guessed ? " (a guess: name it in the sidecar)" : "";
  return `${describeSpec(preprocessing.spec)}${guess}`;
}

function describeSpec(spec: PreprocessSpec): string {
  const { resize, crop } = spec;
  const size = resize === undefined
    ? "no resize"
    : "shorter" in resize
    ? `shorter side to ${resize.shorter} (${spec.interpolation})`
    : `resize to ${resize.width}x${resize.height} (${spec.interpolation})`;
  const cut = crop === undefined ? "" : `, centre crop ${crop.width}x${crop.height}`;
  return `${size}${cut}, ${spec.channels} 0..${spec.range}, minus (${
    spec.mean.join(", ")
  }), over (${spec.scale.join(", ")})`;
}

function listNames(names: readonly string[] | undefined): string {
  if (names === undefined) return "none: name them in the sidecar";
  const shown = names.slice(0, 6).join(", ");
  return `${names.length}: ${shown}${names.length > 6 ? ", …" : ""}`;
}
