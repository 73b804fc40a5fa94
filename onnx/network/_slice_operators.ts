/**
 * Operators that take parts of values, and those that repeat a constant for the whole batch.
 *
 * @module
 */

import { repeatRows, reshape, sliceChannels } from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import { shaped } from "./_arrange.ts";
import type { Compiler, Operator, Step } from "./_compiler.ts";
import { Layout, product } from "./_layout.ts";

/** Parts of values, and constants for the whole batch. */
export const SLICE_OPERATORS: Readonly<Record<string, Operator>> = {
  Slice: slice,
  Split: split,
  Gather: gather,
  Expand: expand,
};

/** A range of one axis. */
interface Range {
  readonly x: string;
  readonly axis: number;
  readonly begin: number;
  readonly end: number;
  readonly output: string;
  /** Whether the axis, of length 1 then, is left out. */
  readonly drops?: boolean;
}

function sliceStep(node: OnnxNode, compiler: Compiler, range: Range): Step {
  const { axis, begin, end, output, drops = false } = range;
  const given = compiler.layout(range.x, node);
  const length = given.length(axis);
  if (length === undefined || !(begin >= 0 && begin < end && end <= length)) {
    throw compiler.refuse(
      node,
      `elements ${begin} to ${end} of axis ${axis} of [${
        compiler.shape(range.x, node).join(", ")
      }] are taken, and an axis without the batch must hold them`,
    );
  }
  const x = given.isWhole(axis) ? range.x : compiler.arranged(range.x, given.axes.flat(), node);
  const from = compiler.layout(x, node);
  const kept = from.withLength(axis, end - begin);
  const layout = drops ? kept.without(axis) : kept;
  compiler.setLayout(output, layout);
  const behind = from.behind(axis);
  const width = length * behind;
  return {
    inputs: [x],
    output,
    run: ({ tape, value }) => {
      const rows = value(x);
      const n = rows.value.size / from.each;
      if (end - begin === length) return shaped(tape, rows, layout.shape(n));
      const maps = reshape(tape, rows, [rows.value.size / width, 1, 1, width]);
      const part = sliceChannels(tape, maps, { begin: begin * behind, end: end * behind });
      return reshape(tape, part, layout.shape(n));
    },
    // What takes all of an axis moves nothing.
    view: end - begin === length,
  };
}

function axisOf(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

function slice(node: OnnxNode, compiler: Compiler): readonly Step[] {
  const [x] = node.inputs as [string];
  const { rank } = compiler.layout(x, node);
  const starts = compiler.known(node, { attribute: "starts", input: 1 }) ?? [];
  const ends = compiler.known(node, { attribute: "ends", input: 2 }) ?? [];
  const axes = compiler.known(node, { attribute: "axes", input: 3 }) ?? starts.map((_, i) => i);
  const steps = compiler.known(node, { attribute: "steps", input: 4 }) ?? [];
  if (steps.some((step) => step !== 1)) {
    throw compiler.refuse(node, `the steps are [${steps.join(", ")}], and only 1 is supported`);
  }
  const made: Step[] = [];
  let from = x;
  axes.forEach((item, i) => {
    const axis = axisOf(item, rank);
    const length = compiler.layout(from, node).length(axis);
    const place = (at: number) =>
      length === undefined ? NaN : Math.min(Math.max(at < 0 ? at + length : at, 0), length);
    const [begin, end] = [place(starts[i]!), place(ends[i]!)];
    const output = i === axes.length - 1 ? node.outputs[0]! : `${node.outputs[0]} by ${axis}`;
    made.push(sliceStep(node, compiler, { x: from, axis, begin, end, output }));
    from = output;
  });
  return made;
}

function split(node: OnnxNode, compiler: Compiler): readonly Step[] {
  const [x] = node.inputs as [string];
  const { rank } = compiler.layout(x, node);
  const axis = axisOf(node.int("axis", 0), rank);
  const parts = node.outputs.map((output) => compiler.shape(output, node)[axis]);
  let begin = 0;
  return parts.flatMap((length, i) => {
    if (typeof length !== "number") {
      throw compiler.refuse(node, `the length of "${node.outputs[i]}" is not known`);
    }
    const range = { x, axis, begin, end: begin + length, output: node.outputs[i]! };
    begin += length;
    const read = compiler.readers(range.output).length > 0 || compiler.isKept(range.output);
    return read ? [sliceStep(node, compiler, range)] : [];
  });
}

/** One element of an axis. */
function gather(node: OnnxNode, compiler: Compiler): Step {
  const [x] = node.inputs as [string];
  const { rank } = compiler.layout(x, node);
  const axis = axisOf(node.int("axis", 0), rank);
  const indices = compiler.known(node, { attribute: "", input: 1 });
  const length = compiler.layout(x, node).length(axis);
  if (indices?.length !== 1 || length === undefined) {
    throw compiler.refuse(
      node,
      "only one element, which a constant names, of an axis without the batch is supported; begin " +
        "behind the look-up of a table",
    );
  }
  const begin = axisOf(indices[0]!, length);
  const drops = compiler.shape(node.inputs[1]!, node).length === 0;
  return sliceStep(node, compiler, {
    x,
    axis,
    begin,
    end: begin + 1,
    output: node.outputs[0]!,
    drops,
  });
}

/** A constant for each element of the batch, such as a class token. */
function expand(node: OnnxNode, compiler: Compiler): Step {
  const [name] = node.inputs as [string];
  const [output] = node.outputs as [string];
  const constant = compiler.view.constant(name);
  const to = compiler.shape(output, node);
  const layout = Layout.inOrder(to);
  const lead = to.length - (constant?.shape.length ?? 0);
  const fits = constant !== undefined && lead >= 0 &&
    to.slice(1).every((length, i) => length === (constant.shape[i + 1 - lead] ?? 1)) &&
    (lead > 0 || constant.shape[0] === 1);
  if (!fits) {
    throw compiler.refuse(
      node,
      `[${compiler.shape(name, node).join(", ")}] becomes [${
        to.join(", ")
      }], and only a constant that is repeated for the batch is supported`,
    );
  }
  const count = product(layout.axes.slice(1).flat());
  const use = { node, layout: "same", shape: [count] } as const;
  const parameter = compiler.weights.parameter(name, use);
  compiler.setLayout(output, layout);
  return {
    inputs: [],
    output,
    run: (run) => {
      const row = reshape(run.tape, run.parameter(parameter), [1, count]);
      return shaped(
        run.tape,
        repeatRows(run.tape, row, { times: run.batch }),
        layout.shape(run.batch),
      );
    },
  };
}
