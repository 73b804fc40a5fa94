/**
 * `ood export`: a detector as one ONNX graph, alone or joined to its model.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { writeFileAtomic } from "../data/mod.ts";
import { exportDetector, exportJoined, loadDetector } from "../methods/mod.ts";
import { loadSidecar, readModel } from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { requireWritable } from "./_outputs.ts";

/** The command. */
export const exportCommand: Command = {
  name: "export",
  summary: "Write a detector as one ONNX graph: features to score, or image to logits and score",
  options: [
    { name: "detector", value: "FILE", help: "the detector", required: true },
    { name: "model", value: "FILE", help: "the model to join it to" },
    { name: "out", value: "FILE", help: "the ONNX file to write", required: true },
    { name: "with-features", help: "with --model: give the penultimate features too" },
  ],
  examples: [
    "ood export --detector energy.safetensors --model models/cifar10-resnet20.onnx --out joined.onnx",
  ],
  run: runExport,
};

async function runExport({ args, terminal }: CommandContext): Promise<void> {
  const [path, out] = [args.text("model"), args.need("out")];
  if (path === undefined && args.flag("with-features")) {
    throw new UsageError("The option --with-features needs --model: features come from a model");
  }
  await requireWritable(out);
  const detector = await loadDetector(args.need("detector"));
  if (path === undefined) {
    await writeFileAtomic(out, exportDetector(detector));
    terminal.note(`Wrote ${out}: ${detector.fitted.needs.join(", ")} to score`);
    return;
  }
  const expected = detector.metadata["model_hash"];
  const model = await readModel(path);
  const hash = createHash("sha256").update(await Deno.readFile(path)).digest("hex");
  if (expected !== undefined && expected !== hash) {
    throw new UserError(
      `Cannot join "${path}": the detector was fitted to features of another model, ` +
        `${detector.metadata["model"] ?? expected.slice(0, 12)}`,
    );
  }
  const sidecar = await loadSidecar(path);
  const joined = exportJoined(detector, model, {
    features: args.flag("with-features"),
    ...(sidecar === undefined ? {} : { sidecar }),
  });
  await writeFileAtomic(out, joined.bytes);
  const outputs = Object.values(joined.outputs).join(", ");
  terminal.note(`Wrote ${out}: ${joined.input} to ${outputs}`);
}
