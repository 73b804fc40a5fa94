/**
 * GPU time of recorded work, from time stamps that the device itself takes.
 *
 * Wall time is no measure in Deno: every wait for the GPU takes at least 10 ms there.
 *
 * @module
 */

import { UnsupportedFeatureError } from "./errors.ts";
import type { Recorder } from "./recorder.ts";

const STAMP_BYTES = 8;

/**
 * Measures passes with a query set of two stamps.
 *
 * @example Time one kernel
 * ```ts
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { rowSum } from "@oodgpu/oodgpu/kernels";
 * import { assert } from "@std/assert";
 *
 * using gpu = await Gpu.open();
 * using scope = gpu.scope();
 * const x = scope.upload(new Float32Array(1 << 16), [256, 256]);
 * if (gpu.profiler.available) {
 *   const nanoseconds = await gpu.profiler.time(() => rowSum(scope, { x }));
 *   assert(nanoseconds > 0);
 * }
 * ```
 */
export class Profiler {
  readonly #device: GPUDevice;
  readonly #recorder: Recorder;
  #set: GPUQuerySet | undefined;
  #resolved: GPUBuffer | undefined;
  #staging: GPUBuffer | undefined;

  /**
   * Makes the parts that belong to one device.
   *
   * @param device The device.
   * @param recorder Its recorder.
   */
  constructor(device: GPUDevice, recorder: Recorder) {
    this.#device = device;
    this.#recorder = recorder;
  }

  /** Whether the device takes time stamps. */
  get available(): boolean {
    return this.#device.features.has("timestamp-query");
  }

  /**
   * Runs recorded work in a pass of its own and waits for its time.
   *
   * @param record Records the work; it must not flush or read.
   * @returns Nanoseconds between the pass's begin and end on the GPU.
   * @throws {UnsupportedFeatureError} When the device takes no time stamps.
   */
  async time(record: () => void): Promise<number> {
    if (!this.available) {
      throw new UnsupportedFeatureError(
        "timestamp-query",
        "Cannot time GPU work: the adapter has no timestamp-query",
      );
    }
    this.#set ??= this.#device.createQuerySet({ label: "stamps", type: "timestamp", count: 2 });
    this.#resolved ??= this.#device.createBuffer({
      label: "stamps",
      size: 2 * STAMP_BYTES,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    this.#staging ??= this.#device.createBuffer({
      label: "stamps readback",
      size: 2 * STAMP_BYTES,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const [set, resolved, staging] = [this.#set, this.#resolved, this.#staging];
    this.#recorder.timed(
      { querySet: set, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      record,
    );
    this.#recorder.encode((encoder) => {
      encoder.resolveQuerySet(set, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 2 * STAMP_BYTES);
    });
    this.#recorder.flush();
    await staging.mapAsync(GPUMapMode.READ);
    const [begin, end] = new BigUint64Array(staging.getMappedRange().slice(0));
    staging.unmap();
    return Number(end! - begin!);
  }

  /** Destroys the query set and its buffers. */
  destroy(): void {
    this.#set?.destroy();
    this.#resolved?.destroy();
    this.#staging?.destroy();
  }
}
