/**
 * What is settled before the first image of an extraction: the model and its parts, where it runs,
 * preprocessing, labels, and the file with its metadata.
 */

import { createHash } from "node:crypto";
import { alignLabels, type ImageSet } from "../data/images.ts";
import type { SafetensorsArray } from "../data/safetensors.ts";
import { FeatureWriter } from "../data/feature_writer.ts";
import type { PreprocessSpec } from "../kernels/preprocess/mod.ts";
import { type Context, Gpu, GpuUnavailableError, Host, UserError } from "../runtime/mod.ts";
import { withBlock } from "./block.ts";
import { chooseKeys } from "./_extraction_keys.ts";
import { exposeForExtraction, type ExtractionModel } from "./expose.ts";
import type { ExtractionDevice, ExtractionOptions, OdinStart } from "./extraction_options.ts";
import { headWeights } from "./head_weights.ts";
import { inspect } from "./inspect.ts";
import type { Inspection } from "./inspection.ts";
import { type OnnxModel, parseModel, readModel, writeModel } from "./model.ts";
import { completePreprocessing } from "./preprocessing.ts";
import { loadSidecar } from "./sidecar.ts";
import config from "../deno.json" with { type: "json" };

/**
 * Images in one run: as many as make so many floats of input, within limits. In WebAssembly more
 * does not make it faster and less keeps the stages in step; a GPU wants more at a time.
 */
const BATCHES = {
  wasm: { floats: 1 << 21, least: 8, most: 64 },
  webgpu: { floats: 1 << 23, least: 8, most: 256 },
} as const;
/** Going back keeps all values of the way forward: ODIN takes fewer images at a time. */
const ODIN_BATCHES = { floats: 1 << 20, least: 1, most: 64 } as const;
const STATS_AT_ONCE = 64;

/** A model and what is known of it. */
export interface LoadedModel {
  readonly model: OnnxModel;
  readonly name: string;
  readonly sha256: string;
  readonly inspection: Inspection;
  readonly extraction: ExtractionModel;
  /** The keys that are stored of the model's values without a reducer. */
  readonly rows: readonly string[];
}

export async function loadModel(options: ExtractionOptions): Promise<LoadedModel> {
  const isPath = typeof options.model === "string";
  const path = isPath ? options.model as string : "model";
  const model = isPath ? await readModel(path) : parseModel(options.model as Uint8Array);
  const sidecar = options.sidecar ?? (isPath ? await loadSidecar(path) : undefined);
  const found = inspect(model, sidecar === undefined ? {} : { sidecar });
  const { block } = options;
  const inspection = block === undefined ? found : withBlock(found, { model, block });
  const name = path.split(/[\\/]/).pop()!;
  const { outputs, rows } = chooseKeys({ ...inspection, name }, options);
  return {
    model,
    name,
    sha256: await hashModel(options.model, model),
    inspection,
    extraction: exposeForExtraction(
      model,
      inspection,
      outputs.length === 0 ? {} : { keys: outputs },
    ),
    rows,
  };
}

/** The hash of the file; of the whole model where its data lie in other files. */
export async function hashModel(source: string | Uint8Array, model: OnnxModel): Promise<string> {
  const bytes = typeof source === "string" ? await Deno.readFile(source) : source;
  let data = 0;
  for (const tensor of model.graph.initializers.values()) data += tensor.rawData?.length ?? 0;
  const whole = data > bytes.length ? writeModel(model) : bytes;
  return createHash("sha256").update(whole).digest("hex");
}

/** Where kernels and the model run. */
export interface Executor extends AsyncDisposable {
  readonly device: "webgpu" | "wasm";
  /** In words: which adapter, or wasm. */
  readonly name: string;
  /** Where kernels run. */
  readonly ctx: Context;
  readonly gpu: Gpu | undefined;
}

export async function openExecutor(
  options: Pick<ExtractionOptions, "device" | "gpu">,
): Promise<Executor> {
  const { device = "auto" } = options;
  const wasm = (): Executor => ({
    device: "wasm",
    name: "wasm",
    ctx: new Host(),
    gpu: undefined,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  if (device === "wasm") return wasm();
  const gpu = options.gpu ?? await openGpu(device);
  if (gpu === undefined) return wasm();
  if (device === "auto" && gpu.adapter.isSoftware) {
    if (options.gpu === undefined) gpu[Symbol.dispose]();
    return wasm();
  }
  return {
    device: "webgpu",
    name: nameOf(gpu),
    ctx: gpu,
    gpu,
    async [Symbol.asyncDispose]() {
      // Whatever is wrong with the device was thrown by what used it.
      await gpu.idle().catch(() => {});
      if (options.gpu === undefined) gpu[Symbol.dispose]();
    },
  };
}

/** In words: which adapter. */
export function nameOf({ adapter }: Gpu): string {
  const { description, device, vendor } = adapter;
  return `webgpu, ${description || `${vendor} ${device}`}`;
}

async function openGpu(device: ExtractionDevice): Promise<Gpu | undefined> {
  try {
    return await Gpu.open();
  } catch (error) {
    if (device === "auto" && error instanceof GpuUnavailableError) return undefined;
    throw error;
  }
}

/** What is decided before the first image. */
export interface Plan {
  readonly spec: PreprocessSpec;
  readonly guessed: boolean;
  /** Size of the model's input. */
  readonly size: { readonly width: number; readonly height: number };
  readonly batch: number;
  /** Keys of rows and of the head. */
  readonly keys: readonly string[];
  readonly labels: Int32Array<ArrayBuffer>;
  readonly labelNames: readonly string[] | undefined;
  readonly unknownClasses: readonly string[];
}

export function makePlan(
  options: ExtractionOptions,
  source: LoadedModel,
  executor: Executor,
): Plan {
  const { inspection } = source;
  const { spec, size, guessed } = completePreprocessing(inspection, options);
  const batch = options.batch ?? defaultBatch(options, { size, device: executor.device });
  if (!Number.isInteger(batch) || batch < 1) {
    throw new UserError(
      `Cannot extract in batches of ${batch}: a whole number from 1 was expected`,
    );
  }
  const rows = [
    ...source.rows,
    ...(options.odin === undefined ? [] : ["odin_logits"]),
    ...(options.reduce?.stored ?? []),
  ];
  return {
    spec,
    guessed,
    size,
    batch,
    keys: [...rows, "labels", ...(inspection.head ? ["head.weight", "head.bias"] : [])],
    ...labelsFor(options.images, inspection),
  };
}

function defaultBatch(
  { odin }: ExtractionOptions,
  { size, device }: Pick<Plan, "size"> & Pick<Executor, "device">,
): number {
  const limits = [BATCHES[device], ...(odin === undefined ? [] : [ODIN_BATCHES])];
  return Math.min(...limits.map(({ floats, least, most }) => {
    const fitting = Math.floor(floats / (3 * size.width * size.height));
    return Math.max(least, Math.min(most, fitting));
  }));
}

/** Labels in the model's order; -1 where the model has no such class. */
function labelsFor(
  images: ImageSet,
  inspection: Inspection,
): Pick<Plan, "labels" | "labelNames" | "unknownClasses"> {
  const { labels: names, classes } = inspection;
  if (names !== undefined) {
    const aligned = alignLabels(images, names, { unknown: "ignore" });
    return {
      labels: aligned.labels,
      labelNames: names,
      unknownClasses: aligned.unknownClasses,
    };
  }
  // Folders are numbered by name, which is the model's order only if they are the model's classes.
  const same = images.classNames.length === 0 || classes === undefined ||
    images.classNames.length === classes;
  if (!same) {
    const labels = new Int32Array(images.count).fill(-1);
    return { labels, labelNames: undefined, unknownClasses: images.classNames };
  }
  const highest = images.labels.reduce((a, b) => Math.max(a, b), -1);
  if (classes !== undefined && highest >= classes) {
    throw new UserError(
      `Cannot use the labels of "${images.path}": there is a label ${highest} and the model has ` +
        `${classes} classes`,
    );
  }
  const labelNames = images.classNames.length > 0 ? images.classNames : undefined;
  return { labels: images.labels, labelNames, unknownClasses: [] };
}

export async function openWriter(
  options: ExtractionOptions,
  parts: {
    source: LoadedModel;
    plan: Plan;
    executor: Executor;
    odin: OdinStart | undefined;
  },
): Promise<FeatureWriter> {
  const { source, plan, executor, odin } = parts;
  const { head, featureMap, features, reasons, tags, tagThresholds } = source.inspection;
  const { images } = options;
  const shared: Record<string, SafetensorsArray> = { ...options.shared };
  if (head !== undefined) {
    const { weight, bias } = headWeights(source.model, head);
    shared["head.weight"] = { data: weight, shape: [head.classes, head.channels] };
    shared["head.bias"] = { data: bias, shape: [head.classes] };
  }
  const values = [["features", features?.value], ["feature_map", featureMap?.value]] as const;
  return await FeatureWriter.open(options.out, {
    names: images.names,
    config: {
      model: source.name,
      model_hash: source.sha256,
      preprocessing: JSON.stringify(plan.spec),
      data_sha256: await hashImages(images),
      device: executor.name,
      keys: plan.keys.join(","),
      ...(options.reduce === undefined ? {} : { reduction: options.reduce.identity }),
      ...(odin === undefined ? {} : {
        odin_temperature: String(odin.temperature),
        odin_epsilon: String(odin.epsilon),
        odin_device: odin.deviceName,
      }),
      ...Object.fromEntries(
        values.flatMap(([key, value]) => value === undefined ? [] : [[`value_of_${key}`, value]]),
      ),
    },
    metadata: {
      ...options.metadata,
      batch: String(plan.batch),
      data: images.path.split(/[\\/]/).filter((part) => part !== "").pop() ?? "",
      deno: Deno.version.deno,
      oodgpu: config.version,
      onnxruntime_web: config.imports["onnxruntime-web"].split("@").pop()!,
      ...(plan.labelNames === undefined ? {} : { label_names: JSON.stringify(plan.labelNames) }),
      ...(plan.guessed ? { preprocessing_guessed: "true" } : {}),
      ...(tags === undefined ? {} : { tag_names: JSON.stringify(tags) }),
      ...(tagThresholds === undefined ? {} : { tag_thresholds: JSON.stringify(tagThresholds) }),
      // What needs the head or the attention quotes why there is none.
      ...(reasons.head === undefined ? {} : { "head.reason": reasons.head }),
      ...(reasons.attention === undefined ? {} : { "attention.reason": reasons.attention }),
    },
    shared,
    ...(options.featureMap === "f16" ? { dtypes: { feature_map: "F16" as const } } : {}),
    ...(options.shard === undefined ? {} : { shard: options.shard }),
    ...(options.layout === undefined ? {} : { layout: options.layout }),
    resume: options.resume ?? false,
  });
}

/** A hash of the images' names and sizes in bytes: it sees other files, and reads none. */
async function hashImages(images: ImageSet): Promise<string> {
  const hash = createHash("sha256");
  for (let start = 0; start < images.count; start += STATS_AT_ONCE) {
    const names = images.names.slice(start, start + STATS_AT_ONCE);
    const sizes = await Promise.all(names.map((_, i) => sizeOfItem(images, start + i)));
    names.forEach((name, i) => hash.update(`${name}\0${sizes[i]}\0`));
  }
  return hash.digest("hex");
}

async function sizeOfItem(images: ImageSet, index: number): Promise<number> {
  const { path, bytes, image } = await images.item(index);
  if (path === undefined) return bytes?.length ?? image?.data.length ?? 0;
  // A file that is missing will be reported when its turn to be decoded comes.
  return await Deno.stat(path).then(({ size }) => size, () => -1);
}
