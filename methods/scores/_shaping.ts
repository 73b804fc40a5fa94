/**
 * Shaping features by their largest elements, which ASH and SCALE share.
 *
 * @module
 */

import type { KeepTopMode } from "../../kernels/mod.ts";
import { LARGEST_EXPONENT, LEAST_SUM } from "../../kernels/keep_top/reference.ts";
import type { GraphBuilder } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { floats, readHead, streamRows } from "../_fit.ts";
import type { Learned, LearnInput } from "../define.ts";
import type { FittedState } from "../score.ts";
import { stateArray } from "../_state.ts";
import type { Asking } from "./_classes.ts";

/**
 * How many of C features are kept: C less C * percentile / 100, which is rounded to the nearest
 * whole number and from halves to the even one.
 */
function countKept(columns: number, percentile: number): number {
  const exact = columns * percentile / 100;
  const down = Math.floor(exact);
  const gap = exact - down;
  const up = gap > 0.5 || gap === 0.5 && down % 2 === 1;
  return columns - (up ? down + 1 : down);
}

/**
 * Learns the head and the number of features to keep, and looks at the training features: shaping
 * takes them to come from a ReLU.
 *
 * @param input What is fitted; its parameter `percentile` says how many are kept.
 * @param asking Which score asks.
 * @param how Whether sums of kept features divide.
 * @returns The head, and `kept`.
 * @throws {UserError} When nothing would be kept, or sums divide and some features are negative.
 */
export async function learnShaping(
  input: LearnInput,
  asking: Asking,
  how: { readonly divides: boolean },
): Promise<Learned> {
  const { train } = input;
  const { name } = asking;
  const { weight, bias, K, C, warnings } = await readHead(input, name);
  const percentile = input.parameters["percentile"]!;
  const kept = countKept(C, percentile);
  if (kept < 1) {
    throw new UserError(
      `Cannot set "${name}.percentile" to ${percentile}: it leaves none of the ${C} features of ` +
        `"${train.path}"`,
    );
  }
  let negative = 0;
  let empty = 0;
  for await (const batch of streamRows(train, ["features"], { input, stage: "check" })) {
    const data = floats(batch, "features");
    for (let start = 0; start < data.length; start += C) {
      const row = data.subarray(start, start + C);
      if (row.some((value) => value < 0)) negative++;
      else if (row.every((value) => value === 0)) empty++;
    }
  }
  if (negative > 0 && how.divides) {
    throw new UserError(
      `Cannot fit "${name}": ${negative} of ${train.count} rows of "${train.path}" have negative ` +
        "features, and it divides by sums of features, which must not be near zero; features after " +
        "a ReLU were expected",
    );
  }
  const odd: string[] = [];
  if (negative > 0) {
    odd.push(
      `${asking.title} is made for features after a ReLU, and ${negative} of ${train.count} rows ` +
        `of "${train.path}" have negative ones`,
    );
  }
  if (empty > 0) {
    odd.push(
      `${empty} of ${train.count} rows of "${train.path}" have no feature above zero; ` +
        `${asking.title} gives all such rows the energy of the bias alone`,
    );
  }
  return {
    arrays: {
      weight: stateArray(weight, [K, C]),
      bias: stateArray(bias, [K]),
      kept: stateArray(new Float32Array([kept]), [1]),
    },
    warnings: [...warnings, ...odd],
  };
}

/** The nodes of `keepTop`. */
export function keepTopGraph(
  builder: GraphBuilder,
  x: string,
  how: { readonly count: number; readonly mode: KeepTopMode },
): string {
  const { count, mode } = how;
  if (builder.opset < 11) {
    throw new RangeError(`Cannot scatter in operator set ${builder.opset}: 11 is needed`);
  }
  // Among equal elements TopK takes those of the lowest index.
  const { values, indices } = builder.topK(x, { k: count });
  const total = (of: string) => builder.reduce("ReduceSum", of, { axes: [1], keepDims: true });
  const factor = (): string => {
    const kept = builder.clip(total(values), { min: LEAST_SUM });
    const quotient = builder.node("Div", [total(x), kept]);
    return builder.node("Exp", [builder.clip(quotient, { min: 0, max: LARGEST_EXPONENT })]);
  };
  if (mode === "scaleAll") return builder.node("Mul", [x, factor()]);
  const none = builder.node("Sub", [x, x]);
  const scatter = (what: string) =>
    builder.node("ScatterElements", [none, indices, what], { attributes: { axis: 1n } });
  if (mode === "prune") return scatter(values);
  if (mode === "scale") return scatter(builder.node("Mul", [values, factor()]));
  const share = builder.node("Div", [total(x), builder.constant(count)]);
  return scatter(builder.node("Add", [builder.node("Sub", [values, values]), share]));
}

/** How many features a fit keeps. */
export function keptOf(state: FittedState): number {
  return state.arrays["kept"]!.parts[0]![0]!;
}
