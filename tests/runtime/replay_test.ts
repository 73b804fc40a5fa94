import { assertEquals, assertThrows } from "@std/assert";
import { Gpu, gridFor, Host, type Kernel, Scalar, type Tensor } from "../../runtime/mod.ts";
import type { GpuContext } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";

/** target[i] = source[i] * factor + shift */
const AFFINE: Kernel = {
  name: "affine",
  wgsl: `
struct Params { count: u32, factor: f32, shift: i32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = (wid.y * groups.x + wid.x) * 64u + lane;
  if (i < params.count) { y[i] = x[i] * params.factor + f32(params.shift); }
}`,
  bindings: ["read", "read_write"],
  params: { count: "u32", factor: "f32", shift: "i32" },
};

function affine(
  ctx: GpuContext,
  [x, y]: readonly [Tensor, Tensor],
  { factor = 1, shift = 0 }: { factor?: number | Scalar; shift?: number | Scalar },
): void {
  ctx.dispatch(AFFINE, {
    buffers: [x, y],
    params: { count: x.size, factor, shift },
    workgroups: gridFor(x.size, 64),
  });
}

const numbers = (count: number, value: number) => new Float32Array(count).fill(value);

gpuTest("a replay runs the recorded work on the inputs of the moment", async ({ gpu }) => {
  const x = gpu.upload(numbers(100, 1), [100]);
  const y = gpu.empty([100]);
  using step = gpu.gpu.capture((scope) => {
    const middle = scope.empty([100]);
    affine(scope, [x, middle], { factor: 2 });
    affine(scope, [middle, y], { shift: 1 });
  });
  assertEquals(step.dispatches, 2);
  for (const value of [3, 5]) {
    gpu.write(x, numbers(100, value));
    step.run();
    assertEquals([...(await gpu.read(y))[0]!], [...numbers(100, 2 * value + 1)]);
  }
});

gpuTest("a replay reads scalars afresh at every run", async ({ gpu }) => {
  const x = gpu.upload(numbers(3, 1), [3]);
  const y = gpu.empty([3]);
  const factor = new Scalar(1);
  const shift = new Scalar(0);
  using step = gpu.gpu.capture((scope) => affine(scope, [x, y], { factor, shift }));
  const seen: number[] = [];
  for (const [f, s] of [[1, 0], [4, 0], [4, -7], [0.5, 2]] as const) {
    factor.value = f;
    shift.value = s;
    step.run();
    seen.push((await gpu.read(y))[0]![0]!);
  }
  assertEquals(seen, [1, 4, -3, 2.5]);
});

gpuTest("runs without a read between them each see their own scalars", async ({ gpu }) => {
  const state = [gpu.upload(numbers(1, 1), [1]), gpu.empty([1])] as const;
  const factor = new Scalar(1);
  using step = gpu.gpu.capture((scope) => {
    affine(scope, state, { factor });
    affine(scope, [state[1], state[0]], {});
  });
  for (const value of [2, 3, 5]) {
    factor.value = value;
    step.run();
  }
  assertEquals((await gpu.read(state[0]))[0]![0], 30);
});

gpuTest("a replay makes no pipeline, bind group or buffer after its recording", async ({ gpu }) => {
  const x = gpu.upload(numbers(10, 1), [10]);
  const y = gpu.empty([10]);
  using step = gpu.gpu.capture((scope) => {
    const middle = scope.empty([10]);
    affine(scope, [x, middle], { factor: 2 });
    affine(scope, [middle, y], {});
  });
  step.run();
  await gpu.read(y);
  const before = gpu.gpu.counters();
  for (let i = 0; i < 5; i++) step.run();
  await gpu.gpu.idle();
  const after = gpu.gpu.counters();
  assertEquals(after.pipelines, before.pipelines);
  assertEquals(after.bindGroups, before.bindGroups);
  assertEquals(after.pool.created, before.pool.created);
  assertEquals(after.submits - before.submits, 5);
  assertEquals(after.dispatches - before.dispatches, 10);
});

gpuTest("memory of a replay is nobody else's", async ({ gpu }) => {
  const x = gpu.upload(numbers(50, 1), [50]);
  const y = gpu.empty([50]);
  using step = gpu.gpu.capture((scope) => {
    using inner = scope.scope();
    const middle = inner.empty([50]);
    affine(scope, [x, middle], { factor: 3 });
    affine(scope, [middle, y], {});
  });
  const others = Array.from({ length: 4 }, () => gpu.upload(numbers(50, 9), [50]));
  step.run();
  for (const values of await gpu.read(...others)) assertEquals(values[0], 9);
});

gpuTest("what a capture uploads outlasts the memory that it computes in", async ({ gpu }) => {
  const x = gpu.upload(numbers(8, 1), [8]);
  const y = gpu.empty([8]);
  using step = gpu.gpu.capture((scope) => {
    {
      using inner = scope.scope();
      affine(scope, [x, inner.empty([8])], { factor: 100 });
    }
    const constant = scope.upload(numbers(8, 7), [8]);
    affine(scope, [constant, y], {});
    constant.dispose();
    affine(scope, [x, scope.empty([8])], {});
  });
  step.run();
  step.run();
  assertEquals((await gpu.read(y))[0]![0], 7);
});

gpuTest("copies are part of a replay", async ({ gpu }) => {
  const x = gpu.upload(numbers(4, 2), [4]);
  const y = gpu.empty([4]);
  using step = gpu.gpu.capture((scope) => {
    const middle = scope.empty([4]);
    affine(scope, [x, middle], { factor: 2 });
    scope.copy(middle, y);
  });
  step.run();
  assertEquals((await gpu.read(y))[0]![0], 4);
});

gpuTest("a replay copies what was disposed when it had been recorded", async ({ gpu }) => {
  const x = gpu.upload(numbers(4, 2), [4]);
  const y = gpu.empty([4]);
  using step = gpu.gpu.capture((scope) => {
    using inner = scope.scope();
    const middle = inner.empty([4]);
    affine(inner, [x, middle], { factor: 3 });
    inner.copy(middle, y);
  });
  step.run();
  assertEquals((await gpu.read(y))[0]![0], 6);
});

gpuTest("profile() names every kernel of a replay", async ({ gpu }) => {
  const x = gpu.upload(numbers(4, 2), [4]);
  const y = gpu.empty([4]);
  using step = gpu.gpu.capture((scope) => {
    affine(scope, [x, y], { factor: 2 });
    affine(scope, [x, y], { factor: 4 });
  });
  if (!gpu.gpu.profiler.available) return;
  const times = (await step.profile()).filter(({ kernel }) => kernel === "affine");
  assertEquals(times.map(({ dispatches }) => dispatches), [2]);
  assertEquals((await gpu.read(y))[0]![0], 8);
});

gpuTest("a capture refuses to read, submit or nest, and leaves the GPU usable", async ({ gpu }) => {
  const x = gpu.upload(numbers(4, 2), [4]);
  const device = gpu.gpu;
  assertThrows(() => device.capture(() => device.flush()), TypeError, "Cannot submit");
  assertThrows(() => device.capture(() => device.capture(() => {})), TypeError, "Cannot capture");
  assertEquals((await gpu.read(x))[0]![0], 2);
  const step = device.capture(() => {});
  step[Symbol.dispose]();
  assertThrows(() => step.run(), ReferenceError, "it was disposed");
});

gpuTest("slice() binds a part of a buffer, and read() and write() know of it", async ({ gpu }) => {
  const arena = gpu.upload(Float32Array.from({ length: 200 }, (_, i) => i), [200]);
  const second = arena.slice(64, [2, 3], { label: "second" });
  const y = gpu.empty([6]);
  affine(gpu, [second, y], { factor: 2 });
  const [part, doubled] = await gpu.read(second, y);
  assertEquals([...part!], [64, 65, 66, 67, 68, 69]);
  assertEquals([...doubled!], [128, 130, 132, 134, 136, 138]);
  gpu.write(second, numbers(6, -1));
  const [whole] = await gpu.read(arena);
  assertEquals([...whole!.subarray(62, 72)], [62, 63, -1, -1, -1, -1, -1, -1, 70, 71]);
});

gpuTest("two slices of one buffer may be written by one dispatch, not overlap", ({ gpu }) => {
  const both: Kernel = { ...AFFINE, name: "both", bindings: ["read_write", "read_write"] };
  const arena = gpu.upload(numbers(256, 1), [256]);
  const run = (x: Tensor, y: Tensor) =>
    gpu.dispatch({ ...both, wgsl: AFFINE.wgsl.replace("storage, read>", "storage, read_write>") }, {
      buffers: [x, y],
      params: { count: 4, factor: 1, shift: 0 },
      workgroups: [1],
    });
  run(arena.slice(0, [4]), arena.slice(64, [4]));
  assertThrows(() => run(arena, arena.slice(64, [4])), TypeError, "one buffer");
});

Deno.test("slice() and write() refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(numbers(100, 1), [100]);
  assertThrows(() => x.slice(64, [37]), RangeError, "from 64 to 101");
  assertThrows(() => x.slice(3, [1]), RangeError, "a multiple of 64");
  assertThrows(() => host.write(x, numbers(3, 0)), RangeError, "100 elements");
  assertThrows(() => host.write(x, new Int32Array(100)), TypeError, "it holds f32");
  const view = x.slice(64, [2]);
  host.write(view, numbers(2, 5));
  assertEquals([...x.data.subarray(63, 67)], [1, 5, 5, 1]);
});

Deno.test("a disposed Gpu disposes its replays", async () => {
  const gpu = await Gpu.open();
  const step = gpu.capture(() => {});
  gpu[Symbol.dispose]();
  assertThrows(() => step.run(), ReferenceError);
});
