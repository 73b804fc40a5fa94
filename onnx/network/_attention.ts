/**
 * Attention, as exporters write it: a product of queries and keys, a factor, a softmax, and a product
 * with values; with or without heads.
 *
 * @module
 */

import { matmul, raggedAttention, reshape, softmax, type Variable } from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import { shaped } from "./_arrange.ts";
import type { Compiler, Step } from "./_compiler.ts";
import { type Factor, Layout, product } from "./_layout.ts";

/** The nodes of an attention, from the product of queries and keys to that with values. */
interface Chain {
  /** What the scores are multiplied by before the softmax. */
  readonly scale: number;
  /** Whether keys stand as a product of matrices wants them, with the columns first. */
  readonly transposed: boolean;
  /** All but the last node. */
  readonly nodes: readonly OnnxNode[];
  /** The product with values. */
  readonly last: OnnxNode;
}

/** A product of two values: that of queries and keys, or that of weights and values. */
export function attention(node: OnnxNode, compiler: Compiler): Step | readonly Step[] {
  const deferred = compiler.deferred(node);
  if (deferred !== undefined) return deferred();
  const chain = chainOf(node, compiler);
  if (chain === undefined) return productStep(node, compiler);
  for (const taken of chain.nodes) compiler.take(taken, taken.outputs[0]!);
  compiler.defer(chain.last, () => attentionStep(node, compiler, chain));
  return [];
}

function chainOf(node: OnnxNode, compiler: Compiler): Chain | undefined {
  const nodes = [node];
  const transposed = node.opType === "MatMul";
  if (!transposed && !BY_ROWS_REGEXP.test(equationOf(node))) return undefined;
  let scale = 1;
  let soft = false;
  for (;;) {
    const [value] = nodes.at(-1)!.outputs as [string];
    const reader = compiler.onlyReader(value);
    if (reader === undefined || reader.domain !== "") return undefined;
    if (reader.opType === "MatMul" || reader.opType === "Einsum") {
      const mixes = reader.opType === "MatMul" || MIXES_REGEXP.test(equationOf(reader));
      const fits = soft && mixes && reader.inputs[0] === value;
      return fits ? { scale, transposed, nodes, last: reader } : undefined;
    }
    const factor = soft ? undefined : factorOf(reader, compiler, value);
    if (factor !== undefined) scale *= factor;
    else if (reader.opType === "Softmax" && !soft && isOverLast(reader, compiler)) soft = true;
    else if (reader.opType !== "Cast" && reader.opType !== "Identity") return undefined;
    nodes.push(reader);
  }
}

/** Products of rows with rows, and of a matrix with a matrix, the same letters before both. */
const BY_ROWS_REGEXP = /^(\w+)(\w)(\w),\1(\w)\3->\1\2\4$/;
const MIXES_REGEXP = /^(\w+)(\w)(\w),\1\3(\w)->\1\2\4$/;

function equationOf(node: OnnxNode): string {
  return node.string("equation", "").replaceAll(" ", "");
}

/** What a node multiplies scores by; 1 for one that adds nothing. */
function factorOf(node: OnnxNode, compiler: Compiler, value: string): number | undefined {
  const other = node.inputs.length === 2 ? compiler.otherNumber(node, value) : undefined;
  if (other === undefined) return undefined;
  switch (node.opType) {
    case "Mul":
      return other;
    case "Div":
      return node.inputs[0] === value ? 1 / other : undefined;
    case "Add":
      return other === 0 ? 1 : undefined;
    default:
      return undefined;
  }
}

function isOverLast(softmax: OnnxNode, compiler: Compiler): boolean {
  const rank = compiler.shape(softmax.inputs[0]!, softmax).length;
  const axis = softmax.int("axis", compiler.opset < 13 ? 1 : -1);
  return axis === -1 || axis === rank - 1;
}

/** The factors of an operand: lists and heads, what is matched or mixed, and the columns of a head. */
interface Operand {
  readonly batch: Factor;
  /** Lengths of heads before and behind the batch in the order of the graph. */
  readonly heads: readonly [before: readonly Factor[], behind: readonly Factor[]];
  readonly tokens: readonly Factor[];
  readonly columns: readonly Factor[];
}

function operandOf(layout: Layout, { transposed }: { readonly transposed: boolean }):
  | Operand
  | undefined {
  const { axes } = layout;
  if (axes.length < 3) return undefined;
  const outer = axes.slice(0, -2).flat();
  const at = outer.findIndex(({ batch }) => batch);
  if (at < 0) return undefined;
  const [first, second] = axes.slice(-2) as [readonly Factor[], readonly Factor[]];
  return {
    batch: outer[at]!,
    heads: [outer.slice(0, at), outer.slice(at + 1)],
    tokens: transposed ? second : first,
    columns: transposed ? first : second,
  };
}

/** A product of two values by itself. */
function productStep(node: OnnxNode, compiler: Compiler): Step {
  const [left, right] = node.inputs as [string, string];
  const [output] = node.outputs as [string];
  const byRows = node.opType === "Einsum" && BY_ROWS_REGEXP.test(equationOf(node));
  if (node.opType === "Einsum" && !byRows && !MIXES_REGEXP.test(equationOf(node))) {
    throw compiler.refuse(node, `the equation "${equationOf(node)}" is not supported`);
  }
  const [a, b] = [compiler.layout(left, node), compiler.layout(right, node)];
  const outer = [a, b].map(({ axes }) => axes.slice(0, -2).flat());
  const [m, k] = a.axes.slice(-2) as [readonly Factor[], readonly Factor[]];
  const [first, second] = b.axes.slice(-2) as [readonly Factor[], readonly Factor[]];
  const [inner, columns] = byRows ? [second, first] : [first, second];
  const sizes = outer.map((factors) =>
    // Lengths that are split in other ways are compared around the batch.
    [0, 1].map((side) => {
      const at = factors.findIndex(({ batch }) => batch);
      return at < 0 ? NaN : product(side === 0 ? factors.slice(0, at) : factors.slice(at + 1));
    }).join(" ")
  );
  const fits = a.rank > 2 && a.rank === b.rank && sizes[0] === sizes[1] &&
    product(k!) === product(inner!) && !Number.isNaN(a.each * b.each);
  if (!fits) {
    const shapes = node.inputs.map((name) => `[${compiler.shape(name, node).join(", ")}]`);
    throw compiler.refuse(
      node,
      `${shapes.join(" and ")} are multiplied, and stacks of as many matrices were expected`,
    );
  }
  // Rows that lie side by side are multiplied as they are.
  const transposeB = inner!.includes(b.memory.at(-1)!);
  const end = transposeB ? [...columns!, ...inner!] : [...inner!, ...columns!];
  const inputs = [
    compiler.arranged(left, [...outer[0]!, ...m!, ...k!], node),
    compiler.arranged(right, [...outer[1]!, ...end], node),
  ];
  const layout = new Layout([...outer[0]!, ...m!, ...columns!], [
    ...a.axes.slice(0, -1),
    columns!,
  ]);
  compiler.setLayout(output, layout);
  const [rows, depth, width] = [m!, k!, columns!].map(product) as [number, number, number];
  return {
    inputs,
    output,
    run: ({ tape, value }) => {
      const [x, y] = inputs.map(value) as [Variable, Variable];
      const n = x.value.size / a.each;
      const count = x.value.size / rows / depth;
      const stack = shaped(tape, x, [count, rows, depth]);
      const other = shaped(tape, y, transposeB ? [count, width, depth] : [count, depth, width]);
      return shaped(tape, matmul(tape, stack, other, { transposeB }), layout.shape(n));
    },
  };
}

/** Softmax over the last axis. */
export function softmaxStep(node: OnnxNode, compiler: Compiler): Step {
  const [given] = node.inputs as [string];
  const layout = compiler.layout(given, node);
  const length = layout.length(layout.rank - 1);
  if (!isOverLast(node, compiler) || length === undefined || Number.isNaN(length)) {
    throw compiler.refuse(node, "only the last axis, whose length is known, is supported");
  }
  const x = layout.isLast(layout.rank - 1)
    ? given
    : compiler.arranged(given, layout.axes.flat(), node);
  compiler.sameLayout(node.outputs[0]!, x, node);
  return {
    inputs: [x],
    output: node.outputs[0]!,
    run: ({ tape, value }) => {
      const rows = value(x);
      const matrix = shaped(tape, rows, [rows.value.size / length, length]);
      return shaped(tape, softmax(tape, matrix), rows.shape);
    },
  };
}

/** Lists one behind the other, the heads of a token side by side. */
function memoryOf({ batch, heads, tokens, columns }: Operand): Factor[] {
  return [batch, ...tokens, ...heads.flat(), ...columns];
}

function attentionStep(
  node: OnnxNode,
  compiler: Compiler,
  { scale, transposed, last }: Chain,
): Step {
  const names = [...node.inputs, last.inputs[1]!] as [string, string, string];
  const layouts = names.map((name) => compiler.layout(name, node));
  const operands = layouts.map((layout, i) =>
    operandOf(layout, { transposed: transposed && i === 1 })
  );
  const [q, k, v] = operands as [Operand, Operand, Operand];
  const counts = ({ heads }: Operand) => heads.map(product).join(" ");
  const fits = operands.every((operand) => operand !== undefined) &&
    counts(q) === counts(k) && counts(q) === counts(v) &&
    product(q.columns) === product(k.columns) && product(q.columns) === product(v.columns) &&
    product(k.tokens) === product(v.tokens) &&
    layouts.every(({ each }) => !Number.isNaN(each));
  if (!fits) {
    const shapes = names.map((name) => `[${compiler.shape(name, node).join(", ")}]`);
    throw compiler.refuse(
      node,
      `queries ${shapes[0]}, keys ${shapes[1]} and values ${shapes[2]} do not make an attention ` +
        `of lists with as many heads and columns`,
    );
  }
  const inputs = names.map((name, i) => compiler.arranged(name, memoryOf(operands[i]!), node));
  const [output] = last.outputs as [string];
  const axes = [...layouts[0]!.axes];
  const layout = new Layout(memoryOf(q), axes);
  compiler.setLayout(output, layout);
  const heads = product(q.heads.flat());
  const width = heads * product(q.columns);
  const [length, keys] = [product(q.tokens), product(k.tokens)];
  return {
    inputs,
    output,
    run: ({ tape, value, offsets }) => {
      const [rows, keyRows, mixed] = inputs.map((name) => {
        const x = value(name);
        return shaped(tape, x, [x.value.size / width, width]);
      });
      const lists = rows!.shape[0]! / length;
      const y = raggedAttention(tape, { q: rows!, k: keyRows!, v: mixed! }, {
        offsets: offsets(lists, length),
        keyOffsets: keys === length ? undefined : offsets(lists, keys),
        heads,
        maxLength: length,
        maxKeys: keys,
        scale,
      });
      return reshape(tape, y, layout.shape(lists));
    },
  };
}
