import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import {
  preprocessBytes,
  preprocessedSize,
  preprocessFlops,
  preprocessImages,
  preprocessReference,
  type PreprocessSpec,
  resizeReference,
  type RgbImage,
  Rng,
  stageImages,
  validatePreprocessSpec,
} from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import golden from "../golden/preprocess.json" with { type: "json" };
import { gpuTest } from "../_support/gpu.ts";

const SPEC: PreprocessSpec = {
  interpolation: "bilinear",
  channels: "RGB",
  range: 255,
  mean: [0, 0, 0],
  scale: [1, 1, 1],
  layout: "NCHW",
};

/** The images of tests/golden/preprocess.py. */
const IMAGES: Readonly<Record<string, (width: number, height: number, seed: number) => RgbImage>> =
  {
    noise(width, height, seed) {
      let state = seed;
      const data = Uint8Array.from({ length: width * height * 3 }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state >>> 24;
      });
      return { width, height, data };
    },
    photo(width, height, seed) {
      const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
        const channel = i % 3;
        const x = Math.floor(i / 3) % width;
        const y = Math.floor(i / 3 / width);
        let value = (x * (3 + channel) + y * (5 - channel) + seed * 17) % 511;
        value = value < 256 ? value : 510 - value;
        if ((Math.floor(x / 7) + Math.floor(y / 5)) % 4 === channel) value = 255 - value;
        if ((x * y + seed) % 23 === 0) value = 255 * ((x + y) % 2);
        return value;
      });
      return { width, height, data };
    },
  };

interface GoldenCase {
  readonly image: string;
  readonly width: number;
  readonly height: number;
  readonly seed: number;
  readonly interpolation: string;
  readonly resize?: PreprocessSpec["resize"];
  readonly crop?: PreprocessSpec["crop"];
  readonly size: readonly number[];
  readonly sha256: string;
}

const CASES = golden.cases as unknown as readonly GoldenCase[];

function imageOf(row: GoldenCase): RgbImage {
  return IMAGES[row.image]!(row.width, row.height, row.seed);
}

function specOf(row: GoldenCase): PreprocessSpec {
  return {
    ...SPEC,
    interpolation: row.interpolation as PreprocessSpec["interpolation"],
    ...(row.resize === undefined ? {} : { resize: row.resize }),
    ...(row.crop === undefined ? {} : { crop: row.crop }),
  };
}

function sha256(bytes: Uint8Array | Uint8ClampedArray): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Planes back to pixels; the specification is the identity apart from the layout. */
function pixelsOf(planes: ArrayLike<number>): Uint8Array {
  const plane = planes.length / 3;
  return Uint8Array.from(planes, (_, i) => planes[i % 3 * plane + Math.floor(i / 3)]!);
}

Deno.test("resizeReference() gives the bytes of PIL and the crop of torchvision", () => {
  for (const row of CASES) {
    const { width, height, data } = resizeReference(imageOf(row), specOf(row));
    assertEquals([width, height], row.size, JSON.stringify(row));
    assertEquals(sha256(data), row.sha256, JSON.stringify(row));
  }
});

gpuTest(
  "preprocessImages() gives the bytes of PIL on the GPU in every variant",
  async ({ gpu }) => {
    for (const variant of ["passes", "naive"] as const) {
      // The naive kernel reads taps * taps pixels for each one, and lavapipe silently ends an
      // invocation after 65,535 turns of its loops: photos to 3 x 3 pixels are beyond that.
      const rows = CASES.filter(({ width, height, size }) =>
        variant === "passes" || Math.max(width * height, size[0]! * size[1]!) < 20_000
      );
      assert(rows.length > 100);
      const outputs = rows.map((row) =>
        preprocessImages(gpu, [imageOf(row)], specOf(row), { variant })
      );
      const planes = await gpu.read(...outputs);
      rows.forEach((row, i) => {
        assertEquals(sha256(pixelsOf(planes[i]!)), row.sha256, `${variant} ${JSON.stringify(row)}`);
      });
    }
  },
);

gpuTest("preprocessImages() does a batch of mixed sizes as it does each image", async ({ gpu }) => {
  const seed = 4;
  const rng = new Rng(seed);
  const sizes = [[20, 16], [33, 7], [20, 16], [1, 90], [40, 40], [57, 58], [16, 20]];
  const images = sizes.map(([width, height]) => ({
    width: width!,
    height: height!,
    data: Uint8Array.from({ length: width! * height! * 3 }, () => rng.integer(256)),
  }));
  const spec: PreprocessSpec = {
    resize: { width: 20, height: 16 },
    crop: { width: 20, height: 16 },
    interpolation: "bicubic",
    channels: "BGR",
    range: 1,
    mean: [0.406, 0.456, 0.485],
    scale: [0.225, 0.224, 0.229],
    layout: "NCHW",
  };
  const expected = images.map((image) => preprocessReference(image, spec));
  // Uploads of 1 KiB cut single images into bands; 100 MiB takes all at once.
  for (const variant of ["passes", "naive"] as const) {
    for (const uploadBytes of [1, 1 << 10, 5000, 100 << 20]) {
      const output = preprocessImages(gpu, images, spec, { variant, uploadBytes });
      assertEquals(output.shape, [7, 3, 16, 20]);
      const [planes] = await gpu.read(output);
      const whole = expected.flatMap((image) => [...image]);
      assertEquals([...planes!], whole, `seed ${seed}, ${variant}, uploads of ${uploadBytes}`);
    }
  }
});

gpuTest("preprocessImages() normalises without a resize in one dispatch", async ({ gpu, host }) => {
  const images = [1, 2, 3].map((seed) => IMAGES.noise!(5, 7, seed));
  const spec: PreprocessSpec = { ...SPEC, range: 1, mean: [0.5, 0.4, 0.3], scale: [0.2, 0.3, 0.4] };
  const before = gpu.gpu.counters().dispatches;
  const output = preprocessImages(gpu, images, spec);
  assertEquals(gpu.gpu.counters().dispatches - before, 1);
  const [planes] = await gpu.read(output);
  const [expected] = await host.read(preprocessImages(host, images, spec));
  assertEquals(planes, expected);
});

gpuTest("preprocessImages() makes no buffers or pipelines in a steady loop", async ({ gpu }) => {
  const spec: PreprocessSpec = {
    ...SPEC,
    resize: { shorter: 24 },
    crop: { width: 24, height: 24 },
  };
  const step = async (seed: number) => {
    using scope = gpu.scope();
    const images = [IMAGES.noise!(60, 40, seed), IMAGES.noise!(24, 24, seed)];
    await scope.read(preprocessImages(scope, images, spec));
  };
  await step(1);
  await step(2);
  const before = gpu.gpu.counters();
  for (let seed = 3; seed < 8; seed++) await step(seed);
  const after = gpu.gpu.counters();
  assertEquals(after.pool.created, before.pool.created);
  assertEquals(after.pipelines, before.pipelines);
  assertEquals(after.bindGroups, before.bindGroups);
});

gpuTest(
  "stageImages() gives what preprocessImages() gives, as often as asked",
  async ({ gpu }) => {
    const images = [IMAGES.photo!(31, 17, 1), IMAGES.photo!(12, 40, 2)];
    const spec: PreprocessSpec = {
      ...SPEC,
      resize: { shorter: 14 },
      crop: { width: 12, height: 13 },
    };
    const staged = stageImages(gpu, images, spec);
    const [once, first, second] = await gpu.read(
      preprocessImages(gpu, images, spec),
      staged.preprocess(gpu),
      staged.preprocess(gpu),
    );
    assertEquals(first, once);
    assertEquals(second, once);
  },
);

Deno.test("preprocessReference() orders channels and normalises each with its own mean", () => {
  const image = { width: 2, height: 1, data: new Uint8Array([255, 0, 51, 0, 255, 102]) };
  const rgb = preprocessReference(image, {
    ...SPEC,
    range: 1,
    mean: [0.5, 0, 0],
    scale: [0.5, 1, 0.2],
  });
  assertEquals([...rgb], [1, -1, 0, 1, 1, 2]);
  const bgr = preprocessReference(image, { ...SPEC, channels: "BGR", mean: [1, 2, 3] });
  assertEquals([...bgr], [50, 101, -2, 253, 252, -3]);
});

Deno.test("preprocessReference() leaves the image alone", () => {
  const image = IMAGES.noise!(9, 6, 3);
  const before = image.data.slice();
  preprocessReference(image, { ...SPEC, crop: { width: 4, height: 12 } });
  preprocessReference(image, SPEC);
  assertEquals(image.data, before);
});

Deno.test("preprocessImages() refuses an empty batch, missing pixels and unequal results", async () => {
  const { Host } = await import("../../runtime/mod.ts");
  using host = new Host();
  const image = IMAGES.noise!(4, 3, 1);
  assertThrows(() => preprocessImages(host, [], SPEC), RangeError, "empty");
  const short = { ...image, data: image.data.subarray(1) };
  assertThrows(() => preprocessImages(host, [short], SPEC), RangeError, "36 bytes and has 35");
  const other = IMAGES.noise!(3, 4, 1);
  assertThrows(
    () => preprocessImages(host, [image, other], { ...SPEC, resize: { shorter: 8 } }),
    UserError,
    "10 x 8 pixels and another as 8 x 10",
  );
});

gpuTest("preprocessImages() refuses a variant that does not exist", ({ gpu }) => {
  const image = IMAGES.noise!(4, 3, 1);
  const options = { variant: "fast" as "naive" };
  assertThrows(() => preprocessImages(gpu, [image], SPEC, options), RangeError, "passes, naive");
});

Deno.test("preprocessedSize() follows torchvision's rule for the shorter side", () => {
  const spec: PreprocessSpec = { ...SPEC, resize: { shorter: 256 } };
  assertEquals(preprocessedSize({ width: 500, height: 375 }, spec), { width: 341, height: 256 });
  assertEquals(preprocessedSize({ width: 375, height: 500 }, spec), { width: 256, height: 341 });
  assertEquals(preprocessedSize({ width: 9, height: 4 }, SPEC), { width: 9, height: 4 });
});

Deno.test("preprocessFlops() and preprocessBytes() count what the crop leaves", () => {
  const spec: PreprocessSpec = {
    ...SPEC,
    resize: { width: 4, height: 8 },
    interpolation: "nearest",
  };
  const sizes = [{ width: 8, height: 16 }];
  // One weight for each pixel: 15 rows (the first is never taken) of 4, then 8 rows of 4.
  assertEquals(preprocessFlops(sizes, spec), 3 * 32 + 6 * (15 * 4 + 32));
  assertEquals(preprocessBytes(sizes, spec), 3 * (8 * 15 + 4 * 32) + 8 * 4 * 15);
  const half = { ...spec, crop: { width: 4, height: 4 } };
  assert(preprocessFlops(sizes, half) < preprocessFlops(sizes, spec));
});

Deno.test("validatePreprocessSpec() takes what a sidecar may say and nothing else", () => {
  const good = { ...SPEC, resize: { shorter: 256 }, crop: { width: 224, height: 224 } };
  assertEquals(validatePreprocessSpec(good), good);
  const bad: readonly (readonly [string, unknown])[] = [
    ["resize", 256],
    ["resize", { shorter: 0 }],
    ["resize", { width: 3 }],
    ["resize", { shorter: 3, width: 3 }],
    ["crop", { width: 3, height: 2.5 }],
    ["crop", { width: 3, height: 1e6 }],
    ["interpolation", "lanczos"],
    ["channels", "rgb"],
    ["range", 2],
    ["mean", [1, 2]],
    ["mean", [1, 2, NaN]],
    ["scale", [1, 0, 1]],
    ["scale", [1, 1e-60, 1]],
    ["layout", "NHWC"],
  ];
  for (const [key, value] of bad) {
    assertThrows(
      () => validatePreprocessSpec({ ...good, [key]: value }, { source: '"m.json"' }),
      UserError,
      `Cannot use "m.json": "${key}" must be`,
    );
  }
  assertThrows(() => validatePreprocessSpec({ ...good, std: [1] }), UserError, `"std" is unknown`);
  assertThrows(() => validatePreprocessSpec([good]), UserError, "must be an object");
  const { layout: _, ...without } = good;
  assertThrows(() => validatePreprocessSpec(without), UserError, "undefined");
});
