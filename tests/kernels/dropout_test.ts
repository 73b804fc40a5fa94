import { assert, assertEquals, assertThrows } from "@std/assert";
import { dropout, dropoutBytes, dropoutFlops } from "../../kernels/dropout/mod.ts";
import { dropElements } from "../../kernels/dropout/reference.ts";
import { randomUniform } from "../../kernels/random/mod.ts";
import { DTypeError, Host, Scalar, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, FLAT_SHAPES, noise64, random, SEED } from "./_pointwise.ts";

gpuTest("dropout() gives the host's bits", async (context) => {
  const choices = [
    { rate: 0, seed: 1 },
    { rate: 0.1, seed: 2 ** 53 - 1, stream: 2 ** 32 - 1 },
    { rate: 0.5, seed: new Scalar(7), stream: new Scalar(2 ** 32 - 1) },
    { rate: 0.999, seed: 3, stream: new Scalar(4) },
  ];
  await compareAll(
    context,
    FLAT_SHAPES.flatMap((shape) =>
      choices.map((choice) => ({
        label: `${JSON.stringify(choice)} on [${shape}]`,
        tolerance: TOLERANCE.exact,
        run: (ctx, how) => [dropout(ctx, { x: random(ctx, shape) }, { ...choice, ...how })],
      }))
    ),
  );
});

gpuTest("dropout() keeps what randomUniform() says, and about as many as told", async ({ gpu }) => {
  const size = 40_001;
  const source = { seed: 5, stream: 9 };
  const x = gpu.upload(new Float32Array(size).fill(1), [size]);
  const out = gpu.empty([size]);
  assertEquals(dropout(gpu, { x }, { rate: 0.25, ...source, out }), out);
  const [y, chances] = await gpu.read(out, randomUniform(gpu, [size], source));
  const factor = Math.fround(1 / 0.75);
  assertEquals([...y!], [...chances!].map((u) => u >= 0.25 ? factor : 0));
  const kept = [...y!].filter((value) => value > 0).length / size;
  assert(Math.abs(kept - 0.75) < 0.02, `kept ${kept} (seed ${source.seed})`);
});

Deno.test("the gradient of the reference of dropout() is the derivative", () => {
  const choice = { rate: 0.3, seed: SEED, stream: 1 };
  const drop = (x: Float64Array) => {
    const y = new Float64Array(x.length);
    dropElements(x, y, choice);
    return y;
  };
  checkGradient({
    forward: ([x]) => drop(x!),
    backward: (_, dY) => [drop(dY)],
    inputs: [noise64(50)],
    seed: SEED,
  });
});

Deno.test("dropout() refuses what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [4]);
  const whole = host.upload(new Int32Array(4), [4]);
  assertThrows(() => dropout(host, { x: whole }, { rate: 0, seed: 1 }), DTypeError, '"x"');
  assertThrows(() => dropout(host, { x }, { rate: 1, seed: 1 }), RangeError, "rate");
  assertThrows(() => dropout(host, { x }, { rate: 0, seed: -1 }), RangeError, "seed");
  const large = new Scalar(2 ** 32);
  assertThrows(() => dropout(host, { x }, { rate: 0, seed: large }), RangeError, "seed");
  assertThrows(
    () => dropout(host, { x }, { rate: 0, seed: 1, stream: large }),
    RangeError,
    "stream",
  );
  const out = x.reshape([2, 2]);
  assertThrows(() => dropout(host, { x }, { rate: 0, seed: 1, out }), ShapeError, '"out"');
});

Deno.test("dropoutFlops() and dropoutBytes() count what a dropout does", () => {
  assertEquals(dropoutFlops([5]), 680);
  assertEquals(dropoutBytes([5]), 40);
});
