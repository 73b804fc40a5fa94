/** The stages of an extraction: decoding, preprocessing, the model, reducing maps, writing. */

import { DecodePool, type DecodeSuccess } from "../data/decode_pool.ts";
import type { FeatureRows, FeatureWriter, SkippedImage } from "../data/feature_writer.ts";
import { countsKeyOf } from "../data/ragged.ts";
import { channelNorms } from "../kernels/channel_norms/mod.ts";
import { preprocessImages } from "../kernels/preprocess/mod.ts";
import { type Context, Tensor, type TypedArray, UserError } from "../runtime/mod.ts";
import type { Executor, LoadedModel, Plan } from "./_extraction_plan.ts";
import { reduceBatch, reducedOutputs } from "./_extraction_reduce.ts";
import { BatchLimit, ReopenedSession } from "./_memory.ts";
import { sumHeads, TAGGER_KEYS, type TaggerKey, taggerProblem } from "./_tagger.ts";
import type { ExtractionOptions } from "./extraction_options.ts";
import type { Odin } from "./odin.ts";
import { type HostArray, type OnnxSession, openSession } from "./session.ts";
import type { SidecarOutputs } from "./sidecar.ts";

const MIN_LOOK_AHEAD = 4;
/** Bytes of decoded images that may wait for their batch. */
const LOOK_AHEAD_BYTES = 1 << 28;
/** Bytes of decoded images in one batch: photos of a camera fill a batch sooner. */
const BATCH_BYTES = 1 << 27;
const DEFAULT_FLUSH_SECONDS = 10;
/**
 * Batches that are issued before the oldest is awaited. What a reducer reads in a second step waits
 * behind the batch that was issued meanwhile; with one more the GPU is not idle until it is there.
 */
const AHEAD = { plain: 1, reduced: 2 } as const;

/** Decoded images that go through the model together. */
interface Batch {
  /** Images, the skipped ones included. */
  readonly images: number;
  readonly loaded: readonly DecodeSuccess[];
  readonly skipped: readonly SkippedImage[];
}

/** Arrays by key, with a row for each image or packed. */
type Arrays = Readonly<Record<string, HostArray>>;

/** A batch whose results are on their way. */
interface Issued {
  readonly batch: Batch;
  readonly outputs: Promise<Arrays>;
}

/** Stages that are timed on this thread or summed over workers. */
type Stage = "decode" | "preprocess" | "backbone" | "store" | "starved";

/** One call's way through the images. */
export class ExtractionRun {
  readonly seconds: Record<Stage, number> = {
    decode: 0,
    preprocess: 0,
    backbone: 0,
    store: 0,
    starved: 0,
  };
  processed = 0;
  readonly #options: ExtractionOptions;
  readonly #source: LoadedModel;
  readonly #plan: Plan;
  readonly #executor: Executor;
  readonly #odin: Odin | undefined;
  readonly #writer: FeatureWriter;
  readonly #begin: number = performance.now();
  readonly #limit: BatchLimit;
  #session: ReopenedSession | undefined;
  /** Batches whose results nobody awaits yet, in order. */
  #issued: Issued[] = [];
  /** Those of them that may have suffered from another one's lack of memory. */
  readonly #stale: Set<Batch> = new Set();
  #storing: Promise<void> = Promise.resolve();
  #lastFlush = performance.now();
  #broken = false;
  /** The image that index 0 of the pool's results is. */
  readonly #first: number;

  constructor(parts: {
    options: ExtractionOptions;
    source: LoadedModel;
    plan: Plan;
    executor: Executor;
    odin: Odin | undefined;
    writer: FeatureWriter;
  }) {
    this.#options = parts.options;
    this.#source = parts.source;
    this.#plan = parts.plan;
    this.#executor = parts.executor;
    this.#odin = parts.odin;
    this.#writer = parts.writer;
    this.#first = parts.writer.position;
    this.#limit = new BatchLimit(parts.plan.batch, "images", parts.options.onWarning);
  }

  /** Does the images from the writer's position on, until the end or the signal. */
  async work(): Promise<void> {
    const { workers } = this.#options;
    await using session = await ReopenedSession.open(() => this.#openSession());
    this.#session = session;
    using pool = new DecodePool({
      lookAhead: await this.#lookAhead(),
      ...(workers === undefined ? {} : { workers }),
    });
    let failure: unknown;
    try {
      await this.#pump(pool);
    } catch (error) {
      failure = error;
    }
    // Whatever happened, rows that are done go to disk.
    await this.#storing.catch((error) => failure ??= error);
    await this.timed("store", () => this.#writer.flush()).catch((error) => failure ??= error);
    if (failure !== undefined) throw failure;
  }

  #openSession(): Promise<OnnxSession> {
    const { gpu, device } = this.#executor;
    const { threads } = this.#options;
    return openSession(this.#source.extraction.model, {
      device,
      name: this.#source.name,
      ...(gpu === undefined ? {} : { gpu }),
      ...(threads === undefined ? {} : { threads }),
    });
  }

  /** Adds the time of a task to a stage. */
  async timed<T>(stage: Stage, task: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      return await task();
    } finally {
      this.seconds[stage] += (performance.now() - begin) / 1000;
    }
  }

  /**
   * Issues a batch before the one before it is awaited, and writes the one before that meanwhile:
   * no stage waits for another that has nothing to do with it. When something fails, the batches
   * before it are still written.
   */
  async #pump(pool: DecodePool): Promise<void> {
    const batches = this.#batches(pool);
    const issued = this.#issued;
    const inSteps = this.#options.reduce !== undefined && this.#executor.device === "webgpu";
    const ahead = inSteps ? AHEAD.reduced : AHEAD.plain;
    try {
      while (!this.#options.signal?.aborted) {
        const next = await this.timed("starved", () => batches.next());
        if (next.done) break;
        issued.push(await this.#issue(next.value));
        if (issued.length > ahead) await this.#collect(issued.shift()!);
      }
    } finally {
      try {
        while (issued.length > 0 && !this.#broken) await this.#collect(issued.shift()!);
      } finally {
        // Those behind a failure are not stored, but nothing may go on after this call.
        await Promise.allSettled(issued.map(({ outputs }) => outputs));
        await batches.return(undefined);
      }
    }
  }

  /** Decoded images in fixed runs; where a run ends depends on nothing but the images. */
  async *#batches(pool: DecodePool): AsyncGenerator<Batch, void, undefined> {
    const { images, strict = false } = this.#options;
    const first = this.#first;
    const { end } = this.#writer;
    const items = async function* () {
      for (let i = first; i < end; i++) yield await images.item(i);
    };
    const preprocess = this.#executor.device === "wasm" ? { preprocess: this.#plan.spec } : {};
    let loaded: DecodeSuccess[] = [];
    let skipped: SkippedImage[] = [];
    let bytes = 0;
    const take = (): Batch => {
      const batch = { images: loaded.length + skipped.length, loaded, skipped };
      loaded = [];
      skipped = [];
      bytes = 0;
      return batch;
    };
    for await (const result of pool.map(items(), preprocess)) {
      if (result.error === undefined) {
        this.seconds.decode += result.seconds.decode;
        this.seconds.preprocess += result.seconds.preprocess;
        loaded.push(result);
        bytes += bytesOf(result);
      } else if (strict) {
        // What is left of its batch goes too: a resume must cut the same batches.
        throw result.error;
      } else {
        const { index, name, error } = result;
        skipped.push({ index: first + index, name, reason: error.reason });
      }
      const full = loaded.length + skipped.length >= this.#plan.batch || bytes >= BATCH_BYTES;
      if (full) yield take();
    }
    if (loaded.length + skipped.length > 0) yield take();
  }

  /**
   * Sends a batch through preprocessing, the model and the reduction; results come later. Where so
   * many images do not fit into memory, its parts go one after the other.
   */
  async #issue(batch: Batch): Promise<Issued> {
    if (batch.loaded.length <= this.#limit.size) {
      try {
        const { outputs } = await this.#issueAtOnce(batch);
        // It is awaited a batch later; until then a failure must not count as unhandled.
        outputs.catch(() => {});
        return { batch, outputs };
      } catch (error) {
        await this.#takeLess(batch.loaded.length, error);
      }
    }
    const parts: Arrays[] = [];
    for (let start = 0; start < batch.loaded.length;) {
      const loaded = batch.loaded.slice(start, start + this.#limit.size);
      try {
        const { outputs } = await this.#issueAtOnce({ images: loaded.length, loaded, skipped: [] });
        parts.push(await this.timed("backbone", () => outputs));
        start += loaded.length;
      } catch (error) {
        await this.#takeLess(loaded.length, error);
      }
    }
    return { batch, outputs: Promise.resolve(stacked(parts)) };
  }

  /** The outputs come wrapped, because an async function would await them. */
  async #issueAtOnce(batch: Batch): Promise<Pick<Issued, "outputs">> {
    if (batch.loaded.length === 0) return { outputs: Promise.resolve({}) };
    if (this.#executor.device === "webgpu") return await this.#issueOnGpu(batch);
    const arrays = await this.timed("backbone", () => this.#runInWasm(batch));
    return { outputs: Promise.resolve(arrays) };
  }

  /**
   * Goes on with half as many images at a time, and with a new session: after a lack of memory the
   * old one may fail whatever it is given.
   *
   * @throws The error when it is of another kind, or there is nothing to halve.
   */
  async #takeLess(tried: number, error: unknown): Promise<void> {
    this.#limit.halve(tried, error);
    // Nothing may go on in the old session.
    await Promise.allSettled(this.#issued.map(({ outputs }) => outputs));
    // WebGPU does not say whose memory it was.
    if (this.#executor.device === "webgpu") {
      for (const { batch } of this.#issued) this.#stale.add(batch);
    }
    await this.#session!.reopen();
  }

  /** What came of a batch, if need be of a second attempt. */
  async #resultsOf({ batch, outputs }: Issued): Promise<Arrays> {
    let results = this.#stale.delete(batch) ? (await this.#issue(batch)).outputs : outputs;
    for (;;) {
      try {
        return await results;
      } catch (error) {
        await this.#takeLess(Math.min(batch.loaded.length, this.#limit.size), error);
        results = (await this.#issue(batch)).outputs;
      }
    }
  }

  async #issueOnGpu(batch: Batch): Promise<Pick<Issued, "outputs">> {
    const gpu = this.#executor.gpu!;
    using scope = gpu.scope();
    const begin = performance.now();
    const images = batch.loaded.map(({ image }) => image!);
    const input = preprocessImages(scope, images, this.#plan.spec);
    gpu.flush();
    this.seconds.preprocess += (performance.now() - begin) / 1000;
    const outputs = await this.timed(
      "backbone",
      () => this.#session!.current.run({ [this.#source.extraction.input]: input }),
    );
    const { reduce } = this.#options;
    const kept = new Set<unknown>();
    try {
      this.#checkTagger(batch, outputs);
      const rows = this.#rows(scope, outputs);
      // What it returns is written over by the next batch, after the copy below.
      if (this.#odin !== undefined) rows.push(["odin_logits", this.#odin.logits(input)]);
      const onGpu = rows.filter((row): row is [string, Tensor] => row[1] instanceof Tensor);
      // The copies are submitted before this returns, so the outputs may go.
      const read = gpu.read(...onGpu.map(([, tensor]) => tensor));
      const toHost = (arrays: readonly TypedArray[]) =>
        Object.fromEntries(rows.map(([key, value]): [string, HostArray] => {
          if (!(value instanceof Tensor)) return [key, asStored(key, value)];
          const data = arrays[onGpu.findIndex(([name]) => name === key)]!;
          return [key, asStored(key, { data: floats(data), shape: value.shape })];
        }));
      const stored = read.then(toHost);
      if (reduce === undefined) return { outputs: stored };
      const names = this.#source.extraction.names;
      for (const output of reducedOutputs(reduce, { outputs, names })) kept.add(output);
      const reduced = this.#reduce(batch, outputs);
      return { outputs: joined(stored, reduced) };
    } finally {
      for (const output of Object.values(outputs)) {
        if (output instanceof Tensor && !kept.has(output)) output.dispose();
      }
    }
  }

  /** What the reducer makes of a batch; nothing where there is none. */
  async #reduce(
    batch: Batch,
    outputs: Readonly<Record<string, Tensor | HostArray>>,
  ): Promise<Arrays> {
    const { reduce } = this.#options;
    if (reduce === undefined) return {};
    return await reduceBatch(this.#executor.ctx, reduce, {
      outputs,
      names: this.#source.extraction.names,
      images: { names: batch.loaded.map(({ name }) => name), labels: this.#labels(batch) },
      refuse: (key, image) => this.#notFinite(key, { what: "a NaN or an infinity", batch, image }),
    });
  }

  async #runInWasm(batch: Batch): Promise<Record<string, HostArray>> {
    const { width, height } = this.#plan.size;
    const count = batch.loaded.length;
    const image = 3 * width * height;
    const data = new Float32Array(count * image);
    batch.loaded.forEach(({ pixels }, i) => data.set(pixels!, i * image));
    const input = { data, shape: [count, 3, height, width] };
    const moved = this.#moveImages(input);
    // It is awaited after the model; until then a failure must not count as unhandled.
    moved.catch(() => {});
    const outputs = await this.#session!.current.run({ [this.#source.extraction.input]: input });
    this.#checkTagger(batch, outputs);
    using scope = this.#executor.ctx.scope();
    return {
      ...await this.#reduce(batch, outputs),
      ...Object.fromEntries(
        this.#rows(scope, outputs).map(([key, value]): [string, HostArray] => [
          key,
          asStored(
            key,
            value instanceof Tensor ? { data: floats(value.data), shape: value.shape } : value,
          ),
        ]),
      ),
      ...await moved,
    };
  }

  /** ODIN's logits of images that are not where it computes; nothing where they are not wanted. */
  async #moveImages(
    { data, shape }: { data: Float32Array<ArrayBuffer>; shape: readonly number[] },
  ): Promise<Record<string, HostArray>> {
    if (this.#odin === undefined) return {};
    const { ctx } = this.#odin;
    using scope = ctx.scope();
    using logits = this.#odin.logits(scope.upload(data, shape));
    const [read] = await ctx.read(logits);
    return { "odin_logits": { data: read as Float32Array<ArrayBuffer>, shape: logits.shape } };
  }

  /** The graph may tell no shapes, or others than there are. */
  #checkTagger(batch: Batch, outputs: Readonly<Record<string, Tensor | HostArray>>): void {
    const { inspection, name, extraction: { names } } = this.#source;
    const images = batch.loaded.length;
    const shapes: Partial<Record<TaggerKey, readonly number[]>> = {};
    for (const key of TAGGER_KEYS) {
      const shape = names[key] === undefined ? undefined : outputs[names[key]]!.shape;
      if (shape !== undefined) shapes[key] = shape;
    }
    const problem = taggerProblem(shapes, inspection, images);
    if (problem !== undefined) throw new UserError(`Cannot extract with "${name}": ${problem}`);
  }

  /** What is stored of a run's outputs as it is, and of the map the norms. */
  #rows(
    ctx: Context,
    outputs: Readonly<Record<string, Tensor | HostArray>>,
  ): [string, Tensor | HostArray][] {
    const { rows, extraction: { names } } = this.#source;
    return rows.map((key): [string, Tensor | HostArray] => {
      if (key !== "feature_norms") return [key, outputs[names[key as keyof SidecarOutputs]!]!];
      const output = outputs[names.feature_map!]!;
      const map = output instanceof Tensor ? output : ctx.upload(output.data, output.shape);
      return [key, channelNorms(ctx, { map })];
    });
  }

  /** Awaits a batch's results, has the ones before it written, and hands these on to be written. */
  async #collect(issued: Issued): Promise<void> {
    const { batch } = issued;
    // Set until all went well: rows after a gap would belong to other images.
    this.#broken = true;
    const arrays = await this.timed("backbone", () => this.#resultsOf(issued));
    this.#limit.worked();
    this.#check(batch, arrays);
    await this.#storing;
    const rows = this.#toRows(batch, arrays);
    this.#storing = this.#store(rows);
    this.#storing.catch(() => {});
    this.processed += batch.images;
    this.#broken = false;
  }

  async #store(rows: FeatureRows): Promise<void> {
    const begin = performance.now();
    const hidden = this.#occupied();
    await this.#writer.append(rows);
    const { flushSeconds = DEFAULT_FLUSH_SECONDS, onProgress } = this.#options;
    if (performance.now() - this.#lastFlush >= flushSeconds * 1000) {
      await this.#writer.flush();
      this.#lastFlush = performance.now();
    }
    // Writing goes on beside the other stages; only what it adds to them counts.
    const elapsed = (performance.now() - begin) / 1000;
    this.seconds.store += Math.max(0, elapsed - (this.#occupied() - hidden));
    onProgress?.({
      done: this.#writer.position - this.#writer.start,
      total: this.#writer.end - this.#writer.start,
      skipped: this.#writer.skipped.length,
      processed: this.processed,
      seconds: (performance.now() - this.#begin) / 1000,
    });
  }

  /** Seconds that this thread has spent on the other stages. */
  #occupied(): number {
    return this.seconds.backbone + this.seconds.starved;
  }

  #toRows(batch: Batch, arrays: Arrays): FeatureRows {
    const { images, loaded, skipped } = batch;
    if (loaded.length === 0) return { images, arrays: {}, skipped };
    const labels = { data: this.#labels(batch), shape: [loaded.length] };
    return { images, arrays: { ...arrays, labels }, skipped };
  }

  #labels({ loaded }: Batch): Int32Array<ArrayBuffer> {
    return Int32Array.from(loaded, ({ index }) => this.#plan.labels[this.#first + index]!);
  }

  /** A model that gives NaN is stopped at once, not when its features are read. */
  #check(batch: Batch, arrays: Arrays): void {
    for (const [key, { data, shape }] of Object.entries(arrays)) {
      if (key === "feature_map" || !(data instanceof Float32Array)) continue;
      const wrong = data.findIndex((value) => !Number.isFinite(value));
      if (wrong < 0) {
        if (key === "image_embed") this.#checkDirections(batch, { data, shape });
        continue;
      }
      const row = Math.floor(wrong / (data.length / shape[0]!));
      const counts = arrays[countsKeyOf(key) ?? ""]?.data;
      const image = counts === undefined ? row : imageOfRow(row, counts);
      throw this.#notFinite(key, { what: String(data[wrong]), batch, image });
    }
  }

  /** An embedding of nothing but zeros has no direction, by which all embeddings are compared. */
  #checkDirections(batch: Batch, { data, shape }: HostArray): void {
    const [images, width] = shape as [number, number];
    for (let image = 0; image < images; image++) {
      if (data.subarray(image * width, (image + 1) * width).some((value) => value !== 0)) continue;
      throw this.#notFinite("image_embed", { what: "nothing but zeros", batch, image });
    }
  }

  #notFinite(
    key: string,
    { what, batch, image }: { what: string; batch: Batch; image: number },
  ): UserError {
    return new UserError(
      `Cannot extract with "${this.#source.name}": it gives ${what} in "${key}" for the image ` +
        `"${batch.loaded[image]!.name}"; check the model and its preprocessing`,
    );
  }

  /** How many images may be decoded ahead: two batches, or what fits the memory set aside. */
  async #lookAhead(): Promise<number> {
    const { width, height } = this.#plan.size;
    let bytes = 3 * width * height * Float32Array.BYTES_PER_ELEMENT;
    if (this.#executor.device === "webgpu") {
      // One image stands for all; when it is damaged the pool will say so.
      const image = await this.#options.images.read(this.#first).catch(() => undefined);
      bytes = image?.data.length ?? bytes;
    }
    const fits = Math.floor(LOOK_AHEAD_BYTES / bytes);
    return Math.max(MIN_LOOK_AHEAD, Math.min(2 * this.#plan.batch, fits));
  }
}

/** The image that a row of a ragged array belongs to. */
function imageOfRow(row: number, counts: ArrayLike<number>): number {
  let image = 0;
  for (let left = row - counts[0]!; left >= 0; left -= counts[++image]!);
  return image;
}

/** The arrays of all parts; it fails only when none of them goes on any more. */
async function joined(
  ...parts: readonly Promise<Arrays>[]
): Promise<Arrays> {
  const settled = await Promise.allSettled(parts);
  return Object.assign(
    {},
    ...settled.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    }),
  );
}

/** The rows of all parts, one below the other. */
function stacked(parts: readonly Arrays[]): Arrays {
  const [first = {}] = parts;
  return Object.fromEntries(
    Object.entries(first).map(([key, { data, shape }]): [string, HostArray] => {
      const arrays = parts.map((part) => part[key]!);
      const length = arrays.reduce((sum, array) => sum + array.data.length, 0);
      const all = data instanceof Int32Array ? new Int32Array(length) : new Float32Array(length);
      let end = 0;
      for (const array of arrays) {
        all.set(array.data, end);
        end += array.data.length;
      }
      const rows = arrays.reduce((sum, array) => sum + array.shape[0]!, 0);
      return [key, { data: all, shape: [rows, ...shape.slice(1)] }];
    }),
  );
}

/** An array as it is stored: attention is summed over its heads. */
function asStored(key: string, array: HostArray): HostArray {
  return key === "attention" && array.shape.length === 4 ? sumHeads(array) : array;
}

function bytesOf({ image, pixels }: DecodeSuccess): number {
  return (image?.data ?? pixels)?.byteLength ?? 0;
}

function floats(data: TypedArray): HostArray["data"] {
  return data instanceof Uint32Array ? Float32Array.from(data) : data;
}
