/**
 * Running ONNX models with onnxruntime-web: on the GPU that our kernels use, or in WebAssembly with
 * threads.
 *
 * The package has one build for each. Both are loaded on first use, can live in one process, and
 * need nothing but read permission: no network, no native code. The WebAssembly build takes its
 * number of threads once per process. Creating and running sessions is serialised across all
 * sessions, because onnxruntime-web must not be entered twice.
 *
 * @module
 */

import type * as Ort from "onnxruntime-web";
import type { HostArray } from "../data/feature_set.ts";
import { UserError } from "../runtime/errors.ts";
import type { Gpu } from "../runtime/device.ts";
import { Tensor } from "../runtime/tensor.ts";
import { cutPiece, joinPieces, type Piece } from "./_batch_pieces.ts";
import { withWholeChannels } from "./_conv_channels.ts";
import { modelFiles } from "./_large_model.ts";
import { createError, runError } from "./_ort_errors.ts";
import {
  createSession,
  gpuProvider,
  loadRuntime,
  LOG_FATAL_ONLY,
  serialised,
  wasmThreads,
} from "./_ort_runtime.ts";
import {
  dtypeOf,
  outputLocations,
  type RunInput,
  toHostArray,
  toOrtTensor,
} from "./_ort_tensors.ts";
import { setDynamicBatch } from "./edit.ts";
import { OnnxModel, parseModel, readModel } from "./model.ts";
import type { ValueInfo } from "./value_info.ts";

export type { HostArray } from "../data/feature_set.ts";

/** How to open a session. */
export interface SessionOptions {
  /** Where the model runs. */
  readonly device: "webgpu" | "wasm";
  /** The GPU to share; `webgpu` needs it. */
  readonly gpu?: Gpu;
  /** Threads in WebAssembly, all cores by default; the first session of a process decides. */
  readonly threads?: number;
  /** What errors call the model; by default its path. */
  readonly name?: string;
}

/** Whole numbers of 64 bits, such as tokens of texts. */
export interface WideArray {
  /** The elements, row-major. */
  readonly data: BigInt64Array<ArrayBuffer>;
  /** The dimensions. */
  readonly shape: readonly number[];
}

/** What an input of a run can be. */
export type SessionInput = Tensor | HostArray | WideArray;

/** Rows in one run of a model whose batch is open. */
const OPEN_BATCH = Infinity;

/**
 * Opens a session on a model.
 *
 * A model that fixes its batch gets it opened where that is safe ({@linkcode setDynamicBatch});
 * otherwise runs are split into pieces of that size.
 *
 * @param model A path, the bytes of a file, or a model.
 * @param options Where it runs.
 * @returns The session; dispose it to give its memory back.
 * @throws {UserError} When the model cannot be read, or onnxruntime cannot run it.
 * @throws {TypeError} When `webgpu` is asked for without a GPU.
 *
 * @example Classify two images
 * ```ts
 * import { openSession } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * await using session = await openSession("models/cifar10-resnet20.onnx", { device: "wasm" });
 * const images = { data: new Float32Array(2 * 3 * 32 * 32), shape: [2, 3, 32, 32] };
 * const { logits } = await session.run({ input: images });
 * assertEquals(logits?.shape, [2, 10]);
 * ```
 */
export async function openSession(
  model: string | Uint8Array | OnnxModel,
  options: SessionOptions,
): Promise<OnnxSession> {
  if (options.device === "webgpu" && options.gpu === undefined) {
    throw new TypeError("Cannot open a session on webgpu: options.gpu must name the GPU to share");
  }
  const naming = options.name === undefined ? {} : { name: options.name };
  const parsed = typeof model === "string"
    ? await readModel(model, naming)
    : model instanceof OnnxModel
    ? model
    : parseModel(model, naming);
  const { opened: open, maxBatch } = openBatch(parsed);
  const opened = options.device === "webgpu" ? withWholeChannels(open) : open;
  const { bytes, externalData } = opened === parsed && model instanceof Uint8Array
    ? { bytes: model, externalData: [] }
    : modelFiles(opened);
  const ort = await loadRuntime(options);
  const sessionOptions: Ort.InferenceSession.SessionOptions = {
    executionProviders: options.device === "webgpu" ? [gpuProvider(options.gpu!)] : ["wasm"],
    logSeverityLevel: LOG_FATAL_ONLY,
    ...(externalData.length > 0 && { externalData }),
    ...(options.device === "webgpu" && { preferredOutputLocation: outputLocations(opened) }),
  };
  const session = await serialised(async () => {
    try {
      return await createSession(ort, bytes, sessionOptions);
    } catch (error) {
      throw createError(error, opened);
    }
  });
  return new OnnxSession({ ort, session, model: opened, maxBatch, options });
}

/** What a session is made of; {@linkcode openSession} puts it together. */
export interface SessionParts {
  /** The build of onnxruntime-web. */
  readonly ort: typeof Ort;
  /** Its session. */
  readonly session: Ort.InferenceSession;
  /** The model that runs. */
  readonly model: OnnxModel;
  /** Rows in one run. */
  readonly maxBatch: number;
  /** How the session was opened. */
  readonly options: SessionOptions;
}

/**
 * A model that is ready to run. Made by {@linkcode openSession}.
 *
 * @example Inputs and outputs
 * ```ts
 * import { openSession } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * await using session = await openSession("models/cifar10-resnet20.onnx", { device: "wasm" });
 * assertEquals(session.inputs.map((input) => input.name), ["input"]);
 * assertEquals(session.maxBatch, Infinity);
 * ```
 */
export class OnnxSession implements AsyncDisposable {
  /** Where the model runs. */
  readonly device: "webgpu" | "wasm";
  /** Rows that the model takes at once; longer batches are split. Infinity when it is open. */
  readonly maxBatch: number;
  /** The inputs. */
  readonly inputs: readonly ValueInfo[];
  /** The outputs. */
  readonly outputs: readonly ValueInfo[];
  /** What errors call the model. */
  readonly name: string;
  #ort: typeof Ort;
  #session: Ort.InferenceSession | undefined;
  #gpu: Gpu | undefined;
  /** Outputs that were given out and not disposed yet. */
  #live: Set<Tensor> = new Set();
  /** Disposed outputs whose buffers recorded work may still read until the next submit. */
  #retired: Ort.Tensor[] = [];

  /**
   * Puts a session together; {@linkcode openSession} does it for you.
   *
   * @param parts What the session is made of.
   */
  constructor(parts: SessionParts) {
    this.#ort = parts.ort;
    this.#session = parts.session;
    this.#gpu = parts.options.device === "webgpu" ? parts.options.gpu : undefined;
    this.device = parts.options.device;
    this.maxBatch = parts.maxBatch;
    this.name = parts.model.name;
    this.inputs = parts.model.graph.inputs;
    this.outputs = parts.model.graph.outputs;
  }

  /** Threads that WebAssembly runs with; 1 on webgpu. */
  get threads(): number {
    return this.device === "wasm" ? wasmThreads() : 1;
  }

  /**
   * Runs the model.
   *
   * On webgpu, outputs stay on the GPU as tensors over onnxruntime's own buffers, without a copy;
   * dispose them, at the latest they go with the session. On wasm they are arrays on the host.
   * Whole numbers of other widths, and bool, come to the host as i32; other floats as f32. Arrays
   * go the same way: i32 where the model takes i64 or bool, f32 where it takes f16.
   *
   * @param inputs For every input a tensor (of the session's GPU; of the host on wasm) or an array.
   * @returns The outputs by name.
   * @throws {UserError} When an input does not fit the model, or a node fails.
   * @throws {ReferenceError} After dispose.
   */
  async run(
    inputs: Readonly<Record<string, SessionInput>>,
  ): Promise<Record<string, Tensor | HostArray>> {
    this.#use();
    this.#check(inputs);
    const rows = Math.max(...Object.values(inputs).map((input) => input.shape[0] ?? 1));
    if (this.maxBatch === OPEN_BATCH || rows === this.maxBatch) {
      return await this.#runOnce(inputs);
    }
    return await this.#runPieces(inputs, rows);
  }

  /** Releases the session and the outputs that it gave out. */
  async dispose(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    for (const tensor of [...this.#live]) tensor.dispose();
    await serialised(async () => {
      this.#gpu?.flush();
      this.#releaseRetired();
      await session.release();
    });
  }

  /** Releases the session at the end of an `await using` scope. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #use(): Ort.InferenceSession {
    if (this.#session === undefined) {
      throw new ReferenceError(`Cannot run "${this.name}": the session was disposed`);
    }
    return this.#session;
  }

  #check(inputs: Readonly<Record<string, SessionInput>>): void {
    const refuse = (why: string) => new UserError(`Cannot run "${this.name}": ${why}`);
    for (const name of Object.keys(inputs)) {
      if (!this.inputs.some((input) => input.name === name)) {
        throw refuse(
          `it has no input "${name}", its inputs are ${
            this.inputs.map((input) => `"${input.name}"`).join(", ")
          }`,
        );
      }
    }
    for (const { name, shape } of this.inputs) {
      const input = inputs[name];
      if (input === undefined) throw refuse(`the input "${name}" is missing`);
      if (shape === undefined) continue;
      const fits = shape.length === input.shape.length && shape.every((length, axis) =>
        // The batch may differ from a fixed one: runs are split.
        typeof length === "string" || axis === 0 || length === input.shape[axis]
      );
      if (!fits || input.shape.some((length) => length === 0)) {
        throw refuse(
          `the input "${name}" must have shape [${shape.join(", ")}]: current shape is [${
            input.shape.join(", ")
          }]`,
        );
      }
    }
  }

  async #runOnce(
    inputs: Readonly<Record<string, RunInput>>,
  ): Promise<Record<string, Tensor | HostArray>> {
    const outputs = await serialised(async () => {
      const session = this.#use();
      // What is recorded may write the inputs or read buffers that are about to be reused.
      this.#gpu?.flush();
      this.#releaseRetired();
      const target = { ort: this.#ort, onGpu: this.#gpu !== undefined };
      const feeds = Object.fromEntries(
        Object.entries(inputs).map(([name, input]) => {
          const type = this.inputs.find((declared) => declared.name === name)?.type;
          return [name, toOrtTensor(input, { ...target, type })];
        }),
      );
      try {
        return await session.run(feeds, { logSeverityLevel: LOG_FATAL_ONLY });
      } catch (error) {
        throw runError(error, this.name);
      }
    });
    const result: Record<string, Tensor | HostArray> = {};
    for (const [name, output] of Object.entries(outputs)) {
      result[name] = output.location === "gpu-buffer"
        ? this.#wrap(output, name)
        : toHostArray(output, this.name);
    }
    return result;
  }

  #wrap(output: Ort.Tensor, label: string): Tensor {
    const dtype = dtypeOf(output, label);
    const tensor: Tensor = this.#gpu!.wrap(output.gpuBuffer as GPUBuffer, output.dims, {
      dtype,
      label,
      onDispose: () => {
        this.#live.delete(tensor);
        this.#retired.push(output);
      },
    });
    this.#live.add(tensor);
    return tensor;
  }

  #releaseRetired(): void {
    for (const tensor of this.#retired.splice(0)) tensor.dispose();
  }

  /** Runs a model with a fixed batch piece by piece; the last piece is padded and cut. */
  async #runPieces(
    inputs: Readonly<Record<string, SessionInput>>,
    rows: number,
  ): Promise<Record<string, Tensor | HostArray>> {
    const size = this.maxBatch;
    const parts: Record<string, Piece[]> = {};
    for (let start = 0; start < rows; start += size) {
      const count = Math.min(size, rows - start);
      const pieces: Record<string, RunInput> = {};
      for (const [name, input] of Object.entries(inputs)) {
        pieces[name] = cutPiece(input, { start, count, size, gpu: this.#gpu });
      }
      const outputs = await this.#runOnce(pieces);
      for (const piece of Object.values(pieces)) if (piece instanceof Tensor) piece.dispose();
      for (const [name, output] of Object.entries(outputs)) {
        if (output.shape[0] !== size) {
          throw new UserError(
            `Cannot run "${this.name}" on ${rows} images: it takes ${size} at a time and its ` +
              `output "${name}" does not have one row for each`,
          );
        }
        (parts[name] ??= []).push({ output, rows: count });
      }
    }
    const result: Record<string, Tensor | HostArray> = {};
    for (const [name, pieces] of Object.entries(parts)) {
      result[name] = joinPieces(pieces, { rows, gpu: this.#gpu });
    }
    return result;
  }
}

function openBatch(model: OnnxModel): { opened: OnnxModel; maxBatch: number } {
  const sizes = model.graph.inputs.map((input) => input.shape?.[0]);
  const fixed = sizes.find((size): size is number => typeof size === "number");
  if (fixed === undefined) return { opened: model, maxBatch: OPEN_BATCH };
  try {
    return { opened: setDynamicBatch(model), maxBatch: OPEN_BATCH };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { opened: model, maxBatch: fixed };
  }
}
