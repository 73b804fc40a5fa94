/**
 * `ood inspect`: what a model is, and which of its parts scores can use.
 *
 * @module
 */

import type { PreprocessSpec } from "../kernels/mod.ts";
import {
  inspect,
  type Inspection,
  type InspectionPart,
  loadSidecar,
  readModel,
} from "../onnx/mod.ts";
import type { Command, CommandContext } from "./_command.ts";

/** The command. */
export const inspectCommand: Command = {
  name: "inspect",
  summary: "Show a model's inputs, outputs, linear head, feature map and preprocessing",
  details:
    "A file MODEL.json beside MODEL.onnx overrides what is found and names what an ONNX file\n" +
    "cannot say: preprocessing, labels, names of outputs (see docs/models.md).",
  positionals: ["MODEL.onnx"],
  options: [{ name: "json", help: "print JSON" }],
  examples: ["ood inspect models/cifar10-resnet20.onnx"],
  run: runInspect,
};

async function runInspect({ args, terminal }: CommandContext): Promise<void> {
  const path = args.positionals[0]!;
  const sidecar = await loadSidecar(path);
  const found = inspect(await readModel(path), sidecar === undefined ? {} : { sidecar });
  if (args.flag("json")) terminal.printJson(found);
  else terminal.print(describeModel(found));
}

const PARTS: readonly [part: InspectionPart, title: string][] = [
  ["image", "image input"],
  ["logits", "logits"],
  ["head", "linear head"],
  ["features", "features"],
  ["featureMap", "feature map"],
];

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
    line("blocks", `${found.blocks.length} that end in a feature map`),
    line("preprocessing", describePreprocessing(found)),
    line("labels", describeLabels(found)),
  ].join("\n");
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

function describeLabels({ labels }: Inspection): string {
  if (labels === undefined) return "none: name them in the sidecar";
  const shown = labels.slice(0, 6).join(", ");
  return `${labels.length}: ${shown}${labels.length > 6 ? ", …" : ""}`;
}
