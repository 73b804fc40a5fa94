/**
 * What onnxruntime-web says when it fails, as one sentence that names the node.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import type { OnnxModel } from "./model.ts";

/** The error of a model that onnxruntime cannot open, with the node that it cannot run. */
export function createError(error: unknown, model: OnnxModel): UserError {
  const message = messageOf(error);
  const unknown = /No Op registered for (\S+) with domain_version of (\d+)/.exec(message) ??
    /:(\w+)\(-?\d+\) is not a registered function/.exec(message);
  const opType = unknown?.[1];
  const node = model.graph.nodes.find((item) => item.opType === opType);
  if (node !== undefined) {
    const domain = node.domain === "" ? "" : ` of "${node.domain}"`;
    return new UserError(
      `Cannot open "${model.name}": node "${node.label}" uses the operator ${opType}${domain}, ` +
        `which onnxruntime-web does not have`,
      { cause: error },
    );
  }
  return new UserError(`Cannot open "${model.name}": onnxruntime-web says "${tidy(message)}"`, {
    cause: error,
  });
}

/** The error of a failed run, with the node that failed; wrong use of a session stays what it is. */
export function runError(error: unknown, name: string): Error {
  if (error instanceof TypeError || error instanceof ReferenceError) return error;
  const message = messageOf(error);
  const node = /while running (\S+) node\. Name:'([^']*)' Status Message: (.*)/s.exec(message);
  if (node !== null) {
    return new UserError(
      `Cannot run "${name}": node "${node[2]}" (${node[1]}) failed, "${tidy(node[3]!)}"`,
      { cause: error },
    );
  }
  return new UserError(`Cannot run "${name}": onnxruntime-web says "${tidy(message)}"`, {
    cause: error,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The message without codes, source lines and line breaks. */
function tidy(message: string): string {
  return message
    .replace(/^.*ERROR_MESSAGE: /s, "")
    .replace(/^\S+\.(h|cc):\d+ \S+ /, "")
    .replace(/\s+/g, " ")
    .trim()
    .replace(/[.!]$/, "");
}
