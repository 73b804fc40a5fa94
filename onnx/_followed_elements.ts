/**
 * Following the elements of small integer values, so that shapes which a graph computes become
 * known: from Shape through arithmetic to Reshape.
 *
 * @module
 */

import { type KnownValues, MAX_SHAPE_LENGTH, type OpenShape } from "./_known_values.ts";
import { wrap } from "./_shape_math.ts";
import type { OnnxNode } from "./node.ts";
import { ELEMENT_TYPES } from "./proto/mod.ts";
import type { Dimension } from "./value_info.ts";

const ARITHMETIC: ReadonlyMap<string, (x: number, y: number) => number> = new Map([
  ["Add", (x, y) => x + y],
  ["Sub", (x, y) => x - y],
  ["Mul", (x, y) => x * y],
  ["Div", (x, y) => Math.trunc(x / y)],
]);

/** The elements of a node's output, when it computes on shapes. */
export function followedElements(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  switch (node.opType) {
    case "Shape":
      return shapeRange(node, known);
    case "Cast":
      return node.int("to", 0) === ELEMENT_TYPES.f32 ? undefined : known.ints(node.inputs[0]);
    case "Identity":
    case "Squeeze":
    case "Unsqueeze":
    case "Reshape":
      return known.ints(node.inputs[0]);
    case "ConstantOfShape":
      return filled(node, known);
    case "Equal":
      return compared(node, known);
    case "Where":
      return selected(node, known);
    case "Gather":
      return gathered(node, known);
    case "Slice":
      return sliced(node, known);
    case "Concat":
      return concatenated(node, known);
    default:
      return calculated(node, known);
  }
}

function shapeRange(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const end = node.has("end") ? node.int("end", 0) : undefined;
  return known.shape(node.inputs[0])?.slice(node.int("start", 0), end);
}

function gathered(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const data = known.ints(node.inputs[0]);
  const indices = known.numbers(node.inputs[1]);
  if (data === undefined || node.int("axis", 0) !== 0) return undefined;
  return indices?.map((index) => data[wrap(index, data.length)] ?? "?");
}

function sliced(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const start = known.list(node, { attribute: "starts", input: 1 })?.[0];
  const end = known.list(node, { attribute: "ends", input: 2 })?.[0];
  const step = known.numbers(node.inputs[4])?.[0] ?? 1;
  if (start === undefined || end === undefined || step !== 1) return undefined;
  return known.ints(node.inputs[0])?.slice(start, end);
}

function concatenated(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const parts = node.inputs.map((input) => known.ints(input) ?? openElements(input, known));
  return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
}

function filled(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const [length, ...rest] = known.numbers(node.inputs[0]) ?? [];
  if (length === undefined || rest.length > 0 || length > MAX_SHAPE_LENGTH) return undefined;
  const value = Number(node.tensor("value")?.data[0] ?? 0);
  return Array.from({ length }, () => value);
}

/** Ones where lengths are equal, zeros where they are not; an open length is no number below 0. */
function compared(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const [a, b] = node.inputs.map((input) => known.ints(input));
  if (a === undefined || b === undefined) return undefined;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i): Dimension => {
    const [x, y] = [at(a, i), at(b, i)];
    if (typeof x === "number" && typeof y === "number") return x === y ? 1 : 0;
    if (x === y && x !== "?") return 1;
    return [x, y].some((length) => typeof length === "number" && length < 0) ? 0 : "?";
  });
}

function selected(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const [condition, a, b] = node.inputs.map((input) => known.ints(input));
  if (condition === undefined || a === undefined || b === undefined) return undefined;
  const length = Math.max(condition.length, a.length, b.length);
  return Array.from({ length }, (_, i): Dimension => {
    const chosen = at(condition, i);
    return chosen === "?" ? "?" : at(chosen === 0 ? b : a, i);
  });
}

function at(list: OpenShape, i: number): Dimension {
  return list[list.length === 1 ? 0 : i] ?? "?";
}

/** A list of known length of which no element is known. */
function openElements(value: string, known: KnownValues): OpenShape | undefined {
  const [length = 1, ...rest] = known.shape(value) ?? ["?"];
  if (typeof length !== "number" || rest.length > 0) return undefined;
  return Array.from({ length }, () => "?");
}

function calculated(node: OnnxNode, known: KnownValues): OpenShape | undefined {
  const operation = ARITHMETIC.get(node.opType);
  if (operation === undefined) return undefined;
  const a = known.ints(node.inputs[0]);
  const b = known.ints(node.inputs[1]);
  if (a === undefined || b === undefined) return undefined;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i): Dimension => {
    const [x, y] = [at(a, i), at(b, i)];
    if (typeof x === "number" && typeof y === "number") return operation(x, y);
    // A batch times or by one is the batch.
    const isFactor = node.opType === "Mul" || node.opType === "Div";
    return isFactor && y === 1 ? x : node.opType === "Mul" && x === 1 ? y : "?";
  });
}
