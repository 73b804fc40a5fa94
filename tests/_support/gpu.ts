/**
 * The GPU of the tests: any adapter, a software one is enough. Without an adapter the tests fail;
 * `ALLOW_NO_GPU=1` skips them by name instead.
 *
 * @module
 */

import { Gpu, type GpuContext, type GpuOptions, Host } from "../../runtime/mod.ts";

let shared: Promise<Gpu> | undefined;

/** One GPU for all tests of a file; new tensors are poisoned with NaN. */
function sharedGpu(): Promise<Gpu> {
  shared ??= Gpu.open({ poison: true }).then((gpu) => {
    // A device that is still open when its file's isolate goes can take the driver down with it.
    globalThis.addEventListener("unload", () => gpu[Symbol.dispose]());
    return gpu;
  });
  return shared;
}

/** What a GPU test gets. */
export interface GpuTestContext {
  /** A scope on the shared GPU, disposed after the test. */
  readonly gpu: GpuContext;
  /** A scope of the reference executor. */
  readonly host: Host;
}

/**
 * Registers a test that needs a GPU. It fails when the test leaves a tensor behind.
 *
 * @param name The behaviour under test.
 * @param body The test.
 */
export function gpuTest(
  name: string,
  body: (context: GpuTestContext) => void | Promise<void>,
): void {
  const skip = Deno.env.get("ALLOW_NO_GPU") === "1" && navigator.gpu === undefined;
  Deno.test({
    name: skip ? `${name} (skipped: no GPU and ALLOW_NO_GPU=1)` : name,
    ignore: skip,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      const gpu = await sharedGpu();
      const before = gpu.counters().pool.live;
      {
        using scope = gpu.scope();
        using host = new Host();
        await body({ gpu: scope, host });
      }
      await gpu.idle();
      const left = gpu.counters().pool.live - before;
      if (left !== 0) throw new Error(`${left} tensors were not released`);
    },
  });
}

/**
 * Opens a GPU of its own, for tests that lose or configure it.
 *
 * @param options As for `Gpu.open`.
 * @returns The GPU; the test disposes it.
 */
export function openTestGpu(options: GpuOptions = {}): Promise<Gpu> {
  return Gpu.open({ poison: true, ...options });
}
