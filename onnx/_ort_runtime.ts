/**
 * The builds of onnxruntime-web: loading them, their threads, and one task at a time.
 *
 * @module
 */

import type * as Ort from "onnxruntime-web";
import type { Gpu } from "../runtime/device.ts";

/** onnxruntime prints what it also throws; only fatal messages should reach the console. */
export const LOG_FATAL_ONLY = 4;

let queue: Promise<unknown> = Promise.resolve();
let threadCount: number | undefined;

/** The build for a device. The first call for WebAssembly decides the number of threads. */
export async function loadRuntime(
  { device, threads }: { device: "webgpu" | "wasm"; threads?: number },
): Promise<typeof Ort> {
  if (device === "webgpu") return await import("onnxruntime-web/webgpu");
  const ort = await import("onnxruntime-web");
  if (threadCount === undefined) {
    threadCount = Math.max(1, Math.floor(threads ?? navigator.hardwareConcurrency ?? 1));
    ort.env.wasm.numThreads = threadCount;
  }
  return ort;
}

/** Threads that WebAssembly runs with. */
export function wasmThreads(): number {
  return threadCount ?? 1;
}

/** The execution provider that shares a GPU. */
export function gpuProvider(gpu: Gpu): Ort.InferenceSession.ExecutionProviderConfig {
  // The option is in the build and not yet in the package's types.
  const provider = { name: "webgpu", device: gpu.device };
  return provider as unknown as Ort.InferenceSession.WebGpuExecutionProviderOption;
}

/** Runs a task when all earlier ones are over, failed ones too. */
export function serialised<T>(task: () => Promise<T>): Promise<T> {
  const result = queue.then(task);
  queue = result.catch(() => undefined);
  return result;
}

/** Creates a session; the caller sees to it that nothing else is in onnxruntime-web meanwhile. */
export async function createSession(
  ort: typeof Ort,
  bytes: Uint8Array,
  options: Ort.InferenceSession.SessionOptions,
): Promise<Ort.InferenceSession> {
  // Starting its threads, onnxruntime-web puts Node's Worker in the place of the web's, which
  // other code of the process relies on.
  const { Worker } = globalThis;
  const { Memory } = WebAssembly;
  WebAssembly.Memory = sharedMemoryThatNeedNotGrow(Memory);
  try {
    return await ort.InferenceSession.create(bytes, options);
  } finally {
    globalThis.Worker = Worker;
    WebAssembly.Memory = Memory;
  }
}

/** 2 GiB in pages of 64 KiB; pages that nobody has touched take no memory. */
const SHARED_PAGES = 1 << 15;

/**
 * In Deno 2.9.6 a thread of onnxruntime-web can die while the memory that it shares grows, and then
 * the main thread waits for it forever (3 of 8 runs of one small graph; with this 0 of 12). So
 * shared memory starts as large as it is likely to get. More than 2 GiB is refused at the start.
 */
function sharedMemoryThatNeedNotGrow(Memory: typeof WebAssembly.Memory): typeof WebAssembly.Memory {
  return new Proxy(Memory, {
    construct(target, [descriptor]: [WebAssembly.MemoryDescriptor]) {
      const { shared = false, initial, maximum = Infinity } = descriptor;
      const pages = Math.max(initial, Math.min(SHARED_PAGES, maximum));
      return new target(shared ? { ...descriptor, initial: pages } : descriptor);
    },
  });
}
