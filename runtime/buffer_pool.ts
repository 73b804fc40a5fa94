/**
 * Storage buffers that are used again instead of made again.
 *
 * @module
 */

import { OutOfMemoryError } from "./errors.ts";

/** What the pool may keep. */
export interface PoolOptions {
  /** Bytes of free buffers kept at most; default 1 GiB. */
  readonly maxFreeBytes?: number;
  /** Free buffers of one size kept at most; default 256. */
  readonly maxFreePerSize?: number;
}

/** What the pool did and holds. */
export interface PoolCounters {
  /** Buffers created. */
  readonly created: number;
  /** Requests served from free buffers. */
  readonly reused: number;
  /** Buffers destroyed. */
  readonly destroyed: number;
  /** Buffers in use now. */
  readonly live: number;
  /** Bytes in use now. */
  readonly liveBytes: number;
  /** Most bytes that were in use at once. */
  readonly peakBytes: number;
  /** Bytes of free buffers kept now. */
  readonly freeBytes: number;
}

const USAGE = 0x80 | 0x4 | 0x8; // STORAGE | COPY_SRC | COPY_DST
const GRANULE_BYTES = 16;
const DEFAULT_MAX_FREE_BYTES = 1 << 30;
const DEFAULT_MAX_FREE_PER_SIZE = 256;

/**
 * A pool with one bucket per size. A released buffer may be taken again in the same batch: passes
 * run in order, so earlier dispatches have read it before later ones write it.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #retire: (buffer: GPUBuffer) => void;
  readonly #maxFreeBytes: number;
  readonly #maxFreePerSize: number;
  readonly #free: Map<number, GPUBuffer[]> = new Map();
  readonly #live: Set<GPUBuffer> = new Set();
  #created = 0;
  #reused = 0;
  #destroyed = 0;
  #liveBytes = 0;
  #peakBytes = 0;
  #freeBytes = 0;

  /**
   * Makes the parts that belong to one device.
   *
   * @param device The device that owns the buffers.
   * @param options Caps, and `retire`, which destroys a buffer once no recorded work needs it.
   */
  constructor(
    device: GPUDevice,
    options: PoolOptions & { retire: (buffer: GPUBuffer) => void },
  ) {
    this.#device = device;
    this.#retire = options.retire;
    this.#maxFreeBytes = options.maxFreeBytes ?? DEFAULT_MAX_FREE_BYTES;
    this.#maxFreePerSize = options.maxFreePerSize ?? DEFAULT_MAX_FREE_PER_SIZE;
  }

  /**
   * A buffer of at least `byteLength` bytes with unspecified contents.
   *
   * @param byteLength Bytes needed; 0 gives the smallest buffer.
   * @param label What it is for.
   * @returns The buffer.
   * @throws {OutOfMemoryError} When one binding cannot hold it.
   */
  acquire(byteLength: number, label: string): GPUBuffer {
    const size = Math.max(GRANULE_BYTES, Math.ceil(byteLength / GRANULE_BYTES) * GRANULE_BYTES);
    const { maxStorageBufferBindingSize, maxBufferSize } = this.#device.limits;
    const limitBytes = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    if (size > limitBytes) throw new OutOfMemoryError(label, { requestedBytes: size, limitBytes });
    const free = this.#free.get(size)?.pop();
    const buffer = free ?? this.#device.createBuffer({ label, size, usage: USAGE });
    if (free === undefined) {
      this.#created++;
    } else {
      this.#reused++;
      this.#freeBytes -= size;
    }
    this.#live.add(buffer);
    this.#liveBytes += size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes);
    return buffer;
  }

  /**
   * Takes a buffer back; it is kept for later or destroyed when the caps are reached.
   *
   * @param buffer A buffer from {@linkcode BufferPool.acquire}.
   */
  release(buffer: GPUBuffer): void {
    if (!this.#live.delete(buffer)) return;
    this.#liveBytes -= buffer.size;
    const bucket = this.#free.get(buffer.size) ?? [];
    const fits = bucket.length < this.#maxFreePerSize &&
      this.#freeBytes + buffer.size <= this.#maxFreeBytes;
    if (!fits) {
      this.#destroy(buffer);
      return;
    }
    bucket.push(buffer);
    this.#free.set(buffer.size, bucket);
    this.#freeBytes += buffer.size;
  }

  /** Destroys the free buffers. */
  trim(): void {
    for (const bucket of this.#free.values()) bucket.forEach((buffer) => this.#destroy(buffer));
    this.#free.clear();
    this.#freeBytes = 0;
  }

  /** Destroys every buffer, in use or not. */
  clear(): void {
    this.trim();
    for (const buffer of this.#live) this.#destroy(buffer);
    this.#live.clear();
    this.#liveBytes = 0;
  }

  /** What the pool did and holds. */
  counters(): PoolCounters {
    return {
      created: this.#created,
      reused: this.#reused,
      destroyed: this.#destroyed,
      live: this.#live.size,
      liveBytes: this.#liveBytes,
      peakBytes: this.#peakBytes,
      freeBytes: this.#freeBytes,
    };
  }

  #destroy(buffer: GPUBuffer): void {
    this.#destroyed++;
    this.#retire(buffer);
  }
}
