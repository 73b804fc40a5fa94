/**
 * ONNX classifiers as networks that can be trained.
 *
 * @module
 */

export * from "./network.ts";
export * from "./options.ts";
