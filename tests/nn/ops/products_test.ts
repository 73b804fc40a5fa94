import { matmul, softmax } from "../../../nn/ops/products.ts";
import { sliceChannels } from "../../../nn/ops/shape.ts";
import { Tape } from "../../../nn/tape.ts";
import { Variable } from "../../../nn/variable.ts";
import { type Shape, sizeOf, type Tensor } from "../../../runtime/mod.ts";
import { checkGradient } from "../../_support/gradcheck.ts";
import { Host64 } from "../../_support/host64.ts";
import { noise64, SEED } from "../../kernels/_pointwise.ts";

interface Case {
  readonly shapes: readonly Shape[];
  readonly build: (tape: Tape, leaves: readonly [Variable, Variable]) => Variable;
}

const CASES: Readonly<Record<string, Case>> = {
  "matmul()": {
    shapes: [[2, 3, 4], [2, 4, 5]],
    build: (tape, [a, b]) => matmul(tape, a, b),
  },
  "matmul() by rows": {
    shapes: [[2, 3, 4], [2, 5, 4]],
    build: (tape, [a, b]) => matmul(tape, a, b, { transposeB: true }),
  },
  "softmax()": {
    shapes: [[3, 5]],
    build: (tape, [x]) => softmax(tape, x),
  },
  "sliceChannels() of single channels": {
    shapes: [[2, 1, 3, 5]],
    build: (tape, [x]) => sliceChannels(tape, x, { begin: 1, end: 3 }),
  },
  "sliceChannels() of channels by fours": {
    shapes: [[2, 1, 3, 12]],
    build: (tape, [x]) => sliceChannels(tape, x, { begin: 4, end: 8 }),
  },
};

for (const [name, { shapes, build }] of Object.entries(CASES)) {
  Deno.test(`${name} passes its gradient through a tape`, () => {
    const upload = (host: Host64, inputs: readonly Float64Array[]): Tensor[] =>
      inputs.map((data, i) => {
        const tensor = host.empty(shapes[i]!);
        (tensor.data as unknown as Float64Array).set(data);
        return tensor;
      });
    checkGradient({
      forward: (inputs) => {
        const host = new Host64();
        const leaves = upload(host, inputs).map((value) => new Variable(value));
        const y = build(new Tape(host), leaves as unknown as readonly [Variable, Variable]);
        return Float64Array.from(y.value.data);
      },
      backward: (inputs, dY) => {
        const host = new Host64();
        const leaves = upload(host, inputs)
          .map((value) => new Variable(value, { needsGradient: true }));
        const tape = new Tape(host);
        const y = build(tape, leaves as unknown as readonly [Variable, Variable]);
        const gradient = host.empty(y.shape);
        (gradient.data as unknown as Float64Array).set(dY);
        tape.backward([{ variable: y, gradient }]);
        return leaves.map((leaf) => Float64Array.from(tape.gradientOf(leaf)!.data));
      },
      inputs: shapes.map((shape, i) => noise64(sizeOf(shape), { seed: SEED + i })),
      seed: SEED,
    });
  });
}
