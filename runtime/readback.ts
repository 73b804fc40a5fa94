/**
 * Results from the GPU to the host: all tensors of a call in one copy, one submit, one wait.
 *
 * @module
 */

import type { Recorder } from "./recorder.ts";
import { type Tensor, type TypedArray, typedArray } from "./tensor.ts";

const MIN_STAGING_BYTES = 4096;
const COPY_ALIGNMENT = 8;

/** Staging buffers, kept by size and used again. */
export class Readback {
  readonly #device: GPUDevice;
  readonly #recorder: Recorder;
  readonly #free: Map<number, GPUBuffer[]> = new Map();

  /**
   * Makes the parts that belong to one device.
   *
   * @param device The device.
   * @param recorder Its recorder, flushed by every read.
   */
  constructor(device: GPUDevice, recorder: Recorder) {
    this.#device = device;
    this.#recorder = recorder;
  }

  /**
   * Copies tensors to the host.
   *
   * @param tensors Tensors of this device.
   * @returns Their elements, in order.
   */
  async read(tensors: readonly Tensor[]): Promise<TypedArray[]> {
    const offsets: number[] = [];
    let total = 0;
    for (const tensor of tensors) {
      offsets.push(total);
      total += Math.ceil(tensor.byteLength / COPY_ALIGNMENT) * COPY_ALIGNMENT;
    }
    const staging = this.#acquire(total);
    tensors.forEach((tensor, i) => {
      if (tensor.byteLength === 0) return;
      this.#recorder.copy(
        { buffer: tensor.buffer, offset: tensor.offset },
        { buffer: staging, offset: offsets[i]! },
        tensor.byteLength,
      );
    });
    this.#recorder.flush();
    await staging.mapAsync(GPUMapMode.READ, 0, staging.size);
    try {
      const mapped = staging.getMappedRange(0, staging.size);
      return tensors.map((tensor, i) =>
        typedArray(tensor.dtype, mapped.slice(offsets[i]!, offsets[i]! + tensor.byteLength))
      );
    } finally {
      staging.unmap();
      this.#free.get(staging.size)!.push(staging);
    }
  }

  /** Destroys the staging buffers that are not in use. */
  destroy(): void {
    for (const bucket of this.#free.values()) bucket.forEach((buffer) => buffer.destroy());
    this.#free.clear();
  }

  #acquire(byteLength: number): GPUBuffer {
    let size = MIN_STAGING_BYTES;
    while (size < byteLength) size *= 2;
    size = Math.min(size, Math.max(byteLength, MIN_STAGING_BYTES) * 2);
    const bucket = this.#free.get(size) ?? [];
    this.#free.set(size, bucket);
    return bucket.pop() ?? this.#device.createBuffer({
      label: `readback ${size}`,
      size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }
}
