/**
 * ONNX classifiers, and parts of any graph, as networks that can be trained.
 *
 * @module
 */

export * from "./graph_network.ts";
export * from "./network.ts";
export * from "./options.ts";
