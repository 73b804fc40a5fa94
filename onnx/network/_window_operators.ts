/**
 * Operators with windows, and others on places: convolutions, poolings, padding, resizing.
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
  resizeNearest,
  Variable,
} from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import type { AddedBias, Compiler, Operator, Run, Step } from "./_compiler.ts";
import { shaped } from "./_arrange.ts";
import { Layout, product } from "./_layout.ts";
import { movesOf, normStep } from "./_norms.ts";
import { toEngine } from "./_weights.ts";

/** Convolutions, poolings, padding, resizing. */
export const WINDOW_OPERATORS: Readonly<Record<string, Operator>> = {
  Conv: convolution,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalMaxPool,
  Pad: pad,
  Resize: resize,
  Upsample: resize,
};

type Sides = readonly [top: number, left: number, bottom: number, right: number];

const NO_PADDING: Sides = [0, 0, 0, 0];

function convolution(node: OnnxNode, compiler: Compiler): Step | readonly Step[] {
  const [given, kernel, offset] = node.inputs as [string, string, string?];
  const x = compiler.map(given, node);
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
  readonly x: string;
  readonly kernel: readonly [number, number];
  readonly ceilMode: boolean;
}

function poolingOf(node: OnnxNode, compiler: Compiler): Pooling {
  const x = compiler.map(node.inputs[0]!, node);
  compiler.requireOneOutput(node);
  const kernel = pairOf(node, compiler, "kernel_shape");
  const { stride, dilation, padding } = windowsOf(node, compiler, kernel);
  if (dilation.some((step) => step !== 1)) {
    throw compiler.refuse(node, "windows with dilation are not supported");
  }
  return { x, kernel, stride, padding, ceilMode: node.int("ceil_mode", 0) === 1 };
}

function maxPool(node: OnnxNode, compiler: Compiler): Step {
  const { x, padding, ...pooling } = poolingOf(node, compiler);
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
  const { x, padding, ...pooling } = poolingOf(node, compiler);
  const countIncludePad = node.int("count_include_pad", 0) === 1;
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
  const x = compiler.map(node.inputs[0]!, node);
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
  const x = compiler.map(node.inputs[0]!, node);
  return {
    inputs: [x],
    output: node.outputs[0]!,
    run: (run) => {
      const input = run.value(x);
      return maxPool2d(run.tape, input, { kernel: [input.shape[1]!, input.shape[2]!] });
    },
  };
}

/** The mean over axes without the batch. */
export function reduceMean(node: OnnxNode, compiler: Compiler): Step {
  const [given] = node.inputs as [string];
  const [output] = node.outputs as [string];
  const layout = compiler.layout(given, node);
  const { rank } = layout;
  const named = compiler.known(node, { attribute: "axes", input: 1 }) ?? [];
  const axes = named.map((axis) => axis < 0 ? axis + rank : axis);
  const gone = new Set(axes.flatMap((axis) => layout.axes[axis]!));
  const [batch, ...rest] = layout.memory.filter((factor) => !gone.has(factor));
  if (axes.length === 0 || !batch?.batch || Number.isNaN(layout.each)) {
    throw compiler.refuse(
      node,
      `the mean of [${compiler.shape(given, node).join(", ")}] is taken over the axes [${
        named.join(", ")
      }], and only fixed axes without the batch are supported`,
    );
  }
  // What is averaged lies between the batch and what is not; in which order does not matter.
  const inner = layout.memory.filter((factor) => gone.has(factor));
  const x = compiler.arranged(given, [batch, ...inner, ...rest], node);
  const keeps = node.int("keepdims", 1) === 1;
  const kept = layout.axes.flatMap((factors, axis) => {
    if (!axes.includes(axis)) return [factors];
    return keeps ? [[]] : [];
  });
  const result = new Layout([batch, ...rest], kept);
  compiler.setLayout(output, result);
  const [places, columns] = [product(inner), product(rest)];
  return {
    inputs: [x],
    output,
    run: ({ tape, value }) => {
      const map = value(x);
      const n = map.value.size / layout.each;
      const rows = globalAveragePool(tape, shaped(tape, map, [n, places, 1, columns]));
      return shaped(tape, rows, result.shape(n));
    },
  };
}

/** Each place so many times, in rows and in columns. */
function resize(node: OnnxNode, compiler: Compiler): Step {
  const x = compiler.map(node.inputs[0]!, node);
  const mode = node.string("mode", "nearest");
  const [from, to] = [x, node.outputs[0]!].map((value) => compiler.shape(value, node).slice(1));
  const [channels, ...sizes] = to!.map((length, i) => Number(length) / Number(from![i]));
  const [rows, columns] = sizes as [number, number];
  const repeats = channels === 1 &&
    [rows, columns].every((times) =>
      Number.isInteger(times) && times >= 1 && takesNearest(node, times)
    );
  if (mode !== "nearest" || !repeats) {
    const shapes = `[N, ${from!.join(", ")}] becomes [N, ${to!.join(", ")}]`;
    throw compiler.refuse(
      node,
      `${shapes} in mode "${mode}", and only whole multiples of height and width in mode "nearest", ` +
        `each place repeated, are supported`,
    );
  }
  const size = to!.slice(1) as number[] as unknown as readonly [number, number];
  return {
    inputs: [x],
    output: node.outputs[0]!,
    run: ({ tape, value }) => resizeNearest(tape, value(x), size),
  };
}

/** Whether the rule by which a node finds the nearest place repeats each place so many times. */
function takesNearest(node: OnnxNode, times: number): boolean {
  if (node.opType === "Upsample" || times === 1) return true;
  const coordinates = node.string("coordinate_transformation_mode", "half_pixel");
  const rounding = node.string("nearest_mode", "round_prefer_floor");
  // Set 10 had neither: it took the floor of what it calls asymmetric now.
  if (!node.has("coordinate_transformation_mode") && !node.has("nearest_mode")) return true;
  if (coordinates === "asymmetric") {
    return rounding === "floor" || rounding === "round_prefer_floor" && times === 2;
  }
  return ["half_pixel", "pytorch_half_pixel"].includes(coordinates) && rounding.startsWith("round");
}

function pad(node: OnnxNode, compiler: Compiler): Step {
  const x = compiler.map(node.inputs[0]!, node);
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
