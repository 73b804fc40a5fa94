import { assert, assertEquals } from "@std/assert";
import { Rng } from "../../kernels/random/rng.ts";
import { GraphBuilder, importGraph, type OnnxModel } from "../../onnx/mod.ts";
import { Layout } from "../../onnx/network/_layout.ts";
import { Host } from "../../runtime/mod.ts";
import { arraysFor, runGraph } from "./_graphs.ts";
import { runWasm } from "./_run.ts";

/** The prime factors of an axis, outermost first; N is the batch. */
type Axis = readonly (number | "N")[];

/** The length of an axis as a Reshape names it. */
function lengthOf(axis: Axis): number {
  return axis.includes("N") ? -1 : axis.reduce<number>((a, factor) => a * Number(factor), 1);
}

/** Random changes of shape and of the order of axes, one after the other. */
function shuffled(rng: Rng, changes: number): OnnxModel {
  const b = new GraphBuilder({ opset: 17, name: "shuffled" });
  const pick = (count: number) => Math.floor(rng.uniform() * count);
  const starts: Axis[][] = [
    [["N"], [2, 3], [2], [5]],
    [["N"], [2, 2], [3]],
    [["N"], [2], [3, 2], [2, 2], [3]],
    [["N"], [2, 3, 2]],
  ];
  let axes = starts[pick(starts.length)]!;
  let x = b.input("x", ["N", ...axes.slice(1).map(lengthOf)]);
  for (let i = 0; i < changes; i++) {
    if (rng.uniform() < 0.4) {
      const order = axes.map((_, axis) => axis);
      for (let at = order.length - 1; at > 0; at--) {
        const other = pick(at + 1);
        [order[at], order[other]] = [order[other]!, order[at]!];
      }
      axes = order.map((axis) => axes[axis]!);
      x = b.node("Transpose", [x], { attributes: { perm: order.map(BigInt) } });
      continue;
    }
    const at = pick(axes.length);
    const [axis, next] = [axes[at]!, axes[at + 1]];
    const changed = axis.length > 1
      ? [axis.slice(0, 1), axis.slice(1)]
      : next === undefined
      ? [axis, []]
      : [[...axis, ...next]];
    axes = [...axes.slice(0, at), ...changed, ...axes.slice(at + (changed.length === 1 ? 2 : 1))];
    x = b.node("Reshape", [x, b.ints(axes.map(lengthOf))]);
  }
  b.output("y", x);
  return b.build();
}

Deno.test("importGraph() follows axes through whatever Reshape and Transpose do to them", async () => {
  using host = new Host();
  const seed = 7;
  const rng = new Rng(seed);
  for (let i = 0; i < 40; i++) {
    const model = shuffled(rng, 1 + i % 8);
    const arrays = arraysFor(model, 3);
    const { y } = await runWasm(model, arrays);
    using network = importGraph(host, model, { outputs: ["y"] });
    const found = await runGraph(host, network, arrays);
    assertEquals([...found["y"]!], [...y!.data], `graph ${i} of seed ${seed}`);
  }
});

Deno.test("Layout knows when nothing has to move", () => {
  const map = Layout.standard(["N", 6, 2, 5]);
  assertEquals(map.shape(3), [3, 2, 5, 6]);
  const tokens = map.reshaped(["N", 6, 10])!.transposed([0, 2, 1]);
  assert(tokens.isStandard, "a map is its tokens");
  assertEquals(tokens.shape(3), [3, 10, 6]);
  const heads = tokens.reshaped(["N", 10, 2, 3])!.transposed([0, 2, 1, 3]);
  const lists = heads.reshaped(["?", 10, 3])!;
  assertEquals(lists.isStandard, false);
  assertEquals(lists.each, 60);
  assertEquals(lists.standardised().shape(3), [6, 10, 3]);
  const back = lists.reshaped(["N", 2, 10, 3])!.transposed([0, 2, 1, 3]).reshaped(["N", 10, 6])!;
  assertEquals(back.order, tokens.order);
});

Deno.test("Layout finds a batch of 1 that a graph was exported with", () => {
  const rows = Layout.standard([1, 6, 4]);
  const heads = rows.reshaped([1, 6, 2, 2])!.transposed([0, 2, 1, 3]).reshaped([2, 6, 2])!;
  assertEquals(heads.axes.map((factors) => factors.some(({ batch }) => batch)), [
    true,
    false,
    false,
  ]);
  assertEquals(heads.standardised().shape(5), [10, 6, 2]);
  const apart = heads.reshaped([1, 2, 6, 2])!;
  assertEquals(apart.length(0), undefined);
  assertEquals(apart.length(1), 2);
  assertEquals(Layout.standard([1, 1, 4]).reshaped([1, 4])!.length(0), undefined);
});

Deno.test("Layout gives up where an axis would end within another's length", () => {
  assertEquals(Layout.standard(["N", 6, 4]).reshaped(["N", 8, 3]), undefined);
  assertEquals(Layout.standard(["N", 6]).reshaped([3, 2]), undefined);
  assertEquals(Layout.standard(["N", 2, 3]).reshaped(["?", "?", "?"]), undefined);
});
