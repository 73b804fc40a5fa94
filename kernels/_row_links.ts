/**
 * Samples of one label as chains, so that one invocation can go through all of them and nobody else
 * writes where it writes.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../runtime/mod.ts";
import source from "./_row_links.wgsl" with { type: "text" };

const LINKS: Kernel = {
  name: "row_links",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: { begin: "u32", end: "u32", classes: "u32" },
};

/** Samples that are done together: each looks at the labels of all others. */
export const LINKED_SAMPLES = 4096;

/** Which samples are linked. */
export interface RowLinksOptions {
  /** The first one. */
  readonly begin: number;
  /** The one behind the last, at most {@linkcode LINKED_SAMPLES} further. */
  readonly end: number;
  /** Labels are 0 to one less; what has another is the first of nothing. */
  readonly classes: number;
  /** Invocations of a workgroup. */
  readonly workgroup: number;
}

/**
 * For each sample whether it is the first with its label, and the next one that has it, or -1.
 *
 * @param ctx The GPU; it owns the result.
 * @param labels i32 [N].
 * @param options Which samples.
 * @returns i32 [end - begin, 2], relative to `begin`.
 */
export function rowLinks(ctx: GpuContext, labels: Tensor, options: RowLinksOptions): Tensor {
  const { begin, end, classes, workgroup } = options;
  const links = ctx.empty([end - begin, 2], "i32", { label: "links" });
  ctx.dispatch(LINKS, {
    buffers: [labels, links],
    params: { begin, end, classes },
    workgroups: gridFor(end - begin, workgroup),
    overrides: { WORKGROUP: workgroup },
  });
  return links;
}
