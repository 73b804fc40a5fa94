import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  renderWorld,
  renderWorldBytes,
  renderWorldFlops,
  Rng,
  WORLD_PATTERNS,
  WORLD_TEXTURES,
  type WorldBackdrop,
  worldBounds,
  type WorldColour,
  worldCoverage,
  type WorldDrawing,
  type WorldPart,
  type WorldPattern,
  type WorldTexture,
} from "../../kernels/mod.ts";
import { Host } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, difference, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 12;
const DISC = [0.5, 0.5, 0.5, 0.5];
const SQUARE = [
  [0.2, 0.3, 0.8, 0.3],
  [0.8, 0.3, 0.8, 0.9],
  [0.8, 0.9, 0.2, 0.9],
  [0.2, 0.9, 0.2, 0.3],
].flat();

function colour(rng: Rng): WorldColour {
  return [rng.uniform(), rng.uniform(), rng.uniform()];
}

function axis(rng: Rng, most: number): [number, number, number] {
  return [most * (rng.uniform() - 0.5), most * (rng.uniform() - 0.5), 8 * rng.uniform()];
}

function backdrop(rng: Rng, texture: WorldTexture): WorldBackdrop {
  return {
    texture,
    colours: [colour(rng), colour(rng), colour(rng)],
    u: axis(rng, 12),
    v: axis(rng, 12),
    seed: rng.integer(1 << 24),
    duty: 0.2 + 0.6 * rng.uniform(),
    warp: 2 * rng.uniform(),
    noise: [0.5 + rng.uniform(), 0.5 + rng.uniform()],
    grain: 0.1 * rng.uniform(),
    light: [rng.uniform() - 0.5, rng.uniform() - 0.5],
  };
}

function part(rng: Rng, pattern: WorldPattern = "solid"): WorldPart {
  const corners = Array.from({ length: 1 + rng.integer(9) }, () => [rng.uniform(), rng.uniform()]);
  const plain = rng.integer(2) === 0;
  return {
    edges: corners.flatMap((from, i) => [...from, ...corners[(i + 1) % corners.length]!]),
    open: rng.integer(2) === 0,
    radius: 0.1 * rng.uniform(),
    shell: plain ? 0 : 0.05 * rng.uniform(),
    softness: plain ? 0 : 0.1 * rng.uniform(),
    opacity: 0.5 + 0.5 * rng.uniform(),
    fill: colour(rng),
    other: colour(rng),
    pattern,
    u: axis(rng, 16),
    v: axis(rng, 16),
    duty: 0.2 + 0.4 * rng.uniform(),
    outline: colour(rng),
    outlineWidth: plain ? 0.03 * rng.uniform() : 0,
  };
}

/** Every texture once, each under parts of every pattern. */
function drawings(seed: number): WorldDrawing[] {
  const rng = new Rng(seed);
  return WORLD_TEXTURES.map((texture) => ({
    backdrop: backdrop(rng, texture),
    parts: WORLD_PATTERNS.map((pattern) => part(rng, pattern)),
  }));
}

function plain(parts: readonly Partial<WorldPart>[]): WorldDrawing {
  const rng = new Rng(1);
  const black: WorldColour = [0, 0, 0];
  return {
    backdrop: {
      ...backdrop(rng, "gradient"),
      colours: [black, black, black],
      grain: 0,
      light: [0, 0],
    },
    parts: parts.map((values) => ({
      ...part(rng),
      open: false,
      radius: 0,
      shell: 0,
      softness: 0,
      opacity: 1,
      outlineWidth: 0,
      fill: [1, 1, 1],
      ...values,
    })),
  };
}

/** Mean of the red channel. */
function brightness(drawing: WorldDrawing, size: number): number {
  using host = new Host();
  const pixels = renderWorld(host, [drawing], { size }).data;
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 3) sum += pixels[i]!;
  return sum / size ** 2;
}

gpuTest(
  "renderWorld() agrees with its reference in every texture and pattern",
  async ({ gpu, host }) => {
    for (
      const [seed, size] of [[SEED, 64], [SEED + 1, 37], [SEED + 2, 1], [SEED + 3, 2]] as const
    ) {
      const pictures = drawings(seed);
      const expected = renderWorld(host, pictures, { size });
      for (const variant of ["boxes", "naive"] as const) {
        const [actual] = await gpu.read(renderWorld(gpu, pictures, { size, variant }));
        const area = 3 * size * size;
        WORLD_TEXTURES.forEach((texture, i) => {
          const one = (all: ArrayLike<number>) =>
            Array.prototype.slice.call(all, i * area, (i + 1) * area);
          const about = `${texture}, seed ${seed}, ${size} pixels, ${variant}`;
          assertClose(one(actual!), one(expected.data), TOLERANCE.colour, about);
        });
      }
    }
  },
);

gpuTest("renderWorld() rounds to bytes within one step of the reference", async ({ gpu, host }) => {
  const pictures = drawings(SEED);
  const [actual] = await gpu.read(renderWorld(gpu, pictures, { format: "rgba8" }));
  const expected = renderWorld(host, pictures, { format: "rgba8" });
  assertEquals(expected.shape, [pictures.length, 64, 64]);
  const bytes = (words: ArrayLike<number>) => new Uint8Array(Uint32Array.from(words).buffer);
  const found = difference(bytes(actual!), bytes(expected.data), TOLERANCE.byte);
  assertEquals(found.outside, 0, `worst ${found.worst}`);
  assert(bytes(actual!).every((value, i) => i % 4 !== 3 || value === 255));
});

gpuTest("renderWorld() gives a picture the same bits in any batch and order", async ({ gpu }) => {
  const pictures = drawings(SEED);
  const [all, reversed, ...alone] = await gpu.read(
    renderWorld(gpu, pictures, { size: 19 }),
    renderWorld(gpu, pictures.toReversed(), { size: 19 }),
    ...pictures.map((picture) => renderWorld(gpu, [picture], { size: 19 })),
  );
  const area = 3 * 19 * 19;
  pictures.forEach((_, i) => {
    const one = all!.subarray(i * area, (i + 1) * area);
    const back = pictures.length - 1 - i;
    assertEquals(alone[i], one);
    assertEquals(reversed!.subarray(back * area, (back + 1) * area), one);
  });
});

gpuTest("renderWorld() makes no pipelines or buffers in a steady loop", async ({ gpu }) => {
  const step = async (seed: number) => {
    using scope = gpu.scope();
    await scope.read(renderWorld(scope, drawings(seed).slice(0, 4), { size: 16 }));
  };
  for (const seed of [1, 2, 3]) await step(seed);
  const before = gpu.gpu.counters();
  for (const seed of [1, 2, 3]) await step(seed);
  const after = gpu.gpu.counters();
  assertEquals(after.pipelines, before.pipelines);
  assertEquals(after.pool.created, before.pool.created);
});

gpuTest("renderWorld() of nothing is an empty tensor", async ({ gpu, host }) => {
  assertEquals(renderWorld(host, []).shape, [0, 64, 64, 3]);
  const [none] = await gpu.read(renderWorld(gpu, [], { size: 3 }));
  assertEquals(none!.length, 0);
});

Deno.test("renderWorld() fills areas, holes, strokes, discs and rings by their measure", () => {
  const near = (drawing: WorldDrawing, area: number) =>
    assertAlmostEquals(brightness(drawing, 128), area, 2e-3);
  near(plain([{ edges: SQUARE }]), 0.36);
  near(plain([{ edges: DISC, open: true, radius: 0.3 }]), Math.PI * 0.09);
  near(plain([{ edges: DISC, open: true, radius: 0.3, shell: 0.05 }]), Math.PI * 0.6 * 0.1);
  const stroke = [0.2, 0.5, 0.8, 0.5];
  near(plain([{ edges: stroke, open: true, radius: 0.1 }]), 0.12 + Math.PI * 0.01);
  const hole = SQUARE.map((value, i) =>
    (i % 2 === 0 ? 0.5 : 0.6) + 0.5 * (value - (i % 2 === 0 ? 0.5 : 0.6))
  );
  near(plain([{ edges: [...SQUARE, ...hole] }]), 0.27);
  near(plain([{ edges: SQUARE, opacity: 0.5 }]), 0.18);
  // The rim lies inside the outline.
  near(plain([{ edges: SQUARE, outlineWidth: 0.1, outline: [0, 0, 0] }]), 0.16);
});

Deno.test("renderWorld() paints later parts over earlier ones, in the shares of their patterns", () => {
  const white: WorldColour = [1, 1, 1];
  const black: WorldColour = [0, 0, 0];
  // Of the rim's half-covered pixels a quarter stays.
  const covered = brightness(plain([{ edges: SQUARE }, { edges: SQUARE, fill: black }]), 64);
  assertAlmostEquals(covered, 0, 0.01);
  const striped = (pattern: WorldPattern, duty: number) =>
    brightness(
      plain([{
        edges: SQUARE,
        fill: black,
        other: white,
        pattern,
        duty,
        u: [10, 0, 0],
        v: [0, 10, 0],
      }]),
      128,
    ) / 0.36;
  assertAlmostEquals(striped("solid", 0.3), 0, 1e-6);
  assertAlmostEquals(striped("stripes", 0.3), 0.7, 0.01);
  assertAlmostEquals(striped("checks", 0.5), 0.5, 0.01);
  assertAlmostEquals(striped("dots", 0.3), Math.PI * 0.09, 0.01);
});

Deno.test("worldCoverage() and worldBounds() measure what renderWorld() paints", () => {
  const { parts } = plain([{ edges: SQUARE, radius: 0.05 }, {
    edges: DISC,
    open: true,
    radius: 0.1,
  }]);
  const mask = worldCoverage(parts, 64);
  const mean = mask.reduce((sum, value) => sum + value, 0) / mask.length;
  assertAlmostEquals(mean, brightness(plain(parts), 64), 1e-3);
  worldBounds(parts).forEach((value, i) => {
    assertAlmostEquals(value, [0.15, 0.25, 0.85, 0.95][i]!, 1e-12);
  });
  assertEquals(worldBounds([]), [0, 0, 0, 0]);
});

Deno.test("renderWorld() refuses sizes, variants and pictures that it cannot render", () => {
  using host = new Host();
  for (const size of [0, 1.5, 5000, NaN]) {
    assertThrows(() => renderWorld(host, [], { size }), RangeError, "from 1 to 4096");
  }
  const variant = "fast" as "naive";
  assertThrows(() => renderWorld(host, [], { variant }), RangeError, "boxes, naive");
  const long = plain([{ edges: new Array(4 * 60_000).fill(0) }]);
  assertThrows(() => renderWorld(host, [plain([]), long]), RangeError, "drawing 1");
});

Deno.test("renderWorldFlops() and renderWorldBytes() grow with pixels and parts", () => {
  const picture = plain([{ edges: SQUARE }]);
  assertEquals(renderWorldFlops([picture], 4), 4 * renderWorldFlops([picture], 2));
  assertEquals(renderWorldFlops([picture], 1) - renderWorldFlops([plain([])], 1), 60 + 4 * 22);
  assertEquals(renderWorldBytes([picture], 2) - renderWorldBytes([plain([])], 2), 16 * 11);
});
