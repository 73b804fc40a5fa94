/**
 * Records dispatches into one open compute pass and submits them together.
 *
 * In Deno a dispatch in an open pass costs about 3 µs, one with its own submit about 55 µs, and a
 * new bind group 6.5 µs; hence one pass, cached bind groups, and one uniform arena with dynamic
 * offsets that is written once per submit.
 *
 * @module
 */

import type { Dispatch, Kernel } from "./kernel.ts";
import { MAX_WORKGROUPS_PER_DIMENSION } from "./kernel.ts";
import { ParamWords } from "./_params.ts";
import { type CachedPipeline, type PipelineCache, UNIFORM_WINDOW_BYTES } from "./pipeline_cache.ts";
import { Recording } from "./replay.ts";
import type { Tensor } from "./tensor.ts";

/** What the recorder did. */
export interface RecorderCounters {
  /** Dispatches recorded. */
  readonly dispatches: number;
  /** Submits. */
  readonly submits: number;
  /** Bind groups created; constant in a steady loop. */
  readonly bindGroups: number;
}

/** A place in a buffer. */
export interface Place {
  /** The buffer. */
  readonly buffer: GPUBuffer;
  /** Bytes from its begin. */
  readonly offset: number;
}

const ARENA_SLOTS = 1024;
const SLOT_WORDS = UNIFORM_WINDOW_BYTES / 4;

/** The one open pass of a device. */
export class Recorder {
  readonly #device: GPUDevice;
  readonly #pipelines: PipelineCache;
  readonly #arena: GPUBuffer;
  readonly #arenaGroup: GPUBindGroup;
  readonly #params: ParamWords = new ParamWords(ARENA_SLOTS * SLOT_WORDS);
  readonly #bufferIds: WeakMap<GPUBuffer, number> = new WeakMap();
  readonly #bindGroups: Map<string, GPUBindGroup> = new Map();
  readonly #keysOfBuffer: Map<number, Set<string>> = new Map();
  readonly #touched: Set<GPUBuffer> = new Set();
  #recording: Recording | undefined;
  #retired: GPUBuffer[] = [];
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #slot = 0;
  #nextBufferId = 0;
  #dispatches = 0;
  #submits = 0;
  #bindGroupsMade = 0;

  /**
   * Makes the parts that belong to one device.
   *
   * @param device The device to record for.
   * @param pipelines Its pipelines.
   */
  constructor(device: GPUDevice, pipelines: PipelineCache) {
    this.#device = device;
    this.#pipelines = pipelines;
    this.#arena = device.createBuffer({
      label: "params arena",
      size: ARENA_SLOTS * UNIFORM_WINDOW_BYTES,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.#arenaGroup = device.createBindGroup({
      label: "params",
      layout: pipelines.uniformLayout,
      entries: [{ binding: 0, resource: { buffer: this.#arena, size: UNIFORM_WINDOW_BYTES } }],
    });
  }

  /**
   * Records one run of a kernel.
   *
   * @param kernel The kernel.
   * @param run Its tensors, scalars and grid.
   * @throws {TypeError} When tensors or scalars do not fit the kernel, or a tensor is bound twice
   * with different access.
   * @throws {RangeError} When the grid passes the device's limit.
   */
  dispatch(kernel: Kernel, run: Dispatch): void {
    const [x, y = 1, z = 1] = run.workgroups;
    if (x * y * z === 0) return;
    if (Math.max(x, y, z) > MAX_WORKGROUPS_PER_DIMENSION) {
      throw new RangeError(
        `Cannot run ${kernel.name}: a grid of ${x} x ${y} x ${z} workgroups exceeds ` +
          `${MAX_WORKGROUPS_PER_DIMENSION} along one axis; fold it with gridFor()`,
      );
    }
    const pipeline = this.#pipelines.get(kernel, run);
    const group = this.#bindGroup(kernel, { pipeline, run });
    if (this.#recording !== undefined) {
      this.#recording.dispatch(kernel, run, { pipeline, group });
      return;
    }
    run.buffers.forEach((tensor) => this.#touched.add(tensor.buffer));
    const offset = this.#writeParams(kernel, run.params);
    const pass = this.#openPass();
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(0, group);
    pass.setBindGroup(1, this.#arenaGroup, [offset]);
    pass.dispatchWorkgroups(x, y, z);
    this.#dispatches++;
  }

  /**
   * Records a copy between buffers; closes the open pass.
   *
   * @param from Source buffer and offset in bytes.
   * @param to Target buffer and offset in bytes.
   * @param byteLength Bytes to copy, a multiple of 4.
   */
  copy(from: Place, to: Place, byteLength: number): void {
    if (this.#recording !== undefined) {
      this.#recording.copy(from, to, byteLength);
      return;
    }
    this.#closePass();
    this.#touched.add(from.buffer).add(to.buffer);
    this.#openEncoder()
      .copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, byteLength);
  }

  /**
   * Records work into a pass of its own whose begin and end are time-stamped.
   *
   * @param timestamps Where the stamps go.
   * @param record Records the work.
   */
  timed(timestamps: GPUComputePassTimestampWrites, record: () => void): void {
    this.#requireLive("time");
    this.#closePass();
    this.#pass = this.#openEncoder().beginComputePass({ timestampWrites: timestamps });
    record();
    this.#closePass();
  }

  /**
   * Records commands that are no dispatch, between passes.
   *
   * @param record Gets the open encoder.
   */
  encode(record: (encoder: GPUCommandEncoder) => void): void {
    this.#requireLive("encode");
    this.#closePass();
    record(this.#openEncoder());
  }

  /** Whether recorded, not yet submitted work uses a buffer: writing to it now would be too early. */
  uses(buffer: GPUBuffer): boolean {
    return this.#touched.has(buffer);
  }

  /**
   * Collects dispatches and copies instead of encoding them.
   *
   * @param record Records the work; it must not flush or read.
   * @returns The recording.
   */
  capture(record: () => void): Recording {
    this.#requireLive("capture");
    const recording = new Recording();
    this.#recording = recording;
    try {
      record();
    } finally {
      this.#recording = undefined;
    }
    return recording;
  }

  /** Counts a submit that somebody else made. */
  submitted(dispatches: number): void {
    this.#submits++;
    this.#dispatches += dispatches;
  }

  /** Submits what is recorded; does nothing when that is nothing. */
  flush(): void {
    this.#requireLive("submit");
    this.#closePass();
    if (this.#encoder !== undefined) {
      if (this.#slot > 0) {
        const { words } = this.#params;
        this.#device.queue.writeBuffer(this.#arena, 0, words, 0, this.#slot * SLOT_WORDS);
      }
      this.#device.queue.submit([this.#encoder.finish()]);
      this.#encoder = undefined;
      this.#submits++;
    }
    this.#slot = 0;
    this.#touched.clear();
    this.#retired.forEach((buffer) => buffer.destroy());
    this.#retired = [];
  }

  /**
   * Destroys a buffer after the next submit, and forgets its bind groups now.
   *
   * @param buffer A buffer that nothing new will use.
   */
  retire(buffer: GPUBuffer): void {
    this.forget(buffer);
    this.#retired.push(buffer);
  }

  /**
   * Forgets the bind groups of a buffer that somebody else owns and is about to release.
   *
   * @param buffer The buffer.
   */
  forget(buffer: GPUBuffer): void {
    const id = this.#bufferIds.get(buffer);
    if (id === undefined) return;
    this.#keysOfBuffer.get(id)?.forEach((key) => this.#bindGroups.delete(key));
    this.#keysOfBuffer.delete(id);
    this.#bufferIds.delete(buffer);
  }

  /** What the recorder did. */
  counters(): RecorderCounters {
    return {
      dispatches: this.#dispatches,
      submits: this.#submits,
      bindGroups: this.#bindGroupsMade,
    };
  }

  /** Destroys the arena; call after the last flush. */
  destroy(): void {
    this.#arena.destroy();
  }

  #openEncoder(): GPUCommandEncoder {
    this.#encoder ??= this.#device.createCommandEncoder({ label: "recorder" });
    return this.#encoder;
  }

  #openPass(): GPUComputePassEncoder {
    this.#pass ??= this.#openEncoder().beginComputePass({ label: "recorder" });
    return this.#pass;
  }

  #closePass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  #requireLive(verb: string): void {
    if (this.#recording === undefined) return;
    throw new TypeError(`Cannot ${verb} while work is captured: a capture only records`);
  }

  /** Writes the scalars into the next slot and returns its offset; a full arena is submitted. */
  #writeParams(kernel: Kernel, params: Dispatch["params"]): number {
    if (this.#slot === ARENA_SLOTS) this.flush();
    this.#params.write(this.#slot * SLOT_WORDS, kernel, params);
    return this.#slot++ * UNIFORM_WINDOW_BYTES;
  }

  #bindGroup(kernel: Kernel, use: { pipeline: CachedPipeline; run: Dispatch }): GPUBindGroup {
    const { buffers } = use.run;
    if (buffers.length !== kernel.bindings.length) {
      throw new TypeError(
        `Cannot run ${kernel.name}: it binds ${kernel.bindings.length} tensors and was given ` +
          `${buffers.length}`,
      );
    }
    const ids: number[] = [];
    let key = use.pipeline.layoutKey;
    for (const tensor of buffers) {
      const id = this.#idOf(tensor.buffer);
      ids.push(id);
      key += `|${id}:${tensor.offset}:${tensor.byteLength}`;
    }
    const known = this.#bindGroups.get(key);
    if (known !== undefined) return known;
    requireDistinct(kernel, buffers);
    const made = this.#device.createBindGroup({
      label: kernel.name,
      layout: use.pipeline.layout,
      entries: buffers.map((tensor, binding) => ({
        binding,
        resource: {
          buffer: tensor.buffer,
          offset: tensor.offset,
          size: Math.max(16, tensor.byteLength),
        },
      })),
    });
    this.#bindGroupsMade++;
    this.#bindGroups.set(key, made);
    ids.forEach((id) => this.#keysOfBuffer.get(id)!.add(key));
    return made;
  }

  #idOf(buffer: GPUBuffer): number {
    const known = this.#bufferIds.get(buffer);
    if (known !== undefined) return known;
    const id = this.#nextBufferId++;
    this.#bufferIds.set(buffer, id);
    this.#keysOfBuffer.set(id, new Set());
    return id;
  }
}

/**
 * WebGPU refuses a buffer that one dispatch both reads and writes through two bindings, and two
 * written ranges that overlap.
 */
function requireDistinct(kernel: Kernel, buffers: readonly Tensor[]): void {
  buffers.forEach((tensor, binding) => {
    for (let other = 0; other < binding; other++) {
      if (clash(kernel, [other, binding], [buffers[other]!, tensor])) {
        throw new TypeError(
          `Cannot run ${kernel.name}: bindings ${other} and ${binding} are one buffer and one of ` +
            `them is written`,
        );
      }
    }
  });
}

function clash(
  kernel: Kernel,
  [i, j]: readonly [number, number],
  [a, b]: readonly [Tensor, Tensor],
): boolean {
  const access = [kernel.bindings[i], kernel.bindings[j]];
  if (a.buffer !== b.buffer || !access.includes("read_write")) return false;
  const disjoint = a.offset + a.byteLength <= b.offset || b.offset + b.byteLength <= a.offset;
  return !(disjoint && access[0] === access[1]);
}
