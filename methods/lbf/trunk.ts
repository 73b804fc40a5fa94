/**
 * A frozen trunk, run once over all images by onnxruntime; what it gives is kept for the training.
 *
 * @module
 */

import { type PixelSet, RowStore } from "../../data/mod.ts";
import type { PreprocessSpec } from "../../kernels/preprocess/spec.ts";
import { type HostArray, type Network, type OnnxModel, openSession } from "../../onnx/mod.ts";
import { sizeOf, UserError } from "../../runtime/mod.ts";
import type { CachedInput } from "./source.ts";

/** How a trunk is run. */
export interface TrunkOptions {
  /** What is done to an image before the model sees it. */
  readonly spec: PreprocessSpec;
  /** Name of the model's image input. */
  readonly input: string;
  /** Images in one run. */
  readonly batch: number;
  /** Folder for what does not fit into memory. */
  readonly folder?: string;
  /** Told how many images are done. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops the work. */
  readonly signal?: AbortSignal;
}

/** What a trunk gave; disposing it removes its files. */
export interface TrunkCache extends Disposable {
  /** One store for each of the network's inputs. */
  readonly inputs: readonly CachedInput[];
}

/**
 * Runs a network's trunk over all images, in WebAssembly, which beats software adapters and needs
 * no adapter.
 *
 * @param network A network that was cut.
 * @param pixels The images.
 * @param options Preprocessing and batch.
 * @returns The network's inputs for every image, channels last.
 * @throws {UserError} When the trunk gives another shape than the network expects.
 */
export async function runTrunk(
  network: Pick<Network, "inputs"> & { readonly trunk: OnnxModel },
  pixels: PixelSet,
  options: TrunkOptions,
): Promise<TrunkCache> {
  const { folder, batch, signal, onProgress } = options;
  const inputs = network.inputs.map(({ name, shape }): CachedInput => ({
    name,
    shape,
    rows: RowStore.open({
      rows: pixels.count,
      rowBytes: 4 * sizeOf(shape),
      ...(folder === undefined ? {} : { folder }),
    }),
  }));
  const cache: TrunkCache = {
    inputs,
    [Symbol.dispose]: () => inputs.forEach(({ rows }) => rows[Symbol.dispose]()),
  };
  try {
    await using session = await openSession(network.trunk, { device: "wasm", name: "trunk" });
    for (let begin = 0; begin < pixels.count; begin += batch) {
      signal?.throwIfAborted();
      const end = Math.min(pixels.count, begin + batch);
      const images = normalisedPlanes(pixels, { begin, end, spec: options.spec });
      const outputs = await session.run({ [options.input]: images });
      for (const input of inputs) keep(input, outputs[input.name] as HostArray, begin);
      onProgress?.(end, pixels.count);
    }
  } catch (error) {
    cache[Symbol.dispose]();
    throw error;
  }
  return cache;
}

function keep(input: CachedInput, output: HostArray, begin: number): void {
  const size = sizeOf(input.shape);
  const values = channelsLast(output, input.shape);
  if (values.length % size !== 0) {
    throw new UserError(
      `Cannot use the trunk: "${input.name}" comes as [${
        output.shape.join(", ")
      }] and the network ` +
        `takes [${input.shape.join(", ")}] for each image`,
    );
  }
  input.rows.write(begin, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

/** [N, C, H, W] as [N, H, W, C]; other shapes as they are. */
function channelsLast({ data, shape }: HostArray, inner: readonly number[]): Float32Array {
  const values = data as Float32Array;
  if (inner.length !== 3 || shape.length !== 4) return values;
  const [n = 0, c = 0, h = 0, w = 0] = shape;
  const plane = h * w;
  const moved = new Float32Array(values.length);
  for (let i = 0; i < n; i++) {
    for (let channel = 0; channel < c; channel++) {
      const from = (i * c + channel) * plane;
      for (let p = 0; p < plane; p++) moved[(i * plane + p) * c + channel] = values[from + p]!;
    }
  }
  return moved;
}

/** Images as a model in ONNX takes them. */
function normalisedPlanes(
  pixels: PixelSet,
  { begin, end, spec }: { begin: number; end: number; spec: PreprocessSpec },
): HostArray {
  const { height, width } = pixels;
  const plane = height * width;
  const count = end - begin;
  const bytes = pixels.rows.gather(Array.from({ length: count }, (_, i) => begin + i));
  const data = new Float32Array(3 * count * plane);
  for (let channel = 0; channel < 3; channel++) {
    const source = spec.channels === "BGR" ? 2 - channel : channel;
    const factor = spec.range / 255 / spec.scale[channel]!;
    const offset = spec.mean[channel]! / spec.scale[channel]!;
    for (let i = 0; i < count; i++) {
      const to = (3 * i + channel) * plane;
      const from = 3 * i * plane + source;
      for (let p = 0; p < plane; p++) data[to + p] = bytes[from + 3 * p]! * factor - offset;
    }
  }
  return { data, shape: [count, 3, height, width] };
}
