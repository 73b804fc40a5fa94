/**
 * Compute pipelines by their final source: the only key that cannot return a wrong pipeline.
 *
 * @module
 */

import { KernelCompileError } from "./errors.ts";
import type { BindingAccess, Dispatch, Kernel } from "./kernel.ts";
import { specialize } from "./specialize.ts";

/** Bytes of the uniform window that every kernel sees at group 1 binding 0. */
export const UNIFORM_WINDOW_BYTES = 256;

/** A pipeline with the layout that its bind groups need. */
export interface CachedPipeline {
  /** The pipeline. */
  readonly pipeline: GPUComputePipeline;
  /** Layout of group 0; shared between kernels with the same bindings. */
  readonly layout: GPUBindGroupLayout;
  /** Name of that layout, for bind-group keys. */
  readonly layoutKey: string;
}

/** Compiles and keeps pipelines; compile errors wait until somebody asks. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #uniformLayout: GPUBindGroupLayout;
  readonly #layouts: Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }> =
    new Map();
  readonly #bySource: Map<string, CachedPipeline> = new Map();
  readonly #byKernel: WeakMap<Kernel, Map<string, CachedPipeline>> = new WeakMap();
  #pending: Promise<KernelCompileError | undefined>[] = [];

  /**
   * Makes the parts that belong to one device.
   *
   * @param device The device to compile for.
   */
  constructor(device: GPUDevice) {
    this.#device = device;
    this.#uniformLayout = device.createBindGroupLayout({
      label: "params",
      entries: [{
        binding: 0,
        visibility: GPUShaderStage.COMPUTE,
        buffer: {
          type: "uniform",
          hasDynamicOffset: true,
          minBindingSize: UNIFORM_WINDOW_BYTES,
        },
      }],
    });
  }

  /** Layout of group 1, the same for every kernel. */
  get uniformLayout(): GPUBindGroupLayout {
    return this.#uniformLayout;
  }

  /** Number of pipelines compiled so far. */
  get size(): number {
    return this.#bySource.size;
  }

  /**
   * The pipeline of a kernel under a specialisation, compiled at first use.
   *
   * @param kernel The kernel.
   * @param how Its overrides and marked lines.
   * @returns The pipeline; whether it compiled is known after {@linkcode PipelineCache.settled}.
   */
  get(kernel: Kernel, how: Pick<Dispatch, "overrides" | "spec"> = {}): CachedPipeline {
    let variants = this.#byKernel.get(kernel);
    if (variants === undefined) {
      variants = new Map();
      this.#byKernel.set(kernel, variants);
    }
    const variant = how.overrides === undefined && how.spec === undefined
      ? ""
      : JSON.stringify([how.overrides, how.spec]);
    const known = variants.get(variant);
    if (known !== undefined) return known;
    const made = this.#compile(kernel, how);
    variants.set(variant, made);
    return made;
  }

  /**
   * Waits until every pipeline asked for so far has compiled.
   *
   * @throws {KernelCompileError} The first one that did not.
   */
  async settled(): Promise<void> {
    if (this.#pending.length === 0) return;
    const pending = this.#pending;
    this.#pending = [];
    const failed = (await Promise.all(pending)).find((error) => error !== undefined);
    if (failed !== undefined) throw failed;
  }

  #compile(kernel: Kernel, how: Pick<Dispatch, "overrides" | "spec">): CachedPipeline {
    const code = how.spec === undefined ? kernel.wgsl : specialize(kernel.wgsl, how.spec);
    const constants = how.overrides ?? {};
    const key = `${kernel.bindings.join()}\n${JSON.stringify(constants)}\n${code}`;
    const known = this.#bySource.get(key);
    if (known !== undefined) return known;
    const layouts = this.#layout(kernel.bindings);
    this.#device.pushErrorScope("validation");
    const module = this.#device.createShaderModule({ label: kernel.name, code });
    const pipeline = this.#device.createComputePipeline({
      label: kernel.name,
      layout: layouts.pipeline,
      compute: { module, entryPoint: "main", constants },
    });
    this.#pending.push(this.#outcome(kernel.name, { module, code }));
    const made = { pipeline, layout: layouts.group, layoutKey: kernel.bindings.join() };
    this.#bySource.set(key, made);
    return made;
  }

  async #outcome(
    name: string,
    source: { module: GPUShaderModule; code: string },
  ): Promise<KernelCompileError | undefined> {
    const error = await this.#device.popErrorScope();
    if (error === null) return undefined;
    const info = await source.module.getCompilationInfo();
    const lines = info.messages.map((m) => `line ${m.lineNum}:${m.linePos}: ${m.message}`);
    return new KernelCompileError(name, {
      message: [error.message, ...lines].join("\n"),
      wgsl: source.code,
    });
  }

  #layout(
    bindings: readonly BindingAccess[],
  ): { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout } {
    const key = bindings.join();
    const known = this.#layouts.get(key);
    if (known !== undefined) return known;
    const group = this.#device.createBindGroupLayout({
      label: `storage(${key})`,
      entries: bindings.map((access, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: access === "read" ? "read-only-storage" as const : "storage" as const },
      })),
    });
    const pipeline = this.#device.createPipelineLayout({
      label: `storage(${key}) + params`,
      bindGroupLayouts: [group, this.#uniformLayout],
    });
    const made = { group, pipeline };
    this.#layouts.set(key, made);
    return made;
  }
}
