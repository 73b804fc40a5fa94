import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  GraphBuilder,
  type HostArray,
  type OnnxSession,
  openSession,
  readModel,
  type SessionInput,
  writeModel,
} from "../../onnx/mod.ts";
import { Gpu, Host, type Kernel, Tensor, UserError } from "../../runtime/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { resnetLike, waves } from "./_models.ts";

const SHIPPED = fileURLToPath(new URL("../../models/cifar10-resnet20.onnx", import.meta.url));

const DOUBLE: Kernel = {
  name: "double",
  wgsl: `
    struct Params { count: u32 }
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @group(1) @binding(0) var<uniform> params: Params;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < params.count) { y[id.x] = 2.0 * x[id.x]; }
    }`,
  bindings: ["read", "read_write"],
  params: { count: "u32" },
};

/** A tensor of twice the elements, recorded and not submitted. */
function double(gpu: Gpu, x: Tensor): Tensor {
  const y = gpu.empty(x.shape);
  const workgroups = [Math.ceil(x.size / 64)] as const;
  gpu.dispatch(DOUBLE, { buffers: [x, y], params: { count: x.size }, workgroups });
  return y;
}

/** x + 1 for a batch that cannot be opened: a node mixes rows and undoes it. */
function fixedBatch(size: number) {
  const b = new GraphBuilder({ name: "fixed" });
  const x = b.input("x", [size, 3]);
  const flat = b.node("Reshape", [x, b.ints([3 * size])]);
  const sum = b.node("Add", [flat, b.constant(1)]);
  b.output("y", b.node("Reshape", [sum, b.ints([size, 3])]));
  return b.build();
}

async function logitsOf(session: OnnxSession, images: Tensor | HostArray): Promise<Tensor> {
  const { logits } = await session.run({ input: images });
  assert(logits instanceof Tensor);
  return logits;
}

Deno.test("openSession() gives the same on webgpu and on wasm, in one process", async () => {
  using gpu = await Gpu.open();
  const data = waves(3 * 3 * 1024);
  const shape = [3, 3, 32, 32];
  await using wasm = await openSession(SHIPPED, { device: "wasm", threads: 2 });
  await using webgpu = await openSession(SHIPPED, { device: "webgpu", gpu });
  const expected = (await wasm.run({ input: { data, shape } })).logits as HostArray;
  assertEquals(expected.shape, [3, 10]);
  for (const input of [gpu.upload(data, shape), { data, shape }]) {
    using logits = await logitsOf(webgpu, input);
    assertEquals([logits.shape, logits.dtype], [[3, 10], "f32"]);
    const [actual] = await gpu.read(logits);
    assertClose(actual!, expected.data, TOLERANCE.provider, "logits");
    if (input instanceof Tensor) input.dispose();
  }
});

Deno.test("openSession() leaves the web's Worker in its place", async () => {
  const { Worker } = globalThis;
  await using first = await openSession(SHIPPED, { device: "wasm", threads: 2 });
  assert(globalThis.Worker === Worker);
  await using second = await openSession(resnetLike(), { device: "wasm" });
  assertEquals([first.threads, second.threads], [2, 2]);
  const { logits } = await second.run({ image: { data: waves(192), shape: [1, 3, 8, 8] } });
  assertEquals(logits?.shape, [1, 4]);
});

Deno.test("OnnxSession.run() sees recorded work, and recorded work sees its outputs", async () => {
  using gpu = await Gpu.open({ poison: true });
  const b = new GraphBuilder();
  b.output("y", b.node("Add", [b.input("x", ["N"]), b.constant(1)]));
  await using session = await openSession(b.build(), { device: "webgpu", gpu });
  using x = gpu.upload(Float32Array.of(1, 2, 3), [3]);
  const results: Tensor[] = [];
  for (let round = 0; round < 4; round++) {
    // Recorded before the run and read by it.
    using input = double(gpu, x);
    const { y } = await session.run({ x: input }) as { y: Tensor };
    // Recorded on the output, which is disposed before anything is submitted.
    results.push(double(gpu, y));
    y.dispose();
  }
  for (const values of await gpu.read(...results)) assertEquals([...values], [6, 10, 14]);
  for (const tensor of results) tensor.dispose();
});

Deno.test("OnnxSession gives its outputs back with itself", async () => {
  using gpu = await Gpu.open();
  const x = { data: new Float32Array(3 * 1024), shape: [1, 3, 32, 32] };
  for (let round = 0; round < 2; round++) {
    const session = await openSession(SHIPPED, { device: "webgpu", gpu });
    const logits = await logitsOf(session, x);
    await session.dispose();
    await session.dispose();
    assertEquals(logits.disposed, true);
    await assertRejects(() => session.run({ input: x }), ReferenceError, "was disposed");
  }
});

Deno.test("OnnxSession serialises runs of several sessions", async () => {
  await using a = await openSession(resnetLike(), { device: "wasm" });
  await using b = await openSession(SHIPPED, { device: "wasm" });
  const image = { data: waves(192), shape: [1, 3, 8, 8] };
  const photo = { data: waves(3072), shape: [1, 3, 32, 32] };
  const runs = Array.from(
    { length: 6 },
    (_, i) => i % 2 === 0 ? a.run({ image }) : b.run({ input: photo }),
  );
  const results = await Promise.all(runs);
  assertEquals(results.map(({ logits }) => logits!.shape[1]), [4, 10, 4, 10, 4, 10]);
  assertEquals(results[0], results[4]);
});

Deno.test("openSession() opens a fixed batch where it is safe", async () => {
  await using session = await openSession(resnetLike({ batch: 1 }), { device: "wasm" });
  assertEquals(session.maxBatch, Infinity);
  const { logits } = await session.run({ image: { data: waves(5 * 192), shape: [5, 3, 8, 8] } });
  await using open = await openSession(resnetLike(), { device: "wasm" });
  const same = await open.run({ image: { data: waves(5 * 192), shape: [5, 3, 8, 8] } });
  assertEquals(logits, same.logits);
});

Deno.test("OnnxSession splits batches that a model fixes, on both devices", async () => {
  using gpu = await Gpu.open({ poison: true });
  for (const size of [1, 2, 8]) {
    for (const device of ["wasm", "webgpu"] as const) {
      await using session = await openSession(fixedBatch(size), { device, gpu });
      assertEquals(session.maxBatch, size);
      const data = waves(5 * 3);
      const expected = data.map((value) => value + 1);
      const inputs = device === "wasm"
        ? [{ data, shape: [5, 3] }, new Host().upload(data, [5, 3])]
        : [{ data, shape: [5, 3] }, gpu.upload(data, [5, 3])];
      for (const x of inputs) {
        const { y } = await session.run({ x });
        assertEquals(y?.shape, [5, 3]);
        const [values] = y instanceof Tensor ? await gpu.read(y) : [y!.data];
        assertEquals(values, expected, `${device}, ${size} at a time`);
        if (y instanceof Tensor) y.dispose();
      }
    }
  }
});

Deno.test("OnnxSession brings whole numbers to the host", async () => {
  using gpu = await Gpu.open();
  const b = new GraphBuilder();
  const x = b.input("x", ["N", 3]);
  b.output("best", b.node("ArgMax", [x], { attributes: { axis: 1n, keepdims: 0n } }), {
    type: "i64",
  });
  const model = b.build();
  for (const device of ["wasm", "webgpu"] as const) {
    await using session = await openSession(model, { device, gpu });
    const { best } = await session.run({ x: { data: Float32Array.of(1, 5, 2), shape: [1, 3] } });
    assertEquals(best, { data: Int32Array.of(1), shape: [1] });
  }
});

Deno.test("openSession() names the node that onnxruntime cannot run", async () => {
  const b = new GraphBuilder();
  b.output("y", b.node("Frobnicate", [b.input("x", ["N"])], { output: "z" }));
  await assertRejects(
    () => openSession(writeModel(b.build()), { device: "wasm", name: "a.onnx" }),
    UserError,
    'Cannot open "a.onnx": node "Frobnicate:z" uses the operator Frobnicate',
  );
  const c = new GraphBuilder();
  const weight = c.constant(new Float32Array(6), { shape: [3, 2] });
  c.output("y", c.node("MatMul", [c.input("x", ["N", 4]), weight]));
  await assertRejects(() => openSession(c.build(), { device: "wasm" }), UserError, "Incompatible");
});

Deno.test("OnnxSession.run() refuses inputs that do not fit", async () => {
  await using session = await openSession(resnetLike(), { device: "wasm" });
  const image = { data: waves(192), shape: [1, 3, 8, 8] };
  const cases: [Record<string, HostArray>, string][] = [
    [{}, 'the input "image" is missing'],
    [{ image, other: image }, 'it has no input "other", its inputs are "image"'],
    [
      { image: { data: waves(147), shape: [1, 3, 7, 7] } },
      '"image" must have shape [N, 3, 8, 8]: current shape is [1, 3, 7, 7]',
    ],
    [{ image: { data: waves(0), shape: [0, 3, 8, 8] } }, "current shape is [0, 3, 8, 8]"],
  ];
  for (const [inputs, message] of cases) {
    await assertRejects(() => session.run(inputs), UserError, message);
  }
});

Deno.test("OnnxSession.run() names the node that fails", async () => {
  const b = new GraphBuilder({ name: "product" });
  const weight = b.constant(new Float32Array(6), { shape: [3, 2] });
  b.output("y", b.node("MatMul", [b.input("x", ["N", "C"]), weight], { output: "z" }));
  await using session = await openSession(b.build(), { device: "wasm" });
  await assertRejects(
    () => session.run({ x: { data: new Float32Array(4), shape: [1, 4] } }),
    UserError,
    'Cannot run "product": node "MatMul:z" (MatMul) failed',
  );
});

Deno.test("openSession() refuses webgpu without a GPU", async () => {
  const model = await readModel(SHIPPED);
  await assertRejects(() => openSession(model, { device: "webgpu" }), TypeError, "options.gpu");
});

Deno.test("OnnxSession.run() brings arrays to the widths that a model declares", async () => {
  using gpu = await Gpu.open();
  const b = new GraphBuilder();
  const ids = b.input("ids", ["N", 3], { type: "i64" });
  const halves = b.input("halves", ["N", 3], { type: "f16" });
  const mask = b.input("mask", ["N", 3], { type: "bool" });
  const narrow = b.input("narrow", ["N", 3], { type: "i32" });
  const float = (x: string) => b.node("Cast", [x], { attributes: { to: 1n } });
  const parts = [ids, halves, mask, narrow].map(float);
  b.output("y", parts.reduce((sum, part) => b.node("Add", [sum, part])));
  const model = b.build();
  const shape = [2, 3];
  const numbers = Int32Array.of(0, 1, 2, 3, 4, 5);
  const floats = Float32Array.from(numbers);
  const wide = BigInt64Array.from(numbers, BigInt);
  for (const device of ["wasm", "webgpu"] as const) {
    await using session = await openSession(model, { device, gpu });
    for (const [first, last] of [[numbers, wide], [wide, numbers]] as const) {
      const { y } = await session.run({
        ids: { data: first, shape },
        halves: { data: floats, shape },
        mask: { data: numbers.map((value) => value % 2), shape },
        narrow: { data: last, shape },
      } as Record<string, SessionInput>);
      const [values] = y instanceof Tensor ? await gpu.read(y) : [y!.data];
      assertEquals(values, floats.map((value) => 3 * value + value % 2), device);
      if (y instanceof Tensor) y.dispose();
    }
  }
});

Deno.test("OnnxSession splits batches of whole numbers that a model fixes", async () => {
  const b = new GraphBuilder();
  const ids = b.input("ids", [2, 2], { type: "i64" });
  const flat = b.node("Reshape", [ids, b.ints([4])]);
  const table = b.constant(Float32Array.of(7, 8, 9), { shape: [3] });
  const found = b.node("Gather", [table, flat]);
  b.output("y", b.node("Reshape", [found, b.ints([2, 2])]));
  await using session = await openSession(b.build(), { device: "wasm" });
  assertEquals(session.maxBatch, 2);
  const data = BigInt64Array.of(0n, 1n, 2n, 0n, 1n, 2n);
  const { y } = await session.run({ ids: { data, shape: [3, 2] } });
  assertEquals(y, { data: Float32Array.of(7, 8, 9, 7, 8, 9), shape: [3, 2] });
});
