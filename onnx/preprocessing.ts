/**
 * What preprocessing a model most likely wants when nothing says so, and what it comes to.
 *
 * @module
 */

import { preprocessedSize } from "../kernels/preprocess/reference.ts";
import type { PreprocessSpec } from "../kernels/preprocess/spec.ts";
import { UserError } from "../runtime/errors.ts";
import type { ImageInput, Inspection, ModelPreprocessing } from "./inspection.ts";

/** A preprocessing that gives every image the size that a model takes. */
export interface CompletePreprocessing extends ModelPreprocessing {
  /** Size of the model's input. */
  readonly size: { readonly width: number; readonly height: number };
}

/**
 * The usual preprocessing for an input of this size, for models that come without a sidecar:
 * shorter side to the input's size, centre crop, RGB in 0..1, ImageNet's mean and deviation.
 *
 * @param image The image input.
 * @returns The description, or undefined when the input's size is open or it takes no colour.
 *
 * @example A 224-pixel input
 * ```ts
 * import { guessPreprocessing } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = ["N", 3, 224, 224];
 * const spec = guessPreprocessing({
 *   name: "x",
 *   shape,
 *   batch: "N",
 *   channels: 3,
 *   height: 224,
 *   width: 224,
 * });
 * assertEquals(spec?.crop, { width: 224, height: 224 });
 * ```
 */
export function guessPreprocessing(image: ImageInput): PreprocessSpec | undefined {
  const { height, width } = image;
  if (typeof height !== "number" || typeof width !== "number" || image.channels !== 3) {
    return undefined;
  }
  return {
    resize: { shorter: Math.max(height, width) },
    crop: { width, height },
    interpolation: "bilinear",
    channels: "RGB",
    range: 1,
    mean: [0.485, 0.456, 0.406],
    scale: [0.229, 0.224, 0.225],
    layout: "NCHW",
  };
}

/**
 * The preprocessing of a model's images, completed to the size of its input and checked against it.
 *
 * @param inspection What is known of the model.
 * @param options `preprocessing`: goes before what the inspection says.
 * @returns The description, whether it is a guess, and the size that it gives.
 * @throws {UserError} When the model takes no images, nothing says how they are preprocessed, or
 * they come out in different sizes or in another size than the model's.
 *
 * @example The model's size completes it
 * ```ts
 * import { completePreprocessing, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const found = inspect(await readModel("models/cifar10-resnet20.onnx"));
 * const { crop: _, ...open } = found.preprocessing!.spec;
 * const { spec } = completePreprocessing(found, { preprocessing: open });
 * assertEquals(spec.crop, { width: 32, height: 32 });
 * ```
 */
export function completePreprocessing(
  inspection: Inspection,
  options: { readonly preprocessing?: PreprocessSpec | undefined } = {},
): CompletePreprocessing {
  const { image, name, preprocessing } = inspection;
  const refuse = (why: string) => new UserError(`Cannot prepare images for "${name}": ${why}`);
  if (image === undefined) throw refuse(inspection.reasons.image ?? "it takes none");
  const given = options.preprocessing ?? preprocessing?.spec;
  if (given === undefined) {
    throw refuse(
      `nothing says how they are preprocessed; give it a sidecar with "preprocessing"`,
    );
  }
  const guessed = options.preprocessing === undefined && preprocessing!.guessed;
  const { width, height } = image;
  const known = typeof width === "number" && typeof height === "number"
    ? { width, height }
    : undefined;
  const spec = completed(given, known);
  const fixed = spec.crop ??
    (spec.resize !== undefined && "width" in spec.resize ? spec.resize : undefined);
  if (fixed === undefined) {
    throw refuse(
      `its preprocessing leaves them in different sizes; add a "crop" with a width and a height`,
    );
  }
  const size = preprocessedSize(fixed, spec);
  if (known !== undefined && (known.width !== size.width || known.height !== size.height)) {
    throw refuse(
      `its preprocessing gives ${size.width} x ${size.height} pixels and the model takes ` +
        `${known.width} x ${known.height}`,
    );
  }
  return { spec, size, guessed };
}

/** Without a crop or a whole size, the model's own size completes the description. */
function completed(
  spec: PreprocessSpec,
  size: { readonly width: number; readonly height: number } | undefined,
): PreprocessSpec {
  if (size === undefined || spec.crop !== undefined) return spec;
  if (spec.resize === undefined) return { ...spec, resize: size };
  return "shorter" in spec.resize ? { ...spec, crop: size } : spec;
}
