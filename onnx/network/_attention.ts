/**
 * Attention, as exporters write it.
 *
 * @module
 */

import type { OnnxNode } from "../node.ts";
import type { Compiler, Step } from "./_compiler.ts";

/** A product of two values. */
export function attention(node: OnnxNode, compiler: Compiler): Step | readonly Step[] {
  throw compiler.refuse(node, "products of two values are not supported");
}
