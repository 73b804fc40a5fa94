/**
 * Free metadata of a model: strings by key that travel with the file.
 *
 * @module
 */

import { OnnxModel } from "./model.ts";

/**
 * The same model with metadata added; a key that is there already gets the new value.
 *
 * @param model The model.
 * @param entries Strings by key.
 * @returns A model that shares everything else with the one given.
 *
 * @example A note in the file
 * ```ts
 * import { metadataOf, readModel, withMetadata } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * assertEquals(metadataOf(withMetadata(model, { author: "me" })).get("author"), "me");
 * ```
 */
export function withMetadata(
  model: OnnxModel,
  entries: Readonly<Record<string, string>>,
): OnnxModel {
  const kept = model.proto.metadataProps.filter(({ key }) => !Object.hasOwn(entries, key ?? ""));
  const added = Object.entries(entries).map(([key, value]) => ({ key, value }));
  return new OnnxModel(
    { ...model.proto, metadataProps: [...kept, ...added] },
    { name: model.name },
  );
}

/**
 * A model's metadata.
 *
 * @param model The model.
 * @returns Strings by key.
 *
 * @example A model without a note
 * ```ts
 * import { metadataOf, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * assertEquals(metadataOf(model).has("oodgpu.lbf"), false);
 * ```
 */
export function metadataOf(model: OnnxModel): ReadonlyMap<string, string> {
  return new Map(model.proto.metadataProps.map(({ key, value }) => [key ?? "", value ?? ""]));
}
