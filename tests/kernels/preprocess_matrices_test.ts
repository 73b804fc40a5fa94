import { assert, assertEquals } from "@std/assert";
import {
  preprocessMatrices,
  preprocessReference,
  type PreprocessSpec,
} from "../../kernels/preprocess/mod.ts";
import { makeImage } from "../_support/images.ts";
import { assertClose, TOLERANCE, type Tolerance } from "../_support/tolerance.ts";

const BASE: PreprocessSpec = {
  interpolation: "bilinear",
  channels: "RGB",
  range: 1,
  mean: [0.5, 0.4, 0.3],
  scale: [0.2, 0.3, 0.4],
  layout: "NCHW",
};

/** What the matrices make of an image, as planes. */
function applied(image: ReturnType<typeof makeImage>, spec: PreprocessSpec): Float64Array {
  const { from, to, rows, columns, bias } = preprocessMatrices(image, spec);
  assertEquals(from, { width: image.width, height: image.height });
  const [narrow, wide] = [from.width * 3, to.width * 3];
  const mixed = new Float64Array(to.height * narrow);
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < narrow; x++) {
      let sum = rows === undefined ? image.data[y * narrow + x]! / 255 : 0;
      for (let i = 0; rows !== undefined && i < from.height; i++) {
        sum += rows[y * from.height + i]! * image.data[i * narrow + x]! / 255;
      }
      mixed[y * narrow + x] = sum;
    }
  }
  const planes = new Float64Array(to.height * wide);
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < wide; x++) {
      let sum = bias[x]!;
      for (let i = 0; i < narrow; i++) sum += mixed[y * narrow + i]! * columns[i * wide + x]!;
      planes[(x % 3) * to.height * to.width + y * to.width + Math.floor(x / 3)] = sum;
    }
  }
  return planes;
}

/** Both passes of a resize of bytes round to bytes: a byte each at most, in units of the input. */
function rounding(spec: PreprocessSpec): Tolerance {
  return { absolute: 1.01 * spec.range / 255 / Math.min(...spec.scale), relative: 1e-6 };
}

const SPECS: Readonly<Record<string, PreprocessSpec>> = {
  "a smaller size": { ...BASE, resize: { width: 9, height: 6 } },
  "a larger size, cropped": { ...BASE, resize: { shorter: 24 }, crop: { width: 20, height: 22 } },
  "the other order of channels": { ...BASE, channels: "BGR", resize: { width: 8, height: 12 } },
  "padding": { ...BASE, resize: { shorter: 8 }, crop: { width: 15, height: 14 } },
  "bicubic": { ...BASE, interpolation: "bicubic", resize: { width: 11, height: 9 } },
  "a range of 255": {
    ...BASE,
    range: 255,
    mean: [104, 117, 123],
    scale: [58, 57, 57],
    resize: { width: 9, height: 6 },
  },
};

for (const [name, spec] of Object.entries(SPECS)) {
  Deno.test(`preprocessMatrices() comes to what preprocessing of bytes does for ${name}`, () => {
    // Smooth, so that a bicubic filter does not leave the range of colours.
    const image = makeImage(16, 12, (x, y, c) => 40 + 8 * x + 5 * y + 10 * c);
    assertClose(applied(image, spec), preprocessReference(image, spec), rounding(spec));
  });
}

Deno.test("preprocessMatrices() without a resize is exact", () => {
  const image = makeImage(5, 4);
  for (const spec of [BASE, { ...BASE, crop: { width: 3, height: 4 } }]) {
    assertClose(applied(image, spec), preprocessReference(image, spec), TOLERANCE.kernel);
  }
  assertEquals(preprocessMatrices(image, BASE).rows, undefined);
});

Deno.test("preprocessMatrices() mixes to the whole: a grey image stays what it is", () => {
  const { rows, columns, bias } = preprocessMatrices({ width: 16, height: 12 }, {
    ...BASE,
    mean: [0, 0, 0],
    scale: [1, 1, 1],
    resize: { width: 7, height: 5 },
  });
  assert(bias.every((value) => Object.is(Math.abs(value), 0)));
  for (let y = 0; y < 5; y++) {
    assertClose(
      [rows!.subarray(12 * y, 12 * y + 12).reduce((a, b) => a + b)],
      [1],
      TOLERANCE.kernel,
    );
  }
  for (let x = 0; x < 21; x++) {
    let sum = 0;
    for (let i = 0; i < 48; i++) sum += columns[21 * i + x]!;
    assertClose([sum], [1], TOLERANCE.kernel);
  }
});
