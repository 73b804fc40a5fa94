import { assertThrows } from "@std/assert";
import { Rng } from "../../kernels/random/mod.ts";
import { tagRule } from "../../kernels/tag_rule/mod.ts";
import { tagRuleReference } from "../../kernels/tag_rule/reference.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 5;
const MEASURES = ["cosine", "euclidean", "kl"] as const;

Deno.test("tagRule() turns distances into closeness and gives untagged images the floor", () => {
  using host = new Host();
  const value = host.upload(new Float32Array([9, 3, 1]), [3]);
  const counts = host.upload(new Int32Array([1, 0, 7]), [3]);
  const probability = host.upload(new Float32Array([0.5, 1, 1]), [3]);
  const of = (measure: typeof MEASURES[number]) =>
    tagRule(host, { value, counts, probability }, { measure, floor: 0 }).data;
  assertClose(of("cosine"), [4.5, 0, 1], TOLERANCE.exact);
  assertClose(of("euclidean"), [0.125, 0, 0.5], TOLERANCE.exact);
  assertClose(of("kl"), [0.05, 0, 0.5], TOLERANCE.printed);
});

Deno.test("tagRule() refuses other lengths and types", () => {
  using host = new Host();
  const value = host.upload(new Float32Array(2), [2]);
  const counts = host.upload(new Int32Array(2), [2]);
  const rule = { measure: "cosine", floor: -1 } as const;
  assertThrows(() => tagRule(host, { value, counts: value }, rule), DTypeError, '"counts"');
  const three = host.upload(new Int32Array(3), [3]);
  assertThrows(() => tagRule(host, { value, counts: three }, rule), ShapeError, '"counts"');
  const probability = host.empty([3]);
  assertThrows(() => tagRule(host, { value, counts, probability }, rule), ShapeError);
  assertThrows(() => tagRule(host, { value: counts, counts }, rule), DTypeError, '"value"');
});

for (const images of [0, 1, 63, 65, 1000]) {
  gpuTest(
    `tagRule() on the GPU agrees with the reference for ${images} images`,
    async ({ gpu }) => {
      const rng = new Rng(SEED);
      const value = Float32Array.from({ length: images }, () => rng.uniform() * 4 - 0.1);
      const counts = Int32Array.from({ length: images }, () => rng.integer(3));
      const probability = Float32Array.from({ length: images }, () => rng.uniform());
      const inputs = {
        value: gpu.upload(value, [images]),
        counts: gpu.upload(counts, [images]),
      };
      const factors = gpu.upload(probability, [images]);
      for (const measure of MEASURES) {
        const rule = { measure, floor: -1 };
        const [plain, times] = await gpu.read(
          tagRule(gpu, inputs, rule),
          tagRule(gpu, { ...inputs, probability: factors }, rule),
        );
        const label = `seed ${SEED}, ${measure}`;
        const arrays = { value, counts };
        assertClose(plain!, tagRuleReference(arrays, rule), TOLERANCE.kernel, label);
        const expected = tagRuleReference({ ...arrays, probability }, rule);
        assertClose(times!, expected, TOLERANCE.kernel, label);
      }
    },
  );
}
