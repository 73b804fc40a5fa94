/**
 * Where scores are computed: WGSL kernels on a GPU, exported graphs in WebAssembly, or the plain
 * reference.
 *
 * @module
 */

import { type Context, Gpu, GpuUnavailableError, Host } from "../runtime/mod.ts";

/** What a person may ask for. */
export type Device = "auto" | "webgpu" | "wasm" | "reference";

/** Where scores are computed, and why there. */
export interface Executor extends Disposable {
  /** How batches are scored. */
  readonly kind: "webgpu" | "wasm" | "reference";
  /** One sentence that says which was taken and why. */
  readonly reason: string;
  /**
   * Where kernels run: fits, and what a graph cannot hold. The GPU for `webgpu`; for `wasm` the
   * software adapter when one was found, else the host.
   */
  readonly context: Context;
}

/**
 * Chooses where to compute. `auto` takes kernels on a real GPU; a software adapter is slower than
 * WebAssembly with threads, so there and without any adapter it takes the exported graphs.
 *
 * @param device What is asked for; default `auto`.
 * @param options `gpu`: an open GPU to use; it is not closed with the executor.
 * @returns The executor; dispose it to close the GPU that it opened.
 * @throws {GpuUnavailableError} When `webgpu` is asked for and no adapter can be had.
 *
 * @example By hand
 * ```ts
 * import { chooseExecutor } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * using executor = await chooseExecutor("reference");
 * assertEquals(executor.kind, "reference");
 * ```
 */
export async function chooseExecutor(
  device: Device = "auto",
  options: { readonly gpu?: Gpu } = {},
): Promise<Executor> {
  switch (device) {
    case "reference":
      return make("reference", "reference, as asked for", new Host());
    case "wasm":
      return make("wasm", "wasm, as asked for", new Host());
    case "webgpu": {
      const { gpu, opened } = await openGpu(options.gpu);
      return make("webgpu", `webgpu on ${gpuName(gpu)}, as asked for`, gpu, opened);
    }
    case "auto":
      return await chooseForMachine(options.gpu);
    default:
      return device satisfies never;
  }
}

async function chooseForMachine(given: Gpu | undefined): Promise<Executor> {
  try {
    const { gpu, opened } = await openGpu(given);
    if (!gpu.adapter.isSoftware) return make("webgpu", `webgpu on ${gpuName(gpu)}`, gpu, opened);
    const why = `wasm, because ${gpuName(gpu)} is a software adapter and wasm is faster there`;
    return make("wasm", why, gpu, opened);
  } catch (error) {
    if (!(error instanceof GpuUnavailableError)) throw error;
    return make("wasm", "wasm, because no GPU adapter was found", new Host());
  }
}

async function openGpu(given: Gpu | undefined): Promise<{ gpu: Gpu; opened: boolean }> {
  return given === undefined
    ? { gpu: await Gpu.open(), opened: true }
    : { gpu: given, opened: false };
}

function gpuName(gpu: Gpu): string {
  const { description, device, vendor } = gpu.adapter;
  return description || device || vendor || "an unnamed adapter";
}

function make(
  kind: Executor["kind"],
  reason: string,
  ...[context, owned = true]: [Context, boolean?]
): Executor {
  return {
    kind,
    reason,
    context,
    [Symbol.dispose]() {
      if (owned) context[Symbol.dispose]();
    },
  };
}
