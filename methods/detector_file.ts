/**
 * Saving detectors to files and loading them.
 *
 * @module
 */

import {
  type SafetensorsDType,
  SafetensorsFile,
  type SafetensorsSpec,
  SafetensorsWriter,
} from "../data/mod.ts";
import {
  DTYPES,
  FORMAT,
  FORMAT_VERSION,
  readDetector,
  SCORES_KEY,
  STATE_PREFIX,
} from "./_detector_format.ts";
import type { Detector } from "./detector.ts";
import { DETECTOR_METHODS } from "./detector_methods.ts";
import type { ScoreMethod, StateArray } from "./score.ts";

/**
 * Saves a detector as a safetensors file, atomically. Arrays in parts are written part by part.
 *
 * @param detector The detector.
 * @param path The file; an existing one is replaced.
 * @throws {UserError} When the file cannot be written.
 *
 * @example There and back
 * ```ts
 * import { Detector, loadDetector, msp, saveDetector } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await msp.fit({ train, context: new Host() });
 * const folder = await Deno.makeTempDir();
 * await saveDetector(new Detector(fitted), `${folder}/d.safetensors`);
 * const detector = await loadDetector(`${folder}/d.safetensors`);
 * assertEquals(detector.fitted.method.name, "msp");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveDetector(detector: Detector, path: string): Promise<void> {
  const { fitted, calibration } = detector;
  const { arrays } = fitted.state();
  const specs: Record<string, SafetensorsSpec> = {};
  for (const [name, array] of Object.entries(arrays)) {
    specs[STATE_PREFIX + name] = { dtype: dtypeOf(array), shape: array.shape };
  }
  if (calibration !== undefined) {
    specs[SCORES_KEY] = { dtype: "F32", shape: [calibration.scores.length] };
  }
  await using writer = await SafetensorsWriter.open(path, specs, metadataOf(detector));
  for (const [name, array] of Object.entries(arrays)) {
    for (const part of array.parts) await writer.append(STATE_PREFIX + name, part);
  }
  if (calibration !== undefined) await writer.append(SCORES_KEY, calibration.scores);
  await writer.finish();
}

function metadataOf(detector: Detector): Record<string, string> {
  const { fitted, calibration, metadata } = detector;
  const written: Record<string, string> = {
    ...metadata,
    format: FORMAT,
    "format_version": String(FORMAT_VERSION),
    method: fitted.method.name,
    parameters: JSON.stringify(fitted.parameters),
    inputs: JSON.stringify(fitted.inputs),
    warnings: JSON.stringify(fitted.warnings),
  };
  if (calibration !== undefined) {
    const { scores: _, ...numbers } = calibration;
    written["calibration"] = JSON.stringify(numbers);
  }
  return written;
}

function dtypeOf(array: StateArray): SafetensorsDType {
  return DTYPES.get(array.parts[0]?.constructor.name ?? "Float32Array") ?? "F32";
}

/**
 * Loads a detector.
 *
 * @param path A file from {@linkcode saveDetector}.
 * @param options `methods`: the scores that it may be of; all known ones by default.
 * @returns The detector; its scores are the same to the last bit.
 * @throws {UserError} When the file is missing, damaged, no detector, or of an unknown score.
 *
 * @example A file that is no detector
 * ```ts
 * import { loadDetector } from "@oodgpu/oodgpu/methods";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => loadDetector("no-such-file.safetensors"), Error, "no-such-file");
 * ```
 */
export async function loadDetector(
  path: string,
  options: { readonly methods?: readonly ScoreMethod[] } = {},
): Promise<Detector> {
  await using file = await SafetensorsFile.open(path);
  return await readDetector({
    name: path,
    metadata: file.header.metadata,
    entries: file.header.entries,
    rows: (name, range) => file.readRows(name, range),
    whole: (name) => file.read(name),
  }, options.methods ?? DETECTOR_METHODS);
}
