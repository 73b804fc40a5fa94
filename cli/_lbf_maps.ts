/**
 * Maps of where a model's features are long, before and after tuning, for a few images of each set.
 *
 * @module
 */

import { encodePng, type ImageSet } from "../data/mod.ts";
import type { ReportMap } from "../eval/mod.ts";
import { preprocessReference, type PreprocessSpec, resizeReference } from "../kernels/mod.ts";
import { exposeForExtraction, inspect, openSession, readModel, type Sidecar } from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { spreadOver } from "./_lbf.ts";
import { ID_SET, type LbfImageSets } from "./_lbf_sets.ts";

/** Whose maps are drawn. */
export interface MapOptions {
  /** The classifier before. */
  readonly before: string;
  /** The tuned classifier. */
  readonly after: string;
  /** What stands beside them. */
  readonly sidecar: Sidecar | undefined;
  /** Images of each set. */
  readonly count: number;
  /** Stops the work. */
  readonly signal: AbortSignal;
}

const PICTURE_SIDE = 96;

/** The norms of the features at every location, for images spread evenly over each set. */
export async function drawMaps(sets: LbfImageSets, options: MapOptions): Promise<ReportMap[]> {
  const maps: ReportMap[] = [];
  if (options.count === 0) return maps;
  await using before = await openMapper(options.before, options.sidecar);
  await using after = await openMapper(options.after, options.sidecar);
  for (const [set, images] of [[ID_SET, sets.id] as const, ...sets.ood]) {
    for (const index of spreadOver(images.count, options.count)) {
      options.signal.throwIfAborted();
      const image = await images.read(index).catch(() => undefined);
      if (image === undefined) continue;
      const [old, now] = [await before.norms(image), await after.norms(image)];
      maps.push({
        set,
        name: images.names[index]!,
        picture: await pictureOf(image),
        size: old.size,
        before: old.values,
        after: now.values,
      });
    }
  }
  return maps;
}

type Image = Awaited<ReturnType<ImageSet["read"]>>;

interface Mapper extends AsyncDisposable {
  norms(image: Image): Promise<{ size: readonly [number, number]; values: Float32Array }>;
}

async function openMapper(path: string, sidecar: Sidecar | undefined): Promise<Mapper> {
  const model = await readModel(path);
  const found = inspect(model, sidecar === undefined ? {} : { sidecar });
  const extraction = exposeForExtraction(model, found);
  const name = extraction.names.feature_map;
  const spec = found.preprocessing?.spec;
  if (name === undefined || spec === undefined) {
    throw new UserError(
      `Cannot draw maps of "${path}": ${found.reasons.featureMap ?? "it has no feature map"}`,
    );
  }
  const session = await openSession(extraction.model, { device: "wasm", name: path });
  const { image: input } = found;
  return {
    async norms(image) {
      const data = preprocessReference(image, spec);
      const shape = [1, 3, Number(input!.height), Number(input!.width)];
      const output = (await session.run({ [extraction.input]: { data, shape } }))[name]!;
      const values = output.data as Float32Array;
      const [, channels = 0, height = 0, width = 0] = output.shape;
      const area = height * width;
      const norms = Float32Array.from({ length: area }, (_, at) => {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += values[c * area + at]! ** 2;
        return Math.sqrt(sum);
      });
      return { size: [height, width], values: norms };
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}

const PICTURE: PreprocessSpec = {
  resize: { width: PICTURE_SIDE, height: PICTURE_SIDE },
  interpolation: "bicubic",
  channels: "RGB",
  range: 255,
  mean: [0, 0, 0],
  scale: [1, 1, 1],
  layout: "NCHW",
};

async function pictureOf(image: Image): Promise<string> {
  const png = await encodePng(resizeReference(image, PICTURE));
  return `data:image/png;base64,${png.toBase64()}`;
}
