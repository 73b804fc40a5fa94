import { assertEquals, assertThrows } from "@std/assert";
import { unroll, unrolled } from "../../kernels/_unroll.ts";
import { specialize } from "../../runtime/mod.ts";
import registerSource from "../../kernels/matmul/matmul_register.wgsl" with { type: "text" };
import { gpuTest } from "../_support/gpu.ts";

Deno.test("unroll() repeats a marked loop with literals for its variable", () => {
  const source = [
    "const N: u32 = 2u; // @spec",
    "fn f() {",
    "  for (var i = 0u; i < N; i++) { // @unroll",
    "    sum[i * N] += x[i] + xi;",
    "  }",
    "}",
  ].join("\n");
  assertEquals(
    unroll(source),
    [
      "const N: u32 = 2u; // @spec",
      "fn f() {",
      "    sum[0u * N] += x[0u] + xi;",
      "    sum[1u * N] += x[1u] + xi;",
      "}",
    ].join("\n"),
  );
});

Deno.test("unroll() gives copies that declare names a block each, and nests", () => {
  const source = [
    "for (var i = 0u; i < 2; i++) { // @unroll",
    "  let y = b[i];",
    "  for (var j = 0u; j < 2; j++) { // @unroll",
    "    c[i][j] = y;",
    "  }",
    "}",
  ].join("\n");
  assertEquals(unroll(source).split("\n").map((line) => line.trim()), [
    "{",
    "let y = b[0u];",
    "c[0u][0u] = y;",
    "c[0u][1u] = y;",
    "}",
    "{",
    "let y = b[1u];",
    "c[1u][0u] = y;",
    "c[1u][1u] = y;",
    "}",
  ]);
});

Deno.test("unroll() keeps or drops the body of a static condition", () => {
  const source = (value: number) =>
    [
      `const MODE: u32 = ${value}u;`,
      "if (MODE == 1u) { // @static",
      "  one();",
      "}",
      "if (MODE != 1u) { // @static",
      "  other();",
      "}",
    ].join("\n");
  assertEquals(unroll(source(1)), "const MODE: u32 = 1u;\n  one();");
  assertEquals(unroll(source(2)), "const MODE: u32 = 2u;\n  other();");
});

Deno.test("unroll() refuses marks that it does not understand", () => {
  assertThrows(() => unroll("for (var i = 1u; i < 4u; i++) { // @unroll\n}"), SyntaxError);
  assertThrows(() => unroll("for (var i = 0u; i < COUNT; i++) { // @unroll\n}"), SyntaxError);
  assertThrows(() => unroll("if (a && b) { // @static\n}"), SyntaxError);
});

Deno.test("unrolled() makes one kernel per set of constants", () => {
  const kernel = unrolled({
    name: "k",
    wgsl: "const N: u32 = 1u; // @spec",
    bindings: [],
    params: {},
  });
  assertEquals(kernel({ N: 2 }) === kernel({ N: 2 }), true);
  assertEquals(kernel({ N: 2 }) === kernel({ N: 3 }), false);
  assertEquals(kernel({ N: 2 }).wgsl, "const N: u32 = 2u; // @spec");
});

const SQUARES = {
  name: "squares",
  wgsl: `
const N: u32 = 3u; // @spec
struct Params { scale: u32 }
@group(0) @binding(0) var<storage, read_write> result: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(1)
fn main() {
  var squares: array<u32, N>;
  for (var i = 0u; i < N; i++) { // @unroll
    squares[i] = i * i;
  }
  for (var i = 0u; i < N; i++) { // @unroll
    let square = squares[i];
    if (N > 4u) { // @static
      result[i] = square * params.scale;
    }
    if (N < 5u) { // @static
      result[i] = square;
    }
  }
}
`,
  bindings: ["read_write"],
  params: { scale: "u32" },
} as const;

Deno.test("the smallest register tile expands to the golden source", async () => {
  const golden = new URL("../golden/matmul_register_4x4.wgsl", import.meta.url);
  const expanded = unroll(specialize(registerSource, { TM: 4, TN: 4 }));
  assertEquals(expanded, await Deno.readTextFile(golden));
});

gpuTest("a source means the same before and after unroll()", async ({ gpu }) => {
  const asWritten = gpu.empty([3], "u32");
  gpu.dispatch(SQUARES, { buffers: [asWritten], params: { scale: 10 }, workgroups: [1] });
  const expanded = gpu.empty([3], "u32");
  const kernel = unrolled(SQUARES)({ N: 3 });
  gpu.dispatch(kernel, { buffers: [expanded], params: { scale: 10 }, workgroups: [1] });
  const longer = gpu.empty([6], "u32");
  const longerKernel = unrolled(SQUARES)({ N: 6 });
  gpu.dispatch(longerKernel, { buffers: [longer], params: { scale: 10 }, workgroups: [1] });
  const [first, second, third] = await gpu.read(asWritten, expanded, longer);
  assertEquals([...first!], [0, 1, 4]);
  assertEquals([...second!], [0, 1, 4]);
  assertEquals([...third!], [0, 10, 40, 90, 160, 250]);
});
