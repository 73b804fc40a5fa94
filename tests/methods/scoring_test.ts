import { assert, assertEquals, assertRejects } from "@std/assert";
import { memoryFeatures } from "../../data/mod.ts";
import {
  chooseExecutor,
  type Executor,
  findScore,
  type Fitted,
  knn,
  scoreFeatures,
  scoreMany,
  SCORES,
} from "../../methods/mod.ts";
import { Host, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { fitOnHost, floats, makeProblem, scoreOn } from "./_problem.ts";

const SEED = 6;
const SIZE = { rows: 90, channels: 20, classes: 5 };

async function fitAll(): Promise<
  { fitted: Fitted[]; test: ReturnType<typeof makeProblem>["test"] }
> {
  const { train, test } = makeProblem(SEED, SIZE);
  const fitted: Fitted[] = [];
  for (const method of SCORES) fitted.push(await fitOnHost(method, train));
  return { fitted, test };
}

/** In batches of a few rows, of one, and at once: the same scores; several fits as one by one. */
async function checkStreaming(executor: Executor): Promise<void> {
  const { fitted, test } = await fitAll();
  const whole = await scoreMany(fitted, test, { executor });
  for (const rows of [1, 7, 30]) {
    const batched = await scoreMany(fitted, test, { executor, rows });
    batched.forEach((scores, i) =>
      assertClose(scores, whole[i]!, TOLERANCE.score, `${fitted[i]!.method.name}, ${rows} rows`)
    );
  }
  for (const [i, one] of fitted.entries()) {
    assertEquals(await scoreFeatures(one, test, { executor }), whole[i], one.method.name);
  }
}

for (const device of ["reference", "wasm"] as const) {
  Deno.test(`scoring on ${device} does not depend on the batch`, async () => {
    using executor = await chooseExecutor(device);
    await checkStreaming(executor);
  });
}

gpuTest("scoring on webgpu does not depend on the batch", async ({ gpu }) => {
  using executor = await chooseExecutor("webgpu", { gpu: gpu.gpu });
  await checkStreaming(executor);
});

gpuTest(
  "scoring on webgpu twice gives the same bits and makes no more pipelines",
  async ({ gpu }) => {
    using executor = await chooseExecutor("webgpu", { gpu: gpu.gpu });
    const { fitted, test } = await fitAll();
    const first = await scoreMany(fitted, test, { executor, rows: 8 });
    const { pipelines, pool } = gpu.gpu.counters();
    const second = await scoreMany(fitted, test, { executor, rows: 8 });
    assertEquals(second, first);
    const after = gpu.gpu.counters();
    assertEquals([after.pipelines, after.pool.created], [pipelines, pool.created]);
  },
);

Deno.test("progress counts every row", async () => {
  using executor = await chooseExecutor("reference");
  const { fitted, test } = await fitAll();
  const seen: number[] = [];
  const onProgress = ({ done, total }: { done: number; total: number }) => {
    assertEquals(total, 30);
    seen.push(done);
  };
  await scoreFeatures(fitted[0]!, test, { executor, rows: 12, onProgress });
  assertEquals(seen, [12, 24, 30]);
});

Deno.test("an empty set gives no scores", async () => {
  const set = memoryFeatures({ logits: floats([], [0, 5]) });
  const fitted = await fitOnHost(findScore("msp"), set);
  assertEquals((await scoreOn("reference", fitted, set)).length, 0);
});

for (const device of ["reference", "wasm"] as const) {
  Deno.test(`scoring on ${device} refuses other widths, missing keys and NaN`, async () => {
    const { train } = makeProblem(SEED, SIZE);
    const vim = await fitOnHost(findScore("vim"), train);
    const msp = await fitOnHost(findScore("msp"), train);
    const score = (fitted: Fitted, arrays: Parameters<typeof memoryFeatures>[0]) =>
      scoreOn(device, fitted, memoryFeatures(arrays, { path: "bad" }));
    await assertRejects(
      () => score(vim, { features: floats(new Float32Array(6), [2, 3]) }),
      UserError,
      'Cannot score with "vim": "features" of "bad" has 3 columns and the fit had 20',
    );
    await assertRejects(
      () => score(msp, { logits: floats(new Float32Array(6), [1, 6]) }),
      UserError,
      '"logits" of "bad" has 6 columns and the fit had 5',
    );
    await assertRejects(
      () => score(msp, { features: floats(new Float32Array(20), [1, 20]) }),
      UserError,
      'Cannot score with "msp": "bad" has no "logits"; it has features',
    );
    const withNan = new Float32Array(40);
    withNan[25] = NaN;
    await assertRejects(
      () => score(vim, { features: floats(withNan, [2, 20]) }),
      UserError,
      "NaN in row 1",
    );
  });
}

Deno.test("a score that overflows float32 is refused and names its row", async () => {
  const { train } = makeProblem(SEED, SIZE);
  const fitted = await fitOnHost(findScore("mahalanobis"), train);
  const features = new Float32Array(60);
  features.fill(3e38, 40, 41);
  const set = memoryFeatures({ features: floats(features, [3, 20]) }, {
    path: "huge",
    names: ["a.png", "b.png", "c.png"],
  });
  await assertRejects(
    () => scoreOn("reference", fitted, set),
    UserError,
    'row 2 ("c.png") of "huge" comes out as',
  );
});

gpuTest("a knn bank in several parts gives what one part gives", async ({ gpu, host }) => {
  const { train, test } = makeProblem(SEED, { rows: 200, channels: 16, classes: 4 });
  const fitted = await fitOnHost(knn, train, { k: 9 });
  const state = fitted.state();
  const bank = state.arrays["bank"]!;
  const data = bank.parts[0] as Float32Array<ArrayBuffer>;
  const parts = [[0, 9], [9, 80], [80, 81], [81, 200]].map(([from, to]) =>
    data.slice(from! * 16, to! * 16)
  );
  const split = knn.restore({ ...state, arrays: { bank: { shape: bank.shape, parts } } });
  const features = test.shape("features");
  const { data: rows } = await test.read("features");
  for (const context of [host, gpu]) {
    const batch = { features: context.upload(rows, features) };
    const [whole, inParts] = await context.read(
      fitted.score(context, batch),
      split.score(context, batch),
    );
    assertClose(inParts!, whole!, TOLERANCE.score, context.kind);
  }
});

Deno.test("a bank too large for a graph runs on kernels, and says so", async () => {
  const { train, test } = makeProblem(SEED, { rows: 40, channels: 8, classes: 2 });
  const fitted = await fitOnHost(knn, train);
  const expected = await scoreOn("reference", fitted, test);
  const large: Fitted = new Proxy(fitted, {
    get: (target, key) => {
      if (key === "byteLength") return 300 * 2 ** 20;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  using executor = await chooseExecutor("wasm");
  const notices: string[] = [];
  const onNotice = (notice: string) => notices.push(notice);
  assertEquals(await scoreFeatures(large, test, { executor, onNotice }), expected);
  assertEquals(notices, [
    '"knn" keeps 300 MB, too much for one ONNX graph, and runs on reference instead of wasm',
  ]);
});

Deno.test("chooseExecutor() says what it took and why", async () => {
  using reference = await chooseExecutor("reference");
  assertEquals(reference.reason, "reference, as asked for");
  using wasm = await chooseExecutor("wasm");
  assertEquals([wasm.kind, wasm.context instanceof Host], ["wasm", true]);
});

gpuTest(
  "chooseExecutor() takes wasm for a software adapter and leaves a given GPU open",
  async ({ gpu }) => {
    {
      using executor = await chooseExecutor("auto", { gpu: gpu.gpu });
      const expected = gpu.gpu.adapter.isSoftware ? "wasm" : "webgpu";
      assertEquals(executor.kind, expected);
      assert(executor.reason.startsWith(`${expected}`));
      assertEquals(executor.context, gpu.gpu);
    }
    gpu.gpu.check();
  },
);
