/**
 * `ood fit`: features to a detector file.
 *
 * @module
 */

import { requireCompatible } from "../data/mod.ts";
import {
  describeParameters,
  type Detector,
  findScore,
  fitDetector,
  requireSameSource,
  saveDetector,
} from "../methods/mod.ts";
import { asUsage } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import { ACCEPTANCE_OPTION, acceptanceOf, calibrateOn } from "./calibrate.ts";
import { parametersOf, SCORE_NAMES, VALIDATED_NAMES } from "./_named.ts";
import { requireWritable } from "./_outputs.ts";
import { OpenSets } from "./_sets.ts";

/** The command. */
export const fitCommand: Command = {
  name: "fit",
  summary: "Fit one score and save it as a detector",
  details: "With --id the detector is calibrated at once, as `ood calibrate` does.",
  options: [
    { name: "method", value: "NAME", help: `the score: ${SCORE_NAMES}`, required: true },
    { name: "train", value: "FILE", help: "features of the training set", required: true },
    {
      name: "val",
      value: "FILE",
      help: `in-distribution validation features, for ${VALIDATED_NAMES}`,
    },
    { name: "id", value: "FILE", help: "in-distribution features to calibrate on" },
    ACCEPTANCE_OPTION,
    { name: "out", value: "FILE", help: "the detector to write", required: true },
    {
      name: "param",
      value: "METHOD.NAME=VALUE",
      help: "set a parameter, for example knn.k=50",
      multiple: true,
    },
    { name: "seed", value: "N", help: "seed of the fit", default: "0" },
    DEVICE_OPTION,
    VARIANT_OPTION,
  ],
  examples: [
    "ood fit --method energy --train train.safetensors --id val.safetensors --out energy.safetensors",
  ],
  run: runFit,
};

async function runFit({ args, terminal, signal }: CommandContext): Promise<void> {
  const method = asUsage(() => findScore(args.need("method")));
  const parameters = parametersOf(args.all("param"), [method])[method.name] ?? {};
  const acceptance = acceptanceOf(args);
  const seed = args.number("seed", { minimum: 0, maximum: 2 ** 32 - 1, integer: true })!;
  await requireWritable(args.need("out"));
  await using open = new OpenSets();
  const train = await open.open(args.need("train"));
  const [valPath, idPath, out] = [args.text("val"), args.text("id"), args.need("out")];
  const validation = valPath === undefined ? undefined : await open.open(valPath);
  const id = idPath === undefined ? undefined : await open.open(idPath);
  requireCompatible(train, [validation, id].filter((set) => set !== undefined));
  using executor = await openExecutor(args, terminal);
  using progress = terminal.progress(`fit ${method.name}`, train.count, { unit: "images" });
  let detector: Detector = await fitDetector(method, {
    train,
    ...(validation === undefined ? {} : { validation }),
    parameters,
    seed,
    context: executor.context,
    onProgress: ({ done, total }) => {
      signal.throwIfAborted();
      progress.update(done, total);
    },
  });
  progress.finish();
  detector.fitted.warnings.forEach((warning) => terminal.note(`Note: ${warning}`));
  if (id !== undefined) {
    requireSameSource(detector, id);
    detector = await calibrateOn(id, detector, { acceptance, executor, terminal, signal });
  }
  await saveDetector(detector, out);
  const values = Object.entries(describeParameters(method, detector.fitted.parameters))
    .map(([name, value]) => `${name} ${value}`);
  terminal.note(
    `Wrote ${out}: ${method.title}${values.length === 0 ? "" : ` with ${values.join(", ")}`}, ` +
      `fitted to ${train.count} images`,
  );
}
