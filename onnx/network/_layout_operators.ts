/**
 * Operators that lay values out anew: other shapes, other orders of axes, values behind one another.
 *
 * @module
 */

import { concatChannels, reshape } from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import { shaped } from "./_arrange.ts";
import type { Compiler, Operator, Step } from "./_compiler.ts";
import { Layout } from "./_layout.ts";
import { dataInputs } from "./_part.ts";

/** Changes of layout. */
export const LAYOUT_OPERATORS: Readonly<Record<string, Operator>> = {
  Flatten: relayout,
  Reshape: relayout,
  Squeeze: relayout,
  Unsqueeze: relayout,
  Transpose: transpose,
  Concat: concat,
};

/** The same elements in the same order under another shape: nothing moves where memory allows it. */
export function relayout(node: OnnxNode, compiler: Compiler): Step {
  const [given] = node.inputs as [string];
  const [output] = node.outputs as [string];
  const to = compiler.shape(output, node);
  const from = compiler.layout(given, node);
  const kept = from.reshaped(to);
  if (kept !== undefined) return viewStep(compiler, { x: given, output, layout: kept });
  // Lengths that share no factors: the order of the graph, and no memory of what the axes were.
  const fixed = [from.axes, Layout.standard(to).axes].every(([first, ...rest]) =>
    first?.length === 1 && first[0]!.batch &&
    rest.flat().every(({ batch, size }) => !batch && size !== undefined)
  );
  const plain = Layout.inOrder(to);
  if (!fixed || plain.each !== from.each) {
    const shape = compiler.shape(given, node);
    throw compiler.refuse(
      node,
      `[${shape.join(", ")}] becomes [${
        to.join(", ")
      }], and the batch must stay an axis, or part ` +
        `of one, while all other lengths are known`,
    );
  }
  const x = compiler.arranged(given, from.axes.flat(), node);
  return viewStep(compiler, { x, output, layout: plain });
}

function viewStep(
  compiler: Compiler,
  { x, output, layout }: { readonly x: string; readonly output: string; readonly layout: Layout },
): Step {
  compiler.setLayout(output, layout);
  return {
    inputs: [x],
    output,
    view: true,
    run: ({ tape, value }) => {
      const given = value(x);
      return shaped(tape, given, layout.shape(given.value.size / layout.each));
    },
  };
}

function transpose(node: OnnxNode, compiler: Compiler): Step {
  const [x] = node.inputs as [string];
  const layout = compiler.layout(x, node);
  const order = node.ints("perm") ?? layout.axes.map((_, axis) => layout.rank - 1 - axis);
  return viewStep(compiler, { x, output: node.outputs[0]!, layout: layout.transposed(order) });
}

function concat(node: OnnxNode, compiler: Compiler): Step {
  const rank = compiler.shape(node.outputs[0]!, node).length;
  const axis = (node.int("axis", 1) + rank) % rank;
  if (axis === 0) throw compiler.refuse(node, "axis 0 is that of the batch");
  if (dataInputs(node, compiler.view).length !== node.inputs.length) {
    throw compiler.refuse(node, "constant parts are not supported");
  }
  const parts = node.inputs.map((input) => compiler.standard(input, node));
  const output = node.outputs[0]!;
  const layout = compiler.layout(output, node);
  // What lies behind the axis in memory stays together with it.
  const widths = parts.map((part) => compiler.layout(part, node).inside(axis));
  return {
    inputs: parts,
    output,
    run: ({ tape, value }) => {
      const maps = parts.map((part, i) => {
        const x = value(part);
        const isMap = x.shape.length === 4 && x.shape[3] === widths[i];
        return isMap ? x : reshape(tape, x, [x.value.size / widths[i]!, 1, 1, widths[i]!]);
      });
      const joined = concatChannels(tape, maps);
      return shaped(tape, joined, layout.shape(joined.value.size / layout.each));
    },
  };
}
