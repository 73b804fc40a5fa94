import { assertEquals, assertThrows } from "@std/assert";
import { Rng } from "../../kernels/random/mod.ts";
import {
  clopperPearson,
  eigh,
  GramSum,
  solveShortest,
  whitening,
} from "../../methods/numerics/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 5;

function randomSymmetric(size: number, rng: Rng): Float64Array<ArrayBuffer> {
  const matrix = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      matrix[i * size + j] = matrix[j * size + i] = rng.normal();
    }
  }
  return matrix;
}

/** vectors' diag(values) vectors. */
function rebuild(values: Float64Array, vectors: Float64Array): Float64Array<ArrayBuffer> {
  const n = values.length;
  const matrix = new Float64Array(n * n);
  for (let k = 0; k < n; k++) {
    for (let i = 0; i < n; i++) {
      const scaled = values[k]! * vectors[k * n + i]!;
      for (let j = 0; j < n; j++) {
        matrix[i * n + j] = matrix[i * n + j]! + scaled * vectors[k * n + j]!;
      }
    }
  }
  return matrix;
}

for (const size of [1, 2, 3, 7, 64, 65, 130]) {
  Deno.test(`eigh() rebuilds a random matrix of size ${size} from orthonormal vectors`, () => {
    const matrix = randomSymmetric(size, new Rng(SEED));
    const { values, vectors } = eigh(matrix, size);
    assertClose(rebuild(values, vectors), matrix, TOLERANCE.decomposition, `seed ${SEED}`);
    const identity = new Float64Array(size * size);
    for (let i = 0; i < size; i++) identity[i * size + i] = 1;
    const ones = new Float64Array(size).fill(1);
    assertClose(rebuild(ones, vectors), identity, TOLERANCE.decomposition, `seed ${SEED}`);
    assertEquals([...values], [...values].sort((a, b) => a - b));
  });
}

Deno.test("eigh() finds the eigenvalues of a matrix that is known in closed form", () => {
  // The second difference has the eigenvalues 2 - 2 cos(pi k / (n + 1)).
  const n = 40;
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    matrix[i * n + i] = 2;
    if (i > 0) matrix[i * n + i - 1] = matrix[(i - 1) * n + i] = -1;
  }
  const expected = Array.from(
    { length: n },
    (_, k) => 2 - 2 * Math.cos(Math.PI * (k + 1) / (n + 1)),
  );
  assertClose(eigh(matrix, n).values, expected, TOLERANCE.decomposition);
});

Deno.test("eigh() takes zero, identity and rank-deficient matrices", () => {
  assertEquals([...eigh(new Float64Array(9), 3).values], [0, 0, 0]);
  const identity = new Float64Array([1, 0, 0, 0, 1, 0, 0, 0, 1]);
  assertEquals([...eigh(identity, 3).values], [1, 1, 1]);
  const n = 30;
  const rank = 4;
  const rng = new Rng(SEED);
  const gram = new GramSum(n);
  gram.add(Float64Array.from({ length: rank * n }, () => rng.normal()), rank);
  const { values } = eigh(gram.value(), n);
  assertClose(values.subarray(0, n - rank), new Float64Array(n - rank), TOLERANCE.decomposition);
  assertEquals(values[n - rank]! > 1, true);
});

Deno.test("eigh() scales with the matrix from 1e-150 to 1e150", () => {
  const matrix = randomSymmetric(6, new Rng(SEED));
  const { values } = eigh(matrix, 6);
  for (const scale of [1e-150, 1e150]) {
    const scaled = eigh(matrix.map((value) => value * scale), 6).values;
    assertClose(scaled.map((value) => value / scale), values, TOLERANCE.decomposition);
  }
});

Deno.test("eigh() refuses a wrong size and what is not finite", () => {
  assertThrows(() => eigh(new Float64Array(3), 2), RangeError, "4 elements");
  assertThrows(() => eigh(new Float64Array([NaN]), 1), RangeError, "NaN");
});

Deno.test("whitening() factors the inverse of a regular matrix", () => {
  const { matrix, rank } = whitening(new Float64Array([2, 1, 1, 2]), 2);
  assertEquals(rank, 2);
  const product = [0, 1, 2, 3].map((at) => {
    const [i, j] = [at >> 1, at & 1];
    return matrix[2 * i]! * matrix[2 * j]! + matrix[2 * i + 1]! * matrix[2 * j + 1]!;
  });
  assertClose(product, [2 / 3, -1 / 3, -1 / 3, 2 / 3], TOLERANCE.float64);
});

Deno.test("whitening() cuts off relative to the largest eigenvalue", () => {
  const small = 3 * 2 ** -23;
  for (const scale of [1e-20, 1, 1e20]) {
    const diagonal = (value: number) =>
      new Float64Array([scale, 0, 0, 0, value * scale, 0, 0, 0, scale]);
    assertEquals(whitening(diagonal(small * 0.99), 3).rank, 2);
    assertEquals(whitening(diagonal(small * 1.01), 3).rank, 3);
  }
  assertEquals(whitening(new Float64Array(9), 3).rank, 0);
});

Deno.test("solveShortest() solves wide, tall and rank-deficient equations", () => {
  const wide = solveShortest(new Float32Array([1, 2, 2]), new Float32Array([9]));
  assertClose(wide, [1, 2, 2], TOLERANCE.float64);
  const tall = solveShortest(new Float32Array([1, 1, 1]), new Float32Array([1, 2, 6]));
  assertClose(tall, [3], TOLERANCE.float64);
  const deficient = solveShortest(new Float32Array([1, 1, 1, 1]), new Float32Array([1, 3]));
  assertClose(deficient, [1, 1], TOLERANCE.float64);
});

for (const columns of [1, 2, 5, 8]) {
  Deno.test(`GramSum adds ${columns} columns as a plain loop does, in any pieces`, () => {
    const rows = 600;
    const rng = new Rng(SEED);
    const data = Float32Array.from({ length: rows * columns }, () => rng.normal());
    const expected = new Float64Array(columns * columns);
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < columns; i++) {
        for (let j = 0; j < columns; j++) {
          expected[i * columns + j] = expected[i * columns + j]! +
            data[r * columns + i]! * data[r * columns + j]!;
        }
      }
    }
    const whole = new GramSum(columns);
    whole.add(data, rows);
    const pieces = new GramSum(columns);
    pieces.add(data.subarray(0, 7 * columns), 7);
    const rest = new GramSum(columns);
    rest.add(data.subarray(7 * columns), rows - 7);
    pieces.addGram(rest.value(), rest.rows);
    assertClose(whole.value(), expected, TOLERANCE.float64, `seed ${SEED}`);
    assertClose(pieces.value(), expected, TOLERANCE.float64, `seed ${SEED}`);
    assertEquals([whole.rows, pieces.rows], [rows, rows]);
  });
}

Deno.test("GramSum refuses rows of another length", () => {
  assertThrows(() => new GramSum(2).add(new Float32Array(3), 2), RangeError, "4 elements");
  assertThrows(() => new GramSum(2).addGram(new Float32Array(3), 2), RangeError, "4 elements");
});

Deno.test("clopperPearson() gives the quantiles that SciPy's beta distribution gives", () => {
  assertClose(clopperPearson(95, 100), [0.8871650888945373, 0.9835681208179478], TOLERANCE.printed);
  assertClose(clopperPearson(1, 3), [0.00840375865961264, 0.9057006759497539], TOLERANCE.printed);
  assertClose(clopperPearson(0, 10), [0, 0.3084971078187608], TOLERANCE.printed);
  assertClose(
    clopperPearson(19000, 20000, { confidence: 0.99 }),
    [0.9458970112778831, 0.9538871042374992],
    TOLERANCE.printed,
  );
});
