/**
 * Where operations run. A {@linkcode Context} makes tensors and reads them back; it is either a
 * GPU ({@linkcode GpuContext}) or the host, and every operation takes one as its first argument.
 *
 * @module
 */

import type { Dispatch, Kernel } from "./kernel.ts";
import type { Gpu } from "./device.ts";
import type { DType, Shape, Tensor, TypedArray } from "./tensor.ts";

/** Options of a new tensor. */
export interface TensorOptions {
  /** What the tensor holds, for error messages and GPU debuggers. */
  readonly label?: string;
}

/** Makes tensors, owns those made through it, and reads them back. */
export interface Context extends Disposable {
  /** Which executor runs operations of this context. */
  readonly kind: "webgpu" | "reference";
  /** A tensor with a copy of host data. */
  upload(data: TypedArray, shape: Shape, options?: TensorOptions): Tensor;
  /** A tensor with unspecified contents. */
  empty(shape: Shape, dtype?: DType, options?: TensorOptions): Tensor;
  /** Writes host data over a tensor, after everything recorded so far. */
  write(tensor: Tensor, data: TypedArray): void;
  /** Copies the elements of a tensor over those of another with as many elements. */
  copy(source: Tensor, target: Tensor): void;
  /** Elements of tensors on the host: one submit and one wait for all. */
  read(...tensors: Tensor[]): Promise<TypedArray[]>;
  /** Submits what is recorded. */
  flush(): void;
  /** A context whose tensors are released when it is disposed. */
  scope(): Context;
  /** Moves a tensor of this scope to the scope's parent, and returns it. */
  keep<T extends Tensor>(tensor: T): T;
}

/** A context on a GPU: kernels record through it. */
export interface GpuContext extends Context {
  /** Always `webgpu`. */
  readonly kind: "webgpu";
  /** The GPU behind this context. */
  readonly gpu: Gpu;
  /** Records one run of a kernel; nothing is submitted. */
  dispatch(kernel: Kernel, run: Dispatch): void;
  /** A context whose tensors are released when it is disposed. */
  scope(): GpuContext;
}

/**
 * Whether a context runs on a GPU.
 *
 * @param context Any context.
 * @returns True when kernels can be dispatched through it.
 *
 * @example The host is no GPU
 * ```ts
 * import { Host, isGpu } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(isGpu(new Host()), false);
 * ```
 */
export function isGpu(context: Context): context is GpuContext {
  return context.kind === "webgpu";
}

/** The tensors that a scope owns. */
export class Ownership {
  readonly #owned: Set<Tensor> = new Set();

  /** Takes a tensor in. */
  add<T extends Tensor>(tensor: T): T {
    this.#owned.add(tensor);
    return tensor;
  }

  /**
   * Lets a tensor go to another owner.
   *
   * @param tensor A tensor of this scope.
   * @throws {ReferenceError} When the scope does not own it.
   */
  remove(tensor: Tensor): void {
    if (!this.#owned.delete(tensor)) {
      throw new ReferenceError(`Cannot keep tensor "${tensor.label}": this scope does not own it`);
    }
  }

  /** Disposes what is left. */
  dispose(): void {
    for (const tensor of this.#owned) tensor.dispose();
    this.#owned.clear();
  }
}
