import { assertThrows } from "@std/assert";
import { combineRows } from "../../kernels/combine_rows/mod.ts";
import { combineRowsReference } from "../../kernels/combine_rows/reference.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 11;

Deno.test("combineRows() takes a column, scales it and adds the root of a vector", () => {
  using host = new Host();
  const a = host.upload(new Float32Array([1, 2, 3, 4]), [2, 2]);
  const b = host.upload(new Float32Array([9, -1]), [2]);
  const y = combineRows(host, { a, b }, { column: 1, scale: -1, otherScale: 2, root: true });
  assertClose(y.data, [-2 + 6, -4 + 0], TOLERANCE.exact);
});

Deno.test("combineRows() passes a vector through by default", () => {
  using host = new Host();
  const a = host.upload(new Float32Array([1, -2]), [2]);
  assertClose(combineRows(host, { a }).data, [1, -2], TOLERANCE.exact);
});

Deno.test("combineRows() refuses other lengths, types and columns", () => {
  using host = new Host();
  const a = host.empty([2, 2]);
  assertThrows(() => combineRows(host, { a, b: host.empty([3]) }), ShapeError, '"b"');
  assertThrows(() => combineRows(host, { a: host.empty([2, 2, 2]) }), ShapeError, '"a"');
  assertThrows(() => combineRows(host, { a: host.empty([2], "u32") }), DTypeError, '"a"');
  assertThrows(() => combineRows(host, { a }, { column: 2 }), RangeError, "column 2");
});

for (const rows of [0, 1, 63, 64, 65, 1000, 65 * 65536]) {
  gpuTest(
    `combineRows() on the GPU agrees with the reference for ${rows} rows`,
    async ({ gpu }) => {
      const rng = new Rng(SEED);
      const columns = rows > 1000 ? 1 : 3;
      const data = Float32Array.from({ length: rows * columns }, () => rng.normal());
      const other = Float32Array.from({ length: rows }, () => rng.normal());
      const how = { scale: -1.5, otherScale: 0.5, root: true };
      const a = gpu.upload(data, [rows, columns]);
      const b = gpu.upload(other, [rows]);
      const column = columns - 1;
      const [actual, alone] = await gpu.read(
        combineRows(gpu, { a, b }, { column, ...how }),
        combineRows(gpu, { a }, { column, scale: -1 }),
      );
      const label = `seed ${SEED}`;
      const from = { data, columns, column };
      assertClose(actual!, combineRowsReference(from, other, how), TOLERANCE.kernel, label);
      const negated = { ...how, scale: -1 };
      assertClose(alone!, combineRowsReference(from, undefined, negated), TOLERANCE.exact, label);
    },
  );
}
