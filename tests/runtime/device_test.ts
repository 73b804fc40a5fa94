import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  DeviceLostError,
  Gpu,
  GpuError,
  gridFor,
  type Kernel,
  KernelCompileError,
  OutOfMemoryError,
} from "../../runtime/mod.ts";
import { gpuTest, openTestGpu } from "../_support/gpu.ts";

const SCALE: Kernel = {
  name: "scale",
  wgsl: `
struct Params { count: u32, factor: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;
override WORKGROUP: u32 = 64;
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = (wid.y * groups.x + wid.x) * WORKGROUP + lane;
  if (i < params.count) { y[i] = x[i] * params.factor; }
}`,
  bindings: ["read", "read_write"],
  params: { count: "u32", factor: "f32" },
};

function scaled(gpu: Gpu, values: number[], factor: number) {
  const x = gpu.upload(new Float32Array(values), [values.length]);
  const y = gpu.empty([values.length]);
  gpu.dispatch(SCALE, {
    buffers: [x, y],
    params: { count: values.length, factor },
    workgroups: gridFor(values.length, 64),
  });
  x.dispose();
  return y;
}

gpuTest(
  "upload() and read() give back what was written, for every element type",
  async ({ gpu }) => {
    const f = gpu.upload(new Float32Array([1.5, -2, 3]), [3]);
    const u = gpu.upload(new Uint32Array([1, 4294967295]), [2]);
    const i = gpu.upload(new Int32Array([-7]), [1]);
    const none = gpu.upload(new Float32Array(0), [0, 5]);
    const [a, b, c, d] = await gpu.read(f, u, i, none);
    assertEquals([[...a!], [...b!], [...c!], [...d!]], [[1.5, -2, 3], [1, 4294967295], [-7], []]);
  },
);

gpuTest("empty() is poisoned in tests, so that reading unwritten memory shows", async ({ gpu }) => {
  const [values] = await gpu.read(gpu.empty([20_000]));
  assertEquals(values!.every((value) => Number.isNaN(value)), true);
});

gpuTest(
  "a recycled buffer is not overwritten by an upload before recorded work has read it",
  async ({ gpu }) => {
    const results = [];
    for (let step = 1; step <= 5; step++) {
      results.push(scaledIn(step));
    }
    function scaledIn(step: number) {
      const x = gpu.upload(new Float32Array(8).fill(step), [8]);
      const y = gpu.empty([8]);
      gpu.dispatch(SCALE, {
        buffers: [x, y],
        params: { count: 8, factor: 10 },
        workgroups: [1],
      });
      x.dispose();
      return y;
    }
    const values = await gpu.read(...results);
    assertEquals(values.map((v) => v[0]), [10, 20, 30, 40, 50]);
  },
);

gpuTest(
  "uniforms of one batch do not overwrite each other, even past one arena",
  async ({ gpu }) => {
    const x = gpu.upload(new Float32Array([1]), [1]);
    const outputs = Array.from({ length: 2500 }, () => gpu.empty([1]));
    outputs.forEach((y, i) =>
      gpu.dispatch(SCALE, { buffers: [x, y], params: { count: 1, factor: i }, workgroups: [1] })
    );
    const values = await gpu.read(...outputs);
    assertEquals(values.map((v) => v[0]), outputs.map((_, i) => i));
  },
);

gpuTest("a grid beyond one axis is folded and covers every element", async ({ gpu }) => {
  const count = 65535 * 3 + 17;
  const x = gpu.upload(new Float32Array(count).fill(1), [count]);
  const y = gpu.empty([count]);
  gpu.dispatch(SCALE, {
    buffers: [x, y],
    params: { count, factor: 3 },
    workgroups: gridFor(count, 1),
    overrides: { WORKGROUP: 1 },
  });
  const [values] = await gpu.read(y);
  assertEquals(values!.every((value) => value === 3), true);
});

Deno.test("a steady loop creates no buffers, pipelines or bind groups", async () => {
  using gpu = await openTestGpu({ poison: false });
  const step = async () => {
    using scope = gpu.scope();
    const y = scaledInScope(scope);
    await scope.read(y);
  };
  function scaledInScope(scope: ReturnType<Gpu["scope"]>) {
    const x = scope.upload(new Float32Array(100).fill(1), [100]);
    const y = scope.empty([100]);
    scope.dispatch(SCALE, {
      buffers: [x, y],
      params: { count: 100, factor: 2 },
      workgroups: [2],
    });
    return y;
  }
  for (let i = 0; i < 3; i++) await step();
  const before = gpu.counters();
  for (let i = 0; i < 5; i++) await step();
  const after = gpu.counters();
  assertEquals(
    [after.pool.created, after.pipelines, after.bindGroups],
    [before.pool.created, before.pipelines, before.bindGroups],
  );
  assertEquals(after.pool.live, 0);
});

Deno.test("a kernel that does not compile is reported by the next read, with its name and line", async () => {
  using gpu = await openTestGpu();
  const bad: Kernel = { ...SCALE, name: "bad", wgsl: SCALE.wgsl.replace("params.factor", "nope") };
  const y = gpu.empty([4]);
  const x = gpu.empty([4]);
  gpu.dispatch(bad, { buffers: [x, y], params: { count: 4, factor: 1 }, workgroups: [1] });
  const error = await assertRejects(() => gpu.read(y), KernelCompileError, "nope");
  assertEquals(error.kernel, "bad");
  assertEquals((await gpu.read(scaled(gpu, [2], 3)))[0]![0], 6, "the next batch must work again");
});

Deno.test("an error that WebGPU reports late is thrown once by the next call", async () => {
  using gpu = await openTestGpu();
  const y = gpu.empty([4]);
  gpu.device.createBuffer({ label: "weird", size: 8, usage: 0x1 | 0x80 });
  await new Promise((resolve) => setTimeout(resolve, 0));
  await assertRejects(() => gpu.read(y), GpuError, "usage");
  await gpu.read(y);
});

Deno.test("every call after the device is lost throws DeviceLostError", async () => {
  const gpu = await openTestGpu();
  const y = gpu.empty([4]);
  gpu.device.destroy();
  await gpu.device.lost;
  await assertRejects(() => gpu.read(y), DeviceLostError);
  assertThrows(() => gpu.empty([1]), DeviceLostError);
});

Deno.test("an injected device is used and outlives the Gpu", async () => {
  using own = await openTestGpu();
  const borrowed = await Gpu.open({ device: own.device });
  assertEquals((await borrowed.read(scaled(borrowed, [1, 2], 2)))[0]![1], 4);
  borrowed[Symbol.dispose]();
  assertThrows(() => borrowed.empty([1]), DeviceLostError);
  assertEquals((await own.read(scaled(own, [1, 2], 5)))[0]![1], 10);
});

gpuTest("empty() refuses what one binding cannot hold and says how much it can", ({ gpu }) => {
  const elements = gpu.gpu.device.limits.maxStorageBufferBindingSize / 4 + 4;
  const error = assertThrows(() => gpu.empty([elements]), OutOfMemoryError, "smaller batches");
  assertEquals(error.requestedBytes, elements * 4);
});

gpuTest("dispatch() refuses missing parameters, missing tensors and aliased outputs", ({ gpu }) => {
  const x = gpu.empty([4]);
  const y = gpu.empty([4]);
  const run = { params: { count: 4, factor: 1 }, workgroups: [1] as const };
  assertThrows(() => gpu.dispatch(SCALE, { ...run, buffers: [x] }), TypeError, "binds 2 tensors");
  assertThrows(() => gpu.dispatch(SCALE, { ...run, buffers: [x, x] }), TypeError, "one buffer");
  assertThrows(
    () => gpu.dispatch(SCALE, { ...run, buffers: [x, y], params: { count: 4 } }),
    TypeError,
    '"factor" is missing',
  );
  assertThrows(
    () => gpu.dispatch(SCALE, { ...run, buffers: [x, y], workgroups: [70_000] }),
    RangeError,
    "fold it",
  );
});

gpuTest("a scope releases its tensors, and keep() hands one to the parent", async ({ gpu }) => {
  let kept;
  let lost;
  {
    using inner = gpu.scope();
    kept = inner.keep(inner.upload(new Float32Array([42]), [1]));
    lost = inner.empty([1]);
    assertThrows(() => inner.keep(gpu.empty([1])), ReferenceError, "does not own");
  }
  assertThrows(() => lost.buffer, ReferenceError, "was disposed");
  assertEquals((await gpu.read(kept))[0]![0], 42);
});

gpuTest("the profiler measures more time for more work", async ({ gpu }) => {
  const { profiler } = gpu.gpu;
  if (!profiler.available) return;
  const count = 1 << 18;
  const x = gpu.empty([count]);
  const y = gpu.empty([count]);
  const record = (times: number) => () => {
    for (let i = 0; i < times; i++) {
      gpu.dispatch(SCALE, {
        buffers: [x, y],
        params: { count, factor: 1 },
        workgroups: gridFor(count, 64),
      });
    }
  };
  await profiler.time(record(1));
  const one = await profiler.time(record(1));
  const many = await profiler.time(record(50));
  assertEquals(many > 5 * one, true, `one dispatch took ${one} ns, fifty took ${many} ns`);
});
