/**
 * The GPU: one device with its recorder, pipelines, buffer pool and readback.
 *
 * @module
 */

import {
  type AdapterSummary,
  deviceDescriptor,
  requestAdapter,
  summarizeAdapter,
} from "./adapter.ts";
import { BufferPool, type PoolCounters, type PoolOptions } from "./buffer_pool.ts";
import { type GpuContext, Ownership, type TensorOptions } from "./context.ts";
import { DeviceLostError, GpuError } from "./errors.ts";
import { requireLength, requireType } from "./host.ts";
import type { Dispatch, Kernel } from "./kernel.ts";
import { PipelineCache } from "./pipeline_cache.ts";
import { Profiler } from "./profiler.ts";
import { Readback } from "./readback.ts";
import { Recorder, type RecorderCounters } from "./recorder.ts";
import type { Replay } from "./replay.ts";
import {
  BYTES_PER_ELEMENT,
  type DType,
  dtypeOf,
  type Shape,
  sizeOf,
  Tensor,
  type TypedArray,
} from "./tensor.ts";

/** How to open a GPU. */
export interface GpuOptions {
  /** A device of yours; it is never destroyed here. Without one, a device is requested. */
  readonly device?: GPUDevice;
  /** Caps of the buffer pool. */
  readonly pool?: PoolOptions;
  /** Forced kernel variants by operation, for example `{ matmul: "tiled" }`. */
  readonly variants?: Readonly<Record<string, string>>;
  /** Fill every new tensor with NaN, to find kernels that read what nobody wrote; for tests. */
  readonly poison?: boolean;
}

/** What a GPU did and holds; constant pipelines, buffers and bind groups mean a steady loop. */
export interface GpuCounters extends RecorderCounters {
  /** Pipelines compiled. */
  readonly pipelines: number;
  /** The buffer pool. */
  readonly pool: PoolCounters;
}

/**
 * One WebGPU device and all that the project keeps for it.
 *
 * Operations record into one open pass; `flush` and `read` submit. Errors that WebGPU reports
 * late, and the loss of the device, are thrown by the next call.
 *
 * @example Upload, compute, read
 * ```ts
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { rowSum } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await Gpu.open();
 * using scope = gpu.scope();
 * const x = scope.upload(new Float32Array([1, 2, 3, 4]), [2, 2]);
 * const [sums] = await scope.read(rowSum(scope, { x }));
 * assertEquals([...sums!], [3, 7]);
 * ```
 */
export class Gpu implements GpuContext {
  /** Always `webgpu`. */
  readonly kind = "webgpu" as const;
  /** The WebGPU device, for code that shares it. */
  readonly device: GPUDevice;
  /** What computes. */
  readonly adapter: AdapterSummary;
  /** Forced kernel variants by operation. */
  readonly variants: Readonly<Record<string, string>>;
  readonly #ownsDevice: boolean;
  readonly #poison: GPUBuffer | undefined;
  readonly #pipelines: PipelineCache;
  readonly #recorder: Recorder;
  readonly #pool: BufferPool;
  readonly #replays: Set<Replay> = new Set();
  #capture: CapturePools | undefined;
  readonly #readback: Readback;
  readonly #profiler: Profiler;
  readonly #onError = (event: Event): void => {
    const { message } = (event as GPUUncapturedErrorEvent).error;
    this.#failure ??= new GpuError(`WebGPU reported: ${message}`);
  };
  #failure: Error | undefined;
  #closed = false;

  private constructor(device: GPUDevice, options: GpuOptions) {
    this.device = device;
    this.adapter = summarizeAdapter(device.adapterInfo);
    this.variants = options.variants ?? {};
    this.#ownsDevice = options.device === undefined;
    this.#pipelines = new PipelineCache(device);
    this.#recorder = new Recorder(device, this.#pipelines);
    this.#pool = this.#newPool(options.pool);
    this.#readback = new Readback(device, this.#recorder);
    this.#profiler = new Profiler(device, this.#recorder);
    if (options.poison) this.#poison = poisonBuffer(device);
    device.addEventListener("uncapturederror", this.#onError);
    device.lost.then((info) => {
      if (!this.#closed) this.#failure = new DeviceLostError(info.reason, info.message);
    });
  }

  /**
   * Opens the fastest adapter's device, or wraps the one given.
   *
   * @param options The device to use, pool caps, forced variants.
   * @returns The GPU.
   * @throws {GpuUnavailableError} When no adapter can be had.
   */
  static async open(options: GpuOptions = {}): Promise<Gpu> {
    if (options.device !== undefined) return new Gpu(options.device, options);
    const adapter = await requestAdapter();
    return new Gpu(await adapter.requestDevice(deviceDescriptor(adapter)), options);
  }

  /** This GPU. */
  get gpu(): Gpu {
    return this;
  }

  /** GPU time of recorded work. */
  get profiler(): Profiler {
    return this.#profiler;
  }

  /**
   * A tensor with a copy of host data; the caller disposes it.
   *
   * @param data The elements.
   * @param shape Their shape.
   * @param options A label.
   * @returns The tensor.
   * @throws {RangeError} When the number of elements differs from the shape's.
   * @throws {OutOfMemoryError} When one binding cannot hold it.
   */
  upload(data: TypedArray, shape: Shape, options: TensorOptions = {}): Tensor {
    requireLength(data, shape);
    const tensor = this.#allocate(shape, { dtype: dtypeOf(data), options, lasting: true });
    // A queue write lands before everything that is recorded and not submitted, so earlier users
    // of a recycled buffer must be submitted first.
    if (this.#recorder.uses(tensor.buffer)) this.#recorder.flush();
    if (data.length > 0) this.device.queue.writeBuffer(tensor.buffer, 0, data);
    return tensor;
  }

  /**
   * A tensor with unspecified contents; the caller disposes it.
   *
   * @param shape The shape.
   * @param dtype The element type.
   * @param options A label.
   * @returns The tensor.
   * @throws {OutOfMemoryError} When one binding cannot hold it.
   */
  empty(shape: Shape, dtype: DType = "f32", options: TensorOptions = {}): Tensor {
    const tensor = this.#allocate(shape, { dtype, options });
    if (this.#poison !== undefined) this.#fillWithPoison(tensor);
    return tensor;
  }

  /**
   * A tensor over a buffer that somebody else made, without a copy.
   *
   * @param buffer A storage buffer of this device.
   * @param shape Shape of its elements.
   * @param options Element type, label, and what to do when the tensor is disposed.
   * @returns The tensor.
   */
  wrap(
    buffer: GPUBuffer,
    shape: Shape,
    options: TensorOptions & { dtype?: DType; onDispose?: () => void } = {},
  ): Tensor {
    const release = () => {
      this.#recorder.forget(buffer);
      options.onDispose?.();
    };
    const layout = { shape, dtype: options.dtype ?? "f32", label: options.label ?? "wrapped" };
    return new Tensor({ kind: "webgpu", buffer, release }, layout);
  }

  /**
   * Writes host data over a tensor, after everything recorded so far.
   *
   * @param tensor The target.
   * @param data As many elements, of the same type.
   * @throws {RangeError} When the number of elements differs.
   * @throws {TypeError} When the types differ.
   */
  write(tensor: Tensor, data: TypedArray): void {
    requireLength(data, tensor.shape);
    requireType(tensor, dtypeOf(data));
    this.check();
    if (this.#recorder.uses(tensor.buffer)) this.#recorder.flush();
    if (data.length > 0) this.device.queue.writeBuffer(tensor.buffer, tensor.offset, data);
  }

  /**
   * Records a copy of a tensor's elements over those of another.
   *
   * @param source Where they come from.
   * @param target A tensor of another buffer with as many elements of the same type.
   * @throws {RangeError} When the number of elements differs.
   * @throws {TypeError} When the types differ.
   */
  copy(source: Tensor, target: Tensor): void {
    this.check();
    if (source.size !== target.size) {
      throw new RangeError(
        `Cannot copy "${source.label}" over "${target.label}": ${source.size} elements against ` +
          `${target.size}`,
      );
    }
    requireType(target, source.dtype);
    if (source.size > 0) this.#recorder.copy(source, target, source.byteLength);
  }

  /**
   * Records work to run it many times. While it is recorded nothing runs, and nothing may be read
   * or submitted. The replay owns what was allocated meanwhile, so that nobody else uses that
   * memory between two runs; tensors from outside must outlive it. Data uploaded meanwhile is
   * written once and must not be written over by the work.
   *
   * @param record Records the work into the scope that it is given.
   * @returns The replay.
   * @throws {DeviceLostError} When the device is gone.
   * @throws {TypeError} When work is captured already, or `record` reads or submits.
   *
   * @example A counter on the GPU
   * ```ts
   * import { Gpu, Scalar } from "@oodgpu/oodgpu/runtime";
   * import { rowSum } from "@oodgpu/oodgpu/kernels";
   * import { assertEquals } from "@std/assert";
   *
   * using gpu = await Gpu.open();
   * const x = gpu.upload(new Float32Array([1, 2]), [1, 2]);
   * const sum = gpu.empty([1]);
   * using step = gpu.capture((scope) => scope.copy(rowSum(scope, { x }), sum));
   * gpu.write(x, new Float32Array([3, 4]));
   * step.run();
   * assertEquals([...(await gpu.read(sum))[0]!], [7]);
   * ```
   */
  capture(record: (scope: GpuContext) => void): Replay {
    this.check();
    const unlimited = { maxFreeBytes: Infinity, maxFreePerSize: Infinity };
    const pools = { work: this.#newPool(unlimited), lasting: this.#newPool(unlimited) };
    const scope = new GpuScope(this, undefined);
    const release = () => {
      scope[Symbol.dispose]();
      pools.work.clear();
      pools.lasting.clear();
    };
    let recording;
    try {
      recording = this.#recorder.capture(() => {
        this.#capture = pools;
        record(scope);
      });
    } catch (error) {
      release();
      throw error;
    } finally {
      this.#capture = undefined;
    }
    const replay = recording.finish(this.device, this.#pipelines.uniformLayout, {
      flush: () => this.flush(),
      submitted: (dispatches) => this.#recorder.submitted(dispatches),
      release: () => {
        this.#replays.delete(replay);
        release();
      },
    });
    this.#replays.add(replay);
    return replay;
  }

  /**
   * Records one run of a kernel; nothing is submitted.
   *
   * @param kernel The kernel.
   * @param run Its tensors, scalars and grid.
   * @throws {DeviceLostError} When the device is gone.
   * @throws {GpuError} When WebGPU has reported an error since the last call.
   */
  dispatch(kernel: Kernel, run: Dispatch): void {
    this.check();
    this.#recorder.dispatch(kernel, run);
  }

  /**
   * Elements of tensors on the host: one submit and one wait for all.
   *
   * @param tensors Tensors of this GPU.
   * @returns Their elements, in order.
   * @throws {KernelCompileError} When a kernel recorded before did not compile.
   * @throws {DeviceLostError} When the device is gone.
   * @throws {GpuError} When WebGPU has reported an error since the last call.
   */
  async read(...tensors: Tensor[]): Promise<TypedArray[]> {
    try {
      this.check();
      return await this.#readback.read(tensors);
    } finally {
      await this.#settle();
    }
  }

  /**
   * Submits what is recorded.
   *
   * @throws {DeviceLostError} When the device is gone.
   * @throws {GpuError} When WebGPU has reported an error since the last call.
   */
  flush(): void {
    this.check();
    this.#recorder.flush();
  }

  /** Submits what is recorded and waits until the GPU has done it. */
  async idle(): Promise<void> {
    this.flush();
    await this.device.queue.onSubmittedWorkDone();
    await this.#settle();
  }

  /** A context whose tensors are released when it is disposed. */
  scope(): GpuContext {
    return new GpuScope(this, undefined);
  }

  /** Returns the tensor: what a GPU itself made belongs to the caller already. */
  keep<T extends Tensor>(tensor: T): T {
    return tensor;
  }

  /**
   * Throws what WebGPU reported since the last call.
   *
   * @throws {DeviceLostError} When the device is gone; every later call throws again.
   * @throws {GpuError} When WebGPU reported an error; thrown once.
   */
  check(): void {
    if (this.#closed) {
      throw new DeviceLostError("destroyed", "this Gpu was disposed");
    }
    const failure = this.#failure;
    if (failure === undefined) return;
    if (!(failure instanceof DeviceLostError)) this.#failure = undefined;
    throw failure;
  }

  /** What the GPU did and holds. */
  counters(): GpuCounters {
    return {
      ...this.#recorder.counters(),
      pipelines: this.#pipelines.size,
      pool: this.#pool.counters(),
    };
  }

  /** Releases everything; the device itself is destroyed only when it was made here. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#replays.forEach((replay) => replay[Symbol.dispose]());
    this.#closed = true;
    this.device.removeEventListener("uncapturederror", this.#onError);
    this.#pool.clear();
    this.#recorder.flush();
    this.#readback.destroy();
    this.#profiler.destroy();
    this.#recorder.destroy();
    this.#poison?.destroy();
    if (this.#ownsDevice) this.device.destroy();
  }

  /** A kernel that did not compile says more than the errors that follow from it. */
  async #settle(): Promise<void> {
    try {
      await this.#pipelines.settled();
    } catch (error) {
      if (this.#failure instanceof GpuError) this.#failure = undefined;
      throw error;
    }
    this.check();
  }

  #newPool(options: PoolOptions = {}): BufferPool {
    return new BufferPool(this.device, {
      ...options,
      retire: (buffer) => this.#recorder.retire(buffer),
    });
  }

  #allocate(
    shape: Shape,
    how: { dtype: DType; options: TensorOptions; lasting?: boolean },
  ): Tensor {
    this.check();
    const label = how.options.label ?? "tensor";
    const capture = this.#capture;
    const lasting = capture !== undefined && how.lasting === true;
    const pool = lasting ? capture.lasting : capture?.work ?? this.#pool;
    const buffer = pool.acquire(sizeOf(shape) * BYTES_PER_ELEMENT, label);
    const release = lasting ? () => {} : () => pool.release(buffer);
    return new Tensor({ kind: "webgpu", buffer, release }, { shape, dtype: how.dtype, label });
  }

  #fillWithPoison(tensor: Tensor): void {
    const poison = this.#poison!;
    for (let offset = 0; offset < tensor.byteLength; offset += poison.size) {
      const byteLength = Math.min(poison.size, tensor.byteLength - offset);
      const target = { buffer: tensor.buffer, offset };
      this.#recorder.copy({ buffer: poison, offset: 0 }, target, byteLength);
    }
  }
}

/** Where a capture allocates: what it uploads must never share memory with what it computes. */
interface CapturePools {
  readonly work: BufferPool;
  readonly lasting: BufferPool;
}

/** A scope of a GPU: the tensors made through it go back to the pool when it ends. */
class GpuScope implements GpuContext {
  readonly kind = "webgpu" as const;
  readonly gpu: Gpu;
  readonly #parent: GpuScope | undefined;
  readonly #owned: Ownership = new Ownership();

  constructor(gpu: Gpu, parent: GpuScope | undefined) {
    this.gpu = gpu;
    this.#parent = parent;
  }

  upload(data: TypedArray, shape: Shape, options: TensorOptions = {}): Tensor {
    return this.#owned.add(this.gpu.upload(data, shape, options));
  }

  empty(shape: Shape, dtype: DType = "f32", options: TensorOptions = {}): Tensor {
    return this.#owned.add(this.gpu.empty(shape, dtype, options));
  }

  dispatch(kernel: Kernel, run: Dispatch): void {
    this.gpu.dispatch(kernel, run);
  }

  write(tensor: Tensor, data: TypedArray): void {
    this.gpu.write(tensor, data);
  }

  copy(source: Tensor, target: Tensor): void {
    this.gpu.copy(source, target);
  }

  read(...tensors: Tensor[]): Promise<TypedArray[]> {
    return this.gpu.read(...tensors);
  }

  flush(): void {
    this.gpu.flush();
  }

  scope(): GpuContext {
    return new GpuScope(this.gpu, this);
  }

  keep<T extends Tensor>(tensor: T): T {
    this.#owned.remove(tensor);
    return this.#parent === undefined ? tensor : this.#parent.#owned.add(tensor);
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

const POISON_BYTES = 1 << 16;
const QUIET_NAN_BITS = 0x7fc00bad;

function poisonBuffer(device: GPUDevice): GPUBuffer {
  const buffer = device.createBuffer({
    label: "poison",
    size: POISON_BYTES,
    usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(buffer, 0, new Uint32Array(POISON_BYTES / 4).fill(QUIET_NAN_BITS));
  return buffer;
}
