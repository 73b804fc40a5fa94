/**
 * Operators with windows: convolutions, poolings, padding.
 *
 * @module
 */

import {
  averagePool2d,
  conv2d,
  globalAveragePool,
  maxPool2d,
  pad2d,
  reshape,
  Variable,
} from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import type { AddedBias, Compiler, Operator, Run, Step } from "./_compiler.ts";
import { movesOf, normStep } from "./_norms.ts";
import { toEngine } from "./_weights.ts";

/** Convolutions, poolings, padding. */
export const WINDOW_OPERATORS: Readonly<Record<string, Operator>> = {
  Conv: convolution,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalMaxPool,
  ReduceMean: reduceMean,
  Pad: pad,
};

type Sides = readonly [top: number, left: number, bottom: number, right: number];

const NO_PADDING: Sides = [0, 0, 0, 0];

function convolution(node: OnnxNode, compiler: Compiler): Step | readonly Step[] {
  const [x, kernel, offset] = node.inputs as [string, string, string?];
  compiler.requireMap(x, node);
  const dims = compiler.constant(node, 1)?.shape ?? [];
  if (dims.length !== 4) throw compiler.refuse(node, "the kernel is not [O, C, H, W]");
  const [outputs, channels, height, width] = dims as [number, number, number, number];
  const groups = node.int("group", 1);
  if (channels * groups !== compiler.channels(x, node)) {
    throw compiler.refuse(
      node,
      `the kernel [${dims.join(", ")}] in ${groups} groups does not fit "${x}"`,
    );
  }
  const windows = windowsOf(node, compiler, [height, width]);
  const shape = [outputs, height, width, channels];
  const weight = compiler.weights.parameter(kernel, { node, layout: "channels-last", shape });
  const output = node.outputs[0]!;
  const added: AddedBias = offset ? { bias: offset, output } : compiler.withBias(output, outputs);
  const { stride, dilation } = windows;
  const geometry = (input: Variable) => ({
    stride,
    dilation,
    groups,
    padding: windows.padding(input),
  });
  if (compiler.takesNorm(node, added.output)) {
    const norm = compiler.weights.norm(node, {
      kernel: weight,
      channels: outputs,
      type: compiler.view.info(kernel)?.type ?? "f32",
      bias: added.place ?? { node, input: 2 },
      // Behind statistics of the batch the length of a filter changes nothing but how far a step
      // turns it: by its square. Folding has left lengths that training would not have.
      evened: movesOf(compiler.options).moves,
    });
    // Behind statistics of the batch a bias has no effect; β learns in its place.
    const still = compiler.weights.constant(toEngine(norm.offset));
    const convolve = (run: Run) => {
      const input = run.value(x);
      const bias = new Variable(run.constant(still));
      return conv2d(run.tape, input, { weight: run.parameter(weight), bias }, geometry(input));
    };
    return [
      { inputs: [x], output: norm.between, run: convolve },
      normStep(norm, compiler, compiler.withRelu(added.output)),
    ];
  }
  const bias = added.bias === undefined ? undefined : compiler.weights.parameter(added.bias, {
    node,
    layout: "same",
    shape: [outputs],
  });
  const { output: last, activation } = compiler.withRelu(added.output);
  return {
    inputs: [x],
    output: last,
    run: (run) => {
      const input = run.value(x);
      return conv2d(run.tape, input, {
        weight: run.parameter(weight),
        bias: bias === undefined ? undefined : run.parameter(bias),
      }, { ...geometry(input), activation });
    },
  };
}

interface Windows {
  readonly stride: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly padding: (x: Variable) => Sides;
}

function windowsOf(
  node: OnnxNode,
  compiler: Compiler,
  kernel: readonly [number, number],
): Windows {
  const stride = pairOf(node, compiler, "strides");
  const dilation = pairOf(node, compiler, "dilations");
  const auto = node.string("auto_pad", "NOTSET");
  if (auto === "SAME_UPPER" || auto === "SAME_LOWER") {
    const along = (length: number, axis: 0 | 1): readonly [number, number] => {
      const reach = dilation[axis] * (kernel[axis] - 1) + 1;
      const places = Math.ceil(length / stride[axis]);
      const total = Math.max(0, (places - 1) * stride[axis] + reach - length);
      const less = Math.floor(total / 2);
      return auto === "SAME_UPPER" ? [less, total - less] : [total - less, less];
    };
    const padding = ({ shape }: Variable): Sides => {
      const [top, bottom] = along(shape[1]!, 0);
      const [left, right] = along(shape[2]!, 1);
      return [top, left, bottom, right];
    };
    return { stride, dilation, padding };
  }
  const pads = auto === "VALID" ? NO_PADDING : node.ints("pads") ?? NO_PADDING;
  if (pads.length !== 4 || pads.some((pad) => pad < 0)) {
    throw compiler.refuse(node, `the padding is [${pads.join(", ")}]`);
  }
  const sides = pads as unknown as Sides;
  return { stride, dilation, padding: () => sides };
}

function pairOf(node: OnnxNode, compiler: Compiler, attribute: string): readonly [number, number] {
  const pair = node.ints(attribute) ?? [1, 1];
  if (pair.length === 2) return pair as [number, number];
  throw compiler.refuse(node, `${attribute} is [${pair.join(", ")}], and windows have two axes`);
}

interface Pooling extends Omit<Windows, "dilation"> {
  readonly kernel: readonly [number, number];
  readonly ceilMode: boolean;
}

function poolingOf(node: OnnxNode, compiler: Compiler): Pooling {
  compiler.requireMap(node.inputs[0]!, node);
  compiler.requireOneOutput(node);
  const kernel = pairOf(node, compiler, "kernel_shape");
  const { stride, dilation, padding } = windowsOf(node, compiler, kernel);
  if (dilation.some((step) => step !== 1)) {
    throw compiler.refuse(node, "windows with dilation are not supported");
  }
  return { kernel, stride, padding, ceilMode: node.int("ceil_mode", 0) === 1 };
}

function maxPool(node: OnnxNode, compiler: Compiler): Step {
  const { padding, ...pooling } = poolingOf(node, compiler);
  const x = node.inputs[0]!;
  return {
    inputs: [x],
    output: node.outputs[0]!,
    run: (run) => {
      const input = run.value(x);
      return maxPool2d(run.tape, input, { ...pooling, padding: padding(input) });
    },
  };
}

function averagePool(node: OnnxNode, compiler: Compiler): Step {
  const { padding, ...pooling } = poolingOf(node, compiler);
  const countIncludePad = node.int("count_include_pad", 0) === 1;
  const x = node.inputs[0]!;
  return {
    inputs: [x],
    output: node.outputs[0]!,
    run: (run) => {
      const input = run.value(x);
      const options = { ...pooling, countIncludePad, padding: padding(input) };
      return averagePool2d(run.tape, input, options);
    },
  };
}

function globalPool(node: OnnxNode, compiler: Compiler): Step {
  const x = node.inputs[0]!;
  compiler.requireMap(x, node);
  return {
    inputs: [x],
    output: node.outputs[0]!,
    run: (run) => {
      const rows = globalAveragePool(run.tape, run.value(x));
      return reshape(run.tape, rows, [rows.shape[0]!, 1, 1, rows.shape[1]!]);
    },
  };
}

function globalMaxPool(node: OnnxNode, compiler: Compiler): Step {
  const x = node.inputs[0]!;
  compiler.requireMap(x, node);
  return {
    inputs: [x],
    output: node.outputs[0]!,
    run: (run) => {
      const input = run.value(x);
      return maxPool2d(run.tape, input, { kernel: [input.shape[1]!, input.shape[2]!] });
    },
  };
}

function reduceMean(node: OnnxNode, compiler: Compiler): Step {
  const x = node.inputs[0]!;
  const axes = compiler.list(node, { attribute: "axes", input: 1 }) ?? [];
  const places = axes.map((axis) => axis < 0 ? axis + 4 : axis).sort((a, b) => a - b);
  if (compiler.shape(x, node).length !== 4 || String(places) !== "2,3") {
    throw compiler.refuse(
      node,
      `the mean is taken over the axes [${
        axes.join(", ")
      }], and only H and W of [N, C, H, W] are ` +
        `supported`,
    );
  }
  const step = globalPool(node, compiler);
  if (node.int("keepdims", 1) === 1) return step;
  return { ...step, run: (run) => globalAveragePool(run.tape, run.value(x)) };
}

function pad(node: OnnxNode, compiler: Compiler): Step {
  const x = node.inputs[0]!;
  compiler.requireMap(x, node);
  const mode = node.string("mode", "constant");
  if (mode !== "constant") throw compiler.refuse(node, `mode "${mode}" is not supported`);
  const padding = sidesOf(node, compiler);
  const value = compiler.number(node, { attribute: "value", input: 2, fallback: 0 });
  compiler.noteRaw(node, x);
  return {
    inputs: [x],
    output: node.outputs[0]!,
    run: (run) => pad2d(run.tape, run.value(x), { padding, value }),
  };
}

/** The widths of a Pad, whose axes newer operator sets may name. */
function sidesOf(node: OnnxNode, compiler: Compiler): Sides {
  const pads = compiler.list(node, { attribute: "pads", input: 1 }) ?? [];
  const named = compiler.constant(node, 3);
  const axes = named === undefined
    ? [0, 1, 2, 3]
    : Array.from(named.data as ArrayLike<number | bigint>, (axis) => (Number(axis) + 4) % 4);
  const side = (axis: number, end: 0 | 1) => {
    const at = axes.indexOf(axis);
    return at < 0 ? 0 : pads[at + end * axes.length] ?? 0;
  };
  const outside = [side(0, 0), side(0, 1), side(1, 0), side(1, 1)];
  const sides: Sides = [side(2, 0), side(3, 0), side(2, 1), side(3, 1)];
  if (outside.every((width) => width === 0) && sides.every((width) => width >= 0)) return sides;
  throw compiler.refuse(
    node,
    `the padding is [${pads.join(", ")}], and only borders of maps are supported`,
  );
}
