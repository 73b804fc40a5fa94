/**
 * The ONNX file format: messages as plain objects, read and written without loss.
 *
 * @module
 */

export * from "./codec.ts";
export * from "./schema.ts";
