/**
 * `ood lbf inspect`: what δ and μ would do, before anything is tuned.
 *
 * @module
 */

import { type Background, findBackground, NORM_QUANTILES } from "../methods/mod.ts";
import type { Command, CommandContext } from "./_command.ts";
import { VARIANT_OPTION } from "./_device.ts";
import {
  LABELS_OPTION,
  type OpenLbfImages,
  openLbfImages,
  openModel,
  openTraining,
  spreadOver,
  TRAINING_DEVICE_OPTION,
} from "./_lbf.ts";

/** The command. */
export const lbfInspectCommand: Command = {
  name: "lbf inspect",
  summary: "Show which locations of labelled images count as background, and their norms",
  details:
    "Background is where the head gives the true class less probability than δ. The suggested μ is\n" +
    "the 1 % quantile of the norms there.",
  options: [
    { name: "model", value: "MODEL.onnx", help: "the classifier", required: true },
    { name: "images", value: "SOURCE", help: "labelled images", required: true },
    LABELS_OPTION,
    { name: "delta", value: "X", help: "δ; 1 / classes if not given" },
    { name: "count", value: "N", help: "images to look at, evenly spread", default: "1000" },
    { name: "maps", value: "N", help: "images whose locations are drawn", default: "3" },
    { name: "strict", help: "stop at the first image that cannot be read" },
    TRAINING_DEVICE_OPTION,
    VARIANT_OPTION,
    { name: "json", help: "print JSON" },
  ],
  examples: ["ood lbf inspect --model models/cifar10-resnet20.onnx --images train/"],
  run: runInspect,
};

async function runInspect({ args, terminal, signal }: CommandContext): Promise<void> {
  const delta = args.number("delta", { minimum: 0, maximum: 1 });
  const limit = args.number("count", { minimum: 1, integer: true })!;
  const maps = args.number("maps", { minimum: 0, integer: true })!;
  const open = await openModel(args.need("model"));
  using ctx = await openTraining(args, terminal);
  using images = await openLbfImages(args.need("images"), {
    ...open,
    labels: args.need("labels"),
    strict: args.flag("strict"),
    terminal,
    signal,
  });
  using progress = terminal.progress("look at backgrounds", 0, { unit: "images" });
  const found = await findBackground({
    ...open,
    images,
    ctx,
    limit,
    signal,
    ...(delta === undefined ? {} : { delta }),
    onProgress: (done, total) => progress.update(done, total),
  });
  progress.finish();
  const shown = spreadOver(found.images.length, maps);
  if (args.flag("json")) {
    terminal.printJson({
      delta: found.delta,
      images: found.images.length,
      selected: found.selected,
      quantiles: NORM_QUANTILES,
      background: found.background,
      foreground: found.foreground,
      margin: found.margin,
      maps: shown.map((at) => {
        const { index, label, probabilities, norms } = found.images[at]!;
        return {
          name: images.names[index],
          label,
          size: found.size,
          probabilities: [...probabilities],
          norms: [...norms],
        };
      }),
    });
    return;
  }
  terminal.print(describeBackground(found));
  for (const at of shown) terminal.print(`\n${drawMap(found, at, images)}`);
}

/** The figures as lines of text. */
export function describeBackground(found: Background): string {
  const { delta, selected, background, foreground, margin, images, size } = found;
  const head = NORM_QUANTILES.map((q) => `${Math.round(100 * q)} %`.padStart(8)).join("");
  const row = (name: string, { count, values }: Background["background"]) =>
    `  ${name.padEnd(12)}${String(count).padStart(9)}` +
    values.map((value) => (Number.isNaN(value) ? "-" : value.toPrecision(3)).padStart(8)).join("");
  return [
    `${images.length} images, ${size[0]} x ${size[1]} locations each; δ = ${
      Number(delta.toPrecision(4))
    }`,
    `background: ${(100 * selected).toFixed(1)} % of the locations`,
    "",
    `  ${"norms".padEnd(12)}${"locations".padStart(9)}${head}`,
    row("background", background),
    row("elsewhere", foreground),
    "",
    `suggested μ = ${margin}`,
  ].join("\n");
}

const SHADES = " ░▒▓█";

/** One image's locations: dark where the true class is sure, dots where it is background. */
function drawMap(found: Background, at: number, images: OpenLbfImages): string {
  const { index, probabilities } = found.images[at]!;
  const [height, width] = found.size;
  const rows = Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => {
      const p = probabilities[y * width + x]!;
      if (p < found.delta) return "· ";
      const shade = SHADES[Math.min(SHADES.length - 1, 1 + Math.floor(p * (SHADES.length - 1)))]!;
      return shade + shade;
    }).join(""));
  return [
    `${images.names[index]} (· is background, darker is surer of the label)`,
    ...rows.map((row) => `  ${row}`),
  ].join("\n");
}
