/**
 * Work that is recorded once and run many times: no pipeline, bind group or buffer is made after
 * the recording, and a run costs one write of the scalars that changed and one submit.
 *
 * @module
 */

import { UnsupportedFeatureError } from "./errors.ts";
import type { Dispatch, Kernel } from "./kernel.ts";
import { ParamWords, type ScalarPatch } from "./_params.ts";
import { type CachedPipeline, UNIFORM_WINDOW_BYTES } from "./pipeline_cache.ts";
import type { Place } from "./recorder.ts";

const SLOT_WORDS = UNIFORM_WINDOW_BYTES / 4;
const STAMP_BYTES = 8;
const MAX_QUERIES = 4096;

/** GPU time of all dispatches of one kernel in a replay. */
export interface KernelTime {
  /** The kernel's name. */
  readonly kernel: string;
  /** Its dispatches in one run. */
  readonly dispatches: number;
  /** Nanoseconds of one run. */
  readonly nanoseconds: number;
}

/** Recorded work. Made by `Gpu.capture`; it owns what was allocated while it was recorded. */
export interface Replay extends Disposable {
  /** Dispatches of one run. */
  readonly dispatches: number;
  /** Submits one run, after everything recorded so far; reads every `Scalar` afresh. */
  run(): void;
  /**
   * Runs once with every dispatch in a pass of its own, and waits for their times.
   *
   * @returns Times by kernel, the longest first.
   * @throws {UnsupportedFeatureError} When the device takes no time stamps.
   */
  profile(): Promise<KernelTime[]>;
}

interface RecordedDispatch {
  readonly kind: "dispatch";
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly slot: number;
  readonly workgroups: readonly [number, number, number];
}

interface RecordedCopy {
  readonly kind: "copy";
  readonly from: Place;
  readonly to: Place;
  readonly byteLength: number;
}

/** What a recorder writes instead of a pass while work is captured. */
export class Recording {
  readonly #commands: (RecordedDispatch | RecordedCopy)[] = [];
  readonly #runs: { kernel: Kernel; params: Dispatch["params"] }[] = [];

  /** Adds one run of a kernel. */
  dispatch(
    kernel: Kernel,
    run: Dispatch,
    made: { pipeline: CachedPipeline; group: GPUBindGroup },
  ): void {
    const [x, y = 1, z = 1] = run.workgroups;
    this.#commands.push({
      kind: "dispatch",
      name: kernel.name,
      pipeline: made.pipeline.pipeline,
      group: made.group,
      slot: this.#runs.length,
      workgroups: [x, y, z],
    });
    this.#runs.push({ kernel, params: run.params });
  }

  /** Adds a copy between buffers; what is copied may be disposed before the replay runs. */
  copy(from: Place, to: Place, byteLength: number): void {
    const [source, target] = [from, to].map(({ buffer, offset }) => ({ buffer, offset }));
    this.#commands.push({ kind: "copy", from: source!, to: target!, byteLength });
  }

  /**
   * Ends the recording.
   *
   * @param device The device that it was recorded for.
   * @param uniformLayout Layout of group 1.
   * @param host What the replay asks of its GPU.
   * @returns The replay.
   */
  finish(device: GPUDevice, uniformLayout: GPUBindGroupLayout, host: ReplayHost): Replay {
    const params = new ParamWords(Math.max(1, this.#runs.length) * SLOT_WORDS);
    const patches: ScalarPatch[] = [];
    this.#runs.forEach((run, slot) => {
      params.write(slot * SLOT_WORDS, run.kernel, run.params, (patch) => patches.push(patch));
    });
    return new CommandReplay({
      device,
      uniformLayout,
      host,
      commands: this.#commands,
      params,
      patches,
      dispatches: this.#runs.length,
    });
  }
}

/** What a replay asks of its GPU. */
export interface ReplayHost {
  /** Submits what is recorded, and throws what the device reported. */
  flush(): void;
  /** Counts a submit of the replay. */
  submitted(dispatches: number): void;
  /** Releases what was allocated while the work was recorded. */
  release(): void;
}

interface ReplayParts {
  readonly device: GPUDevice;
  readonly uniformLayout: GPUBindGroupLayout;
  readonly host: ReplayHost;
  readonly commands: readonly (RecordedDispatch | RecordedCopy)[];
  readonly params: ParamWords;
  readonly patches: readonly ScalarPatch[];
  readonly dispatches: number;
}

class CommandReplay implements Replay {
  readonly dispatches: number;
  readonly #parts: ReplayParts;
  readonly #arena: GPUBuffer;
  readonly #arenaGroup: GPUBindGroup;
  readonly #written: number[];
  #disposed = false;

  constructor(parts: ReplayParts) {
    this.#parts = parts;
    this.dispatches = parts.dispatches;
    const { words } = parts.params;
    this.#arena = parts.device.createBuffer({
      label: "replay params",
      size: words.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    parts.device.queue.writeBuffer(this.#arena, 0, words);
    this.#written = parts.patches.map(({ scalar }) => scalar.value);
    this.#arenaGroup = parts.device.createBindGroup({
      label: "replay params",
      layout: parts.uniformLayout,
      entries: [{ binding: 0, resource: { buffer: this.#arena, size: UNIFORM_WINDOW_BYTES } }],
    });
  }

  run(): void {
    const { device, host, commands } = this.#begin();
    const encoder = device.createCommandEncoder({ label: "replay" });
    let pass: GPUComputePassEncoder | undefined;
    for (const command of commands) {
      if (command.kind === "copy") {
        pass?.end();
        pass = undefined;
        encodeCopy(encoder, command);
      } else {
        pass ??= encoder.beginComputePass({ label: "replay" });
        this.#encode(pass, command);
      }
    }
    pass?.end();
    device.queue.submit([encoder.finish()]);
    host.submitted(this.dispatches);
  }

  async profile(): Promise<KernelTime[]> {
    const { device, host, commands } = this.#begin();
    if (!device.features.has("timestamp-query")) {
      throw new UnsupportedFeatureError(
        "timestamp-query",
        "Cannot time GPU work: the adapter has no timestamp-query",
      );
    }
    const names: string[] = [];
    const times: number[] = [];
    let begin = 0;
    while (begin < commands.length) {
      const end = Math.min(commands.length, begin + MAX_QUERIES / 2);
      const part = commands.slice(begin, end);
      times.push(...await this.#stamp(device, part));
      names.push(...part.map((command) => command.kind === "copy" ? "copy" : command.name));
      begin = end;
    }
    host.submitted(this.dispatches);
    return byKernel(names, times);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#arena.destroy();
    this.#parts.host.release();
  }

  /** Everything before this run must have been submitted before the scalars are written. */
  #begin(): ReplayParts {
    if (this.#disposed) throw new ReferenceError("Cannot run a replay: it was disposed");
    const parts = this.#parts;
    parts.host.flush();
    let first = Infinity;
    let last = -1;
    parts.patches.forEach(({ word, type, scalar }, i) => {
      if (Object.is(this.#written[i], scalar.value)) return;
      this.#written[i] = scalar.value;
      parts.params.set(word, type, scalar.value);
      first = Math.min(first, word);
      last = Math.max(last, word);
    });
    if (last >= 0) {
      const { words } = parts.params;
      parts.device.queue.writeBuffer(this.#arena, first * 4, words, first, last - first + 1);
    }
    return parts;
  }

  #encode(pass: GPUComputePassEncoder, command: RecordedDispatch): void {
    pass.setPipeline(command.pipeline);
    pass.setBindGroup(0, command.group);
    pass.setBindGroup(1, this.#arenaGroup, [command.slot * UNIFORM_WINDOW_BYTES]);
    pass.dispatchWorkgroups(...command.workgroups);
  }

  async #stamp(
    device: GPUDevice,
    commands: readonly (RecordedDispatch | RecordedCopy)[],
  ): Promise<number[]> {
    const count = commands.length * 2;
    const set = device.createQuerySet({ label: "replay stamps", type: "timestamp", count });
    const size = count * STAMP_BYTES;
    const resolved = device.createBuffer({
      label: "replay stamps",
      size,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const staging = device.createBuffer({
      label: "replay stamps readback",
      size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    try {
      const encoder = device.createCommandEncoder({ label: "replay profile" });
      commands.forEach((command, i) => {
        const timestampWrites = {
          querySet: set,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        };
        const pass = encoder.beginComputePass({ label: "replay profile", timestampWrites });
        if (command.kind === "dispatch") this.#encode(pass, command);
        pass.end();
        if (command.kind === "copy") encodeCopy(encoder, command);
      });
      encoder.resolveQuerySet(set, 0, count, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
      staging.unmap();
      return commands.map((_, i) => Number(stamps[2 * i + 1]! - stamps[2 * i]!));
    } finally {
      set.destroy();
      resolved.destroy();
      staging.destroy();
    }
  }
}

function encodeCopy(encoder: GPUCommandEncoder, { from, to, byteLength }: RecordedCopy): void {
  encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, byteLength);
}

function byKernel(names: readonly string[], times: readonly number[]): KernelTime[] {
  const sums = new Map<string, { dispatches: number; nanoseconds: number }>();
  names.forEach((name, i) => {
    const sum = sums.get(name) ?? { dispatches: 0, nanoseconds: 0 };
    sum.dispatches++;
    sum.nanoseconds += times[i]!;
    sums.set(name, sum);
  });
  return [...sums].map(([kernel, sum]) => ({ kernel, ...sum }))
    .sort((a, b) => b.nanoseconds - a.nanoseconds);
}
