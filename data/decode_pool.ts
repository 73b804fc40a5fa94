/**
 * Decoding on several threads: images go out to Web Workers and come back in order.
 *
 * @module
 */

import type { PreprocessSpec, RgbImage } from "../kernels/preprocess/spec.ts";
import { type ImageItem, type LoadedItem, loadItem, type LoadSeconds } from "./_load_item.ts";
import { ImageError } from "./image.ts";

export type { ImageItem, LoadSeconds, PreprocessSpec };

/** How a pool is made. */
export interface DecodePoolOptions {
  /**
   * How many workers; 0 decodes on the calling thread. One less than the machine's cores when left
   * out, at least 1 and at most 8; 0 where there are no workers.
   */
  readonly workers?: number;
  /** How many images may be under way or waiting to be taken; four times the workers by default. */
  readonly lookAhead?: number;
}

/** An image that was decoded. */
export interface DecodeSuccess {
  /** Its place among the items. */
  readonly index: number;
  /** Its name. */
  readonly name: string;
  /** The pixels; undefined when preprocessing was asked for. */
  readonly image: RgbImage | undefined;
  /** The model's input, f32 [3, H, W], when preprocessing was asked for. */
  readonly pixels: Float32Array<ArrayBuffer> | undefined;
  /** How long it took its worker. */
  readonly seconds: LoadSeconds;
  /** Undefined. */
  readonly error: undefined;
}

/** An image that could not be decoded. */
export interface DecodeFailure {
  /** Its place among the items. */
  readonly index: number;
  /** Its name. */
  readonly name: string;
  /** Undefined. */
  readonly image: undefined;
  /** Undefined. */
  readonly pixels: undefined;
  /** Why. */
  readonly error: ImageError;
}

/** What comes of an item. */
export type DecodeResult = DecodeSuccess | DecodeFailure;

interface Job {
  readonly index: number;
  readonly item: ImageItem;
  readonly preprocess: PreprocessSpec | undefined;
  readonly resolve: (result: DecodeResult) => void;
}

interface Member {
  readonly worker: Worker;
  /** What it was sent and has not answered, oldest first: it answers in order. */
  readonly jobs: Job[];
  ready: boolean;
}

// Taken when this module is loaded: onnxruntime-web puts Node's Worker in its place while a session
// opens, and a pool that starts its workers at that moment would get those.
const WebWorker: typeof Worker | undefined = globalThis.Worker;

// Enough that a worker does not wait for the main thread between two small images.
const MIN_JOBS_A_WORKER = 3;

function success(job: Job, loaded: LoadedItem): DecodeResult {
  return {
    index: job.index,
    name: job.item.name,
    image: loaded.image,
    pixels: loaded.pixels,
    seconds: loaded.seconds,
    error: undefined,
  };
}

function failure({ index, item: { name } }: Job, reason: string): DecodeResult {
  const error = new ImageError(name, reason);
  return { index, name, image: undefined, pixels: undefined, error };
}

/** A new worker; undefined where there are none, or the worker's file cannot be loaded. */
function startWorker(): Worker | undefined {
  if (WebWorker === undefined) return undefined;
  try {
    return new WebWorker(new URL("./decode_worker.ts", import.meta.url), { type: "module" });
  } catch {
    return undefined;
  }
}

/**
 * A pool of decode workers. Where workers cannot be had it decodes on the calling thread, with the
 * same results.
 *
 * @example Pixels of two images, in order
 * ```ts
 * import { DecodePool } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * using pool = new DecodePool({ workers: 0 });
 * const image = { width: 1, height: 1, data: new Uint8Array(3) };
 * const names = [];
 * for await (const result of pool.map([{ name: "a", image }, { name: "b", image }])) {
 *   names.push(result.name);
 * }
 * assertEquals(names, ["a", "b"]);
 * ```
 */
export class DecodePool implements Disposable {
  #wanted: number;
  #lookAhead: number;
  #members: Member[] = [];
  #waiting: Job[] = [];
  #disposed = false;

  /**
   * Makes a pool; its workers start with the first image.
   *
   * @param options How many workers, and how far they may run ahead.
   * @throws {RangeError} If a number is negative or no whole number.
   */
  constructor(options: DecodePoolOptions = {}) {
    const cores = navigator.hardwareConcurrency ?? 1;
    const workers = options.workers ?? Math.min(8, Math.max(1, cores - 1));
    const lookAhead = options.lookAhead ?? Math.max(4, 4 * workers);
    if (!Number.isInteger(workers) || workers < 0) {
      throw new RangeError(`Cannot make a decode pool: workers must be 0 or more: ${workers}`);
    }
    if (!Number.isInteger(lookAhead) || lookAhead < 1) {
      throw new RangeError(`Cannot make a decode pool: lookAhead must be 1 or more: ${lookAhead}`);
    }
    this.#wanted = WebWorker === undefined ? 0 : workers;
    this.#lookAhead = lookAhead;
  }

  /** How many workers it uses; 0 when it decodes on the calling thread. */
  get workers(): number {
    return this.#wanted;
  }

  /**
   * Decodes images; a damaged one gives a failure in its place and stops nothing.
   *
   * @param items The images.
   * @param options `preprocess`: give the model's input instead of the image, made on the worker.
   * @returns A result for each item, in order. No more than `lookAhead` are held at a time.
   * @throws {TypeError} If the pool is disposed.
   *
   * @example A damaged image
   * ```ts
   * import { DecodePool } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * using pool = new DecodePool({ workers: 0 });
   * for await (const result of pool.map([{ name: "a.jpg", bytes: new Uint8Array(0) }])) {
   *   assertEquals(result.error?.reason, "the file is empty");
   * }
   * ```
   */
  async *map(
    items: Iterable<ImageItem> | AsyncIterable<ImageItem>,
    options: { readonly preprocess?: PreprocessSpec } = {},
  ): AsyncGenerator<DecodeResult> {
    const iterator = Symbol.asyncIterator in items
      ? items[Symbol.asyncIterator]()
      : items[Symbol.iterator]();
    const pending: Promise<DecodeResult>[] = [];
    let index = 0;
    let ended = false;
    try {
      while (true) {
        while (!ended && pending.length < this.#lookAhead) {
          const next = await iterator.next();
          if (next.done) ended = true;
          else pending.push(this.#submit(next.value, index++, options.preprocess));
        }
        const first = pending.shift();
        if (first === undefined) return;
        yield await first;
      }
    } finally {
      if (!ended) await iterator.return?.();
    }
  }

  #submit(
    item: ImageItem,
    index: number,
    preprocess: PreprocessSpec | undefined,
  ): Promise<DecodeResult> {
    if (this.#disposed) throw new TypeError("Cannot decode: the pool is disposed");
    return new Promise((resolve) => {
      this.#waiting.push({ index, item, preprocess, resolve });
      this.#hire();
      this.#assign();
    });
  }

  /** Starts the workers when the first image comes, and anew when one has fallen. */
  #hire(): void {
    while (this.#members.length < this.#wanted) {
      const worker = startWorker();
      if (worker === undefined) {
        this.#goInline();
        return;
      }
      const member: Member = { worker, jobs: [], ready: false };
      worker.onmessage = (event) => this.#receive(member, event.data);
      worker.onerror = (event) => {
        event.preventDefault();
        this.#lose(member, event.message);
      };
      worker.onmessageerror = () => this.#lose(member, "its answer could not be read");
      this.#members.push(member);
    }
  }

  #assign(): void {
    if (this.#wanted === 0) {
      for (const job of this.#waiting.splice(0)) this.#runInline(job);
      return;
    }
    // All that may be under way is handed out at once: a model that runs in WebAssembly blocks the
    // calling thread for seconds, and the workers should not run dry meanwhile.
    const jobs = Math.max(MIN_JOBS_A_WORKER, Math.ceil(this.#lookAhead / this.#wanted));
    for (let depth = 0; depth < jobs; depth++) {
      for (const member of this.#members) {
        if (member.jobs.length > depth) continue;
        const job = this.#waiting.shift();
        if (job === undefined) return;
        member.jobs.push(job);
        const { index: id, item, preprocess } = job;
        member.worker.postMessage({
          id,
          item,
          ...(preprocess === undefined ? {} : { preprocess }),
        });
      }
    }
  }

  #receive(
    member: Member,
    message: { ready?: boolean; loaded?: LoadedItem; reason?: string; fault?: string },
  ): void {
    if (message.ready === true) {
      member.ready = true;
      return;
    }
    if (message.fault !== undefined) {
      this.#lose(member, message.fault);
      return;
    }
    const job = member.jobs.shift();
    if (job === undefined) return;
    if (message.loaded !== undefined) job.resolve(success(job, message.loaded));
    else job.resolve(failure(job, message.reason ?? "it is damaged"));
    this.#assign();
  }

  /** A worker has fallen: the image that it was at is to blame, the others go to another worker. */
  #lose(member: Member, message: string): void {
    member.worker.terminate();
    this.#members = this.#members.filter((other) => other !== member);
    if (!member.ready) {
      // It could not even start (a permission, a bundle without the worker's file).
      this.#waiting.unshift(...member.jobs);
      this.#goInline();
      return;
    }
    const [blamed, ...others] = member.jobs;
    this.#waiting.unshift(...others);
    if (blamed !== undefined) {
      blamed.resolve(failure(blamed, `the decoder failed on it (${message})`));
    }
    this.#hire();
    this.#assign();
  }

  #goInline(): void {
    this.#wanted = 0;
    for (const { worker, jobs } of this.#members.splice(0)) {
      worker.terminate();
      this.#waiting.push(...jobs);
    }
    this.#assign();
  }

  async #runInline(job: Job): Promise<void> {
    try {
      job.resolve(success(job, await loadItem(job.item, job.preprocess)));
    } catch (error) {
      const reason = error instanceof ImageError
        ? error.reason
        : `the decoder failed on it (${error instanceof Error ? error.message : error})`;
      job.resolve(failure(job, reason));
    }
  }

  /** Ends the workers; images that are under way come out as failures. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const left = this.#waiting.splice(0);
    for (const { worker, jobs } of this.#members.splice(0)) {
      worker.terminate();
      left.push(...jobs);
    }
    for (const job of left) {
      job.resolve(failure(job, "the decode pool was closed"));
    }
  }
}
