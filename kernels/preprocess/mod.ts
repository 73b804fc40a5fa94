/**
 * Images to a model's input: resize as PIL does, centre crop, normalise, planes.
 *
 * @module
 */

export * from "./spec.ts";
